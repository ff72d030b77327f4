use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use super::address::AddressClass;
use super::exemption::Exemption;

/// Resolves a name. Passed in, so that tests need no name server.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// How far the requests of a client may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    /// Public addresses, and those the operator opened by address.
    Public,
    /// Whatever a host resolves to that the operator opened by name.
    Exempted,
}

/// Every address of a name is out of reach. Travels through the HTTP client to [`super::failure`].
#[derive(Debug, Error)]
#[error("every address of the host is out of reach ({0})")]
pub(super) struct Blocked(pub(super) AddressClass);

/// The resolver that connects: what it does not answer cannot be connected to, so that no second look-up can differ.
pub(super) struct Guarded {
    pub(super) lookup: Lookup,
    pub(super) reach: Reach,
    pub(super) exemptions: Arc<[Exemption]>,
}

/// The system's resolver.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) }.boxed()
    })
}

impl Reach {
    /// Whether an address may be connected to; if not, its class.
    pub(super) fn admits(self, address: IpAddr, exemptions: &[Exemption]) -> Result<(), AddressClass> {
        let class = AddressClass::of(address);
        let named = self == Self::Exempted && class != AddressClass::Metadata;
        if class == AddressClass::Public || named || exemptions.iter().any(|exemption| exemption.covers(address)) {
            Ok(())
        } else {
            Err(class)
        }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, exemptions) = (self.reach, self.exemptions.clone());
        let looking = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let mut blocked = None;
            let mut admitted = Vec::new();
            for address in looking.await? {
                match reach.admits(address, &exemptions) {
                    // The port comes from the URL.
                    Ok(()) => admitted.push(SocketAddr::new(address, 0)),
                    Err(class) => blocked = Some(Blocked(class)),
                }
            }
            match blocked {
                Some(blocked) if admitted.is_empty() => Err(blocked.into()),
                _ => Ok(Box::new(admitted.into_iter()) as Addrs),
            }
        })
    }
}
