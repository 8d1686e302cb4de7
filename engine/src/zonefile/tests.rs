#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

const LIMITS: Limits = Limits { includes: true, max_records: 0, max_generate: 65_536 };

fn zone(sources: &[(&str, &str)]) -> Records {
    let origin = Name::from_text(b"example.com.", name::ROOT).unwrap();
    let sources: Vec<_> = sources.iter().map(|(name, text)| Source { name, octets: text.as_bytes() }).collect();
    read(&origin, &sources, &LIMITS)
}

fn lines(records: &Records) -> Vec<String> {
    let line = |record: &Record| {
        let mut text = Vec::new();
        rdata::to_text(record.rtype, records.rdata(record), &mut text);
        let owner = name::to_string(records.owner(record));
        let text = String::from_utf8(text).unwrap();
        format!("{owner} {} {} {text}", record.ttl, rdata::rtype_to_text(record.rtype))
    };
    records.records.iter().map(line).collect()
}

fn findings(records: &Records) -> Vec<String> {
    let mark = |finding: &Diagnostic| if finding.severity == Severity::Error { "error" } else { "warning" };
    let line = |d: &Diagnostic| format!("{}:{}:{}: {} {}", d.file, d.line, d.column, mark(d), d.rule);
    records.diagnostics.iter().map(line).collect()
}

#[test]
fn plain_records_are_read() {
    let records =
        zone(&[("z", "$TTL 1h\n@ SOA ns h 1 2h 3 4w 5\n  NS ns\nns 60 IN A 192.0.2.1\n\tIN 1m AAAA 2001:db8::1\n")]);
    assert_eq!(findings(&records), Vec::<String>::new());
    assert_eq!(
        lines(&records),
        [
            "example.com. 3600 SOA ns.example.com. h.example.com. 1 7200 3 2419200 5",
            "example.com. 3600 NS ns.example.com.",
            "ns.example.com. 60 A 192.0.2.1",
            "ns.example.com. 60 AAAA 2001:db8::1",
        ]
    );
}

const APEX: &str = "$TTL 3600\n@ SOA ns h 1 2 3 4 5\n";

/// Records behind the SOA, and all findings.
fn after_apex(text: &str) -> (Vec<String>, Vec<String>) {
    let records = zone(&[("z", &format!("{APEX}{text}"))]);
    (lines(&records).split_off(1), findings(&records))
}

#[test]
fn all_mistakes_of_a_file_are_told_in_one_pass() {
    let (records, findings) = after_apex(concat!(
        "a A 1.2.3\n",
        "b A 192.0.2.1\n",
        "c FOO x\n",
        "d TXT \"open\n",
        "e A 192.0.2.2 )\n",
        "f CH A 192.0.2.3\n",
        "g..h A 192.0.2.4\n",
        "i MX 10\n",
        "$FOO\n",
        "  MX 70000 (\n  mail )\n",
        "j A 192.0.2.5\n",
    ));
    assert_eq!(records, ["b.example.com. 3600 A 192.0.2.1", "j.example.com. 3600 A 192.0.2.5"]);
    assert_eq!(
        findings,
        [
            "z:3:5: error bad-address",
            "z:5:3: error unknown-type",
            "z:6:7: error unbalanced-quotes",
            "z:7:15: error unbalanced-parentheses",
            "z:8:3: error class-mismatch",
            "z:9:1: error bad-owner",
            "z:10:8: error missing-field",
            "z:11:1: error unknown-directive",
            "z:12:6: error number-out-of-range",
        ]
    );
}

#[test]
fn reading_goes_on_behind_a_parenthesis_that_never_closes() {
    let (records, findings) = after_apex("a TXT ( \"x\"\nb A 192.0.2.1\nc A 1.2\n");
    assert_eq!(records, ["b.example.com. 3600 A 192.0.2.1"]);
    assert_eq!(findings, ["z:3:7: error unbalanced-parentheses", "z:5:5: error bad-address"]);
}

#[test]
fn owners_may_look_like_keywords_and_classes_and_ttls_come_in_either_order() {
    let (records, findings) =
        after_apex("A A 192.0.2.1\n300 A 192.0.2.1\nNS 300 IN A 192.0.2.1\nin in 1m a 192.0.2.1\n");
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(
        records,
        [
            "A.example.com. 3600 A 192.0.2.1",
            "300.example.com. 3600 A 192.0.2.1",
            "NS.example.com. 300 A 192.0.2.1",
            "in.example.com. 60 A 192.0.2.1",
        ]
    );
}

#[test]
fn a_record_without_a_ttl_takes_that_of_ttl_or_of_the_record_before() {
    let text = "@ 60 SOA ns h 1 2 3 4 5\n 70 NS ns\n TXT a\n$TTL 80\n TXT b\nx 5 TXT c\n TXT d\n";
    let records = zone(&[("z", text)]);
    let ttls: Vec<u32> = records.records.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [60, 70, 70, 80, 5, 80]);
    assert_eq!(findings(&records), ["z:3:0: warning ttl-from-last"]);
}

