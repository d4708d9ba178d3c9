//! The configuration: any text is accepted or refused; what is accepted keeps all limits; no password is repeated.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use lectern::config::Settings;
use lectern::delivery::payload::{self, Backlog, Identity, MAX_BYTES, State};
use lectern::help::Explained;
use lectern::rate::RANGE_HZ;
use lectern_fuzz::CANARY;
use libfuzzer_sys::fuzz_target;

/// A file in memory; libFuzzer ends the process without dropping anything, so the next run reuses the name.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("lectern-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("lectern.toml")
});

const GOOD: &str = "deployment.basis = \"fuzz\"\ncamera.device = \"file:lecture.mkv\"\n";

/// Keys that may contain a password by mistake.
const WRONG_PLACES: [&str; 6] =
    ["mqtt.password", "mqtt.password_file", "mqtt.pass", "password", "mqtt.client_key", "mqtt.ca"];

#[derive(Debug, arbitrary::Arbitrary)]
enum Input<'a> {
    Text(&'a str),
    /// A URL with the password after a colon, or between a colon and an `@`.
    Url {
        before: &'a str,
        after: &'a str,
    },
    /// A password where it does not belong, with something after it.
    Misplaced {
        key: u8,
        after: &'a str,
        broken: &'a str,
    },
}

fuzz_target!(|input: Input<'_>| {
    let quoted = |text: String| serde_json::to_string(&text).unwrap().replace("\\/", "/");
    let (text, secret) = match input {
        Input::Text(text) => (text.to_owned(), false),
        Input::Url { before, after } => {
            let url = format!("mqtt://{before}:{CANARY}{after}");
            (format!("{GOOD}mqtt.url = {}\n", quoted(url)), true)
        }
        Input::Misplaced { key, after, broken } => {
            let key = WRONG_PLACES[usize::from(key) % WRONG_PLACES.len()];
            let value = quoted(format!("{CANARY}{after}"));
            (
                format!("{GOOD}mqtt.url = \"mqtts://b\"\nmqtt.username = \"u\"\n{key} = {value}{broken}\n"),
                true,
            )
        }
    };
    std::fs::write(&*FILE, text).unwrap();
    match Settings::load(&FILE) {
        Err(error) => assert!(!secret || !error.to_string().contains(CANARY), "{error}"),
        Ok(settings) => {
            keeps_limits(&settings);
            if secret {
                assert!(!settings.broker.to_string().contains(CANARY));
                let mut unreadable = settings.unreadable_files().into_iter();
                assert!(unreadable.all(|problem| !Explained(&problem).to_string().contains(CANARY)));
            }
        }
    }
});

fn keeps_limits(settings: &Settings) {
    let topics = &settings.topics;
    // A record of the spool, of 4096 bytes at most, holds a topic, a line break and a payload.
    assert!(topics.minute.len() + 1 + MAX_BYTES <= 4096);
    for topic in [&topics.minute, &topics.status, &topics.check] {
        assert!(topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b)), "{topic}");
        assert!(topic.split('/').all(|level| (1..=64).contains(&level.len())), "{topic}");
    }
    // They panic if something does not fit.
    let identity = Identity { device: settings.device.clone(), boot: "f".repeat(32) };
    let backlog = Backlog { spooled: usize::MAX, dropped: u64::MAX, on_disk: false, unreadable: u64::MAX };
    let _ = payload::status(&identity, State::CameraLost, jiff::Timestamp::MAX, backlog, &settings.basis);
    assert!(RANGE_HZ.contains(&settings.rate_hz) && 3600 % settings.window_seconds == 0);
    assert!((1..=366).contains(&settings.keep_days));
    assert!(settings.camera.width <= 4096 && settings.camera.height <= 4096);
    assert!(settings.broker.to_string().chars().all(|c| c.is_ascii_graphic()));
    assert!(settings.broker.client_id.len() < 1024);
}
