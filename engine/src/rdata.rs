//! Types and their rdata: one table of fields that serves text, wire and canonical form.
//!
//! A *layout* is the list of a type's fields; `parse` reads them from text, `print` writes them as text, `walk`
//! finds their ends in wire form. A type without a layout has the generic form alone (RFC 3597 section 5).
//! Rdata here is always uncompressed.

mod parse;
mod print;
mod special;
mod svcb;
mod table;
mod walk;

use std::borrow::Cow;

pub use parse::put_bitmap;
pub use parse::{RdataError, from_line, from_text, ttl_from_text};
pub(crate) use parse::{decimal, shown};
pub use print::{to_text, types};
pub use walk::{canonical, check, uncompressed};

use crate::name;
use rtype::{
    A6, AFSDB, CNAME, DNAME, HTTPS, KX, MB, MD, MF, MG, MINFO, MR, MX, NAPTR, NS, NXT, PTR, PX, RP, RRSIG, RT, SIG,
    SOA, SRV, SVCB,
};

/// One field of rdata, as it stands in the wire form and in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// One octet, decimal.
    U8,
    /// Two octets, decimal.
    U16,
    /// Four octets, decimal.
    U32,
    /// Eight octets, decimal.
    U64,
    /// Four octets, decimal or with the units w d h m s.
    Ttl,
    /// A point in time: `YYYYMMDDHHMMSS` or seconds (RFC 4034 section 3.2).
    Time,
    /// A type number by its mnemonic.
    Type,
    /// A DNSSEC algorithm number or mnemonic.
    Algorithm,
    /// A DS digest type, number or mnemonic.
    Digest,
    /// A certificate type, number or mnemonic (RFC 4398 section 2.1).
    Certificate,
    /// DNSKEY flags, number or mnemonics joined by `|`.
    KeyFlags,
    /// DNSKEY protocol, number or mnemonic.
    KeyProtocol,
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// A domain name.
    Name,
    /// One character-string.
    String,
    /// No or one character-string, to the end.
    StringIfAny,
    /// One or more character-strings, to the end.
    Strings,
    /// The rest as text, without a length octet.
    Text,
    /// The rest as text that must stand in quotes, without a length octet.
    QuotedText,
    /// Letters and digits with a length octet (CAA's tag).
    Tag,
    /// Hex to the end, at least one octet.
    Hex,
    /// Base64 to the end, at least one octet.
    Base64,
    /// Base64 to the end, possibly nothing.
    Base64IfAny,
    /// Base64 to the end, `-` for nothing.
    Base64OrDash,
    /// Hex in one word with a length octet, `-` for nothing (NSEC3 salt).
    Salt,
    /// Base32hex in one word with a length octet (NSEC3 next owner).
    Hash,
    /// Type bitmaps, to the end (RFC 4034 section 4.1.2).
    Bitmap,
    /// Service parameters, to the end (RFC 9460 section 2.1).
    Parameters,
    /// Eight octets as four groups of hex with colons (RFC 6742).
    Locator,
    /// This many octets as pairs of hex with hyphens.
    Eui(u8),
    /// Hex after `0x` (NSAP, RFC 1706).
    Nsap,
    /// All rdata of LOC (RFC 1876).
    Loc,
    /// Address prefixes (RFC 3123), to the end.
    Prefixes,
    /// Gateway type, algorithm, gateway of IPSECKEY behind the precedence (RFC 4025), to the end.
    Ipsec,
    /// Discovery bit, relay type and relay of AMTRELAY (RFC 8777), to the end.
    Relay,
    /// All rdata of HIP (RFC 8005).
    Hip,
    /// All rdata of ATMA (ATM Forum AF-DANS-0152).
    Atma,
    /// All rdata of A6 (RFC 2874 section 3.1).
    Chain,
    /// One bitmap of the types below 128, to the end (NXT, RFC 2535 section 5.2).
    OldBitmap,
    /// A DSYNC scheme, number or mnemonic (RFC 9859 section 2.1).
    Scheme,
    /// Protocol and ports of WKS behind the address (RFC 1035 section 3.4.2), to the end.
    Services,
}

/// What RFC 3597 section 4 lets a sender compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// The name at this offset, to the end of the rdata.
    NameAt(u8),
    /// The two names the rdata begins with.
    TwoNames,
}