#[test]
fn the_first_record_takes_the_soas_minimum_or_is_an_error() {
    let records = zone(&[("z", "@ SOA ns h 1 2 3 4 5\n TXT a\n")]);
    assert_eq!(records.records.iter().map(|record| record.ttl).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(findings(&records), ["z:1:0: warning ttl-from-soa"]);
    assert_eq!(findings(&zone(&[("z", "@ TXT a\n TXT b\n")])), ["z:1:0: error no-ttl"]);
}

#[test]
fn a_ttl_over_the_limit_is_zero() {
    let (records, findings) = after_apex("a 2147483648 TXT a\nb 2147483647 TXT b\n");
    assert_eq!(records, ["a.example.com. 0 TXT \"a\"", "b.example.com. 2147483647 TXT \"b\""]);
    assert_eq!(findings, ["z:3:3: warning ttl-over-limit"]);
}

#[test]
fn what_is_not_in_the_zone_is_dropped_with_a_warning() {
    let (records, findings) = after_apex(
        "www.example.net. A 192.0.2.1\n A 192.0.2.2\n$ORIGIN example.org.\nb TXT x\n$ORIGIN EXAMPLE.com.\nc TXT x\n",
    );
    assert_eq!(records, ["c.EXAMPLE.com. 3600 TXT \"x\""]);
    assert_eq!(findings, ["z:3:1: warning out-of-zone", "z:6:1: warning out-of-zone"]);
}

#[test]
fn an_origin_may_be_relative_and_a_blank_owner_survives_it_with_a_warning() {
    let (records, findings) = after_apex("a TXT x\n$ORIGIN sub\n TXT y\nb TXT @\nc CNAME @\n");
    assert_eq!(
        records,
        [
            "a.example.com. 3600 TXT \"x\"",
            "a.example.com. 3600 TXT \"y\"",
            "b.sub.example.com. 3600 TXT \"@\"",
            "c.sub.example.com. 3600 CNAME sub.example.com."
        ]
    );
    assert_eq!(findings, ["z:5:2: warning inherited-owner"]);
}

#[test]
fn an_included_file_leaves_its_ttl_behind_but_not_its_origin_or_owner() {
    let records = zone(&[
        ("d/z", &format!("{APEX}a TXT x\n$INCLUDE i/f sub\n TXT back\nb TXT x\n")),
        ("d/i/f", " TXT inherited\n$TTL 99\nc TXT x\n$ORIGIN deep\nd TXT x\n$INCLUDE \"../g\"\n"),
        ("d/g", "e TXT x\n"),
    ]);
    assert_eq!(findings(&records), Vec::<String>::new());
    assert_eq!(
        lines(&records)[1..],
        [
            "a.example.com. 3600 TXT \"x\"",
            "a.example.com. 3600 TXT \"inherited\"",
            "c.sub.example.com. 99 TXT \"x\"",
            "d.deep.sub.example.com. 99 TXT \"x\"",
            "e.deep.sub.example.com. 99 TXT \"x\"",
            "a.example.com. 99 TXT \"back\"",
            "b.example.com. 99 TXT \"x\"",
        ]
    );
    assert_eq!(records.included, ["d/i/f", "d/g"]);
    assert_eq!(records.files, ["d/z", "d/i/f", "d/g"]);
    assert_eq!(records.records[5].file, 2);
}

#[test]
fn missing_files_are_named_once_each_and_cycles_are_refused() {
    let records = zone(&[("d/z", &format!("{APEX}$INCLUDE x\n$INCLUDE ./x\n$INCLUDE ../y\n$INCLUDE z\n"))]);
    assert_eq!(records.missing_includes, ["d/x", "y"]);
    assert_eq!(
        findings(&records),
        [
            "d/z:3:10: error include-missing",
            "d/z:4:10: error include-missing",
            "d/z:5:10: error include-missing",
            "d/z:6:10: error include-cycle",
        ]
    );
}

#[test]
fn includes_are_refused_when_they_are_off_or_too_deep() {
    let files: Vec<(String, String)> =
        (0..10).map(|depth| (format!("f{depth}"), format!("$INCLUDE f{}\n", depth + 1))).collect();
    let sources: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(findings(&zone(&sources)), ["f7:1:10: error include-limit"]);
    let origin = Name::from_text(b"example.com.", name::ROOT).unwrap();
    let limits = Limits { includes: false, ..LIMITS };
    let off = read(&origin, &[Source { name: "z", octets: b"$INCLUDE z\n" }], &limits);
    assert_eq!(findings(&off), ["z:1:10: error include-off"]);
}

#[test]
fn generate_counts_as_in_bind() {
    let (records, findings) = after_apex(concat!(
        "$GENERATE 1-2 h$ A 192.0.2.$\n",
        "$GENERATE 1-1 m-$ IN 60 MX \"0 .\"\n",
        "$GENERATE 1-1 b$ TXT \"$$literal \\\"a $ b\\\"\"\n",
        "$GENERATE 8-10/2 ${-5,3,d}.${0,2,x} CNAME ${0,3,n}.t\n",
    ));
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(
        records,
        [
            "h1.example.com. 3600 A 192.0.2.1",
            "h2.example.com. 3600 A 192.0.2.2",
            "m-1.example.com. 60 MX 0 .",
            "b1.example.com. 3600 TXT \"$literal\" \"a 1 b\"",
            "003.08.example.com. 3600 CNAME 8.0.t.example.com.",
            "005.0a.example.com. 3600 CNAME a.0.t.example.com.",
        ]
    );
}

#[test]
fn generate_has_limits_for_a_line_and_a_zone_and_tells_its_first_mistake() {
    let (records, findings) = after_apex(concat!(
        "$GENERATE 0-65536 h$ TXT x\n",
        "$GENERATE 0-3000000000 h$ TXT x\n",
        "$GENERATE 2-1 h$ TXT x\n",
        "$GENERATE 0-65535 h$ TXT x\n",
        "$GENERATE 0-65535 i$ TXT x\n",
        "$GENERATE 0-65535 j$ TXT x\n",
        "$GENERATE 0-65535 k$ TXT x\n",
        "$GENERATE 0-0 l$ TXT x\n",
    ));
    assert_eq!(records.len(), 4 * 65_536);
    assert_eq!(
        findings,
        [
            "z:3:11: error generate-limit",
            "z:4:11: error bad-generate",
            "z:5:11: error bad-generate",
            "z:10:11: error generate-limit",
        ]
    );
    let (records, findings) = after_apex("$GENERATE 254-300 i$ A 192.0.2.$\n");
    assert_eq!((records.len(), findings), (2, vec!["z:3:24: error bad-address".to_owned()]));
}

#[test]
fn carriage_returns_end_lines_and_byte_order_marks_are_told() {
    let (records, findings_crlf) = after_apex("a TXT x\r\n TXT y\r\n\r\n");
    assert_eq!(records.len(), 2);
    assert_eq!(findings_crlf, Vec::<String>::new());
    assert_eq!(findings(&zone(&[("z", &format!("\u{feff}{APEX}"))])), ["z:1:1: error byte-order-mark"]);
}

#[test]
fn raw_octets_are_kept_and_not_ascii_owners_are_told() {
    let (records, findings) = after_apex("b\u{fc}cher TXT \u{e9} \"\0\"\nx\0y TXT z\nlast TXT z");
    assert_eq!(
        records,
        [r#"b\195\188cher.example.com. 3600 TXT "\195\169" "\000""#, "last.example.com. 3600 TXT \"z\""]
    );
    assert_eq!(
        findings,
        ["z:3:1: warning non-ascii-name", "z:4:2: error nul-octet", "z:5:0: warning no-final-newline"]
    );
}

#[test]
fn owners_keep_their_case_and_repeats_are_stored_once() {
    let records = zone(&[("z", &format!("{APEX}a TXT x\n TXT y\na TXT z\nA TXT z\n"))]);
    let owners: Vec<u32> = records.records[1..].iter().map(|record| record.owner).collect();
    assert!(owners[0] == owners[1] && owners[1] == owners[2] && owners[2] != owners[3]);
    assert_eq!(lines(&records)[4], "A.example.com. 3600 TXT \"z\"");
}

#[test]
fn findings_end_at_a_thousand_of_each_kind() {
    let records = zone(&[("z", &format!("{APEX}{}{}", "a A x\n".repeat(3000), "b.net. A 192.0.2.1\n".repeat(3000)))]);
    let count = |rule: &str| records.diagnostics.iter().filter(|finding| finding.rule == rule).count();
    assert_eq!((count("bad-address"), count("more-errors")), (1000, 1));
    assert_eq!((count("out-of-zone"), count("more-warnings")), (1000, 1));
}

#[test]
fn records_have_a_limit() {
    let origin = Name::from_text(b"example.com.", name::ROOT).unwrap();
    let limits = Limits { max_records: 2, ..LIMITS };
    let text = format!("{APEX}a TXT x\nb TXT x\nc TXT x\n");
    let records = read(&origin, &[Source { name: "z", octets: text.as_bytes() }], &limits);
    assert_eq!(records.records.len(), 2);
    assert_eq!(findings(&records), ["z:4:0: error too-many-records"]);
}

#[test]
fn a_record_is_24_octets() {
    assert_eq!(size_of::<Record>(), 24);
}
