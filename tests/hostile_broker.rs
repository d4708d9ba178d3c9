//! Peers that misbehave in every way: no record is lost, no password is printed, no CPU time is wasted.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use common::device::{MINUTE, broker, reconcile, record, timing};
use common::hostile::{Behaviour, HOSTILE, Hostile};
use common::{Daemon, TIMEOUT, lectern, number, portrait_video, refusal};
use lectern::delivery::spool::Spool;
use lectern::delivery::{PublisherConfig, Timing, Update};
use serde_json::Value;

const CANARY: &str = "Xyzzy-canary-42";

/// How long a peer misbehaves before a daemon.
const MISBEHAVES: Duration = Duration::from_secs(5);

/// Runs a case for each behaviour, all at once, and names the one that fails.
fn for_each_behaviour(case: impl Fn(Behaviour) + Send + Sync) {
    std::thread::scope(|scope| {
        let cases = HOSTILE.map(|behaviour| {
            (
                behaviour,
                scope.spawn({
                    let case = &case;
                    move || case(behaviour)
                }),
            )
        });
        let failed: Vec<_> = cases
            .into_iter()
            .filter_map(|(behaviour, case)| case.join().is_err().then_some(behaviour))
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

fn distinct(messages: &[(String, Value)]) -> usize {
    messages
        .iter()
        .filter(|(topic, _)| topic == MINUTE)
        .map(|(_, p)| number(p, "seq"))
        .collect::<BTreeSet<_>>()
        .len()
}

/// Whatever the peer did, no record is lost or reordered, and repeats are equal.
#[test]
fn hostile_peers_cause_no_loss_or_reordering() {
    for_each_behaviour(|behaviour| {
        let peer = Hostile::start(behaviour);
        let spool = Spool::in_memory(1000).unwrap();
        let config = PublisherConfig {
            discovery: Some(lectern::delivery::Discovery::new(60)),
            ..common::config("cam1", broker(peer.port), &spool, timing())
        };
        let (updates, thread) = config.start(spool).unwrap();
        for seq in 0..20 {
            updates.send(Update::Record(record(seq)));
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_secs(1));
        peer.become_(Behaviour::Honest);
        (20..25).for_each(|seq| updates.send(Update::Record(record(seq))));
        peer.wait_until("all records", |messages| distinct(messages) == 25);
        drop(updates);
        assert_eq!(thread.join().unwrap().undelivered, 0, "{behaviour:?}");
        let messages = peer.messages();
        reconcile(&messages, 25);
        assert_eq!(messages.last().unwrap().1["state"], "offline", "{behaviour:?}");
    });
}

/// A broker that closes the connection after each PUBACK still gets every record.
#[test]
fn close_after_each_puback_loses_no_record() {
    let peer = Hostile::start(Behaviour::ClosesAfterEachPuback);
    // The status of each connection uses its only PUBACK, so a record would need a second one.
    let spool = Spool::in_memory(100).unwrap();
    let (updates, thread) = common::config("cam1", broker(peer.port), &spool, timing()).start(spool).unwrap();
    peer.wait_until("a status", |messages| !messages.is_empty());
    peer.become_(Behaviour::AcknowledgesTwice);
    (0..3).for_each(|seq| updates.send(Update::Record(record(seq))));
    std::thread::sleep(Duration::from_secs(1));
    peer.become_(Behaviour::Honest);
    drop(updates);
    assert_eq!(thread.join().unwrap().undelivered, 0);
    reconcile(&peer.messages(), 3);
}

#[test]
fn stop_ends_despite_hostile_peers() {
    for_each_behaviour(|behaviour| {
        let peer = Hostile::start(behaviour);
        let spool = Spool::in_memory(100).unwrap();
        let timing = Timing { shutdown_within: Duration::from_secs(1), ..timing() };
        let (updates, thread) =
            common::config("cam1", broker(peer.port), &spool, timing).start(spool).unwrap();
        (0..3).for_each(|seq| updates.send(Update::Record(record(seq))));
        std::thread::sleep(Duration::from_millis(500));
        drop(updates);
        let limit = Instant::now() + TIMEOUT;
        while !thread.is_finished() {
            assert!(Instant::now() < limit, "{behaviour:?} keeps it from stopping");
            std::thread::sleep(Duration::from_millis(50));
        }
        thread.join().unwrap();
    });
}

/// CPU time of a process so far.
fn cpu_time(child: &Child) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split(' ').collect();
    // utime and stime, in ticks of 10 ms.
    Duration::from_millis(10 * (fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()))
}

/// A configuration with a password, for the broker on `port`, with the lowest frame rate.
fn configuration(folder: &Path, video: &Path, port: u16) -> String {
    let password = folder.join("password");
    std::fs::write(&password, format!("{CANARY}\n")).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    Daemon::configuration(folder, port, video, 10).replace(
        "[spool]",
        &format!(
            "username = \"lectern\"\npassword_file = \"{}\"\n[analysis]\nrate_hz = 0.1\n[spool]",
            password.display()
        ),
    )
}

fn check_lines(printed: &str, behaviour: Behaviour) {
    assert!(!printed.contains(CANARY), "{behaviour:?} has the password told:\n{printed}");
    let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!printed.contains(obeyed), "{behaviour:?}: {printed:?}");
    assert!(!printed.contains("\nlectern: all is well"), "{behaviour:?}: {printed}");
}

/// Neither the log nor `lectern check` prints the password, and no peer causes a high CPU load.
#[test]
fn hostile_peers_get_no_password_and_little_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let video: PathBuf = portrait_video(folder.path(), "lecture.mkv", 3);
    for_each_behaviour(|behaviour| run_and_check(behaviour, &video));
    // Once more alone: with twenty others a daemon cannot get a whole core.
    for behaviour in [Behaviour::FloodsTopics, Behaviour::FloodsPingresp] {
        let peer = Hostile::start(behaviour);
        let folder = tempfile::tempdir().unwrap();
        let text = configuration(folder.path(), &video, peer.port);
        measure(&peer, &Daemon::start_with(folder, &text, "info", &[]), behaviour);
    }
}

