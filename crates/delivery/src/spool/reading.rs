//! How the oldest entry is read, and what becomes of a file that cannot be read.

use std::io;
use std::time::Duration;

use super::append_log::{LONGEST_FILE, Log, News, Oldest};
use super::patience::Patience;
use super::record::{self, Entry, scan};
use super::segment::{self, ASIDE, Failing, LATE, Late, Segment};
use lectern_record::clock::BootTime;

/// While the order is held, a file that cannot be read is tried this often.
const TRY_HELD: Duration = Duration::from_secs(1);

/// Between two attempts at files that were passed over: a dying disk takes its time for each.
const LATE_PAUSE: Duration = Duration::from_secs(5);

impl Log {
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

    pub(super) fn pass_over(&mut self, index: usize) {
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
    pub(super) fn set_aside(&mut self, index: usize) {
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
}
