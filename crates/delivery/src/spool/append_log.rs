//! An append-only log of entries in files of about [`SEGMENT`] bytes.
//!
//! ```text
//! file = entries-<position of its first record, 16 hexadecimal digits>[-<attempt>[-<after>]]    record* (see `record`)
//!      | late-<position>[-<end>]     could not be read, and was passed over
//!      | aside-<position>[-<end>]    could not be read for too long: counted as dropped, and left for whoever can read it
//! ```
//! Invariants: bytes once written are never changed; positions rise from record to record and from file to file in order;
//! a file is removed only as a whole, when none of its records is needed any more and the state says so.
//!
//! What a crash leaves behind. Of the process: everything appended. Of the machine: everything up to the last `sync`, and after
//! it anything: a torn record, zeroes, nothing. A reader looks for the next marker with a right checksum (the marker begins with
//! FF, which is in no UTF-8), so it skips what is torn or damaged and finds what comes after, also where a file was appended to
//! after a torn record. A gap in the positions counts what was skipped, unless the file behind it says `after` which position it
//! comes (or `jump`, where that was not known). A removed file may be there again, and its entries, which the broker has, are
//! published once more. But it is not there beside a file begun later: the folder is synced with the name of each new file. Else
//! the entries between the two, which were never written, would count as skipped.
//!
//! Damage is what was read and does not check. What cannot be read is not damaged: it is tried again every second, and the
//! order is held for it for [`super::Patience::hold_order`]. Then the file is passed over and tried every [`super::Patience::try_late`];
//! its records come late, with their own keys. After [`super::Patience::give_up`] it is set aside, and its records count as dropped.

use std::collections::VecDeque;
use std::io;

use super::record::{self, Entry, HEADER, HIGHEST, LONGEST, encode};
use super::segment::{self, After, LATE, Late, Place, Segment};
use super::storage::Storage;
use lectern_record::clock::BootTime;

/// A file is not added to beyond this size. After a power loss up to one file of entries that the broker has
/// already acknowledged comes again.
pub(super) const SEGMENT: u64 = 64 * 1024;

/// No file of ours is longer: the last record may begin within [`SEGMENT`], and one that failed may have left a part.
pub(super) const LONGEST_FILE: usize = 2 * (64 * 1024 + HEADER + LONGEST);

/// No folder of ours has more files, whatever failed: 64 MiB of the smallest ones a file system makes.
pub(super) const MOST_FILES: usize = 16_384;

/// What happened to a file, to be told: its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Unreadable(String, String),
    Readable(String),
    PassedOver(String),
    Renamed(String, String),
    GivenUp(String),
    Damaged(String),
}

/// What is known of a log from elsewhere: the state in the runtime directory.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Every entry in order before this is acknowledged or dropped.
    pub(super) first: u64,
    /// Every entry in order before this was stored; none where the newest file could not be read since the machine booted.
    pub(super) end: Option<u64>,
    pub(super) late: Vec<Late>,
    /// Every entry from here on is in memory, whatever of it a write that was not noted left on the disk; none where that is not
    /// known.
    pub(super) in_memory_from: Option<u64>,
}

/// The oldest entry that can be delivered.
pub(super) enum Oldest {
    Entry(u64, Entry),
    /// An older file cannot be read, and the order is held for it.
    Held,
    None,
}

/// The log; holds no entry in memory, only where each one lies.
pub(super) struct Log {
    pub(super) storage: Box<dyn Storage>,
    /// By position; those that were passed over stay where they were.
    pub(super) segments: VecDeque<Segment>,
    /// The frontier: every entry in order before this is acknowledged or dropped.
    pub(super) first: u64,
    /// The position after the last one in order.
    pub(super) end: u64,
    /// Part of the names of new files, so that what a failed write left behind is never added to.
    pub(super) attempt: u32,
    /// Damaged entries that have yet to be passed.
    pub(super) lost: u64,
    /// Entries given up since [`Log::take_given_up`].
    pub(super) given_up: u64,
    /// Files that are counted as dropped and could not be given another name.
    pub(super) aside: Vec<Late>,
    /// Files that are not needed any more.
    pub(super) obsolete: Vec<String>,
    /// Whether a power loss might take what was found when it was opened.
    pub(super) unsynced: bool,
    pub(super) news: Vec<News>,
    /// Before this no file that was passed over is tried.
    pub(super) late_again: BootTime,
}

impl Log {
    pub(super) fn tell_unreadable(&mut self, segment: &mut Segment, error: &io::Error) {
        if !segment.told {
            segment.told = true;
            self.news.push(News::Unreadable(segment.name.clone(), error.to_string()));
        }
    }

