//! The deliver thread: takes reports at once, publishes them one at a time, oldest first.
//!
//! ```text
//!            CONNACK                          nothing left, stopping
//! Connecting ───────▶ Connected ─ publish ─▶ … ─────────────────────▶ Leaving ─ DISCONNECT ─▶ end
//!     ▲                  │  ▲        │ PUBACK: remove from the spool
//!     │ back-off,        │  └────────┘
//!     │ full jitter      │
//!     └── any failure ───┘  what was in flight is published again
//! ```

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::link::{Link, LinkError, LinkEvent};
use super::payload::{self, Backlog, State};
use super::{Delivery, Report, Summary, discovery};
use crate::service::events;
use crate::service::health::{DELIVERY_ROUND, Part};
use crate::service::outage::Outages;

/// Who leaves does not wait long for the next attempt, and makes the first one at once.
const LEAVING_BACKOFF: Duration = Duration::from_millis(500);

/// How much of the time to leave is kept for saying so.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long this device is not announced again after a connection that ended over it: a broker that closes on it (access
/// rules, a limit on messages) would otherwise be away half of the time.
const ANNOUNCE_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

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
    /// Everything is published and the broker knows that we left.
    Left,
    Failed(LinkError),
}

/// The state of the deliver thread.
pub(super) struct Publisher {
    setup: Delivery,
    state: State,
    since: Timestamp,
    /// Whether the broker has not yet seen the current status.
    status_due: bool,
    /// Whether the broker has yet to be told that Home Assistant should know this device, or no longer.
    announcement_due: bool,
    /// Before this the device is not announced.
    announce_not_before: Instant,
    connected: bool,
    /// Set when the watch has ended: by then all must be published.
    leave_by: Option<Instant>,
    /// When records that still wait in memory go to the disk.
    store_at: Option<Instant>,
    /// Before this a record of a backlog is not published.
    not_before: Instant,
    /// What the journal is told of the broker; the same complaint is not made again at each attempt.
    outages: Outages,
    /// How many records could not be read, and were dropped, when it was told last.
    told: (u64, u64),
}

impl Publisher {
    pub(super) fn new(setup: Delivery) -> Self {
        let since = setup.clock.wall();
        Self {
            setup,
            state: State::Starting,
            since,
            status_due: true,
            announcement_due: true,
            announce_not_before: Instant::now(),
            connected: false,
            leave_by: None,
            store_at: None,
            not_before: Instant::now(),
            outages: Outages::default(),
            told: (0, 0),
        }
    }

    /// Runs until the watch has ended and all is published, or the time to leave is over.
    pub(super) async fn run(mut self, mut reports: mpsc::Receiver<Report>) -> Summary {
        self.setup.spool.stay();
        self.look_at_spool();
        let mut failures: u32 = 0;
        loop {
            let mut in_flight = None;
            let ended = match self.connect() {
                Ok(link) => self.use_link(link, &mut reports, &mut failures, &mut in_flight).await,
                Err(error) => Ended::Failed(error),
            };
            if let Some((InFlight::Announcement | InFlight::Withdrawal, _)) = in_flight {
                self.announce_not_before = Instant::now() + ANNOUNCE_AGAIN_AFTER;
                log::warn!(
                    "the connection ended while Home Assistant was told of this device; it is told again in a quarter of an \
                     hour: allow this device to publish on homeassistant/#, or set mqtt.discovery = false"
                );
            }
            self.connected = false;
            self.setup.health.set_broker_connected(false);
            match ended {
                Ended::Left => break,
                Ended::Failed(error) => self.complain(&error.to_string()),
            }
            self.store();
            // The watch ends only after it has sent its last window, so a closed channel is empty.
            let retry = Instant::now() + self.backoff(failures);
            failures = failures.saturating_add(1);
            if !self.collect_until(retry, &mut reports).await {
                log::warn!("the broker did not come back in time");
                break;
            }
        }
        self.store();
        let spool = self.setup.spool;
        let (undelivered, kept) = (spool.len(), spool.survives_the_process());
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
        Summary { undelivered, kept, spool }
    }

