//! Size limits of the packets, so that every accepted configuration can be delivered. They follow from the limits of the
//! configuration; rumqttc refuses to send a packet longer than its own limit.

use super::discovery::{MAX_ANNOUNCEMENT_BYTES, MAX_DISCOVERY_TOPIC_BYTES};
use super::payload::MAX_BYTES;
use super::topics::{MAX_CLIENT_ID_BYTES, MAX_TOPIC_BYTES};

/// The longest `mqtt.username` in bytes.
pub const MAX_USERNAME_BYTES: usize = 1024;

/// The longest MQTT password in bytes; a token may have a few thousand.
pub(crate) const MAX_PASSWORD_BYTES: usize = 16 * 1024;

/// An upper bound on a packet's header, length fields and packet identifier.
const OVERHEAD: usize = 32;

const CONNECT: usize =
    MAX_CLIENT_ID_BYTES + MAX_TOPIC_BYTES + MAX_BYTES + MAX_USERNAME_BYTES + MAX_PASSWORD_BYTES + OVERHEAD;
const ANNOUNCEMENT: usize = MAX_DISCOVERY_TOPIC_BYTES + MAX_ANNOUNCEMENT_BYTES + OVERHEAD;

/// The longest packet that is sent: CONNECT, or an announcement to Home Assistant.
pub(crate) const LONGEST_SENT: usize = if CONNECT > ANNOUNCEMENT { CONNECT } else { ANNOUNCEMENT };

/// The longest packet that the daemon accepts; it subscribes to nothing.
pub(crate) const LONGEST_RECEIVED: usize = MAX_TOPIC_BYTES + MAX_BYTES + OVERHEAD;

/// The longest packet that `lectern check` accepts: it receives its own messages.
pub(crate) const LONGEST_RETURNED: usize = ANNOUNCEMENT;

