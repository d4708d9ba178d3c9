//! Which outages are logged: a broker that flaps must not flood the journal, and the journal's last entry must be correct.
//!
//! The end of an outage is logged if its start was. An outage that is suppressed after many others is logged late if it
//! lasts, otherwise neither its start nor its end is.

use std::time::Duration;

use lectern_record::clock::BootTime;

/// At most so many outages are logged …
pub const LINES: u32 = 10;
/// … in this time.
pub const WINDOW: Duration = Duration::from_secs(600);

/// Distinguishes outages and limits how often they are logged. The caller passes the time.
#[derive(Debug, Default)]
pub struct Outages {
    /// The times of the last log lines; [`LINES`] at most.
    logged_at: std::collections::VecDeque<BootTime>,
    /// The logged reason of the current outage, if it was logged.
    logged: Option<String>,
    /// Whether the current outage is not logged.
    unlogged: bool,
    /// How many outages ended without being logged.
    suppressed: u32,
}

impl Outages {
    /// There is an outage for this reason, new or ongoing. `Some` if it is to be logged, with the number of earlier outages
    /// that were suppressed.
    pub fn lost(&mut self, now: BootTime, problem: &str) -> Option<u32> {
        if self.logged.as_deref() == Some(problem) {
            return None;
        }
        while self.logged_at.front().is_some_and(|first| now >= *first + WINDOW) {
            self.logged_at.pop_front();
        }
        if self.logged_at.len() >= LINES as usize {
            // If a first reason was logged, another one is only more detail.
            self.unlogged |= self.logged.is_none();
            return None;
        }
        self.logged_at.push_back(now);
        self.logged = Some(problem.to_owned());
        self.unlogged = false;
        Some(std::mem::take(&mut self.suppressed))
    }

    /// The outage is over. Returns whether to log that: if its start was logged, or nothing has been logged yet.
    pub fn over(&mut self) -> bool {
        self.suppressed += u32::from(std::mem::take(&mut self.unlogged));
        self.logged.take().is_some() || self.logged_at.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn logs_the_end_of_logged_outages_only() {
        let mut outages = Outages::default();
        assert!(outages.over(), "the first connection is told");
        let mut lines = Vec::new();
        for flap in 0..100 {
            lines.extend(outages.lost(flap * SECOND, "closed").map(|_| "lost"));
            lines.extend(outages.over().then_some("back"));
        }
        assert_eq!(lines.len(), 20);
        assert!(lines.chunks(2).all(|pair| pair == ["lost", "back"]), "{lines:?}");
    }

    /// An outage that lasts beyond the window is logged late, with the number of suppressed ones.
    #[test]
    fn logs_a_long_outage_late() {
        let mut outages = Outages::default();
        for flap in 0..50 {
            outages.lost(flap * SECOND, "closed");
            outages.over();
        }
        let logged: Vec<_> = (50..700).filter_map(|now| outages.lost(now * SECOND, "refused")).collect();
        assert_eq!(logged, [40]);
        assert!(outages.over());
    }

    #[test]
    fn logs_another_reason() {
        let mut outages = Outages::default();
        assert_eq!(outages.lost(SECOND, "refused"), Some(0));
        assert_eq!(outages.lost(SECOND, "refused"), None);
        assert_eq!(outages.lost(SECOND, "does not answer"), Some(0));
    }

    #[test]
    fn limits_alternating_reasons() {
        let mut outages = Outages::default();
        let lines =
            (0..600).filter(|now| outages.lost(*now * SECOND, ["a", "b"][*now as usize % 2]).is_some());
        assert_eq!(lines.count(), 10);
        assert!(outages.over());
    }
}
