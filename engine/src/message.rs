//! DNS messages: queries parsed in bounds, responses written with compression and truncation (RFC 1035 section 4, RFC 6891).
//!
//! A response is written into a buffer the caller lends; an RRset that does not fit is rolled back whole, and what
//! that means (TC, or left out) is the caller's to say.

use crate::answer::NameBuffer;
use crate::cookie;
use crate::name;
use crate::rdata::{self, Compression};

/// Octets of the message header.
pub const HEADER: usize = 12;
/// What we offer and what we send at most over UDP by default (DNS flag day 2020; the manual says why).
pub const UDP_SIZE: u16 = 1232;

/// Numbers of the types the engine itself looks at.
#[allow(missing_docs)]
pub mod rrtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const NSEC3PARAM: u16 = 51;
    pub const CDS: u16 = 59;
    pub const CDNSKEY: u16 = 60;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    /// Says in compact denial that a name does not exist; never asked for (RFC 9824).
    pub const NXNAME: u16 = 128;
    pub const TSIG: u16 = 250;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const MAILB: u16 = 253;
    pub const MAILA: u16 = 254;
    pub const ANY: u16 = 255;
}

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[allow(missing_docs)]
pub mod rcode {
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const YXDOMAIN: u16 = 6;
    pub const BADVERS: u16 = 16;
    pub const BADCOOKIE: u16 = 23;
}

/// Header bits in the second 16 bits of a message.
#[allow(missing_docs)]
pub mod flag {
    pub const QR: u16 = 0x8000;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const CD: u16 = 0x0010;
}

/// The mnemonic of a response code.
#[must_use]
pub fn rcode_text(rcode: u16) -> String {
    let known = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    ];
    known.get(usize::from(rcode)).map_or_else(|| format!("RCODE{rcode}"), |text| (*text).to_owned())
}

/// Opcodes.
#[allow(missing_docs)]
pub mod opcode {
    pub const QUERY: u8 = 0;
    pub const NOTIFY: u8 = 4;
    pub const UPDATE: u8 = 5;
}

/// EDNS options.
#[allow(missing_docs)]
pub mod option {
    pub const NSID: u16 = 3;
    /// RFC 7314.
    pub const EXPIRE: u16 = 9;
    pub const COOKIE: u16 = 10;
    pub const KEEPALIVE: u16 = 11;
    pub const EDE: u16 = 15;
}

/// Extended errors (RFC 8914 section 4).
#[allow(missing_docs)]
pub mod ede {
    pub const NOT_READY: u16 = 14;
    pub const NOT_AUTHORITATIVE: u16 = 20;
    pub const NOT_SUPPORTED: u16 = 21;
    pub const INVALID_DATA: u16 = 24;
    pub const INVALID_QUERY_TYPE: u16 = 30;
}

/// Class IN.
pub const CLASS_IN: u16 = 1;
/// Class ANY.
pub const CLASS_ANY: u16 = 255;

/// The 16 bits at a place.
pub(crate) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let pair = octets.get(at..at + 2)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    let quad = octets.get(at..at + 4)?;
    Some(u32::from_be_bytes(quad.try_into().ok()?))
}

/// A query's EDNS (RFC 6891 section 6.1).
#[derive(Clone, Copy, Debug)]
pub struct Edns<'a> {
    /// The requestor's UDP payload size; values below 512 count as 512 (section 6.2.3).
    pub size: u16,
    /// EDNS version.
    pub version: u8,
    /// DO (RFC 3225).
    pub dnssec_ok: bool,
    /// CO: a compact answer may say NXDOMAIN (RFC 9824 section 5.1).
    pub compact_ok: bool,
    /// The options as they came.
    pub options: &'a [u8],
}

impl<'a> Edns<'a> {
    /// The data of the first option of this code; later ones of the same code do not count (RFC 7873 section 5.2).
    #[must_use]
    pub fn option(&self, code: u16) -> Option<&'a [u8]> {
        options_of(self.options).find(|(found, _)| *found == code).map(|(_, data)| data)
    }
}

/// The options of an OPT record's rdata, as far as they are whole.
pub fn options_of(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        let [c0, c1, l0, l1] = *head;
        let (data, after) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        rest = after;
        Some((u16::from_be_bytes([c0, c1]), data))
    })
}

