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
//! At any time, stored = delivered + dropped + waiting. A file on the disk that cannot be read (an I/O error, not damage) is
//! tried again: the order is held for it for a minute, then it is passed over and tried every five minutes, and after a
//! day it is set aside and counted as dropped. Only its records may come late; each keeps its key. See `append_log`.
//!
//! What survives what: the end of the process, everything that was pushed, and the open window as it was last kept;
//! a power loss, everything stored. What the broker acknowledged just before a power loss may be published again
//! (one file's worth at most, see `append_log`), with the same bytes.

mod append_log;
mod boot;
mod folders;
mod inspect;
mod names;
mod opening;
mod patience;
mod reading;
mod record;
mod recovery;
mod segment;
mod state;
pub mod storage;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::VecDeque;
use std::time::Duration;

use crate::message::payload::{Backlog, Payload};
use append_log::{Log, Oldest};
pub use folders::{Folder, Folders};
pub use inspect::{Inspection, inspect, read_status};
use lectern_record::clock::BootTime;
pub(super) use names::DISCOVERED;
pub use names::STATUS;
pub use patience::Patience;
use record::Entry;
use state::State;
use storage::Storage;
#[cfg(test)]
pub(super) use tests::Fake;

/// The most records that wait in memory, where the disk cannot take them: some three megabytes.
const MOST_IN_MEMORY: usize = 4096;

/// The most bytes on the disk: about two months of minutes.
pub const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A disk that cannot be opened is tried this often.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// A disk that could not be opened yet.
struct Away {
    storage: Box<dyn Storage>,
    /// Since when the order is held for it, and when it is tried again.
    since: Option<BootTime>,
    again: BootTime,
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
    away: Option<Away>,
    runtime: Option<Log>,
    capacity: usize,
    most_bytes: u64,
    patience: Patience,
    /// The position that [`Spool::oldest`] gave last; only that can be removed.
    handed_out: Option<u64>,
    /// Whether the process is about to end.
    leaving: bool,
    /// Why records are not kept on the disk although they should be.
    trouble: Option<String>,
    /// Whether it was told that old files cannot be removed.
    unswept: bool,
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
    #[expect(clippy::disallowed_methods, reason = "a file of the kernel")]
    pub fn open(folders: Folders, capacity: usize, most_bytes: u64) -> Result<Self, getrandom::Error> {
        let kernel_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::open_in_boot(folders, capacity, most_bytes, kernel_boot.trim())
    }

    /// Names this boot of the machine, or this run where there is no runtime directory: 32 hexadecimal digits.
    #[must_use]
    pub fn boot(&self) -> &str {
        self.state.boot.name()
    }

