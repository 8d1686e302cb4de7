//! Whether the RRSIGs of one RRset are what they have to be, each field of them and each key that has to sign.
//!
//! Keys are those of the DNSKEY RRset as it is published, found by tag and algorithm and told apart by what they verify,
//! so that two keys of one tag are not mixed up. Only while no key of an algorithm is published may one sign that is not
//! there either: signatures of a new algorithm come before its DNSKEY, and outlive it (RFC 6781 section 4.1.4).

use super::{Expected, canonical};
use crate::crypto::PublicKey;
use crate::message::rrtype;
use crate::name;
use crate::rdata;
use crate::signed::SignedVersion;

/// A rule's id, and what was found.
pub(super) type Fault = (&'static str, String);

const ZONE_KEY: u16 = 0x0100;
/// RFC 5011 section 7.
const REVOKED: u16 = 0x0080;

/// A key that may have signed.
pub struct Key {
    /// Its DNSKEY rdata.
    pub dnskey: Box<[u8]>,
    /// Key tag (RFC 4034 appendix B).
    pub tag: u16,
    /// DNSSEC algorithm number.
    pub algorithm: u8,
    /// Whether the DNSKEY RRset has it.
    pub is_published: bool,
    /// None for an algorithm that others have to verify.
    public: Option<PublicKey>,
}

impl Key {
    /// The key of DNSKEY rdata; what is wrong with it.
    pub(super) fn of(dnskey: &[u8], is_published: bool) -> Result<Self, String> {
        let Some((&[high, low, protocol, algorithm], public)) = dnskey.split_first_chunk::<4>() else {
            return Err("is cut short".to_owned());
        };
        let flags = u16::from_be_bytes([high, low]);
        // RFC 4034 sections 2.1.1 and 2.1.2.
        if flags & ZONE_KEY == 0 || protocol != 3 || public.is_empty() {
            return Err(format!("has flags {flags} and protocol {protocol}, and is no zone key"));
        }
        let parsed = PublicKey::from_dnskey(dnskey);
        if let (8 | 10 | 13 | 14 | 15, Err(why)) = (algorithm, &parsed) {
            return Err(format!("can't be used: {why}"));
        }
        Ok(Self { dnskey: dnskey.into(), tag: tag(dnskey), algorithm, is_published, public: parsed.ok() })
    }

    /// Whether it signs nothing but the DNSKEY RRset any more.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.dnskey.first_chunk().is_some_and(|flags| u16::from_be_bytes(*flags) & REVOKED != 0)
    }

    /// Whether the engine can't verify what it signed.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.public.is_none()
    }
}

/// RFC 4034 appendix B.
fn tag(dnskey: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for (index, octet) in dnskey.iter().enumerate() {
        sum += if index % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) };
    }
    sum += sum >> 16;
    u16::try_from(sum & 0xffff).unwrap_or(0)
}

/// The keys that may sign a version, and the algorithms that must.
pub struct Keys {
    /// Published ones first.
    pub keys: Vec<Key>,
    /// Those of the DNSKEY RRset.
    pub algorithms: Vec<u8>,
    /// RFC 4035 section 2.2: each of them signs each RRset. Else one of them does (RFC 6840 section 5.11).
    is_strict: bool,
    pub(super) faults: Vec<Fault>,
}

impl Keys {
    /// Of a version, those of other providers (RFC 8901) set apart.
    #[must_use]
    pub fn of(signed: &SignedVersion, expected: &Expected) -> Self {
        let is_strict = !expected.is_liberal;
        let mut all = Self { keys: Vec::new(), algorithms: Vec::new(), is_strict, faults: Vec::new() };
        let published = signed.version().rrset_at(0, rrtype::DNSKEY);
        for dnskey in published.iter().flat_map(crate::version::RRset::rdatas) {
            match Key::of(dnskey, true) {
                Ok(key) => {
                    if !key.is_revoked() && !expected.foreign.iter().any(|foreign| **foreign == *dnskey) {
                        all.algorithms.push(key.algorithm);
                    }
                    all.keys.push(key);
                }
                Err(what) => all.faults.push(("key-malformed", format!("the DNSKEY of tag {} {what}", tag(dnskey)))),
            }
        }
        all.algorithms.sort_unstable();
        all.algorithms.dedup();
        for dnskey in signed.plan().into_iter().flat_map(|plan| &plan.keys).map(|key| key.key.dnskey()) {
            all.add_signer(dnskey);
        }
        all
    }

