//! Delivery against a real mosquitto and real faults: whatever happens, each record arrives, and repeats are equal.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Mosquitto, PATIENCE, Subscriber, number};
use lectern::delivery::payload::{self, Identity, State};
use lectern::delivery::spool::{Folders, MOST_BYTES, Spool};
use lectern::delivery::{Answer, Broker, Delivery, DeliveryThread, Report, Reports, Timing, Tls, probe};
use lectern::tally::{Counts, MinuteRecord};
use serde_json::Value;

const MINUTE: &str = "lectern/v1/north/main/101/cam1/minute";

fn broker(port: u16) -> Broker {
    // By its name, for that is what certificates are for.
    Broker { host: "localhost".to_owned(), ..common::local_broker(port, "cam1") }
}

/// Less patient than a device.
fn timing() -> Timing {
    Timing {
        first_backoff: Duration::from_millis(20),
        longest_backoff: Duration::from_millis(200),
        acknowledge_within: Duration::from_millis(500),
        store_after: Duration::from_millis(100),
        leave_within: 5 * PATIENCE,
        pace: Duration::ZERO,
    }
}

fn record(seq: u64) -> MinuteRecord {
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

fn start(broker: Broker, spool: Spool, discovery: Option<u32>) -> (Reports, DeliveryThread) {
    let delivery = Delivery { discovery, ..common::delivery("cam1", broker, spool, timing()) };
    let (reports, thread) = delivery.start().unwrap();
    reports.send(Report::State(State::Watching));
    (reports, thread)
}

/// What a dashboard keeps of the messages: each key once. Checks that repeats are equal, that nothing is missing, and that each record came first after the one before it.
fn reconcile(messages: &[(String, Value)], expected: u64) {
    let mut kept = BTreeMap::new();
    for (topic, payload) in messages {
        if topic == MINUTE {
            let seq = number(payload, "seq");
            let key = (payload["boot"].as_str().unwrap().to_owned(), seq);
            assert!(seq <= kept.len() as u64, "{seq} came before its time");
            let known = kept.entry(key).or_insert_with(|| payload.clone());
            assert_eq!(known, payload, "a repeat with another content");
        }
    }
    assert_eq!(kept.len() as u64, expected);
}

/// Everything until `expected` records have come and the device has left.
fn rest(subscriber: &Subscriber, expected: u64) -> Vec<(String, Value)> {
    rest_of(Vec::new(), subscriber, expected)
}

/// The same where some have come already.
fn rest_of(
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

/// An authority, a server's certificate for `localhost`, an expired one, and a client's; the password of the user lectern
/// (`right`) and the broker's file of it: files in a folder.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        std::fs::write(this.0.path().join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        for authority in ["ca", "other"] {
            this.run(&format!(
                "req -x509 {KEY} -keyout {authority}.key -out {authority}.pem -days 30 -subj /CN={authority}"
            ));
        }
        for (name, days) in [("server", 30), ("expired", -1), ("client", 30)] {
            this.run(&format!("req -new {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            this.run(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile names -out \
                 {name}.pem"
            ));
        }
        std::fs::write(this.file("right"), "Xyzzy-42\n").unwrap();
        this.command("mosquitto_passwd", "-b -c passwords lectern Xyzzy-42");
        this
    }

    fn run(&self, arguments: &str) {
        self.command("openssl", arguments);
    }

    fn command(&self, program: &str, arguments: &str) {
        let output = Command::new(program)
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .output()
            .expect("openssl and mosquitto are installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A broker that shows this certificate, beside a plain listener; `{place}` in the other options is its folder.
    fn broker(&self, certificate: &str, more: &str) -> (Mosquitto, u16) {
        let folder = tempfile::tempdir().unwrap();
        let (shown, key) = (format!("{certificate}.pem"), format!("{certificate}.key"));
        for file in ["ca.pem", "passwords", &shown, &key] {
            std::fs::copy(self.file(file), folder.path().join(file)).unwrap();
        }
        let place = folder.path().display().to_string();
        let more = more.replace("{place}", &place);
        let options =
            format!("cafile {place}/ca.pem\ncertfile {place}/{shown}\nkeyfile {place}/{key}\n{more}");
        Mosquitto::with_listener(&options, folder)
    }

    fn tls(&self, authority: &str, client: bool) -> Option<Tls> {
        let identity = client.then(|| (self.file("client.pem"), self.file("client.key")));
        Some(Tls { ca: Some(self.file(authority)), identity })
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

fn delivers(mosquitto: &Mosquitto, broker: Broker) {
    let subscriber = Subscriber::start(mosquitto.port);
    let (reports, thread) = start(broker, Spool::in_memory(10).unwrap(), None);
    (0..3).for_each(|seq| reports.send(Report::Record(record(seq))));
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 3), 3);
}

#[test]
fn tls_and_mutual_tls_deliver() {
    let certificates = Certificates::make();
    let (mosquitto, port) = certificates.broker("server", "allow_anonymous true");
    delivers(&mosquitto, Broker { tls: certificates.tls("ca.pem", false), ..broker(port) });
    let (mosquitto, port) = certificates.broker("server", "allow_anonymous true\nrequire_certificate true");
    delivers(&mosquitto, Broker { tls: certificates.tls("ca.pem", true), ..broker(port) });
}

#[test]
fn a_connection_that_cannot_be_made_is_explained() {
    let certificates = Certificates::make();
    let secret = certificates.file("password");
    std::fs::write(&secret, "Xyzzy-42\n").unwrap();
    let (plain, good) = certificates.broker("server", "allow_anonymous true");
    let (_expired, expired) = certificates.broker("expired", "allow_anonymous true");
    let (_mutual, mutual) = certificates.broker("server", "allow_anonymous true\nrequire_certificate true");
    let (_closed, closed) = certificates.broker("server", "allow_anonymous false");
    let trusted = || certificates.tls("ca.pem", false);
    let login = Some(("lectern".to_owned(), Some(secret.clone())));
    let ip = Ipv4Addr::LOCALHOST.to_string();
    let cases = [
        (Broker { tls: certificates.tls("other.pem", false), ..broker(good) }, "mqtt.ca"),
        (Broker { tls: trusted(), ..broker(expired) }, "its certificate has expired"),
        (Broker { tls: trusted(), host: ip, ..broker(good) }, "is not for the name 127.0.0.1"),
        (Broker { tls: trusted(), ..broker(mutual) }, "refuses this device's certificate"),
        (Broker { tls: trusted(), ..broker(plain.port) }, "check mqtt.url"),
        (broker(good), "check mqtt.url"),
        (Broker { tls: trusted(), ..broker(closed) }, "not authorised"),
        (Broker { tls: trusted(), login, ..broker(closed) }, "password is wrong"),
        (Broker { tls: certificates.tls("none.pem", false), ..broker(good) }, "mqtt.ca"),
        (broker(common::free_port()), "check mqtt.url and the network"),
    ];
    for (broker, words) in cases {
        let error = probe(&broker, "lectern/v1/test", "{}").unwrap_err().to_string();
        assert!(error.contains(words), "{error}\nshould contain {words}");
        assert!(!error.contains("Xyzzy") && !format!("{broker:?}").contains("Xyzzy"), "{error}");
    }
}

/// A TCP proxy before the broker, whose connections can be disturbed.
struct Proxy {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    /// Connections so far.
    connections: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Connections are cut after so many bytes from the device, wherever that is in a packet.
    CutAfter(usize),
    /// What the broker says does not come through.
    Deaf,
    /// The same from the first message on that has these words in its first 512 bytes.
    DeafFrom(&'static str),
    /// Nothing comes through, and nobody is told.
    HalfOpen,
}

impl Proxy {
    fn before(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, connections) = (Arc::new(Mutex::new(Fault::None)), Arc::new(AtomicU64::new(0)));
        let (shared, count) = (Arc::clone(&fault), Arc::clone(&connections));
        std::thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { continue };
                let (device2, broker2) = (device.try_clone().unwrap(), broker.try_clone().unwrap());
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || pass(device, broker, &up, true));
                std::thread::spawn(move || pass(broker2, device2, &down, false));
            }
        });
        Self { port, fault, connections }
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Until more than `before` connections were made.
    fn wait_for_connection_after(&self, before: u64) {
        let limit = Instant::now() + PATIENCE;
        while self.connections() <= before {
            assert!(Instant::now() < limit, "the device does not connect again");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, fault: &Mutex<Fault>, from_device: bool) {
    let (mut buffer, mut passed) = ([0; 512], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut bytes = &buffer[..read];
        let fault = {
            let mut fault = fault.lock().unwrap();
            if let Fault::DeafFrom(words) = *fault
                && from_device
                && String::from_utf8_lossy(bytes).contains(words)
            {
                *fault = Fault::Deaf;
            }
            *fault
        };
        match fault {
            Fault::HalfOpen => continue,
            Fault::Deaf if !from_device => continue,
            Fault::CutAfter(limit) if from_device && passed + read > limit => {
                bytes = &bytes[..limit.saturating_sub(passed).min(read)];
                let _ = to.write_all(bytes);
                break;
            }
            _ => {}
        }
        passed += read;
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn every_record_arrives_over_a_bad_network() {
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(mosquitto.port);
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::open(Some(&folder.path().join("disk")), Some(&folder.path().join("run")));
    let (reports, thread) =
        start(broker(proxy.port), Spool::open(folders, 10_000, MOST_BYTES).unwrap(), None);
    let mut seq = 0;
    let mut send = |count: u64| {
        for _ in 0..count {
            reports.send(Report::Record(record(seq)));
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
        // The connection that was there is cut, and the next one lives under the same fault.
        proxy.wait_for_connection_after(before);
    }
    for fault in [Fault::Deaf, Fault::HalfOpen, Fault::Deaf] {
        proxy.set(fault);
        send(20);
        // Longer than a PUBACK is waited for.
        std::thread::sleep(Duration::from_secs(1));
        proxy.set(Fault::None);
        send(5);
    }
    let _ = send;
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, seq), seq);
}

#[test]
fn every_record_arrives_over_restarts_of_the_broker() {
    let mut mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let (reports, thread) = start(broker(mosquitto.port), Spool::in_memory(1000).unwrap(), None);
    for round in 0..4 {
        (round * 20..round * 20 + 10).for_each(|seq| reports.send(Report::Record(record(seq))));
        mosquitto.stop();
        (round * 20 + 10..round * 20 + 20).for_each(|seq| reports.send(Report::Record(record(seq))));
        mosquitto.restart();
    }
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 80), 80);
}

