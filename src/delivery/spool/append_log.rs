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
//! What a crash leaves behind. Of the process: everything appended. Of the machine: everything up to the last
//! `sync`, and after it anything: a torn record, zeroes, nothing. A reader looks for the next marker with a right
//! checksum (the marker begins with FF, which is in no UTF-8), so it skips what is torn or damaged and finds what comes
//! after, also where a file was appended to after a torn record. A gap in the positions counts what was skipped, unless the
//! file behind it says `after` which position it comes (or `jump`, where that was not known). A removed file may be there again, and its entries, which the broker has, are published once
//! more. But it is not there beside a file begun later: the folder is synced with the name of each new file. Else the entries
//! between the two, which were never written, would count as skipped.
//!
//! Damage is what was read and does not check. What cannot be read is not damaged: it is tried again every second, and the
//! order is held for it for [`Patience::hold_order`]. Then the file is passed over and tried every [`Patience::try_late`];
//! its records come late, with their own keys. After [`Patience::give_up`] it is set aside, and its records count as dropped.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::record::{self, Entry, HEADER, HIGHEST, LONGEST, encode, scan};
use super::segment::{self, ASIDE, After, Failing, Kind, LATE, Late, Place, RESERVE, Segment};
use super::storage::{Storage, is_foreign};
use crate::clock::BootTime;

/// A file is not added to beyond this size. After a power loss up to one file of entries that the broker has
/// already acknowledged comes again.
const SEGMENT: u64 = 64 * 1024;

/// No file of ours is longer: the last record may begin within [`SEGMENT`], and one that failed may have left a part.
pub(super) const LONGEST_FILE: usize = 2 * (64 * 1024 + HEADER + LONGEST);

/// No folder of ours has more files, whatever failed: 64 MiB of the smallest ones a file system makes.
pub(super) const MOST_FILES: usize = 16_384;

/// The longest jump of positions between two files: some 8,000 years of minutes.
const LONGEST_JUMP: u64 = 1 << 32;

/// While the order is held, a file that cannot be read is tried this often.
const TRY_HELD: Duration = Duration::from_secs(1);

/// Between two attempts at files that were passed over: a dying disk takes its time for each.
const LATE_PAUSE: Duration = Duration::from_secs(5);

/// How patient the spool is with a file that cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Nothing that is younger is delivered for so long.
    pub hold_order: Duration,
    /// After that it is tried this often.
    pub try_late: Duration,
    /// After this its records count as dropped.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hold_order: Duration::from_secs(60),
            try_late: Duration::from_secs(300),
            give_up: Duration::from_secs(86_400),
        }
    }
}

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
    storage: Box<dyn Storage>,
    /// By position; those that were passed over stay where they were.
    segments: VecDeque<Segment>,
    /// The frontier: every entry in order before this is acknowledged or dropped.
    first: u64,
    /// The position after the last one in order.
    end: u64,
    /// Part of the names of new files, so that what a failed write left behind is never added to.
    attempt: u32,
    /// Damaged entries that have yet to be passed.
    lost: u64,
    /// Entries given up since [`Log::take_given_up`].
    given_up: u64,
    /// Files that are counted as dropped and could not be given another name.
    aside: Vec<Late>,
    /// Files that are not needed any more.
    obsolete: Vec<String>,
    /// Whether a power loss might take what was found when it was opened.
    unsynced: bool,
    news: Vec<News>,
    /// Before this no file that was passed over is tried.
    late_again: BootTime,
}

