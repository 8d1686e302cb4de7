//! Proofs of absence made from a version's structure: NSEC (RFC 4034 section 4, RFC 4035 section 2.3).
//!
//! The chain is not stored as records: who follows whom and which types stand where are the version's own
//! structure, and the rdata is made when it is answered or signed. Hashed proofs are in `nsec3`. Compact denial (RFC 9824)
//! claims that each name asked exists and holds nothing of what was asked: its one NSEC is made and signed per answer. A
//! zone that answers so has the NSEC chain all the same, for those who get it by transfer and have no keys.

use crate::message::rrtype;
use crate::name;
use crate::nsec3;
use crate::version::{Version, is};

/// How a plan wants absence to be proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// NSEC.
    #[default]
    Nsec,
    /// NSEC3 (RFC 5155).
    Nsec3(nsec3::Params),
    /// Compact denial (RFC 9824).
    Compact,
}

/// How a published version proves absence.
pub enum Denial {
    /// By the version's chain.
    Nsec,
    /// By a chain of hashes.
    Nsec3(nsec3::Chain),
    /// By an NSEC for each question.
    Compact,
}

impl Denial {
    /// What a choice comes to for a version that we sign.
    #[must_use]
    pub fn of(version: &Version, choice: &Choice) -> Self {
        match choice {
            Choice::Nsec => Self::Nsec,
            Choice::Nsec3(params) => Self::Nsec3(nsec3::Chain::of(version, params.clone())),
            Choice::Compact => Self::Compact,
        }
    }

    /// What a zone brought along.
    #[must_use]
    pub fn stored(version: &Version) -> Self {
        nsec3::Chain::stored(version).map_or(Self::Nsec, Self::Nsec3)
    }

    /// The chain of hashes, if it is one.
    #[must_use]
    pub fn hashed(&self) -> Option<&nsec3::Chain> {
        match self {
            Self::Nsec3(chain) => Some(chain),
            Self::Nsec | Self::Compact => None,
        }
    }
}

/// NSEC rdata of a place in the chain, appended to `out`.
pub fn nsec_rdata(version: &Version, place: usize, out: &mut Vec<u8>) {
    let chain = version.chain();
    let Some(node) = chain.get(place) else { return };
    let next = chain.get(place + 1).or_else(|| chain.first()).copied().unwrap_or(0);
    out.extend_from_slice(version.name_of(next as usize));
    bitmap(types_of(version, *node as usize), out);
}

/// Types an NSEC at this node lists, ascending: what the zone has authority over there, NS at a cut, and the two
/// that signing itself adds (RFC 4035 section 2.3).
fn types_of(version: &Version, node: usize) -> impl Iterator<Item = u16> + '_ {
    let at_cut = version.node(node).is_some_and(|node| node.is(is::CUT));
    let mut added = [rrtype::RRSIG, rrtype::NSEC].into_iter().peekable();
    let mut own = version
        .rtypes_of(node)
        .filter(move |rtype| !matches!(*rtype, rrtype::RRSIG | rrtype::NSEC))
        .filter(move |rtype| !at_cut || matches!(*rtype, rrtype::NS | rrtype::DS))
        .peekable();
    std::iter::from_fn(move || match (own.peek(), added.peek()) {
        (Some(a), Some(b)) if a < b => own.next(),
        (Some(_), None) => own.next(),
        _ => added.next(),
    })
}

/// Rdata of the one NSEC that answers a question about a name given in lower case (RFC 9824 section 3): for a node the
/// types that are there, for a name that does not exist the type that says so.
pub fn compact_rdata(version: &Version, lower: &[u8], node: Option<usize>, out: &mut Vec<u8>) {
    successor(lower, version.origin(), out);
    match node {
        Some(node) => bitmap(types_of(version, node), out),
        None => bitmap([rrtype::RRSIG, rrtype::NSEC, rrtype::NXNAME].into_iter(), out),
    }
}

