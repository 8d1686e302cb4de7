//! What must hold for any octets that are read as a zone file; shared by the fuzz target, the fuzz program and a test.

use zonewright_engine::name::{self, Name};
use zonewright_engine::rdata;
use zonewright_engine::zonefile::{Limits, Records, Source, read};

const LINES: &str = include_str!("../../tests/vectors/masterfile_lines.txt");

/// Reads the octets and asserts what the reader promises.
pub fn check(octets: &[u8]) -> Records {
    let origin = Name::from_text(b"example.com.", name::ROOT).expect("a name");
    let sources = [Source { name: "d/z", octets }, Source { name: "d/x", octets }];
    let limits = Limits { includes: true, max_records: 0, max_generate: 200 };
    let records = read(&origin, &sources, &limits);
    for record in &records.records {
        check_record(&records, record.rtype, records.owner(record), records.rdata(record));
        assert!(usize::from(record.file) < records.files.len() && record.line > 0 && record.ttl <= 0x7fff_ffff);
    }
    for finding in &records.diagnostics {
        assert!(!finding.rule.is_empty() && finding.message.len() < 600, "{finding:?}");
        assert!(!finding.message.chars().any(char::is_control), "{finding:?}");
    }
    assert!(records.diagnostics.len() <= 2002 * records.files.len());
    records
}

fn check_record(records: &Records, rtype: u16, owner: &[u8], octets: &[u8]) {
    assert!(name::check(owner) && name::is_at_or_below(owner, &records.origin), "{owner:?}");
    assert_eq!(rdata::check(rtype, octets), Ok(()), "type {rtype}: {octets:02x?}");
    let (mut text, mut again) = (Vec::new(), Vec::new());
    rdata::to_text(rtype, octets, &mut text);
    let shown = String::from_utf8_lossy(&text);
    assert_eq!(rdata::from_line(rtype, &text, name::ROOT, &mut again), Ok(()), "type {rtype}: {shown}");
    assert_eq!(octets, again, "type {rtype}: {shown}");
}

/// A stream of octets from a seed (xorshift).
pub struct Dice(u64);

impl Dice {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`, which is not 0.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

/// The lines of the vectors, unescaped.
pub fn seeds() -> Vec<Vec<u8>> {
    LINES.lines().filter(|line| !line.starts_with('#')).map(unescaped).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let line = line.strip_prefix("RAW ").unwrap_or(line);
    let mut out = Vec::new();
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        match (letter, letter == '\\') {
            (_, true) => match rest.next() {
                Some('n') => out.push(b'\n'),
                Some('r') => out.push(b'\r'),
                Some('x') => {
                    let digits: String = rest.by_ref().take(2).collect();
                    out.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
                }
                other => out.push(other.map_or(b'\\', |letter| letter as u8)),
            },
            _ => out.push(letter as u8),
        }
    }
    out
}

/// A zone file made of a few seeds, then changed at random.
pub fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"(",
        b")",
        b"\"",
        b"\\",
        b"\n",
        b" ",
        b";",
        b"$INCLUDE x\n",
        b"$ORIGIN a.",
        b"@",
        b"\\# 4 ",
        b"0",
        b"-",
        b"\0",
        b"\\255",
        b"\xc3\xbc",
    ];
    let mut out = b"$TTL 3600\n@ SOA ns h 1 2 3 4 5\n".to_vec();
    for _ in 0..=dice.below(4) {
        out.extend_from_slice(&seeds[dice.below(seeds.len())]);
    }
    for _ in 0..dice.below(8) {
        let at = dice.below(out.len());
        match dice.below(5) {
            0 => out[at] ^= 1 << dice.below(8),
            1 => {
                let end = (at + 1 + dice.below(8)).min(out.len());
                out.drain(at..end);
            }
            2 => {
                let end = (at + 1 + dice.below(16)).min(out.len());
                let part = out[at..end].to_vec();
                let to = dice.below(out.len());
                out.splice(to..to, part);
            }
            _ => {
                out.splice(at..at, PIECES[dice.below(PIECES.len())].iter().copied());
            }
        }
        if out.is_empty() {
            out.push(b'\n');
        }
    }
    out
}
