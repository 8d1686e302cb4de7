//! Verification of what is about to be published, by a path of its own that shares no code with signing.
//!
//! Rule ids: `denial-order`, `denial-gap`, `nsec3-wrong`, `nsec3-collision`, `nsec3-name-too-long`, `nsec3param-wrong`,
//! `apex-rrset-missing`, `key-not-published`, `signature-wrong`.

mod hashed;
mod presigned;

pub use presigned::check as check_presigned;

use crate::crypto::PublicKey;
use crate::finding::{Diagnostic, Severity};
use crate::message::rrtype;
use crate::name;
use crate::rdata;
use crate::signed::{SignedVersion, Unit};
use crate::version::Version;

/// Whether RRSIG rdata is a correct signature over an RRset (RFC 4035 section 5.3.2); times are not looked at.
#[must_use]
pub fn signature(key: &PublicKey, owner: &[u8], rtype: u16, ttl: u32, rdatas: &[&[u8]], rrsig: &[u8]) -> bool {
    signed_data(owner, rtype, ttl, rdatas, rrsig).is_some_and(|(data, octets)| key.verify(&data, octets))
}

/// What RRSIG rdata is a signature over (RFC 4034 section 3.1.8.1), and the signature; None when it can't be one of this RRset.
#[must_use]
pub fn signed_data<'a>(
    owner: &[u8],
    rtype: u16,
    ttl: u32,
    rdatas: &[&[u8]],
    rrsig: &'a [u8],
) -> Option<(Vec<u8>, &'a [u8])> {
    let signer = name::length(rrsig.get(18..)?)?;
    let (head, octets) = rrsig.split_at_checked(18 + signer)?;
    let labels = usize::from(*head.get(3)?);
    let covered = u16::from_be_bytes(head.get(..2)?.try_into().ok()?);
    let original_ttl = u32::from_be_bytes(head.get(4..8)?.try_into().ok()?);
    if covered != rtype || ttl > original_ttl || labels > name::label_count(owner) {
        return None;
    }
    let mut data = head.get(..18)?.to_vec();
    name::lower_into(head.get(18..)?, &mut data);
    let mut records: Vec<Vec<u8>> = rdatas.iter().map(|rdata| canonical(rtype, rdata)).collect();
    records.sort();
    records.dedup();
    let owner = name::lower(&as_signed(owner, labels));
    for record in records {
        data.extend_from_slice(&owner);
        data.extend(rtype.to_be_bytes());
        data.extend([0, 1]);
        data.extend(original_ttl.to_be_bytes());
        data.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        data.extend(record);
    }
    Some((data, octets))
}

fn canonical(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rdata.len());
    rdata::canonical(rtype, rdata, &mut out);
    out
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

/// All that must hold before a version goes live; empty when it may.
#[must_use]
pub fn check(signed: &SignedVersion) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if signed.plan().is_some() {
        match signed.denial().hashed() {
            Some(chain) => hashed::check(signed, chain, &mut findings),
            None => check_chain(signed.version(), &mut findings),
        }
        check_apex(signed, &mut findings);
        check_first_signatures(signed, &mut findings);
    }
    findings
}

fn report(findings: &mut Vec<Diagnostic>, rule: &'static str, message: String) {
    findings.push(Diagnostic::of_zone(rule, Severity::Error, message));
}

/// The chain names each authoritative name once, in order, and no other (RFC 4035 section 2.3). Which those are is worked
/// out anew from the names and types alone.
fn check_chain(version: &Version, findings: &mut Vec<Diagnostic>) {
    let mut chain = version.chain().iter();
    let mut hidden_below: Option<&[u8]> = None;
    let mut before: Option<&[u8]> = None;
    for node in 0..version.nodes().len() {
        let owner = version.name_of(node);
        if before.is_some_and(|before| name::compare_canonical(before, owner) != std::cmp::Ordering::Less) {
            return report(findings, "denial-order", format!("{} is out of canonical order", name::to_string(owner)));
        }
        before = Some(owner);
        if hidden_below.is_some_and(|top| name::is_at_or_below(owner, top)) {
            continue;
        }
        let mut types = version.rtypes_of(node).peekable();
        if types.peek().is_none() {
            continue;
        }
        if types.any(|rtype| rtype == rrtype::DNAME || (rtype == rrtype::NS && node != 0)) {
            hidden_below = Some(owner);
        }
        if chain.next().map(|place| *place as usize) != Some(node) {
            return report(
                findings,
                "denial-gap",
                format!("{} is missing in the denial chain", name::to_string(owner)),
            );
        }
    }
    if chain.next().is_some() {
        report(findings, "denial-gap", "the denial chain names more than the zone holds".to_owned());
    }
}

fn check_apex(signed: &SignedVersion, findings: &mut Vec<Diagnostic>) {
    let version = signed.version();
    for rtype in [rrtype::SOA, rrtype::NS, rrtype::DNSKEY] {
        if version.rrset_at(0, rtype).is_none() {
            report(findings, "apex-rrset-missing", format!("no {} at the apex", rdata::rtype_to_text(rtype)));
        }
    }
    let published: Vec<&[u8]> =
        version.rrset_at(0, rrtype::DNSKEY).map(|rrset| rrset.rdatas().collect()).unwrap_or_default();
    for key in signed.plan().into_iter().flat_map(|plan| &plan.keys) {
        if !published.contains(&key.key.dnskey()) {
            report(
                findings,
                "key-not-published",
                format!("key {} signs but is not in the DNSKEY RRset", key.key.key_tag()),
            );
        }
    }
}

/// The first signature of each key, over the DNSKEY RRset and over the SOA, against the published key.
fn check_first_signatures(signed: &SignedVersion, findings: &mut Vec<Diagnostic>) {
    for rtype in [rrtype::DNSKEY, rrtype::SOA] {
        if let Some(rrset) = signed.version().rrset_at(0, rtype)
            && let Err(message) = signed.verify_unit(Unit::RRset(0, rrset.index))
        {
            report(findings, "signature-wrong", message);
        }
    }
}
