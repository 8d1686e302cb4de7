//! Where the TSIG record of a message lies (RFC 8945 section 4.2), found by a walk in bounds over records nobody has parsed.
//!
//! It is the last record of ADDITIONAL, and there is one at most (section 5.1); its class is ANY.

use std::ops::Range;

use crate::answer::NameBuffer;
use crate::message::{CLASS_ANY, Malformed, RecordHead, name_at, rrtype, sections};

/// The TSIG record of a message.
pub struct Found {
    /// Where the record begins, which is where the message ends without it.
    pub start: usize,
    /// Its owner, the name of the key, in lower case.
    pub owner: NameBuffer,
    /// Where its rdata lies.
    pub rdata: Range<usize>,
}

/// The TSIG record of a message, `None` if it has none.
///
/// # Errors
/// `FormErr` for what is no message from its first octet to its last, and for a TSIG record that stands elsewhere.
pub fn find(message: &[u8]) -> Result<Option<Found>, Malformed> {
    let (mut at, counts) = sections(message).ok_or(Malformed::FormErr)?;
    let mut found = None;
    for (section, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            let head = RecordHead::parse(message, at).filter(|_| found.is_none()).ok_or(Malformed::FormErr)?;
            if head.rtype == rrtype::TSIG {
                let owner = name_at(message, at).filter(|_| section == 2 && head.class == CLASS_ANY);
                let owner = NameBuffer::lower(owner.ok_or(Malformed::FormErr)?.wire());
                found = Some(Found { start: at, owner, rdata: head.rdata..head.end });
            }
            at = head.end;
        }
    }
    if at == message.len() { Ok(found) } else { Err(Malformed::FormErr) }
}
