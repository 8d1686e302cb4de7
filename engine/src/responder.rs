//! From a datagram to an answer: what is malformed, which block and zone a query belongs to, what Python has to see.
//!
//! Words: a *slot* is where a zone's published version stands, swapped alone; the *routes* are swapped whole; a query is
//! *declined* when Python answers it. Old versions and routes are freed by the reaper thread, never by a thread that
//! answers.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering as Memory};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use crossbeam_queue::ArrayQueue;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::answer::{Answer, Beside, NameBuffer, OBSOLETE, OBSOLETE_TTL, Written};
use crate::clock::Clock;
use crate::cookie::{Cookies, Standing};
pub use crate::counters::Transport;
use crate::effect::{Any, Effects};
use crate::limit::{Class, Verdict, class_of};
use crate::message::{
    CLASS_IN, Opt, Query, Section, Writer, ede, flag, name_at, opcode, opcode_of, option, rcode, rrtype,
};
use crate::name::{self, Name};
use crate::predicate::{Facts, Predicate};
use crate::reply::{Manner, head_only, to_malformed, whole};
use crate::signed::SignedVersion;
use crate::udp::Wake;

/// Not authoritative (RFC 8945 section 5.2 for keys we do not have).
const NOTAUTH: u16 = 9;

/// Where a zone's published version stands.
pub struct ZoneSlot {
    origin: Name,
    current: ArcSwapOption<SignedVersion>,
    /// What would be answered from if the zone had not expired; None when it has not.
    expired: Mutex<Option<Kept>>,
    /// `NEVER`, or when the zone expires here unless its primary is heard of, in Unix seconds.
    expires_at: AtomicI64,
}

/// What is published of a zone that has expired.
struct Kept(Option<Arc<SignedVersion>>);

const NEVER: i64 = i64::MAX;

impl ZoneSlot {
    /// An empty slot: its zone answers SERVFAIL.
    #[must_use]
    pub fn new(origin: Name) -> Self {
        Self { origin, current: ArcSwapOption::empty(), expired: Mutex::new(None), expires_at: AtomicI64::new(NEVER) }
    }

    /// The zone's name.
    #[must_use]
    pub fn origin(&self) -> &[u8] {
        &self.origin
    }

