//! Capabilities given up by one thread: its own, those of what it starts, and nobody else's.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::ErrorKind;
use std::process::Command;
use std::{fs, thread};

use zonewright_engine::udp::drop_capabilities;

/// Lines `Cap…` and `NoNewPrivs` of a process status.
fn facts(status: &str) -> HashMap<String, u64> {
    let pairs = status.lines().filter_map(|line| line.split_once(':'));
    pairs
        .filter(|(key, _)| key.starts_with("Cap") || *key == "NoNewPrivs")
        .map(|(key, value)| (key.to_owned(), u64::from_str_radix(value.trim(), 16).unwrap()))
        .collect()
}

fn own_facts() -> HashMap<String, u64> {
    facts(&fs::read_to_string("/proc/thread-self/status").unwrap())
}

const NET_BIND_SERVICE: u64 = 1 << 10;

#[test]
fn all_but_the_named_ones_are_gone_for_good_and_from_this_thread_alone() {
    if own_facts()["CapPrm"] & NET_BIND_SERVICE == 0 {
        eprintln!("skipped: no capabilities to drop");
        return;
    }
    let before = own_facts();
    let (inside, child) = thread::spawn(|| {
        drop_capabilities(&["CAP_NET_BIND_SERVICE"]).unwrap();
        // Twice does no harm.
        drop_capabilities(&["cap_net_bind_service"]).unwrap();
        let child = Command::new("cat").arg("/proc/self/status").output().unwrap();
        (own_facts(), facts(&String::from_utf8(child.stdout).unwrap()))
    })
    .join()
    .unwrap();
    for facts in [&inside, &child] {
        assert_eq!(facts["CapPrm"] & !NET_BIND_SERVICE, 0);
        assert_eq!(facts["CapEff"] & !NET_BIND_SERVICE, 0);
        assert_eq!(facts["CapBnd"], before["CapBnd"] & NET_BIND_SERVICE);
        assert_eq!((facts["CapInh"], facts["CapAmb"], facts["NoNewPrivs"]), (0, 0, 1));
    }
    assert_eq!(inside["CapEff"], NET_BIND_SERVICE);
    assert_eq!(own_facts(), before);
}

#[test]
fn none_may_be_kept() {
    let left = thread::spawn(|| {
        drop_capabilities(&[]).unwrap();
        // Without any left there is nothing to do.
        drop_capabilities(&[]).unwrap();
        own_facts()
    });
    let left = left.join().unwrap();
    assert_eq!((left["CapPrm"], left["CapEff"]), (0, 0));
}

#[test]
fn an_unknown_name_is_an_error_before_anything_is_dropped() {
    let before = own_facts();
    let error = drop_capabilities(&["CAP_NET_BIND_SERVICE", "CAP_DANCE"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("CAP_DANCE"), "{error}");
    assert_eq!(own_facts(), before);
}
