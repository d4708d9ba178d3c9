//! The order in which the areas of the picture are searched: soon where something changed, and all of them in turn.
//!
//! A new face changes the picture, so an unchanged area need not be searched again, except for faces whose arrival changed too
//! little: too similar to the wall behind them, or turned away until now.

use super::geometry::BBox;
use super::mtcnn::Area;
use super::parameters::{
    FRESH_SHARE, PAUSE_TRACKING, RESTLESS, REVISIT, REVISIT_TRACKING, REVISIT_WORK, STEADY_WORK,
};

/// The state of the areas of one picture.
#[derive(Default)]
pub(super) struct Schedule {
    slots: Vec<Slot>,
    /// Frames a second, and whether a face is tracked.
    rate_hz: f64,
    is_tracking: bool,
    /// Work budgets for areas that keep changing, and for areas that are searched in turn.
    steady: f32,
    revisit: f32,
}

#[derive(Clone, Copy)]
struct Slot {
    /// Frames since it was searched, the maximum if it never was; and frames since it became fresh.
    age: u32,
    waited: u32,
    priority: Priority,
}

/// Why an area should be searched, the weakest reason first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    /// Only in turn.
    Revisit,
    /// Something keeps changing there.
    Changed,
    /// It was fresh at its last search: a moving face is blurred, and found by a second search.
    Again,
    /// Something changed there after a quiet time, or it was never searched.
    Fresh,
}

impl Schedule {
    /// Resets to so many areas, none of which was searched.
    pub(super) fn begin(&mut self, areas: usize) {
        self.slots.clear();
        self.slots.resize(areas, Slot { age: u32::MAX, waited: 0, priority: Priority::Fresh });
        (self.steady, self.revisit) = (0.0, 0.0);
    }

    /// Begins a frame with these changed places, and whether each was quiet before.
    pub(super) fn begin_frame(
        &mut self,
        areas: &[Area],
        changed: impl Iterator<Item = (BBox, bool)> + Clone,
        rate_hz: f64,
        is_tracking: bool,
        least_cell: f32,
    ) {
        let (mut restless, mut quiet) = (0.0, 0.0);
        for (slot, area) in self.slots.iter_mut().zip(areas) {
            slot.age = slot.age.saturating_add(1);
            if slot.priority == Priority::Fresh {
                slot.waited = slot.waited.saturating_add(1);
            }
            let mut fresh = 0.0;
            for (place, is_fresh) in changed.clone().filter(|(place, _)| area.meets(place)) {
                slot.priority = slot.priority.max(Priority::Changed);
                fresh += if is_fresh { place.area() } else { 0.0 };
            }
            if fresh > FRESH_SHARE * area.cell() * area.cell() {
                slot.priority = Priority::Fresh;
            } else if least_cell > 0.0 && slot.age == u32::MAX {
                // The rest of a new picture holds no face that is much larger than the tracked one.
                slot.priority = Priority::Revisit;
            }
            if area.cell() >= least_cell {
                let work = if slot.priority == Priority::Revisit { &mut quiet } else { &mut restless };
                *work += area.work();
            }
        }
        let rate = to_f32(rate_hz);
        let per_second = (restless / RESTLESS).max(STEADY_WORK);
        self.steady = (self.steady + per_second / rate).min(per_second.max(per_second / rate));
        let per_second = match is_tracking {
            true => (quiet / REVISIT).max((quiet / REVISIT_TRACKING).min(REVISIT_WORK)),
            false => quiet / REVISIT,
        };
        self.revisit = (self.revisit + per_second / rate).min(quiet);
        (self.rate_hz, self.is_tracking) = (rate_hz, is_tracking);
    }

