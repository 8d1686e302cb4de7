//! A version as it is published: its content and a slot for each signature it is to have.
//!
//! Words: a *unit* is what one signature covers, an RRset or a place in the denial chain; a *slot* holds one unit's
//! signature by one key. A version is *open* until every slot is filled, verified and `seal` was called. A slot once
//! filled never changes; it is carried over to the next version while octets, TTL, key and validity are the same.
//!
//! A *slow* key's signatures are made elsewhere: `unsigned` hands out what they cover, `fill` takes them.
//!
//! **Limits:** where a slow key signs the zone, nothing can be signed for one answer: no compact denial.

mod changes;

use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering as Memory};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::crypto::{self, PublicKey, SigningKey};
use crate::denial::{self, Choice, Denial};
use crate::message::rrtype;
use crate::name;
use crate::nsec3;
use crate::rdata;
use crate::verify::{self, Expected};
use crate::version::{RRset, Version, is};

/// One signature with its validity.
pub struct Signature {
    /// From when, Unix seconds.
    pub inception: u32,
    /// Until when, Unix seconds.
    pub expiration: u32,
    /// The signature's octets.
    pub octets: Box<[u8]>,
}

/// A key of a plan and what it signs.
pub struct PlanKey {
    /// The key.
    pub key: Arc<SigningKey>,
    /// Signs the apex DNSKEY, CDS and CDNSKEY RRsets.
    pub signs_keys: bool,
    /// Signs everything else.
    pub signs_zone: bool,
    /// Its public part; None for an algorithm that is verified elsewhere.
    pub public: Option<PublicKey>,
}

/// How a version is signed.
pub struct Plan {
    /// The keys.
    pub keys: Vec<PlanKey>,
    /// Inception of new signatures.
    pub inception: u32,
    /// Latest expiration of new signatures.
    pub expiration: u32,
    /// How much earlier a signature may expire, by owner and type.
    pub jitter: u32,
    /// Signatures of the version before are kept if they expire after this.
    pub carry_until: u32,
    /// How absence is proved.
    pub denial: Choice,
}

impl Plan {
    /// A plan of keys given as (key, signs keys, signs zone).
    ///
    /// # Errors
    /// A key's public part is unusable.
    pub fn new(keys: Vec<(Arc<SigningKey>, bool, bool)>, times: [u32; 4], denial: Choice) -> Result<Self, String> {
        let [inception, expiration, jitter, carry_until] = times;
        let keys = keys
            .into_iter()
            .map(|(key, signs_keys, signs_zone)| {
                let public = match key.algorithm() {
                    crypto::ED448 => None,
                    _ => Some(PublicKey::from_dnskey(key.dnskey())?),
                };
                Ok(PlanKey { key, signs_keys, signs_zone, public })
            })
            .collect::<Result<Vec<_>, String>>()?;
        if matches!(denial, Choice::Compact) && keys.iter().any(|key| key.signs_zone && key.key.is_slow()) {
            return Err("compact denial signs at each answer, which a slow key can't".to_owned());
        }
        Ok(Self { keys, inception, expiration, jitter, carry_until, denial })
    }
}

type Slot = OnceLock<Arc<Signature>>;

/// A unit: what one signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// An RRset, by node and number.
    RRset(usize, usize),
    /// The NSEC or NSEC3 of a place in the denial chain.
    Denial(usize),
}

/// The fixed fields of RRSIG rdata, up to the signer's name (RFC 4034 section 3.1).
pub type SignatureHead = [u8; 18];

/// A version as it is published.
pub struct SignedVersion {
    version: Arc<Version>,
    plan: Option<Arc<Plan>>,
    denial: Denial,
    /// Slots of each key, by unit number: RRsets, then places in the chain.
    slots: Vec<Vec<Slot>>,
    /// Of each slot whether its signature was verified; close together, as a walk over all of them has to be cheap.
    marks: Vec<Vec<AtomicBool>>,
    signer: Vec<u8>,
    total: usize,
    made: AtomicUsize,
    /// How many signatures by slow keys are missing.
    slow_missing: AtomicUsize,
    verified: AtomicUsize,
    cursor: AtomicUsize,
    verify_cursor: AtomicUsize,
    slow_cursor: AtomicUsize,
    foreign_cursor: AtomicUsize,
    earliest: AtomicU32,
    sealed: AtomicBool,
    presigned: bool,
}

/// What one unit's octets are made of when it is signed or compared.
struct UnitData {
    owner: Vec<u8>,
    rtype: u16,
    ttl: u32,
    rdatas: Vec<Vec<u8>>,
}

/// How many signatures there are to be, and how many of them by slow keys.
#[derive(Clone, Copy, Default)]
struct Counts {
    total: usize,
    slow: usize,
}

impl Counts {
    fn add(&mut self, per_unit: Self, units: usize) {
        self.total += units * per_unit.total;
        self.slow += units * per_unit.slow;
    }
}

/// A slot in numbers, as those who sign or verify elsewhere know it.
pub type SlotNumber = (usize, usize);

/// What is to be signed elsewhere: the slot, its key number first, and the octets.
pub type Unsigned = (SlotNumber, Vec<u8>);

/// What is to be verified elsewhere: the slot, the octets, the signature.
pub type Unverified = (SlotNumber, Vec<u8>, Vec<u8>);

