//! What changes from one published version to the next, record by record, signatures and proofs included.
//!
//! Names at which nothing changed cost a comparison of places and pointers: what was carried over is shared. A signature
//! that is the same covers the same, so that proofs of absence need not be made to be compared.

use std::sync::Arc;

use super::{Signature, SignedVersion, Slot, Unit};
use crate::diff::side_by_side;
use crate::message::rrtype;
use crate::nsec3;
use crate::run::{self, Change};

/// A record without its owner: type, TTL, rdata.
type Piece = (u16, u32, Vec<u8>);

impl SignedVersion {
    /// What leads from `previous` to this version; None when that is more than `most` octets.
    ///
    /// # Errors
    /// They are no versions of one zone, or one lacks signatures.
    pub fn changes_since(&self, previous: &Self, most: usize) -> Result<Option<Change>, String> {
        if self.signer != previous.signer {
            return Err("versions of two zones".to_owned());
        }
        if self.made() < self.total || previous.made() < previous.total {
            return Err("signatures are missing".to_owned());
        }
        let mut walk = Walk { older: previous, newer: self, keys: self.same_keys(previous), change: Change::default() };
        push_soa(previous, &mut walk.change.deleted);
        push_soa(self, &mut walk.change.added);
        Ok((walk.nodes(most) && walk.places(most)).then_some(walk.change))
    }

    /// About how many octets all its records have uncompressed, which is what a transfer of the whole zone costs.
    #[must_use]
    pub fn transfer_octets(&self) -> usize {
        let nodes = self.version.nodes().len();
        let (mut octets, mut names) = (0, 0);
        for node in 0..nodes {
            let owner = self.version.name_of(node).len();
            names += owner;
            // Each rdata stands behind its length here, too.
            octets += self
                .version
                .rrsets_of(node)
                .map(|rrset| rrset.octets().len() + rrset.count * (owner + 8))
                .sum::<usize>();
        }
        if self.plan.is_none() {
            return octets;
        }
        let owner = names / nodes.max(1);
        let head = owner + run::FIXED + size_of::<super::SignatureHead>() + self.signer.len();
        let signatures = self.filled().map(|(_, _, signature)| head + signature.octets.len()).sum::<usize>();
        octets + signatures + self.chain_len() * (2 * owner + 2 * run::FIXED)
    }

    /// The numbers of our keys in the version before; None where it was signed by others.
    fn same_keys(&self, previous: &Self) -> Option<Vec<usize>> {
        let is_alike = self.plan.is_some() == previous.plan.is_some() && self.keys().len() == previous.keys().len();
        is_alike.then(|| self.keys_carried(previous).into_iter().collect()).flatten()
    }

    /// Whether a unit is signed as one of the version before is; then it is the same.
    fn is_signed_as(&self, unit: Unit, previous: &Self, old: Unit, keys: &[usize]) -> bool {
        let mut signers = 0;
        for number in self.signers_of(unit) {
            let ours = self.slot(number, unit).and_then(Slot::get);
            let theirs = keys.get(number).and_then(|number| previous.slot(*number, old)).and_then(Slot::get);
            if !ours.zip(theirs).is_some_and(|(ours, theirs)| is_same(ours, theirs)) {
                return false;
            }
            signers += 1;
        }
        signers == previous.signers_of(old).count()
            && (signers > 0
                || match (unit, old) {
                    (Unit::Denial(place), Unit::Denial(old)) => self.same_denial(place, previous, old),
                    (Unit::RRset(..), Unit::RRset(..)) => true,
                    _ => false,
                })
    }
}

fn is_same(a: &Arc<Signature>, b: &Arc<Signature>) -> bool {
    Arc::ptr_eq(a, b) || ((a.inception, a.expiration) == (b.inception, b.expiration) && a.octets == b.octets)
}

fn push_soa(signed: &SignedVersion, run: &mut Vec<u8>) {
    if let Some(soa) = signed.version.soa() {
        soa.rdatas().for_each(|rdata| run::push(signed.version.origin(), rrtype::SOA, soa.ttl, rdata, run));
    }
}

struct Walk<'a> {
    older: &'a SignedVersion,
    newer: &'a SignedVersion,
    keys: Option<Vec<usize>>,
    change: Change,
}

