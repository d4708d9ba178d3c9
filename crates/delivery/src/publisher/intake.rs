//! How the deliver thread handles the updates of the watch thread: records, states, another configuration.

use std::time::Duration;

use tokio::time::Instant;

use super::Publisher;
use super::config::{OFFLINE_GRACE, PublisherConfig};
use super::update::{OpenSpool, Reload, Switchover, Update};
use crate::message::payload::{self, State};
use crate::spool::Spool;
use lectern_record::help::Causes;

/// How long a spool change waits for the publish in flight; it blocks the watch meanwhile.
const IN_FLIGHT_WITHIN: Duration = Duration::from_secs(1);

impl Publisher {
    /// Handles one update; `None` means that the watch has ended.
    pub(super) fn accept(&mut self, update: Option<Update>) {
        let PublisherConfig { identity, topics, timing, .. } = &self.config;
        match update {
            Some(Update::Record(record)) => {
                self.config.monitor.window_ended(&record);
                let payload = payload::minute(identity, &record, !self.connected);
                self.spool.push(record.seq, &topics.minute, &payload);
                if self.config.clock.synced() {
                    self.spool.expire(self.config.clock.wall());
                }
                if self.connected {
                    self.store_at = self.store_at.or(Some(Instant::now() + timing.store_after));
                    self.check_spool();
                } else {
                    self.store();
                }
            }
            // Only a later process publishes this, after a crash.
            Some(Update::Open(record)) => {
                let payload = payload::minute(identity, &record, true);
                self.spool.keep_open(record.seq, &topics.minute, &payload);
            }
            Some(Update::State(state)) => self.enter(state),
            Some(Update::Reload(reload)) => {
                self.pending = Some((*reload, Instant::now() + IN_FLIGHT_WITHIN));
                self.apply_pending(!self.connected);
            }
            None => {
                self.spool.leave();
                self.shutdown_by = Some(Instant::now() + timing.shutdown_within);
            }
        }
    }

    /// Applies a pending configuration. Before a spool change it waits a short time for the record in flight, because
    /// another spool could not match the acknowledgement and would send the record again.
    pub(super) fn apply_pending(&mut self, nothing_in_flight: bool) {
        let is_due = |(reload, by): &mut (Reload, Instant)| {
            nothing_in_flight || reload.spool.is_none() || *by <= Instant::now()
        };
        if let Some((reload, _)) = self.pending.take_if(is_due) {
            self.reload(reload);
        }
    }

    /// The deadline of a pending configuration or connection change.
    pub(super) fn change_deadline(&self) -> Option<Instant> {
        let pending = self.pending.as_ref().map(|(_, by)| *by);
        pending.or_else(|| self.switchover.as_ref().map(|switchover| switchover.by))
    }

    /// Applies another configuration; the connection is kept unless its parameters change.
    fn reload(&mut self, reload: Reload) {
        let Reload { mut config, spool, next_seq } = reload;
        if let Some(open) = spool {
            self.reopen_spool(open);
        }
        self.spool.boot().clone_into(&mut config.identity.boot);
        let old = &self.config;
        let elsewhere = (&old.broker, &old.topics) != (&config.broker, &config.topics);
        // The will holds the device and the basis; the announcement is published at each connection.
        let anew =
            elsewhere || (&old.identity.device, &old.basis) != (&config.identity.device, &config.basis);
        if anew || old.discovery != config.discovery {
            let offline = || {
                let status = self.status(State::Offline, config.clock.wall());
                (old.topics.status.clone(), status.as_str().to_owned())
            };
            let offline = elsewhere.then(offline);
            self.switchover = Some(Switchover { offline, by: Instant::now() + OFFLINE_GRACE });
        }
        self.config = config;
        self.notify_monitor();
        // The receiver is gone if the watch thread has ended.
        let _ = next_seq.send(self.spool.next_seq());
    }

    /// Opens another spool, unless that would lose records that are in memory only.
    fn reopen_spool(&mut self, open: OpenSpool) {
        self.spool.leave();
        self.store();
        if !self.spool.survives_the_process() {
            self.spool.stay();
            log::warn!(
                "minutes wait in memory alone, so the spool is changed at the next reload or start only"
            );
            return;
        }
        // The old one must be closed first: both may use the same folder, which is locked exclusively.
        let opened = Spool::in_memory(1).map_err(Into::into).and_then(|none| {
            drop(std::mem::replace(&mut self.spool, none));
            open()
        });
        match opened {
            Ok(spool) => self.spool = spool,
            Err(error) => log::error!("the spool cannot be opened: {}", Causes(&*error)),
        }
        self.check_spool();
    }
}
