//! UDP listeners on loopback: round trips, source addresses, sharing of ports, faults, stopping.
// Tests say what they mean in the fewest words; pedantry is for the library.
#![allow(clippy::pedantic, clippy::type_complexity)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use zonewright_engine::udp::{Answerer, Datagram, LARGEST, Sockets, Totals, Wake};

/// Says back what it gets, and does as the first octet says.
#[derive(Default)]
struct Echo {
    seen: Mutex<Vec<(usize, u32, SocketAddr, Option<IpAddr>)>>,
}

impl Answerer for Echo {
    fn on_datagram(&self, datagram: &Datagram<'_>, out: &mut [u8]) -> usize {
        match datagram.octets.first() {
            None => return 0,
            Some(b'!') => panic!("asked to"),
            Some(b'?') => return 0,
            // More than a datagram holds, and more than the room for it.
            Some(b'L') => return LARGEST,
            Some(b'M') => return usize::MAX,
            Some(_) => (),
        }
        let mut seen = self.seen.lock().unwrap();
        seen.push((datagram.worker, datagram.listener, datagram.client, datagram.local));
        out[..datagram.octets.len()].copy_from_slice(datagram.octets);
        datagram.octets.len()
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn client_of(address: SocketAddr) -> UdpSocket {
    let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let client = UdpSocket::bind(own).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

fn ask(client: &UdpSocket, address: SocketAddr, octets: &[u8]) -> (Vec<u8>, SocketAddr) {
    client.send_to(octets, address).unwrap();
    let mut buffer = vec![0; LARGEST];
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    buffer.truncate(length);
    (buffer, from)
}

fn started(addresses: &[SocketAddr], threads: usize) -> (Arc<Sockets>, Arc<Echo>, Vec<(u32, SocketAddr)>) {
    let (sockets, echo) = (Arc::new(Sockets::new()), Arc::new(Echo::default()));
    let bound = addresses.iter().map(|&address| sockets.bind(address, threads).unwrap()).collect();
    start(&sockets, &echo);
    (sockets, echo, bound)
}

fn start(sockets: &Sockets, echo: &Arc<Echo>) {
    let answerer: Arc<dyn Answerer> = Arc::<Echo>::clone(echo);
    sockets.start(&answerer).unwrap();
}

/// Workers count a batch after its answers are out: the counts are whole once they have stopped.
fn final_totals(sockets: &Sockets) -> Totals {
    sockets.stop();
    sockets.totals()
}

#[test]
fn answers_come_back_over_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (sockets, echo, bound) = started(&[address.parse().unwrap()], 2);
        let (number, at) = bound[0];
        assert_ne!(at.port(), 0);
        assert_eq!(sockets.address(number), Some(at));
        let client = client_of(at);
        for size in [1, 12, 512, 1232, 4096, 65000] {
            assert_eq!(ask(&client, at, &vec![7; size]), (vec![7; size], at));
        }
        let (_, listener, from, local) = echo.seen.lock().unwrap()[0];
        assert_eq!((listener, from.port(), local), (number, client.local_addr().unwrap().port(), None));
        assert_eq!(final_totals(&sockets).received, 6);
    }
}

#[test]
fn a_wildcard_answers_from_the_address_that_was_asked() {
    let (_sockets, echo, bound) = started(&["0.0.0.0:0".parse().unwrap()], 1);
    for last in 1..=9 {
        let asked = SocketAddr::from(([127, 0, 0, last], bound[0].1.port()));
        assert_eq!(ask(&client_of(asked), asked, b"x").1, asked);
        assert_eq!(echo.seen.lock().unwrap().last().unwrap().3, Some(asked.ip()));
    }
}

#[test]
fn an_ipv6_wildcard_leaves_ipv4_alone_and_tells_the_asked_address() {
    let (sockets, echo, bound) = started(&["[::]:0".parse().unwrap()], 1);
    let port = bound[0].1.port();
    let asked: SocketAddr = format!("[::1]:{port}").parse().unwrap();
    assert_eq!(ask(&client_of(asked), asked, b"x").1, asked);
    assert_eq!(echo.seen.lock().unwrap()[0].3, Some(asked.ip()));
    // The same port of the other family is still free.
    sockets.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), 1).unwrap();
}

