//! Domain names in wire form: text, order, labels (RFC 1035 section 3.1, RFC 4034 section 6.1, RFC 4343).
//!
//! A *wire name* is a `&[u8]` of length-prefixed labels that ends with the root label; functions here take
//! well-formed ones (`check` tells) and never panic on others, though their answer then means nothing.

use std::cmp::Ordering;

/// The longest wire name, root label included (RFC 1035 section 2.3.4).
pub const MAX_OCTETS: usize = 255;
/// The root.
pub const ROOT: &[u8] = &[0];

/// An owned wire name, case as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// A name from octets, None when they are not one whole wire name.
    #[must_use]
    pub fn from_wire(octets: &[u8]) -> Option<Self> {
        check(octets).then(|| Self(octets.into()))
    }

    /// A name from presentation text; a relative one gets `origin`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_text(text: &[u8], origin: &[u8]) -> Result<Self, &'static str> {
        let mut out = Vec::with_capacity(text.len() + 2);
        from_text(text, origin, &mut out)?;
        Ok(Self(out.into()))
    }

    /// The octets.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::Deref for Name {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&to_string(&self.0))
    }
}

/// Whether `octets` are exactly one wire name without compression.
#[must_use]
pub fn check(octets: &[u8]) -> bool {
    length(octets) == Some(octets.len())
}

/// Octets of the wire name that `octets` begin with; None when there is no well-formed one.
#[must_use]
pub fn length(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*octets.get(at)?);
        if len > 63 {
            return None;
        }
        at += 1 + len;
        if at > MAX_OCTETS {
            return None;
        }
        if len == 0 {
            return Some(at);
        }
    }
}

/// The labels from the left, root left out.
pub fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (&len, tail) = rest.split_first()?;
        if len == 0 {
            return None;
        }
        let label = tail.get(..usize::from(len))?;
        rest = tail.get(usize::from(len)..)?;
        Some(label)
    })
}

/// How many labels, root left out.
#[must_use]
pub fn label_count(name: &[u8]) -> usize {
    labels(name).count()
}

/// The name without its leftmost label; None for the root.
#[must_use]
pub fn parent(name: &[u8]) -> Option<&[u8]> {
    match name.first() {
        None | Some(0) => None,
        Some(&len) => name.get(1 + usize::from(len)..),
    }
}

/// The last `count` labels of the name.
#[must_use]
pub fn last_labels(name: &[u8], count: usize) -> &[u8] {
    let mut rest = name;
    let mut left = label_count(name);
    while left > count {
        rest = parent(rest).unwrap_or(ROOT);
        left -= 1;
    }
    rest
}

/// Whether the leftmost label is the asterisk (RFC 4592 section 2.1.1).
#[must_use]
pub fn is_wildcard(name: &[u8]) -> bool {
    name.starts_with(b"\x01*")
}

/// Equal but for ASCII case.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    // Label lengths are below 64 and so no ASCII letters: the whole octets can be compared at once.
    a.eq_ignore_ascii_case(b)
}

/// Whether `name` is `ancestor` or below it.
#[must_use]
pub fn is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(ancestor.len()) else { return false };
    let mut at = 0;
    while at < start {
        at += 1 + usize::from(name.get(at).copied().unwrap_or(0));
    }
    at == start && name.get(start..).is_some_and(|tail| equal(tail, ancestor))
}

/// Lower case, appended to `out`.
pub fn lower_into(name: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
}

/// Lower case.
#[must_use]
pub fn lower(name: &[u8]) -> Vec<u8> {
    name.to_ascii_lowercase()
}

/// Offsets of the labels of a name, from the left, at most 127.
struct Offsets {
    at: [u8; 128],
    count: usize,
}

impl Offsets {
    fn of(name: &[u8]) -> Self {
        let mut offsets = Self { at: [0; 128], count: 0 };
        let mut at = 0_usize;
        while let Some(&len) = name.get(at).filter(|len| **len != 0) {
            let Some(place) = offsets.at.get_mut(offsets.count) else { break };
            *place = u8::try_from(at).unwrap_or(u8::MAX);
            offsets.count += 1;
            at += 1 + usize::from(len);
        }
        offsets
    }

    fn label<'a>(&self, name: &'a [u8], index: usize) -> &'a [u8] {
        let at = usize::from(self.at.get(index).copied().unwrap_or(0));
        let len = usize::from(name.get(at).copied().unwrap_or(0));
        name.get(at + 1..at + 1 + len).unwrap_or(&[])
    }
}

/// Canonical order of names (RFC 4034 section 6.1): label by label from the right, in lower case.
#[must_use]
pub fn compare_canonical(a: &[u8], b: &[u8]) -> Ordering {
    let (left, right) = (Offsets::of(a), Offsets::of(b));
    let shared = left.count.min(right.count);
    for back in 1..=shared {
        let order = compare_labels(left.label(a, left.count - back), right.label(b, right.count - back));
        if order != Ordering::Equal {
            return order;
        }
    }
    left.count.cmp(&right.count)
}