/// A parsed query: header, one question, EDNS.
#[derive(Debug)]
pub struct Query<'a> {
    /// The whole message.
    pub octets: &'a [u8],
    /// The message id.
    pub id: u16,
    /// The second 16 bits of the header.
    pub flags: u16,
    /// There is a question; without one the name is the root, and type and class are 0.
    pub has_question: bool,
    /// The question's name as it came.
    pub qname: &'a [u8],
    /// The question's type.
    pub qtype: u16,
    /// The question's class.
    pub qclass: u16,
    /// Where the question section ends.
    pub question_end: usize,
    /// EDNS, if the query has it.
    pub edns: Option<Edns<'a>>,
    /// The message ends with a TSIG record (RFC 8945).
    pub has_tsig: bool,
}

/// Why octets are no query we parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Too short for a header, or a response: said nothing to, so that two servers never answer each other.
    Silent,
    /// A header, and something wrong behind it.
    FormErr,
}

impl<'a> Query<'a> {
    /// The opcode.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        opcode_of(self.flags)
    }

    /// DO is set.
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// What the client takes over UDP.
    #[must_use]
    pub fn udp_size(&self) -> u16 {
        self.edns.map_or(512, |edns| edns.size)
    }

    /// Parse a message that asks something.
    ///
    /// # Errors
    /// `Silent` for what must not be answered, `FormErr` for what can be.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_any(octets).and_then(|query| if query.has_question { Ok(query) } else { Err(Malformed::FormErr) })
    }

    /// The same, and what asks for nothing but a cookie (RFC 7873 section 5.4).
    ///
    /// # Errors
    /// As `parse`.
    pub fn parse_any(octets: &'a [u8]) -> Result<Self, Malformed> {
        let flags = u16_at(octets, 2).filter(|_| octets.len() >= HEADER).ok_or(Malformed::Silent)?;
        if flags & flag::QR != 0 {
            return Err(Malformed::Silent);
        }
        // RFC 9619 section 4: one question at most.
        let query = match u16_at(octets, 4) {
            Some(0) => Self::parse_bare(octets, flags),
            Some(1) => Self::parse_body(octets, flags),
            _ => None,
        };
        query.ok_or(Malformed::FormErr)
    }

    fn parse_bare(octets: &'a [u8], flags: u16) -> Option<Self> {
        let mut query = Query {
            octets,
            id: u16_at(octets, 0)?,
            flags,
            has_question: false,
            qname: name::ROOT,
            qtype: 0,
            qclass: 0,
            question_end: HEADER,
            edns: None,
            has_tsig: false,
        };
        query.parse_records()?;
        query.edns?.option(option::COOKIE).map(|_| query)
    }

    fn parse_body(octets: &'a [u8], flags: u16) -> Option<Self> {
        let rest = octets.get(HEADER..)?;
        // A compressed qname has nothing before it to point to (RFC 1035 section 4.1.4).
        let qname = rest.get(..name::length(rest)?)?;
        let after = HEADER + qname.len();
        let mut query = Query {
            octets,
            id: u16_at(octets, 0)?,
            flags,
            has_question: true,
            qname,
            qtype: u16_at(octets, after)?,
            qclass: u16_at(octets, after + 2)?,
            question_end: after + 4,
            edns: None,
            has_tsig: false,
        };
        query.parse_records()?;
        Some(query)
    }

    fn parse_records(&mut self) -> Option<()> {
        let skipped = usize::from(u16_at(self.octets, 6)?) + usize::from(u16_at(self.octets, 8)?);
        let additional = usize::from(u16_at(self.octets, 10)?);
        let mut at = self.question_end;
        for _ in 0..skipped {
            let head = RecordHead::parse(self.octets, at)?;
            // These belong to ADDITIONAL (RFC 6891 section 6.1.1, RFC 8945 section 5.1).
            if matches!(head.rtype, rrtype::OPT | rrtype::TSIG) {
                return None;
            }
            at = head.end;
        }
        for _ in 0..additional {
            if self.has_tsig {
                // TSIG is the last record of all (RFC 8945 section 5.1).
                return None;
            }
            let head = RecordHead::parse(self.octets, at)?;
            match head.rtype {
                rrtype::OPT => self.take_opt(at, &head)?,
                rrtype::TSIG => self.has_tsig = true,
                _ => {}
            }
            at = head.end;
        }
        (at == self.octets.len()).then_some(())
    }

    fn take_opt(&mut self, at: usize, head: &RecordHead) -> Option<()> {
        // One OPT at most, owned by the root (RFC 6891 sections 6.1.1 and 6.1.2).
        if self.edns.is_some() || self.octets.get(at) != Some(&0) {
            return None;
        }
        let options = self.octets.get(head.rdata..head.end)?;
        check_options(options)?;
        let [_, version, flags, _] = head.ttl.to_be_bytes();
        self.edns = Some(Edns {
            size: head.class.max(512),
            version,
            dnssec_ok: flags & 0x80 != 0,
            compact_ok: flags & 0x40 != 0,
            options,
        });
        Some(())
    }
}

