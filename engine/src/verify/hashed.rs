//! Whether a chain of NSEC3 is complete and exact, worked out anew from names and types (RFC 5155 section 7.1).
//!
//! What is looked at are the owners and rdatas as they are answered; the hashes are computed again, by a digest of its
//! own and over all octets at once.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use data_encoding::BASE32HEX_NOPAD;

use super::report;
use crate::finding::Diagnostic;
use crate::message::rrtype;
use crate::name;
use crate::nsec3::{Chain, Params};
use crate::signed::SignedVersion;
use crate::version::Version;

/// Findings beyond so many say nothing new.
const MOST: usize = 20;

/// A name that has to be, or may be, in the chain that a zone brings along; in ours an optional one is an insecure
/// delegation and is not there, or an empty non-terminal above such and is there.
pub(super) struct Expected {
    /// The node of the name.
    pub node: usize,
    /// Opt-out lets it be missing.
    pub is_optional: bool,
}

/// The label of a hash, in upper case, without its length.
pub(super) type Label = [u8; 32];

/// Expected names in order of the labels of their hashes; the pairs that share one.
pub(super) struct Names {
    pub by_label: Vec<(Label, Expected)>,
    pub collisions: Vec<[usize; 2]>,
}

/// All that must hold of the chain we made.
pub(super) fn check(signed: &SignedVersion, chain: &Chain, findings: &mut Vec<Diagnostic>) {
    let version = signed.version();
    if check_form(version, &chain.params, findings) {
        return;
    }
    let names = expected(version, &chain.params);
    for [one, other] in &names.collisions {
        let (one, other) = (name::to_string(version.name_of(*one)), name::to_string(version.name_of(*other)));
        report(findings, "nsec3-collision", format!("{one} and {other} have one hash; another salt is needed"));
    }
    let ours: Vec<&(Label, Expected)> = names.by_label.iter().filter(|(_, one)| is_in_ours(version, one)).collect();
    if ours.len() != signed.chain_len() {
        let (has, needs) = (signed.chain_len(), ours.len());
        report(findings, "denial-gap", format!("the NSEC3 chain has {has} places, the zone's names need {needs}"));
    }
    for (place, (label, one)) in ours.iter().enumerate() {
        let next = ours.get(place + 1).or_else(|| ours.first()).map_or(&[][..], |(label, _)| label.as_slice());
        let owner = signed_owner(signed, chain, place);
        let is_right = owner.get(1..33) == Some(label.as_slice())
            && has_rdata(&signed.denial_rdata(place), &chain.params, next, &types(version, one.node));
        if !is_right {
            let owner = name::to_string(version.name_of(one.node));
            report(findings, "nsec3-wrong", format!("the NSEC3 of {owner} is not what it has to be"));
        }
        if findings.len() >= MOST {
            return;
        }
    }
}

fn is_in_ours(version: &Version, one: &Expected) -> bool {
    !one.is_optional || version.rtypes_of(one.node).next().is_none()
}

fn signed_owner(signed: &SignedVersion, chain: &Chain, place: usize) -> Vec<u8> {
    crate::nsec3::owner(&chain.hash_at(place), signed.version().origin())
        .map_or_else(Vec::new, |owner| owner.wire().to_ascii_uppercase())
}

/// Parameters published and owners that fit into a name; true when nothing more can be said.
fn check_form(version: &Version, params: &Params, findings: &mut Vec<Diagnostic>) -> bool {
    let [high, low] = params.iterations.to_be_bytes();
    let salt = u8::try_from(params.salt.len()).unwrap_or(u8::MAX);
    let published = [&[1, 0, high, low, salt], &*params.salt].concat();
    let is_published =
        version.rrset_at(0, rrtype::NSEC3PARAM).is_some_and(|rrset| rrset.rdatas().any(|rdata| *rdata == *published));
    if !is_published {
        report(findings, "nsec3param-wrong", "the NSEC3PARAM at the apex is not that of the chain".to_owned());
    }
    // RFC 5155 section 12.1.3: 32 characters of the hash, and the octet of their length.
    let octets = 33 + version.origin().len();
    if octets > name::MAX_OCTETS {
        let most = name::MAX_OCTETS;
        let message = format!("owners of NSEC3 would have {octets} octets, and a name has at most {most}; use NSEC");
        report(findings, "nsec3-name-too-long", message);
    }
    octets > name::MAX_OCTETS
}

/// The names that NSEC3 has to prove, by what stands in the zone alone.
pub(super) fn expected(version: &Version, params: &Params) -> Names {
    let mut wanted: Vec<Option<bool>> = vec![None; version.nodes().len()];
    let mut hidden_below: Option<&[u8]> = None;
    for node in 0..version.nodes().len() {
        let owner = version.name_of(node);
        if hidden_below.is_some_and(|top| name::is_at_or_below(owner, top)) || is_owner_alone(version, node) {
            continue;
        }
        let rtypes: Vec<u16> = version.rtypes_of(node).collect();
        if rtypes.is_empty() {
            continue;
        }
        let is_cut = node != 0 && rtypes.contains(&rrtype::NS);
        if is_cut || rtypes.contains(&rrtype::DNAME) {
            hidden_below = Some(owner);
        }
        let is_optional = params.opt_out && is_cut && !rtypes.contains(&rrtype::DS);
        want(version, node, is_optional, &mut wanted);
    }
    let by_label = wanted.into_iter().enumerate().filter_map(|(node, wanted)| {
        let is_optional = wanted?;
        Some((label_of(version.name_of(node), params), Expected { node, is_optional }))
    });
    let mut names = Names { by_label: by_label.collect(), collisions: Vec::new() };
    names.by_label.sort_unstable_by_key(|(label, _)| *label);
    let pairs = names.by_label.windows(2).filter_map(|pair| match pair {
        [(one, a), (other, b)] if one == other => Some([a.node, b.node]),
        _ => None,
    });
    names.collisions = pairs.collect();
    names
}

