//! When Home Assistant is told of this device, and the note on the disk of where it was told.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Setup;
use crate::message::discovery;
use crate::spool::DISCOVERED;
use crate::spool::storage::Storage;

/// How long this device is not announced again after a connection that ended over it: a broker that closes on it (access
/// rules, a limit on messages) would otherwise be away half of the time.
const ANNOUNCE_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

/// The longest topic of a discovery message, generously.
const LONGEST_DISCOVERED: usize = 4096;

/// What is to be published, retained.
pub(super) enum Message {
    /// The announcement: its topic and payload.
    Announcement(String, String),
    /// An earlier announcement on this topic is withdrawn.
    Withdrawal(String),
}

/// Whether the broker has yet to be told that Home Assistant should know this device, or no longer.
pub(super) struct Announcer {
    due: bool,
    /// Before this the device is not announced.
    not_before: Instant,
    /// The announcement that was withdrawn on this connection: its note may outlive it on a disk that takes no writes.
    withdrawn: Option<String>,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self { due: true, not_before: Instant::now(), withdrawn: None }
    }

    /// A broker that was restarted may have forgotten what it had retained, and does not say so: with a clean session
    /// nothing in its answer tells. So it is told again at each connection.
    pub(super) fn connected(&mut self) {
        self.due = true;
        self.withdrawn = None;
    }

    /// What to publish next. `folder` holds the note, where there is a disk.
    pub(super) fn next(
        &mut self,
        now: Instant,
        setup: &Setup,
        folder: Option<&mut dyn Storage>,
    ) -> Option<Message> {
        if !self.due || now < self.not_before {
            return None;
        }
        let topic = discovery::topic(&setup.topics);
        // A device that was renamed, or that is no longer to be found. Its ghost would stay for ever.
        // What a power loss made of the note is no topic, and a broker would throw out who publishes on it.
        let earlier = noted(folder.as_deref())
            .filter(|topic| discovery::is_topic(topic) && self.withdrawn.as_ref() != Some(topic));
        if let Some(old) = &earlier
            && (setup.discovery.is_none() || *old != topic)
        {
            self.withdrawn = Some(old.clone());
            return Some(Message::Withdrawal(old.clone()));
        }
        let Some(window_seconds) = setup.discovery else {
            self.due = false;
            return None;
        };
        // Noted first: what may have been announced can be withdrawn.
        if earlier.is_none() {
            note(folder, Some(&topic));
        }
        let payload = discovery::payload(&setup.identity.device, &setup.topics, window_seconds);
        Some(Message::Announcement(topic, payload))
    }

    /// The broker has the announcement.
    pub(super) fn announced(&mut self) {
        self.due = false;
    }

    /// The connection ended before the broker had acknowledged what [`Announcer::next`] gave.
    pub(super) fn failed(&mut self) {
        self.not_before = Instant::now() + ANNOUNCE_AGAIN_AFTER;
        log::warn!(
            "the connection ended while Home Assistant was told of this device; it is told again in a quarter of an \
             hour: allow this device to publish on homeassistant/#, or set mqtt.discovery = false"
        );
    }
}

/// The topic on which this device announced itself last, if it did; what is not kept on a disk is not known.
pub(crate) fn noted(folder: Option<&dyn Storage>) -> Option<String> {
    let topic = folder?.read(DISCOVERED, LONGEST_DISCOVERED).ok()?;
    String::from_utf8(topic).ok()
}

/// Remembers the topic of an announcement until it is withdrawn (`None`).
pub(super) fn note(folder: Option<&mut dyn Storage>, topic: Option<&str>) {
    let Some(folder) = folder else { return };
    let done = match topic {
        Some(topic) => folder.replace(DISCOVERED, topic.as_bytes()).and_then(|()| folder.sync(DISCOVERED)),
        None => folder.remove(DISCOVERED),
    };
    if let Err(error) = done {
        log::warn!("that this device is announced to Home Assistant cannot be noted on the disk: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::config::Timing;
    use super::*;
    use crate::message::payload::Identity;
    use crate::message::topics::Topics;
    use crate::monitor::Unmonitored;
    use crate::mqtt::Broker;
    use crate::spool::Fake;
    use lectern_record::clock::{Stop, SystemClock};

    fn setup(discovery: Option<u32>) -> Setup {
        Setup {
            broker: Broker {
                host: "localhost".to_owned(),
                port: 1883,
                client_id: "x".to_owned(),
                login: None,
                tls: None,
            },
            topics: Topics::new("lectern/v1", "north", "main", "101", "cam1"),
            identity: Identity { device: "cam1".to_owned(), boot: "0".repeat(32) },
            basis: "test".to_owned(),
            discovery,
            timing: Timing::default(),
            clock: Arc::new(SystemClock),
            stop: Stop::default(),
            monitor: Arc::new(Unmonitored),
        }
    }

    #[test]
    fn an_announcement_is_withdrawn_once_a_connection_also_where_its_note_cannot_be_removed() {
        let old = "homeassistant/device/old/config";
        let mut disk = Fake::default();
        note(Some(&mut disk), Some(old));
        disk.take_no_more_writes();
        for discovery in [None, Some(60)] {
            let (setup, mut announcer) = (setup(discovery), Announcer::new());
            for _ in 0..2 {
                announcer.connected();
                let first = announcer.next(Instant::now(), &setup, Some(&mut disk));
                assert!(matches!(first, Some(Message::Withdrawal(topic)) if topic == old));
                note(Some(&mut disk), None);
                let second = announcer.next(Instant::now(), &setup, Some(&mut disk));
                assert!(matches!(second, Some(Message::Announcement(..))) == discovery.is_some());
                announcer.announced();
                assert!(announcer.next(Instant::now(), &setup, Some(&mut disk)).is_none());
            }
        }
    }
}
