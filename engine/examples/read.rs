//! Reads a zone file and says what it found and how long that took: `read ORIGIN FILE [dump|generic]`.

use std::io::Write;
use std::time::Instant;

use zonewright_engine::name::{self, Name};
use zonewright_engine::rdata;
use zonewright_engine::zonefile::{Limits, Records, Source, read};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, origin, file, rest @ ..] = arguments.as_slice() else {
        return Err("read ORIGIN FILE [dump|generic]".into());
    };
    let origin = Name::from_text(origin.as_bytes(), name::ROOT)?;
    let octets = std::fs::read(file)?;
    let limits = Limits { includes: false, max_records: 0, max_generate: 100_000_000 };
    let start = Instant::now();
    let records = read(&origin, &[Source { name: file, octets: &octets }], &limits);
    let took = start.elapsed();
    for finding in &records.diagnostics {
        eprintln!("{}:{}:{}: {} [{}]", finding.file, finding.line, finding.column, finding.message, finding.rule);
    }
    match rest.first().map(String::as_str) {
        Some("dump") => dump(&records, to_text)?,
        Some("generic") => dump(&records, to_generic)?,
        _ => {}
    }
    let count = u64::try_from(records.records.len())?.max(1);
    let nanoseconds = u64::try_from(took.as_nanos())? / count;
    let octets = u64::try_from(records.arena.len())? / count;
    eprintln!("{count} records in {took:?}: {nanoseconds} ns and {octets} octets of arena each");
    Ok(())
}

fn to_text(rtype: u16, octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(rdata::rtype_to_text(rtype).as_bytes());
    out.push(b' ');
    rdata::to_text(rtype, octets, out);
}

fn to_generic(rtype: u16, octets: &[u8], out: &mut Vec<u8>) {
    let hex = data_encoding::HEXLOWER.encode(octets);
    out.extend_from_slice(format!("TYPE{rtype} \\# {} {hex}", octets.len()).as_bytes());
}

fn dump(records: &Records, print: fn(u16, &[u8], &mut Vec<u8>)) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut text = Vec::new();
    for record in &records.records {
        text.clear();
        name::to_text(records.owner(record), &mut text);
        text.extend_from_slice(format!(" {} IN ", record.ttl).as_bytes());
        print(record.rtype, records.rdata(record), &mut text);
        text.push(b'\n');
        out.write_all(&text)?;
    }
    Ok(())
}
