//! What a spool keeps, drops and finds again; `damage` and `history` hold it to the same on bad disks and over crashes.

mod damage;
mod disk;
mod history;

use std::time::Duration;

pub(crate) use self::disk::Fake;
use super::record::encode;
use super::state::STATE;
use super::storage::Directory;
use super::*;
use crate::publisher::announcer;

/// Boot time in tests in which it stands still.
const NOW: BootTime = Duration::from_secs(100);

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
        Spool::open_in_boot(folders, Keep::records(self.capacity), &self.boot.to_string()).unwrap()
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
    drain_at(spool, NOW)
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
    let state = device.runtime.read(STATE, usize::MAX).unwrap();
    let ended = push(&mut spool);
    drop(spool);
    // As if the process had died right after the record was written.
    device.runtime.clone().write(STATE, &state, false).unwrap();
    let mut spool = device.start();
    assert_eq!(spool.next_seq(), 1);
    assert_eq!(drain(&mut spool), [ended]);
}

#[test]
fn a_disk_that_takes_no_writes_is_read_all_the_same() {
    let device = Device::new(10);
    let mut spool = device.start();
    let first = [push(&mut spool), push(&mut spool)];
    spool.store();
    drop(spool);
    (device.disk.inner().fails_in, device.disk.inner().is_read_only) = (Some(0), true);
    let mut spool = device.start();
    let third = push(&mut spool);
    spool.store();
    assert!(!spool.uses_disk());
    assert_eq!((drain(&mut spool), spool.dropped()), ([&first[..], &[third]].concat(), 0));
    // It does not come again in another run of this boot; and once the disk takes writes again, nothing of it is left.
    drop(spool);
    let mut spool = device.start();
    assert_eq!((drain(&mut spool), spool.dropped()), (vec![], 0));
    (device.disk.inner().fails_in, device.disk.inner().is_read_only) = (None, false);
    spool.store();
    assert!(device.disk.inner().files.keys().all(|name| name.ends_with(".new")));
    device.start();
    assert!(device.disk.inner().files.is_empty());
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
    // The other folder has a backlog of its own, in which every position of this one occurs.
    let other = Device::new(100);
    let mut foreign = other.start();
    let backlog: Vec<_> = (0..20).map(|_| push(&mut foreign)).collect();
    foreign.store();
    drop(foreign);
    let folders =
        || Folders { disk: Some(other.disk.named("other")), runtime: Some(device.runtime.named("runtime")) };
    // Not acknowledged, so that the second start sees the same.
    drop(Spool::open_in_boot(folders(), Keep::records(100), "0").unwrap());
    let mut spool = Spool::open_in_boot(folders(), Keep::records(100), "0").unwrap();
    assert_eq!(drain(&mut spool), [&backlog[..], std::slice::from_ref(&waiting)].concat());
}

#[test]
fn a_runtime_directory_that_fails_for_a_while_keeps_the_boot() {
    let device = Device::new(100);
    let mut spool = device.start();
    let boot = spool.boot().to_owned();
    device.runtime.inner().fails_in = Some(0);
    let pushed = push(&mut spool);
    assert!(!spool.survives_the_process());
    device.runtime.inner().fails_in = None;
    let open = payload(&boot, 1);
    spool.keep_open(1, "t", &open);
    assert!(spool.survives_the_process());
    drop(spool);
    let mut spool = device.start();
    assert_eq!((spool.boot(), spool.next_seq()), (boot.as_str(), 2));
    assert_eq!(drain(&mut spool), [pushed, open.as_str().to_owned()]);
}

#[test]
fn a_runtime_directory_that_can_be_read_later_is_taken_over_then() {
    let device = Device::new(100);
    let mut spool = device.start();
    let before = [push(&mut spool), push(&mut spool)];
    let open = payload(spool.boot(), 2);
    spool.keep_open(2, "t", &open);
    drop(spool);
    device.runtime.inner().reads_fail = 9;
    let mut spool = device.start();
    let pushed = push(&mut spool);
    device.runtime.inner().reads_fail = 0;
    let more = push(&mut spool);
    drop(spool);
    let mut all = drain(&mut device.start());
    all.sort_unstable();
    let mut expected = vec![pushed, more, open.as_str().to_owned()];
    expected.extend(before);
    expected.sort_unstable();
    assert_eq!(all, expected);
}

