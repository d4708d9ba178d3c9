//! Delivery to a real mosquitto under real faults: each record arrives, and repeats are equal.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::device::{MINUTE, broker, reconcile, record, rest, rest_of, start};
use common::proxy::{Fault, Proxy};
use common::{Mosquitto, Subscriber};
use lectern::delivery::Update;
use lectern::delivery::payload::{self, Identity};
use lectern::delivery::spool::{Folders, Keep, Spool};

#[test]
fn records_survive_a_bad_network() {
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(mosquitto.port);
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::open(Some(&folder.path().join("disk")), Some(&folder.path().join("run")));
    let (updates, thread) =
        start(broker(proxy.port), Spool::open(folders, Keep::records(10_000)).unwrap(), None);
    let mut seq = 0;
    let mut send = |count: u64| {
        for _ in 0..count {
            updates.send(Update::Record(record(seq)));
            seq += 1;
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    send(20);
    // In CONNECT, in the status, in a record, between two.
    for limit in [1, 20, 300, 700, 1000, 1301, 2222, 5000] {
        let before = proxy.connections();
        proxy.set(Fault::CutAfter(limit));
        send(20);
        // The open connection is cut, and the next one has the same fault.
        proxy.wait_for_connection_after(before);
    }
    for fault in [Fault::Deaf, Fault::HalfOpen, Fault::Deaf] {
        proxy.set(fault);
        send(20);
        // Longer than the PUBACK timeout.
        std::thread::sleep(Duration::from_secs(1));
        proxy.set(Fault::None);
        send(5);
    }
    let _ = send;
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, seq), seq);
}

#[test]
fn records_survive_broker_restarts() {
    let mut mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let (updates, thread) = start(broker(mosquitto.port), Spool::in_memory(1000).unwrap(), None);
    for round in 0..4 {
        (round * 20..round * 20 + 10).for_each(|seq| updates.send(Update::Record(record(seq))));
        mosquitto.stop();
        (round * 20 + 10..round * 20 + 20).for_each(|seq| updates.send(Update::Record(record(seq))));
        mosquitto.restart();
    }
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 80), 80);
}

/// A record whose PUBACK is lost in a broker crash is sent again, unchanged.
#[test]
fn lost_puback_repeats_the_record_unchanged() {
    let mut mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(mosquitto.port);
    let (updates, thread) = start(broker(proxy.port), Spool::in_memory(10).unwrap(), None);
    proxy.set(Fault::DeafFrom("\"seq\":1,"));
    (0..2).for_each(|seq| updates.send(Update::Record(record(seq))));
    let mut messages = subscriber.until(|_, payload| payload["seq"] == 1);
    // The broker has published and acknowledged it, and loses everything: sessions and retained messages.
    mosquitto.kill();
    proxy.set(Fault::CutAfter(0));
    mosquitto.restart();
    subscriber.wait_for_subscription();
    proxy.set(Fault::None);
    let after = subscriber.until(|_, payload| payload["seq"] == 1);
    assert!(
        after.iter().any(|(_, payload)| payload["state"] == "watching"),
        "the status is told again: {after:?}"
    );
    messages.extend(after);
    updates.send(Update::Record(record(2)));
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest_of(messages, &subscriber, 3), 3);
}

#[test]
fn week_of_backlog_is_delivered_in_order() {
    const WEEK: u64 = 10_080;
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let folders = Folders::open(Some(&folder.path().join("disk")), Some(&folder.path().join("run")));
        Spool::open(folders, Keep::records(20_000)).unwrap()
    };
    let mut spool = open();
    let identity = Identity { device: "cam1".to_owned(), boot: spool.boot().to_owned() };
    for seq in 0..WEEK {
        spool.push(seq, MINUTE, &payload::minute(&identity, &record(seq), true));
        if seq % 32 == 31 {
            spool.store();
        }
    }
    drop(spool);
    let spool = open();
    assert_eq!((spool.len() as u64, spool.next_seq()), (WEEK, WEEK));
    let (updates, thread) = start(broker(mosquitto.port), spool, None);
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, WEEK), WEEK);
    let left = std::fs::read_dir(folder.path().join("disk")).unwrap().count();
    assert_eq!(left, 0, "nothing is left on the disk");
}

#[test]
fn status_reports_an_empty_backlog() {
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let mut spool = Spool::in_memory(1000).unwrap();
    let identity = Identity { device: "cam1".to_owned(), boot: spool.boot().to_owned() };
    for seq in 0..500 {
        spool.push(seq, MINUTE, &payload::minute(&identity, &record(seq), true));
    }
    // No further window, no change of state, no stop: that the backlog is gone is reason enough.
    let (updates, thread) = start(broker(mosquitto.port), spool, None);
    let messages = subscriber.until(|topic, payload| topic.ends_with("/status") && payload["spooled"] == 0);
    assert_eq!(messages.iter().filter(|(topic, _)| topic == MINUTE).count(), 500);
    assert!(messages.iter().any(|(_, payload)| payload["spooled"] == 500), "the backlog was told");
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
}

