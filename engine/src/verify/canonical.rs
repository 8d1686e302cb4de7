//! Canonical order and form as RFC 4034 section 6 has them, written down a second time.
//!
//! The signer has its own in `name` and `rdata`. Nothing of those is used here: a mistake made there gives a signature
//! that does not verify here, and is found before a resolver finds it.

use std::cmp::Ordering;

/// What rdata of the types with names in them begins with, for RFC 4034 section 6.2.
enum Part {
    /// So many octets.
    Octets(usize),
    /// A name.
    Name,
    /// A character-string.
    Text,
}

/// The types whose names are put in lower case (RFC 4034 section 6.2; without NSEC, RFC 6840 section 5.1).
fn parts(rtype: u16) -> &'static [Part] {
    use Part::{Name, Octets, Text};
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME
        2..=5 | 7..=9 | 12 | 39 => &[Name],
        // SOA, MINFO, RP
        6 | 14 | 17 => &[Name, Name],
        // MX, AFSDB, RT, KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // SIG, RRSIG
        24 | 46 => &[Octets(18), Name],
        // PX
        26 => &[Octets(2), Name, Name],
        // SRV
        33 => &[Octets(6), Name],
        // NAPTR
        35 => &[Octets(4), Text, Text, Text, Name],
        _ => &[],
    }
}

/// Rdata in canonical form; None for rdata that is too short for its type.
pub(super) fn rdata(rtype: u16, rdata: &[u8]) -> Option<Vec<u8>> {
    let mut out = rdata.to_vec();
    let mut at = 0;
    for part in parts(rtype) {
        let rest = out.get_mut(at..)?;
        let length = match part {
            Part::Octets(count) => *count,
            Part::Text => 1 + usize::from(*rest.first()?),
            Part::Name => {
                let length = name_length(rest)?;
                rest.get_mut(..length)?.make_ascii_lowercase();
                length
            }
        };
        at += length;
    }
    (at <= out.len()).then_some(out)
}

/// Octets of the name that stands first; no more than a name has.
pub(super) fn name_length(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < 255 {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
    None
}

/// The labels of a name, the last first.
struct Labels<'a> {
    name: &'a [u8],
    starts: [u8; 128],
    left: usize,
}

impl<'a> Labels<'a> {
    fn of(name: &'a [u8]) -> Self {
        let (mut starts, mut left, mut at) = ([0; 128], 0, 0);
        while let Some(length) = name.get(at).copied().filter(|length| *length != 0)
            && let Some(start) = starts.get_mut(left)
        {
            *start = u8::try_from(at).unwrap_or(u8::MAX);
            left += 1;
            at += 1 + usize::from(length);
        }
        Self { name, starts, left }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.name.get(usize::from(*self.starts.get(self.left)?)..)?.split_first()?;
        rest.get(..usize::from(*length))
    }
}

/// How many labels a name has, the root not counted.
pub(super) fn label_count(name: &[u8]) -> usize {
    let (mut count, mut at) = (0, 0);
    while let Some(length) = name.get(at).copied().filter(|length| *length != 0) {
        count += 1;
        at += 1 + usize::from(length);
    }
    count
}

/// RFC 4034 section 6.1: labels from the last to the first, each as lower-case octets; a missing one comes first.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let (mut ours, mut theirs) = (Labels::of(one), Labels::of(other));
    loop {
        let order = match (ours.next(), theirs.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => {
                let (a, b) = (a.iter().map(u8::to_ascii_lowercase), b.iter().map(u8::to_ascii_lowercase));
                a.cmp(b)
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Whether type bitmaps are those of these types (RFC 4034 section 4.1.2), which ascend.
pub(super) fn is_bitmap_of(mut bitmap: &[u8], types: &[u16]) -> bool {
    let mut left = types.iter();
    let mut last = None;
    while let Some((&[window, length], rest)) = bitmap.split_first_chunk::<2>() {
        let Some((octets, after)) = rest.split_at_checked(usize::from(length)) else { return false };
        if last >= Some(window) || octets.len() > 32 || octets.last().is_none_or(|octet| *octet == 0) {
            return false;
        }
        for (index, octet) in (0_u16..).zip(octets) {
            for bit in (0..8).filter(|bit| octet & (0x80 >> bit) != 0) {
                if left.next() != Some(&(u16::from(window) << 8 | index << 3 | bit)) {
                    return false;
                }
            }
        }
        last = Some(window);
        bitmap = after;
    }
    bitmap.is_empty() && left.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_order_of_rfc_4034_section_6_1() {
        let ordered: [&[u8]; 9] = [
            b"\x07example\x00",
            b"\x01a\x07example\x00",
            b"\x08yljkjljk\x01a\x07example\x00",
            b"\x01Z\x01a\x07example\x00",
            b"\x04zABC\x01a\x07EXAMPLE\x00",
            b"\x01z\x07example\x00",
            b"\x01\x01\x01z\x07example\x00",
            b"\x01*\x01z\x07example\x00",
            b"\x01\xc8\x01z\x07example\x00",
        ];
        for (place, one) in ordered.iter().enumerate() {
            for (other_place, other) in ordered.iter().enumerate() {
                assert_eq!(compare(one, other), place.cmp(&other_place));
            }
        }
        assert_eq!(label_count(b"\x01Z\x01a\x07example\x00"), 3);
    }

    #[test]
    fn names_in_rdata_are_put_in_lower_case_where_the_rfc_says_so_and_nowhere_else() {
        assert_eq!(rdata(15, b"\x00\x41\x02MX\x00").as_deref(), Some(&b"\x00\x41\x02mx\x00"[..]));
        let naptr = b"\x00\x01\x00\x02\x01U\x03SIP\x00\x01A\x00";
        assert_eq!(rdata(35, naptr).as_deref(), Some(&b"\x00\x01\x00\x02\x01U\x03SIP\x00\x01a\x00"[..]));
        assert_eq!(rdata(16, b"\x02TX").as_deref(), Some(&b"\x02TX"[..]));
        assert_eq!(rdata(47, b"\x01A\x00\x00\x01\x40").as_deref(), Some(&b"\x01A\x00\x00\x01\x40"[..]));
        assert_eq!(rdata(33, b"\x00\x01"), None);
        assert_eq!(rdata(5, b"\x05cut"), None);
    }

    #[test]
    fn a_bitmap_has_these_types_and_no_other() {
        let bitmap = [0, 6, 0x40, 1, 0, 0, 0, 3, 1, 1, 0x40];
        assert!(is_bitmap_of(&bitmap, &[1, 15, 46, 47, 257]));
        for wrong in [&[1, 15, 46, 47][..], &[1, 15, 46, 257], &[1, 15, 46, 47, 257, 258], &[]] {
            assert!(!is_bitmap_of(&bitmap, wrong));
        }
        assert!(!is_bitmap_of(&[0, 2, 0x40, 0], &[1]));
        assert!(!is_bitmap_of(&[0, 1, 0x40, 0], &[1]));
        assert!(!is_bitmap_of(&[1, 1, 0x40, 0, 1, 0x40], &[257, 1]));
    }
}
