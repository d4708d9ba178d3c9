//! The names of the files in a spool's folders.

use super::segment;

/// Its lock says that a folder is in use.
pub(super) const LOCK: &str = "lock";

/// What outlives the process, in the runtime directory: see `state`.
pub(super) const STATE: &str = "state.json";

/// The topic of the last discovery message, in the state directory: see `delivery::announcer`.
pub(crate) const DISCOVERED: &str = "discovered";

/// How the service does, in the runtime directory: see `delivery::local_status`.
pub const STATUS: &str = "status.json";

/// Whether this is a name that the spool gives.
pub(super) fn is_ours(name: &str) -> bool {
    let stem = name.strip_suffix(".new").unwrap_or(name);
    [STATE, STATUS, DISCOVERED, LOCK].contains(&stem) || segment::parse(name).is_some()
}
