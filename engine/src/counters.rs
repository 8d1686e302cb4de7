//! Counts of queries and answers by route, transport and family, one set for each worker, added up when they are read.
//!
//! Words: a *route* is a number its owner gives to what a query was routed to; a *cell* holds the counts of one route,
//! transport and family. Invariant: a worker's cells are written by that worker alone, so counting is a plain load and
//! store; whoever is no worker passes `SHARED` and pays for an atomic addition.
//! Limits: routes from 65536 on are counted as the last one; types without a place of their own as type 0.
// Places in small arrays.
#![allow(clippy::cast_possible_truncation)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The worker number of those that are no UDP worker: streams, the chain.
pub const SHARED: usize = usize::MAX;

/// Upper bounds of message sizes in octets, those of `CoreDNS`; larger ones are in the last bucket, whose key is 0.
pub const SIZE_BOUNDS: [u32; 13] = [100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];
/// Upper bounds of durations in microseconds, those of `CoreDNS`; longer ones are in the last bucket, whose key is 0.
pub const DURATION_BOUNDS_US: [u32; 16] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000, 2_048_000,
    4_096_000, 8_192_000,
];

/// Workers with cells of their own; the others share.
const WORKERS: usize = 256;
const ROUTES: usize = 1 << 16;
const ROUTES_A_PAGE: usize = 256;
/// Types from 1 to this and those from `HIGH_TYPES` have a place each, type 0's is for all others.
const LOW_TYPES: u16 = 66;
/// TKEY (249) to RESINFO (261).
const HIGH_TYPES: std::ops::RangeInclusive<u16> = 249..=261;
const TYPES: usize = 1 + LOW_TYPES as usize + 13;
const RCODES: usize = 24;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
}

impl Transport {
    const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    /// In lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// The IP version of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Of an address.
    #[must_use]
    pub fn of(address: &std::net::SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// 4 or 6.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}

/// One query and its answer, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// What it was routed to.
    pub route: u32,
    /// How it came.
    pub transport: Transport,
    /// From where.
    pub family: Family,
    /// What was asked.
    pub qtype: u16,
    /// What was answered, extended bits included.
    pub rcode: u16,
    /// Whether DNSSEC records were asked for.
    pub is_dnssec_ok: bool,
    /// The query's size.
    pub request_octets: usize,
    /// The answer's size.
    pub response_octets: usize,
    /// How long it took, if anybody looked at the clock.
    pub duration: Option<Duration>,
}

/// One count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was routed to.
    pub route: u32,
    /// How it came.
    pub transport: Transport,
    /// From where.
    pub family: Family,
    /// `type`, `rcode`, `do`, `request_octets`, `response_octets`, `duration_us`, or one of the last three and `_sum`.
    pub kind: &'static str,
    /// The type, the rcode, the bucket's upper bound; else 1.
    pub key: u32,
    /// How many; for sums the sum.
    pub count: u64,
}

/// All counts since start.
pub struct Counters {
    /// The last one is shared.
    workers: Box<[OnceLock<Worker>]>,
}

type Page = Box<[Route]>;
type Route = [OnceLock<Box<Cell>>; Transport::ALL.len() * Family::ALL.len()];

struct Worker {
    pages: Box<[OnceLock<Page>]>,
}

/// On cache lines of its own: two workers' counts never share one.
#[repr(align(64))]
struct Cell {
    types: [AtomicU64; TYPES],
    rcodes: [AtomicU64; RCODES],
    dnssec_ok: AtomicU64,
    request_octets: Histogram<14>,
    response_octets: Histogram<14>,
    duration_us: Histogram<17>,
}

struct Histogram<const N: usize> {
    buckets: [AtomicU64; N],
    sum: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// All zero; memory is taken for what is counted.
    #[must_use]
    pub fn new() -> Self {
        Self { workers: (0..=WORKERS).map(|_| OnceLock::new()).collect() }
    }

    /// Counts one query and its answer. `worker` is the UDP worker that runs this, or `SHARED`.
    pub fn observe(&self, worker: usize, seen: &Observation) {
        let is_own = worker < WORKERS;
        let Some(cells) = self.workers.get(worker.min(WORKERS)) else { return };
        let Some(cell) = cells.get_or_init(Worker::new).cell(seen) else { return };
        let add = if is_own { add_alone } else { add_shared };
        cell.observe(seen, add);
    }

    /// The counts that are not zero.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for page in 0..ROUTES / ROUTES_A_PAGE {
            let pages = || self.workers.iter().filter_map(|worker| worker.get()?.pages.get(page)?.get());
            if pages().next().is_none() {
                continue;
            }
            for route in 0..ROUTES_A_PAGE {
                let routes: Vec<&Route> = pages().filter_map(|page| page.get(route)).collect();
                append_route(&mut rows, (page * ROUTES_A_PAGE + route) as u32, &routes);
            }
        }
        rows
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Counters")
    }
}

