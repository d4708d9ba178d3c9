//! The deliver thread: receives updates at once and publishes records one at a time, oldest first.
//!
//! ```text
//!            CONNACK                          nothing left, stopping
//! Connecting ───────▶ Connected ─ publish ─▶ … ─────────────────────▶ Closing ─ DISCONNECT ─▶ end
//!     ▲                  │  ▲        │ PUBACK: remove from the spool
//!     │ back-off,        │  └────────┘
//!     │ full jitter      │
//!     └── any failure ───┘  what was in flight is published again
//! ```

pub(crate) mod announcer;
mod config;
mod intake;
mod thread;
mod update;

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::events;
use crate::message::limits::LONGEST_RECEIVED;
use crate::message::payload::{self, Backlog, State};
use crate::monitor::{ROUND, Round};
use crate::mqtt::error::LinkError;
use crate::mqtt::link::{Link, LinkEvent};
use crate::outage::Outages;
use crate::spool::Spool;
use announcer::{Announcer, Message};
use config::{OFFLINE_GRACE, SHUTDOWN_BACKOFF, STORE_AGAIN_AFTER};
pub use config::{PublisherConfig, Timing};
use lectern_record::help::Explained;
pub use thread::{Background, DeliveryThread, EventLoop, Panicked, deliver};
pub use update::{OpenSpool, Summary, Update, UpdateSender};
use update::{Reload, Switchover};

/// The publish that waits for its PUBACK.
#[derive(Clone, Copy)]
enum InFlight {
    Status(State),
    Announcement,
    /// An empty message that withdraws the earlier announcement.
    Withdrawal,
    Record(u64),
    /// `offline` on the old topic after a configuration change.
    Offline,
}

/// The connection's next action.
enum Next {
    /// Wait for an acknowledgement.
    Wait(InFlight),
    /// Publish a record of the backlog, but not before this.
    Later(Instant),
    /// Send DISCONNECT.
    Disconnect,
    Nothing,
}

/// How a connection ended.
enum Ended {
    /// Everything is published and DISCONNECT is sent, or a new configuration needs another connection.
    Closed,
    Failed(LinkError),
}

/// The state of the deliver thread.
struct Publisher {
    config: PublisherConfig,
    spool: Spool,
    announcer: Announcer,
    state: State,
    since: Timestamp,
    /// Whether the current status is still to be published.
    status_due: bool,
    connected: bool,
    /// Set when the watch has ended: the deadline for publishing everything.
    shutdown_by: Option<Instant>,
    /// A new configuration, and how long it waits for the publish in flight.
    pending: Option<(Reload, Instant)>,
    /// Set when a new configuration needs another connection.
    switchover: Option<Switchover>,
    /// When records in memory are written to the disk.
    store_at: Option<Instant>,
    /// The earliest time for the next record of a backlog.
    not_before: Instant,
    /// Which outages are logged; the same problem is not logged again at each attempt.
    outages: Outages,
    /// The spool's state at the last status, without the number of records.
    reported: Backlog,
    /// The number of records in the last published status.
    reported_spooled: usize,
}

impl Publisher {
    fn new(config: PublisherConfig, spool: Spool) -> Self {
        let since = config.clock.wall();
        Self {
            config,
            spool,
            announcer: Announcer::new(),
            state: State::Starting,
            since,
            status_due: true,
            connected: false,
            shutdown_by: None,
            pending: None,
            switchover: None,
            store_at: None,
            not_before: Instant::now(),
            outages: Outages::default(),
            reported: Backlog::default(),
            reported_spooled: 0,
        }
    }

    /// Runs until the watch has ended and all is published, or the shutdown time is over.
    async fn run(mut self, mut updates: mpsc::Receiver<Update>) -> Summary {
        self.spool.stay();
        self.check_spool();
        let mut failures: u32 = 0;
        loop {
            let mut in_flight = None;
            let link = self.connect();
            let ended = self.use_link(link, &mut updates, &mut failures, &mut in_flight).await;
            if let Some((InFlight::Announcement | InFlight::Withdrawal, _)) = in_flight {
                self.announcer.failed();
            }
            self.connected = false;
            match ended {
                // Reconnect at once: the broker did not fail.
                _ if self.switchover.take().is_some() => {
                    failures = 0;
                    continue;
                }
                Ended::Closed => break,
                Ended::Failed(error) => self.report_outage(&Explained(&error).to_string()),
            }
            self.store();
            // The watch ends only after it has sent its last window, so a closed channel is empty.
            let retry = Instant::now() + self.config.timing.backoff(failures);
            failures = failures.saturating_add(1);
            if !self.collect_until(retry, &mut updates).await {
                log::warn!("the broker did not come back in time");
                break;
            }
            if self.switchover.take().is_some() {
                failures = 0;
            }
        }
        self.store();
        let (undelivered, kept) = (self.spool.len(), self.spool.survives_the_process());
        if undelivered > 0 {
            log::warn!(
                "windows could not be delivered: {}",
                if kept {
                    "they are kept for the next run"
                } else {
                    "nothing keeps them over the end of this process"
                }
            );
        }
        Summary { undelivered, kept, spool: self.spool }
    }

