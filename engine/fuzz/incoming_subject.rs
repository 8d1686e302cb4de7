//! Transfers for tests, and what must hold for any octets that come as one: shared by the fuzz target and `tests/transfers.rs`.
#![allow(dead_code)]

use zonewright_engine::build::build;
use zonewright_engine::change::records;
use zonewright_engine::incoming::{Incoming, Kind, Limits};
use zonewright_engine::name::{self, Name};
use zonewright_engine::rdata;
use zonewright_engine::version::Version;
use zonewright_engine::zonefile::{self, Source, read};

/// What the secondary has: serial 1.
const OURS: &str = "
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
ns A 192.0.2.1
www A 192.0.2.2
www A 192.0.2.3
mail MX 10 www
";

/// The origin of everything here.
pub fn origin() -> Name {
    Name::from_text(b"example.", name::ROOT).expect("a name")
}

/// The version that changes are made to.
pub fn ours() -> Version {
    let sources = [Source { name: "ours", octets: OURS.as_bytes() }];
    let limits = zonefile::Limits { includes: false, max_records: 0, max_generate: 0 };
    build(&read(&origin(), &sources, &limits), None).0.expect("a good zone")
}

/// One record in wire form.
pub fn record(owner: &str, rtype: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let mut out = Name::from_text(owner.as_bytes(), name::ROOT).expect("a name").to_vec();
    out.extend(rtype.to_be_bytes());
    out.extend([0, 1]);
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(rdata.len()).expect("short").to_be_bytes());
    out.extend_from_slice(rdata);
    out
}

/// The SOA of `OURS` with another serial.
pub fn soa(serial: u32) -> Vec<u8> {
    let mut rdata = b"\x02ns\x07example\0\x0ahostmaster\x07example\0".to_vec();
    for number in [serial, 3600, 600, 86400, 300] {
        rdata.extend(number.to_be_bytes());
    }
    record("example.", 6, 300, &rdata)
}

/// Records one after another.
pub fn run(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// A response with these answers and id 0.
pub fn message(qtype: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0, 0, 0x84, 0, 0, 1];
    out.extend(u16::try_from(parts.len()).expect("few").to_be_bytes());
    out.extend([0; 4]);
    out.extend_from_slice(&origin());
    out.extend(qtype.to_be_bytes());
    out.extend([0, 1]);
    out.extend(run(parts));
    out
}

/// Messages as they stand on a stream.
pub fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = messages.iter().map(|one| [&u16::try_from(one.len()).expect("short").to_be_bytes()[..], one].concat());
    framed.collect::<Vec<_>>().concat()
}

/// Good transfers of both kinds, as streams.
pub fn seeds() -> Vec<Vec<u8>> {
    let a = |last| record("www.example.", 1, 300, &[192, 0, 2, last]);
    let ns = record("example.", 2, 300, b"\x02ns\x07example\0");
    let ixfr = [soa(3), soa(1), a(2), soa(2), a(9), soa(2), a(9), soa(3), a(4), soa(3)];
    let whole = [soa(3), ns, a(1), soa(3)];
    vec![
        stream(&[message(252, &whole)]),
        stream(&whole.clone().map(|part| message(252, &[part]))),
        stream(&[message(251, &whole)]),
        stream(&[message(251, &ixfr)]),
        stream(&ixfr.map(|part| message(251, &[part]))),
        stream(&[message(251, &[soa(1)])]),
    ]
}

/// Panics unless two versions say the same and are indexed the same.
pub fn assert_same(one: &Version, other: &Version) {
    assert_eq!(one.content_digest(), other.content_digest());
    assert_eq!((one.nodes().len(), one.chain()), (other.nodes().len(), other.chain()));
    for (at, (node, same)) in one.nodes().iter().zip(other.nodes()).enumerate() {
        assert_eq!(one.name_of(at), other.name_of(at));
        assert_eq!((node.parent, node.end, node.chain, node.flags), (same.parent, same.end, same.chain, same.flags));
        assert_eq!(one.find(&name::lower(one.name_of(at))), Some(at));
    }
}

/// Messages, each behind its length as on a stream, as the answer to an AXFR and to an IXFR with id 0.
pub fn check(octets: &[u8]) {
    for serial in [None, Some(1)] {
        let limits = Limits { records: 1000, octets: 1 << 20 };
        let mut incoming = Incoming::new(origin(), 0, serial, "fuzz", limits);
        let mut rest = octets;
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (message, tail) = tail.split_at(tail.len().min(usize::from(u16::from_be_bytes(*length))));
            rest = tail;
            match incoming.feed(message) {
                Ok(true) => {
                    taken(&mut incoming);
                    break;
                }
                Ok(false) => assert_eq!(incoming.kind(), None),
                Err(reason) => {
                    assert!(!reason.is_empty() && reason.len() < 2000);
                    break;
                }
            }
        }
    }
}

fn taken(incoming: &mut Incoming) {
    assert!(incoming.feed(&[]).is_err(), "nothing follows the end");
    match incoming.kind() {
        Some(Kind::Whole) => {
            let found = incoming.take_records();
            for record in &found.records {
                assert!(name::is_at_or_below(found.owner(record), &found.origin) && record.ttl <= 0x7fff_ffff);
                assert_eq!(rdata::check(record.rtype, found.rdata(record)), Ok(()));
            }
            let (version, findings) = build(&found, None);
            assert!(version.is_some() || !findings.is_empty());
        }
        Some(Kind::Incremental) => {
            let changes = incoming.take_changes();
            assert!(!changes.is_empty());
            for run in changes.iter().flat_map(|(deleted, added)| [deleted, added]) {
                assert!(records(run).all(|record| record.is_ok()), "runs are well-formed");
            }
            if let Ok(version) = ours().with_changes(&changes) {
                let runs: Vec<&[u8]> = changes.iter().flat_map(|(one, two)| [&one[..], &two[..]]).collect();
                assert!(version.errors_at(&runs, "fuzz").is_ok());
            }
        }
        Some(Kind::Current) => assert!(incoming.serial().is_some()),
        None => panic!("complete, and of no kind"),
    }
}

/// Numbers from a seed (xorshift).
pub struct Dice(u64);

impl Dice {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`, which is not 0.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}
