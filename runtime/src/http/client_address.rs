//! Where a request came from: the peer, unless the peer is a proxy that the operator trusts.
//!
//! Whoever sends a request can write anything into `X-Forwarded-For`. Each proxy adds the address it was called from
//! at the right end, so the header is read from there, as far as trusted proxies have written it.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The header in which proxies say whom they were called by.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a request came from, as an extension of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Where a request with these extensions came from.
pub fn client_address(extensions: &http::Extensions) -> Option<IpAddr> {
    extensions.get::<ClientAddress>().map(|address| address.0)
}

/// The networks of the proxies in front of the server.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Proxies of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Where a request came from that `peer` handed over.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        // As bytes: what a client wrote at the left must not make unreadable what a proxy wrote at the right.
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        while self.trusts(client) {
            match hops.next().map(|hop| std::str::from_utf8(hop).ok().and_then(parse)) {
                Some(Some(hop)) => client = hop,
                // The proxy is not of those that write the header, or wrote something else: it is all that is known.
                Some(None) | None => break,
            }
        }
        ClientAddress(client)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    let address = address.or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        for (peer, forwarded, client) in [
            ("203.0.113.7", &["1.1.1.1"][..], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.4"], "198.51.100.4"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.4"], "198.51.100.4"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.4"], "198.51.100.4"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.4, 10.9.9.9"], "198.51.100.4"),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("::1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["198.51.100.4:9"], "198.51.100.4"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let found = proxies.client(peer.parse().unwrap(), &headers);
            assert_eq!(found, ClientAddress(client.parse().unwrap()), "{peer} {forwarded:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(b"\xff, 198.51.100.4").unwrap());
        assert_eq!(proxies.client("10.0.0.1".parse().unwrap(), &headers).0.to_string(), "198.51.100.4");

        let headers = HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), "1.1.1.1".parse().unwrap())]);
        let nobody = TrustedProxies::default();
        assert_eq!(nobody.client("10.0.0.1".parse().unwrap(), &headers).0.to_string(), "10.0.0.1");
    }
}
