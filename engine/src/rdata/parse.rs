//! Rdata from its presentation form.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::Ipv6Addr;

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER_PERMISSIVE};

use super::{Field, is_meta, rtype, rtype_from_text, special, svcb, table, walk};
use crate::name;
use crate::token::{Lexer, Token, Tokens};

/// BIND's limit for rdata in a file: with a header and the shortest of owners around it, it still is a message.
const MAX_RDATA: usize = 65_510;

/// Why text is not rdata of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdataError {
    /// A stable id in kebab case.
    pub rule: &'static str,
    /// Lower case, with the value.
    pub message: Cow<'static, str>,
    /// Index of the token it is about; that behind the last one when the record ends too soon.
    pub token: usize,
}

/// At most 64 octets of a text in single quotes, what can't be printed as `\DDD`.
#[must_use]
pub(crate) fn shown(text: &[u8]) -> String {
    let mut out = String::from("'");
    for &octet in text.iter().take(64) {
        match octet {
            0x20..=0x7e => out.push(char::from(octet)),
            _ => {
                let _ = write!(out, "\\{octet:03}");
            }
        }
    }
    out.push_str(if text.len() > 64 { "…'" } else { "'" });
    out
}

/// What fields are parsed from and into.
pub(super) struct Parser<'p, 't, 'a> {
    pub(super) tokens: &'p mut Tokens<'t, 'a>,
    pub(super) origin: &'p [u8],
    pub(super) out: &'p mut Vec<u8>,
}

type Parsed = Result<(), RdataError>;

impl<'a> Parser<'_, '_, 'a> {
    /// An error about the token taken last.
    pub(super) fn error(&self, rule: &'static str, message: impl Into<Cow<'static, str>>) -> RdataError {
        RdataError { rule, message: message.into(), token: self.tokens.taken().saturating_sub(1) }
    }

    pub(super) fn bad(&self, rule: &'static str, what: &str, token: &Token<'_>) -> RdataError {
        self.error(rule, format!("{} is not {what}", shown(token.text)))
    }

    /// The next token, quoted or not.
    pub(super) fn any(&mut self, what: &'static str) -> Result<Token<'a>, RdataError> {
        let at = self.tokens.taken();
        self.tokens.next().ok_or_else(|| RdataError {
            rule: "missing-field",
            message: format!("record ends where {what} is expected").into(),
            token: at,
        })
    }

    /// The next token, which may not be quoted.
    pub(super) fn word(&mut self, what: &'static str) -> Result<Token<'a>, RdataError> {
        let token = self.any(what)?;
        if token.quoted {
            return Err(self.error("unexpected-quotes", format!("{what} may not be quoted")));
        }
        Ok(token)
    }

    pub(super) fn number(&mut self, max: u64, what: &'static str) -> Result<u64, RdataError> {
        let token = self.word(what)?;
        match decimal(token.text) {
            Some(number) if number <= max => Ok(number),
            Some(_) => Err(self.error("number-out-of-range", format!("{} is over {max}", shown(token.text)))),
            None => Err(self.bad("bad-number", "a number", &token)),
        }
    }

    fn put(&mut self, number: u64, octets: usize) {
        let all = number.to_be_bytes();
        self.out.extend_from_slice(all.get(8 - octets..).unwrap_or(&[]));
    }

    fn mnemonic_or_number(&mut self, known: &[(&str, u16)], max: u64, octets: usize, what: &'static str) -> Parsed {
        let token = self.word(what)?;
        let named = known.iter().find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(token.text));
        match named.map(|(_, value)| u64::from(*value)).or_else(|| decimal(token.text)) {
            Some(number) if number <= max => self.put(number, octets),
            Some(_) => return Err(self.error("number-out-of-range", format!("{} is over {max}", shown(token.text)))),
            None => return Err(self.bad("bad-mnemonic", what, &token)),
        }
        Ok(())
    }

    pub(super) fn name(&mut self) -> Parsed {
        let token = self.word("a domain name")?;
        if token.text == b"@" {
            self.out.extend_from_slice(self.origin);
            return Ok(());
        }
        name::from_text(token.text, self.origin, self.out)
            .map_err(|reason| self.error("bad-name", format!("{}: {reason}", shown(token.text))))
    }

    fn key_flags(&mut self) -> Parsed {
        let token = self.word("key flags")?;
        let mnemonics = || {
            token.text.split(|octet| *octet == b'|').try_fold(0, |flags, word| {
                let known = KEY_FLAGS.iter().find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(word));
                known.map(|(_, flag)| flags | u64::from(*flag))
            })
        };
        let value = decimal(token.text).filter(|number| *number <= 0xffff).or_else(mnemonics);
        self.put(value.ok_or_else(|| self.bad("bad-mnemonic", "key flags", &token))?, 2);
        Ok(())
    }

