//! Serves a router on a listener until it is told to stop.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::http::client_address::TrustedProxies;
use crate::http::linger::lingering;

/// How long a client may take over a request's headers: slow ones would hold connections for nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long running requests may take to end: longer than the longest run, and not for ever.
const LONGEST_STOP: Duration = Duration::from_secs(6 * 60);
/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopping`, then lets running requests end.
pub async fn serve(listener: TcpListener, router: Router, proxies: TrustedProxies, stopping: CancellationToken) {
    let proxies = Arc::new(proxies);
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted; with too many open files, raise ulimit -n");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stopping.cancelled() => break,
        };
        let connection = connection(stream, peer.ip(), proxies.clone(), router.clone(), &graceful);
        tokio::spawn(connection);
    }
    drop(listener);
    if tokio::time::timeout(LONGEST_STOP, graceful.shutdown()).await.is_err() {
        tracing::warn!("some clients did not take their answers; their connections are closed");
    }
}

fn connection(
    stream: TcpStream,
    peer: IpAddr,
    proxies: Arc<TrustedProxies>,
    router: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Answers are small: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let client = proxies.client(peer, request.headers());
        request.extensions_mut().insert(client);
        router.call(lingering(without_trailing_slash(request)))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    async move {
        // A client that goes away in the middle is its own affair.
        let _ = connection.await;
    }
}

/// The URI of a request that had a trailing slash, with it: senders sign the URL that they call.
#[derive(Debug, Clone)]
pub(super) struct AsSent(pub(super) Uri);

/// A trailing slash makes no difference, on any path.
fn without_trailing_slash<B>(mut request: Request<B>) -> Request<B> {
    if let Some(path_and_query) = shortened(request.uri()) {
        let sent = AsSent(request.uri().clone());
        request.extensions_mut().insert(sent);
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = Some(path_and_query);
        *request.uri_mut() = Uri::from_parts(parts).expect("only the path became shorter");
    }
    request
}

fn shortened(uri: &Uri) -> Option<PathAndQuery> {
    let path = uri.path().strip_suffix('/').filter(|path| path.starts_with('/'))?;
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::from_maybe_shared(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_kept_where_it_ended_in_a_slash() {
        let request = |uri: &str| without_trailing_slash(Request::builder().uri(uri).body(()).unwrap());
        let short = request("/hooks/a/?b=/");
        assert_eq!(short.uri(), "/hooks/a?b=/");
        assert_eq!(short.extensions().get::<AsSent>().unwrap().0, "/hooks/a/?b=/");
        assert!(request("/hooks/a").extensions().get::<AsSent>().is_none());
    }

    #[test]
    fn one_trailing_slash_is_taken_off() {
        for (given, left) in [
            ("/hooks/a/", Some("/hooks/a")),
            ("/hooks/a/?b=/", Some("/hooks/a?b=/")),
            ("http://host/a/", Some("/a")),
            ("/a//", Some("/a/")),
            ("/hooks/a", None),
            ("/hooks/a?b=/", None),
            ("/", None),
            ("http://host/", None),
            ("*", None),
        ] {
            let uri = given.parse().unwrap();
            assert_eq!(shortened(&uri).as_ref().map(PathAndQuery::as_str), left, "{given}");
        }
    }
}
