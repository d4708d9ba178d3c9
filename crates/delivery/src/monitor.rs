//! What the program is told of the deliver thread.

use std::time::Duration;

use jiff::Timestamp;
use lectern_record::window::MinuteRecord;

use crate::message::payload::{Backlog, State};
use crate::publisher::PublisherConfig;
use crate::spool::storage::Storage;

/// The deliver thread goes round at least this often, even when there is nothing to deliver.
pub const ROUND: Duration = Duration::from_secs(5);

/// How it goes, each time that the deliver thread goes round.
pub struct Round<'a> {
    /// What the thread was told at its start, or at the last reload.
    pub setup: &'a PublisherConfig,
    /// What the device is doing, and since when.
    pub state: (State, Timestamp),
    /// Whether the broker has accepted the connection.
    pub connected: bool,
    /// What waits for the broker.
    pub backlog: Backlog,
    /// Which files of the spool cannot be read at present, in words.
    pub unreadable: Option<String>,
    /// The runtime directory, where the spool uses one: it is locked for this process.
    pub runtime: Option<&'a mut dyn Storage>,
}

/// Whoever is told how the deliver thread does; on that thread, which waits meanwhile.
pub trait Monitor: Send + Sync {
    /// The thread went round, which it does every [`ROUND`] at least.
    fn went_round(&self, _round: Round<'_>) {}
    /// A window ended.
    fn window_ended(&self, _record: &MinuteRecord) {}
    /// Why there is no connection.
    fn broker_away(&self, _problem: &str) {}
}

/// Nobody is told.
#[derive(Debug, Clone, Copy)]
pub struct Unmonitored;

impl Monitor for Unmonitored {}
