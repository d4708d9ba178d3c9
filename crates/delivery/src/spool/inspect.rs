//! Looks at a spool's folder without using it: `lectern check`, also while the service runs.

use std::io;
use std::path::Path;

use super::append_log::{LONGEST_FILE, MOST_FILES};
use super::names::STATUS;
use super::segment::{Kind, parse};
use super::storage::{Looked, is_foreign};

/// What is wrong with the files of a spool: names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// Were set aside, because they could not be read for a day: their records count as dropped.
    pub aside: Vec<String>,
}

/// The longest status in bytes; a service writes one that is far shorter.
const LONGEST_STATUS: usize = 64 << 10;

/// What the service that uses this runtime directory told of itself last.
pub fn read_status(runtime: &Path) -> io::Result<Vec<u8>> {
    Looked::at(runtime)?.read(STATUS, LONGEST_STATUS)
}

/// Reads every file of the spool in a folder; nothing is locked or changed.
///
/// # Errors
/// When the folder cannot be opened or listed.
pub fn inspect(folder: &Path) -> io::Result<Inspection> {
    let folder = Looked::at(folder)?;
    let mut found = Inspection::default();
    let files = folder.names()?.into_iter().filter(|(_, is_file)| *is_file);
    let ours = files.filter_map(|(name, _)| parse(&name).map(|(_, kind)| (name, kind)));
    for (name, kind) in ours.take(MOST_FILES) {
        if matches!(kind, Kind::Aside { .. }) {
            found.aside.push(name);
            continue;
        }
        match folder.read(&name, LONGEST_FILE) {
            Err(error) if is_foreign(&error) => {}
            // The service has delivered what was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.unreadable.push((name, error.to_string())),
            Ok(_) => {}
        }
    }
    found.unreadable.sort_unstable();
    found.aside.sort_unstable();
    Ok(found)
}
