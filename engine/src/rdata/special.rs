//! The fields that have a form of their own: LOC, APL, gateways, HIP, WKS, NSAP, locators, points in time.

use super::parse::{Parser, RdataError, decimal, decode_base64, decode_hex, shown};
use super::print;
use crate::name;

type Parsed = Result<(), RdataError>;

/// Seconds of `YYYYMMDDHHMMSS`, modulo 2^32 (RFC 4034 section 3.1.5); None when it is no date.
pub(super) fn time_from_text(text: &[u8]) -> Option<u32> {
    let part = |from: usize, to: usize| decimal(text.get(from..to)?).and_then(|number| i64::try_from(number).ok());
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    if text.len() != 14 || year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    let seconds = ((days_before(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    u32::try_from(seconds.rem_euclid(1 << 32)).ok()
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March so that the leap day comes last.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469
}

/// `YYYYMMDDHHMMSS`, appended.
pub(super) fn time_to_text(seconds: u32, out: &mut Vec<u8>) {
    let days = i64::from(seconds / 86_400) + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    out.extend_from_slice(format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}").as_bytes());
}

/// Four groups of hex, as BIND takes them: leading zeros may be left out.
pub(super) fn locator(text: &[u8]) -> Option<[u8; 8]> {
    let mut octets = [0_u8; 8];
    let mut groups = text.split(|octet| *octet == b':');
    for place in octets.chunks_exact_mut(2) {
        let group = groups.next().filter(|group| (1..=4).contains(&group.len()))?;
        let value = group.iter().try_fold(0_u16, |value, octet| {
            char::from(*octet).to_digit(16).and_then(|digit| u16::try_from(digit).ok()).map(|digit| value << 4 | digit)
        })?;
        place.copy_from_slice(&value.to_be_bytes());
    }
    groups.next().is_none().then_some(octets)
}

/// Groups of four digits, as RFC 6742 sections 2.1.2 and 2.3.2 show them: Knot DNS takes no others.
pub(super) fn print_locator(part: &[u8], out: &mut Vec<u8>) {
    for (index, group) in part.chunks_exact(2).enumerate() {
        if index > 0 {
            out.push(b':');
        }
        let value = group.iter().fold(0_u16, |value, octet| value << 8 | u16::from(*octet));
        out.extend_from_slice(format!("{value:04x}").as_bytes());
    }
}

/// `0x` and hex digits, dots between them as one likes (RFC 1706 section 7).
pub(super) fn parse_nsap(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let token = parser.word("an NSAP address")?;
    let digits = token.text.strip_prefix(b"0x").or_else(|| token.text.strip_prefix(b"0X"));
    let digits: Vec<u8> = digits.unwrap_or(&[]).iter().copied().filter(|octet| *octet != b'.').collect();
    decode_hex(&digits, parser.out).ok_or_else(|| parser.bad("bad-address", "0x and hex", &token))
}

pub(super) fn print_nsap(part: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0x");
    out.extend_from_slice(data_encoding::HEXUPPER.encode(part).as_bytes());
}

// -------------------------------------------------------------------- LOC

/// Thousandths of an arc second in a degree.
const DEGREE: u32 = 3_600_000;
/// The equator, the prime meridian.
const MERIDIAN: u32 = 1 << 31;
/// Altitudes count centimetres from 100 000 m below the WGS 84 ellipsoid.
const ALTITUDE: i64 = 10_000_000;

/// `d [m [s]] N|S d [m [s]] E|W alt[m] [size[m] [horizontal[m] [vertical[m]]]]` (RFC 1876 section 3).
pub(super) fn parse_loc(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let latitude = angle(parser, 90, *b"NS")?;
    let longitude = angle(parser, 180, *b"EW")?;
    let token = parser.word("an altitude")?;
    let altitude = centimetres(token.text)
        .and_then(|value| u32::try_from(value + ALTITUDE).ok())
        .ok_or_else(|| parser.bad("bad-location", "an altitude in metres", &token))?;
    // RFC 1876 section 2: 1 m, 10 km, 10 m.
    let mut precisions = [0x12, 0x16, 0x13];
    for place in &mut precisions {
        if parser.tokens.left() == 0 {
            break;
        }
        let token = parser.word("a precision")?;
        *place = precision(token.text).ok_or_else(|| parser.bad("bad-location", "a precision in metres", &token))?;
    }
    parser.out.push(0);
    parser.out.extend(precisions);
    for number in [latitude, longitude, altitude] {
        parser.out.extend(number.to_be_bytes());
    }
    Ok(())
}

fn angle(parser: &mut Parser<'_, '_, '_>, limit: u32, directions: [u8; 2]) -> Result<u32, RdataError> {
    let mut value = 0_u32;
    for unit in [DEGREE, 60_000, 1000] {
        let token = parser.word("a location")?;
        if let Some(signed) = direction(token.text, directions, value).filter(|_| unit < DEGREE) {
            return within(parser, signed, limit);
        }
        let part = if unit == 1000 { thousandths(token.text) } else { whole(token.text).map(|number| number * unit) };
        let most = if unit == DEGREE { limit * DEGREE } else { unit * 60 - 1 };
        value += part
            .filter(|part| *part <= most)
            .ok_or_else(|| parser.bad("bad-location", "degrees, minutes or seconds", &token))?;
    }
    let token = parser.word("N, S, E or W")?;
    let signed = direction(token.text, directions, value)
        .ok_or_else(|| parser.bad("bad-location", "N, S, E or W where it belongs", &token))?;
    within(parser, signed, limit)
}

fn within(parser: &Parser<'_, '_, '_>, value: u32, limit: u32) -> Result<u32, RdataError> {
    if value.abs_diff(MERIDIAN) <= limit * DEGREE {
        return Ok(value);
    }
    Err(parser.error("bad-location", format!("more than {limit} degrees")))
}

fn direction(text: &[u8], directions: [u8; 2], value: u32) -> Option<u32> {
    let [octet] = text else { return None };
    let [plus, minus] = directions;
    // In capitals alone, as in BIND.
    match *octet {
        letter if letter == plus => Some(MERIDIAN + value),
        letter if letter == minus => Some(MERIDIAN - value),
        _ => None,
    }
}

fn whole(text: &[u8]) -> Option<u32> {
    decimal(text).filter(|number| *number <= 180).and_then(|number| u32::try_from(number).ok())
}

/// A decimal number with at most `places` digits behind the point, as a whole number of its last place.
fn fixed_point(text: &[u8], places: u32) -> Option<u64> {
    let (before, after) = match text.iter().position(|octet| *octet == b'.') {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, &[][..]),
    };
    let count = u32::try_from(after.len()).ok().filter(|count| *count <= places)?;
    let fraction = if after.is_empty() { 0 } else { decimal(after)? };
    decimal(before)?.checked_mul(10_u64.pow(places))?.checked_add(fraction * 10_u64.pow(places - count))
}

fn thousandths(text: &[u8]) -> Option<u32> {
    fixed_point(text, 3).and_then(|number| u32::try_from(number).ok())
}

fn centimetres(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"m").or_else(|| text.strip_suffix(b"M")).unwrap_or(text);
    let (sign, digits) = match text.split_first() {
        Some((b'-', digits)) => (-1, digits),
        Some((b'+', digits)) => (1, digits),
        _ => (1, text),
    };
    fixed_point(digits, 2).and_then(|number| i64::try_from(number).ok()).map(|number| sign * number)
}

/// One digit and a power of ten, of centimetres, rounded down.
fn precision(text: &[u8]) -> Option<u8> {
    let mut value = u64::try_from(centimetres(text)?).ok().filter(|value| *value <= 9_000_000_000)?;
    let mut exponent = 0;
    while value > 9 {
        value /= 10;
        exponent += 1;
    }
    u8::try_from(value << 4).ok().map(|high| high | exponent)
}

/// Only version 0 has a known form; BIND takes others as they are, and so do we.
pub(super) fn is_loc(rest: &[u8]) -> bool {
    let [version, size, horizontal, vertical, tail @ ..] = rest else { return false };
    if *version != 0 {
        return true;
    }
    let digits = |octet: &u8| (1..=9).contains(&(octet >> 4)) && octet & 15 <= 9 || *octet == 0;
    let Some((latitude, longitude, _)) = loc_numbers(tail) else { return false };
    [size, horizontal, vertical].into_iter().all(digits)
        && latitude.abs_diff(MERIDIAN) <= 90 * DEGREE
        && longitude.abs_diff(MERIDIAN) <= 180 * DEGREE
}

fn loc_numbers(tail: &[u8]) -> Option<(u32, u32, u32)> {
    let octets: &[u8; 12] = tail.try_into().ok()?;
    let (numbers, _) = octets.as_chunks::<4>();
    let [latitude, longitude, altitude] = numbers else { return None };
    Some((u32::from_be_bytes(*latitude), u32::from_be_bytes(*longitude), u32::from_be_bytes(*altitude)))
}

pub(super) fn print_loc(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let [0, size, horizontal, vertical, tail @ ..] = part else { return None };
    let (latitude, longitude, altitude) = loc_numbers(tail)?;
    let angle = |value: u32, plus: char, minus: char| {
        let size = value.abs_diff(MERIDIAN);
        let letter = if value < MERIDIAN { minus } else { plus };
        let (degrees, minutes, rest) = (size / DEGREE, size / 60_000 % 60, size % 60_000);
        format!("{degrees} {minutes} {}.{:03} {letter}", rest / 1000, rest % 1000)
    };
    let metres = |value: u64| {
        if value.is_multiple_of(100) {
            format!("{}m", value / 100)
        } else {
            format!("{}.{:02}m", value / 100, value % 100)
        }
    };
    let precision = |octet: u8| metres(u64::from(octet >> 4) * 10_u64.pow(u32::from(octet & 15)));
    let height = i64::from(altitude) - ALTITUDE;
    let sign = if height < 0 { "-" } else { "" };
    let height = height.unsigned_abs();
    let text = format!(
        "{} {} {sign}{}.{:02}m {} {} {}",
        angle(latitude, 'N', 'S'),
        angle(longitude, 'E', 'W'),
        height / 100,
        height % 100,
        precision(*size),
        precision(*horizontal),
        precision(*vertical)
    );
    out.extend_from_slice(text.as_bytes());
    Some(())
}

// -------------------------------------------------------------------- APL

/// `[!]family:address/prefix …` (RFC 3123 section 5).
pub(super) fn parse_prefixes(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    while parser.tokens.left() > 0 {
        let token = parser.word("an address prefix")?;
        let item = prefix(token.text).ok_or_else(|| parser.bad("bad-address", "[!]family:address/prefix", &token))?;
        parser.out.extend_from_slice(&item);
    }
    Ok(())
}

fn prefix(text: &[u8]) -> Option<Vec<u8>> {
    let (negated, text) = match text.split_first()? {
        (b'!', tail) => (0x80, tail),
        _ => (0, text),
    };
    let colon = text.iter().position(|octet| *octet == b':')?;
    let slash = text.iter().rposition(|octet| *octet == b'/')?;
    let address = text.get(colon + 1..slash)?;
    let (family, mut octets) = match text.get(..colon)? {
        b"1" => (1, super::parse::ipv4(address)?.to_vec()),
        b"2" => (2, super::parse::ipv6(address)?.to_vec()),
        _ => return None,
    };
    let length = decimal(text.get(slash + 1..)?).and_then(|length| u8::try_from(length).ok())?;
    if usize::from(length) > octets.len() * 8 {
        return None;
    }
    // RFC 3123 section 4: trailing zero octets are left out.
    octets.truncate(octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1));
    let mut item = vec![0, family, length, negated | u8::try_from(octets.len()).ok()?];
    item.append(&mut octets);
    Some(item)
}