impl SignedVersion {
    /// A version to publish; signatures of `previous` that still fit are carried over.
    #[must_use]
    pub fn new(version: Arc<Version>, plan: Option<Arc<Plan>>, previous: Option<&Self>) -> Self {
        let denial = match &plan {
            Some(plan) => Denial::of(&version, &plan.denial),
            None => Denial::stored(&version),
        };
        let units = version.rrset_count() + denial.hashed().map_or(version.chain().len(), nsec3::Chain::len);
        let apex = version.rrset_range(0).len();
        let keys = plan.iter().flat_map(|plan| &plan.keys);
        let counts: Vec<usize> = keys.map(|key| if key.signs_zone { units } else { apex }).collect();
        let slots = counts.iter().map(|count| std::iter::repeat_with(Slot::new).take(*count).collect()).collect();
        let marks = counts.iter().map(|count| std::iter::repeat_with(AtomicBool::default).take(*count).collect());
        let mut signed = Self {
            signer: name::lower(version.origin()),
            slots,
            marks: marks.collect(),
            presigned: plan.is_none() && version.rrset_at(0, rrtype::RRSIG).is_some(),
            version,
            plan,
            denial,
            total: 0,
            made: AtomicUsize::new(0),
            slow_missing: AtomicUsize::new(0),
            verified: AtomicUsize::new(0),
            cursor: AtomicUsize::new(0),
            verify_cursor: AtomicUsize::new(0),
            slow_cursor: AtomicUsize::new(0),
            foreign_cursor: AtomicUsize::new(0),
            earliest: AtomicU32::new(u32::MAX),
            sealed: AtomicBool::new(false),
        };
        let counts = signed.count_units();
        signed.total = counts.total;
        signed.slow_missing.store(counts.slow, Memory::Release);
        if let Some(previous) = previous {
            signed.carry_over(previous);
        }
        signed
    }

    /// Its content.
    #[must_use]
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// How it is signed; None when it is served as its source has it.
    #[must_use]
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    /// Whether answers can carry proofs, made here or brought by the source.
    #[must_use]
    pub fn has_proofs(&self) -> bool {
        self.plan.is_some() || self.presigned
    }

    /// How it proves absence.
    #[must_use]
    pub fn denial(&self) -> &Denial {
        &self.denial
    }

    /// Whether it answers compactly (RFC 9824).
    #[must_use]
    pub fn is_compact(&self) -> bool {
        matches!(self.denial, Denial::Compact)
    }

    /// The type its chain is made of.
    #[must_use]
    pub fn denial_rtype(&self) -> u16 {
        if self.denial.hashed().is_some() { rrtype::NSEC3 } else { rrtype::NSEC }
    }

    /// Places in the denial chain.
    #[must_use]
    pub fn chain_len(&self) -> usize {
        self.denial.hashed().map_or(self.version.chain().len(), nsec3::Chain::len)
    }

    /// Signatures it will have.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Signatures it has.
    #[must_use]
    pub fn made(&self) -> usize {
        self.made.load(Memory::Acquire)
    }

    /// Signatures that were verified.
    #[must_use]
    pub fn verified(&self) -> usize {
        self.verified.load(Memory::Acquire)
    }

