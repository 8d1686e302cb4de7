//! The fields that have a form of their own: LOC, APL, gateways, HIP, WKS, NSAP, locators, points in time.

use super::parse::{Parser, RdataError, decimal};

type Parsed = Result<(), RdataError>;

/// Seconds of `YYYYMMDDHHMMSS`, modulo 2^32 (RFC 4034 section 3.1.5); None when it is no date.
pub(super) fn time_from_text(text: &[u8]) -> Option<u32> {
    let part = |from: usize, to: usize| decimal(text.get(from..to)?).and_then(|number| i64::try_from(number).ok());
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    if text.len() != 14 || year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    let seconds = ((days_before(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    u32::try_from(seconds.rem_euclid(1 << 32)).ok()
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March so that the leap day comes last.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469
}

/// `YYYYMMDDHHMMSS`, appended.
pub(super) fn time_to_text(seconds: u32, out: &mut Vec<u8>) {
    let days = i64::from(seconds / 86_400) + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    out.extend_from_slice(format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}").as_bytes());
}

fn not_yet(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    let _ = parser.any("rdata")?;
    Err(parser.error("generic-only", "write \\# octets hex"))
}

/// Four groups of hex, as BIND takes them: leading zeros may be left out.
pub(super) fn locator(text: &[u8]) -> Option<[u8; 8]> {
    let mut octets = [0_u8; 8];
    let mut groups = text.split(|octet| *octet == b':');
    for place in octets.chunks_exact_mut(2) {
        let group = groups.next().filter(|group| (1..=4).contains(&group.len()))?;
        let value = group.iter().try_fold(0_u16, |value, octet| {
            char::from(*octet).to_digit(16).and_then(|digit| u16::try_from(digit).ok()).map(|digit| value << 4 | digit)
        })?;
        place.copy_from_slice(&value.to_be_bytes());
    }
    groups.next().is_none().then_some(octets)
}

pub(super) fn print_locator(part: &[u8], out: &mut Vec<u8>) {
    for (index, group) in part.chunks_exact(2).enumerate() {
        if index > 0 {
            out.push(b':');
        }
        let value = group.iter().fold(0_u16, |value, octet| value << 8 | u16::from(*octet));
        out.extend_from_slice(format!("{value:x}").as_bytes());
    }
}

pub(super) fn parse_nsap(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    not_yet(parser)
}
pub(super) fn parse_loc(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    not_yet(parser)
}
pub(super) fn parse_prefixes(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    not_yet(parser)
}
pub(super) fn parse_ipsec(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    not_yet(parser)
}
pub(super) fn parse_relay(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    not_yet(parser)
}
pub(super) fn parse_hip(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    not_yet(parser)
}
pub(super) fn parse_services(parser: &mut Parser<'_, '_, '_>) -> Parsed {
    not_yet(parser)
}
pub(super) fn print_nsap(_: &[u8], _: &mut Vec<u8>) {}
pub(super) fn print_loc(_: &[u8], _: &mut Vec<u8>) -> Option<()> {
    None
}
pub(super) fn print_prefixes(_: &[u8], _: &mut Vec<u8>) -> Option<()> {
    None
}
pub(super) fn print_ipsec(_: &[u8], _: &mut Vec<u8>) -> Option<()> {
    None
}
pub(super) fn print_relay(_: &[u8], _: &mut Vec<u8>) -> Option<()> {
    None
}
pub(super) fn print_hip(_: &[u8], _: &mut Vec<u8>) -> Option<()> {
    None
}
pub(super) fn print_services(_: &[u8], _: &mut Vec<u8>) -> Option<()> {
    None
}
pub(super) fn is_loc(_: &[u8]) -> bool {
    true
}
pub(super) fn are_prefixes(_: &[u8]) -> bool {
    true
}
pub(super) fn is_ipsec(_: &[u8]) -> bool {
    true
}
pub(super) fn is_relay(_: &[u8]) -> bool {
    true
}
pub(super) fn is_hip(_: &[u8]) -> bool {
    true
}
