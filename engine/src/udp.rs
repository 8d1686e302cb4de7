//! UDP listeners, the worker threads that serve them, and what is sent from them: all sockets of the crate.
//!
//! Words: a *listener* is one address and port; it has one socket a thread (`SO_REUSEPORT`). A *worker* is a thread
//! that serves one socket of each listener that asked for so many threads. A *batch* is what one `recvmmsg` gave.
//! Invariants: an answer leaves from the address that was asked. Neither a datagram, nor an error of a socket, nor a
//! panic of the answerer ends a worker. A worker never waits for another thread while it serves.
//! Limits: a listener that is added to a worker which serves exactly one so far is looked at within a quarter second.

mod privileges;
mod system;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use privileges::drop_capabilities;
use system::{Batch, Epoll, Socket};
pub use system::{LARGEST, Wake};

/// No more sockets than this for one listener.
pub const MAX_THREADS: usize = 256;

/// The token of a worker's own eventfd among its listeners' numbers.
const WAKE_TOKEN: u64 = u64::MAX;
/// How long `close` and `stop` wait for a worker before they go on without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a worker rests after a receive that failed for no passing reason.
const REST: Duration = Duration::from_millis(5);

/// One datagram, as the answerer gets it.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The number of the worker, from 0; each runs one answerer call at a time.
    pub worker: usize,
    /// The number `bind` gave.
    pub listener: u32,
    /// What came.
    pub octets: &'a [u8],
    /// Where from.
    pub client: SocketAddr,
    /// The address that was asked, where the listener is a wildcard.
    pub local: Option<IpAddr>,
    /// When the batch was taken from the socket: one reading of the clock a batch.
    pub received: Instant,
}

/// What turns datagrams into answers.
pub trait Answerer: Send + Sync + 'static {
    /// Writes the answer into `out` and returns its length; 0 sends nothing.
    fn on_datagram(&self, datagram: &Datagram<'_>, out: &mut [u8]) -> usize;
}

/// What happened to datagrams on their way, since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams that came.
    pub received: u64,
    /// Answers the system took.
    pub sent: u64,
    /// Batches the datagrams came in.
    pub batches: u64,
    /// Answers the system refused (`EMSGSIZE`, `ENOBUFS`, unreachable …).
    pub send_errors: u64,
    /// Receives that failed.
    pub receive_errors: u64,
    /// Panics of the answerer that were caught.
    pub panics: u64,
}

#[derive(Default)]
struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
    batches: AtomicU64,
    send_errors: AtomicU64,
    receive_errors: AtomicU64,
    panics: AtomicU64,
}

