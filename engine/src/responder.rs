//! From a datagram to an answer: what is malformed, which block and zone a query belongs to, what Python has to see.
//!
//! Words: a *slot* is where a zone's published version stands, swapped alone; the *routes* are swapped whole; a query is
//! *declined* when Python answers it. Old versions and routes are freed by the reaper thread, never by a thread that
//! answers.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam_queue::ArrayQueue;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::answer::{Answer, NameBuffer};
pub use crate::counters::Transport;
use crate::message::{CLASS_IN, Malformed, Opt, Query, UDP_SIZE, Writer, flag, opcode, opcode_of, rcode, rrtype};
use crate::name::{self, Name};
use crate::signed::SignedVersion;
use crate::udp::Wake;

/// Not authoritative (RFC 8945 section 5.2 for keys we do not have).
const NOTAUTH: u16 = 9;
/// EDE 14, Not Ready (RFC 8914 section 4.15).
const NOT_READY: u16 = 14;
/// Extended error "Invalid Query Type" (RFC 9824 section 9).
const INVALID_QUERY_TYPE: u16 = 30;

/// Where a zone's published version stands.
pub struct ZoneSlot {
    origin: Name,
    current: ArcSwapOption<SignedVersion>,
}

impl ZoneSlot {
    /// An empty slot: its zone answers SERVFAIL.
    #[must_use]
    pub fn new(origin: Name) -> Self {
        Self { origin, current: ArcSwapOption::empty() }
    }

    /// The zone's name.
    #[must_use]
    pub fn origin(&self) -> &[u8] {
        &self.origin
    }

    /// What is published now.
    #[must_use]
    pub fn current(&self) -> Option<Arc<SignedVersion>> {
        self.current.load_full()
    }

    /// Publish, or withdraw with None; the version before goes to the reaper.
    pub fn swap(&self, signed: Option<Arc<SignedVersion>>) {
        if let Some(old) = self.current.swap(signed) {
            reap(Box::new(old));
        }
    }
}

/// Something the reaper frees when nobody else holds it any more.
trait Reaped: Send {
    fn is_last(&self) -> bool;
}

impl<T: Send + Sync> Reaped for Arc<T> {
    fn is_last(&self) -> bool {
        Arc::strong_count(self) == 1
    }
}

/// Hand something to the reaper thread, which is started at first use.
fn reap(garbage: Box<dyn Reaped>) {
    static REAPER: std::sync::OnceLock<mpsc::Sender<Box<dyn Reaped>>> = std::sync::OnceLock::new();
    let sender = REAPER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel();
        let _detached = std::thread::Builder::new().name("zw-reaper".to_owned()).spawn(move || reap_all(&receiver));
        sender
    });
    // Without a reaper (no thread could be started) it is freed here.
    drop(sender.send(garbage));
}

