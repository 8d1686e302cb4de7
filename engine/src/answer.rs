//! The answer from one zone: RFC 1034 section 4.3.2 with RFC 2308, 4035, 4592, 6604 and 6672.
//!
//! `Answer::of` finds what a name is and writes what the protocol says of it; proofs are written beside it when the query
//! has DO and the zone has them. What does not fit sets TC; only ADDITIONAL is left out in silence, glue excepted
//! (RFC 9471).

mod proof;

use crate::denial::Denial;
use crate::effect::{Any, Effects};
use crate::message::{Full, Query, Section, Writer, flag, rcode, rrtype};
use crate::name;
use crate::rdata;
use crate::signed::{SignedVersion, Unit, presigned_signatures};
use crate::version::{RRset, Version, is};

/// Aliases followed for one question; BIND follows as many.
const MOST_ALIASES: usize = 16;

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

/// Writes one answer.
pub struct Answer<'z, 'w, 'o> {
    zone: &'z SignedVersion,
    version: &'z Version,
    writer: &'w mut Writer<'o>,
    qtype: u16,
    proofs: bool,
    /// The name asked now, in lower case.
    lower: NameBuffer,
    /// The name asked now, as owner of what is answered.
    owner: NameBuffer,
    rcode: u16,
    /// Places of the denial chain written so far.
    denied: [usize; MOST_ALIASES + 4],
    denials: usize,
    /// Places of the chain that prove that names of aliases made by wildcards do not exist; not written yet.
    owed: [usize; MOST_ALIASES + 1],
    debts: usize,
    /// The client takes NXDOMAIN with a compact proof (RFC 9824 section 5.1).
    compact_ok: bool,
    /// A name that does not exist has the hash of one that does: there is no proof (RFC 5155 section 7.2.9).
    collided: bool,
    /// Nodes whose addresses are in ADDITIONAL.
    added: [usize; 16],
    additions: usize,
    /// Names answered with an alias, in lower case: one that comes again closes a loop.
    aliases: Vec<Box<[u8]>>,
    /// Nodes whose DNAME is in ANSWER, where it stands once however often aliases lead through it.
    dnames: Vec<usize>,
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
    /// Write the answer to `query`, which lies in the zone; the response code, and the node of the wildcard it is made of.
    pub fn of(
        zone: &'z SignedVersion,
        query: &Query<'_>,
        effects: &'z Effects,
        writer: &'w mut Writer<'o>,
    ) -> (u16, Option<usize>) {
        let mut answer = Self {
            zone,
            version: zone.version(),
            writer,
            qtype: query.qtype,
            proofs: query.dnssec_ok() && zone.has_proofs(),
            lower: NameBuffer::lower(query.qname),
            owner: NameBuffer::of(query.qname),
            rcode: rcode::NOERROR,
            denied: [0; MOST_ALIASES + 4],
            denials: 0,
            owed: [0; MOST_ALIASES + 1],
            debts: 0,
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
        if answer.collided {
            answer.writer.roll_back(start);
            return (rcode::SERVFAIL, None);
        }
        if written.is_err() {
            answer.writer.set_flags(flag::TC);
        }
        (answer.rcode, answer.wildcard)
    }

    fn write(&mut self) -> Result<(), Full> {
        self.follow()?;
        self.settle()
    }

    fn follow(&mut self) -> Result<(), Full> {
        for followed in 0..=MOST_ALIASES {
            if followed > 0 && !name::is_at_or_below(self.lower.wire(), self.version.origin()) {
                return Ok(());
            }
            match self.step()? {
                Next::Done => return Ok(()),
                Next::Alias => {}
            }
        }
        Ok(())
    }

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
            self.rrset(Section::Answer, None, node, &rrset)?;
            self.expansion(encloser)?;
            self.additional(&rrset);
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

    /// Go on with the target of an alias, unless it was answered before.
    fn go_on(&mut self, target: &NameBuffer) -> Next {
        self.aliases.push(self.lower.wire().into());
        self.lower = NameBuffer::lower(target.wire());
        self.owner = *target;
        let is_loop = self.aliases.iter().any(|answered| **answered == *self.lower.wire());
        if is_loop { Next::Done } else { Next::Alias }
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
        if !self.dnames.contains(&node) {
            self.rrset(Section::Answer, Some(node), node, &rrset)?;
            self.dnames.push(node);
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

    // ------------------------------------------------------------------ additional

    /// Addresses of the name servers of a delegation. Those below the cut must fit, or the answer is truncated (RFC 9471).
    fn glue(&mut self, cut: usize, servers: &RRset<'_>) -> Result<(), Full> {
        let top = self.version.name_of(cut);
        for needed in [true, false] {
            for rdata in servers.rdatas() {
                if name::is_at_or_below(rdata, top) != needed {
                    continue;
                }
                let written = self.addresses(rdata, true);
                if needed {
                    written?;
                }
            }
        }
        Ok(())
    }

    /// Addresses of what an answer points to, as far as they fit.
    fn additional(&mut self, rrset: &RRset<'_>) {
        if self.effects.minimal || !matches!(rrset.rtype, rrtype::NS | rrtype::MX | rrtype::SRV | 64 | 65) {
            return;
        }
        for rdata in rrset.rdatas() {
            if let Some(target) = rdata::target(rrset.rtype, rdata) {
                let _as_fits = self.addresses(target, false);
            }
        }
    }

    fn addresses(&mut self, host: &[u8], in_referral: bool) -> Result<(), Full> {
        if !name::is_at_or_below(host, self.version.origin()) {
            return Ok(());
        }
        let lower = NameBuffer::lower(host);
        let Some(node) = self.version.find(lower.wire()) else { return Ok(()) };
        // What lies at or below a cut is only ever glue.
        let is_glue = self.version.node(node).is_some_and(|node| node.is(is::CUT | is::OCCLUDED));
        if is_glue && !in_referral || self.is_added(node) {
            return Ok(());
        }
        for rtype in [rrtype::A, rrtype::AAAA] {
            if let Some(rrset) = self.version.rrset_at(node, rtype) {
                if is_glue {
                    self.plain(Section::Additional, self.version.name_of(node), &rrset)?;
                } else {
                    self.rrset(Section::Additional, Some(node), node, &rrset)?;
                }
            }
        }
        Ok(())
    }

    /// Whether this node's addresses were added before; from now on they were.
    fn is_added(&mut self, node: usize) -> bool {
        if self.added.iter().take(self.additions).any(|added| *added == node) {
            return true;
        }
        if let Some(slot) = self.added.get_mut(self.additions) {
            *slot = node;
            self.additions += 1;
        }
        false
    }
}

/// Types that say something of the zone's other records, and have no answer of their own kind.
fn is_proof(rtype: u16) -> bool {
    matches!(rtype, rrtype::RRSIG | rrtype::NSEC | rrtype::NSEC3)
}
