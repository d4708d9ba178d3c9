//! `lectern run` against a real mosquitto.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{Daemon, Mosquitto, Subscriber, check_minute, number, portrait_video};
use lectern::config::Settings;
use serde_json::Value;

const MINUTE: &str = "lectern/v1/north/main/101/cam1/minute";
const STATUS: &str = "lectern/v1/north/main/101/cam1/status";

fn minutes(messages: &[(String, Value)]) -> Vec<&Value> {
    messages.iter().filter(|(topic, _)| topic == MINUTE).map(|(_, payload)| payload).collect()
}

fn states(messages: &[(String, Value)]) -> Vec<&str> {
    messages
        .iter()
        .filter(|(topic, _)| topic == STATUS)
        .filter_map(|(_, payload)| payload["state"].as_str())
        .collect()
}

fn gapless(minutes: &[&Value]) -> bool {
    minutes.windows(2).all(|pair| number(pair[1], "seq") == number(pair[0], "seq") + 1)
}

/// Records arrive in order, and a stop publishes the open window.
#[test]
fn stop_publishes_the_open_window() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 5);
    let mut messages = subscriber.until(|topic, payload| topic == MINUTE && number(payload, "seq") == 2);
    // Somewhere in the middle of the next window.
    std::thread::sleep(Duration::from_secs(2));
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");

    assert!(messages.iter().all(|(topic, _)| topic == MINUTE || topic == STATUS));
    let minutes = minutes(&messages);
    assert_eq!(number(minutes[0], "seq"), 0);
    assert!(gapless(&minutes));
    for minute in &minutes {
        check_minute(minute);
        assert_eq!(minute["boot"], minutes[0]["boot"]);
    }
    // The first one may have ended before there was a frame or a connection.
    for whole in &minutes[1..3] {
        assert!(number(whole, "faces") + number(whole, "uncertain") > 0, "{whole}");
        assert_eq!((number(whole, "seconds"), number(whole, "frames_expected")), (5, 10));
        assert_eq!((&whole["partial"], &whole["replayed"]), (&false.into(), &false.into()));
    }
    assert_eq!(minutes[minutes.len() - 1]["partial"], true);
    let states = states(&messages);
    assert_eq!(states[states.len() - 2..], ["stopping", "offline"]);
    assert!(states.contains(&"watching"));
    // The log holds no counts.
    assert!(!printed.contains("faces") && !printed.contains("neutral"), "{printed}");
}

/// Windows that end during an outage arrive later, marked as replayed.
#[test]
fn windows_during_an_outage_are_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let mut broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 1);
    let before = subscriber.until(|topic, _| topic == MINUTE);
    broker.stop();
    std::thread::sleep(Duration::from_secs(4));
    broker.restart();
    let replayed = subscriber.until(|topic, payload| topic == MINUTE && payload["replayed"] == true);
    let after = subscriber.until(|topic, payload| topic == MINUTE && payload["replayed"] == false);
    daemon.terminate();
    let last = subscriber.until(|_, payload| payload["state"] == "offline");
    assert_eq!(daemon.finish().0, Some(0));

    let all: Vec<_> = before.into_iter().chain(replayed).chain(after).chain(last).collect();
    let mut minutes = minutes(&all);
    // A record whose PUBACK was lost in the broker's stop may arrive twice, with equal content.
    minutes.dedup();
    assert!(gapless(&minutes), "{minutes:?}");
    assert!(minutes.iter().any(|minute| minute["replayed"] == true));
    assert!(minutes.len() >= 4);
}

/// The error names a broker that is never reachable, and its windows are kept.
#[test]
fn unreachable_broker_keeps_the_windows() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let port = common::free_port();
    let mut daemon = Daemon::start(port, &video, 1);
    let refusal = format!("broker 127.0.0.1:{port}: Connection refused");
    daemon.wait_for_output(&refusal);
    // Time for more attempts, which must log nothing new.
    std::thread::sleep(Duration::from_secs(2));
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(printed.matches(&refusal).count(), 1, "{printed}");
    assert!(printed.contains("check mqtt.url and the network"), "{printed}");
    assert!(printed.contains("they are kept for the next run"), "{printed}");
}

#[test]
fn will_reports_a_killed_daemon_offline() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let mut daemon = Daemon::start(broker.port, &video, 60);
    subscriber.until(|_, payload| payload["state"] == "watching");
    daemon.child.kill().unwrap();
    let messages = subscriber.until(|_, payload| payload["state"] == "offline");
    assert_eq!(messages.last().unwrap().0, STATUS);
}

