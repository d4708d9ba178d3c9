//! Home Assistant's MQTT discovery: one retained message that announces the device and its sensors.
//!
//! The form is that of "device discovery" with its abbreviations: <https://www.home-assistant.io/integrations/mqtt/>.

use serde_json::{Map, Value, json};

use super::payload::State;
use super::topics::{MAX_BASE_BYTES, MAX_TOPIC_BYTES, Topics, UNASSIGNED, check_root};
use lectern_record::expression::{Emotion, Expression, Intensity};

/// Home Assistant's own default of `mqtt.discovery_prefix`.
const PREFIX: &str = "homeassistant";

/// The longest `mqtt.discovery_prefix` in bytes.
pub(crate) const MAX_PREFIX_BYTES: usize = 64;

/// The longest `mqtt.configuration_url` in bytes.
pub(crate) const MAX_URL_BYTES: usize = 256;

/// How a device announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// `mqtt.discovery_prefix`: what the topic begins with.
    pub prefix: String,
    /// Seconds of a window; sensors expire after three.
    pub window_seconds: u32,
    /// `mqtt.configuration_url`: a page about the device, to which Home Assistant links.
    pub configuration_url: Option<String>,
}

impl Discovery {
    /// With Home Assistant's own prefix, and without a page.
    #[must_use]
    pub fn new(window_seconds: u32) -> Self {
        Self { prefix: PREFIX.to_owned(), window_seconds, configuration_url: None }
    }
}

/// Windows without a record after which a sensor is unavailable.
const EXPIRE_AFTER_WINDOWS: u32 = 3;

/// Seconds after the end of its window from which on a record is out of date: it was delayed by an undetected dead
/// connection, or is a repeat.
const LATE_AFTER: u32 = 120;

/// The longest id: an escape takes two bytes.
const MAX_ID_BYTES: usize = 2 * MAX_BASE_BYTES;

/// The longest topic of an announcement in bytes.
pub(crate) const MAX_DISCOVERY_TOPIC_BYTES: usize = MAX_PREFIX_BYTES + "/device//config".len() + MAX_ID_BYTES;

/// The longest announcement in bytes: 22 entities, each with an id, a topic and some 400 bytes of text, and about two more
/// entities' worth of other fields. A test checks it.
pub(crate) const MAX_ANNOUNCEMENT_BYTES: usize = 24 * (MAX_ID_BYTES + MAX_TOPIC_BYTES + 448) + MAX_URL_BYTES;

/// The topic of the announcement.
pub(crate) fn topic(topics: &Topics, prefix: &str) -> String {
    format!("{prefix}/device/{}/config", object_id(topics))
}

