//! Which outages the journal is told of: a broker that comes and goes must not flood it, and what it reads last must be
//! true.
//!
//! Each outage that is told has its end told. One that is not told, because many were before it, gets no word at its end
//! either, unless it lasts: then it is told late.

use std::time::Duration;

use lectern_record::clock::BootTime;

/// So many outages are told …
pub const LINES: u32 = 10;
/// … in this time.
pub const WINDOW: Duration = Duration::from_secs(600);

/// Tells outages from one another and limits how often they are told. Time comes in from outside.
#[derive(Debug, Default)]
pub struct Outages {
    /// When the last few lines were told; no more than [`LINES`].
    told_at: std::collections::VecDeque<BootTime>,
    /// What the journal holds of the present outage, if it was told of it.
    told: Option<String>,
    /// Whether there is an outage that the journal does not know of.
    untold: bool,
    /// How many outages were over before they were told.
    left_out: u32,
}

impl Outages {
    /// There is an outage for this reason, at its start or still. `Some` if this is to be told, with the number of
    /// earlier ones that were left out.
    pub fn lost(&mut self, now: BootTime, problem: &str) -> Option<u32> {
        if self.told.as_deref() == Some(problem) {
            return None;
        }
        while self.told_at.front().is_some_and(|first| now >= *first + WINDOW) {
            self.told_at.pop_front();
        }
        if self.told_at.len() >= LINES as usize {
            // Where a first reason was told, another one is only more detail.
            self.untold |= self.told.is_none();
            return None;
        }
        self.told_at.push_back(now);
        self.told = Some(problem.to_owned());
        self.untold = false;
        Some(std::mem::take(&mut self.left_out))
    }

    /// The outage is over; whether that is to be told: where its start was, or where nothing was said yet at all.
    pub fn over(&mut self) -> bool {
        self.left_out += u32::from(std::mem::take(&mut self.untold));
        self.told.take().is_some() || self.told_at.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_outage_that_is_told_has_its_end_told_and_no_other() {
        let mut outages = Outages::default();
        assert!(outages.over(), "the first connection is told");
        let mut said = Vec::new();
        for flap in 0..100 {
            said.extend(outages.lost(flap * SECOND, "closed").map(|_| "lost"));
            said.extend(outages.over().then_some("back"));
        }
        assert_eq!(said.len(), 20);
        assert!(said.chunks(2).all(|pair| pair == ["lost", "back"]), "{said:?}");
    }

    #[test]
    fn an_outage_that_lasts_beyond_the_window_is_told_late_with_what_was_left_out() {
        let mut outages = Outages::default();
        for flap in 0..50 {
            outages.lost(flap * SECOND, "closed");
            outages.over();
        }
        let told: Vec<_> = (50..700).filter_map(|now| outages.lost(now * SECOND, "refused")).collect();
        assert_eq!(told, [40]);
        assert!(outages.over());
    }

    #[test]
    fn another_reason_is_told_too() {
        let mut outages = Outages::default();
        assert_eq!(outages.lost(SECOND, "refused"), Some(0));
        assert_eq!(outages.lost(SECOND, "refused"), None);
        assert_eq!(outages.lost(SECOND, "does not answer"), Some(0));
    }

    #[test]
    fn an_outage_that_alternates_between_reasons_does_not_flood() {
        let mut outages = Outages::default();
        let lines =
            (0..600).filter(|now| outages.lost(*now * SECOND, ["a", "b"][*now as usize % 2]).is_some());
        assert_eq!(lines.count(), 10);
        assert!(outages.over());
    }
}
