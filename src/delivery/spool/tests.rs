//! The spool against a model, over crashes, power losses and injected faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;

use std::io;

use super::names::STATE;
use super::recovery::READ_RUNTIME;
use super::storage::Directory;
use super::*;
use crate::delivery::announcer;

/// Boot time in tests in which it stands still.
const NOW: BootTime = Duration::from_secs(100);

/// A folder in memory that can fail, be torn and be damaged. Copies share their files.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, File>,
    /// Calls that write until one fails; that one writes half of its bytes.
    fails_in: Option<u32>,
    /// How many of the next reads fail: of a list, a file or a part of it.
    reads_fail: u32,
    /// Files that cannot be read.
    bad: BTreeSet<String>,
    /// Calls that write, to any folder, until the process dies; then they do nothing.
    dies_in: Arc<Mutex<Option<u32>>>,
    /// What was removed since the folder was synced last: a power loss may bring it back.
    removed: Vec<(String, File)>,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    /// How many bytes a power loss leaves for certain; none where even the name is not safe yet.
    safe: Option<usize>,
}

impl Fake {
    /// Another folder of the process that uses `other`.
    fn in_process_of(other: &Self) -> Self {
        let dies_in = other.inner().dies_in.clone();
        Self(Arc::new(Mutex::new(Inner { dies_in, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// What a power loss leaves: each file's safe bytes, and of the others `luck` in 256, or zeroes instead; and the last
    /// removals, `luck` in 256 of them, did not happen.
    fn lose_power(&self, luck: u8, zeroes: bool) {
        let mut inner = self.inner();
        inner.files.retain(|_, file| file.safe.is_some() || luck > 128);
        let removed = std::mem::take(&mut inner.removed);
        // File systems keep the order in which names come and go.
        if inner.files.values().all(|file| file.safe.is_some()) {
            let stay = removed.len() - removed.len() * usize::from(luck) / 256;
            for (name, file) in removed.into_iter().skip(stay) {
                inner.files.entry(name).or_insert(file);
            }
        }
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

    fn named(&self, name: &str) -> Folder {
        Folder { name: name.to_owned(), storage: Ok(Box::new(self.clone())) }
    }
}

impl Inner {
    fn is_dead(&self) -> bool {
        match &mut *self.dies_in.lock().unwrap() {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

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

fn unreadable() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

impl Inner {
    /// Whether reading fails, in passing or because of this file.
    fn reading(&mut self, name: &str) -> io::Result<()> {
        let passing = self.reads_fail > 0;
        self.reads_fail = self.reads_fail.saturating_sub(1);
        if passing || self.bad.contains(name) { Err(unreadable()) } else { Ok(()) }
    }
}

impl Storage for Fake {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut inner = self.inner();
        inner.reading("")?;
        Ok(inner.files.keys().cloned().collect())
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        let mut inner = self.inner();
        inner.reading(name)?;
        let file = inner.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        if file.bytes.len() > longest {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(file.bytes.clone())
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(name, usize::MAX)?;
        let start = usize::try_from(offset).unwrap();
        bytes.get(start..start + length).map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() {
            return Err(unreadable());
        }
        let fails = inner.fails();
        let written = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        inner.files.entry(name.to_owned()).or_default().bytes.extend(written);
        if fails { Err(full()) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() || inner.fails() {
            return Err(full());
        }
        let file = inner.files.get_mut(name).unwrap();
        if file.safe.replace(file.bytes.len()).is_none() {
            inner.removed.clear();
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() || inner.fails() {
            return Err(full());
        }
        inner.files.insert(name.to_owned(), File { bytes: bytes.to_vec(), safe: Some(bytes.len()) });
        Ok(())
    }

    fn rename(&mut self, name: &str, new: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() || inner.fails() {
            return Err(full());
        }
        let file = inner.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        inner.files.insert(new.to_owned(), file);
        if inner.bad.remove(name) {
            inner.bad.insert(new.to_owned());
        }
        inner.removed.clear();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.is_dead() {
            return Err(unreadable());
        }
        inner.bad.remove(name);
        if let Some(file) = inner.files.remove(name).filter(|file| file.safe.is_some()) {
            inner.removed.push((name.to_owned(), file));
        }
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
        let disk = Fake::default();
        let runtime = Fake::in_process_of(&disk);
        Self { disk, runtime, boot: 0, capacity }
    }

    fn start(&self) -> Spool {
        let folders =
            Folders { disk: Some(self.disk.named("disk")), runtime: Some(self.runtime.named("runtime")) };
        Spool::open_in_boot(folders, self.capacity, MOST_BYTES, &self.boot.to_string()).unwrap()
    }

    fn lose_power(&mut self, luck: u8, zeroes: bool) {
        self.disk.lose_power(luck, zeroes);
        self.runtime = Fake::in_process_of(&self.disk);
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
    while let Some((position, _, payload)) = spool.oldest(NOW) {
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
    let (in_flight, ..) = spool.oldest(NOW).unwrap();
    let newer = push(&mut spool);
    spool.remove(in_flight);
    assert_eq!(spool.oldest(NOW).unwrap().2, newer);
}

#[test]
fn too_many_bytes_drop_the_oldest_file() {
    let disk = Fake::default();
    let folders = Folders { disk: Some(disk.named("disk")), runtime: None };
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
fn the_state_file_keeps_its_form() {
    let written = serde_json::json!({
        "kernel_boot": "6d01", "boot": "5".repeat(32), "seq": 7, "first": 1, "next": 2, "dropped": 3, "disk": "/var/lib/lectern",
        "stored": { "first": 4, "end": 5, "late": [] }, "open": [7, "t", "{}"],
    });
    let mut device = Device::new(10);
    device.runtime.replace(STATE, written.to_string().as_bytes()).unwrap();
    let state = state::read(&device.runtime).unwrap().unwrap();
    assert_eq!(serde_json::to_value(&state).unwrap(), written);
}

#[test]
fn a_crash_between_a_record_and_its_state_uses_no_seq_twice() {
    let device = Device::new(100);
    let mut spool = device.start();
    spool.keep_open(0, "t", &payload(spool.boot(), 0));
    let state = device.runtime.read(STATE, usize::MAX).unwrap();
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
        disk: Some(Folder { name: "disk".to_owned(), storage: Err(io::ErrorKind::NotFound.into()) }),
        runtime: Some(device.runtime.named("runtime")),
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
        let folders =
            Folders { disk: Some(other.disk.named("other")), runtime: Some(device.runtime.named("runtime")) };
        let spool = Spool::open_in_boot(folders, 100, MOST_BYTES, "0").unwrap();
        // Not acknowledged, so that the second start sees the same.
        let stored = spool.disk.as_ref().unwrap().entries();
        let mut left: Vec<_> = stored.map(|entry| entry.unwrap().1.payload).collect();
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
        let folders = Folders { disk: Some(disk.named("disk")), runtime: None };
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

/// Files with a backlog on the disk of a device that has just started; what was pushed.
fn device_with_files(records: usize) -> (Device, Spool, Vec<String>) {
    let device = Device::new(100_000);
    let mut spool = device.start();
    let pushed = (0..records).map(|_| push(&mut spool)).collect();
    spool.store();
    (device, spool, pushed)
}

/// So long after the tests' present.
fn after(seconds: u64) -> BootTime {
    NOW + Duration::from_secs(seconds)
}

/// Publishes everything that can be read at that time, in the order in which it comes.
fn drain_at(spool: &mut Spool, now: BootTime) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((position, _, payload)) = spool.oldest(now) {
        all.push(payload);
        spool.remove(position);
    }
    all
}

fn file_names(device: &Device) -> Vec<String> {
    device.disk.inner().files.keys().cloned().collect()
}

#[test]
fn a_passing_read_error_gives_no_record_up() {
    let (device, mut spool, pushed) = device_with_files(300);
    device.disk.inner().reads_fail = 7;
    // Nothing younger is delivered meanwhile.
    assert_eq!((drain_at(&mut spool, after(0)), spool.dropped()), (vec![], 0));
    assert!(spool.unreadable() > 0);
    device.disk.inner().reads_fail = 0;
    assert_eq!((drain_at(&mut spool, after(2)), spool.dropped(), spool.unreadable()), (pushed, 0, 0));
}

#[test]
fn a_passing_read_error_at_the_start_gives_no_record_up() {
    for failing in 1..8 {
        let (device, spool, mut pushed) = device_with_files(300);
        drop(spool);
        device.disk.inner().reads_fail = failing;
        let mut spool = device.start();
        pushed.push(push(&mut spool));
        let mut delivered = drain_at(&mut spool, after(0));
        for second in (2..30).step_by(2) {
            delivered.extend(drain_at(&mut spool, after(second)));
        }
        assert_eq!((delivered, spool.dropped()), (pushed, 0), "{failing} reads failed");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_passed_over_after_a_minute_and_comes_late() {
    for restart in [false, true] {
        let (device, mut spool, pushed) = device_with_files(300);
        let names = file_names(&device);
        let second = usize::from_str_radix(&names[1]["entries-".len()..], 16).unwrap();
        device.disk.inner().bad.insert(names[0].clone());
        if restart {
            drop(spool);
            spool = device.start();
        }
        assert_eq!((drain_at(&mut spool, after(0)), spool.unreadable()), (vec![], second as u64));
        assert_eq!(drain_at(&mut spool, after(59)), [""; 0]);
        // The rest is delivered, and what comes after it.
        assert_eq!(drain_at(&mut spool, after(60)), pushed[second..]);
        assert_eq!((spool.len(), spool.unreadable(), spool.dropped()), (second, second as u64, 0));
        assert!(spool.unreadable_files().unwrap().starts_with("late-"), "{:?}", spool.unreadable_files());
        let more = push(&mut spool);
        assert_eq!(drain_at(&mut spool, after(70)), [more]);
        if restart {
            drop(spool);
            spool = device.start();
            assert_eq!((spool.unreadable(), spool.dropped()), (second as u64, 0));
        }
        device.disk.inner().bad.clear();
        assert_eq!(drain_at(&mut spool, after(370)), pushed[..second]);
        assert_eq!((spool.len(), spool.unreadable(), spool.dropped()), (0, 0, 0));
        assert_eq!(spool.unreadable_files(), None);
    }
}

#[test]
fn a_file_that_cannot_be_read_for_a_day_is_set_aside_and_counted_once() {
    for rename_fails in [false, true] {
        let (device, mut spool, _) = device_with_files(300);
        let names = file_names(&device);
        let second = u64::from_str_radix(&names[1]["entries-".len()..], 16).unwrap();
        device.disk.inner().bad.insert(names[0].clone());
        drain_at(&mut spool, after(0));
        drain_at(&mut spool, after(60));
        drop(spool);
        // The day goes on over a restart.
        let mut spool = device.start();
        assert_eq!(drain_at(&mut spool, after(86_399)), [""; 0]);
        assert_eq!((spool.dropped(), spool.unreadable()), (0, second));
        if rename_fails {
            device.disk.inner().fails_in = Some(0);
        }
        drain_at(&mut spool, after(86_399 + 300));
        assert_eq!((spool.dropped(), spool.unreadable(), spool.len()), (second, 0, 0));
        for _ in 0..3 {
            drop(spool);
            spool = device.start();
            drain_at(&mut spool, after(100_000));
            assert_eq!((spool.dropped(), spool.unreadable(), spool.len()), (second, 0, 0));
        }
        let name = file_names(&device).pop().unwrap();
        assert!(name.starts_with(if rename_fails { "late-" } else { "aside-" }), "{name}");
    }
}

#[test]
fn a_file_that_was_passed_over_is_not_miscounted_after_a_power_loss() {
    let (mut device, mut spool, pushed) = device_with_files(400);
    let names = file_names(&device);
    let second = usize::from_str_radix(&names[1]["entries-".len()..], 16).unwrap();
    device.disk.inner().bad.insert(names[0].clone());
    // All but the newest file is delivered and removed.
    drain_at(&mut spool, after(0));
    for _ in second..350 {
        let (position, ..) = spool.oldest(after(60)).unwrap();
        spool.remove(position);
    }
    drop(spool);
    device.lose_power(0, false);
    let mut spool = device.start();
    assert_eq!((spool.unreadable(), spool.dropped()), (second as u64, 0));
    device.disk.inner().bad.clear();
    let delivered = drain_at(&mut spool, after(1000));
    assert!(pushed[..second].iter().chain(&pushed[350..]).all(|record| delivered.contains(record)));
    assert_eq!((spool.len(), spool.dropped()), (0, 0));
}

#[test]
fn damage_at_the_end_of_the_newest_file_is_counted_once() {
    for left in [0, 1, 100, 700, 2000] {
        let (device, spool, pushed) = device_with_files(5);
        drop(spool);
        for file in device.disk.inner().files.values_mut() {
            file.bytes.truncate(left);
        }
        let mut spool = device.start();
        let whole = left / (600 - 10);
        for _ in 0..3 {
            assert_eq!((spool.len(), spool.dropped()), (whole, 5 - whole as u64), "{left} bytes left");
            drop(spool);
            spool = device.start();
        }
        let more = push(&mut spool);
        spool.store();
        drop(spool);
        spool = device.start();
        let expected: Vec<_> = pushed[..whole].iter().cloned().chain([more]).collect();
        assert_eq!(drain(&mut spool), expected);
        assert_eq!(spool.dropped(), 5 - whole as u64);
    }
}

#[test]
fn a_crash_between_a_stored_record_and_its_state_counts_nothing_as_lost() {
    let device = Device::new(100);
    let mut spool = device.start();
    // All of these are delivered from memory, after some were on the disk.
    push(&mut spool);
    spool.store();
    drain(&mut spool);
    for _ in 0..6 {
        push(&mut spool);
        drain(&mut spool);
    }
    let waiting = push(&mut spool);
    let runtime: BTreeMap<_, _> =
        device.runtime.inner().files.iter().map(|(name, file)| (name.clone(), file.bytes.clone())).collect();
    spool.store();
    drop(spool);
    // As if the process had died right after the record was on the disk.
    for (name, bytes) in runtime {
        device.runtime.clone().replace(&name, &bytes).unwrap();
    }
    let mut spool = device.start();
    assert_eq!((drain(&mut spool), spool.dropped()), (vec![waiting], 0));
}

#[test]
fn a_file_that_is_gone_is_counted_once() {
    for which in 0..3 {
        let (device, spool, pushed) = device_with_files(300);
        drop(spool);
        let names = file_names(&device);
        assert_eq!(names.len(), 3);
        device.disk.inner().files.remove(&names[which]);
        let mut spool = device.start();
        for _ in 0..3 {
            assert_eq!(spool.len() as u64 + spool.dropped(), 300);
            drop(spool);
            spool = device.start();
        }
        let delivered = drain(&mut spool);
        assert!(delivered.len() > 50 && delivered.iter().all(|record| pushed.contains(record)));
        assert_eq!(delivered.len() as u64 + spool.dropped(), 300);
    }
}

#[test]
fn a_state_that_no_spool_writes_is_not_used() {
    let device = Device::new(10);
    let spool = device.start();
    let boot = spool.boot().to_owned();
    drop(spool);
    let good: serde_json::Value =
        serde_json::from_slice(&device.runtime.read(STATE, usize::MAX).unwrap()).unwrap();
    let huge = serde_json::json!(u64::MAX);
    for (field, value) in [
        ("boot", serde_json::json!("f".repeat(2000))),
        ("boot", serde_json::json!("../../etc/passwd")),
        ("seq", huge.clone()),
        ("next", huge.clone()),
        ("first", serde_json::json!(7)),
        ("dropped", huge.clone()),
        ("stored", serde_json::json!({"first": 9, "end": 3, "late": []})),
        ("stored", serde_json::json!({"first": 0, "end": huge.clone(), "late": []})),
        ("open", serde_json::json!([huge, "t", "{}"])),
        ("open", serde_json::json!([0, "a/#", "{}"])),
        ("open", serde_json::json!([0, "t", "x".repeat(1025)])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        device.runtime.clone().replace(STATE, &serde_json::to_vec(&bad).unwrap()).unwrap();
        let mut spool = device.start();
        assert_ne!(spool.boot(), boot, "{field}");
        let pushed = push(&mut spool);
        assert_eq!(drain(&mut spool), [pushed]);
    }
}

#[test]
fn records_with_numbers_near_the_highest_are_not_ours() {
    let entry = Entry { topic: "t".to_owned(), payload: format!("{{\"boot\":\"b\",\"seq\":{}}}", u64::MAX) };
    for (position, dropped) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX - 1, u64::MAX), (0, 0)] {
        let device = Device::new(10);
        for folder in [&device.disk, &device.runtime] {
            let bytes = record::encode(position, dropped, &entry);
            let file = File { safe: Some(bytes.len()), bytes };
            folder.inner().files.insert(format!("entries-{position:016x}"), file);
        }
        let mut spool = device.start();
        let pushed = push(&mut spool);
        assert_eq!(drain(&mut spool).pop().unwrap(), pushed);
    }
}

#[test]
fn what_is_not_ours_is_left_alone_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let names = ["entries-0000000000000000", "entries-0000000000000001-1", "discovered", "state.json"];
    for kind in ["pipe", "link", "folder", "device", "huge"] {
        for name in names {
            match kind {
                "pipe" => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    path(name),
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                    0,
                )
                .unwrap(),
                "link" => std::os::unix::fs::symlink("/dev/zero", path(name)).unwrap(),
                "folder" => std::fs::create_dir(path(name)).unwrap(),
                // Where devices cannot be made, a link to one is all there is.
                "device" => drop(
                    std::process::Command::new("mknod")
                        .arg(path(name))
                        .args(["c", "1", "5"])
                        .status()
                        .unwrap(),
                ),
                _ => std::fs::File::create(path(name)).unwrap().set_len(10 << 30).unwrap(),
            }
        }
        let folders = Folders::open(Some(folder.path()), Some(&path("run")));
        let mut spool = Spool::open(folders, 10, MOST_BYTES).unwrap();
        assert_eq!(announcer::noted(spool.folder().as_deref()), None);
        let pushed = push(&mut spool);
        spool.store();
        assert_eq!((drain(&mut spool), spool.dropped()), (vec![pushed], 0), "{kind}");
        drop(spool);
        // The same in the runtime directory.
        let mut spool = Spool::open(Folders::open(None, Some(folder.path())), 10, MOST_BYTES).unwrap();
        let pushed = push(&mut spool);
        assert_eq!(drain(&mut spool), [pushed]);
        drop(spool);
        for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => std::fs::remove_dir_all(entry.path()).unwrap(),
                _ => std::fs::remove_file(entry.path()).unwrap(),
            }
        }
    }
}

#[test]
fn a_second_process_is_told_that_another_one_uses_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Directory::open(folder.path()).unwrap();
    let error = Directory::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("another process uses this folder; end that one"), "{error}");
    drop(first);
    assert!(Directory::open(folder.path()).is_ok());
}

#[test]
fn a_folder_that_comes_later_is_used_then() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("not-mounted/disk");
    let mut spool = Spool::open(Folders::open(Some(&disk), None), 10, MOST_BYTES).unwrap();
    push(&mut spool);
    spool.store();
    assert!(!spool.uses_disk() && spool.has_unstored());
    std::fs::create_dir(folder.path().join("not-mounted")).unwrap();
    spool.store();
    assert!(spool.uses_disk() && !spool.has_unstored());
}

#[test]
fn a_look_names_what_cannot_be_read_and_takes_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(Folders::open(Some(folder.path()), None), 10, MOST_BYTES).unwrap();
    push(&mut spool);
    spool.store();
    assert_eq!(inspect(folder.path()).unwrap(), Inspection::default());
    std::fs::write(folder.path().join("aside-0000000000000005-0000000000000009"), "").unwrap();
    assert_eq!(inspect(folder.path()).unwrap().aside, ["aside-0000000000000005-0000000000000009"]);
}

#[derive(Debug, Clone)]
enum Event {
    Push,
    /// As many as fill two files.
    Burst,
    KeepOpen,
    Store,
    Acknowledge(u32),
    DiskFailsIn(u32),
    RuntimeFailsIn(u32),
    /// The next reads of the disk, and of the runtime directory, fail.
    ReadsFail {
        disk: u32,
        runtime: u32,
    },
    /// From now on one of the files on the disk cannot be read.
    FileGoesBad(usize),
    FilesRecover,
    Damage {
        file: usize,
        at: usize,
    },
    Wait(u64),
    Mend,
    KillProcess,
    /// The process dies after this many writes, while it starts, or else while it stores.
    DieIn {
        writes: u32,
        starting: bool,
    },
    LosePower {
        luck: u8,
        zeroes: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Push),
        1 => Just(Event::Burst),
        2 => Just(Event::KeepOpen),
        5 => Just(Event::Store),
        4 => Just(Event::Acknowledge(1)),
        1 => (1_u32..200).prop_map(Event::Acknowledge),
        2 => (0_u32..6).prop_map(Event::DiskFailsIn),
        1 => (0_u32..6).prop_map(Event::RuntimeFailsIn),
        // More of the runtime directory, and the run goes on without it.
        2 => (0_u32..6, 0_u32..READ_RUNTIME).prop_map(|(disk, runtime)| Event::ReadsFail { disk, runtime }),
        2 => any::<usize>().prop_map(Event::FileGoesBad),
        1 => Just(Event::FilesRecover),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, at)| Event::Damage { file, at }),
        3 => prop_oneof![Just(1), Just(20), Just(70), Just(400), Just(90_000)].prop_map(Event::Wait),
        2 => Just(Event::Mend),
        2 => Just(Event::KillProcess),
        2 => (0_u32..12, any::<bool>()).prop_map(|(writes, starting)| Event::DieIn { writes, starting }),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(luck, zeroes)| Event::LosePower { luck, zeroes }),
    ]
}

/// What is expected of a spool after what has happened to it.
struct Model {
    device: Device,
    spool: Spool,
    now: BootTime,
    /// Every record ever made; what of them is promised; the one that was acknowledged last.
    made: Vec<String>,
    promised: Vec<usize>,
    acknowledged: BTreeSet<usize>,
    newest: Option<usize>,
    open: Option<String>,
    /// No power was lost and the runtime directory never failed, so that every record is accounted for.
    exact: bool,
    /// A file was unreadable for longer than the order is held, so that its records may come late.
    may_be_late: bool,
    /// Records on the disk were damaged, or could not be read for a day.
    harmed: bool,
    /// What was in memory alone may be found half stored, and counts as dropped then.
    lost_from_memory: u64,
}

impl Model {
    fn new() -> Self {
        let device = Device::new(10_000);
        let spool = device.start();
        Self {
            device,
            spool,
            now: NOW,
            made: Vec::new(),
            promised: Vec::new(),
            acknowledged: BTreeSet::new(),
            newest: None,
            open: None,
            exact: true,
            may_be_late: false,
            harmed: false,
            lost_from_memory: 0,
        }
    }

    fn push(&mut self) {
        self.made.push(push(&mut self.spool));
        self.promised.push(self.made.len() - 1);
        self.open = None;
    }

    /// Publishes the oldest record, if one can be read.
    fn acknowledge(&mut self) -> bool {
        let Some((position, _, payload)) = self.spool.oldest(self.now) else { return false };
        let index = self.made.iter().position(|record| *record == payload).expect("a known record");
        let is_new = self.acknowledged.insert(index);
        assert!(is_new || !self.exact, "{index} comes again");
        assert!(self.may_be_late || !self.exact || self.newest < Some(index), "{index} is out of order");
        self.newest = Some(index);
        self.promised.retain(|promised| *promised != index);
        self.spool.remove(position);
        true
    }

    fn restart(&mut self, power: Option<(u8, bool)>) {
        let boot = self.spool.boot().to_owned();
        self.restart_after(power, self.spool.runtime.is_none(), &boot, self.spool.tail.len());
    }

    fn restart_after(
        &mut self,
        power: Option<(u8, bool)>,
        runtime_failed: bool,
        boot: &str,
        in_memory: usize,
    ) {
        if let Some((luck, zeroes)) = power {
            self.device.lose_power(luck, zeroes);
        } else {
            // The next process can write; whether it can read is another thing.
            self.device.disk.inner().fails_in = None;
            self.device.runtime.inner().fails_in = None;
        }
        self.spool = self.device.start();
        if power.is_some() || runtime_failed {
            self.exact = false;
            self.lost_from_memory += in_memory as u64;
            self.promised.truncate(self.promised.len() - in_memory.min(self.promised.len()));
        }
        let open = self.open.take();
        if power.is_some() {
            assert_ne!(self.spool.boot(), boot);
        } else if !runtime_failed {
            assert_eq!(self.spool.boot(), boot);
            if let Some(open) = open {
                self.made.push(open);
                self.promised.push(self.made.len() - 1);
            }
        }
    }

    fn live(&mut self, event: &Event) {
        match *event {
            Event::Push => self.push(),
            Event::Burst => {
                (0..250).for_each(|_| self.push());
                self.live(&Event::Store);
            }
            Event::KeepOpen => {
                let seq = self.spool.next_seq();
                let payload = payload(self.spool.boot(), seq);
                self.spool.keep_open(seq, "t", &payload);
                self.open = Some(payload.as_str().to_owned());
            }
            Event::Store => {
                self.spool.store();
                // A failed write leaves a part of them.
                self.lost_from_memory += self.spool.tail.len() as u64;
            }
            Event::Acknowledge(count) => while_true(count, || self.acknowledge()),
            Event::DiskFailsIn(calls) => self.device.disk.inner().fails_in = Some(calls),
            Event::RuntimeFailsIn(calls) => self.device.runtime.inner().fails_in = Some(calls),
            Event::ReadsFail { disk, runtime } => {
                self.device.disk.inner().reads_fail = disk;
                self.device.runtime.inner().reads_fail = runtime;
            }
            Event::FileGoesBad(which) => {
                let mut inner = self.device.disk.inner();
                let count = inner.files.len().max(1);
                if let Some(name) = inner.files.keys().nth(which % count).cloned() {
                    inner.bad.insert(name);
                }
            }
            Event::FilesRecover => self.device.disk.inner().bad.clear(),
            Event::Damage { file, at } => {
                let mut inner = self.device.disk.inner();
                let count = inner.files.len().max(1);
                if let Some(file) = inner.files.values_mut().nth(file % count)
                    && !file.bytes.is_empty()
                {
                    let at = at % file.bytes.len();
                    file.bytes[at] ^= 0x40;
                    self.harmed = true;
                }
            }
            Event::Wait(seconds) => {
                // Who waits publishes what can be.
                let is_bad =
                    !self.device.disk.inner().bad.is_empty() || self.device.disk.inner().reads_fail > 0;
                self.may_be_late |= is_bad || self.spool.unreadable() > 0 || self.spool.away.is_some();
                self.harmed |= self.may_be_late && seconds > 80_000;
                self.spool.oldest(self.now);
                self.now += Duration::from_secs(seconds);
                self.spool.oldest(self.now);
            }
            Event::Mend => {
                self.device.disk.inner().fails_in = None;
                self.device.runtime.inner().fails_in = None;
            }
            Event::KillProcess => self.restart(None),
            Event::DieIn { writes, starting } => {
                let dies_in = self.device.disk.inner().dies_in.clone();
                let runtime_failed = self.spool.runtime.is_none();
                let (boot, in_memory) = (self.spool.boot().to_owned(), self.spool.tail.len());
                self.device.disk.inner().fails_in = None;
                self.device.runtime.inner().fails_in = None;
                *dies_in.lock().unwrap() = Some(writes);
                if starting {
                    self.spool = self.device.start();
                } else {
                    self.lost_from_memory += in_memory as u64;
                    self.spool.store();
                }
                *dies_in.lock().unwrap() = None;
                self.restart_after(None, runtime_failed, &boot, in_memory);
            }
            Event::LosePower { luck, zeroes } => self.restart(Some((luck, zeroes))),
        }
    }

    /// At any time: stored = delivered + dropped + waiting.
    fn check(&mut self) {
        self.exact &= self.spool.runtime.is_some();
        if self.exact && self.spool.away.is_none() {
            let delivered = self.acknowledged.len() as u64;
            let accounted = delivered + self.spool.dropped() + self.spool.len() as u64;
            assert_eq!(
                accounted,
                self.made.len() as u64,
                "delivered {delivered}, dropped {}",
                self.spool.dropped()
            );
        }
        assert!(self.harmed || self.spool.dropped() <= self.lost_from_memory);
    }

    /// Everything can be read and written again, and is published.
    fn finish(mut self) {
        for folder in [&self.device.disk, &self.device.runtime] {
            let mut inner = folder.inner();
            (inner.fails_in, inner.reads_fail) = (None, 0);
            inner.bad.clear();
        }
        // Files that were passed over are tried again every five minutes.
        for _ in 0..3 {
            self.now += Duration::from_secs(400);
            while self.acknowledge() {}
            // Their turn comes one after the other.
            for _ in 0..20 {
                self.now += Duration::from_secs(10);
                while self.acknowledge() {}
            }
            self.check();
        }
        assert_eq!(self.spool.len(), 0);
        assert!(self.harmed || self.promised.is_empty(), "lost: {:?}", self.promised);
        // The key of each record is its own.
        assert_eq!(self.made.iter().collect::<BTreeSet<_>>().len(), self.made.len());
    }
}

fn while_true(count: u32, mut act: impl FnMut() -> bool) {
    let _ = (0..count).all(|_| act());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").map_or(2000, |cases| cases.parse().unwrap())))]

    /// What must hold after any history: records come oldest first, each as it was pushed; the ones not acknowledged
    /// are all there but those a power loss caught in memory; what was stored is delivered, dropped or waiting; no key
    /// names two records.
    #[test]
    fn nothing_is_lost_that_was_promised(events in proptest::collection::vec(event(), 1..60)) {
        let mut model = Model::new();
        for event in events {
            model.live(&event);
            model.check();
        }
        model.finish();
    }
}

/// Lives through a history, and checks after each event what is checked after any.
fn live(events: &[Event]) -> Model {
    let mut model = Model::new();
    for event in events {
        model.live(event);
        model.check();
    }
    model
}

#[test]
fn a_crash_while_waiting_records_get_new_positions_counts_none_of_them_as_dropped() {
    for writes in 0..10 {
        let model = live(&[
            Event::Push,
            Event::Store,
            Event::FileGoesBad(0),
            // The runtime directory is empty, and the disk is away for a while.
            Event::ReadsFail { disk: 2, runtime: 0 },
            Event::LosePower { luck: 0, zeroes: false },
            Event::Push,
            Event::KillProcess,
            Event::DieIn { writes, starting: true },
        ]);
        assert_eq!(model.spool.dropped(), 0, "died after {writes} writes");
        model.finish();
    }
}

#[test]
fn a_crash_while_an_open_window_is_recovered_counts_nothing_as_dropped() {
    for writes in 0..16 {
        let model = live(&[
            // What waits is on the disk alone, which is away at the next start.
            Event::RuntimeFailsIn(0),
            Event::ReadsFail { disk: 4, runtime: 0 },
            Event::Burst,
            Event::Push,
            Event::Acknowledge(1),
            Event::Store,
            Event::KillProcess,
            Event::KeepOpen,
            Event::DieIn { writes, starting: true },
        ]);
        assert_eq!(model.spool.dropped(), 0, "died after {writes} writes");
        model.finish();
    }
}

#[test]
fn a_power_loss_after_a_late_file_was_delivered_counts_nothing_as_dropped() {
    for luck in [0, 64, 128, 192, 255] {
        let model = live(&[
            Event::Push,
            // The first file is passed over, and cannot get the name that says so.
            Event::ReadsFail { disk: 3, runtime: 0 },
            Event::Store,
            Event::DiskFailsIn(2),
            Event::Acknowledge(1),
            Event::Push,
            Event::Store,
            Event::Wait(70),
            Event::Mend,
            Event::Push,
            Event::Store,
            Event::Wait(1),
            Event::Acknowledge(1),
            Event::KillProcess,
            // With it both files are needed no more.
            Event::Acknowledge(1),
            Event::LosePower { luck, zeroes: false },
        ]);
        assert_eq!(model.spool.dropped(), 0, "luck {luck}");
        model.finish();
    }
}

#[test]
fn what_a_failed_write_left_behind_older_files_does_not_settle_them() {
    live(&[
        Event::Burst,
        Event::FileGoesBad(2),
        Event::ReadsFail { disk: 2, runtime: 0 },
        Event::Push,
        Event::Acknowledge(1),
        Event::ReadsFail { disk: 4, runtime: 0 },
        Event::FileGoesBad(0),
        Event::Push,
        // The first of two is on the disk, and that is not noted; the disk is away, and it is delivered from memory.
        Event::DieIn { writes: 1, starting: false },
        Event::Wait(70),
        Event::Acknowledge(1),
        Event::DieIn { writes: 0, starting: false },
        Event::KillProcess,
    ])
    .finish();
}

/// Starts a run in which the disk is away for longer than the order is held, so that a record is delivered from memory; the disk is
/// back afterwards.
fn start_without_disk(device: &Device, seconds: u64) -> Spool {
    device.disk.inner().reads_fail = 3;
    let mut spool = device.start();
    push(&mut spool);
    assert!(spool.oldest(after(seconds)).is_none());
    let (position, ..) = spool.oldest(after(seconds + 61)).unwrap();
    spool.remove(position);
    device.disk.inner().reads_fail = 0;
    spool
}

/// Damages the newest file so that no record of it is left.
fn empty_newest_file(device: &Device) {
    let newest = file_names(device).pop().unwrap();
    device.disk.inner().files.get_mut(&newest).unwrap().bytes.clear();
}

#[test]
fn what_was_delivered_before_a_file_without_a_good_record_began_is_not_counted_as_dropped() {
    let device = Device::new(10_000);
    let mut spool = device.start();
    push(&mut spool);
    spool.store();
    drop(spool);
    let mut spool = start_without_disk(&device, 0);
    push(&mut spool);
    spool.store();
    drop(spool);
    empty_newest_file(&device);
    for restart in 0..3 {
        let spool = device.start();
        assert_eq!((spool.len(), spool.dropped()), (1, 1), "restart {restart}");
    }
}

#[test]
fn a_failed_write_behind_a_file_without_a_good_record_changes_no_count() {
    // A file is passed over, and does not get the name that says so: no other one is removed.
    let (device, mut spool, _) = device_with_files(1);
    let names = file_names(&device);
    device.disk.inner().bad.extend(names);
    device.disk.inner().fails_in = Some(0);
    assert_eq!(drain_at(&mut spool, after(0)).len() + drain_at(&mut spool, after(60)).len(), 0);
    device.disk.inner().fails_in = None;
    device.disk.inner().bad.clear();
    push(&mut spool);
    spool.store();
    drop(spool);
    let mut spool = start_without_disk(&device, 60);
    (0..3).for_each(|_| drop(push(&mut spool)));
    spool.store();
    push(&mut spool);
    drop(spool);
    empty_newest_file(&device);
    for restart in 0..3 {
        let mut spool = device.start();
        device.disk.inner().fails_in = Some(0);
        spool.store();
        assert_eq!((spool.len(), spool.dropped()), (3, 3), "restart {restart}");
        device.disk.inner().fails_in = None;
    }
    assert_eq!(drain_at(&mut device.start(), after(1000)).len(), 3);
}

#[test]
fn a_failed_write_changes_no_count_where_an_older_file_was_left_before_one_that_was_passed_over() {
    let (device, spool, pushed) = device_with_files(300);
    drop(spool);
    // The first file could not be removed when it was delivered, the second was passed over, and then the state was lost.
    let names = file_names(&device);
    let begins = |name: &String| u64::from_str_radix(&name["entries-".len()..], 16).unwrap();
    let (second, third) = (begins(&names[1]), begins(&names[2]));
    let late = format!("late-{second:016x}-{third:016x}");
    device.disk.clone().rename(&names[1], &late).unwrap();
    device.disk.inner().bad.insert(late);
    device.runtime.clone().remove(STATE).unwrap();
    let mut spool = device.start();
    push(&mut spool);
    drop(spool);
    device.disk.inner().files.get_mut(&names[2]).unwrap().bytes.clear();
    let missing = pushed.len() as u64 - third;
    for restart in 0..3 {
        let mut spool = device.start();
        device.disk.inner().fails_in = Some(0);
        spool.store();
        assert_eq!((spool.len() as u64, spool.dropped()), (third + 1, missing), "restart {restart}");
        device.disk.inner().fails_in = None;
    }
}
