//! What Python sees of the engine: the one file that names pyo3.
//!
//! `engine/_native.pyi` is its contract. Octets, numbers, small frozen structs and handles cross; the GIL is released
//! where a call may take over 10 microseconds; errors become the exceptions of `engine/errors.py`.

// pyo3 hands arguments over by value, and methods without state still take the object they are called on.
#![allow(clippy::needless_pass_by_value, clippy::unused_self)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::clock;
use crate::cookie;
use crate::crypto;
use crate::denial;
use crate::diff;
use crate::effect;
use crate::finding;
use crate::image;
use crate::incoming;
use crate::limit;
use crate::message;
use crate::name::{self, Name};
use crate::nsec3;
use crate::predicate;
use crate::rdata;
use crate::responder::{self, Arrival, BlockParts, Outcome, Transport};
use crate::run;
use crate::serve;
use crate::signed;
use crate::text;
use crate::transfer;
use crate::tsig;
use crate::udp;
use crate::verify;
use crate::version;
use crate::zonefile;
use crate::zonemd;

mod raised {
    #![allow(missing_docs)]
    pyo3::import_exception!(engine.errors, EngineError);
    pyo3::import_exception!(engine.errors, ImageError);
    pyo3::import_exception!(engine.errors, MessageError);
    pyo3::import_exception!(engine.errors, NameSyntaxError);
    pyo3::import_exception!(engine.errors, SignatureError);
}

use raised::{EngineError, ImageError, MessageError, NameSyntaxError, SignatureError};

/// Presentation text beyond this would not fit into any message.
const LARGEST: usize = 65535;

type PyCapped<'py> = (Version, usize, Bound<'py, PyBytes>, u16, u32);
type PyRRset<'py> = (u32, Vec<Bound<'py, PyBytes>>);
type PyChange<'py> = (Bound<'py, PyBytes>, u16, u32, Vec<Bound<'py, PyBytes>>);

fn wire(octets: &[u8]) -> PyResult<Name> {
    Name::from_wire(octets)
        .ok_or_else(|| NameSyntaxError::new_err("not a wire name: octets that are no whole domain name"))
}

fn to_py_rrset(py: Python<'_>, rrset: (u32, Vec<Vec<u8>>)) -> PyRRset<'_> {
    (rrset.0, rrset.1.iter().map(|rdata| PyBytes::new(py, rdata)).collect())
}

// ---------------------------------------------------------------------- names, types, rdata

#[pyfunction]
#[pyo3(signature = (text, origin = None))]
fn name_from_text<'py>(py: Python<'py>, text: &str, origin: Option<&[u8]>) -> PyResult<Bound<'py, PyBytes>> {
    let name = Name::from_text(text.as_bytes(), origin.unwrap_or(name::ROOT))
        .map_err(|reason| NameSyntaxError::new_err(format!("{text}: {reason}")))?;
    Ok(PyBytes::new(py, &name))
}

#[pyfunction]
fn name_to_text(name: &[u8]) -> PyResult<String> {
    Ok(name::to_string(&wire(name)?))
}

#[pyfunction]
fn rrtype_from_text(text: &str) -> PyResult<u16> {
    rdata::rtype_from_text(text.as_bytes()).ok_or_else(|| EngineError::new_err(format!("{text}: not a record type")))
}

#[pyfunction]
fn rrtype_to_text(rtype: u16) -> String {
    rdata::rtype_to_text(rtype).into_owned()
}

#[pyfunction]
fn rdata_from_text<'py>(py: Python<'py>, rtype: u16, text: &str, origin: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    rdata::from_line(rtype, text.as_bytes(), &wire(origin)?, &mut out).map_err(EngineError::new_err)?;
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
fn rdata_to_text(rtype: u16, rdata: &[u8]) -> String {
    let mut out = Vec::new();
    rdata::to_text(rtype, rdata, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

// ---------------------------------------------------------------------- clock

#[pyclass(frozen, module = "engine._native")]
struct Clock(Arc<clock::Clock>);

#[pymethods]
impl Clock {
    #[new]
    fn new() -> Self {
        Self(Arc::new(clock::Clock::default()))
    }

    fn now(&self) -> i64 {
        self.0.now()
    }

    fn stop_at(&self, now: i64) {
        self.0.stop_at(now);
    }

    fn shift(&self, seconds: i64) {
        self.0.shift(seconds);
    }
}

// ---------------------------------------------------------------------- reader

#[pyclass(frozen, module = "engine._native")]
struct Diagnostic(finding::Diagnostic);

#[pymethods]
impl Diagnostic {
    #[getter]
    fn file(&self) -> &str {
        &self.0.file
    }

    #[getter]
    fn line(&self) -> u32 {
        self.0.line
    }

    #[getter]
    fn column(&self) -> u32 {
        self.0.column
    }

    #[getter]
    fn rule(&self) -> &str {
        self.0.rule
    }

    #[getter]
    fn severity(&self) -> &'static str {
        match self.0.severity {
            finding::Severity::Error => "error",
            finding::Severity::Warning => "warning",
        }
    }

    #[getter]
    fn message(&self) -> &str {
        &self.0.message
    }

    fn __repr__(&self) -> String {
        let found = &self.0;
        format!(
            "{}:{}:{}: {}: {} [{}]",
            found.file,
            found.line,
            found.column,
            self.severity(),
            found.message,
            found.rule
        )
    }
}

fn diagnostics(found: &[finding::Diagnostic]) -> Vec<Diagnostic> {
    found.iter().cloned().map(Diagnostic).collect()
}

#[pyclass(frozen, module = "engine._native")]
struct Records(zonefile::Records);

#[pymethods]
impl Records {
    #[getter]
    fn origin<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.origin)
    }

    #[getter]
    fn diagnostics(&self) -> Vec<Diagnostic> {
        diagnostics(&self.0.diagnostics)
    }

    #[getter]
    fn has_errors(&self) -> bool {
        self.0.diagnostics.iter().any(|found| found.severity == finding::Severity::Error)
    }

    #[getter]
    fn missing_includes(&self) -> Vec<String> {
        self.0.missing_includes.clone()
    }

    #[getter]
    fn included(&self) -> Vec<String> {
        self.0.included.clone()
    }

    fn __len__(&self) -> usize {
        self.0.records.len()
    }
}

