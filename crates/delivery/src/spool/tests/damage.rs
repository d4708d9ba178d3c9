//! Files that are damaged, cannot be read or are gone: what is delivered all the same, and what counts as dropped.

use super::disk::File;
use super::*;

/// A backlog on the disk of a device that has just started; what was pushed.
fn device_with_files(records: usize) -> (Device, Spool, Vec<String>) {
    let device = Device::new(100_000);
    let mut spool = device.start();
    let pushed = (0..records).map(|_| push(&mut spool)).collect();
    while spool.unstored() > 0 {
        spool.store();
    }
    (device, spool, pushed)
}

/// So long after the tests' present.
fn after(seconds: u64) -> BootTime {
    NOW + Duration::from_secs(seconds)
}

fn file_names(device: &Device) -> Vec<String> {
    device.disk.inner().files.keys().cloned().collect()
}

fn contents(folder: &Fake) -> BTreeMap<String, Vec<u8>> {
    folder.inner().files.iter().map(|(name, file)| (name.clone(), file.bytes.clone())).collect()
}

fn put(folder: &Fake, name: &str, bytes: Vec<u8>) {
    folder.inner().files.insert(name.to_owned(), File { safe: Some(bytes.len()), bytes });
}

/// Whatever a power loss or a dying disk makes of one file: another bit, fewer bytes, zeroes, another version.
#[test]
fn a_damaged_file_costs_one_record_and_is_counted_and_left_alone() {
    let (device, spool, pushed) = device_with_files(3);
    drop(spool);
    let name = &file_names(&device)[1];
    let mut others = contents(&device.disk);
    let good = others.remove(name).unwrap();
    let flipped = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    });
    let short = (0..good.len()).map(|length| good[..length].to_vec());
    let zeroed = (0..good.len()).map(|from| [&good[..from], &vec![0; good.len() - from]].concat());
    let versions = [b"LR3 00000000 0\nt\n{}".to_vec(), [&good[..], b"x"].concat()];
    for bytes in flipped.chain(short).chain(zeroed).chain(versions) {
        put(&device.disk, name, bytes.clone());
        let runtime = Fake::default();
        for restart in 0..2 {
            let folders =
                Folders { disk: Some(device.disk.named("disk")), runtime: Some(runtime.named("runtime")) };
            let mut spool = Spool::open(folders, Keep::records(10)).unwrap();
            let expected: &[&String] = if restart == 0 { &[&pushed[0], &pushed[2]] } else { &[] };
            assert_eq!(drain(&mut spool).iter().collect::<Vec<_>>(), expected, "{bytes:?}");
            assert_eq!((spool.len(), spool.dropped()), (0, 1), "{bytes:?}");
        }
        assert_eq!(device.disk.inner().files[name].bytes, bytes);
        others.iter().for_each(|(name, bytes)| put(&device.disk, name, bytes.clone()));
    }
}

