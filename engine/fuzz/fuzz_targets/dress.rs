//! Any octets as what a chain says to a query: dressed without a panic, and well-formed where it was so before.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

#[path = "../subject.rs"]
#[allow(dead_code)]
mod subject;

thread_local! {
    static SUBJECT: RefCell<subject::Subject> = RefCell::new(subject::Subject::new());
}

fuzz_target!(|octets: &[u8]| {
    // The first octet says how long the query is; the rest is the response.
    let Some((length, octets)) = octets.split_first() else { return };
    let (query, response) = octets.split_at(octets.len().min(usize::from(*length)));
    SUBJECT.with_borrow_mut(|subject| subject.check_any_dress(query, response));
});