#[pyfunction]
#[pyo3(signature = (origin, sources, *, includes = false, max_records = 0, max_generate = 65536))]
fn read_zone(
    py: Python<'_>,
    origin: &[u8],
    sources: Vec<(String, PyBackedBytes)>,
    includes: bool,
    max_records: usize,
    max_generate: u64,
) -> PyResult<Records> {
    let origin = wire(origin)?;
    let limits = zonefile::Limits { includes, max_records, max_generate };
    Ok(Records(py.detach(|| {
        let sources: Vec<zonefile::Source<'_>> =
            sources.iter().map(|(name, octets)| zonefile::Source { name, octets }).collect();
        zonefile::read(&origin, &sources, &limits)
    })))
}

// ---------------------------------------------------------------------- versions

#[pyclass(frozen, module = "engine._native")]
struct Version(Arc<version::Version>);

#[pymethods]
impl Version {
    #[staticmethod]
    #[pyo3(signature = (records, previous = None))]
    fn build(py: Python<'_>, records: &Records, previous: Option<&Self>) -> (Option<Self>, Vec<Diagnostic>) {
        let previous = previous.map(|previous| &*previous.0);
        let (version, found) = py.detach(|| crate::build::build(&records.0, previous));
        (version.map(|version| Self(Arc::new(version))), diagnostics(&found))
    }

    #[staticmethod]
    fn from_image(py: Python<'_>, image: &[u8]) -> PyResult<Self> {
        let version = py.detach(|| image::to_version(image.to_vec())).map_err(ImageError::new_err)?;
        Ok(Self(Arc::new(version)))
    }

    fn image<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let octets = py.detach(|| image::of_version(&self.0));
        PyBytes::new(py, &octets)
    }

    #[getter]
    fn origin<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.origin())
    }

    #[getter]
    fn serial(&self) -> u32 {
        self.0.serial()
    }

    #[getter]
    fn record_count(&self) -> usize {
        self.0.record_count()
    }

    #[getter]
    fn rrset_count(&self) -> usize {
        self.0.rrset_count()
    }

    #[getter]
    fn name_count(&self) -> usize {
        self.0.nodes().len()
    }

    #[getter]
    fn octets(&self) -> usize {
        self.0.octets()
    }

    #[getter]
    fn max_ttl(&self) -> u32 {
        self.0.max_ttl()
    }

    #[getter]
    fn content_digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let digest = py.detach(|| self.0.content_digest());
        PyBytes::new(py, &digest)
    }

    fn rrset<'py>(&self, py: Python<'py>, owner: &[u8], rtype: u16) -> PyResult<Option<PyRRset<'py>>> {
        let Some(node) = self.0.find(&name::lower(&wire(owner)?)) else { return Ok(None) };
        let rrset = self.0.rrset_at(node, rtype);
        Ok(rrset.map(|rrset| to_py_rrset(py, (rrset.ttl, rrset.rdatas().map(<[u8]>::to_vec).collect()))))
    }

    fn rtypes(&self, owner: &[u8]) -> PyResult<Option<Vec<u16>>> {
        Ok(self.0.find(&name::lower(&wire(owner)?)).map(|node| self.0.rtypes_of(node).collect()))
    }

    fn edited(&self, py: Python<'_>, edits: Vec<(PyBackedBytes, u16, u32, Vec<PyBackedBytes>)>) -> PyResult<Self> {
        let edits = edits.iter().map(to_edit).collect::<PyResult<Vec<_>>>()?;
        Ok(Self(Arc::new(py.detach(|| self.0.edited(edits)))))
    }

    fn with_changes(&self, py: Python<'_>, deleted: &[u8], added: &[u8]) -> PyResult<Self> {
        let changed = py.detach(|| self.0.with_changes(&[(deleted, added)]));
        Ok(Self(Arc::new(changed.map_err(EngineError::new_err)?)))
    }

    fn with_all_changes(&self, py: Python<'_>, changes: Vec<(PyBackedBytes, PyBackedBytes)>) -> PyResult<Self> {
        let version = py.detach(|| self.0.with_changes(&changes));
        Ok(Self(Arc::new(version.map_err(EngineError::new_err)?)))
    }

    fn errors_at(&self, py: Python<'_>, runs: Vec<PyBackedBytes>, file: &str) -> PyResult<Vec<Diagnostic>> {
        let found = py.detach(|| self.0.errors_at(&runs, file)).map_err(EngineError::new_err)?;
        Ok(diagnostics(&found))
    }

    fn without(&self, py: Python<'_>, rtypes: Vec<u16>) -> Self {
        // Most zones hold none of them: what is immutable can be shared.
        let shared = || if self.0.has_any(&rtypes) { Arc::new(self.0.without(&rtypes)) } else { Arc::clone(&self.0) };
        Self(py.detach(shared))
    }

    fn capped<'py>(&self, py: Python<'py>, most: u32) -> Option<PyCapped<'py>> {
        let capped = py.detach(|| self.0.capped(most))?;
        Some((Self(Arc::new(capped.version)), capped.rrsets, PyBytes::new(py, &capped.owner), capped.rtype, capped.ttl))
    }

    #[pyo3(signature = (newer, limit = 1000))]
    fn diff(&self, py: Python<'_>, newer: &Self, limit: usize) -> Difference {
        Difference(py.detach(|| diff::diff(&self.0, &newer.0, limit)))
    }

    fn to_text<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let octets = py.detach(|| text::of_version(&self.0));
        PyBytes::new(py, &octets)
    }
}

fn to_edit(edit: &(PyBackedBytes, u16, u32, Vec<PyBackedBytes>)) -> PyResult<version::Edit> {
    let (owner, rtype, ttl, rdatas) = edit;
    for rdata in rdatas {
        rdata::check(*rtype, rdata)
            .map_err(|reason| EngineError::new_err(format!("{} rdata: {reason}", rdata::rtype_to_text(*rtype))))?;
    }
    let rdatas = rdatas.iter().map(|rdata| rdata.to_vec()).collect();
    Ok(version::Edit { owner: wire(owner)?.to_vec(), rtype: *rtype, ttl: *ttl, rdatas })
}

#[pyclass(frozen, module = "engine._native")]
struct Difference(diff::Difference);

fn changes<'py>(py: Python<'py>, list: &[diff::Change]) -> Vec<PyChange<'py>> {
    list.iter()
        .map(|change| {
            let rdatas = change.rdatas.iter().map(|rdata| PyBytes::new(py, rdata)).collect();
            (PyBytes::new(py, &change.owner), change.rtype, change.ttl, rdatas)
        })
        .collect()
}

#[pymethods]
impl Difference {
    #[getter]
    fn removed_records(&self) -> usize {
        self.0.removed_records
    }

