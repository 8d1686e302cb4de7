//! `$GENERATE range owner [TTL] [class] type rdata`: records by counting, as BIND has it.

use super::{Place, Reader, class_from_text};
use crate::rdata::{self, shown};
use crate::token::{Lexer, Token, Tokens};

/// The largest number BIND counts to.
const MAX_NUMBER: i64 = 0x7fff_ffff;
/// The longest number BIND writes.
const MAX_WIDTH: i64 = 127;
/// How much more all directives of a zone may make than one of them.
const ZONE_FACTOR: u64 = 4;

/// `start-stop` or `start-stop/step`.
#[derive(Clone, Copy)]
struct Range {
    start: i64,
    stop: i64,
    step: i64,
}

impl Range {
    /// The range, and what stands behind it, which counts for nothing in BIND.
    fn from_text(text: &[u8]) -> Option<(Self, &[u8])> {
        let (start, rest) = leading_number(text)?;
        let (last, rest) = leading_number(rest.strip_prefix(b"-")?)?;
        let (step, rest) = match rest.strip_prefix(b"/") {
            Some(rest) => leading_number(rest)?,
            None => (1, rest),
        };
        let range = Self { start, stop: last, step };
        let fits = (0..=last).contains(&start) && last <= MAX_NUMBER && (1..=MAX_NUMBER).contains(&step);
        fits.then_some((range, rest))
    }

    fn count(self) -> u64 {
        u64::try_from((self.stop - self.start) / self.step + 1).unwrap_or(u64::MAX)
    }
}

/// The number with or without a sign that the text begins with, and the rest.
fn leading_number(text: &[u8]) -> Option<(i64, &[u8])> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text.iter().skip(sign).take_while(|octet| octet.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(sign + digits)?;
    let number = rdata::decimal(number.get(sign..)?).and_then(|number| i64::try_from(number).ok())?;
    Some((if text.first() == Some(&b'-') { -number } else { number }, rest))
}

/// The same where nothing may stand behind it.
fn whole_number(text: &[u8]) -> Option<i64> {
    leading_number(text).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
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
        if self.frames.last().is_some_and(|frame| frame.lexer.had_parentheses()) {
            let place = all.first().map_or(Place { line: 0, column: 0 }, Place::of);
            self.error(place, "bad-generate", "$GENERATE has no parentheses; rdata of several words is quoted");
            return;
        }
        let Some(range) = self.word(all, tokens, "a range") else { return };
        let Some(template) = self.template(all, tokens) else { return };
        self.end_of_line(tokens);
        let Some((counted, behind)) = Range::from_text(range.text) else {
            let message =
                format!("{} is not a range start-stop or start-stop/step up to {MAX_NUMBER}", shown(range.text));
            self.error(Place::of(&range), "bad-generate", message);
            return;
        };
        if !behind.is_empty() {
            self.warn(Place::of(&range), "generate-range", format!("{} behind the range is ignored", shown(behind)));
        }
        if let Some(message) = self.broken_generate_limit(counted) {
            self.error(Place::of(&range), "generate-limit", message);
            return;
        }
        self.generated += counted.count();
        self.repeat(counted, &template);
    }

    fn broken_generate_limit(&self, range: Range) -> Option<String> {
        let (one, all) = (self.limits.max_generate, self.limits.max_generate.saturating_mul(ZONE_FACTOR));
        if range.count() > one {
            return Some(format!("$GENERATE makes {} records, the limit is {one}", range.count()));
        }
        let made = self.generated + range.count();
        (made > all).then(|| format!("all $GENERATE make {made} records so far, the limit of a zone is {all}"))
    }

    /// The next argument, which may not be quoted.
    fn word(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>, what: &str) -> Option<Token<'a>> {
        let token = self.argument(all, tokens, what)?;
        if token.quoted {
            self.error(Place::of(&token), "unexpected-quotes", format!("{what} may not be quoted"));
            return None;
        }
        Some(token)
    }

    fn template(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>) -> Option<Template<'a>> {
        let owner = self.word(all, tokens, "an owner")?;
        let mut token = self.word(all, tokens, "a type")?;
        let mut class = class_from_text(token.text);
        if class.is_some() {
            self.check_class(class, &token)?;
            token = self.word(all, tokens, "a type")?;
        }
        let mut own = None;
        if let Some(seconds) = rdata::ttl_from_text(token.text) {
            own = Some(self.limit_ttl(seconds, &token));
            self.last_ttl = own;
            token = self.word(all, tokens, "a type")?;
        }
        if class.is_none() {
            class = class_from_text(token.text);
            if class.is_some() {
                self.check_class(class, &token)?;
                token = self.word(all, tokens, "a type")?;
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
                let message = "a $ is followed by {offset[,width[,base]]} with a base of d o x X n N, in 32 bits";
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
fn expand(token: &Token<'_>, number: i64, out: &mut Vec<u8>) -> Option<()> {
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
fn modified(inside: &[u8], number: i64, out: &mut Vec<u8>) -> Option<()> {
    let mut parts = inside.split(|octet| *octet == b',');
    let offset = whole_number(parts.next()?)?;
    let value = number.checked_add(offset)?;
    if !(-MAX_NUMBER - 1..=MAX_NUMBER).contains(&offset) || value > MAX_NUMBER {
        return None;
    }
    let width = parts.next().map_or(Some(0), whole_number).filter(|width| (0..=MAX_WIDTH).contains(width))?;
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
