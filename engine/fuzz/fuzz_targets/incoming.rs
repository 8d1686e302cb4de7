//! Any octets as the messages of a transfer: read in bounds, and what is taken can be built, changed and looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../incoming_subject.rs"]
mod subject;

fuzz_target!(|octets: &[u8]| subject::check(octets));
