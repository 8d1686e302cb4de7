//! Datagrams that are nearly queries: mutated ones by the ten thousand, each answered as promised or not at all.
// Tests say what they mean in the fewest words; pedantry is for the library.
#![allow(clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../fuzz/subject.rs"]
mod subject;

use subject::{Subject, seeds};

/// Mutations of one run; the fuzzer goes on from there.
const ROUNDS: usize = 100_000;

/// A generator that gives the same numbers each time (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    fn octet(&mut self) -> u8 {
        const INTERESTING: [u8; 12] = [0, 1, 2, 12, 41, 63, 64, 127, 128, 191, 192, 255];
        if self.below(2) == 0 { INTERESTING[self.below(INTERESTING.len())] } else { self.below(256) as u8 }
    }

    fn mutate(&mut self, query: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(query.len());
        match self.below(8) {
            0 if !query.is_empty() => query[at] ^= 1 << self.below(8),
            1 | 2 if !query.is_empty() => query[at] = self.octet(),
            3 => query.truncate(at),
            4 => query.insert(at, self.octet()),
            5 if !query.is_empty() => drop(query.remove(at)),
            // Half of another query, from its header on or from anywhere.
            6 => query.extend_from_slice(&other[self.below(other.len())..]),
            _ => (0..self.below(20)).for_each(|_| query.push(self.octet())),
        }
    }
}

#[test]
fn good_queries_are_all_answered_but_those_for_python() {
    let mut subject = Subject::new();
    for query in seeds() {
        // AXFR by UDP is refused before anybody asks whose zone it is.
        let lower = query.to_ascii_lowercase();
        let has = |part: &[u8]| lower.windows(part.len()).any(|found| found == part);
        // By IXFR Python says what changed (RFC 1995 section 2).
        let is_for_python = has(b"chained") && !has(&[0, 252]) || has(b"\x07example\0\0\xfb");
        assert_eq!(subject.check(&query).is_empty(), is_for_python, "{query:?}");
    }
}

#[test]
fn mutated_queries_are_answered_as_promised_or_not_at_all() {
    let (mut subject, seeds, mut dice) = (Subject::new(), seeds(), Dice(0x9e37_79b9_7f4a_7c15));
    let mut answered = 0;
    for _ in 0..ROUNDS {
        let mut query = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(4) {
            let other = dice.below(seeds.len());
            dice.mutate(&mut query, &seeds[other]);
        }
        answered += usize::from(!subject.check(&query).is_empty());
    }
    assert!(answered > ROUNDS / 4, "only {answered} of {ROUNDS} reached an answer");
}

#[test]
fn every_beginning_of_a_query_is_answered_as_promised_or_not_at_all() {
    let mut subject = Subject::new();
    for query in seeds() {
        for length in 0..query.len() {
            subject.check(&query[..length]);
        }
    }
}