    /// UpdateSender the thread's state to the watchdog and to the local status file.
    fn notify_monitor(&mut self) {
        self.config.monitor.went_round(Round {
            setup: &self.config,
            state: (self.state, self.since),
            connected: self.connected,
            backlog: self.spool.backlog(),
            unreadable: self.spool.unreadable_files(),
            runtime: self.spool.runtime_folder(),
        });
    }

    fn report_outage(&mut self, problem: &str) {
        self.config.monitor.broker_away(problem);
        match self.outages.lost(self.config.clock.boot(), problem) {
            Some(left_out) => events::broker_lost(problem, left_out),
            None => log::debug!("{problem}"),
        }
    }

    fn connect(&self) -> Link {
        let will = self.status(State::Offline, self.config.clock.wall());
        Link::connect(&self.config.broker, Some((&self.config.topics.status, &will)), LONGEST_RECEIVED)
    }

    /// Uses one connection until it ends.
    async fn use_link(
        &mut self,
        mut link: Link,
        updates: &mut mpsc::Receiver<Update>,
        failures: &mut u32,
        in_flight: &mut Option<(InFlight, Instant)>,
    ) -> Ended {
        let mut disconnecting = false;
        loop {
            let now = Instant::now();
            let mut paced = None;
            self.apply_pending(in_flight.is_none());
            if self.switchover.as_ref().is_some_and(|switchover| !self.connected || switchover.by <= now) {
                return Ended::Closed;
            }
            self.notify_monitor();
            if self.connected && in_flight.is_none() && !disconnecting {
                match self.publish_next(&mut link, now) {
                    Ok(Next::Wait(what)) => {
                        *in_flight = Some((what, now + self.config.timing.acknowledge_within))
                    }
                    Ok(Next::Disconnect) => {
                        if let Err(error) = link.disconnect() {
                            return Ended::Failed(error);
                        }
                        disconnecting = true;
                    }
                    Ok(Next::Later(at)) => paced = Some(at),
                    Ok(Next::Nothing) => {}
                    Err(error) => return Ended::Failed(error),
                }
            }
            // The nearest deadline, and soon enough for the watchdog.
            let acknowledged_by = in_flight.map(|(_, limit)| limit);
            let limits = [acknowledged_by, self.shutdown_by, self.store_at, paced, self.change_deadline()];
            let wake = limits.into_iter().flatten().fold(now + ROUND, Instant::min);
            tokio::select! {
                update = updates.recv(), if self.shutdown_by.is_none() => self.accept(update),
                event = link.event() => match event {
                    Some(LinkEvent::Connected) => {
                        if self.outages.over() {
                            events::broker_back(&self.config.broker);
                        } else {
                            log::debug!("connected to broker {}", self.config.broker);
                        }
                        (self.connected, self.status_due) = (true, true);
                        self.announcer.connected();
                    }
                    Some(LinkEvent::Acknowledged) => {
                        let what = in_flight.take().map(|(what, _)| what);
                        // Only for a record: a broker that accepts the status and then disconnects this device would
                        // otherwise be retried for ever at the shortest back-off.
                        if matches!(what, Some(InFlight::Record(_))) {
                            *failures = 0;
                        }
                        self.acknowledged(what);
                    }
                    // The daemon subscribes to nothing.
                    Some(LinkEvent::SubAcked | LinkEvent::Received(_)) => {}
                    Some(LinkEvent::Disconnected) => return Ended::Closed,
                    Some(LinkEvent::Failed(_)) if disconnecting => return Ended::Closed,
                    Some(LinkEvent::Failed(error)) => return Ended::Failed(error),
                    None => return Ended::Failed(LinkError::network(&self.config.broker, "connection closed")),
                },
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if [acknowledged_by, self.shutdown_by].into_iter().flatten().any(|limit| limit <= now) {
                        return Ended::Failed(LinkError::network(&self.config.broker, "does not acknowledge"));
                    }
                    if self.store_at.is_some_and(|at| at <= now) {
                        self.store();
                    }
                }
            }
        }
    }

    /// Publishes the most urgent message: a changed status, the oldest record, an announcement, `offline`. Records precede
    /// the announcement, so that a rejected announcement blocks no record.
    fn publish_next(&mut self, link: &mut Link, now: Instant) -> Result<Next, LinkError> {
        if let Some(switchover) = &mut self.switchover {
            let Some((topic, payload)) = switchover.offline.take() else { return Ok(Next::Disconnect) };
            link.publish(&topic, true, &payload)?;
            return Ok(Next::Wait(InFlight::Offline));
        }
        let in_grace = self.shutdown_by.is_some_and(|by| now + OFFLINE_GRACE >= by);
        if in_grace && !self.status_due {
            self.enter(State::Offline);
        }
        if self.status_due {
            return self.publish_status(link);
        }
        if self.state == State::Offline {
            return Ok(Next::Disconnect);
        }
        if now < self.not_before && !self.spool.is_empty() {
            return Ok(Next::Later(self.not_before));
        }
        let oldest = self.spool.oldest(self.config.clock.boot());
        self.check_spool();
        if self.status_due {
            return self.publish_status(link);
        }
        if let Some((position, topic, record)) = oldest {
            link.publish(&topic, false, &record)?;
            self.not_before = now + self.config.timing.pace;
            return Ok(Next::Wait(InFlight::Record(position)));
        }
        // The retained status counts a backlog; update it once the backlog is gone or stalled.
        if self.reported_spooled > self.spool.len() {
            return self.publish_status(link);
        }
        match self.announcer.next(now, &self.config, self.spool.folder()) {
            Some(Message::Announcement(topic, payload)) => {
                link.publish(&topic, true, &payload)?;
                return Ok(Next::Wait(InFlight::Announcement));
            }
            Some(Message::Withdrawal(topic)) => {
                link.publish(&topic, true, "")?;
                return Ok(Next::Wait(InFlight::Withdrawal));
            }
            None => {}
        }
        if self.shutdown_by.is_some() && !self.spool.can_deliver() {
            self.enter(State::Offline);
            return self.publish_status(link);
        }
        Ok(Next::Nothing)
    }

    fn publish_status(&mut self, link: &mut Link) -> Result<Next, LinkError> {
        let status = self.status(self.state, self.since);
        link.publish(&self.config.topics.status, true, &status)?;
        (self.status_due, self.reported_spooled) = (false, self.spool.len());
        Ok(Next::Wait(InFlight::Status(self.state)))
    }

    fn acknowledged(&mut self, what: Option<InFlight>) {
        match what {
            Some(InFlight::Record(position)) => {
                self.spool.remove(position);
                if self.spool.unstored() == 0 {
                    self.store_at = None;
                }
            }
            Some(InFlight::Status(state)) => log::debug!("the broker has the status {state:?}"),
            Some(InFlight::Announcement) => self.announcer.announced(),
            Some(InFlight::Withdrawal) => announcer::note(self.spool.folder(), None),
            Some(InFlight::Offline) | None => {}
        }
    }

    /// Makes a status due when records become unreadable, readable or dropped, or the disk fails or recovers.
    fn check_spool(&mut self) {
        let reported = Backlog { spooled: 0, ..self.spool.backlog() };
        if reported != self.reported {
            self.reported = reported;
            self.status_due = true;
        }
    }

    /// Writes the records in memory to the disk.
    fn store(&mut self) {
        let unstored = self.spool.unstored();
        self.spool.store();
        self.check_spool();
        let left = self.spool.unstored();
        // Many are stored a part at a time, so that the connection is served meanwhile.
        let pause = if left < unstored { Duration::ZERO } else { STORE_AGAIN_AFTER };
        self.store_at = (left > 0).then(|| Instant::now() + pause);
    }

    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.since = self.config.clock.wall();
            self.status_due = true;
        }
    }

    /// Handles updates until `retry`, or until another configuration arrives; false when the shutdown time is over.
    async fn collect_until(&mut self, retry: Instant, updates: &mut mpsc::Receiver<Update>) -> bool {
        let was_stopping = self.shutdown_by.is_some();
        self.apply_pending(true);
        while self.shutdown_by.is_none() && self.switchover.is_none() {
            self.notify_monitor();
            match timeout_at(retry.min(Instant::now() + ROUND), updates.recv()).await {
                Ok(update) => self.accept(update),
                Err(_) if Instant::now() < retry => {}
                Err(_) => return true,
            }
        }
        if self.switchover.is_some() {
            return true;
        }
        if was_stopping {
            sleep_until(Instant::now() + SHUTDOWN_BACKOFF).await;
        }
        self.shutdown_by.is_some_and(|limit| Instant::now() < limit)
    }

    fn status(&self, state: State, since: Timestamp) -> payload::Payload {
        payload::status(&self.config.identity, state, since, self.spool.backlog(), &self.config.basis)
    }
}
