//! Home Assistant's MQTT discovery: one retained message that announces the device and its sensors.
//!
//! The form is that of "device discovery" with its abbreviations: <https://www.home-assistant.io/integrations/mqtt/>.

use serde_json::{Map, Value, json};

use super::payload::Identity;
use super::topics::Topics;
use crate::expression::Expression;

/// Home Assistant's own default.
const PREFIX: &str = "homeassistant";

/// Windows without a record after which a sensor is unavailable.
const EXPIRE_AFTER_WINDOWS: u32 = 3;

/// The topic of the announcement.
pub(super) fn topic(topics: &Topics) -> String {
    format!("{PREFIX}/device/{}/config", object_id(topics))
}

/// Whether this may have been the topic of an announcement.
pub(super) fn is_topic(topic: &str) -> bool {
    let id =
        topic.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix("/device/")?.strip_suffix("/config"));
    id.is_some_and(|id| {
        !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

/// The place of the device, which is unique on a broker, written with what Home Assistant allows in an id.
fn object_id(topics: &Topics) -> String {
    topics.status.trim_end_matches("/status").replace('_', "__").replace('/', "_").replace('.', "_-")
}

/// The announcement: names, topics and templates, and nothing that was seen.
pub(super) fn payload(identity: &Identity, topics: &Topics, window_seconds: u32) -> String {
    let id = object_id(topics);
    let sensor = |field: &str, name: &str| {
        let sensor = json!({
            "p": "sensor",
            "name": name,
            "uniq_id": format!("{id}_{field}"),
            "stat_t": topics.minute,
            "val_tpl": format!("{{{{ value_json.{field} }}}}"),
            "stat_cla": "measurement",
            "exp_aft": EXPIRE_AFTER_WINDOWS * window_seconds,
        });
        (field.to_owned(), sensor)
    };
    let words = |kind: Expression| {
        let name = kind.name().replace('_', ", ");
        name[..1].to_uppercase() + &name[1..]
    };
    let mut components: Map<String, Value> = [
        ("frames", "Frames analysed"),
        ("no_face", "Frames without a face"),
        ("uncertain", "Faces, uncertain"),
        ("faces", "Faces"),
    ]
    .map(|(field, name)| sensor(field, name))
    .into_iter()
    .chain(Expression::ALL.into_iter().map(|kind| sensor(kind.name(), &words(kind))))
    .collect();
    let state = json!({
        "p": "sensor",
        "name": "State",
        "uniq_id": format!("{id}_state"),
        "stat_t": topics.status,
        "val_tpl": "{{ value_json.state }}",
        "ent_cat": "diagnostic",
    });
    components.insert("state".to_owned(), state);
    json!({
        "dev": {
            "ids": [id],
            "name": format!("Lectern {}", identity.device),
            "mf": "Lectern",
            "sw": env!("CARGO_PKG_VERSION"),
        },
        "o": { "name": "Lectern", "sw": env!("CARGO_PKG_VERSION") },
        "avty": [{
            "t": topics.status,
            "val_tpl": "{{ 'offline' if value_json.state == 'offline' else 'online' }}",
        }],
        "cmps": components,
        "qos": 1,
    })
    .to_string()
}
