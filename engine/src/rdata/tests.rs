#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

fn wire(rtype: &str, text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let origin = name::Name::from_text(b"example.", name::ROOT).unwrap();
    from_line(rtype_from_text(rtype.as_bytes()).unwrap(), text.as_bytes(), &origin, &mut out).map(|()| out)
}

#[test]
fn every_mnemonic_is_found_by_text_and_number() {
    for number in 0..=u16::MAX {
        let text = rtype_to_text(number);
        assert_eq!(rtype_from_text(text.as_bytes()), Some(number));
        assert_eq!(rtype_from_text(text.to_ascii_lowercase().as_bytes()), Some(number));
        assert_eq!(rtype_from_text(format!("TYPE{number}").as_bytes()), Some(number));
    }
    assert_eq!(rtype_from_text(b"TYPE65536"), None);
    assert_eq!(rtype_from_text(b"FOO"), None);
}

/// Presentation form in, presentation form out: checked with named-compilezone by tests/engine/test_reader.py.
const FORMS: &[(&str, &str, &str)] = &[
    ("A", "192.0.2.1", "192.0.2.1"),
    ("AAAA", "2001:DB8:0::1", "2001:db8::1"),
    ("MX", "10 mail", "10 mail.example."),
    ("MX", "0 .", "0 ."),
    ("SOA", "ns h.example. 1 2h 3D 1w2d 5", "ns.example. h.example. 1 7200 259200 777600 5"),
    ("TXT", r#"a\;b "c\032d" "" "\"e\\""#, r#""a;b" "c d" "" "\"e\\""#),
    ("TXT", r"\# 3 026162", r#""ab""#),
    ("TXT", r"\# x", r##""#" "x""##),
    ("HINFO", "\"x y\" z", r#""x y" "z""#),
    ("SRV", "1 2 3 @", "1 2 3 example."),
    ("NAPTR", "1 2 u s !a! .", r#"1 2 "u" "s" "!a!" ."#),
    ("CAA", "0 issue ca.test", r#"0 issue "ca.test""#),
    ("URI", "1 2 \"ftp://x\"", r#"1 2 "ftp://x""#),
    (
        "DS",
        "60485 RSASHA1 SHA-1 2BB183AF5F22588179A53B0A 98631fad1a292118",
        "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    ),
    ("DNSKEY", "ZONE|KSK DNSSEC ECDSAP256SHA256 aa aa", "257 3 13 aaaa"),
    (
        "RRSIG",
        "A 13 2 3600 20300101000000 1577836800 7 @ aaaa",
        "A 13 2 3600 20300101000000 20200101000000 7 example. aaaa",
    ),
    ("NSEC", "b.example. TXT A TYPE65000 CAA", "b.example. A TXT CAA TYPE65000"),
    ("NSEC3", "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A", "1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A"),
    ("NSEC3PARAM", "1 0 5 aabb", "1 0 5 AABB"),
    ("TLSA", "3 1 1 aa bb", "3 1 1 AABB"),
    ("CERT", "PGP 0 0 aaaa", "3 0 0 aaaa"),
    ("LOC", "42 21 43.528 S 71 05 06.284 W -25m", "42 21 43.528 S 71 5 6.284 W -25.00m 1m 10000m 10m"),
    ("APL", "1:192.168.32.0/21 !2:ff00::/8", "1:192.168.32.0/21 !2:ff00::/8"),
    ("IPSECKEY", "10 3 2 gw aaaa", "10 3 2 gw.example. aaaa"),
    ("AMTRELAY", "10 1 2 2001:db8::15", "10 1 2 2001:db8::15"),
    ("HIP", "2 2001 aaaa rvs", "2 2001 aaaa rvs.example."),
    ("WKS", "192.0.2.1 tcp smtp 80", "192.0.2.1 6 25 80"),
    ("NSAP", "0x47.0005", "0x470005"),
    ("NID", "10 14:4fff:f:0", "10 0014:4fff:000f:0000"),
    ("EUI48", "00-00-5e-00-53-2A", "00-00-5e-00-53-2a"),
    ("HTTPS", "0 b", "0 b.example."),
    (
        "SVCB",
        r#"1 . port=53 ipv6hint=::1 alpn="f\\\\oo\\,bar,h2" mandatory=port,alpn key667="a b""#,
        r#"1 . mandatory=alpn,port alpn="f\\\\oo\\,bar,h2" port=53 ipv6hint=::1 key667="a b""#,
    ),
    ("TYPE731", r"\# 3 abcd ef", r"\# 3 ABCDEF"),
    ("NULL", r"\# 0", r"\# 0"),
    ("ATMA", "+31.20", "+3120"),
    ("ATMA", "47.0005", "470005"),
    ("A6", "0 2001:db8::1", "0 2001:db8::1"),
    ("A6", "65 ffff:0:0:0:ffff::1 b", "65 ::7fff:0:0:1 b.example."),
    ("A6", "128 b", "128 b.example."),
    ("NXT", "b NS A SOA", "b.example. A NS SOA"),
    ("DSYNC", "CDS NOTIFY 53 n", "CDS 1 53 n.example."),
];

#[test]
fn presentation_forms_are_read_and_written() {
    for (rtype, text, expected) in FORMS {
        let rdata = wire(rtype, text).unwrap_or_else(|error| panic!("{rtype} {text}: {error}"));
        let number = rtype_from_text(rtype.as_bytes()).unwrap();
        assert_eq!(check(number, &rdata), Ok(()), "{rtype} {text}");
        let mut out = Vec::new();
        to_text(number, &rdata, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), *expected);
    }
}

#[test]
fn text_that_does_not_fit_its_type_is_refused_with_its_reason() {
    for (rtype, text, reason) in [
        ("A", "1.2.3", "'1.2.3' is not an IPv4 address"),
        ("A", "1.2.3.4 5", "'5' after the end of the rdata"),
        ("A", "01.2.3.4", "'01.2.3.4' is not an IPv4 address"),
        ("A", "", "record ends where an IPv4 address is expected"),
        ("MX", "65536 a", "'65536' is over 65535"),
        ("MX", "10 \"a\"", "a domain name may not be quoted"),
        ("MX", "10 a..b", "'a..b': empty label"),
        ("DS", "1 13 2 aa", "a SHA-256 digest has 32 octets"),
        ("A", r"\# 3 aabbcc", "cut short or malformed for its type"),
        ("A", r"\# 4 aabbcc", "3 octets of hex where 4 are announced"),
        ("TYPE731", "x", r"rdata of TYPE731 is written \# octets hex"),
        ("OPT", r"\# 0", "OPT can't be the type of a record"),
        ("SVCB", "1 . alpn=h2 alpn=h3", "alpn is given twice"),
        ("SVCB", "1 . no-default-alpn", "no-default-alpn without alpn"),
        ("NSEC", "a", "type bitmap is empty"),
    ] {
        assert_eq!(wire(rtype, text).unwrap_err(), reason, "{rtype} {text}");
    }
    let long = "x".repeat(256);
    assert_eq!(wire("TXT", &long).unwrap_err(), "character-string of 256 octets, the limit is 255");
}

#[test]
fn canonical_form_lowers_the_names_of_the_listed_types_alone() {
    let canonical_of = |rtype: &str, text: &str| {
        let mut out = Vec::new();
        canonical(rtype_from_text(rtype.as_bytes()).unwrap(), &wire(rtype, text).unwrap(), &mut out);
        out
    };
    for (rtype, text) in [
        ("MX", "10 MAIL.Test."),
        ("SOA", "A. B. 1 2 3 4 5"),
        ("NXT", "B. A"),
        ("A6", "64 ::1 B."),
        ("NAPTR", "1 2 U S RE Name."),
    ] {
        assert_eq!(canonical_of(rtype, text).len(), wire(rtype, text).unwrap().len());
        assert_ne!(canonical_of(rtype, text), wire(rtype, text).unwrap());
    }
    // RFC 6840 section 5.1 takes NSEC off the list; the flags, services and expressions of NAPTR are no names.
    assert_eq!(canonical_of("NSEC", "B. A"), wire("NSEC", "B. A").unwrap());
    assert_eq!(canonical_of("NAPTR", "1 2 U S RE Name."), wire("NAPTR", "1 2 U S RE name.").unwrap());
    assert_eq!(canonical_of("SVCB", "1 B."), wire("SVCB", "1 B.").unwrap());
    assert_eq!(canonical_of("RRSIG", "A 13 2 1 1 1 7 X. aaaa"), wire("RRSIG", "A 13 2 1 1 1 7 x. aaaa").unwrap());
}

#[test]
fn targets_are_the_names_whose_addresses_help() {
    let target_of = |rtype: &str, text: &str| {
        let number = rtype_from_text(rtype.as_bytes()).unwrap();
        target(number, &wire(rtype, text).unwrap()).map(name::to_string)
    };
    assert_eq!(target_of("NS", "a").as_deref(), Some("a.example."));
    assert_eq!(target_of("SRV", "1 2 3 a").as_deref(), Some("a.example."));
    assert_eq!(target_of("HTTPS", "1 . port=1").as_deref(), Some("."));
    assert_eq!(target_of("CNAME", "a"), None);
    assert_eq!(target(rtype::MX, &[0]), None);
}

/// Rdata from nowhere: what passes the check has a text, and the text has that rdata.
#[test]
fn wire_that_passes_the_check_survives_its_text() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % sides
    };
    let small = [0, 0, 1, 1, 2, 3, 4, 6, 13, 0x12, 0x61];
    for _ in 0..300_000 {
        let rtype = u16::try_from(dice(270)).unwrap();
        let rdata: Vec<u8> = (0..dice(24))
            .map(|_| {
                if dice(4) == 0 { u8::try_from(dice(256)).unwrap() } else { small[usize::try_from(dice(11)).unwrap()] }
            })
            .collect();
        let (mut text, mut again, mut lowered) = (Vec::new(), Vec::new(), Vec::new());
        to_text(rtype, &rdata, &mut text);
        canonical(rtype, &rdata, &mut lowered);
        assert_eq!(lowered.len(), rdata.len());
        if check(rtype, &rdata).is_ok() && !is_meta(rtype) {
            let shown = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(from_line(rtype, &text, name::ROOT, &mut again), Ok(()), "{rtype} {shown} {rdata:02x?}");
            assert_eq!(again, rdata, "{rtype} {shown}");
        }
    }
}

#[test]
fn durations_take_units_as_in_bind() {
    for (text, seconds) in [
        ("0", 0),
        ("3600", 3600),
        ("1h", 3600),
        ("1W2d3H4m5s", 788_645),
        ("30m1h", 5400),
        ("4294967295", u32::MAX),
        ("0s30", 30),
    ] {
        assert_eq!(ttl_from_text(text.as_bytes()), Some(seconds), "{text}");
    }
    for text in ["", "x", "1h30", "h", "4294967296", "7102w", "-1", "1 h"] {
        assert_eq!(ttl_from_text(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn times_cover_the_calendar() {
    for (text, seconds) in [
        ("19700101000000", 0),
        ("20000229120000", 951_825_600),
        ("20300101000000", 1_893_456_000),
        ("21060207062815", u32::MAX),
    ] {
        assert_eq!(special::time_from_text(text.as_bytes()), Some(seconds));
        let mut out = Vec::new();
        special::time_to_text(seconds, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
    for text in ["20300230000000", "20301301000000", "20300101240000", "19690101000000", "2030010100000x"] {
        assert_eq!(special::time_from_text(text.as_bytes()), None, "{text}");
    }
}
