//! One zone's content, immutable and indexed: names in canonical order, RRsets, cuts, wildcards, empty non-terminals.
//!
//! Words: a *chunk* is a run of octets shared between versions; a *node* is a name that exists; an *RRset* is a
//! reference into a chunk. Invariants: nodes are in canonical order (RFC 4034 section 6.1) with the apex first
//! and every ancestor present; RRsets of a node ascend by type; rdatas are in canonical order, duplicates merged.
//!
//! **Limits:** 4 GiB a chunk, 2^32 - 1 names and RRsets a zone.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::crypto::Sha256;
use crate::message::rrtype;
use crate::name::{self, Name};
use crate::rdata;

/// No node.
pub const NONE: u32 = u32::MAX;

/// Chunks beyond so many are put together.
const MOST_CHUNKS: usize = 64;

/// Octets shared between versions.
pub type Chunk = Arc<Vec<u8>>;

/// A place in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    chunk: u32,
    offset: u32,
}

/// What a node is (RFC 1034 section 4.2, RFC 4592, RFC 6672).
#[allow(missing_docs)]
pub mod is {
    pub const APEX: u8 = 1;
    /// Has NS and is not the apex: a delegation.
    pub const CUT: u8 = 2;
    /// Below a cut or a DNAME: never answered but as glue.
    pub const OCCLUDED: u8 = 4;
    pub const HAS_DNAME: u8 = 8;
    /// `*` stands right below it.
    pub const WILDCARD_PARENT: u8 = 16;
    pub const HAS_CNAME: u8 = 32;
    /// Holds NSEC3 and RRSIG alone, right below the apex, and has nothing below: it does not exist (RFC 5155 section 7.2.8).
    pub const HIDDEN: u8 = 64;
}

/// A name that exists.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    name: At,
    /// Its first RRset; the next node's first is its end.
    rrsets: u32,
    /// The node one label up; `NONE` for the apex.
    pub parent: u32,
    /// One past the last node at or below it.
    pub end: u32,
    /// The last place in the denial chain at or before it.
    pub chain: u32,
    labels: u8,
    /// Bits of `is`.
    pub flags: u8,
}

impl Node {
    /// Whether all bits are set.
    #[must_use]
    pub fn is(&self, bits: u8) -> bool {
        self.flags & bits != 0
    }
}

/// A reference to one RRset.
#[derive(Clone, Copy, Debug)]
struct Entry {
    data: At,
    ttl: u32,
    count: u32,
    rtype: u16,
}

/// One RRset as it is read.
#[derive(Clone, Copy, Debug)]
pub struct RRset<'a> {
    /// Its number in the version.
    pub index: usize,
    /// Its type.
    pub rtype: u16,
    /// Its TTL.
    pub ttl: u32,
    /// How many records.
    pub count: usize,
    octets: &'a [u8],
}

impl<'a> RRset<'a> {
    /// The rdatas in canonical order, uncompressed.
    pub fn rdatas(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Rdatas { octets: self.octets, left: self.count }
    }

    /// The same records shown with another TTL.
    #[must_use]
    pub fn with_ttl(self, ttl: u32) -> Self {
        Self { ttl, ..self }
    }

    /// All octets of the rdatas with their lengths: equal for equal RRsets.
    #[must_use]
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }
}

struct Rdatas<'a> {
    octets: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Rdatas<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.octets.split_first_chunk::<2>()?;
        let (rdata, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.octets = rest;
        Some(rdata)
    }
}

/// The content of one zone.
pub struct Version {
    origin: Name,
    chunks: Vec<Chunk>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    /// Nodes with an NSEC record, in canonical order (RFC 4034 section 4).
    chain: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    records: usize,
    digest: OnceLock<[u8; 32]>,
}

impl Version {
    /// The zone's name.
    #[must_use]
    pub fn origin(&self) -> &[u8] {
        &self.origin
    }

    /// The same, to be kept.
    #[must_use]
    pub fn origin_name(&self) -> &Name {
        &self.origin
    }

    /// Names that exist, in canonical order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its number.
    #[must_use]
    pub fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    /// The nodes of the denial chain, in canonical order.
    #[must_use]
    pub fn chain(&self) -> &[u32] {
        &self.chain
    }

    /// How many RRsets.
    #[must_use]
    pub fn rrset_count(&self) -> usize {
        self.entries.len()
    }

    /// How many records.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// A node's name, case as it came.
    #[must_use]
    pub fn name_of(&self, index: usize) -> &[u8] {
        self.nodes.get(index).map_or(name::ROOT, |node| self.name_at(node.name))
    }

