//! The answer to a question: RFC 1034 section 4.3.2 with RFC 2308, 4035, 4592, 6604 and 6672.
//!
//! `Answer::of` finds what a name is and writes what the protocol says of it; proofs are written beside it when the query
//! has DO and the zone has them. What does not fit sets TC; only ADDITIONAL is left out in silence, glue excepted
//! (RFC 9471). Aliases, and targets in ADDITIONAL, lead into the zones *beside* the first one as far as the caller opens
//! them; each zone is taken as it stands when it is first needed, and held until the answer is written.
//!
//! **Limits:** 16 aliases and 32 zones beside the first one for one answer.

mod additional;
mod proof;

use std::cell::OnceCell;
use std::sync::Arc;

use arc_swap::Guard;

use crate::denial::Denial;
use crate::effect::{Any, Effects};
use crate::message::{Full, Query, Section, Writer, flag, rcode, rrtype};
use crate::name;
use crate::responder::ZoneSlot;
use crate::signed::{SignedVersion, Unit, presigned_signatures};
use crate::version::{RRset, Version, is};

/// Aliases followed for one question; BIND follows as many.
const MOST_ALIASES: usize = 16;

/// Zones one answer may take from beside the first one.
const MOST_ZONES: usize = 32;

/// What CoreDNS answers to ANY, and for how long (RFC 8482 section 4.2).
pub const OBSOLETE: &[u8] = b"\x0dANY obsoleted\x0cSee RFC 8482";
/// Its TTL.
pub const OBSOLETE_TTL: u32 = 8482;

/// What the lookup of a name found.
enum Found {
    /// The name itself.
    Exact(usize),
    /// The name is at or below a delegation.
    Referral(usize),
    /// The name is below a DNAME.
    Dname(usize),
    /// Nothing; a wildcard at the closest encloser stands for it.
    Wildcard { encloser: usize, wildcard: usize },
    /// Nothing at all.
    Missing { encloser: usize },
}

/// How far an answer came.
enum Next {
    Done,
    /// The question goes on with this name.
    Alias,
}

/// What else is served where a question came in.
pub trait Beside {
    /// The slot that a question for this name, in lower case, and type would be answered from, if it is open to the answer
    /// that is being written.
    fn slot_of(&self, lower: &[u8], qtype: u16) -> Option<&ZoneSlot>;
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The whole response code.
    pub rcode: u16,
    /// The node of the wildcard it is made of.
    pub wildcard: Option<usize>,
    /// The zone it ended in answers compactly (RFC 9824).
    pub is_compact: bool,
}

/// A zone beside the first one, and where the next one is kept.
struct Held {
    version: Guard<Option<Arc<SignedVersion>>>,
    next: OnceCell<Box<Self>>,
}

/// Writes one answer.
pub struct Answer<'z, 'w, 'o> {
    beside: &'z dyn Beside,
    first: &'z SignedVersion,
    /// Zones taken from beside the first one; the number of a zone is its place here plus one, and 0 for the first.
    further: Vec<&'z SignedVersion>,
    /// Where the next of them is kept.
    vacant: &'z OnceCell<Box<Held>>,
    /// The number of the zone that is answered from now.
    number: usize,
    zone: &'z SignedVersion,
    version: &'z Version,
    writer: &'w mut Writer<'o>,
    qtype: u16,
    dnssec_ok: bool,
    proofs: bool,
    /// The name asked now, in lower case.
    lower: NameBuffer,
    /// The name asked now, as owner of what is answered.
    owner: NameBuffer,
    rcode: u16,
    /// Places of denial chains written so far, as `keyed`.
    denied: [u64; MOST_ALIASES + 4],
    denials: usize,
    /// Zones and places of their chains for what proves that names of aliases made by wildcards do not exist; not written yet.
    owed: Vec<(usize, usize)>,
    /// The client takes NXDOMAIN with a compact proof (RFC 9824 section 5.1).
    compact_ok: bool,
    /// A name that does not exist has the hash of one that does: there is no proof (RFC 5155 section 7.2.9).
    collided: bool,
    /// Nodes whose addresses are in ADDITIONAL, as `keyed`.
    added: [u64; 16],
    additions: usize,
    /// Names answered with an alias, in lower case: one that comes again closes a loop.
    aliases: Vec<Box<[u8]>>,
    /// Zones and nodes whose DNAME is in ANSWER, where it stands once however often aliases lead through it.
    dnames: Vec<(usize, usize)>,
    effects: &'z Effects,
    /// The node of the wildcard that stands for the name asked.
    wildcard: Option<usize>,
}

