//! What is wrong with the signatures and proofs that a zone brings along. All of it warns here; whether it holds the zone
//! is the operator's policy.
//!
//! Rule ids: `presigned-no-key`, `presigned-algorithm`, `presigned-signature-missing`, `presigned-signature-wrong`,
//! `presigned-expired`, `presigned-not-yet-valid`, `presigned-denial`, `presigned-iterations`.
//!
//! **Limits:** dates are looked at in every RRSIG, but of a large zone only an even sample of some ten thousand signatures
//! is verified: at once, all of them would keep the zone from being served for minutes.

use super::{MOST, check_denial, signature};
use crate::crypto::PublicKey;
use crate::finding::{Diagnostic, Severity};
use crate::message::rrtype;
use crate::name;
use crate::rdata;
use crate::signed::{SignedVersion, presigned_signatures};
use crate::version::{RRset, Version, is};

/// Validators take zones of more for insecure (RFC 9276 section 3.2), and each answer costs us so many hashes.
const MOST_ITERATIONS: u16 = 150;
const MOST_VERIFIED: usize = 10_000;

/// What is wrong with a zone that is served with the proofs it brought; nothing is said of others.
#[must_use]
pub fn check(signed: &SignedVersion, now: i64) -> Vec<Diagnostic> {
    if signed.plan().is_some() || !signed.has_proofs() {
        return Vec::new();
    }
    let mut check = Check::of(signed.version(), now);
    check.signatures();
    check.denial(signed);
    check.findings
}

struct Check<'a> {
    version: &'a Version,
    now: i64,
    keys: Vec<PublicKey>,
    /// Every so many-th signature is verified.
    step: usize,
    seen: usize,
    findings: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn of(version: &'a Version, now: i64) -> Self {
        let step = version.rrset_count() / 2 / MOST_VERIFIED + 1;
        let mut check = Self { version, now, keys: Vec::new(), step, seen: 0, findings: Vec::new() };
        let Some(dnskeys) = version.rrset_at(0, rrtype::DNSKEY) else {
            check.report("presigned-no-key", "the zone is signed and has no DNSKEY".to_owned());
            return check;
        };
        for dnskey in dnskeys.rdatas() {
            match PublicKey::from_dnskey(dnskey) {
                Ok(key) => check.keys.push(key),
                Err(why) => check.report("presigned-algorithm", format!("a DNSKEY is not used: {why}")),
            }
        }
        check
    }

    fn report(&mut self, rule: &'static str, message: String) {
        if self.findings.len() < MOST {
            self.findings.push(Diagnostic::of_zone(rule, Severity::Warning, message));
        }
    }

    // ------------------------------------------------------------------ signatures

    fn signatures(&mut self) {
        for node in 0..self.version.nodes().len() {
            let flags = self.version.node(node).map_or(is::OCCLUDED, |node| node.flags);
            if flags & is::OCCLUDED != 0 {
                continue;
            }
            for rrset in self.version.rrsets_of(node) {
                let at_cut = flags & is::CUT != 0 && !matches!(rrset.rtype, rrtype::DS | rrtype::NSEC);
                if rrset.rtype != rrtype::RRSIG && !at_cut {
                    self.rrset(node, &rrset);
                }
            }
            if self.findings.len() >= MOST {
                return;
            }
        }
    }

    /// One RRset: some signature of it has to be in force and right.
    fn rrset(&mut self, node: usize, rrset: &RRset<'_>) {
        let what = format!("{} {}", name::to_string(self.version.name_of(node)), rdata::rtype_to_text(rrset.rtype));
        let mut found = None;
        let version = self.version;
        for rrsig in presigned_signatures(version, node, rrset.rtype) {
            found = self.one(node, rrset, rrsig);
            if found.is_none() {
                return;
            }
        }
        match found {
            Some((rule, why)) => self.report(rule, format!("{what}: {why}")),
            None => self.report("presigned-signature-missing", format!("{what} is not signed")),
        }
    }

    /// What is wrong with one signature.
    fn one(&mut self, node: usize, rrset: &RRset<'_>, rrsig: &[u8]) -> Option<(&'static str, String)> {
        let number =
            |at: usize| rrsig.get(at..at + 4).and_then(|quad| quad.try_into().ok()).map_or(0, u32::from_be_bytes);
        let (expiration, inception) = (number(8), number(12));
        // RFC 4034 section 3.1.5: dates are compared in serial number arithmetic.
        let now = u32::try_from(self.now & 0xffff_ffff).unwrap_or(0);
        if expiration.wrapping_sub(now).cast_signed() < 0 {
            return Some((
                "presigned-expired",
                format!("its signature expired {} seconds ago", now.wrapping_sub(expiration)),
            ));
        }
        if now.wrapping_sub(inception).cast_signed() < 0 {
            let wait = inception.wrapping_sub(now);
            return Some(("presigned-not-yet-valid", format!("its signature is not valid for another {wait} seconds")));
        }
        let tag = rrsig.get(16..18).and_then(|pair| pair.try_into().ok()).map_or(0, u16::from_be_bytes);
        let algorithm = rrsig.get(2).copied().unwrap_or(0);
        self.seen += 1;
        if node != 0 && !self.seen.is_multiple_of(self.step) {
            return None;
        }
        let mut keys = self.keys.iter().filter(|key| key.key_tag() == tag && key.algorithm() == algorithm).peekable();
        if keys.peek().is_none() {
            let is_unknown = !self.keys.iter().any(|key| key.algorithm() == algorithm);
            // Of an algorithm that we can't verify nothing can be said; that was said of its key.
            return (!is_unknown)
                .then(|| ("presigned-no-key", format!("no DNSKEY has the tag {tag} of its signature")));
        }
        let owner = self.version.name_of(node);
        let rdatas: Vec<&[u8]> = rrset.rdatas().collect();
        let is_ours = rrsig.get(18..).is_some_and(|rest| {
            rest.get(..self.version.origin().len()).is_some_and(|signer| name::equal(signer, self.version.origin()))
        });
        let is_right = is_ours && keys.any(|key| signature(key, owner, rrset.rtype, rrset.ttl, &rdatas, rrsig));
        (!is_right).then(|| ("presigned-signature-wrong", format!("the signature by key {tag} does not verify")))
    }

    // ------------------------------------------------------------------ denial

    /// RFC 4035 section 2.3, RFC 5155 section 7.1.
    fn denial(&mut self, signed: &SignedVersion) {
        let iterations = signed.denial().hashed().map_or(0, |chain| chain.params.iterations);
        if iterations > MOST_ITERATIONS {
            let message = format!("NSEC3 of {iterations} iterations: validators take {MOST_ITERATIONS} at most");
            return self.report("presigned-iterations", message);
        }
        let mut findings = Vec::new();
        check_denial(signed, false, &mut findings);
        for found in findings {
            self.report("presigned-denial", found.message);
        }
    }
}
