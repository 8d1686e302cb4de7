//! The additional section: glue (RFC 9471), and what helps with the targets of an answer (RFC 1034 section 4.3.2 step 6).

use super::{Answer, NameBuffer, keyed};
use crate::message::{Full, Section, rrtype};
use crate::name;
use crate::rdata;
use crate::version::{RRset, is};

/// Aliases of either kind followed from one target of SVCB or HTTPS.
const MOST_STEPS: usize = 8;

impl Answer<'_, '_, '_> {
    /// Addresses of the name servers of a delegation. Those below the cut must fit, or the answer is truncated (RFC 9471).
    pub(super) fn glue(&mut self, cut: usize, servers: &RRset<'_>) -> Result<(), Full> {
        let top = self.version.name_of(cut);
        for needed in [true, false] {
            for rdata in servers.rdatas() {
                if name::is_at_or_below(rdata, top) != needed {
                    continue;
                }
                let written = self.server(rdata);
                if needed {
                    written?;
                }
            }
        }
        Ok(())
    }

    /// Addresses of one name server in a referral: the zone's own, glue or not, or those of a zone beside it.
    fn server(&mut self, host: &[u8]) -> Result<(), Full> {
        let lower = NameBuffer::lower(host);
        let own = self.version.find(lower.wire());
        let Some(node) =
            own.filter(|node| self.version.node(*node).is_some_and(|node| node.is(is::CUT | is::OCCLUDED)))
        else {
            return self.host(&lower);
        };
        if self.is_added(self.number, node) {
            return Ok(());
        }
        for rrset in [rrtype::A, rrtype::AAAA].into_iter().filter_map(|rtype| self.version.rrset_at(node, rtype)) {
            self.plain(Section::Additional, self.version.name_of(node), &rrset)?;
        }
        Ok(())
    }

    /// What helps with the targets of an RRset that is answered from a node, as far as it fits.
    pub(super) fn additional(&mut self, node: usize, rrset: &RRset<'_>) {
        let is_pointing = matches!(rrset.rtype, rrtype::NS | rrtype::MX | rrtype::SRV | rrtype::SVCB | rrtype::HTTPS);
        if self.effects.minimal || !is_pointing {
            return;
        }
        for rdata in rrset.rdatas() {
            let _as_fits = match rrset.rtype {
                rrtype::SVCB | rrtype::HTTPS => self.service(node, rrset.rtype, rdata),
                rtype => rdata::target(rtype, rdata).map_or(Ok(()), |host| self.host(&NameBuffer::lower(host))),
            };
        }
    }

    /// Addresses of a host.
    fn host(&mut self, lower: &NameBuffer) -> Result<(), Full> {
        match self.authority_over(lower) {
            Some((number, node)) if !self.is_added(number, node) => self.addresses(number, node),
            _ => Ok(()),
        }
    }

    /// RFC 9460 section 4.1: addresses and records of the same type of a TargetName, through aliases of either kind, as a
    /// client takes them (section 3). Deviates from it: what a signed zone has not is not proved here, where no validator
    /// looks for it.
    fn service(&mut self, answered: usize, rtype: u16, rdata: &[u8]) -> Result<(), Full> {
        let answered = (self.number, answered);
        let asked = NameBuffer::lower(self.owner.wire());
        let mut target = target_of(rtype, rdata, &asked);
        for _ in 0..MOST_STEPS {
            let Some(lower) = target else { break };
            let Some(found) = self.authority_over(&lower) else { break };
            let (number, node) = found;
            if self.is_added(number, node) {
                break;
            }
            let version = self.zone_numbered(number).version();
            if let Some(alias) = version.rrset_at(node, rrtype::CNAME) {
                self.own(number, node, &alias)?;
                target = alias.rdatas().next().map(NameBuffer::lower);
                continue;
            }
            self.addresses(number, node)?;
            let Some(services) = version.rrset_at(node, rtype).filter(|_| found != answered) else { break };
            self.own(number, node, &services)?;
            // Section 2.4.2: where one record is an alias, that is what counts.
            let Some(alias) = services.rdatas().find(|rdata| is_alias(rdata)) else {
                for host in services.rdatas().filter_map(|rdata| target_of(rtype, rdata, &lower)) {
                    self.host(&host)?;
                }
                break;
            };
            target = target_of(rtype, alias, &lower);
        }
        Ok(())
    }

    /// The zone here that has authority over a name, and its node.
    fn authority_over(&mut self, lower: &NameBuffer) -> Option<(usize, usize)> {
        self.own_node(self.number, lower).map(|node| (self.number, node)).or_else(|| {
            let number = self.zone_beside(lower, rrtype::A).filter(|number| *number != self.number)?;
            Some((number, self.own_node(number, lower)?))
        })
    }

    /// What lies at or below a cut is only ever glue.
    fn own_node(&self, number: usize, lower: &NameBuffer) -> Option<usize> {
        let version = self.zone_numbered(number).version();
        let node = version.find(lower.wire())?;
        version.node(node).is_some_and(|node| !node.is(is::CUT | is::OCCLUDED)).then_some(node)
    }

    fn addresses(&mut self, number: usize, node: usize) -> Result<(), Full> {
        let version = self.zone_numbered(number).version();
        for rrset in [rrtype::A, rrtype::AAAA].into_iter().filter_map(|rtype| version.rrset_at(node, rtype)) {
            self.own(number, node, &rrset)?;
        }
        Ok(())
    }

    /// An RRset that a zone has authority over.
    fn own(&mut self, number: usize, node: usize, rrset: &RRset<'_>) -> Result<(), Full> {
        self.within(number, |answer| answer.rrset(Section::Additional, Some(node), node, rrset))
    }

    /// Whether this node was added before; from now on it was.
    fn is_added(&mut self, number: usize, node: usize) -> bool {
        let here = keyed(number, node);
        if self.added.iter().take(self.additions).any(|added| *added == here) {
            return true;
        }
        if let Some(slot) = self.added.get_mut(self.additions) {
            *slot = here;
            self.additions += 1;
        }
        false
    }
}

/// AliasMode has the priority 0 (RFC 9460 section 2.4.1).
fn is_alias(rdata: &[u8]) -> bool {
    rdata.starts_with(&[0, 0])
}

/// The TargetName in lower case: the root is the owner in ServiceMode, and nothing in AliasMode (RFC 9460 section 2.5).
fn target_of(rtype: u16, rdata: &[u8], owner: &NameBuffer) -> Option<NameBuffer> {
    match rdata::target(rtype, rdata)? {
        target if target != name::ROOT => Some(NameBuffer::lower(target)),
        _ if is_alias(rdata) => None,
        _ => Some(*owner),
    }
}