fn reap_all(receiver: &mpsc::Receiver<Box<dyn Reaped>>) {
    let mut waiting: Vec<Box<dyn Reaped>> = Vec::new();
    loop {
        let pause = if waiting.is_empty() { Duration::from_hours(1) } else { Duration::from_millis(20) };
        match receiver.recv_timeout(pause) {
            Ok(garbage) => waiting.push(garbage),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        waiting.retain(|garbage| !garbage.is_last());
    }
}

/// Names to values, found by the longest suffix.
struct SuffixTable<T> {
    table: HashTable<(Name, T)>,
    deepest: usize,
}

impl<T> Default for SuffixTable<T> {
    fn default() -> Self {
        Self { table: HashTable::new(), deepest: 0 }
    }
}

fn hash(lower: &[u8]) -> u64 {
    // Zone names are the operator's own: a fixed seed is safe here.
    FixedState::with_seed(0x7a6f_6e65).hash_one(lower)
}

impl<T> SuffixTable<T> {
    /// The first value entered for a name stays.
    fn insert(&mut self, origin: &[u8], value: T) {
        let Some(lower) = Name::from_wire(&name::lower(origin)) else { return };
        self.deepest = self.deepest.max(name::label_count(&lower));
        let key = hash(&lower);
        if self.table.find(key, |(known, _)| *known == lower).is_none() {
            self.table.insert_unique(key, (lower, value), |(known, _)| hash(known));
        }
    }

    fn longest(&self, lower: &[u8]) -> Option<(&Name, &T)> {
        let mut rest = Some(name::last_labels(lower, self.deepest));
        while let Some(suffix) = rest {
            if let Some((known, value)) = self.table.find(hash(suffix), |(known, _)| **known == *suffix) {
                return Some((known, value));
            }
            rest = name::parent(suffix);
        }
        None
    }
}

/// A server block as the engine routes to it.
pub struct Block {
    /// Its number in the configuration.
    pub number: i64,
    /// All its queries go to Python.
    pub chained: bool,
    /// Its queries are entered in the log ring.
    pub log: bool,
    zones: SuffixTable<Arc<ZoneSlot>>,
}

/// What a block is made of.
pub struct BlockParts {
    /// Its number in the configuration.
    pub number: i64,
    /// The listeners it answers on.
    pub listeners: Vec<u32>,
    /// Its keys.
    pub origins: Vec<Name>,
    /// What its zone backends serve.
    pub zones: Vec<(Name, Arc<ZoneSlot>)>,
    /// All its queries go to Python.
    pub chained: bool,
    /// Its queries are entered in the log ring.
    pub log: bool,
}

/// A key of a block: where a query was routed.
pub struct Route {
    /// The number that counters know it by, the same after each swap of the table.
    pub number: u32,
    /// The key.
    pub origin: Name,
    /// The block.
    pub block: Arc<Block>,
}

/// The route table.
#[derive(Default)]
pub struct Routes {
    listeners: Vec<SuffixTable<Arc<Route>>>,
}

impl Routes {
    /// A table of blocks; of two keys that are the same on a listener the first is taken. `number` gives each route its
    /// number from its block and key.
    #[must_use]
    pub fn new(blocks: Vec<BlockParts>, mut number: impl FnMut(i64, &Name) -> u32) -> Self {
        let mut routes = Self::default();
        for parts in blocks {
            let mut zones = SuffixTable::default();
            for (origin, slot) in parts.zones {
                zones.insert(&origin, slot);
            }
            let block = Arc::new(Block { number: parts.number, chained: parts.chained, log: parts.log, zones });
            for origin in parts.origins {
                let number = number(block.number, &origin);
                let route = Arc::new(Route { number, origin: origin.clone(), block: Arc::clone(&block) });
                for listener in &parts.listeners {
                    routes.table(*listener).insert(&origin, Arc::clone(&route));
                }
            }
        }
        routes
    }

    fn table(&mut self, listener: u32) -> &mut SuffixTable<Arc<Route>> {
        let index = listener as usize;
        if self.listeners.len() <= index {
            self.listeners.resize_with(index + 1, SuffixTable::default);
        }
        // The resize made it; a fallback table would never be read.
        self.listeners.get_mut(index).unwrap_or_else(|| unreachable!("the table was just made"))
    }

    /// The route of a name in lower case, and the zone of its block that holds it.
    fn find(&self, listener: u32, lower: &[u8], qtype: u16) -> Option<(&Arc<Route>, Option<&Arc<ZoneSlot>>)> {
        let table = self.listeners.get(listener as usize)?;
        let zone_of = |lower: &[u8]| {
            let (_, route) = table.longest(lower)?;
            Some((route, route.block.zones.longest(lower).map(|(_, slot)| slot)))
        };
        // A DS question at a zone's own name goes to the longest matching parent (RFC 4035 section 3.1.4.1).
        if qtype == rrtype::DS
            && let Some(found) = name::parent(lower).and_then(zone_of).filter(|(_, slot)| slot.is_some())
        {
            return Some(found);
        }
        zone_of(lower)
    }
}

/// A query for Python, with all that its reply needs.
#[derive(Clone, Debug)]
pub struct Declined {
    /// The number of the block it was routed to, -1 for none.
    pub block: i64,
    /// The message.
    pub octets: Box<[u8]>,
    /// Where it came in.
    pub listener: u32,
    /// The address that was asked, where the listener has many.
    pub local: Option<IpAddr>,
    /// Who asked.
    pub client: SocketAddr,
    /// How.
    pub transport: Transport,
}

/// What became of a query.
pub enum Outcome {
    /// So many octets of answer.
    Answer(usize),
    /// Nothing is said.
    Silent,
    /// Python answers, for the block of this number.
    Declined(i64),
}

/// A query that was answered, for those who count and log.
pub struct Observed<'a> {
    /// The query.
    pub query: &'a Query<'a>,
    /// Where it was routed.
    pub route: &'a Route,
    /// The answer, as it is sent.
    pub response: &'a [u8],
}

