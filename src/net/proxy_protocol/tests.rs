use super::*;

const FOUR: [&str; 2] = ["192.0.2.7:56324", "203.0.113.1:443"];
const SIX: [&str; 2] = ["[2001:db8::7]:56324", "[2001:db8::1]:443"];

fn ends([source, destination]: [&str; 2]) -> (SocketAddr, SocketAddr) {
    (source.parse().unwrap(), destination.parse().unwrap())
}

fn tcp(pair: [&str; 2]) -> Header {
    let (source, destination) = ends(pair);
    Header::Tcp { source, destination }
}

/// A header of version 2 with what follows its length.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [v2::SIGNATURE, &[command, family], &length, block].concat()
}

/// The addresses of [`FOUR`] and these fields.
fn with(fields: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 203, 0, 113, 1, 0xdc, 0x04, 0x01, 0xbb];
    v2(0x21, 0x11, &[&addresses, fields].concat())
}

/// The same with a checksum before these fields.
fn summed(after: &[u8]) -> Vec<u8> {
    let mut header = with(&[&[0x03, 0, 4, 0, 0, 0, 0], after].concat());
    let sum = v2::crc32c(header.iter()).to_be_bytes();
    header[31..35].copy_from_slice(&sum);
    header
}

fn good() -> Vec<(Vec<u8>, Header)> {
    let text = |line: &str| line.as_bytes().to_vec();
    let unknown = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    vec![
        (text("PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n"), tcp(FOUR)),
        (text("PROXY TCP6 2001:db8::7 2001:DB8:0::1 56324 443\r\n"), tcp(SIX)),
        (text("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"), {
            tcp(["0.0.0.0:0", "255.255.255.255:65535"])
        }),
        (text("PROXY UNKNOWN\r\n"), Header::Own),
        (text("PROXY UNKNOWN whatever 65536 there is\r\n"), Header::Own),
        (unknown.into_bytes(), Header::Own),
        (with(&[]), tcp(FOUR)),
        (write(Version::V2, Some(ends(SIX))), tcp(SIX)),
        // A host name, nothing, something private with a byte.
        (with(b"\x02\x00\x04shop\x04\x00\x00\xe0\x00\x01x"), tcp(FOUR)),
        (with(&[&[0x20, 0x0f, 0xe1][..], &[7; 0xfe1]].concat()), tcp(FOUR)),
        (summed(&[]), tcp(FOUR)),
        (summed(b"\x04\x00\x02xx"), tcp(FOUR)),
        (v2(0x21, 0x31, &[0; 216]), Header::Unix),
        (v2(0x21, 0x31, &[&[b'/'; 216][..], b"\x04\x00\x00"].concat()), Header::Unix),
        (v2(0x20, 0x00, &[]), Header::Own),
        (v2(0x20, 0x11, b"a health check"), Header::Own),
        (v2(0x21, 0x00, b"not to be read"), Header::Own),
        (v2(0x21, 0x12, &[1; 12]), Header::Own),
        (v2(0x21, 0x22, &[1; 36]), Header::Own),
        (v2(0x21, 0x32, &[1; 216]), Header::Own),
        (v2(0x20, 0x00, &[0; 4080]), Header::Own),
    ]
}

#[test]
fn a_good_header_is_read_to_its_end_and_no_further() {
    for (bytes, header) in good() {
        let read = Ok(Some((header, bytes.len())));
        assert_eq!(parse(&bytes), read, "{:?}", bytes.escape_ascii().to_string());
        let followed = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(parse(&followed), read, "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn no_part_of_a_good_header_is_taken_for_a_whole_one() {
    for (bytes, _) in good() {
        for end in 0..bytes.len() {
            let part = &bytes[..end];
            assert_eq!(parse(part), Ok(None), "{:?}", part.escape_ascii().to_string());
        }
    }
}

#[test]
fn what_begins_otherwise_is_no_header() {
    for bytes in [
        "GET / HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\n",
        "PROPFIND / HTTP/1.1\r\n",
        "PROXYING / HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n",
        "\r\n\r\n\0\r\nQUITE",
        "proxy TCP4",
        " PROXY TCP4",
        "\x16\x03\x01",
        "\n",
    ] {
        assert_eq!(parse(bytes.as_bytes()), Err(Fault::Absent), "{bytes:?}");
    }
}

#[test]
fn a_malformed_line_is_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 15));
    let endless = "PROXY UNKNOWN ".repeat(10);
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.7 203.0.113.1 56324 443\r\n",
        "PROXY tcp4 192.0.2.7 203.0.113.1 56324 443\r\n",
        "PROXY UDP4 192.0.2.7 203.0.113.1 56324 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY  TCP4 192.0.2.7 203.0.113.1 56324 443\r\n",
        "PROXY TCP4  192.0.2.7 203.0.113.1 56324 443\r\n",
        "PROXY TCP4\t192.0.2.7 203.0.113.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1\r\r 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r \n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\0\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 00 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1 0x1 443\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.1  443\r\n",
        "PROXY TCP4 192.0.2 203.0.113.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.007 203.0.113.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.256 203.0.113.1 56324 443\r\n",
        "PROXY TCP4 shop.example 203.0.113.1 56324 443\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 192.0.2.7 203.0.113.1 56324 443\r\n",
        "PROXY TCP6 [2001:db8::7] 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 2001:db8::7::1 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 2001:db8::12345 2001:db8::1 56324 443\r\n",
        &long,
        &endless,
    ] {
        let read = parse(line.as_bytes());
        assert!(matches!(read, Err(Fault::Malformed(_))), "{line:?}: {read:?}");
    }
}

