//! Addresses as text.

use std::fmt::Write;
use std::net::IpAddr;

/// Appends an address; every line of an access log begins so, and formatting costs ten times this.
pub fn write(ip: IpAddr, out: &mut String) {
    let IpAddr::V4(ip) = ip else {
        // A text takes all that is written.
        let _ = write!(out, "{ip}");
        return;
    };
    let mut digits = itoa::Buffer::new();
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            out.push('.');
        }
        out.push_str(digits.format(octet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_displayed() {
        for text in ["0.0.0.0", "192.0.2.17", "255.255.255.255", "2001:db8::1", "::"] {
            let mut written = String::from("by ");
            write(text.parse().unwrap(), &mut written);
            assert_eq!(written, format!("by {text}"));
        }
    }
}