    #[getter]
    fn added_records(&self) -> usize {
        self.0.added_records
    }

    #[getter]
    fn changed_rrsets(&self) -> usize {
        self.0.changed_rrsets
    }

    #[getter]
    fn removed<'py>(&self, py: Python<'py>) -> Vec<PyChange<'py>> {
        changes(py, &self.0.removed)
    }

    #[getter]
    fn added<'py>(&self, py: Python<'py>) -> Vec<PyChange<'py>> {
        changes(py, &self.0.added)
    }
}

// ---------------------------------------------------------------------- transfers that come in

#[pyclass(frozen, module = "engine._native")]
struct IncomingTransfer(Mutex<incoming::Incoming>);

impl IncomingTransfer {
    fn lock(&self) -> std::sync::MutexGuard<'_, incoming::Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl IncomingTransfer {
    #[new]
    #[pyo3(signature = (origin, message_id, *, serial = None, file = "", max_records = 0, max_octets = 0))]
    fn new(
        origin: &[u8],
        message_id: u16,
        serial: Option<u32>,
        file: &str,
        max_records: u64,
        max_octets: u64,
    ) -> PyResult<Self> {
        let limits = incoming::Limits { records: max_records, octets: max_octets };
        Ok(Self(Mutex::new(incoming::Incoming::new(wire(origin)?, message_id, serial, file, limits))))
    }

    fn feed(&self, py: Python<'_>, message: &[u8]) -> PyResult<bool> {
        py.detach(|| self.lock().feed(message)).map_err(MessageError::new_err)
    }

    #[getter]
    fn kind(&self) -> Option<&'static str> {
        self.lock().kind().map(|kind| match kind {
            incoming::Kind::Current => "current",
            incoming::Kind::Whole => "whole",
            incoming::Kind::Incremental => "incremental",
        })
    }

    #[getter]
    fn serial(&self) -> Option<u32> {
        self.lock().serial()
    }

    #[getter]
    fn expire(&self) -> Option<u32> {
        self.lock().expire()
    }

    #[getter]
    fn counts(&self) -> (u64, u64, u64) {
        self.lock().counts()
    }

    fn take_records(&self) -> Records {
        Records(self.lock().take_records())
    }

    fn take_changes<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let changes = self.lock().take_changes();
        changes.iter().map(|(deleted, added)| (PyBytes::new(py, deleted), PyBytes::new(py, added))).collect()
    }
}

// ---------------------------------------------------------------------- signing

#[pyclass(frozen, module = "engine._native")]
struct SigningKey(Arc<crypto::SigningKey>);

#[pymethods]
impl SigningKey {
    #[new]
    fn new(pkcs8: &[u8], dnskey: &[u8]) -> PyResult<Self> {
        let key = crypto::SigningKey::from_pkcs8(pkcs8, dnskey).map_err(SignatureError::new_err)?;
        Ok(Self(Arc::new(key)))
    }

    #[staticmethod]
    fn slow(dnskey: &[u8]) -> PyResult<Self> {
        Ok(Self(Arc::new(crypto::SigningKey::slow(dnskey).map_err(SignatureError::new_err)?)))
    }

    #[getter]
    fn is_slow(&self) -> bool {
        self.0.is_slow()
    }

    #[getter]
    fn dnskey<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.dnskey())
    }

    #[getter]
    fn algorithm(&self) -> u8 {
        self.0.algorithm()
    }

    #[getter]
    fn key_tag(&self) -> u16 {
        self.0.key_tag()
    }
}

#[pyfunction]
fn key_tag(dnskey: &[u8]) -> u16 {
    crypto::key_tag(dnskey)
}

#[pyfunction]
fn verify_signature(
    dnskey: &[u8],
    owner: &[u8],
    rtype: u16,
    ttl: u32,
    rdatas: Vec<PyBackedBytes>,
    rrsig: &[u8],
) -> PyResult<bool> {
    let key = crypto::PublicKey::from_dnskey(dnskey).map_err(SignatureError::new_err)?;
    let rdatas: Vec<&[u8]> = rdatas.iter().map(|rdata| &**rdata).collect();
    Ok(verify::signature(&key, &wire(owner)?, rtype, ttl, &rdatas, rrsig))
}

/// A time as RRSIG has it (RFC 4034 section 3.1.5).
fn serial_time(now: i64) -> u32 {
    u32::try_from(now.rem_euclid(1 << 32)).unwrap_or(0)
}

#[pyclass(frozen, module = "engine._native")]
struct Denial(denial::Choice);

#[pymethods]
impl Denial {
    #[new]
    #[pyo3(signature = (kind = "nsec", *, opt_out = false, iterations = 0, salt = None))]
    fn new(kind: &str, opt_out: bool, iterations: u16, salt: Option<&[u8]>) -> PyResult<Self> {
        let salt = salt.unwrap_or_default();
        if kind != "nsec3" && (opt_out || iterations > 0 || !salt.is_empty()) {
            return Err(PyValueError::new_err("opt-out, iterations and salt belong to nsec3 alone"));
        }
        if salt.len() > 255 {
            return Err(PyValueError::new_err(format!("a salt of {} octets; 255 are the most", salt.len())));
        }
        match kind {
            "nsec" => Ok(Self(denial::Choice::Nsec)),
            "compact" => Ok(Self(denial::Choice::Compact)),
            "nsec3" => Ok(Self(denial::Choice::Nsec3(nsec3::Params { iterations, salt: salt.into(), opt_out }))),
            _ => Err(PyValueError::new_err(format!("{kind}: not nsec, nsec3 or compact"))),
        }
    }
}

#[pyclass(frozen, module = "engine._native")]
struct SigningPlan(Arc<signed::Plan>);

