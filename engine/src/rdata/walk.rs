//! Rdata in wire form, field by field: where each ends, whether it is well formed, its canonical form.

use std::ops::Range;

use super::{Field, rtype, special, svcb, table};
use crate::message;
use crate::name;

/// Octets of the field that `rest` begins with; None when it is cut or malformed.
pub(super) fn measure(field: Field, rest: &[u8]) -> Option<usize> {
    let fixed = |count: usize| (rest.len() >= count).then_some(count);
    match field {
        Field::U8 | Field::Algorithm | Field::Digest | Field::KeyProtocol | Field::Scheme => fixed(1),
        Field::U16 | Field::Type | Field::Certificate | Field::KeyFlags => fixed(2),
        Field::U32 | Field::Ttl | Field::Time | Field::A => fixed(4),
        Field::U64 | Field::Locator => fixed(8),
        Field::Aaaa => fixed(16),
        Field::Eui(count) => fixed(usize::from(count)),
        Field::Name => name::length(rest),
        Field::String | Field::Salt => string_length(rest),
        Field::Hash => string_length(rest).filter(|len| *len > 1),
        Field::Tag => string_length(rest)
            .filter(|len| *len > 1 && rest.get(1..*len).is_some_and(|tag| tag.iter().all(u8::is_ascii_alphanumeric))),
        Field::StringIfAny => {
            if rest.is_empty() {
                Some(0)
            } else {
                string_length(rest)
            }
        }
        Field::Strings => strings(rest),
        Field::Text | Field::QuotedText | Field::Base64IfAny | Field::Base64OrDash => Some(rest.len()),
        Field::Hex | Field::Base64 | Field::Nsap => (!rest.is_empty()).then_some(rest.len()),
        Field::Bitmap => is_bitmap(rest).then_some(rest.len()),
        Field::Parameters => svcb::check(rest).then_some(rest.len()),
        Field::Loc => special::is_loc(rest).then_some(rest.len()),
        Field::Prefixes => special::are_prefixes(rest).then_some(rest.len()),
        Field::Ipsec => special::is_ipsec(rest).then_some(rest.len()),
        Field::Relay => special::is_relay(rest).then_some(rest.len()),
        Field::Hip => special::is_hip(rest).then_some(rest.len()),
        Field::Atma => special::is_atma(rest).then_some(rest.len()),
        Field::Chain => special::chain_parts(rest).is_some().then_some(rest.len()),
        Field::OldBitmap => special::is_old_bitmap(rest).then_some(rest.len()),
        Field::Services => (!rest.is_empty() && rest.len() <= 8193).then_some(rest.len()),
    }
}

/// Octets of the character-string that `rest` begins with, its length octet counted.
pub(super) fn string_length(rest: &[u8]) -> Option<usize> {
    let len = 1 + usize::from(*rest.first()?);
    (rest.len() >= len).then_some(len)
}

fn strings(rest: &[u8]) -> Option<usize> {
    let mut left = rest;
    while !left.is_empty() {
        left = left.get(string_length(left)?..)?;
    }
    (!rest.is_empty()).then_some(rest.len())
}

/// Windows ascending, each of 1 to 32 octets, the last of them not zero (RFC 4034 section 4.1.2).
fn is_bitmap(rest: &[u8]) -> bool {
    let mut left = rest;
    let mut last = None;
    while let [window, len @ 1..=32, tail @ ..] = left {
        let Some((bits, next)) = tail.split_at_checked(usize::from(*len)) else { return false };
        if last >= Some(*window) || bits.last() == Some(&0) {
            return false;
        }
        last = Some(*window);
        left = next;
    }
    left.is_empty()
}

/// Takes the field that `rest` begins with off it.
pub(super) fn split<'a>(field: Field, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (part, tail) = rest.split_at_checked(measure(field, rest)?)?;
    *rest = tail;
    Some(part)
}

/// Whether uncompressed rdata is a well-formed one of its type; that of unknown types always is.
///
/// # Errors
/// What it is not.
pub fn check(rtype: u16, rdata: &[u8]) -> Result<(), &'static str> {
    if rdata.len() > usize::from(u16::MAX) {
        return Err("longer than 65535 octets");
    }
    let Some(fields) = table::fields(rtype) else { return Ok(()) };
    let mut rest = rdata;
    for field in fields {
        split(*field, &mut rest).ok_or("cut short or malformed for its type")?;
    }
    if !rest.is_empty() {
        return Err("longer than its type allows");
    }
    plausible(rtype, rdata)
}

