//! Compares the ledgers with the received records.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::Path;

use super::common::number;
use super::files::{ACCEPTED, KEPT, STORED};
use serde_json::Value;

/// `boot` and `seq`; there is one device.
type Key = (String, u64);

/// The result of the soak.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Windows that ended, according to the ledgers.
    ended: usize,
    boots: usize,
    received: usize,
    repeats: usize,
    /// Records that power losses caught before they were synced.
    unsynced: u64,
    /// Accepted but not stored at a power loss.
    lost_to_power: usize,
    /// Open windows lost in a power loss.
    open_lost_to_power: usize,
    lost: usize,
    /// Two contents for one key.
    mismatches: usize,
    /// A `seq` that did not follow the one before.
    out_of_order: usize,
    /// Records that the device reports as dropped.
    dropped: u64,
}

impl Outcome {
    pub(crate) fn is_good(&self) -> bool {
        // A record that was half written at a power loss may be found, and counted.
        self.lost + self.mismatches + self.out_of_order == 0
            && self.dropped <= self.unsynced
            && self.received > 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, boots, received, repeats, lost_to_power, open_lost_to_power, .. } = self;
        let Self { unsynced, lost, mismatches, out_of_order, dropped, .. } = self;
        write!(
            f,
            "{ended} records ended in {boots} boots, {received} received, {repeats} repeats, {lost_to_power} records \
             and {open_lost_to_power} open windows taken by power losses, which tore {unsynced} unsynced ones on the disk, {lost} lost, {mismatches} mismatches, \
             {out_of_order} out of order, {dropped} dropped"
        )
    }
}

/// The boot that a runtime directory names.
pub(crate) fn boot_in(runtime: &Path) -> Option<String> {
    let state: Value = serde_json::from_slice(&fs::read(runtime.join("state.json")).ok()?).ok()?;
    Some(state["boot"].as_str()?.to_owned())
}

fn key(record: &Value) -> Key {
    (record["boot"].as_str().unwrap().to_owned(), number(record, "seq"))
}

/// The payloads in a ledger, with their keys.
fn ledger(folder: &Path, name: &str) -> Vec<(Key, String)> {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().map(|line| (key(&serde_json::from_str(line).unwrap()), line.to_owned())).collect()
}

/// Compares the ledgers in `folder` with the received payloads, in order. `powerless`: the boots that ended in a power
/// loss; `unsynced`: the number of records that those had not synced.
pub(crate) fn reconcile(folder: &Path, payloads: &[String], powerless: &[String], unsynced: u64) -> Outcome {
    let mut outcome = Outcome { unsynced, ..Outcome::default() };
    let mut received: HashMap<Key, &str> = HashMap::new();
    // The `seq` that comes next in each boot.
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let parsed: Vec<Value> = payloads.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    for (text, record) in payloads.iter().zip(&parsed) {
        if record["state"].is_string() {
            outcome.dropped = outcome.dropped.max(number(record, "dropped"));
            continue;
        }
        let key = key(record);
        if let Some(earlier) = received.insert(key.clone(), text) {
            outcome.repeats += 1;
            outcome.mismatch(&key, earlier, text);
            continue;
        }
        let expected = next.entry(key.0.clone()).or_default();
        if key.1 != *expected {
            eprintln!("out of order: {key:?} instead of {expected}");
            outcome.out_of_order += 1;
        }
        *expected = key.1 + 1;
    }
    (outcome.received, outcome.boots) = (received.len(), next.len());

    let accepted = ledger(folder, ACCEPTED);
    let stored = ledger(folder, STORED);
    let safe: HashSet<&Key> = stored.iter().map(|(key, _)| key).collect();
    let mut seen = HashSet::new();
    for (key, payload) in accepted.iter().chain(&stored) {
        let first = seen.insert(key);
        match received.get(key) {
            Some(text) => outcome.mismatch(key, payload, text),
            None if !first => {}
            // A gap would be counted as out of order, so what is missing is the last of its boot.
            None if powerless.contains(&key.0) && !safe.contains(key) => outcome.lost_to_power += 1,
            None => {
                eprintln!("lost: {payload}");
                outcome.lost += 1;
            }
        }
    }
    outcome.ended = seen.len();
    let mut open = HashSet::new();
    for (key, payload) in ledger(folder, KEPT) {
        if received.contains_key(&key) || seen.contains(&key) || !open.insert(key.clone()) {
            continue;
        }
        if powerless.contains(&key.0) {
            outcome.open_lost_to_power += 1;
        } else {
            eprintln!("lost open window: {payload}");
            outcome.lost += 1;
        }
    }
    outcome
}

impl Outcome {
    fn mismatch(&mut self, key: &Key, one: &str, other: &str) {
        if one != other {
            eprintln!("two contents for {key:?}:\n{one}\n{other}");
            self.mismatches += 1;
        }
    }
}