#[pymethods]
impl SigningPlan {
    #[new]
    #[pyo3(signature = (keys, *, inception, expiration, jitter = 0, carry_until = 0, denial = None))]
    fn new(
        keys: Vec<(PyRef<'_, SigningKey>, bool, bool)>,
        inception: u32,
        expiration: u32,
        jitter: u32,
        carry_until: u32,
        denial: Option<&Denial>,
    ) -> PyResult<Self> {
        let keys = keys.into_iter().map(|(key, keys, zone)| (Arc::clone(&key.0), keys, zone)).collect();
        let denial = denial.map_or(denial::Choice::Nsec, |denial| denial.0.clone());
        let plan = signed::Plan::new(keys, [inception, expiration, jitter, carry_until], denial)
            .map_err(SignatureError::new_err)?;
        Ok(Self(Arc::new(plan)))
    }

    #[getter]
    fn inception(&self) -> u32 {
        self.0.inception
    }

    #[getter]
    fn expiration(&self) -> u32 {
        self.0.expiration
    }
}

type ForeignRow<'py> = (usize, usize, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pyclass(frozen, module = "engine._native")]
struct SignedVersion(Arc<signed::SignedVersion>);

#[pymethods]
impl SignedVersion {
    #[new]
    #[pyo3(signature = (version, plan = None, previous = None))]
    fn new(py: Python<'_>, version: &Version, plan: Option<&SigningPlan>, previous: Option<&Self>) -> Self {
        let (content, plan) = (Arc::clone(&version.0), plan.map(|plan| Arc::clone(&plan.0)));
        let previous = previous.map(|previous| &*previous.0);
        Self(Arc::new(py.detach(|| signed::SignedVersion::new(content, plan, previous))))
    }

    #[getter]
    fn version(&self) -> Version {
        Version(Arc::clone(self.0.version()))
    }

    #[getter]
    fn serial(&self) -> u32 {
        self.0.version().serial()
    }

    #[getter]
    fn is_signed(&self) -> bool {
        self.0.plan().is_some()
    }

    #[getter]
    fn is_sealed(&self) -> bool {
        self.0.is_sealed()
    }

    #[getter]
    fn slots(&self) -> usize {
        self.0.total()
    }

    #[getter]
    fn slots_made(&self) -> usize {
        self.0.made()
    }

    #[getter]
    fn slots_verified(&self) -> usize {
        self.0.verified()
    }

    #[pyo3(signature = (now, *, horizon = 0, parent_ds = Vec::new(), foreign = Vec::new(), is_liberal = false))]
    fn check(
        &self,
        py: Python<'_>,
        now: i64,
        horizon: u32,
        parent_ds: Vec<Vec<u8>>,
        foreign: Vec<Vec<u8>>,
        is_liberal: bool,
    ) -> Vec<Diagnostic> {
        let expected = verify::Expected { now: serial_time(now), horizon, parent_ds, foreign, is_liberal };
        diagnostics(&py.detach(|| verify::check(&self.0, &expected)))
    }

    #[pyo3(signature = (now, *, horizon = 0, foreign = Vec::new(), is_liberal = false))]
    fn check_signatures(
        &self,
        py: Python<'_>,
        now: i64,
        horizon: u32,
        foreign: Vec<Vec<u8>>,
        is_liberal: bool,
    ) -> Vec<Diagnostic> {
        let expected = verify::Expected { now: serial_time(now), horizon, parent_ds: Vec::new(), foreign, is_liberal };
        diagnostics(&py.detach(|| verify::check_signatures(&self.0, &expected)))
    }

    fn check_presigned(&self, py: Python<'_>, now: i64) -> Vec<Diagnostic> {
        diagnostics(&py.detach(|| verify::check_presigned(&self.0, now)))
    }

    #[getter]
    fn zone_digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| zonemd::digest(&self.0)))
    }

    fn zone_digest_by<'py>(&self, py: Python<'py>, hash_algorithm: u8) -> Option<Bound<'py, PyBytes>> {
        let digest = py.detach(|| zonemd::digest_by(&self.0, hash_algorithm))?;
        Some(PyBytes::new(py, &digest))
    }

    fn with_zone_digest(&self, py: Python<'_>) -> Option<Self> {
        py.detach(|| zonemd::completed(&self.0)).map(|signed| Self(Arc::new(signed)))
    }

    fn make(&self, py: Python<'_>, budget_us: u64) -> bool {
        py.detach(|| self.0.make(Duration::from_micros(budget_us)))
    }

    #[pyo3(signature = (budget_us, now, *, horizon = 0, foreign = Vec::new(), is_liberal = false))]
    fn verify(
        &self,
        py: Python<'_>,
        budget_us: u64,
        now: i64,
        horizon: u32,
        foreign: Vec<Vec<u8>>,
        is_liberal: bool,
    ) -> PyResult<bool> {
        let expected = verify::Expected { now: serial_time(now), horizon, parent_ds: Vec::new(), foreign, is_liberal };
        py.detach(|| self.0.verify(Duration::from_micros(budget_us), &expected)).map_err(SignatureError::new_err)
    }

    #[getter]
    fn slow_missing(&self) -> usize {
        self.0.slow_missing()
    }

    #[pyo3(signature = (limit = 256))]
    fn unsigned<'py>(&self, py: Python<'py>, limit: usize) -> Vec<(usize, usize, Bound<'py, PyBytes>)> {
        let found = py.detach(|| self.0.unsigned(limit));
        found.iter().map(|((key, unit), octets)| (*key, *unit, PyBytes::new(py, octets))).collect()
    }

    fn fill(&self, py: Python<'_>, signatures: Vec<(usize, usize, PyBackedBytes)>) -> PyResult<()> {
        let filled = py.detach(|| {
            let each = signatures.iter().map(|(key, unit, octets)| self.0.fill((*key, *unit), octets));
            // One that is wrong does not keep the others out.
            each.fold(Ok(()), Result::and)
        });
        filled.map_err(SignatureError::new_err)
    }

    fn give(&self, rrsigs: Vec<PyBackedBytes>) -> PyResult<()> {
        rrsigs.iter().try_for_each(|rrsig| self.0.give(rrsig)).map_err(SignatureError::new_err)
    }

    #[pyo3(signature = (limit = 256))]
    fn unverified<'py>(&self, py: Python<'py>, limit: usize) -> Vec<ForeignRow<'py>> {
        let found = py.detach(|| self.0.unverified(limit));
        let octets = |octets: &[u8]| PyBytes::new(py, octets);
        found.iter().map(|((key, unit), data, signature)| (*key, *unit, octets(data), octets(signature))).collect()
    }

    fn note_verified(&self, slots: Vec<(usize, usize)>) -> PyResult<()> {
        slots.into_iter().try_for_each(|slot| self.0.note_verified(slot)).map_err(SignatureError::new_err)
    }

    fn seal(&self) -> PyResult<()> {
        self.0.seal().map_err(EngineError::new_err)
    }

    #[getter]
    fn earliest_expiration(&self) -> Option<u32> {
        self.0.earliest_expiration()
    }

    fn signatures<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let octets = py.detach(|| image::of_signatures(&self.0));
        PyBytes::new(py, &octets)
    }

    fn restore(&self, py: Python<'_>, signatures: &[u8]) -> PyResult<usize> {
        py.detach(|| image::restore_signatures(&self.0, signatures)).map_err(ImageError::new_err)
    }

    fn rrset<'py>(&self, py: Python<'py>, owner: &[u8], rtype: u16) -> PyResult<Option<PyRRset<'py>>> {
        let owner = name::lower(&wire(owner)?);
        let rrset = py.detach(|| self.0.rrset(&owner, rtype));
        Ok(rrset.map(|rrset| to_py_rrset(py, rrset)))
    }

    fn to_text<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let octets = py.detach(|| text::of_signed(&self.0));
        PyBytes::new(py, &octets)
    }

    #[staticmethod]
    #[pyo3(signature = (content, signatures = None))]
    fn from_images(py: Python<'_>, content: &[u8], signatures: Option<&[u8]>) -> PyResult<Self> {
        let signed = py.detach(|| image::to_signed(content.to_vec(), signatures)).map_err(ImageError::new_err)?;
        Ok(Self(Arc::new(signed)))
    }

    #[getter]
    fn transfer_octets(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.transfer_octets())
    }

    fn changes_since<'py>(&self, py: Python<'py>, previous: &Self, most: usize) -> PyResult<Option<PyChanges<'py>>> {
        let change = py.detach(|| self.0.changes_since(&previous.0, most)).map_err(EngineError::new_err)?;
        Ok(change.map(|change| to_py_changes(py, &change)))
    }

    #[pyo3(signature = (query, position = 0, size = 65535, *, expire = None))]
    fn transfer<'py>(
        &self,
        py: Python<'py>,
        query: &[u8],
        position: u64,
        size: usize,
        expire: Option<u32>,
    ) -> PyResult<(Bound<'py, PyBytes>, i64)> {
        transferred(py, query, expire, size, |asked, out| transfer::message(&self.0, asked, position, out))
    }
}

