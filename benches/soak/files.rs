//! The files in the folder of a device, through which it and the soak communicate.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// The runtime directory.
pub(crate) const RUNTIME: &str = "runtime";
/// The state directory.
pub(crate) const DISK: &str = "disk";
/// While this exists, the disk is full.
pub(crate) const DISK_FULL: &str = "disk-full";
/// While this exists, one read of the disk in two fails.
pub(crate) const READS_FAIL: &str = "reads-fail";
/// While this exists, every second file on the disk cannot be read.
pub(crate) const FILES_FAIL: &str = "files-fail";
/// The state directory while it is missing, with a file in its place.
pub(crate) const DISK_AWAY: &str = "disk-away";
/// By how many seconds the wall clock is wrong.
pub(crate) const CLOCK_OFFSET: &str = "clock-offset";
/// Once this exists, the device delivers its remaining records and ends.
pub(crate) const FINISH: &str = "finish";
/// Payloads of records that the runtime directory has.
pub(crate) const ACCEPTED: &str = "accepted.ledger";
/// Payloads of open windows that the runtime directory has.
pub(crate) const KEPT: &str = "kept.ledger";
/// Payloads of records that were synced to the disk.
pub(crate) const STORED: &str = "stored.ledger";

/// A file that lines are added to, each in one piece.
pub(crate) struct Ledger(File);

impl Ledger {
    pub(crate) fn open(path: PathBuf) -> Self {
        Self(OpenOptions::new().append(true).create(true).open(path).unwrap())
    }

    pub(crate) fn note(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// The payload in a record of the spool: the last line.
pub(crate) fn payload(record: &[u8]) -> String {
    let start = record.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    String::from_utf8(record[start..].to_vec()).unwrap()
}
