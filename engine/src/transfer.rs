//! A sealed version as the messages of a zone transfer (RFC 5936), and a change as those of an incremental one (RFC 1995).
//!
//! A *position* says where the next message begins: 0 at first; in a version one more than node and record put together, in
//! a change how many octets of its records come before. The SOA opens and closes the transfer (RFC 5936 section 2.2); glue
//! and occluded names are part of the zone (section 3).

use crate::answer::NameBuffer;
use crate::message::{Opt, Query, Section, UDP_SIZE, Writer, flag, option, rrtype};
use crate::run;
use crate::signed::SignedVersion;

/// Where the next message begins; `None` after the last.
pub type Position = Option<u64>;

const LAST: u64 = u64::MAX;

/// What a transfer answers: the query, and in how many seconds the zone expires here, for those who ask.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The query.
    pub query: &'a Query<'a>,
    /// The seconds.
    pub expire: Option<u32>,
}

/// Write one message of a version from `position` into `out`: its length and where the next one begins.
///
/// # Errors
/// The version is open, or a record does not fit into `out` at all.
pub fn message(
    signed: &SignedVersion,
    asked: Asked<'_>,
    position: u64,
    out: &mut [u8],
) -> Result<(usize, Position), String> {
    if !signed.is_sealed() {
        return Err("an open version is not transferred".to_owned());
    }
    write(asked, out, |writer| fill(signed, position, writer))
}

/// Write one message of a change, given as two runs, from `position` into `out`: its length and where the next one begins.
///
/// # Errors
/// The runs are those of no change, or a record does not fit into `out` at all.
pub fn change_message(
    [deleted, added]: [&[u8]; 2],
    asked: Asked<'_>,
    position: u64,
    out: &mut [u8],
) -> Result<(usize, Position), String> {
    let soa = run::split_first(added).filter(|(record, _)| record.rtype == rrtype::SOA);
    let (soa, _) = soa.ok_or("what is added does not begin with an SOA")?;
    // RFC 1995 section 4: the new SOA, the difference sequence, the new SOA.
    let runs = [soa.octets, deleted, added, soa.octets];
    write(asked, out, |writer| fill_from_runs(&runs, position, writer))
}

fn write(
    asked: Asked<'_>,
    out: &mut [u8],
    fill: impl FnOnce(&mut Writer<'_>) -> Position,
) -> Result<(usize, Position), String> {
    let Asked { query, expire } = asked;
    let opt = query.edns.map(|edns| Opt {
        size: UDP_SIZE,
        dnssec_ok: edns.dnssec_ok,
        expire: expire.filter(|_| edns.option(option::EXPIRE).is_some()),
        ..Opt::default()
    });
    let reserve = opt.as_ref().map_or(0, Opt::len);
    let limit = out.len();
    let mut writer = Writer::answering(query, out, limit, reserve).map_err(|_| "no room for the question")?;
    writer.set_flags(flag::AA);
    let next = fill(&mut writer);
    if writer.is_section_empty(Section::Answer) {
        return Err("a record does not fit into a message".to_owned());
    }
    Ok((writer.finish(opt.as_ref()), next))
}

fn fill_from_runs(runs: &[&[u8]], position: u64, writer: &mut Writer<'_>) -> Position {
    let position = usize::try_from(position).unwrap_or(usize::MAX);
    let (mut next, mut start) = (position, 0);
    for run in runs {
        let mut rest = next.checked_sub(start).and_then(|skipped| run.get(skipped..)).unwrap_or(&[]);
        while let Some((record, after)) = run::split_first(rest) {
            if writer.record(Section::Answer, record.owner, record.rtype, record.ttl, record.rdata).is_err() {
                return u64::try_from(next).ok();
            }
            next += record.octets.len();
            rest = after;
        }
        start += run.len();
    }
    None
}

fn fill(signed: &SignedVersion, position: u64, writer: &mut Writer<'_>) -> Position {
    if position == 0 && !soa(signed, writer) {
        return Some(0);
    }
    if position != LAST {
        let place = position.saturating_sub(1);
        let first = usize::try_from(place >> 32).unwrap_or(usize::MAX);
        let mut skip = place & 0xffff_ffff;
        for node in first..signed.version().nodes().len() {
            if let Some(record) = node_records(signed, node, skip, writer) {
                return Some(1 + (u64::try_from(node).unwrap_or(0) << 32 | record));
            }
            skip = 0;
        }
    }
    (!soa(signed, writer)).then_some(LAST)
}

/// Write a node's records but the SOA, the first `skip` left out; the first that does not fit, if any.
fn node_records(signed: &SignedVersion, node: usize, skip: u64, writer: &mut Writer<'_>) -> Option<u64> {
    let mut number = 0;
    let mut stopped = None;
    signed.each_record(node, |owner, rtype, ttl, rdata| {
        if rtype == rrtype::SOA {
            return;
        }
        number += 1;
        if number <= skip || stopped.is_some() {
            return;
        }
        let mark = writer.mark();
        if writer.record(Section::Answer, owner, rtype, ttl, rdata).is_err() {
            writer.roll_back(mark);
            stopped = Some(number - 1);
        }
    });
    stopped
}

fn soa(signed: &SignedVersion, writer: &mut Writer<'_>) -> bool {
    let Some(soa) = signed.version().soa() else { return true };
    let owner = NameBuffer::of(signed.version().origin());
    let mark = writer.mark();
    let written =
        soa.rdatas().all(|rdata| writer.record(Section::Answer, owner.wire(), rrtype::SOA, soa.ttl, rdata).is_ok());
    if !written {
        writer.roll_back(mark);
    }
    written
}
