//! How responses are framed: size, OPT and its options, cookies; and the framing of what Python answered.
//!
//! A *manner* is what is known of a response before anybody looks at the question: how long it may be and which OPT it
//! has (RFC 6891 section 6.2). Directly answered queries are written in their manner; what a chain answered is *dressed*
//! in it afterwards, so that both look the same.

use std::net::IpAddr;

use crate::cookie::{Cookies, NotACookie, Standing};
use crate::counters::Transport;
use crate::effect::Effects;
use crate::message::{HEADER, Malformed, Opt, Parts, Query, Writer, flag, option, options_of, rcode};
use crate::responder::Outcome;

/// The size of what answers a query, and its OPT.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// The most octets.
    pub limit: usize,
    /// The OPT record, if the query has one.
    pub opt: Option<Opt<'a>>,
    /// What the query's cookie says.
    pub standing: Standing,
}

impl<'a> Manner<'a> {
    /// For a query that came this way. `idle` is how long a stream may be idle, in tenths of a second.
    #[must_use]
    pub fn new(query: &Query<'_>, transport: Transport, effects: &'a Effects, idle: u16) -> Self {
        let limit = match transport {
            Transport::Udp => usize::from(query.udp_size().min(effects.size).max(512)),
            Transport::Tcp => usize::from(u16::MAX),
        };
        let opt = query.edns.map(|edns| Opt {
            size: effects.size,
            dnssec_ok: edns.dnssec_ok,
            // Without an option nothing is looked for.
            nsid: effects.nsid.as_deref().filter(|_| !edns.options.is_empty() && edns.option(option::NSID).is_some()),
            // RFC 7828 section 3.3.1: ignored in datagrams. Padding (RFC 7830 section 6) is for encrypted transports alone.
            keepalive: (transport == Transport::Tcp && edns.option(option::KEEPALIVE).is_some()).then_some(idle),
            ..Opt::default()
        });
        Self { limit, opt, standing: Standing::None }
    }

    /// Look at the cookie and have it answered; `now` is read only if there is one.
    ///
    /// # Errors
    /// The option is no cookie: FORMERR.
    pub fn take_cookie(
        &mut self,
        query: &Query<'_>,
        cookies: &Cookies,
        client: IpAddr,
        now: impl FnOnce() -> i64,
    ) -> Result<(), NotACookie> {
        if let (Some(opt), Some(data)) = (&mut self.opt, query.edns.and_then(|edns| edns.option(option::COOKIE))) {
            (self.standing, opt.cookie) = cookies.judge(data, client, now())?;
        }
        Ok(())
    }

    fn reserve(&self) -> usize {
        self.opt.as_ref().map_or(0, Opt::len)
    }

    /// A writer that leaves room for OPT.
    #[must_use]
    #[inline]
    pub fn writer<'o>(&self, query: &Query<'_>, out: &'o mut [u8]) -> Option<Writer<'o>> {
        Writer::answering(query, out, self.limit, self.reserve()).ok()
    }

    /// A response without records.
    #[must_use]
    pub fn refuse(&self, query: &Query<'_>, code: u16, error: Option<u16>, out: &mut [u8]) -> Outcome {
        let manner = Self { opt: self.opt.map(|opt| Opt { rcode: code, error, ..opt }), ..*self };
        let Some(mut writer) = manner.writer(query, out) else { return Outcome::Silent };
        writer.set_rcode(code);
        Outcome::Answer(writer.finish(manner.opt.as_ref()))
    }

    /// A response that says no more than that the client is to come by TCP.
    #[must_use]
    pub fn truncated(&self, query: &Query<'_>, out: &mut [u8]) -> Outcome {
        let Some(mut writer) = self.writer(query, out) else { return Outcome::Silent };
        writer.set_flags(flag::TC);
        Outcome::Answer(writer.finish(self.opt.as_ref()))
    }

    /// What a chain answered, in this manner: its OPT is replaced by ours, with the options it has of its own; what is
    /// too long is truncated; for `minimal`, what a positive answer does not need is cut off.
    #[must_use]
    pub fn dress(&self, query: &Query<'_>, response: &[u8], minimal: bool, out: &mut [u8]) -> Outcome {
        let Some(parts) = Parts::of(response).filter(|parts| parts.opt_is_last) else { return whole(response, out) };
        let Some(opt) = self.opt else {
            // RFC 1035 section 4.2.1: no more than 512 octets, where nobody said that more are taken.
            return if response.len() > self.limit { self.truncated(query, out) } else { whole(response, out) };
        };
        let old = response.get(parts.opt.clone()).unwrap_or(&[]);
        let (extended, more) = opt_of(old);
        let low = u16::from(response.get(3).copied().unwrap_or(0) & 15);
        let compact_ok = old.get(7).is_some_and(|flags| flags & 0x40 != 0);
        let opt = Opt { rcode: extended << 4 | low, compact_ok, more: &more, ..opt };
        let is_cut = minimal && low == rcode::NOERROR && parts.counts[0] > 0 && !parts.has_proofs;
        let (end, counts) = if is_cut {
            (parts.answers_end, [parts.counts[0], 0, 0])
        } else {
            let [answers, authorities, additionals] = parts.counts;
            (parts.opt.start, [answers, authorities, additionals - u16::from(!old.is_empty())])
        };
        let body = response.get(..end).unwrap_or(&[]);
        if end + opt.len() > self.limit {
            let manner = Manner { opt: Some(opt), limit: self.limit, standing: self.standing };
            return manner.truncated(query, out);
        }
        Writer::resume(body, counts, out).map_or(Outcome::Silent, |writer| Outcome::Answer(writer.finish(Some(&opt))))
    }
}

/// The upper bits of the response code and the options that are not ours to set.
fn opt_of(record: &[u8]) -> (u16, Vec<u8>) {
    let mut more = Vec::new();
    for (code, data) in options_of(record.get(11..).unwrap_or(&[])) {
        if !matches!(code, option::NSID | option::COOKIE | option::KEEPALIVE) {
            more.extend(code.to_be_bytes());
            more.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            more.extend(data);
        }
    }
    (u16::from(record.get(5).copied().unwrap_or(0)), more)
}

/// The response as it is.
#[must_use]
pub fn whole(response: &[u8], out: &mut [u8]) -> Outcome {
    match out.get_mut(..response.len()) {
        Some(place) => {
            place.copy_from_slice(response);
            Outcome::Answer(response.len())
        }
        None => Outcome::Silent,
    }
}

/// A response that is a header and no more, to what has no question to repeat.
#[must_use]
pub fn head_only(octets: &[u8], code: u16, out: &mut [u8]) -> Outcome {
    let (Some(head), Some(place)) = (octets.get(..4), out.get_mut(..HEADER)) else { return Outcome::Silent };
    place.fill(0);
    for (to, from) in place.iter_mut().zip(head) {
        *to = *from;
    }
    if let [_, _, first, second, ..] = place {
        *first = (*first & 0x79) | 0x80;
        *second = (*second & 0x10) | u8::try_from(code & 15).unwrap_or(0);
    }
    Outcome::Answer(HEADER)
}

/// What is said to octets that are no query.
#[must_use]
pub fn to_malformed(octets: &[u8], reason: Malformed, out: &mut [u8]) -> Outcome {
    match reason {
        Malformed::Silent => Outcome::Silent,
        Malformed::FormErr => head_only(octets, rcode::FORMERR, out),
    }
}
