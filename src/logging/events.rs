//! Device events for the journal: each kind of event has a constant `MESSAGE_ID`, so that `journalctl MESSAGE_ID=…` and
//! monitoring find it whatever its message text is.
//!
//! The fields hold states and errors, never counts, pictures or secrets. A terminal shows only the message.

/// The camera delivers no pictures; `LECTERN_ERROR` has the reason.
pub const CAMERA_LOST: &str = "aea8846d81e14f2fac9bfe97d0a15ecf";
/// The lost camera delivers pictures again.
pub const CAMERA_BACK: &str = "ef97e93c6f7340dfb983143cdb9b9259";
/// Most pictures of the camera cannot be decoded; `LECTERN_ERROR` has the same text.
pub const CAMERA_UNREADABLE: &str = "b61f0c9ad7e84b21a35c0f4ce8d2917e";
/// The configuration was read again and is in use.
pub const RELOADED: &str = "e5d62c23aecb491790d03afd6c8e665c";
/// The configuration was read again and is refused; `LECTERN_ERROR` has the reason.
pub const RELOAD_REFUSED: &str = "6d16708283254b7082a5cd5aa5ab32fc";

/// Logs that the camera is lost.
pub fn camera_lost(error: &str) {
    log::warn!(MESSAGE_ID = CAMERA_LOST, LECTERN_STATE = "camera_lost", LECTERN_ERROR = error; "{error}");
}

/// Logs that the camera is back.
pub fn camera_back() {
    log::info!(MESSAGE_ID = CAMERA_BACK, LECTERN_STATE = "watching"; "the camera is back");
}

/// Logs that most pictures cannot be decoded.
pub fn camera_unreadable(error: &str) {
    log::warn!(
        MESSAGE_ID = CAMERA_UNREADABLE, LECTERN_STATE = "camera_unreadable", LECTERN_ERROR = error; "{error}"
    );
}

/// Logs that a new configuration is in use.
pub fn reloaded() {
    log::info!(MESSAGE_ID = RELOADED, LECTERN_STATE = "reloaded"; "the configuration was read again and is in use");
}

/// Logs that a new configuration is refused.
pub fn reload_refused(error: &str) {
    log::error!(
        MESSAGE_ID = RELOAD_REFUSED, LECTERN_STATE = "reload_refused", LECTERN_ERROR = error;
        "{error}; the old configuration stays in use"
    );
}
