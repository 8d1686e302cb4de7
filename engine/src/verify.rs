//! Verification of what is about to be published, by a path of its own that shares no code with signing.
//!
//! Two gates: `check` before a version goes live, each signature (`unit`, `check_signatures`) before it is sealed. What is
//! judged are records as they are answered, made here or brought along. Canonical form, names, chains, key tags and digests
//! are worked out by code of this module; of the rest of the crate only the index and the crypto library are used.
//!
//! Rule ids: `names-wrong`, `denial-order`, `denial-gap`, `denial-wrong`, `denial-extra`, `nsec3-wrong`, `nsec3-collision`,
//! `nsec3-name-too-long`, `nsec3param-wrong`, `apex-rrset-missing`, `soa-twice`, `key-malformed`, `key-not-published`,
//! `algorithm-unsigned`, `cds-wrong`, `cds-no-key`, `cds-no-signer`, `ds-no-signer`, `signature-missing`,
//! `signature-extra`, `signature-malformed`, `signature-fields`, `signature-window`, `signature-not-yet-valid`,
//! `signature-expired`, `signature-expires-soon`, `ttl-beyond-signature`, `signature-no-key`, `signature-wrong`.

mod apex;
mod canonical;
mod chain;
mod hashed;
mod names;
mod presigned;
mod signatures;

pub use presigned::check as check_presigned;
pub use signatures::Keys;

use signatures::{Answered, Covered, Fault, Rrsig, Signers};

use crate::crypto::PublicKey;
use crate::denial::Denial;
use crate::finding::{Diagnostic, Severity};
use crate::message::rrtype;
use crate::signed::{SignedVersion, Unit, presigned_signatures};
use crate::version::is;

/// Findings beyond so many say nothing new.
const MOST: usize = 20;

/// What a version is held against.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Unix seconds, modulo 2^32.
    pub now: u32,
    /// Seconds that a signature has to live on, or its TTL where that is shorter.
    pub horizon: u32,
    /// Rdata of the DS that the parent is known to publish; empty when nothing is known.
    pub parent_ds: Vec<Vec<u8>>,
    /// Rdata of DNSKEYs of other providers (RFC 8901): they need not sign.
    pub foreign: Vec<Vec<u8>>,
    /// One algorithm of the DNSKEY RRset is enough for an RRset, as in the midst of a liberal roll (RFC 6840 section 5.11).
    pub is_liberal: bool,
}

/// Whether RRSIG rdata is a correct signature over an RRset (RFC 4035 section 5.3.2), whose TTL may have counted down and
/// whose owner may stand for a wildcard; times are not looked at.
#[must_use]
pub fn signature(key: &PublicKey, owner: &[u8], rtype: u16, ttl: u32, rdatas: &[&[u8]], rdata: &[u8]) -> bool {
    signed_data(owner, rtype, ttl, rdatas, rdata).is_some_and(|(data, octets)| key.verify(&data, octets))
}

/// What RRSIG rdata is a signature over (RFC 4034 section 3.1.8.1), and the signature; None when it can't be one of this RRset.
#[must_use]
pub fn signed_data<'a>(
    owner: &[u8],
    rtype: u16,
    ttl: u32,
    rdatas: &[&[u8]],
    rdata: &'a [u8],
) -> Option<(Vec<u8>, &'a [u8])> {
    let rrsig = Rrsig::of(rdata)?;
    let is_of_rrset = rrsig.covered == rtype
        && ttl <= rrsig.original_ttl
        && usize::from(rrsig.labels) <= canonical::label_count(owner);
    let data = signatures::signed_data(&rrsig, owner, rtype, rdatas).filter(|_| is_of_rrset)?;
    Some((data, rrsig.octets))
}

/// All that must hold before a version goes live; empty when it may, and for one without signatures.
#[must_use]
pub fn check(signed: &SignedVersion, expected: &Expected) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if !signed.has_proofs() {
        return findings;
    }
    check_denial(signed, true, &mut findings);
    let keys = Keys::of(signed, expected);
    apex::check(signed, &keys, expected, &mut findings);
    check_plan(signed, expected, &mut findings);
    findings
}

fn report(findings: &mut Vec<Diagnostic>, rule: &'static str, message: String) {
    findings.push(Diagnostic::of_zone(rule, Severity::Error, message));
}

/// Names, and the chain that proves which there are; `is_strict` of one that is to be as we make it.
fn check_denial(signed: &SignedVersion, is_strict: bool, findings: &mut Vec<Diagnostic>) {
    let names = names::of(signed.version(), findings);
    if !findings.is_empty() {
        return;
    }
    match signed.denial() {
        Denial::Nsec3(made) => hashed::check(signed, made, &names, is_strict, findings),
        Denial::Nsec | Denial::Compact => chain::check(signed, &names, findings),
    }
}