#[test]
fn a_postponed_record_stops_nothing_and_comes_in_its_time() {
    let device = Device::new(100);
    let mut spool = device.start();
    let pushed: Vec<_> = (0..3).map(|_| push(&mut spool)).collect();
    spool.store();
    let newest = push(&mut spool);
    let (first, ..) = spool.oldest(NOW).unwrap();
    spool.postpone(first, NOW + Duration::from_secs(60));
    assert!(spool.can_deliver());
    assert_eq!(drain(&mut spool), [&pushed[1..], &[newest]].concat());
    assert_eq!((spool.len(), spool.dropped(), spool.unreadable(), spool.can_deliver()), (1, 0, 0, false));
    assert_eq!(drain_at(&mut spool, NOW + Duration::from_secs(60)), pushed[..1]);
}

/// A record as a device writes it.
fn minute(device: &str, seq: u64, start: &str, clock_synced: bool) -> Payload {
    let text = format!(
        r#"{{"device":"{device}","boot":"b","seq":{seq},"start":"{start}","clock_synced":{clock_synced}}}"#
    );
    Payload::try_from(text.as_str()).unwrap()
}

#[test]
fn days_are_days_where_the_clock_is_right() {
    for store in [false, true] {
        let disk = Fake::default();
        let folders = Folders { disk: Some(disk.named("disk")), runtime: None };
        let keep = Keep { seconds: Some(7 * 86_400), ..Keep::records(1000) };
        let mut spool = Spool::open(folders, keep).unwrap();
        // Each day begins before the clock is synchronised.
        for (seq, day) in (1..=20).flat_map(|day| [day, day]).enumerate() {
            let synced = seq % 2 == 1;
            let start = format!("2026-11-{day:02}T08:0{}:00Z", u8::from(synced));
            spool.push(seq as u64, "t", &minute("d", seq as u64, &start, synced));
        }
        if store {
            (0..2).for_each(|_| spool.store());
        }
        spool.expire("2026-11-20T16:00:00Z".parse().unwrap());
        assert_eq!((spool.len(), spool.dropped()), (14, 26), "stored {store}");
        assert!(spool.oldest(NOW).unwrap().2.contains("2026-11-14T08:00"));
        spool.expire("2016-11-20T16:00:00Z".parse().unwrap());
        assert_eq!(spool.len(), 14);
    }
}

#[test]
fn only_records_of_this_device_are_delivered() {
    let disk = Fake::default();
    let open = |owner| {
        let folders = Folders { disk: Some(disk.named("disk")), runtime: None };
        Spool::open(folders, Keep { owner, ..Keep::records(100) }).unwrap()
    };
    let mut spool = open(None);
    let topics = [
        ("lectern/v1/s/b/r/d/minute", "d"),
        ("lectern/v1/s/b/r-old/d/minute", "d"),
        ("lectern/v1/s/b/r/d2/minute", "d2"),
        ("lectern/v1/s/b/r/d/minute", "d2"),
        ("other/v1/s/b/r/d/minute", "d"),
        ("lectern/v1/s/b/r/d/status", "d"),
        ("homeassistant/device/x/config", "d"),
    ];
    for (seq, (topic, device)) in topics.into_iter().enumerate() {
        spool.push(seq as u64, topic, &minute(device, seq as u64, "2026-11-20T16:00:00Z", true));
    }
    spool.store();
    drop(spool);
    let mut spool = open(Some(Owner { root: "lectern/v1".to_owned(), device: "d".to_owned() }));
    let mut delivered = Vec::new();
    while let Some((id, topic, _)) = spool.oldest(NOW) {
        spool.remove(id);
        delivered.push(topic);
    }
    assert_eq!(delivered, topics[..2].iter().map(|(topic, _)| *topic).collect::<Vec<_>>());
    assert_eq!((spool.len(), spool.dropped(), disk.inner().files.len()), (0, 0, 5));
}