#[test]
fn a_record_whose_puback_died_with_the_broker_comes_again_unchanged() {
    let mut mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(mosquitto.port);
    let (reports, thread) = start(broker(proxy.port), Spool::in_memory(10).unwrap(), None);
    proxy.set(Fault::DeafFrom("\"seq\":1,"));
    (0..2).for_each(|seq| reports.send(Report::Record(record(seq))));
    let mut messages = subscriber.until(|_, payload| payload["seq"] == 1);
    // The broker has published it and acknowledged it, and will remember nothing: neither sessions nor what is retained.
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
    reports.send(Report::Record(record(2)));
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest_of(messages, &subscriber, 3), 3);
}

#[test]
fn what_access_rules_throw_away_is_acknowledged_and_only_a_reader_can_tell() {
    let (mosquitto, denied) = Mosquitto::with_access_rules("topic readwrite elsewhere/#\n", 1000);
    let subscriber = Subscriber::start(mosquitto.port);
    let (reports, thread) = start(broker(denied), Spool::in_memory(10).unwrap(), None);
    (0..3).for_each(|seq| reports.send(Report::Record(record(seq))));
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0, "each one has its PUBACK");
    // Nothing of it comes before what is published on the open port afterwards.
    let (reports, thread) = start(broker(mosquitto.port), Spool::in_memory(10).unwrap(), None);
    reports.send(Report::Record(record(0)));
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 1), 1);

    let answer = |port| probe(&broker(port), "lectern/v1/check", "{}").unwrap();
    assert_eq!(answer(denied), Answer::Acknowledged);
    let (_writing, may_only_write) = Mosquitto::with_access_rules("topic write lectern/#\n", 1000);
    assert_eq!(answer(may_only_write), Answer::Acknowledged);
    let (_open, may_both) = Mosquitto::with_access_rules("topic readwrite lectern/#\n", 1000);
    assert_eq!(answer(may_both), Answer::Returned);
}