    /// When the zone expires here; None where it does not.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        Some(self.expires_at.load(Memory::Relaxed)).filter(|moment| *moment != NEVER)
    }

    /// Set when the zone expires here; None where it does not.
    pub fn set_expires_at(&self, moment: Option<i64>) {
        self.expires_at.store(moment.unwrap_or(NEVER), Memory::Relaxed);
    }

    /// What the EXPIRE option says (RFC 7314): of a zone that does not expire here the SOA's EXPIRE (section 3.1), of another
    /// one the seconds that are left (section 3.2). None without a version.
    #[must_use]
    pub fn seconds_to_expiry(&self, now: i64) -> Option<u32> {
        let published = self.current.load().as_ref().map(|signed| signed.version().expire())?;
        let left = |moment: i64| u32::try_from(moment.saturating_sub(now).max(0)).unwrap_or(u32::MAX);
        Some(self.expires_at().map_or(published, left))
    }

    /// What is published now.
    #[must_use]
    pub fn current(&self) -> Option<Arc<SignedVersion>> {
        self.current.load_full()
    }

    /// The same, held for a moment, which costs less.
    #[must_use]
    pub fn load(&self) -> Guard<Option<Arc<SignedVersion>>> {
        self.current.load()
    }

    /// Publish, or withdraw with None; the version before goes to the reaper.
    pub fn swap(&self, signed: Option<Arc<SignedVersion>>) {
        let mut expired = self.expired.lock().unwrap_or_else(PoisonError::into_inner);
        match expired.as_mut() {
            Some(kept) => kept.0 = signed,
            None => self.set(signed),
        }
    }

    /// Answer SERVFAIL from now on, whatever is published, until `revive`.
    pub fn expire(&self) {
        let mut expired = self.expired.lock().unwrap_or_else(PoisonError::into_inner);
        if expired.is_none() {
            *expired = Some(Kept(self.current()));
            self.set(None);
        }
    }

    /// Answer again from what is published.
    pub fn revive(&self) {
        let mut expired = self.expired.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = expired.take() {
            self.set(kept.0);
        }
    }

    /// Why nothing is answered (RFC 8914 sections 4.15 and 4.25).
    fn reason(&self) -> u16 {
        let expired = self.expired.lock().unwrap_or_else(PoisonError::into_inner);
        if expired.is_some() { ede::INVALID_DATA } else { ede::NOT_READY }
    }

    fn set(&self, signed: Option<Arc<SignedVersion>>) {
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
    /// A value of a name that has one already is shown to `merge` with it.
    fn insert(&mut self, origin: &[u8], value: T, merge: impl FnOnce(&mut T, T)) {
        let Some(lower) = Name::from_wire(&name::lower(origin)) else { return };
        self.deepest = self.deepest.max(name::label_count(&lower));
        let key = hash(&lower);
        match self.table.find_mut(key, |(known, _)| *known == lower) {
            Some((_, known)) => merge(known, value),
            None => drop(self.table.insert_unique(key, (lower, value), |(known, _)| hash(known))),
        }
    }

    /// What `choose` takes of the longest suffix whose value it takes something of.
    fn longest<'t, U>(&'t self, lower: &[u8], choose: impl Fn(&'t T) -> Option<U>) -> Option<U> {
        let mut rest = Some(name::last_labels(lower, self.deepest));
        while let Some(suffix) = rest {
            let found = self.table.find(hash(suffix), |(known, _)| **known == *suffix);
            if let Some(chosen) = found.and_then(|(_, value)| choose(value)) {
                return Some(chosen);
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
    /// Python sees them ahead of its zones, and so has to see whatever is answered from these.
    pub guarded: bool,
    /// What its plugins do to its answers.
    pub effects: Arc<Effects>,
    /// Which queries it takes; all without.
    view: Option<Arc<Predicate>>,
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
    /// Python sees them ahead of its zones.
    pub guarded: bool,
    /// What its plugins do to its answers.
    pub effects: Arc<Effects>,
    /// Which queries it takes; all without.
    pub view: Option<Arc<Predicate>>,
    /// What its queries are counted under, also after the blocks were put into another order.
    pub counted_as: Box<str>,
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
    listeners: Vec<Listener>,
    /// Of listeners that are not known.
    nowhere: Front,
}

/// A query, and how it came.
type Came<'a> = (&'a Query<'a>, &'a Arrival);

/// A route, and the zone of its block that holds the name.
type Found<'a> = (&'a Arc<Route>, Option<&'a Arc<ZoneSlot>>);

/// What one listener answers.
#[derive(Default)]
struct Listener {
    table: SuffixTable<Candidates>,
    front: Front,
    /// Where it listens, if it has sockets.
    bound: Option<SocketAddr>,
}

/// The routes of one key, in the order of the file; only blocks with a view leave queries for others.
struct Candidates {
    first: Arc<Route>,
    others: Vec<Arc<Route>>,
}

impl Candidates {
    fn add(&mut self, later: Self) {
        self.others.push(later.first);
    }

    /// The first one that takes the query.
    fn chosen(&self, holds: impl Fn(&Predicate) -> bool) -> Option<&Arc<Route>> {
        let takes = |route: &Route| route.block.view.as_ref().is_none_or(|view| holds(view));
        if takes(&self.first) { Some(&self.first) } else { self.others.iter().find(|route| takes(route)) }
    }
}

/// What a listener says of itself, whatever is asked.
#[derive(Default)]
struct Front {
    /// The first block, in whose manner is answered what belongs to none.
    block: Option<Arc<Block>>,
    /// A client keeps one cookie for a server's address: the first block that says something of cookies says it for all.
    cookies: Option<Arc<Cookies>>,
}

impl Listener {
    fn add(&mut self, block: &Arc<Block>) {
        if self.front.block.is_none() {
            self.front.block = Some(Arc::clone(block));
        }
        if self.front.cookies.is_none() {
            self.front.cookies.clone_from(&block.effects.cookies);
        }
    }
}

impl Routes {
    /// A table of blocks, tried in this order where keys are the same on a listener. `number` gives each route its number
    /// from what its block is counted as and its key, `bound` the address of a listener.
    #[must_use]
    pub fn new(
        blocks: Vec<BlockParts>,
        mut number: impl FnMut(&str, &Name) -> u32,
        bound: impl Fn(u32) -> Option<SocketAddr>,
    ) -> Self {
        let mut routes = Self::default();
        for parts in blocks {
            let mut zones = SuffixTable::default();
            for (origin, slot) in parts.zones {
                // The first one stays.
                zones.insert(&origin, slot, |_, _| ());
            }
            let BlockParts { number: index, chained, guarded, effects, view, .. } = parts;
            let block = Arc::new(Block { number: index, chained, guarded, effects, view, zones });
            parts.listeners.iter().for_each(|listener| routes.listener(*listener).add(&block));
            for origin in parts.origins {
                let number = number(&parts.counted_as, &origin);
                let route = Arc::new(Route { number, origin: origin.clone(), block: Arc::clone(&block) });
                for listener in &parts.listeners {
                    let candidates = Candidates { first: Arc::clone(&route), others: Vec::new() };
                    routes.listener(*listener).table.insert(&origin, candidates, Candidates::add);
                }
            }
        }
        for (listener, number) in routes.listeners.iter_mut().zip(0..) {
            listener.bound = bound(number);
        }
        routes
    }

    fn listener(&mut self, listener: u32) -> &mut Listener {
        let index = listener as usize;
        if self.listeners.len() <= index {
            self.listeners.resize_with(index + 1, Listener::default);
        }
        // The resize made it; a fallback table would never be read.
        self.listeners.get_mut(index).unwrap_or_else(|| unreachable!("the table was just made"))
    }

    fn front(&self, listener: u32) -> &Front {
        self.listeners.get(listener as usize).map_or(&self.nowhere, |listener| &listener.front)
    }

    /// The route of a name in lower case, which a query asks for or leads to, and the zone of its block that holds it.
    fn find(&self, (query, arrival): Came<'_>, lower: &[u8], qtype: u16) -> Option<Found<'_>> {
        let listener = self.listeners.get(arrival.listener as usize)?;
        let holds = |view: &Predicate| {
            let server = listener.bound.map(|bound| SocketAddr::new(arrival.local.unwrap_or(bound.ip()), bound.port()));
            view.holds(&Facts { query, lower, qtype, client: arrival.client, server, transport: arrival.transport })
        };
        let zone_of = |lower: &[u8]| {
            let route = listener.table.longest(lower, |candidates| candidates.chosen(holds))?;
            Some((route, route.block.zones.longest(lower, Some)))
        };
        // A DS question goes to the zone above the name's own (RFC 4035 section 3.1.4.1), or to the chain that may know one;
        // to that of the root only as the last resort, as in CoreDNS.
        let is_parent =
            |(route, slot): &Found<'_>| slot.is_some() || route.block.chained && *route.origin != *name::ROOT;
        if qtype == rrtype::DS
            && let Some(found) = name::parent(lower).and_then(zone_of).filter(is_parent)
        {
            return Some(found);
        }
        zone_of(lower)
    }
}

/// What a listener serves, as an answer of one block may go on there.
struct Neighbours<'a> {
    routes: &'a Routes,
    came: Came<'a>,
    /// The block that answers; None if it is not known.
    block: Option<&'a Arc<Block>>,
}

impl Beside for Neighbours<'_> {
    /// In the same block unless Python has to see what is answered there; in another one only if that is direct, and limits
    /// nothing that this one does not.
    fn slot_of(&self, lower: &[u8], qtype: u16) -> Option<&ZoneSlot> {
        let from = self.block?;
        let (route, slot) = self.routes.find(self.came, lower, qtype)?;
        let to = &route.block;
        let is_open = if Arc::ptr_eq(from, to) { !to.guarded } else { !to.chained && from.effects.cover(&to.effects) };
        slot.filter(|_| is_open).map(|slot| &**slot)
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
    /// How long its stream may be idle from now on, in tenths of a second.
    pub idle: u16,
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
    /// The whole response code.
    pub rcode: u16,
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
    /// When its batch came, where it came in one.
    pub batch: Option<Instant>,
    /// How long its stream may be idle from now on, in tenths of a second.
    pub idle: u16,
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
    /// Answered BADCOOKIE or TC for want of a cookie.
    pub cookies_wanted: AtomicU64,
}

/// Routes queries and answers them.
pub struct Responder {
    routes: ArcSwap<Routes>,
    known: Mutex<HashMap<(Box<str>, Name), u32>>,
    /// Queries for Python.
    queue: ArrayQueue<Declined>,
    /// Those of them that no chain alone answers; what chains are slow with keeps none of these out.
    apart: ArrayQueue<Declined>,
    wake: Wake,
    clock: Arc<Clock>,
    /// Of what belongs to no block.
    plain: Arc<Effects>,
    /// Where no block says anything of cookies: answered, with a secret of this process.
    cookies: Arc<Cookies>,
    /// Counts.
    pub totals: Totals,
}

fn number_of(known: &mut HashMap<(Box<str>, Name), u32>, counted_as: &str, origin: &Name) -> u32 {
    let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
    *known.entry((counted_as.into(), origin.clone())).or_insert(next)
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Memory::Relaxed);
}

impl Responder {
    /// A responder without routes; `queue` queries may wait for Python.
    ///
    /// # Errors
    /// No eventfd could be had, or nothing random.
    pub fn new(clock: Arc<Clock>, queue: usize) -> std::io::Result<Self> {
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret).map_err(std::io::Error::other)?;
        Ok(Self {
            routes: ArcSwap::from_pointee(Routes::default()),
            known: Mutex::default(),
            queue: ArrayQueue::new(queue.max(1)),
            apart: ArrayQueue::new(queue.max(1)),
            wake: Wake::new()?,
            clock,
            plain: Arc::default(),
            cookies: Arc::new(Cookies { secrets: vec![secret], required: false }),
            totals: Totals::default(),
        })
    }

    /// Swap the whole route table; `bound` gives the addresses of listeners.
    pub fn route(&self, blocks: Vec<BlockParts>, bound: impl Fn(u32) -> Option<SocketAddr>) {
        let routes = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Routes::new(blocks, |counted_as, origin| number_of(&mut known, counted_as, origin), bound)
        };
        let old = self.routes.swap(Arc::new(routes));
        reap(Box::new(old));
    }

    /// What every route there ever was is counted as, and its key, by the route's number.
    #[must_use]
    pub fn known_routes(&self) -> HashMap<u32, (Box<str>, Name)> {
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
        let next = || self.apart.pop().or_else(|| self.queue.pop());
        next().or_else(|| {
            self.wake.clear();
            // One that came between the two is not lost.
            next()
        })
    }

    /// Put a query where Python finds it; false when the queue is full.
    pub fn decline(&self, declined: Declined) -> bool {
        add(&self.totals.declined);
        let queue = if goes_apart(&declined.octets) { &self.apart } else { &self.queue };
        let queued = queue.push(declined).is_ok();
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
        match Query::parse_any(octets) {
            Ok(query) => self.answer(&query, arrival, out, observe),
            Err(reason) => {
                add(&self.totals.malformed);
                to_malformed(octets, reason, out)
            }
        }
    }

    fn answer(
        &self,
        query: &Query<'_>,
        arrival: &Arrival,
        out: &mut [u8],
        observe: impl FnOnce(&Observed<'_>),
    ) -> Outcome {
        let routes = self.routes.load();
        let lower = NameBuffer::lower(query.qname);
        let found = routes.find((query, arrival), lower.wire(), query.qtype);
        let front = routes.front(arrival.listener);
        let block = found.map(|(route, _)| &route.block).or(front.block.as_ref());
        let effects = block.map_or(&self.plain, |block| &block.effects);
        let cookies = front.cookies.as_ref().unwrap_or(&self.cookies);
        let mut manner = Manner::new(query, arrival.transport, effects, arrival.idle);
        if manner.take_cookie(query, cookies, arrival.client.ip(), || self.clock.now()).is_err() {
            add(&self.totals.malformed);
            return manner.refuse(query, rcode::FORMERR, None, out);
        }
        let answered = match self.by_cookie(query, arrival, cookies, &manner, out) {
            Some(answered) => answered,
            None => match self.by_question(query, arrival, &routes, found, &manner, out) {
                Ok(answered) => answered,
                Err(block) => return Outcome::Declined(block),
            },
        };
        let zone = found.map_or(name::ROOT, |(route, slot)| slot.map_or(&*route.origin, |slot| &*slot.origin));
        let asked = Asked { query, arrival, lower: &lower, effects, manner: &manner };
        let outcome = self.limited(&asked, &answered, zone, out);
        if let (Outcome::Answer(length), Some((route, _))) = (&outcome, found) {
            let response = out.get(..*length).unwrap_or(&[]);
            observe(&Observed { query, route, response, rcode: answered.rcode });
        }
        outcome
    }

    /// The answer to the question, or the number of the block whose chain answers.
    fn by_question(
        &self,
        query: &Query<'_>,
        arrival: &Arrival,
        routes: &Routes,
        found: Option<Found<'_>>,
        manner: &Manner<'_>,
        out: &mut [u8],
    ) -> Result<Answered, i64> {
        let transport = arrival.transport;
        if let Some((code, error)) = refused_by_form(query, transport) {
            return Ok(Answered::plain(manner.refuse(query, code, error, out), code));
        }
        if query.has_tsig || query.opcode() != opcode::QUERY {
            // Whoever signs it, tells of a change or changes a zone is Python's to judge, whichever block it is.
            return found.map_or_else(
                || Ok(Answered::plain(manner.refuse(query, rcode::REFUSED, None, out), rcode::REFUSED)),
                |(route, _)| Err(route.block.number),
            );
        }
        let is_transfer = matches!(query.qtype, rrtype::AXFR | rrtype::IXFR);
        match found {
            Some((route, _)) if is_transfer => Err(route.block.number),
            Some((route, None)) if query.qtype == rrtype::ANY && route.block.effects.any == Any::Hinfo => {
                Ok(made_up(query, manner, out))
            }
            Some((route, _)) if route.block.chained => Err(route.block.number),
            Some((route, Some(slot))) => {
                let beside = Neighbours { routes, came: (query, arrival), block: Some(&route.block) };
                Ok(self.answer_slot(slot, query, &route.block.effects, &beside, manner, out))
            }
            Some((_, None)) | None => {
                add(&self.totals.refused);
                let refused = manner.refuse(query, rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE), out);
                Ok(Answered::plain(refused, rcode::REFUSED))
            }
        }
    }

    /// What is answered for its cookie, or the want of it, alone.
    fn by_cookie(
        &self,
        query: &Query<'_>,
        arrival: &Arrival,
        cookies: &Cookies,
        manner: &Manner<'_>,
        out: &mut [u8],
    ) -> Option<Answered> {
        let mut refuse = |code| Some(Answered::plain(manner.refuse(query, code, None, out), code));
        let is_new = query.edns.is_some_and(|edns| edns.option(option::COOKIE).is_some_and(|data| data.len() == 8));
        if !query.has_question {
            // RFC 7873 section 5.4: a cookie is asked for, or whether one is still good.
            return refuse(match manner.standing {
                _ if query.edns.is_some_and(|edns| edns.version > 0) => rcode::BADVERS,
                Standing::Unknown if !is_new => rcode::BADCOOKIE,
                Standing::None => rcode::FORMERR,
                _ => rcode::NOERROR,
            });
        }
        // Neither a primary that tells of a change nor who signs is a resolver that asks again.
        let is_query = query.opcode() == opcode::QUERY && !query.has_tsig;
        let is_free = arrival.transport == Transport::Tcp || manner.standing == Standing::Good || !is_query;
        if !cookies.required || is_free {
            return None;
        }
        add(&self.totals.cookies_wanted);
        // RFC 7873 section 5.2.3; who knows no cookies is sent to TCP (section 5.2.1).
        match manner.standing {
            Standing::Unknown => refuse(rcode::BADCOOKIE),
            _ => Some(Answered::plain(manner.truncated(query, out), rcode::NOERROR)),
        }
    }

    /// The outcome, as the rate of such responses leaves it.
    fn limited(&self, asked: &Asked<'_>, answered: &Answered, zone: &[u8], out: &mut [u8]) -> Outcome {
        let Outcome::Answer(length) = answered.outcome else { return Outcome::Silent };
        let sent = Outcome::Answer(length);
        let Some(limiter) = asked.effects.limiter.as_ref() else { return sent };
        // Who comes by TCP, or brings a good cookie, does not forge addresses.
        if asked.arrival.transport == Transport::Tcp || asked.manner.standing == Standing::Good {
            return sent;
        }
        let class = class_of(out.get(..length).unwrap_or(&[]));
        let now = self.clock.now_of(asked.arrival.batch);
        let charge = |name: &[u8], qtype| limiter.charge(asked.arrival.client.ip(), class, name, qtype, now);
        // All names a wildcard stands for are one account, which a node's number names as well as a name does.
        let node = answered.wildcard.map(usize::to_be_bytes);
        let source = node.as_ref().map_or(asked.lower.wire(), |octets| octets);
        let verdict = match class {
            Class::Answer => charge(source, asked.query.qtype),
            Class::NoData => charge(source, 0),
            Class::Referral => charge(cut_of(out, asked.query.question_end).wire(), 0),
            Class::NameError => charge(zone, 0),
            Class::Error | Class::All => charge(&[], 0),
        };
        match verdict {
            Verdict::Send => sent,
            Verdict::Slip => asked.manner.truncated(asked.query, out),
            Verdict::Drop => Outcome::Silent,
        }
    }

    /// Answer from one zone, with the effects of the block that asks. Where the query itself would have come to this zone by
    /// a listener, the answer goes on in the zones beside it as a direct one does.
    pub fn answer_from(
        &self,
        slot: &ZoneSlot,
        octets: &[u8],
        arrival: &Arrival,
        effects: &Effects,
        out: &mut [u8],
    ) -> Outcome {
        let query = match Query::parse(octets) {
            Ok(query) => query,
            Err(reason) => return to_malformed(octets, reason, out),
        };
        let mut manner = Manner::new(&query, arrival.transport, effects, arrival.idle);
        if !name::is_at_or_below(query.qname, &slot.origin) {
            return manner.refuse(&query, rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE), out);
        }
        // Room for the cookie that `dress` will add.
        let has_cookie = query.edns.is_some_and(|edns| edns.option(option::COOKIE).is_some());
        manner.limit -= if has_cookie { 4 + crate::cookie::WHOLE } else { 0 };
        let (routes, lower) = (self.routes.load(), NameBuffer::lower(query.qname));
        let found = routes.find((&query, arrival), lower.wire(), query.qtype);
        let is_here = |other: Option<&Arc<ZoneSlot>>| other.is_some_and(|other| std::ptr::eq(&raw const **other, slot));
        let block = found.filter(|(_, other)| is_here(*other)).map(|(route, _)| &route.block);
        let beside = Neighbours { routes: &routes, came: (&query, arrival), block };
        self.answer_slot(slot, &query, effects, &beside, &manner, out).outcome
    }

    fn answer_slot(
        &self,
        slot: &ZoneSlot,
        query: &Query<'_>,
        effects: &Effects,
        beside: &dyn Beside,
        manner: &Manner<'_>,
        out: &mut [u8],
    ) -> Answered {
        let current = slot.current.load();
        let Some(signed) = current.as_ref() else {
            return Answered::plain(manner.refuse(query, rcode::SERVFAIL, Some(slot.reason()), out), rcode::SERVFAIL);
        };
        let mut manner = *manner;
        if let Some(opt) = &mut manner.opt
            && asks_for_expire(query, slot)
        {
            opt.expire = slot.seconds_to_expiry(self.clock.now());
        }
        let Some(mut writer) = manner.writer(query, out) else { return Answered::plain(Outcome::Silent, 0) };
        let written = if query.qtype == rrtype::IXFR {
            // Over UDP one SOA says that the client is to come by TCP (RFC 1995 section 2).
            let rcode = soa_alone(signed, query, &mut writer);
            Written { rcode, wildcard: None, is_compact: signed.is_compact() }
        } else {
            Answer::of(signed, query, effects, beside, &mut writer)
        };
        let (rcode, wildcard) = (written.rcode, written.wildcard);
        writer.set_rcode(rcode);
        let compact_ok = written.is_compact && query.edns.is_some_and(|edns| edns.compact_ok);
        let opt = manner.opt.map(|opt| Opt { compact_ok, rcode, ..opt });
        Answered { outcome: Outcome::Answer(writer.finish(opt.as_ref())), rcode, wildcard }
    }

    /// What a chain answered, as it is sent: with the OPT, cookie and size that direct answers have, and limited as they
    /// are, and room for so many octets more. Silent: it is held back.
    pub fn dress(&self, query: &[u8], response: &[u8], arrival: &Arrival, room: usize, out: &mut [u8]) -> Outcome {
        let Ok(query) = Query::parse(query) else { return whole(response, out) };
        let routes = self.routes.load();
        let lower = NameBuffer::lower(query.qname);
        let found = routes.find((&query, arrival), lower.wire(), query.qtype);
        let front = routes.front(arrival.listener);
        let block = found.map(|(route, _)| &route.block).or(front.block.as_ref());
        let effects = block.map_or(&self.plain, |block| &block.effects);
        let mut manner = Manner::new(&query, arrival.transport, effects, arrival.idle);
        let cookies = front.cookies.as_ref().unwrap_or(&self.cookies);
        if manner.take_cookie(&query, cookies, arrival.client.ip(), || self.clock.now()).is_err() {
            return manner.refuse(&query, rcode::FORMERR, None, out);
        }
        manner.limit = manner.limit.saturating_sub(room);
        let outcome = manner.dress(&query, response, effects.minimal, out);
        let zone = found.map_or(name::ROOT, |(route, slot)| slot.map_or(&*route.origin, |slot| &*slot.origin));
        let asked = Asked { query: &query, arrival, lower: &lower, effects, manner: &manner };
        self.limited(&asked, &Answered::plain(outcome, 0), zone, out)
    }
}