#[test]
fn the_count_of_dropped_records_survives_a_power_loss_with_the_records() {
    let mut device = Device::new(5);
    let mut spool = device.start();
    (0..8).for_each(|_| drop(push(&mut spool)));
    spool.store();
    drop(spool);
    device.lose_power(0, false);
    let spool = device.start();
    assert_eq!((spool.len(), spool.dropped()), (5, 3));
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
fn files_that_cannot_be_read_are_passed_over_after_a_minute_and_come_late() {
    let (device, mut spool, pushed) = device_with_files(300);
    let bad: Vec<_> = file_names(&device).into_iter().step_by(2).collect();
    device.disk.inner().bad.extend(bad.iter().cloned());
    assert_eq!((drain_at(&mut spool, after(0)), spool.unreadable()), (vec![], 1));
    assert_eq!(spool.unreadable_files().unwrap(), bad[0]);
    assert_eq!(drain_at(&mut spool, after(59)), [""; 0]);
    // The order is held once for all of them; the rest is delivered, and what comes after it.
    let good: Vec<_> = pushed.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(drain_at(&mut spool, after(60)), good);
    assert_eq!((spool.len(), spool.unreadable(), spool.dropped(), spool.can_deliver()), (150, 150, 0, false));
    let more = push(&mut spool);
    assert_eq!(drain_at(&mut spool, after(70)), [more]);
    // Those that still cannot be read stop nothing when it is their turn, and after a restart only for a minute.
    let more = push(&mut spool);
    assert_eq!(drain_at(&mut spool, after(370)), [more]);
    drop(spool);
    let mut spool = device.start();
    assert_eq!(drain_at(&mut spool, after(380)), [""; 0]);
    let more = push(&mut spool);
    let delivered: Vec<_> = (0..20).flat_map(|_| drain_at(&mut spool, after(440))).collect();
    assert_eq!(delivered, [more]);
    device.disk.inner().bad.clear();
    let late: Vec<_> = pushed.iter().step_by(2).cloned().collect();
    assert_eq!(drain_at(&mut spool, after(1000)), late);
    assert_eq!((spool.len(), spool.unreadable(), spool.dropped()), (0, 0, 0));
    assert_eq!(spool.unreadable_files(), None);
}

#[test]
fn nothing_waits_at_the_end_for_what_cannot_be_read() {
    let (device, mut spool, _) = device_with_files(1);
    let pushed = push(&mut spool);
    let names = file_names(&device);
    device.disk.inner().bad.extend(names);
    spool.leave();
    assert_eq!(drain(&mut spool), [pushed]);
    assert!(!spool.can_deliver());
    // Nor for a disk that is away.
    device.disk.inner().reads_fail = 9;
    let mut spool = device.start();
    let pushed = push(&mut spool);
    assert_eq!(drain(&mut spool), [""; 0]);
    spool.leave();
    assert_eq!(drain(&mut spool), [pushed]);
}

#[test]
fn a_crash_right_after_a_record_is_stored_delivers_it_once() {
    for away in [false, true] {
        let device = Device::new(100);
        let mut spool = device.start();
        let waiting = push(&mut spool);
        let runtime = contents(&device.runtime);
        spool.store();
        drop(spool);
        runtime.into_iter().for_each(|(name, bytes)| put(&device.runtime, &name, bytes));
        // The disk may be away meanwhile.
        device.disk.inner().reads_fail = if away { 9 } else { 0 };
        let mut spool = device.start();
        let delivered = [drain_at(&mut spool, after(0)), drain_at(&mut spool, after(61))].concat();
        assert_eq!((delivered, spool.dropped()), (vec![waiting], 0), "away {away}");
        drop(spool);
        device.disk.inner().reads_fail = 0;
        assert_eq!(drain(&mut device.start()), [""; 0], "away {away}");
        assert!(device.disk.inner().files.is_empty());
    }
}

/// A file as earlier versions wrote it.
fn old_file(records: impl Iterator<Item = u64>) -> (Vec<u8>, Vec<String>) {
    let (mut bytes, mut payloads) = (Vec::new(), Vec::new());
    for position in records {
        let payload = payload("a", position).as_str().to_owned();
        let entry = format!("t\n{payload}");
        let mut summed = u32::try_from(entry.len()).unwrap().to_le_bytes().to_vec();
        summed.extend([position.to_le_bytes(), 4_u64.to_le_bytes()].concat());
        let crc = crc32fast::hash(&[&summed, entry.as_bytes()].concat());
        bytes.extend([b"\xffLR\x01", &summed[..], &crc.to_le_bytes(), entry.as_bytes()].concat());
        payloads.push(payload);
    }
    (bytes, payloads)
}

#[test]
fn what_earlier_versions_left_is_delivered_first_and_then_removed() {
    let device = Device::new(1000);
    let (first, mut expected) = old_file(3..10);
    let (mut second, mut payloads) = old_file(10..15);
    let (third, late) = old_file(20..22);
    // One of them is damaged.
    let at = second.len() / 2;
    second[at] ^= 1;
    payloads.remove(2);
    expected.extend(payloads);
    expected.extend(late);
    put(&device.disk, "entries-0000000000000003", first);
    put(&device.disk, "entries-000000000000000a", second);
    put(&device.disk, "entries-0000000000000014-1-000000000000000f", third);
    let (in_memory, payloads) = old_file(22..24);
    put(&device.runtime, "entries-0000000000000016", in_memory);
    expected.extend(payloads);
    let boot = "5".repeat(32);
    let state = serde_json::json!({
        "kernel_boot": "0", "boot": boot, "seq": 7, "first": 22, "next": 24, "dropped": 3, "disk": "disk",
        "stored": { "first": 3, "end": 22, "late": [] }, "open": [7, "t", "{}"],
    });
    put(&device.runtime, STATE, state.to_string().into_bytes());
    expected.push("{}".to_owned());
    for (disk_takes_writes, count) in [(false, 17), (true, 18)] {
        device.disk.inner().fails_in = (!disk_takes_writes).then_some(0);
        let mut spool = device.start();
        assert_eq!((spool.len(), spool.dropped(), spool.boot()), (count - 1, 4 + 1, &*boot));
        let more = push(&mut spool);
        expected.push(more);
        spool.store();
        drop(spool);
    }
    let mut spool = device.start();
    assert_eq!((drain(&mut spool), spool.dropped()), (expected, 5));
    assert_eq!((file_names(&device), device.runtime.inner().files.len()), (vec![], 1));
}

#[test]
fn a_file_of_earlier_versions_without_a_good_record_is_counted_and_left_alone() {
    let device = Device::new(1000);
    put(&device.disk, "entries-0000000000000000", vec![0; 60_000]);
    for _ in 0..2 {
        let mut spool = device.start();
        assert_eq!((spool.len(), spool.dropped(), drain(&mut spool)), (0, 1, vec![]));
        assert_eq!(file_names(&device), ["entries-0000000000000000"]);
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
        ("dropped", huge.clone()),
        ("gone", serde_json::json!([[0, huge]])),
        ("open", serde_json::json!([huge, "t", "{}"])),
        ("open", serde_json::json!([0, "a/#", "{}"])),
        ("open", serde_json::json!([0, "t", "x".repeat(1025)])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        put(&device.runtime, STATE, serde_json::to_vec(&bad).unwrap());
        let mut spool = device.start();
        assert_ne!(spool.boot(), boot, "{field}");
        let pushed = push(&mut spool);
        assert_eq!(drain(&mut spool), [pushed]);
    }
}
