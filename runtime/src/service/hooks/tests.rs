//! What the door says to each caller, and in which order.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::domain::api_key::{KeyPermission, KeySecret, PlainApiKey, SecretSlot};
use crate::domain::digest::ModuleDigest;
use crate::domain::flow::ExecuteTrigger;
use crate::domain::group::Group;
use crate::domain::id::Environment;
use crate::domain::permission::ScopeSet;
use crate::domain::secret::Pepper;
use crate::domain::trigger::{AcceptedKeys, ROUTING_KEY_LENGTH, Trigger};
use crate::service::record::Record;
use crate::service::usage::Seen;
use crate::service::vault::random;

/// A group `acme` with the flow `orders`, published in `production`, its trigger, and one key.
struct House {
    pepper: Pepper,
    plain: PlainApiKey,
    routing_key: RoutingKey,
    flow: FlowId,
    key: ApiKey,
    group: Group,
    published: Vec<Environment>,
    settings: HttpSettings,
}

/// How a request knocks.
#[derive(Clone, Copy)]
struct Knock {
    place: KeyPlace,
    method: &'static str,
    profile: Option<&'static str>,
    address: &'static str,
    now: i64,
}

const KNOCK: Knock =
    Knock { place: KeyPlace::Header, method: "POST", profile: None, address: "203.0.113.7", now: 1_800_000_000 };

impl House {
    fn of(environment: &str) -> Self {
        let pepper = Pepper::new(&[3; 32]);
        let environment: Environment = environment.parse().unwrap();
        let plain = PlainApiKey::generate(&environment, random);
        let key = ApiKey {
            id: *plain.id(),
            group: "acme".parse().unwrap(),
            environment,
            name: "crm".parse().unwrap(),
            description: "".into(),
            class: None,
            secrets: [KeySecret {
                slot: SecretSlot::Primary,
                hash: plain.hash(&pepper),
                created: None,
                not_after: None,
            }]
            .into(),
            created: Timestamp::UNIX_EPOCH,
            expires: Some(Timestamp::from_second(1_800_000_100).unwrap()),
            disabled: false,
            revoked: None,
            permission: KeyPermission::AllFlows,
            scopes: KeyPermission::AllFlows.default_scopes(),
            limits: None,
            networks: Box::default(),
        };
        let environments = vec![Environment::production(), Environment::test()];
        let group = Group::new("acme".parse().unwrap(), environments, Timestamp::UNIX_EPOCH);
        Self {
            pepper,
            plain,
            routing_key: "a".repeat(ROUTING_KEY_LENGTH).parse().unwrap(),
            flow: FlowId::from_random("ordersordersordersor").unwrap(),
            key,
            group,
            published: vec![Environment::production()],
            settings: HttpSettings::initial(),
        }
    }

    fn catalog(&self) -> Catalog {
        let settings = Arc::new(self.settings.clone());
        let publication = Publication { version: 1, digest: ModuleDigest::of(b"orders") };
        let trigger = TriggerId::from_random("executeexecuteexecut").unwrap();
        let flow = Flow {
            id: self.flow.clone(),
            group: self.group.id.clone(),
            name: "orders".parse().unwrap(),
            description: String::new(),
            latest: 1,
            published: self.published.iter().map(|place| (place.clone(), publication.clone())).collect(),
            history: BTreeMap::new(),
            slots: BTreeMap::new(),
            execute: ExecuteTrigger { id: trigger, description: String::new(), settings: settings.clone() },
            created: Timestamp::UNIX_EPOCH,
        };
        let trigger = Trigger {
            id: TriggerId::from_random("triggertriggertrigge").unwrap(),
            group: self.group.id.clone(),
            flow: self.flow.clone(),
            description: String::new(),
            routing_key: self.routing_key.clone(),
            path: None,
            settings,
            created: Timestamp::UNIX_EPOCH,
        };
        let mut catalog = Catalog::default();
        catalog.put(Record::Group(Arc::new(self.group.clone())));
        catalog.put(Record::ApiKey(Arc::new(self.key.clone())));
        catalog.put(Record::Flow(Arc::new(flow)));
        catalog.put(Record::Trigger(Arc::new(trigger)));
        catalog
    }

    /// The refusal's text, or the flow that would run.
    fn answers(&self, target: &Target, knock: Knock) -> String {
        let mut presented = Presented::default();
        presented.add(self.plain.reveal(), knock.place);
        let now = Timestamp::from_second(knock.now).unwrap();
        let door = Door { catalog: Arc::new(self.catalog()), pepper: &self.pepper, now };
        let admitted = door.admit(&Call {
            subscribes: false,
            target,
            presented: &presented,
            method: knock.method,
            profile: knock.profile,
            address: Some(knock.address.parse().unwrap()),
            origin: None,
            crossing: &OnceLock::new(),
            seen: &Seen::default(),
        });
        admitted.map_or_else(|error| error.to_string(), |admitted| admitted.flow().name.to_string())
    }

    #[track_caller]
    fn expect(&self, knock: Knock, answer: &str) {
        for target in [Target::Hook(Some(self.routing_key.clone())), Target::Execute(Some(self.flow.clone()))] {
            let got = self.answers(&target, knock);
            assert!(got.starts_with(answer), "{got}");
        }
    }
}

