//! Records that were read, made into a version, and what the content itself breaks.
//!
//! What holds a zone is what named-checkzone 9.18 refuses, but for an in-zone name server without address, which warns
//! here as in NSD and Knot DNS. Rule ids: `no-soa`, `no-ns`, `multiple-singleton`, `cname-and-other-data`,
//! `soa-not-at-apex`, `ds-at-apex`, `wildcard-ns`, `ns-is-cname` at the apex (errors); `ttl-differs`, `wildcard-dname`, `occluded`,
//! `ns-without-address`, `mx-is-cname`, `srv-is-cname`, `target-without-address` (warnings).

use std::cmp::Ordering;

use crate::finding::{Diagnostic, Severity};
use crate::message::rrtype;
use crate::name;
use crate::rdata;
use crate::version::{Assembly, Version, is, order_rdatas};
use crate::zonefile::{Record, Records};

/// Findings of one kind beyond this many are counted, not listed.
const MOST_FINDINGS: usize = 1000;

/// A run of records with one owner, with the key that sorts it.
struct Run {
    prefix: u64,
    key: u32,
    key_len: u32,
    first: u32,
    count: u32,
}

/// Index the records. No version when a finding is an error.
#[must_use]
pub fn build(records: &Records, previous: Option<&Version>) -> (Option<Version>, Vec<Diagnostic>) {
    let mut builder = Builder { records, findings: Vec::new(), places: Vec::new(), reached: 0 };
    let version = builder.assemble(previous);
    builder.check(&version);
    let held = records.diagnostics.iter().chain(&builder.findings).any(|finding| finding.severity == Severity::Error);
    (if held { None } else { Some(version) }, builder.findings)
}

struct Builder<'a> {
    records: &'a Records,
    findings: Vec<Diagnostic>,
    /// The record each RRset of the version began with.
    places: Vec<u32>,
    /// How far the walk over the nodes of the version before has come.
    reached: usize,
}

impl<'a> Builder<'a> {
    fn assemble(&mut self, previous: Option<&Version>) -> Version {
        let records = self.records;
        let (runs, keys) = sorted_runs(records);
        let previous = previous.filter(|previous| name::equal(previous.origin(), &records.origin));
        let mut assembly = match previous {
            Some(previous) => Assembly::after(previous),
            None => Assembly::new(
                records.origin.clone(),
                records.arena.len() + 2 * records.records.len(),
                runs.len() + runs.len() / 8,
                records.records.len(),
            ),
        };
        if runs.first().is_none_or(|run| run.key_len != 0) {
            assembly.begin(&records.origin);
        }
        let mut of_name: Vec<&Record> = Vec::new();
        for group in runs.chunk_by(|a, b| key_of(a, &keys) == key_of(b, &keys)) {
            of_name.clear();
            for run in group {
                let range = run.first as usize..(run.first + run.count) as usize;
                of_name.extend(records.records.get(range).unwrap_or(&[]));
            }
            of_name.sort_by_key(|record| record.rtype);
            self.add_name(&mut assembly, previous, &of_name);
        }
        assembly.finish()
    }

    /// The node of `previous` with this name. Names come in canonical order here as there, so one walk finds them all,
    /// without a look into the index for each.
    fn follow(&mut self, previous: &Version, owner: &[u8]) -> Option<usize> {
        while self.reached < previous.nodes().len() {
            let there = previous.name_of(self.reached);
            match if there == owner { Ordering::Equal } else { name::compare_canonical(there, owner) } {
                Ordering::Less => self.reached += 1,
                Ordering::Equal => return Some(self.reached),
                Ordering::Greater => return None,
            }
        }
        None
    }

