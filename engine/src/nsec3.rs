//! Hashed proofs of absence (RFC 5155): parameters, the hash, and the chain as sorted hashes beside a version's nodes.
//!
//! Words: a *place* is a number in the chain, which ascends by hash. A chain is *made* of the version's names when we
//! sign, and *stored* when the zone brings its NSEC3 records along; then the nodes are those that hold the records.
//! Nothing of a made chain is a record: owner and rdata are put together when they are answered or signed.
//!
//! **Limits:** hash algorithm 1 (SHA-1), the only one there is; of several stored chains the first usable one.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::denial;
use crate::message::rrtype;
use crate::name;
use crate::version::{NONE, Version, is};

/// A hash (RFC 5155 section 5).
pub type Hash = [u8; 20];
/// The flag that says insecure delegations may be missing (RFC 5155 section 3.1.2.1).
pub const OPT_OUT: u8 = 1;
/// Octets of the label a hash becomes.
const LABEL: usize = 32;
const SHA1: u8 = 1;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// How names are hashed, and whether insecure delegations are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Additional rounds of the hash.
    pub iterations: u16,
    /// At most 255 octets.
    pub salt: Box<[u8]>,
    /// Insecure delegations have no place in the chain.
    pub opt_out: bool,
}

impl Params {
    /// From NSEC3PARAM rdata (RFC 5155 section 4.2); None for those that must be ignored (section 4.1.2).
    #[must_use]
    pub fn from_wire(rdata: &[u8]) -> Option<Self> {
        let (params, flags, rest) = split_params(rdata)?;
        (flags == 0 && rest.is_empty()).then_some(params)
    }

    /// The hash of a name given in lower case (RFC 5155 section 5).
    #[must_use]
    pub fn hash(&self, lower: &[u8]) -> Hash {
        let mut buffer = [0; name::MAX_OCTETS + 255];
        let mut hash = self.round(lower, &mut buffer);
        for _ in 0..self.iterations {
            hash = self.round(&hash, &mut buffer);
        }
        hash
    }

    fn round(&self, octets: &[u8], buffer: &mut [u8; name::MAX_OCTETS + 255]) -> Hash {
        if self.salt.is_empty() {
            return sha1(octets);
        }
        let end = octets.len() + self.salt.len();
        if let Some((head, tail)) = buffer.split_at_mut_checked(octets.len()) {
            head.copy_from_slice(octets);
            if let Some(place) = tail.get_mut(..self.salt.len()) {
                place.copy_from_slice(&self.salt);
            }
        }
        sha1(buffer.get(..end).unwrap_or(&[]))
    }

    /// Flags of the NSEC3 records.
    #[must_use]
    pub fn flags(&self) -> u8 {
        if self.opt_out { OPT_OUT } else { 0 }
    }
}

fn sha1(octets: &[u8]) -> Hash {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().try_into().unwrap_or_default()
}

/// What NSEC3 and NSEC3PARAM rdata begin with: parameters without opt-out, flags, the rest.
fn split_params(rdata: &[u8]) -> Option<(Params, u8, &[u8])> {
    let (&[algorithm, flags, high, low, length], rest) = rdata.split_first_chunk::<5>()?;
    let (salt, rest) = rest.split_at_checked(usize::from(length))?;
    let iterations = u16::from_be_bytes([high, low]);
    (algorithm == SHA1).then(|| (Params { iterations, salt: salt.into(), opt_out: false }, flags, rest))
}

/// What NSEC3 rdata says (RFC 5155 section 3.2).
pub struct Rdata<'a> {
    /// How it was made; opt-out as its own flag has it.
    pub params: Params,
    /// The hash of the name that follows.
    pub next: Hash,
    /// The type bitmap.
    pub bitmap: &'a [u8],
}

impl<'a> Rdata<'a> {
    /// From the wire; None for another algorithm.
    #[must_use]
    pub fn from_wire(rdata: &'a [u8]) -> Option<Self> {
        let (mut params, flags, rest) = split_params(rdata)?;
        params.opt_out = flags & OPT_OUT != 0;
        let (&length, rest) = rest.split_first()?;
        let (next, bitmap) = rest.split_at_checked(usize::from(length))?;
        Some(Self { params, next: next.try_into().ok()?, bitmap })
    }
}

/// A hash as a label of base32hex in lower case, with its length (RFC 5155 section 3.3).
#[must_use]
pub fn label(hash: &Hash) -> [u8; 1 + LABEL] {
    let mut out = [b'0'; 1 + LABEL];
    out[0] = 32;
    let mut places = out.iter_mut().skip(1);
    for five in hash.chunks_exact(5) {
        let bits = five.iter().fold(0_u64, |bits, octet| bits << 8 | u64::from(*octet));
        for (shift, place) in (0..8).rev().map(|digit| 5 * digit).zip(places.by_ref()) {
            *place = DIGITS.get((bits >> shift & 31) as usize).copied().unwrap_or(b'0');
        }
    }
    out
}

