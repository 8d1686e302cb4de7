//! A sealed version as the messages of a zone transfer (RFC 5936).
//!
//! A *position* says where the next message begins: 0 at first, else one more than node and record put together. The SOA opens and closes the
//! transfer (section 2.2); glue and occluded names are part of the zone (section 3).

use crate::answer::NameBuffer;
use crate::message::{Opt, Query, Section, UDP_SIZE, Writer, flag, rrtype};
use crate::signed::SignedVersion;

/// Where the next message begins; `None` after the last.
pub type Position = Option<u64>;

const LAST: u64 = u64::MAX;

/// Write one message answering `query` from `position` into `out`: its length and where the next one begins.
///
/// # Errors
/// The version is open, or a record does not fit into `out` at all.
pub fn message(
    signed: &SignedVersion,
    query: &Query<'_>,
    position: u64,
    out: &mut [u8],
) -> Result<(usize, Position), String> {
    if !signed.is_sealed() {
        return Err("an open version is not transferred".to_owned());
    }
    let opt = query.edns.map(|edns| Opt { size: UDP_SIZE, dnssec_ok: edns.dnssec_ok, ..Opt::default() });
    let reserve = opt.as_ref().map_or(0, Opt::len);
    let limit = out.len();
    let mut writer = Writer::answering(query, out, limit, reserve).map_err(|_| "no room for the question")?;
    writer.set_flags(flag::AA);
    let next = fill(signed, position, &mut writer);
    if writer.is_section_empty(Section::Answer) {
        return Err("a record does not fit into a message".to_owned());
    }
    Ok((writer.finish(opt.as_ref()), next))
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