/// A wire name on the stack.
#[derive(Clone, Copy)]
pub struct NameBuffer {
    octets: [u8; name::MAX_OCTETS],
    len: usize,
}

impl NameBuffer {
    /// A copy; a name too long is the root.
    #[must_use]
    pub fn of(wire: &[u8]) -> Self {
        let mut buffer = Self { octets: [0; name::MAX_OCTETS], len: 1 };
        buffer.set(&[wire]);
        buffer
    }

    /// A copy in lower case.
    #[must_use]
    pub fn lower(wire: &[u8]) -> Self {
        let mut buffer = Self::of(wire);
        buffer.octets.make_ascii_lowercase();
        buffer
    }

    /// Take the parts put together; false when they are too long for a name.
    fn set(&mut self, parts: &[&[u8]]) -> bool {
        let mut at = 0;
        let mut octets = [0; name::MAX_OCTETS];
        for part in parts {
            let Some(place) = octets.get_mut(at..at + part.len()) else { return false };
            place.copy_from_slice(part);
            at += part.len();
        }
        (self.octets, self.len) = (octets, at);
        true
    }

    /// The name.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(name::ROOT)
    }
}

impl<'z, 'w, 'o> Answer<'z, 'w, 'o> {
    /// Write the answer to `query`, which lies in the zone.
    pub fn of(
        zone: &SignedVersion,
        query: &Query<'_>,
        effects: &Effects,
        beside: &dyn Beside,
        writer: &'w mut Writer<'o>,
    ) -> Written {
        let vacant = OnceCell::new();
        let mut answer = Answer {
            beside,
            first: zone,
            further: Vec::new(),
            vacant: &vacant,
            number: 0,
            zone,
            version: zone.version(),
            writer,
            qtype: query.qtype,
            dnssec_ok: query.dnssec_ok(),
            proofs: query.dnssec_ok() && zone.has_proofs(),
            lower: NameBuffer::lower(query.qname),
            owner: NameBuffer::of(query.qname),
            rcode: rcode::NOERROR,
            denied: [0; MOST_ALIASES + 4],
            denials: 0,
            owed: Vec::new(),
            compact_ok: query.edns.is_some_and(|edns| edns.compact_ok),
            collided: false,
            added: [0; 16],
            additions: 0,
            aliases: Vec::new(),
            dnames: Vec::new(),
            effects,
            wildcard: None,
        };
        let start = answer.writer.mark();
        let written = answer.write();
        let is_compact = answer.zone.is_compact();
        if answer.collided {
            answer.writer.roll_back(start);
            return Written { rcode: rcode::SERVFAIL, wildcard: None, is_compact };
        }
        if written.is_err() {
            answer.writer.set_flags(flag::TC);
        }
        Written { rcode: answer.rcode, wildcard: answer.wildcard, is_compact }
    }

    fn write(&mut self) -> Result<(), Full> {
        self.follow()?;
        self.settle()
    }

    fn follow(&mut self) -> Result<(), Full> {
        for _ in 0..=MOST_ALIASES {
            match self.step()? {
                Next::Done => return Ok(()),
                Next::Alias => {}
            }
        }
        Ok(())
    }

    // ------------------------------------------------------------------ zones

    /// The number of the zone that a question for this name would be answered from; None where it is not open to this
    /// answer, or has no version.
    fn zone_beside(&mut self, lower: &NameBuffer, qtype: u16) -> Option<usize> {
        let slot = self.beside.slot_of(lower.wire(), qtype)?;
        let is_of = |zone: &SignedVersion| name::equal(zone.version().origin(), slot.origin());
        if is_of(self.zone) {
            return Some(self.number);
        }
        let taken = std::iter::once(self.first).chain(self.further.iter().copied()).position(is_of);
        taken.or_else(|| self.take(slot))
    }

    /// Hold the version of one more zone.
    fn take(&mut self, slot: &ZoneSlot) -> Option<usize> {
        let version = slot.load();
        if version.is_none() || self.further.len() >= MOST_ZONES {
            return None;
        }
        let held = self.vacant.get_or_init(|| Box::new(Held { version, next: OnceCell::new() }));
        self.vacant = &held.next;
        self.further.push(held.version.as_ref()?);
        Some(self.further.len())
    }

