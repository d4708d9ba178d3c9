//! Where records wait for their PUBACK: oldest first, bounded, the oldest dropped when it is full.
//!
//! ```text
//!            push                 store: unacknowledged for seconds, or no broker
//! window ─────────▶ memory ──────────────────────────────────────▶ disk (state directory)
//!  open ──▶ state     │ copied to the runtime directory, so that it        │
//!           (runtime) │ survives the process, not the machine              │
//!                     └────────▶ oldest ──▶ published ──▶ PUBACK: remove ◀─┘
//! ```
//! Each record is a file of its own, on the disk as in the runtime directory (`record`): removing it says that it is delivered, so
//! nothing else has to be written then. It has a position; those on the disk are lower than those in memory. A device whose
//! broker answers writes nothing to the disk.
//!
//! At any time, pushed = delivered + dropped + waiting. A file whose content is damaged counts as dropped for as long as it is
//! there, and is left alone. One that cannot be read is not damaged: the order is held for a minute, then it is passed over and
//! tried again. A file of another owner is left alone, and counts for nothing.
//!
//! `docs/mqtt.md` says what is lost when.

mod inspect;
mod old;
mod opening;
mod reading;
mod record;
mod state;
pub mod storage;
#[cfg(test)]
mod tests;
mod writing;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use crate::message::payload::{Backlog, Payload};
pub use inspect::{Inspection, inspect, read_status};
use lectern_record::clock::BootTime;
pub use reading::Patience;
use reading::{Aside, Episode};
pub use record::Owner;
use record::{Entry, Name};
use state::State;
use storage::{Directory, Storage};
#[cfg(test)]
pub(super) use tests::Fake;

/// The topic of the last discovery message, in the state directory: see `publisher::announcer`.
pub(super) const DISCOVERED: &str = "discovered";

/// How the service does, in the runtime directory: see `local_status`.
pub const STATUS: &str = "status.json";

/// The most records that wait in memory, where the disk cannot take them: some three megabytes.
const MOST_IN_MEMORY: usize = 4096;

/// The most records on the disk: three months of minutes, in files that take 4 kB each.
const MOST_RECORDS: usize = 131_072;

/// So many records are stored at a time: each takes a slow disk a tenth of a second, and the publisher waits meanwhile.
const BATCH: usize = 32;

/// A folder, with its name for messages.
pub struct Folder {
    /// Its path, or another name.
    pub name: String,
    /// What is in it.
    pub storage: Box<dyn Storage>,
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
    /// Real folders, which may come later.
    #[must_use]
    pub fn open(disk: Option<&Path>, runtime: Option<&Path>) -> Self {
        let folder =
            |path: &Path| Folder { name: path.display().to_string(), storage: Box::new(Directory::at(path)) };
        Self { disk: disk.map(folder), runtime: runtime.map(folder) }
    }
}

/// What a spool keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The most records; of more than that the oldest are dropped.
    pub records: usize,
    /// The greatest age of a record whose start is certain, in seconds, where the clock is right.
    pub seconds: Option<u32>,
    /// Only records of this device are delivered; none: all.
    pub owner: Option<Owner>,
}

impl Keep {
    /// So many records, of any age and device.
    #[must_use]
    pub fn records(records: usize) -> Self {
        Self { records, seconds: None, owner: None }
    }
}

/// A record that waits.
struct Item {
    name: Name,
    at: At,
}

/// Where it lies.
enum At {
    Memory(Box<Held>),
    /// In a file of its own.
    File,
    /// In [`Disk::old`], and there the record of this index.
    Old {
        file: u32,
        index: u32,
    },
}

/// A record in memory.
struct Held {
    entry: Entry,
    /// Whether the runtime directory has a copy.
    copied: bool,
    /// Whether the disk may have one, after a failed write or of an earlier process.
    on_disk: bool,
}

/// Why a folder does not do what it should, if it does not; reported once, and when it is over.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    /// Returns whether all is well.
    fn report(&mut self, done: io::Result<()>, folder: &str, so: &str) -> bool {
        let problem = done.err().map(|error| error.to_string());
        match &problem {
            Some(problem) if self.0.as_ref() != Some(problem) => log::warn!("{folder}: {problem}; {so}"),
            None if self.0.is_some() => log::info!("{folder} can be used again"),
            _ => {}
        }
        self.0 = problem;
        self.0.is_none()
    }
}

/// The folder on the disk.
struct Disk {
    name: String,
    storage: Box<dyn Storage>,
    /// Whether its records are known; else it is tried again, and since when the order is held for it.
    is_open: bool,
    since: Option<BootTime>,
    again: BootTime,
    in_memory: bool,
    old: Vec<old::Old>,
    /// The records of one of these files.
    scanned: Option<(u32, Vec<old::Record>)>,
    /// Files that are not needed and could not be removed.
    unremoved: Vec<Name>,
    trouble: Trouble,
}

/// The runtime directory.
struct Runtime {
    name: String,
    storage: Box<dyn Storage>,
    /// Whether what an earlier process left is taken over.
    is_open: bool,
    /// Files of earlier versions, which are not needed once the copies are written.
    old: Vec<String>,
    trouble: Trouble,
}

