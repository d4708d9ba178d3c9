//! The bytes that leave the device: flat JSON of integers and short strings, at most 1,024 bytes.

use std::fmt::Write as _;
use std::io;

use jiff::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use lectern_record::expression::Expression;
use lectern_record::window::MinuteRecord;

/// The longest payload in bytes. No picture fits.
pub const MAX_BYTES: usize = 1024;

/// The longest `deployment.basis` in bytes; escaping at most doubles it.
pub const MAX_BASIS_BYTES: usize = 160;

/// A payload, in a buffer that cannot grow.
pub type Payload = heapless::String<MAX_BYTES>;

/// The version of the payloads' schema.
const SCHEMA: u32 = 1;

/// The JSON Schema of every payload, as `lectern schema` prints it.
pub const JSON_SCHEMA: &str = include_str!("payload.schema.json");

/// The source of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `device.id`.
    pub device: String,
    /// Identifies one boot of the machine, or a recording and its analysis settings: 32 hexadecimal digits.
    pub boot: String,
}

/// The device's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Started; no frame yet.
    Starting,
    /// Frames arrive.
    Watching,
    /// The camera is disconnected; the device retries.
    CameraLost,
    /// The camera responds, but most of its pictures cannot be decoded.
    CameraUnreadable,
    /// Stopping; the open window is being published.
    Stopping,
    /// Disconnected; also the state in the will.
    Offline,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Watching,
        Self::CameraLost,
        Self::CameraUnreadable,
        Self::Stopping,
        Self::Offline,
    ];

    /// The name in payloads.
    ///
    /// # Panics
    /// Never: a state without fields is a string in JSON.
    #[must_use]
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            other => unreachable!("a state is a string in JSON, not {other:?}"),
        }
    }
}

/// The content of the `minute` topic.
struct Minute<'a> {
    identity: &'a Identity,
    record: &'a MinuteRecord,
    replayed: bool,
}

impl Serialize for Minute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { identity, record, replayed } = self;
        let counts = &record.counts;
        let mut json = serializer.serialize_struct("minute", 15 + Expression::COUNT)?;
        json.serialize_field("schema", &SCHEMA)?;
        json.serialize_field("device", &identity.device)?;
        json.serialize_field("boot", &identity.boot)?;
        json.serialize_field("seq", &record.seq)?;
        json.serialize_field("start", &rfc3339(record.start))?;
        json.serialize_field("seconds", &record.seconds)?;
        json.serialize_field("frames_expected", &record.frames_expected)?;
        json.serialize_field("frames", &counts.frames)?;
        json.serialize_field("corrupt", &counts.corrupt)?;
        json.serialize_field("no_face", &counts.no_face)?;
        json.serialize_field("uncertain", &counts.uncertain)?;
        json.serialize_field("faces", &counts.faces())?;
        for kind in Expression::ALL {
            json.serialize_field(kind.name(), &counts.kinds[kind.index()])?;
        }
        json.serialize_field("clock_synced", &record.clock_synced)?;
        json.serialize_field("partial", &record.partial)?;
        json.serialize_field("replayed", replayed)?;
        json.end()
    }
}

/// Writes the payload of the `minute` topic. `replayed`: the broker was disconnected when the window ended.
///
/// # Panics
/// Never for a device that passed [`super::topics::check_level`]: a test checks the longest payload.
#[must_use]
pub fn minute(identity: &Identity, record: &MinuteRecord, replayed: bool) -> Payload {
    write(&Minute { identity, record, replayed })
}

/// The content of the `status` topic.
#[derive(Serialize)]
struct Status<'a> {
    schema: u32,
    device: &'a str,
    state: State,
    version: &'a str,
    since: String,
    spooled: usize,
    dropped: u64,
    unreadable: u64,
    spool: &'a str,
    basis: &'a str,
}

/// The spool's fields in `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Records not yet acknowledged by the broker.
    pub spooled: usize,
    /// How many of them are in files that cannot be read at present.
    pub unreadable: u64,
    /// Records discarded before delivery.
    pub dropped: u64,
    /// Whether records can be stored on the disk; otherwise only in memory.
    pub on_disk: bool,
}