    /// Whether nothing in it changes any more.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Memory::Acquire)
    }

    /// The first expiration of any signature made so far.
    #[must_use]
    pub fn earliest_expiration(&self) -> Option<u32> {
        Some(self.earliest.load(Memory::Acquire)).filter(|earliest| *earliest != u32::MAX)
    }

    fn keys(&self) -> &[PlanKey] {
        self.plan.as_ref().map_or(&[], |plan| &plan.keys)
    }

    /// All units to be signed, in order of nodes; each place of the chain right behind its node's RRsets.
    pub fn units_of_node(&self, node: usize) -> impl Iterator<Item = Unit> + '_ {
        let flags = self.version.node(node).map_or(is::OCCLUDED, |node| node.flags);
        let place = self.chain_place(node);
        self.version
            .rrsets_of(node)
            .filter(move |rrset| is_signed(flags, rrset.rtype))
            .map(move |rrset| Unit::RRset(node, rrset.index))
            .chain(place.map(Unit::Denial))
    }

    /// The node's own place in the denial chain.
    #[must_use]
    pub fn chain_place(&self, node: usize) -> Option<usize> {
        if let Some(chain) = self.denial.hashed() {
            return chain.place_of(&self.version, node);
        }
        let place = self.version.node(node)?.chain as usize;
        (self.version.chain().get(place).copied() == u32::try_from(node).ok()).then_some(place)
    }

    fn count_units(&self) -> Counts {
        let mut counts = Counts::default();
        if self.plan.is_none() {
            return counts;
        }
        let count = |signs: fn(&PlanKey) -> bool| Counts {
            total: self.keys().iter().filter(|key| signs(key)).count(),
            slow: self.keys().iter().filter(|key| key.key.is_slow() && signs(key)).count(),
        };
        let (zone, keys) = (count(|key| key.signs_zone), count(|key| key.signs_keys));
        counts.add(zone, self.chain_len());
        for node in 0..self.version.nodes().len() {
            let flags = self.version.node(node).map_or(0, |node| node.flags);
            for rtype in self.version.rtypes_of(node).filter(|rtype| is_signed(flags, *rtype)) {
                counts.add(if is_key_type(node, rtype) { keys } else { zone }, 1);
            }
        }
        counts
    }

    fn number(&self, unit: Unit) -> usize {
        match unit {
            Unit::RRset(_, index) => index,
            Unit::Denial(place) => self.version.rrset_count() + place,
        }
    }

    fn node_of(&self, unit: Unit) -> usize {
        match unit {
            Unit::RRset(node, _) => node,
            Unit::Denial(place) => match &self.denial {
                Denial::Nsec3(chain) => chain.node_at(place),
                Denial::Nsec | Denial::Compact => self.version.chain().get(place).map_or(0, |node| *node as usize),
            },
        }
    }

    /// The owner of what a unit covers, in lower case.
    fn owner_of(&self, unit: Unit) -> Vec<u8> {
        match (unit, self.denial.hashed()) {
            (Unit::Denial(place), Some(chain)) => {
                nsec3::owner(&chain.hash_at(place), &self.signer).map_or_else(Vec::new, |owner| owner.wire().to_vec())
            }
            _ => name::lower(self.version.name_of(self.node_of(unit))),
        }
    }

    /// RRSIG's labels field (RFC 4034 section 3.1.3): neither the root nor a leftmost asterisk counts.
    fn labels_of(&self, unit: Unit) -> usize {
        if matches!(unit, Unit::Denial(_)) && self.denial.hashed().is_some() {
            return 1 + name::label_count(&self.signer);
        }
        let owner = self.version.name_of(self.node_of(unit));
        name::label_count(owner) - usize::from(name::is_wildcard(owner))
    }

    fn rtype_and_ttl(&self, unit: Unit) -> (u16, u32) {
        match unit {
            Unit::RRset(_, index) => self.version.rrset_number(index).map_or((0, 0), |rrset| (rrset.rtype, rrset.ttl)),
            // RFC 9077 section 3.
            Unit::Denial(_) => (self.denial_rtype(), self.version.negative_ttl()),
        }
    }

    fn signs(&self, key: &PlanKey, unit: Unit) -> bool {
        match unit {
            Unit::RRset(node, index) => {
                let rtype = self.version.rrset_number(index).map_or(0, |rrset| rrset.rtype);
                if is_key_type(node, rtype) { key.signs_keys } else { key.signs_zone }
            }
            Unit::Denial(_) => key.signs_zone,
        }
    }

    fn slot(&self, key: usize, unit: Unit) -> Option<&Slot> {
        self.slots.get(key)?.get(self.number(unit))
    }

    /// Hand over each signature of a unit, made now where missing: the fixed fields, the signer, the octets.
    ///
    /// # Errors
    /// What `each` says.
    pub fn signatures_of<E>(
        &self,
        unit: Unit,
        mut each: impl FnMut(&SignatureHead, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (rtype, ttl) = self.rtype_and_ttl(unit);
        for (number, key) in self.keys().iter().enumerate() {
            if !self.signs(key, unit) {
                continue;
            }
            if let Some(signature) = self.signature(number, key, unit) {
                let head = head(key, self.labels_of(unit), rtype, ttl, [signature.inception, signature.expiration]);
                each(&head, &self.signer, &signature.octets)?;
            }
        }
        Ok(())
    }

    /// Sign an RRset that is made for one answer by each key that signs the zone: the owner is in lower case, and is meant
    /// as it stands, a wildcard or not.
    ///
    /// # Errors
    /// What `each` says.
    pub fn sign_now<E>(
        &self,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        rdatas: &[&[u8]],
        mut each: impl FnMut(&SignatureHead, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let labels = name::label_count(owner) - usize::from(name::is_wildcard(owner));
        let (inception, expiration) = self.validity(owner, rtype);
        let rdatas = rdatas.iter().map(|rdata| rdata.to_vec()).collect();
        let data = UnitData { owner: owner.to_vec(), rtype, ttl, rdatas };
        for key in self.keys().iter().filter(|key| key.signs_zone) {
            let head = head(key, labels, rtype, ttl, [inception, expiration]);
            let Some(octets) = key.key.sign(&self.to_sign(&head, &data)) else { continue };
            each(&head, &self.signer, &octets)?;
        }
        Ok(())
    }

    fn signature(&self, number: usize, key: &PlanKey, unit: Unit) -> Option<&Signature> {
        let slot = self.slot(number, unit)?;
        if key.key.is_slow() {
            return slot.get().map(AsRef::as_ref);
        }
        Some(slot.get_or_init(|| {
            let signature = self.sign(key, unit);
            self.count(key, &signature);
            Arc::new(signature)
        }))
    }

    fn mark(&self, key: usize, unit: Unit) -> Option<&AtomicBool> {
        self.marks.get(key)?.get(self.number(unit))
    }

    fn is_verified(&self, key: usize, unit: Unit) -> bool {
        self.mark(key, unit).is_some_and(|mark| mark.load(Memory::Acquire))
    }

    fn note(&self, key: usize, unit: Unit) {
        if self.mark(key, unit).is_some_and(|mark| !mark.swap(true, Memory::AcqRel)) {
            self.verified.fetch_add(1, Memory::AcqRel);
        }
    }

    fn count(&self, key: &PlanKey, signature: &Signature) {
        self.earliest.fetch_min(signature.expiration, Memory::AcqRel);
        self.made.fetch_add(1, Memory::AcqRel);
        if key.key.is_slow() {
            self.slow_missing.fetch_sub(1, Memory::AcqRel);
        }
    }

    fn sign(&self, key: &PlanKey, unit: Unit) -> Signature {
        let (inception, expiration, message) = self.message(key, unit);
        let octets = key.key.sign(&message).unwrap_or_default().into_boxed_slice();
        Signature { inception, expiration, octets }
    }

    /// The validity of a unit's new signature by a key, and the octets it is made over.
    fn message(&self, key: &PlanKey, unit: Unit) -> (u32, u32, Vec<u8>) {
        let data = self.data(unit);
        let (inception, expiration) = self.validity(&data.owner, data.rtype);
        let head = head(key, self.labels_of(unit), data.rtype, data.ttl, [inception, expiration]);
        (inception, expiration, self.to_sign(&head, &data))
    }

    fn to_sign(&self, head: &SignatureHead, data: &UnitData) -> Vec<u8> {
        let mut message = Vec::with_capacity(512);
        message.extend_from_slice(head);
        message.extend_from_slice(&self.signer);
        for rdata in &data.rdatas {
            canonical_record(data, rdata, &mut message);
        }
        message
    }

    fn validity(&self, owner: &[u8], rtype: u16) -> (u32, u32) {
        let Some(plan) = &self.plan else { return (0, 0) };
        let early = if plan.jitter == 0 { 0 } else { spread(owner, rtype) % plan.jitter };
        (plan.inception, plan.expiration.saturating_sub(early))
    }

    /// What a unit covers as it is answered: owner, type, TTL, rdatas.
    #[must_use]
    pub fn covered(&self, unit: Unit) -> (Vec<u8>, u16, u32, Vec<Vec<u8>>) {
        let data = self.data(unit);
        (data.owner, data.rtype, data.ttl, data.rdatas)
    }

    /// Each RRSIG rdata of a unit as it is answered, made now where missing, and whether it was verified.
    pub fn each_answered(&self, unit: Unit, mut each: impl FnMut(Vec<u8>, bool)) {
        let (rtype, ttl) = self.rtype_and_ttl(unit);
        for (number, key) in self.keys().iter().enumerate().filter(|(_, key)| self.signs(key, unit)) {
            let Some(signature) = self.signature(number, key, unit) else { continue };
            let head = head(key, self.labels_of(unit), rtype, ttl, [signature.inception, signature.expiration]);
            each([&head, &*self.signer, &signature.octets].concat(), self.is_verified(number, unit));
        }
    }

    /// The keys that sign a unit, by their numbers.
    fn signers_of(&self, unit: Unit) -> impl Iterator<Item = usize> {
        let signers = self.keys().iter().enumerate().filter(move |(_, key)| self.signs(key, unit));
        signers.map(|(number, _)| number)
    }

    fn data(&self, unit: Unit) -> UnitData {
        let (rtype, ttl) = self.rtype_and_ttl(unit);
        let rdatas = match unit {
            Unit::RRset(_, index) => self
                .version
                .rrset_number(index)
                .map(|rrset| rrset.rdatas().map(<[u8]>::to_vec).collect())
                .unwrap_or_default(),
            Unit::Denial(place) => vec![self.denial_rdata(place)],
        };
        UnitData { owner: self.owner_of(unit), rtype, ttl, rdatas }
    }

    /// Rdata of the NSEC or NSEC3 at a place of a chain that is made here.
    #[must_use]
    pub fn denial_rdata(&self, place: usize) -> Vec<u8> {
        let mut rdata = Vec::with_capacity(96);
        match &self.denial {
            Denial::Nsec3(chain) => chain.rdata(&self.version, place, &mut rdata),
            Denial::Nsec | Denial::Compact => denial::nsec_rdata(&self.version, place, &mut rdata),
        }
        rdata
    }

    /// NSEC rdata of a node as it is answered, in place of what `out` held; false when there is not just one.
    pub fn nsec_into(&self, node: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.plan.is_none() {
            let rrset = self.version.rrset_at(node, rrtype::NSEC).filter(|rrset| rrset.count == 1);
            out.extend(rrset.iter().flat_map(RRset::rdatas).flatten());
        } else if let Some(place) = self.chain_place(node) {
            denial::nsec_rdata(&self.version, place, out);
        }
        !out.is_empty()
    }

    /// NSEC3 rdata of a place of a chain that is made here, in place of what `out` held.
    pub fn nsec3_into(&self, place: usize, out: &mut Vec<u8>) {
        out.clear();
        if let Some(chain) = self.denial.hashed() {
            chain.rdata(&self.version, place, out);
        }
    }

    // ------------------------------------------------------------------ carrying over

    fn carry_over(&self, previous: &Self) {
        let keys = self.keys_carried(previous);
        // A signature is over its signer's name too.
        if self.signer != previous.signer || keys.iter().all(Option::is_none) {
            return;
        }
        let (mut node, mut old) = (0, 0);
        while node < self.version.nodes().len() && old < previous.version.nodes().len() {
            match self.version.compare_names(node, &previous.version, old) {
                Ordering::Less => node += 1,
                Ordering::Greater => old += 1,
                Ordering::Equal => {
                    self.carry_node(previous, &keys, node, old);
                    node += 1;
                    old += 1;
                }
            }
        }
    }

    /// For each of our keys, where the version before has the same one.
    fn keys_carried(&self, previous: &Self) -> Vec<Option<usize>> {
        let same = |key: &PlanKey| previous.keys().iter().position(|old| old.key.dnskey() == key.key.dnskey());
        self.keys().iter().map(same).collect()
    }

    fn carry_node(&self, previous: &Self, keys: &[Option<usize>], node: usize, old: usize) {
        for unit in self.units_of_node(node) {
            let from = match unit {
                Unit::RRset(_, index) => {
                    let rtype = self.version.rrset_number(index).map_or(0, |rrset| rrset.rtype);
                    previous
                        .version
                        .rrset_at(old, rtype)
                        .filter(|rrset| self.version.same_rrset(index, &previous.version, rrset.index))
                        .map(|rrset| Unit::RRset(old, rrset.index))
                }
                Unit::Denial(place) => previous
                    .chain_place(old)
                    .filter(|old_place| self.same_denial(place, previous, *old_place))
                    .map(Unit::Denial),
            };
            if let Some(from) = from {
                self.carry_unit(previous, keys, unit, from);
            }
        }
    }

    fn same_denial(&self, place: usize, previous: &Self, old: usize) -> bool {
        self.denial_rtype() == previous.denial_rtype()
            && self.version.negative_ttl() == previous.version.negative_ttl()
            && self.denial_rdata(place) == previous.denial_rdata(old)
    }

    fn carry_unit(&self, previous: &Self, keys: &[Option<usize>], unit: Unit, from: Unit) {
        // By the same plan nothing would be made anew, and what was given can't be.
        let is_same_plan = self.plan.iter().zip(&previous.plan).any(|(own, old)| Arc::ptr_eq(own, old));
        let oldest = self.plan.as_ref().filter(|_| !is_same_plan).map_or(0, |plan| plan.carry_until);
        for ((number, key), old) in self.keys().iter().enumerate().zip(keys) {
            let Some(old) = *old else { continue };
            let signature = previous.slot(old, from).and_then(Slot::get);
            if let (Some(signature), Some(slot), true) = (signature, self.slot(number, unit), self.signs(key, unit))
                && signature.expiration > oldest
                && slot.set(Arc::clone(signature)).is_ok()
            {
                self.count(key, signature);
                if previous.is_verified(old, from) {
                    self.note(number, unit);
                }
            }
        }
    }

    // ------------------------------------------------------------------ making, verifying, sealing

    /// Make missing signatures of fast keys for about `budget`; true when none is missing, of slow keys neither.
    pub fn make(&self, budget: Duration) -> bool {
        let deadline = Instant::now() + budget;
        let nodes = self.version.nodes().len();
        while self.made() + self.slow_missing() < self.total {
            let node = self.cursor.fetch_add(1, Memory::AcqRel);
            if node >= nodes {
                self.cursor.store(0, Memory::Release);
                continue;
            }
            for unit in self.units_of_node(node) {
                for (number, key) in self.keys().iter().enumerate().filter(|(_, key)| self.signs(key, unit)) {
                    let _made = self.signature(number, key, unit);
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        self.made() >= self.total
    }

    /// Verify made signatures for about `budget`; true when all are made and verified. What was verified in the version
    /// before and carried over is not verified again.
    ///
    /// # Errors
    /// The first signature that is wrong.
    pub fn verify(&self, budget: Duration, expected: &Expected) -> Result<bool, String> {
        let deadline = Instant::now() + budget;
        let keys = verify::Keys::of(self, expected);
        let mut walks = 0;
        // What is verified elsewhere may be missing: then a second walk finds nothing more either.
        while walks < 2 && self.verified() < self.total && self.made() >= self.total {
            let node = self.verify_cursor.fetch_add(1, Memory::AcqRel);
            if node >= self.version.nodes().len() {
                self.verify_cursor.store(0, Memory::Release);
                walks += 1;
                continue;
            }
            for unit in self.units_of_node(node) {
                self.verify_unit(unit, &keys, expected)?;
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(self.verified() >= self.total)
    }

    /// Verify every signature of a unit, as it is answered.
    fn verify_unit(&self, unit: Unit, keys: &verify::Keys, expected: &Expected) -> Result<(), String> {
        if self.signers_of(unit).all(|key| self.is_verified(key, unit)) {
            return Ok(());
        }
        let verifiable = verify::unit(self, unit, keys, expected)?;
        let right = self.signers_of(unit).zip(verifiable).filter(|(_, verifiable)| *verifiable);
        right.for_each(|(key, _)| self.note(key, unit));
        Ok(())
    }

    /// Whether a signature is right as it would be answered; one of an algorithm that is verified elsewhere passes here.
    fn holds(&self, key: &PlanKey, unit: Unit, signature: &Signature) -> Result<(), String> {
        let Some(public) = &key.public else { return Ok(()) };
        self.rrsig(key, unit, signature, |data, rdatas, rrsig| {
            if verify::signature(public, &data.owner, data.rtype, data.ttl, rdatas, rrsig) {
                return Ok(());
            }
            let (owner, rtype) = (name::to_string(&data.owner), rdata::rtype_to_text(data.rtype));
            Err(format!("{owner} {rtype}: the signature by key {} does not verify", key.key.key_tag()))
        })
    }

    /// Hand over a unit and its RRSIG rdata as they would be answered.
    fn rrsig<T>(
        &self,
        key: &PlanKey,
        unit: Unit,
        signature: &Signature,
        with: impl FnOnce(&UnitData, &[&[u8]], &[u8]) -> T,
    ) -> T {
        let data = self.data(unit);
        let validity = [signature.inception, signature.expiration];
        let mut rrsig = head(key, self.labels_of(unit), data.rtype, data.ttl, validity).to_vec();
        rrsig.extend_from_slice(&self.signer);
        rrsig.extend_from_slice(&signature.octets);
        let rdatas: Vec<&[u8]> = data.rdatas.iter().map(Vec::as_slice).collect();
        with(&data, &rdatas, &rrsig)
    }

    /// From now on nothing in it changes.
    ///
    /// # Errors
    /// Signatures are missing or not verified.
    pub fn seal(&self) -> Result<(), String> {
        if self.verified() < self.total {
            return Err(format!(
                "{} of {} signatures are made and {} verified",
                self.made(),
                self.total,
                self.verified()
            ));
        }
        self.sealed.store(true, Memory::Release);
        Ok(())
    }

    // ------------------------------------------------------------------ keeping signatures

    /// Each filled slot, in order of keys and units: key number, unit number, signature.
    pub fn filled(&self) -> impl Iterator<Item = (usize, usize, &Signature)> {
        self.slots.iter().enumerate().flat_map(|(key, slots)| {
            slots.iter().enumerate().filter_map(move |(unit, slot)| Some((key, unit, slot.get()?.as_ref())))
        })
    }

    /// Fill a slot with a signature kept earlier; false when there is no such empty slot or it would not be carried over.
    pub fn refill(&self, key: usize, unit: usize, inception: u32, expiration: u32, octets: &[u8]) -> bool {
        let oldest = self.plan.as_ref().map_or(0, |plan| plan.carry_until);
        let place = self.slots.get(key).and_then(|slots| slots.get(unit)).filter(|_| expiration > oldest);
        let (Some(slot), Some(key)) = (place, self.keys().get(key)) else {
            return false;
        };
        let signature = Signature { inception, expiration, octets: octets.into() };
        let signature = Arc::new(signature);
        let fresh = slot.set(Arc::clone(&signature)).is_ok();
        if fresh {
            self.count(key, &signature);
        }
        fresh
    }

    // ------------------------------------------------------------------ signatures made elsewhere

    /// How many signatures by slow keys are missing.
    #[must_use]
    pub fn slow_missing(&self) -> usize {
        self.slow_missing.load(Memory::Acquire)
    }

    /// The next slots, `limit` at most, that slow keys are to fill, with what is to be signed.
    #[must_use]
    pub fn unsigned(&self, limit: usize) -> Vec<Unsigned> {
        let mut found = Vec::new();
        if self.slow_missing() > 0 {
            self.each_slot(&self.slow_cursor, |slot, key, unit| {
                if key.key.is_slow() && self.slot(slot.0, unit).is_some_and(|slot| slot.get().is_none()) {
                    found.push((slot, self.message(key, unit).2));
                }
                found.len() < limit
            });
        }
        found
    }

    /// Fill a slot with what a slow key made for it; verified here, unless the algorithm is verified elsewhere.
    ///
    /// # Errors
    /// There is no such slot, or the signature is wrong; the slot stays empty then.
    pub fn fill(&self, slot: SlotNumber, octets: &[u8]) -> Result<(), String> {
        let (key, unit) = self.numbered(slot)?;
        let (inception, expiration, _) = self.message(key, unit);
        self.put(slot.0, key, unit, Signature { inception, expiration, octets: octets.into() })
    }

    /// Put a signature that was made elsewhere into its slot, if it is right and the slot is empty.
    fn put(&self, number: usize, key: &PlanKey, unit: Unit, signature: Signature) -> Result<(), String> {
        self.holds(key, unit, &signature)?;
        let signature = Arc::new(signature);
        if self.slot(number, unit).is_some_and(|slot| slot.set(Arc::clone(&signature)).is_ok()) {
            self.count(key, &signature);
            if key.public.is_some() {
                self.note(number, unit);
            }
        }
        Ok(())
    }

    /// Take RRSIG rdata over an RRset of the apex that was made ahead of time, with a validity of its own; verified here,
    /// unless the algorithm is verified elsewhere. A slot that is filled already stays as it is.
    ///
    /// # Errors
    /// It is of no RRset or key of the plan, or wrong.
    pub fn give(&self, rrsig: &[u8]) -> Result<(), String> {
        let (given, rest) = rrsig.split_first_chunk::<18>().ok_or("an RRSIG that is cut short")?;
        let [t0, t1, algorithm, _, _, _, _, _, e0, e1, e2, e3, i0, i1, i2, i3, k0, k1] = *given;
        let (rtype, tag) = (u16::from_be_bytes([t0, t1]), u16::from_be_bytes([k0, k1]));
        let (inception, expiration) = (u32::from_be_bytes([i0, i1, i2, i3]), u32::from_be_bytes([e0, e1, e2, e3]));
        let named = format!("the RRSIG of key {tag} over {}", rdata::rtype_to_text(rtype));
        let (signer, octets) =
            rest.split_at_checked(self.signer.len()).ok_or_else(|| format!("{named} is cut short"))?;
        let rrset = self.version.rrset_at(0, rtype).ok_or_else(|| format!("{named} is of no RRset at the apex"))?;
        let unit = Unit::RRset(0, rrset.index);
        let mut found = Err(format!("{named} is of no key that is to sign it"));
        for (number, key) in self.keys().iter().enumerate().filter(|(_, key)| self.signs(key, unit)) {
            if key.key.key_tag() != tag || key.key.algorithm() != algorithm {
                continue;
            }
            let head = head(key, self.labels_of(unit), rtype, rrset.ttl, [inception, expiration]);
            if head != *given || !signer.eq_ignore_ascii_case(&self.signer) {
                found = Err(format!("{named} is of another TTL or name"));
                continue;
            }
            found = self.put(number, key, unit, Signature { inception, expiration, octets: octets.into() });
            if found.is_ok() {
                break;
            }
        }
        found
    }

    /// The next signatures, `limit` at most, that are to be verified elsewhere.
    #[must_use]
    pub fn unverified(&self, limit: usize) -> Vec<Unverified> {
        let mut found = Vec::new();
        if self.keys().iter().any(|key| key.public.is_none()) {
            self.each_slot(&self.foreign_cursor, |slot, key, unit| {
                let signature = self.slot(slot.0, unit).and_then(Slot::get).filter(|_| key.public.is_none());
                if let Some(signature) = signature.filter(|_| !self.is_verified(slot.0, unit)) {
                    let octets = self.rrsig(key, unit, signature, |data, rdatas, rrsig| {
                        verify::signed_data(&data.owner, data.rtype, data.ttl, rdatas, rrsig).map(|(octets, _)| octets)
                    });
                    // Octets that can't be made are signed by nobody, so that they are found wrong.
                    found.push((slot, octets.unwrap_or_default(), signature.octets.to_vec()));
                }
                found.len() < limit
            });
        }
        found
    }

    /// Note that the signature of a slot was verified elsewhere.
    ///
    /// # Errors
    /// There is no such slot, it is empty, or its signature is verified here.
    pub fn note_verified(&self, slot: SlotNumber) -> Result<(), String> {
        let (key, unit) = self.numbered(slot)?;
        let signature = self.slot(slot.0, unit).and_then(Slot::get).filter(|_| key.public.is_none());
        signature.ok_or("no signature there that is verified elsewhere")?;
        self.note(slot.0, unit);
        Ok(())
    }

    /// Look at slots from where the last look ended, each once, while `each` wants more.
    fn each_slot(&self, cursor: &AtomicUsize, mut each: impl FnMut(SlotNumber, &PlanKey, Unit) -> bool) {
        let nodes = self.version.nodes().len();
        let start = cursor.load(Memory::Acquire).min(nodes);
        for node in (start..nodes).chain(0..start) {
            for unit in self.units_of_node(node) {
                for (number, key) in self.keys().iter().enumerate().filter(|(_, key)| self.signs(key, unit)) {
                    if !each((number, self.number(unit)), key, unit) {
                        cursor.store(node, Memory::Release);
                        return;
                    }
                }
            }
        }
    }

    /// Key and unit of a slot that there is.
    fn numbered(&self, (key, number): SlotNumber) -> Result<(&PlanKey, Unit), String> {
        let unit = match number.checked_sub(self.version.rrset_count()) {
            Some(place) => (place < self.chain_len()).then_some(Unit::Denial(place)),
            None => Some(Unit::RRset(self.version.node_of_rrset(number), number)),
        };
        let found = self.keys().get(key).zip(unit).filter(|(key, unit)| {
            let flags = self.version.node(self.node_of(*unit)).map_or(is::OCCLUDED, |node| node.flags);
            self.signs(key, *unit) && (matches!(unit, Unit::Denial(_)) || is_signed(flags, self.rtype_and_ttl(*unit).0))
        });
        found.ok_or_else(|| format!("no slot {number} of key {key}"))
    }

    // ------------------------------------------------------------------ reading

    /// An RRset as it is answered, NSEC, NSEC3 and RRSIG included, of an owner in lower case.
    #[must_use]
    pub fn rrset(&self, lower: &[u8], rtype: u16) -> Option<(u32, Vec<Vec<u8>>)> {
        let node = self.version.find(lower);
        if self.plan.is_some()
            && let Some(chain) = self.denial.hashed()
            && matches!(rtype, rrtype::NSEC3 | rrtype::RRSIG)
            && name::parent(lower) == Some(&self.signer)
            && let Some(place) = nsec3::from_label(lower).and_then(|hash| chain.matching(&hash))
        {
            return Some(self.hashed_rrset(node, place, rtype));
        }
        self.rrset_of(node?, rtype)
    }

    /// NSEC3 or RRSIG at an owner of an NSEC3, which may be a name of the zone's own too.
    fn hashed_rrset(&self, node: Option<usize>, place: usize, rtype: u16) -> (u32, Vec<Vec<u8>>) {
        let ttl = self.version.negative_ttl();
        if rtype == rrtype::NSEC3 {
            return (ttl, vec![self.denial_rdata(place)]);
        }
        let (ttl, mut rdatas) = node.and_then(|node| self.rrset_of(node, rtype)).unwrap_or((ttl, Vec::new()));
        self.each_signature(Unit::Denial(place), |_, rrsig| rdatas.push(rrsig));
        (ttl, rdatas)
    }

    /// An RRset of a node as it is answered, NSEC and RRSIG included.
    #[must_use]
    pub fn rrset_of(&self, node: usize, rtype: u16) -> Option<(u32, Vec<Vec<u8>>)> {
        if self.plan.is_some() && rtype == self.denial_rtype() {
            let place = self.chain_place(node).filter(|_| rtype == rrtype::NSEC)?;
            return Some((self.version.negative_ttl(), vec![self.denial_rdata(place)]));
        }
        if self.has_proofs() && rtype == rrtype::RRSIG {
            let mut rdatas = Vec::new();
            let mut lowest = u32::MAX;
            self.each_rrsig(node, |ttl, rrsig| {
                lowest = lowest.min(ttl);
                rdatas.push(rrsig);
            });
            return (!rdatas.is_empty()).then_some((lowest, rdatas));
        }
        let rrset = self.version.rrset_at(node, rtype)?;
        Some((rrset.ttl, rrset.rdatas().map(<[u8]>::to_vec).collect()))
    }

    /// Every RRSIG rdata that a node is answered with, with its TTL; those of an NSEC3 stand at another name, in a sense.
    pub fn each_rrsig(&self, node: usize, mut each: impl FnMut(u32, Vec<u8>)) {
        if self.plan.is_none() {
            let stored = self.version.rrset_at(node, rrtype::RRSIG);
            for (rrset, rdata) in stored.iter().flat_map(|rrset| rrset.rdatas().map(move |rdata| (rrset, rdata))) {
                if !rdata.starts_with(&rrtype::NSEC3.to_be_bytes()) {
                    each(self.version.ttl_of(node, rrset, rdata), rdata.to_vec());
                }
            }
            return;
        }
        let is_hashed = self.denial.hashed().is_some();
        for unit in self.units_of_node(node).filter(|unit| !is_hashed || matches!(unit, Unit::RRset(..))) {
            self.each_signature(unit, &mut each);
        }
    }

    pub(crate) fn each_signature(&self, unit: Unit, mut each: impl FnMut(u32, Vec<u8>)) {
        let (_, ttl) = self.rtype_and_ttl(unit);
        let result: Result<(), std::convert::Infallible> = self.signatures_of(unit, |head, signer, octets| {
            each(ttl, [head.as_slice(), signer, octets].concat());
            Ok(())
        });
        let Ok(()) = result;
    }

    /// Every record in order of nodes, made where missing: owner, type, TTL, rdata. What proves the absence beside a node
    /// comes with it, an NSEC3 with its own owner.
    pub fn each_record(&self, node: usize, mut each: impl FnMut(&[u8], u16, u32, &[u8])) {
        let owner = self.version.name_of(node);
        self.each_of_node(node, |rtype, ttl, rdata| each(owner, rtype, ttl, rdata));
        if let (Some(chain), Some(place)) = (self.made_chain(), self.chain_place(node))
            && let Some(owner) = nsec3::owner(&chain.hash_at(place), self.version.origin())
        {
            self.each_of_place(place, |rtype, ttl, rdata| each(owner.wire(), rtype, ttl, rdata));
        }
    }

    /// The chain that is made here and whose records stand at names of their own.
    fn made_chain(&self) -> Option<&nsec3::Chain> {
        self.plan.as_ref().and_then(|_| self.denial.hashed())
    }

    /// Every record that stands at a node's own name: type, TTL, rdata.
    fn each_of_node(&self, node: usize, mut each: impl FnMut(u16, u32, &[u8])) {
        for rrset in self.version.rrsets_of(node) {
            for rdata in rrset.rdatas() {
                each(rrset.rtype, self.version.ttl_of(node, &rrset, rdata), rdata);
            }
        }
        if self.plan.is_none() {
            return;
        }
        self.each_rrsig(node, |ttl, rrsig| each(rrtype::RRSIG, ttl, &rrsig));
        if let Some(place) = self.chain_place(node).filter(|_| self.denial.hashed().is_none()) {
            each(rrtype::NSEC, self.version.negative_ttl(), &self.denial_rdata(place));
        }
    }

    /// Every record at a place of a chain that is made here and hashed: type, TTL, rdata.
    fn each_of_place(&self, place: usize, mut each: impl FnMut(u16, u32, &[u8])) {
        each(rrtype::NSEC3, self.version.negative_ttl(), &self.denial_rdata(place));
        self.each_signature(Unit::Denial(place), |ttl, rrsig| each(rrtype::RRSIG, ttl, &rrsig));
    }
}

/// The fixed fields of RRSIG rdata.
fn head(key: &PlanKey, labels: usize, rtype: u16, ttl: u32, validity: [u32; 2]) -> SignatureHead {
    let [inception, expiration] = validity;
    let [t0, t1] = rtype.to_be_bytes();
    let [o0, o1, o2, o3] = ttl.to_be_bytes();
    let [e0, e1, e2, e3] = expiration.to_be_bytes();
    let [i0, i1, i2, i3] = inception.to_be_bytes();
    let [k0, k1] = key.key.key_tag().to_be_bytes();
    let labels = u8::try_from(labels).unwrap_or(127);
    [t0, t1, key.key.algorithm(), labels, o0, o1, o2, o3, e0, e1, e2, e3, i0, i1, i2, i3, k0, k1]
}

/// Types that the keys which sign keys sign (RFC 7344 section 4.1 for CDS and CDNSKEY).
fn is_key_type(node: usize, rtype: u16) -> bool {
    node == 0 && matches!(rtype, rrtype::DNSKEY | rrtype::CDS | rrtype::CDNSKEY)
}

/// Whether an RRset at a node of these flags is signed (RFC 4035 section 2.2): what is authoritative, at a cut DS alone.
fn is_signed(flags: u8, rtype: u16) -> bool {
    flags & is::OCCLUDED == 0
        && !matches!(rtype, rrtype::RRSIG | rrtype::NSEC | rrtype::NSEC3)
        && (flags & is::CUT == 0 || rtype == rrtype::DS)
}

/// RR(i) of RFC 4034 section 3.1.8.1, appended to `message`.
fn canonical_record(data: &UnitData, rdata: &[u8], message: &mut Vec<u8>) {
    message.extend_from_slice(&data.owner);
    message.extend(data.rtype.to_be_bytes());
    message.extend([0, 1]);
    message.extend(data.ttl.to_be_bytes());
    let at = message.len();
    message.extend([0, 0]);
    rdata::canonical(data.rtype, rdata, message);
    let length = u16::try_from(message.len() - at - 2).unwrap_or(u16::MAX);
    if let Some(place) = message.get_mut(at..at + 2) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// A number that depends on owner and type alone (FNV-1a), so that a signature's jitter is the same each time.
fn spread(owner: &[u8], rtype: u16) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    for octet in owner.iter().map(u8::to_ascii_lowercase).chain(rtype.to_be_bytes()) {
        hash = (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193);
    }
    hash
}

/// The RRSIG records that a presigned zone holds over the RRset of type `rtype` at a node.
pub fn presigned_signatures<'a>(
    version: &'a Version,
    node: usize,
    rtype: u16,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let rrset: Option<RRset<'a>> = version.rrset_at(node, rrtype::RRSIG);
    rrset.into_iter().flat_map(move |rrset| {
        let covered = rtype.to_be_bytes();
        rrset.rdatas().filter(move |rdata| rdata.starts_with(&covered))
    })
}