/// A first-in, first-out store of records that the broker has not acknowledged.
///
/// The order of events: [`Spool::push`] when a window ends; [`Spool::store`] when it waits too long;
/// [`Spool::oldest`] as often as it takes to publish it; [`Spool::remove`] only on its PUBACK, or [`Spool::postpone`] where it must
/// not stop those behind it. Nothing here fails: what the disk refuses stays in memory, and is logged.
pub struct Spool {
    state: State,
    /// By position: first those on the disk, then those in memory.
    waiting: VecDeque<Item>,
    /// Those that are not to be delivered now, by position.
    aside: BTreeMap<u64, Aside>,
    disk: Option<Disk>,
    runtime: Option<Runtime>,
    keep: Keep,
    patience: Patience,
    /// While the disk cannot be read.
    failing: Option<Episode>,
    /// Damaged files that are left alone.
    damaged: u64,
    /// How many damaged files, and files of another owner, were reported.
    named: u32,
    /// Whether the process is about to end.
    leaving: bool,
}

impl Spool {
    /// A spool for `capacity` records in memory alone, with a boot of its own.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn in_memory(capacity: usize) -> Result<Self, getrandom::Error> {
        Self::open(Folders::default(), Keep::records(capacity))
    }

    /// A spool with what an earlier process left.
    ///
    /// # Errors
    /// When the kernel has no random bytes to name a boot.
    #[expect(clippy::disallowed_methods, reason = "a file of the kernel")]
    pub fn open(folders: Folders, keep: Keep) -> Result<Self, getrandom::Error> {
        let kernel_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::open_in_boot(folders, keep, kernel_boot.trim())
    }

    /// Names this boot of the machine, or this run where there is no runtime directory: 32 hexadecimal digits.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.state.boot
    }

    /// The `seq` of the next window to end.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.state.seq
    }

    /// How patient it is with files that cannot be read, where that is not the default.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// The process is about to end: nothing that can be delivered waits for what cannot be read, for a power loss may follow.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whoever takes over this spool in the same process does not leave.
    pub fn stay(&mut self) {
        self.leaving = false;
    }

    /// Adds the record of window `seq`; when full, drops the oldest and counts it in [`Spool::dropped`].
    pub fn push(&mut self, seq: u64, topic: &str, payload: &Payload) {
        (self.state.seq, self.state.open) = (seq + 1, None);
        self.accept(Entry { topic: topic.to_owned(), payload: payload.as_str().to_owned() });
    }

    fn accept(&mut self, entry: Entry) {
        let name = Name { position: self.state.next, start: entry.start() };
        self.state.next += 1;
        let held = Held { entry, copied: false, on_disk: false };
        self.waiting.push_back(Item { name, at: At::Memory(Box::new(held)) });
        self.trim();
        self.note();
    }

    /// Keeps what the open window `seq` would come to if the process died now.
    pub fn keep_open(&mut self, seq: u64, topic: &str, payload: &Payload) {
        self.state.open = Some((seq, topic.to_owned(), payload.as_str().to_owned()));
        self.note();
    }

    /// Forgets the record that [`Spool::oldest`] gave as `id`, for the broker has it; nothing happens if it was dropped meanwhile.
    pub fn remove(&mut self, id: u64) {
        if let Some(index) = self.index_of(id) {
            self.forget(index);
        }
    }

    /// Passes a record over until then, boot time: it keeps its place, and those behind it are delivered meanwhile.
    pub fn postpone(&mut self, id: u64, until: BootTime) {
        if self.index_of(id).is_some() {
            self.aside.insert(id, Aside { again: until, is_unreadable: false });
        }
    }

    fn index_of(&self, position: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&position, |item| item.name.position).ok()
    }

    /// The index of the first record that is in memory alone.
    fn first_in_memory(&self) -> usize {
        self.waiting.partition_point(|item| !matches!(item.at, At::Memory(_)))
    }

    /// The folder on the disk, where one is used, for a note beside the records.
    pub(super) fn folder(&mut self) -> Option<&mut dyn Storage> {
        self.disk.as_mut().filter(|disk| disk.is_open).map(|disk| disk.storage.as_mut() as _)
    }

    /// The runtime directory, where one is used, for a note beside the state.
    pub(super) fn runtime_folder(&mut self) -> Option<&mut dyn Storage> {
        self.runtime.as_mut().filter(|runtime| runtime.is_open).map(|runtime| runtime.storage.as_mut() as _)
    }

    /// How many of the records that wait a power loss would lose.
    #[must_use]
    pub fn unstored(&self) -> usize {
        self.waiting.len() - self.first_in_memory()
    }

    /// Whether what waits would survive the end of this process.
    #[must_use]
    pub fn survives_the_process(&self) -> bool {
        self.has_copies() || self.unstored() == 0
    }

    /// Whether the runtime directory has all that is in memory.
    fn has_copies(&self) -> bool {
        self.runtime.as_ref().is_some_and(|runtime| runtime.is_open && runtime.trouble.0.is_none())
    }

    /// Whether records can be kept where a power loss does not take them, as far as is known.
    #[must_use]
    pub fn uses_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.is_open && !disk.in_memory && disk.trouble.0.is_none())
    }

    /// Its state, for `status`.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        Backlog {
            spooled: self.len(),
            unreadable: self.unreadable(),
            dropped: self.dropped(),
            on_disk: self.uses_disk(),
        }
    }

    /// How many records wait, with those that cannot be read at present.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a record waits that was not passed over.
    #[must_use]
    pub fn can_deliver(&self) -> bool {
        let first = if self.leaving && self.failing.is_some() { self.first_in_memory() } else { 0 };
        self.waiting.range(first..).any(|item| !self.aside.contains_key(&item.name.position))
    }

    /// How many records were given up: there were too many, they were too old, or the disk damaged them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let in_old = self.disk.iter().flat_map(|disk| &disk.old).map(|old| old.damaged).sum::<u64>();
        self.state.dropped.saturating_add(self.damaged).saturating_add(in_old)
    }
}
