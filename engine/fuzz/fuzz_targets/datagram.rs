//! Any octets as a datagram: answered as promised or not at all, and never a panic.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

#[path = "../subject.rs"]
mod subject;

thread_local! {
    static SUBJECT: RefCell<subject::Subject> = RefCell::new(subject::Subject::new());
}

fuzz_target!(|octets: &[u8]| {
    SUBJECT.with_borrow_mut(|subject| {
        subject.check(octets);
    });
});