    fn name_at(&self, at: At) -> &[u8] {
        let octets = self.octets_from(at);
        octets.get(..name::length(octets).unwrap_or(0)).unwrap_or(name::ROOT)
    }

    fn octets_from(&self, at: At) -> &[u8] {
        self.chunks.get(at.chunk as usize).and_then(|chunk| chunk.get(at.offset as usize..)).unwrap_or(&[])
    }

    /// The RRsets of a node, ascending by type.
    pub fn rrsets_of(&self, index: usize) -> impl Iterator<Item = RRset<'_>> {
        let range = self.range(index);
        let start = range.start;
        self.entries.get(range).unwrap_or(&[]).iter().enumerate().map(move |(at, entry)| self.rrset(start + at, entry))
    }

    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = self.nodes.get(index).map_or(self.entries.len(), |node| node.rrsets as usize);
        let end = self.nodes.get(index + 1).map_or(self.entries.len(), |node| node.rrsets as usize);
        start..end
    }

    fn rrset(&self, index: usize, entry: &Entry) -> RRset<'_> {
        RRset {
            index,
            rtype: entry.rtype,
            ttl: entry.ttl,
            count: entry.count as usize,
            octets: self.octets_from(entry.data),
        }
        .trimmed()
    }

    /// The types at a node, ascending.
    pub fn rtypes_of(&self, index: usize) -> impl Iterator<Item = u16> + '_ {
        self.entries.get(self.range(index)).unwrap_or(&[]).iter().map(|entry| entry.rtype)
    }

    /// One RRset of a node.
    #[must_use]
    pub fn rrset_at(&self, index: usize, rtype: u16) -> Option<RRset<'_>> {
        let range = self.range(index);
        let start = range.start;
        let entries = self.entries.get(range)?;
        let at = entries.iter().position(|entry| entry.rtype == rtype)?;
        entries.get(at).map(|entry| self.rrset(start + at, entry))
    }

    /// The TTL of one record of a node's RRset: an RRSIG has that of the RRset it covers (RFC 4034 section 3).
    #[must_use]
    pub fn ttl_of(&self, node: usize, rrset: &RRset<'_>, rdata: &[u8]) -> u32 {
        if rrset.rtype != rrtype::RRSIG {
            return rrset.ttl;
        }
        let covered = rdata.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
        self.rrset_at(node, covered).map_or(rrset.ttl, |covered| covered.ttl)
    }

    /// The numbers of the RRsets of a node.
    #[must_use]
    pub fn rrset_range(&self, index: usize) -> std::ops::Range<usize> {
        self.range(index)
    }

    /// The node of a name given in lower case; a name outside the zone has none.
    #[must_use]
    pub fn find(&self, lower: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash_one(lower);
        self.index.find(hash, |node| self.is_named(*node, lower)).map(|node| *node as usize)
    }

    /// Whether a node has this name. A wire name says where it ends: when so many octets are equal, all are.
    fn is_named(&self, node: u32, lower: &[u8]) -> bool {
        let octets = self.nodes.get(node as usize).map_or(name::ROOT, |node| self.octets_from(node.name));
        octets.get(..lower.len()).is_some_and(|name| name.eq_ignore_ascii_case(lower))
    }

    /// The deepest node at or above a name given in lower case, which must be in the zone, and that node's own name
    /// within `lower`.
    #[must_use]
    pub fn closest_encloser(&self, lower: &[u8]) -> usize {
        let mut rest = lower;
        while rest.len() > self.origin.len() {
            if let Some(node) = self.find(rest) {
                return node;
            }
            rest = name::parent(rest).unwrap_or(name::ROOT);
        }
        0
    }

    /// The last node in canonical order that is not after a name without a node, whose closest encloser is given.
    #[must_use]
    pub fn predecessor(&self, lower: &[u8], closest_encloser: usize) -> usize {
        let Some((depth, end)) = self.nodes.get(closest_encloser).map(|node| (node.labels, node.end as usize)) else {
            return 0;
        };
        // All below the closest encloser differ from the name in the label next to it, and so that label alone decides.
        let next_closer = label_at(lower, name::label_count(lower).saturating_sub(usize::from(depth) + 1));
        let inside = self.nodes.get(closest_encloser + 1..end).unwrap_or(&[]);
        let before = inside.partition_point(|node| {
            let label = label_at(self.octets_from(node.name), usize::from(node.labels.saturating_sub(depth + 1)));
            name::compare_labels(label, next_closer) == Ordering::Less
        });
        closest_encloser + before
    }

    /// Whether a node is but the owner of an NSEC3 record.
    #[must_use]
    pub fn is_hidden(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| node.is(is::HIDDEN))
    }

    /// The SOA's rdata.
    #[must_use]
    pub fn soa(&self) -> Option<RRset<'_>> {
        self.rrset_at(0, rrtype::SOA)
    }

    /// The SOA's serial; 0 without SOA.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.soa_field(0)
    }

    /// The SOA's EXPIRE.
    #[must_use]
    pub fn expire(&self) -> u32 {
        self.soa_field(3)
    }

    /// The SOA's MINIMUM.
    #[must_use]
    pub fn minimum(&self) -> u32 {
        self.soa_field(4)
    }

    fn soa_field(&self, field: usize) -> u32 {
        let rdata = self.soa().and_then(|soa| soa.rdatas().next()).unwrap_or(&[]);
        let at = rdata.len().saturating_sub(20) + 4 * field;
        rdata.get(at..at + 4).and_then(|quad| quad.try_into().ok()).map_or(0, u32::from_be_bytes)
    }

    /// TTL of negative answers and of NSEC: the smaller of the SOA's TTL and MINIMUM (RFC 2308 section 5, RFC 9077).
    #[must_use]
    pub fn negative_ttl(&self) -> u32 {
        self.soa().map_or(0, |soa| soa.ttl.min(self.minimum()))
    }

    /// The largest TTL of any RRset.
    #[must_use]
    pub fn max_ttl(&self) -> u32 {
        self.entries.iter().map(|entry| entry.ttl).max().unwrap_or(0)
    }

    /// A version in which no TTL is above `most`; None when this one is such. Everything but the TTLs is shared or copied.
    #[must_use]
    pub fn capped(&self, most: u32) -> Option<Capped> {
        let (longest, entry) = self.entries.iter().enumerate().rev().max_by_key(|(_, entry)| entry.ttl)?;
        if entry.ttl <= most {
            return None;
        }
        let node = self.nodes.partition_point(|node| node.rrsets as usize <= longest).saturating_sub(1);
        let entries = self.entries.iter().map(|entry| Entry { ttl: entry.ttl.min(most), ..*entry }).collect();
        Some(Capped {
            rrsets: self.entries.iter().filter(|entry| entry.ttl > most).count(),
            owner: self.name_of(node).to_vec(),
            rtype: entry.rtype,
            ttl: entry.ttl,
            version: Self {
                origin: self.origin.clone(),
                chunks: self.chunks.clone(),
                nodes: self.nodes.clone(),
                entries,
                chain: self.chain.clone(),
                index: self.index.clone(),
                hasher: self.hasher.clone(),
                records: self.records,
                digest: OnceLock::new(),
            },
        })
    }

    /// Octets of memory held, shared chunks counted whole.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity()).sum::<usize>()
            + self.nodes.capacity() * size_of::<Node>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.chain.capacity() * 4
            + self.index.allocation_size()
    }

    /// SHA-256 over the canonical form of all records with the SOA's serial taken as 0.
    #[must_use]
    pub fn content_digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| self.digest())
    }

    fn digest(&self) -> [u8; 32] {
        let mut sha = Sha256::new();
        let mut buffer = Vec::with_capacity(1 << 16);
        for node in 0..self.nodes.len() {
            for rrset in self.rrsets_of(node) {
                name::lower_into(self.name_of(node), &mut buffer);
                buffer.extend(rrset.rtype.to_be_bytes());
                buffer.extend(rrset.ttl.to_be_bytes());
                buffer.extend(u32::try_from(rrset.count).unwrap_or(NONE).to_be_bytes());
                for rdata in rrset.rdatas() {
                    digest_rdata(rrset.rtype, rdata, &mut buffer);
                }
                if buffer.len() > 1 << 15 {
                    sha.update(&buffer);
                    buffer.clear();
                }
            }
        }
        sha.update(&buffer);
        sha.finish()
    }

    /// Whether an RRset of this version is octet for octet one of `other`; cheap when they share chunks.
    #[must_use]
    pub fn same_rrset(&self, index: usize, other: &Self, other_index: usize) -> bool {
        let (Some(a), Some(b)) = (self.entries.get(index), other.entries.get(other_index)) else { return false };
        a.rtype == b.rtype
            && a.ttl == b.ttl
            && a.count == b.count
            && (self.same_place(a.data, other, b.data)
                || self.rrset(index, a).octets == other.rrset(other_index, b).octets)
    }

    /// Whether two nodes have the same name.
    #[must_use]
    pub fn compare_names(&self, node: usize, other: &Self, other_node: usize) -> Ordering {
        let (Some(a), Some(b)) = (self.nodes.get(node), other.nodes.get(other_node)) else { return Ordering::Equal };
        if self.same_place(a.name, other, b.name) {
            return Ordering::Equal;
        }
        name::compare_canonical(self.name_at(a.name), other.name_at(b.name))
    }

    fn same_place(&self, a: At, other: &Self, b: At) -> bool {
        a == b
            && match (self.chunks.get(a.chunk as usize), other.chunks.get(b.chunk as usize)) {
                (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
                _ => false,
            }
    }

    fn rrset_by_index(&self, index: usize) -> Option<RRset<'_>> {
        self.entries.get(index).map(|entry| self.rrset(index, entry))
    }

    /// The node an RRset belongs to, by the RRset's number.
    #[must_use]
    pub fn node_of_rrset(&self, index: usize) -> usize {
        // The last node whose first RRset is not behind it; empty nodes before it begin where it begins.
        self.nodes.partition_point(|node| node.rrsets as usize <= index).saturating_sub(1)
    }

    /// An RRset by its number.
    #[must_use]
    pub fn rrset_number(&self, index: usize) -> Option<RRset<'_>> {
        self.rrset_by_index(index)
    }

    /// A new version with RRsets replaced; an edit without rdatas removes the RRset. Names outside the zone are ignored;
    /// of two edits of one RRset the later counts.
    #[must_use]
    pub fn edited(&self, edits: Vec<Edit>) -> Self {
        let mut edits: Vec<Edit> =
            edits.into_iter().filter(|edit| name::is_at_or_below(&edit.owner, &self.origin)).collect();
        edits.reverse();
        edits.sort_by(|a, b| name::compare_canonical(&a.owner, &b.owner).then(a.rtype.cmp(&b.rtype)));
        edits.dedup_by(|later, kept| later.rtype == kept.rtype && name::equal(&later.owner, &kept.owner));
        let mut assembly = Assembly::after(self);
        let mut from = 0;
        for of_owner in edits.chunk_by(|a, b| name::equal(&a.owner, &b.owner)) {
            let Some(owner) = of_owner.first().map(|edit| &edit.owner) else { continue };
            let lower = name::lower(owner);
            let found = self.find(&lower);
            let upto = found.unwrap_or_else(|| self.predecessor(&lower, self.closest_encloser(&lower)) + 1);
            assembly.copy(self, from, upto);
            assembly.node(self, found, owner, of_owner);
            from = found.map_or(upto, |node| node + 1);
        }
        assembly.copy(self, from, self.nodes.len());
        assembly.finish_after(self)
    }

    /// Whether any RRset is of one of these types.
    #[must_use]
    pub fn has_any(&self, rtypes: &[u16]) -> bool {
        self.entries.iter().any(|entry| rtypes.contains(&entry.rtype))
    }

    /// A new version without RRsets of these types.
    #[must_use]
    pub fn without(&self, rtypes: &[u16]) -> Self {
        let mut edits = Vec::new();
        for node in 0..self.nodes.len() {
            for rtype in self.rtypes_of(node).filter(|rtype| rtypes.contains(rtype)) {
                edits.push(Edit { owner: self.name_of(node).to_vec(), rtype, ttl: 0, rdatas: Vec::new() });
            }
        }
        self.edited(edits)
    }
}