/// The items of APL rdata: family, prefix length, whether negated, address octets.
fn prefix_item<'a>(rest: &mut &'a [u8]) -> Option<(u16, u8, bool, &'a [u8])> {
    let [high, low, length, len, tail @ ..] = *rest else { return None };
    let (address, next) = tail.split_at_checked(usize::from(len & 0x7f))?;
    *rest = next;
    Some((u16::from_be_bytes([*high, *low]), *length, len & 0x80 != 0, address))
}

pub(super) fn are_prefixes(rest: &[u8]) -> bool {
    let mut left = rest;
    while !left.is_empty() {
        let Some((family, length, _, address)) = prefix_item(&mut left) else { return false };
        let fits = match family {
            1 => length <= 32 && address.len() <= 4,
            2 => length <= 128 && address.len() <= 16,
            _ => true,
        };
        if !fits || address.last() == Some(&0) {
            return false;
        }
    }
    true
}

pub(super) fn print_prefixes(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut left = part;
    while !left.is_empty() {
        if left.len() < part.len() {
            out.push(b' ');
        }
        let (family, length, negated, address) = prefix_item(&mut left)?;
        out.extend_from_slice(format!("{}{family}:", if negated { "!" } else { "" }).as_bytes());
        let mut octets = [0_u8; 16];
        octets.get_mut(..address.len())?.copy_from_slice(address);
        match family {
            1 => print::ipv4(octets.get(..4)?, out),
            2 => print::ipv6(&octets, out)?,
            _ => return None,
        }
        out.extend_from_slice(format!("/{length}").as_bytes());
    }
    Some(())
}

