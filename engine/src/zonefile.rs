//! The master-file reader (RFC 1035 section 5) in BIND's dialect: records with their places, and all findings in one pass.
//!
//! Owners and rdata stand in wire form in one *arena*; a record is 24 octets that point into it. Owners keep their
//! case; one that repeats from the record before is stored once. What a record means beside others (CNAME and other
//! data, SOA at the apex …) is not looked at here.
//!
//! Errors, which hold the zone: `bad-owner`, `no-owner`, `unknown-type`, `class-mismatch`, `meta-type`, `obsolete-type`,
//! `no-ttl`, `bad-ttl`, `unknown-directive`, `bad-directive`, `include-off`, `include-missing`, `include-cycle`,
//! `include-limit`, `generate-limit`, `bad-generate`, `byte-order-mark`, `zone-too-large`, `too-many-records`,
//! `unbalanced-quotes`, `unbalanced-parentheses`, `nul-octet`, `line-too-long`, `more-errors`; of rdata: `missing-field`,
//! `extra-text`, `unexpected-quotes`, `missing-quotes`, `bad-number`, `number-out-of-range`, `bad-mnemonic`, `bad-name`, `bad-address`,
//! `bad-time`, `bad-escape`, `string-too-long`, `bad-tag`, `bad-hex`, `bad-base64`, `bad-base32`, `bad-parameter`,
//! `field-too-long`, `rdata-too-long`, `bad-generic-rdata`, `generic-only`, `bad-rdata`.
//! Warnings: `out-of-zone`, `inherited-owner`, `ttl-over-limit`, `ttl-from-last`, `ttl-from-soa`, `non-ascii-name`,
//! `no-final-newline`, `date-ignored`, `generate-range`, `more-warnings`.
//!
//! **Limits**: arena 4 GiB; 8 files deep, 64 files, 4096 inclusions, 64 MiB read again; 1000 errors and 1000 warnings
//! a file; a message quotes 64 octets.

mod directive;
mod generate;

use crate::finding::{Diagnostic, Severity};
use crate::name::{self, Name};
use crate::rdata::{self, rtype, shown};
use crate::token::{Lexer, Token, Tokens};

/// The largest TTL (RFC 2181 section 8).
const MAX_TTL: u32 = 0x7fff_ffff;
/// The arena must have room for one more record below 4 GiB.
const MAX_ARENA: usize = u32::MAX as usize - 2 * (65_535 + 256);
/// Errors of one file that are told, and warnings.
const MAX_FINDINGS: u32 = 1000;

/// A file the reader may read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What diagnostics and `$INCLUDE` call it.
    pub name: &'a str,
    /// What is in it.
    pub octets: &'a [u8],
}

/// What a zone file may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Whether `$INCLUDE` is allowed.
    pub includes: bool,
    /// Records in all, 0 for no limit.
    pub max_records: usize,
    /// Records that one `$GENERATE` may make, and a quarter of what all of a zone may.
    pub max_generate: u64,
}

/// One record and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Offset of the owner in the arena.
    pub owner: u32,
    /// Offset of the rdata in the arena.
    pub rdata: u32,
    /// Octets of rdata.
    pub rdata_len: u16,
    /// Type number.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// Index in `Records::files`.
    pub file: u16,
    /// The line its type stands on, from 1.
    pub line: u32,
}

/// What one reading gave.
#[derive(Clone, Debug)]
pub struct Records {
    /// The zone's name.
    pub origin: Name,
    /// Owners and rdata.
    pub arena: Vec<u8>,
    /// In file order.
    pub records: Vec<Record>,
    /// Names of the files read, that of the zone first.
    pub files: Vec<String>,
    /// All findings, in order of file, line and column.
    pub diagnostics: Vec<Diagnostic>,
    /// Files to be included that were not among the sources.
    pub missing_includes: Vec<String>,
    /// Files that were included, in order of first use.
    pub included: Vec<String>,
}

impl Records {
    /// None read yet, to be added by `push`; findings will say that they stand in `file`.
    #[must_use]
    pub fn empty(origin: Name, file: &str) -> Self {
        Self {
            origin,
            arena: Vec::new(),
            records: Vec::new(),
            files: vec![file.to_owned()],
            diagnostics: Vec::new(),
            missing_includes: Vec::new(),
            included: Vec::new(),
        }
    }

