//! What the apex has to hold, who signed it, and whether the parent's DS leads to it.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384};

use super::signatures::{Fault, Key, Keys, Signers};
use super::{Expected, report, rrset};
use crate::finding::Diagnostic;
use crate::message::rrtype;
use crate::rdata;
use crate::signed::SignedVersion;

/// CDS and CDNSKEY that ask for the DS to be taken away (RFC 8078 section 4).
const DELETE_CDS: [u8; 5] = [0, 0, 0, 0, 0];
const DELETE_CDNSKEY: [u8; 5] = [0, 0, 3, 0, 0];

/// RRsets and keys, and the first signature of each key, over the RRsets of the apex that matter most.
pub(super) fn check(signed: &SignedVersion, keys: &Keys, expected: &Expected, findings: &mut Vec<Diagnostic>) {
    let version = signed.version();
    for rtype in [rrtype::SOA, rrtype::NS, rrtype::DNSKEY] {
        if version.rrset_at(0, rtype).is_none() {
            report(findings, "apex-rrset-missing", format!("no {} at the apex", rdata::rtype_to_text(rtype)));
        }
    }
    if version.soa().is_some_and(|soa| soa.count != 1) {
        report(findings, "soa-twice", "the apex has more than one SOA".to_owned());
    }
    for (rule, what) in &keys.faults {
        report(findings, rule, what.clone());
    }
    let cds: Vec<&[u8]> = version.rrset_at(0, rrtype::CDS).map(|rrset| rrset.rdatas().collect()).unwrap_or_default();
    let cdnskey: Vec<&[u8]> =
        version.rrset_at(0, rrtype::CDNSKEY).map(|rrset| rrset.rdatas().collect()).unwrap_or_default();
    if let Err((rule, what)) = check_parent_records(signed, keys, &cds, &cdnskey) {
        report(findings, rule, what);
    }
    let mut of_keys = None;
    for rtype in [rrtype::DNSKEY, rrtype::SOA, rrtype::NS, rrtype::CDS, rrtype::CDNSKEY] {
        match rrset(signed, 0, rtype, keys, expected) {
            Some(Ok(signers)) if rtype == rrtype::DNSKEY => of_keys = Some(signers),
            Some(Err((rule, what))) => report(findings, rule, what),
            Some(Ok(_)) | None => {}
        }
    }
    if let Some(signers) = of_keys {
        check_chain(signed, keys, &signers, [&cds, &cdnskey], expected, findings);
    }
}

/// Each CDS is of a published DNSKEY, each CDNSKEY is one, both name the same keys (RFC 7344 sections 4 and 4.1).
fn check_parent_records(signed: &SignedVersion, keys: &Keys, cds: &[&[u8]], cdnskey: &[&[u8]]) -> Result<(), Fault> {
    let deletes = [cds.contains(&&DELETE_CDS[..]), cdnskey.contains(&&DELETE_CDNSKEY[..])];
    if deletes.contains(&true) {
        let is_alone = cds.len() <= 1 && cdnskey.len() <= 1;
        let is_agreed = (deletes[0] || cds.is_empty()) && (deletes[1] || cdnskey.is_empty());
        let what = "a CDS or CDNSKEY that asks to delete the DS stands beside others";
        return if is_alone && is_agreed { Ok(()) } else { Err(("cds-wrong", what.to_owned())) };
    }
    let origin = signed.version().origin();
    for one in cds {
        if !keys.keys.iter().any(|key| key.is_published && is_ds_of(one, key, origin)) {
            return Err(("cds-no-key", format!("the CDS of key {} is of no published DNSKEY", tag_of(one))));
        }
    }
    for one in cdnskey {
        if !keys.keys.iter().any(|key| key.is_published && *key.dnskey == **one) {
            return Err(("cds-no-key", "a CDNSKEY is no published DNSKEY".to_owned()));
        }
    }
    if cds.is_empty() || cdnskey.is_empty() {
        return Ok(());
    }
    let named = keys.keys.iter().filter(|key| key.is_published);
    let differs =
        |key: &&Key| cds.iter().any(|one| is_ds_of(one, key, origin)) != cdnskey.iter().any(|one| **one == *key.dnskey);
    match named.into_iter().find(differs) {
        Some(key) => Err(("cds-wrong", format!("CDS and CDNSKEY differ: one of them alone names key {}", key.tag))),
        None => Ok(()),
    }
}

/// The way down from the parent: a DS that is there leads to a key that signs the DNSKEY RRset, and so does each that we
/// ask for with CDS (RFC 4035 section 5, RFC 7344 section 4.1).
fn check_chain(
    signed: &SignedVersion,
    keys: &Keys,
    signers: &Signers,
    [cds, cdnskey]: [&[&[u8]]; 2],
    expected: &Expected,
    findings: &mut Vec<Diagnostic>,
) {
    let origin = signed.version().origin();
    for (at, key) in keys.keys.iter().enumerate().filter(|(_, key)| key.is_published) {
        let is_foreign = expected.foreign.iter().any(|foreign| **foreign == *key.dnskey);
        let is_asked_for = cds.iter().any(|one| is_ds_of(one, key, origin)) || cdnskey.contains(&&*key.dnskey);
        if is_asked_for && !is_foreign && !signers.contains(&at) {
            let what = format!("key {} is in CDS or CDNSKEY and does not sign the DNSKEY RRset", key.tag);
            report(findings, "cds-no-signer", what);
        }
    }
    let leads = |ds: &Vec<u8>| signers.iter().filter_map(|at| keys.keys.get(*at)).any(|key| is_ds_of(ds, key, origin));
    if !expected.parent_ds.is_empty() && !expected.parent_ds.iter().any(leads) {
        let tags: Vec<String> = expected.parent_ds.iter().map(|ds| tag_of(ds).to_string()).collect();
        let what = format!("the DS at the parent (key {}) is of no key that signs the DNSKEY RRset", tags.join(", "));
        report(findings, "ds-no-signer", what);
    }
}

/// Whether DS rdata is of this key (RFC 4034 section 5.1.4); of a digest that is not known here, by tag and algorithm.
fn is_ds_of(ds: &[u8], key: &Key, origin: &[u8]) -> bool {
    let Some((&[high, low, algorithm, kind], digest)) = ds.split_first_chunk::<4>() else { return false };
    if u16::from_be_bytes([high, low]) != key.tag || algorithm != key.algorithm {
        return false;
    }
    let by = match kind {
        1 => &SHA1_FOR_LEGACY_USE_ONLY,
        2 => &SHA256,
        4 => &SHA384,
        _ => return true,
    };
    let mut context = Context::new(by);
    context.update(&origin.to_ascii_lowercase());
    context.update(&key.dnskey);
    context.finish().as_ref() == digest
}

fn tag_of(ds: &[u8]) -> u16 {
    ds.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets))
}
