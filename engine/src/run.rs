//! Record runs: resource records one after another in uncompressed wire format, and changes, which are two of them.
//!
//! A run has no count, and class IN throughout. A *change* leads from one version of a zone to another: what is deleted,
//! and what is added, each run beginning with the SOA of its version, as a difference sequence of an IXFR does (RFC 1995
//! section 4). In this form changes lie in the journal, cross to Python and become messages.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::message::{CLASS_IN, rrtype};
use crate::name;

/// Octets between owner and rdata: type, class, TTL, length.
pub const FIXED: usize = 10;

/// One record of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// All of it.
    pub octets: &'a [u8],
    /// Wire name.
    pub owner: &'a [u8],
    /// Type.
    pub rtype: u16,
    /// TTL.
    pub ttl: u32,
    /// Rdata, its names uncompressed.
    pub rdata: &'a [u8],
}

/// Octets that are no run of whole records of class IN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Append a record.
pub fn push(owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8], run: &mut Vec<u8>) {
    run.extend_from_slice(owner);
    run.extend(rtype.to_be_bytes());
    run.extend(CLASS_IN.to_be_bytes());
    run.extend(ttl.to_be_bytes());
    run.extend(u16::try_from(rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
    run.extend_from_slice(rdata);
}

/// The first record, and what follows it.
#[must_use]
pub fn split_first(run: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (record, class, rest) = split(run)?;
    (class == CLASS_IN).then_some((record, rest))
}

/// The first record of whatever class, that class, and what follows.
#[must_use]
pub fn split(run: &[u8]) -> Option<(Record<'_>, u16, &[u8])> {
    let (owner, rest) = run.split_at_checked(name::length(run)?)?;
    let (&[t0, t1, c0, c1, l0, l1, l2, l3, r0, r1], rest) = rest.split_first_chunk::<FIXED>()?;
    let (rdata, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([r0, r1])))?;
    let octets = run.get(..run.len() - rest.len())?;
    let (rtype, ttl) = (u16::from_be_bytes([t0, t1]), u32::from_be_bytes([l0, l1, l2, l3]));
    Some((Record { octets, owner, rtype, ttl, rdata }, u16::from_be_bytes([c0, c1]), rest))
}

/// The records of a run; after the first malformed one nothing.
pub fn records(run: &[u8]) -> impl Iterator<Item = Result<Record<'_>, Malformed>> {
    let mut rest = run;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let first = split_first(rest);
        rest = first.map_or(&[], |(_, after)| after);
        Some(first.map(|(record, _)| record).ok_or(Malformed))
    })
}

/// How many records a run has.
///
/// # Errors
/// It is malformed.
pub fn count(run: &[u8]) -> Result<usize, Malformed> {
    records(run).try_fold(0, |count, record| record.map(|_| count + 1))
}

/// What leads from one version to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What is deleted.
    pub deleted: Vec<u8>,
    /// What is added.
    pub added: Vec<u8>,
}

impl Change {
    /// Octets of both runs.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.deleted.len() + self.added.len()
    }
}

/// A record that some change deletes or adds: what the first of them does with it, and the last.
struct Fate<'a> {
    record: Record<'a>,
    is_new: bool,
    is_there: bool,
}

/// Several changes, each beginning where the one before ends, as one (RFC 1995 section 5).
///
/// # Errors
/// A run is malformed or does not begin with an SOA, or there is no change.
pub fn folded(changes: &[(&[u8], &[u8])]) -> Result<Change, Malformed> {
    let mut folding = Folding::default();
    for (deleted, added) in changes {
        folding.take(deleted, false)?;
        folding.take(added, true)?;
    }
    let (first, last) = changes.first().zip(changes.last()).ok_or(Malformed)?;
    let mut change = Change { deleted: soa_of(first.0)?.to_vec(), added: soa_of(last.1)?.to_vec() };
    for fate in folding.fates {
        match (fate.is_new, fate.is_there) {
            (false, false) => change.deleted.extend_from_slice(fate.record.octets),
            (true, true) => change.added.extend_from_slice(fate.record.octets),
            _ => {}
        }
    }
    Ok(change)
}

