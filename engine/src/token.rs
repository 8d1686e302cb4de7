//! Tokens of master-file text, one logical line at a time (RFC 1035 section 5.1).
//!
//! A *logical line* ends at a newline outside parentheses. Tokens are slices of the text, escapes still in them.
//! After a fault the lexer stands where reading can go on, so that one mistake hides no other.
//!
//! **Limits**: at most `MAX_TOKENS` tokens a line, `MAX_RESUMES` recoveries from parentheses that never close.

/// Tokens that one logical line may have: twice the octets of the longest rdata, for hex given digit by digit.
const MAX_TOKENS: usize = 131_100;
/// How often reading goes on inside text that an unclosed parenthesis swallowed; each may cost a pass over the file.
const MAX_RESUMES: u8 = 8;

/// One word or quoted string.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// Without the quotes, escapes as they stand.
    pub text: &'a [u8],
    /// From 1.
    pub line: u32,
    /// From 1, in octets.
    pub column: u32,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// The tokens of a record that are still to be taken.
pub struct Tokens<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
}

impl<'t, 'a> Tokens<'t, 'a> {
    /// All of `tokens`.
    #[must_use]
    pub fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens, at: 0 }
    }

    /// Takes the next one.
    #[allow(clippy::should_implement_trait, reason = "an iterator could not be asked where it stands")]
    pub fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// The next one, not taken.
    #[must_use]
    pub fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    /// The one after the next.
    #[must_use]
    pub fn peek_second(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at + 1).copied()
    }

    /// How many were taken: the index of the next one.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.at
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.tokens.len().saturating_sub(self.at)
    }
}

/// What is wrong with the text itself, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: u32,
    /// From 1, in octets.
    pub column: u32,
    /// A stable id in kebab case.
    pub rule: &'static str,
    /// What was found.
    pub message: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Blank,
    Return,
    Newline,
    Comment,
    Open,
    Close,
    Quote,
    Backslash,
    Nul,
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Word; 256];
    classes[b' ' as usize] = Class::Blank;
    classes[b'\t' as usize] = Class::Blank;
    classes[b'\r' as usize] = Class::Return;
    classes[b'\n' as usize] = Class::Newline;
    classes[b';' as usize] = Class::Comment;
    classes[b'(' as usize] = Class::Open;
    classes[b')' as usize] = Class::Close;
    classes[b'"' as usize] = Class::Quote;
    classes[b'\\' as usize] = Class::Backslash;
    classes[0] = Class::Nul;
    classes
};

fn class(octet: u8) -> Class {
    CLASSES.get(usize::from(octet)).copied().unwrap_or(Class::Word)
}

#[derive(Clone, Copy)]
struct Place {
    at: usize,
    line: u32,
    line_start: usize,
}

/// Reads logical lines from one text.
pub struct Lexer<'a> {
    octets: &'a [u8],
    place: Place,
    resumes: u8,
    had_parentheses: bool,
}

