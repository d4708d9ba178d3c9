//! Where records wait for their PUBACK: oldest first, bounded, the oldest dropped when it is full.
//!
//! ```text
//!            push                     store: unacknowledged for seconds, or no broker
//! window ─────────▶ tail (memory) ──────────────────────────────────────▶ disk (state directory)
//!  open ──▶ state       │ copied to the runtime directory, so that it               │
//!           (runtime)   │ survives the process, not the machine                     │
//!                       └──────────▶ oldest ──▶ published ──▶ PUBACK: remove ◀──────┘
//! ```
//! Every record has a position. Positions on the disk are lower than those in the tail, so the oldest record is the
//! disk's first, or else the tail's. A device whose broker answers writes nothing to the disk.
//!
//! What survives what: the end of the process, everything that was pushed, and the open window as it was last kept;
//! a power loss, everything stored. What the broker acknowledged just before a power loss may be published again
//! (one file's worth at most, see `append_log`), with the same bytes.

mod append_log;
pub mod storage;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::payload::Payload;
use crate::service::events;
use append_log::{Entry, Log};
use storage::{Directory, Storage};

/// The most records that wait in memory, where the disk cannot take them: some three megabytes.
const MOST_IN_MEMORY: usize = 4096;

/// The most bytes on the disk: about two months of minutes.
pub const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The file in the runtime directory that names the boot and holds the open window.
const STATE: &str = "state.json";

/// The file in the state directory that holds the topic of the last discovery message.
const DISCOVERED: &str = "discovered";

/// The folders of a spool; each may be missing.
#[derive(Default)]
pub struct Folders {
    /// Survives a power loss: the state directory. An error is kept and told where it matters.
    pub disk: Option<(String, io::Result<Box<dyn Storage>>)>,
    /// Survives the process, not the machine: the runtime directory, in memory.
    pub runtime: Option<(String, io::Result<Box<dyn Storage>>)>,
}

impl Folders {
    /// Opens real folders.
    #[must_use]
    pub fn open(disk: Option<&Path>, runtime: Option<&Path>) -> Self {
        let open = |path: &Path| {
            let storage = Directory::open(path).map(|directory| Box::new(directory) as Box<dyn Storage>);
            (path.display().to_string(), storage)
        };
        Self { disk: disk.map(open), runtime: runtime.map(open) }
    }
}

/// What outlives the process: a small file that is replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The kernel's name for the boot of the machine in which this was written.
    kernel_boot: String,
    boot: String,
    /// The `seq` of the next window to end.
    seq: u64,
    /// Every record before this position is acknowledged or dropped.
    first: u64,
    /// The position of the next record.
    next: u64,
    dropped: u64,
    /// How many damaged records on the disk are counted in `dropped` already.
    damaged: u64,
    /// The folder that the positions on the disk belong to; none while it cannot be used.
    disk: Option<String>,
    /// The open window as it would be published if the process died now: `seq`, topic, payload.
    open: Option<(u64, String, String)>,
}

/// What tells a record's boot and place in it.
#[derive(Deserialize)]
struct Key {
    boot: String,
    seq: u64,
}

/// A first-in, first-out store of records that the broker has not acknowledged.
///
/// The order of events: [`Spool::push`] when a window ends; [`Spool::store`] when it waits too long;
/// [`Spool::oldest`] as often as it takes to publish it; [`Spool::remove`] only on its PUBACK. Nothing here fails: what
/// the disk refuses stays in memory, and is logged.
pub struct Spool {
    state: State,
    tail: VecDeque<(u64, Entry)>,
    disk: Option<Log>,
    runtime: Option<Log>,
    capacity: usize,
    most_bytes: u64,
    /// Why records are not kept on the disk although they should be.
    trouble: Option<String>,
}