    /// Moves the frontier to the first file in order.
    pub(super) fn settle_first(&mut self) {
        let front = self.segments.iter().find(|segment| !segment.late);
        let first = match front {
            Some(segment) => {
                let lost = segment.places.front().map_or(segment.lost_before, |place| place.lost);
                segment.places.front().map_or(segment.from, |place| place.position).saturating_sub(lost)
            }
            None => self.end,
        };
        self.first = self.first.max(first);
    }

    /// What the runtime directory should remember of it.
    pub(super) fn known(&self) -> Known {
        let late = self.segments.iter().filter(|segment| segment.late).map(|segment| Late {
            name: segment.name.clone(),
            from: segment.places.front().map_or(segment.from, |place| place.position - place.lost),
            end: segment.exact.then_some(segment.end),
            since: segment.failing.map(|f| u64::try_from(f.since.as_millis()).unwrap_or(HIGHEST)),
            given_up: false,
        });
        let last = self.segments.iter().rev().find(|segment| !segment.late);
        let end = last.is_none_or(|last| last.exact).then_some(self.end);
        let late = late.chain(self.aside.iter().cloned()).collect();
        Known { first: self.first, end, late, in_memory_from: None }
    }

    /// The position after the last one in order.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The position after the last entry that it is known to have.
    pub(super) fn known_end(&self) -> u64 {
        match self.segments.iter().rev().find(|segment| !segment.late) {
            Some(last) if last.exact => last.end,
            Some(last) => last.from,
            None => self.first,
        }
    }

    /// The last good entry in order.
    pub(super) fn newest(&self) -> Option<Entry> {
        let in_order = self.segments.iter().rev().filter(|segment| !segment.late);
        let (segment, place) =
            in_order.filter_map(|segment| Some((segment, segment.places.back()?))).next()?;
        let record = self.storage.read_at(&segment.name, place.offset, place.length).ok()?;
        record::decode(&record, place.position)
    }

    /// How many entries wait.
    pub(super) fn len(&self) -> u64 {
        self.segments.iter().map(Segment::waiting).sum()
    }