/// A device announces itself again to a broker that lost its retained messages.
#[test]
fn announcement_is_repeated_after_a_broker_loss() {
    let mut mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let (updates, thread) = start(broker(mosquitto.port), Spool::in_memory(10).unwrap(), Some(60));
    let announced = || subscriber.until(|topic, _| topic.starts_with("homeassistant/"));
    announced();
    mosquitto.kill();
    mosquitto.restart();
    announced();
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    let mut subscription = Command::new("mosquitto_sub");
    subscription.args(["-t", "homeassistant/#", "-C", "1", "-F", "%r %t", "-W", "60"]);
    let out = subscription.args(["-p", &mosquitto.port.to_string()]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("1 homeassistant/device/"), "it is retained");
}

/// A spool folder, or its files, that disappear for a moment cost no record.
#[test]
fn missing_spool_files_cost_no_record() {
    for whole_folder in [true, false] {
        let mut mosquitto = Mosquitto::start();
        let subscriber = Subscriber::start(mosquitto.port);
        let folder = tempfile::tempdir().unwrap();
        let (disk, away) = (folder.path().join("disk"), folder.path().join("away"));
        let folders = Folders::open(Some(&disk), Some(&folder.path().join("run")));
        let spool = Spool::open(folders, Keep::records(10_000)).unwrap();
        mosquitto.stop();
        let (updates, thread) = start(broker(mosquitto.port), spool, None);
        (0..300).for_each(|seq| updates.send(Update::Record(record(seq))));
        let records = disk.join("0000000000000");
        let is_whole = |file: &std::fs::DirEntry| file.path().extension().is_none();
        while std::fs::read_dir(&records).map_or(0, |all| all.flatten().filter(is_whole).count()) < 300 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let missing = if whole_folder { &disk } else { &records };
        std::fs::rename(missing, &away).unwrap();
        mosquitto.restart();
        subscriber.wait_for_subscription();
        std::thread::sleep(Duration::from_secs(2));
        std::fs::rename(&away, missing).unwrap();
        drop(updates);
        let summary = thread.join().unwrap();
        assert_eq!(
            (summary.undelivered, summary.spool.dropped()),
            (0, 0),
            "the whole folder: {whole_folder}"
        );
        let messages = rest(&subscriber, 300);
        // The status reported the unreadable files, and their recovery.
        let statuses = messages.iter().filter_map(|(_, payload)| payload["unreadable"].as_u64());
        assert_eq!(statuses.max().unwrap() > 0, !whole_folder);
        reconcile(&messages, 300);
    }
}

/// The device is announced to Home Assistant, and withdrawn when discovery is switched off.
#[test]
fn discovery_is_announced_and_withdrawn() {
    let mosquitto = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let run = |discovery| {
        let folders = Folders::open(Some(&folder.path().join("disk")), None);
        let (updates, thread) =
            start(broker(mosquitto.port), Spool::open(folders, Keep::records(10)).unwrap(), discovery);
        updates.send(Update::Record(record(0)));
        drop(updates);
        assert_eq!(thread.join().unwrap().undelivered, 0);
    };
    // A note damaged by a power loss.
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    std::fs::write(folder.path().join("disk/discovered"), "\0\0").unwrap();
    run(Some(60));
    // It is retained, so a later subscriber receives it.
    let subscriber = Subscriber::start(mosquitto.port);
    let (topic, announcement) =
        subscriber.until(|topic, _| topic.starts_with("homeassistant/")).pop().unwrap();
    assert_eq!(topic, "homeassistant/device/lectern__v1__north__main__101__cam1/config");
    assert_eq!(announcement["cmps"].as_object().unwrap().len(), 22);
    assert_eq!(announcement["cmps"]["happy_weak"]["stat_t"], MINUTE);
    assert_eq!(announcement["cmps"]["happy_weak"]["exp_aft"], 180);
    run(None);
    // The retained messages of the first topic arrive first.
    let mut subscription = Command::new("mosquitto_sub");
    subscription.args(["-t", "homeassistant/#", "-t", "lectern/#", "-C", "1", "-F", "%t"]);
    let out = subscription.args(["-p", &mosquitto.port.to_string(), "-W", "60"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim_end(), "lectern/v1/north/main/101/cam1/status");
}

#[test]
#[ignore = "needs root, to mount a small disk"]
fn full_disk_is_reported_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let _mounted = SmallDisk::mount(&disk);
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(mosquitto.port);
    proxy.set(Fault::HalfOpen);
    let spool = Spool::open(Folders::open(Some(&disk), None), Keep::records(10_000)).unwrap();
    let (updates, thread) = start(broker(proxy.port), spool, None);
    // Much more than the disk holds.
    (0..500).for_each(|seq| updates.send(Update::Record(record(seq))));
    std::thread::sleep(Duration::from_secs(1));
    proxy.set(Fault::None);
    let messages =
        subscriber.until(|topic, payload| topic.ends_with("/status") && payload["spool"] == "memory");
    // With free space the disk is used again after some time; records in memory are delivered anyway.
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest_of(messages, &subscriber, 500), 500);
}

/// A disk of 128 KiB in memory.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Self {
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(at).status().unwrap();
        assert!(status.success(), "root mounts a small disk");
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
