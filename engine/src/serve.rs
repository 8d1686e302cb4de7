//! The service: sockets, responder, counters and log ring put together.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::counters::{Counters, Family, Observation, Row};
use crate::name::Name;
use crate::responder::{Arrival, BlockParts, Declined, Observed, Outcome, Responder, Transport};
use crate::tap::{LogEntry, Tap};
use crate::udp::{Answerer, Datagram, Sockets};

/// The largest message.
const LARGEST: usize = 65535;

/// How many log lines may wait for Python.
const LOG_LINES: usize = 65536;

/// One count, with the route spelt out.
pub struct CounterRow {
    /// What the block is counted as.
    pub counted_as: Box<str>,
    /// The block's key the query was routed by.
    pub origin: Name,
    /// What is counted.
    pub row: Row,
}

/// All that answers.
pub struct Service {
    /// The sockets and their threads.
    pub sockets: Sockets,
    /// Routes and answers.
    pub responder: Responder,
    /// The one clock.
    pub clock: Arc<Clock>,
    counters: Counters,
    tap: Tap,
}

impl Service {
    /// A service without sockets and routes.
    ///
    /// # Errors
    /// The system gives no eventfd.
    pub fn new(clock: Arc<Clock>, queue: usize) -> io::Result<Self> {
        quieten_panics();
        Ok(Self {
            sockets: Sockets::new(),
            responder: Responder::new(Arc::clone(&clock), queue)?,
            clock,
            counters: Counters::new(),
            tap: Tap::new(LOG_LINES),
        })
    }

    /// Start the threads of sockets that have none yet.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn start(this: &Arc<Self>) -> io::Result<()> {
        let answerer: Arc<dyn Answerer> = Arc::clone(this) as Arc<dyn Answerer>;
        this.sockets.start(&answerer)
    }

    /// Swap the whole route table.
    pub fn route(&self, blocks: Vec<BlockParts>) {
        self.responder.route(blocks, |listener| self.sockets.address(listener));
    }

    /// Answer a message that came by a stream.
    #[must_use]
    pub fn respond(&self, query: &[u8], arrival: &Arrival) -> (Outcome, Vec<u8>) {
        let mut out = vec![0; LARGEST];
        let received = Instant::now();
        let outcome = self.responder.respond(query, arrival, &mut out, |seen| self.observe(arrival, received, seen));
        (outcome, out)
    }

    /// Count an answered query and enter it in the log if its block has one.
    fn observe(&self, arrival: &Arrival, received: Instant, seen: &Observed<'_>) {
        let flags = seen.response.get(2..4).and_then(|pair| pair.try_into().ok()).map_or(0, u16::from_be_bytes);
        let log = seen.route.block.effects.log;
        // Reading the clock costs as much as a lookup: it is read where somebody looks at the duration.
        let duration = log.then(|| received.elapsed());
        self.counters.observe(
            arrival.worker,
            &Observation {
                route: seen.route.number,
                transport: arrival.transport,
                family: Family::of(&arrival.client),
                qtype: seen.query.qtype,
                rcode: seen.rcode,
                is_dnssec_ok: seen.query.dnssec_ok(),
                request_octets: seen.query.octets.len(),
                response_octets: seen.response.len(),
                duration,
            },
        );
        if log {
            self.tap.push(log_entry(arrival, seen, flags, duration.unwrap_or_default()));
        }
    }

    /// Drain the query log.
    #[must_use]
    pub fn log_entries(&self, limit: usize) -> Vec<LogEntry> {
        self.tap.drain(limit)
    }

    /// Log lines lost because the ring was full.
    #[must_use]
    pub fn log_dropped(&self) -> u64 {
        self.tap.dropped()
    }

    /// Counts by block.
    #[must_use]
    pub fn counters(&self) -> Vec<CounterRow> {
        let routes = self.responder.known_routes();
        let named = |row: Row| {
            let (counted_as, origin) = routes.get(&row.route)?;
            Some(CounterRow { counted_as: counted_as.clone(), origin: origin.clone(), row })
        };
        self.counters.rows().into_iter().filter_map(named).collect()
    }

    /// Counts of the whole process.
    #[must_use]
    pub fn totals(&self) -> HashMap<&'static str, u64> {
        let (own, sockets) = (&self.responder.totals, self.sockets.totals());
        HashMap::from([
            ("datagrams", sockets.received),
            ("batches", sockets.batches),
            ("send_errors", sockets.send_errors),
            ("receive_errors", sockets.receive_errors),
            ("panics", sockets.panics),
            ("queries", sockets.received + own.streamed.load(Ordering::Relaxed)),
            ("malformed", own.malformed.load(Ordering::Relaxed)),
            ("refused", own.refused.load(Ordering::Relaxed)),
            ("cookies_wanted", own.cookies_wanted.load(Ordering::Relaxed)),
            ("declined", own.declined.load(Ordering::Relaxed)),
            ("declined_dropped", own.declined_dropped.load(Ordering::Relaxed)),
        ])
    }
}

impl Answerer for Service {
    fn on_datagram(&self, datagram: &Datagram<'_>, out: &mut [u8]) -> usize {
        let arrival = Arrival {
            worker: datagram.worker,
            listener: datagram.listener,
            client: datagram.client,
            local: datagram.local,
            transport: Transport::Udp,
            batch: Some(datagram.received),
            idle: 0,
        };
        let observe = |seen: &Observed<'_>| self.observe(&arrival, datagram.received, seen);
        match self.responder.respond(datagram.octets, &arrival, out, observe) {
            Outcome::Answer(length) => length,
            Outcome::Silent => 0,
            Outcome::Declined(block) => {
                self.responder.decline(Declined {
                    block,
                    octets: datagram.octets.into(),
                    listener: datagram.listener,
                    local: datagram.local,
                    client: datagram.client,
                    transport: Transport::Udp,
                    idle: 0,
                });
                0
            }
        }
    }
}

fn log_entry(arrival: &Arrival, seen: &Observed<'_>, flags: u16, duration: Duration) -> LogEntry {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    LogEntry {
        block: u32::try_from(seen.route.block.number).unwrap_or(u32::MAX),
        unix_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        client: arrival.client,
        transport: arrival.transport,
        qname: seen.query.qname.into(),
        qtype: seen.query.qtype,
        qclass: seen.query.qclass,
        id: seen.query.id,
        flags,
        request_octets: u32::try_from(seen.query.octets.len()).unwrap_or(u32::MAX),
        response_octets: u32::try_from(seen.response.len()).unwrap_or(u32::MAX),
        edns_size: seen.query.edns.map_or(0, |edns| edns.size),
        is_dnssec_ok: seen.query.dnssec_ok(),
        duration_us: u32::try_from(duration.as_micros()).unwrap_or(u32::MAX),
    }
}

/// Panics are caught and counted where datagrams are answered; only the first few are also printed, so that nobody can
/// fill the log with them.
fn quieten_panics() {
    static ONCE: Once = Once::new();
    static PRINTED: AtomicU64 = AtomicU64::new(0);
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if PRINTED.fetch_add(1, Ordering::Relaxed) < 10 {
                print(panic);
            }
        }));
    });
}
