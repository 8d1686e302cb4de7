//! Service parameters of SVCB and HTTPS (RFC 9460 section 2.1 and appendix A).

use std::borrow::Cow;

use super::parse::{Parser, RdataError, decimal, decode_base64, ipv4, ipv6, shown};
use super::print;
use crate::token::Token;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const DOH_PATH: u16 = 7;
const OHTTP: u16 = 8;

const KEYS: [(&str, u16); 9] = [
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4_HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6_HINT),
    ("dohpath", DOH_PATH),
    // BIND 9.18 does not know this one: it is read by name, and written as key8.
    ("ohttp", OHTTP),
];

fn key_from_text(text: &[u8]) -> Option<u16> {
    // RFC 9460 section 2.1: in lower case alone.
    let known = KEYS.iter().find(|(name, _)| name.as_bytes() == text);
    known.map(|(_, key)| *key).or_else(|| {
        let (start, digits) = text.split_at_checked(3)?;
        // Without leading zeros.
        let is_plain = digits.len() == 1 || !digits.starts_with(b"0");
        let number = decimal(digits).filter(|_| is_plain && start == b"key")?;
        u16::try_from(number).ok()
    })
}

fn key_to_text(key: u16) -> Cow<'static, str> {
    let known = KEYS.iter().find(|(_, number)| *number == key && key != OHTTP);
    known.map_or_else(|| Cow::Owned(format!("key{key}")), |(name, _)| Cow::Borrowed(*name))
}

/// `key[=value] …`, written in ascending order of keys whatever order they came in.
pub(super) fn parse(parser: &mut Parser<'_, '_, '_>) -> Result<(), RdataError> {
    let mut parameters: Vec<(u16, Vec<u8>)> = Vec::new();
    while parser.tokens.left() > 0 {
        let (key, value) = parameter(parser)?;
        parameters.push((key, value));
    }
    parameters.sort_by_key(|(key, _)| *key);
    if let Some([(key, _), _]) = parameters.windows(2).find(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
        return Err(parser.error("bad-parameter", format!("{} is given twice", key_to_text(*key))));
    }
    let start = parser.out.len();
    for (key, value) in &parameters {
        let len = u16::try_from(value.len()).map_err(|_| {
            parser.error("field-too-long", format!("value of {} octets, the limit is 65535", value.len()))
        })?;
        parser.out.extend(key.to_be_bytes());
        parser.out.extend(len.to_be_bytes());
        parser.out.extend_from_slice(value);
    }
    faults(parser.out.get(start..).unwrap_or(&[])).map_err(|reason| parser.error("bad-parameter", reason))
}

/// One parameter. Quotes that open right behind the `=` hold its value.
fn parameter(parser: &mut Parser<'_, '_, '_>) -> Result<(u16, Vec<u8>), RdataError> {
    let token = parser.word("a parameter")?;
    let equals = token.text.iter().position(|octet| *octet == b'=');
    let (name, mut value) = match equals {
        Some(at) => (token.text.get(..at).unwrap_or(&[]), token.text.get(at + 1..)),
        None => (token.text, None),
    };
    if value == Some(&[]) {
        let behind = token.column.saturating_add(u32::try_from(token.text.len()).unwrap_or(0));
        let adjacent = |next: &Token<'_>| next.quoted && next.line == token.line && next.column == behind;
        if let Some(next) = parser.tokens.peek().filter(adjacent) {
            let _ = parser.tokens.next();
            value = Some(next.text);
        }
    }
    let key =
        key_from_text(name).ok_or_else(|| parser.error("bad-parameter", format!("unknown key {}", shown(name))))?;
    let is_generic = name.len() > 3 && decimal(name.get(3..).unwrap_or(&[])).is_some();
    let octets = unescaped(parser, &token, value.unwrap_or(&[]))?;
    let encoded = if is_generic { Some(octets) } else { encode(key, octets) };
    let encoded = encoded.ok_or_else(|| {
        parser.error("bad-parameter", format!("{} is not a value of {}", shown(value.unwrap_or(&[])), key_to_text(key)))
    })?;
    Ok((key, encoded))
}

fn unescaped(parser: &mut Parser<'_, '_, '_>, token: &Token<'_>, text: &[u8]) -> Result<Vec<u8>, RdataError> {
    let start = parser.out.len();
    parser.text(&Token { text, ..*token })?;
    Ok(parser.out.split_off(start))
}

/// The wire form of a value that stands in the key's own presentation.
fn encode(key: u16, value: Vec<u8>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match key {
        MANDATORY => {
            let mut keys = list(&value)?.iter().map(|item| key_from_text(item)).collect::<Option<Vec<_>>>()?;
            keys.sort_unstable();
            out.extend(keys.into_iter().flat_map(u16::to_be_bytes));
        }
        ALPN => {
            for item in list(&value)? {
                out.push(u8::try_from(item.len()).ok().filter(|len| *len > 0)?);
                out.extend(item);
            }
        }
        NO_DEFAULT_ALPN | OHTTP => return value.is_empty().then_some(out),
        PORT => out.extend(u16::try_from(decimal(&value)?).ok()?.to_be_bytes()),
        IPV4_HINT => {
            for item in value.split(|octet| *octet == b',') {
                out.extend(ipv4(item)?);
            }
        }
        IPV6_HINT => {
            for item in value.split(|octet| *octet == b',') {
                out.extend(ipv6(item)?);
            }
        }
        ECH if value.is_empty() => {}
        ECH => decode_base64(&value, &mut out)?,
        _ => return Some(value),
    }
    Some(out)
}