/// The hash that the first label of a name spells.
#[must_use]
pub fn from_label(owner: &[u8]) -> Option<Hash> {
    let (&length, rest) = owner.split_first()?;
    let digits = rest.get(..LABEL).filter(|_| usize::from(length) == LABEL)?;
    let mut hash = Hash::default();
    let mut places = hash.iter_mut();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits {
        let value = match digit.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'v' => digit - b'a' + 10,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            *places.next()? = u8::try_from((bits >> held) & 255).unwrap_or(0);
        }
    }
    Some(hash)
}

/// An owner of an NSEC3 record on the stack.
pub struct Owner {
    octets: [u8; name::MAX_OCTETS],
    len: usize,
}

impl Owner {
    /// The wire name.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(name::ROOT)
    }
}

/// The owner of the NSEC3 record of a hash; None where that would be too long for a name.
#[must_use]
pub fn owner(hash: &Hash, origin: &[u8]) -> Option<Owner> {
    let mut octets = [0; name::MAX_OCTETS];
    let label = label(hash);
    octets.get_mut(..label.len())?.copy_from_slice(&label);
    octets.get_mut(label.len()..label.len() + origin.len())?.copy_from_slice(origin);
    Some(Owner { octets, len: label.len() + origin.len() })
}

/// A name that does not exist has the hash of one that does (RFC 5155 section 7.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collision;

/// The chain of one version.
pub struct Chain {
    /// How names are hashed.
    pub params: Params,
    /// Ascending.
    hashes: Vec<Hash>,
    /// The node at each place: the one whose name is hashed, or the one that holds the stored NSEC3.
    nodes: Vec<u32>,
    /// Of each node of the version; empty for a stored chain.
    places: Vec<u32>,
    collision: Option<[u32; 2]>,
}

impl Chain {
    /// The chain of a version that we sign (RFC 5155 section 7.1).
    #[must_use]
    pub fn of(version: &Version, params: Params) -> Self {
        let mut lower = Vec::with_capacity(name::MAX_OCTETS);
        let hashed = nodes_of(version, params.opt_out)
            .into_iter()
            .map(|node| {
                lower.clear();
                name::lower_into(version.name_of(node as usize), &mut lower);
                (params.hash(&lower), node)
            })
            .collect();
        Self::from_hashes(params, hashed, version.nodes().len())
    }

    fn from_hashes(params: Params, mut hashed: Vec<(Hash, u32)>, nodes: usize) -> Self {
        hashed.sort_unstable();
        let twice = hashed.windows(2).find_map(|pair| match pair {
            [a, b] if a.0 == b.0 => Some([a.1, b.1]),
            _ => None,
        });
        let mut places = vec![NONE; nodes];
        for (place, (_, node)) in hashed.iter().enumerate() {
            if let Some(slot) = places.get_mut(*node as usize) {
                *slot = u32::try_from(place).unwrap_or(NONE);
            }
        }
        let (sorted, owners) = hashed.into_iter().unzip();
        Self { params, hashes: sorted, nodes: owners, places, collision: twice }
    }

    /// The chain that a zone brought along, by its NSEC3PARAM (RFC 5155 sections 4 and 7.3); None where it has none.
    #[must_use]
    pub fn stored(version: &Version) -> Option<Self> {
        let offered = version.rrset_at(0, rrtype::NSEC3PARAM)?;
        offered.rdatas().filter_map(Params::from_wire).find_map(|params| Self::stored_with(version, params))
    }

    fn stored_with(version: &Version, mut params: Params) -> Option<Self> {
        let mut hashed = Vec::new();
        for node in 0..version.nodes().len() {
            let Some(rrset) = version.rrset_at(node, rrtype::NSEC3) else { continue };
            let mut read = rrset.rdatas().filter_map(Rdata::from_wire);
            let fits =
                read.find(|rdata| rdata.params.iterations == params.iterations && rdata.params.salt == params.salt);
            let is_below_apex = version.node(node).is_some_and(|node| node.parent == 0);
            if let (Some(rdata), Some(hash), true) = (fits, from_label(version.name_of(node)), is_below_apex) {
                params.opt_out |= rdata.params.opt_out;
                hashed.push((hash, u32::try_from(node).unwrap_or(NONE)));
            }
        }
        (!hashed.is_empty()).then(|| Self { places: Vec::new(), ..Self::from_hashes(params, hashed, 0) })
    }

