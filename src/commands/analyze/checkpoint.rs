//! What a run has finished so far, in a folder beside its first table, so that nothing is analysed twice.
//!
//! `TABLE.unfinished/` holds `KEY.json` for each finished recording; `table`, which becomes the
//! table; and `lock`, which the run holds. KEY is of all that the rows depend on, so that a recording that was changed, or is
//! asked about differently, has none. A run that ends removes the folder, unless it was interrupted.
#![expect(
    clippy::disallowed_methods,
    reason = "what a list has finished so far is kept in a folder beside its table"
)]

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::super::{UsageError, atomic_file};
use crate::help::Problem;

/// All that one recording comes to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Part {
    /// JSON lines.
    pub(super) lines: String,
    /// Rows of the tables, in the order of [`super::tables::Kind::ALL`].
    pub(super) rows: [String; 3],
    /// What is wrong with the recording.
    pub(super) failure: Option<String>,
}

/// The folder, if there is a table for it to lie beside.
pub(super) struct Unfinished {
    folder: Option<PathBuf>,
    /// Held until the end.
    _lock: Option<File>,
}

impl Unfinished {
    /// Opens the folder beside `table`.
    ///
    /// # Errors
    /// When another run is at it, when it cannot be written, or when it holds what an earlier run has finished and nobody asked
    /// to `resume`.
    pub(super) fn open(table: Option<&Path>, resume: bool) -> anyhow::Result<Self> {
        let Some(table) = table else {
            if resume {
                let problem = "--resume needs a table (--csv, --frames-csv or --faces-csv): what was finished lies beside it";
                return Err(UsageError::new(problem).into());
            }
            return Ok(Self { folder: None, _lock: None });
        };
        let folder = atomic_file::unfinished(table);
        // What a run left whose first table was another one.
        if folder.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            fs::remove_file(&folder).with_context(|| atomic_file::cannot_write(table))?;
        }
        match fs::create_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.with_context(|| atomic_file::cannot_write(table))?,
        }
        let lock = File::create(folder.join("lock")).with_context(|| atomic_file::cannot_write(&folder))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem = Problem::new(format!("{} is being written by another run", table.display()));
                return Err(problem.with_help("wait for its end").into());
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let unfinished = Self { folder: Some(folder.clone()), _lock: Some(lock) };
        let finished = unfinished.finished();
        if finished > 0 && !resume {
            let problem = Problem::new(format!(
                "{} holds {finished} recordings that an earlier run has finished",
                folder.display()
            ));
            return Err(
                UsageError::new(problem.with_help("go on with --resume, or remove that folder")).into()
            );
        }
        Ok(unfinished)
    }

    /// Where its table is written.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn finished(&self) -> usize {
        let entries = self.folder.iter().flat_map(fs::read_dir).flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "json")).count()
    }

    /// What was finished under this key.
    pub(super) fn get(&self, key: &str) -> Option<Part> {
        let text = fs::read(self.folder.as_ref()?.join(format!("{key}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps what a recording came to; answers it where nothing is kept on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, key: &str, part: Part) -> anyhow::Result<Option<Part>> {
        let Some(folder) = &self.folder else { return Ok(Some(part)) };
        atomic_file::write(&folder.join(format!("{key}.json")), &serde_json::to_vec(&part)?)?;
        Ok(None)
    }

    /// At the end of a run: what it has finished is no longer needed, unless it was cut short.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn close(self, cut_short: bool) -> anyhow::Result<()> {
        match &self.folder {
            Some(folder) if !cut_short => {
                fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Unfinished {
    /// A folder in which nothing was finished is of no use.
    fn drop(&mut self) {
        if let Some(folder) = self.folder.as_ref().filter(|_| self.finished() == 0) {
            // It may be gone already.
            let _ = fs::remove_dir_all(folder);
        }
    }
}
