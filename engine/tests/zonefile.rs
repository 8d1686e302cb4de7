//! The reader over zone files changed at random: what it promises holds for any octets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

#[path = "../fuzz/zonefile_subject.rs"]
#[allow(clippy::cast_possible_truncation)]
mod subject;

#[test]
fn every_seed_keeps_the_promises() {
    for seed in subject::seeds() {
        subject::check(&seed);
    }
}

#[test]
fn files_changed_at_random_keep_the_promises() {
    let (seeds, mut dice) = (subject::seeds(), subject::Dice::new(7));
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        subject::check(&subject::mutated(&seeds, &mut dice));
    }
}

/// Work grows with the size of the file, not with its square, whatever is wrong in it.
#[test]
fn hostile_files_take_linear_time() {
    let patterns: [&[u8]; 9] =
        [b"a A (\n", b"a TXT \"\n", b")\n", b"(", b"a\\", b"a A 1.2.3\n", b"$INCLUDE x\n", b"\"a", b"a TXT (x\n"];
    for pattern in patterns {
        let octets = pattern.repeat(4_000_000 / pattern.len());
        let start = Instant::now();
        subject::check(&octets);
        let took = start.elapsed();
        // A guard against hanging: what grows with the square takes hours.
        assert!(took < Duration::from_mins(2), "{took:?} for {:?}", String::from_utf8_lossy(pattern));
    }
}
