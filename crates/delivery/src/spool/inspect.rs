//! Looks at a spool's folder without using it: `lectern check`, also while the service runs.

use std::io;
use std::path::Path;

use super::STATUS;
use super::old;
use super::record::{self, Entry, LONGEST, Name, Owner, decode};
use super::storage::{Folder, is_foreign};

/// What is wrong with the files of a spool: names, and reasons.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Cannot be read.
    pub unreadable: Vec<(String, String)>,
    /// Are damaged, or of a version that this one cannot read: what they held counts as dropped.
    pub damaged: Vec<(String, String)>,
    /// Are of another user or device, or no regular files: they are not published.
    pub foreign: Vec<(String, String)>,
}

/// The longest status in bytes; a service writes one that is far shorter.
const LONGEST_STATUS: usize = 64 << 10;

/// What the service that uses this runtime directory told of itself last.
pub fn read_status(runtime: &Path) -> io::Result<Vec<u8>> {
    Folder::at(runtime)?.read(STATUS, LONGEST_STATUS)
}

/// Reads every file of the spool in a folder; nothing is locked or changed.
///
/// # Errors
/// When the folder cannot be opened or listed.
pub fn inspect(folder: &Path, owner: &Owner) -> io::Result<Inspection> {
    let folder = Folder::at(folder)?;
    let mut found = Inspection::default();
    for name in folder.list()? {
        let is_old = old::parse(&name).is_some();
        if Name::parse(&name).is_none() && !is_old {
            continue;
        }
        let entries: Vec<Entry> = match folder.read(&name, if is_old { old::LONGEST_FILE } else { LONGEST }) {
            Ok(bytes) if is_old => old::scan(&bytes).into_iter().map(|record| record.entry).collect(),
            Ok(bytes) => decode(&bytes).into_iter().map(|(_, entry)| entry).collect(),
            // The service has delivered what was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let list = if is_foreign(&error) { &mut found.foreign } else { &mut found.unreadable };
                list.push((name, error.to_string()));
                continue;
            }
        };
        if entries.is_empty() {
            found.damaged.push((name, "is damaged, or of another version".to_owned()));
        } else if let Some(other) = entries.iter().find(|entry| !owner.owns(entry)) {
            found.foreign.push((name, record::not_ours(other)));
        }
    }
    found.unreadable.sort_unstable();
    found.damaged.sort_unstable();
    found.foreign.sort_unstable();
    Ok(found)
}
