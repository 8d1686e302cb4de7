//! Versions as master files: one record a line, SOA first, canonical order, absolute names (RFC 1035 section 5).

use crate::message::rrtype;
use crate::name;
use crate::rdata;
use crate::signed::SignedVersion;
use crate::version::Version;

fn line(owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8], out: &mut Vec<u8>) {
    name::to_text(owner, out);
    out.push(b'\t');
    out.extend_from_slice(ttl.to_string().as_bytes());
    out.extend_from_slice(b"\tIN\t");
    out.extend_from_slice(rdata::rtype_to_text(rtype).as_bytes());
    out.push(b'\t');
    rdata::to_text(rtype, rdata, out);
    out.push(b'\n');
}

/// Readers of master files want the SOA ahead of all else.
fn soa_first(version: &Version, out: &mut Vec<u8>) {
    if let Some(soa) = version.soa() {
        for rdata in soa.rdatas() {
            line(version.origin(), rrtype::SOA, soa.ttl, rdata, out);
        }
    }
}

/// The content as a master file.
#[must_use]
pub fn of_version(version: &Version) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 * version.record_count());
    soa_first(version, &mut out);
    for node in 0..version.nodes().len() {
        for rrset in version.rrsets_of(node).filter(|rrset| rrset.rtype != rrtype::SOA) {
            for rdata in rrset.rdatas() {
                line(version.name_of(node), rrset.rtype, version.ttl_of(node, &rrset, rdata), rdata, &mut out);
            }
        }
    }
    out
}

/// The content with all its signatures and proofs, made where missing.
#[must_use]
pub fn of_signed(signed: &SignedVersion) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 * signed.version().record_count() + 200 * signed.total());
    soa_first(signed.version(), &mut out);
    for node in 0..signed.version().nodes().len() {
        signed.each_record(node, |owner, rtype, ttl, rdata| {
            if rtype != rrtype::SOA {
                line(owner, rtype, ttl, rdata, &mut out);
            }
        });
    }
    out
}
