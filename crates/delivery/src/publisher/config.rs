//! The configuration of the publisher: what it publishes, where, and its timeouts. Fixed until the next reload.

use std::sync::Arc;
use std::time::Duration;

use crate::message::discovery::Discovery;
use crate::message::payload::Identity;
use crate::message::topics::Topics;
use crate::monitor::Monitor;
use crate::mqtt::Broker;
use lectern_record::clock::{Clock, Stop};

/// The pause after a failed write to the disk.
pub(super) const STORE_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// During shutdown the first retry is immediate, the others follow at this interval.
pub(super) const SHUTDOWN_BACKOFF: Duration = Duration::from_millis(500);

/// The part of the shutdown time that is reserved for publishing `offline`.
pub(super) const OFFLINE_GRACE: Duration = Duration::from_secs(2);

/// Timeouts and intervals of the deliver thread; tests use shorter ones than devices.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The back-off after a first failure; it doubles with each one more.
    pub first_backoff: Duration,
    /// The longest back-off.
    pub longest_backoff: Duration,
    /// Without a PUBACK in this time the connection counts as dead, whatever TCP updates.
    pub acknowledge_within: Duration,
    /// A record that is undelivered for longer is written to the disk.
    pub store_after: Duration,
    /// How long a shutdown may take to deliver the remaining records.
    pub shutdown_within: Duration,
    /// The shortest time between two records of a backlog, so that a campus that reconnects does not overload its broker.
    pub pace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(60),
            acknowledge_within: Duration::from_secs(15),
            store_after: Duration::from_secs(5),
            shutdown_within: Duration::from_secs(10),
            pace: Duration::from_millis(20),
        }
    }
}

impl Timing {
    /// The delay after so many consecutive failures. Full jitter: a random time up to the doubled back-off, so that a
    /// thousand devices that lost the same broker do not reconnect in step.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let longest = self.first_backoff.saturating_mul(1 << failures.min(16)).min(self.longest_backoff);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// What the deliver thread needs in addition to the spool.
pub struct PublisherConfig {
    /// The broker to connect to.
    pub broker: Broker,
    /// The topics to publish on.
    pub topics: Topics,
    /// The device and boot that the payloads name.
    pub identity: Identity,
    /// `deployment.basis`, repeated in each `status`.
    pub basis: String,
    /// Announces the device to Home Assistant; none withdraws an earlier announcement.
    pub discovery: Option<Discovery>,
    /// Timeouts and intervals.
    pub timing: Timing,
    /// The clock that dates a change of state.
    pub clock: Arc<dyn Clock>,
    /// Set if this thread ends early.
    pub stop: Stop,
    /// Receives the thread's state.
    pub monitor: Arc<dyn Monitor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::link::CONNECT_WITHIN;

    /// docs/mqtt.md promises that a device reconnects within 90 s of the broker's return.
    #[test]
    fn reconnects_within_ninety_seconds() {
        let timing = Timing::default();
        for failures in (0..100).chain([u32::MAX]) {
            assert!(timing.backoff(failures) <= timing.longest_backoff);
        }
        // An attempt that began before the broker's return, the back-off, and the attempt that succeeds.
        assert!(CONNECT_WITHIN + timing.longest_backoff + CONNECT_WITHIN <= Duration::from_secs(90));
    }
}