#[test]
fn each_cause_is_said() {
    let changed = |change: fn(&mut House)| {
        let mut house = House::of("production");
        change(&mut house);
        house
    };
    let other = FlowId::from_random("otherotherotherother").unwrap();
    changed(|_| {}).expect(KNOCK, "orders");
    for (change, answer) in [
        (
            (|house| house.key.scopes = ScopeSet::of(&[Scope::RunsRead])) as fn(&mut House),
            "The API key \"crm\" has no scope flows:execute. Add the scope",
        ),
        (
            |house| {
                house.key.permission = KeyPermission::ReadOnly;
                house.key.scopes = KeyPermission::ReadOnly.default_scopes();
            },
            "The API key \"crm\" is read-only. Give the key",
        ),
        (
            |house| house.settings.keys = AcceptedKeys::Only([].into()),
            "This trigger does not accept the API key \"crm\". Add the key",
        ),
        (
            |house| house.published.clear(),
            "The flow \"orders\" is not published in production. Publish a version of it there",
        ),
        (
            |house| house.key.networks = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()].into(),
            "The API key \"crm\" may not be used from 203.0.113.7. Add the source network",
        ),
        (|house| house.key.disabled = true, "API key is disabled"),
        (|house| house.key.revoked = Some(Timestamp::UNIX_EPOCH), "API key has been revoked"),
        (|house| house.key.group = "rival".parse().unwrap(), "Trigger not found"),
    ] {
        changed(change).expect(KNOCK, answer);
    }
    let mut house = House::of("production");
    house.key.permission = KeyPermission::SelectedFlows(Box::new([other].into()));
    house.expect(KNOCK, "The API key \"crm\" has no permission for this flow. Add the flow");
    house.key.permission = KeyPermission::SelectedFlows(Box::new([house.flow.clone()].into()));
    house.expect(KNOCK, "orders");
}

#[test]
fn a_key_expires_at_the_second() {
    let house = House::of("production");
    house.expect(Knock { now: 1_800_000_099, ..KNOCK }, "orders");
    house.expect(Knock { now: 1_800_000_100, ..KNOCK }, "API key has expired");

    // So does an old value that overlaps with the new one.
    let mut house = House::of("production");
    house.key.secrets[0].not_after = Some(Timestamp::from_second(1_800_000_050).unwrap());
    house.expect(Knock { now: 1_800_000_049, ..KNOCK }, "orders");
    house.expect(Knock { now: 1_800_000_050, ..KNOCK }, "API key has expired");
}

#[test]
fn networks_hold_addresses_of_both_versions() {
    let mut house = House::of("production");
    house.key.networks = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()].into();
    for (address, answer) in
        [("10.1.2.3", "orders"), ("2001:db8::1", "orders"), ("11.0.0.1", "The API key"), ("::1", "The API key")]
    {
        house.expect(Knock { address, ..KNOCK }, answer);
    }
    assert!(check_network(&house.key, None).is_err());
    house.key.networks = Box::default();
    assert!(check_network(&house.key, None).is_ok());
}

#[test]
fn a_request_names_the_keys_environment_or_none() {
    let mut house = House::of("test");
    house.published = vec![Environment::test()];
    house.expect(KNOCK, "orders");
    for profile in ["test", "Test"] {
        house.expect(Knock { profile: Some(profile), ..KNOCK }, "orders");
    }
    for profile in ["production", "tests", ""] {
        let answer = "Wrong environment: the API key \"crm\" belongs to test.";
        house.expect(Knock { profile: Some(profile), ..KNOCK }, answer);
    }
    house.group.profile_required = true;
    house.expect(KNOCK, "Wrong environment: this group wants every call outside production to name its environment.");
    house.expect(Knock { profile: Some("test"), ..KNOCK }, "orders");

    let mut house = House::of("production");
    house.group.profile_required = true;
    house.expect(KNOCK, "orders");
}

#[test]
fn a_key_in_the_url_needs_leave() {
    let mut house = House::of("production");
    for place in [KeyPlace::Query, KeyPlace::Path] {
        house.expect(Knock { place, ..KNOCK }, "This URL does not take the API key in its query or path.");
    }
    house.settings.key_in_query = true;
    house.expect(Knock { place: KeyPlace::Query, ..KNOCK }, "orders");
    house.expect(Knock { place: KeyPlace::Path, ..KNOCK }, "This URL does not take");
    house.settings.key_in_path = true;
    house.expect(Knock { place: KeyPlace::Path, ..KNOCK }, "orders");
}

/// What is said of an obstacle, and how it is cleared away.
type Obstacle = (&'static str, fn(&mut House));

/// Every obstacle at once: each one is said before those behind it.
#[test]
fn the_order_of_what_is_said() {
    let mut house = House::of("test");
    house.settings.methods.clear();
    house.key.revoked = Some(Timestamp::UNIX_EPOCH);
    house.key.permission = KeyPermission::SelectedFlows(Box::default());
    house.key.scopes = ScopeSet::default();
    house.key.networks = ["10.0.0.0/8".parse().unwrap()].into();
    house.settings.keys = AcceptedKeys::Only([].into());
    let knock = Knock { place: KeyPlace::Query, profile: Some("production"), ..KNOCK };
    house.published.clear();
    let obstacles: [Obstacle; 9] = [
        ("API key has been revoked", |house| house.key.revoked = None),
        ("The API key \"crm\" may not be used from", |house| house.key.networks = Box::default()),
        ("This URL does not take the API key", |house| house.settings.key_in_query = true),
        ("This URL takes ", |house| _ = house.settings.methods.insert("POST".to_owned())),
        ("Wrong environment", |house| house.key.environment = Environment::production()),
        ("The API key \"crm\" has no scope flows:execute", |house| house.key.scopes = ScopeSet::all()),
        ("The API key \"crm\" has no permission for this flow", |house| house.key.permission = KeyPermission::AllFlows),
        ("This trigger does not accept", |house| house.settings.keys = AcceptedKeys::All),
        ("The flow \"orders\" is not published", |house| house.published = vec![Environment::production()]),
    ];
    for (said, clear) in obstacles {
        house.expect(knock, said);
        clear(&mut house);
    }
    house.expect(knock, "orders");
}
