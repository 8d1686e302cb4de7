//! Proofs of absence made from a version's structure: NSEC (RFC 4034 section 4, RFC 4035 section 2.3).
//!
//! The chain is not stored as records: who follows whom and which types stand where are the version's own
//! structure, and the rdata is made when it is answered or signed.

use crate::message::rrtype;
use crate::version::{Version, is};

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
    fn a_bitmap_is_that_of_rfc_4034_section_4_3() {
        let mut out = Vec::new();
        bitmap([1, 15, 46, 47, 1234].into_iter(), &mut out);
        let mut expected = vec![0, 6, 0x40, 1, 0, 0, 0, 3, 4, 27];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(out, expected);
    }
}
