//! When Home Assistant is told of this device, and the note on the disk of where it was told.

use std::time::Duration;

use tokio::time::Instant;

use super::discovery;
use super::setup::Setup;
use super::spool::DISCOVERED;
use super::spool::storage::Storage;

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
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self { due: true, not_before: Instant::now() }
    }

    /// A broker that was restarted may have forgotten what it had retained, and does not say so: with a clean session
    /// nothing in its answer tells. So it is told again at each connection.
    pub(super) fn connected(&mut self) {
        self.due = true;
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
        let earlier = noted(folder.as_deref()).filter(|topic| discovery::is_topic(topic));
        if let Some(old) = &earlier
            && (setup.discovery.is_none() || *old != topic)
        {
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
pub(super) fn noted(folder: Option<&dyn Storage>) -> Option<String> {
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