pub(crate) struct Layout {
    pub(crate) rtype: u16,
    pub(crate) mnemonic: &'static str,
    pub(crate) fields: &'static [Field],
}

/// Type numbers that code speaks of by name.
pub mod rtype {
    #![allow(missing_docs, reason = "the names are the IANA mnemonics")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const MD: u16 = 3;
    pub const MF: u16 = 4;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const MB: u16 = 7;
    pub const MG: u16 = 8;
    pub const MR: u16 = 9;
    pub const PTR: u16 = 12;
    pub const MINFO: u16 = 14;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const RP: u16 = 17;
    pub const AFSDB: u16 = 18;
    pub const X25: u16 = 19;
    pub const RT: u16 = 21;
    pub const SIG: u16 = 24;
    pub const KEY: u16 = 25;
    pub const PX: u16 = 26;
    pub const AAAA: u16 = 28;
    pub const LOC: u16 = 29;
    pub const NXT: u16 = 30;
    pub const SRV: u16 = 33;
    pub const NAPTR: u16 = 35;
    pub const KX: u16 = 36;
    pub const A6: u16 = 38;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const SSHFP: u16 = 44;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const NSEC3PARAM: u16 = 51;
    pub const CDS: u16 = 59;
    pub const CDNSKEY: u16 = 60;
    pub const ZONEMD: u16 = 63;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const ANY: u16 = 255;
    pub const CAA: u16 = 257;
    pub const TA: u16 = 32768;
    pub const DLV: u16 = 32769;
}

/// Whether no record can have this type: 0, OPT and the question types (RFC 6895 section 3.1).
#[must_use]
pub fn is_meta(rtype: u16) -> bool {
    rtype == 0 || rtype == rtype::OPT || (128..=255).contains(&rtype)
}

/// The number of a mnemonic in any case, or of `TYPEnnn`.
#[must_use]
pub fn rtype_from_text(text: &[u8]) -> Option<u16> {
    table::by_mnemonic(text).or_else(|| generic_number(text, b"TYPE"))
}

/// The number behind `TYPE` or `CLASS` (RFC 3597 section 5).
pub(crate) fn generic_number(text: &[u8], prefix: &[u8]) -> Option<u16> {
    let (start, digits) = text.split_at_checked(prefix.len())?;
    if !start.eq_ignore_ascii_case(prefix) {
        return None;
    }
    parse::decimal(digits).and_then(|number| u16::try_from(number).ok())
}

/// The mnemonic of a type number, `TYPEnnn` where it has none.
#[must_use]
pub fn rtype_to_text(rtype: u16) -> Cow<'static, str> {
    table::mnemonic(rtype).map_or_else(|| Cow::Owned(format!("TYPE{rtype}")), Cow::Borrowed)
}

/// Whether names in this type's rdata are lower case in canonical form (RFC 4034 section 6.2 item 3, as RFC 6840
/// section 5.1 has it: NSEC's next name keeps its case); false: canonical form is the rdata itself.
#[must_use]
pub fn has_canonical_change(rtype: u16) -> bool {
    matches!(
        rtype,
        NS | MD
            | MF
            | CNAME
            | SOA
            | MB
            | MG
            | MR
            | PTR
            | MINFO
            | MX
            | RP
            | AFSDB
            | RT
            | SIG
            | PX
            | NXT
            | A6
            | NAPTR
            | KX
            | SRV
            | DNAME
            | RRSIG
    )
}

/// What a sender may compress in rdata of this type: names of RFC 1035's types alone (RFC 3597 section 4).
#[must_use]
pub fn compression(rtype: u16) -> Compression {
    match rtype {
        NS | MD | MF | CNAME | MB | MG | MR | PTR => Compression::NameAt(0),
        MX => Compression::NameAt(2),
        SOA | MINFO => Compression::TwoNames,
        _ => Compression::None,
    }
}

/// The host name whose addresses go into the additional section; None for types without one or rdata that is cut.
#[must_use]
pub fn target(rtype: u16, rdata: &[u8]) -> Option<&[u8]> {
    let at = match rtype {
        NS => 0,
        MX | AFSDB | RT | KX | SVCB | HTTPS => 2,
        SRV => 6,
        _ => return None,
    };
    let rest = rdata.get(at..)?;
    rest.get(..name::length(rest)?)
}

#[cfg(test)]
mod tests;