    fn add_name(&mut self, assembly: &mut Assembly, previous: Option<&Version>, of_name: &[&'a Record]) {
        let Some(first) = of_name.first() else { return };
        let owner = self.records.owner(first);
        let known = previous.and_then(|previous| Some((previous, self.follow(previous, owner)?)));
        match known.filter(|(previous, node)| previous.name_of(*node) == owner) {
            Some((previous, node)) => assembly.begin_shared(previous, node),
            None => assembly.begin(owner),
        }
        let mut rdatas: Vec<&[u8]> = Vec::new();
        for of_type in of_name.chunk_by(|a, b| a.rtype == b.rtype) {
            let Some(first) = of_type.first() else { continue };
            rdatas.clear();
            rdatas.extend(of_type.iter().map(|record| self.records.rdata(record)));
            order_rdatas(first.rtype, &mut rdatas);
            self.check_rrset(of_type, rdatas.len());
            self.places.push(self.number_of(first));
            match known {
                Some((previous, node)) => assembly.add_shared(previous, node, first.rtype, first.ttl, &rdatas),
                None => assembly.add(first.rtype, first.ttl, &rdatas),
            }
        }
        self.check_cname(of_name);
    }

    fn number_of(&self, record: &Record) -> u32 {
        let base = self.records.records.as_ptr() as usize;
        let at = (std::ptr::from_ref(record) as usize - base) / size_of::<Record>();
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn report(&mut self, record: &Record, rule: &'static str, severity: Severity, what: &str) {
        if self.findings.len() >= MOST_FINDINGS && severity == Severity::Warning {
            return;
        }
        let file = self.records.files.get(usize::from(record.file)).cloned().unwrap_or_default();
        let owner = name::to_string(self.records.owner(record));
        let rtype = rdata::rtype_to_text(record.rtype);
        let message = format!("{owner} {rtype}: {what}");
        self.findings.push(Diagnostic { file, line: record.line, column: 0, rule, severity, message });
    }

    fn check_rrset(&mut self, of_type: &[&'a Record], distinct: usize) {
        let Some(first) = of_type.first() else { return };
        let at_apex = name::equal(self.records.owner(first), &self.records.origin);
        let wildcard = name::is_wildcard(self.records.owner(first));
        let second = of_type.get(1).unwrap_or(first);
        match first.rtype {
            rrtype::SOA | rrtype::CNAME | rrtype::DNAME if distinct > 1 => {
                self.report(second, "multiple-singleton", Severity::Error, "only one record of this type may be here");
            }
            rrtype::SOA if !at_apex => {
                self.report(first, "soa-not-at-apex", Severity::Error, "an SOA belongs to the zone's own name alone");
            }
            rrtype::DS if at_apex => {
                self.report(first, "ds-at-apex", Severity::Error, "the DS of a zone belongs to its parent");
            }
            // RFC 4592 sections 4.2 and 4.4 leave these undefined.
            rrtype::NS if wildcard => {
                self.report(
                    first,
                    "wildcard-ns",
                    Severity::Error,
                    "NS at a wildcard is refused (RFC 4592 section 4.2)",
                );
            }
            // BIND, NSD and Knot DNS load it, too.
            rrtype::DNAME if wildcard => {
                let what = "DNAME at a wildcard redirects nothing that the wildcard stands for (RFC 6672 section 3.3)";
                self.report(first, "wildcard-dname", Severity::Warning, what);
            }
            _ => {}
        }
        // RRSIGs are no RRset (RFC 4035 section 2.2).
        if first.rtype != rrtype::RRSIG
            && let Some(odd) = of_type.iter().find(|record| record.ttl != first.ttl)
        {
            let what =
                format!("TTL {} differs from {} of the RRset's first record, which is taken", odd.ttl, first.ttl);
            self.report(odd, "ttl-differs", Severity::Warning, &what);
        }
    }

    /// RFC 1034 section 3.6.2, RFC 4035 section 2.5.
    fn check_cname(&mut self, of_name: &[&'a Record]) {
        let Some(cname) = of_name.iter().find(|record| record.rtype == rrtype::CNAME) else { return };
        let other = of_name.iter().find(|record| !matches!(record.rtype, rrtype::CNAME | rrtype::RRSIG | rrtype::NSEC));
        if let Some(other) = other {
            let later = if (other.file, other.line) > (cname.file, cname.line) { other } else { cname };
            let what = format!("CNAME and other data ({})", rdata::rtype_to_text(other.rtype));
            self.report(later, "cname-and-other-data", Severity::Error, &what);
        }
    }

    fn check(&mut self, version: &Version) {
        if version.soa().is_none() {
            self.of_zone("no-soa", "the zone has no SOA record");
        }
        if version.rrset_at(0, rrtype::NS).is_none() {
            self.of_zone("no-ns", "the zone has no NS record at its own name");
        }
        for node in 0..version.nodes().len() {
            let Some(flags) = version.node(node).map(|node| node.flags) else { break };
            if flags & is::OCCLUDED != 0 {
                self.check_occluded(version, node);
            }
            for rrset in version.rrsets_of(node) {
                if matches!(rrset.rtype, rrtype::NS | rrtype::MX | rrtype::SRV) && flags & is::OCCLUDED == 0 {
                    for rdata in rrset.rdatas() {
                        self.check_target(version, rrset.index, rrset.rtype, rdata);
                    }
                }
            }
        }
    }

    fn of_zone(&mut self, rule: &'static str, what: &str) {
        // Where records could not be read, the error at their line says it better.
        let file = self.records.files.first().cloned().unwrap_or_default();
        let message = format!("{}: {what}", name::to_string(&self.records.origin));
        self.findings.push(Diagnostic { file, line: 0, column: 0, rule, severity: Severity::Error, message });
    }

    fn record_of(&self, rrset: usize) -> Option<&'a Record> {
        self.records.records.get(*self.places.get(rrset)? as usize)
    }

    fn check_occluded(&mut self, version: &Version, node: usize) {
        let is_glue = |rtype| matches!(rtype, rrtype::A | rrtype::AAAA | rrtype::RRSIG | rrtype::NSEC);
        let odd = version.rrsets_of(node).find(|rrset| !is_glue(rrset.rtype)).map(|rrset| rrset.index);
        if let Some(record) = odd.and_then(|rrset| self.record_of(rrset)) {
            self.report(record, "occluded", Severity::Warning, "below a delegation or DNAME, and so never answered");
        }
    }

    fn check_target(&mut self, version: &Version, rrset: usize, rtype: u16, rdata: &[u8]) {
        let Some(target) = rdata::target(rtype, rdata).filter(|target| name::is_at_or_below(target, version.origin()))
        else {
            return;
        };
        let Some(record) = self.record_of(rrset) else { return };
        let lower = name::lower(target);
        let shown = name::to_string(target);
        let exact = version.find(&lower);
        let node = exact.or_else(|| wildcard_for(version, &lower));
        let is_alias = node.is_some_and(|node| version.node(node).is_some_and(|node| node.is(is::HAS_CNAME)));
        let has_address =
            node.is_some_and(|node| version.rtypes_of(node).any(|rtype| matches!(rtype, rrtype::A | rrtype::AAAA)));
        let delegated = version.node(exact.unwrap_or_else(|| version.closest_encloser(&lower)));
        let beyond = delegated.is_some_and(|node| node.is(is::CUT | is::OCCLUDED));
        match rtype {
            rrtype::NS if is_alias => {
                // named-checkzone refuses it at the apex and warns of it at a delegation.
                let at_apex = name::equal(self.records.owner(record), &self.records.origin);
                let severity = if at_apex { Severity::Error } else { Severity::Warning };
                let what = format!("name server {shown} is an alias (RFC 2181 section 10.3)");
                self.report(record, "ns-is-cname", severity, &what);
            }
            rrtype::NS if !has_address => {
                self.report(
                    record,
                    "ns-without-address",
                    Severity::Warning,
                    &format!("name server {shown} has no address in the zone"),
                );
            }
            rrtype::MX | rrtype::SRV if is_alias => {
                let rule = if rtype == rrtype::MX { "mx-is-cname" } else { "srv-is-cname" };
                self.report(
                    record,
                    rule,
                    Severity::Warning,
                    &format!("target {shown} is an alias (RFC 2181 section 10.3)"),
                );
            }
            rrtype::MX | rrtype::SRV if !has_address && !beyond => {
                self.report(
                    record,
                    "target-without-address",
                    Severity::Warning,
                    &format!("target {shown} has no address in the zone"),
                );
            }
            _ => {}
        }
    }
}

/// The wildcard that stands for a name without a node, given in lower case.
pub(crate) fn wildcard_for(version: &Version, lower: &[u8]) -> Option<usize> {
    let encloser = version.closest_encloser(lower);
    version.node(encloser).filter(|node| node.is(is::WILDCARD_PARENT))?;
    let mut wildcard = vec![1, b'*'];
    name::lower_into(version.name_of(encloser), &mut wildcard);
    version.find(&wildcard)
}

fn key_of<'k>(run: &Run, keys: &'k [u8]) -> &'k [u8] {
    keys.get(run.key as usize..(run.key + run.key_len) as usize).unwrap_or(&[])
}

/// Runs of records of one owner in canonical order, and the octets of their keys, relative to the origin.
fn sorted_runs(records: &Records) -> (Vec<Run>, Vec<u8>) {
    let mut runs: Vec<Run> = Vec::with_capacity(records.records.len());
    let mut keys: Vec<u8> = Vec::with_capacity(records.arena.len() / 2);
    let mut skip = Vec::new();
    name::sort_key_into(&records.origin, &mut skip);
    let mut key = Vec::with_capacity(2 * name::MAX_OCTETS);
    let mut start = 0_u32;
    for run in records.records.chunk_by(|a, b| a.owner == b.owner) {
        let Some(first) = run.first() else { continue };
        key.clear();
        name::sort_key_into(records.owner(first), &mut key);
        let relative = key.get(skip.len()..).unwrap_or(&[]);
        let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
        runs.push(Run {
            prefix: prefix_of(relative),
            key: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            key_len: u32::try_from(relative.len()).unwrap_or(0),
            first: start,
            count,
        });
        keys.extend_from_slice(relative);
        start += count;
    }
    runs.sort_unstable_by(|a, b| {
        a.prefix.cmp(&b.prefix).then_with(|| key_of(a, &keys).cmp(key_of(b, &keys))).then(a.first.cmp(&b.first))
    });
    (runs, keys)
}

fn prefix_of(key: &[u8]) -> u64 {
    let mut prefix = [0; 8];
    for (place, octet) in prefix.iter_mut().zip(key) {
        *place = *octet;
    }
    u64::from_be_bytes(prefix)
}