/// Writes the payload of the `status` topic: the state, its start, and the numbers of waiting and discarded records.
///
/// # Panics
/// Never for a device that passed [`super::topics::check_level`] and a basis of [`MAX_BASIS_BYTES`].
#[must_use]
pub fn status(identity: &Identity, state: State, since: Timestamp, backlog: Backlog, basis: &str) -> Payload {
    let Backlog { spooled, unreadable, dropped, on_disk } = backlog;
    write(&Status {
        schema: SCHEMA,
        device: &identity.device,
        state,
        version: env!("CARGO_PKG_VERSION"),
        since: rfc3339(since),
        spooled,
        dropped,
        unreadable,
        spool: if on_disk { "disk" } else { "memory" },
        basis,
    })
}

/// Writes the test message of `lectern check`.
#[must_use]
pub fn check(device: &str) -> String {
    format!("{{\"schema\":{SCHEMA},\"device\":\"{device}\",\"check\":true}}")
}

/// Whole seconds in UTC.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn write(content: &impl Serialize) -> Payload {
    let mut payload = Payload::new();
    serde_json::to_writer(Bounded(&mut payload), content)
        .expect("checked identities, checked bases and integers fit in MAX_BYTES");
    payload
}

/// Lets serde_json write into a string that cannot grow.
struct Bounded<'a>(&'a mut Payload);

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(|_| io::Error::from(io::ErrorKind::WriteZero))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lectern_record::expression::Sighting;
    use lectern_record::window::Counts;

    fn schema() -> jsonschema::Validator {
        jsonschema::validator_for(&serde_json::from_str(JSON_SCHEMA).unwrap()).unwrap()
    }

    fn record() -> MinuteRecord {
        let mut counts = Counts::default();
        counts.add_frame(&[Sighting::Certain(Expression::Neutral)]);
        counts.add_frame(&[]);
        MinuteRecord {
            seq: 412,
            start: "2026-11-23T10:15:00Z".parse().unwrap(),
            seconds: 60,
            frames_expected: 120,
            counts,
            clock_synced: true,
            partial: false,
        }
    }

    fn named(device: &str) -> Identity {
        Identity { device: device.to_owned(), boot: "0".repeat(32) }
    }

    #[test]
    fn minute_has_all_fields_in_order() {
        let payload = minute(&named("r101-cam1"), &record(), false);
        assert_eq!(
            payload.as_str(),
            "{\"schema\":1,\"device\":\"r101-cam1\",\"boot\":\"00000000000000000000000000000000\",\"seq\":412,\
             \"start\":\"2026-11-23T10:15:00Z\",\"seconds\":60,\"frames_expected\":120,\"frames\":2,\"corrupt\":0,\
             \"no_face\":1,\"uncertain\":0,\"faces\":1,\"neutral\":1,\"surprise_weak\":0,\"surprise_strong\":0,\
             \"fear_weak\":0,\"fear_strong\":0,\"disgust_weak\":0,\"disgust_strong\":0,\"happy_weak\":0,\
             \"happy_strong\":0,\"sad_weak\":0,\"sad_strong\":0,\"angry_weak\":0,\"angry_strong\":0,\
             \"clock_synced\":true,\"partial\":false,\"replayed\":false}"
        );
        assert!(schema().is_valid(&serde_json::from_str(&payload).unwrap()));
    }

    #[test]
    fn longest_payloads_fit() {
        let identity = named(&"x".repeat(64));
        let full = u32::MAX / 16;
        let counts = Counts {
            frames: u32::MAX,
            corrupt: u32::MAX,
            no_face: u32::MAX,
            uncertain: u32::MAX,
            kinds: [full; Expression::COUNT],
        };
        let longest = MinuteRecord {
            seq: u64::MAX,
            seconds: u32::MAX,
            frames_expected: u32::MAX,
            counts,
            clock_synced: false,
            ..record()
        };
        let text = minute(&identity, &longest, false);
        assert!(schema().is_valid(&serde_json::from_str(&text).unwrap()));
        let basis = "\"".repeat(MAX_BASIS_BYTES);
        let backlog =
            Backlog { spooled: usize::MAX, unreadable: u64::MAX, dropped: u64::MAX, on_disk: false };
        let text = status(&identity, State::CameraLost, Timestamp::MAX, backlog, &basis);
        assert!(schema().is_valid(&serde_json::from_str(&text).unwrap()));
    }

    #[test]
    fn schema_rejects_additional_fields() {
        let payload = minute(&named("cam"), &record(), false);
        let mut more: serde_json::Value = serde_json::from_str(&payload).unwrap();
        more["picture"] = "AAAA".into();
        assert!(!schema().is_valid(&more));
    }
}