impl<'a> Lexer<'a> {
    /// From the first octet, which is on line 1.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self { octets, place: Place { at: 0, line: 1, line_start: 0 }, resumes: 0, had_parentheses: false }
    }

    /// The line it stands on.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.place.line
    }

    /// Whether the line read last had parentheses.
    #[must_use]
    pub fn had_parentheses(&self) -> bool {
        self.had_parentheses
    }

    /// Whether the text ends within a line.
    #[must_use]
    pub fn lacks_final_newline(&self) -> bool {
        self.octets.last().is_some_and(|octet| !matches!(octet, b'\n' | b'\r'))
    }

    /// Puts the next line that is not empty into `tokens`; whether it began with white space; None at the end.
    ///
    /// # Errors
    /// When quotes or parentheses don't match or there are too many tokens; the next call goes on behind it.
    pub fn next_line(&mut self, tokens: &mut Vec<Token<'a>>) -> Result<Option<bool>, Fault> {
        loop {
            tokens.clear();
            let Some(&first) = self.octets.get(self.place.at) else { return Ok(None) };
            self.scan(tokens)?;
            if !tokens.is_empty() {
                return Ok(Some(class(first) == Class::Blank));
            }
        }
    }

    fn scan(&mut self, tokens: &mut Vec<Token<'a>>) -> Result<(), Fault> {
        self.had_parentheses = false;
        let mut depth = 0_u32;
        let mut opened = self.place;
        let mut fault: Option<(Fault, Place)> = None;
        while let Some(&octet) = self.octets.get(self.place.at) {
            match class(octet) {
                Class::Word | Class::Backslash => self.word(tokens),
                Class::Blank => self.place.at += 1,
                Class::Return => self.carriage_return(),
                Class::Newline => self.newline(),
                Class::Comment => self.skip_line(),
                Class::Quote => {
                    if let Err(found) = self.quoted(tokens) {
                        fault = fault.or(Some((found, self.place)));
                    }
                }
                Class::Open => {
                    if depth == 0 {
                        opened = self.place;
                    }
                    depth = depth.saturating_add(1);
                    self.had_parentheses = true;
                    self.place.at += 1;
                }
                Class::Close if depth == 0 => {
                    let found =
                        Self::fault(self.place, "unbalanced-parentheses", "closing parenthesis without an opening one");
                    self.skip_line();
                    fault = fault.or(Some((found, self.place)));
                }
                Class::Nul => {
                    let found = Self::fault(self.place, "nul-octet", "octet 0 outside quotes; write it as \\000");
                    self.place.at += 1;
                    fault = fault.or(Some((found, self.place)));
                }
                Class::Close => {
                    depth -= 1;
                    self.place.at += 1;
                }
            }
            if tokens.len() > MAX_TOKENS && fault.is_none() {
                fault = Some((
                    Self::fault(self.place, "line-too-long", "more than 131100 tokens in one record"),
                    self.place,
                ));
            }
            if fault.is_some() {
                tokens.clear();
            }
            if depth == 0 && matches!(class(octet), Class::Newline | Class::Return) {
                return fault.map_or(Ok(()), |(found, _)| Err(found));
            }
        }
        if depth > 0 && fault.is_none() {
            let found = Self::fault(opened, "unbalanced-parentheses", "opening parenthesis is never closed");
            self.resume(opened);
            return Err(found);
        }
        match fault {
            Some((found, place)) if depth > 0 => {
                self.resume(place);
                Err(found)
            }
            Some((found, _)) => Err(found),
            None => Ok(()),
        }
    }

    /// Goes on at the line after `place`, as long as that was not done too often.
    fn resume(&mut self, place: Place) {
        if self.resumes < MAX_RESUMES {
            self.resumes += 1;
            self.place = place;
            self.skip_line();
            if self.place.at < self.octets.len() {
                self.newline();
            }
        }
    }

    fn fault(place: Place, rule: &'static str, message: &'static str) -> Fault {
        Fault { line: place.line, column: column(place.at, place.line_start), rule, message }
    }

    fn newline(&mut self) {
        self.place.at += 1;
        self.place.line = self.place.line.saturating_add(1);
        self.place.line_start = self.place.at;
    }

    /// A carriage return ends a line, with or without the newline after it, as in BIND.
    fn carriage_return(&mut self) {
        self.place.at += 1;
        if self.octets.get(self.place.at) == Some(&b'\n') {
            self.newline();
        }
    }

    /// To the newline, which is left.
    fn skip_line(&mut self) {
        let rest = self.octets.get(self.place.at..).unwrap_or(&[]);
        self.place.at += rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
    }

    fn word(&mut self, tokens: &mut Vec<Token<'a>>) {
        let start = self.place.at;
        let mut end = start;
        while let Some(rest) = self.octets.get(end..) {
            end += rest.iter().position(|octet| class(*octet) != Class::Word).unwrap_or(rest.len());
            if self.octets.get(end) != Some(&b'\\') {
                break;
            }
            end += 1;
            // An escaped newline still ends the line, as in BIND.
            if self.octets.get(end).is_some_and(|octet| !matches!(octet, b'\r' | b'\n')) {
                end += 1;
            }
        }
        self.push(tokens, start, end, start, false);
        self.place.at = end;
    }

    fn push(&self, tokens: &mut Vec<Token<'a>>, start: usize, end: usize, shown: usize, quoted: bool) {
        let text = self.octets.get(start..end).unwrap_or(&[]);
        tokens.push(Token { text, line: self.place.line, column: column(shown, self.place.line_start), quoted });
    }

    fn quoted(&mut self, tokens: &mut Vec<Token<'a>>) -> Result<(), Fault> {
        let start = self.place;
        self.place.at += 1;
        while let Some(&octet) = self.octets.get(self.place.at) {
            match octet {
                b'"' => {
                    let text = self.octets.get(start.at + 1..self.place.at).unwrap_or(&[]);
                    let column = column(start.at, start.line_start);
                    tokens.push(Token { text, line: start.line, column, quoted: true });
                    self.place.at += 1;
                    return Ok(());
                }
                b'\n' => break,
                b'\\' => {
                    self.place.at += 1;
                    match self.octets.get(self.place.at) {
                        Some(b'\n') => self.newline(),
                        Some(_) => self.place.at += 1,
                        None => break,
                    }
                }
                _ => self.place.at += 1,
            }
        }
        Err(Self::fault(start, "unbalanced-quotes", "opening quote is not closed on its line"))
    }
}

fn column(at: usize, line_start: usize) -> u32 {
    u32::try_from(at.saturating_sub(line_start)).unwrap_or(u32::MAX).saturating_add(1)
}
