//! Whether a chain of NSEC3 is complete and exact, worked out anew from names and types (RFC 5155 section 7.1).
//!
//! What is looked at are the owners and rdatas as they are answered; the hashes are computed again, by a digest of its
//! own and over all octets at once.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE32HEX_NOPAD;

use super::names::{self, Names, Standing};
use super::{MOST, canonical, report};
use crate::finding::Diagnostic;
use crate::message::rrtype;
use crate::name;
use crate::nsec3::{self, Chain, Hash, Params};
use crate::signed::SignedVersion;
use crate::version::Version;

/// Names looked up together.
const AT_ONCE: usize = 32;

/// The NSEC3 of a name: its place, the node that the chain has there, the hash of the name, the hashes that the chain has
/// there and at the next place.
struct Match {
    place: usize,
    holder: usize,
    hash: Hash,
    shown: Hash,
    next: Hash,
}

/// What a name needs, by what stands in the zone alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It has no NSEC3.
    Nothing,
    /// Opt-out lets it be missing: an insecure delegation, or an empty non-terminal above such alone.
    Optional,
    /// It has one.
    Required,
}

/// All that must hold of a chain, made here or brought along; `is_strict` of one that is to be as we make it.
pub(super) fn check(
    signed: &SignedVersion,
    chain: &Chain,
    names: &Names,
    is_strict: bool,
    findings: &mut Vec<Diagnostic>,
) {
    let version = signed.version();
    if check_form(version, &chain.params, findings) || !check_order(chain, findings) {
        return;
    }
    let mut judge = Judge { signed, chain, names, is_strict, rdata: Vec::new(), types: Vec::new(), findings };
    let needs = needs(signed, names, &chain.params);
    let mut found = 0;
    let wanted: Vec<usize> = (0..needs.len()).filter(|node| needs.get(*node) != Some(&Need::Nothing)).collect();
    for batch in wanted.chunks(AT_ONCE) {
        // Hashes lie scattered: looked up together, the waits for memory overlap.
        let matched: Vec<Option<Match>> = batch.iter().map(|node| judge.look_up(*node)).collect();
        for (node, matched) in batch.iter().zip(matched) {
            found += usize::from(matched.is_some());
            judge.one(*node, needs.get(*node) == Some(&Need::Required), matched.as_ref());
        }
        if judge.findings.len() >= MOST {
            return;
        }
    }
    if found != chain.len() {
        let message = format!("the NSEC3 chain has {} places, the zone's names account for {found}", chain.len());
        report(findings, "denial-gap", message);
    }
}

/// Places ascend, and no two names have one hash (RFC 5155 section 7.1).
fn check_order(chain: &Chain, findings: &mut Vec<Diagnostic>) -> bool {
    for place in 1..chain.len() {
        let (before, here) = (chain.hash_at(place - 1), chain.hash_at(place));
        if before >= here {
            let label = BASE32HEX_NOPAD.encode(&here);
            let (rule, what) = if before == here {
                ("nsec3-collision", "two names have one hash; another salt is needed")
            } else {
                ("nsec3-wrong", "the places of the chain do not ascend")
            };
            report(findings, rule, format!("{label}: {what}"));
            return false;
        }
    }
    true
}

struct Judge<'a> {
    signed: &'a SignedVersion,
    chain: &'a Chain,
    names: &'a Names,
    is_strict: bool,
    rdata: Vec<u8>,
    types: Vec<u16>,
    findings: &'a mut Vec<Diagnostic>,
}

