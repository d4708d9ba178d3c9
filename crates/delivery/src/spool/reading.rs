//! How the oldest record is read, and what becomes of one that cannot be read.

use std::io;
use std::time::Duration;

use super::record::{self, Entry, decode};
use super::storage::is_foreign;
use super::{At, Disk, Item, Spool, old};
use crate::events;
use lectern_record::clock::BootTime;

/// While the order is held, a file that cannot be read is tried this often, and so is a disk that cannot be opened.
const TRY_HELD: Duration = Duration::from_secs(1);

/// Between two attempts at files that were passed over: a dying disk takes its time for each.
const LATE_PAUSE: Duration = Duration::from_secs(5);

/// So many files that cannot be read are passed over at a time, for the same reason.
const MOST_FAILURES: u32 = 8;

/// So many files that are damaged or another's are named in the journal.
const MAX_NAMED: u32 = 10;

/// What the journal says of a damaged file.
const DAMAGED: &str = "is damaged: its minute counts as dropped";

/// How patient the spool is with files that cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Nothing that is younger is delivered for so long.
    pub hold_order: Duration,
    /// After that they are tried this often.
    pub try_late: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { hold_order: Duration::from_secs(60), try_late: Duration::from_secs(300) }
    }
}

/// A record that is passed over until then.
pub(super) struct Aside {
    pub(super) again: BootTime,
    pub(super) is_unreadable: bool,
}

/// A time in which files cannot be read; the order is held once for all of them.
pub(super) struct Episode {
    /// The first of them, which the journal names.
    name: String,
    /// The one that the order is held for.
    position: u64,
    since: BootTime,
    /// Before this none of them is tried.
    again: BootTime,
    passed_over: bool,
}

/// Why there is no entry.
enum Unread {
    /// It may be there the next time.
    Failed(io::Error),
    Damaged,
    /// Of another user or device; why.
    Foreign(String),
}

impl Spool {
    /// The record to publish next: its id, topic and payload; none while an older one cannot be read and the order is held for it.
    /// `now` is boot time.
    pub fn oldest(&mut self, now: BootTime) -> Option<(u64, String, String)> {
        if self.is_held_for_disk(now) {
            return None;
        }
        let (mut index, mut failures) = (0, 0);
        while let Some(item) = self.waiting.get(index) {
            let position = item.name.position;
            if self.rests(position, now) {
                index += 1;
                continue;
            }
            match self.read(index) {
                Ok(entry) => {
                    self.is_readable(position);
                    return Some((position, entry.topic, entry.payload));
                }
                // It was away when the order was held for it, and still is.
                Err(Unread::Failed(error))
                    if error.kind() == io::ErrorKind::NotFound && self.aside.contains_key(&position) =>
                {
                    self.state.dropped += 1;
                    self.leave_alone(index, "is gone: its minute counts as dropped", events::spool_damaged);
                }
                Err(Unread::Failed(error)) => {
                    failures += 1;
                    if !self.passes_over(index, &error, now) || failures == MOST_FAILURES {
                        return None;
                    }
                    // What else is on the disk is there in the next run, too.
                    index = if self.leaving { self.first_in_memory() } else { index + 1 };
                }
                Err(Unread::Damaged) => {
                    self.damaged += 1;
                    self.leave_alone(index, DAMAGED, events::spool_damaged);
                }
                Err(Unread::Foreign(why)) => self.leave_alone(index, &why, events::spool_foreign),
            }
        }
        None
    }

    /// Whether the disk could not be opened yet, and what may be on it is waited for.
    fn is_held_for_disk(&mut self, now: BootTime) -> bool {
        if self.disk.as_ref().is_some_and(|disk| !disk.is_open && now >= disk.again) {
            self.open_disk();
        }
        let Some(disk) = self.disk.as_mut().filter(|disk| !disk.is_open) else { return false };
        disk.again = now + TRY_HELD;
        let since = *disk.since.get_or_insert(now);
        !self.leaving && now.saturating_sub(since) < self.patience.hold_order
    }

    /// Whether a record is not to be tried now.
    fn rests(&self, position: u64, now: BootTime) -> bool {
        let late = self.failing.as_ref().is_some_and(|episode| now < episode.again);
        self.aside.get(&position).is_some_and(|aside| now < aside.again || (aside.is_unreadable && late))
    }