impl RRset<'_> {
    fn trimmed(mut self) -> Self {
        let mut rdatas = Rdatas { octets: self.octets, left: self.count };
        while rdatas.next().is_some() {}
        let used = self.octets.len() - rdatas.octets.len();
        self.octets = self.octets.get(..used).unwrap_or(&[]);
        self
    }
}

/// The label of a name so many from the left; empty when it has fewer.
fn label_at(name: &[u8], index: usize) -> &[u8] {
    let mut at = 0;
    for _ in 0..index {
        at += 1 + usize::from(name.get(at).copied().unwrap_or(0));
    }
    let length = usize::from(name.get(at).copied().unwrap_or(0));
    name.get(at + 1..at + 1 + length).unwrap_or(&[])
}

fn digest_rdata(rtype: u16, rdata: &[u8], buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.extend([0, 0]);
    rdata::canonical(rtype, rdata, buffer);
    let length = u16::try_from(buffer.len() - start - 2).unwrap_or(u16::MAX);
    if let Some(place) = buffer.get_mut(start..start + 2) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    if rtype == rrtype::SOA {
        let serial = buffer.len().saturating_sub(20);
        if let Some(place) = buffer.get_mut(serial..serial + 4) {
            place.fill(0);
        }
    }
}

/// What `Version::capped` made: how many RRsets had a longer TTL, and the first of those with the longest.
pub struct Capped {
    /// The version.
    pub version: Version,
    /// How many TTLs were shortened.
    pub rrsets: usize,
    /// Wire name.
    pub owner: Vec<u8>,
    /// Type.
    pub rtype: u16,
    /// The longest TTL there was.
    pub ttl: u32,
}

