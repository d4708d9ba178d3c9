//! Files that are damaged, cannot be read or are gone: what is delivered all the same, and what counts as dropped.

use super::disk::File;
use super::*;

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
    let runtime: Vec<_> =
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