impl Walk<'_> {
    /// All names; false when it becomes too much.
    fn nodes(&mut self, most: usize) -> bool {
        let (older, newer) = (self.older, self.newer);
        let compare = |old: usize, new: usize| older.version.compare_names(old, &newer.version, new);
        side_by_side(older.version.nodes().len(), newer.version.nodes().len(), compare, |old, new| {
            if !old.zip(new).is_some_and(|(old, new)| self.is_same_node(old, new)) {
                let before = old.map(|node| (older.version.name_of(node), pieces_of_node(older, node)));
                let after = new.map(|node| (newer.version.name_of(node), pieces_of_node(newer, node)));
                self.take(before, after);
            }
            self.change.octets() <= most
        })
    }

    fn is_same_node(&self, old: usize, new: usize) -> bool {
        let (older, newer) = (&self.older.version, &self.newer.version);
        let (theirs, ours) = (older.rrset_range(old), newer.rrset_range(new));
        if theirs.len() != ours.len() || !theirs.zip(ours).all(|(from, to)| older.same_rrset(from, newer, to)) {
            return false;
        }
        let Some(keys) = &self.keys else { return false };
        if self.newer.plan.is_none() {
            return true;
        }
        let mut olds = units(self.older, old);
        let mut news = units(self.newer, new);
        loop {
            match (news.next(), olds.next()) {
                (None, None) => return true,
                (Some(unit), Some(old)) if self.newer.is_signed_as(unit, self.older, old, keys) => {}
                _ => return false,
            }
        }
    }

    /// All NSEC3 records that are made here, which stand at names of their own; false when it becomes too much.
    fn places(&mut self, most: usize) -> bool {
        let (older, newer) = (self.older, self.newer);
        let (olds, news) = (older.made_chain(), newer.made_chain());
        let hash = |chain: Option<&nsec3::Chain>, place| chain.map(|chain| chain.hash_at(place));
        let length = |chain: Option<&nsec3::Chain>| chain.map_or(0, nsec3::Chain::len);
        let ordering = |old: usize, new: usize| hash(olds, old).cmp(&hash(news, new));
        side_by_side(length(olds), length(news), ordering, |old, new| {
            let units = old.map(Unit::Denial).zip(new.map(Unit::Denial)).zip(self.keys.as_ref());
            if !units.is_some_and(|((old, new), keys)| newer.is_signed_as(new, older, old, keys)) {
                let owner =
                    |chain, place| hash(chain, place).and_then(|hash| nsec3::owner(&hash, newer.version.origin()));
                let (from, to) = (old.and_then(|place| owner(olds, place)), new.and_then(|place| owner(news, place)));
                let before = old.zip(from.as_ref()).map(|(place, owner)| (owner.wire(), pieces_of_place(older, place)));
                let after = new.zip(to.as_ref()).map(|(place, owner)| (owner.wire(), pieces_of_place(newer, place)));
                self.take(before, after);
            }
            self.change.octets() <= most
        })
    }

    /// What one name's records were, and what they are.
    fn take(&mut self, before: Option<(&[u8], Vec<Piece>)>, after: Option<(&[u8], Vec<Piece>)>) {
        let (from, before) = before.unwrap_or_default();
        let (to, after) = after.unwrap_or_default();
        let Change { deleted, added } = &mut self.change;
        let order = |old: usize, new: usize| before.get(old).cmp(&after.get(new));
        side_by_side(before.len(), after.len(), order, |old, new| {
            match (old.and_then(|at| before.get(at)), new.and_then(|at| after.get(at))) {
                (Some((rtype, ttl, rdata)), None) => run::push(from, *rtype, *ttl, rdata, deleted),
                (None, Some((rtype, ttl, rdata))) => run::push(to, *rtype, *ttl, rdata, added),
                _ => {}
            }
            true
        });
    }
}

/// What is signed at a node's own name.
fn units(signed: &SignedVersion, node: usize) -> impl Iterator<Item = Unit> + '_ {
    let is_hashed = signed.denial.hashed().is_some();
    signed.units_of_node(node).filter(move |unit| !is_hashed || matches!(unit, Unit::RRset(..)))
}

fn pieces_of_node(signed: &SignedVersion, node: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    signed.each_of_node(node, |rtype, ttl, rdata| {
        if rtype != rrtype::SOA {
            pieces.push((rtype, ttl, rdata.to_vec()));
        }
    });
    pieces.sort_unstable();
    pieces
}

fn pieces_of_place(signed: &SignedVersion, place: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    signed.each_of_place(place, |rtype, ttl, rdata| pieces.push((rtype, ttl, rdata.to_vec())));
    pieces.sort_unstable();
    pieces
}
