//! Payloads: whatever was counted, a payload fits, is valid under the schema, and holds each number.
#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use jsonschema::Validator;
use lectern::delivery::payload::{self, Backlog, Identity, JSON_SCHEMA, MAX_BASIS_BYTES, State};
use lectern::delivery::topics::check_level;
use lectern::expression::Expression;
use lectern::window::{Counts, MinuteRecord};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&serde_json::from_str(JSON_SCHEMA).unwrap()).unwrap());

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    device: &'a str,
    basis: &'a str,
    seq: u64,
    start: i64,
    numbers: [u32; 6],
    kinds: [u16; Expression::COUNT],
    flags: [bool; 3],
    state: u8,
    spooled: usize,
    dropped: u64,
    on_disk: bool,
    unreadable: u64,
}

fuzz_target!(|input: Input<'_>| {
    let Input {
        device,
        basis,
        seq,
        start,
        numbers,
        kinds,
        flags,
        state,
        spooled,
        dropped,
        on_disk,
        unreadable,
    } = input;
    // Any value that the configuration accepts.
    if check_level(device).is_err()
        || basis.len() > MAX_BASIS_BYTES
        || basis.trim().is_empty()
        || basis.chars().any(char::is_control)
    {
        return;
    }
    let identity = Identity { device: device.to_owned(), boot: format!("{seq:032x}") };
    let [seconds, frames_expected, frames, corrupt, no_face, uncertain] = numbers;
    let counts = Counts { frames, corrupt, no_face, uncertain, kinds: kinds.map(u32::from) };
    // Up to the last second that a Timestamp holds.
    let start = Timestamp::from_second(start.rem_euclid(253_402_207_200)).unwrap();
    let [clock_synced, partial, replayed] = flags;
    let record = MinuteRecord {
        seq: seq >> 1,
        start,
        seconds,
        frames_expected,
        counts: counts.clone(),
        clock_synced,
        partial,
    };
    let minute = valid(&payload::minute(&identity, &record, replayed));
    assert_eq!(minute["faces"], counts.faces());
    for kind in Expression::ALL {
        assert_eq!(minute[kind.name()], counts.kinds[kind.index()]);
    }
    assert_eq!((&minute["frames"], &minute["replayed"]), (&frames.into(), &replayed.into()));

    let state = [State::Starting, State::Watching, State::CameraLost, State::Stopping, State::Offline]
        [usize::from(state) % 5];
    let backlog = Backlog { spooled, dropped, on_disk, unreadable };
    let status = valid(&payload::status(&identity, state, start, backlog, basis));
    assert_eq!((&status["basis"], &status["dropped"]), (&basis.into(), &dropped.into()));
});

fn valid(payload: &str) -> Value {
    let value: Value = serde_json::from_str(payload).unwrap();
    assert!(SCHEMA.is_valid(&value), "{payload}");
    value
}
