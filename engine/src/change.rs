//! Versions changed by record runs: what is deleted must be there, what is added must not (RFC 1995 section 4).
//!
//! The TTL of what is deleted is not looked at; what is added last decides the TTL of its RRset.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::build::{build, wildcard_for};
use crate::finding::{Diagnostic, Severity};
use crate::message::{CLASS_IN, rrtype};
use crate::name;
use crate::rdata;
use crate::run::{self, Record};
use crate::version::{Edit, RRset, Version};
use crate::zonefile::Records;

/// The records of a run; after one that can't be read nothing more comes.
pub fn records(mut run: &[u8]) -> impl Iterator<Item = Result<Record<'_>, String>> {
    std::iter::from_fn(move || {
        if run.is_empty() {
            return None;
        }
        let Some((record, class, rest)) = run::split(run) else {
            run = &[];
            return Some(Err("a record run is cut short or malformed".to_owned()));
        };
        run = rest;
        Some(checked(record, class))
    })
}

/// Owner and type, for people.
fn named(record: &Record<'_>) -> String {
    format!("{} {}", name::to_string(record.owner), rdata::rtype_to_text(record.rtype))
}

fn checked(record: Record<'_>, class: u16) -> Result<Record<'_>, String> {
    if class != CLASS_IN || rdata::is_meta(record.rtype) {
        return Err(format!("{} of class {class} is no record of a zone", named(&record)));
    }
    rdata::check(record.rtype, record.rdata).map_err(|reason| format!("{}: {reason}", named(&record)))?;
    Ok(record)
}

/// An RRset as it becomes: rdatas by their canonical form.
struct Touched {
    owner: Vec<u8>,
    ttl: u32,
    rdatas: BTreeMap<Vec<u8>, Vec<u8>>,
}

struct Changes<'a> {
    version: &'a Version,
    touched: HashMap<(Vec<u8>, u16), Touched>,
}

impl Changes<'_> {
    fn rrset(&mut self, record: &Record<'_>) -> Result<&mut Touched, String> {
        let lower = name::lower(record.owner);
        if !name::is_at_or_below(&lower, self.version.origin()) {
            return Err(format!("{} is not in the zone {}", named(record), name::to_string(self.version.origin())));
        }
        let version = self.version;
        Ok(self.touched.entry((lower, record.rtype)).or_insert_with_key(|(lower, rtype)| {
            let rrset = version.find(lower).and_then(|node| version.rrset_at(node, *rtype));
            let rdatas = rrset.iter().flat_map(RRset::rdatas);
            Touched {
                owner: record.owner.to_vec(),
                ttl: rrset.map_or(record.ttl, |rrset| rrset.ttl),
                rdatas: rdatas.map(|rdata| (canonical(*rtype, rdata), rdata.to_vec())).collect(),
            }
        }))
    }

    fn delete(&mut self, record: &Record<'_>) -> Result<(), String> {
        let key = canonical(record.rtype, record.rdata);
        if self.rrset(record)?.rdatas.remove(&key).is_none() {
            return Err(format!("{} is to be deleted and is not there: {}", named(record), shown(record)));
        }
        Ok(())
    }

    fn add(&mut self, record: &Record<'_>) -> Result<(), String> {
        let key = canonical(record.rtype, record.rdata);
        let rrset = self.rrset(record)?;
        if rrset.rdatas.insert(key, record.rdata.to_vec()).is_some() {
            return Err(format!("{} is to be added and is there already: {}", named(record), shown(record)));
        }
        rrset.ttl = record.ttl;
        Ok(())
    }
}

fn canonical(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rdata.len());
    rdata::canonical(rtype, rdata, &mut out);
    out
}

/// The first octets of a record's rdata as text.
fn shown(record: &Record<'_>) -> String {
    let mut text = Vec::new();
    rdata::to_text(record.rtype, record.rdata, &mut text);
    text.truncate(64);
    String::from_utf8_lossy(&text).into_owned()
}

impl Version {
    /// A new version after changes, one after another, each of (deleted, added) record runs.
    ///
    /// # Errors
    /// A run can't be read, a record is outside the zone, what is deleted is not there, or what is added is.
    pub fn with_changes<R: AsRef<[u8]>>(&self, changes: &[(R, R)]) -> Result<Self, String> {
        let mut all = Changes { version: self, touched: HashMap::new() };
        for (deleted, added) in changes {
            records(deleted.as_ref()).try_for_each(|record| all.delete(&record?))?;
            records(added.as_ref()).try_for_each(|record| all.add(&record?))?;
        }
        let edits = all.touched.into_iter().map(|((_, rtype), rrset)| Edit {
            owner: rrset.owner,
            rtype,
            ttl: rrset.ttl,
            rdatas: rrset.rdatas.into_values().collect(),
        });
        Ok(self.edited(edits.collect()))
    }

    /// The errors of content at the owners of record runs and at the apex: all there can be in a version made from one
    /// without any by these runs. `file` is what they are said to be in.
    ///
    /// # Errors
    /// A run can't be read.
    pub fn errors_at<R: AsRef<[u8]>>(&self, runs: &[R], file: &str) -> Result<Vec<Diagnostic>, String> {
        let mut excerpt = Excerpt::new(self, file);
        excerpt.take(0);
        for run in runs {
            for record in records(run.as_ref()) {
                if let Some(node) = self.find(&name::lower(record?.owner)) {
                    excerpt.take(node);
                }
            }
        }
        excerpt.take_name_servers();
        let (_, mut findings) = build(&excerpt.records, None);
        findings.retain(|finding| finding.severity == Severity::Error);
        Ok(findings)
    }
}

/// Some names of a version, to be looked at as a zone of their own.
struct Excerpt<'a> {
    version: &'a Version,
    taken: HashSet<usize>,
    records: Records,
}

impl<'a> Excerpt<'a> {
    fn new(version: &'a Version, file: &str) -> Self {
        Self { version, taken: HashSet::new(), records: Records::empty(version.origin_name().clone(), file) }
    }

    fn take(&mut self, node: usize) {
        if !self.taken.insert(node) {
            return;
        }
        for rrset in self.version.rrsets_of(node) {
            for rdata in rrset.rdatas() {
                self.records.push(self.version.name_of(node), rrset.rtype, rrset.ttl, rdata, 0);
            }
        }
    }

    /// What the zone's own NS records lead to, exactly or by a wildcard, may be an alias.
    fn take_name_servers(&mut self) {
        let Some(ns) = self.version.rrset_at(0, rrtype::NS) else { return };
        for target in ns.rdatas().filter(|target| name::is_at_or_below(target, self.version.origin())) {
            let lower = name::lower(target);
            let node = self.version.find(&lower).or_else(|| wildcard_for(self.version, &lower));
            if let Some(node) = node {
                self.take(node);
            }
        }
    }
}