// -------------------------------------------------------------------- gateways: IPSECKEY, AMTRELAY

fn parse_gateway(parser: &mut Parser<'_, '_, '_>, kind: u64) -> Parsed {
    match kind {
        0 => {
            let token = parser.word("a gateway")?;
            if token.text == b"." { Ok(()) } else { Err(parser.bad("bad-address", ". for no gateway", &token)) }
        }
        1 => parser.a(),
        2 => parser.aaaa(),
        _ => parser.name(),
    }
}

/// Octets of the gateway that `rest` begins with.
fn gateway_length(kind: u8, rest: &[u8]) -> Option<usize> {
    match kind {
        0 => Some(0),
        1 => (rest.len() >= 4).then_some(4),
        2 => (rest.len() >= 16).then_some(16),
        3 => name::length(rest),
        _ => None,
    }
}

fn print_gateway(kind: u8, part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match kind {
        0 => out.push(b'.'),
        1 => print::ipv4(part, out),
        2 => return print::ipv6(part, out),
        _ => name::to_text(part, out),
    }
    Some(())
}

/// `type algorithm gateway key` (RFC 4025 section 3.1).
pub(super) fn parse_ipsec(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let kind = parser.number(3, "a gateway type")?;
    let algorithm = parser.number(255, "an algorithm")?;
    parser.out.extend([kind, algorithm].map(|number| u8::try_from(number).unwrap_or(0)));
    parse_gateway(parser, kind)?;
    parser.base64()
}