    /// Whether the zone brought it along.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.places.is_empty()
    }

    /// How many places.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether it has no place; a zone with an apex has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Two names of the zone with one hash, as nodes.
    #[must_use]
    pub fn collision(&self) -> Option<[usize; 2]> {
        self.collision.map(|pair| pair.map(|node| node as usize))
    }

    /// The hash at a place.
    #[must_use]
    pub fn hash_at(&self, place: usize) -> Hash {
        self.hashes.get(place).copied().unwrap_or_default()
    }

    /// The node at a place.
    #[must_use]
    pub fn node_at(&self, place: usize) -> usize {
        self.nodes.get(place).map_or(0, |node| *node as usize)
    }

    /// The place of the NSEC3 that matches a node's name.
    #[must_use]
    pub fn place_of(&self, version: &Version, node: usize) -> Option<usize> {
        if self.is_stored() {
            let mut lower = [0; name::MAX_OCTETS];
            let owner = version.name_of(node);
            let place = lower.get_mut(..owner.len())?;
            place.copy_from_slice(owner);
            place.make_ascii_lowercase();
            return self.matching(&self.params.hash(place));
        }
        self.places.get(node).filter(|place| **place != NONE).map(|place| *place as usize)
    }

    /// The place with this very hash.
    #[must_use]
    pub fn matching(&self, hash: &Hash) -> Option<usize> {
        let after = self.after(hash);
        after.checked_sub(1).filter(|place| self.hashes.get(*place) == Some(hash))
    }

    /// The place of the NSEC3 that covers a name that does not exist, given in lower case.
    ///
    /// # Errors
    /// An existing name has its hash.
    pub fn covering(&self, lower: &[u8]) -> Result<usize, Collision> {
        let hash = self.params.hash(lower);
        // The last NSEC3 covers what is before the first.
        let place = self.after(&hash).checked_sub(1).unwrap_or(self.hashes.len().saturating_sub(1));
        if self.hashes.get(place) == Some(&hash) { Err(Collision) } else { Ok(place) }
    }

    /// How many hashes are not after this one. Hashes are spread evenly, so the place is guessed first, which spares the
    /// binary search most of its cache misses.
    fn after(&self, hash: &Hash) -> usize {
        let count = self.hashes.len();
        let head = hash.first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head));
        let guess = usize::try_from((u128::from(head) * count as u128) >> 64).unwrap_or(0);
        let reach = 4 * count.isqrt() + 8;
        let (low, high) = (guess.saturating_sub(reach), (guess + reach).min(count));
        let window = self.hashes.get(low..high).unwrap_or(&[]);
        let inside = window.partition_point(|one| one <= hash);
        let is_sure = (inside > 0 || low == 0) && (inside < window.len() || high == count);
        if is_sure { low + inside } else { self.hashes.partition_point(|one| one <= hash) }
    }

    /// Octets of memory held.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.hashes.capacity() * size_of::<Hash>() + 4 * (self.nodes.capacity() + self.places.capacity())
    }

    /// Rdata of a place of a made chain, appended to `out`.
    pub fn rdata(&self, version: &Version, place: usize, out: &mut Vec<u8>) {
        let [high, low] = self.params.iterations.to_be_bytes();
        let salt = u8::try_from(self.params.salt.len()).unwrap_or(u8::MAX);
        out.extend([SHA1, self.params.flags(), high, low, salt]);
        out.extend_from_slice(&self.params.salt);
        let next = if place + 1 < self.hashes.len() { place + 1 } else { 0 };
        out.push(20);
        out.extend_from_slice(&self.hash_at(next));
        denial::bitmap(types_of(version, self.node_at(place)), out);
    }
}

/// The nodes that get an NSEC3 (RFC 5155 section 7.1): what the zone has authority over, and the empty non-terminals above
/// it; with opt-out no insecure delegation. Its empty non-terminals have one all the same: without it nothing could prove
/// that a wildcard beside them does not stand for names below them.
fn nodes_of(version: &Version, opt_out: bool) -> Vec<u32> {
    let mut chosen = vec![false; version.nodes().len()];
    for index in (0..version.nodes().len()).rev() {
        let Some(node) = version.node(index) else { continue };
        if node.is(is::OCCLUDED) || version.rrset_range(index).is_empty() || version.is_hidden(index) {
            continue;
        }
        let is_left_out = opt_out && node.is(is::CUT) && version.rrset_at(index, rrtype::DS).is_none();
        let mut up = if is_left_out { node.parent as usize } else { index };
        while let Some(place) = chosen.get_mut(up).filter(|place| !**place) {
            *place = true;
            up = version.node(up).map_or(NONE, |node| node.parent) as usize;
        }
    }
    let number = |(index, chosen): (usize, bool)| chosen.then(|| u32::try_from(index).unwrap_or(NONE));
    chosen.into_iter().enumerate().filter_map(number).collect()
}