    /// The `seq` of the next window to end.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.state.boot.next_seq()
    }

    /// How patient it is with files that cannot be read, where that is not the default.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// The process is about to end: what that would lose does not wait for older records that cannot be read.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whoever takes over this spool in the same process does not leave.
    pub fn stay(&mut self) {
        self.leaving = false;
    }

    /// Adds the record of window `seq`; when full, drops the oldest and counts it in [`Spool::dropped`].
    pub fn push(&mut self, seq: u64, topic: &str, payload: &Payload) {
        let entry = Entry { topic: topic.to_owned(), payload: payload.as_str().to_owned() };
        self.state.boot.ended(seq);
        self.accept(entry);
    }

    fn accept(&mut self, entry: Entry) {
        let position = self.state.next;
        self.state.next += 1;
        let dropped = self.state.dropped;
        self.in_runtime(|log| log.append(position, dropped, &entry));
        self.tail.push_back((position, entry));
        self.trim();
        self.settle();
    }

    /// Keeps what the open window `seq` would come to if the process died now.
    pub fn keep_open(&mut self, seq: u64, topic: &str, payload: &Payload) {
        self.state.boot.keep_open(seq, topic, payload);
        self.write_state();
    }

    /// The record to publish next: its position, topic and payload; none while an older one cannot be read and the order is
    /// held for it. One that is damaged counts as dropped. `now` is boot time.
    pub fn oldest(&mut self, now: BootTime) -> Option<(u64, String, String)> {
        let held = !self.leaving || self.runtime.is_some();
        if self.away.as_ref().is_some_and(|away| now >= away.again) {
            self.fetch();
        }
        if let Some(away) = &mut self.away {
            away.again = now + OPEN_AGAIN;
            let since = *away.since.get_or_insert(now);
            if held && now.saturating_sub(since) < self.patience.hold_order {
                return None;
            }
        }
        let oldest = match &mut self.disk {
            Some(disk) => disk.oldest(now, &self.patience, held),
            None => Oldest::None,
        };
        self.tell_news();
        let (position, entry) = match oldest {
            Oldest::Entry(position, entry) => (position, entry),
            Oldest::Held => return None,
            Oldest::None => self.tail.front().cloned()?,
        };
        self.handed_out = Some(position);
        Some((position, entry.topic, entry.payload))
    }

    /// Forgets the record at `position`, for the broker has it; nothing happens unless it was handed out last, and if it
    /// was dropped meanwhile.
    pub fn remove(&mut self, position: u64) {
        if self.handed_out.take_if(|handed_out| *handed_out == position).is_none() {
            return;
        }
        if !self.disk.as_mut().is_some_and(|log| log.remove(position)) {
            if self.tail.front().is_none_or(|(front, _)| *front != position) {
                return;
            }
            self.pop_tail();
        }
        self.settle();
    }

    /// Forgets the first record of the tail.
    fn pop_tail(&mut self) {
        let Some((position, _)) = self.tail.pop_front() else { return };
        self.state.dropped += position - self.state.first;
        self.state.first = position + 1;
        if let Some(log) = &mut self.runtime {
            log.forget_before(position + 1);
        }
    }

    /// Writes what is only in memory to the disk, and returns when a power loss would not lose it.
    pub fn store(&mut self) {
        self.fetch();
        let Some((first, _)) = self.tail.front() else { return };
        let first = *first;
        let Some(disk) = &mut self.disk else { return };
        // What is counted with the records that are still there comes with them again after a power loss.
        let dropped = self.state.dropped.saturating_sub(disk.passed());
        let appended =
            self.tail.iter().try_for_each(|(position, entry)| disk.append(*position, dropped, entry));
        match appended.and_then(|()| disk.sync()) {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    log::info!("the disk takes records again");
                }
                self.state.dropped += self.missing();
                self.tail.clear();
                self.state.first = self.state.next;
                if let Some(log) = &mut self.runtime {
                    log.forget_before(self.state.next);
                }
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
        self.settle();
    }

    /// The folder on the disk, where one is used, for a note beside the records.
    pub(super) fn folder(&mut self) -> Option<&mut dyn Storage> {
        self.disk.as_mut().map(Log::storage)
    }

    /// The runtime directory, where one is used, for a note beside the state.
    pub(super) fn runtime_folder(&mut self) -> Option<&mut dyn Storage> {
        self.runtime.as_mut().map(Log::storage)
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

    /// What is to be told of it.
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
        let stored = self.disk.as_ref().map_or(0, Log::len);
        usize::try_from(stored).unwrap_or(usize::MAX).saturating_add(self.tail.len())
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of the records that wait are in files that cannot be read at present.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.disk.as_ref().map_or(0, Log::unreadable)
    }

    /// These files in words, if there are any.
    #[must_use]
    pub fn unreadable_files(&self) -> Option<String> {
        let mut names = self.disk.as_ref()?.unreadable_names();
        let first = names.next()?;
        Some(match names.count() {
            0 => first.to_owned(),
            more => format!("{first} and {more} more"),
        })
    }

    /// Whether a record waits that was not passed over as unreadable.
    #[must_use]
    pub fn can_deliver(&self) -> bool {
        !self.tail.is_empty() || self.disk.as_ref().is_some_and(Log::can_deliver)
    }

    /// How many records were given up: the spool was full, the disk damaged them, or they could not be read for a day.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let lost = self.disk.as_ref().map_or(0, Log::lost) + self.missing();
        self.state.dropped.saturating_add(lost)
    }

    /// Records that should be in the tail and are not.
    fn missing(&self) -> u64 {
        (self.state.next - self.state.first).saturating_sub(self.tail.len() as u64)
    }
}