impl Judge<'_> {
    /// The NSEC3 of one name, if there is one.
    fn look_up(&self, node: usize) -> Option<Match> {
        let version = self.signed.version();
        let hash = hash_of(version.name_of(node), &self.chain.params);
        let place = if self.chain.is_stored() { None } else { self.chain.place_of(version, node) };
        let place = place.or_else(|| self.chain.matching(&hash))?;
        let next = if place + 1 < self.chain.len() { place + 1 } else { 0 };
        let (shown, next) = (self.chain.hash_at(place), self.chain.hash_at(next));
        Some(Match { place, holder: self.chain.node_at(place), hash, shown, next })
    }

    fn one(&mut self, node: usize, is_required: bool, matched: Option<&Match>) {
        let owner = self.signed.version().name_of(node);
        let Some(matched) = matched else {
            if is_required {
                report(self.findings, "denial-gap", format!("the NSEC3 of {} is missing", name::to_string(owner)));
            }
            return;
        };
        if let Some(what) = self.wrong(node, matched) {
            let label = BASE32HEX_NOPAD.encode(&matched.hash);
            let message = format!("the NSEC3 of {} ({label}) {what}", name::to_string(owner));
            report(self.findings, "nsec3-wrong", message);
        }
    }

    fn wrong(&mut self, node: usize, matched: &Match) -> Option<&'static str> {
        let place = matched.place;
        let mut label = [0; 32];
        BASE32HEX_NOPAD.encode_mut(&matched.hash, &mut label);
        let is_of_node = self.chain.is_stored() || matched.holder == node;
        if !is_of_node || !self.owner_label(matched).is_some_and(|shown| shown.eq_ignore_ascii_case(&label)) {
            return Some("stands at the hash of another name");
        }
        let standing = self.names.standings.get(node).copied().unwrap_or(Standing::Occluded);
        names::listed(self.signed.version(), node, standing, &mut self.types);
        // RFC 5155 section 7.1: RRSIG where something is signed, and NSEC3 itself nowhere.
        if self.types.iter().any(|rtype| standing != Standing::Cut || *rtype == rrtype::DS) {
            self.types.push(rrtype::RRSIG);
            self.types.sort_unstable();
        }
        let next = &matched.next;
        if self.chain.is_stored() {
            let rrset = self.signed.version().rrset_at(matched.holder, rrtype::NSEC3)?;
            if self.is_strict && rrset.count != 1 {
                return Some("is not the only one of its hash");
            }
            let wrong = rrset.rdatas().map(|rdata| self.wrong_rdata(rdata, next));
            return wrong.min_by_key(Option::is_some).flatten();
        }
        let mut rdata = std::mem::take(&mut self.rdata);
        self.signed.nsec3_into(place, &mut rdata);
        let wrong = self.wrong_rdata(&rdata, next);
        self.rdata = rdata;
        wrong
    }

    fn owner_label(&self, matched: &Match) -> Option<[u8; 32]> {
        if self.chain.is_stored() {
            let owner = self.signed.version().name_of(matched.holder);
            return owner.get(1..33)?.try_into().ok();
        }
        nsec3::label(&matched.shown).get(1..)?.try_into().ok()
    }

    /// What of NSEC3 rdata (RFC 5155 section 3.2) is not as it has to be.
    fn wrong_rdata(&self, rdata: &[u8], next: &Hash) -> Option<&'static str> {
        let params = &self.chain.params;
        let [high, low] = params.iterations.to_be_bytes();
        let salt = u8::try_from(params.salt.len()).unwrap_or(u8::MAX);
        let Some((&[algorithm, flags], rest)) = rdata.split_first_chunk::<2>() else { return Some("is malformed") };
        let may_lack_opt_out = !self.is_strict && flags == 0;
        if algorithm != 1 || !rest.starts_with(&[high, low, salt]) {
            return Some("has other parameters than NSEC3PARAM");
        }
        if flags != params.flags() && !may_lack_opt_out {
            return Some("has other flags than the rest of the chain");
        }
        let Some((shown, rest)) = rest.get(3..).and_then(|rest| rest.split_at_checked(params.salt.len())) else {
            return Some("is malformed");
        };
        if *shown != *params.salt {
            return Some("has another salt than NSEC3PARAM");
        }
        let Some((&[20, ref named @ ..], bitmap)) = rest.split_first_chunk::<21>() else { return Some("is malformed") };
        if named != next {
            return Some("does not lead to the next hash");
        }
        (!canonical::is_bitmap_of(bitmap, &self.types)).then_some("lists other types than the name has")
    }
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

/// What each name needs; an empty non-terminal what those below it need. In a chain of ours no empty non-terminal is missing.
fn needs(signed: &SignedVersion, names: &Names, params: &Params) -> Vec<Need> {
    let (version, is_ours) = (signed.version(), signed.plan().is_some());
    let of = |(node, standing): (usize, &Standing)| match standing {
        Standing::Cut if params.opt_out && !version.rtypes_of(node).any(|rtype| rtype == rrtype::DS) => Need::Optional,
        Standing::Authoritative | Standing::Cut => Need::Required,
        Standing::Empty | Standing::Occluded | Standing::Hidden => Need::Nothing,
    };
    let mut needs: Vec<Need> = names.standings.iter().enumerate().map(of).collect();
    for node in (1..needs.len()).rev() {
        let need = needs.get(node).copied().unwrap_or(Need::Nothing);
        let parent = names.parents.get(node).map_or(0, |parent| *parent as usize);
        if names.standings.get(parent) == Some(&Standing::Empty)
            && let Some(above) = needs.get_mut(parent)
            && (*above == Need::Nothing || need == Need::Required)
        {
            *above = if is_ours && need == Need::Optional { Need::Required } else { need };
        }
    }
    needs
}

/// IH(salt, x, iterations) of RFC 5155 section 5.
fn hash_of(owner: &[u8], params: &Params) -> Hash {
    let round = |octets: &[u8]| {
        if params.salt.is_empty() {
            return digest(&SHA1_FOR_LEGACY_USE_ONLY, octets);
        }
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(octets);
        context.update(&params.salt);
        context.finish()
    };
    let mut lower = [0; name::MAX_OCTETS];
    let lower = match lower.get_mut(..owner.len()) {
        Some(place) => {
            place.copy_from_slice(owner);
            place.make_ascii_lowercase();
            &*place
        }
        None => owner,
    };
    let mut hash = round(lower);
    for _ in 0..params.iterations {
        hash = round(hash.as_ref());
    }
    hash.as_ref().try_into().unwrap_or_default()
}