/// One RRset to be replaced.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Wire name.
    pub owner: Vec<u8>,
    /// Type.
    pub rtype: u16,
    /// TTL of all its records.
    pub ttl: u32,
    /// What it is to hold; nothing removes it.
    pub rdatas: Vec<Vec<u8>>,
}

/// Sort rdatas canonically (RFC 4034 section 6.3) and drop duplicates.
pub fn order_rdatas(rtype: u16, rdatas: &mut Vec<&[u8]>) {
    if rdatas.len() < 2 {
        return;
    }
    if rdata::has_canonical_change(rtype) {
        let mut keyed: Vec<(Vec<u8>, &[u8])> = rdatas
            .iter()
            .map(|rdata| {
                let mut key = Vec::with_capacity(rdata.len());
                rdata::canonical(rtype, rdata, &mut key);
                (key, *rdata)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        keyed.dedup_by(|a, b| a.0 == b.0);
        rdatas.clear();
        rdatas.extend(keyed.into_iter().map(|(_, rdata)| rdata));
    } else {
        rdatas.sort_unstable();
        rdatas.dedup();
    }
}

/// A version being put together, its nodes given in canonical order.
pub struct Assembly {
    origin: Name,
    chunks: Vec<Chunk>,
    fresh: Vec<u8>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    records: usize,
}

impl Assembly {
    /// A version of its own.
    #[must_use]
    pub fn new(origin: Name, octets: usize, nodes: usize, rrsets: usize) -> Self {
        Self {
            origin,
            chunks: Vec::new(),
            fresh: Vec::with_capacity(octets),
            nodes: Vec::with_capacity(nodes),
            entries: Vec::with_capacity(rrsets),
            records: 0,
        }
    }

    /// A version that may share the chunks of `previous`.
    #[must_use]
    pub fn after(previous: &Version) -> Self {
        Self {
            origin: previous.origin.clone(),
            chunks: previous.chunks.clone(),
            fresh: Vec::new(),
            nodes: Vec::with_capacity(previous.nodes.len() + 4),
            entries: Vec::with_capacity(previous.entries.len() + 4),
            records: 0,
        }
    }

    fn put(&mut self, octets: &[u8]) -> At {
        let at = self.here();
        self.fresh.extend_from_slice(octets);
        at
    }

    fn here(&self) -> At {
        // The reader's arena ends at 4 GiB, and so does what comes of it.
        At {
            chunk: u32::try_from(self.chunks.len()).unwrap_or(NONE),
            offset: u32::try_from(self.fresh.len()).unwrap_or(NONE),
        }
    }

    fn begin_node(&mut self, name: At, labels: usize) {
        self.nodes.push(Node {
            name,
            rrsets: u32::try_from(self.entries.len()).unwrap_or(NONE),
            parent: NONE,
            end: 0,
            chain: 0,
            labels: u8::try_from(labels).unwrap_or(127),
            flags: 0,
        });
    }

    /// Begin the node of `owner`, empty non-terminals above it included.
    pub fn begin(&mut self, owner: &[u8]) {
        let at = self.put(owner);
        self.begin_at(at, owner);
    }

    /// Whether no node was begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Take octets as a chunk that nodes and RRsets are then found in.
    pub fn lend(&mut self, chunk: Chunk) {
        self.chunks.push(chunk);
    }

    /// Begin the node of a name that stands in the first chunk.
    pub fn begin_lent(&mut self, offset: usize) {
        let at = At { chunk: 0, offset: u32::try_from(offset).unwrap_or(NONE) };
        let owner = self.name_of(at).to_vec();
        self.begin_at(at, &owner);
    }

    /// Add an RRset whose rdatas stand in the first chunk, each behind its length.
    pub fn add_lent(&mut self, rtype: u16, ttl: u32, count: u32, offset: usize) {
        let data = At { chunk: 0, offset: u32::try_from(offset).unwrap_or(NONE) };
        self.push(Entry { data, ttl, count, rtype });
    }

    /// Begin the node of a name that `previous` has.
    pub fn begin_shared(&mut self, previous: &Version, node: usize) {
        if let Some(shared) = previous.nodes.get(node) {
            self.begin_at(shared.name, previous.name_of(node));
        }
    }

    fn begin_at(&mut self, at: At, owner: &[u8]) {
        let labels = name::label_count(owner);
        let known = self.nodes.last().map_or(labels, |last| {
            let last_name = self.name_of(last.name);
            name::shared_labels(last_name, owner)
        });
        // Names between the last node's branch and this one exist by having something below (RFC 4592 section 2.2.2).
        let missing = labels.saturating_sub(known + 1);
        let mut offsets = Vec::with_capacity(missing);
        let mut rest = owner;
        for _ in 0..missing {
            rest = name::parent(rest).unwrap_or(name::ROOT);
            offsets.push(owner.len() - rest.len());
        }
        for (depth, offset) in offsets.into_iter().rev().enumerate() {
            let place = At { chunk: at.chunk, offset: at.offset.saturating_add(u32::try_from(offset).unwrap_or(0)) };
            self.begin_node(place, known + 1 + depth);
        }
        self.begin_node(at, labels);
    }

    fn name_of(&self, at: At) -> &[u8] {
        let chunk = self.chunks.get(at.chunk as usize).map_or(&self.fresh, |chunk| chunk);
        let octets = chunk.get(at.offset as usize..).unwrap_or(name::ROOT);
        octets.get(..name::length(octets).unwrap_or(0)).unwrap_or(name::ROOT)
    }

    /// Add an RRset to the last node; rdatas are in canonical order.
    pub fn add(&mut self, rtype: u16, ttl: u32, rdatas: &[&[u8]]) {
        let data = self.here();
        for rdata in rdatas {
            let length = u16::try_from(rdata.len()).unwrap_or(u16::MAX);
            self.fresh.extend(length.to_be_bytes());
            self.fresh.extend_from_slice(rdata);
        }
        self.push(Entry { data, ttl, count: u32::try_from(rdatas.len()).unwrap_or(NONE), rtype });
    }

    /// Add an RRset to the last node, shared with `previous` where that has the same one.
    pub fn add_shared(&mut self, previous: &Version, node: usize, rtype: u16, ttl: u32, rdatas: &[&[u8]]) {
        let same = previous
            .rrset_at(node, rtype)
            .filter(|old| old.ttl == ttl && old.count == rdatas.len() && old.rdatas().eq(rdatas.iter().copied()));
        match same.and_then(|old| previous.entries.get(old.index)) {
            Some(entry) => self.push(*entry),
            None => self.add(rtype, ttl, rdatas),
        }
    }

    fn push(&mut self, entry: Entry) {
        self.records += entry.count as usize;
        self.entries.push(entry);
    }

    fn copy(&mut self, previous: &Version, from: usize, upto: usize) {
        let Some(nodes) = previous.nodes.get(from..upto) else { return };
        let start = previous.range(from).start;
        let end = if upto >= previous.nodes.len() { previous.entries.len() } else { previous.range(upto).start };
        let base = self.entries.len();
        for node in nodes {
            let rrsets = u32::try_from(base + node.rrsets as usize - start).unwrap_or(NONE);
            self.nodes.push(Node { rrsets, parent: NONE, end: 0, chain: 0, flags: 0, ..*node });
        }
        for entry in previous.entries.get(start..end).unwrap_or(&[]) {
            self.push(*entry);
        }
    }

    fn node(&mut self, previous: &Version, found: Option<usize>, owner: &[u8], edits: &[Edit]) {
        match found {
            Some(node) => self.begin_shared(previous, node),
            None => self.begin(owner),
        }
        let range = found.map_or(0..0, |node| previous.range(node));
        let mut old = previous.entries.get(range).unwrap_or(&[]).iter().peekable();
        for edit in edits {
            while let Some(entry) = old.next_if(|entry| entry.rtype < edit.rtype) {
                self.push(*entry);
            }
            let _replaced = old.next_if(|entry| entry.rtype == edit.rtype);
            if !edit.rdatas.is_empty() {
                let mut rdatas: Vec<&[u8]> = edit.rdatas.iter().map(Vec::as_slice).collect();
                order_rdatas(edit.rtype, &mut rdatas);
                self.add(edit.rtype, edit.ttl, &rdatas);
            }
        }
        for entry in old {
            self.push(*entry);
        }
    }

    /// The finished version: names that hold nothing and have nothing below are gone, structure and index are made.
    #[must_use]
    pub fn finish(self) -> Version {
        let mut version = self.structured();
        version.reindex();
        if version.is_wasteful() { version.compacted() } else { version }
    }

    /// The same of one that was begun `after` a version most of whose nodes it has: its index is taken over.
    fn finish_after(self, previous: &Version) -> Version {
        let shared = u32::try_from(self.chunks.len()).unwrap_or(NONE);
        let mut version = self.structured();
        version.reindex_after(previous, shared);
        if version.chunks.len() > MOST_CHUNKS {
            version.merge_chunks();
        }
        if version.is_wasteful() { version.compacted() } else { version }
    }

    fn structured(mut self) -> Version {
        if !self.fresh.is_empty() {
            self.fresh.shrink_to_fit();
            self.chunks.push(Arc::new(std::mem::take(&mut self.fresh)));
        }
        self.drop_empty();
        self.nodes.shrink_to_fit();
        self.entries.shrink_to_fit();
        let mut version = Version {
            origin: self.origin,
            chunks: self.chunks,
            nodes: self.nodes,
            entries: self.entries,
            chain: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            records: self.records,
            digest: OnceLock::new(),
        };
        version.structure();
        version
    }

    fn drop_empty(&mut self) {
        let mut below = 0;
        let mut kept = vec![true; self.nodes.len()];
        let mut end = self.entries.len();
        let mut any = false;
        for (node, keep) in self.nodes.iter().zip(kept.iter_mut()).rev() {
            let holds = (node.rrsets as usize) < end;
            end = node.rrsets as usize;
            *keep = holds || below > node.labels;
            if *keep {
                below = node.labels;
            } else {
                any = true;
            }
        }
        // The apex stays, whatever it holds.
        if let Some(first) = kept.first_mut() {
            *first = true;
        }
        if any {
            let mut keep = kept.iter();
            self.nodes.retain(|_| keep.next().copied().unwrap_or(true));
        }
    }
}

impl Version {
    /// Parents, ends, flags and the denial chain, in one pass over the nodes.
    fn structure(&mut self) {
        let depth = name::label_count(&self.origin);
        let mut branch: Vec<u32> = Vec::with_capacity(16);
        let mut chain = Vec::with_capacity(self.nodes.len());
        for index in 0..self.nodes.len() {
            let number = u32::try_from(index).unwrap_or(NONE);
            let Some(node) = self.nodes.get(index).copied() else { break };
            let level = usize::from(node.labels).saturating_sub(depth);
            while branch.len() > level {
                self.close(branch.pop(), number);
            }
            let parent = branch.last().copied();
            let flags = self.flags_of(index, parent);
            if flags & (is::OCCLUDED | is::HIDDEN) == 0 && !self.range(index).is_empty() {
                chain.push(number);
            }
            if let (Some(parent), true) = (parent, name::is_wildcard(self.name_at(node.name)))
                && let Some(parent) = self.nodes.get_mut(parent as usize)
            {
                parent.flags |= is::WILDCARD_PARENT;
            }
            if let Some(node) = self.nodes.get_mut(index) {
                node.flags |= flags;
                node.parent = parent.unwrap_or(NONE);
                node.chain = u32::try_from(chain.len().saturating_sub(1)).unwrap_or(0);
            }
            branch.push(number);
        }
        let total = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        while !branch.is_empty() {
            self.close(branch.pop(), total);
        }
        chain.shrink_to_fit();
        self.chain = chain;
    }

    fn close(&mut self, node: Option<u32>, end: u32) {
        if let Some(node) = node.and_then(|node| self.nodes.get_mut(node as usize)) {
            node.end = end;
        }
    }

    fn flags_of(&self, index: usize, parent: Option<u32>) -> u8 {
        let mut flags = if parent.is_none() { is::APEX } else { 0 };
        let above = parent.and_then(|parent| self.nodes.get(parent as usize)).map_or(0, |node| node.flags);
        if above & (is::CUT | is::HAS_DNAME | is::OCCLUDED) != 0 {
            flags |= is::OCCLUDED;
        }
        if parent == Some(0) && self.holds_nsec3_alone(index) {
            flags |= is::HIDDEN;
        }
        for rtype in self.rtypes_of(index) {
            match rtype {
                rrtype::NS if parent.is_some() && flags & is::OCCLUDED == 0 => flags |= is::CUT,
                rrtype::DNAME => flags |= is::HAS_DNAME,
                rrtype::CNAME => flags |= is::HAS_CNAME,
                _ => {}
            }
        }
        flags
    }

    fn holds_nsec3_alone(&self, index: usize) -> bool {
        let labels = |index: usize| self.nodes.get(index).map_or(0, |node| node.labels);
        let mut types = self.rtypes_of(index).peekable();
        types.peek().is_some_and(|rtype| *rtype == rrtype::RRSIG || *rtype == rrtype::NSEC3)
            && self.rtypes_of(index).any(|rtype| rtype == rrtype::NSEC3)
            && types.all(|rtype| matches!(rtype, rrtype::RRSIG | rrtype::NSEC3))
            && labels(index + 1) <= labels(index)
    }

    fn reindex(&mut self) {
        let mut index = HashTable::with_capacity(self.nodes.len());
        let mut lower = Vec::with_capacity(name::MAX_OCTETS);
        for number in 0..self.nodes.len() {
            lower.clear();
            name::lower_into(self.name_of(number), &mut lower);
            let hash = self.hasher.hash_one(lower.as_slice());
            // Capacity was asked for: nothing is ever rehashed here.
            index.insert_unique(hash, u32::try_from(number).unwrap_or(NONE), |_| 0);
        }
        self.index = index;
    }

    /// Make the index out of that of a version whose chunks are the first `shared` of ours, by what moved.
    fn reindex_after(&mut self, previous: &Version, shared: u32) {
        let mut moved = vec![NONE; previous.nodes.len()];
        let mut new = Vec::new();
        let mut old = previous.nodes.iter().zip(&mut moved);
        for (number, node) in (0..).zip(&self.nodes) {
            // Both are in one order, and nodes that were there before have their names where they were.
            let was_there = node.name.chunk < shared
                && old.find(|(before, _)| before.name == node.name).map(|(_, place)| *place = number).is_some();
            if !was_there {
                new.push(number);
            }
        }
        self.hasher = previous.hasher.clone();
        self.index.clone_from(&previous.index);
        for (number, _) in moved.iter().enumerate().filter(|(_, now)| **now == NONE) {
            let hash = previous.hash_of(number);
            if let Ok(entry) = self.index.find_entry(hash, |node| *node as usize == number) {
                entry.remove();
            }
        }
        for node in &mut self.index {
            *node = moved.get(*node as usize).copied().unwrap_or(NONE);
        }
        let mut index = std::mem::take(&mut self.index);
        for number in new {
            index.insert_unique(self.hash_of(number as usize), number, |node| self.hash_of(*node as usize));
        }
        self.index = index;
    }

    fn hash_of(&self, node: usize) -> u64 {
        self.hasher.hash_one(name::lower(self.name_of(node)).as_slice())
    }

    /// Put all chunks but the first together, so that a long row of small changes stays cheap.
    fn merge_chunks(&mut self) {
        let mut merged = Vec::with_capacity(self.chunks.iter().skip(1).map(|chunk| chunk.len()).sum());
        let mut starts = vec![0];
        for chunk in self.chunks.iter().skip(1) {
            starts.push(u32::try_from(merged.len()).unwrap_or(NONE));
            merged.extend_from_slice(chunk);
        }
        if u32::try_from(merged.len()).is_err() {
            return;
        }
        let move_over = |at: &mut At| {
            if let Some(start) = starts.get(at.chunk as usize).filter(|_| at.chunk > 0) {
                *at = At { chunk: 1, offset: start + at.offset };
            }
        };
        self.nodes.iter_mut().for_each(|node| move_over(&mut node.name));
        self.entries.iter_mut().for_each(|entry| move_over(&mut entry.data));
        self.chunks.truncate(1);
        self.chunks.push(Arc::new(merged));
    }

    /// Whether shared chunks hold on to much more than this version uses.
    fn is_wasteful(&self) -> bool {
        if self.chunks.len() < 2 {
            return false;
        }
        if self.chunks.len() > MOST_CHUNKS {
            return true;
        }
        let held: usize = self.chunks.iter().map(|chunk| chunk.len()).sum();
        let first = self.chunks.first().map_or(0, |chunk| chunk.len());
        // The walk over all RRsets is made only when later chunks have grown to half the first.
        held > first + first / 2 + 65536 && held > 2 * self.used_octets() + 65536
    }

    fn used_octets(&self) -> usize {
        let names: usize = (0..self.nodes.len()).map(|node| self.name_of(node).len()).sum();
        let data: usize =
            (0..self.entries.len()).filter_map(|at| self.rrset_by_index(at)).map(|rrset| rrset.octets.len()).sum();
        names + data
    }

    /// The same content in one chunk of its own.
    fn compacted(&self) -> Version {
        let mut assembly = Assembly::new(self.origin.clone(), self.used_octets(), self.nodes.len(), self.entries.len());
        for node in 0..self.nodes.len() {
            if self.range(node).is_empty() && node != 0 {
                continue;
            }
            assembly.begin(self.name_of(node));
            for rrset in self.rrsets_of(node) {
                let rdatas: Vec<&[u8]> = rrset.rdatas().collect();
                assembly.add(rrset.rtype, rrset.ttl, &rdatas);
            }
        }
        assembly.finish()
    }
}
