//! A zone transfer as it comes in: the messages of an AXFR or IXFR response, one by one (RFC 5936, RFC 1995).
//!
//! The octets are a stranger's. Of each message header and question are checked (RFC 5936 section 2.2), of each record that it
//! can stand in this zone; of the whole the order of SOAs. TSIG records are looked at elsewhere, and skipped here. A *whole*
//! transfer ends up as records for `build`, an *incremental* one as pairs of record runs for `with_changes`.
//!
//! **Limits:** records and octets as asked; owners and rdata of a whole transfer 4 GiB; what follows the last SOA is an error.

use crate::message::{self, CLASS_IN, HEADER, RecordHead, flag, opcode, option, rcode, rrtype};
use crate::name::{self, Name};
use crate::rdata;
use crate::run;
use crate::zonefile::Records;

/// RFC 2181 section 8.
const MAX_TTL: u32 = 0x7fff_ffff;
/// Octets of serial, refresh, retry, expire and minimum.
const SOA_NUMBERS: usize = 20;

/// What a transfer may have; 0 is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Records in all.
    pub records: u64,
    /// Octets of all messages.
    pub octets: u64,
}

/// What a transfer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One SOA that is not newer than ours (RFC 1995 section 2).
    Current,
    /// The whole zone.
    Whole,
    /// What changed since ours.
    Incremental,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first SOA is to come.
    Start,
    /// What comes next says what kind it is.
    Open,
    Whole,
    /// What is deleted from this serial on.
    Deleting(u32),
    /// What is added to come to this serial.
    Adding(u32),
    Done(Kind),
}

/// A transfer that is being received.
pub struct Incoming {
    origin: Name,
    id: u16,
    /// The serial we have; None asks for the whole zone.
    ours: Option<u32>,
    limits: Limits,
    state: State,
    /// The first SOA's rdata.
    soa: Vec<u8>,
    serial: u32,
    expire: Option<u32>,
    messages: u64,
    octets: u64,
    count: u64,
    records: Records,
    changes: Vec<(Vec<u8>, Vec<u8>)>,
    owner: Vec<u8>,
    rdata: Vec<u8>,
}

impl Incoming {
    /// The answer to a query with this id, for an AXFR, or for an IXFR from the serial `ours`. Findings will say that records
    /// stand in `file`, their number being the line.
    #[must_use]
    pub fn new(origin: Name, id: u16, ours: Option<u32>, file: &str, limits: Limits) -> Self {
        Self {
            records: Records::empty(origin.clone(), file),
            origin,
            id,
            ours,
            limits,
            state: State::Start,
            soa: Vec::new(),
            serial: 0,
            expire: None,
            messages: 0,
            octets: 0,
            count: 0,
            changes: Vec::new(),
            owner: Vec::with_capacity(name::MAX_OCTETS),
            rdata: Vec::new(),
        }
    }

