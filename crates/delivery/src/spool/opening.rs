//! How a log is opened: which positions each file is there for, and what is missing.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::append_log::{Known, LONGEST_FILE, Log, MOST_FILES, Refused, SEGMENT};
use super::record::scan;
use super::segment::{self, After, Failing, Kind, Late, Place, RESERVE, Segment};
use super::storage::Storage;
use super::storage::is_foreign;
use lectern_record::clock::BootTime;

/// The longest jump of positions between two files: some 8,000 years of minutes.
const LONGEST_JUMP: u64 = 1 << 32;

/// A file of ours: the position that its name begins with, what else that says, and the name.
type File = (u64, Kind, String);

/// A log while its files are gone through, by their positions.
struct Opening {
    log: Log,
    files: Vec<File>,
    late: Vec<Late>,
    /// Up to where the state says that everything is acknowledged, dropped or in a file that was passed over.
    settled: Option<u64>,
    /// Up to where the state says that everything was stored.
    stored: Option<u64>,
    /// From where on memory has everything.
    in_memory_from: u64,
    /// The position that comes next in order, once that is known.
    expected: Option<u64>,
    /// Behind everything that was passed over or given up.
    behind_apart: u64,
    /// The count of dropped entries in the newest record.
    dropped: u64,
}

impl Log {
    /// Reads what an earlier process left, and returns the count of dropped entries in its newest record. A file that
    /// cannot be read now is tried again by [`Log::oldest`].
    pub(super) fn open(storage: Box<dyn Storage>, known: Option<Known>) -> Result<(Self, u64), Refused> {
        let mut files: Vec<File> = match storage.list() {
            Ok(names) => names
                .into_iter()
                .filter_map(|name| segment::parse(&name).map(|(from, kind)| (from, kind, name)))
                .collect(),
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
        let attempt = attempts.max().unwrap_or(0);
        let first = known.as_ref().map(|known| known.first);
        let stored = known.as_ref().and_then(|known| known.end);
        let in_memory_from = known.as_ref().and_then(|known| known.in_memory_from).unwrap_or(u64::MAX);
        let (aside, late): (Vec<_>, _) =
            known.map(|known| known.late).unwrap_or_default().into_iter().partition(|late| late.given_up);
        files.retain(|(_, _, name)| aside.iter().all(|aside| aside.name != *name));
        // Of two attempts at one position the earlier one first.
        files.sort_unstable_by_key(|(from, kind, _)| match kind {
            Kind::InOrder { attempt, .. } => (*from, 1, *attempt),
            _ => (*from, 0, 0),
        });
        let log = Self {
            storage,
            segments: VecDeque::new(),
            first: first.unwrap_or(0),
            end: 0,
            attempt,
            lost: 0,
            given_up: 0,
            aside,
            obsolete: Vec::new(),
            unsynced: false,
            news: Vec::new(),
            late_again: BootTime::ZERO,
        };
        let opening = Opening {
            log,
            files,
            late,
            settled: first,
            stored,
            in_memory_from,
            expected: first,
            behind_apart: 0,
            dropped: 0,
        };
        Ok(opening.go_through())
    }

    /// Counts entries behind the last one as lost.
    fn lose_at_end(&mut self, count: u64) {
        self.lost += count;
        match self.segments.iter_mut().rev().find(|segment| !segment.late) {
            // Only where it reaches up to them: its end says what was stored, once a failed write is taken back.
            Some(last) if !last.unread && last.end == self.end => {
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

    /// Forgets what a failed write left behind `end`, where a power loss might take it, where some of it is damaged, or where some
    /// of it was delivered from memory, while the disk was away: what was delivered goes up to `first`. Memory has the rest.
    pub(super) fn discard(&mut self, end: u64, first: u64) {
        let doubtful = if self.unsynced { u64::MAX } else { first };
        let mut places = self.segments.iter().flat_map(|segment| &segment.places);
        let is_doubtful = |place: &Place| {
            place.position >= end && (place.position < doubtful || place.lost.min(place.position - end) > 0)
        };
        if !places.any(is_doubtful) {
            return;
        }
        let mut index = 0;
        while let Some(segment) = self.segments.get_mut(index) {
            let before = segment.places.len();
            while let Some(place) = segment.pop_from(end) {
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
        // Where the first one came behind those that were delivered from memory.
        self.end = self.end.max(self.first);
    }
}

impl Opening {
    fn go_through(mut self) -> (Log, u64) {
        for index in 0..self.files.len() {
            let (from, kind, name) = self.files[index].clone();
            match kind {
                Kind::Aside { end } => self.cover(index, from, end),
                _ if self.is_late(kind, &name) => self.take_late(index, from, kind, name),
                Kind::InOrder { after, .. } => self.take_in_order(index, from, after, name),
                Kind::Late { .. } => {}
            }
        }
        let Self { mut log, files, late, stored, expected, behind_apart, dropped, .. } = self;
        log.end = expected.unwrap_or(0).max(behind_apart);
        if let Some(missing) = stored.and_then(|end| end.checked_sub(log.end)).filter(|missing| *missing > 0)
        {
            // Stored, and missing behind everything that is there.
            log.lose_at_end(missing);
        }
        // What was passed over and is not there any more.
        for gone in late.iter().filter(|late| files.iter().all(|(_, kind, name)| !late.is(name, *kind))) {
            log.given_up += gone.end.map_or(1, |end| end.saturating_sub(gone.from));
        }
        log.settle_first();
        (log, dropped)
    }

    fn is_late(&self, kind: Kind, name: &str) -> bool {
        matches!(kind, Kind::Late { .. }) || self.late.iter().any(|late| late.is(name, kind))
    }

    /// The next file in order.
    fn follower(&self, index: usize) -> Option<&File> {
        self.files[index + 1..]
            .iter()
            .find(|(_, kind, name)| !self.is_late(*kind, name) && !matches!(kind, Kind::Aside { .. }))
    }

    /// What was passed over or given up is not missing in order.
    fn cover(&mut self, index: usize, from: u64, end: Option<u64>) {
        let bound = || self.follower(index).map_or(u64::MAX, |(next, ..)| *next).min(from + RESERVE);
        let end = end.unwrap_or_else(bound);
        // Passed over, and the process died before it had noted so; or what is in order begins behind it.
        if self.expected.is_some_and(|expected| (from..end).contains(&expected)) {
            self.expected = Some(end);
        }
        self.behind_apart = self.behind_apart.max(end);
    }

    /// Takes a file that was passed over.
    fn take_late(&mut self, index: usize, from: u64, kind: Kind, name: String) {
        let entry = self.late.iter().find(|late| late.is(&name, kind)).cloned();
        let named = if let Kind::Late { end } = kind { end } else { None };
        let end = named.or(entry.as_ref().and_then(|late| late.end));
        self.cover(index, from, end);
        if entry.is_none() && end.zip(self.settled).is_some_and(|(end, settled)| end <= settled) {
            // The process died after it had noted that nothing of it waits, and before it had removed it.
            self.log.obsolete.push(name);
            return;
        }
        let from = entry.as_ref().map_or(from, |late| late.from.max(from));
        let mut segment = Segment::new(name, from, end.unwrap_or(from + RESERVE).max(from));
        (segment.late, segment.exact) = (true, end.is_some());
        (segment.unread, segment.bytes) = (true, SEGMENT);
        match self.log.storage.read(&segment.name, LONGEST_FILE) {
            Ok(bytes) => {
                let found = scan(&bytes);
                segment.take(&found);
                self.dropped =
                    found.records.last().map_or(self.dropped, |last| last.dropped.max(self.dropped));
                if segment.places.is_empty() {
                    self.log.given_up += segment.lost_after;
                    self.log.obsolete.push(segment.name);
                    return;
                }
                self.log.lost += segment.lost();
            }
            Err(error) => {
                let since = entry.and_then(|late| late.since).map(Duration::from_millis);
                segment.failing = since.map(|since| Failing { since, again: BootTime::ZERO });
                self.log.tell_unreadable(&mut segment, &error);
            }
        }
        self.log.segments.push_back(segment);
    }

    fn take_in_order(&mut self, index: usize, from: u64, after: After, name: String) {
        let after = match self.stored {
            // The process died after it had begun this file, and before it had noted so: what lies between was delivered from
            // memory.
            Some(end) if after == After::Gapless && from >= end => After::Jump(end),
            _ => after,
        };
        if let (After::Jump(end), Some(before)) = (after, self.expected)
            && end > before
        {
            self.log.end = before;
            self.log.lose_at_end(end - before);
            self.expected = Some(end);
        }
        let at = match self.expected {
            Some(expected) if after == After::Gapless => expected,
            Some(expected) => expected.max(from),
            None => from,
        };
        if from.saturating_sub(at) > LONGEST_JUMP {
            log::warn!("{name}: cannot be a file of this spool; it is left alone");
            return;
        }
        match self.log.storage.read(&name, LONGEST_FILE) {
            Ok(bytes) => self.take_read(index, at, name, &bytes),
            Err(error) if is_foreign(&error) => {
                log::warn!("{name}: cannot be a file of this spool ({error}); it is left alone");
            }
            Err(error) => self.take_unread(index, at.max(from), at, name, &error),
        }
    }

    /// The file that tells where this one ends: also one that was passed over does.
    fn next(&self, index: usize) -> Option<&File> {
        let next = self.files.get(index + 1).filter(|(next, ..)| *next > self.files[index].0);
        next.or_else(|| self.follower(index))
    }

    /// Keeps a file in order for later; its first entry is the one at `begins`, and those from `at` to there are missing.
    fn take_unread(&mut self, index: usize, begins: u64, at: u64, name: String, error: &io::Error) {
        let (end, exact) = match self.next(index) {
            Some((next, Kind::InOrder { after: After::Unknown, .. }, _)) => (*next, false),
            Some((_, Kind::InOrder { after: After::Jump(end), .. }, _)) => (*end, true),
            Some((next, ..)) => (*next, true),
            // What was written behind `stored` and not noted is in memory, or was delivered from there.
            None => match self.stored {
                Some(end) => (end, true),
                None => ((begins + RESERVE).min(self.in_memory_from), false),
            },
        };
        // Nothing of it is needed; or all of it is in memory, or in the next one, to which a failed write led.
        if end <= begins {
            self.log.obsolete.push(name);
            return;
        }
        let mut segment = Segment::new(name, begins, end);
        (segment.exact, segment.unread, segment.bytes) = (exact, true, SEGMENT);
        segment.lost_before = begins - at;
        self.log.lost += segment.lost_before;
        self.expected = Some(end);
        self.log.tell_unreadable(&mut segment, error);
        self.log.segments.push_back(segment);
    }

    /// Takes the entries of a file in order from `at` on.
    fn take_read(&mut self, index: usize, at: u64, name: String, bytes: &[u8]) {
        let from = self.files[index].0;
        let leaps = self.expected.is_some_and(|expected| at > expected);
        let mut found = scan(bytes);
        let behind = match self.next(index) {
            // What follows here was delivered from memory, or is in a later file.
            Some((_, Kind::InOrder { after: After::Jump(end), .. }, _)) => *end,
            _ => from + RESERVE,
        };
        found.records.retain(|record| (from..behind).contains(&record.position));
        let mut segment = Segment::new(name, at, behind.max(at));
        let passed_well = found.records.iter().filter(|record| record.position < at).count() as u64;
        segment.passed = at.saturating_sub(from).saturating_sub(passed_well);
        // Its end is the last good entry, until another file tells more.
        segment.exact = false;
        segment.take(&found);
        segment.exact = true;
        self.dropped = found.records.last().map_or(self.dropped, |record| record.dropped);
        segment.end = segment.places.back().map_or(at, |place| place.position + 1);
        // Nothing follows that could show the gap.
        if self.next(index).is_none() && self.stored.is_none() && found.damaged_at_end {
            (segment.lost_after, segment.end) = (1, segment.end + 1);
        }
        self.expected = Some(segment.end);
        let log = &mut self.log;
        if segment.places.is_empty() {
            if !leaps || log.segments.iter().all(|segment| segment.late) {
                log.given_up += segment.lost_after;
                log.obsolete.push(segment.name);
            } else {
                // Its name says that nothing is missing before it: it stays until what is before it is gone.
                log.lost += segment.lost();
                segment.bytes = SEGMENT;
                log.segments.push_back(segment);
            }
            return;
        }
        // The process that wrote it may have died before it did this. A disk that is full can be read all the same.
        if let Err(error) = log.storage.sync(&segment.name) {
            log::warn!("records on the disk may not survive a power loss: {error}");
            log.unsynced = true;
        }
        // Two torn records one after the other would look like a damaged one.
        let size = bytes.len() as u64;
        segment.bytes = if found.ends_well { size } else { size.max(SEGMENT) };
        log.lost += segment.lost();
        log.segments.push_back(segment);
    }
}
