//! A signature, command and family, a length, two addresses, and fields (TLVs) after them.

use super::{Fault, Header};
use std::net::{IpAddr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Up to and with the length.
const FIXED: usize = 16;
/// All of a header that we take: the addresses, and fields such as a client's certificate.
const LONGEST: usize = 4096;
/// Two paths of unix sockets.
const PATHS: usize = 2 * 108;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// The field with a checksum over the header.
const CRC32C: u8 = 0x03;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let Some((fixed, _)) = bytes.split_first_chunk::<FIXED>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(Fault::Malformed("more than 4096 bytes"));
    }
    if !matches!(command, LOCAL | PROXY) {
        return Err(Fault::Malformed("another version or command"));
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    // What a proxy says of its own connection is to be ignored.
    let header = if command == LOCAL { Header::Own } else { read(family, header)? };
    Ok(Some((header, length)))
}

fn read(family: u8, header: &[u8]) -> Result<Header, Fault> {
    let block = header.get(FIXED..).unwrap_or_default();
    let (told, fields) = match family {
        // Of what follows nothing is known.
        0x00 => return Ok(Header::Own),
        0x11 | 0x12 => tcp::<4>(block),
        0x21 | 0x22 => tcp::<16>(block),
        0x31 | 0x32 => block.get(PATHS..).map(|fields| (Header::Unix, fields)),
        _ => return Err(Fault::Malformed("an unknown family of addresses")),
    }
    .ok_or(Fault::Malformed("too few bytes for its addresses"))?;
    check(fields, header)?;
    // Datagrams are no connection; whoever cannot serve them takes the connection's own addresses.
    Ok(if family & 0x0f == 1 { told } else { Header::Own })
}

/// The two ends, and what follows them.
fn tcp<const N: usize>(block: &[u8]) -> Option<(Header, &[u8])>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (&[a, b, c, d], fields) = rest.split_first_chunk::<4>()?;
    let source = SocketAddr::new((*source).into(), u16::from_be_bytes([a, b]));
    let destination = SocketAddr::new((*destination).into(), u16::from_be_bytes([c, d]));
    Some((Header::Tcp { source, destination }, fields))
}

/// Walks over the fields; of those that we know, a checksum has something to say.
fn check(mut fields: &[u8], header: &[u8]) -> Result<(), Fault> {
    const TORN: Fault = Fault::Malformed("a field beyond its end");
    while !fields.is_empty() {
        let (&[kind, high, low], rest) = fields.split_first_chunk::<3>().ok_or(TORN)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(TORN)?;
        if kind == CRC32C {
            let told = value.try_into().map(u32::from_be_bytes);
            let told = told.map_err(|_| Fault::Malformed("a checksum of another length"))?;
            let (before, _) = header.split_at_checked(header.len() - rest.len() - 4).ok_or(TORN)?;
            // Its own place counts as zeros.
            if told != crc32c(before.iter().chain(&[0; 4]).chain(rest)) {
                return Err(Fault::Checksum);
            }
        }
        fields = rest;
    }
    Ok(())
}

/// CRC-32C (RFC 3309), bit by bit: there are few bytes, and few proxies send one.
pub(super) fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

pub(super) fn write(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((source, destination)) = ends else {
        header.extend([LOCAL, 0x00, 0, 0]);
        return header;
    };
    header.extend(if source.is_ipv4() { [PROXY, TCP4, 0, 12] } else { [PROXY, TCP6, 0, 36] });
    for end in [source, destination] {
        match end.ip() {
            IpAddr::V4(ip) => header.extend(ip.octets()),
            IpAddr::V6(ip) => header.extend(ip.octets()),
        }
    }
    for end in [source, destination] {
        header.extend(end.port().to_be_bytes());
    }
    header
}
