//! What a device publishes, where and how patiently: fixed until the next configuration.

use std::sync::Arc;
use std::time::Duration;

use crate::message::payload::Identity;
use crate::message::topics::Topics;
use crate::monitor::Monitor;
use crate::mqtt::Broker;
use lectern_record::clock::{Clock, Stop};

/// Who leaves does not wait long for the next attempt, and makes the first one at once.
pub(super) const LEAVING_BACKOFF: Duration = Duration::from_millis(500);

/// How much of the time to leave is kept for saying so.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// How patient the deliver thread is. Tests are less patient than devices.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The back-off after a first failure; it doubles with each one more.
    pub first_backoff: Duration,
    /// The longest back-off.
    pub longest_backoff: Duration,
    /// A PUBACK that takes longer means that the connection is dead, whatever TCP believes.
    pub acknowledge_within: Duration,
    /// A record that waits longer goes to the disk.
    pub store_after: Duration,
    /// How long a stop may take to deliver what is left.
    pub leave_within: Duration,
    /// The shortest time between two records of a backlog, so that a campus that comes back does not drown its broker.
    pub pace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(60),
            acknowledge_within: Duration::from_secs(15),
            store_after: Duration::from_secs(5),
            leave_within: Duration::from_secs(10),
            pace: Duration::from_millis(20),
        }
    }
}

impl Timing {
    /// How long to wait after so many failures in a row. Full jitter: anything between nothing and the doubled back-off, so
    /// that a thousand devices that lost the same broker do not come back in step.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let longest = self.first_backoff.saturating_mul(1 << failures.min(16)).min(self.longest_backoff);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// What the deliver thread needs beside the spool.
pub struct Setup {
    /// The broker to connect to.
    pub broker: Broker,
    /// The topics to publish on.
    pub topics: Topics,
    /// Who publishes.
    pub identity: Identity,
    /// `deployment.basis`, repeated in each `status`.
    pub basis: String,
    /// Announces the device to Home Assistant, with sensors that expire after three windows of so many seconds; none
    /// withdraws an earlier announcement.
    pub discovery: Option<u32>,
    /// How patient to be.
    pub timing: Timing,
    /// The clock that dates a change of state.
    pub clock: Arc<dyn Clock>,
    /// Set should this thread be gone.
    pub stop: Stop,
    /// Who is told how this thread does.
    pub monitor: Arc<dyn Monitor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::link::CONNECT_WITHIN;

    #[test]
    fn a_broker_that_is_back_is_found_within_ninety_seconds() {
        let timing = Timing::default();
        for failures in (0..100).chain([u32::MAX]) {
            assert!(timing.backoff(failures) <= timing.longest_backoff);
        }
        // An attempt that began before it was back, the wait, and the attempt that finds it; as docs/mqtt.md says.
        assert!(CONNECT_WITHIN + timing.longest_backoff + CONNECT_WITHIN <= Duration::from_secs(90));
    }
}