/// Types an NSEC3 lists, ascending (RFC 5155 section 3.2.1): what the zone has authority over at the name, NS at a cut, and
/// RRSIG where something is signed. NSEC3 itself stands at another name.
fn types_of(version: &Version, node: usize) -> impl Iterator<Item = u16> + '_ {
    let at_cut = version.node(node).is_some_and(|node| node.is(is::CUT));
    let is_listed = move |rtype: &u16| {
        !matches!(*rtype, rrtype::RRSIG | rrtype::NSEC | rrtype::NSEC3)
            && (!at_cut || matches!(*rtype, rrtype::NS | rrtype::DS))
    };
    let is_signed = version.rtypes_of(node).any(|rtype| is_listed(&rtype) && (!at_cut || rtype == rrtype::DS));
    let mut added = is_signed.then_some(rrtype::RRSIG);
    let mut own = version.rtypes_of(node).filter(is_listed).peekable();
    std::iter::from_fn(move || match (own.peek(), added) {
        (Some(rtype), Some(rrsig)) if *rtype < rrsig => own.next(),
        (_, Some(_)) => added.take(),
        (_, None) => own.next(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::name::Name;

    fn rfc5155() -> Params {
        Params { iterations: 12, salt: [0xaa, 0xbb, 0xcc, 0xdd].into(), opt_out: true }
    }

    fn wire(text: &str) -> Name {
        Name::from_text(text.as_bytes(), name::ROOT).unwrap()
    }

    #[test]
    fn hashes_are_those_of_rfc_5155_appendix_a() {
        for (text, hash) in [
            ("example.", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example.", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("ai.example.", "gjeqe526plbf1g8mklp59enfd789njgi"),
            ("ns1.example.", "2t7b4g4vsa5smi47k61mv5bv1a22bojr"),
            ("ns2.example.", "q04jkcevqvmu85r014c7dkba38o0ji5r"),
            ("w.example.", "k8udemvp1j2f7eg6jebps17vp3n8i58h"),
            ("*.w.example.", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
            ("x.w.example.", "b4um86eghhds6nea196smvmlo4ors995"),
            ("y.w.example.", "ji6neoaepv8b5o6k4ev33abha8ht9fgc"),
            ("x.y.w.example.", "2vptu5timamqttgl4luu9kg21e0aor3s"),
            ("xx.example.", "t644ebqk9bibcna874givr6joj62mlhv"),
            ("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.", "kohar7mbb8dc2ce8a9qvl8hon4k53uhi"),
        ] {
            let made = label(&rfc5155().hash(&wire(text)));
            assert_eq!(std::str::from_utf8(&made[1..]).unwrap(), hash, "{text}");
            assert_eq!(from_label(&made), Some(rfc5155().hash(&wire(text))));
        }
    }

    #[test]
    fn names_with_one_hash_are_found_out() {
        let chain = Chain::from_hashes(rfc5155(), vec![([1; 20], 0), ([7; 20], 1), ([7; 20], 2)], 3);
        assert_eq!(chain.collision(), Some([1, 2]));
        let hash = rfc5155().hash(&wire("missing.example."));
        let chain = Chain::from_hashes(rfc5155(), vec![([1; 20], 0), (hash, 1)], 2);
        assert_eq!(chain.covering(&wire("missing.example.")), Err(Collision));
        assert_eq!(chain.collision(), None);
    }

    #[test]
    fn the_guess_finds_what_a_search_finds() {
        let params = Params { iterations: 0, salt: [].into(), opt_out: false };
        for count in [1_u32, 2, 3, 100, 5000] {
            let hashed = (0..count).map(|number| (sha1(&number.to_be_bytes()), number)).collect();
            let chain = Chain::from_hashes(params.clone(), hashed, count as usize);
            for probe in 0..2000_u32 {
                let hash = sha1(&probe.to_le_bytes());
                assert_eq!(chain.after(&hash), chain.hashes.partition_point(|one| *one <= hash));
            }
            for number in 0..count {
                let hash = sha1(&number.to_be_bytes());
                assert_eq!(chain.node_at(chain.matching(&hash).unwrap()), number as usize);
            }
        }
    }

    #[test]
    fn an_owner_that_is_too_long_is_none() {
        let long = |octets: usize| [[1, b'a'].repeat(octets / 2), vec![0]].concat();
        assert!(owner(&[0; 20], &long(220)).is_some_and(|owner| owner.wire().len() == 254));
        assert!(owner(&[0; 20], &long(222)).is_none());
    }
}
