//! What Zonewright does once per query or once per record.

pub mod answer;
#[cfg(feature = "python")]
mod boundary;
pub mod build;
pub mod change;
pub mod clock;
pub mod cookie;
pub mod counters;
pub mod crypto;
pub mod denial;
pub mod diff;
pub mod effect;
pub mod finding;
pub mod image;
pub mod incoming;
pub mod limit;
pub mod message;
pub mod name;
pub mod nsec3;
pub mod predicate;
pub mod rdata;
pub mod reply;
pub mod responder;
pub mod run;
pub mod serve;
pub mod signed;
pub mod tap;
pub mod text;
pub mod token;
pub mod transfer;
pub mod tsig;
pub mod udp;
pub mod verify;
pub mod version;
pub mod zonefile;
pub mod zonemd;
