//! What plugins of a server block do to its answers, as data that the engine applies in their place.

use std::sync::Arc;

use crate::cookie::Cookies;
use crate::limit::Limiter;
use crate::message::UDP_SIZE;

/// Octets of an NSID: a response of 512 octets holds the longest question and every option of ours.
pub const LONGEST_NSID: usize = 128;

/// How ANY is answered (RFC 8482).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Any {
    /// One RRset of the name (section 4.1).
    #[default]
    One,
    /// All of them, as RFC 1035 has it.
    All,
    /// A made-up HINFO where nothing is signed (section 4.2), one RRset where a validator would miss its signature.
    Hinfo,
}

/// The effects of a block's plugins.
#[derive(Debug)]
pub struct Effects {
    /// Queries are entered in the log ring.
    pub log: bool,
    /// The name server's identifier, for those who ask (RFC 5001).
    pub nsid: Option<Box<[u8]>>,
    /// The most octets sent over UDP, and what is offered in OPT.
    pub size: u16,
    /// How ANY is answered.
    pub any: Any,
    /// Positive answers carry nothing in AUTHORITY and ADDITIONAL that is not needed.
    pub minimal: bool,
    /// How cookies are answered; the first of a listener's blocks that says so says it for the listener.
    pub cookies: Option<Arc<Cookies>>,
    /// What limits the rate of responses.
    pub limiter: Option<Arc<Limiter>>,
}

impl Effects {
    /// Whether an answer with these effects may hold what another block's zones say: what that block limits, this one
    /// limits too. What is said to clients beside the zone's data is this block's.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        other.limiter.is_none() || self.limiter.is_some()
    }
}

impl Default for Effects {
    fn default() -> Self {
        Self { log: false, nsid: None, size: UDP_SIZE, any: Any::One, minimal: false, cookies: None, limiter: None }
    }
}