#[test]
fn a_broker_that_takes_the_status_and_closes_is_asked_less_and_less_often() {
    let (_mosquitto, port) = Mosquitto::with_access_rules("topic read lectern/#\n", 0);
    let proxy = Proxy::before(port);
    let patient = Timing { longest_backoff: PATIENCE, leave_within: Duration::ZERO, ..timing() };
    let (reports, thread) =
        common::delivery("cam1", broker(proxy.port), Spool::in_memory(10).unwrap(), patient).start().unwrap();
    proxy.wait_for_connection_after(2);
    std::thread::sleep(Duration::from_secs(2));
    drop(reports);
    thread.join().unwrap();
    // At the shortest back-off it would be some two hundred.
    assert!(proxy.connections() < 30, "{}", proxy.connections());
}

#[test]
fn a_corrected_authority_and_password_need_no_restart() {
    let certificates = Certificates::make();
    let folder = tempfile::tempdir().unwrap();
    let (ca, password) = (folder.path().join("ca.pem"), folder.path().join("password"));
    std::fs::copy(certificates.file("other.pem"), &ca).unwrap();
    std::fs::write(&password, "wrong").unwrap();
    let (mosquitto, port) = certificates.broker("server", "password_file {place}/passwords");
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(port);
    let device = Broker {
        tls: Some(Tls { ca: Some(ca.clone()), identity: None }),
        login: Some(("lectern".to_owned(), Some(password.clone()))),
        ..broker(proxy.port)
    };
    let (reports, thread) = start(device, Spool::in_memory(10).unwrap(), None);
    (0..3).for_each(|seq| reports.send(Report::Record(record(seq))));
    // Refused for one reason, then for the other.
    for (from, to) in [(certificates.file("ca.pem"), &ca), (certificates.file("right"), &password)] {
        proxy.wait_for_connection_after(proxy.connections() + 1);
        std::fs::copy(from, to).unwrap();
    }
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, 3), 3);
}

