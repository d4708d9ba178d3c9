//! How the program observes the deliver thread.

use std::time::Duration;

use jiff::Timestamp;
use lectern_record::window::MinuteRecord;

use crate::message::payload::{Backlog, State};
use crate::publisher::PublisherConfig;
use crate::spool::storage::Storage;

/// The deliver thread runs its loop at least this often, even with nothing to deliver.
pub const ROUND: Duration = Duration::from_secs(5);

/// The state of the deliver thread in one pass of its loop.
pub struct Round<'a> {
    /// The configuration since the start or the last reload.
    pub setup: &'a PublisherConfig,
    /// The device's state, and its start.
    pub state: (State, Timestamp),
    /// Whether the broker has accepted the connection.
    pub connected: bool,
    /// The records not yet acknowledged.
    pub backlog: Backlog,
    /// The files of the spool that cannot be read at present, for display.
    pub unreadable: Option<String>,
    /// The runtime directory, if the spool uses one; this process has its lock.
    pub runtime: Option<&'a mut dyn Storage>,
}

/// Observes the deliver thread. The methods run on that thread and block it.
pub trait Monitor: Send + Sync {
    /// One pass of the loop, every [`ROUND`] at least.
    fn went_round(&self, _round: Round<'_>) {}
    /// A window ended.
    fn window_ended(&self, _record: &MinuteRecord) {}
    /// Why there is no connection.
    fn broker_away(&self, _problem: &str) {}
}

/// A monitor that does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unmonitored;

impl Monitor for Unmonitored {}
