//! The checkpoint of a run: its finished recordings, in a folder beside its first table, so that none is analysed twice.
//!
//! `TABLE.unfinished/` holds `KEY.json` for each finished recording, `table`, which becomes the table, and `lock`, which the run
//! holds. KEY is a hash of all that the rows depend on, so a recording that was changed, or is analysed with other settings,
//! has another one. A run removes the folder at its end, unless it was interrupted.
#![expect(
    clippy::disallowed_methods,
    reason = "what a list has finished so far is kept in a folder beside its table"
)]

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::super::{UsageError, atomic_file};
use crate::file;
use crate::help::Problem;

/// The result of one recording.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct RecordingResult {
    /// JSON lines.
    pub(super) lines: String,
    /// Rows of the tables, in the order of [`super::tables::Kind::ALL`].
    pub(super) rows: [String; 4],
    /// Why the recording failed, if it did.
    pub(super) failure: Option<String>,
}

/// The checkpoint's folder; a run without a table has none.
pub(super) struct Checkpoint {
    folder: Option<PathBuf>,
    /// Held until the end.
    _lock: Option<File>,
}

impl Checkpoint {
    /// Opens the folder beside `table`.
    ///
    /// # Errors
    /// When another run holds it, when it cannot be written, or when it holds finished recordings and `resume` is not set.
    pub(super) fn open(table: Option<&Path>, resume: bool) -> anyhow::Result<Self> {
        let Some(table) = table else {
            if resume {
                let problem = "--resume needs a table (--csv, --frames-csv, --faces-csv or --segments-csv): what was finished lies beside it";
                return Err(UsageError::new(problem).into());
            }
            return Ok(Self { folder: None, _lock: None });
        };
        let folder = atomic_file::unfinished_name(table);
        // A temporary file of a run whose first table was another one.
        if folder.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            fs::remove_file(&folder).with_context(|| atomic_file::cannot_write(table))?;
        }
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => take(&folder)?,
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
        let checkpoint = Self { folder: Some(folder.clone()), _lock: Some(lock) };
        let finished = checkpoint.finished();
        if finished > 0 && !resume {
            let problem = Problem::new(format!(
                "{} holds {finished} recordings that an earlier run has finished",
                folder.display()
            ));
            return Err(
                UsageError::new(problem.with_help("go on with --resume, or remove that folder")).into()
            );
        }
        Ok(checkpoint)
    }

    /// The folder that the table is written in.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn finished(&self) -> usize {
        let entries = self.folder.iter().flat_map(fs::read_dir).flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "json")).count()
    }

    /// The stored result with this key.
    pub(super) fn get(&self, key: &str) -> Option<RecordingResult> {
        let text = file::read(&self.folder.as_ref()?.join(format!("{key}.json")), usize::MAX).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Stores a recording's result; returns it when there is no folder to store it in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, key: &str, result: RecordingResult) -> anyhow::Result<Option<RecordingResult>> {
        let Some(folder) = &self.folder else { return Ok(Some(result)) };
        atomic_file::write(&folder.join(format!("{key}.json")), &serde_json::to_vec(&result)?)?;
        Ok(None)
    }

    /// Ends the run: removes the folder, unless the run was cut short.
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

/// Makes sure that a folder that is there already is this user's alone: another one could read or change what is finished.
fn take(folder: &Path) -> anyhow::Result<()> {
    let found = folder.symlink_metadata().with_context(|| atomic_file::cannot_write(folder))?;
    if !found.is_dir() || !atomic_file::is_own(&found) {
        let problem = Problem::new(format!("{} belongs to another user", folder.display()));
        return Err(problem.with_help("remove it, or write the table to another folder").into());
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))
        .with_context(|| atomic_file::cannot_write(folder))
}

impl Drop for Checkpoint {
    /// Removes a folder without finished recordings.
    fn drop(&mut self) {
        if let Some(folder) = self.folder.as_ref().filter(|_| self.finished() == 0) {
            // It may be gone already.
            let _ = fs::remove_dir_all(folder);
        }
    }
}
