//! Which addresses are on the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 networks that are not public.
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 8),       // this network
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // behind a carrier's address translation
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local, with the metadata services of clouds
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 24),    // documentation
    v4(192, 31, 196, 24), // AS112
    v4(192, 88, 99, 24),  // relays of 6to4
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, and broadcast
];

/// The IPv6 networks that are public...
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);
/// ...without these.
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),     // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0xdb8, 32), // documentation
    v6(0x2620, 0x4f, 32),  // AS112
    v6(0x3fff, 0, 20),     // documentation
];
/// IPv4 behind a translator: the last 32 bits.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);
/// IPv4 as a tunnel: the 32 bits that follow the first 16.
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 16);

/// Whether an address is on the public internet; one that holds another is what it holds.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(&address),
        IpAddr::V6(address) => match embedded(&address) {
            Some(inner) => is_public_v4(&inner),
            None => {
                GLOBAL_V6.contains(&address)
                    && !SPECIAL_V6.iter().any(|special| special.contains(&address))
            }
        },
    }
}

fn is_public_v4(address: &Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|special| special.contains(address))
}

fn embedded(address: &Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    // Only the 32 bits that are meant remain.
    let inner = |shift: u32| Some(Ipv4Addr::from_bits((bits >> shift) as u32));
    if NAT64.contains(address) {
        inner(0)
    } else if SIX_TO_FOUR.contains(address) {
        inner(80)
    } else {
        None
    }
}