impl Log {
    /// Reads what an earlier process left, and returns the count of dropped entries in its newest record. A file that
    /// cannot be read now is tried again by [`Log::oldest`].
    pub(super) fn open(storage: Box<dyn Storage>, known: Option<Known>) -> Result<(Self, u64), Refused> {
        let mut files = match storage.list() {
            Ok(names) => names
                .into_iter()
                .filter_map(|name| segment::parse(&name).map(|(from, kind)| (from, kind, name)))
                .collect::<Vec<_>>(),
            Err(error) => return Err((storage, error)),
        };
        if files.len() > MOST_FILES {
            let told = "holds more files than the spool ever makes; move away what is not the spool's";
            return Err((storage, io::Error::other(told)));
        }
        let attempts = files.iter().filter_map(|(_, kind, _)| match kind {
            Kind::InOrder { attempt, .. } => Some(attempt.saturating_add(1)),
            _ => None,
        });
        let mut log = Self {
            storage,
            segments: VecDeque::new(),
            first: known.as_ref().map_or(0, |known| known.first),
            end: 0,
            attempt: attempts.max().unwrap_or(0),
            lost: 0,
            given_up: 0,
            aside: Vec::new(),
            obsolete: Vec::new(),
            unsynced: false,
            news: Vec::new(),
            late_again: BootTime::ZERO,
        };
        let marks = known.as_ref().map(|known| (known.first, known.end));
        let mut late = known.map(|known| known.late).unwrap_or_default();
        files.retain(|(_, _, name)| {
            let aside = late.iter().position(|late| late.name == *name && late.given_up);
            log.aside.extend(aside.map(|at| late.remove(at)));
            aside.is_none()
        });
        late.retain(|late| !late.given_up);
        // Of two attempts at one position the earlier one first.
        files.sort_unstable_by_key(|(from, kind, _)| match kind {
            Kind::InOrder { attempt, .. } => (*from, 1, *attempt),
            _ => (*from, 0, 0),
        });
        let is_late = |kind: &Kind, name: &str| {
            matches!(kind, Kind::Late { .. }) || late.iter().any(|late| late.is(name, *kind))
        };
        let is_apart = |kind: &Kind, name: &str| is_late(kind, name) || matches!(kind, Kind::Aside { .. });
        let mut expected = marks.map(|(first, _)| first);
        let (mut dropped, mut behind_late) = (0, 0);
        for (index, (from, kind, name)) in files.iter().enumerate() {
            let follower = files[index + 1..].iter().find(|(_, kind, name)| !is_apart(kind, name));
            if let Kind::Aside { end } = kind {
                let covered = end.unwrap_or_else(|| follower.map_or(u64::MAX, |f| f.0).min(from + RESERVE));
                if expected.is_some_and(|expected| (*from..covered).contains(&expected)) {
                    expected = Some(covered);
                }
                behind_late = behind_late.max(covered);
                continue;
            }
            if is_late(kind, name) {
                let entry = late.iter().find(|late| late.is(name, *kind));
                let named = if let Kind::Late { end } = kind { *end } else { None };
                let end = named.or(entry.and_then(|late| late.end));
                let named_from = *from;
                let from = entry.map_or(named_from, |late| late.from.max(named_from));
                let mut segment = Segment::new(name.clone(), from, end.unwrap_or(from + RESERVE).max(from));
                (segment.late, segment.exact) = (true, end.is_some());
                let covered =
                    end.unwrap_or_else(|| follower.map_or(u64::MAX, |f| f.0).min(named_from + RESERVE));
                // Passed over, and the process died before it had noted so; or what is in order begins behind it.
                if expected.is_some_and(|expected| (from..covered).contains(&expected)) {
                    expected = Some(covered);
                }
                behind_late = behind_late.max(covered);
                if let Some(since) = entry.and_then(|late| late.since) {
                    let since = Duration::from_millis(since);
                    segment.failing = Some(Failing { since, again: BootTime::ZERO });
                }
                log.read_at_open(segment, &mut dropped);
                continue;
            }
            let after = if let Kind::InOrder { after, .. } = kind { *after } else { After::Gapless };
            // The process died after it had begun this file, and before it had noted so: what lies between was delivered from
            // memory.
            let after = match marks {
                Some((_, Some(end))) if after == After::Gapless && *from >= end => After::Jump(end),
                _ => after,
            };
            if let (After::Jump(end), Some(before)) = (after, expected)
                && end > before
            {
                log.end = before;
                log.lose_at_end(end - before);
                expected = Some(end);
            }
            let at = match expected {
                Some(expected) if after == After::Gapless => expected,
                Some(expected) => expected.max(*from),
                None => *from,
            };
            if from.saturating_sub(at) > LONGEST_JUMP {
                log::warn!("{name}: cannot be a file of this spool; it is left alone");
                continue;
            }
            // A file that was passed over tells as well where this one ends.
            let follower = match (follower, files.get(index + 1)) {
                (_, Some(next)) if next.0 > *from => Some(next),
                (follower, _) => follower,
            };
            log.open_in_order(
                name,
                at,
                *from,
                follower,
                marks.and_then(|(_, end)| end),
                &mut expected,
                &mut dropped,
            );
        }
        log.end = expected.unwrap_or(0).max(behind_late);
        if let Some((_, Some(end))) = marks
            && end > log.end
        {
            // Stored, and missing behind everything that is there.
            log.lose_at_end(end - log.end);
        }
        // What was passed over and is not there any more.
        for gone in late.iter().filter(|late| files.iter().all(|(_, kind, name)| !late.is(name, *kind))) {
            log.given_up += gone.end.map_or(1, |end| end.saturating_sub(gone.from));
        }
        log.settle_first();
        Ok((log, dropped))
    }

