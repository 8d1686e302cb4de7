//! The digest of a whole zone (RFC 8976), scheme SIMPLE with SHA-384, of a version with all its signatures.
//!
//! A version that is to have one is published with a *placeholder*, a digest of zeros (section 3.1); when its signatures are
//! made, `completed` gives the same version with the digest in its place, and one signature more to be made.

use aws_lc_rs::digest::{Algorithm, Context, SHA384, SHA512};

use crate::denial::Denial;
use crate::message::rrtype;
use crate::name;
use crate::nsec3;
use crate::rdata::{self, rtype};
use crate::signed::{SignedVersion, Unit};
use crate::version::Edit;

/// Octets of a SHA-384 digest.
const OCTETS: usize = 48;
/// Scheme SIMPLE and hash algorithm SHA-384 (RFC 8976 sections 5.2 and 5.3).
const SIMPLE_SHA384: [u8; 2] = [1, 1];
/// Serial, scheme and hash algorithm.
const HEAD: usize = 6;
const IN: u16 = 1;

/// The version with its digest, signatures carried over; None when none is to be put in.
#[must_use]
pub fn completed(signed: &SignedVersion) -> Option<SignedVersion> {
    let version = signed.version();
    let rrset = version.rrset_at(0, rtype::ZONEMD)?;
    let is_placeholder = |head: &[u8; HEAD], rest: &[u8]| head.ends_with(&SIMPLE_SHA384) && *rest == [0; OCTETS];
    let mut parts = rrset.rdatas().filter_map(<[u8]>::split_first_chunk);
    let (head, _) = parts.find(|(head, rest)| is_placeholder(head, rest))?;
    let rdatas = vec![[&head[..], &digest(signed)].concat()];
    let edit = Edit { owner: version.origin().to_vec(), rtype: rtype::ZONEMD, ttl: rrset.ttl, rdatas };
    let plan = signed.plan().map(std::sync::Arc::clone);
    Some(SignedVersion::new(std::sync::Arc::new(version.edited(vec![edit])), plan, Some(signed)))
}

/// The digest by the hash algorithm of this number (RFC 8976 section 5.3); None for one that is not known.
#[must_use]
pub fn digest_by(signed: &SignedVersion, hash: u8) -> Option<Vec<u8>> {
    match hash {
        1 => Some(hashed(signed, &SHA384)),
        2 => Some(hashed(signed, &SHA512)),
        _ => None,
    }
}

/// The digest by SHA-384.
#[must_use]
pub fn digest(signed: &SignedVersion) -> [u8; OCTETS] {
    hashed(signed, &SHA384).try_into().unwrap_or([0; OCTETS])
}

/// The digest (RFC 8976 section 3.3): every record once, in canonical order and form, but the apex ZONEMD and its RRSIG.
/// Signatures that are missing are made now.
fn hashed(signed: &SignedVersion, algorithm: &'static Algorithm) -> Vec<u8> {
    let version = signed.version();
    let mut zone = Zone { context: Context::new(algorithm), records: Vec::new(), owner: Vec::new() };
    let chain = match signed.denial() {
        Denial::Nsec3(chain) if signed.plan().is_some() => Some(chain),
        _ => None,
    };
    let mut places = (0..chain.map_or(0, nsec3::Chain::len)).peekable();
    let owner_of = |place| chain.and_then(|chain| nsec3::owner(&chain.hash_at(place), version.origin()));
    for node in 0..version.nodes().len() {
        let owner = version.name_of(node);
        while let Some(hashed) = places.peek().and_then(|place| owner_of(*place))
            && name::compare_canonical(hashed.wire(), owner).is_lt()
        {
            zone.begin(hashed.wire());
            places.next().into_iter().for_each(|place| zone.add_hashed(signed, place));
            zone.end();
        }
        zone.begin(owner);
        signed.each_record(node, |_, rtype, ttl, rdata| {
            let is_apex_digest = node == 0 && is_of(rtype, rdata, rtype::ZONEMD);
            // What a chain of ours has stands at owners of its own.
            let is_hashed = chain.is_some() && is_of(rtype, rdata, rrtype::NSEC3);
            if !is_apex_digest && !is_hashed {
                zone.add(rtype, ttl, rdata);
            }
        });
        if let Some(place) = places.next_if(|place| owner_of(*place).is_some_and(|at| name::equal(at.wire(), owner))) {
            zone.add_hashed(signed, place);
        }
        zone.end();
    }
    for place in places {
        let Some(hashed) = owner_of(place) else { continue };
        zone.begin(hashed.wire());
        zone.add_hashed(signed, place);
        zone.end();
    }
    zone.context.finish().as_ref().to_vec()
}

/// Whether a record is of a type, or an RRSIG that covers it.
fn is_of(own: u16, rdata: &[u8], rtype: u16) -> bool {
    own == rtype || own == rrtype::RRSIG && rdata.starts_with(&rtype.to_be_bytes())
}

struct Zone {
    context: Context,
    /// Of one owner: type, canonical rdata, TTL.
    records: Vec<(u16, Vec<u8>, u32)>,
    owner: Vec<u8>,
}

impl Zone {
    fn begin(&mut self, owner: &[u8]) {
        self.owner.clear();
        name::lower_into(owner, &mut self.owner);
    }

    fn add(&mut self, rtype: u16, ttl: u32, rdata: &[u8]) {
        let mut canonical = Vec::with_capacity(rdata.len());
        rdata::canonical(rtype, rdata, &mut canonical);
        self.records.push((rtype, canonical, ttl));
    }

    fn add_hashed(&mut self, signed: &SignedVersion, place: usize) {
        self.add(rrtype::NSEC3, signed.version().negative_ttl(), &signed.denial_rdata(place));
        signed.each_signature(Unit::Denial(place), |ttl, rrsig| self.add(rrtype::RRSIG, ttl, &rrsig));
    }

    /// Digest the owner's records by type and rdata (RFC 8976 section 3.3.1), each once.
    fn end(&mut self) {
        self.records.sort_unstable();
        self.records.dedup_by(|one, other| one.0 == other.0 && one.1 == other.1);
        for (rtype, rdata, ttl) in self.records.drain(..) {
            self.context.update(&self.owner);
            self.context.update(&rtype.to_be_bytes());
            self.context.update(&IN.to_be_bytes());
            self.context.update(&ttl.to_be_bytes());
            self.context.update(&u16::try_from(rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
            self.context.update(&rdata);
        }
    }
}
