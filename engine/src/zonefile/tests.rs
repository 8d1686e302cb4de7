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