pub(super) fn is_ipsec(rest: &[u8]) -> bool {
    let [kind, _, tail @ ..] = rest else { return false };
    gateway_length(*kind, tail).is_some()
}

pub(super) fn print_ipsec(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let [kind, algorithm, tail @ ..] = part else { return None };
    let (gateway, key) = tail.split_at_checked(gateway_length(*kind, tail)?)?;
    out.extend_from_slice(format!("{kind} {algorithm} ").as_bytes());
    print_gateway(*kind, gateway, out)?;
    // The text has no way to say that there is no key.
    if key.is_empty() {
        return None;
    }
    out.push(b' ');
    out.extend_from_slice(data_encoding::BASE64.encode(key).as_bytes());
    Some(())
}

/// `discovery type relay` (RFC 8777 section 4.3).
pub(super) fn parse_relay(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let discovery = parser.number(1, "the discovery bit")?;
    let kind = parser.number(3, "a relay type")?;
    parser.out.push(u8::try_from(discovery << 7 | kind).unwrap_or(0));
    parse_gateway(parser, kind)
}

pub(super) fn is_relay(rest: &[u8]) -> bool {
    let Some((kind, tail)) = rest.split_first() else { return false };
    gateway_length(kind & 0x7f, tail) == Some(tail.len())
}

pub(super) fn print_relay(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (octet, relay) = part.split_first()?;
    out.extend_from_slice(format!("{} {} ", octet >> 7, octet & 0x7f).as_bytes());
    print_gateway(octet & 0x7f, relay, out)
}

// -------------------------------------------------------------------- HIP, WKS

