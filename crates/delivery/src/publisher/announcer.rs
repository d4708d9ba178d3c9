//! When this device is announced to Home Assistant, and the note on the disk that holds the announcement's topic.

use std::time::Duration;

use tokio::time::Instant;

use super::config::PublisherConfig;
use crate::message::discovery;
use crate::spool::DISCOVERED;
use crate::spool::storage::Storage;

/// The pause after a connection that ended during an announcement: a broker that closes the connection for it (access
/// rules, a limit on messages) would otherwise be disconnected half of the time.
const ANNOUNCE_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

/// A generous limit on the topic of a discovery message, in bytes.
const LONGEST_DISCOVERED: usize = 4096;

/// The retained message to publish.
pub(super) enum Message {
    /// The announcement: its topic and payload.
    Announcement(String, String),
    /// Withdraws the earlier announcement on this topic.
    Withdrawal(String),
}

/// Decides whether an announcement, or its withdrawal, is still to be published.
pub(super) struct Announcer {
    due: bool,
    /// The length of the last message in bytes.
    bytes: usize,
    /// The earliest time of the next announcement.
    not_before: Instant,
    /// The announcement withdrawn on this connection: its note may outlive it on a read-only disk.
    withdrawn: Option<String>,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self { due: true, bytes: 0, not_before: Instant::now(), withdrawn: None }
    }

    /// A restarted broker may have lost its retained messages, and with a clean session its CONNACK does not show it. So
    /// the device is announced at each connection.
    pub(super) fn connected(&mut self) {
        self.due = true;
        self.withdrawn = None;
    }

    /// The next message to publish. `folder` holds the note, where there is a disk.
    pub(super) fn next(
        &mut self,
        now: Instant,
        config: &PublisherConfig,
        folder: Option<&mut dyn Storage>,
    ) -> Option<Message> {
        if !self.due || now < self.not_before {
            return None;
        }
        let topic =
            config.discovery.as_ref().map(|announced| discovery::topic(&config.topics, &announced.prefix));
        // The announcement of a device that was renamed, or whose discovery is off, would stay for ever.
        // A note that a power loss damaged is no topic, and a broker may disconnect a client that publishes on it.
        let earlier = noted(folder.as_deref())
            .filter(|topic| discovery::is_topic(topic) && self.withdrawn.as_ref() != Some(topic));
        if let Some(old) = &earlier
            && topic.as_ref() != Some(old)
        {
            self.withdrawn = Some(old.clone());
            self.bytes = 0;
            return Some(Message::Withdrawal(old.clone()));
        }
        let Some((topic, announced)) = topic.zip(config.discovery.as_ref()) else {
            self.due = false;
            return None;
        };
        // Noted first, so that any announcement can be withdrawn.
        if earlier.is_none() {
            note(folder, Some(&topic));
        }
        let payload = discovery::payload(&config.identity.device, &config.topics, announced);
        self.bytes = payload.len();
        Some(Message::Announcement(topic, payload))
    }

    /// The broker has acknowledged the announcement.
    pub(super) fn announced(&mut self) {
        self.due = false;
    }

    /// The connection ended before the broker acknowledged the message of [`Announcer::next`].
    pub(super) fn failed(&mut self) {
        self.not_before = Instant::now() + ANNOUNCE_AGAIN_AFTER;
        log::warn!(
            "the connection ended while the discovery message of {} bytes was sent; it is sent again in a quarter of an hour: \
             the broker's limit (max_packet_size) may be smaller, or its access rules forbid homeassistant/#; or set \
             mqtt.discovery = false",
            self.bytes
        );
    }
}

/// The topic of the last announcement, if there was one and the note is on a disk.
pub(crate) fn noted(folder: Option<&dyn Storage>) -> Option<String> {
    let topic = folder?.read(DISCOVERED, LONGEST_DISCOVERED).ok()?;
    String::from_utf8(topic).ok()
}

/// Stores the topic of an announcement; `None` removes it.
pub(super) fn note(folder: Option<&mut dyn Storage>, topic: Option<&str>) {
    let Some(folder) = folder else { return };
    let done = match topic {
        Some(topic) => {
            folder.write(DISCOVERED, topic.as_bytes(), true).and_then(|()| folder.sync(DISCOVERED))
        }
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
    use crate::message::discovery::Discovery;
    use crate::message::payload::Identity;
    use crate::message::topics::Topics;
    use crate::monitor::Unmonitored;
    use crate::mqtt::Broker;
    use crate::spool::Fake;
    use lectern_record::clock::{Stop, SystemClock};

    fn config(discovery: Option<Discovery>) -> PublisherConfig {
        PublisherConfig {
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

    /// A note that cannot be removed causes one withdrawal a connection, not an endless repetition.
    #[test]
    fn announcement_is_withdrawn_once_per_connection() {
        let old = "homeassistant/device/old/config";
        let mut disk = Fake::default();
        note(Some(&mut disk), Some(old));
        disk.take_no_more_writes();
        for discovery in [None, Some(Discovery::new(60))] {
            let announces = discovery.is_some();
            let (config, mut announcer) = (config(discovery), Announcer::new());
            for _ in 0..2 {
                announcer.connected();
                let first = announcer.next(Instant::now(), &config, Some(&mut disk));
                assert!(matches!(first, Some(Message::Withdrawal(topic)) if topic == old));
                note(Some(&mut disk), None);
                let second = announcer.next(Instant::now(), &config, Some(&mut disk));
                assert!(matches!(second, Some(Message::Announcement(..))) == announces);
                announcer.announced();
                assert!(announcer.next(Instant::now(), &config, Some(&mut disk)).is_none());
            }
        }
    }
}
