//! The spool against a model, over crashes, power losses and injected faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;

use super::*;

/// A folder in memory that can fail, be torn and be damaged. Copies share their files.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, File>,
    /// Calls that write until one fails; that one writes half of its bytes.
    fails_in: Option<u32>,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    /// How many bytes a power loss leaves for certain; none where even the name is not safe yet.
    safe: Option<usize>,
}

impl Fake {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// What a power loss leaves: each file's safe bytes, and of the others `luck` in 256, or zeroes instead.
    fn lose_power(&self, luck: u8, zeroes: bool) {
        let mut inner = self.inner();
        inner.files.retain(|_, file| file.safe.is_some() || luck > 128);
        for file in inner.files.values_mut() {
            let safe = file.safe.unwrap_or(0);
            let more = (file.bytes.len() - safe) * usize::from(luck) / 256;
            let length = file.bytes.len();
            file.bytes.truncate(safe + more);
            if zeroes {
                file.bytes.resize(length, 0);
            }
            file.safe = Some(file.bytes.len());
        }
        inner.fails_in = None;
    }

    fn boxed(&self) -> Box<dyn Storage> {
        Box::new(self.clone())
    }
}

impl Inner {
    fn fails(&mut self) -> bool {
        match &mut self.fails_in {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Storage for Fake {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.inner().files.get(name).map(|file| file.bytes.clone()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(name)?;
        let start = usize::try_from(offset).unwrap();
        bytes.get(start..start + length).map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let fails = inner.fails();
        let written = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        inner.files.entry(name.to_owned()).or_default().bytes.extend(written);
        if fails { Err(full()) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.fails() {
            return Err(full());
        }
        let file = inner.files.get_mut(name).unwrap();
        file.safe = Some(file.bytes.len());
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.fails() {
            return Err(full());
        }
        inner.files.insert(name.to_owned(), File { bytes: bytes.to_vec(), safe: Some(bytes.len()) });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner().files.remove(name);
        Ok(())
    }
}

/// A device: its folders, its spool while it runs, and the number of its boot.
struct Device {
    disk: Fake,
    runtime: Fake,
    boot: u32,
    capacity: usize,
}

impl Device {
    fn new(capacity: usize) -> Self {
        Self { disk: Fake::default(), runtime: Fake::default(), boot: 0, capacity }
    }

    fn start(&self) -> Spool {
        let folders = Folders {
            disk: Some(("disk".to_owned(), Ok(self.disk.boxed()))),
            runtime: Some(("runtime".to_owned(), Ok(self.runtime.boxed()))),
        };
        Spool::open_in_boot(folders, self.capacity, MOST_BYTES, &self.boot.to_string()).unwrap()
    }

    fn lose_power(&mut self, luck: u8, zeroes: bool) {
        self.disk.lose_power(luck, zeroes);
        self.runtime = Fake::default();
        self.boot += 1;
    }
}

/// As long as a real record, so that files are changed as often.
fn payload(boot: &str, seq: u64) -> Payload {
    let text = format!("{{\"boot\":\"{boot}\",\"seq\":{seq},\"x\":\"{}\"}}", "x".repeat(500));
    Payload::try_from(text.as_str()).unwrap()
}

fn push(spool: &mut Spool) -> String {
    let seq = spool.next_seq();
    let payload = payload(spool.boot(), seq);
    spool.push(seq, "t", &payload);
    payload.as_str().to_owned()
}

/// Publishes everything, in order.
fn drain(spool: &mut Spool) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((position, _, payload)) = spool.oldest() {
        all.push(payload);
        spool.remove(position);
    }
    all
}

#[test]
fn a_healthy_device_writes_nothing_to_the_disk() {
    let device = Device::new(100);
    let mut spool = device.start();
    for seq in 0..50 {
        spool.keep_open(seq, "t", &payload(spool.boot(), seq));
        push(&mut spool);
        drain(&mut spool);
    }
    assert!(device.disk.inner().files.is_empty());
}

#[test]
fn a_full_spool_drops_the_oldest_and_counts_it() {
    for store in [false, true] {
        let device = Device::new(2);
        let mut spool = device.start();
        let pushed: Vec<_> = (0..5)
            .map(|_| {
                let payload = push(&mut spool);
                if store {
                    spool.store();
                }
                payload
            })
            .collect();
        assert_eq!((spool.len(), spool.dropped()), (2, 3));
        assert_eq!(drain(&mut spool), pushed[3..]);
    }
}

#[test]
fn a_late_acknowledgement_does_not_remove_another_record() {
    let mut spool = Device::new(1).start();
    push(&mut spool);
    let (in_flight, ..) = spool.oldest().unwrap();
    let newer = push(&mut spool);
    spool.remove(in_flight);
    assert_eq!(spool.oldest().unwrap().2, newer);
}

#[test]
fn too_many_bytes_drop_the_oldest_file() {
    let disk = Fake::default();
    let folders = Folders { disk: Some(("disk".to_owned(), Ok(disk.boxed()))), runtime: None };
    let mut spool = Spool::open(folders, usize::MAX, 200_000).unwrap();
    for _ in 0..1000 {
        push(&mut spool);
        spool.store();
    }
    let bytes: usize = disk.inner().files.values().map(|file| file.bytes.len()).sum();
    assert!(bytes <= 270_000, "{bytes}");
    assert_eq!(spool.len() as u64 + spool.dropped(), 1000);
    assert!(drain(&mut spool).last().unwrap().contains("\"seq\":999,"));
}

#[test]
fn the_open_window_survives_the_process_but_ends_once() {
    let device = Device::new(100);
    let mut spool = device.start();
    let (boot, ended) = (spool.boot().to_owned(), push(&mut spool));
    let open = payload(&boot, 1);
    spool.keep_open(1, "t", &open);
    drop(spool);
    let mut spool = device.start();
    assert_eq!((spool.boot(), spool.next_seq()), (boot.as_str(), 2));
    assert_eq!(drain(&mut spool), [ended, open.as_str().to_owned()]);
    drop(spool);
    assert_eq!(drain(&mut device.start()), [""; 0]);
}

#[test]
fn a_crash_between_a_record_and_its_state_uses_no_seq_twice() {
    let device = Device::new(100);
    let mut spool = device.start();
    spool.keep_open(0, "t", &payload(spool.boot(), 0));
    let state = device.runtime.read(STATE).unwrap();
    let ended = push(&mut spool);
    drop(spool);
    // As if the process had died right after the record was written.
    device.runtime.clone().replace(STATE, &state).unwrap();
    let mut spool = device.start();
    assert_eq!(spool.next_seq(), 1);
    assert_eq!(drain(&mut spool), [ended]);
}

#[test]
fn what_is_on_a_disk_that_is_full_at_the_start_is_not_passed_over() {
    let device = Device::new(10);
    let mut spool = device.start();
    let first = [push(&mut spool), push(&mut spool)];
    spool.store();
    drop(spool);
    device.disk.inner().fails_in = Some(0);
    let mut spool = device.start();
    let third = push(&mut spool);
    assert_eq!(drain(&mut spool), [&first[..], &[third]].concat());
}

#[test]
fn torn_records_of_several_runs_on_a_full_disk_are_no_damaged_ones() {
    let device = Device::new(10);
    let mut spool = device.start();
    let mut all = vec![push(&mut spool)];
    spool.store();
    for _ in 0..3 {
        all.push(push(&mut spool));
        device.disk.inner().fails_in = Some(0);
        spool.store();
        device.disk.inner().fails_in = None;
        spool = device.start();
    }
    assert_eq!((drain(&mut spool), spool.dropped()), (all, 0));
}

#[test]
fn what_is_on_a_disk_that_is_away_for_a_run_is_published_after_it() {
    let device = Device::new(10);
    let mut spool = device.start();
    let first = [push(&mut spool), push(&mut spool)];
    spool.store();
    drop(spool);
    let folders = Folders {
        disk: Some(("disk".to_owned(), Err(io::ErrorKind::NotFound.into()))),
        runtime: Some(("runtime".to_owned(), Ok(device.runtime.boxed()))),
    };
    let mut spool = Spool::open_in_boot(folders, 10, MOST_BYTES, "0").unwrap();
    let third = push(&mut spool);
    assert_eq!(drain(&mut spool), [third]);
    drop(spool);
    assert_eq!(drain(&mut device.start()), first);
}

#[test]
fn another_state_directory_loses_nothing_that_waits_in_memory() {
    let device = Device::new(100);
    let mut spool = device.start();
    for _ in 0..3 {
        push(&mut spool);
        drain(&mut spool);
    }
    let waiting = push(&mut spool);
    drop(spool);
    // The other folder has a backlog of its own, with higher positions.
    let other = Device::new(100);
    let mut foreign = other.start();
    let backlog: Vec<_> = (0..20).map(|_| push(&mut foreign)).collect();
    foreign.store();
    drop(foreign);
    for _ in 0..2 {
        let folders = Folders {
            disk: Some(("other".to_owned(), Ok(other.disk.boxed()))),
            runtime: Some(("runtime".to_owned(), Ok(device.runtime.boxed()))),
        };
        let spool = Spool::open_in_boot(folders, 100, MOST_BYTES, "0").unwrap();
        // Not acknowledged, so that the second start sees the same.
        let stored = spool.disk.as_ref().unwrap().entries();
        let mut left: Vec<_> = stored.map(|(_, entry)| entry.unwrap().payload).collect();
        left.extend(spool.tail.iter().map(|(_, entry)| entry.payload.clone()));
        assert_eq!(left, [&backlog[..], std::slice::from_ref(&waiting)].concat());
    }
}

/// So many records on a disk: their payloads, and the name and the bytes of their file.
fn stored(records: usize) -> (Vec<String>, String, Vec<u8>) {
    let device = Device::new(1000);
    let mut spool = device.start();
    let pushed = (0..records).map(|_| push(&mut spool)).collect();
    spool.store();
    drop(spool);
    let inner = device.disk.inner();
    let (name, file) = inner.files.iter().next().unwrap();
    (pushed, name.clone(), file.bytes.clone())
}

#[test]
fn one_damaged_byte_costs_one_record_at_most_and_is_counted() {
    let (pushed, name, good) = stored(5);
    let record = good.len() / 5;
    for at in 0..good.len() {
        let disk = Fake::default();
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        disk.inner().files.insert(name.clone(), File { safe: Some(bytes.len()), bytes });
        let folders = Folders { disk: Some(("disk".to_owned(), Ok(disk.boxed()))), runtime: None };
        let mut spool = Spool::open(folders, 1000, MOST_BYTES).unwrap();
        let dropped = spool.dropped();
        let mut expected = pushed.clone();
        expected.remove(at / record);
        assert_eq!(drain(&mut spool), expected, "byte {at}");
        // Of the last one nothing follows that could show the gap, where its marker or its length is damaged.
        assert!(
            dropped == 1 || (dropped == 0 && at >= 4 * record && at < 4 * record + 8),
            "byte {at}: {dropped}"
        );
    }
}

#[test]
fn every_length_that_a_power_loss_can_leave_is_read() {
    let (pushed, name, good) = stored(3);
    for length in 0..=good.len() {
        let mut device = Device::new(1000);
        device.boot = 1;
        let bytes = good[..length].to_vec();
        device.disk.inner().files.insert(name.clone(), File { safe: Some(length), bytes });
        let mut spool = device.start();
        let whole = length / (good.len() / 3);
        assert_eq!((spool.len(), spool.dropped()), (whole, 0), "{length}");
        // Added to after the torn record.
        let more = push(&mut spool);
        spool.store();
        drop(spool);
        let expected: Vec<_> = pushed[..whole].iter().cloned().chain([more]).collect();
        assert_eq!(drain(&mut device.start()), expected, "{length}");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Push,
    KeepOpen,
    Store,
    Acknowledge,
    DiskFailsIn(u32),
    RuntimeFailsIn(u32),
    Mend,
    KillProcess,
    LosePower { luck: u8, zeroes: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Push),
        2 => Just(Event::KeepOpen),
        5 => Just(Event::Store),
        4 => Just(Event::Acknowledge),
        2 => (0_u32..6).prop_map(Event::DiskFailsIn),
        1 => (0_u32..6).prop_map(Event::RuntimeFailsIn),
        2 => Just(Event::Mend),
        2 => Just(Event::KillProcess),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(luck, zeroes)| Event::LosePower { luck, zeroes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What must hold after any history: records come oldest first, each as it was pushed; the ones not acknowledged
    /// are all there but those a power loss caught in memory; no key names two records.
    #[test]
    fn nothing_is_lost_that_was_promised(events in proptest::collection::vec(event(), 1..60)) {
        let mut device = Device::new(10_000);
        let mut spool = device.start();
        // Every record ever made; what of them is promised; how many are acknowledged.
        let mut made: Vec<String> = Vec::new();
        let mut promised: Vec<usize> = Vec::new();
        let mut acknowledged = std::collections::BTreeSet::new();
        let (mut runtime_failed, mut open) = (false, None::<String>);
        // A power loss may leave half of a record, which counts as dropped.
        let mut lost_with_power = 0;
        for event in events {
            match event {
                Event::Push => {
                    made.push(push(&mut spool));
                    promised.push(made.len() - 1);
                    open = None;
                }
                Event::KeepOpen => {
                    let seq = spool.next_seq();
                    let payload = payload(spool.boot(), seq);
                    spool.keep_open(seq, "t", &payload);
                    open = Some(payload.as_str().to_owned());
                }
                Event::Store => spool.store(),
                Event::Acknowledge => {
                    if let Some((position, _, payload)) = spool.oldest() {
                        let index = made.iter().position(|record| *record == payload).unwrap();
                        acknowledged.insert(index);
                        spool.remove(position);
                        promised.retain(|p| *p != index);
                    }
                }
                Event::DiskFailsIn(calls) => device.disk.inner().fails_in = Some(calls),
                Event::RuntimeFailsIn(calls) => {
                    device.runtime.inner().fails_in = Some(calls);
                }
                Event::Mend => {
                    device.disk.inner().fails_in = None;
                    device.runtime.inner().fails_in = None;
                }
                Event::KillProcess | Event::LosePower { .. } => {
                    runtime_failed |= spool.runtime.is_none();
                    let (boot, in_memory) = (spool.boot().to_owned(), spool.tail.len());
                    drop(spool);
                    let power = matches!(event, Event::LosePower { .. });
                    if let Event::LosePower { luck, zeroes } = event {
                        device.lose_power(luck, zeroes);
                    } else {
                        // The next process meets a folder that works.
                        device.disk.inner().fails_in = None;
                        device.runtime.inner().fails_in = None;
                    }
                    spool = device.start();
                    if power || runtime_failed {
                        promised.truncate(promised.len() - in_memory.min(promised.len()));
                    }
                    if power {
                        lost_with_power += in_memory as u64;
                        prop_assert_ne!(spool.boot(), boot);
                    } else if !runtime_failed {
                        prop_assert_eq!(spool.boot(), boot);
                        if let Some(open) = open.take() {
                            made.push(open);
                            promised.push(made.len() - 1);
                        }
                    }
                    open = None;
                    runtime_failed = false;
                }
            }
            prop_assert!(spool.dropped() <= lost_with_power);
        }
        // Copies of what was acknowledged or not promised may come again, but in order and unchanged.
        let mut last = None;
        let mut left = promised.clone();
        for payload in drain(&mut spool) {
            let index = made.iter().position(|record| *record == payload);
            prop_assert!(index.is_some(), "an unknown record");
            prop_assert!(index > last, "out of order");
            last = index;
            left.retain(|p| Some(*p) != index);
        }
        prop_assert!(left.is_empty(), "lost: {left:?}");
        // The key of each record is its own.
        let keys: std::collections::BTreeSet<_> = made.iter().collect();
        prop_assert_eq!(keys.len(), made.len());
    }
}