/// Whether a device may have published an announcement on this topic.
pub(crate) fn is_topic(topic: &str) -> bool {
    let parts = topic.strip_suffix("/config").and_then(|rest| rest.rsplit_once("/device/"));
    parts.is_some_and(|(prefix, id)| {
        check_prefix(prefix).is_ok()
            && (1..=MAX_ID_BYTES).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

/// Checks `mqtt.discovery_prefix`: topic levels with `/` between them, 64 bytes at most.
///
/// # Errors
/// What is allowed.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    check_root(prefix).map_err(|error| error.to_string())?;
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err(format!("must have at most {MAX_PREFIX_BYTES} bytes, not {}", prefix.len()));
    }
    Ok(())
}

/// Checks `mqtt.configuration_url`: what Home Assistant takes, in printable ASCII.
///
/// # Errors
/// What is allowed.
pub fn check_url(url: &str) -> Result<(), String> {
    let is_web =
        ["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    if is_web
        && url.len() <= MAX_URL_BYTES
        && url.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\')
    {
        return Ok(());
    }
    Err(format!(
        "must begin with http:// or https:// and have at most {MAX_URL_BYTES} printable ASCII characters"
    ))
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

/// The device's name with its place, for two rooms may have devices of the same id.
fn device_name(device: &str, topics: &Topics) -> String {
    let places: Vec<_> = topics.places().filter(|place| *place != UNASSIGNED).collect();
    if places.is_empty() {
        format!("Lectern {device}")
    } else {
        format!("Lectern {device} ({})", places.join(", "))
    }
}

/// The icon of a kind: filled where it is strong.
fn icon(kind: Expression) -> String {
    let face = match kind {
        Expression::Neutral => "neutral",
        Expression::Of(Emotion::Surprise, _) => "excited",
        Expression::Of(Emotion::Fear, _) => "frown",
        Expression::Of(Emotion::Disgust, _) => "sick",
        Expression::Of(Emotion::Happy, _) => "happy",
        Expression::Of(Emotion::Sad, _) => "sad",
        Expression::Of(Emotion::Angry, _) => "angry",
    };
    let outline = if matches!(kind, Expression::Of(_, Intensity::Strong)) { "" } else { "-outline" };
    format!("mdi:emoticon-{face}{outline}")
}

/// A field of `status`, or nothing for a message without it, which changes nothing.
fn status_template(field: &str, value: &str) -> String {
    format!("{{% if value_json.{field} is defined %}}{{{{ {value} }}}}{{% endif %}}")
}

/// The announcement: names, topics and templates, no counts.
pub(crate) fn payload(device: &str, topics: &Topics, discovery: &Discovery) -> String {
    let id = object_id(topics);
    let window_seconds = discovery.window_seconds;
    let expires = EXPIRE_AFTER_WINDOWS * window_seconds;
    let sensor = |field: &str, name: &str, unit: &str, icon: &str| {
        let sensor = json!({
            "p": "sensor",
            "name": name,
            "uniq_id": format!("{id}_{field}"),
            "stat_t": topics.minute,
            "val_tpl": count_template(field, window_seconds),
            "stat_cla": "measurement",
            "unit_of_meas": unit,
            "exp_aft": expires,
            "ic": icon,
        });
        (field.to_owned(), sensor)
    };
    let label = |kind: Expression| {
        let name = kind.name().replace('_', ", ");
        name[..1].to_uppercase() + &name[1..]
    };
    let mut components: Map<String, Value> = [
        ("frames", "Frames analysed", "frames", "mdi:filmstrip"),
        ("no_face", "Frames without a face", "frames", "mdi:account-off-outline"),
        ("uncertain", "Faces, uncertain", "faces", "mdi:help-circle-outline"),
        ("faces", "Faces", "faces", "mdi:face-recognition"),
    ]
    .map(|(field, name, unit, icon)| sensor(field, name, unit, icon))
    .into_iter()
    .chain(Expression::ALL.into_iter().map(|kind| sensor(kind.name(), &label(kind), "faces", &icon(kind))))
    .collect();
    let mut diagnostic = |field: &str, mut component: Value| {
        component["uniq_id"] = format!("{id}_{field}").into();
        component["ent_cat"] = "diagnostic".into();
        components.insert(field.to_owned(), component);
    };
    // Home Assistant hides the sensor while the device is offline, so that this is no state of it.
    let states: Vec<_> = State::ALL.into_iter().filter(|state| *state != State::Offline).collect();
    diagnostic(
        "state",
        json!({
            "p": "sensor",
            "name": "State",
            "stat_t": topics.status,
            "val_tpl": status_template("state", "value_json.state if value_json.state != 'offline'"),
            "dev_cla": "enum",
            "ops": states,
        }),
    );
    diagnostic(
        "camera",
        json!({
            "p": "binary_sensor",
            "name": "Camera",
            "stat_t": topics.status,
            "val_tpl": status_template("state", "'ON' if value_json.state.startswith('camera_') else 'OFF'"),
            "dev_cla": "problem",
        }),
    );
    diagnostic(
        "clock",
        json!({
            "p": "binary_sensor",
            "name": "Clock",
            "stat_t": topics.minute,
            "val_tpl": status_template("clock_synced", "'OFF' if value_json.clock_synced else 'ON'"),
            "dev_cla": "problem",
            "exp_aft": expires,
        }),
    );
    for (field, name, icon) in
        [("spooled", "Records waiting", "mdi:tray-full"), ("dropped", "Records dropped", "mdi:tray-remove")]
    {
        diagnostic(
            field,
            json!({
                "p": "sensor",
                "name": name,
                "stat_t": topics.status,
                "val_tpl": status_template(field, &format!("value_json.{field}")),
                "stat_cla": "measurement",
                "unit_of_meas": "records",
                "ic": icon,
            }),
        );
    }
    let mut about = json!({
        "ids": [id],
        "name": device_name(device, topics),
        "mf": "Lectern",
        "mdl": "Expression counter",
        "sw": env!("CARGO_PKG_VERSION"),
    });
    if let Some(room) = topics.places().next().filter(|room| *room != UNASSIGNED) {
        about["sa"] = room.into();
    }
    if let Some(url) = &discovery.configuration_url {
        about["cu"] = url.as_str().into();
    }
    json!({
        "dev": about,
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
            prop_assert!(is_topic(&topic(&topics, PREFIX)) && is_topic(&topic(&topics, "a/device/b")));
        }
    }

    /// docs/wire/discovery.json is the announcement, byte for byte.
    #[test]
    fn announcement_matches_the_documents() {
        let topics = Topics::new("lectern/v1", "north", "main", "101", "r101-cam1");
        let file = "../../docs/wire/discovery.json";
        if std::env::var_os("LECTERN_WRITE_DOCUMENTS").is_some() {
            std::fs::write(file, payload("r101-cam1", &topics, &Discovery::new(60))).unwrap();
        }
        let shown = std::fs::read_to_string(file).unwrap();
        assert_eq!(
            payload("r101-cam1", &topics, &Discovery::new(60)),
            shown.replace("0.1.0", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(
            topic(&topics, PREFIX),
            "homeassistant/device/lectern__v1__north__main__101__r101-cam1/config",
            "as in docs/privacy.md and docs/broker/acl"
        );
    }

    #[test]
    fn devices_of_the_same_id_have_different_names() {
        let name =
            |room: &str| device_name("cam1", &Topics::new("lectern/v1", "north", "main", room, "cam1"));
        assert_eq!(name("101"), "Lectern cam1 (101, main, north)");
        assert_ne!(name("101"), name("102"));
        let unassigned = Topics::new("lectern/v1", UNASSIGNED, UNASSIGNED, UNASSIGNED, "cam1");
        assert_eq!(device_name("cam1", &unassigned), "Lectern cam1");
    }

    #[test]
    fn only_web_pages_and_topic_levels_are_taken() {
        assert!(check_url("https://dashboard.example/#north/main/101/cam1").is_ok());
        for bad in [
            "",
            "http://",
            "javascript:x",
            "https://a b",
            "https://é",
            &format!("http://{}", "x".repeat(300)),
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        assert!(check_prefix("campus/homeassistant").is_ok());
        for bad in ["", "a//b", "#", &"x".repeat(65), &["x".repeat(40), "y".repeat(40)].join("/")] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }

    /// An announcement under an id of an earlier form can still be withdrawn.
    #[test]
    fn earlier_topics_are_recognised() {
        assert!(is_topic("homeassistant/device/lectern_v1_north_main_101_a__b_-c/config"));
        for bad in [
            "",
            "\0\0",
            "homeassistant/device//config",
            "homeassistant/device/a+b/config",
            "lectern/v1",
            "#/device/a/config",
        ] {
            assert!(!is_topic(bad), "{bad}");
        }
        assert!(!is_topic(&format!("homeassistant/device/{}/config", "x".repeat(MAX_ID_BYTES + 1))));
    }
}