/// A query as it came in.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// The thread that serves it.
    pub worker: usize,
    /// Where it came in.
    pub listener: u32,
    /// Who asked.
    pub client: SocketAddr,
    /// The address that was asked, where the listener has many.
    pub local: Option<IpAddr>,
    /// How.
    pub transport: Transport,
}

/// Counts of the whole process.
#[derive(Default)]
pub struct Totals {
    /// Messages that came by a stream.
    pub streamed: AtomicU64,
    /// Not a query: answered FORMERR or not at all.
    pub malformed: AtomicU64,
    /// No block or no zone.
    pub refused: AtomicU64,
    /// Handed to Python.
    pub declined: AtomicU64,
    /// Meant for Python, but its queue was full.
    pub declined_dropped: AtomicU64,
}

/// Routes queries and answers them.
pub struct Responder {
    routes: ArcSwap<Routes>,
    known: Mutex<HashMap<(i64, Name), u32>>,
    /// Queries for Python.
    queue: ArrayQueue<Declined>,
    wake: Wake,
    /// Counts.
    pub totals: Totals,
}

fn number_of(known: &mut HashMap<(i64, Name), u32>, block: i64, origin: &Name) -> u32 {
    let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
    *known.entry((block, origin.clone())).or_insert(next)
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Memory::Relaxed);
}

impl Responder {
    /// A responder without routes; `queue` queries may wait for Python.
    ///
    /// # Errors
    /// No eventfd could be had.
    pub fn new(queue: usize) -> std::io::Result<Self> {
        Ok(Self {
            routes: ArcSwap::from_pointee(Routes::default()),
            known: Mutex::default(),
            queue: ArrayQueue::new(queue.max(1)),
            wake: Wake::new()?,
            totals: Totals::default(),
        })
    }

