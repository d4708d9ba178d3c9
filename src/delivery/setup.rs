//! What a device publishes, where and how patiently: fixed while the deliver thread runs.

use std::sync::Arc;
use std::time::Duration;

use super::broker::Broker;
use super::payload::Identity;
use super::topics::Topics;
use crate::clock::{Clock, Stop};
use crate::service::health::Health;

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
    /// Where this thread tells that it makes progress.
    pub health: Arc<Health>,
}
