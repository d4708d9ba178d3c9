//! Delivery events in the journal: each kind has a `MESSAGE_ID` that never changes, so that `journalctl MESSAGE_ID=…` and
//! monitoring do not depend on the message text.
//!
//! The fields hold states and errors, never counts or secrets. A terminal shows only the message.

use std::fmt::Display;

/// There is no connection to the broker; `LECTERN_ERROR` holds the reason.
pub const BROKER_LOST: &str = "3532215012914704acfe1ed6242599f3";
/// The broker has accepted the connection.
pub const BROKER_BACK: &str = "6a5f310e28bd477282d2fe2b43953c57";
/// The spool was full, and the oldest records are lost.
pub const RECORDS_DROPPED: &str = "fc10c07110674786a3ea2eb063c8e4a5";
/// A file of the spool cannot be read; `LECTERN_FILE` names it, `LECTERN_ERROR` holds the reason.
pub const SPOOL_UNREADABLE: &str = "9d1c6a0f4b7e4c5fb3a28e6d57f0c914";
/// A file of the spool that could not be read can be read again; `LECTERN_FILE` names it.
pub const SPOOL_READABLE: &str = "3f8a7be25d9041c6a4c0d1968e2b7f35";
/// A file of the spool is damaged, and what it held is lost; `LECTERN_FILE` names it.
pub const SPOOL_GIVEN_UP: &str = "c27e50d98f134ab2916bd4e3a805f76d";
/// A file in the spool's folder is not this device's, and is left alone; `LECTERN_FILE` names it, `LECTERN_ERROR` holds the reason.
pub const SPOOL_FOREIGN: &str = "5e90c4b1a7d24f6f8b03d2c9617ea48d";

/// Logs that the broker cannot be reached, and how many shorter outages before were suppressed.
pub fn broker_lost(error: &str, left_out: u32) {
    if left_out > 0 {
        log::warn!("{left_out} short outages of the broker before this one were left out");
    }
    log::warn!(
        MESSAGE_ID = BROKER_LOST, LECTERN_STATE = "broker_lost", LECTERN_ERROR = error;
        "{error}; tried again until it works, and windows wait meanwhile"
    );
}

/// Logs that the broker has accepted the connection.
pub fn broker_back(broker: impl Display) {
    log::info!(MESSAGE_ID = BROKER_BACK, LECTERN_STATE = "broker_connected"; "connected to broker {broker}");
}

/// Logs that records were discarded before delivery.
pub fn records_dropped() {
    let error = "the spool is full: the oldest minutes are lost; mend the connection to the broker";
    log::error!(MESSAGE_ID = RECORDS_DROPPED, LECTERN_STATE = "records_dropped", LECTERN_ERROR = error; "{error}");
}

/// Logs that a file of the spool cannot be read.
pub fn spool_unreadable(file: &str, error: &str) {
    log::error!(
        MESSAGE_ID = SPOOL_UNREADABLE, LECTERN_STATE = "spool_unreadable", LECTERN_FILE = file, LECTERN_ERROR = error;
        "{file} in the spool cannot be read: {error}; it is tried again, and if it lasts: see lectern check --only disk"
    );
}

/// Logs that a file of the spool can be read again.
pub fn spool_readable(file: &str) {
    log::info!(
        MESSAGE_ID = SPOOL_READABLE, LECTERN_STATE = "spool_readable", LECTERN_FILE = file;
        "{file} in the spool can be read again"
    );
}

/// Logs that a file of the spool is damaged.
pub fn spool_damaged(file: &str, why: &str) {
    log::error!(
        MESSAGE_ID = SPOOL_GIVEN_UP, LECTERN_STATE = "spool_given_up", LECTERN_FILE = file, LECTERN_ERROR = why;
        "{file} in the spool {why}; if that repeats, replace the SD card"
    );
}

/// Logs that a file in the spool's folder is not this device's.
pub fn spool_foreign(file: &str, why: &str) {
    log::warn!(
        MESSAGE_ID = SPOOL_FOREIGN, LECTERN_STATE = "spool_foreign", LECTERN_FILE = file, LECTERN_ERROR = why;
        "{file} in the spool {why}; it is not published and left alone: see lectern check --only disk"
    );
}
