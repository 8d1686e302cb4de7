//! The query log on its way to Python: a bounded ring of entries that never makes a worker wait.
//!
//! Invariant: what does not fit is dropped and counted. Limits: entries of different workers may come out of order.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

use crate::counters::Transport;

/// One query that was answered, as the log says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The number of the server block.
    pub block: u32,
    /// When it was answered, in microseconds since 1970.
    pub unix_us: u64,
    /// Who asked.
    pub client: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// Wire name, case as it came.
    pub qname: Box<[u8]>,
    /// What was asked.
    pub qtype: u16,
    /// Of which class.
    pub qclass: u16,
    /// The query's id.
    pub id: u16,
    /// The second 16 bits of the response's header.
    pub flags: u16,
    /// The query's size.
    pub request_octets: u32,
    /// The response's size.
    pub response_octets: u32,
    /// The UDP size the query's OPT record says, 0 without one.
    pub edns_size: u16,
    /// Whether DNSSEC records were asked for.
    pub is_dnssec_ok: bool,
    /// How long it took, in microseconds.
    pub duration_us: u32,
}

/// The ring.
#[derive(Debug)]
pub struct Tap {
    capacity: usize,
    /// Made when the first entry comes: a server that logs nothing pays nothing.
    entries: OnceLock<ArrayQueue<LogEntry>>,
    dropped: AtomicU64,
}

impl Tap {
    /// A ring for `capacity` entries, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), entries: OnceLock::new(), dropped: AtomicU64::new(0) }
    }

    /// Puts an entry in, or drops it when the ring is full.
    pub fn push(&self, entry: LogEntry) {
        let entries = self.entries.get_or_init(|| ArrayQueue::new(self.capacity));
        if entries.push(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the oldest entries out, at most `limit`.
    #[must_use]
    pub fn drain(&self, limit: usize) -> Vec<LogEntry> {
        let Some(entries) = self.entries.get() else { return Vec::new() };
        std::iter::from_fn(|| entries.pop()).take(limit).collect()
    }

    /// How many entries were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u16) -> LogEntry {
        LogEntry {
            block: 0,
            unix_us: 0,
            client: SocketAddr::from(([127, 0, 0, 1], 53)),
            transport: Transport::Udp,
            qname: Box::new([0]),
            qtype: 1,
            qclass: 1,
            id,
            flags: 0,
            request_octets: 17,
            response_octets: 17,
            edns_size: 0,
            is_dnssec_ok: false,
            duration_us: 1,
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let tap = Tap::new(3);
        assert_eq!(tap.drain(10), []);
        (0..5).for_each(|id| tap.push(entry(id)));
        assert_eq!(tap.dropped(), 2);
        assert_eq!(tap.drain(2), [entry(0), entry(1)]);
        assert_eq!(tap.drain(2), [entry(2)]);
        tap.push(entry(9));
        assert_eq!(tap.drain(2), [entry(9)]);
    }
}