    #[allow(clippy::too_many_arguments, reason = "one step of `open`, which has all of this at hand")]
    fn open_in_order(
        &mut self,
        name: &str,
        at: u64,
        from: u64,
        follower: Option<&(u64, Kind, String)>,
        stored: Option<u64>,
        expected: &mut Option<u64>,
        dropped: &mut u64,
    ) {
        let bytes = match self.storage.read(name, LONGEST_FILE) {
            Ok(bytes) => bytes,
            Err(error) if is_foreign(&error) => {
                log::warn!("{name}: cannot be a file of this spool ({error}); it is left alone");
                return;
            }
            Err(error) => {
                let begins = at.max(from);
                let (end, exact) = match follower {
                    Some((next, Kind::InOrder { after: After::Unknown, .. }, _)) => (*next, false),
                    Some((_, Kind::InOrder { after: After::Jump(end), .. }, _)) => (*end, true),
                    Some((next, ..)) => (*next, true),
                    None => match stored.filter(|end| *end >= begins) {
                        Some(end) => (end, true),
                        None => (begins + RESERVE, false),
                    },
                };
                // Nothing of it is needed; or all of it is in the next one, to which a failed write led.
                if end <= begins {
                    return;
                }
                let mut segment = Segment::new(name.to_owned(), begins, end);
                (segment.exact, segment.unread, segment.bytes) = (exact, true, SEGMENT);
                segment.lost_before = begins - at;
                self.lost += segment.lost_before;
                *expected = Some(end);
                self.tell_unreadable(&mut segment, &error);
                self.segments.push_back(segment);
                return;
            }
        };
        let mut found = scan(&bytes);
        let behind = match follower {
            // What follows here was delivered from memory, or is in a later file.
            Some((_, Kind::InOrder { after: After::Jump(end), .. }, _)) => *end,
            _ => from + RESERVE,
        };
        found.records.retain(|record| (from..behind).contains(&record.position));
        let mut segment = Segment::new(name.to_owned(), at, at);
        let passed_well = found.records.iter().filter(|record| record.position < at).count() as u64;
        segment.passed = at.saturating_sub(from).saturating_sub(passed_well);
        segment.exact = false;
        segment.take(&found);
        segment.exact = true;
        *dropped = found.records.last().map_or(*dropped, |record| record.dropped);
        segment.end = segment.places.back().map_or(at, |place| place.position + 1);
        // Nothing follows that could show the gap.
        if follower.is_none() && stored.is_none() && found.damaged_at_end {
            (segment.lost_after, segment.end) = (1, segment.end + 1);
        }
        *expected = Some(segment.end);
        if segment.places.is_empty() {
            self.given_up += segment.lost_after;
            self.obsolete.push(name.to_owned());
            return;
        }
        // The process that wrote it may have died before it did this. A disk that is full can be read all the same.
        if let Err(error) = self.storage.sync(name) {
            log::warn!("records on the disk may not survive a power loss: {error}");
            self.unsynced = true;
        }
        // Two torn records one after the other would look like a damaged one.
        let size = bytes.len() as u64;
        segment.bytes = if found.ends_well { size } else { size.max(SEGMENT) };
        self.lost += segment.lost();
        self.segments.push_back(segment);
    }

    /// Takes in a file that was passed over.
    fn read_at_open(&mut self, mut segment: Segment, dropped: &mut u64) {
        segment.unread = true;
        match self.storage.read(&segment.name, LONGEST_FILE) {
            Ok(bytes) => {
                let found = scan(&bytes);
                segment.take(&found);
                segment.failing = None;
                *dropped = found.records.last().map_or(*dropped, |record| record.dropped.max(*dropped));
                if segment.places.is_empty() {
                    self.given_up += segment.lost_after;
                    self.obsolete.push(segment.name);
                    return;
                }
                self.lost += segment.lost();
            }
            Err(error) => self.tell_unreadable(&mut segment, &error),
        }
        segment.bytes = SEGMENT;
        self.segments.push_back(segment);
    }

    fn tell_unreadable(&mut self, segment: &mut Segment, error: &io::Error) {
        if !segment.told {
            segment.told = true;
            self.news.push(News::Unreadable(segment.name.clone(), error.to_string()));
        }
    }

