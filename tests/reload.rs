//! SIGHUP: a valid configuration is applied in the same process; if it is invalid, or the camera or a network fails with
//! it, the old one stays in use.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;

use common::{Daemon, Mosquitto, Subscriber, copy_models, damage, number, portrait_video};
use serde_json::Value;

/// Checks that no minute is missing and that all have the same boot.
fn assert_one_gapless_boot(messages: &[(String, Value)]) {
    let minutes: Vec<_> = messages.iter().filter(|(topic, _)| topic.ends_with("/minute")).collect();
    for pair in minutes.windows(2) {
        assert_eq!(number(&pair[1].1, "seq"), number(&pair[0].1, "seq") + 1);
        assert_eq!(pair[1].1["boot"], pair[0].1["boot"]);
    }
}

/// A reload applies a valid configuration and rejects an invalid one.
#[test]
fn reload_applies_valid_and_rejects_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 1);
    let is_minute =
        |topic: &str, seq: u64, payload: &Value| topic.ends_with("/minute") && number(payload, "seq") >= seq;
    let mut messages = subscriber.until(|topic, payload| is_minute(topic, 1, payload));

    let file = daemon.folder.path().join("lectern.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("seconds = 1", "seconds = 7")).unwrap();
    daemon.hang_up();
    // The rejection takes less than two windows.
    messages.extend(subscriber.until(|topic, payload| is_minute(topic, 4, payload)));
    assert!(messages.iter().all(|(_, payload)| payload["state"] != "offline"));

    fs::write(&file, good.replace("seconds = 1", "seconds = 2")).unwrap();
    daemon.hang_up();
    messages.extend(subscriber.until(|_, payload| payload["seconds"] == 2 && payload["partial"] == false));
    // A signal during the change is not lost.
    fs::write(&file, &good).unwrap();
    daemon.hang_up();
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(printed.matches("the old configuration stays in use").count(), 1, "{printed}");
    assert!(printed.contains("must divide 3600, not 7"), "{printed}");
    assert!(printed.contains("the configuration was read again"), "{printed}");
    assert_one_gapless_boot(&messages);
}

#[test]
fn rejected_reload_cuts_no_minute() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let models = copy_models(folder.path());
    let arguments = ["--models".as_ref(), models.as_os_str()];
    let state = tempfile::tempdir().unwrap();
    let text = Daemon::configuration(state.path(), broker.port, &video, 1);
    let mut daemon = Daemon::start_with(state, &text, "info", &arguments);
    // A whole window in which every frame was analysed.
    let is_watched =
        |payload: &Value| payload["frames"] == payload["frames_expected"] && payload["partial"] == false;
    subscriber.until(|_, payload| is_watched(payload));

    // A mistyped key, a device that is no camera, a damaged network.
    let file = daemon.folder.path().join("lectern.toml");
    let good = fs::read_to_string(&file).unwrap();
    let other_windows = good.replace("seconds = 1", "seconds = 2\nallow_short = true");
    let recording = format!("\"file:{}\"", video.display());
    let refused = [
        (good.replace("seconds", "secnods"), "did you mean `window.seconds`?"),
        (other_windows.replace(&recording, "\"/dev/null\""), "/dev/null: is no camera"),
        (other_windows.clone(), "rnet.onnx: has SHA-256"),
    ];
    let mut messages = Vec::new();
    for (text, why) in refused {
        if text == other_windows {
            damage(&models.join("rnet.onnx"));
        }
        fs::write(&file, text).unwrap();
        daemon.hang_up();
        daemon.wait_for_output(why);
        // The window of the rejection, and the next one.
        messages.extend(subscriber.until(|topic, _| topic.ends_with("/minute")));
        messages.extend(subscriber.until(|_, payload| is_watched(payload)));
    }
    for (topic, payload) in &messages {
        assert!(topic.ends_with("/minute"), "no state but watching: {topic} {payload}");
        assert_eq!((&payload["partial"], &payload["seconds"]), (&false.into(), &1.into()));
    }
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(printed.matches("the old configuration stays in use").count(), 3, "{printed}");
    assert!(!printed.contains("read again and is in use"), "{printed}");
    assert_one_gapless_boot(&messages);
}

/// The start of a minute, in seconds of UTC.
fn label(minute: &Value) -> i64 {
    minute["start"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

/// A reload with the same camera does not interrupt the watch, even during an outage.
#[test]
fn reload_during_an_outage_keeps_watching() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let mut broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let mut daemon = Daemon::start(broker.port, &video, 1);
    let is_minute = |topic: &str| topic.ends_with("/minute");
    let mut messages = subscriber.until(|topic, payload| is_minute(topic) && payload["partial"] == false);
    broker.stop();
    daemon.wait_for_output("windows wait meanwhile");
    // Another topic, window and spool; the same camera.
    let file = daemon.folder.path().join("lectern.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("room = \"101\"", "room = \"102\"").replace("seconds = 1", "seconds = 2"))
        .unwrap();
    daemon.hang_up();
    daemon.wait_for_output("the configuration was read again");
    broker.restart();
    let is_there = |topic: &str| topic == "lectern/v1/north/main/102/cam1/minute";
    let is_whole = |payload: &Value| payload["seconds"] == 2 && payload["partial"] == false;
    messages.extend(subscriber.until(|topic, payload| is_there(topic) && is_whole(payload)));
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    let mut minutes: Vec<_> = messages.iter().filter(|(topic, _)| is_minute(topic)).cloned().collect();
    // A record whose PUBACK was lost may arrive twice.
    minutes.dedup();
    assert_one_gapless_boot(&minutes);
    // A deliver thread that delivered its backlog first would block the watch for 10 s.
    for pair in minutes.windows(2) {
        assert!(label(&pair[1].1) - label(&pair[0].1) < 8, "{pair:?}");
    }
}

