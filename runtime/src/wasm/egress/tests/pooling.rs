use super::app::App;
use super::*;

#[tokio::test]
async fn a_group_reuses_its_connection_and_shares_it_with_no_other() {
    let app = App::start().await;
    let egress = egress_to(app.address);
    let (acme, globex) = (grant("acme", &[&app.url("/")], &bearer()), grant("globex", &[&app.url("/")], &bearer()));
    for _ in 0..3 {
        call(&egress, &acme, get(&app.url("/reflect"))).await.unwrap();
    }
    assert_eq!(app.accepted(), 1);
    for _ in 0..3 {
        call(&egress, &globex, get(&app.url("/reflect"))).await.unwrap();
        call(&egress, &acme, get(&app.url("/reflect"))).await.unwrap();
    }
    assert_eq!((app.accepted(), app.requests()), (2, 9));
}

#[tokio::test]
async fn the_client_not_used_for_longest_goes_first() {
    let app = App::start().await;
    let mut settings = settings(&[app.address.to_string()]);
    settings.max_clients = 2;
    let egress = Egress::new(settings).unwrap();
    for (group, accepted) in [("a", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 4)] {
        call(&egress, &grant(group, &[&app.url("/")], &bearer()), get(&app.url("/reflect"))).await.unwrap();
        assert_eq!(app.accepted(), accepted, "{group}");
    }
}

#[tokio::test]
async fn connections_to_a_host_are_bounded_per_group() {
    let app = App::start().await;
    let mut settings = settings(&[app.address.to_string()]);
    settings.max_connections_per_host = 1;
    settings.connect_timeout = Duration::from_millis(200);
    let egress = Egress::new(settings).unwrap();
    let (acme, globex) = (grant("acme", &[&app.url("/")], &bearer()), grant("globex", &[&app.url("/")], &bearer()));
    let held = head(&egress, &acme, get(&app.url("/stall-body"))).await.unwrap();
    let error = call(&egress, &acme, get(&app.url("/reflect"))).await.unwrap_err();
    assert!(matches!(error, WasiError::ConnectionLimitReached), "{error:?}");
    call(&egress, &globex, get(&app.url("/reflect"))).await.unwrap();
    drop(held);
    call(&egress, &acme, get(&app.url("/reflect"))).await.unwrap();
}