/// A query with all that is known of it before it is answered.
struct Asked<'a> {
    query: &'a Query<'a>,
    arrival: &'a Arrival,
    lower: &'a NameBuffer,
    effects: &'a Effects,
    manner: &'a Manner<'a>,
}

/// The owner of the first record of a referral, in lower case.
fn cut_of(response: &[u8], question_end: usize) -> NameBuffer {
    let owner = name_at(response, question_end).unwrap_or_else(|| NameBuffer::of(name::ROOT));
    NameBuffer::lower(owner.wire())
}

/// RFC 8482 section 4.2: a HINFO record that says why there is nothing else, as CoreDNS writes it.
fn made_up(query: &Query<'_>, manner: &Manner<'_>, out: &mut [u8]) -> Answered {
    let Some(mut writer) = manner.writer(query, out) else { return Answered::plain(Outcome::Silent, 0) };
    writer.set_flags(flag::AA);
    if writer.record(Section::Answer, query.qname, rrtype::HINFO, OBSOLETE_TTL, OBSOLETE).is_err() {
        writer.set_flags(flag::TC);
    }
    Answered::plain(Outcome::Answer(writer.finish(manner.opt.as_ref())), rcode::NOERROR)
}

/// An answer, with what it takes to count it.
struct Answered {
    outcome: Outcome,
    /// Extended bits included.
    rcode: u16,
    /// The node of the wildcard it is made of.
    wildcard: Option<usize>,
}