type PyChanges<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

fn to_py_changes<'py>(py: Python<'py>, change: &run::Change) -> PyChanges<'py> {
    (PyBytes::new(py, &change.deleted), PyBytes::new(py, &change.added))
}

/// One message of a transfer, and where the next one begins.
fn transferred<'py>(
    py: Python<'py>,
    query: &[u8],
    expire: Option<u32>,
    size: usize,
    write: impl Fn(transfer::Asked<'_>, &mut [u8]) -> Result<(usize, transfer::Position), String> + Sync,
) -> PyResult<(Bound<'py, PyBytes>, i64)> {
    let parsed = message::Query::parse(query).map_err(|_| MessageError::new_err("not a well-formed query"))?;
    let mut out = vec![0; size.min(LARGEST)];
    let asked = transfer::Asked { query: &parsed, expire };
    let (length, next) = py.detach(|| write(asked, &mut out)).map_err(EngineError::new_err)?;
    // A zone has fewer than 2^31 names: the largest position but the last fits.
    let next = next.map_or(-1, |next| i64::try_from(next).unwrap_or(i64::MAX));
    Ok((PyBytes::new(py, out.get(..length).unwrap_or(&[])), next))
}

#[pyfunction]
#[pyo3(signature = (query, deleted, added, position = 0, size = 65535, *, expire = None))]
fn change_message<'py>(
    py: Python<'py>,
    query: &[u8],
    deleted: &[u8],
    added: &[u8],
    position: u64,
    size: usize,
    expire: Option<u32>,
) -> PyResult<(Bound<'py, PyBytes>, i64)> {
    let write =
        |asked: transfer::Asked<'_>, out: &mut [u8]| transfer::change_message([deleted, added], asked, position, out);
    transferred(py, query, expire, size, write)
}

#[pyfunction]
fn fold_changes(py: Python<'_>, changes: Vec<(PyBackedBytes, PyBackedBytes)>) -> PyResult<PyChanges<'_>> {
    let parts: Vec<(&[u8], &[u8])> = changes.iter().map(|(deleted, added)| (&**deleted, &**added)).collect();
    let folded = py.detach(|| run::folded(&parts)).map_err(|_| EngineError::new_err("not changes of a zone"))?;
    Ok(to_py_changes(py, &folded))
}

#[pyfunction]
fn count_records(run: &[u8]) -> PyResult<usize> {
    run::count(run).map_err(|_| EngineError::new_err("not a run of records"))
}

// ---------------------------------------------------------------------- answering

#[pyclass(frozen, module = "engine._native")]
struct ZoneSlot(Arc<responder::ZoneSlot>);

#[pymethods]
impl ZoneSlot {
    #[new]
    fn new(origin: &[u8]) -> PyResult<Self> {
        Ok(Self(Arc::new(responder::ZoneSlot::new(wire(origin)?))))
    }

    #[getter]
    fn origin<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.origin())
    }

    #[getter]
    fn current(&self) -> Option<SignedVersion> {
        self.0.current().map(SignedVersion)
    }

    fn publish(&self, signed: &SignedVersion) {
        self.0.swap(Some(Arc::clone(&signed.0)));
    }

    fn withdraw(&self) {
        self.0.swap(None);
    }

    fn expire(&self) {
        self.0.expire();
    }

    fn revive(&self) {
        self.0.revive();
    }

    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.0.expires_at()
    }

    #[setter]
    fn set_expires_at(&self, moment: Option<i64>) {
        self.0.set_expires_at(moment);
    }

    fn seconds_to_expiry(&self, now: i64) -> Option<u32> {
        self.0.seconds_to_expiry(now)
    }
}

#[pyclass(frozen, module = "engine._native")]
struct Cookies(Arc<cookie::Cookies>);

#[pymethods]
impl Cookies {
    #[new]
    #[pyo3(signature = (secrets, *, required = false))]
    fn new(secrets: Vec<PyBackedBytes>, required: bool) -> PyResult<Self> {
        let secrets = secrets.iter().map(|secret| secret.as_ref().try_into());
        let secrets: Vec<cookie::Secret> = secrets
            .collect::<Result<_, _>>()
            .map_err(|_| PyValueError::new_err("a secret of cookies has 16 octets"))?;
        Ok(Self(Arc::new(cookie::Cookies { secrets, required })))
    }
}

#[pyclass(frozen, module = "engine._native")]
struct Limiter(Arc<limit::Limiter>);

