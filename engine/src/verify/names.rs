//! How each name of a zone stands, from the owners and types alone: what must be signed, and what proves absence.
//!
//! The index has flags for the same, which answers and signing go by. They are compared with what is found here, and may
//! be relied upon once a version passed.

use std::cmp::Ordering;

use super::{canonical, report};
use crate::finding::Diagnostic;
use crate::message::rrtype;
use crate::name;
use crate::version::{Version, is};

/// How a name stands in its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// An empty non-terminal (RFC 4592 section 2.2.2): nothing but what proves absence may stand there.
    Empty,
    /// All its RRsets are the zone's own.
    Authoritative,
    /// A delegation: DS alone is the zone's own.
    Cut,
    /// Below a delegation or a DNAME.
    Occluded,
    /// The owner of a stored NSEC3, if nothing else is there or below (RFC 5155 section 7.2.8).
    Hidden,
}

impl Standing {
    /// Whether NSEC stands there (RFC 4035 section 2.3).
    pub(super) fn has_nsec(self) -> bool {
        matches!(self, Self::Authoritative | Self::Cut)
    }
}

/// The names of a version by node.
pub(super) struct Names {
    pub standings: Vec<Standing>,
    /// The node one label up; of the apex itself.
    pub parents: Vec<u32>,
}

/// Work it out anew; what the index says otherwise is reported.
pub(super) fn of(version: &Version, findings: &mut Vec<Diagnostic>) -> Names {
    let count = version.nodes().len();
    let mut names = Names { standings: Vec::with_capacity(count), parents: Vec::with_capacity(count) };
    let mut above: Vec<usize> = Vec::new();
    let mut hidden_below: Option<&[u8]> = None;
    let mut before: Option<&[u8]> = None;
    for node in 0..count {
        let owner = version.name_of(node);
        if before.is_some_and(|before| canonical::compare(before, owner) != Ordering::Less) {
            report(findings, "denial-order", format!("{} is out of canonical order", name::to_string(owner)));
            break;
        }
        before = Some(owner);
        while above.last().is_some_and(|last| !is_below(owner, version.name_of(*last))) {
            above.pop();
        }
        let parent = above.last().copied().unwrap_or(0);
        if node > 0 && canonical::label_count(owner) != canonical::label_count(version.name_of(parent)) + 1 {
            report(findings, "names-wrong", format!("the name above {} is missing", name::to_string(owner)));
        }
        above.push(node);
        names.parents.push(u32::try_from(parent).unwrap_or(0));
        let is_hidden = hidden_below.is_some_and(|top| is_below(owner, top));
        let standing = if is_hidden { Standing::Occluded } else { stands(version, node, owner) };
        if !is_hidden && (standing == Standing::Cut || version.rtypes_of(node).any(|rtype| rtype == rrtype::DNAME)) {
            hidden_below = Some(owner);
        }
        if !agrees(version, node, standing) {
            report(findings, "names-wrong", format!("the index takes {} for another kind", name::to_string(owner)));
        }
        names.standings.push(standing);
    }
    names
}

/// Whether a name is below another one; only names of one zone in canonical order are asked about.
fn is_below(name: &[u8], top: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(top.len()).filter(|start| *start > 0) else { return false };
    name.get(start..).is_some_and(|tail| tail.eq_ignore_ascii_case(top)) && starts_label(name, start)
}

fn starts_label(name: &[u8], start: usize) -> bool {
    let mut at = 0;
    while at < start {
        at += 1 + usize::from(name.get(at).copied().unwrap_or(0));
    }
    at == start
}

/// How a name stands that is not occluded.
fn stands(version: &Version, node: usize, owner: &[u8]) -> Standing {
    let mut standing = Standing::Empty;
    let mut is_nsec3_owner = false;
    for rtype in version.rtypes_of(node) {
        match rtype {
            // RFC 4035 section 2.3: these alone make no name.
            rrtype::NSEC | rrtype::RRSIG => {}
            rrtype::NSEC3 => is_nsec3_owner = true,
            rrtype::NS if node != 0 => standing = Standing::Cut,
            _ if standing == Standing::Empty => standing = Standing::Authoritative,
            _ => {}
        }
    }
    let has_below = version.nodes().len() > node + 1 && is_below(version.name_of(node + 1), owner);
    if standing == Standing::Empty && is_nsec3_owner && !has_below { Standing::Hidden } else { standing }
}

fn agrees(version: &Version, node: usize, standing: Standing) -> bool {
    let Some(node) = version.node(node) else { return false };
    node.is(is::OCCLUDED) == (standing == Standing::Occluded)
        && (standing == Standing::Occluded || node.is(is::CUT) == (standing == Standing::Cut))
}

/// The types that a proof at a name of its own lists, but for those that only the proof itself brings: at a cut NS and DS
/// (RFC 4035 section 2.3, RFC 5155 section 7.1).
pub(super) fn listed(version: &Version, node: usize, standing: Standing, types: &mut Vec<u16>) {
    types.clear();
    let own = version.rtypes_of(node).filter(|rtype| !matches!(*rtype, rrtype::RRSIG | rrtype::NSEC | rrtype::NSEC3));
    types.extend(own.filter(|rtype| standing != Standing::Cut || matches!(*rtype, rrtype::NS | rrtype::DS)));
}