impl Worker {
    fn new() -> Self {
        Self { pages: (0..ROUTES / ROUTES_A_PAGE).map(|_| OnceLock::new()).collect() }
    }

    fn cell(&self, seen: &Observation) -> Option<&Cell> {
        let route = (seen.route as usize).min(ROUTES - 1);
        let page = self.pages.get(route / ROUTES_A_PAGE)?.get_or_init(new_page);
        let cells = page.get(route % ROUTES_A_PAGE)?;
        Some(cells.get(seen.transport as usize * Family::ALL.len() + seen.family as usize)?.get_or_init(Cell::new))
    }
}

fn new_page() -> Page {
    (0..ROUTES_A_PAGE).map(|_| Route::default()).collect()
}

/// Adds to a count that only this thread writes.
fn add_alone(count: &AtomicU64, by: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

fn add_shared(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

impl Cell {
    fn new() -> Box<Self> {
        Box::new(Self {
            types: [const { AtomicU64::new(0) }; TYPES],
            rcodes: [const { AtomicU64::new(0) }; RCODES],
            dnssec_ok: AtomicU64::new(0),
            request_octets: Histogram::new(),
            response_octets: Histogram::new(),
            duration_us: Histogram::new(),
        })
    }

    #[inline]
    fn observe(&self, seen: &Observation, add: impl Fn(&AtomicU64, u64) + Copy) {
        if let Some(count) = self.types.get(type_place(seen.qtype)) {
            add(count, 1);
        }
        if let Some(count) = self.rcodes.get(usize::from(seen.rcode).min(RCODES - 1)) {
            add(count, 1);
        }
        if seen.is_dnssec_ok {
            add(&self.dnssec_ok, 1);
        }
        self.request_octets.observe(size_bucket(seen.request_octets), seen.request_octets as u64, add);
        self.response_octets.observe(size_bucket(seen.response_octets), seen.response_octets as u64, add);
        if let Some(duration) = seen.duration {
            let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            let bucket = DURATION_BOUNDS_US.partition_point(|&bound| u64::from(bound) < us);
            self.duration_us.observe(bucket, us, add);
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; N], sum: AtomicU64::new(0) }
    }

    #[inline]
    fn observe(&self, bucket: usize, value: u64, add: impl Fn(&AtomicU64, u64)) {
        if let Some(count) = self.buckets.get(bucket) {
            add(count, 1);
            add(&self.sum, value);
        }
    }
}

#[inline]
fn size_bucket(octets: usize) -> usize {
    match octets {
        // The bounds to 400 are a hundred apart, and nearly all there is.
        0..=400 => octets.saturating_sub(1) / 100,
        _ => SIZE_BOUNDS.partition_point(|&bound| (bound as usize) < octets),
    }
}

#[inline]
fn type_place(qtype: u16) -> usize {
    match qtype {
        1..=LOW_TYPES => usize::from(qtype),
        _ if HIGH_TYPES.contains(&qtype) => usize::from(LOW_TYPES + 1 + qtype - HIGH_TYPES.start()),
        _ => 0,
    }
}

fn type_at(place: usize) -> u32 {
    let place = place as u32;
    let low = u32::from(LOW_TYPES);
    if place <= low { place } else { place - low - 1 + u32::from(*HIGH_TYPES.start()) }
}

// ------------------------------------------------------------------ reading

/// Appends what all workers counted for one route.
fn append_route(rows: &mut Vec<Row>, route: u32, workers: &[&Route]) {
    for transport in Transport::ALL {
        for family in Family::ALL {
            let place = transport as usize * Family::ALL.len() + family as usize;
            let cells: Vec<&Cell> =
                workers.iter().filter_map(|cells| Some(cells.get(place)?.get()?.as_ref())).collect();
            append_cells(&cells, |kind, key, count| {
                if count > 0 {
                    rows.push(Row { route, transport, family, kind, key, count });
                }
            });
        }
    }
}

fn append_cells(cells: &[&Cell], mut row: impl FnMut(&'static str, u32, u64)) {
    let sum = |of: &dyn Fn(&Cell) -> Option<&AtomicU64>| {
        cells.iter().filter_map(|cell| of(cell)).map(|count| count.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    };
    for place in 0..TYPES {
        row("type", type_at(place), sum(&|cell| cell.types.get(place)));
    }
    for rcode in 0..RCODES {
        row("rcode", rcode as u32, sum(&|cell| cell.rcodes.get(rcode)));
    }
    row("do", 1, sum(&|cell| Some(&cell.dnssec_ok)));
    for bucket in 0..=SIZE_BOUNDS.len() {
        let key = SIZE_BOUNDS.get(bucket).copied().unwrap_or(0);
        row("request_octets", key, sum(&|cell| cell.request_octets.buckets.get(bucket)));
        row("response_octets", key, sum(&|cell| cell.response_octets.buckets.get(bucket)));
    }
    for bucket in 0..=DURATION_BOUNDS_US.len() {
        let key = DURATION_BOUNDS_US.get(bucket).copied().unwrap_or(0);
        row("duration_us", key, sum(&|cell| cell.duration_us.buckets.get(bucket)));
    }
    row("request_octets_sum", 1, sum(&|cell| Some(&cell.request_octets.sum)));
    row("response_octets_sum", 1, sum(&|cell| Some(&cell.response_octets.sum)));
    row("duration_us_sum", 1, sum(&|cell| Some(&cell.duration_us.sum)));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const SEEN: Observation = Observation {
        route: 0,
        transport: Transport::Udp,
        family: Family::V4,
        qtype: 1,
        rcode: 0,
        is_dnssec_ok: false,
        request_octets: 40,
        response_octets: 120,
        duration: None,
    };

    fn count_of(counters: &Counters, kind: &str, key: u32) -> u64 {
        counters.rows().iter().filter(|row| row.kind == kind && row.key == key).map(|row| row.count).sum()
    }

    #[test]
    fn nothing_seen_is_no_rows() {
        assert_eq!(Counters::new().rows(), []);
    }

    #[test]
    fn one_query_is_one_of_each_kind() {
        let counters = Counters::new();
        counters.observe(0, &Observation { is_dnssec_ok: true, duration: Some(Duration::from_micros(300)), ..SEEN });
        let rows: Vec<_> = counters.rows().iter().map(|row| (row.kind, row.key, row.count)).collect();
        assert_eq!(
            rows,
            [
                ("type", 1, 1),
                ("rcode", 0, 1),
                ("do", 1, 1),
                ("request_octets", 100, 1),
                ("response_octets", 200, 1),
                ("duration_us", 500, 1),
                ("request_octets_sum", 1, 40),
                ("response_octets_sum", 1, 120),
                ("duration_us_sum", 1, 300),
            ]
        );
    }

    #[test]
    fn routes_transports_and_families_are_counted_apart() {
        let counters = Counters::new();
        for route in [0, 255, 256, 65535, u32::MAX] {
            counters.observe(3, &Observation { route, ..SEEN });
        }
        counters.observe(SHARED, &Observation { transport: Transport::Tcp, family: Family::V6, ..SEEN });
        let rows = counters.rows();
        let types: Vec<_> = rows
            .iter()
            .filter(|row| row.kind == "type")
            .map(|row| (row.route, row.transport, row.family, row.count))
            .collect();
        let (udp, v4) = (Transport::Udp, Family::V4);
        let tcp = (0, Transport::Tcp, Family::V6, 1);
        assert_eq!(types, [(0, udp, v4, 1), tcp, (255, udp, v4, 1), (256, udp, v4, 1), (65535, udp, v4, 2)]);
    }

    #[test]
    fn every_type_has_a_place_or_the_common_one() {
        let counters = Counters::new();
        for qtype in 0..=u16::MAX {
            counters.observe(0, &Observation { qtype, ..SEEN });
        }
        for qtype in (1..=66).chain(249..=261) {
            assert_eq!(count_of(&counters, "type", qtype), 1, "{qtype}");
        }
        assert_eq!(count_of(&counters, "type", 0), 65536 - 66 - 13);
    }

    #[test]
    fn sizes_fall_into_coredns_buckets() {
        for (octets, bound) in [
            (0, 100),
            (1, 100),
            (100, 100),
            (101, 200),
            (400, 400),
            (401, 511),
            (512, 1023),
            (64_000, 64_000),
            (65_535, 0),
        ] {
            let counters = Counters::new();
            counters.observe(0, &Observation { response_octets: octets, ..SEEN });
            assert_eq!(count_of(&counters, "response_octets", bound), 1, "{octets}");
        }
    }

    #[test]
    fn threads_lose_nothing() {
        let counters = Arc::new(Counters::new());
        let threads: Vec<_> = [0, 1, SHARED, SHARED]
            .map(|worker| {
                let counters = Arc::clone(&counters);
                thread::spawn(move || (0..10_000).for_each(|_| counters.observe(worker, &SEEN)))
            })
            .into_iter()
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(count_of(&counters, "rcode", 0), 40_000);
    }
}
