//! Whether the clock is set, and kept right.

use super::finding::Finding;
use crate::cli::Part;
use crate::clock::{Clock, SystemClock, synced_by_timesyncd};

/// The start of 2025: a clock before that has not been set.
const CERTAINLY_PAST: i64 = 1_735_689_600;

/// Looks at the system's clock.
pub(super) fn check() -> Finding {
    judge(SystemClock.wall().as_second(), SystemClock.synced(), synced_by_timesyncd())
}

fn judge(now: i64, synced: bool, by_timesyncd: bool) -> Finding {
    if now < CERTAINLY_PAST {
        Finding::failed(Part::Clock, "has not been set").advise("connect the network, and see timedatectl")
    } else if synced && by_timesyncd {
        Finding::ok(Part::Clock, "synchronised")
    } else if synced {
        let found = "is synchronised, but not by systemd-timesyncd, and the service may not ask the kernel";
        Finding::warning(Part::Clock, found)
            .advise("add SystemCallFilter=adjtimex clock_adjtime with systemctl edit lectern")
    } else {
        Finding::warning(Part::Clock, "is not synchronised: minutes say clock_synced false")
            .advise("see timedatectl, or with chrony set rtcsync")
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_its_year_and_its_synchronisation() {
        assert_eq!(judge(0, true, true).verdict, Verdict::Failed);
        assert_eq!(judge(CERTAINLY_PAST, true, true).verdict, Verdict::Ok);
        let chrony = judge(CERTAINLY_PAST, true, false);
        assert_eq!(chrony.verdict, Verdict::Warning);
        assert!(chrony.advice.unwrap().contains("SystemCallFilter"));
        let unsynced = judge(CERTAINLY_PAST, false, false);
        assert_eq!(unsynced.verdict, Verdict::Warning);
        assert!(unsynced.advice.unwrap().contains("timedatectl"));
    }
}