/// `algorithm HIT key [rendezvous server …]` (RFC 8005 section 6).
pub(super) fn parse_hip(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let algorithm = parser.number(255, "an algorithm")?;
    let (mut hit, mut key) = (Vec::new(), Vec::new());
    let token = parser.word("a host identity tag")?;
    decode_hex(token.text, &mut hit).ok_or_else(|| parser.bad("bad-hex", "hex", &token))?;
    let hit_len = u8::try_from(hit.len()).map_err(|_| parser.bad("field-too-long", "at most 255 octets", &token))?;
    let token = parser.word("a key")?;
    decode_base64(token.text, &mut key).ok_or_else(|| parser.bad("bad-base64", "base64", &token))?;
    let key_len = u16::try_from(key.len()).map_err(|_| parser.bad("field-too-long", "at most 65535 octets", &token))?;
    parser.out.extend([hit_len, u8::try_from(algorithm).unwrap_or(0)]);
    parser.out.extend(key_len.to_be_bytes());
    parser.out.append(&mut hit);
    parser.out.append(&mut key);
    while parser.tokens.left() > 0 {
        parser.name()?;
    }
    Ok(())
}

/// Algorithm, tag, key, names.
type HipParts<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

fn hip_parts(rest: &[u8]) -> Option<HipParts<'_>> {
    let [hit_len, algorithm, high, low, tail @ ..] = rest else { return None };
    let (hit, tail) = tail.split_at_checked(usize::from(*hit_len))?;
    let (key, names) = tail.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    (!hit.is_empty() && !key.is_empty()).then_some((*algorithm, hit, key, names))
}

pub(super) fn is_hip(rest: &[u8]) -> bool {
    let Some((_, _, _, mut names)) = hip_parts(rest) else { return false };
    while !names.is_empty() {
        let Some(next) = name::length(names).and_then(|len| names.get(len..)) else { return false };
        names = next;
    }
    true
}

pub(super) fn print_hip(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (algorithm, hit, key, mut names) = hip_parts(part)?;
    let (hit, key) = (data_encoding::HEXUPPER.encode(hit), data_encoding::BASE64.encode(key));
    out.extend_from_slice(format!("{algorithm} {hit} {key}").as_bytes());
    while !names.is_empty() {
        let (first, next) = names.split_at_checked(name::length(names)?)?;
        out.push(b' ');
        name::to_text(first, out);
        names = next;
    }
    Some(())
}

/// Ports by the names that old zones use; all others are written as numbers.
const SERVICES: [(&[u8], u16); 16] = [
    (b"echo", 7),
    (b"discard", 9),
    (b"daytime", 13),
    (b"ftp-data", 20),
    (b"ftp", 21),
    (b"ssh", 22),
    (b"telnet", 23),
    (b"smtp", 25),
    (b"time", 37),
    (b"domain", 53),
    (b"finger", 79),
    (b"http", 80),
    (b"pop3", 110),
    (b"sunrpc", 111),
    (b"nntp", 119),
    (b"https", 443),
];

/// `protocol port …` (RFC 1035 section 3.4.2).
pub(super) fn parse_services(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let token = parser.word("a protocol")?;
    let protocol = match token.text.to_ascii_lowercase().as_slice() {
        b"tcp" => 6,
        b"udp" => 17,
        digits => decimal(digits)
            .and_then(|number| u8::try_from(number).ok())
            .ok_or_else(|| parser.bad("bad-mnemonic", "tcp, udp or a protocol number", &token))?,
    };
    parser.out.push(protocol);
    let mut bits = Vec::new();
    while parser.tokens.left() > 0 {
        let token = parser.word("a port")?;
        let named = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(token.text)).map(|(_, port)| *port);
        let port = named
            .or_else(|| decimal(token.text).and_then(|number| u16::try_from(number).ok()))
            .ok_or_else(|| parser.error("bad-number", format!("{} is not a port number", shown(token.text))))?;
        set_bit(port, &mut bits);
    }
    parser.out.append(&mut bits);
    Ok(())
}

/// Sets one bit, counted from the highest of the first octet.
fn set_bit(number: u16, bits: &mut Vec<u8>) {
    let at = usize::from(number >> 3);
    if bits.len() <= at {
        bits.resize(at + 1, 0);
    }
    if let Some(octet) = bits.get_mut(at) {
        *octet |= 0x80 >> (number & 7);
    }
}

pub(super) fn print_services(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // Zero octets at the end can't be said by ports.
    let (protocol, bits) = part.split_first().filter(|(_, bits)| bits.last() != Some(&0))?;
    out.extend_from_slice(protocol.to_string().as_bytes());
    for (at, octet) in bits.iter().enumerate() {
        for bit in (0..8).filter(|bit| octet & (0x80 >> bit) != 0) {
            out.extend_from_slice(format!(" {}", at * 8 + bit).as_bytes());
        }
    }
    Some(())
}

