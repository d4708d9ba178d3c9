//! What a spool keeps, drops and finds again; `damage` and `history` hold it to the same on bad disks and over crashes.

mod damage;
mod disk;
mod history;

use std::io;

pub(crate) use self::disk::Fake;
use super::names::STATE;
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
