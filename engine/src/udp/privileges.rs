//! Giving up Linux capabilities once the ports are bound.

use std::collections::HashSet;
use std::io;

use caps::{CapSet, Capability, CapsHashSet};

use super::system;

/// Drops all capabilities but those named (`CAP_NET_BIND_SERVICE` …) and forbids gaining new ones by any program it starts.
///
/// Capabilities belong to a *thread*: this is for the calling one and the threads and processes it makes from then on.
/// Threads that already run keep theirs, so call it before any is started. Without capabilities nothing happens.
///
/// # Errors
/// For a name that is no capability, before anything is dropped; and those of the system.
pub fn drop_capabilities(keep: &[&str]) -> io::Result<()> {
    let keep = parse(keep)?;
    let permitted = caps::read(None, CapSet::Permitted).map_err(|why| failed(&why))?;
    if permitted.is_empty() {
        return Ok(());
    }
    drop_bounding(&keep, permitted.contains(&Capability::CAP_SETPCAP))?;
    // Kernels before 4.3 have no ambient set; then there is nothing to clear.
    let _ = caps::clear(None, CapSet::Ambient);
    let rest: CapsHashSet = permitted.intersection(&keep).copied().collect();
    caps::set(None, CapSet::Inheritable, &HashSet::new()).map_err(|why| failed(&why))?;
    caps::set(None, CapSet::Effective, &rest).map_err(|why| failed(&why))?;
    caps::set(None, CapSet::Permitted, &rest).map_err(|why| failed(&why))?;
    system::forbid_new_privileges()
}

/// The bounding set limits what a program started by uid 0 would get back; shrinking it needs `CAP_SETPCAP`.
fn drop_bounding(keep: &CapsHashSet, is_able: bool) -> io::Result<()> {
    if !is_able {
        return Ok(());
    }
    for capability in caps::all().difference(keep) {
        // A kernel older than the crate does not know the newest ones.
        if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(|why| failed(&why))?;
        }
    }
    Ok(())
}

fn parse(names: &[&str]) -> io::Result<CapsHashSet> {
    let parsed = names.iter().map(|name| name.to_ascii_uppercase().parse::<Capability>());
    parsed.collect::<Result<_, _>>().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why.to_string()))
}

fn failed(why: &caps::errors::CapsError) -> io::Error {
    match io::Error::last_os_error().raw_os_error() {
        Some(code) if code != 0 => io::Error::from_raw_os_error(code),
        _ => io::Error::other(why.to_string()),
    }
}
