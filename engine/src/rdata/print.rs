//! Rdata as presentation text.

use std::net::Ipv6Addr;

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXUPPER};

use super::{Field, rtype_to_text, special, svcb, table, walk};
use crate::name;

/// Appends the presentation form of uncompressed rdata; `\# octets hex` when it does not fit the type.
pub fn to_text(rtype: u16, rdata: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if walk::check(rtype, rdata).is_err() || fields_to_text(rtype, rdata, out).is_none() {
        out.truncate(start);
        generic(rdata, out);
    }
}

/// The form for unknown types (RFC 3597 section 5).
fn generic(rdata: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\# {}", rdata.len()).as_bytes());
    if !rdata.is_empty() {
        out.push(b' ');
        out.extend_from_slice(HEXUPPER.encode(rdata).as_bytes());
    }
}

fn fields_to_text(rtype: u16, rdata: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let mut rest = rdata;
    for field in table::fields(rtype)? {
        let part = walk::split(*field, &mut rest)?;
        if part.is_empty() && !matches!(field, Field::Text | Field::QuotedText | Field::Base64OrDash) {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        field_to_text(*field, part, out)?;
    }
    Some(())
}

fn field_to_text(field: Field, part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match field {
        Field::Type => out.extend_from_slice(rtype_to_text(u16::from_be_bytes(part.try_into().ok()?)).as_bytes()),
        Field::Time => special::time_to_text(u32::from_be_bytes(part.try_into().ok()?), out),
        Field::A => ipv4(part, out),
        Field::Aaaa => ipv6(part, out)?,
        Field::Name => name::to_text(part, out),
        Field::String | Field::StringIfAny => quoted(part.get(1..)?, out),
        Field::Strings => strings(part, out)?,
        Field::Text | Field::QuotedText => quoted(part, out),
        Field::Tag => out.extend_from_slice(part.get(1..)?),
        Field::Hex => out.extend_from_slice(HEXUPPER.encode(part).as_bytes()),
        Field::Base64OrDash if part.is_empty() => out.push(b'-'),
        Field::Base64 | Field::Base64IfAny | Field::Base64OrDash => {
            out.extend_from_slice(BASE64.encode(part).as_bytes());
        }
        Field::Salt if part.len() == 1 => out.push(b'-'),
        Field::Salt => out.extend_from_slice(HEXUPPER.encode(part.get(1..)?).as_bytes()),
        Field::Hash => out.extend_from_slice(BASE32HEX_NOPAD.encode(part.get(1..)?).as_bytes()),
        Field::Bitmap => bitmap(part, out),
        Field::Parameters => svcb::print(part, out)?,
        Field::Locator => special::print_locator(part, out),
        Field::Eui(_) => pairs(part, out),
        Field::Nsap => special::print_nsap(part, out),
        Field::Loc => special::print_loc(part, out)?,
        Field::Prefixes => special::print_prefixes(part, out)?,
        Field::Ipsec => special::print_ipsec(part, out)?,
        Field::Relay => special::print_relay(part, out)?,
        Field::Hip => special::print_hip(part, out)?,
        Field::Services => special::print_services(part, out)?,
        Field::Atma => special::print_atma(part, out)?,
        Field::Chain => special::print_chain(part, out)?,
        Field::OldBitmap => special::print_old_bitmap(part, out),
        Field::U8
        | Field::U16
        | Field::U32
        | Field::U64
        | Field::Ttl
        | Field::Algorithm
        | Field::Digest
        | Field::Certificate
        | Field::KeyFlags
        | Field::Scheme
        | Field::KeyProtocol => number(part, out),
    }
    Some(())
}

/// Big-endian octets as a decimal number.
pub(super) fn number(part: &[u8], out: &mut Vec<u8>) {
    let value = part.iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
    out.extend_from_slice(value.to_string().as_bytes());
}

pub(super) fn ipv4(part: &[u8], out: &mut Vec<u8>) {
    for (index, octet) in part.iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(octet.to_string().as_bytes());
    }
}

pub(super) fn ipv6(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let octets: [u8; 16] = part.try_into().ok()?;
    out.extend_from_slice(Ipv6Addr::from(octets).to_string().as_bytes());
    Some(())
}

/// A character-string in quotes.
pub(super) fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &octet in text {
        match octet {
            b'"' | b'\\' => out.extend([b'\\', octet]),
            0x20..=0x7e => out.push(octet),
            _ => out.extend([b'\\', b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10]),
        }
    }
    out.push(b'"');
}

fn strings(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = part;
    while let Some(len) = walk::string_length(rest) {
        if rest.len() < part.len() {
            out.push(b' ');
        }
        quoted(rest.get(1..len)?, out);
        rest = rest.get(len..)?;
    }
    Some(())
}

fn pairs(part: &[u8], out: &mut Vec<u8>) {
    for (index, octet) in part.iter().enumerate() {
        if index > 0 {
            out.push(b'-');
        }
        out.extend_from_slice(format!("{octet:02x}").as_bytes());
    }
}

fn bitmap(part: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for rtype in types(part) {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(rtype_to_text(rtype).as_bytes());
    }
}

/// The types that type bitmaps name, ascending.
pub fn types(bitmaps: &[u8]) -> impl Iterator<Item = u16> {
    let mut rest = bitmaps;
    std::iter::from_fn(move || {
        let [window, len, tail @ ..] = rest else { return None };
        let (bits, next) = tail.split_at_checked(usize::from(*len))?;
        rest = next;
        let window = *window;
        Some(bits.iter().zip(0_u8..).flat_map(move |(octet, at)| {
            (0..8_u8)
                .filter(move |bit| octet & (0x80 >> bit) != 0)
                .map(move |bit| u16::from_be_bytes([window, at.wrapping_mul(8).wrapping_add(bit)]))
        }))
    })
    .flatten()
}