#[test]
fn what_is_not_ours_is_left_alone_and_stops_nothing() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let names = ["0000000000000/0000000000000000", "entries-0000000000000000", "discovered", "state.json"];
    for kind in ["pipe", "link", "folder", "device", "huge", "another user's"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("0000000000000")).unwrap();
        for path in names.map(path) {
            let node = |kind, device| mknodat(CWD, &path, kind, Mode::RUSR | Mode::WUSR, device);
            match kind {
                "pipe" => node(FileType::Fifo, 0).unwrap(),
                "link" => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
                "folder" => std::fs::create_dir(path).unwrap(),
                // Only root can make devices, and give files away.
                "device" => drop(node(FileType::CharacterDevice, rustix::fs::makedev(1, 5))),
                "huge" => std::fs::File::create(path).unwrap().set_len(10 << 30).unwrap(),
                _ => {
                    let entry = Entry { topic: "t".to_owned(), payload: "{}".to_owned() };
                    std::fs::write(&path, encode(0, &entry)).unwrap();
                    if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
                        std::fs::remove_file(path).unwrap();
                    }
                }
            }
        }
        // As the folder on the disk, and as the runtime directory.
        for folders in
            [Folders::open(Some(folder.path()), Some(&path("run"))), Folders::open(None, Some(folder.path()))]
        {
            let mut spool = Spool::open(folders, Keep::records(10)).unwrap();
            assert_eq!(announcer::noted(spool.folder().as_deref()), None);
            let pushed = push(&mut spool);
            spool.store();
            assert_eq!((drain(&mut spool), spool.dropped()), (vec![pushed], 0), "{kind}");
        }
    }
}

#[test]
fn a_second_process_is_told_that_another_one_uses_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Directory::at(folder.path());
    first.list().unwrap();
    let error = Directory::at(folder.path()).list().unwrap_err().to_string();
    assert!(error.contains("another process uses this folder; end that one"), "{error}");
    drop(first);
    assert!(Directory::at(folder.path()).list().is_ok());
}

#[test]
fn a_folder_that_comes_later_is_used_then() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("not-mounted/disk");
    let mut spool = Spool::open(Folders::open(Some(&disk), None), Keep::records(10)).unwrap();
    let pushed = push(&mut spool);
    spool.store();
    assert_eq!(spool.unstored(), 1);
    std::fs::create_dir(folder.path().join("not-mounted")).unwrap();
    spool.store();
    assert_eq!(spool.unstored(), 0);
    assert_eq!(drain(&mut spool), [pushed]);
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 0, "the record's folder is left");
}

#[test]
fn a_folder_in_memory_is_no_disk() {
    let shared = Path::new("/dev/shm");
    if storage::is_lost_with_power(shared).is_ok_and(|is_lost| is_lost) {
        let folder = tempfile::tempdir_in(shared).unwrap();
        let spool = Spool::open(Folders::open(Some(folder.path()), None), Keep::records(10)).unwrap();
        assert!(!spool.uses_disk());
    }
}

#[test]
fn a_look_names_what_is_wrong_and_takes_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let owner = Owner { root: "lectern/v1".to_owned(), device: "d".to_owned() };
    let mut spool = Spool::open(Folders::open(Some(folder.path()), None), Keep::records(10)).unwrap();
    let minute = minute("d", 0, "2026-11-20T16:00:00Z", true);
    spool.push(0, "lectern/v1/s/b/r/d/minute", &minute);
    spool.store();
    assert_eq!(inspect(folder.path(), &owner).unwrap(), Inspection::default());
    spool.push(1, "lectern/v1/s/b/r/d2/minute", &minute);
    spool.store();
    std::fs::write(folder.path().join("0000000000000/0000000000000007"), "LR3 something").unwrap();
    let found = inspect(folder.path(), &owner).unwrap();
    assert_eq!((found.damaged.len(), found.foreign.len()), (1, 1));
    assert_eq!(found.damaged[0].0, "0000000000000/0000000000000007");
    assert!(found.foreign[0].1.contains("another device (topic lectern/v1/s/b/r/d2/minute)"), "{found:?}");
}