    fn add_signer(&mut self, dnskey: &[u8]) {
        if self.keys.iter().any(|key| *key.dnskey == *dnskey) {
            return;
        }
        match Key::of(dnskey, false) {
            Ok(key) if !self.algorithms.contains(&key.algorithm) => self.keys.push(key),
            Ok(key) => {
                let message = format!("key {} signs but is not in the DNSKEY RRset", key.tag);
                self.faults.push(("key-not-published", message));
            }
            Err(what) => self.faults.push(("key-malformed", format!("the key {} that signs {what}", tag(dnskey)))),
        }
    }
}

/// An RRset that has to be signed.
pub(super) struct Covered<'a> {
    pub origin: &'a [u8],
    pub owner: &'a [u8],
    pub rtype: u16,
    pub ttl: u32,
    pub rdatas: &'a [&'a [u8]],
}

/// The RRSIG of an RRset as it is answered; its octets need no looking at if they were verified before.
pub(super) struct Answered {
    pub rdata: Vec<u8>,
    pub is_verified: bool,
}

/// Who signed what: for each RRSIG the key by its place in `Keys`.
pub(super) type Signers = Vec<usize>;

impl Covered<'_> {
    /// Every RRSIG is right, no key signed twice, and each algorithm signed (RFC 4035 section 2.2).
    pub(super) fn check(&self, answered: &[Answered], keys: &Keys, expected: &Expected) -> Result<Signers, Fault> {
        let mut signers = Signers::with_capacity(answered.len());
        for one in answered {
            let signer = self.one(one, keys, expected).map_err(|(rule, what)| (rule, self.named(&what)))?;
            if signers.contains(&signer) {
                return Err(("signature-extra", self.named("one key signed it twice")));
            }
            signers.push(signer);
        }
        if answered.is_empty() {
            return Err(("signature-missing", self.named("it is not signed")));
        }
        let signed_by = |algorithm: &u8| {
            signers
                .iter()
                .filter_map(|at| keys.keys.get(*at))
                .any(|key| key.algorithm == *algorithm && key.is_published)
        };
        let mut unsigned = keys.algorithms.iter().filter(|algorithm| !signed_by(algorithm));
        let most = if keys.is_strict { 0 } else { keys.algorithms.len().saturating_sub(1) };
        match unsigned.nth(most) {
            Some(algorithm) => {
                let what = format!("no key of algorithm {algorithm}, which is in the DNSKEY RRset, signed it");
                Err(("algorithm-unsigned", self.named(&what)))
            }
            None => Ok(signers),
        }
    }

    fn named(&self, what: &str) -> String {
        format!("{} {}: {what}", name::to_string(self.owner), rdata::rtype_to_text(self.rtype))
    }

    fn one(&self, answered: &Answered, keys: &Keys, expected: &Expected) -> Result<usize, Fault> {
        let rrsig =
            Rrsig::of(&answered.rdata).ok_or(("signature-malformed", "its signature is malformed".to_owned()))?;
        self.check_fields(&rrsig)?;
        self.check_times(&rrsig, expected)?;
        let is_candidate = |key: &&Key| key.tag == rrsig.tag && key.algorithm == rrsig.algorithm;
        let mut candidates = keys.keys.iter().enumerate().filter(|(_, key)| is_candidate(key)).peekable();
        if candidates.peek().is_none() {
            let (tag, algorithm) = (rrsig.tag, rrsig.algorithm);
            return Err((
                "signature-no-key",
                format!("signed by key {tag} of algorithm {algorithm}, which is no DNSKEY"),
            ));
        }
        let data = self.signed_data(&rrsig);
        let right = candidates.find(|(_, key)| {
            (!key.is_revoked() || self.rtype == rrtype::DNSKEY)
                && (answered.is_verified || data.as_ref().is_some_and(|data| verifies(key, data, rrsig.octets)))
        });
        right
            .map(|(at, _)| at)
            .ok_or_else(|| ("signature-wrong", format!("the signature by key {} does not verify", rrsig.tag)))
    }

    /// RFC 4034 section 3.1.
    fn check_fields(&self, rrsig: &Rrsig<'_>) -> Result<(), Fault> {
        let labels = canonical::label_count(self.owner) - usize::from(self.owner.starts_with(b"\x01*"));
        let what = if rrsig.covered != self.rtype {
            format!("its signature covers {}", rdata::rtype_to_text(rrsig.covered))
        } else if usize::from(rrsig.labels) != labels {
            format!("its signature counts {} labels, there are {labels}", rrsig.labels)
        } else if rrsig.original_ttl != self.ttl {
            format!("its signature has the original TTL {}, it is {}", rrsig.original_ttl, self.ttl)
        } else if !rrsig.signer.eq_ignore_ascii_case(self.origin) {
            format!("its signer is {}, not the zone", name::to_string(rrsig.signer))
        } else {
            return Ok(());
        };
        Err(("signature-fields", what))
    }

    /// RFC 4034 section 3.1.5: dates are compared in serial number arithmetic.
    fn check_times(&self, rrsig: &Rrsig<'_>, expected: &Expected) -> Result<(), Fault> {
        let now = expected.now;
        let (age, left) =
            (now.wrapping_sub(rrsig.inception).cast_signed(), rrsig.expiration.wrapping_sub(now).cast_signed());
        let lifetime = rrsig.expiration.wrapping_sub(rrsig.inception);
        if lifetime == 0 || lifetime.cast_signed() < 0 {
            return Err(("signature-window", "its signature expires before it begins".to_owned()));
        }
        if age < 0 {
            let wait = -i64::from(age);
            return Err(("signature-not-yet-valid", format!("its signature is not valid for another {wait} seconds")));
        }
        if left <= 0 {
            return Err(("signature-expired", format!("its signature expired {} seconds ago", -i64::from(left))));
        }
        if self.ttl > lifetime {
            let what = format!("its TTL {} is longer than its signature lives, {lifetime} seconds", self.ttl);
            return Err(("ttl-beyond-signature", what));
        }
        let least = self.ttl.min(expected.horizon);
        if left.unsigned_abs() < least {
            let what = format!("its signature expires in {left} seconds, it is needed for {least}");
            return Err(("signature-expires-soon", what));
        }
        Ok(())
    }

    /// RFC 4034 section 3.1.8.1.
    fn signed_data(&self, rrsig: &Rrsig<'_>) -> Option<Vec<u8>> {
        signed_data(rrsig, self.owner, self.rtype, self.rdatas)
    }
}

