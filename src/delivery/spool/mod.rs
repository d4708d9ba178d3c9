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
mod inspect;
mod opening;
mod reading;
mod record;
mod recovery;
mod segment;
mod state;
pub mod storage;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::payload::Payload;
use crate::clock::BootTime;
use crate::service::events;
pub use append_log::Patience;
use append_log::{Log, News, Oldest};
pub use inspect::{Inspection, inspect};
use record::Entry;
use state::{STATE, State};
use storage::{Directory, Storage};

/// The most records that wait in memory, where the disk cannot take them: some three megabytes.
const MOST_IN_MEMORY: usize = 4096;

/// The most bytes on the disk: about two months of minutes.
pub const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The file in the state directory that holds the topic of the last discovery message.
const DISCOVERED: &str = "discovered";

/// The longest topic of a discovery message, generously.
const LONGEST_DISCOVERED: usize = 4096;

/// A disk that cannot be opened is tried this often.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

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
        let open =
            |path: &Path| (path.display().to_string(), Ok(Box::new(Directory::at(path)) as Box<dyn Storage>));
        Self { disk: disk.map(open), runtime: runtime.map(open) }
    }
}

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
    pub fn open(folders: Folders, capacity: usize, most_bytes: u64) -> Result<Self, getrandom::Error> {
        let kernel_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::open_in_boot(folders, capacity, most_bytes, kernel_boot.trim())
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
        self.settle();
    }

    /// Keeps what the open window `seq` would come to if the process died now.
    pub fn keep_open(&mut self, seq: u64, topic: &str, payload: &Payload) {
        self.state.open = Some((seq, topic.to_owned(), payload.as_str().to_owned()));
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

    /// The topic on which this device announced itself last, if it did; what is not kept on a disk is not known.
    #[must_use]
    pub fn discovered(&mut self) -> Option<String> {
        let topic = self.disk.as_mut()?.storage().read(DISCOVERED, LONGEST_DISCOVERED).ok()?;
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

    /// Drops the oldest records while there are too many.
    fn trim(&mut self) {
        let mut is_full = false;
        while self
            .disk
            .as_ref()
            .is_some_and(|log| log.len() > 0 && (self.len() > self.capacity || log.bytes() > self.most_bytes))
            && self.disk.as_mut().is_some_and(Log::drop_oldest)
        {
            is_full = true;
        }
        while self.tail.len() > self.capacity.min(MOST_IN_MEMORY) {
            is_full = true;
            self.state.dropped += 1;
            self.pop_tail();
        }
        if is_full {
            events::records_dropped();
        }
    }

    /// Notes what has changed, and then removes the files that are not needed any more: whoever reads them again must know
    /// that.
    fn settle(&mut self) {
        if let Some(disk) = &mut self.disk {
            self.state.dropped = self.state.dropped.saturating_add(disk.take_given_up());
        }
        self.write_state();
        self.in_runtime(Log::sweep);
        if let Some(disk) = &mut self.disk {
            let swept = disk.sweep();
            if let Err(error) = &swept
                && !self.unswept
            {
                log::warn!("an old file cannot be removed from the spool: {error}; it is tried again");
            }
            self.unswept = swept.is_err();
        }
        self.tell_news();
    }

    fn tell_news(&mut self) {
        let Some(disk) = self.disk.as_mut().filter(|disk| disk.has_changed()) else { return };
        let news = disk.take_news();
        for news in news {
            match news {
                News::Unreadable(name, error) => events::spool_unreadable(&name, &error),
                News::Readable(name) => events::spool_readable(&name),
                News::PassedOver(name) => {
                    log::warn!("{name} still cannot be read; newer minutes are delivered before those in it");
                }
                News::Renamed(old, new) => log::info!("{old} in the spool is called {new} from now on"),
                News::GivenUp(name) => events::spool_given_up(&name),
                News::Damaged(name) => {
                    log::warn!("{name}: a record on the disk is damaged; it counts as dropped");
                }
            }
        }
        self.settle();
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
                log.forget_before(u64::MAX);
                let _ = log.sweep();
            }
        }
    }

    fn write_state(&mut self) {
        if self.runtime.is_none() {
            return;
        }
        if let Some(disk) = &self.disk {
            self.state.stored = Some(disk.known().into());
        }
        let Ok(bytes) = serde_json::to_vec(&self.state) else { return };
        self.in_runtime(|log| log.storage().replace(STATE, &bytes));
    }
}

/// Whether a file in a spool's folder has a name that the spool gives.
fn is_our_name(name: &str) -> bool {
    let stem = name.strip_suffix(".new").unwrap_or(name);
    [STATE, DISCOVERED, storage::LOCK].contains(&stem) || segment::parse(name).is_some()
}