#[test]
fn a_broker_that_says_nothing_is_given_up() {
    // The kernel accepts for it.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let certificates = Certificates::make();
    let devices = [broker(port), Broker { tls: certificates.tls("ca.pem", false), ..broker(port) }];
    let probes = devices.map(|device| std::thread::spawn(move || probe(&device, "lectern/v1/check", "{}")));
    for outcome in probes.map(|probe| probe.join().unwrap()) {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("does not answer; check mqtt.url and the network"), "{error}");
    }
}

#[test]
fn a_week_of_backlog_is_delivered_in_order() {
    const WEEK: u64 = 10_080;
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let folders = Folders::open(Some(&folder.path().join("disk")), Some(&folder.path().join("run")));
        Spool::open(folders, 20_000, MOST_BYTES).unwrap()
    };
    let mut spool = open();
    let identity = Identity { device: "cam1".to_owned(), boot: spool.boot().to_owned() };
    for seq in 0..WEEK {
        spool.push(seq, MINUTE, &payload::minute(&identity, &record(seq), true));
        if seq % 100 == 99 {
            spool.store();
        }
    }
    drop(spool);
    let spool = open();
    assert_eq!((spool.len() as u64, spool.next_seq()), (WEEK, WEEK));
    let (reports, thread) = start(broker(mosquitto.port), spool, None);
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest(&subscriber, WEEK), WEEK);
    let left = std::fs::read_dir(folder.path().join("disk")).unwrap().count();
    assert_eq!(left, 1, "only the lock is left on the disk");
}

#[test]
fn home_assistant_is_told_and_told_again_when_it_is_over() {
    let mosquitto = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let run = |discovery| {
        let folders = Folders::open(Some(&folder.path().join("disk")), None);
        let (reports, thread) =
            start(broker(mosquitto.port), Spool::open(folders, 10, MOST_BYTES).unwrap(), discovery);
        reports.send(Report::Record(record(0)));
        drop(reports);
        assert_eq!(thread.join().unwrap().undelivered, 0);
    };
    // What a power loss may leave of an earlier note.
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    std::fs::write(folder.path().join("disk/discovered"), "\0\0").unwrap();
    run(Some(60));
    // It is retained, so whoever comes later gets it.
    let subscriber = Subscriber::start(mosquitto.port);
    let (topic, announcement) =
        subscriber.until(|topic, _| topic.starts_with("homeassistant/")).pop().unwrap();
    assert_eq!(topic, "homeassistant/device/lectern_v1_north_main_101_cam1/config");
    assert_eq!(announcement["cmps"].as_object().unwrap().len(), 18);
    assert_eq!(announcement["cmps"]["happy_weak"]["stat_t"], MINUTE);
    assert_eq!(announcement["cmps"]["happy_weak"]["exp_aft"], 180);
    run(None);
    // The retained messages of the first topic come first.
    let mut subscription = Command::new("mosquitto_sub");
    subscription.args(["-t", "homeassistant/#", "-t", "lectern/#", "-C", "1", "-F", "%t"]);
    let out = subscription.args(["-p", &mosquitto.port.to_string(), "-W", "60"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim_end(), "lectern/v1/north/main/101/cam1/status");
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(_mounted) = SmallDisk::mount(&disk) else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    let mosquitto = Mosquitto::start();
    let subscriber = Subscriber::start(mosquitto.port);
    let proxy = Proxy::before(mosquitto.port);
    proxy.set(Fault::HalfOpen);
    let spool = Spool::open(Folders::open(Some(&disk), None), 10_000, MOST_BYTES).unwrap();
    let (reports, thread) = start(broker(proxy.port), spool, None);
    // Much more than the disk holds.
    (0..500).for_each(|seq| reports.send(Report::Record(record(seq))));
    std::thread::sleep(Duration::from_secs(1));
    proxy.set(Fault::None);
    let messages =
        subscriber.until(|topic, payload| topic.ends_with("/status") && payload["spool"] == "memory");
    // With room again the disk is used again, after a while; what waits in memory is delivered anyway.
    drop(reports);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&rest_of(messages, &subscriber, 500), 500);
}

/// A disk of 128 KiB in memory.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(at).status().ok()?;
        status.success().then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
