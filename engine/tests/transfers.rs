//! Transfers that come in: good ones taken whole, lies refused, mutated ones by the ten thousand read in bounds.
// Tests say what they mean in the fewest words; pedantry is for the library.
#![allow(clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../fuzz/incoming_subject.rs"]
mod subject;

use subject::{message, origin, ours, record, run, soa, stream};
use zonewright_engine::build::build;
use zonewright_engine::incoming::{Incoming, Kind, Limits};

const AXFR: u16 = 252;
const IXFR: u16 = 251;
const ROUNDS: usize = 50_000;

fn received(serial: Option<u32>, messages: &[Vec<u8>]) -> Result<Incoming, String> {
    let limits = Limits { records: 20, octets: 4000 };
    let mut incoming = Incoming::new(origin(), 0, serial, "test", limits);
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(incoming.feed(message)?, number + 1 == messages.len(), "message {number}");
    }
    Ok(incoming)
}

/// What came of it, as text.
fn refused(serial: Option<u32>, messages: &[Vec<u8>]) -> String {
    let limits = Limits { records: 20, octets: 4000 };
    let mut incoming = Incoming::new(origin(), 0, serial, "test", limits);
    for message in messages {
        match incoming.feed(message) {
            Ok(is_complete) => assert!(!is_complete, "taken"),
            Err(reason) => return reason,
        }
    }
    "more is waited for".to_owned()
}

fn a(owner: &str, last: u8) -> Vec<u8> {
    record(owner, 1, 300, &[192, 0, 2, last])
}

fn ns() -> Vec<u8> {
    record("example.", 2, 300, b"\x02ns\x07example\0")
}

#[test]
fn a_whole_zone_comes_in_one_message_or_in_many() {
    let parts = [soa(7), ns(), a("ns.example.", 1), soa(7)];
    let one = vec![message(AXFR, &parts)];
    let many: Vec<Vec<u8>> = parts.iter().map(|part| message(AXFR, std::slice::from_ref(part))).collect();
    for messages in [one, many] {
        let mut incoming = received(None, &messages).unwrap();
        assert_eq!((incoming.kind(), incoming.serial()), (Some(Kind::Whole), Some(7)));
        let (version, findings) = build(&incoming.take_records(), None);
        assert_eq!((version.unwrap().record_count(), findings.len()), (3, 0));
    }
}

#[test]
fn changes_come_as_they_are_and_make_the_next_version() {
    let parts = [
        soa(3),
        soa(1),
        a("www.example.", 2),
        soa(2),
        a("www.example.", 9),
        soa(2),
        a("www.example.", 9),
        soa(3),
        a("new.example.", 4),
        soa(3),
    ];
    let mut incoming = received(Some(1), &[message(IXFR, &parts)]).unwrap();
    assert_eq!(incoming.kind(), Some(Kind::Incremental));
    let changes = incoming.take_changes();
    let expected = [
        (run(&[soa(1), a("www.example.", 2)]), run(&[soa(2), a("www.example.", 9)])),
        (run(&[soa(2), a("www.example.", 9)]), run(&[soa(3), a("new.example.", 4)])),
    ];
    assert_eq!(changes, expected);
    let version = ours().with_changes(&changes).unwrap();
    assert_eq!((version.serial(), version.record_count()), (3, ours().record_count()));
    let www = version.find(b"\x03www\x07example\0").unwrap();
    assert_eq!(version.rrset_at(www, 1).unwrap().count, 1);
}

#[test]
fn an_answer_to_ixfr_may_be_the_whole_zone_or_one_soa() {
    let whole = [soa(7), ns(), a("ns.example.", 1), soa(7)];
    assert_eq!(received(Some(1), &[message(IXFR, &whole)]).unwrap().kind(), Some(Kind::Whole));
    for serial in [1, 0, u32::MAX] {
        let current = received(Some(1), &[message(IXFR, &[soa(serial)])]).unwrap();
        assert_eq!((current.kind(), current.serial()), (Some(Kind::Current), Some(serial)));
    }
    // One that is newer is but the first message of more.
    assert_eq!(refused(Some(1), &[message(IXFR, &[soa(2)])]), "more is waited for");
}