fn count(counter: &AtomicU64, by: u64) {
    if by != 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// The listeners and their workers. All methods may be called from any thread but a worker's own.
#[derive(Default)]
pub struct Sockets {
    listeners: RwLock<HashMap<u32, Listener>>,
    workers: Mutex<Workers>,
    counts: Arc<Counts>,
}

struct Listener {
    address: SocketAddr,
    sockets: Vec<Arc<Socket>>,
    is_started: bool,
}

#[derive(Default)]
struct Workers {
    running: Vec<Worker>,
    last_listener: u32,
    is_stopped: bool,
}

struct Worker {
    mailbox: Arc<Mailbox>,
    thread: JoinHandle<()>,
}

impl Sockets {
    /// No listeners, no threads.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds `threads` sockets to one address and gives the listener's number and the address with its port; port 0
    /// takes a free one. Nothing is read from them before `start`. Without threads there are no sockets, for a listener whose
    /// queries come by streams alone.
    ///
    /// # Errors
    /// Those of the system, `EADDRINUSE` also when the other server would share the port (`SO_REUSEPORT`).
    pub fn bind(&self, address: SocketAddr, threads: usize) -> io::Result<(u32, SocketAddr)> {
        let mut workers = self.workers();
        if workers.is_stopped {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the sockets are stopped"));
        }
        let mut sockets = Vec::new();
        let mut address = address;
        if threads > 0 {
            let first = self.bind_first(address)?;
            address = first.local_address()?;
            sockets.push(Arc::new(first));
        }
        for _ in 1..threads.min(MAX_THREADS) {
            sockets.push(Arc::new(Socket::bind_shared(address)?));
        }
        workers.last_listener += 1;
        let number = workers.last_listener - 1;
        self.write_listeners().insert(number, Listener { address, sockets, is_started: false });
        Ok((number, address))
    }

    /// The first socket of a listener claims the port alone, so that a second server is an error and does not get a
    /// silent share of the datagrams. A listener of our own may overlap (a wildcard and one of its addresses).
    fn bind_first(&self, address: SocketAddr) -> io::Result<Socket> {
        match Socket::bind_alone(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.overlaps(address) => {
                Socket::bind_shared(address)
            }
            result => result,
        }
    }

    fn overlaps(&self, address: SocketAddr) -> bool {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let mut same_port = listeners
            .values()
            .map(|listener| listener.address)
            .filter(|own| own.port() == address.port() && own.is_ipv4() == address.is_ipv4());
        let equal = listeners.values().any(|listener| listener.address == address);
        !equal && same_port.any(|own| own.ip().is_unspecified() || address.ip().is_unspecified())
    }

    /// The address of a listener.
    #[must_use]
    pub fn address(&self, listener: u32) -> Option<SocketAddr> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner).get(&listener).map(|found| found.address)
    }

    /// Has the listeners that nobody serves yet served by workers, as many as the most threads any listener asked for.
    ///
    /// # Errors
    /// When a thread can't be made.
    pub fn start(&self, answerer: &Arc<dyn Answerer>) -> io::Result<()> {
        let mut workers = self.workers();
        let mut listeners = self.write_listeners();
        for (&number, listener) in listeners.iter_mut().filter(|(_, listener)| !listener.is_started) {
            while workers.running.len() < listener.sockets.len() {
                let worker = Worker::spawn(workers.running.len(), Arc::clone(&self.counts))?;
                workers.running.push(worker);
            }
            for (worker, socket) in workers.running.iter().zip(&listener.sockets) {
                let entry =
                    Entry { number, socket: Arc::clone(socket), answerer: Arc::clone(answerer), is_watched: false };
                worker.mailbox.post(Command::Add(entry));
            }
            listener.is_started = true;
        }
        Ok(())
    }

    /// Closes a listener; when this returns its port is free. Unknown numbers are none of our business.
    pub fn close(&self, listener: u32) {
        let workers = self.workers();
        let removed = self.write_listeners().remove(&listener);
        let Some(removed) = removed else { return };
        let (acknowledge, done) = channel();
        if removed.is_started {
            for (worker, socket) in workers.running.iter().zip(&removed.sockets) {
                worker.mailbox.post(Command::Remove(listener, acknowledge.clone()));
                socket.interrupt();
            }
        }
        drop((removed, acknowledge));
        wait_for_all(&done);
    }

    /// Stops all workers, closes all sockets; from then on nothing is answered. Safe to call twice.
    pub fn stop(&self) {
        let mut workers = self.workers();
        workers.is_stopped = true;
        let listeners = std::mem::take(&mut *self.write_listeners());
        let running = std::mem::take(&mut workers.running);
        for worker in &running {
            worker.mailbox.post(Command::Stop);
        }
        for listener in listeners.into_values() {
            listener.sockets.iter().for_each(|socket| socket.interrupt());
        }
        for worker in running {
            worker.join();
        }
    }

    /// Sends an answer that was made elsewhere, from the address that was asked (`Datagram::local`).
    ///
    /// # Errors
    /// Those of the system, and `NotFound` when the listener is gone.
    pub fn reply(&self, listener: u32, local: Option<IpAddr>, client: SocketAddr, octets: &[u8]) -> io::Result<()> {
        let sent = self.first_socket(listener).and_then(|socket| socket.send_to(local, client, octets));
        count(if sent.is_ok() { &self.counts.sent } else { &self.counts.send_errors }, 1);
        sent
    }

    fn first_socket(&self, listener: u32) -> io::Result<Arc<Socket>> {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let socket = listeners.get(&listener).and_then(|found| found.sockets.first());
        socket.cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no listener {listener}")))
    }

    /// How many workers run.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.workers().running.len()
    }

    /// The counts so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: read(&self.counts.received),
            sent: read(&self.counts.sent),
            batches: read(&self.counts.batches),
            send_errors: read(&self.counts.send_errors),
            receive_errors: read(&self.counts.receive_errors),
            panics: read(&self.counts.panics),
        }
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_listeners(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<u32, Listener>> {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns when every sender is dropped, or when patience ends.
fn wait_for_all(done: &Receiver<()>) {
    let until = Instant::now() + PATIENCE;
    while done.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
}

// ------------------------------------------------------------------ workers

enum Command {
    Add(Entry),
    /// The sender is dropped when the socket is.
    Remove(u32, Sender<()>),
    Stop,
}

/// What a worker serves: one socket of a listener.
struct Entry {
    number: u32,
    socket: Arc<Socket>,
    answerer: Arc<dyn Answerer>,
    /// Whether it is among the sockets the worker's epoll watches.
    is_watched: bool,
}

struct Mailbox {
    has_commands: AtomicBool,
    commands: Mutex<Vec<Command>>,
    wake: Wake,
}

impl Mailbox {
    fn post(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.has_commands.store(true, Ordering::Release);
        self.wake.set();
    }

    fn take(&self) -> Vec<Command> {
        self.wake.clear();
        self.has_commands.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Worker {
    fn spawn(number: usize, counts: Arc<Counts>) -> io::Result<Self> {
        let mailbox =
            Arc::new(Mailbox { has_commands: AtomicBool::new(false), commands: Mutex::default(), wake: Wake::new()? });
        let epoll = Epoll::new()?;
        epoll.add(mailbox.wake.as_fd(), WAKE_TOKEN)?;
        let inbox = Arc::clone(&mailbox);
        let thread = thread::Builder::new().name(format!("zw-udp-{number}")).spawn(move || {
            // Signals are for the thread that waits for them, Python's.
            system::block_signals();
            Loop { number, mailbox: inbox, epoll, entries: Vec::new(), batch: Batch::new(), counts }.run();
        })?;
        Ok(Self { mailbox, thread })
    }

    fn join(self) {
        if self.thread.thread().id() != thread::current().id() {
            // A worker catches what the answerer throws; should it be dead all the same, it is stopped.
            let _ = self.thread.join();
        }
    }
}

/// The state of a running worker.
struct Loop {
    number: usize,
    mailbox: Arc<Mailbox>,
    epoll: Epoll,
    entries: Vec<Entry>,
    batch: Batch,
    counts: Arc<Counts>,
}

impl Loop {
    fn run(&mut self) {
        let mut ready = Vec::new();
        loop {
            if self.mailbox.has_commands.load(Ordering::Acquire) && !self.obey() {
                return;
            }
            match self.entries.as_slice() {
                // One socket: a worker sleeps in recvmmsg itself, which saves two system calls a wake-up.
                [entry] => serve(self.number, entry, &mut self.batch, true, &self.counts),
                _ => self.serve_ready(&mut ready),
            }
        }
    }

    /// Serves one batch of each socket that has something, so that a busy one can't starve the others.
    fn serve_ready(&mut self, ready: &mut Vec<u64>) {
        if self.epoll.wait(ready).is_err() {
            count(&self.counts.receive_errors, 1);
            thread::sleep(REST);
        }
        for token in ready.iter() {
            let found = self.entries.binary_search_by_key(token, |entry| u64::from(entry.number));
            if let Some(entry) = found.ok().and_then(|index| self.entries.get(index)) {
                serve(self.number, entry, &mut self.batch, false, &self.counts);
            }
        }
    }

    /// Carries out what was posted; false is the end.
    fn obey(&mut self) -> bool {
        for command in self.mailbox.take() {
            match command {
                Command::Add(entry) => {
                    // Listeners start in any order, `serve_ready` searches them by number.
                    let place = self.entries.partition_point(|other| other.number < entry.number);
                    self.entries.insert(place, entry);
                }
                Command::Remove(number, acknowledge) => {
                    self.remove(number);
                    drop(acknowledge);
                }
                Command::Stop => return false,
            }
        }
        self.watch();
        true
    }

    fn remove(&mut self, number: u32) {
        for entry in self.entries.extract_if(.., |entry| entry.number == number) {
            if entry.is_watched {
                self.epoll.remove(entry.socket.as_fd());
            }
        }
    }

    /// Has epoll watch the sockets when there are several, and none when there is one: being watched costs each datagram.
    fn watch(&mut self) {
        let is_needed = self.entries.len() > 1;
        for entry in self.entries.iter_mut().filter(|entry| entry.is_watched != is_needed) {
            if is_needed {
                entry.is_watched = self.epoll.add(entry.socket.as_fd(), u64::from(entry.number)).is_ok();
                count(&self.counts.receive_errors, u64::from(!entry.is_watched));
            } else {
                self.epoll.remove(entry.socket.as_fd());
                entry.is_watched = false;
            }
        }
    }
}

/// Takes one batch off a socket, answers it, sends the answers.
fn serve(worker: usize, entry: &Entry, batch: &mut Batch, waits: bool, counts: &Counts) {
    match batch.receive(&entry.socket, waits) {
        Ok(0) => return,
        Ok(_) => count(&counts.batches, 1),
        Err(error) => return on_receive_error(&error, counts),
    }
    let received = Instant::now();
    let (mut datagrams, mut panics) = (0, 0);
    batch.answer_each(|octets, client, local, out| {
        datagrams += 1;
        let datagram = Datagram { worker, listener: entry.number, octets, client, local, received };
        let length = catch_unwind(AssertUnwindSafe(|| entry.answerer.on_datagram(&datagram, out)));
        length.unwrap_or_else(|_| {
            panics += 1;
            0
        })
    });
    let (sent, failed) = batch.send(&entry.socket);
    count(&counts.received, datagrams);
    count(&counts.sent, sent);
    count(&counts.send_errors, failed);
    count(&counts.panics, panics);
}

fn on_receive_error(error: &io::Error, counts: &Counts) {
    match error.kind() {
        // The quarter second is over, or a signal came: the mailbox is looked at.
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => (),
        // An ICMP message about an earlier answer, told once.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            count(&counts.receive_errors, 1);
        }
        _ => {
            count(&counts.receive_errors, 1);
            thread::sleep(REST);
        }
    }
}
