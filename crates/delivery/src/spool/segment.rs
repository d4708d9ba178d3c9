//! One file of the log: its name, which positions it is there for, and where its records lie.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::record::{HIGHEST, Scan};
use lectern_record::clock::BootTime;

/// More records than fit in one file, whatever is in them.
pub(super) const RESERVE: u64 = 8192;

/// What the names of files that were passed over, and of those that were given up, begin with.
pub(super) const LATE: &str = "late-";
pub(super) const ASIDE: &str = "aside-";

/// Which positions a file follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Those of the file before.
    Gapless,
    /// Those before this one; what lies between was never on the disk.
    Jump(u64),
    /// Those of the file before, whatever they are; what lies between was never on the disk.
    Unknown,
}

/// What a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In order.
    InOrder { attempt: u32, after: After },
    /// It could not be read, and was passed over; the end of its positions, if that was known.
    Late { end: Option<u64> },
    /// It could not be read for too long, and is counted as lost.
    Aside { end: Option<u64> },
}

/// The position that a file's name begins with, and its kind; none where the file is not ours.
pub(super) fn parse(name: &str) -> Option<(u64, Kind)> {
    let mut parts = name.split('-');
    let kind = parts.next()?;
    let position = |part: &str| {
        let digits = part.len() == 16 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(part, 16).ok().filter(|position| digits && *position <= HIGHEST)
    };
    let from = position(parts.next()?)?;
    let kind = match (kind, parts.next(), parts.next()) {
        ("entries", attempt, after) => {
            let after = match after {
                None => After::Gapless,
                Some("jump") => After::Unknown,
                Some(end) => After::Jump(position(end).filter(|end| *end <= from)?),
            };
            Kind::InOrder { attempt: attempt.map_or(Some(0), |attempt| attempt.parse().ok())?, after }
        }
        ("late" | "aside", end, None) => {
            let end = match end {
                Some(end) => Some(position(end).filter(|end| *end >= from)?),
                None => None,
            };
            if kind == "late" { Kind::Late { end } } else { Kind::Aside { end } }
        }
        _ => return None,
    };
    parts.next().is_none().then_some((from, kind))
}

pub(super) fn in_order(position: u64, attempt: u32, after: After) -> String {
    match (attempt, after) {
        (0, After::Gapless) => format!("entries-{position:016x}"),
        (_, After::Gapless) => format!("entries-{position:016x}-{attempt}"),
        (_, After::Unknown) => format!("entries-{position:016x}-{attempt}-jump"),
        (_, After::Jump(end)) => format!("entries-{position:016x}-{attempt}-{end:016x}"),
    }
}

/// The name of a file that is passed over ([`LATE`]) or given up ([`ASIDE`]). Its first position stays, so that it shows where
/// the file before it ends.
pub(super) fn apart(kind: &str, segment: &Segment) -> String {
    let from = parse(&segment.name).map_or(segment.from, |(from, _)| from);
    match segment.exact.then_some(segment.end) {
        Some(end) => format!("{kind}{from:016x}-{end:016x}"),
        None => format!("{kind}{from:016x}"),
    }
}

/// What the runtime directory remembers of a file that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Late {
    pub(super) name: String,
    /// What it holds before this is delivered.
    pub(super) from: u64,
    pub(super) end: Option<u64>,
    /// Boot time in milliseconds since when it cannot be read; none while it can.
    pub(super) since: Option<u64>,
    /// It is counted as dropped; its name could not be changed.
    pub(super) given_up: bool,
}

impl Late {
    /// Whether this is that file, also under the name that it got just before the process died.
    pub(super) fn is(&self, name: &str, kind: Kind) -> bool {
        self.name == name || matches!(kind, Kind::Late { end: end @ Some(_) } if end == self.end)
    }
}

/// Where a record lies in its file: bytes.
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
    /// How many records before it are damaged.
    pub(super) lost: u64,
}

/// Since when a file cannot be read, and when it is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    pub(super) since: BootTime,
    pub(super) again: BootTime,
}

pub(super) struct Segment {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// The positions that it is there for.
    pub(super) from: u64,
    pub(super) end: u64,
    /// Whether `end` is known, and not only a bound.
    pub(super) exact: bool,
    pub(super) places: VecDeque<Place>,
    /// Whether its bytes have yet to be looked at, so that `places` is empty.
    pub(super) unread: bool,
    /// Whether it was passed over: it is outside the order.
    pub(super) late: bool,
    /// Damaged records before the first one of `places`, as far as no place has them, and after the last one.
    pub(super) lost_before: u64,
    pub(super) lost_after: u64,
    /// Damaged records of it that were passed: they count as dropped, and would be found again without the state.
    pub(super) passed: u64,
    pub(super) failing: Option<Failing>,
    /// Whether it was told that it cannot be read.
    pub(super) told: bool,
}

impl Segment {
    pub(super) fn new(name: String, from: u64, end: u64) -> Self {
        Self {
            name,
            bytes: 0,
            from,
            end,
            exact: true,
            places: VecDeque::new(),
            unread: false,
            late: false,
            lost_before: 0,
            lost_after: 0,
            passed: 0,
            failing: None,
            told: false,
        }
    }

    /// How many records wait in it. Of one whose end is not known there is at least one.
    pub(super) fn waiting(&self) -> u64 {
        match (self.unread, self.exact) {
            (false, _) => self.places.len() as u64,
            (true, true) => self.end - self.from,
            (true, false) => 1,
        }
    }

    /// Whether it cannot be read at present.
    pub(super) fn is_unreadable(&self) -> bool {
        self.unread || self.failing.is_some()
    }

    /// How many damaged records are counted with it.
    pub(super) fn lost(&self) -> u64 {
        self.lost_before + self.lost_after + self.places.iter().map(|place| place.lost).sum::<u64>()
    }

    /// Takes back the last record, if it is at `position` or behind it.
    pub(super) fn pop_from(&mut self, position: u64) -> Option<Place> {
        self.places.back().filter(|place| place.position >= position)?;
        self.places.pop_back()
    }

    /// Takes the records that it is there for. Of one whose end is not known, what follows the last record is not missed.
    pub(super) fn take(&mut self, scan: &Scan) {
        let mut expected = self.from;
        let mut lost = std::mem::take(&mut self.lost_before);
        for record in &scan.records {
            // Not needed any more, written twice after a failure, or not of this file.
            if record.position < expected || record.position >= self.end {
                continue;
            }
            lost += record.position - expected;
            expected = record.position + 1;
            let (position, offset, length) = (record.position, record.offset, record.length);
            self.places.push_back(Place { position, offset, length, lost });
            lost = 0;
        }
        if self.exact {
            lost += self.end - expected;
        }
        self.lost_after = lost;
        self.unread = false;
    }
}