impl Spool {
    /// A spool for `capacity` records in memory alone, with a boot of its own.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn in_memory(capacity: usize) -> Result<Self, getrandom::Error> {
        Self::open(Folders::default(), capacity, MOST_BYTES)
    }

    /// A spool for `capacity` records and `most_bytes` on the disk, with what an earlier process left.
    ///
    /// # Errors
    /// When the kernel has no random bytes to name a boot.
    pub fn open(folders: Folders, capacity: usize, most_bytes: u64) -> Result<Self, getrandom::Error> {
        let kernel_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::open_in_boot(folders, capacity, most_bytes, kernel_boot.trim())
    }

    fn open_in_boot(
        folders: Folders,
        capacity: usize,
        most_bytes: u64,
        kernel_boot: &str,
    ) -> Result<Self, getrandom::Error> {
        let mut runtime = folders.runtime.and_then(|(path, storage)| {
            storage
                .and_then(|storage| Log::open(storage, 0))
                .inspect_err(|error| {
                    log::warn!(
                        "runtime directory {path}: {error}; if this process dies, its open window is lost with it"
                    );
                })
                .ok()
        });
        let old = runtime.as_mut().and_then(|(log, _)| read_state(log.storage())).unwrap_or_default();
        let (disk_name, disk) = folders.disk.unzip();
        let from = if old.disk == disk_name { old.first } else { 0 };
        let mut trouble = None;
        let disk = disk.and_then(|storage| {
            storage
                .and_then(|storage| Log::open(storage, from))
                .inspect_err(|error| trouble = Some(error.to_string()))
                .ok()
        });
        if let (Some(reason), Some(path)) = (&trouble, &disk_name) {
            log::warn!(
                "spool.directory {path}: {reason}; records wait in memory, and a power loss would lose them"
            );
        }

        let mut state = State {
            first: from,
            next: old.next,
            dropped: old.dropped,
            // The positions of a disk that is away are not gone past: what waits there is published when it is back.
            disk: disk_name.filter(|_| disk.is_some()),
            kernel_boot: kernel_boot.to_owned(),
            ..State::default()
        };
        let stored = disk.as_ref().and_then(|(log, _)| log.last());
        state.next = state.next.max(stored.map_or(0, |last| last + 1));
        if let Some((_, found)) = &disk {
            let known = if old.disk == state.disk { old.damaged } else { 0 };
            let new = found.damaged.saturating_sub(known);
            state.damaged = found.damaged;
            state.dropped = state.dropped.max(found.dropped) + new;
            if new > 0 {
                log::warn!("damaged records were found on the disk and skipped; they count as dropped");
            }
        }
        let mut spool = Self {
            state,
            tail: VecDeque::new(),
            disk: disk.map(|(log, _)| log),
            runtime: None,
            capacity: capacity.max(1),
            most_bytes,
            trouble,
        };
        let mut newest = None;
        if let Some((log, _)) = runtime {
            newest = spool.recover_tail(&log, &old, from, stored);
            spool.runtime = Some(log);
            spool.renumber_copies();
        }
        if old.kernel_boot == kernel_boot && !old.boot.is_empty() {
            let after = |key: &Key| if key.boot == old.boot { key.seq + 1 } else { 0 };
            let newest = newest.or_else(|| spool.newest_stored());
            spool.state.seq = old.seq.max(newest.as_ref().map_or(0, after));
            spool.state.boot = old.boot;
        } else {
            let boot = (u128::from(getrandom::u64()?) << 64) | u128::from(getrandom::u64()?);
            spool.state.boot = format!("{boot:032x}");
        }
        match old.open {
            // Else it ended before the process did, and its record is there.
            Some((seq, topic, payload)) if seq >= spool.state.seq || old.kernel_boot != kernel_boot => {
                log::info!("the window that was open when the last run ended is recovered");
                let next = if old.kernel_boot == kernel_boot { seq + 1 } else { spool.state.seq };
                spool.accept(next, Entry { topic, payload });
            }
            _ => {}
        }
        spool.write_state();
        Ok(spool)
    }

    /// Takes the tail of an earlier process from its copy; returns the key of its newest record.
    fn recover_tail(&mut self, log: &Log, old: &State, from: u64, stored: Option<u64>) -> Option<Key> {
        let same_disk = old.disk == self.state.disk;
        let mut newest = None;
        for (position, entry) in log.entries() {
            let Ok(entry) = entry else {
                self.state.dropped += 1;
                continue;
            };
            newest = serde_json::from_str(&entry.payload).ok().or(newest);
            if position < from.max(old.first) || (same_disk && stored.is_some_and(|last| position <= last)) {
                continue;
            }
            // Another disk has positions of its own.
            let position = if same_disk { position } else { self.state.next };
            self.state.next = self.state.next.max(position + 1);
            self.tail.push_back((position, entry));
        }
        newest
    }

    /// Gives the copies of the tail the positions that the tail has.
    fn renumber_copies(&mut self) {
        let (tail, dropped) = (std::mem::take(&mut self.tail), self.state.dropped);
        self.in_runtime(|log| {
            if let (Some((first, _)), Some(last)) = (tail.front(), log.last())
                && *first > last
            {
                tail.iter().try_for_each(|(position, entry)| log.append(*position, dropped, entry))?;
                log.forget_before(*first)?;
            }
            Ok(())
        });
        self.tail = tail;
    }

    fn newest_stored(&self) -> Option<Key> {
        let (_, entry) = self.disk.as_ref()?.entries().last()?;
        serde_json::from_str(&entry.ok()?.payload).ok()
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

    /// Adds the record of window `seq`; when full, drops the oldest and counts it in [`Spool::dropped`].
    pub fn push(&mut self, seq: u64, topic: &str, payload: &Payload) {
        let entry = Entry { topic: topic.to_owned(), payload: payload.as_str().to_owned() };
        self.accept(seq + 1, entry);
    }

    fn accept(&mut self, next_seq: u64, entry: Entry) {
        let position = self.state.next;
        self.state.next += 1;
        self.state.seq = next_seq;
        self.state.open = None;
        let dropped = self.state.dropped;
        self.in_runtime(|log| log.append(position, dropped, &entry));
        self.tail.push_back((position, entry));
        self.trim();
        self.write_state();
    }

    /// Keeps what the open window `seq` would come to if the process died now.
    pub fn keep_open(&mut self, seq: u64, topic: &str, payload: &Payload) {
        self.state.open = Some((seq, topic.to_owned(), payload.as_str().to_owned()));
        self.write_state();
    }

    /// The record to publish next: its position, topic and payload. One that the disk does not give back counts as
    /// dropped.
    pub fn oldest(&mut self) -> Option<(u64, String, String)> {
        while let Some((position, entry)) = self.disk.as_ref().and_then(Log::oldest) {
            match entry {
                Ok(Entry { topic, payload }) => return Some((position, topic, payload)),
                Err(error) => {
                    log::warn!("a record cannot be read from the disk: {error}; it counts as dropped");
                    self.state.dropped += 1;
                    self.remove(position);
                }
            }
        }
        let (position, entry) = self.tail.front()?;
        Some((*position, entry.topic.clone(), entry.payload.clone()))
    }

    /// Forgets the record at `position`, for the broker has it; nothing happens if it was dropped meanwhile.
    pub fn remove(&mut self, position: u64) {
        if self.disk.as_ref().and_then(Log::first) == Some(position) {
            self.forget_on_disk(position + 1);
            if self.disk.as_ref().is_some_and(|log| log.len() == 0) {
                self.state.damaged = 0;
            }
        } else if self.tail.front().is_some_and(|(front, _)| *front == position) {
            self.tail.pop_front();
        } else {
            return;
        }
        self.state.first = position + 1;
        self.in_runtime(|log| log.forget_before(position + 1));
        self.write_state();
    }

    /// Writes what is only in memory to the disk, and returns when a power loss would not lose it.
    pub fn store(&mut self) {
        let Some((first, _)) = self.tail.front() else { return };
        let (first, dropped) = (*first, self.state.dropped);
        let Some(disk) = &mut self.disk else { return };
        let appended =
            self.tail.iter().try_for_each(|(position, entry)| disk.append(*position, dropped, entry));
        match appended.and_then(|()| disk.sync()) {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    log::info!("the disk takes records again");
                }
                self.tail.clear();
                let next = self.state.next;
                self.in_runtime(|log| log.forget_before(next));
                self.trim();
            }
            Err(error) => {
                disk.retract(first);
                let reason = error.to_string();
                if self.trouble.as_ref() != Some(&reason) {
                    log::warn!("the disk does not take records: {reason}; they wait in memory");
                    self.trouble = Some(reason);
                }
            }
        }
        self.write_state();
    }

    /// The topic on which this device announced itself last, if it did; what is not kept on a disk is not known.
    #[must_use]
    pub fn discovered(&mut self) -> Option<String> {
        let topic = self.disk.as_mut()?.storage().read(DISCOVERED).ok()?;
        String::from_utf8(topic).ok()
    }

    /// Remembers the topic of an announcement until it is withdrawn (`None`).
    pub fn set_discovered(&mut self, topic: Option<&str>) {
        let Some(storage) = self.disk.as_mut().map(Log::storage) else { return };
        let done = match topic {
            Some(topic) => {
                storage.replace(DISCOVERED, topic.as_bytes()).and_then(|()| storage.sync(DISCOVERED))
            }
            None => storage.remove(DISCOVERED),
        };
        if let Err(error) = done {
            log::warn!(
                "that this device is announced to Home Assistant cannot be noted on the disk: {error}"
            );
        }
    }

    /// Whether records wait that a power loss would lose.
    #[must_use]
    pub fn has_unstored(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Whether what waits would survive the end of this process.
    #[must_use]
    pub fn survives_the_process(&self) -> bool {
        self.tail.is_empty() || self.runtime.is_some()
    }

    /// Whether records can be kept on the disk, as far as is known.
    #[must_use]
    pub fn uses_disk(&self) -> bool {
        self.disk.is_some() && self.trouble.is_none()
    }

    /// How many records wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.disk.as_ref().map_or(0, Log::len) + self.tail.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many records were given up, because the spool was full or the disk damaged them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.state.dropped
    }

    /// Drops the oldest records while there are too many.
    fn trim(&mut self) {
        let dropped = self.state.dropped;
        while let Some(first) = self.disk.as_ref().and_then(Log::first) {
            if self.len() <= self.capacity
                && self.disk.as_ref().is_none_or(|log| log.bytes() <= self.most_bytes)
            {
                break;
            }
            self.state.dropped += 1;
            self.state.first = first + 1;
            self.forget_on_disk(first + 1);
        }
        while self.tail.len() > self.capacity.min(MOST_IN_MEMORY) {
            let Some((first, _)) = self.tail.pop_front() else { break };
            self.state.dropped += 1;
            self.in_runtime(|log| log.forget_before(first + 1));
        }
        if self.state.dropped != dropped {
            events::records_dropped();
        }
    }

    fn forget_on_disk(&mut self, position: u64) {
        if let Some(Err(error)) = self.disk.as_mut().map(|log| log.forget_before(position)) {
            log::warn!("an old file cannot be removed from the spool: {error}");
        }
    }

    /// Does something with the copy in the runtime directory; when that fails, goes on without one.
    fn in_runtime(&mut self, act: impl FnOnce(&mut Log) -> io::Result<()>) {
        if let Some(Err(error)) = self.runtime.as_mut().map(act) {
            log::warn!(
                "the runtime directory does not take records: {error}; should this process die, what waits in \
                          memory is lost with it"
            );
            // What is there grows old: its state would give a `seq` to a second window, and its records would come again
            // behind newer ones. Without it, the next run is another boot.
            if let Some(mut log) = self.runtime.take() {
                let _ = log.storage().remove(STATE);
                let _ = log.forget_before(u64::MAX);
            }
        }
    }

    fn write_state(&mut self) {
        if self.runtime.is_none() {
            return;
        }
        let Ok(bytes) = serde_json::to_vec(&self.state) else { return };
        self.in_runtime(|log| log.storage().replace(STATE, &bytes));
    }
}

/// The state of an earlier process; none when there is none, or it is not ours.
fn read_state(storage: &dyn Storage) -> Option<State> {
    let bytes = storage.read(STATE).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| log::warn!("{STATE} in the runtime directory is not used: {error}"))
        .ok()
}
