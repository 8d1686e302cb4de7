//! Whether the NSEC chain is complete and exact (RFC 4035 section 2.3), made here or brought along.

use super::names::{self, Names};
use super::{MOST, canonical, report};
use crate::finding::Diagnostic;
use crate::message::rrtype;
use crate::name;
use crate::signed::SignedVersion;

/// Each name has one NSEC as it is answered, which leads to the next name and lists its types; no other name has one.
pub(super) fn check(signed: &SignedVersion, names: &Names, findings: &mut Vec<Diagnostic>) {
    let version = signed.version();
    let owners: Vec<usize> =
        names.standings.iter().enumerate().filter_map(|(node, standing)| standing.has_nsec().then_some(node)).collect();
    if signed.plan().is_some() && signed.chain_len() != owners.len() {
        let (has, needs) = (signed.chain_len(), owners.len());
        report(findings, "denial-gap", format!("the NSEC chain has {has} places, the zone's names need {needs}"));
    }
    let (mut rdata, mut types) = (Vec::with_capacity(512), Vec::with_capacity(32));
    for (place, node) in owners.iter().enumerate() {
        let owner = version.name_of(*node);
        let standing = names.standings.get(*node).copied().unwrap_or(names::Standing::Occluded);
        if signed.nsec_into(*node, &mut rdata) {
            // RFC 4034 section 4.1.1: the last one leads back to the apex.
            let next =
                owners.get(place + 1).or_else(|| owners.first()).map_or(name::ROOT, |next| version.name_of(*next));
            names::listed(version, *node, standing, &mut types);
            types.extend([rrtype::RRSIG, rrtype::NSEC]);
            types.sort_unstable();
            if let Some(what) = wrong(&rdata, next, &types) {
                report(findings, "denial-wrong", format!("the NSEC of {} {what}", name::to_string(owner)));
            }
        } else {
            report(findings, "denial-gap", format!("{} is missing in the denial chain", name::to_string(owner)));
        }
        if findings.len() >= MOST {
            return;
        }
    }
    if signed.plan().is_none() {
        check_others(signed, names, findings);
    }
}

fn wrong(rdata: &[u8], next: &[u8], types: &[u16]) -> Option<String> {
    let parts = canonical::name_length(rdata).and_then(|length| rdata.split_at_checked(length));
    let Some((named, bitmap)) = parts else { return Some("is malformed".to_owned()) };
    if !named.eq_ignore_ascii_case(next) {
        return Some(format!("leads to {}, it must be {}", name::to_string(named), name::to_string(next)));
    }
    (!canonical::is_bitmap_of(bitmap, types)).then(|| "lists other types than the name has".to_owned())
}

/// NSEC records where none may stand: at names that are occluded, empty, or not there.
fn check_others(signed: &SignedVersion, names: &Names, findings: &mut Vec<Diagnostic>) {
    let version = signed.version();
    for (node, standing) in names.standings.iter().enumerate() {
        let has_any = version.rtypes_of(node).any(|rtype| rtype == rrtype::NSEC);
        if has_any && !standing.has_nsec() {
            let owner = name::to_string(version.name_of(node));
            report(findings, "denial-extra", format!("{owner} has an NSEC, and no authoritative data"));
        }
    }
}