    /// Makes all areas fresh, as in a new picture.
    pub(super) fn renew(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.priority = Priority::Fresh);
    }

    /// Charges work on candidates.
    pub(super) fn spend(&mut self, work: f32) {
        self.steady = (self.steady - work).max(-STEADY_WORK);
    }

    /// The next area to search in this frame; those with smaller cells than `least_cell` are left out.
    pub(super) fn next(&mut self, areas: &[Area], least_cell: f32) -> Option<Area> {
        let Self { slots, steady, revisit, rate_hz, is_tracking } = self;
        let long = f64::from(REVISIT) * *rate_hz;
        let pause = if *is_tracking { PAUSE_TRACKING * *rate_hz } else { 0.0 };
        let is_urgent = |slot: &Slot| match slot.priority {
            Priority::Fresh | Priority::Again => true,
            Priority::Changed => *steady > 0.0,
            Priority::Revisit => false,
        };
        let eligible = |(slot, area): &(&mut Slot, &Area)| {
            let may_wait = slot.priority < Priority::Fresh && f64::from(slot.age) < pause;
            slot.age > 0 && !may_wait && area.cell() >= least_cell
        };
        // From the end, because `max_by` returns the last of equal ones. Among fresh ones the longest waiting goes first, then the one
        // with the largest faces: a walking person makes large cells fresh in each frame, and small ones would never be searched.
        let urgent = slots.iter_mut().zip(areas).rev().filter(eligible).filter(|(slot, _)| is_urgent(slot));
        let key = |(slot, area): &(&mut Slot, &Area)| match slot.priority {
            Priority::Fresh => (slot.priority, slot.waited, area.cell()),
            _ => (slot.priority, slot.age, 0.0),
        };
        let urgent = urgent.max_by(|a, b| {
            let ((a, a_waits, a_cell), (b, b_waits, b_cell)) = (key(a), key(b));
            (a, a_waits).cmp(&(b, b_waits)).then(a_cell.total_cmp(&b_cell))
        });
        let (slot, area) = match urgent {
            Some(urgent) => urgent,
            None => {
                // The one that waits longest, once there is work for it: a smaller one does not go before. A restless one has work of
                // its own, unless others use that up.
                let waits = |slot: &Slot| slot.priority == Priority::Revisit || f64::from(slot.age) >= long;
                let revisited = slots.iter_mut().zip(areas).rev().filter(eligible);
                let oldest = revisited.filter(|(slot, _)| waits(slot)).max_by_key(|(slot, _)| slot.age)?;
                if *revisit < oldest.1.work() {
                    return None;
                }
                *revisit -= oldest.1.work();
                oldest
            }
        };
        if slot.priority == Priority::Changed {
            *steady -= area.work();
        }
        let priority = match slot.priority {
            // Nothing need have moved in a new picture.
            Priority::Fresh if slot.age < u32::MAX => Priority::Again,
            _ => Priority::Revisit,
        };
        *slot = Slot { age: 0, waited: 0, priority };
        Some(*area)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a rate")]
fn to_f32(rate_hz: f64) -> f32 {
    rate_hz as f32
}

#[cfg(test)]
mod tests {
    use super::super::mtcnn::test_areas;
    use super::*;

    const RATE: f64 = 2.0;

    fn place(x: f32) -> BBox {
        BBox { x1: x, y1: 10.0, x2: x + 5.0, y2: 15.0 }
    }

    /// The areas that a frame searches within its budget; each costs P-Net's work there.
    fn frame(
        schedule: &mut Schedule,
        areas: &[Area],
        changed: &[(BBox, bool)],
        is_tracking: bool,
    ) -> Vec<usize> {
        schedule.begin_frame(areas, changed.iter().copied(), RATE, is_tracking, 0.0);
        let mut looked_at = Vec::new();
        while let Some(area) = schedule.next(areas, 0.0) {
            looked_at.push(areas.iter().position(|other| *other == area).unwrap());
        }
        looked_at
    }

    fn begun(areas: &[Area]) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.begin(areas.len());
        schedule
    }

    #[test]
    fn a_new_picture_is_searched_from_the_largest_faces_on() {
        let areas = test_areas(1280, 720, 24);
        let looked_at = frame(&mut begun(&areas), &areas, &[], false);
        assert_eq!(looked_at, (0..areas.len()).collect::<Vec<_>>());
    }

    #[test]
    fn every_area_has_its_turn_whatever_moves() {
        let areas = test_areas(1280, 720, 24);
        let mut schedule = begun(&areas);
        frame(&mut schedule, &areas, &[], false);
        // A screen that never rests.
        let screen: Vec<_> = (0..80_u8).map(|at| (place(f32::from(at) * 5.0), false)).collect();
        let mut seen = vec![false; areas.len()];
        let mut work = 0.0;
        for _ in 0..66 {
            let looked_at = frame(&mut schedule, &areas, &screen, false);
            work += looked_at.iter().map(|at| areas[*at].work()).sum::<f32>();
            looked_at.into_iter().for_each(|at| seen[at] = true);
        }
        assert!(seen.iter().all(|seen| *seen), "{seen:?}");
        // The screen in RESTLESS, the rest in REVISIT.
        let all: f32 = areas.iter().map(Area::work).sum();
        assert!(work < 33.0 * all / (0.6 * RESTLESS + 0.4 * REVISIT), "{work} of {all}");
    }

    #[test]
    fn fresh_changes_go_first_and_are_searched_twice() {
        let areas = test_areas(1280, 720, 24);
        let mut schedule = begun(&areas);
        for _ in 0..60 {
            frame(&mut schedule, &areas, &[], false);
        }
        let there = [(BBox { x1: 900.0, y1: 100.0, x2: 1240.0, y2: 600.0 }, true)];
        let meets = |at: &usize| areas[*at].meets(&there[0].0) && areas[*at].cell() < 400.0;
        for _ in 0..2 {
            let looked_at = frame(&mut schedule, &areas, &there, false);
            assert!(looked_at.first().is_some_and(meets), "{looked_at:?}");
            let again: Vec<_> = (0..6).flat_map(|_| frame(&mut schedule, &areas, &[], false)).collect();
            assert!(looked_at.iter().filter(|at| meets(at)).all(|at| again.contains(at)), "{again:?}");
        }
    }

    #[test]
    fn beside_a_tracked_face_a_restless_place_waits() {
        let areas = test_areas(640, 480, 60);
        let mut schedule = begun(&areas);
        let screen = [(place(100.0), false), (place(105.0), false)];
        let looks = |schedule: &mut Schedule, is_tracking| {
            (0..24).map(|_| frame(schedule, &areas, &screen, is_tracking).len()).sum::<usize>()
        };
        let (alone, beside) = (looks(&mut schedule, false), looks(&mut schedule, true));
        assert!(beside * 2 <= alone + 2, "{beside} {alone}");
    }
}