/// What BIND asks beyond the form of the fields.
pub(super) fn plausible(rtype: u16, rdata: &[u8]) -> Result<(), &'static str> {
    let digest = |at: usize| rdata.len().saturating_sub(at);
    let octet = |at: usize| rdata.get(at).copied().unwrap_or(0);
    match rtype {
        rtype::DS | rtype::CDS | rtype::TA | rtype::DLV => match (octet(3), digest(4)) {
            (1, 20) | (2 | 3, 32) | (4, 48) | (0 | 5.., _) => Ok(()),
            (1, _) => Err("a SHA-1 digest has 20 octets"),
            (4, _) => Err("a SHA-384 digest has 48 octets"),
            _ => Err("a SHA-256 digest has 32 octets"),
        },
        rtype::X25 if rdata.len() < 5 || !rdata.iter().skip(1).all(u8::is_ascii_digit) => {
            Err("an X.25 address has 4 digits or more")
        }
        // RFC 2535 section 3.1.2: these two bits say that there is no key.
        rtype::KEY if rdata.len() == 4 && octet(0) < 0xc0 => Err("key is missing"),
        rtype::NSEC if name::length(rdata) == Some(rdata.len()) => Err("type bitmap is empty"),
        rtype::SSHFP => match (octet(1), digest(2)) {
            (1, 20) | (2, 32) | (0 | 3.., _) => Ok(()),
            (1, _) => Err("a SHA-1 fingerprint has 20 octets"),
            _ => Err("a SHA-256 fingerprint has 32 octets"),
        },
        rtype::ZONEMD => match (octet(5), digest(6)) {
            (1, 48) | (2, 64) => Ok(()),
            (1, _) => Err("a SHA-384 digest has 48 octets"),
            (2, _) => Err("a SHA-512 digest has 64 octets"),
            (_, 12..) => Ok(()),
            // RFC 8976 section 2.2.4.
            _ => Err("a zone digest has 12 octets or more"),
        },
        _ => Ok(()),
    }
}

/// The canonical form of rdata, appended to `out`: names of the listed types in lower case (RFC 4034 section 6.2).
/// Rdata that does not fit its type is appended as it is.
pub fn canonical(rtype: u16, rdata: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(rdata);
    if !super::has_canonical_change(rtype) {
        return;
    }
    let Some(fields) = table::fields(rtype) else { return };
    let mut rest = rdata;
    let mut at = start;
    for field in fields {
        let Some(part) = split(*field, &mut rest) else { return };
        let name = match field {
            Field::Name => Some(at),
            Field::Chain => special::chain_parts(part).map(|(_, address, _)| at + 1 + address.len()),
            _ => None,
        };
        if let Some(name) = name
            && let Some(place) = out.get_mut(name..at + part.len())
        {
            place.make_ascii_lowercase();
        }
        at += part.len();
    }
}

/// Rdata that stands at a place of a message as it is kept, its names whole, appended to `out`; a receiver has to expect
/// compression in more types than a sender may use it in (RFC 3597 section 4).
///
/// # Errors
/// What is wrong with it.
pub fn uncompressed(rtype: u16, octets: &[u8], place: Range<usize>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const CUT: &str = "cut short or malformed for its type";
    let start = out.len();
    let within = octets.get(..place.end).ok_or(CUT)?;
    let mut at = place.start;
    for field in table::fields(rtype).filter(|_| super::has_canonical_change(rtype)).unwrap_or(&[]) {
        if *field == Field::Name {
            at = message::name_into(within, at, out).ok_or(CUT)?;
        } else {
            let rest = within.get(at..).ok_or(CUT)?;
            let part = rest.get(..measure(*field, rest).ok_or(CUT)?).ok_or(CUT)?;
            out.extend_from_slice(part);
            at += part.len();
        }
    }
    out.extend_from_slice(within.get(at..).ok_or(CUT)?);
    check(rtype, out.get(start..).unwrap_or(&[]))
}
