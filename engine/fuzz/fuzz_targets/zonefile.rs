//! Any octets as a zone file: read to the end with what the reader promises, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../zonefile_subject.rs"]
#[allow(dead_code)]
mod subject;

fuzz_target!(|octets: &[u8]| {
    let _ = subject::check(octets);
});