/// The opcode in header bits.
#[must_use]
pub fn opcode_of(flags: u16) -> u8 {
    u8::try_from((flags >> 11) & 15).unwrap_or(0)
}

fn check_options(options: &[u8]) -> Option<()> {
    let mut at = 0;
    while at < options.len() {
        at += 4 + usize::from(u16_at(options, at + 2)?);
    }
    (at == options.len()).then_some(())
}

/// What stands between a record's owner and its rdata, and where that begins and ends.
pub(crate) struct RecordHead {
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) rdata: usize,
    pub(crate) end: usize,
}

impl RecordHead {
    pub(crate) fn parse(octets: &[u8], at: usize) -> Option<Self> {
        let fixed = skip_name(octets, at)?;
        let rdata = fixed + 10;
        let end = rdata + usize::from(u16_at(octets, fixed + 8)?);
        (end <= octets.len()).then_some(())?;
        Some(Self {
            rtype: u16_at(octets, fixed)?,
            class: u16_at(octets, fixed + 2)?,
            ttl: u32_at(octets, fixed + 4)?,
            rdata,
            end,
        })
    }
}

/// Where the parts of a response lie.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Records in ANSWER, AUTHORITY and ADDITIONAL.
    pub counts: [u16; 3],
    /// Where ANSWER ends.
    pub answers_end: usize,
    /// AUTHORITY has NSEC or NSEC3, which an answer made of a wildcard needs.
    pub has_proofs: bool,
    /// The OPT record, or the end of the message.
    pub opt: std::ops::Range<usize>,
    /// Nothing comes behind the OPT record.
    pub opt_is_last: bool,
}

impl Parts {
    /// Of a well-formed message.
    #[must_use]
    pub fn of(octets: &[u8]) -> Option<Self> {
        let (mut at, counts) = sections(octets)?;
        let mut parts = Self { counts, answers_end: at, has_proofs: false, opt: 0..0, opt_is_last: true };
        for (section, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let head = RecordHead::parse(octets, at)?;
                match head.rtype {
                    rrtype::OPT if section == 2 => parts.opt = at..head.end,
                    rrtype::NSEC | rrtype::NSEC3 if section == 1 => parts.has_proofs = true,
                    _ => {}
                }
                at = head.end;
            }
            if section == 0 {
                parts.answers_end = at;
            }
        }
        if parts.opt.is_empty() {
            parts.opt = at..at;
        }
        parts.opt_is_last = parts.opt.end == at && at == octets.len();
        Some(parts)
    }
}

/// Where ANSWER begins, and how many records ANSWER, AUTHORITY and ADDITIONAL have.
pub(crate) fn sections(octets: &[u8]) -> Option<(usize, [u16; 3])> {
    let mut at = HEADER;
    for _ in 0..u16_at(octets, 4)? {
        at = skip_name(octets, at)? + 4;
    }
    Some((at, [u16_at(octets, 6)?, u16_at(octets, 8)?, u16_at(octets, 10)?]))
}

fn skip_name(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *octets.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            192..=255 => return (at + 2 <= octets.len()).then_some(at + 2),
            _ => return None,
        }
    }
}

/// The name at a place of a message, its pointers followed; they lead backwards (RFC 1035 section 4.1.4).
#[must_use]
pub fn name_at(octets: &[u8], at: usize) -> Option<NameBuffer> {
    let mut found = Vec::with_capacity(64);
    name_into(octets, at, &mut found).map(|_| NameBuffer::of(&found))
}

/// The same, appended to `found`, and where what follows it begins.
#[must_use]
pub fn name_into(octets: &[u8], mut at: usize, found: &mut Vec<u8>) -> Option<usize> {
    let start = found.len();
    let mut bound = octets.len();
    let mut end = None;
    loop {
        let len = usize::from(*octets.get(at)?);
        if len >= 0xc0 {
            let target = usize::from(u16_at(octets, at)? & 0x3fff);
            (target < at.min(bound)).then_some(())?;
            end = end.or(Some(at + 2));
            (at, bound) = (target, target);
            continue;
        }
        found.extend_from_slice(octets.get(at..=at + len)?);
        (len < 64 && found.len() - start <= name::MAX_OCTETS).then_some(())?;
        at += 1 + len;
        if len == 0 {
            return end.or(Some(at));
        }
    }
}