fn verifies(key: &Key, data: &[u8], octets: &[u8]) -> bool {
    match &key.public {
        Some(public) => public.verify(data, octets),
        // Whoever can verify it is asked before the version is sealed.
        None => !octets.is_empty(),
    }
}

/// The fields of RRSIG rdata.
pub(super) struct Rrsig<'a> {
    pub covered: u16,
    pub algorithm: u8,
    pub labels: u8,
    pub original_ttl: u32,
    pub expiration: u32,
    pub inception: u32,
    pub tag: u16,
    pub signer: &'a [u8],
    pub octets: &'a [u8],
    fixed: &'a [u8],
}

impl<'a> Rrsig<'a> {
    pub(super) fn of(rdata: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = rdata.split_at_checked(18)?;
        let &[c0, c1, algorithm, labels, o0, o1, o2, o3, e0, e1, e2, e3, i0, i1, i2, i3, t0, t1] = fixed else {
            return None;
        };
        let (signer, octets) = rest.split_at_checked(canonical::name_length(rest)?)?;
        Some(Self {
            covered: u16::from_be_bytes([c0, c1]),
            algorithm,
            labels,
            original_ttl: u32::from_be_bytes([o0, o1, o2, o3]),
            expiration: u32::from_be_bytes([e0, e1, e2, e3]),
            inception: u32::from_be_bytes([i0, i1, i2, i3]),
            tag: u16::from_be_bytes([t0, t1]),
            signer,
            octets,
            fixed,
        })
    }
}

/// What a signature was made over (RFC 4034 sections 3.1.8.1 and 6, RFC 4035 section 5.3.2).
pub(super) fn signed_data(rrsig: &Rrsig<'_>, owner: &[u8], rtype: u16, rdatas: &[&[u8]]) -> Option<Vec<u8>> {
    let records = rdatas.iter().map(|rdata| canonical::rdata(rtype, rdata)).collect::<Option<Vec<_>>>();
    let mut records = records?;
    records.sort_unstable();
    records.dedup();
    let owner = as_signed(owner, usize::from(rrsig.labels)).to_ascii_lowercase();
    let mut data = rrsig.fixed.to_vec();
    data.extend(rrsig.signer.iter().map(u8::to_ascii_lowercase));
    for record in records {
        data.extend_from_slice(&owner);
        data.extend(rtype.to_be_bytes());
        data.extend([0, 1]);
        data.extend(rrsig.original_ttl.to_be_bytes());
        data.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        data.extend(record);
    }
    Some(data)
}

/// The owner a signature of so many labels was made over: the wildcard, when the owner has more (RFC 4035 section 5.3.2).
fn as_signed(owner: &[u8], labels: usize) -> Vec<u8> {
    let own = name::label_count(owner) - usize::from(name::is_wildcard(owner));
    if own <= labels {
        return owner.to_vec();
    }
    let mut wildcard = vec![1, b'*'];
    wildcard.extend_from_slice(name::last_labels(owner, labels));
    wildcard
}
