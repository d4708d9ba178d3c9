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
use super::payload::{self, State};
use super::{Delivery, Report, Summary};
use crate::service::events;
use crate::service::health::{DELIVERY_ROUND, Part};

/// A PUBACK that takes longer means that the connection is dead, whatever TCP believes.
const ACK_WITHIN: Duration = Duration::from_secs(15);

/// The back-off grows from here, doubling with each failure, to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// How long a stop may take to deliver what is left.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// Who leaves does not wait long for the next attempt, and makes the first one at once.
const LEAVING_BACKOFF: Duration = Duration::from_millis(500);

/// What waits for its PUBACK.
#[derive(Clone, Copy)]
enum InFlight {
    Status(State),
    Record(u64),
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
    connected: bool,
    /// Set when the watch has ended: by then all must be published.
    leave_by: Option<Instant>,
    /// The last complaint about the broker; the same one is not made again at each attempt.
    complaint: Option<String>,
}

impl Publisher {
    pub(super) fn new(setup: Delivery) -> Self {
        let since = setup.clock.wall();
        Self {
            setup,
            state: State::Starting,
            since,
            status_due: true,
            connected: false,
            leave_by: None,
            complaint: None,
        }
    }

    /// Runs until the watch has ended and all is published, or [`LEAVE_WITHIN`] is over.
    pub(super) async fn run(mut self, mut reports: mpsc::Receiver<Report>) -> Summary {
        let mut failures: u32 = 0;
        loop {
            let ended = match self.connect() {
                Ok(link) => self.use_link(link, &mut reports, &mut failures).await,
                Err(error) => Ended::Failed(error),
            };
            self.connected = false;
            self.setup.health.set_broker_connected(false);
            match ended {
                Ended::Left => break,
                Ended::Failed(error) => self.complain(error.to_string()),
            }
            // The watch ends only after it has sent its last window, so a closed channel is empty.
            let retry = Instant::now() + backoff(failures);
            failures = failures.saturating_add(1);
            if !self.collect_until(retry, &mut reports).await {
                log::warn!("the broker did not come back in time");
                break;
            }
        }
        let undelivered = self.setup.spool.len() as u64;
        if undelivered > 0 {
            log::warn!("windows that could not be delivered are lost: the broker was away until the end");
        }
        Summary { undelivered }
    }

    fn complain(&mut self, problem: String) {
        if self.complaint.as_ref() == Some(&problem) {
            log::debug!("{problem}");
        } else {
            events::broker_lost(&problem);
            self.complaint = Some(problem);
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
    ) -> Ended {
        let mut in_flight: Option<(InFlight, Instant)> = None;
        let mut leaving = false;
        loop {
            self.setup.health.progress(Part::Delivery);
            if self.connected && in_flight.is_none() && !leaving {
                match self.publish_next(&link) {
                    Ok(Some(what)) => in_flight = Some((what, Instant::now() + ACK_WITHIN)),
                    Ok(None) if self.state == State::Offline => {
                        if let Err(error) = link.disconnect() {
                            return Ended::Failed(LinkError::network(&self.setup.broker, error));
                        }
                        leaving = true;
                    }
                    Ok(None) => {}
                    Err(error) => return Ended::Failed(LinkError::network(&self.setup.broker, error)),
                }
            }
            // Whichever time limit is nearest; none while the connection is idle, which the keep-alive watches.
            let limit = [in_flight.map(|(_, limit)| limit), self.leave_by].into_iter().flatten().min();
            tokio::select! {
                report = reports.recv(), if self.leave_by.is_none() => self.accept(report),
                event = link.event() => match event {
                    Some(LinkEvent::Connected) => {
                        events::broker_back(&self.setup.broker);
                        self.setup.health.set_broker_connected(true);
                        (self.connected, self.status_due, self.complaint) = (true, true, None);
                    }
                    Some(LinkEvent::Acknowledged) => {
                        *failures = 0;
                        self.acknowledged(in_flight.take().map(|(what, _)| what));
                    }
                    Some(LinkEvent::Disconnected) => return Ended::Left,
                    Some(LinkEvent::Failed(_)) if leaving => return Ended::Left,
                    Some(LinkEvent::Failed(error)) => return Ended::Failed(error),
                    None => return Ended::Failed(LinkError::network(&self.setup.broker, "connection closed")),
                },
                () = sleep_until(limit.unwrap_or_else(Instant::now)), if limit.is_some() => {
                    return Ended::Failed(LinkError::network(&self.setup.broker, "does not acknowledge"));
                }
                // Nothing to do but to show that this thread lives.
                () = sleep_until(Instant::now() + DELIVERY_ROUND) => {}
            }
        }
    }

    /// Publishes what is due first: a changed status, then the oldest record, then the farewell.
    fn publish_next(&mut self, link: &Link) -> Result<Option<InFlight>, rumqttc::ClientError> {
        if !self.status_due && self.leave_by.is_some() && self.setup.spool.is_empty() {
            self.enter(State::Offline);
        }
        if self.status_due {
            let status = self.status(self.state, self.since);
            link.publish(&self.setup.topics.status, true, &status)?;
            self.status_due = false;
            return Ok(Some(InFlight::Status(self.state)));
        }
        let Some((position, record)) = self.setup.spool.oldest() else { return Ok(None) };
        link.publish(&self.setup.topics.minute, false, record)?;
        Ok(Some(InFlight::Record(position)))
    }

    fn acknowledged(&mut self, what: Option<InFlight>) {
        match what {
            Some(InFlight::Record(position)) => {
                let backlog = self.setup.spool.len() > 1;
                self.setup.spool.remove(position);
                // The retained status told of a backlog; tell that it is gone.
                self.status_due |= backlog && self.setup.spool.is_empty();
            }
            Some(InFlight::Status(state)) => log::debug!("the broker has the status {state:?}"),
            None => {}
        }
    }

    /// Takes one report; `None` tells that the watch has ended.
    fn accept(&mut self, report: Option<Report>) {
        match report {
            Some(Report::Record(record)) => {
                let replayed = !self.connected;
                let dropped = self.setup.spool.dropped();
                self.setup.spool.push(payload::minute(&self.setup.identity, &record, replayed));
                if self.setup.spool.dropped() != dropped {
                    events::records_dropped();
                    self.status_due = true;
                }
            }
            Some(Report::State(state)) => self.enter(state),
            None => self.leave_by = Some(Instant::now() + LEAVE_WITHIN),
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
        payload::status(identity, state, since, spool.len(), spool.dropped(), basis)
    }
}

/// Full jitter: anything between nothing and the doubled back-off, so that a thousand devices that lost the
/// same broker do not come back in step.
fn backoff(failures: u32) -> Duration {
    let longest = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF);
    let random = getrandom::u32().unwrap_or(u32::MAX);
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_to_its_limit_and_is_spread() {
        let longest = |failures| (0..200).map(|_| backoff(failures)).max().unwrap();
        assert!(longest(0) <= FIRST_BACKOFF);
        assert!(longest(40) <= LONGEST_BACKOFF && longest(40) > LONGEST_BACKOFF / 2);
        let some: std::collections::HashSet<_> = (0..20).map(|_| backoff(6)).collect();
        assert!(some.len() > 15);
    }
}