    /// How many of them wait in files that cannot be read at present.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable_segments().map(Segment::waiting).sum()
    }

    fn unreadable_segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.is_unreadable())
    }

    /// The names of these files.
    pub(super) fn unreadable_names(&self) -> impl Iterator<Item = &str> {
        self.unreadable_segments().map(|segment| segment.name.as_str())
    }

    /// Whether an entry waits in a file that was not passed over as unreadable.
    pub(super) fn can_deliver(&self) -> bool {
        self.segments
            .iter()
            .any(|segment| segment.waiting() > 0 && !(segment.late && segment.is_unreadable()))
    }

    /// Damaged entries that have yet to be passed.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Entries that count as dropped, and would be found damaged again without the state.
    pub(super) fn passed(&self) -> u64 {
        self.segments.iter().map(|segment| segment.passed).sum()
    }

    /// Entries given up since this was asked last.
    pub(super) fn take_given_up(&mut self) -> u64 {
        std::mem::take(&mut self.given_up)
    }

    /// Whether anything is to be noted that was not.
    pub(super) fn has_changed(&self) -> bool {
        self.given_up > 0 || !self.news.is_empty()
    }

    /// What happened since this was asked last.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Size on the disk in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds an entry; its position must not be lower than [`Log::end`].
    pub(super) fn append(&mut self, position: u64, dropped: u64, entry: &Entry) -> io::Result<()> {
        let record = encode(position, dropped, entry);
        let after = match self.segments.back() {
            Some(last) if !last.exact => After::Unknown,
            Some(_) if position != self.end => After::Jump(self.end),
            _ => After::Gapless,
        };
        if self.segments.iter().all(|segment| segment.late) {
            self.first = position;
        }
        let is_open = |segment: &Segment| {
            !segment.name.is_empty()
                && !segment.late
                && !segment.is_unreadable()
                && segment.bytes + record.len() as u64 <= SEGMENT
        };
        if after != After::Gapless || !self.segments.back().is_some_and(is_open) {
            self.sync()?;
            let name = segment::in_order(position, self.attempt, after);
            self.segments.push_back(Segment::new(name, position, position));
        }
        let Some(segment) = self.segments.back_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = self.storage.append(&segment.name, &record) {
            // Some of it may be there, so where the next one would lie is not known: it goes into another file.
            segment.bytes = SEGMENT;
            self.retract(position);
            return Err(error);
        }
        let lost = std::mem::take(&mut segment.lost_after);
        segment.places.push_back(Place { position, offset: segment.bytes, length: record.len(), lost });
        segment.bytes += record.len() as u64;
        segment.end = position + 1;
        self.end = position + 1;
        Ok(())
    }

    /// Takes back the entries from `position` on, which are not safe on the disk; they may be appended again.
    pub(super) fn retract(&mut self, position: u64) {
        while let Some(segment) =
            self.segments.back_mut().filter(|s| !s.late && !s.unread && !s.name.is_empty())
        {
            while let Some(place) = segment.pop_from(position) {
                segment.end = place.position;
                segment.lost_after = place.lost;
            }
            if !segment.places.is_empty() || segment.from < position {
                // Added to no more, so that whatever is wrong with it stays apart.
                segment.bytes = segment.bytes.max(SEGMENT);
                break;
            }
            let Some(segment) = self.segments.pop_back() else { break };
            self.lost -= segment.lost();
            self.given_up += segment.lost();
            // If that fails too, what is there comes again one day, with the same bytes.
            let _ = self.storage.remove(&segment.name);
        }
        self.end = match self.segments.iter().rev().find(|segment| !segment.late) {
            Some(last) => last.end,
            None => self.first.min(position),
        };
        self.attempt = self.attempt.saturating_add(1);
    }

    /// Returns when every entry would survive a power loss.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self.segments.back() {
            Some(segment) if !segment.is_unreadable() && !segment.places.is_empty() => {
                self.storage.sync(&segment.name)
            }
            _ => Ok(()),
        }
    }

    /// Forgets a file that has nothing more.
    pub(super) fn resolve(&mut self, index: usize) {
        let Some(segment) = self.segments.remove(index) else { return };
        self.lost -= segment.lost();
        self.given_up += segment.lost();
        if !segment.late && self.segments.iter().take(index).all(|before| before.late) {
            self.first = self.first.max(segment.end);
        }
        if !segment.name.is_empty() {
            self.obsolete.push(segment.name);
        }
    }

    /// Forgets the first entry of a file, if that is the one at `position`.
    pub(super) fn remove(&mut self, position: u64) -> bool {
        let is_front = |segment: &Segment| segment.places.front().is_some_and(|p| p.position == position);
        let Some(index) = self.segments.iter().position(is_front) else { return false };
        let segment = &mut self.segments[index];
        let Some(place) = segment.places.pop_front() else { return false };
        self.lost -= place.lost;
        self.given_up += place.lost;
        segment.passed += place.lost;
        segment.from = position + 1;
        if !segment.late {
            self.first = position + 1;
        }
        if segment.places.is_empty() {
            self.resolve(index);
        }
        true
    }

    /// Gives up the oldest entry, or the oldest file where that cannot be read; false where there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        while self.segments.front().is_some_and(|front| front.waiting() == 0) {
            self.resolve(0);
        }
        let Some(segment) = self.segments.front() else { return false };
        match segment.places.front().map(|place| place.position) {
            Some(position) => {
                self.given_up += 1;
                self.remove(position)
            }
            None => {
                if !segment.late {
                    self.pass_over(0);
                }
                self.set_aside(0);
                true
            }
        }
    }

    /// Forgets the entries before `position`.
    pub(super) fn forget_before(&mut self, position: u64) {
        while let Some(first) = self.segments.front().and_then(|segment| segment.places.front())
            && first.position < position
        {
            let first = first.position;
            self.remove(first);
        }
    }

    /// Removes the files that hold nothing that is needed, the oldest first: so nothing is missing between two that a power loss
    /// brings back. What cannot be removed now is tried again. None in order is removed while a file that was passed over has not
    /// the name that says so: without the state, what was delivered behind it would look lost.
    pub(super) fn sweep(&mut self) -> io::Result<()> {
        let all_named = self.segments.iter().all(|segment| !segment.late || segment.name.starts_with(LATE));
        self.obsolete.sort_by_cached_key(|name| segment::parse(name).map(|(from, _)| from));
        let mut failed = Ok(());
        let storage = &mut self.storage;
        self.obsolete.retain(|name| {
            if !all_named && !name.starts_with(LATE) {
                return true;
            }
            match storage.remove(name) {
                Ok(()) => false,
                Err(error) => {
                    failed = Err(error);
                    true
                }
            }
        });
        failed
    }

    /// Every entry from the oldest on.
    pub(super) fn entries(&self) -> impl Iterator<Item = io::Result<(u64, Entry)>> {
        self.segments.iter().flat_map(move |segment| {
            segment.places.iter().filter_map(move |place| {
                let record = self.storage.read_at(&segment.name, place.offset, place.length);
                match record {
                    Ok(record) => {
                        record::decode(&record, place.position).map(|entry| Ok((place.position, entry)))
                    }
                    Err(error) => Some(Err(error)),
                }
            })
        })
    }

    pub(super) fn into_storage(self) -> Box<dyn Storage> {
        self.storage
    }

    /// The folder that the log lies in, for the files beside it.
    pub(super) fn storage(&mut self) -> &mut dyn Storage {
        self.storage.as_mut()
    }
}

/// A folder that cannot be listed, and why.
pub(super) type Refused = (Box<dyn Storage>, io::Error);