#[test]
fn replies_made_elsewhere_leave_from_the_asked_address() {
    let (sockets, _, bound) = started(&["0.0.0.0:0".parse().unwrap()], 1);
    let (number, at) = bound[0];
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let to = client.local_addr().unwrap();
    let local = Ipv4Addr::new(127, 0, 0, 3).into();
    sockets.reply(number, Some(local), to, b"late").unwrap();
    let mut buffer = [0; 16];
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"late"[..], SocketAddr::new(local, at.port())));
    assert_eq!(sockets.reply(99, None, to, b"late").unwrap_err().kind(), ErrorKind::NotFound);
    let other_family = "[::1]:9".parse().unwrap();
    assert_eq!(sockets.reply(number, None, other_family, b"late").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(final_totals(&sockets).send_errors, 2);
}

#[test]
fn a_port_that_is_taken_is_an_error_even_when_it_would_be_shared() {
    let (first, _, bound) = started(&[loopback(0)], 2);
    let second = Sockets::new();
    assert_eq!(second.bind(bound[0].1, 2).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(first.bind(bound[0].1, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
    let wildcard = SocketAddr::from((Ipv4Addr::UNSPECIFIED, bound[0].1.port()));
    assert_eq!(second.bind(wildcard, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(second.bind("192.0.2.1:0".parse().unwrap(), 1).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn a_wildcard_and_one_of_its_addresses_may_both_be_ours() {
    let (sockets, echo, bound) = started(&[loopback(0)], 2);
    let port = bound[0].1.port();
    let (wildcard, _) = sockets.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), 2).unwrap();
    start(&sockets, &echo);
    for (last, listener) in [(1, bound[0].0), (2, wildcard)] {
        let asked = SocketAddr::from(([127, 0, 0, last], port));
        assert_eq!(ask(&client_of(asked), asked, b"x").1, asked);
        assert_eq!(echo.seen.lock().unwrap().last().unwrap().1, listener);
    }
}

#[test]
fn five_hundred_listeners_are_served_by_as_many_workers_as_were_asked_for() {
    let addresses: Vec<_> = (0..500).map(|_| loopback(0)).collect();
    let (sockets, _, bound) = started(&addresses, 2);
    assert_eq!(sockets.worker_count(), 2);
    let client = client_of(loopback(0));
    for (number, at) in bound {
        let octets = number.to_be_bytes();
        let question = [&[1], &octets[..]].concat();
        assert_eq!(ask(&client, at, &question), (question, at));
    }
    let begin = Instant::now();
    sockets.stop();
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[test]
fn all_workers_of_a_listener_answer() {
    let (sockets, echo, bound) = started(&[loopback(0)], 3);
    for _ in 0..200 {
        ask(&client_of(bound[0].1), bound[0].1, b"x");
    }
    let mut workers: Vec<_> = echo.seen.lock().unwrap().iter().map(|seen| seen.0).collect();
    workers.sort_unstable();
    workers.dedup();
    assert_eq!(workers, [0, 1, 2]);
    assert_eq!(sockets.worker_count(), 3);
}

#[test]
fn listeners_come_and_go_while_others_serve() {
    let (sockets, echo, bound) = started(&[loopback(0)], 1);
    let client = client_of(bound[0].1);
    for _ in 0..5 {
        let (number, at) = sockets.bind(loopback(0), 1).unwrap();
        start(&sockets, &echo);
        assert_eq!(ask(&client, at, b"new").0, b"new");
        assert_eq!(ask(&client, bound[0].1, b"old").0, b"old");
        sockets.close(number);
        // The port is free at once.
        drop(UdpSocket::bind(at).unwrap());
        assert_eq!(ask(&client, bound[0].1, b"old").0, b"old");
    }
    sockets.close(bound[0].0);
    sockets.close(bound[0].0);
    assert_eq!(sockets.address(bound[0].0), None);
    // With the last one gone the worker waits for the next.
    let (_, at) = sockets.bind(bound[0].1, 1).unwrap();
    start(&sockets, &echo);
    assert_eq!(ask(&client, at, b"again").0, b"again");
}

#[test]
fn a_panic_of_the_answerer_ends_neither_the_worker_nor_its_batch() {
    let (sockets, _, bound) = started(&[loopback(0)], 1);
    let client = client_of(bound[0].1);
    for _ in 0..20 {
        client.send_to(b"!", bound[0].1).unwrap();
        client.send_to(b"?", bound[0].1).unwrap();
        client.send_to(b"", bound[0].1).unwrap();
        assert_eq!(ask(&client, bound[0].1, b"x").0, b"x");
    }
    let totals = final_totals(&sockets);
    assert_eq!((totals.received, totals.panics), (80, 20));
}

#[test]
fn answers_the_system_refuses_are_counted_and_the_others_go_out() {
    let (sockets, _, bound) = started(&[loopback(0)], 1);
    let client = client_of(bound[0].1);
    for _ in 0..10 {
        client.send_to(b"L", bound[0].1).unwrap();
        client.send_to(b"M", bound[0].1).unwrap();
        assert_eq!(ask(&client, bound[0].1, b"x").0, b"x");
    }
    let totals = final_totals(&sockets);
    assert_eq!((totals.sent, totals.send_errors), (10, 10));
}

#[test]
fn a_client_that_is_gone_does_no_harm() {
    let (sockets, _, bound) = started(&[loopback(0)], 1);
    for _ in 0..100 {
        client_of(bound[0].1).send_to(b"x", bound[0].1).unwrap();
    }
    assert_eq!(ask(&client_of(bound[0].1), bound[0].1, b"x").0, b"x");
    assert_eq!(final_totals(&sockets).received, 101);
}

#[test]
fn stop_is_prompt_under_load_and_safe_to_call_twice() {
    let (sockets, _, bound) = started(&[loopback(0), loopback(0)], 2);
    let ends = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = bound
        .iter()
        .map(|&(_, at)| {
            let ends = Arc::clone(&ends);
            thread::spawn(move || {
                let client = client_of(at);
                while !ends.load(Ordering::Relaxed) {
                    let _ = client.send_to(b"load", at);
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    let other = {
        let sockets = Arc::clone(&sockets);
        thread::spawn(move || sockets.stop())
    };
    sockets.stop();
    other.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    ends.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    sockets.stop();
    assert_eq!(sockets.bind(loopback(0), 1).unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(sockets.worker_count(), 0);
    // Ports are free again.
    bound.iter().for_each(|&(_, at)| drop(UdpSocket::bind(at).unwrap()));
}

/// How long it takes to stop a server that has nothing to do.
fn time_to_stop(listeners: usize, is_started: bool) -> Duration {
    let sockets = Sockets::new();
    for _ in 0..listeners {
        sockets.bind(loopback(0), 2).unwrap();
    }
    if is_started {
        start(&sockets, &Arc::new(Echo::default()));
        thread::sleep(Duration::from_millis(20));
    }
    let begin = Instant::now();
    drop(sockets);
    begin.elapsed()
}

#[test]
fn an_idle_server_stops_at_once_whether_started_or_not() {
    for listeners in [0, 1, 3] {
        for is_started in [false, true] {
            // On a busy machine any one may be slow; a worker that was not woken would be slow each time.
            let best = (0..4).map(|_| time_to_stop(listeners, is_started)).min().unwrap();
            assert!(best < Duration::from_millis(50), "{listeners} listeners: {best:?}");
        }
    }
}

#[test]
fn bursts_are_answered_whole() {
    let (sockets, _, bound) = started(&[loopback(0)], 1);
    let answered = AtomicUsize::new(0);
    let client = client_of(bound[0].1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 64];
            while answered.load(Ordering::Relaxed) < 5000 && client.recv_from(&mut buffer).is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        for number in 0..5000_usize {
            client.send_to(&[&[1][..], &number.to_be_bytes()].concat(), bound[0].1).unwrap();
            // No more on the way than the client's own buffer holds.
            while number.saturating_sub(answered.load(Ordering::Relaxed)) > 100 {
                thread::yield_now();
            }
        }
    });
    assert_eq!(answered.into_inner(), 5000);
    let totals = final_totals(&sockets);
    assert_eq!((totals.received, totals.sent), (5000, 5000));
}

#[test]
fn wake_is_readable_from_set_to_clear() {
    let wake = Wake::new().unwrap();
    let is_readable = || {
        let state = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", wake.raw_fd())).unwrap();
        !state.lines().any(|line| line.split_whitespace().eq(["eventfd-count:", "0"]))
    };
    assert!(!is_readable());
    wake.set();
    wake.set();
    assert!(is_readable());
    wake.clear();
    wake.clear();
    assert!(!is_readable());
}