/// Limits the CPU time of a daemon that is connected to a misbehaving peer.
fn measure(peer: &Hostile, daemon: &Daemon, behaviour: Behaviour) {
    let limit = Instant::now() + TIMEOUT;
    while peer.connections() == 0 {
        assert!(Instant::now() < limit, "{behaviour:?}: no connection");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The networks are loaded and the first frame is searched.
    std::thread::sleep(Duration::from_secs(4));
    let before = cpu_time(&daemon.child);
    std::thread::sleep(MISBEHAVES);
    let spent = cpu_time(&daemon.child).saturating_sub(before);
    assert!(spent < MISBEHAVES / 8, "{behaviour:?}: {spent:?} of CPU in {MISBEHAVES:?}");
}

fn run_and_check(behaviour: Behaviour, video: &Path) {
    let peer = Hostile::start(behaviour);
    let folder = tempfile::tempdir().unwrap();
    let text = configuration(folder.path(), video, peer.port);
    let daemon = Daemon::start_with(folder, &text, "trace,rumqttc=trace", &[]);
    let config = daemon.folder.path().join("lectern.toml");
    let check = std::thread::spawn(move || {
        let mut check = lectern();
        check
            .args(["check", "--json", "--only", "broker", "--config"])
            .arg(&config)
            .env("LECTERN_LOG", "trace");
        check.output().unwrap()
    });
    measure(&peer, &daemon, behaviour);

    let output = check.join().unwrap();
    check_lines(&String::from_utf8(output.stdout).unwrap(), behaviour);
    check_lines(&String::from_utf8(output.stderr).unwrap(), behaviour);

    peer.become_(Behaviour::Honest);
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{behaviour:?}: {printed}");
    check_lines(&printed, behaviour);
}

#[test]
fn misbehaving_peer_is_explained_with_a_fix() {
    let cases = [
        (Behaviour::Reflects, "sends back what it is sent; no broker listens there"),
        (Behaviour::ClosesAtAccept, "mqtt.url must begin with mqtts://"),
        (Behaviour::ClosesAfterConnect, "mqtt.url must begin with mqtts://"),
        (Behaviour::SendsTlsAlert, "talks TLS on this port; mqtt.url must begin with mqtts://"),
        (Behaviour::SendsGarbage, "answers with what is not MQTT; if it talks TLS"),
        // Whether the test message was sent before it is a race.
        (Behaviour::SendsGarbageLater, "sends what is not MQTT 3.1.1"),
        (Behaviour::SendsGiantLength, "sends what is not MQTT 3.1.1"),
        // The same race.
        (Behaviour::ClosesAfterConnack, "closed the connection"),
        (
            Behaviour::ClosesAfterEachPublish,
            "closed the connection when it was sent 2 bytes on lectern/v1/check; its access rules",
        ),
        (Behaviour::AcknowledgesAnotherId, "acknowledges what it was not sent"),
    ];
    for (behaviour, expected) in cases {
        let peer = Hostile::start(behaviour);
        let error = refusal(&broker(peer.port));
        assert!(error.contains(expected), "{behaviour:?}: {error}");
        assert!(error.starts_with("broker localhost:") && error.contains("; "), "{error}");
    }
}

#[test]
fn self_connection_prints_no_password() {
    // TCP self-connection: a client that connects to a free local port may get the same socket on both sides.
    let peer = Hostile::start(Behaviour::Reflects);
    let folder = tempfile::tempdir().unwrap();
    let text = configuration(folder.path(), Path::new("/dev/null"), peer.port);
    let file = folder.path().join("lectern.toml");
    std::fs::write(&file, text).unwrap();
    let output = lectern().args(["check", "--only", "broker", "--config"]).arg(&file).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("sends back what it is sent") && !printed.contains(CANARY), "{printed}");
}
