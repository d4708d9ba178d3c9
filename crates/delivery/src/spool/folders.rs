//! Where a spool keeps its records.

use std::io;
use std::path::Path;

use super::storage::{Directory, Storage};

/// A folder, with what it is called where something is told of it.
pub struct Folder {
    /// Its path, or another name.
    pub name: String,
    /// What is in it. An error is kept and told where it matters.
    pub storage: io::Result<Box<dyn Storage>>,
}

impl Folder {
    /// A real folder, which may come later.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { name: path.display().to_string(), storage: Ok(Box::new(Directory::at(path))) }
    }
}

/// The folders of a spool; each may be missing.
#[derive(Default)]
pub struct Folders {
    /// Survives a power loss: the state directory.
    pub disk: Option<Folder>,
    /// Survives the process, not the machine: the runtime directory, in memory.
    pub runtime: Option<Folder>,
}

impl Folders {
    /// Opens real folders.
    #[must_use]
    pub fn open(disk: Option<&Path>, runtime: Option<&Path>) -> Self {
        Self { disk: disk.map(Folder::at), runtime: runtime.map(Folder::at) }
    }
}