    /// Swap the whole route table.
    pub fn route(&self, blocks: Vec<BlockParts>) {
        let routes = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Routes::new(blocks, |block, origin| number_of(&mut known, block, origin))
        };
        let old = self.routes.swap(Arc::new(routes));
        reap(Box::new(old));
    }

    /// Block number and key of every route there ever was, by the route's number.
    #[must_use]
    pub fn known_routes(&self) -> HashMap<u32, (i64, Name)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(route, number)| (*number, route.clone())).collect()
    }

    /// What wakes Python.
    #[must_use]
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Take a waiting query; when none is left the wake-up is cleared.
    pub fn next_declined(&self) -> Option<Declined> {
        self.queue.pop().or_else(|| {
            self.wake.clear();
            // One that came between the two is not lost.
            self.queue.pop()
        })
    }

    /// Put a query where Python finds it; false when the queue is full.
    pub fn decline(&self, declined: Declined) -> bool {
        add(&self.totals.declined);
        let queued = self.queue.push(declined).is_ok();
        if queued {
            self.wake.set();
        } else {
            add(&self.totals.declined_dropped);
        }
        queued
    }

    /// Answer one message into `out`; what a block answered is shown to `observe`.
    pub fn respond(
        &self,
        octets: &[u8],
        arrival: &Arrival,
        out: &mut [u8],
        observe: impl FnOnce(&Observed<'_>),
    ) -> Outcome {
        if arrival.transport == Transport::Tcp {
            // Datagrams are counted by their sockets, a batch at a time.
            add(&self.totals.streamed);
        }
        if let Some(code) = opcode_refused(octets) {
            return head_only(octets, code, out);
        }
        let query = match Query::parse(octets) {
            Ok(query) => query,
            Err(reason) => {
                add(&self.totals.malformed);
                return match reason {
                    Malformed::Silent => Outcome::Silent,
                    Malformed::FormErr => head_only(octets, rcode::FORMERR, out),
                };
            }
        };
        self.answer(&query, arrival, out, observe)
    }

    fn answer(
        &self,
        query: &Query<'_>,
        arrival: &Arrival,
        out: &mut [u8],
        observe: impl FnOnce(&Observed<'_>),
    ) -> Outcome {
        let limit = size_limit(query, arrival.transport).min(out.len());
        if let Some(code) = refused_by_form(query, arrival.transport) {
            // RFC 9824 section 3.5: a type that is never asked for.
            let error = (query.qtype == rrtype::NXNAME && code == rcode::FORMERR).then_some(INVALID_QUERY_TYPE);
            return without_records(query, code, error, out, limit);
        }
        let lower = NameBuffer::lower(query.qname);
        let routes = self.routes.load();
        let Some((route, slot)) = routes.find(arrival.listener, lower.wire(), query.qtype) else {
            add(&self.totals.refused);
            return without_records(query, rcode::REFUSED, None, out, limit);
        };
        let is_transfer = matches!(query.qtype, rrtype::AXFR | rrtype::IXFR);
        if route.block.chained || is_transfer && arrival.transport == Transport::Tcp {
            return Outcome::Declined(route.block.number);
        }
        let outcome = if let Some(slot) = slot {
            from_slot(slot, query, out, limit)
        } else {
            add(&self.totals.refused);
            without_records(query, rcode::REFUSED, None, out, limit)
        };
        if let Outcome::Answer(length) = outcome {
            observe(&Observed { query, route, response: out.get(..length).unwrap_or(&[]) });
        }
        outcome
    }

    /// Answer from one zone, routes not asked.
    pub fn answer_from(&self, slot: &ZoneSlot, octets: &[u8], transport: Transport, out: &mut [u8]) -> Outcome {
        match Query::parse(octets) {
            Ok(query) => {
                let limit = size_limit(&query, transport).min(out.len());
                if !name::is_at_or_below(query.qname, &slot.origin) {
                    return without_records(&query, rcode::REFUSED, None, out, limit);
                }
                from_slot(slot, &query, out, limit)
            }
            Err(Malformed::Silent) => Outcome::Silent,
            Err(Malformed::FormErr) => head_only(octets, rcode::FORMERR, out),
        }
    }
}

fn from_slot(slot: &ZoneSlot, query: &Query<'_>, out: &mut [u8], limit: usize) -> Outcome {
    let current = slot.current.load();
    let Some(signed) = current.as_ref() else {
        return without_records(query, rcode::SERVFAIL, Some(NOT_READY), out, limit);
    };
    let mut opt = query.edns.map(|edns| Opt {
        size: UDP_SIZE,
        dnssec_ok: edns.dnssec_ok,
        compact_ok: edns.compact_ok && signed.is_compact(),
        rcode: 0,
        error: None,
    });
    let reserve = opt.as_ref().map_or(0, Opt::len);
    let Ok(mut writer) = Writer::answering(query, out, limit, reserve) else { return Outcome::Silent };
    let code = if query.qtype == rrtype::IXFR {
        // Over UDP one SOA says that the client is to come by TCP (RFC 1995 section 2).
        soa_alone(signed, query, &mut writer)
    } else {
        Answer::of(signed, query, &mut writer)
    };
    writer.set_rcode(code);
    if let Some(opt) = &mut opt {
        opt.rcode = code;
    }
    Outcome::Answer(writer.finish(opt.as_ref()))
}

fn soa_alone(signed: &SignedVersion, query: &Query<'_>, writer: &mut Writer<'_>) -> u16 {
    if !name::equal(query.qname, signed.version().origin()) {
        return NOTAUTH;
    }
    writer.set_flags(flag::AA);
    if let Some(soa) = signed.version().soa() {
        for rdata in soa.rdatas() {
            let _fits = writer.record(crate::message::Section::Answer, query.qname, rrtype::SOA, soa.ttl, rdata);
        }
    }
    rcode::NOERROR
}

/// Opcodes but QUERY are not implemented here, whatever else the message holds (RFC 1035 section 4.1.1).
fn opcode_refused(octets: &[u8]) -> Option<u16> {
    let flags = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
    let is_query = octets.len() >= crate::message::HEADER && flags & flag::QR == 0;
    (is_query && opcode_of(flags) != opcode::QUERY).then_some(rcode::NOTIMP)
}

/// What is answered with a response code alone, whichever zone it is about.
fn refused_by_form(query: &Query<'_>, transport: Transport) -> Option<u16> {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some(rcode::BADVERS);
    }
    if query.has_tsig {
        return Some(NOTAUTH);
    }
    if query.qclass != CLASS_IN {
        return Some(rcode::REFUSED);
    }
    match query.qtype {
        // Pseudo-types never stand in a question (RFC 6891 section 6.1.1, RFC 8945 section 5.1, RFC 2930 section 2).
        0 | rrtype::OPT | rrtype::NXNAME | 249 | rrtype::TSIG => Some(rcode::FORMERR),
        rrtype::MAILA | rrtype::MAILB => Some(rcode::NOTIMP),
        // RFC 5936 section 4.2: AXFR by UDP is not defined.
        rrtype::AXFR if transport == Transport::Udp => Some(rcode::FORMERR),
        _ => None,
    }
}

