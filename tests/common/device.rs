//! A device with synthetic minutes, and the dashboard that reconciles them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lectern::delivery::payload::State;
use lectern::delivery::spool::Spool;
use lectern::delivery::{Broker, DeliveryThread, PublisherConfig, Timing, Update, UpdateSender};
use lectern::window::{Counts, MinuteRecord};
use serde_json::Value;

use super::{Subscriber, TIMEOUT, config, local_broker, number};

/// The topic of its minutes.
pub(crate) const MINUTE: &str = "lectern/v1/north/main/101/cam1/minute";

/// The broker on this machine, by name, because certificates are issued for names.
pub(crate) fn broker(port: u16) -> Broker {
    Broker { host: "localhost".to_owned(), ..local_broker(port, "cam1") }
}

/// Shorter timeouts than a device's.
pub(crate) fn timing() -> Timing {
    Timing {
        first_backoff: Duration::from_millis(20),
        longest_backoff: Duration::from_millis(200),
        acknowledge_within: Duration::from_millis(500),
        store_after: Duration::from_millis(100),
        shutdown_within: 5 * TIMEOUT,
        pace: Duration::ZERO,
    }
}

/// A minute with distinctive counts.
pub(crate) fn record(seq: u64) -> MinuteRecord {
    let frames = u32::try_from(seq % 1000).unwrap();
    MinuteRecord {
        seq,
        start: "2026-11-23T10:15:00Z".parse().unwrap(),
        seconds: 60,
        frames_expected: 120,
        counts: Counts { frames, no_face: frames, ..Counts::default() },
        clock_synced: true,
        partial: false,
    }
}

/// Starts a device in the state `watching`.
pub(crate) fn start(broker: Broker, spool: Spool, discovery: Option<u32>) -> (UpdateSender, DeliveryThread) {
    let discovery = discovery.map(lectern::delivery::Discovery::new);
    let config = PublisherConfig { discovery, ..config("cam1", broker, &spool, timing()) };
    let (updates, thread) = config.start(spool).unwrap();
    updates.send(Update::State(State::Watching));
    (updates, thread)
}

/// Stores each key once, as a dashboard does. Checks that repeats are equal, that no record is missing, and that first
/// deliveries are in order.
pub(crate) fn reconcile(messages: &[(String, Value)], expected: u64) {
    let mut kept = BTreeMap::new();
    for (topic, payload) in messages {
        if topic == MINUTE {
            let seq = number(payload, "seq");
            let key = (payload["boot"].as_str().unwrap().to_owned(), seq);
            assert!(seq <= kept.len() as u64, "{seq} came before its time");
            let first = kept.entry(key).or_insert_with(|| payload.clone());
            assert_eq!(first, payload, "a repeat with another content");
        }
    }
    assert_eq!(kept.len() as u64, expected);
}

/// All messages until `expected` records and the status `offline` have arrived.
pub(crate) fn rest(subscriber: &Subscriber, expected: u64) -> Vec<(String, Value)> {
    rest_of(Vec::new(), subscriber, expected)
}

/// The same, with the messages that have arrived already.
pub(crate) fn rest_of(
    mut messages: Vec<(String, Value)>,
    subscriber: &Subscriber,
    expected: u64,
) -> Vec<(String, Value)> {
    let seq = |payload: &Value| payload.get("seq").and_then(Value::as_u64);
    let mut seen: BTreeSet<_> = messages.iter().filter_map(|(_, payload)| seq(payload)).collect();
    loop {
        let (topic, payload) = subscriber.next();
        seen.extend(seq(&payload));
        let left = payload["state"] == "offline";
        messages.push((topic, payload));
        if left && seen.len() as u64 == expected {
            return messages;
        }
    }
}