#[pymethods]
impl Limiter {
    #[new]
    #[pyo3(signature = (rates, *, window = 15, slip = 2, prefixes = (24, 56), exempt = vec![], log_only = false, accounts = 131_072))]
    fn new(
        rates: [u32; limit::CLASSES],
        window: u32,
        slip: u8,
        prefixes: (u8, u8),
        exempt: Vec<(String, u8)>,
        log_only: bool,
        accounts: usize,
    ) -> PyResult<Self> {
        let exempt = exempt.iter().map(|(address, bits)| Ok((address_of(address, 0)?.ip(), *bits)));
        let exempt = exempt.collect::<PyResult<_>>()?;
        let (v4_prefix, v6_prefix) = prefixes;
        let limits = limit::Limits { rates, window, slip, v4_prefix, v6_prefix, exempt, log_only, accounts };
        Ok(Self(Arc::new(limit::Limiter::new(limits))))
    }

    #[getter]
    fn octets(&self) -> usize {
        self.0.octets()
    }

    fn notices<'py>(&self, py: Python<'py>) -> Vec<(String, &'static str, Bound<'py, PyBytes>)> {
        std::iter::from_fn(|| self.0.next_notice())
            .take(1024)
            .map(|notice| (notice.client.to_string(), notice.class.as_str(), PyBytes::new(py, &notice.name)))
            .collect()
    }

    fn totals(&self) -> HashMap<&'static str, u64> {
        let totals = &self.0.totals;
        [("limited", &totals.limited), ("slipped", &totals.slipped), ("dropped", &totals.dropped)]
            .into_iter()
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
            .collect()
    }
}

#[pyclass(frozen, module = "engine._native")]
struct Effects(Arc<effect::Effects>);

#[pymethods]
impl Effects {
    #[new]
    #[pyo3(signature = (
        *, log = false, nsid = None, size = message::UDP_SIZE, any_ = "one", minimal = false, cookies = None, limiter = None
    ))]
    fn new(
        log: bool,
        nsid: Option<&[u8]>,
        size: u16,
        any_: &str,
        minimal: bool,
        cookies: Option<&Cookies>,
        limiter: Option<&Limiter>,
    ) -> PyResult<Self> {
        let any = match any_ {
            "one" => effect::Any::One,
            "all" => effect::Any::All,
            "hinfo" => effect::Any::Hinfo,
            other => return Err(PyValueError::new_err(format!("any {other}: one of one, all, hinfo"))),
        };
        if nsid.is_some_and(|nsid| nsid.len() > effect::LONGEST_NSID) || size < 512 {
            return Err(PyValueError::new_err("an NSID has at most 128 octets, a message at least 512"));
        }
        Ok(Self(Arc::new(effect::Effects {
            log,
            nsid: nsid.map(Into::into),
            size,
            any,
            minimal,
            cookies: cookies.map(|cookies| Arc::clone(&cookies.0)),
            limiter: limiter.map(|limiter| Arc::clone(&limiter.0)),
        })))
    }
}

#[pyclass(frozen, module = "engine._native")]
struct Block {
    number: i64,
    listeners: Vec<u32>,
    origins: Vec<Name>,
    zones: Vec<(Name, Arc<responder::ZoneSlot>)>,
    chained: bool,
    guarded: bool,
    effects: Arc<effect::Effects>,
    view: Option<Arc<predicate::Predicate>>,
    counted_as: Box<str>,
}

#[pymethods]
impl Block {
    #[new]
    #[pyo3(signature = (
        number, listeners, origins, zones, *, chained = false, guarded = false, effects = None, view = None,
        counted_as = ""
    ))]
    #[allow(clippy::too_many_arguments, reason = "all but four are words")]
    fn new(
        number: i64,
        listeners: Vec<u32>,
        origins: Vec<PyBackedBytes>,
        zones: Vec<(PyBackedBytes, PyRef<'_, ZoneSlot>)>,
        chained: bool,
        guarded: bool,
        effects: Option<&Effects>,
        view: Option<&Predicate>,
        counted_as: &str,
    ) -> PyResult<Self> {
        let origins = origins.iter().map(|origin| wire(origin)).collect::<PyResult<_>>()?;
        let zones = zones
            .into_iter()
            .map(|(origin, slot)| Ok((wire(&origin)?, Arc::clone(&slot.0))))
            .collect::<PyResult<_>>()?;
        let effects = effects.map(|effects| Arc::clone(&effects.0)).unwrap_or_default();
        let (view, counted_as) = (view.map(|view| Arc::clone(&view.0)), counted_as.into());
        Ok(Self { number, listeners, origins, zones, chained, guarded, effects, view, counted_as })
    }
}

impl Block {
    fn parts(&self) -> BlockParts {
        BlockParts {
            number: self.number,
            listeners: self.listeners.clone(),
            origins: self.origins.clone(),
            zones: self.zones.clone(),
            chained: self.chained,
            guarded: self.guarded,
            effects: Arc::clone(&self.effects),
            view: self.view.clone(),
            counted_as: self.counted_as.clone(),
        }
    }
}

/// What stands with an operator; tried in this order, as True is a number to Python.
#[derive(FromPyObject)]
enum Operand {
    Truth(bool),
    Number(f64),
    Text(String),
    List(Vec<Operand>),
}

impl From<Operand> for predicate::Operand {
    fn from(operand: Operand) -> Self {
        match operand {
            Operand::Truth(truth) => Self::Truth(truth),
            Operand::Number(number) => Self::Number(number),
            Operand::Text(text) => Self::Text(text),
            Operand::List(list) => Self::List(list.into_iter().map(Into::into).collect()),
        }
    }
}

#[pyclass(frozen, module = "engine._native")]
struct Predicate(Arc<predicate::Predicate>);

#[pymethods]
impl Predicate {
    #[new]
    fn new(program: Vec<(String, Option<Operand>)>) -> PyResult<Self> {
        let program = program.into_iter().map(|(word, operand)| {
            let operand = operand.map_or(predicate::Operand::None, Into::into);
            (word, operand)
        });
        Ok(Self(Arc::new(predicate::Predicate::of(program.collect()).map_err(PyValueError::new_err)?)))
    }

    #[pyo3(signature = (query, client, transport, server = None))]
    fn holds(
        &self,
        query: &[u8],
        client: (String, u16),
        transport: &str,
        server: Option<(String, u16)>,
    ) -> PyResult<bool> {
        let query = message::Query::parse(query).map_err(|_| MessageError::new_err("not a well-formed query"))?;
        let server = server.map(|(address, port)| address_of(&address, port)).transpose()?;
        let lower = name::lower(query.qname);
        let (client, transport) = (address_of(&client.0, client.1)?, transport_of(transport)?);
        Ok(self.0.holds(&predicate::Facts {
            query: &query,
            lower: &lower,
            qtype: query.qtype,
            client,
            server,
            transport,
        }))
    }
}

