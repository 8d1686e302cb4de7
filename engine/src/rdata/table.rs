//! The table of types: number, mnemonic, fields.

#[allow(clippy::wildcard_imports, clippy::enum_glob_use, reason = "the rows below are read as words")]
use super::{Field, Field::*, Layout};

const fn row(rtype: u16, mnemonic: &'static str, fields: &'static [Field]) -> Layout {
    Layout { rtype, mnemonic, fields }
}

/// A type that has only the generic form.
const OPAQUE: &[Field] = &[];

/// All types with a mnemonic, by number. Sources: IANA's registry, the RFC of each; text as BIND 9.18 writes it.
static LAYOUTS: [Layout; 98] = [
    row(1, "A", &[A]),
    row(2, "NS", &[Name]),
    row(3, "MD", &[Name]),
    row(4, "MF", &[Name]),
    row(5, "CNAME", &[Name]),
    row(6, "SOA", &[Name, Name, U32, Ttl, Ttl, Ttl, Ttl]),
    row(7, "MB", &[Name]),
    row(8, "MG", &[Name]),
    row(9, "MR", &[Name]),
    row(10, "NULL", OPAQUE),
    row(11, "WKS", &[A, Services]),
    row(12, "PTR", &[Name]),
    row(13, "HINFO", &[String, String]),
    row(14, "MINFO", &[Name, Name]),
    row(15, "MX", &[U16, Name]),
    row(16, "TXT", &[Strings]),
    row(17, "RP", &[Name, Name]),
    row(18, "AFSDB", &[U16, Name]),
    row(19, "X25", &[String]),
    row(20, "ISDN", &[String, StringIfAny]),
    row(21, "RT", &[U16, Name]),
    row(22, "NSAP", &[Nsap]),
    row(23, "NSAP-PTR", &[Name]),
    row(24, "SIG", &[Type, Algorithm, U8, U32, Time, Time, U16, Name, Base64]),
    row(25, "KEY", &[KeyFlags, KeyProtocol, Algorithm, Base64IfAny]),
    row(26, "PX", &[U16, Name, Name]),
    row(27, "GPOS", &[String, String, String]),
    row(28, "AAAA", &[Aaaa]),
    row(29, "LOC", &[Loc]),
    row(30, "NXT", &[Name, OldBitmap]),
    row(31, "EID", &[Hex]),
    row(32, "NIMLOC", &[Hex]),
    row(33, "SRV", &[U16, U16, U16, Name]),
    row(34, "ATMA", &[Atma]),
    row(35, "NAPTR", &[U16, U16, String, String, String, Name]),
    row(36, "KX", &[U16, Name]),
    row(37, "CERT", &[Certificate, U16, Algorithm, Base64]),
    row(38, "A6", &[Chain]),
    row(39, "DNAME", &[Name]),
    row(40, "SINK", &[U8, U8, U8, Base64IfAny]),
    row(41, "OPT", OPAQUE),
    row(42, "APL", &[Prefixes]),
    row(43, "DS", &[U16, Algorithm, Digest, Hex]),
    row(44, "SSHFP", &[U8, U8, Hex]),
    row(45, "IPSECKEY", &[U8, Ipsec]),
    row(46, "RRSIG", &[Type, Algorithm, U8, U32, Time, Time, U16, Name, Base64]),
    row(47, "NSEC", &[Name, Bitmap]),
    row(48, "DNSKEY", &[KeyFlags, KeyProtocol, Algorithm, Base64]),
    row(49, "DHCID", &[Base64]),
    row(50, "NSEC3", &[U8, U8, U16, Salt, Hash, Bitmap]),
    row(51, "NSEC3PARAM", &[U8, U8, U16, Salt]),
    row(52, "TLSA", &[U8, U8, U8, Hex]),
    row(53, "SMIMEA", &[U8, U8, U8, Hex]),
    row(55, "HIP", &[Hip]),
    row(56, "NINFO", &[Strings]),
    row(57, "RKEY", &[U16, U8, Algorithm, Base64]),
    row(58, "TALINK", &[Name, Name]),
    row(59, "CDS", &[U16, Algorithm, Digest, Hex]),
    row(60, "CDNSKEY", &[KeyFlags, KeyProtocol, Algorithm, Base64]),
    row(61, "OPENPGPKEY", &[Base64]),
    row(62, "CSYNC", &[U32, U16, Bitmap]),
    row(63, "ZONEMD", &[U32, U8, U8, Hex]),
    row(64, "SVCB", &[U16, Name, Parameters]),
    row(65, "HTTPS", &[U16, Name, Parameters]),
    row(66, "DSYNC", &[Type, Scheme, U16, Name]),
    row(67, "HHIT", &[Base64]),
    row(68, "BRID", &[Base64]),
    row(99, "SPF", &[Strings]),
    row(100, "UINFO", OPAQUE),
    row(101, "UID", OPAQUE),
    row(102, "GID", OPAQUE),
    row(103, "UNSPEC", OPAQUE),
    row(104, "NID", &[U16, Locator]),
    row(105, "L32", &[U16, A]),
    row(106, "L64", &[U16, Locator]),
    row(107, "LP", &[U16, Name]),
    row(108, "EUI48", &[Eui(6)]),
    row(109, "EUI64", &[Eui(8)]),
    row(128, "NXNAME", OPAQUE),
    row(249, "TKEY", OPAQUE),
    row(250, "TSIG", OPAQUE),
    row(251, "IXFR", OPAQUE),
    row(252, "AXFR", OPAQUE),
    row(253, "MAILB", OPAQUE),
    row(254, "MAILA", OPAQUE),
    row(255, "ANY", OPAQUE),
    row(256, "URI", &[U16, U16, QuotedText]),
    row(257, "CAA", &[U8, Tag, Text]),
    row(258, "AVC", &[Strings]),
    row(259, "DOA", &[U32, U32, U8, String, Base64OrDash]),
    row(260, "AMTRELAY", &[U8, Relay]),
    row(261, "RESINFO", &[Strings]),
    row(262, "WALLET", &[Strings]),
    row(263, "CLA", &[Strings]),
    row(264, "IPN", &[U64]),
    row(65_533, "KEYDATA", OPAQUE),
    row(32_768, "TA", &[U16, Algorithm, Digest, Hex]),
    row(32_769, "DLV", &[U16, Algorithm, Digest, Hex]),
];