    /// Counts entries behind the last one as lost.
    fn lose_at_end(&mut self, count: u64) {
        self.lost += count;
        match self.segments.iter_mut().rev().find(|segment| !segment.late) {
            Some(last) if !last.unread => {
                last.lost_after += count;
                last.end += count;
            }
            // They were in a file of their own, of which nothing is left.
            _ => {
                let mut gone = Segment::new(String::new(), self.end, self.end + count);
                gone.lost_after = count;
                self.segments.push_back(gone);
            }
        }
        self.end += count;
    }

    /// Forgets what a failed write left behind `end`, where a power loss might take it, or where some of it was delivered from
    /// memory, while the disk was away: what was delivered goes up to `first`. Memory has the rest.
    pub(super) fn discard(&mut self, end: u64, first: u64) {
        let doubtful = if self.unsynced { u64::MAX } else { first };
        let mut places = self.segments.iter().flat_map(|segment| &segment.places);
        if !places.any(|place| (end..doubtful).contains(&place.position)) {
            return;
        }
        let mut index = 0;
        while let Some(segment) = self.segments.get_mut(index) {
            let before = segment.places.len();
            while segment.places.back().is_some_and(|place| place.position >= end) {
                let Some(place) = segment.places.pop_back() else { break };
                // What is damaged before `end` stays lost.
                let lost = end.saturating_sub(place.position - place.lost);
                self.lost -= place.lost - lost;
                segment.lost_after += lost;
            }
            if segment.places.len() < before {
                // So that the state never says that they were stored, and a later run finds them here again.
                (segment.end, segment.bytes) = (segment.end.min(end), segment.bytes.max(SEGMENT));
                self.end = self.end.min(end);
            }
            if segment.places.len() < before && segment.places.is_empty() {
                self.resolve(index);
            } else {
                index += 1;
            }
        }
        self.settle_first();
    }