impl Answered {
    fn plain(outcome: Outcome, rcode: u16) -> Self {
        Self { outcome, rcode, wildcard: None }
    }
}

/// RFC 7314 section 2: the option is looked at in queries about a zone's SOA and its transfers.
fn asks_for_expire(query: &Query<'_>, slot: &ZoneSlot) -> bool {
    matches!(query.qtype, rrtype::SOA | rrtype::IXFR)
        && query.edns.is_some_and(|edns| !edns.options.is_empty() && edns.option(option::EXPIRE).is_some())
        && name::equal(query.qname, &slot.origin)
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

/// Opcodes but QUERY, NOTIFY and UPDATE are not implemented, whatever else the message holds (RFC 1035 section 4.1.1).
fn opcode_refused(octets: &[u8]) -> Option<u16> {
    let flags = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
    let is_query = octets.len() >= crate::message::HEADER && flags & flag::QR == 0;
    let is_known = matches!(opcode_of(flags), opcode::QUERY | opcode::NOTIFY | opcode::UPDATE);
    (is_query && !is_known).then_some(rcode::NOTIMP)
}

/// Whether a query for Python waits in the queue apart: one that is signed, of another opcode, or an IXFR.
fn goes_apart(octets: &[u8]) -> bool {
    let is_apart = |query: Query<'_>| query.has_tsig || query.opcode() != opcode::QUERY || query.qtype == rrtype::IXFR;
    Query::parse(octets).is_ok_and(is_apart)
}

/// What is answered with a response code alone, whichever zone it is about.
fn refused_by_form(query: &Query<'_>, transport: Transport) -> Option<(u16, Option<u16>)> {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some((rcode::BADVERS, None));
    }
    if query.qclass != CLASS_IN {
        return Some((rcode::REFUSED, Some(ede::NOT_SUPPORTED)));
    }
    match query.qtype {
        // RFC 9824 section 3.5: never asked for.
        rrtype::NXNAME => Some((rcode::FORMERR, Some(ede::INVALID_QUERY_TYPE))),
        // Pseudo-types never stand in a question (RFC 6891 section 6.1.1, RFC 8945 section 5.1, RFC 2930 section 2).
        0 | rrtype::OPT | 249 | rrtype::TSIG => Some((rcode::FORMERR, None)),
        rrtype::MAILA | rrtype::MAILB => Some((rcode::NOTIMP, Some(ede::NOT_SUPPORTED))),
        // RFC 5936 section 4.2: AXFR by UDP is not defined.
        rrtype::AXFR if transport == Transport::Udp => Some((rcode::FORMERR, None)),
        _ => None,
    }
}

/// A response to `octets` with no records, as a plugin asks for it.
pub fn refuse(octets: &[u8], code: u16, error: Option<u16>, out: &mut [u8]) -> Outcome {
    match Query::parse(octets) {
        Ok(query) => Manner::new(&query, Transport::Tcp, &Effects::default(), 0).refuse(&query, code, error, out),
        Err(reason) => to_malformed(octets, reason, out),
    }
}