// -------------------------------------------------------------------- ATMA, A6, NXT

const E164: u8 = 1;

/// `+digits` or hex, either with single dots between (ATM Forum AF-DANS-0152 section 3).
pub(super) fn parse_atma(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let token = parser.word("an ATM address")?;
    let (format, text) = match token.text.strip_prefix(b"+") {
        Some(digits) => (E164, digits),
        None => (0, token.text),
    };
    parser.out.push(format);
    for part in text.split(|octet| *octet == b'.') {
        let is_part = !part.is_empty()
            && if format == E164 {
                parser.out.extend_from_slice(part);
                part.iter().all(u8::is_ascii_digit)
            } else {
                decode_hex(part, parser.out).is_some()
            };
        if !is_part {
            return Err(parser.bad("bad-address", "an ATM address: + and digits, or hex", &token));
        }
    }
    Ok(())
}

pub(super) fn is_atma(rest: &[u8]) -> bool {
    match rest {
        [E164, digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => rest.len() > 1,
    }
}

pub(super) fn print_atma(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match part {
        [E164, digits @ ..] => {
            out.push(b'+');
            out.extend_from_slice(digits);
        }
        [0, octets @ ..] => out.extend_from_slice(data_encoding::HEXLOWER.encode(octets).as_bytes()),
        _ => return None,
    }
    Some(())
}

/// `prefix-length [address] [prefix-name]` (RFC 2874 section 3.2).
pub(super) fn parse_chain(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let bits = parser.number(128, "a prefix length")?;
    let prefix = u8::try_from(bits).unwrap_or(128);
    parser.out.push(prefix);
    if prefix < 128 {
        let start = parser.out.len();
        parser.aaaa()?;
        parser.out.drain(start..start + usize::from(prefix / 8));
        if let Some(octet) = parser.out.get_mut(start) {
            *octet &= 0xff >> (prefix % 8);
        }
    }
    if prefix > 0 { parser.name() } else { Ok(()) }
}

/// Prefix length, octets of the address suffix, prefix name (RFC 2874 section 3.1).
pub(super) fn chain_parts(rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (prefix, tail) = rest.split_first().filter(|(prefix, _)| **prefix <= 128)?;
    let (address, tail) = tail.split_at_checked(16 - usize::from(prefix / 8))?;
    let is_padded = address.first().is_none_or(|octet| octet & !(0xff >> (prefix % 8)) == 0);
    let is_named = if *prefix == 0 { tail.is_empty() } else { name::length(tail) == Some(tail.len()) };
    (is_padded && is_named).then_some((*prefix, address, tail))
}

pub(super) fn print_chain(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (prefix, address, tail) = chain_parts(part)?;
    out.extend_from_slice(prefix.to_string().as_bytes());
    if !address.is_empty() {
        let mut octets = vec![0; 16 - address.len()];
        octets.extend_from_slice(address);
        out.push(b' ');
        super::print::ipv6(&octets, out)?;
    }
    if !tail.is_empty() {
        out.push(b' ');
        name::to_text(tail, out);
    }
    Some(())
}

/// Types below 128 (RFC 2535 section 5.2).
pub(super) fn parse_old_bitmap(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let mut bits = Vec::new();
    while parser.tokens.left() > 0 {
        let token = parser.word("a type")?;
        let rtype = super::rtype_from_text(token.text)
            .filter(|rtype| (1..128).contains(rtype))
            .ok_or_else(|| parser.bad("unknown-type", "a known type below 128", &token))?;
        set_bit(rtype, &mut bits);
    }
    parser.out.append(&mut bits);
    Ok(())
}

pub(super) fn is_old_bitmap(rest: &[u8]) -> bool {
    rest.len() <= 16 && rest.last() != Some(&0) && rest.first().is_none_or(|octet| octet & 0x80 == 0)
}

pub(super) fn print_old_bitmap(part: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for (at, octet) in (0_u16..).zip(part) {
        for bit in (0..8).filter(|bit| octet & (0x80 >> bit) != 0) {
            if out.len() > start {
                out.push(b' ');
            }
            out.extend_from_slice(super::rtype_to_text(at * 8 + bit).as_bytes());
        }
    }
}