    /// Moves the frontier to the first file in order.
    fn settle_first(&mut self) {
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
        Known { first: self.first, end, late: late.chain(self.aside.iter().cloned()).collect() }
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
        let segment = self.segments.iter().rev().find(|segment| !segment.late)?;
        let place = segment.places.back()?;
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
            while segment.places.back().is_some_and(|place| place.position >= position) {
                let Some(place) = segment.places.pop_back() else { break };
                segment.end = place.position;
                segment.lost_after = place.lost;
            }
            if !segment.places.is_empty() {
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

    /// Reads the oldest entry again, and checks it again. `held` says that the order is kept for what cannot be read.
    pub(super) fn oldest(&mut self, now: BootTime, patience: &Patience, held: bool) -> Oldest {
        let mut index = 0;
        while let Some(segment) = self.segments.get(index) {
            let resting = segment.failing.is_some_and(|failing| now < failing.again)
                || (segment.late && segment.failing.is_some() && now < self.late_again);
            if !resting {
                match self.read_front(index) {
                    Ok(Some((position, entry))) => {
                        self.is_readable(index);
                        return Oldest::Entry(position, entry);
                    }
                    Ok(None) => {
                        self.is_readable(index);
                        self.resolve(index);
                        continue;
                    }
                    Err(error) => {
                        self.is_failing(index, &error, now, patience);
                        if self.give_up_if_due(index, now, patience) {
                            continue;
                        }
                    }
                }
            }
            if held && !self.segments[index].late {
                return Oldest::Held;
            }
            index += 1;
        }
        Oldest::None
    }

    /// The first good entry of a file; none where it has none any more.
    fn read_front(&mut self, index: usize) -> io::Result<Option<(u64, Entry)>> {
        let segment = &mut self.segments[index];
        if segment.unread {
            let bytes = self.storage.read(&segment.name, LONGEST_FILE)?;
            let before = segment.lost();
            segment.take(&scan(&bytes));
            self.lost = self.lost - before + segment.lost();
        }
        while let Some(place) = segment.places.front() {
            let entry = match self.storage.read_at(&segment.name, place.offset, place.length) {
                Ok(record) => record::decode(&record, place.position),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                Err(error) => return Err(error),
            };
            if let Some(entry) = entry {
                return Ok(Some((place.position, entry)));
            }
            self.news.push(News::Damaged(segment.name.clone()));
            let (position, lost) = (place.position, place.lost);
            segment.places.pop_front();
            self.lost -= lost;
            self.given_up += lost + 1;
            segment.passed += lost + 1;
            segment.from = position + 1;
            if !segment.late {
                self.first = position + 1;
            }
        }
        Ok(None)
    }

    fn is_readable(&mut self, index: usize) {
        let segment = &mut self.segments[index];
        segment.failing = None;
        if std::mem::take(&mut segment.told) {
            self.news.push(News::Readable(segment.name.clone()));
        }
    }

    fn is_failing(&mut self, index: usize, error: &io::Error, now: BootTime, patience: &Patience) {
        let segment = &mut self.segments[index];
        let is_new = segment.failing.is_none();
        let since = segment.failing.map_or(now, |failing| failing.since.min(now));
        let told = std::mem::replace(&mut segment.told, true);
        if !told {
            self.news.push(News::Unreadable(segment.name.clone(), error.to_string()));
        }
        let segment = &mut self.segments[index];
        segment.failing = Some(Failing { since, again: now + TRY_HELD });
        if !segment.late && now - since >= patience.hold_order {
            self.pass_over(index);
        }
        let segment = &mut self.segments[index];
        if segment.late {
            segment.failing = Some(Failing { since, again: now + patience.try_late });
            self.late_again = now + LATE_PAUSE.min(patience.try_late);
            // What was in the way of its new name may be over.
            self.name_late(index);
        } else if is_new {
            self.probe_after(index, now);
        }
    }

    /// Looks whether the files behind cannot be read either, so that the order is held once for all of them.
    fn probe_after(&mut self, index: usize, now: BootTime) {
        for segment in self.segments.iter_mut().skip(index + 1).filter(|segment| segment.failing.is_none()) {
            let probed = match segment.places.front() {
                None if !segment.unread => continue,
                Some(place) => self.storage.read_at(&segment.name, place.offset, place.length).map(drop),
                None => self.storage.read(&segment.name, LONGEST_FILE).map(drop),
            };
            if probed.is_ok() {
                break;
            }
            segment.failing = Some(Failing { since: now, again: now });
        }
    }

    fn pass_over(&mut self, index: usize) {
        let segment = &mut self.segments[index];
        segment.late = true;
        // The frontier goes past what is damaged before it.
        let front = segment.places.front_mut().map_or(&mut segment.lost_before, |place| &mut place.lost);
        let lost = std::mem::take(front);
        self.lost -= lost;
        self.given_up += lost;
        segment.passed += lost;
        self.news.push(News::PassedOver(segment.name.clone()));
        let end = segment.end;
        self.first = self.first.max(end);
        self.settle_first();
    }

    /// Gives a file that was passed over the name that says so, as far as the disk takes it.
    fn name_late(&mut self, index: usize) {
        let segment = &mut self.segments[index];
        let name = segment::apart(LATE, segment);
        let is_named = segment.name.starts_with(LATE);
        if !is_named && self.storage.rename(&segment.name, &name).is_ok() {
            self.news.push(News::Renamed(std::mem::replace(&mut segment.name, name.clone()), name));
        }
    }

    fn give_up_if_due(&mut self, index: usize, now: BootTime, patience: &Patience) -> bool {
        let segment = &self.segments[index];
        let failed_for = segment.failing.map_or(Duration::ZERO, |failing| now.saturating_sub(failing.since));
        let due = segment.late && failed_for >= patience.give_up;
        if due {
            self.set_aside(index);
        }
        due
    }

    /// Counts a file as dropped, and leaves it to whoever can read it.
    fn set_aside(&mut self, index: usize) {
        let Some(segment) = self.segments.remove(index) else { return };
        self.lost -= segment.lost();
        self.given_up += segment.waiting() + segment.lost();
        let end = segment.exact.then_some(segment.end);
        let name = segment::apart(ASIDE, &segment);
        if self.storage.rename(&segment.name, &name).is_ok() {
            self.news.push(News::GivenUp(name));
        } else {
            self.news.push(News::GivenUp(segment.name.clone()));
            let Segment { name, from, .. } = segment;
            self.aside.push(Late { name, from, end, since: None, given_up: true });
        }
        self.settle_first();
    }

    /// Forgets a file that has nothing more.
    fn resolve(&mut self, index: usize) {
        let Some(segment) = self.segments.remove(index) else { return };
        self.lost -= segment.lost();
        self.given_up += segment.lost();
        if !segment.late {
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

    /// Removes the files that hold nothing that is needed; what cannot be removed now is tried again.
    ///
    /// None in order is while a file that was passed over has not the name that says so: without the state, what was delivered
    /// behind it would look lost.
    pub(super) fn sweep(&mut self) -> io::Result<()> {
        let all_named = self.segments.iter().all(|segment| !segment.late || segment.name.starts_with(LATE));
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
