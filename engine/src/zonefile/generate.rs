//! `$GENERATE range owner [TTL] [class] type rdata`: records by counting, as BIND has it.

use super::{Place, Reader, class_from_text};
use crate::rdata::{self, shown};
use crate::token::{Lexer, Token, Tokens};

/// The largest number BIND counts to.
const MAX_NUMBER: u64 = 0x7fff_ffff;
/// The longest number BIND writes.
const MAX_WIDTH: u64 = 127;

/// `start-stop` or `start-stop/step`.
#[derive(Clone, Copy)]
struct Range {
    start: u64,
    stop: u64,
    step: u64,
}

impl Range {
    fn from_text(text: &[u8]) -> Option<Self> {
        let (span, step) = split_once(text, b'/').map_or((text, Some(1)), |(span, step)| (span, rdata::decimal(step)));
        let (first, last) = split_once(span, b'-')?;
        let range = Self { start: rdata::decimal(first)?, stop: rdata::decimal(last)?, step: step? };
        (range.start <= range.stop && range.stop <= MAX_NUMBER && range.step > 0).then_some(range)
    }

    fn count(self) -> u64 {
        (self.stop - self.start) / self.step + 1
    }
}

fn split_once(text: &[u8], by: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|octet| *octet == by)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What is generated.
struct Template<'a> {
    owner: Token<'a>,
    rtype: u16,
    ttl: u32,
    rdata: Token<'a>,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn generate(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>) {
        let Some(range) = self.argument(all, tokens, "a range") else { return };
        let Some(template) = self.template(all, tokens) else { return };
        self.end_of_line(tokens);
        let Some(counted) = Range::from_text(range.text) else {
            let message =
                format!("{} is not a range start-stop or start-stop/step up to {MAX_NUMBER}", shown(range.text));
            self.error(Place::of(&range), "bad-generate", message);
            return;
        };
        self.generated = self.generated.saturating_add(counted.count());
        if self.generated > self.limits.max_generate {
            let message =
                format!("$GENERATE makes {} records so far, the limit is {}", self.generated, self.limits.max_generate);
            self.error(Place::of(&range), "generate-limit", message);
            return;
        }
        self.repeat(counted, &template);
    }

    fn template(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>) -> Option<Template<'a>> {
        let owner = self.argument(all, tokens, "an owner")?;
        let mut token = self.argument(all, tokens, "a type")?;
        let mut class = class_from_text(token.text);
        if class.is_some() {
            self.check_class(class, &token)?;
            token = self.argument(all, tokens, "a type")?;
        }
        let mut own = None;
        if let Some(seconds) = rdata::ttl_from_text(token.text) {
            own = Some(self.limit_ttl(seconds, &token));
            self.last_ttl = own;
            token = self.argument(all, tokens, "a type")?;
        }
        if class.is_none() {
            class = class_from_text(token.text);
            if class.is_some() {
                self.check_class(class, &token)?;
                token = self.argument(all, tokens, "a type")?;
            }
        }
        let rtype = self.rtype(&token)?;
        let rdata = self.argument(all, tokens, "rdata")?;
        let ttl = self.ttl_of(own, 0, Place::of(&token));
        Some(Template { owner, rtype, ttl, rdata })
    }

    fn repeat(&mut self, range: Range, template: &Template<'a>) {
        let (mut owner, mut rdata) = (Vec::new(), Vec::new());
        // The owner in force is not touched, as in BIND.
        let kept = self.owner;
        let mut number = range.start;
        while number <= range.stop && !self.stopped {
            let made = expand(&template.owner, number, &mut owner).and(expand(&template.rdata, number, &mut rdata));
            if made.is_none() {
                let message = "a $ is followed by {offset[,width[,base]]} with a base of d o x X n N";
                self.error(Place::of(&template.rdata), "bad-generate", message);
                break;
            }
            if !self.generate_one(&owner, &rdata, template) {
                break;
            }
            number += range.step;
        }
        self.owner = kept;
    }

    /// One record; false after an error.
    fn generate_one(&mut self, owner_text: &[u8], rdata_text: &[u8], template: &Template<'a>) -> bool {
        let line = template.owner.line;
        if self.is_full(line) {
            return false;
        }
        let owner = match self.put_owner(owner_text) {
            Ok(owner) => owner,
            Err(reason) => {
                self.error(Place::of(&template.owner), "bad-owner", format!("owner {}: {reason}", shown(owner_text)));
                return false;
            }
        };
        self.owner = Some(owner);
        let start = self.out.arena.len();
        let mut tokens = Vec::new();
        let lexed =
            Lexer::new(rdata_text).next_line(&mut tokens).map_err(|fault| (fault.rule, fault.message.to_owned()));
        let parsed = lexed.and_then(|_| {
            rdata::from_text(template.rtype, &mut Tokens::new(&tokens), &self.origin, &mut self.out.arena)
                .map_err(|error| (error.rule, error.message.into_owned()))
        });
        match parsed {
            Ok(()) if owner.in_zone => self.store(owner.at, template.rtype, template.ttl, start, line),
            Ok(()) => {
                self.out.arena.truncate(start);
                if self.warns() {
                    let message = format!("{} is not in zone {} and is ignored", shown(owner_text), self.top);
                    self.warn(Place::of(&template.owner), "out-of-zone", message);
                }
            }
            Err((rule, message)) => {
                self.out.arena.truncate(start);
                self.error(
                    Place::of(&template.rdata),
                    rule,
                    format!("generated rdata {}: {message}", shown(rdata_text)),
                );
                return false;
            }
        }
        true
    }
}