    /// What it is; None before it is complete.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self.state {
            State::Done(kind) => Some(kind),
            _ => None,
        }
    }

    /// The serial that the primary has; None before the first SOA.
    #[must_use]
    pub fn serial(&self) -> Option<u32> {
        (self.state != State::Start).then_some(self.serial)
    }

    /// Seconds until the zone expires at the primary, if it says so (RFC 7314).
    #[must_use]
    pub fn expire(&self) -> Option<u32> {
        self.expire
    }

    /// Messages, octets and records so far.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.messages, self.octets, self.count)
    }

    /// The records of a whole transfer, taken out.
    pub fn take_records(&mut self) -> Records {
        let empty = Records::empty(self.origin.clone(), "");
        std::mem::replace(&mut self.records, empty)
    }

    /// The changes of an incremental transfer, taken out: (deleted, added) record runs with the SOAs in them.
    pub fn take_changes(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.changes)
    }

    /// Take the next message; whether the transfer is complete.
    ///
    /// # Errors
    /// Why the transfer can't be used; nothing of it can.
    pub fn feed(&mut self, octets: &[u8]) -> Result<bool, String> {
        if let State::Done(_) = self.state {
            return Err("a message follows the end of the transfer".to_owned());
        }
        self.messages += 1;
        self.octets += octets.len() as u64;
        if self.limits.octets != 0 && self.octets > self.limits.octets {
            return Err(format!("more than {} octets, the limit", self.limits.octets));
        }
        let (mut at, answers) = self.header(octets)?;
        for _ in 0..answers {
            at = self.record(octets, at)?;
        }
        if self.state == State::Open && self.count == 1 && !self.is_newer() {
            self.state = State::Done(Kind::Current);
        }
        self.rest(octets, at)?;
        Ok(self.kind().is_some())
    }

    /// Check header and question; where the answers begin, and how many there are.
    fn header(&self, octets: &[u8]) -> Result<(usize, u16), String> {
        let word = |at: usize| message::u16_at(octets, at).ok_or("a message shorter than a header");
        let flags = word(2)?;
        if octets.len() < HEADER {
            return Err("a message shorter than a header".to_owned());
        }
        if word(0)? != self.id || flags & flag::QR == 0 || message::opcode_of(flags) != opcode::QUERY {
            return Err("a message that answers something else".to_owned());
        }
        if flags & 15 != rcode::NOERROR {
            return Err(format!("the answer is {}", message::rcode_text(flags & 15)));
        }
        if flags & flag::TC != 0 {
            return Err("a truncated message".to_owned());
        }
        let answers = word(6)?;
        // RFC 5936 section 2.2.1: the first message has the question, the others may have it.
        let at = match word(4)? {
            0 if self.messages > 1 => HEADER,
            1 => self.question(octets).ok_or("a message with another question")?,
            _ => return Err("a message without the question".to_owned()),
        };
        if answers == 0 {
            return Err("a message without records".to_owned());
        }
        Ok((at, answers))
    }

    fn question(&self, octets: &[u8]) -> Option<usize> {
        let rest = octets.get(HEADER..)?;
        let qname = rest.get(..name::length(rest)?)?;
        let at = HEADER + qname.len();
        let qtype = if self.ours.is_some() { rrtype::IXFR } else { rrtype::AXFR };
        let is_ours = name::equal(qname, &self.origin)
            && message::u16_at(octets, at)? == qtype
            && message::u16_at(octets, at + 2)? == CLASS_IN;
        is_ours.then_some(at + 4)
    }

    /// What stands behind the answers: OPT may say when the zone expires. The authority section is none of ours (RFC 5936
    /// section 2.2.4).
    fn rest(&mut self, octets: &[u8], mut at: usize) -> Result<(), String> {
        let counts = [8, 10].map(|place| message::u16_at(octets, place).unwrap_or(0));
        for _ in 0..u32::from(counts[0]) + u32::from(counts[1]) {
            let head = RecordHead::parse(octets, at).ok_or("a message that is cut short")?;
            if head.rtype == rrtype::OPT {
                let options = message::options_of(octets.get(head.rdata..head.end).unwrap_or(&[]));
                let mut found = options.filter(|(code, _)| *code == option::EXPIRE);
                if let Some(seconds) = found.next().and_then(|(_, data)| data.try_into().ok()) {
                    self.expire = Some(u32::from_be_bytes(seconds));
                }
            }
            at = head.end;
        }
        if at == octets.len() { Ok(()) } else { Err("octets behind the last record".to_owned()) }
    }

    /// Take the record at `at`; where the next one begins.
    fn record(&mut self, octets: &[u8], at: usize) -> Result<usize, String> {
        self.count += 1;
        if self.limits.records != 0 && self.count > self.limits.records {
            return Err(format!("more than {} records, the limit", self.limits.records));
        }
        let head = RecordHead::parse(octets, at).ok_or("a record that is cut short")?;
        self.owner.clear();
        message::name_into(octets, at, &mut self.owner).ok_or("a record with a malformed owner")?;
        let (owner, rtype) = (&self.owner, head.rtype);
        let shown = || format!("{} {}", name::to_string(owner), rdata::rtype_to_text(rtype));
        if head.class != CLASS_IN || rdata::is_meta(rtype) {
            return Err(format!("{} of class {} is no record of a zone", shown(), head.class));
        }
        if !name::is_at_or_below(owner, &self.origin) {
            return Err(format!("{} is not in the zone", shown()));
        }
        self.rdata.clear();
        rdata::uncompressed(rtype, octets, head.rdata..head.end, &mut self.rdata)
            .map_err(|reason| format!("{}: {reason}", shown()))?;
        if rtype == rrtype::SOA && name::equal(owner, &self.origin) {
            self.soa()?;
        } else {
            self.plain()?;
        }
        let ttl = if head.ttl > MAX_TTL { 0 } else { head.ttl };
        self.keep(rtype, ttl)?;
        Ok(head.end)
    }

    /// An SOA of the zone: where the transfer begins, turns, or ends.
    fn soa(&mut self) -> Result<(), String> {
        let serial = serial_of(&self.rdata);
        let is_first = same_soa(&self.rdata, &self.soa);
        self.state = match self.state {
            State::Start => {
                self.serial = serial;
                self.soa.clone_from(&self.rdata);
                State::Open
            }
            // RFC 1995 section 4: the changes begin with the SOA that the client has.
            State::Open if self.ours == Some(serial) && self.is_newer() => State::Deleting(serial),
            State::Open if is_first && !self.is_newer() => State::Done(Kind::Current),
            State::Open | State::Whole if is_first => State::Done(Kind::Whole),
            State::Open if self.ours.is_some() => {
                return Err(format!("changes from serial {serial}, which is not ours"));
            }
            State::Open | State::Whole => return Err(format!("a second SOA, of serial {serial}, within the zone")),
            State::Deleting(from) if is_after(serial, from) && !is_after(serial, self.serial) => State::Adding(serial),
            State::Deleting(from) => return Err(format!("a change from serial {from} to serial {serial}")),
            State::Adding(at) if at == self.serial && is_first => State::Done(Kind::Incremental),
            State::Adding(at) if at == serial && at != self.serial => State::Deleting(serial),
            State::Adding(at) => return Err(format!("a change from serial {serial} after one to serial {at}")),
            State::Done(_) => return Err("records behind the last SOA".to_owned()),
        };
        Ok(())
    }

    /// Any other record.
    fn plain(&mut self) -> Result<(), String> {
        match self.state {
            State::Start => return Err("no SOA at the beginning".to_owned()),
            State::Done(_) => return Err("records behind the last SOA".to_owned()),
            State::Open => self.state = State::Whole,
            _ => {}
        }
        Ok(())
    }

    /// Put the record where it belongs.
    fn keep(&mut self, rtype: u16, ttl: u32) -> Result<(), String> {
        let (owner, rdata) = (&self.owner, &self.rdata);
        match self.state {
            State::Deleting(_) => {
                if rtype == rrtype::SOA && name::equal(owner, &self.origin) {
                    self.changes.push((Vec::new(), Vec::new()));
                }
                if let Some((deleted, _)) = self.changes.last_mut() {
                    run::push(owner, rtype, ttl, rdata, deleted);
                }
            }
            State::Adding(_) => {
                if let Some((_, added)) = self.changes.last_mut() {
                    run::push(owner, rtype, ttl, rdata, added);
                }
            }
            State::Done(_) => {}
            State::Start | State::Open | State::Whole => {
                let line = u32::try_from(self.count).unwrap_or(u32::MAX);
                if !self.records.push(owner, rtype, ttl, rdata, line) {
                    return Err("a zone of more than 4 GiB".to_owned());
                }
            }
        }
        Ok(())
    }

    fn is_newer(&self) -> bool {
        self.ours.is_none_or(|ours| is_after(self.serial, ours))
    }
}

/// RFC 1982 section 3.2.
fn is_after(serial: u32, other: u32) -> bool {
    serial != other && serial.wrapping_sub(other) < 1 << 31
}

fn serial_of(soa: &[u8]) -> u32 {
    let numbers = soa.len().saturating_sub(SOA_NUMBERS);
    soa.get(numbers..).and_then(<[u8]>::first_chunk).map_or(0, |octets| u32::from_be_bytes(*octets))
}

/// Names without regard to case, numbers as they are.
fn same_soa(one: &[u8], other: &[u8]) -> bool {
    let split = |soa: &[u8]| soa.len().saturating_sub(SOA_NUMBERS);
    one.len() == other.len()
        && one.get(..split(one)).zip(other.get(..split(other))).is_some_and(|(one, other)| name::equal(one, other))
        && one.get(split(one)..) == other.get(split(other)..)
}