/// Items of a list with commas, in which a backslash keeps a comma or a backslash (RFC 9460 appendix A.1).
fn list(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut octets = value.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => {
                let kept = octets.next().filter(|kept| matches!(kept, b',' | b'\\'))?;
                items.last_mut()?.push(*kept);
            }
            _ => items.last_mut()?.push(octet),
        }
    }
    Some(items)
}

/// Takes the next key and value off `rest`.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let [key_high, key_low, high, low, tail @ ..] = *rest else { return None };
    let (value, left) = tail.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    *rest = left;
    Some((u16::from_be_bytes([*key_high, *key_low]), value))
}

/// Whether the octets are well-formed parameters.
pub(super) fn check(rest: &[u8]) -> bool {
    faults(rest).is_ok()
}

fn faults(rest: &[u8]) -> Result<(), &'static str> {
    let mut left = rest;
    let mut last = None;
    while !left.is_empty() {
        let (key, value) = next(&mut left).ok_or("parameters are cut short")?;
        if last >= Some(key) {
            return Err("keys of parameters do not ascend");
        }
        last = Some(key);
        value_faults(key, value, rest)?;
    }
    Ok(())
}

fn has(rest: &[u8], wanted: u16) -> bool {
    let mut left = rest;
    while let Some((key, _)) = next(&mut left) {
        if key == wanted {
            return true;
        }
    }
    false
}

fn value_faults(key: u16, value: &[u8], all: &[u8]) -> Result<(), &'static str> {
    let fits = match key {
        MANDATORY => return mandatory_faults(value, all),
        ALPN => is_alpn(value),
        // RFC 9460 section 7.1.1.
        NO_DEFAULT_ALPN if !has(all, ALPN) => return Err("no-default-alpn without alpn"),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4_HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6_HINT => !value.is_empty() && value.len().is_multiple_of(16),
        DOH_PATH => is_doh_path(value),
        _ => true,
    };
    if fits { Ok(()) } else { Err("value does not fit its key") }
}

/// Keys ascending, each there, `mandatory` not among them (RFC 9460 section 8).
fn mandatory_faults(value: &[u8], all: &[u8]) -> Result<(), &'static str> {
    let (keys, rest) = value.as_chunks::<2>();
    if keys.is_empty() || !rest.is_empty() || !keys.is_sorted_by(|a, b| a < b) {
        return Err("mandatory does not list different keys");
    }
    let mut numbers = keys.iter().map(|key| u16::from_be_bytes(*key));
    if numbers.any(|key| key == MANDATORY || !has(all, key)) {
        return Err("mandatory lists itself or a key that is not there");
    }
    Ok(())
}

fn is_alpn(value: &[u8]) -> bool {
    let mut left = value;
    while let Some((&len, tail)) = left.split_first() {
        let Some(next) = tail.get(usize::from(len)..).filter(|_| len > 0) else { return false };
        left = next;
    }
    !value.is_empty()
}

/// A relative URI template with the variable `dns` (RFC 9461 section 5).
fn is_doh_path(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let mut variables = text.split('{').skip(1).filter_map(|part| part.split('}').next());
    let names_dns = |inside: &str| {
        inside.trim_start_matches(['?', '&', '+', '#', '.', '/', ';']).split(',').any(|name| name == "dns")
    };
    text.starts_with('/') && variables.any(names_dns)
}

pub(super) fn print(part: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut left = part;
    while !left.is_empty() {
        if left.len() < part.len() {
            out.push(b' ');
        }
        let (key, value) = next(&mut left)?;
        out.extend_from_slice(key_to_text(key).as_bytes());
        if !value.is_empty() {
            out.push(b'=');
            print_value(key, value, out);
        }
    }
    Some(())
}

fn print_value(key: u16, value: &[u8], out: &mut Vec<u8>) {
    match key {
        MANDATORY => {
            let names: Vec<_> =
                value.as_chunks::<2>().0.iter().map(|key| key_to_text(u16::from_be_bytes(*key))).collect();
            out.extend_from_slice(names.join(",").as_bytes());
        }
        ALPN => print_alpn(value, out),
        PORT => print::number(value, out),
        IPV4_HINT => separated(value.chunks_exact(4), out, print::ipv4),
        IPV6_HINT => separated(value.chunks_exact(16), out, |item, out| {
            let _ = print::ipv6(item, out);
        }),
        ECH => out.extend_from_slice(data_encoding::BASE64.encode(value).as_bytes()),
        _ => print::quoted(value, out),
    }
}

fn separated<'a>(items: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>, print: impl Fn(&[u8], &mut Vec<u8>)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print(item, out);
    }
}

fn print_alpn(value: &[u8], out: &mut Vec<u8>) {
    let mut listed = Vec::new();
    let mut left = value;
    while let Some((item, next)) = left.split_first().and_then(|(&len, tail)| tail.split_at_checked(usize::from(len))) {
        if !listed.is_empty() {
            listed.push(b',');
        }
        for &octet in item {
            if matches!(octet, b',' | b'\\') {
                listed.push(b'\\');
            }
            listed.push(octet);
        }
        left = next;
    }
    print::quoted(&listed, out);
}