#[test]
fn serials_wrap() {
    let parts = [soa(3), soa(u32::MAX), soa(3), soa(3)];
    assert_eq!(received(Some(u32::MAX), &[message(IXFR, &parts)]).unwrap().kind(), Some(Kind::Incremental));
}

#[test]
fn compressed_names_are_made_whole() {
    let ns = [&[0xc0, 12, 0, 2, 0, 1, 0, 0, 1, 44, 0, 5][..], &[2, b'n', b's', 0xc0, 12]].concat();
    let messages = [message(AXFR, &[soa(7), ns, a("ns.example.", 1), soa(7)])];
    let (version, _) = build(&received(None, &messages).unwrap().take_records(), None);
    let version = version.unwrap();
    let rdata = version.rrset_at(0, 2).unwrap().rdatas().next().unwrap().to_vec();
    assert_eq!(rdata, b"\x02ns\x07example\0");
}

#[test]
fn lies_are_refused_and_said() {
    let start = [soa(7), ns()];
    let axfr = |parts: &[Vec<u8>]| refused(None, &[message(AXFR, parts)]);
    let ixfr = |parts: &[Vec<u8>]| refused(Some(1), &[message(IXFR, parts)]);
    let with = |at: usize, octet: u8| {
        let mut message = message(AXFR, &start);
        message[at] = octet;
        refused(None, &[message])
    };
    let cases = [
        (with(1, 9), "a message that answers something else"),
        (with(2, 0), "a message that answers something else"),
        (with(2, 0xa0), "a message that answers something else"),
        (with(2, 0x82), "a truncated message"),
        (with(3, 5), "the answer is REFUSED"),
        (with(7, 0), "a message without records"),
        (with(5, 0), "a message without the question"),
        (with(13, b'x'), "a message with another question"),
        (with(7, 9), "a record that is cut short"),
        (refused(None, &[message(IXFR, &start)]), "a message with another question"),
        (refused(None, &[[message(AXFR, &start), vec![0]].concat()]), "octets behind the last record"),
        (refused(None, &[vec![0, 0, 0x80]]), "a message shorter than a header"),
        (axfr(&[ns(), soa(7)]), "no SOA at the beginning"),
        (axfr(&[soa(7), ns(), soa(8)]), "a second SOA, of serial 8, within the zone"),
        (axfr(&[soa(7), ns(), soa(7), ns()]), "records behind the last SOA"),
        (axfr(&[soa(7), a("www.other.", 1)]), "www.other. A is not in the zone"),
        (axfr(&[soa(7), record("example.", 252, 0, &[])]), "example. AXFR of class 1 is no record of a zone"),
        (axfr(&[soa(7), record("example.", 1, 0, &[1, 2, 3])]), "example. A: cut short or malformed for its type"),
        (
            axfr(&vec![soa(7); 1].into_iter().chain((0..30).map(|at| a("example.", at))).collect::<Vec<_>>()),
            "more than 20 records, the limit",
        ),
        (ixfr(&[soa(7), soa(2), soa(7)]), "changes from serial 2, which is not ours"),
        (ixfr(&[soa(7), soa(1), soa(1)]), "a change from serial 1 to serial 1"),
        (ixfr(&[soa(7), soa(1), soa(9)]), "a change from serial 1 to serial 9"),
        (ixfr(&[soa(7), soa(1), soa(3), soa(4)]), "a change from serial 4 after one to serial 3"),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}

#[test]
fn changes_that_do_not_fit_change_nothing() {
    let version = ours();
    let change = |deleted: &[Vec<u8>], added: &[Vec<u8>]| {
        version.with_changes(&[(run(deleted), run(added))]).map(|version| version.record_count())
    };
    let there = version.record_count();
    assert_eq!(change(&[a("WWW.example.", 2)], &[]), Ok(there - 1));
    assert_eq!(change(&[a("www.example.", 2)], &[a("www.example.", 2)]), Ok(there));
    assert_eq!(
        change(&[a("www.example.", 7)], &[]),
        Err("www.example. A is to be deleted and is not there: 192.0.2.7".to_owned())
    );
    assert_eq!(
        change(&[], &[a("www.example.", 2)]),
        Err("www.example. A is to be added and is there already: 192.0.2.2".to_owned())
    );
    assert_eq!(change(&[], &[a("www.other.", 2)]), Err("www.other. A is not in the zone example.".to_owned()));
    assert!(change(&[], &[vec![1, 2]]).is_err());
    assert!(change(&[], &[record("example.", 255, 0, &[])]).is_err());
}

#[test]
fn a_chain_of_changes_is_the_version_built_anew() {
    let mut version = ours();
    let mut dice = subject::Dice::new(7);
    let mut there: Vec<(u8, u8)> = Vec::new();
    for serial in 1..300 {
        let (mut deleted, mut added) = (vec![soa(serial)], vec![soa(serial + 1)]);
        for _ in 0..dice.below(4) {
            let one = (dice.below(40) as u8, dice.below(3) as u8);
            let owner = format!("a{}.b{}.example.", one.0, one.0 % 7);
            match there.iter().position(|known| *known == one) {
                Some(at) if !added.contains(&a(&owner, one.1)) => {
                    there.swap_remove(at);
                    deleted.push(a(&owner, one.1));
                }
                None if !deleted.contains(&a(&owner, one.1)) => {
                    there.push(one);
                    added.push(a(&owner, one.1));
                }
                _ => {}
            }
        }
        version = version.with_changes(&[(run(&deleted), run(&added))]).unwrap();
        assert_eq!(version.serial(), serial + 1);
        assert_eq!(version.record_count(), ours().record_count() + there.len());
        let again = zonewright_engine::image::to_version(zonewright_engine::image::of_version(&version)).unwrap();
        subject::assert_same(&version, &again);
    }
}

#[test]
fn content_that_changes_break_is_found_at_the_names_they_touch() {
    let version = ours();
    let found = |deleted: &[Vec<u8>], added: &[Vec<u8>]| {
        let (deleted, added) = (run(deleted), run(added));
        let changed = version.with_changes(&[(&deleted, &added)]).unwrap();
        let errors = changed.errors_at(&[&deleted, &added], "test").unwrap();
        errors.iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    let cname = |owner: &str| record(owner, 5, 300, b"\x04mail\x07example\0");
    assert_eq!(found(&[], &[a("fine.example.", 1)]), Vec::<&str>::new());
    assert_eq!(found(&[], &[cname("www.example.")]), ["cname-and-other-data"]);
    assert_eq!(found(&[soa(1)], &[]), ["no-soa"]);
    assert_eq!(found(&[ns()], &[]), ["no-ns"]);
    assert_eq!(found(&[], &[soa(2)]), ["multiple-singleton"]);
    assert_eq!(found(&[a("ns.example.", 1)], &[cname("ns.example.")]), ["ns-is-cname"]);
    assert_eq!(found(&[a("ns.example.", 1)], &[cname("*.example.")]), ["ns-is-cname"]);
}

#[test]
fn mutated_transfers_are_read_in_bounds() {
    let seeds: Vec<Vec<u8>> = subject::seeds();
    let mut dice = subject::Dice::new(1);
    for _ in 0..ROUNDS {
        let mut octets = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(octets.len());
            match dice.below(4) {
                0 => octets[at] ^= 1 << dice.below(8),
                1 => octets[at] = dice.below(256) as u8,
                2 => drop(octets.remove(at)),
                _ => octets.insert(at, dice.below(256) as u8),
            }
        }
        subject::check(&octets);
    }
    seeds.iter().for_each(|seed| subject::check(seed));
    assert!(stream(&[]).is_empty());
}