#[pyclass(frozen, module = "engine._native")]
struct QueryHead {
    #[pyo3(get)]
    id: u16,
    #[pyo3(get)]
    opcode: u8,
    #[pyo3(get)]
    flags: u16,
    qname: Vec<u8>,
    #[pyo3(get)]
    qtype: u16,
    #[pyo3(get)]
    qclass: u16,
    #[pyo3(get)]
    has_edns: bool,
    #[pyo3(get)]
    udp_size: u16,
    #[pyo3(get)]
    dnssec_ok: bool,
}

#[pymethods]
impl QueryHead {
    #[getter]
    fn qname<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.qname)
    }
}

fn head_of(octets: &[u8]) -> PyResult<QueryHead> {
    let query = message::Query::parse(octets).map_err(|_| MessageError::new_err("not a well-formed query"))?;
    Ok(QueryHead {
        id: query.id,
        opcode: query.opcode(),
        flags: query.flags,
        qname: query.qname.to_vec(),
        qtype: query.qtype,
        qclass: query.qclass,
        has_edns: query.edns.is_some(),
        udp_size: query.udp_size(),
        dnssec_ok: query.dnssec_ok(),
    })
}

#[pyfunction]
fn parse_query(octets: &[u8]) -> PyResult<QueryHead> {
    head_of(octets)
}

/// Where a TSIG record begins, its owner in lower case, and its rdata.
type TsigParts<'py> = (usize, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pyfunction]
fn find_tsig<'py>(py: Python<'py>, message: &[u8]) -> PyResult<Option<TsigParts<'py>>> {
    let found = tsig::find(message)
        .map_err(|_| MessageError::new_err("not a well-formed message, or its TSIG is not its last record"))?;
    Ok(found.map(|tsig::Found { start, owner, rdata }| {
        (start, PyBytes::new(py, owner.wire()), PyBytes::new(py, message.get(rdata).unwrap_or(&[])))
    }))
}

#[pyclass(frozen, module = "engine._native")]
struct Declined(responder::Declined);

#[pymethods]
impl Declined {
    #[getter]
    fn block(&self) -> i64 {
        self.0.block
    }

    #[getter]
    fn octets<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.octets)
    }

    #[getter]
    fn head(&self) -> PyResult<QueryHead> {
        head_of(&self.0.octets)
    }

    #[getter]
    fn listener(&self) -> u32 {
        self.0.listener
    }

    #[getter]
    fn client(&self) -> (String, u16) {
        address_text(self.0.client)
    }

    #[getter]
    fn local(&self) -> Option<String> {
        self.0.local.map(|local| local.to_string())
    }

    #[getter]
    fn transport(&self) -> &'static str {
        self.0.transport.as_str()
    }
}