    /// Add a record that is well-formed; false when there is no room for it. An owner equal to the last one is stored once.
    pub fn push(&mut self, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8], line: u32) -> bool {
        let known = self.records.last().filter(|last| self.owner(last) == owner).map(|last| last.owner);
        let Ok(rdata_len) = u16::try_from(rdata.len()) else { return false };
        if self.arena.len() > MAX_ARENA {
            return false;
        }
        let mut put = |octets: &[u8]| {
            let at = u32::try_from(self.arena.len()).unwrap_or(u32::MAX);
            self.arena.extend_from_slice(octets);
            at
        };
        let owner = known.unwrap_or_else(|| put(owner));
        let rdata = put(rdata);
        self.records.push(Record { owner, rdata, rdata_len, rtype, ttl, file: 0, line });
        true
    }

    /// A record's owner as a wire name.
    #[must_use]
    pub fn owner(&self, record: &Record) -> &[u8] {
        let rest = self.arena.get(record.owner as usize..).unwrap_or(&[]);
        name::length(rest).and_then(|len| rest.get(..len)).unwrap_or(name::ROOT)
    }

    /// A record's rdata, uncompressed.
    #[must_use]
    pub fn rdata(&self, record: &Record) -> &[u8] {
        let start = record.rdata as usize;
        self.arena.get(start..start + usize::from(record.rdata_len)).unwrap_or(&[])
    }
}

/// Reads the zone `origin` from `sources[0]`; the others may be included by it.
#[must_use]
pub fn read(origin: &Name, sources: &[Source<'_>], limits: &Limits) -> Records {
    let mut reader = Reader::new(origin, sources, limits);
    if let Some(first) = sources.first() {
        reader.open(first, 0);
        reader.run();
    }
    reader.finish()
}

/// The owner in force.
#[derive(Clone, Copy)]
struct Owner {
    at: u32,
    len: usize,
    in_zone: bool,
}

/// A file being read, and what is restored when its including file goes on.
struct Frame<'a> {
    lexer: Lexer<'a>,
    file: u16,
    name: &'a str,
    /// The including file's origin and owner; None for the zone's file.
    outer: Option<(Name, Option<Owner>)>,
}

/// How many findings of a file were told.
#[derive(Clone, Copy, Default)]
struct Told {
    errors: u32,
    warnings: u32,
}

/// The place of a finding within the file at hand.
#[derive(Clone, Copy)]
struct Place {
    line: u32,
    column: u32,
}

impl Place {
    fn of(token: &Token<'_>) -> Self {
        Self { line: token.line, column: token.column }
    }

    /// Behind the last of the tokens.
    fn after(tokens: &[Token<'_>]) -> Self {
        tokens.last().map_or(Self { line: 0, column: 0 }, |token| {
            let width = u32::try_from(token.text.len()).unwrap_or(0) + if token.quoted { 2 } else { 0 };
            Self { line: token.line, column: token.column.saturating_add(width) }
        })
    }
}

struct Reader<'a, 's> {
    sources: &'s [Source<'a>],
    limits: Limits,
    top: &'s Name,
    out: Records,
    findings: Vec<(u16, Diagnostic)>,
    told: Vec<Told>,
    frames: Vec<Frame<'a>>,
    file: u16,
    origin: Name,
    origin_in_zone: bool,
    origin_changed: bool,
    owner: Option<Owner>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    told_last_ttl: bool,
    told_no_owner: bool,
    generated: u64,
    inclusions: u32,
    octets_repeated: u64,
    stopped: bool,
}

