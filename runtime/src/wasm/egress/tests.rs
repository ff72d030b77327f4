//! Real sockets on loopback, opened by an exemption. The rules alone are in `rules`.

mod app;
mod body;
mod guarded;
mod limits;
mod pooling;
mod probe;
mod reflection;
mod renewal;
mod rules;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use headgate_manifest::Placement;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use secrecy::SecretString;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

use super::resolver::Lookup;
use super::{Authority, Denial, Denials, Egress, EgressSettings};
use crate::domain::grant::{Credential, Grant};

/// With characters that base64 and percent-encoding treat specially.
const SECRET: &str = "pat-eu1/k3y+of=acme~9f";

fn bearer() -> Vec<Placement> {
    vec![Placement::Bearer { value: "${secret.token}".into() }]
}

/// A grant of a group for these places, with [`SECRET`] put as the placements say.
fn grant(group: &str, allow: &[&str], placements: &[Placement]) -> Arc<Grant> {
    grant_of(SECRET, 0, group, allow, placements)
}

/// The same with another secret, which is the connection's token of a generation.
fn grant_of(token: &str, generation: u64, group: &str, allow: &[&str], placements: &[Placement]) -> Arc<Grant> {
    let secrets = BTreeMap::from([("token".to_owned(), SecretString::from(token))]);
    let credentials = Credential::from_placements(placements, &BTreeMap::new(), &secrets).unwrap();
    let scrub = Credential::scrubber(&credentials, secrets.values());
    Arc::new(Grant {
        group: group.parse().unwrap(),
        connection: "con_abcdefghij0123456789".parse().unwrap(),
        connection_name: "crm".into(),
        connector: "http".into(),
        allow: allow.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        credentials,
        config: BTreeMap::new(),
        scrub,
        generation,
    })
}

/// What a call under this grant may do; its credentials are never renewed.
fn under(grant: &Arc<Grant>) -> Authority {
    Authority::new(grant.clone(), None)
}

/// Settings that give up soon and let connections reach these hosts.
fn settings(allow_private: &[String]) -> EgressSettings {
    EgressSettings {
        allow_private: allow_private.iter().map(|exemption| exemption.parse().unwrap()).collect(),
        connect_timeout: Duration::from_secs(5),
        ..EgressSettings::default()
    }
}

/// An egress that may reach this test's server.
fn egress_to(server: SocketAddr) -> Arc<Egress> {
    Egress::new(settings(&[server.to_string()])).unwrap()
}

/// A look-up in which every name has these addresses.
fn lookup(addresses: &[&str]) -> Lookup {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Arc::new(move |_| futures::future::ready(Ok(addresses.clone())).boxed())
}

fn get(url: &str) -> http::Request<WasiBody> {
    request(url, "")
}

fn request(url: &str, body: &str) -> http::Request<WasiBody> {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes())).map_err(Into::into).boxed_unsync();
    http::Request::builder().method(method).uri(url).body(body).unwrap()
}

/// The answer's head, its body still to be read.
async fn head(
    egress: &Arc<Egress>,
    grant: &Arc<Grant>,
    request: http::Request<WasiBody>,
) -> Result<http::Response<WasiBody>, WasiError> {
    let sending = egress.send(&under(grant), &Denials::default(), request, Some(RequestOptions::default()));
    Ok(Box::into_pin(sending).await?.0)
}

async fn body(response: http::Response<WasiBody>) -> Result<String, WasiError> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// The whole answer.
async fn call(
    egress: &Arc<Egress>,
    grant: &Arc<Grant>,
    request: http::Request<WasiBody>,
) -> Result<(StatusCode, HeaderMap, String), WasiError> {
    let response = head(egress, grant, request).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok((status, headers, body(response).await?))
}

/// The one denial that sending the request ends in.
async fn denied(egress: &Arc<Egress>, grant: &Arc<Grant>, request: http::Request<WasiBody>) -> Denial {
    let shown = format!("{:?} {:?}", request.uri(), request.headers());
    let denials = Denials::default();
    let result = Box::into_pin(egress.send(&under(grant), &denials, request, None)).await;
    assert!(matches!(result, Err(WasiError::HttpRequestDenied)), "{shown} was let out");
    let list = denials.list();
    assert_eq!(list.len(), 1, "{shown}: {list:?}");
    list.into_iter().next().unwrap()
}
