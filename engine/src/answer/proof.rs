//! Proofs of absence in an answer: NSEC (RFC 4035 section 3.1.3), NSEC3 (RFC 5155 section 7.2), compact (RFC 9824).

use super::{Answer, Denial, NameBuffer, is_proof, keyed};
use crate::denial::compact_rdata;
use crate::message::{Full, Section, rrtype};
use crate::name;
use crate::nsec3::{self, Chain};
use crate::signed::Unit;
use crate::version::{RRset, is};

impl Answer<'_, '_, '_> {
    // ------------------------------------------------------------------ what is to be proved

    /// The name exists, or the wildcard that stands for it, and has not the type.
    pub(super) fn deny_type(&mut self, node: usize, encloser: Option<usize>) -> Result<(), Full> {
        match (self.zone.denial(), encloser) {
            // RFC 4035 sections 3.1.3.1 and 3.1.3.4.
            (Denial::Nsec, _) => {
                self.deny_at(node)?;
                self.expansion(encloser)
            }
            (Denial::Nsec3(chain), None) => self.deny_existing(chain, node),
            // RFC 5155 section 7.2.5.
            (Denial::Nsec3(chain), Some(encloser)) => {
                let lower = self.lower;
                let encloser = self.deny_closer(chain, encloser, &lower)?;
                let wildcard = self.wildcard_below(encloser);
                match chain.place_of(self.version, node) {
                    Some(place) => self.deny(place),
                    None => self.deny_covering(chain, wildcard.wire()),
                }
            }
            (Denial::Compact, _) => {
                let owner = self.owner;
                self.compact(Section::Authority, &owner, Some(node))
            }
        }
    }

    /// Neither the name nor a wildcard for it exists.
    pub(super) fn deny_name(&mut self, encloser: usize) -> Result<(), Full> {
        match self.zone.denial() {
            // RFC 4035 section 3.1.3.2.
            Denial::Nsec => {
                self.deny_at(self.version.predecessor(self.lower.wire(), encloser))?;
                let wildcard = self.wildcard_below(encloser);
                self.deny_at(self.version.predecessor(wildcard.wire(), encloser))
            }
            // RFC 5155 section 7.2.2.
            Denial::Nsec3(chain) => {
                let lower = self.lower;
                let encloser = self.deny_closer(chain, encloser, &lower)?;
                self.deny_wildcard(chain, encloser)
            }
            Denial::Compact => {
                let owner = self.owner;
                self.compact(Section::Authority, &owner, None)
            }
        }
    }

    /// A delegation has no DS: RFC 4035 section 3.1.4, RFC 5155 section 7.2.7, RFC 9824 section 3.4.
    pub(super) fn deny_delegation(&mut self, cut: usize) -> Result<(), Full> {
        match self.zone.denial() {
            Denial::Nsec => self.deny_at(cut),
            Denial::Nsec3(chain) => self.deny_existing(chain, cut),
            Denial::Compact => {
                let owner = NameBuffer::of(self.version.name_of(cut));
                self.compact(Section::Authority, &owner, Some(cut))
            }
        }
    }

    /// A wildcard answered, so the name itself does not exist.
    pub(super) fn expansion(&mut self, encloser: Option<usize>) -> Result<(), Full> {
        self.settle()?;
        match self.place_of_expansion(encloser) {
            Some(place) => self.deny(place),
            None => Ok(()),
        }
    }

    /// The same for an alias made by a wildcard: its proof has to wait until the answer section is whole.
    pub(super) fn owe_expansion(&mut self, encloser: Option<usize>) {
        if let Some(place) = self.place_of_expansion(encloser) {
            self.owed.push((self.number, place));
        }
    }

    /// Write the proofs that aliases left, ahead of all else in the authority section.
    pub(super) fn settle(&mut self) -> Result<(), Full> {
        let mut owed = std::mem::take(&mut self.owed).into_iter();
        owed.try_for_each(|(number, place)| self.within(number, |answer| answer.deny(place)))
    }

    fn place_of_expansion(&mut self, encloser: Option<usize>) -> Option<usize> {
        let encloser = encloser.filter(|_| self.proofs)?;
        match self.zone.denial() {
            // RFC 4035 section 3.1.3.3.
            Denial::Nsec => self.chain_at(self.version.predecessor(self.lower.wire(), encloser)),
            // RFC 5155 section 7.2.6.
            Denial::Nsec3(chain) => {
                let closer = next_closer(self.lower.wire(), self.version.name_of(encloser).len());
                let place = chain.covering(closer);
                self.collided |= place.is_err();
                place.ok()
            }
            // The name is claimed to exist, and its signature says so (RFC 9824 section 3.3).
            Denial::Compact => None,
        }
    }

    // ------------------------------------------------------------------ NSEC

    /// The NSEC at this node or, where it has none, the last one before it.
    fn deny_at(&mut self, node: usize) -> Result<(), Full> {
        self.chain_at(node).map_or(Ok(()), |place| self.deny(place))
    }

    fn chain_at(&self, node: usize) -> Option<usize> {
        self.version.node(node).map(|node| node.chain as usize)
    }

    // ------------------------------------------------------------------ NSEC3

    /// RFC 5155 sections 7.2.3, 7.2.4 and 7.2.7: the NSEC3 that matches the name or, where opt-out left it out, the proof of
    /// its closest provable encloser.
    fn deny_existing(&mut self, chain: &Chain, node: usize) -> Result<(), Full> {
        if let Some(place) = chain.place_of(self.version, node) {
            return self.deny(place);
        }
        let parent = self.version.node(node).map_or(0, |node| node.parent as usize);
        let lower = NameBuffer::lower(self.version.name_of(node));
        self.deny_closer(chain, parent, &lower).map(|_| ())
    }

    /// The closest provable encloser proof (RFC 5155 section 7.2.1) for a name, upwards from `encloser`; the one proved.
    fn deny_closer(&mut self, chain: &Chain, mut encloser: usize, lower: &NameBuffer) -> Result<usize, Full> {
        let place = loop {
            if let Some(place) = chain.place_of(self.version, encloser) {
                break Some(place);
            }
            match self.version.node(encloser) {
                Some(node) if !node.is(is::APEX) => encloser = node.parent as usize,
                _ => break None,
            }
        };
        if let Some(place) = place {
            self.deny(place)?;
        }
        self.deny_covering(chain, next_closer(lower.wire(), self.version.name_of(encloser).len()))?;
        Ok(encloser)
    }

    /// No wildcard below the encloser that was proved. Where a zone brings a chain along that leaves out empty non-terminals
    /// by opt-out, that one is too high, and may have a wildcard: then there is no proof, and its NSEC3 shows why.
    fn deny_wildcard(&mut self, chain: &Chain, encloser: usize) -> Result<(), Full> {
        let wildcard = self.wildcard_below(encloser);
        match self.version.find(wildcard.wire()).and_then(|node| chain.place_of(self.version, node)) {
            Some(place) => self.deny(place),
            None => self.deny_covering(chain, wildcard.wire()),
        }
    }

    fn deny_covering(&mut self, chain: &Chain, lower: &[u8]) -> Result<(), Full> {
        let Ok(place) = chain.covering(lower) else {
            self.collided = true;
            return Err(Full);
        };
        self.deny(place)
    }

    fn wildcard_below(&self, encloser: usize) -> NameBuffer {
        let mut wildcard = NameBuffer::of(name::ROOT);
        // Whoever asks below a name of 254 octets or more asks for no name.
        let _fits = wildcard.set(&[b"\x01*", self.version.name_of(encloser)]);
        NameBuffer::lower(wildcard.wire())
    }

    // ------------------------------------------------------------------ compact

    /// Whether what a node holds is answered as if the name asked held it (RFC 9824 section 3.3).
    pub(super) fn is_claimed(&self, node: usize) -> bool {
        self.zone.is_compact() && !name::equal(self.owner.wire(), self.version.name_of(node))
    }

    /// Sign an RRset of a wildcard as the name asked's own.
    pub(super) fn signed_now(&mut self, section: Section, rrset: &RRset<'_>) -> Result<(), Full> {
        let rdatas: Vec<&[u8]> = rrset.rdatas().collect();
        let (owner, writer) = (self.owner, &mut *self.writer);
        self.zone.sign_now(self.lower.wire(), rrset.rtype, rrset.ttl, &rdatas, |head, signer, octets| {
            writer.record_of_parts(section, owner.wire(), rrtype::RRSIG, rrset.ttl, &[head, signer, octets])
        })
    }

    fn compact(&mut self, section: Section, owner: &NameBuffer, node: Option<usize>) -> Result<(), Full> {
        let lower = NameBuffer::lower(owner.wire());
        let mut rdata = Vec::with_capacity(300);
        compact_rdata(self.version, lower.wire(), node, &mut rdata);
        let ttl = self.version.negative_ttl();
        let mark = self.writer.mark();
        let mut written = self.writer.record(section, owner.wire(), rrtype::NSEC, ttl, &rdata);
        if written.is_ok() && self.proofs {
            let writer = &mut *self.writer;
            written = self.zone.sign_now(lower.wire(), rrtype::NSEC, ttl, &[&rdata], |head, signer, octets| {
                writer.record_of_parts(section, owner.wire(), rrtype::RRSIG, ttl, &[head, signer, octets])
            });
        }
        self.undo(mark, written)
    }

    // ------------------------------------------------------------------ writing

    /// Write the NSEC or NSEC3 of a place of the chain, once an answer.
    fn deny(&mut self, place: usize) -> Result<(), Full> {
        let here = keyed(self.number, place);
        if self.denied.iter().take(self.denials).any(|denied| *denied == here) {
            return Ok(());
        }
        if let Some(slot) = self.denied.get_mut(self.denials) {
            *slot = here;
            self.denials += 1;
        }
        if self.zone.plan().is_none() {
            return self.stored_at(place);
        }
        match self.zone.denial() {
            Denial::Nsec3(chain) => {
                let Some(owner) = nsec3::owner(&chain.hash_at(place), self.version.origin()) else { return Ok(()) };
                self.made_at(Section::Authority, place, owner.wire())
            }
            Denial::Nsec | Denial::Compact => {
                let node = self.version.chain().get(place).map_or(0, |node| *node as usize);
                self.made_at(Section::Authority, place, self.version.name_of(node))
            }
        }
    }

    fn stored_at(&mut self, place: usize) -> Result<(), Full> {
        let (node, rtype) = match self.zone.denial() {
            Denial::Nsec3(chain) => (chain.node_at(place), rrtype::NSEC3),
            Denial::Nsec | Denial::Compact => {
                (self.version.chain().get(place).map_or(0, |node| *node as usize), rrtype::NSEC)
            }
        };
        match self.version.rrset_at(node, rtype) {
            Some(rrset) => self.rrset(Section::Authority, Some(node), node, &rrset),
            None => Ok(()),
        }
    }

    fn made_at(&mut self, section: Section, place: usize, owner: &[u8]) -> Result<(), Full> {
        let mark = self.writer.mark();
        let rdata = self.zone.denial_rdata(place);
        let (rtype, ttl) = (self.zone.denial_rtype(), self.version.negative_ttl());
        let written = self.writer.record(section, owner, rtype, ttl, &rdata).and_then(|()| {
            if self.proofs { self.signatures(section, owner, Unit::Denial(place), ttl) } else { Ok(()) }
        });
        self.undo(mark, written)
    }

    // ------------------------------------------------------------------ asked for by name

    /// Whether RRSIG, NSEC or NSEC3 is asked for.
    pub(super) fn is_proof_type(&self) -> bool {
        is_proof(self.qtype)
    }

    /// RRSIG or NSEC asked for by name; false where there is none. An NSEC3 stands at no name that exists.
    pub(super) fn proof_type(&mut self, node: usize) -> Result<bool, Full> {
        match self.qtype {
            rrtype::RRSIG => self.all_signatures(node),
            rrtype::NSEC => self.nsec_of(node),
            _ => Ok(false),
        }
    }

    fn all_signatures(&mut self, node: usize) -> Result<bool, Full> {
        // RFC 4034 section 3: each RRSIG has the TTL of what it covers.
        let mut rrsigs = Vec::new();
        self.zone.each_rrsig(node, |ttl, rdata| rrsigs.push((ttl, rdata)));
        if rrsigs.is_empty() {
            return Ok(false);
        }
        let mark = self.writer.mark();
        let written = rrsigs.iter().try_for_each(|(ttl, rdata)| {
            self.writer.record(Section::Answer, self.owner.wire(), rrtype::RRSIG, *ttl, rdata)
        });
        self.undo(mark, written).map(|()| true)
    }

    fn nsec_of(&mut self, node: usize) -> Result<bool, Full> {
        if self.zone.plan().is_none() {
            let Some(rrset) = self.version.rrset_at(node, rrtype::NSEC) else { return Ok(false) };
            return self.rrset(Section::Answer, None, node, &rrset).map(|()| true);
        }
        let owner = self.owner;
        match self.zone.denial() {
            Denial::Compact => self.compact(Section::Answer, &owner, Some(node)).map(|()| true),
            Denial::Nsec3(_) => Ok(false),
            Denial::Nsec => match self.zone.chain_place(node) {
                Some(place) => self.made_at(Section::Answer, place, owner.wire()).map(|()| true),
                None => Ok(false),
            },
        }
    }
}

/// The name one label longer than an encloser of so many octets, at or above `lower` (RFC 5155 section 1.3).
fn next_closer(lower: &[u8], encloser: usize) -> &[u8] {
    let mut closer = lower;
    while let Some(parent) = name::parent(closer) {
        if parent.len() <= encloser {
            break;
        }
        closer = parent;
    }
    closer
}