fn address_text(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

fn transport_of(text: &str) -> PyResult<Transport> {
    match text {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        other => Err(PyValueError::new_err(format!("transport {other}: one of udp, tcp"))),
    }
}

fn address_of(address: &str, port: u16) -> PyResult<SocketAddr> {
    // A link-local address may carry its zone index, which tells nothing here.
    let plain = address.split('%').next().unwrap_or(address);
    let ip: IpAddr = plain.parse().map_err(|_| PyValueError::new_err(format!("{address}: not an IP address")))?;
    Ok(SocketAddr::new(ip, port))
}

fn local_of(address: Option<&str>) -> PyResult<Option<IpAddr>> {
    address.map(|address| Ok(address_of(address, 0)?.ip())).transpose()
}

/// An OSError with its errno, so that Python makes the right subclass of it.
fn os_error(error: &std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(errno) => PyOSError::new_err((errno, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

fn to_answer<'py>(py: Python<'py>, outcome: &Outcome, out: &[u8]) -> Option<Bound<'py, PyBytes>> {
    match outcome {
        Outcome::Answer(length) => Some(PyBytes::new(py, out.get(..*length).unwrap_or(&[]))),
        Outcome::Silent | Outcome::Declined(_) => None,
    }
}

#[derive(IntoPyObject)]
enum Reply<'py> {
    Octets(Bound<'py, PyBytes>),
    Declined(Bound<'py, Declined>),
}

#[pyclass(frozen, module = "engine._native")]
struct Responder(Arc<serve::Service>);

#[pymethods]
impl Responder {
    #[new]
    #[pyo3(signature = (clock, *, queue = 4096))]
    fn new(clock: &Clock, queue: usize) -> PyResult<Self> {
        Ok(Self(Arc::new(serve::Service::new(Arc::clone(&clock.0), queue)?)))
    }

    #[pyo3(signature = (address, port, threads = 1))]
    fn bind(&self, py: Python<'_>, address: &str, port: u16, threads: usize) -> PyResult<u32> {
        let address = address_of(address, port)?;
        Ok(py.detach(|| self.0.sockets.bind(address, threads)).map_err(|error| os_error(&error))?.0)
    }

    fn address(&self, listener: u32) -> PyResult<(String, u16)> {
        let address = self.0.sockets.address(listener);
        address.map(address_text).ok_or_else(|| PyOSError::new_err(format!("no listener {listener}")))
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| serve::Service::start(&self.0))?)
    }

    fn close(&self, py: Python<'_>, listener: u32) {
        py.detach(|| self.0.sockets.close(listener));
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.sockets.stop());
    }

    fn route(&self, py: Python<'_>, blocks: Vec<PyRef<'_, Block>>) {
        let parts: Vec<BlockParts> = blocks.iter().map(|block| block.parts()).collect();
        drop(blocks);
        py.detach(|| self.0.route(parts));
    }

    #[pyo3(signature = (listener, query, client, transport, idle_ms = 0, local = None))]
    #[allow(clippy::too_many_arguments, reason = "how a query came has many sides")]
    fn answer<'py>(
        &self,
        py: Python<'py>,
        listener: u32,
        query: &[u8],
        client: (String, u16),
        transport: &str,
        idle_ms: u32,
        local: Option<&str>,
    ) -> PyResult<Option<Reply<'py>>> {
        let client = address_of(&client.0, client.1)?;
        let (local, transport) = (local_of(local)?, transport_of(transport)?);
        let idle = u16::try_from(idle_ms / 100).unwrap_or(u16::MAX);
        let arrival = Arrival { worker: usize::MAX, listener, client, local, transport, batch: None, idle };
        let (outcome, out) = py.detach(|| self.0.respond(query, &arrival));
        if let Outcome::Declined(block) = outcome {
            let octets = query.into();
            let declined = responder::Declined { block, octets, listener, local, client, transport, idle };
            return Ok(Some(Reply::Declined(Bound::new(py, Declined(declined))?)));
        }
        Ok(to_answer(py, &outcome, &out).map(Reply::Octets))
    }

    #[pyo3(signature = (slot, query, transport, effects = None, listener = None, client = None, local = None))]
    #[allow(clippy::too_many_arguments, reason = "how a query came has many sides")]
    fn answer_from<'py>(
        &self,
        py: Python<'py>,
        slot: &ZoneSlot,
        query: &[u8],
        transport: &str,
        effects: Option<&Effects>,
        listener: Option<u32>,
        client: Option<(String, u16)>,
        local: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let client = client
            .map_or_else(|| Ok(SocketAddr::from(([0, 0, 0, 0], 0))), |(address, port)| address_of(&address, port))?;
        let (listener, local, transport) = (listener.unwrap_or(u32::MAX), local_of(local)?, transport_of(transport)?);
        // Whoever dresses this puts in how long the stream may be idle.
        let arrival = Arrival { worker: usize::MAX, listener, client, local, transport, batch: None, idle: 0 };
        let effects = effects.map(|effects| Arc::clone(&effects.0)).unwrap_or_default();
        let mut out = vec![0; LARGEST];
        let outcome = py.detach(|| self.0.responder.answer_from(&slot.0, query, &arrival, &effects, &mut out));
        to_answer(py, &outcome, &out).ok_or_else(|| MessageError::new_err("not a query that can be answered"))
    }

    #[pyo3(signature = (declined, response, room = 0))]
    fn dress<'py>(
        &self,
        py: Python<'py>,
        declined: &Declined,
        response: &[u8],
        room: usize,
    ) -> Option<Bound<'py, PyBytes>> {
        let query = &declined.0;
        let arrival = Arrival {
            worker: usize::MAX,
            listener: query.listener,
            client: query.client,
            local: query.local,
            transport: query.transport,
            batch: None,
            idle: query.idle,
        };
        let mut out = vec![0; LARGEST];
        let outcome = py.detach(|| self.0.responder.dress(&query.octets, response, &arrival, room, &mut out));
        to_answer(py, &outcome, &out)
    }

    #[pyo3(signature = (query, rcode, ede = None))]
    fn refuse<'py>(
        &self,
        py: Python<'py>,
        query: &[u8],
        rcode: u16,
        ede: Option<u16>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = vec![0; 1232];
        let outcome = responder::refuse(query, rcode, ede, &mut out);
        to_answer(py, &outcome, &out).ok_or_else(|| MessageError::new_err("not a query that can be answered"))
    }

    #[getter]
    fn wake_fd(&self) -> i32 {
        self.0.responder.wake().raw_fd()
    }

    #[pyo3(signature = (limit = 256))]
    fn declined(&self, limit: usize) -> Vec<Declined> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(declined) = self.0.responder.next_declined() else { break };
            taken.push(Declined(declined));
        }
        taken
    }

    fn reply(&self, declined: &Declined, octets: &[u8]) -> PyResult<()> {
        let to = &declined.0;
        if to.transport == Transport::Udp {
            self.0.sockets.reply(to.listener, to.local, to.client, octets)?;
        }
        Ok(())
    }

    #[pyo3(signature = (limit = 10000))]
    fn log_entries(&self, limit: usize) -> Vec<LogRow> {
        self.0.log_entries(limit).into_iter().map(LogRow).collect()
    }

    #[getter]
    fn log_dropped(&self) -> u64 {
        self.0.log_dropped()
    }

    fn counters<'py>(&self, py: Python<'py>) -> Vec<CounterRow<'py>> {
        self.0
            .counters()
            .into_iter()
            .map(|row| {
                let (counted_as, origin, row) = (row.counted_as.into_string(), PyBytes::new(py, &row.origin), row.row);
                (counted_as, origin, row.transport.as_str(), row.family.number(), row.kind, row.key, row.count)
            })
            .collect()
    }

    fn totals(&self) -> HashMap<&'static str, u64> {
        self.0.totals()
    }
}

type CounterRow<'py> = (String, Bound<'py, PyBytes>, &'static str, u8, &'static str, u32, u64);

struct LogRow(crate::tap::LogEntry);

impl<'py> IntoPyObject<'py> for LogRow {
    type Target = pyo3::types::PyTuple;
    type Output = Bound<'py, Self::Target>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let line = self.0;
        let (client, port) = address_text(line.client);
        let values: [Bound<'py, PyAny>; 15] = [
            line.block.into_pyobject(py)?.into_any(),
            line.unix_us.into_pyobject(py)?.into_any(),
            client.into_pyobject(py)?.into_any(),
            port.into_pyobject(py)?.into_any(),
            line.transport.as_str().into_pyobject(py)?.into_any(),
            PyBytes::new(py, &line.qname).into_any(),
            line.qtype.into_pyobject(py)?.into_any(),
            line.qclass.into_pyobject(py)?.into_any(),
            line.id.into_pyobject(py)?.into_any(),
            line.flags.into_pyobject(py)?.into_any(),
            line.request_octets.into_pyobject(py)?.into_any(),
            line.response_octets.into_pyobject(py)?.into_any(),
            line.edns_size.into_pyobject(py)?.into_any(),
            line.is_dnssec_ok.into_pyobject(py)?.to_owned().into_any(),
            line.duration_us.into_pyobject(py)?.into_any(),
        ];
        pyo3::types::PyTuple::new(py, values)
    }
}

#[pyfunction]
fn drop_capabilities(keep: Vec<String>) -> PyResult<()> {
    let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
    Ok(udp::drop_capabilities(&keep)?)
}

/// The extension module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        Block, Clock, Cookies, Declined, Denial, Diagnostic, Difference, Effects, IncomingTransfer, Limiter, Predicate,
        QueryHead, Records, Responder, SignedVersion, SigningKey, SigningPlan, Version, ZoneSlot, change_message,
        count_records, drop_capabilities, find_tsig, fold_changes, key_tag, name_from_text, name_to_text, parse_query,
        rdata_from_text, rdata_to_text, read_zone, rrtype_from_text, rrtype_to_text, verify_signature,
    };

    #[pymodule_export]
    const FORMAT: u32 = crate::image::FORMAT;
}