/// The name right after one given in lower case, in canonical order (RFC 4034 section 6.1), appended to `out`: with the
/// label of one zero octet in front, where a name may be that long. After the last name of the zone comes its first.
fn successor(lower: &[u8], origin: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if lower.len() + 2 <= name::MAX_OCTETS {
        out.extend([1, 0]);
        out.extend_from_slice(lower);
        return;
    }
    let mut rest = lower;
    while rest.len() > origin.len() {
        let Some((&length, tail)) = rest.split_first() else { break };
        let Some((label, parent)) = tail.split_at_checked(usize::from(length)) else { break };
        if let Some(next) = next_label(label, rest.len()) {
            out.push(u8::try_from(next.len()).unwrap_or(63));
            out.extend(next);
            out.extend_from_slice(parent);
            return;
        }
        rest = parent;
    }
    out.truncate(start);
    out.extend_from_slice(origin);
}

/// The next label among those of one parent, for a name of so many octets that nothing can stand below it.
fn next_label(label: &[u8], octets: usize) -> Option<Vec<u8>> {
    let mut next = label.to_vec();
    if octets < name::MAX_OCTETS && next.len() < 63 {
        next.push(0);
        return Some(next);
    }
    while let Some(last) = next.pop() {
        match last {
            // Upper case sorts as lower case: there is nothing between.
            b'@' => next.push(b'['),
            255 => continue,
            _ => next.push(last + 1),
        }
        return Some(next);
    }
    None
}

/// A type bitmap (RFC 4034 section 4.1.2) of ascending types, appended to `out`.
pub fn bitmap(rtypes: impl Iterator<Item = u16>, out: &mut Vec<u8>) {
    let mut window = None;
    let mut bits = [0_u8; 32];
    let mut used = 0;
    for rtype in rtypes {
        let [high, low] = rtype.to_be_bytes();
        if window.is_some_and(|window| window != high) {
            close_window(window, &mut bits, &mut used, out);
        }
        window = Some(high);
        let at = usize::from(low >> 3);
        if let Some(octet) = bits.get_mut(at) {
            *octet |= 0x80 >> (low & 7);
        }
        used = at + 1;
    }
    close_window(window, &mut bits, &mut used, out);
}

fn close_window(window: Option<u8>, bits: &mut [u8; 32], used: &mut usize, out: &mut Vec<u8>) {
    if let Some(window) = window {
        out.extend([window, u8::try_from(*used).unwrap_or(32)]);
        out.extend_from_slice(bits.get(..*used).unwrap_or(&[]));
    }
    *bits = [0; 32];
    *used = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_of_a_name_is_the_first_one_after_it() {
        let after = |name: &[u8]| {
            let mut out = Vec::new();
            successor(name, b"\x01z\x00", &mut out);
            out
        };
        assert_eq!(after(b"\x01a\x01z\x00"), b"\x01\x00\x01a\x01z\x00");
        let long = |first: &[u8], rest: usize| [first, &[1_u8, b'x'].repeat(rest / 2), b"\x01z\x00"].concat();
        assert_eq!(after(&long(b"\x01a", 250)), long(b"\x01b", 250));
        assert_eq!(after(&long(b"\x01@", 250)), long(b"\x01[", 250));
        assert_eq!(after(&long(b"\x02a\xff", 248)), [&b"\x03a\xff\x00"[..], &long(b"", 248)].concat());
        let last = long(b"\x01\xff", 250);
        assert_eq!(after(&last), [&b"\x02x\x00"[..], &long(b"", 248)].concat());
        for name in [long(b"\x01a", 250), last] {
            assert_eq!(name.len(), name::MAX_OCTETS);
            assert_eq!(name::compare_canonical(&name, &after(&name)), std::cmp::Ordering::Less);
        }
    }

    #[test]
    fn a_bitmap_is_that_of_rfc_4034_section_4_3() {
        let mut out = Vec::new();
        bitmap([1, 15, 46, 47, 1234].into_iter(), &mut out);
        let mut expected = vec![0, 6, 0x40, 1, 0, 0, 0, 3, 4, 27];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(out, expected);
    }
}