/// How many labels from the right two names share.
#[must_use]
pub fn shared_labels(a: &[u8], b: &[u8]) -> usize {
    let (left, right) = (Offsets::of(a), Offsets::of(b));
    let most = left.count.min(right.count);
    (1..=most)
        .take_while(|back| left.label(a, left.count - back).eq_ignore_ascii_case(right.label(b, right.count - back)))
        .count()
}

/// Order of two labels as octet strings in lower case.
#[must_use]
pub fn compare_labels(a: &[u8], b: &[u8]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let order = x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// A key whose octet order is the canonical order of names; appended to `out`.
///
/// Labels from the right, in lower case, each ended by 0; an octet 0 or 1 inside a label becomes 1 followed by
/// the octet plus 1, so that the end of a label sorts before any octet in it.
pub fn sort_key_into(name: &[u8], out: &mut Vec<u8>) {
    let offsets = Offsets::of(name);
    for index in (0..offsets.count).rev() {
        for octet in offsets.label(name, index) {
            match octet.to_ascii_lowercase() {
                low @ (0 | 1) => out.extend([1, low + 1]),
                other => out.push(other),
            }
        }
        out.push(0);
    }
}

/// Wire form of presentation text, appended to `out` (RFC 1035 section 5.1): `\.`, `\DDD`, `@` is the caller's.
///
/// # Errors
/// What is wrong with the text; `out` may then hold a part of the name.
pub fn from_text(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let start = out.len();
    if text == b"." {
        out.push(0);
        return Ok(());
    }
    if text.is_empty() {
        return Err("empty name");
    }
    let mut octets = text.iter().copied();
    let mut label = out.len();
    out.push(0);
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => {
                close_label(out, label)?;
                label = out.len();
                out.push(0);
            }
            b'\\' => out.push(unescape(&mut octets)?),
            other => out.push(other),
        }
        if out.len() - label > 64 {
            return Err("label longer than 63 octets");
        }
    }
    if out.len() > label + 1 {
        close_label(out, label)?;
        out.extend_from_slice(origin);
    }
    if out.len() - start > MAX_OCTETS {
        return Err("name longer than 255 octets");
    }
    Ok(())
}

fn close_label(out: &mut [u8], label: usize) -> Result<(), &'static str> {
    let len = out.len() - label - 1;
    if len == 0 {
        return Err("empty label");
    }
    if len > 63 {
        return Err("label longer than 63 octets");
    }
    if let Some(place) = out.get_mut(label) {
        *place = u8::try_from(len).unwrap_or(63);
    }
    Ok(())
}

/// The octet that an escape stands for, the backslash already taken.
///
/// # Errors
/// When the text ends there or `\DDD` is not three digits up to 255.
pub fn unescape(octets: &mut impl Iterator<Item = u8>) -> Result<u8, &'static str> {
    let first = octets.next().ok_or("text ends after a backslash")?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit).ok_or("bad escape: three digits follow a backslash")?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| "bad escape: \\DDD is at most 255")
}

/// Presentation text of a wire name, absolute, appended to `out`.
pub fn to_text(name: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    for label in labels(name) {
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => out.extend([b'\\', octet]),
                0x21..=0x7e => out.push(octet),
                _ => out.extend([b'\\', b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10]),
            }
        }
        out.push(b'.');
    }
    if out.len() == before {
        out.push(b'.');
    }
}

/// Presentation text of a wire name, absolute.
#[must_use]
pub fn to_string(name: &[u8]) -> String {
    let mut out = Vec::with_capacity(name.len() + 1);
    to_text(name, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text.as_bytes(), ROOT).unwrap()
    }

    #[test]
    fn canonical_order_is_that_of_rfc_4034_section_6_1() {
        let sorted = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            r"\001.z.example",
            "*.z.example",
            r"\200.z.example",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare_canonical(&name(pair[0]), &name(pair[1])), Ordering::Less, "{pair:?}");
            let (mut a, mut b) = (Vec::new(), Vec::new());
            sort_key_into(&name(pair[0]), &mut a);
            sort_key_into(&name(pair[1]), &mut b);
            assert!(a < b, "{pair:?}");
        }
    }

    #[test]
    fn text_and_wire_round_trip_with_escapes() {
        for text in [".", "a.", r"a\.b.c.", r"\000\255.x.", r"\@.\$x.", "*.Example.ORG."] {
            assert_eq!(to_string(&name(text)), text);
        }
    }

    #[test]
    fn malformed_text_is_refused_with_its_reason() {
        let long = "a".repeat(64);
        for text in ["", "..", "a..b", r"a\25", r"a\256", r"\", long.as_str(), ".a"] {
            assert!(Name::from_text(text.as_bytes(), ROOT).is_err(), "{text}");
        }
        assert!(Name::from_text("abc.".repeat(64).as_bytes(), ROOT).is_err());
    }

    #[test]
    fn a_name_is_below_another_only_at_label_boundaries() {
        assert!(is_at_or_below(&name("a.Example."), &name("eXample.")));
        assert!(is_at_or_below(&name("example."), &name("example.")));
        assert!(!is_at_or_below(&name("aexample."), &name("example.")));
        assert!(!is_at_or_below(&name(r"a\007example."), &name("example.")));
        assert_eq!(shared_labels(&name("a.b.c."), &name("x.B.C.")), 2);
    }
}