/// A name and the empty non-terminals above it; what is wanted for one reason is no longer optional.
fn want(version: &Version, node: usize, is_optional: bool, wanted: &mut [Option<bool>]) {
    let mut rest = version.name_of(node);
    while let Some(at) = version.find(&name::lower(rest)) {
        match wanted.get_mut(at) {
            Some(was) if *was != Some(false) && *was != Some(is_optional) => *was = Some(is_optional),
            _ => return,
        }
        match name::parent(rest).filter(|parent| parent.len() >= version.origin().len()) {
            Some(parent) => rest = parent,
            None => return,
        }
    }
}

/// The owner of a stored NSEC3, if nothing else is there or below (RFC 5155 section 7.2.8).
fn is_owner_alone(version: &Version, node: usize) -> bool {
    let rtypes: Vec<u16> = version.rtypes_of(node).collect();
    let has_below = version.nodes().get(node + 1).is_some_and(|next| next.parent as usize == node);
    rtypes.contains(&rrtype::NSEC3)
        && !has_below
        && rtypes.iter().all(|rtype| matches!(*rtype, rrtype::NSEC3 | rrtype::RRSIG))
}

/// IH(salt, x, iterations) of RFC 5155 section 5 as base32hex in upper case.
fn label_of(owner: &[u8], params: &Params) -> Label {
    let round = |octets: &[u8]| {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(octets);
        context.update(&params.salt);
        context.finish()
    };
    let mut digest = round(&name::lower(owner));
    for _ in 0..params.iterations {
        digest = round(digest.as_ref());
    }
    let mut label = [0; 32];
    BASE32HEX_NOPAD.encode_mut(digest.as_ref(), &mut label);
    label
}

/// The types that the NSEC3 of a node has to list (RFC 5155 section 7.1).
pub(super) fn types(version: &Version, node: usize) -> Vec<u16> {
    let rtypes: Vec<u16> = version.rtypes_of(node).collect();
    let is_cut = node != 0 && rtypes.contains(&rrtype::NS);
    let mut listed: Vec<u16> = rtypes
        .into_iter()
        .filter(|rtype| ![rrtype::RRSIG, rrtype::NSEC, rrtype::NSEC3].contains(rtype))
        .filter(|rtype| !is_cut || [rrtype::NS, rrtype::DS].contains(rtype))
        .collect();
    if listed.iter().any(|rtype| !is_cut || *rtype == rrtype::DS) {
        listed.push(rrtype::RRSIG);
        listed.sort_unstable();
    }
    listed
}

/// Whether NSEC3 rdata says this very thing. The opt-out flag may be missing where a zone brings its records along.
pub(super) fn has_rdata(rdata: &[u8], params: &Params, next: &[u8], types: &[u16]) -> bool {
    let [high, low] = params.iterations.to_be_bytes();
    let salt = u8::try_from(params.salt.len()).unwrap_or(u8::MAX);
    let Some((head, rest)) = rdata.split_at_checked(5 + params.salt.len()) else { return false };
    let (Some(&[algorithm, flags]), Some(parameters)) = (head.first_chunk::<2>(), head.get(2..)) else { return false };
    let Some((hash, bitmap)) = rest.split_at_checked(21) else { return false };
    algorithm == 1
        && (flags == 0 || flags == 1 && params.opt_out)
        && *parameters == *[&[high, low, salt], &*params.salt].concat()
        && hash.first() == Some(&20)
        && BASE32HEX_NOPAD.encode(hash.get(1..).unwrap_or(&[])).as_bytes() == next
        && bitmap_types(bitmap).as_deref() == Some(types)
}

/// The types of a bitmap (RFC 4034 section 4.1.2); None for a malformed one.
pub(super) fn bitmap_types(mut bitmap: &[u8]) -> Option<Vec<u16>> {
    let mut types = Vec::new();
    while !bitmap.is_empty() {
        let (&[window, length], rest) = bitmap.split_first_chunk::<2>()?;
        let (octets, after) = rest.split_at_checked(usize::from(length))?;
        octets.last().filter(|last| **last != 0 && length <= 32)?;
        for (index, octet) in octets.iter().enumerate() {
            let first = u16::from(window) << 8 | u16::try_from(index).ok()? << 3;
            types.extend((0..8_u16).filter(|bit| octet & (0x80 >> bit) != 0).map(|bit| first + bit));
        }
        bitmap = after;
    }
    types.is_sorted().then_some(types)
}
