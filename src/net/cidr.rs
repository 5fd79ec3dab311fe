//! Ranges of addresses: `10.0.0.0/8`, `::1`.

use crate::value::{Problem, word};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses that share a prefix.
///
/// IPv4-mapped IPv6 addresses count as the IPv4 addresses they carry, here and in every question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

word!(Cidr, "cidr", "An address or a range of addresses: `10.0.0.0/8`, `192.0.2.7`, `::1`.");

impl Cidr {
    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.network <= address && address <= self.last()
    }

    fn last(&self) -> IpAddr {
        match self.network {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() | v4_rest(self.prefix)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | v6_rest(self.prefix)).into(),
        }
    }

    /// The range of this length that holds the address.
    fn around(address: IpAddr, prefix: u8) -> Self {
        let network = match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !v4_rest(prefix)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !v6_rest(prefix)).into(),
        };
        Self { network, prefix }
    }

    fn canonical(self) -> Self {
        match (self.network.to_canonical(), self.prefix.checked_sub(96)) {
            (network @ IpAddr::V4(_), Some(prefix)) if self.network.is_ipv6() => {
                Self { network, prefix }
            }
            _ => self,
        }
    }
}

impl FromStr for Cidr {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |remedy: &str| Problem::new(format!("`{text}` is not an address range"), remedy);
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| bad("write an address or a range, such as `10.0.0.0/8` or `::1`"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) => Some(digits)
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(|| bad(&format!("end it with a length from `/0` to `/{longest}`")))?,
        };
        let range = Self::around(address, prefix);
        if range.network != address {
            return Err(bad(&format!("write its first address, `{range}`")));
        }
        Ok(range.canonical())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Many ranges as one, searched in logarithmic time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CidrSet {
    /// First and last addresses, sorted and apart from each other.
    ranges: Box<[(IpAddr, IpAddr)]>,
}

impl CidrSet {
    /// Whether the address lies in one of the ranges.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        let nearest = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        nearest.is_some_and(|(_, last)| address <= *last)
    }

    /// Whether it holds no range.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<Cidr> for CidrSet {
    fn from_iter<I: IntoIterator<Item = Cidr>>(ranges: I) -> Self {
        let mut sorted: Vec<_> =
            ranges.into_iter().map(|range| (range.network, range.last())).collect();
        sorted.sort_unstable();
        let mut apart: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match apart.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => apart.push((first, last)),
            }
        }
        Self { ranges: apart.into() }
    }
}

/// The bits behind the prefix, all set.
fn v4_rest(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

fn v6_rest(prefix: u8) -> u128 {
    u128::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_holds_its_first_and_last_address_and_no_other() {
        let cases = [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255", ["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7", ["192.0.2.6", "192.0.2.8"]),
            ("fd00::/8", "fd00::", "fdff::1", ["fc00::", "fe00::"]),
            ("::1", "::1", "::1", ["::", "::2"]),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", ["::", "::1"]),
            ("::/0", "::", "ffff::", ["0.0.0.0", "::ffff:1.2.3.4"]),
        ];
        for (text, first, last, outside) in cases {
            assert!(range(text).contains(ip(first)), "{text} {first}");
            assert!(range(text).contains(ip(last)), "{text} {last}");
            assert!(!outside.iter().any(|address| range(text).contains(ip(address))), "{text}");
        }
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        assert!(range("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")));
        assert_eq!(range("::ffff:10.0.0.0/104"), range("10.0.0.0/8"));
        assert_eq!(range("::ffff:10.0.0.1"), range("10.0.0.1/32"));
    }

    #[test]
    fn host_bits_show_the_remedy() {
        let problem = "10.0.0.1/8".parse::<Cidr>().unwrap_err();
        assert_eq!(problem.remedy, "write its first address, `10.0.0.0/8`");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "a", "10/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_set_agrees_with_its_ranges() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let ranges: Vec<Cidr> = (0..random.usize(..12))
                .map(|_| {
                    let v4 = Ipv4Addr::from_bits(random.u32(..) & 0x0300_00FF);
                    let v6 = Ipv6Addr::from_bits(u128::from(random.u8(..)));
                    let address = if random.bool() { v4.into() } else { v6.into() };
                    Cidr::around(address, random.u8(20..=32)).canonical()
                })
                .collect();
            let set: CidrSet = ranges.iter().copied().collect();
            for _ in 0..200 {
                let v4: IpAddr = Ipv4Addr::from_bits(random.u32(..) & 0x0300_01FF).into();
                let v6: IpAddr = Ipv6Addr::from_bits(u128::from(random.u16(..512))).into();
                for address in [v4, v6] {
                    let any = ranges.iter().any(|range| range.contains(address));
                    assert_eq!(set.contains(address), any, "{address} in {ranges:?}");
                }
            }
        }
    }
}
