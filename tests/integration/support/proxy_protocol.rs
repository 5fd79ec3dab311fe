//! PROXY headers, written and read byte by byte as the specification draws them.

use super::wire::{Io, text};
use bytes::Bytes;
use std::fmt::Write;
use std::io::{ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncReadExt;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 1 for a client that connected to an address.
pub fn v1(source: &str, destination: &str) -> Vec<u8> {
    let (from, to) = ends(source, destination);
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (port, to_port) = (from.port(), to.port());
    format!("PROXY {family} {} {} {port} {to_port}\r\n", from.ip(), to.ip()).into()
}

/// The same of version 2, with fields after the addresses.
pub fn v2(source: &str, destination: &str, fields: &[u8]) -> Vec<u8> {
    let (from, to) = ends(source, destination);
    let mut block = Vec::new();
    for end in [from, to] {
        match end.ip() {
            IpAddr::V4(ip) => block.extend(ip.octets()),
            IpAddr::V6(ip) => block.extend(ip.octets()),
        }
    }
    block.extend(from.port().to_be_bytes());
    block.extend(to.port().to_be_bytes());
    block.extend(fields);
    v2_of(0x21, if from.is_ipv4() { 0x11 } else { 0x21 }, &block)
}

/// A header of version 2 with this command, this family and what follows the length.
pub fn v2_of(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a short block").to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

/// Reads the header that a connection begins with, and nothing after it.
pub(super) async fn read(io: &mut impl Io) -> Result<Bytes> {
    let mut header = vec![0; 12];
    io.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(16, 0);
        io.read_exact(&mut header[12..]).await?;
        let length = u16::from_be_bytes([header[14], header[15]]);
        header.resize(16 + usize::from(length), 0);
        io.read_exact(&mut header[16..]).await?;
        return Ok(header.into());
    }
    while !header.ends_with(b"\n") {
        if header.len() == 107 || !header.starts_with(b"PROXY ") {
            return Err(ErrorKind::InvalidData.into());
        }
        header.push(io.read_u8().await?);
    }
    Ok(header.into())
}

/// What a header tells, in the words of version 1 without the end of its line; `LOCAL` is one more.
pub fn told(header: &[u8]) -> String {
    let Some(rest) = header.strip_prefix(SIGNATURE) else {
        return text(header).trim_start_matches("PROXY ").trim_end_matches("\r\n").to_owned();
    };
    let (command, family, block) = (rest[0], rest[1], &rest[4..]);
    let ip = |at: usize| -> IpAddr {
        match family {
            0x11 => <[u8; 4]>::try_from(&block[4 * at..][..4]).expect("an address").into(),
            0x21 => <[u8; 16]>::try_from(&block[16 * at..][..16]).expect("an address").into(),
            _ => panic!("no addresses in {header:x?}"),
        }
    };
    let mut told = match (command, family) {
        (0x20, 0x00) => return "LOCAL".to_owned(),
        (0x21, 0x11) => "TCP4".to_owned(),
        (0x21, 0x21) => "TCP6".to_owned(),
        _ => panic!("an unknown command or family in {header:x?}"),
    };
    let ports = &block[block.len() - 4..];
    for one in [ip(0).to_string(), ip(1).to_string()] {
        let _ = write!(told, " {one}");
    }
    for port in ports.chunks(2) {
        let _ = write!(told, " {}", u16::from_be_bytes([port[0], port[1]]));
    }
    told
}

fn ends(source: &str, destination: &str) -> (SocketAddr, SocketAddr) {
    let end = |text: &str| text.parse().expect("an address and a port");
    (end(source), end(destination))
}
