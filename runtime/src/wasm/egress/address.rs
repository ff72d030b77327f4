//! Which addresses are public, after the special-purpose registries of IANA (RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressClass {
    /// A host on the internet: the only class that needs no exemption.
    #[error("public")]
    Public,
    /// RFC 1918, unique local (RFC 4193) and the former site-local addresses.
    #[error("private")]
    Private,
    /// This machine.
    #[error("loopback")]
    Loopback,
    /// This wire.
    #[error("link-local")]
    LinkLocal,
    /// Where clouds hand out credentials of the machine.
    #[error("cloud metadata")]
    Metadata,
    /// Behind a carrier's NAT (RFC 6598).
    #[error("carrier-grade NAT")]
    SharedNat,
    /// Many hosts at once.
    #[error("multicast or broadcast")]
    Multicast,
    /// For documentation and benchmarks (RFC 5737, 2544, 3849, 9637).
    #[error("documentation or benchmarking")]
    Example,
    /// Not for use, or for some protocol's own use.
    #[error("reserved")]
    Reserved,
}

const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl AddressClass {
    /// The class of an address; of a version 6 address that stands for a version 4 address, the latter's.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => embedded(v6).map_or_else(|| Self::of_v6(v6), Self::of_v4),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if METADATA_V4.contains(&address) {
            return Self::Metadata;
        }
        match address.octets() {
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [100, 64..=127, ..] => Self::SharedNat,
            [224..=239, ..] | [255, 255, 255, 255] => Self::Multicast,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18 | 19, ..] => Self::Example,
            [0, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if METADATA_V6.contains(&address) {
            return Self::Metadata;
        }
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xff00..=0xffff, ..] => Self::Multicast,
            [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2001, 2, 0, ..] => Self::Example,
            // Teredo and other protocol assignments (2001::/23).
            [0x2001, 0..=0x1ff, ..] => Self::Reserved,
            // All that is given out to hosts of the internet (RFC 4291, 2.4).
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Reserved,
        }
    }
}

/// The version 4 address a version 6 address stands for, if it does.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // The unspecified and the loopback address look like version 4 compatible ones.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        // Compatible, mapped (RFC 4291, 2.5.5), translated (RFC 7915), NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => (high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}
