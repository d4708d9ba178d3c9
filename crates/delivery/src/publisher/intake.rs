//! What the deliver thread takes from the watch thread: records, states, and another configuration.

use std::time::Duration;

use tokio::time::Instant;

use super::Publisher;
use super::config::{FAREWELL, Setup};
use super::update::{Moving, OpenSpool, Reload, Report};
use crate::message::payload::{self, State};
use crate::spool::Spool;
use lectern_record::help::Causes;

/// How long what is in flight is waited for before a spool is exchanged; the watch waits, too.
const IN_FLIGHT_WITHIN: Duration = Duration::from_secs(1);

impl Publisher {
    /// Takes one report; `None` tells that the watch has ended.
    pub(super) fn accept(&mut self, report: Option<Report>) {
        let Setup { identity, topics, timing, .. } = &self.setup;
        match report {
            Some(Report::Record(record)) => {
                self.setup.monitor.window_ended(&record);
                let payload = payload::minute(identity, &record, !self.connected);
                self.spool.push(record.seq, &topics.minute, &payload);
                if self.connected {
                    self.store_at = self.store_at.or(Some(Instant::now() + timing.store_after));
                    self.look_at_spool();
                } else {
                    self.store();
                }
            }
            // Whoever publishes this will be another process, later.
            Some(Report::Open(record)) => {
                let payload = payload::minute(identity, &record, true);
                self.spool.keep_open(record.seq, &topics.minute, &payload);
            }
            Some(Report::State(state)) => self.enter(state),
            Some(Report::Reload(reload)) => {
                self.pending = Some((*reload, Instant::now() + IN_FLIGHT_WITHIN));
                self.take_over(!self.connected);
            }
            None => {
                self.spool.leave();
                self.leave_by = Some(Instant::now() + timing.leave_within);
            }
        }
    }

    /// Takes over another configuration, if one has come. A record that is in flight is acknowledged first where that takes
    /// no time, for another spool would not know that it was sent, and would send it again.
    pub(super) fn take_over(&mut self, nothing_in_flight: bool) {
        let is_due = |(reload, by): &mut (Reload, Instant)| {
            nothing_in_flight || reload.spool.is_none() || *by <= Instant::now()
        };
        if let Some((reload, _)) = self.pending.take_if(is_due) {
            self.reload(reload);
        }
    }

    /// When something of a change has to be done at the latest.
    pub(super) fn changes_by(&self) -> Option<Instant> {
        let pending = self.pending.as_ref().map(|(_, by)| *by);
        pending.or_else(|| self.moving.as_ref().map(|moving| moving.by))
    }

    /// Takes over another configuration. A connection that it does not change goes on.
    fn reload(&mut self, reload: Reload) {
        let Reload { mut setup, spool, next_seq } = reload;
        if let Some(open) = spool {
            self.reopen_spool(open);
        }
        self.spool.boot().clone_into(&mut setup.identity.boot);
        let old = &self.setup;
        let elsewhere = (&old.broker, &old.topics) != (&setup.broker, &setup.topics);
        // The will holds the device and the basis; the announcement is made at each connection.
        let anew = elsewhere || (&old.identity.device, &old.basis) != (&setup.identity.device, &setup.basis);
        if anew || old.discovery != setup.discovery {
            let offline = || {
                let status = self.status(State::Offline, setup.clock.wall());
                (old.topics.status.clone(), status.as_str().to_owned())
            };
            let farewell = elsewhere.then(offline);
            self.moving = Some(Moving { farewell, by: Instant::now() + FAREWELL });
        }
        self.setup = setup;
        self.go_round();
        // Nobody waits for it any more where the watch thread is gone.
        let _ = next_seq.send(self.spool.next_seq());
    }

    /// Opens another spool, unless that would lose what waits in memory alone.
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
        // The old one has to be closed first, for both may name the same folder, which one at a time can have.
        let opened = Spool::in_memory(1).map_err(Into::into).and_then(|none| {
            drop(std::mem::replace(&mut self.spool, none));
            open()
        });
        match opened {
            Ok(spool) => self.spool = spool,
            Err(error) => log::error!("the spool cannot be opened: {}", Causes(&*error)),
        }
        self.look_at_spool();
    }
}