/// The validity of what is signed by a plan: what it makes, and what was carried over.
fn check_plan(signed: &SignedVersion, expected: &Expected, findings: &mut Vec<Diagnostic>) {
    let Some(plan) = signed.plan() else { return };
    let left = |at: u32| at.wrapping_sub(expected.now).cast_signed();
    if left(plan.inception) > 0 || left(plan.expiration.saturating_sub(plan.jitter)) <= 0 {
        let what = format!("new signatures are valid from {} to {}, not now", plan.inception, plan.expiration);
        report(findings, "signature-window", what);
    }
    if let Some(earliest) = signed.earliest_expiration().filter(|earliest| left(*earliest) <= 0) {
        report(findings, "signature-expired", format!("a signature of the version expired at {earliest}"));
    }
}

/// Every signature of a unit, as it is answered; those that were verified before are not computed again. Gives back for
/// each in order whether the engine can verify it.
///
/// # Errors
/// What is wrong.
pub fn unit(signed: &SignedVersion, unit: Unit, keys: &Keys, expected: &Expected) -> Result<Vec<bool>, String> {
    let signers = check_unit(signed, unit, keys, expected).map_err(|(_, what)| what)?;
    Ok(signers.iter().map(|at| keys.keys.get(*at).is_some_and(|key| !key.is_elsewhere())).collect())
}

fn check_unit(signed: &SignedVersion, unit: Unit, keys: &Keys, expected: &Expected) -> Result<Signers, Fault> {
    let (owner, rtype, ttl, rdatas) = signed.covered(unit);
    let rdatas: Vec<&[u8]> = rdatas.iter().map(Vec::as_slice).collect();
    let mut answered = Vec::new();
    signed.each_answered(unit, |rdata, is_verified| answered.push(Answered { rdata, is_verified }));
    let origin = signed.version().origin();
    Covered { origin, owner: &owner, rtype, ttl, rdatas: &rdatas }.check(&answered, keys, expected)
}

/// The signatures of an RRset of a node; None when there is no such RRset.
fn rrset(
    signed: &SignedVersion,
    node: usize,
    rtype: u16,
    keys: &Keys,
    expected: &Expected,
) -> Option<Result<Signers, Fault>> {
    let version = signed.version();
    let rrset = version.rrset_at(node, rtype)?;
    if signed.plan().is_some() {
        return Some(check_unit(signed, Unit::RRset(node, rrset.index), keys, expected));
    }
    let rdatas: Vec<&[u8]> = rrset.rdatas().collect();
    let answered: Vec<Answered> = presigned_signatures(version, node, rtype)
        .map(|rdata| Answered { rdata: rdata.to_vec(), is_verified: false })
        .collect();
    let (origin, owner, ttl) = (version.origin(), version.name_of(node), rrset.ttl);
    Some(Covered { origin, owner, rtype, ttl, rdatas: &rdatas }.check(&answered, keys, expected))
}

/// Every signature at once, whoever made it: what `SignedVersion::verify` does in slices, and the same of a version that
/// brings its signatures along.
#[must_use]
pub fn check_signatures(signed: &SignedVersion, expected: &Expected) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if !signed.has_proofs() {
        return findings;
    }
    let keys = Keys::of(signed, expected);
    for node in 0..signed.version().nodes().len() {
        if signed.plan().is_some() {
            for unit in signed.units_of_node(node) {
                if let Err((rule, what)) = check_unit(signed, unit, &keys, expected) {
                    report(&mut findings, rule, what);
                }
            }
        } else {
            check_brought(signed, node, &keys, expected, &mut findings);
        }
        if findings.len() >= MOST {
            break;
        }
    }
    findings
}

/// RFC 4035 section 2.2: what has to be signed is, and nothing else.
fn check_brought(
    signed: &SignedVersion,
    node: usize,
    keys: &Keys,
    expected: &Expected,
    findings: &mut Vec<Diagnostic>,
) {
    let version = signed.version();
    let flags = version.node(node).map_or(is::OCCLUDED, |node| node.flags);
    let is_signed = |rtype: u16| {
        flags & is::OCCLUDED == 0
            && rtype != rrtype::RRSIG
            && (flags & is::CUT == 0 || matches!(rtype, rrtype::DS | rrtype::NSEC | rrtype::NSEC3))
    };
    for rtype in version.rtypes_of(node).filter(|rtype| is_signed(*rtype)) {
        if let Some(Err((rule, what))) = rrset(signed, node, rtype, keys, expected) {
            report(findings, rule, what);
        }
    }
    let stored = version.rrset_at(node, rrtype::RRSIG);
    for rdata in stored.iter().flat_map(crate::version::RRset::rdatas) {
        let covered = rdata.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
        if version.rrset_at(node, covered).is_none() || !is_signed(covered) {
            let (owner, rtype) = (crate::name::to_string(version.name_of(node)), crate::rdata::rtype_to_text(covered));
            report(findings, "signature-extra", format!("{owner} {rtype}: it has a signature and must not have one"));
        }
    }
}