impl<'a, 's> Reader<'a, 's> {
    fn new(origin: &'s Name, sources: &'s [Source<'a>], limits: &Limits) -> Self {
        let size = sources.first().map_or(0, |source| source.octets.len());
        let out = Records {
            origin: origin.clone(),
            arena: Vec::with_capacity(size.min(MAX_ARENA)),
            records: Vec::with_capacity(size / 40),
            files: Vec::new(),
            diagnostics: Vec::new(),
            missing_includes: Vec::new(),
            included: Vec::new(),
        };
        Self {
            sources,
            limits: *limits,
            top: origin,
            out,
            findings: Vec::new(),
            told: Vec::new(),
            frames: Vec::new(),
            file: 0,
            origin: origin.clone(),
            origin_in_zone: true,
            origin_changed: false,
            owner: None,
            default_ttl: None,
            last_ttl: None,
            told_last_ttl: false,
            told_no_owner: false,
            generated: 0,
            inclusions: 0,
            octets_repeated: 0,
            stopped: false,
        }
    }

    fn finish(mut self) -> Records {
        self.findings.sort_by_key(|(file, finding)| (*file, finding.line, finding.column));
        self.out.diagnostics = self.findings.into_iter().map(|(_, finding)| finding).collect();
        self.out.arena.shrink_to_fit();
        self.out.records.shrink_to_fit();
        self.out
    }

    // ---------------------------------------------------------------- findings

    fn error(&mut self, place: Place, rule: &'static str, message: impl Into<String>) {
        self.tell(Severity::Error, place, rule, message.into());
    }

    fn warn(&mut self, place: Place, rule: &'static str, message: impl Into<String>) {
        self.tell(Severity::Warning, place, rule, message.into());
    }

    fn tell(&mut self, severity: Severity, place: Place, rule: &'static str, message: String) {
        let Some(told) = self.told.get_mut(usize::from(self.file)) else { return };
        let (count, more) = match severity {
            Severity::Error => (&mut told.errors, "more-errors"),
            Severity::Warning => (&mut told.warnings, "more-warnings"),
        };
        *count = count.saturating_add(1);
        let (rule, message) = match (*count).cmp(&(MAX_FINDINGS + 1)) {
            std::cmp::Ordering::Less => (rule, message),
            std::cmp::Ordering::Equal => {
                (more, format!("more than {MAX_FINDINGS} in this file, the others are not shown"))
            }
            std::cmp::Ordering::Greater => return,
        };
        let file = self.out.files.get(usize::from(self.file)).cloned().unwrap_or_default();
        let Place { line, column } = place;
        self.findings.push((self.file, Diagnostic { file, line, column, rule, severity, message }));
    }

    /// Whether one more warning of this file would be shown: spares making its message.
    fn warns(&self) -> bool {
        self.told.get(usize::from(self.file)).is_some_and(|told| told.warnings <= MAX_FINDINGS)
    }

    // ---------------------------------------------------------------- files and lines

    /// Begins to read a file; what is in force stays in force.
    fn open(&mut self, source: &Source<'a>, file: u16) {
        if usize::from(file) == self.out.files.len() {
            self.out.files.push(source.name.to_owned());
            self.told.push(Told::default());
        } else {
            self.octets_repeated += source.octets.len() as u64;
        }
        self.file = file;
        let start = Place { line: 1, column: 1 };
        let octets = match source.octets {
            [0xef, 0xbb, 0xbf, rest @ ..] => {
                self.error(start, "byte-order-mark", "file begins with a UTF-8 byte order mark; save it without one");
                rest
            }
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                self.error(
                    start,
                    "byte-order-mark",
                    "file is UTF-16; save it as ASCII or UTF-8 without a byte order mark",
                );
                &[]
            }
            all => all,
        };
        self.frames.push(Frame { lexer: Lexer::new(octets), file, name: source.name, outer: None });
    }

    fn run(&mut self) {
        let mut tokens = Vec::with_capacity(64);
        while !self.stopped {
            let Some(frame) = self.frames.last_mut() else { return };
            match frame.lexer.next_line(&mut tokens) {
                Ok(Some(blank)) => self.line(&tokens, blank),
                Ok(None) => self.close(),
                Err(fault) => {
                    self.error(Place { line: fault.line, column: fault.column }, fault.rule, fault.message);
                }
            }
        }
    }