fn size_limit(query: &Query<'_>, transport: Transport) -> usize {
    match transport {
        Transport::Udp => usize::from(query.udp_size().min(UDP_SIZE.max(512))),
        Transport::Tcp => usize::from(u16::MAX),
    }
}

/// A response that is a header and no more, to what has no question to repeat.
fn head_only(octets: &[u8], code: u16, out: &mut [u8]) -> Outcome {
    let (Some(head), Some(place)) = (octets.get(..4), out.get_mut(..12)) else { return Outcome::Silent };
    place.fill(0);
    for (to, from) in place.iter_mut().zip(head) {
        *to = *from;
    }
    if let [_, _, first, second, ..] = place {
        *first = (*first & 0x79) | 0x80;
        *second = u8::try_from(code).unwrap_or(0);
    }
    Outcome::Answer(12)
}

fn without_records(query: &Query<'_>, code: u16, error: Option<u16>, out: &mut [u8], limit: usize) -> Outcome {
    let opt = query.edns.map(|edns| Opt {
        size: UDP_SIZE,
        dnssec_ok: edns.dnssec_ok,
        compact_ok: false,
        rcode: code,
        error: error.map(|number| (number, "")),
    });
    let reserve = opt.as_ref().map_or(0, Opt::len);
    let Ok(mut writer) = Writer::answering(query, out, limit, reserve) else { return Outcome::Silent };
    writer.set_rcode(code);
    Outcome::Answer(writer.finish(opt.as_ref()))
}

/// A response to `octets` with no records, as a plugin asks for it.
pub fn refuse(octets: &[u8], code: u16, error: Option<u16>, out: &mut [u8]) -> Outcome {
    match Query::parse(octets) {
        Ok(query) => {
            let limit = out.len();
            without_records(&query, code, error, out, limit)
        }
        Err(Malformed::Silent) => Outcome::Silent,
        Err(Malformed::FormErr) => head_only(octets, rcode::FORMERR, out),
    }
}