const BY_NUMBER: usize = 265;
const SLOTS: usize = 256;
const NONE: u8 = u8::MAX;

#[allow(clippy::indexing_slicing, reason = "the loop ends at the length; a const function has no iterators")]
const fn hash(octets: &[u8]) -> usize {
    let mut value: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < octets.len() {
        value = (value ^ octets[at].to_ascii_uppercase() as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    ((value >> 8) ^ value) as usize % SLOTS
}

/// Rows of types below `BY_NUMBER`.
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
static NUMBERS: [u8; BY_NUMBER] = {
    let mut numbers = [NONE; BY_NUMBER];
    let mut at = 0;
    while at < LAYOUTS.len() {
        let rtype = LAYOUTS[at].rtype as usize;
        if rtype < BY_NUMBER {
            numbers[rtype] = at as u8;
        }
        at += 1;
    }
    numbers
};

/// Rows by mnemonic: open addressing, linear probing.
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
static MNEMONICS: [u8; SLOTS] = {
    let mut slots = [NONE; SLOTS];
    let mut at = 0;
    while at < LAYOUTS.len() {
        let mut slot = hash(LAYOUTS[at].mnemonic.as_bytes());
        while slots[slot] != NONE {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = at as u8;
        at += 1;
    }
    slots
};

fn by_number(rtype: u16) -> Option<&'static Layout> {
    match NUMBERS.get(usize::from(rtype)) {
        Some(&at) => LAYOUTS.get(usize::from(at)),
        None => LAYOUTS.iter().rev().take(3).find(|layout| layout.rtype == rtype),
    }
}

/// The fields of a type; None where it has only the generic form.
pub(super) fn fields(rtype: u16) -> Option<&'static [Field]> {
    by_number(rtype).map(|layout| layout.fields).filter(|fields| !fields.is_empty())
}

pub(super) fn mnemonic(rtype: u16) -> Option<&'static str> {
    by_number(rtype).map(|layout| layout.mnemonic)
}

pub(super) fn by_mnemonic(text: &[u8]) -> Option<u16> {
    if text.len() > 16 {
        return None;
    }
    let mut slot = hash(text);
    loop {
        let layout = LAYOUTS.get(usize::from(*MNEMONICS.get(slot)?))?;
        if layout.mnemonic.as_bytes().eq_ignore_ascii_case(text) {
            return Some(layout.rtype);
        }
        slot = (slot + 1) % SLOTS;
    }
}
