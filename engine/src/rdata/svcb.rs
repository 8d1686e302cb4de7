//! Service parameters of SVCB and HTTPS (RFC 9460 section 2.1 and appendix A).

use super::parse::{Parser, RdataError};

pub(super) fn parse(parser: &mut Parser<'_, '_, '_>) -> Result<(), RdataError> {
    if parser.tokens.left() == 0 {
        return Ok(());
    }
    let _ = parser.any("a parameter")?;
    Err(parser.error("generic-only", "write \\# octets hex"))
}

pub(super) fn check(_: &[u8]) -> bool {
    true
}

pub(super) fn print(_: &[u8], _: &mut Vec<u8>) -> Option<()> {
    None
}