    /// Goes on with the including file: its origin and owner are in force again, `$TTL` stays as in BIND.
    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        if frame.lexer.lacks_final_newline() {
            self.warn(
                Place { line: frame.lexer.line(), column: 0 },
                "no-final-newline",
                "file does not end with a newline",
            );
        }
        if let Some((origin, owner)) = frame.outer {
            self.set_origin(origin);
            self.origin_changed = false;
            self.owner = owner;
        }
        if let Some(outer) = self.frames.last() {
            self.file = outer.file;
        }
    }

    fn set_origin(&mut self, origin: Name) {
        self.origin_in_zone = name::is_at_or_below(&origin, self.top);
        self.origin = origin;
    }

    fn line(&mut self, tokens: &[Token<'a>], blank: bool) {
        match tokens.first() {
            Some(first) if !blank && !first.quoted && first.text.first() == Some(&b'$') => self.directive(tokens),
            _ => self.record(tokens, blank),
        }
    }

    // ---------------------------------------------------------------- records

    fn record(&mut self, all: &[Token<'a>], blank: bool) {
        let mut tokens = Tokens::new(all);
        let has_owner = if blank { self.inherit(all) } else { self.take_owner(&mut tokens) };
        let Some((ttl, rtype, line)) = self.head(&mut tokens, all) else { return };
        if self.is_full(line) {
            return;
        }
        let start = self.out.arena.len();
        if let Err(error) = rdata::from_text(rtype, &mut tokens, &self.origin, &mut self.out.arena) {
            self.out.arena.truncate(start);
            let place = all.get(error.token).map_or_else(|| Place::after(all), Place::of);
            self.error(place, error.rule, error.message);
            return;
        }
        let place = Place { line, column: 0 };
        let ttl = self.ttl_of(ttl, rtype, place);
        match self.owner {
            Some(owner) if has_owner && owner.in_zone => self.store(owner.at, rtype, ttl, start, line),
            _ => self.out.arena.truncate(start),
        }
    }

    fn store(&mut self, owner: u32, rtype: u16, ttl: u32, start: usize, line: u32) {
        let len = self.out.arena.len() - start;
        let (Ok(rdata), Ok(rdata_len)) = (u32::try_from(start), u16::try_from(len)) else { return };
        self.out.records.push(Record { owner, rdata, rdata_len, rtype, ttl, file: self.file, line });
    }

    /// Whether no record has room any more; said once, and reading stops.
    fn is_full(&mut self, line: u32) -> bool {
        let place = Place { line, column: 0 };
        if self.out.arena.len() > MAX_ARENA {
            self.error(place, "zone-too-large", "zone data over 4 GiB");
        } else if self.limits.max_records > 0 && self.out.records.len() >= self.limits.max_records {
            self.error(place, "too-many-records", format!("more than {} records", self.limits.max_records));
        } else {
            return false;
        }
        self.stopped = true;
        true
    }

    /// Checks that there is an owner to inherit.
    fn inherit(&mut self, all: &[Token<'_>]) -> bool {
        let place = all.first().map_or(Place { line: 0, column: 0 }, Place::of);
        match self.owner {
            None => {
                if !std::mem::replace(&mut self.told_no_owner, true) {
                    self.error(place, "no-owner", "record without an owner, and none came before it");
                }
                false
            }
            Some(_) if self.origin_changed => {
                self.origin_changed = false;
                self.warn(place, "inherited-owner", "record inherits its owner from before the $ORIGIN line");
                true
            }
            Some(_) => true,
        }
    }

    /// Takes the owner's token and puts the owner in force; false when it is no name.
    fn take_owner(&mut self, tokens: &mut Tokens<'_, 'a>) -> bool {
        let Some(token) = tokens.next() else { return false };
        self.origin_changed = false;
        match self.put_owner(token.text) {
            Ok(owner) => {
                self.owner = Some(owner);
                if !token.text.is_ascii() {
                    self.warn(
                        Place::of(&token),
                        "non-ascii-name",
                        format!("owner {} is not ASCII; an A-label may be meant", shown(token.text)),
                    );
                }
                if !owner.in_zone && self.warns() {
                    let message = format!("{} is not in zone {} and is ignored", shown(token.text), self.top);
                    self.warn(Place::of(&token), "out-of-zone", message);
                }
                true
            }
            Err(reason) => {
                self.error(Place::of(&token), "bad-owner", format!("owner {}: {reason}", shown(token.text)));
                false
            }
        }
    }

    /// Puts an owner into the arena, unless it is the one before.
    fn put_owner(&mut self, text: &[u8]) -> Result<Owner, &'static str> {
        let arena = &mut self.out.arena;
        let start = arena.len();
        if text == b"@" {
            arena.extend_from_slice(&self.origin);
        } else if let Err(reason) = name::from_text(text, &self.origin, arena) {
            arena.truncate(start);
            return Err(reason);
        }
        let new = arena.get(start..).unwrap_or(&[]);
        let is_relative = text.last() != Some(&b'.');
        let in_zone = (is_relative && self.origin_in_zone) || name::is_at_or_below(new, self.top);
        let len = new.len();
        if let Some(owner) = self.owner {
            let at = owner.at as usize;
            if arena.get(at..at + owner.len) == Some(new) {
                arena.truncate(start);
                return Ok(owner);
            }
        }
        // An arena that is full is told at the record.
        Ok(Owner { at: u32::try_from(start).unwrap_or(0), len, in_zone })
    }

    /// The TTL if there is one, the type, and the line it stands on; class and TTL in either order.
    fn head(&mut self, tokens: &mut Tokens<'_, 'a>, all: &[Token<'_>]) -> Option<(Option<u32>, u16, u32)> {
        let mut class = None;
        let mut ttl = None;
        loop {
            let Some(token) = tokens.next() else {
                self.error(Place::after(all), "missing-field", "record ends where a type is expected");
                return None;
            };
            if ttl.is_none()
                && token.text.first().is_some_and(u8::is_ascii_digit)
                && let Some(seconds) = rdata::ttl_from_text(token.text)
            {
                ttl = Some(self.limit_ttl(seconds, &token));
                self.last_ttl = ttl;
                continue;
            }
            if class.is_none() {
                class = class_from_text(token.text);
                if class.is_some() {
                    self.check_class(class, &token)?;
                    continue;
                }
            }
            let rtype = self.rtype(&token)?;
            return Some((ttl, rtype, token.line));
        }
    }

    fn check_class(&mut self, class: Option<u16>, token: &Token<'_>) -> Option<()> {
        if class == Some(1) {
            return Some(());
        }
        self.error(
            Place::of(token),
            "class-mismatch",
            format!("class {}, zones here are of class IN", shown(token.text)),
        );
        None
    }

    fn rtype(&mut self, token: &Token<'_>) -> Option<u16> {
        match rdata::rtype_from_text(token.text) {
            // RFC 1123 section 6.1 calls them obsolete, and BIND refuses them.
            Some(rtype::MD | rtype::MF) => {
                self.error(
                    Place::of(token),
                    "obsolete-type",
                    format!("type {} is obsolete, use MX", shown(token.text)),
                );
                None
            }
            Some(rtype) if !token.quoted => Some(rtype),
            _ => {
                self.error(Place::of(token), "unknown-type", format!("unknown type {}", shown(token.text)));
                None
            }
        }
    }

    /// RFC 2181 section 8: a TTL with the highest bit set is taken as 0.
    fn limit_ttl(&mut self, seconds: u32, token: &Token<'_>) -> u32 {
        if seconds <= MAX_TTL {
            return seconds;
        }
        self.warn(
            Place::of(token),
            "ttl-over-limit",
            format!("TTL {} is over {MAX_TTL} and taken as 0", shown(token.text)),
        );
        0
    }

    /// The TTL in force for a record: its own, that of `$TTL`, that of the record before (RFC 1035 section 5.1).
    fn ttl_of(&mut self, own: Option<u32>, rtype: u16, place: Place) -> u32 {
        if let Some(ttl) = own.or(self.default_ttl) {
            return ttl;
        }
        if let Some(ttl) = self.last_ttl {
            if !std::mem::replace(&mut self.told_last_ttl, true) {
                self.warn(
                    place,
                    "ttl-from-last",
                    "record has no TTL and there is no $TTL; that of the record before is taken",
                );
            }
            return ttl;
        }
        if rtype == rtype::SOA {
            return self.ttl_from_soa(place);
        }
        self.error(place, "no-ttl", "record has no TTL, and there is no $TTL and no record before it");
        self.last_ttl = Some(0);
        self.told_last_ttl = true;
        0
    }

    /// BIND takes the minimum field of the SOA, which stands last in the arena, as if it were `$TTL`.
    fn ttl_from_soa(&mut self, place: Place) -> u32 {
        let minimum = self.out.arena.last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
        let ttl = if minimum > MAX_TTL { 0 } else { minimum };
        self.warn(place, "ttl-from-soa", format!("SOA has no TTL and there is no $TTL; its minimum {ttl} is taken"));
        self.default_ttl = Some(ttl);
        ttl
    }
}

/// The number of a class mnemonic, or of `CLASSnnn`.
fn class_from_text(text: &[u8]) -> Option<u16> {
    const CLASSES: [(&[u8], u16); 8] = [
        (b"IN", 1),
        (b"CH", 3),
        (b"CHAOS", 3),
        (b"HS", 4),
        (b"HESIOD", 4),
        (b"NONE", 254),
        (b"ANY", 255),
        (b"RESERVED0", 0),
    ];
    let known = CLASSES.iter().find(|(class, _)| class.eq_ignore_ascii_case(text));
    known.map(|(_, number)| *number).or_else(|| rdata::generic_number(text, b"CLASS"))
}

#[cfg(test)]
mod tests;