/// The SOA that a run of a change begins with.
fn soa_of(run: &[u8]) -> Result<&[u8], Malformed> {
    let first = split_first(run).filter(|(record, _)| record.rtype == rrtype::SOA);
    first.map(|(record, _)| record.octets).ok_or(Malformed)
}

#[derive(Default)]
struct Folding<'a> {
    fates: Vec<Fate<'a>>,
    index: HashTable<usize>,
    hasher: RandomState,
}

impl<'a> Folding<'a> {
    fn take(&mut self, run: &'a [u8], is_there: bool) -> Result<(), Malformed> {
        let _soa = soa_of(run)?;
        for record in records(run) {
            let record = record?;
            if record.rtype != rrtype::SOA {
                self.note(record, is_there);
            }
        }
        Ok(())
    }

    fn note(&mut self, record: Record<'a>, is_there: bool) {
        let hash = hash(&self.hasher, &record);
        let (fates, hasher) = (&mut self.fates, &self.hasher);
        let known = self.index.find(hash, |at| fates.get(*at).is_some_and(|fate| is_same(&fate.record, &record)));
        if let Some(fate) = known.and_then(|at| fates.get_mut(*at)) {
            (fate.record, fate.is_there) = (record, is_there);
            return;
        }
        let at = fates.len();
        fates.push(Fate { record, is_new: is_there, is_there });
        let rehash = |at: &usize| fates.get(*at).map_or(0, |fate| self::hash(hasher, &fate.record));
        self.index.insert_unique(hash, at, rehash);
    }
}

/// An owner's case may change from version to version, which is no change of the record.
fn hash(hasher: &RandomState, record: &Record<'_>) -> u64 {
    let owner = name::lower(record.owner);
    hasher.hash_one((owner.as_slice(), record.rtype, record.ttl, record.rdata))
}

fn is_same(a: &Record<'_>, b: &Record<'_>) -> bool {
    (a.rtype, a.ttl) == (b.rtype, b.ttl) && a.rdata == b.rdata && name::equal(a.owner, b.owner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn run(records: &[(&[u8], u16, u8)]) -> Vec<u8> {
        let mut run = Vec::new();
        for (owner, rtype, rdata) in records {
            push(owner, *rtype, 60, &[*rdata], &mut run);
        }
        run
    }

    const APEX: &[u8] = b"\x01z\x00";

    #[test]
    fn what_comes_and_goes_again_is_not_in_what_is_folded() {
        let changes = [
            (run(&[(APEX, 6, 1), (b"\x01a\x00", 1, 1)]), run(&[(APEX, 6, 2), (b"\x01B\x00", 1, 2)])),
            (run(&[(APEX, 6, 2), (b"\x01b\x00", 1, 2)]), run(&[(APEX, 6, 3), (b"\x01A\x00", 1, 1)])),
            (run(&[(APEX, 6, 3), (b"\x01c\x00", 1, 3)]), run(&[(APEX, 6, 4), (b"\x01c\x00", 1, 4)])),
        ];
        let parts: Vec<(&[u8], &[u8])> = changes.iter().map(|(deleted, added)| (&deleted[..], &added[..])).collect();
        let folded = folded(&parts).unwrap();
        assert_eq!(folded.deleted, run(&[(APEX, 6, 1), (b"\x01c\x00", 1, 3)]));
        assert_eq!(folded.added, run(&[(APEX, 6, 4), (b"\x01c\x00", 1, 4)]));
    }

    #[test]
    fn what_is_cut_short_is_no_run() {
        let whole = run(&[(APEX, 6, 1), (b"\x01a\x00", 1, 1)]);
        assert_eq!(count(&whole), Ok(2));
        for length in 1..whole.len() {
            let is_whole = length == whole.len() / 2;
            assert_eq!(count(&whole[..length]).is_ok(), is_whole);
        }
        assert_eq!(folded(&[]), Err(Malformed));
        assert_eq!(folded(&[(&run(&[(APEX, 1, 1)]), &run(&[(APEX, 6, 2)]))]), Err(Malformed));
    }
}