#[test]
fn crash_loses_at_most_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let mut broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 4);
    let mut messages = subscriber.until(|topic, payload| topic == MINUTE && number(payload, "seq") == 1);
    // Windows end without a broker, and the process dies in the middle of one.
    broker.stop();
    std::thread::sleep(Duration::from_secs(7));
    let state = daemon.kill();
    broker.restart();
    let daemon = Daemon::start_in(state, broker.port, &video, 4);
    // The last window before the outage may arrive twice, if its PUBACK was lost.
    let is_new = |payload: &Value| number(payload, "seq") > 1 && payload["replayed"] == false;
    messages.extend(subscriber.until(|topic, payload| topic == MINUTE && is_new(payload)));
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    assert_eq!(daemon.finish().0, Some(0));
    let mut minutes = minutes(&messages);
    // With equal content.
    minutes.dedup();
    assert!(gapless(&minutes), "{minutes:?}");
    for minute in &minutes {
        check_minute(minute);
        assert_eq!(minute["boot"], minutes[0]["boot"], "the boot outlives the process");
    }
    let recovered = minutes.iter().filter(|m| m["partial"] == true && m["replayed"] == true).count();
    assert!(recovered >= 1, "{minutes:?}");
}

/// The last minute of a daemon with these frames a second and windows of so many seconds, stopped once it has watched for
/// `watched`.
fn last_minute(rate_hz: &str, seconds: u32, watched: Duration) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let state = tempfile::tempdir().unwrap();
    let text = Daemon::configuration(state.path(), broker.port, &video, seconds);
    let daemon = Daemon::start_with(state, &format!("{text}[analysis]\nrate_hz = {rate_hz}\n"), "info", &[]);
    subscriber.until(|_, payload| payload["state"] == "watching");
    std::thread::sleep(watched);
    daemon.terminate();
    let messages = subscriber.until(|_, payload| payload["state"] == "offline");
    assert_eq!(daemon.finish().0, Some(0));
    let last = (*minutes(&messages).last().expect("a minute")).clone();
    check_minute(&last);
    assert_eq!(last["partial"], true, "{last}");
    last
}

/// A partial window of fewer than ten frames has no counts.
#[test]
fn short_partial_window_has_no_counts() {
    // No partial window of these expects more than six frames; one was watched.
    let few = last_minute("0.1", 60, Duration::ZERO);
    assert!((1..10).contains(&number(&few, "frames_expected")), "{few}");
    assert_eq!((number(&few, "frames"), number(&few, "corrupt")), (0, 0), "{few}");
    // More than ten ticks pass, and a frame was watched before.
    let many = last_minute("30", 3600, Duration::from_secs(2));
    assert!(number(&many, "frames_expected") >= 10 && number(&many, "frames") > 0, "{many}");
}

/// The password appears in no log, argument, environment or debug output.
#[test]
fn secrets_are_never_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::with_password("lectern", "other");
    let secret = folder.path().join("password");
    std::fs::write(&secret, "Xyzzy-42\n").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "deployment.basis = \"test\"\ncamera.device = \"file:{}\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nusername = \
         \"lectern\"\npassword_file = \"{}\"\n",
        video.display(),
        broker.port,
        secret.display()
    );
    let mut daemon = Daemon::start_with(folder, &text, "lectern=trace,rumqttc=trace,rustls=trace", &[]);
    daemon.wait_for_output("password is wrong");
    let settings = Settings::load(&daemon.folder.path().join("lectern.toml")).unwrap();
    let pid = daemon.child.id();
    let of = |file: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}")).unwrap()).into_owned()
    };
    for (text, sign) in
        [(of("cmdline"), "run"), (of("environ"), "LECTERN_LOG"), (format!("{settings:?}"), "password")]
    {
        assert!(text.contains(sign) && !text.contains("Xyzzy"), "{text}");
    }
    daemon.terminate();
    let (_, printed) = daemon.finish();
    assert!(!printed.contains("Xyzzy"), "{printed}");
}

#[test]
fn late_password_file_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::with_password("lectern", "Xyzzy-42");
    let state = tempfile::tempdir().unwrap();
    let password = state.path().join("password");
    let login = format!("username = \"lectern\"\npassword_file = \"{}\"\n[spool]", password.display());
    let text = Daemon::configuration(state.path(), broker.port, &video, 1).replace("[spool]", &login);
    let mut daemon = Daemon::start_with(state, &text, "info", &[]);
    daemon.wait_for_output("looked for again at each connection");
    daemon.wait_for_output("windows wait meanwhile");
    std::fs::write(&password, "Xyzzy-42\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    daemon.wait_for_output("connected to broker");
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    assert!(!printed.contains("Xyzzy-42"), "{printed}");
}

#[test]
fn startup_settings_are_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let state = tempfile::tempdir().unwrap();
    let text = Daemon::configuration(state.path(), broker.port, &video, 1);
    let mut daemon = Daemon::start_with(state, &text, "info", &[]);
    daemon.wait_for_output("connected to broker");
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    let begins = format!(
        "lectern {}: camera file:{}; topic {MINUTE}; broker mqtt://",
        env!("CARGO_PKG_VERSION"),
        video.display()
    );
    assert_eq!(printed.matches(&begins).count(), 1, "{printed}");
}
