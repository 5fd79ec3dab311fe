//! The values of Application Request Routing, as YARP's `ArrCookie` makes them.

use super::Claim;
use super::key::hex;
use crate::upstream::endpoint::Endpoint;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Digits of a value.
const DIGITS: usize = 64;

/// The names of endpoints: their hosts, with the port and then with the address where that alone does
/// not tell them apart.
pub(super) fn names(endpoints: &[&Arc<Endpoint>]) -> Vec<String> {
    let named: [Vec<String>; 2] = [
        endpoints.iter().map(|endpoint| host(endpoint.label()).to_owned()).collect(),
        endpoints.iter().map(|endpoint| authority(endpoint.label()).to_owned()).collect(),
    ];
    let mut counts = HashMap::new();
    named.iter().flatten().for_each(|name| *counts.entry(name.clone()).or_insert(0) += 1);
    let name = |place: usize| {
        let names = named.iter().filter_map(|names| names.get(place));
        names.into_iter().find(|name| counts.get(*name) == Some(&1)).cloned()
    };
    let all = endpoints.iter().enumerate();
    all.map(|(place, endpoint)| name(place).unwrap_or_else(|| endpoint.address().to_string()))
        .collect()
}

/// What clients of an endpoint of this name are told: SHA-256 of its UTF-16, in capitals.
pub(super) fn value(name: &str) -> (Claim, String) {
    let units: Vec<u8> = name.to_lowercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let value = hex(&Sha256::digest(units)).to_uppercase();
    (claim(&value).unwrap_or(Claim(0)), value)
}

/// What they claim who were told SHA-256 of its UTF-8.
pub(super) fn plain(name: &str) -> Claim {
    claim(&hex(&Sha256::digest(name.to_lowercase()))).unwrap_or(Claim(0))
}

/// What a request claims by a value; `None` if none looks like it.
pub(super) fn claim(value: &str) -> Option<Claim> {
    Claim::read(value, DIGITS)
}

/// Of `http://host:port`, what follows the scheme.
fn authority(label: &str) -> &str {
    label.split_once("://").map_or(label, |(_, authority)| authority)
}

fn host(label: &str) -> &str {
    match label.split_once("://") {
        Some((_, authority)) => {
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            host.trim_matches(['[', ']'])
        }
        // The path of a unix socket.
        None => label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::endpoint::Address;
    use std::path::Path;

    fn names_of(endpoints: &[(&str, &str)]) -> Vec<String> {
        let endpoint = |(label, address): &(&str, &str)| {
            let address = match address.strip_prefix("unix:") {
                Some(path) => Address::Unix(Path::new(path).into()),
                None => Address::Tcp(address.parse().unwrap()),
            };
            Arc::new(Endpoint::new((*label).into(), address))
        };
        let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
        names(&endpoints.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_value_is_the_one_that_yarp_gives() {
        // As YARP 2.1 set it for a destination `127.0.0.1`.
        let given = "A65017B383AFE1D4C5D31A1A299B19102BA29D57D8A1D13F96EF19D7A3A64B7C";
        assert_eq!(value("127.0.0.1").1, given);
        assert_eq!(claim(given), Some(value("127.0.0.1").0));
        assert_eq!(claim(&given.to_lowercase()), Some(value("127.0.0.1").0));
        assert_eq!(value("SHOP-1").1, value("shop-1").1);
    }

    #[test]
    fn the_hash_of_the_plain_name_is_understood_too() {
        let hash = "12ca17b49af2289436f303e0166030a21e525d266e209267433801a8fd4071a0";
        assert_eq!(claim(hash), Some(plain("127.0.0.1")));
        for foreign in ["", "x", &hash[1..], &hash.replace('0', "g")] {
            assert_eq!(claim(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn an_endpoint_is_named_by_its_host_if_that_tells() {
        let hosts = names_of(&[
            ("http://shop-1:80", "10.0.0.1:80"),
            ("https://shop-2:443", "10.0.0.2:443"),
            ("http://[::1]:80", "[::1]:80"),
            ("unix:/run/a", "unix:/run/a"),
        ]);
        assert_eq!(hosts, ["shop-1", "shop-2", "::1", "unix:/run/a"]);
        let ports = names_of(&[
            ("http://127.0.0.1:5001", "127.0.0.1:5001"),
            ("http://127.0.0.1:5002", "127.0.0.1:5002"),
            ("http://shop-1:80", "10.0.0.1:80"),
        ]);
        assert_eq!(ports, ["127.0.0.1:5001", "127.0.0.1:5002", "shop-1"]);
        let addresses =
            names_of(&[("http://shop:80", "10.0.0.1:80"), ("http://shop:80", "10.0.0.2:80")]);
        assert_eq!(addresses, ["10.0.0.1:80", "10.0.0.2:80"]);
    }
}
