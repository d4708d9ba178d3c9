//! What the deliver thread does: takes reports at once, publishes them one at a time, oldest first.
//!
//! ```text
//!            CONNACK                          nothing left, stopping
//! Connecting ───────▶ Connected ─ publish ─▶ … ─────────────────────▶ Leaving ─ DISCONNECT ─▶ end
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
use config::{FAREWELL, LEAVING_BACKOFF};
pub use config::{Setup, Timing};
use lectern_record::help::Explained;
pub use thread::{Beside, DeliveryThread, EventLoop, Panicked, deliver};
use update::{Moving, Reload};
pub use update::{OpenSpool, Report, Reports, Summary};

/// How long a disk that took no records is left alone.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What waits for its PUBACK.
#[derive(Clone, Copy)]
enum InFlight {
    Status(State),
    Announcement,
    /// The earlier announcement is withdrawn.
    Withdrawal,
    Record(u64),
    /// `offline` at the place that a new configuration leaves.
    Farewell,
}

/// What the connection is to do now.
enum Next {
    /// Wait for an acknowledgement.
    Wait(InFlight),
    /// Publish a record of the backlog, but not before this.
    Later(Instant),
    /// Say goodbye.
    Leave,
    Nothing,
}

/// How a connection ended.
enum Ended {
    /// Everything is published and the broker knows that we left, or a new configuration needs another connection.
    Left,
    Failed(LinkError),
}

/// The state of the deliver thread.
struct Publisher {
    setup: Setup,
    spool: Spool,
    announcer: Announcer,
    state: State,
    since: Timestamp,
    /// Whether the broker has not yet seen the current status.
    status_due: bool,
    connected: bool,
    /// Set when the watch has ended: by then all must be published.
    leave_by: Option<Instant>,
    /// A new configuration, and until when what is in flight is waited for.
    pending: Option<(Reload, Instant)>,
    /// Set when a new configuration needs another connection.
    moving: Option<Moving>,
    /// When records that still wait in memory go to the disk.
    store_at: Option<Instant>,
    /// Before this a record of a backlog is not published.
    not_before: Instant,
    /// What the journal is told of the broker; the same complaint is not made again at each attempt.
    outages: Outages,
    /// What was told of the spool last, but for how many records wait.
    told: Backlog,
    /// How many records wait according to the status that was published last.
    told_spooled: usize,
}

impl Publisher {
    fn new(setup: Setup, spool: Spool) -> Self {
        let since = setup.clock.wall();
        Self {
            setup,
            spool,
            announcer: Announcer::new(),
            state: State::Starting,
            since,
            status_due: true,
            connected: false,
            leave_by: None,
            pending: None,
            moving: None,
            store_at: None,
            not_before: Instant::now(),
            outages: Outages::default(),
            told: Backlog::default(),
            told_spooled: 0,
        }
    }