/// The token's text with each `$` replaced by the number; None when what follows a `$` is malformed.
fn expand(token: &Token<'_>, number: u64, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let mut rest = token.text;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        match (octet, rest) {
            // A quote that was escaped inside quotes is a quote of the rdata now.
            (b'\\', [b'"', tail @ ..]) if token.quoted => {
                out.push(b'"');
                rest = tail;
            }
            (b'\\', [next, tail @ ..]) => {
                out.extend([b'\\', *next]);
                rest = tail;
            }
            (b'$', [b'$', tail @ ..]) => {
                out.push(b'$');
                rest = tail;
            }
            (b'$', [b'{', tail @ ..]) => {
                let (inside, tail) = split_once(tail, b'}')?;
                modified(inside, number, out)?;
                rest = tail;
            }
            (b'$', _) => out.extend_from_slice(number.to_string().as_bytes()),
            _ => out.push(octet),
        }
    }
    Some(())
}

/// `offset[,width[,base]]` of `${…}`.
fn modified(inside: &[u8], number: u64, out: &mut Vec<u8>) -> Option<()> {
    let mut parts = inside.split(|octet| *octet == b',');
    let offset = parts.next()?;
    let (negative, digits) = match offset.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, offset),
    };
    let offset = i64::try_from(rdata::decimal(digits).filter(|offset| *offset <= MAX_NUMBER)?).ok()?;
    let value = i64::try_from(number).ok()? + if negative { -offset } else { offset };
    let width = parts.next().map_or(Some(0), rdata::decimal).filter(|width| *width <= MAX_WIDTH)?;
    let width = usize::try_from(width).ok()?;
    let base = parts.next().unwrap_or(b"d");
    if parts.next().is_some() {
        return None;
    }
    // BIND's numbers have 32 bits.
    let bits = u32::try_from(value & 0xffff_ffff).ok()?;
    let text = match base {
        b"d" => format!("{value:0width$}"),
        b"o" => format!("{bits:0width$o}"),
        b"x" => format!("{bits:0width$x}"),
        b"X" => format!("{bits:0width$X}"),
        b"n" => nibbles(bits, width, b"0123456789abcdef"),
        b"N" => nibbles(bits, width, b"0123456789ABCDEF"),
        _ => return None,
    };
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// Hex digits from the lowest, with dots between; the width counts digits and dots.
fn nibbles(bits: u32, width: usize, digits: &[u8; 16]) -> String {
    let mut out = String::new();
    let (mut value, mut width) = (bits, width);
    loop {
        out.push(char::from(digits.get((value & 15) as usize).copied().unwrap_or(b'0')));
        value >>= 4;
        width = width.saturating_sub(1);
        if width > 0 || value != 0 {
            out.push('.');
            width = width.saturating_sub(1);
        }
        if width == 0 && value == 0 {
            return out;
        }
    }
}
