//! What Zonewright does once per query or once per record.

pub mod counters;
pub mod crypto;
pub mod finding;
pub mod name;
pub mod rdata;
pub mod tap;
pub mod token;
pub mod udp;
pub mod zonefile;