    /// Runs until the watch has ended and all is published, or the time to leave is over.
    async fn run(mut self, mut reports: mpsc::Receiver<Report>) -> Summary {
        self.spool.stay();
        self.look_at_spool();
        let mut failures: u32 = 0;
        loop {
            let mut in_flight = None;
            let ended = match self.connect() {
                Ok(link) => self.use_link(link, &mut reports, &mut failures, &mut in_flight).await,
                Err(error) => Ended::Failed(error),
            };
            if let Some((InFlight::Announcement | InFlight::Withdrawal, _)) = in_flight {
                self.announcer.failed();
            }
            self.connected = false;
            match ended {
                // At once, for it was not the broker that failed.
                _ if self.moving.take().is_some() => {
                    failures = 0;
                    continue;
                }
                Ended::Left => break,
                Ended::Failed(error) => self.complain(&Explained(&error).to_string()),
            }
            self.store();
            // The watch ends only after it has sent its last window, so a closed channel is empty.
            let retry = Instant::now() + self.setup.timing.backoff(failures);
            failures = failures.saturating_add(1);
            if !self.collect_until(retry, &mut reports).await {
                log::warn!("the broker did not come back in time");
                break;
            }
            if self.moving.take().is_some() {
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

    /// Shows that this thread lives, to the watchdog and to this machine.
    fn go_round(&mut self) {
        self.setup.monitor.went_round(Round {
            setup: &self.setup,
            state: (self.state, self.since),
            connected: self.connected,
            backlog: self.spool.backlog(),
            unreadable: self.spool.unreadable_files(),
            runtime: self.spool.runtime_folder(),
        });
    }

    fn complain(&mut self, problem: &str) {
        self.setup.monitor.broker_away(problem);
        match self.outages.lost(self.setup.clock.boot(), problem) {
            Some(left_out) => events::broker_lost(problem, left_out),
            None => log::debug!("{problem}"),
        }
    }

    fn connect(&self) -> Result<Link, LinkError> {
        let will = self.status(State::Offline, self.setup.clock.wall());
        Link::connect(&self.setup.broker, Some((&self.setup.topics.status, &will)), LONGEST_RECEIVED)
    }

    /// Uses one connection for as long as it lasts.
    async fn use_link(
        &mut self,
        mut link: Link,
        reports: &mut mpsc::Receiver<Report>,
        failures: &mut u32,
        in_flight: &mut Option<(InFlight, Instant)>,
    ) -> Ended {
        let mut leaving = false;
        loop {
            let now = Instant::now();
            let mut paced = None;
            self.take_over(in_flight.is_none());
            if self.moving.as_ref().is_some_and(|moving| !self.connected || moving.by <= now) {
                return Ended::Left;
            }
            self.go_round();
            if self.connected && in_flight.is_none() && !leaving {
                match self.publish_next(&mut link, now) {
                    Ok(Next::Wait(what)) => {
                        *in_flight = Some((what, now + self.setup.timing.acknowledge_within))
                    }
                    Ok(Next::Leave) => {
                        if let Err(error) = link.disconnect() {
                            return Ended::Failed(error);
                        }
                        leaving = true;
                    }
                    Ok(Next::Later(at)) => paced = Some(at),
                    Ok(Next::Nothing) => {}
                    Err(error) => return Ended::Failed(error),
                }
            }
            // Whichever is nearest, and soon enough to show that this thread lives.
            let acknowledged_by = in_flight.map(|(_, limit)| limit);
            let limits = [acknowledged_by, self.leave_by, self.store_at, paced, self.changes_by()];
            let wake = limits.into_iter().flatten().fold(now + ROUND, Instant::min);
            tokio::select! {
                report = reports.recv(), if self.leave_by.is_none() => self.accept(report),
                event = link.event() => match event {
                    Some(LinkEvent::Connected) => {
                        if self.outages.over() {
                            events::broker_back(&self.setup.broker);
                        } else {
                            log::debug!("connected to broker {}", self.setup.broker);
                        }
                        (self.connected, self.status_due) = (true, true);
                        self.announcer.connected();
                    }
                    Some(LinkEvent::Acknowledged) => {
                        let what = in_flight.take().map(|(what, _)| what);
                        // Not at the status, or one that takes it and then throws this device out would be asked for ever at
                        // the shortest back-off.
                        if matches!(what, Some(InFlight::Record(_))) {
                            *failures = 0;
                        }
                        self.acknowledged(what);
                    }
                    // Nothing was subscribed to.
                    Some(LinkEvent::Answered | LinkEvent::Received(_)) => {}
                    Some(LinkEvent::Disconnected) => return Ended::Left,
                    Some(LinkEvent::Failed(_)) if leaving => return Ended::Left,
                    Some(LinkEvent::Failed(error)) => return Ended::Failed(error),
                    None => return Ended::Failed(LinkError::network(&self.setup.broker, "connection closed")),
                },
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if [acknowledged_by, self.leave_by].into_iter().flatten().any(|limit| limit <= now) {
                        return Ended::Failed(LinkError::network(&self.setup.broker, "does not acknowledge"));
                    }
                    if self.store_at.is_some_and(|at| at <= now) {
                        self.store();
                    }
                }
            }
        }
    }

    /// Publishes what is due first: a changed status, the oldest record, an announcement, the farewell. Records come before
    /// the announcement, so that one which cannot be delivered stops none of them.
    fn publish_next(&mut self, link: &mut Link, now: Instant) -> Result<Next, LinkError> {
        if let Some(moving) = &mut self.moving {
            let Some((topic, payload)) = moving.farewell.take() else { return Ok(Next::Leave) };
            link.publish(&topic, true, &payload)?;
            return Ok(Next::Wait(InFlight::Farewell));
        }
        let no_time_left = self.leave_by.is_some_and(|by| now + FAREWELL >= by);
        if no_time_left && !self.status_due {
            self.enter(State::Offline);
        }
        if self.status_due {
            return self.publish_status(link);
        }
        if self.state == State::Offline {
            return Ok(Next::Leave);
        }
        if now < self.not_before && !self.spool.is_empty() {
            return Ok(Next::Later(self.not_before));
        }
        let oldest = self.spool.oldest(self.setup.clock.boot());
        self.look_at_spool();
        if self.status_due {
            return self.publish_status(link);
        }
        if let Some((position, topic, record)) = oldest {
            link.publish(&topic, false, &record)?;
            self.not_before = now + self.setup.timing.pace;
            return Ok(Next::Wait(InFlight::Record(position)));
        }
        // The retained status tells of a backlog; tell that it is gone, or what is left of it for now.
        if self.told_spooled > self.spool.len() {
            return self.publish_status(link);
        }
        match self.announcer.next(now, &self.setup, self.spool.folder()) {
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
        if self.leave_by.is_some() && !self.spool.can_deliver() {
            self.enter(State::Offline);
            return self.publish_status(link);
        }
        Ok(Next::Nothing)
    }

    fn publish_status(&mut self, link: &mut Link) -> Result<Next, LinkError> {
        let status = self.status(self.state, self.since);
        link.publish(&self.setup.topics.status, true, &status)?;
        (self.status_due, self.told_spooled) = (false, self.spool.len());
        Ok(Next::Wait(InFlight::Status(self.state)))
    }

    fn acknowledged(&mut self, what: Option<InFlight>) {
        match what {
            Some(InFlight::Record(position)) => {
                self.spool.remove(position);
                if !self.spool.has_unstored() {
                    self.store_at = None;
                }
            }
            Some(InFlight::Status(state)) => log::debug!("the broker has the status {state:?}"),
            Some(InFlight::Announcement) => self.announcer.announced(),
            Some(InFlight::Withdrawal) => announcer::note(self.spool.folder(), None),
            Some(InFlight::Farewell) | None => {}
        }
    }

    /// Tells of records that cannot be read at present, of those given up, and of a disk that comes or goes.
    fn look_at_spool(&mut self) {
        let told = Backlog { spooled: 0, ..self.spool.backlog() };
        if told != self.told {
            self.told = told;
            self.status_due = true;
        }
    }

    /// Brings what waits in memory to the disk.
    fn store(&mut self) {
        self.spool.store();
        self.look_at_spool();
        self.store_at = self.spool.has_unstored().then(|| Instant::now() + STORE_AGAIN_AFTER);
    }

    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.since = self.setup.clock.wall();
            self.status_due = true;
        }
    }

    /// Goes on taking reports until `retry`, or until another configuration has come; false when the time to leave is over.
    async fn collect_until(&mut self, retry: Instant, reports: &mut mpsc::Receiver<Report>) -> bool {
        let was_leaving = self.leave_by.is_some();
        self.take_over(true);
        while self.leave_by.is_none() && self.moving.is_none() {
            self.go_round();
            match timeout_at(retry.min(Instant::now() + ROUND), reports.recv()).await {
                Ok(report) => self.accept(report),
                Err(_) if Instant::now() < retry => {}
                Err(_) => return true,
            }
        }
        if self.moving.is_some() {
            return true;
        }
        if was_leaving {
            sleep_until(Instant::now() + LEAVING_BACKOFF).await;
        }
        self.leave_by.is_some_and(|limit| Instant::now() < limit)
    }

    fn status(&self, state: State, since: Timestamp) -> payload::Payload {
        payload::status(&self.setup.identity, state, since, self.spool.backlog(), &self.setup.basis)
    }
}
