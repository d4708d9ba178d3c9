//! What happens to a device, for the journal: each kind of event has a `MESSAGE_ID` that never changes, so that
//! `journalctl MESSAGE_ID=…` and monitoring find it whatever its words are.
//!
//! The fields hold states and errors, never counts, pictures or secrets. At a terminal only the words are seen.

/// The camera gives no picture; `LECTERN_ERROR` says why.
pub const CAMERA_LOST: &str = "aea8846d81e14f2fac9bfe97d0a15ecf";
/// The camera that was lost gives pictures again.
pub const CAMERA_BACK: &str = "ef97e93c6f7340dfb983143cdb9b9259";
/// The configuration was read again and is in use.
pub const RELOADED: &str = "e5d62c23aecb491790d03afd6c8e665c";
/// The configuration was read again and is refused; `LECTERN_ERROR` says why.
pub const RELOAD_REFUSED: &str = "6d16708283254b7082a5cd5aa5ab32fc";

/// Tells of a camera that is lost.
pub fn camera_lost(error: &str) {
    log::warn!(MESSAGE_ID = CAMERA_LOST, LECTERN_STATE = "camera_lost", LECTERN_ERROR = error; "{error}");
}

/// Tells of a camera that is back.
pub fn camera_back() {
    log::info!(MESSAGE_ID = CAMERA_BACK, LECTERN_STATE = "watching"; "the camera is back");
}

/// Tells of a new configuration.
pub fn reloaded() {
    log::info!(MESSAGE_ID = RELOADED, LECTERN_STATE = "reloaded"; "the configuration was read again and is in use");
}

/// Tells of a new configuration that cannot be used.
pub fn reload_refused(error: &str) {
    log::error!(
        MESSAGE_ID = RELOAD_REFUSED, LECTERN_STATE = "reload_refused", LECTERN_ERROR = error;
        "{error}; the old configuration stays in use"
    );
}
