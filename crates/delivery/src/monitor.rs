//! What the program is told of the deliver thread.

use std::time::Duration;

use jiff::Timestamp;
use lectern_record::clock::Clock;
use lectern_record::window::MinuteRecord;

use crate::message::payload::{Backlog, State};
use crate::mqtt::Broker;
use crate::spool::storage::Storage;

/// The deliver thread goes round at least this often, even when there is nothing to deliver.
pub const ROUND: Duration = Duration::from_secs(5);

/// How it goes, each time that the deliver thread goes round.
pub struct Round<'a> {
    /// The clock of the device.
    pub clock: &'a dyn Clock,
    /// `device.id`.
    pub device: &'a str,
    /// The broker to connect to.
    pub broker: &'a Broker,
    /// What the device is doing.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Whether the broker has accepted the connection.
    pub connected: bool,
    /// What waits for the broker.
    pub backlog: Backlog,
    /// The runtime directory, where the spool uses one: it is locked for this process.
    pub runtime: Option<&'a mut dyn Storage>,
}

/// Whoever is told how the deliver thread does; on that thread, which waits meanwhile.
pub trait Monitor: Send + Sync {
    /// The thread went round, which it does every [`ROUND`] at least.
    fn went_round(&self, round: Round<'_>);
    /// A window ended.
    fn window_ended(&self, record: &MinuteRecord);
    /// Whether the broker has accepted the connection.
    fn set_broker_connected(&self, connected: bool);
    /// Why there is no connection.
    fn broker_away(&self, problem: &str);
    /// Which files of the spool cannot be read at present.
    fn set_unreadable(&self, files: Option<String>);
}

/// Nobody is told.
#[derive(Debug, Clone, Copy)]
pub struct Unmonitored;

impl Monitor for Unmonitored {
    fn went_round(&self, _round: Round<'_>) {}
    fn window_ended(&self, _record: &MinuteRecord) {}
    fn set_broker_connected(&self, _connected: bool) {}
    fn broker_away(&self, _problem: &str) {}
    fn set_unreadable(&self, _files: Option<String>) {}
}