    fn rtype(&mut self) -> Parsed {
        let token = self.word("a type")?;
        // BIND takes a bare number here too.
        let number = rtype_from_text(token.text)
            .or_else(|| decimal(token.text).and_then(|number| u16::try_from(number).ok()))
            .ok_or_else(|| self.bad("unknown-type", "a known type", &token))?;
        self.out.extend_from_slice(&number.to_be_bytes());
        Ok(())
    }

    fn ttl(&mut self) -> Parsed {
        let token = self.word("a duration")?;
        let seconds = ttl_from_text(token.text).ok_or_else(|| self.bad("bad-ttl", "a duration in 32 bits", &token))?;
        self.out.extend_from_slice(&seconds.to_be_bytes());
        Ok(())
    }

    fn time(&mut self) -> Parsed {
        let token = self.word("a time")?;
        let seconds = match token.text.len() {
            0..=10 => decimal(token.text).and_then(|number| u32::try_from(number).ok()),
            14 => special::time_from_text(token.text),
            _ => None,
        };
        let seconds = seconds.ok_or_else(|| self.bad("bad-time", "a time YYYYMMDDHHMMSS or in seconds", &token))?;
        self.out.extend_from_slice(&seconds.to_be_bytes());
        Ok(())
    }

    pub(super) fn a(&mut self) -> Parsed {
        let token = self.word("an IPv4 address")?;
        let octets = ipv4(token.text).ok_or_else(|| self.bad("bad-address", "an IPv4 address", &token))?;
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    pub(super) fn aaaa(&mut self) -> Parsed {
        let token = self.word("an IPv6 address")?;
        let octets = ipv6(token.text).ok_or_else(|| self.bad("bad-address", "an IPv6 address", &token))?;
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    /// One character-string; RFC 1035 section 3.3 gives it at most 255 octets.
    fn string(&mut self) -> Parsed {
        let token = self.any("a character-string")?;
        let start = self.out.len();
        self.out.push(0);
        self.text(&token)?;
        let len = self.out.len() - start - 1;
        let len = u8::try_from(len).map_err(|_| {
            self.error("string-too-long", format!("character-string of {len} octets, the limit is 255"))
        })?;
        if let Some(place) = self.out.get_mut(start) {
            *place = len;
        }
        Ok(())
    }

    /// The octets that a token's text stands for.
    pub(super) fn text(&mut self, token: &Token<'_>) -> Parsed {
        if !token.text.contains(&b'\\') {
            self.out.extend_from_slice(token.text);
            return Ok(());
        }
        let mut octets = token.text.iter().copied();
        while let Some(octet) = octets.next() {
            match octet {
                b'\\' => match name::unescape(&mut octets) {
                    Ok(octet) => self.out.push(octet),
                    Err(reason) => return Err(self.error("bad-escape", reason)),
                },
                other => self.out.push(other),
            }
        }
        Ok(())
    }

    fn strings(&mut self) -> Parsed {
        self.string()?;
        while self.tokens.left() > 0 {
            self.string()?;
        }
        Ok(())
    }

    /// BIND takes a URI's target in quotes alone.
    fn quoted_text(&mut self) -> Parsed {
        let token = self.any("a text in quotes")?;
        if !token.quoted {
            return Err(self.bad("missing-quotes", "in quotes", &token));
        }
        self.text(&token)
    }

    fn tag(&mut self) -> Parsed {
        let token = self.word("a property tag")?;
        match u8::try_from(token.text.len()) {
            Ok(len @ 1..) if token.text.iter().all(u8::is_ascii_alphanumeric) => {
                self.out.push(len);
                self.out.extend_from_slice(token.text);
                Ok(())
            }
            _ => Err(self.bad("bad-tag", "a tag of 1 to 255 letters and digits", &token)),
        }
    }

    /// The octets of all tokens that are left, decoded as one text.
    fn encoded(&mut self, what: &'static str, decode: fn(&[u8], &mut Vec<u8>) -> Option<()>) -> Parsed {
        let first = self.word(what)?;
        let rule = if what == "hex" { "bad-hex" } else { "bad-base64" };
        if self.tokens.left() == 0 {
            return decode(first.text, self.out).ok_or_else(|| self.bad(rule, what, &first));
        }
        let mut all = first.text.to_vec();
        while self.tokens.left() > 0 {
            all.extend_from_slice(self.word(what)?.text);
        }
        decode(&all, self.out).ok_or_else(|| self.bad(rule, what, &first))
    }

    fn hex(&mut self) -> Parsed {
        self.encoded("hex", decode_hex)
    }

    pub(super) fn base64(&mut self) -> Parsed {
        self.encoded("base64", decode_base64)
    }

    fn salt(&mut self) -> Parsed {
        let token = self.word("a salt")?;
        let start = self.out.len();
        self.out.push(0);
        if token.text != b"-" {
            decode_hex(token.text, self.out).ok_or_else(|| self.bad("bad-hex", "hex or -", &token))?;
        }
        self.close_counted(start, &token)
    }

    fn hash(&mut self) -> Parsed {
        let token = self.word("a hash")?;
        let start = self.out.len();
        self.out.push(0);
        let octets = BASE32HEX_NOPAD
            .decode(&token.text.to_ascii_uppercase())
            .map_err(|_| self.bad("bad-base32", "base32hex", &token))?;
        self.out.extend_from_slice(&octets);
        self.close_counted(start, &token)
    }

    /// Puts the count of octets written since `start` there.
    fn close_counted(&mut self, start: usize, token: &Token<'_>) -> Parsed {
        let len = u8::try_from(self.out.len() - start - 1)
            .map_err(|_| self.bad("field-too-long", "at most 255 octets", token))?;
        if let Some(place) = self.out.get_mut(start) {
            *place = len;
        }
        Ok(())
    }

    fn bitmap(&mut self) -> Parsed {
        let mut types = Vec::new();
        while self.tokens.left() > 0 {
            let token = self.word("a type")?;
            types.push(rtype_from_text(token.text).ok_or_else(|| self.bad("unknown-type", "a known type", &token))?);
        }
        types.sort_unstable();
        put_bitmap(&types, self.out);
        Ok(())
    }

    fn locator(&mut self) -> Parsed {
        let token = self.word("a locator")?;
        let octets = special::locator(token.text)
            .ok_or_else(|| self.bad("bad-address", "four groups of hex with colons", &token))?;
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    fn eui(&mut self, count: u8) -> Parsed {
        let token = self.word("pairs of hex with hyphens")?;
        let start = self.out.len();
        for pair in token.text.split(|octet| *octet == b'-') {
            if pair.len() != 2 || decode_hex(pair, self.out).is_none() {
                return Err(self.bad("bad-address", "pairs of hex with hyphens", &token));
            }
        }
        if self.out.len() - start != usize::from(count) {
            return Err(self.error("bad-address", format!("{} has not {count} octets", shown(token.text))));
        }
        Ok(())
    }

    fn field(&mut self, field: Field) -> Parsed {
        match field {
            Field::U8 => self.number(0xff, "a number").map(|number| self.put(number, 1)),
            Field::U16 => self.number(0xffff, "a number").map(|number| self.put(number, 2)),
            Field::U32 => self.number(0xffff_ffff, "a number").map(|number| self.put(number, 4)),
            Field::U64 => self.number(u64::MAX, "a number").map(|number| self.put(number, 8)),
            Field::Ttl => self.ttl(),
            Field::Time => self.time(),
            Field::Type => self.rtype(),
            Field::Algorithm => self.mnemonic_or_number(ALGORITHMS, 0xff, 1, "an algorithm"),
            Field::Digest => self.mnemonic_or_number(DIGESTS, 0xff, 1, "a digest type"),
            Field::Certificate => self.mnemonic_or_number(CERTIFICATES, 0xffff, 2, "a certificate type"),
            Field::KeyFlags => self.key_flags(),
            Field::KeyProtocol => self.mnemonic_or_number(PROTOCOLS, 0xff, 1, "a key protocol"),
            Field::A => self.a(),
            Field::Aaaa => self.aaaa(),
            Field::Name => self.name(),
            Field::StringIfAny | Field::Base64IfAny if self.tokens.left() == 0 => Ok(()),
            Field::String | Field::StringIfAny => self.string(),
            Field::Strings => self.strings(),
            Field::Text => self.any("a text").and_then(|token| self.text(&token)),
            Field::QuotedText => self.quoted_text(),
            Field::Tag => self.tag(),
            Field::Hex => self.hex(),
            Field::Base64OrDash if self.tokens.peek().is_some_and(|token| token.text == b"-") => {
                self.word("base64 or -").map(|_| ())
            }
            Field::Base64 | Field::Base64IfAny | Field::Base64OrDash => self.base64(),
            Field::Salt => self.salt(),
            Field::Hash => self.hash(),
            Field::Bitmap => self.bitmap(),
            Field::Parameters => svcb::parse(self),
            Field::Locator => self.locator(),
            Field::Eui(count) => self.eui(count),
            Field::Nsap => special::parse_nsap(self),
            Field::Loc => special::parse_loc(self),
            Field::Prefixes => special::parse_prefixes(self),
            Field::Ipsec => special::parse_ipsec(self),
            Field::Relay => special::parse_relay(self),
            Field::Hip => special::parse_hip(self),
            Field::Services => special::parse_services(self),
            Field::Atma => special::parse_atma(self),
            Field::Chain => special::parse_chain(self),
            Field::OldBitmap => special::parse_old_bitmap(self),
            Field::Scheme => self.mnemonic_or_number(&[("NOTIFY", 1)], 0xff, 1, "a scheme"),
        }
    }

    /// `\# octets hex` (RFC 3597 section 5), the `\#` already taken.
    fn generic(&mut self, rtype: u16) -> Parsed {
        let start = self.out.len();
        let octets = self.number(0xffff, "the number of octets")?;
        if self.tokens.left() > 0 {
            self.hex()?;
        }
        let given = self.out.len() - start;
        if given as u64 != octets {
            return Err(self.error("bad-generic-rdata", format!("{given} octets of hex where {octets} are announced")));
        }
        let rdata = self.out.get(start..).unwrap_or(&[]);
        walk::check(rtype, rdata).map_err(|reason| self.error("bad-generic-rdata", reason))
    }
}

/// Appends the rdata that the tokens stand for. On an error `out` may hold a part of it.
///
/// # Errors
/// What is wrong with which token; tokens that are left over too.
pub fn from_text(rtype: u16, tokens: &mut Tokens<'_, '_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), RdataError> {
    let start = out.len();
    let mut parser = Parser { tokens, origin, out };
    if is_meta(rtype) {
        return Err(parser.error("meta-type", format!("{} can't be the type of a record", super::rtype_to_text(rtype))));
    }
    if is_generic(rtype, parser.tokens) {
        let _ = parser.tokens.next();
        parser.generic(rtype)?;
    } else {
        let Some(fields) = table::fields(rtype) else {
            let _ = parser.tokens.next();
            return Err(parser
                .error("generic-only", format!("rdata of {} is written \\# octets hex", super::rtype_to_text(rtype))));
        };
        for field in fields {
            parser.field(*field)?;
        }
    }
    if let Some(extra) = parser.tokens.next() {
        return Err(parser.error("extra-text", format!("{} after the end of the rdata", shown(extra.text))));
    }
    let rdata = parser.out.get(start..).unwrap_or(&[]);
    if rdata.len() > MAX_RDATA {
        let message = format!("rdata of {} octets, the limit is {MAX_RDATA}", rdata.len());
        return Err(parser.error("rdata-too-long", message));
    }
    walk::plausible(rtype, rdata).map_err(|reason| parser.error("bad-rdata", reason))
}

/// Whether `\#` comes next. In TXT that may be an escaped `#`, as BIND sees it, if no number follows.
fn is_generic(rtype: u16, tokens: &Tokens<'_, '_>) -> bool {
    tokens.peek().is_some_and(|token| token.text == b"\\#" && !token.quoted)
        && (rtype != rtype::TXT || tokens.peek_second().is_some_and(|token| decimal(token.text).is_some()))
}

/// Rdata from one line of text, appended to `out`.
///
/// # Errors
/// What is wrong with it.
pub fn from_line(rtype: u16, text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    lexer.next_line(&mut tokens).map_err(|fault| fault.message.to_owned())?;
    from_text(rtype, &mut Tokens::new(&tokens), origin, out).map_err(|error| error.message.into_owned())?;
    match lexer.next_line(&mut tokens) {
        Ok(None) => Ok(()),
        _ => Err("more than one line".to_owned()),
    }
}

/// An unsigned number of decimal digits alone.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0_u64, |value, octet| {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// Seconds: a plain number, or numbers with the units w d h m s in any order and case, as in BIND; None when it is
/// no such text or does not fit 32 bits.
#[must_use]
pub fn ttl_from_text(text: &[u8]) -> Option<u32> {
    let mut total = 0_u64;
    let mut number = None;
    for &octet in text {
        let unit = match octet {
            b'0'..=b'9' => {
                let digit = u64::from(octet - b'0');
                number = Some(number.unwrap_or(0_u64) * 10 + digit).filter(|number| u32::try_from(*number).is_ok());
                number?;
                continue;
            }
            b's' | b'S' => 1,
            b'm' | b'M' => 60,
            b'h' | b'H' => 3_600,
            b'd' | b'D' => 86_400,
            b'w' | b'W' => 604_800,
            _ => return None,
        };
        total += number.take()? * unit;
        if total > u64::from(u32::MAX) {
            return None;
        }
    }
    match (number, total) {
        (Some(plain), 0) => u32::try_from(plain).ok(),
        (None, total) if !text.is_empty() => u32::try_from(total).ok(),
        _ => None,
    }
}

/// Four decimal numbers without leading zeros, as BIND's `inet_pton` takes them.
pub(super) fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split(|octet| *octet == b'.');
    for place in &mut octets {
        let part = parts.next()?;
        if part.len() > 3 || (part.len() > 1 && part.first() == Some(&b'0')) {
            return None;
        }
        *place = u8::try_from(decimal(part)?).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

pub(super) fn ipv6(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() > 45 {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok().map(|address| address.octets())
}

pub(super) fn decode_hex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if text.is_empty() {
        return None;
    }
    out.extend_from_slice(&HEXLOWER_PERMISSIVE.decode(text).ok()?);
    Some(())
}

pub(super) fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if text.is_empty() {
        return None;
    }
    out.extend_from_slice(&BASE64.decode(text).ok()?);
    Some(())
}

/// Type bitmaps of ascending types (RFC 4034 section 4.1.2), appended; repeats do no harm.
pub fn put_bitmap(types: &[u16], out: &mut Vec<u8>) {
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let Some((&first, &last)) = window.first().zip(window.last()) else { continue };
        let [high, _] = first.to_be_bytes();
        let [_, low] = last.to_be_bytes();
        let mut bits = [0_u8; 32];
        for rtype in window {
            let [_, low] = rtype.to_be_bytes();
            if let Some(octet) = bits.get_mut(usize::from(low >> 3)) {
                *octet |= 0x80 >> (low & 7);
            }
        }
        let len = (low >> 3) + 1;
        out.extend([high, len]);
        out.extend_from_slice(bits.get(..usize::from(len)).unwrap_or(&[]));
    }
}

/// DNSSEC algorithm mnemonics as BIND takes them.
const ALGORITHMS: &[(&str, u16)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("ECC", 4),
    ("RSASHA1", 5),
    ("NSEC3DSA", 6),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3RSASHA1", 7),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECCGOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ECDSA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

const DIGESTS: &[(&str, u16)] =
    &[("SHA-1", 1), ("SHA1", 1), ("SHA-256", 2), ("SHA256", 2), ("GOST", 3), ("SHA-384", 4), ("SHA384", 4)];

const CERTIFICATES: &[(&str, u16)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

const PROTOCOLS: &[(&str, u16)] = &[("NONE", 0), ("TLS", 1), ("EMAIL", 2), ("DNSSEC", 3), ("IPSEC", 4), ("ALL", 255)];

const KEY_FLAGS: &[(&str, u16)] = &[
    ("NOCONF", 0x4000),
    ("NOAUTH", 0x8000),
    ("NOKEY", 0xc000),
    ("EXTEND", 0x1000),
    ("ZONE", 0x0100),
    ("HOST", 0x0200),
    ("NTYP3", 0x0300),
    ("KSK", 0x0001),
    ("REVOKE", 0x0080),
];
