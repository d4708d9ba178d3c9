//! Home Assistant's MQTT discovery: one retained message that announces the device and its sensors.
//!
//! The form is that of "device discovery" with its abbreviations: <https://www.home-assistant.io/integrations/mqtt/>.

use serde_json::{Map, Value, json};

use super::payload::State;
use super::topics::{MAX_BASE_BYTES, MAX_TOPIC_BYTES, Topics};
use lectern_record::expression::Expression;

/// Home Assistant's own default.
const PREFIX: &str = "homeassistant";

/// Windows without a record after which a sensor is unavailable.
const EXPIRE_AFTER_WINDOWS: u32 = 3;

/// Seconds after the end of its window from which on a record is out of date: it was delayed by an undetected dead
/// connection, or is a repeat.
const LATE_AFTER: u32 = 120;

/// The longest id: an escape takes two bytes.
const MAX_ID_BYTES: usize = 2 * MAX_BASE_BYTES;

/// The longest topic of an announcement in bytes.
pub(crate) const MAX_DISCOVERY_TOPIC_BYTES: usize = PREFIX.len() + "/device//config".len() + MAX_ID_BYTES;

/// The longest announcement in bytes: 18 sensors, each with an id, a topic and some 400 bytes of text, and about two more
/// sensors' worth of other fields. A test checks it.
pub(crate) const MAX_ANNOUNCEMENT_BYTES: usize = 20 * (MAX_ID_BYTES + MAX_TOPIC_BYTES + 448);

/// The topic of the announcement.
pub(crate) fn topic(topics: &Topics) -> String {
    format!("{PREFIX}/device/{}/config", object_id(topics))
}

/// Whether a device may have published an announcement on this topic.
pub(crate) fn is_topic(topic: &str) -> bool {
    let id =
        topic.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix("/device/")?.strip_suffix("/config"));
    id.is_some_and(|id| {
        (1..=MAX_ID_BYTES).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

/// The topic base of the device, which is unique on a broker, in the characters that Home Assistant allows in an id. Read
/// from the left, each `_` begins an escape, so that two bases never have the same id.
fn object_id(topics: &Topics) -> String {
    topics.base().replace('_', "_1").replace('.', "_2").replace('/', "__")
}

/// The template for a count: the value if the record is current, otherwise "unknown", because Home Assistant dates each
/// value with its arrival. The test message of `lectern check` changes nothing.
fn count_template(field: &str, window_seconds: u32) -> String {
    let late = window_seconds + LATE_AFTER;
    format!(
        "{{% if value_json.seq is defined %}}{{{{ value_json.{field} if not value_json.replayed and (not \
         value_json.clock_synced or as_timestamp(now()) - as_timestamp(value_json.start) < {late}) else None }}}}{{% endif %}}"
    )
}

/// The announcement: names, topics and templates, no counts.
pub(crate) fn payload(device: &str, topics: &Topics, window_seconds: u32) -> String {
    let id = object_id(topics);
    let sensor = |field: &str, name: &str, unit: &str| {
        let sensor = json!({
            "p": "sensor",
            "name": name,
            "uniq_id": format!("{id}_{field}"),
            "stat_t": topics.minute,
            "val_tpl": count_template(field, window_seconds),
            "stat_cla": "measurement",
            "unit_of_meas": unit,
            "exp_aft": EXPIRE_AFTER_WINDOWS * window_seconds,
        });
        (field.to_owned(), sensor)
    };
    let label = |kind: Expression| {
        let name = kind.name().replace('_', ", ");
        name[..1].to_uppercase() + &name[1..]
    };
    let mut components: Map<String, Value> = [
        ("frames", "Frames analysed", "frames"),
        ("no_face", "Frames without a face", "frames"),
        ("uncertain", "Faces, uncertain", "faces"),
        ("faces", "Faces", "faces"),
    ]
    .map(|(field, name, unit)| sensor(field, name, unit))
    .into_iter()
    .chain(Expression::ALL.into_iter().map(|kind| sensor(kind.name(), &label(kind), "faces")))
    .collect();
    let state = json!({
        "p": "sensor",
        "name": "State",
        "uniq_id": format!("{id}_state"),
        "stat_t": topics.status,
        // An empty state changes nothing.
        "val_tpl": "{{ value_json.state if value_json.state is defined }}",
        "dev_cla": "enum",
        "ops": State::ALL,
        "ent_cat": "diagnostic",
    });
    components.insert("state".to_owned(), state);
    json!({
        "dev": {
            "ids": [id],
            "name": format!("Lectern {device}"),
            "mf": "Lectern",
            "sw": env!("CARGO_PKG_VERSION"),
        },
        "o": { "name": "Lectern", "sw": env!("CARGO_PKG_VERSION") },
        "avty": [{
            "t": topics.status,
            // An empty result changes nothing.
            "val_tpl": "{% if value_json.state is defined %}{{ 'offline' if value_json.state == 'offline' else 'online' }}{% endif %}",
        }],
        "cmps": components,
        "qos": 1,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(id: &str) -> String {
        let (mut place, mut rest) = (String::new(), id.chars());
        while let Some(c) = rest.next() {
            place.push(match c {
                '_' => match rest.next() {
                    Some('_') => '/',
                    Some('1') => '_',
                    Some('2') => '.',
                    other => panic!("{other:?} in {id}"),
                },
                other => other,
            });
        }
        place
    }

    proptest! {
        #[test]
        fn object_id_is_reversible(place in prop::collection::vec("[a-zA-Z12_.-]{1,4}", 5)) {
            let topics = Topics::new(&place[0], &place[1], &place[2], &place[3], &place[4]);
            prop_assert_eq!(decode(&object_id(&topics)), place.join("/"));
            prop_assert!(is_topic(&topic(&topics)));
        }
    }

    /// docs/wire/discovery.json is the announcement, byte for byte.
    #[test]
    fn announcement_matches_the_documents() {
        let topics = Topics::new("lectern/v1", "north", "main", "101", "r101-cam1");
        let shown = std::fs::read_to_string("../../docs/wire/discovery.json").unwrap();
        assert_eq!(payload("r101-cam1", &topics, 60), shown.replace("0.1.0", env!("CARGO_PKG_VERSION")));
        assert_eq!(
            topic(&topics),
            "homeassistant/device/lectern__v1__north__main__101__r101-cam1/config",
            "as in docs/privacy.md and docs/broker/acl"
        );
    }

    /// An announcement under an id of an earlier form can still be withdrawn.
    #[test]
    fn earlier_topics_are_recognised() {
        assert!(is_topic("homeassistant/device/lectern_v1_north_main_101_a__b_-c/config"));
        for bad in
            ["", "\0\0", "homeassistant/device//config", "homeassistant/device/a+b/config", "lectern/v1"]
        {
            assert!(!is_topic(bad), "{bad}");
        }
        assert!(!is_topic(&format!("homeassistant/device/{}/config", "x".repeat(MAX_ID_BYTES + 1))));
    }
}