/// The sections a record can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// ANSWER.
    Answer,
    /// AUTHORITY.
    Authority,
    /// ADDITIONAL.
    Additional,
}

/// A place in a half-written response to roll back to.
#[derive(Clone, Copy)]
pub struct Mark {
    len: usize,
    counts: [u16; 3],
    entries: usize,
}

const ENTRIES: usize = 96;
/// Pointers that lead one after another to the end of a name, at most; readers give up on long chains (BIND after 16).
const MOST_POINTERS: usize = 8;

/// Names written so far, by suffix: where each stands and a hash of its octets.
struct Suffixes {
    hashes: [u32; ENTRIES],
    places: [u16; ENTRIES],
    count: usize,
}

/// Writes one response.
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    limit: usize,
    counts: [u16; 3],
    suffixes: Suffixes,
}

/// Does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<'a> Writer<'a> {
    /// A response to `query`: its header (id, opcode, RD and CD as asked, QR set) and question are written, and room
    /// for `reserve` octets is kept at the end (for OPT). Deviates from RFC 4035 section 3.1.6, which would clear CD: BIND,
    /// NSD and Knot DNS copy it, and forwarders rely on that.
    ///
    /// # Errors
    /// The question itself does not fit.
    pub fn answering(query: &Query<'_>, out: &'a mut [u8], limit: usize, reserve: usize) -> Result<Self, Full> {
        let limit = limit.min(out.len()).checked_sub(reserve).ok_or(Full)?;
        let suffixes = Suffixes { hashes: [0; ENTRIES], places: [0; ENTRIES], count: 0 };
        let mut writer = Self { out, len: 0, limit, counts: [0; 3], suffixes };
        let flags = flag::QR | (query.flags & (0x7800 | flag::RD | flag::CD));
        writer.put(&query.id.to_be_bytes())?;
        writer.put(&flags.to_be_bytes())?;
        writer.put(&[0, u8::from(query.has_question), 0, 0, 0, 0, 0, 0])?;
        writer.put(query.octets.get(HEADER..query.question_end).ok_or(Full)?)?;
        writer.remember(query.qname, HEADER);
        Ok(writer)
    }

    /// Go on with a message that lacks its OPT, whose sections hold so many records.
    #[must_use]
    pub fn resume(body: &[u8], counts: [u16; 3], out: &'a mut [u8]) -> Option<Self> {
        out.get_mut(..body.len())?.copy_from_slice(body);
        let suffixes = Suffixes { hashes: [0; ENTRIES], places: [0; ENTRIES], count: 0 };
        let limit = out.len();
        Some(Self { out, len: body.len(), limit, counts, suffixes })
    }

    /// Set header bits.
    pub fn set_flags(&mut self, bits: u16) {
        let [high, low] = bits.to_be_bytes();
        if let Some([_, _, first, second, ..]) = self.out.get_mut(..4) {
            *first |= high;
            *second |= low;
        }
    }

    /// The low four bits of the response code.
    pub fn set_rcode(&mut self, rcode: u16) {
        if let Some(place) = self.out.get_mut(3) {
            *place = (*place & 0xf0) | u8::try_from(rcode & 15).unwrap_or(0);
        }
    }

    /// Octets written so far.
    #[must_use]
    pub fn written(&self) -> usize {
        self.len
    }

    /// Whether a section has no record yet.
    #[must_use]
    pub fn is_section_empty(&self, section: Section) -> bool {
        self.counts.get(section as usize).is_none_or(|count| *count == 0)
    }

    /// How many octets are still free.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Here.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { len: self.len, counts: self.counts, entries: self.suffixes.count }
    }

    /// Forget what was written since `mark`.
    pub fn roll_back(&mut self, mark: Mark) {
        self.len = mark.len;
        self.counts = mark.counts;
        self.suffixes.count = mark.entries;
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.len + octets.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(octets);
        self.len = end;
        Ok(())
    }

    /// Write owner, type, class IN and TTL, and keep room for RDLENGTH; returns where the rdata begins.
    fn open(&mut self, section: Section, owner: &[u8], rtype: u16, ttl: u32) -> Result<usize, Full> {
        self.name(owner)?;
        let [t0, t1] = rtype.to_be_bytes();
        let [l0, l1, l2, l3] = ttl.to_be_bytes();
        self.put(&[t0, t1, 0, 1, l0, l1, l2, l3, 0, 0])?;
        if let Some(count) = self.counts.get_mut(section as usize) {
            *count = count.checked_add(1).ok_or(Full)?;
        }
        Ok(self.len)
    }

    fn close(&mut self, rdata: usize) -> Result<(), Full> {
        let length = u16::try_from(self.len - rdata).map_err(|_| Full)?;
        self.out.get_mut(rdata - 2..rdata).ok_or(Full)?.copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Write one record of class IN; its rdata's names are compressed where RFC 3597 section 4 lets them be.
    ///
    /// # Errors
    /// It does not fit; then nothing of it is written.
    pub fn record(&mut self, section: Section, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Result<(), Full> {
        let mark = self.mark();
        self.try_record(section, owner, rtype, ttl, rdata).inspect_err(|_| self.roll_back(mark))
    }

    fn try_record(&mut self, section: Section, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Result<(), Full> {
        let start = self.open(section, owner, rtype, ttl)?;
        match rdata::compression(rtype) {
            Compression::None => self.put(rdata)?,
            Compression::NameAt(fixed) => {
                let (head, host) = rdata.split_at_checked(usize::from(fixed)).ok_or(Full)?;
                self.put(head)?;
                self.name(host)?;
            }
            Compression::TwoNames => {
                let (first, rest) = rdata.split_at_checked(name::length(rdata).ok_or(Full)?).ok_or(Full)?;
                let (second, tail) = rest.split_at_checked(name::length(rest).ok_or(Full)?).ok_or(Full)?;
                self.name(first)?;
                self.name(second)?;
                self.put(tail)?;
            }
        }
        self.close(start)
    }

    /// Write one record whose rdata comes in pieces that are not compressed.
    ///
    /// # Errors
    /// It does not fit; the caller rolls back.
    pub fn record_of_parts(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        parts: &[&[u8]],
    ) -> Result<(), Full> {
        let start = self.open(section, owner, rtype, ttl)?;
        for part in parts {
            self.put(part)?;
        }
        self.close(start)
    }

    /// Write a name, as a pointer to an equal one written before where there is one (RFC 1035 section 4.1.4).
    ///
    /// Only names equal octet for octet are shared, so that case survives (RFC 4343 section 4.1, RFC 5936 section 3.4).
    fn name(&mut self, wire: &[u8]) -> Result<(), Full> {
        let question = self.out.get(HEADER..HEADER + wire.len());
        if wire.len() > 2 && question.is_some_and(|asked| asked == wire) && self.len > HEADER + wire.len() {
            return self.put(&[0xc0, 12]);
        }
        let mut hashes = [0_u32; 128];
        let labels = suffix_hashes(wire, &mut hashes);
        let mut at = 0;
        for hash in hashes.iter().take(labels).rev() {
            let suffix = wire.get(at..).ok_or(Full)?;
            if let Some(place) = self.find(*hash, suffix) {
                return self.put(&(0xc000 | place).to_be_bytes());
            }
            self.add(*hash, self.len);
            let end = 1 + usize::from(*suffix.first().ok_or(Full)?);
            self.put(suffix.get(..end).ok_or(Full)?)?;
            at += end;
        }
        self.put(&[0])
    }

    fn remember(&mut self, wire: &[u8], place: usize) {
        let mut hashes = [0_u32; 128];
        let labels = suffix_hashes(wire, &mut hashes);
        let mut at = 0;
        for hash in hashes.iter().take(labels).rev() {
            self.add(*hash, place + at);
            at += 1 + usize::from(wire.get(at).copied().unwrap_or(0));
        }
    }

    fn add(&mut self, hash: u32, place: usize) {
        // A pointer has 14 bits.
        let Some(place) = u16::try_from(place).ok().filter(|place| *place < 0x4000) else { return };
        let count = self.suffixes.count;
        if let (Some(slot), Some(at)) = (self.suffixes.hashes.get_mut(count), self.suffixes.places.get_mut(count)) {
            *slot = hash;
            *at = place;
            self.suffixes.count += 1;
        }
    }

    fn find(&self, hash: u32, suffix: &[u8]) -> Option<u16> {
        let known = self.suffixes.hashes.get(..self.suffixes.count)?;
        known
            .iter()
            .zip(&self.suffixes.places)
            .find(|(seen, place)| **seen == hash && self.stands_at(usize::from(**place), suffix))
            .map(|(_, place)| *place)
    }

    /// Whether the (perhaps compressed) name written at `at` is `suffix`, octet for octet, and may be pointed to.
    fn stands_at(&self, mut at: usize, suffix: &[u8]) -> bool {
        let mut rest = suffix;
        let mut pointers = 1;
        loop {
            let Some(&len) = self.out.get(at) else { return false };
            if len >= 0xc0 {
                pointers += 1;
                if pointers > MOST_POINTERS {
                    return false;
                }
                at = usize::from(len & 0x3f) << 8 | usize::from(self.out.get(at + 1).copied().unwrap_or(0));
                continue;
            }
            let end = 1 + usize::from(len);
            match (self.out.get(at..at + end), rest.get(..end)) {
                (Some(written), Some(wanted)) if written == wanted => {}
                _ => return false,
            }
            if len == 0 {
                return true;
            }
            at += end;
            rest = rest.get(end..).unwrap_or(&[]);
        }
    }

    /// Write OPT into the room reserved for it and the counts; returns the length of the message.
    pub fn finish(mut self, opt: Option<&Opt<'_>>) -> usize {
        self.limit = self.out.len();
        let mark = self.mark();
        if let Some(opt) = opt
            && self.opt(opt).is_err()
        {
            self.roll_back(mark);
        }
        let [answers, authorities, additionals] = self.counts.map(u16::to_be_bytes);
        for (place, octets) in [(6, answers), (8, authorities), (10, additionals)] {
            if let Some(target) = self.out.get_mut(place..place + 2) {
                target.copy_from_slice(&octets);
            }
        }
        self.len
    }

    fn opt(&mut self, opt: &Opt<'_>) -> Result<(), Full> {
        let [s0, s1] = opt.size.to_be_bytes();
        let extended = u8::try_from(opt.rcode >> 4).unwrap_or(0);
        let [l0, l1] = u16::try_from(opt.options_len()).map_err(|_| Full)?.to_be_bytes();
        let flags = if opt.dnssec_ok { 0x80 } else { 0 } | if opt.compact_ok { 0x40 } else { 0 };
        self.put(&[0, 0, 41, s0, s1, extended, 0, flags, 0, l0, l1])?;
        self.options(opt)?;
        if let Some(count) = self.counts.get_mut(2) {
            *count += 1;
        }
        Ok(())
    }

    fn options(&mut self, opt: &Opt<'_>) -> Result<(), Full> {
        if let Some(nsid) = opt.nsid {
            self.option(option::NSID, nsid)?;
        }
        if let Some(cookie) = opt.cookie {
            self.option(option::COOKIE, &cookie)?;
        }
        if let Some(tenths) = opt.keepalive {
            self.option(option::KEEPALIVE, &tenths.to_be_bytes())?;
        }
        if let Some(seconds) = opt.expire {
            self.option(option::EXPIRE, &seconds.to_be_bytes())?;
        }
        if let Some(code) = opt.error {
            self.option(option::EDE, &code.to_be_bytes())?;
        }
        self.put(opt.more)
    }

    fn option(&mut self, code: u16, data: &[u8]) -> Result<(), Full> {
        self.put(&code.to_be_bytes())?;
        self.put(&u16::try_from(data.len()).map_err(|_| Full)?.to_be_bytes())?;
        self.put(data)
    }
}

/// The OPT record of a response (RFC 6891 section 6.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Opt<'a> {
    /// What we take over UDP.
    pub size: u16,
    /// DO, copied from the query (RFC 3225 section 3).
    pub dnssec_ok: bool,
    /// CO, set by a server that answers compactly (RFC 9824 section 5.1).
    pub compact_ok: bool,
    /// The whole response code; its high bits go here.
    pub rcode: u16,
    /// Who answers (RFC 5001).
    pub nsid: Option<&'a [u8]>,
    /// The client's cookie and ours (RFC 7873).
    pub cookie: Option<[u8; cookie::WHOLE]>,
    /// How long a stream may be idle, in tenths of a second (RFC 7828).
    pub keepalive: Option<u16>,
    /// When the zone expires, in seconds (RFC 7314).
    pub expire: Option<u32>,
    /// An extended error (RFC 8914).
    pub error: Option<u16>,
    /// Options of somebody else, as they stand in rdata.
    pub more: &'a [u8],
}

impl Opt<'_> {
    fn options_len(&self) -> usize {
        self.nsid.map_or(0, |nsid| 4 + nsid.len())
            + self.cookie.map_or(0, |_| 4 + cookie::WHOLE)
            + self.keepalive.map_or(0, |_| 6)
            + self.expire.map_or(0, |_| 8)
            + self.error.map_or(0, |_| 6)
            + self.more.len()
    }

    /// Octets this record takes.
    #[must_use]
    pub fn len(&self) -> usize {
        11 + self.options_len()
    }

    /// An OPT record is never empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// Hashes of all suffixes of a name, the shortest first; how many.
fn suffix_hashes(wire: &[u8], hashes: &mut [u32; 128]) -> usize {
    let mut starts = [0_u8; 128];
    let mut count = 0;
    let mut at = 0_usize;
    while let (Some(&len), Some(start)) = (wire.get(at).filter(|len| **len != 0), starts.get_mut(count)) {
        *start = u8::try_from(at).unwrap_or(u8::MAX);
        count += 1;
        at += 1 + usize::from(len);
    }
    let mut hash = 0x811c_9dc5_u32;
    for (start, slot) in starts.iter().take(count).rev().zip(hashes.iter_mut()) {
        let start = usize::from(*start);
        let len = usize::from(wire.get(start).copied().unwrap_or(0));
        for octet in wire.get(start..=start + len).unwrap_or(&[]) {
            hash = (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193);
        }
        *slot = hash;
    }
    count
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::name::{Name, ROOT};

    pub(crate) fn query(qname: &str, qtype: u16) -> Vec<u8> {
        let mut octets = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        octets.extend_from_slice(&Name::from_text(qname.as_bytes(), ROOT).unwrap());
        octets.extend(qtype.to_be_bytes());
        octets.extend([0, 1]);
        octets
    }

    #[test]
    fn a_query_with_edns_is_parsed_and_one_with_two_opts_is_refused() {
        let mut octets = query("www.Example.org.", 1);
        octets[11] = 1;
        let opt = [0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0];
        octets.extend(opt);
        let parsed = Query::parse(&octets).unwrap();
        assert!(parsed.dnssec_ok());
        assert_eq!(parsed.udp_size(), 4096);
        octets[11] = 2;
        octets.extend(opt);
        assert_eq!(Query::parse(&octets).unwrap_err(), Malformed::FormErr);
    }

    #[test]
    fn what_is_cut_short_is_never_parsed() {
        let octets = query("www.example.org.", 1);
        for len in 0..octets.len() {
            assert!(Query::parse(&octets[..len]).is_err());
        }
        assert!(Query::parse(&octets).is_ok());
    }

    #[test]
    fn names_are_compressed_against_the_question_and_each_other() {
        let octets = query("www.example.org.", 15);
        let parsed = Query::parse(&octets).unwrap();
        let mut out = [0; 512];
        let mut writer = Writer::answering(&parsed, &mut out, 512, 0).unwrap();
        let start = writer.written();
        let mut mx = vec![0, 10];
        mx.extend_from_slice(&Name::from_text(b"mail.example.org.", ROOT).unwrap());
        writer.record(Section::Answer, parsed.qname, 15, 60, &mx).unwrap();
        let first = writer.written();
        assert_eq!(first - start, 12 + 2 + 5 + 2);
        writer.record(Section::Answer, parsed.qname, 15, 60, &mx).unwrap();
        assert_eq!(writer.written() - first, 12 + 2 + 2);
    }

    #[test]
    fn what_does_not_fit_is_rolled_back_whole() {
        let octets = query("www.example.org.", 1);
        let parsed = Query::parse(&octets).unwrap();
        let mut out = [0; 64];
        let mut writer = Writer::answering(&parsed, &mut out, 64, 0).unwrap();
        let mark = writer.mark();
        writer.record(Section::Answer, parsed.qname, 1, 60, &[1, 2, 3, 4]).unwrap();
        assert!(writer.record(Section::Answer, parsed.qname, 1, 60, &[1, 2, 3, 4]).is_err());
        writer.roll_back(mark);
        assert_eq!(writer.finish(None), octets.len());
        assert_eq!(out[6..12], [0; 6]);
    }
}