#[test]
fn a_malformed_block_is_refused() {
    let mut torn = summed(&[]);
    torn[20] ^= 1;
    assert_eq!(parse(&torn), Err(Fault::Checksum));
    for bytes in [
        v2(0x11, 0x11, &[0; 12]),
        v2(0x31, 0x11, &[0; 12]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x2f, 0x00, &[]),
        v2(0x21, 0x01, &[0; 12]),
        v2(0x21, 0x10, &[0; 12]),
        v2(0x21, 0x13, &[0; 12]),
        v2(0x21, 0x41, &[0; 216]),
        v2(0x21, 0xff, &[0; 216]),
        v2(0x21, 0x11, &[]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x12, &[0; 11]),
        v2(0x20, 0x00, &[0; 4081]),
        v2(0x21, 0x11, &[0; 4081]),
        with(&[0x04]),
        with(&[0x04, 0]),
        with(&[0x04, 0, 1]),
        with(&[0x04, 0, 0, 0x04, 0xff, 0xff, 0]),
        with(&[0x03, 0, 0]),
        with(&[0x03, 0, 5, 0, 0, 0, 0, 0]),
    ] {
        let read = parse(&bytes);
        assert!(matches!(read, Err(Fault::Malformed(_))), "{bytes:x?}: {read:?}");
    }
    // Before all of it came.
    let endless = [v2::SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    assert!(matches!(parse(&endless), Err(Fault::Malformed(_))));
}

#[test]
fn the_checksum_is_that_of_the_specification() {
    assert_eq!(v2::crc32c(b"123456789".iter()), 0xe306_9283);
}

#[test]
fn what_is_written_can_be_read() {
    let mapped = ["[::ffff:192.0.2.7]:1", "[::ffff:203.0.113.1]:2"];
    for (pair, line, read) in [
        (FOUR, "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n", FOUR),
        (SIX, "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", SIX),
        (mapped, "PROXY TCP4 192.0.2.7 203.0.113.1 1 2\r\n", ["192.0.2.7:1", "203.0.113.1:2"]),
        (
            ["192.0.2.7:0", "[2001:db8::1]:443"],
            "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 0 443\r\n",
            ["[::ffff:192.0.2.7]:0", "[2001:db8::1]:443"],
        ),
        (
            ["[2001:db8::7]:1", "203.0.113.1:443"],
            "PROXY TCP6 2001:db8::7 ::ffff:203.0.113.1 1 443\r\n",
            ["[2001:db8::7]:1", "[::ffff:203.0.113.1]:443"],
        ),
    ] {
        let written = write(Version::V1, Some(ends(pair)));
        assert_eq!(written.escape_ascii().to_string(), line.escape_default().to_string());
        for written in [written, write(Version::V2, Some(ends(pair)))] {
            assert_eq!(parse(&written), Ok(Some((tcp(read), written.len()))), "{pair:?}");
        }
    }
    for version in [Version::V1, Version::V2] {
        let written = write(version, None);
        assert_eq!(parse(&written), Ok(Some((Header::Own, written.len()))));
    }
}

/// Nothing panics, no length is beyond the bytes, and more bytes change no verdict.
fn judge(bytes: &[u8]) {
    let whole = parse(bytes);
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
        let part = parse(&bytes[..end]);
        let is_whole = part.is_ok_and(|read| read.is_some_and(|(_, length)| length <= end));
        assert!(part == Ok(None) || part == whole && (part.is_err() || is_whole), "{bytes:x?}");
    }
}

#[test]
fn whatever_comes_is_judged_without_a_panic_and_alike_in_parts_and_whole() {
    let mut random = fastrand::Rng::with_seed(11);
    let good = good();
    for _ in 0..20_000 {
        let mut bytes = good[random.usize(..good.len())].0.clone();
        for _ in 0..random.usize(..4) {
            let place = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[place] = random.u8(..),
                1 => bytes.truncate(place.max(1)),
                2 => bytes.insert(place, random.u8(..)),
                _ => bytes.extend((0..random.usize(..40)).map(|_| random.u8(..))),
            }
        }
        judge(&bytes);
        let noise: Vec<u8> = (0..random.usize(..64)).map(|_| random.u8(..)).collect();
        judge(&noise);
        judge(&[v1::SIGNATURE, &noise].concat());
        judge(&[v2::SIGNATURE, &noise].concat());
    }
}