    /// Reads a record again, and checks it again.
    fn read(&mut self, index: usize) -> Result<Entry, Unread> {
        let Item { name, at } = &self.waiting[index];
        let entry = match at {
            At::Memory(held) => Ok(held.entry.clone()),
            At::File => match self.disk.as_ref() {
                Some(disk) => disk.read(&name.to_string()),
                None => Err(Unread::Damaged),
            },
            At::Old { file, index } => match self.disk.as_mut() {
                Some(disk) => disk.read_old(*file, *index),
                None => Err(Unread::Damaged),
            },
        }?;
        match &self.keep.owner {
            Some(owner) if !owner.owns(&entry) => Err(Unread::Foreign(record::not_ours(&entry))),
            _ => Ok(entry),
        }
    }

    /// A file cannot be read. Returns whether those behind it are delivered all the same.
    fn passes_over(&mut self, index: usize, error: &io::Error, now: BootTime) -> bool {
        let Item { name, .. } = self.waiting[index];
        let episode = self.failing.get_or_insert_with(|| {
            events::spool_unreadable(&name.to_string(), &error.to_string());
            let name = name.to_string();
            Episode { name, position: 0, since: now, again: now, passed_over: false }
        });
        let is_late = self.aside.contains_key(&name.position);
        if !is_late && !self.leaving && now.saturating_sub(episode.since) < self.patience.hold_order {
            episode.position = name.position;
            return false;
        }
        if !std::mem::replace(&mut episode.passed_over, true) {
            log::warn!("{} still cannot be read; newer minutes are delivered before it", episode.name);
        }
        if is_late {
            episode.again = now + LATE_PAUSE.min(self.patience.try_late);
        }
        self.aside.insert(name.position, Aside { again: now + self.patience.try_late, is_unreadable: true });
        true
    }

    fn is_readable(&mut self, position: u64) {
        self.aside.remove(&position);
        if self.unreadable_positions().all(|unreadable| unreadable == position)
            && let Some(Episode { name, .. }) = self.failing.take()
        {
            events::spool_readable(&name);
        }
    }

    /// Leaves a file where it is, and reports it.
    fn leave_alone(&mut self, index: usize, why: &str, report: fn(&str, &str)) {
        let Some(Item { name, .. }) = self.waiting.remove(index) else { return };
        self.aside.remove(&name.position);
        self.named += 1;
        if self.named <= MAX_NAMED {
            report(&name.to_string(), why);
        }
    }

    /// Those that wait and could not be read when that was tried last.
    fn unreadable_positions(&self) -> impl Iterator<Item = u64> {
        let held = self.failing.iter().map(|episode| episode.position);
        let held = held.filter(|held| !self.aside.contains_key(held) && self.index_of(*held).is_some());
        let aside = self.aside.iter().filter(|(_, aside)| aside.is_unreadable);
        aside.map(|(position, _)| *position).chain(held)
    }

    /// How many of the records that wait are in files that cannot be read at present.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable_positions().count() as u64
    }

    /// These files in words, if there are any.
    #[must_use]
    pub fn unreadable_files(&self) -> Option<String> {
        let mut positions = self.unreadable_positions();
        let first = self.waiting[self.index_of(positions.next()?)?].name;
        Some(match positions.count() {
            0 => first.to_string(),
            more => format!("{first} and {more} more"),
        })
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        if is_foreign(&error) { Self::Foreign(error.to_string()) } else { Self::Failed(error) }
    }
}

impl Disk {
    fn read(&self, name: &str) -> Result<Entry, Unread> {
        let bytes = self.storage.read(name, record::LONGEST)?;
        decode(&bytes).map(|(_, entry)| entry).ok_or(Unread::Damaged)
    }

    /// Reads a record of earlier versions; the records of its file are kept until another one is read.
    fn read_old(&mut self, file: u32, index: u32) -> Result<Entry, Unread> {
        if self.scanned.as_ref().is_none_or(|(scanned, _)| *scanned != file) {
            let name = self.old.get(file as usize).map_or("", |old| &old.name);
            self.scanned = Some((file, old::scan(&self.storage.read(name, old::LONGEST_FILE)?)));
        }
        let record = self.scanned.as_ref().and_then(|(_, records)| records.get(index as usize));
        record.map(|record| record.entry.clone()).ok_or(Unread::Damaged)
    }

    /// Reads a record while nothing is delivered yet; none where it cannot be read, or is damaged.
    pub(super) fn look_at(&mut self, item: &Item) -> Option<Entry> {
        match item.at {
            At::Old { file, index } => self.read_old(file, index).ok(),
            _ => self.read(&item.name.to_string()).ok(),
        }
    }
}