    fn zone_numbered(&self, number: usize) -> &'z SignedVersion {
        let further = number.checked_sub(1).and_then(|place| self.further.get(place));
        further.copied().unwrap_or(self.first)
    }

    /// From now on this zone is answered from.
    fn enter(&mut self, number: usize) {
        self.number = number;
        self.zone = self.zone_numbered(number);
        self.version = self.zone.version();
        self.proofs = self.dnssec_ok && self.zone.has_proofs();
    }

    /// Write something from another zone.
    fn within<T>(&mut self, number: usize, write: impl FnOnce(&mut Self) -> T) -> T {
        let here = self.number;
        self.enter(number);
        let written = write(self);
        self.enter(here);
        written
    }

    // ------------------------------------------------------------------ the steps

    fn step(&mut self) -> Result<Next, Full> {
        match self.find() {
            Found::Referral(cut) => {
                self.referral(cut)?;
                Ok(Next::Done)
            }
            found => {
                self.writer.set_flags(flag::AA);
                match found {
                    Found::Exact(node) => self.node(node, None),
                    Found::Wildcard { encloser, wildcard } => {
                        self.wildcard = self.wildcard.or(Some(wildcard));
                        self.node(wildcard, Some(encloser))
                    }
                    Found::Dname(node) => self.dname(node),
                    Found::Missing { encloser } => self.name_error(encloser).map(|()| Next::Done),
                    Found::Referral(_) => Ok(Next::Done),
                }
            }
        }
    }

    /// RFC 1034 section 4.3.2 step 3: match down, label by label, here by the deepest name that exists.
    fn find(&self) -> Found {
        let lower = self.lower.wire();
        let (node, exact) = match self.version.find(lower) {
            Some(node) => (node, true),
            None => (self.version.closest_encloser(lower), false),
        };
        // The owner of an NSEC3 does not exist, unless it is a name of its own (RFC 5155 section 7.2.8); it is below the apex.
        let (node, exact) = if self.version.is_hidden(node) { (0, false) } else { (node, exact) };
        let flags = self.version.node(node).map_or(0, |node| node.flags);
        if flags & is::OCCLUDED != 0 {
            return self.above(node);
        }
        if exact {
            // DS belongs to the parent's side of the cut (RFC 4035 section 3.1.4.1).
            if flags & is::CUT != 0 && self.qtype != rrtype::DS {
                return Found::Referral(node);
            }
            return Found::Exact(node);
        }
        if flags & is::CUT != 0 {
            return Found::Referral(node);
        }
        if flags & is::HAS_DNAME != 0 {
            return Found::Dname(node);
        }
        if flags & is::WILDCARD_PARENT != 0
            && let Some(wildcard) = self.wildcard_of(node)
        {
            return Found::Wildcard { encloser: node, wildcard };
        }
        Found::Missing { encloser: node }
    }

    /// What hides an occluded node.
    fn above(&self, mut node: usize) -> Found {
        while let Some(parent) = self.version.node(node).map(|node| node.parent as usize) {
            node = parent;
            let flags = self.version.node(node).map_or(is::APEX, |node| node.flags);
            if flags & is::OCCLUDED == 0 {
                return if flags & is::CUT != 0 { Found::Referral(node) } else { Found::Dname(node) };
            }
        }
        Found::Missing { encloser: 0 }
    }

    fn wildcard_of(&self, encloser: usize) -> Option<usize> {
        let mut wildcard = NameBuffer::of(name::ROOT);
        wildcard.set(&[b"\x01*", self.version.name_of(encloser)]).then_some(())?;
        let wildcard = NameBuffer::lower(wildcard.wire());
        self.version.find(wildcard.wire())
    }

    // ------------------------------------------------------------------ answers

    /// Answer from a node; `encloser` is there when it is a wildcard that stands for the name.
    fn node(&mut self, node: usize, encloser: Option<usize>) -> Result<Next, Full> {
        if self.qtype == rrtype::ANY {
            return self.any(node, encloser).map(|()| Next::Done);
        }
        if !self.is_proof_type()
            && let Some(rrset) = self.version.rrset_at(node, self.qtype)
        {
            // A DNAME that aliases led through is there (RFC 2181 section 5).
            if self.qtype != rrtype::DNAME || !self.dnames.contains(&(self.number, node)) {
                self.rrset(Section::Answer, None, node, &rrset)?;
            }
            self.expansion(encloser)?;
            self.additional(node, &rrset);
            return Ok(Next::Done);
        }
        if self.is_proof_type() && self.proof_type(node)? {
            self.expansion(encloser)?;
            return Ok(Next::Done);
        }
        if self.version.node(node).is_some_and(|node| node.is(is::HAS_CNAME))
            && let Some(rrset) = self.version.rrset_at(node, rrtype::CNAME)
        {
            self.rrset(Section::Answer, None, node, &rrset)?;
            self.owe_expansion(encloser);
            let target = rrset.rdatas().next().unwrap_or(name::ROOT);
            return Ok(self.go_on(&NameBuffer::of(target)));
        }
        self.no_data(node, encloser).map(|()| Next::Done)
    }

    /// Go on with the target of an alias, unless it was answered before or belongs to others: in the zone that a question
    /// for it would be answered from, or else in this one, where it may be below a cut.
    fn go_on(&mut self, target: &NameBuffer) -> Next {
        self.aliases.push(self.lower.wire().into());
        self.lower = NameBuffer::lower(target.wire());
        self.owner = *target;
        if self.aliases.iter().any(|answered| **answered == *self.lower.wire()) {
            return Next::Done;
        }
        let lower = self.lower;
        match self.zone_beside(&lower, self.qtype) {
            Some(number) => self.enter(number),
            None if name::is_at_or_below(lower.wire(), self.version.origin()) => {}
            None => return Next::Done,
        }
        Next::Alias
    }

    /// One RRset for ANY (RFC 8482 section 4.1), or what the block has in its place.
    fn any(&mut self, node: usize, encloser: Option<usize>) -> Result<(), Full> {
        let most = if self.effects.any == Any::All { usize::MAX } else { 1 };
        let version = self.version;
        let mut found = version.rrsets_of(node).filter(|rrset| !is_proof(rrset.rtype)).take(most).peekable();
        if found.peek().is_none() {
            return self.no_data(node, encloser);
        }
        // What is made up has no signature: where validators look for one, it is a real RRset.
        if self.effects.any == Any::Hinfo && !self.zone.has_proofs() {
            let owner = self.owner;
            return self.writer.record(Section::Answer, owner.wire(), rrtype::HINFO, OBSOLETE_TTL, OBSOLETE);
        }
        found.try_for_each(|rrset| self.rrset(Section::Answer, None, node, &rrset))?;
        self.expansion(encloser)
    }

    /// RFC 6672 section 3.1: the DNAME and the CNAME made from it.
    fn dname(&mut self, node: usize) -> Result<Next, Full> {
        let Some(rrset) = self.version.rrset_at(node, rrtype::DNAME) else { return Ok(Next::Done) };
        if !self.dnames.contains(&(self.number, node)) {
            self.rrset(Section::Answer, Some(node), node, &rrset)?;
            self.dnames.push((self.number, node));
        }
        let target = rrset.rdatas().next().unwrap_or(name::ROOT);
        let prefix = self.owner.wire().len().saturating_sub(self.version.name_of(node).len());
        let mut made = NameBuffer::of(name::ROOT);
        if !made.set(&[self.owner.wire().get(..prefix).unwrap_or(&[]), target]) {
            // Section 2.2: the name would be too long.
            self.rcode = rcode::YXDOMAIN;
            return Ok(Next::Done);
        }
        // Section 3.1: the CNAME is not signed and has the DNAME's TTL.
        self.writer.record(Section::Answer, self.owner.wire(), rrtype::CNAME, rrset.ttl, made.wire())?;
        // The CNAME is what was asked for, or one of what was asked for.
        if matches!(self.qtype, rrtype::CNAME | rrtype::ANY) {
            return Ok(Next::Done);
        }
        Ok(self.go_on(&made))
    }

    /// RFC 1034 section 4.3.2 step 3b, with the DS or the proof that there is none (RFC 4035 section 3.1.4).
    fn referral(&mut self, cut: usize) -> Result<(), Full> {
        let Some(servers) = self.version.rrset_at(cut, rrtype::NS) else { return Ok(()) };
        self.settle()?;
        self.plain(Section::Authority, self.version.name_of(cut), &servers)?;
        self.delegation_security(cut)?;
        self.glue(cut, &servers)
    }

    fn delegation_security(&mut self, cut: usize) -> Result<(), Full> {
        if !self.proofs {
            return Ok(());
        }
        match self.version.rrset_at(cut, rrtype::DS) {
            Some(ds) => self.rrset(Section::Authority, Some(cut), cut, &ds),
            None => self.deny_delegation(cut),
        }
    }

    /// RFC 2308 section 2.2.
    fn no_data(&mut self, node: usize, encloser: Option<usize>) -> Result<(), Full> {
        self.negative_soa()?;
        if self.proofs { self.deny_type(node, encloser) } else { Ok(()) }
    }

    /// RFC 2308 section 2.1.
    fn name_error(&mut self, encloser: usize) -> Result<(), Full> {
        // RFC 9824 sections 3.1 and 5.1: to those who do not say otherwise, a name that is claimed to exist.
        let is_claimed = self.proofs && self.zone.is_compact() && !self.compact_ok;
        self.rcode = if is_claimed { rcode::NOERROR } else { rcode::NXDOMAIN };
        self.negative_soa()?;
        if self.proofs { self.deny_name(encloser) } else { Ok(()) }
    }

    /// The SOA with the TTL of negative answers (RFC 2308 section 3).
    fn negative_soa(&mut self) -> Result<(), Full> {
        let Some(soa) = self.version.soa() else { return Ok(()) };
        self.settle()?;
        let shown = soa.with_ttl(self.version.negative_ttl());
        self.rrset(Section::Authority, Some(0), 0, &shown)
    }

    fn undo(&mut self, mark: crate::message::Mark, written: Result<(), Full>) -> Result<(), Full> {
        if written.is_err() {
            self.writer.roll_back(mark);
        }
        written
    }

    // ------------------------------------------------------------------ writing

    /// Write an RRset with its signatures; owned by the name asked unless `at` says by which node.
    fn rrset(&mut self, section: Section, at: Option<usize>, node: usize, rrset: &RRset<'_>) -> Result<(), Full> {
        let asked = self.owner;
        let owner = at.map_or(asked.wire(), |node| self.version.name_of(node));
        let mark = self.writer.mark();
        let mut rdatas = rrset.rdatas();
        let mut written =
            rdatas.try_for_each(|rdata| self.writer.record(section, owner, rrset.rtype, rrset.ttl, rdata));
        if written.is_ok() && self.proofs {
            written = if at.is_none() && self.is_claimed(node) {
                self.signed_now(section, rrset)
            } else {
                self.signatures(section, owner, Unit::RRset(node, rrset.index), rrset.ttl)
            };
        }
        self.undo(mark, written)
    }

    /// Write an RRset that is never signed: NS of a delegation, glue.
    fn plain(&mut self, section: Section, owner: &[u8], rrset: &RRset<'_>) -> Result<(), Full> {
        let mark = self.writer.mark();
        for rdata in rrset.rdatas() {
            if let Err(full) = self.writer.record(section, owner, rrset.rtype, rrset.ttl, rdata) {
                self.writer.roll_back(mark);
                return Err(full);
            }
        }
        Ok(())
    }

    fn signatures(&mut self, section: Section, owner: &[u8], unit: Unit, ttl: u32) -> Result<(), Full> {
        if self.zone.plan().is_some() {
            let writer = &mut *self.writer;
            return self.zone.signatures_of(unit, |head, signer, octets| {
                writer.record_of_parts(section, owner, rrtype::RRSIG, ttl, &[head, signer, octets])
            });
        }
        if let Unit::RRset(node, index) = unit {
            let rtype = self.version.rrset_number(index).map_or(0, |rrset| rrset.rtype);
            for rdata in presigned_signatures(self.version, node, rtype) {
                self.writer.record(section, owner, rrtype::RRSIG, ttl, rdata)?;
            }
        }
        Ok(())
    }
}

/// A zone and a node or a place of its chain in one number: these are cleared for each answer, and fewer octets are sooner.
fn keyed(number: usize, at: usize) -> u64 {
    (number as u64) << 32 | at as u64
}

/// Types that say something of the zone's other records, and have no answer of their own kind.
fn is_proof(rtype: u16) -> bool {
    matches!(rtype, rrtype::RRSIG | rrtype::NSEC | rrtype::NSEC3)
}
