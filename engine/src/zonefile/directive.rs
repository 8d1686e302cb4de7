//! Lines that begin with `$`: `$ORIGIN`, `$TTL`, `$INCLUDE`, `$DATE`; `$GENERATE` has a file of its own.

use super::{Place, Reader, Source};
use crate::name::Name;
use crate::rdata::{self, shown};
use crate::token::{Token, Tokens};

/// Files open at once, that of the zone counted.
const MAX_DEPTH: usize = 8;
/// Different files of one zone.
const MAX_FILES: usize = 64;
/// How often files may be included in all.
const MAX_INCLUSIONS: u32 = 4096;
/// Octets of files that are included again: what a small repository can make of itself.
const MAX_REPEATED: u64 = 1 << 26;

impl<'a> Reader<'a, '_> {
    pub(super) fn directive(&mut self, all: &[Token<'a>]) {
        let mut tokens = Tokens::new(all);
        let Some(word) = tokens.next() else { return };
        let upper = word.text.get(..word.text.len().min(10)).unwrap_or(&[]).to_ascii_uppercase();
        match upper.as_slice() {
            b"$ORIGIN" => self.origin_line(all, &mut tokens),
            b"$TTL" => self.ttl_line(all, &mut tokens),
            b"$INCLUDE" => self.include(all, &mut tokens),
            b"$GENERATE" => self.generate(all, &mut tokens),
            b"$DATE" => self.warn(Place::of(&word), "date-ignored", "$DATE has no effect"),
            _ => {
                let known = "$ORIGIN, $TTL, $INCLUDE, $GENERATE";
                self.error(
                    Place::of(&word),
                    "unknown-directive",
                    format!("unknown directive {}; known are {known}", shown(word.text)),
                );
            }
        }
    }

    /// The next argument; says what is missing.
    pub(super) fn argument(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>, what: &str) -> Option<Token<'a>> {
        let token = tokens.next();
        if token.is_none() {
            self.error(Place::after(all), "bad-directive", format!("directive ends where {what} is expected"));
        }
        token
    }

    /// Says what stands behind the last argument.
    pub(super) fn end_of_line(&mut self, tokens: &mut Tokens<'_, 'a>) {
        if let Some(extra) = tokens.next() {
            self.error(
                Place::of(&extra),
                "bad-directive",
                format!("{} after the end of the directive", shown(extra.text)),
            );
        }
    }

    fn origin_argument(&mut self, token: &Token<'_>) -> Option<Name> {
        if token.text == b"@" {
            return Some(self.origin.clone());
        }
        match Name::from_text(token.text, &self.origin) {
            Ok(origin) => Some(origin),
            Err(reason) => {
                self.error(Place::of(token), "bad-name", format!("origin {}: {reason}", shown(token.text)));
                None
            }
        }
    }

    fn origin_line(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>) {
        let Some(token) = self.argument(all, tokens, "a domain name") else { return };
        if let Some(origin) = self.origin_argument(&token) {
            self.set_origin(origin);
            self.origin_changed = true;
        }
        self.end_of_line(tokens);
    }

    fn ttl_line(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>) {
        let Some(token) = self.argument(all, tokens, "a TTL") else { return };
        match rdata::ttl_from_text(token.text) {
            Some(seconds) => {
                let ttl = self.limit_ttl(seconds, &token);
                self.default_ttl = Some(ttl);
                self.last_ttl = Some(ttl);
            }
            None => self.error(Place::of(&token), "bad-ttl", format!("{} is not a TTL in 32 bits", shown(token.text))),
        }
        self.end_of_line(tokens);
    }

    fn include(&mut self, all: &[Token<'a>], tokens: &mut Tokens<'_, 'a>) {
        let Some(file) = self.argument(all, tokens, "a file name") else { return };
        let place = Place::of(&file);
        let origin = match tokens.next() {
            Some(token) => self.origin_argument(&token),
            None => Some(self.origin.clone()),
        };
        self.end_of_line(tokens);
        if !self.limits.includes {
            self.error(place, "include-off", "$INCLUDE is not allowed here");
            return;
        }
        let Ok(text) = std::str::from_utf8(file.text) else {
            self.error(place, "bad-directive", format!("file name {} is not UTF-8", shown(file.text)));
            return;
        };
        let (Some(origin), Some(frame)) = (origin, self.frames.last()) else { return };
        let path = join(frame.name, text);
        if let Some(source) = self.find(&path, place) {
            self.enter(&source, origin, place);
        }
    }

    /// The source of this name; says that it is missing.
    fn find(&mut self, path: &str, place: Place) -> Option<Source<'a>> {
        let found = self.sources.iter().find(|source| source.name == path).copied();
        if found.is_none() {
            self.error(place, "include-missing", format!("included file {} is not there", shown(path.as_bytes())));
            let missing = &mut self.out.missing_includes;
            if missing.len() < MAX_FILES && !missing.iter().any(|name| name == path) {
                missing.push(path.to_owned());
            }
        }
        found
    }

    fn enter(&mut self, source: &Source<'a>, origin: Name, place: Place) {
        if self.frames.iter().any(|frame| frame.name == source.name) {
            self.error(place, "include-cycle", format!("{} includes itself", shown(source.name.as_bytes())));
            return;
        }
        let file = self.out.files.iter().position(|name| name == source.name).unwrap_or(self.out.files.len());
        if let Some(limit) = self.broken_limit(source, file) {
            self.error(place, "include-limit", limit);
            return;
        }
        self.inclusions += 1;
        if !self.out.included.iter().any(|name| name == source.name) {
            self.out.included.push(source.name.to_owned());
        }
        let outer = (std::mem::replace(&mut self.origin, origin.clone()), self.owner);
        self.set_origin(origin);
        self.open(source, u16::try_from(file).unwrap_or(0));
        if let Some(frame) = self.frames.last_mut() {
            frame.outer = Some(outer);
        }
    }

    fn broken_limit(&self, source: &Source<'_>, file: usize) -> Option<String> {
        if self.frames.len() >= MAX_DEPTH {
            return Some(format!("files are included more than {MAX_DEPTH} deep"));
        }
        if file >= MAX_FILES {
            return Some(format!("more than {MAX_FILES} files"));
        }
        if self.inclusions >= MAX_INCLUSIONS {
            return Some(format!("more than {MAX_INCLUSIONS} inclusions"));
        }
        let again = if file < self.out.files.len() { source.octets.len() as u64 } else { 0 };
        (self.octets_repeated + again > MAX_REPEATED)
            .then(|| format!("more than {MAX_REPEATED} octets of files included again"))
    }
}

/// `path` seen from the directory of the file `from`, without `.` and inner `..`; one that leads above the top
/// keeps its leading `..`.
fn join(from: &str, path: &str) -> String {
    let directory = match from.rfind('/') {
        Some(at) if !path.starts_with('/') => from.get(..=at).unwrap_or(""),
        _ => "",
    };
    let whole = format!("{directory}{path}");
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                let _ = parts.pop();
            }
            ".." if whole.starts_with('/') => {}
            other => parts.push(other),
        }
    }
    format!("{}{}", if whole.starts_with('/') { "/" } else { "" }, parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn included_names_are_joined_with_the_including_files_directory() {
        assert_eq!(join("d/f", "x"), "d/x");
        assert_eq!(join("f", "x"), "x");
        assert_eq!(join("d/e/f", "../x//./y"), "d/x/y");
        assert_eq!(join("d/f", "../../x"), "../x");
        assert_eq!(join("/d/f", "../../x"), "/x");
        assert_eq!(join("d/f", "/x/../y"), "/y");
    }
}