/// The longest string of MQTT 3.1.1 (1.5.3).
const _: () = assert!(MAX_DISCOVERY_TOPIC_BYTES < 65_536 && MAX_PASSWORD_BYTES < 65_536);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rumqttc::QoS;
    use rumqttc::mqttbytes::v4::{Connect, LastWill, Publish, Subscribe};

    use super::*;
    use crate::message::discovery::{self, Discovery, MAX_PREFIX_BYTES, MAX_URL_BYTES};
    use crate::message::payload::Payload;
    use crate::message::payload::{self, Backlog, Identity, MAX_BASIS_BYTES, State};
    use crate::message::topics::{CHECK_SUFFIX, MAX_ROOT_BYTES, Topics, check_level, check_root};
    use crate::mqtt::test_messages;
    use crate::spool::{Folders, Keep, Spool};
    use lectern_record::expression::Expression;
    use lectern_record::window::{Counts, MinuteRecord};

    /// A topic level, often the longest.
    fn level() -> impl Strategy<Value = String> {
        prop_oneof!["[a-zA-Z0-9._-]{1,64}", "[a-z._]{64}", Just("_".repeat(64)), Just("x".repeat(64))]
    }

    /// A root that the configuration accepts, often the longest.
    fn root() -> impl Strategy<Value = String> {
        let longest = format!("{}/{}", "_".repeat(64), ".".repeat(63));
        let levels = prop::collection::vec("[a-zA-Z0-9._-]{1,8}", 1..14).prop_map(|levels| levels.join("/"));
        prop_oneof![levels, Just(longest), Just("_/".repeat(63) + "__")]
    }

    fn longest_record() -> MinuteRecord {
        let counts = Counts {
            frames: u32::MAX,
            corrupt: u32::MAX,
            no_face: u32::MAX,
            uncertain: u32::MAX,
            kinds: [u32::MAX / 16; Expression::COUNT],
        };
        MinuteRecord {
            seq: u64::MAX - 1,
            start: jiff::Timestamp::MAX,
            seconds: u32::MAX,
            frames_expected: u32::MAX,
            counts,
            clock_synced: false,
            partial: false,
        }
    }

    fn packet(topic: &str, payload: &str) -> usize {
        assert!(topic.len() < 65_536);
        let mut packet = Publish::new(topic, QoS::AtLeastOnce, payload);
        packet.pkid = u16::MAX;
        packet.size()
    }

    /// The record, stored by one process and read by the next.
    fn stored(topic: &str, payload: &Payload) -> Option<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let open = || Spool::open(Folders::open(Some(folder.path()), None), Keep::records(10)).unwrap();
        let mut spool = open();
        spool.push(0, topic, payload);
        spool.store();
        drop(spool);
        let mut spool = open();
        // Another test may start a process at this moment: it inherits the lock until it executes its program.
        (0..50).find_map(|seconds| {
            let oldest = spool.oldest(Duration::from_secs(seconds));
            if oldest.is_none() {
                std::thread::sleep(Duration::from_millis(100));
            }
            oldest.map(|(_, topic, payload)| (topic, payload))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn accepted_configurations_fit_all_limits(
            root in root(), place in prop::collection::vec(level(), 4),
            basis in prop_oneof![Just("\"".repeat(MAX_BASIS_BYTES)), Just("é".repeat(MAX_BASIS_BYTES / 2)), "[^\\p{C}]{1,40}"],
            user in 1..=MAX_USERNAME_BYTES, password in 0..=MAX_PASSWORD_BYTES, window in 1_u32..=3600,
        ) {
            check_root(&root).unwrap();
            place.iter().try_for_each(|level| check_level(level)).unwrap();
            let topics = Topics::new(&root, &place[0], &place[1], &place[2], &place[3]);
            let identity = Identity { device: place[3].clone(), boot: "f".repeat(32) };
            let backlog = Backlog { spooled: usize::MAX, dropped: u64::MAX, on_disk: false, unreadable: u64::MAX };
            let will = payload::status(&identity, State::CameraLost, jiff::Timestamp::MAX, backlog, &basis);

            let mut connect = Connect::new(topics.client_id() + CHECK_SUFFIX);
            connect.last_will = Some(LastWill::new(&topics.status, will.as_bytes(), QoS::AtLeastOnce, true));
            connect.set_login("u".repeat(user), "p".repeat(password)).size();
            prop_assert!(connect.size() <= LONGEST_SENT);

            let record = payload::minute(&identity, &longest_record(), false);
            let announced = Discovery {
                prefix: "p".repeat(MAX_PREFIX_BYTES),
                window_seconds: window,
                configuration_url: Some(format!("http://{}", "x".repeat(MAX_URL_BYTES - 7))),
            };
            let announcement = discovery::payload(&identity.device, &topics, &announced);
            prop_assert!(announcement.len() <= MAX_ANNOUNCEMENT_BYTES, "{}", announcement.len());
            let discovery = discovery::topic(&topics, &announced.prefix);
            for (topic, payload) in
                [(&topics.status, will.as_str()), (&topics.minute, &record), (&discovery, &announcement)]
            {
                prop_assert!(packet(topic, payload) <= LONGEST_SENT);
            }
            let schema: serde_json::Value = serde_json::from_str(payload::JSON_SCHEMA).unwrap();
            let schema = jsonschema::validator_for(&schema).unwrap();
            for payload in [will.as_str(), &record, &announcement, &payload::check(&place[3])] {
                prop_assert!(schema.is_valid(&serde_json::from_str(payload).unwrap()));
            }
            for (topic, message) in test_messages(&topics, &place[3], Some(&announced)) {
                prop_assert!(Subscribe::new(&topic, QoS::AtMostOnce).size() <= LONGEST_SENT);
                prop_assert!(packet(&topic, &message) <= LONGEST_RETURNED);
            }
            prop_assert_eq!(
                stored(&topics.minute, &record),
                Some((topics.minute.clone(), record.as_str().to_owned()))
            );
        }
    }

    #[test]
    fn longest_login_and_topics_fit() {
        let level = "x".repeat(64);
        let topics = Topics::new(&"r".repeat(MAX_ROOT_BYTES), &level, &level, &level, &level);
        let mut connect = Connect::new(topics.client_id() + CHECK_SUFFIX);
        connect.last_will = Some(LastWill::new(&topics.status, [b'x'; MAX_BYTES], QoS::AtLeastOnce, true));
        connect.set_login("u".repeat(MAX_USERNAME_BYTES), "p".repeat(MAX_PASSWORD_BYTES));
        assert!(
            connect.size() <= LONGEST_SENT
                && packet(&topics.minute, &"x".repeat(MAX_BYTES)) <= LONGEST_RECEIVED
        );
    }
}