    /// Full jitter: anything between nothing and the doubled back-off, so that a thousand devices that lost the
    /// same broker do not come back in step.
    fn backoff(&self, failures: u32) -> Duration {
        let timing = &self.setup.timing;
        let longest = timing.first_backoff.saturating_mul(1 << failures.min(16)).min(timing.longest_backoff);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    fn complain(&mut self, problem: &str) {
        match self.outages.lost(self.setup.clock.boot(), problem) {
            Some(left_out) => events::broker_lost(problem, left_out),
            None => log::debug!("{problem}"),
        }
    }

    fn connect(&self) -> Result<Link, LinkError> {
        let will = self.status(State::Offline, self.setup.clock.wall());
        Link::connect(&self.setup.broker, Some((&self.setup.topics.status, &will)))
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
            self.setup.health.progress(Part::Delivery);
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
            let limits = [acknowledged_by, self.leave_by, self.store_at, paced];
            let wake = limits.into_iter().flatten().fold(now + DELIVERY_ROUND, Instant::min);
            tokio::select! {
                report = reports.recv(), if self.leave_by.is_none() => self.accept(report),
                event = link.event() => match event {
                    Some(LinkEvent::Connected) => {
                        if self.outages.over() {
                            events::broker_back(&self.setup.broker);
                        } else {
                            log::debug!("connected to broker {}", self.setup.broker);
                        }
                        self.setup.health.set_broker_connected(true);
                        (self.connected, self.status_due) = (true, true);
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
        if now < self.not_before && !self.setup.spool.is_empty() {
            return Ok(Next::Later(self.not_before));
        }
        let oldest = self.setup.spool.oldest(self.setup.clock.boot());
        self.look_at_spool();
        if self.status_due {
            return self.publish_status(link);
        }
        if let Some((position, topic, record)) = oldest {
            link.publish(&topic, false, &record)?;
            self.not_before = now + self.setup.timing.pace;
            return Ok(Next::Wait(InFlight::Record(position)));
        }
        if self.announcement_due && now >= self.announce_not_before {
            if let Some(what) = self.announce(link)? {
                return Ok(Next::Wait(what));
            }
            self.announcement_due = false;
        }
        if self.leave_by.is_some() && !self.setup.spool.can_deliver() {
            self.enter(State::Offline);
            return self.publish_status(link);
        }
        Ok(Next::Nothing)
    }

    fn publish_status(&mut self, link: &mut Link) -> Result<Next, LinkError> {
        let status = self.status(self.state, self.since);
        link.publish(&self.setup.topics.status, true, &status)?;
        self.status_due = false;
        Ok(Next::Wait(InFlight::Status(self.state)))
    }

    /// Announces this device to Home Assistant, or withdraws what an earlier run announced.
    fn announce(&mut self, link: &mut Link) -> Result<Option<InFlight>, LinkError> {
        let Delivery { topics, identity, spool, discovery, .. } = &mut self.setup;
        let topic = discovery::topic(topics);
        // A device that was renamed, or that is no longer to be found. Its ghost would stay for ever.
        // What a power loss made of the note is no topic, and a broker would throw out who publishes on it.
        let earlier = spool.discovered().filter(|topic| discovery::is_topic(topic));
        if let Some(old) = &earlier
            && (discovery.is_none() || *old != topic)
        {
            link.publish(old, true, "")?;
            return Ok(Some(InFlight::Withdrawal));
        }
        let Some(window_seconds) = *discovery else { return Ok(None) };
        // Noted first: what may have been announced can be withdrawn.
        if earlier.is_none() {
            spool.set_discovered(Some(&topic));
        }
        link.publish(&topic, true, &discovery::payload(identity, topics, window_seconds))?;
        Ok(Some(InFlight::Announcement))
    }

    fn acknowledged(&mut self, what: Option<InFlight>) {
        match what {
            Some(InFlight::Record(position)) => {
                let backlog = self.setup.spool.len() > 1;
                self.setup.spool.remove(position);
                if !self.setup.spool.has_unstored() {
                    self.store_at = None;
                }
                // The retained status told of a backlog; tell that it is gone.
                self.status_due |= backlog && !self.setup.spool.can_deliver();
            }
            Some(InFlight::Status(state)) => log::debug!("the broker has the status {state:?}"),
            Some(InFlight::Announcement) => self.announcement_due = false,
            Some(InFlight::Withdrawal) => self.setup.spool.set_discovered(None),
            None => {}
        }
    }

    /// Tells of records that cannot be read at present, and of those given up.
    fn look_at_spool(&mut self) {
        let spool = &self.setup.spool;
        let told = (spool.unreadable(), spool.dropped());
        if told != self.told {
            self.told = told;
            self.status_due = true;
            self.setup.health.set_unreadable(spool.unreadable_files());
        }
    }

    /// Brings what waits in memory to the disk.
    fn store(&mut self) {
        let before = (self.setup.spool.uses_disk(), self.setup.spool.dropped());
        self.setup.spool.store();
        self.status_due |= (self.setup.spool.uses_disk(), self.setup.spool.dropped()) != before;
        self.store_at = self.setup.spool.has_unstored().then(|| Instant::now() + STORE_AGAIN_AFTER);
    }

    /// Takes one report; `None` tells that the watch has ended.
    fn accept(&mut self, report: Option<Report>) {
        let Delivery { identity, topics, spool, timing, .. } = &mut self.setup;
        match report {
            Some(Report::Record(record)) => {
                let (replayed, dropped) = (!self.connected, spool.dropped());
                spool.push(record.seq, &topics.minute, &payload::minute(identity, &record, replayed));
                self.status_due |= spool.dropped() != dropped;
                if self.connected {
                    self.store_at = self.store_at.or(Some(Instant::now() + timing.store_after));
                } else {
                    self.store();
                }
            }
            // Whoever publishes this will be another process, later.
            Some(Report::Open(record)) => {
                spool.keep_open(record.seq, &topics.minute, &payload::minute(identity, &record, true));
            }
            Some(Report::State(state)) => self.enter(state),
            None => {
                spool.leave();
                self.leave_by = Some(Instant::now() + timing.leave_within);
            }
        }
    }

    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.since = self.setup.clock.wall();
            self.status_due = true;
        }
    }

    /// Goes on taking reports until `retry`; false when the time to leave is over.
    async fn collect_until(&mut self, retry: Instant, reports: &mut mpsc::Receiver<Report>) -> bool {
        let was_leaving = self.leave_by.is_some();
        while self.leave_by.is_none() {
            self.setup.health.progress(Part::Delivery);
            match timeout_at(retry.min(Instant::now() + DELIVERY_ROUND), reports.recv()).await {
                Ok(report) => self.accept(report),
                Err(_) if Instant::now() < retry => {}
                Err(_) => return true,
            }
        }
        if was_leaving {
            sleep_until(Instant::now() + LEAVING_BACKOFF).await;
        }
        self.leave_by.is_some_and(|limit| Instant::now() < limit)
    }

    fn status(&self, state: State, since: Timestamp) -> payload::Payload {
        let Delivery { identity, spool, basis, .. } = &self.setup;
        let backlog = Backlog {
            spooled: spool.len(),
            unreadable: spool.unreadable(),
            dropped: spool.dropped(),
            on_disk: spool.uses_disk(),
        };
        payload::status(identity, state, since, backlog, basis)
    }
}