#[test]
fn reload_publishes_offline_on_the_old_topic() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 1);
    subscriber.until(|_, payload| payload["state"] == "watching");
    let file = daemon.folder.path().join("lectern.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("room = \"101\"", "room = \"102\"")).unwrap();
    daemon.hang_up();
    let is_at = |topic: &str, room: &str| topic == format!("lectern/v1/north/main/{room}/cam1/status");
    let left = subscriber.until(|topic, payload| is_at(topic, "101") && payload["state"] == "offline");
    assert!(left.iter().all(|(topic, payload)| !is_at(topic, "102") && payload["state"] != "stopping"));
    let came = subscriber.until(|topic, _| is_at(topic, "102"));
    assert_eq!(came.last().unwrap().1["state"], "watching");
    daemon.terminate();
    assert_eq!(daemon.finish().0, Some(0));
}

#[test]
fn reload_switches_the_camera() {
    let folder = tempfile::tempdir().unwrap();
    let videos = ["one.mkv", "two.mkv"].map(|name| portrait_video(folder.path(), name, 3));
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let mut daemon = Daemon::start(broker.port, &videos[0], 1);
    let mut messages = subscriber.until(|_, payload| payload["state"] == "watching");
    let file = daemon.folder.path().join("lectern.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("one.mkv", "two.mkv")).unwrap();
    daemon.hang_up();
    daemon.wait_for_output("the configuration was read again");
    // The first one is no longer needed.
    fs::remove_file(&videos[0]).unwrap();
    let is_seen = |payload: &Value| payload["partial"] == false && number(payload, "frames") > 0;
    for _ in 0..4 {
        messages.extend(subscriber.until(|topic, payload| topic.ends_with("/minute") && is_seen(payload)));
    }
    assert!(messages.iter().all(|(_, payload)| payload["state"] != "camera_lost"));
    daemon.terminate();
    assert_eq!(daemon.finish().0, Some(0));
    assert_one_gapless_boot(&messages);
}

#[test]
fn stop_during_reload_reports_lost_windows() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let state = tempfile::tempdir().unwrap();
    // No broker listens, and there is neither a disk nor a runtime directory.
    fs::write(state.path().join("run"), "no folder").unwrap();
    let text = Daemon::configuration(state.path(), common::free_port(), &video, 1);
    let text = text.split("[spool]").next().unwrap();
    let mut daemon = Daemon::start_with(state, text, "info", &[]);
    daemon.wait_for_output("Connection refused");
    std::thread::sleep(std::time::Duration::from_secs(2));
    daemon.hang_up();
    std::thread::sleep(std::time::Duration::from_secs(1));
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("are lost with this process"), "{printed}");
}

/// Waits until a process handles SIGHUP.
fn wait_for_handler(pid: u32) {
    let caught = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
    let handles = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().find_map(caught).is_some_and(|mask| mask & 1 == 1)
    };
    while !handles() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// The signal arrives while the networks are loaded.
#[test]
fn sighup_during_startup_is_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 1);
    wait_for_handler(daemon.child.id());
    let file = daemon.folder.path().join("lectern.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("room = \"101\"", "room = \"102\"")).unwrap();
    daemon.hang_up();
    let is_there = |topic: &str| topic == "lectern/v1/north/main/102/cam1/minute";
    let messages = subscriber.until(|topic, payload| is_there(topic) && payload["partial"] == false);
    assert_one_gapless_boot(&messages);
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn stop_during_startup_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(common::free_port(), &folder.path().join("none.mkv"), 1);
    wait_for_handler(daemon.child.id());
    daemon.terminate();
    assert_eq!(daemon.finish().0, Some(0));
}

/// A pipe among the fragments is refused, and neither the watch nor a stop waits for it.
#[test]
fn pipe_as_fragment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let mut daemon = Daemon::start(broker.port, &video, 1);
    let mut messages = subscriber.until(|_, payload| payload["state"] == "watching");
    let fragments = daemon.folder.path().join("lectern.d");
    fs::create_dir(&fragments).unwrap();
    let pipe = fragments.join("x.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    daemon.hang_up();
    daemon.wait_for_output("x.toml: cannot be read: it is a pipe, not a regular file; replace it");
    for _ in 0..2 {
        messages.extend(subscriber.until(|topic, _| topic.ends_with("/minute")));
    }
    daemon.terminate();
    assert_eq!(daemon.finish().0, Some(0));
    assert_one_gapless_boot(&messages);
}

#[test]
fn abandoned_spool_directory_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let mut daemon = Daemon::start(broker.port, &video, 1);
    subscriber.until(|topic, _| topic.ends_with("/minute"));
    let file = daemon.folder.path().join("lectern.toml");
    let left = daemon.folder.path().join("state");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("/state\"", "/other\"")).unwrap();
    daemon.hang_up();
    let warning =
        format!("spool.directory was {}: minutes that wait there are delivered when", left.display());
    daemon.wait_for_output(&warning);
    daemon.terminate();
    assert_eq!(daemon.finish().0, Some(0));
}
