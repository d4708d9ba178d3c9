//! SIGHUP: a good configuration is taken over in the same process; one that is wrong, or that the camera or the networks
//! refuse, is not, and the old one is used on.
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

/// No minute is missing, and the process is the one that began.
fn assert_one_gapless_boot(messages: &[(String, Value)]) {
    let minutes: Vec<_> = messages.iter().filter(|(topic, _)| topic.ends_with("/minute")).collect();
    for pair in minutes.windows(2) {
        assert_eq!(number(&pair[1].1, "seq"), number(&pair[0].1, "seq") + 1);
        assert_eq!(pair[1].1["boot"], pair[0].1["boot"]);
    }
}

#[test]
fn a_reload_takes_over_a_good_configuration_and_refuses_a_bad_one() {
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
    // Two windows later the refusal is long over.
    messages.extend(subscriber.until(|topic, payload| is_minute(topic, 4, payload)));
    assert!(messages.iter().all(|(_, payload)| payload["state"] != "offline"));

    fs::write(&file, good.replace("seconds = 1", "seconds = 2")).unwrap();
    daemon.hang_up();
    messages.extend(subscriber.until(|_, payload| payload["seconds"] == 2 && payload["partial"] == false));
    // One that comes while the daemon changes over is not lost.
    fs::write(&file, &good).unwrap();
    daemon.hang_up();
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    let (code, said) = daemon.finish();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("the old configuration stays in use").count(), 1, "{said}");
    assert!(said.contains("must divide 3600, not 7"), "{said}");
    assert!(said.contains("the configuration was read again"), "{said}");
    assert_one_gapless_boot(&messages);
}

#[test]
fn a_configuration_that_camera_or_networks_refuse_leaves_the_old_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let models = copy_models(folder.path());
    let arguments = ["--models".as_ref(), models.as_os_str()];
    let state = tempfile::tempdir().unwrap();
    let text = Daemon::configuration(state.path(), broker.port, &video, 1);
    let daemon = Daemon::start_with(state, &text, "info", &arguments);
    // A whole window in which the recording was seen.
    let is_watched =
        |payload: &Value| payload["frames"] == payload["frames_expected"] && payload["partial"] == false;
    let mut messages = subscriber.until(|_, payload| is_watched(payload));

    // Both are valid as configurations, with other windows; the camera is none, and a network is damaged.
    let file = daemon.folder.path().join("lectern.toml");
    let good = fs::read_to_string(&file).unwrap();
    let other_windows = good.replace("seconds = 1", "seconds = 2");
    for damaged in [false, true] {
        if damaged {
            damage(&models.join("rnet.onnx"));
            fs::write(&file, &other_windows).unwrap();
        } else {
            let recording = format!("\"file:{}\"", video.display());
            fs::write(&file, other_windows.replace(&recording, "\"/dev/null\"")).unwrap();
        }
        daemon.hang_up();
        // The old configuration ends its window, and goes on: with its camera, its networks and its windows.
        messages.extend(subscriber.until(|_, payload| payload["state"] == "stopping"));
        messages.extend(subscriber.until(|_, payload| is_watched(payload)));
    }
    daemon.terminate();
    messages.extend(subscriber.until(|_, payload| payload["state"] == "offline"));
    let (code, said) = daemon.finish();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("the old configuration stays in use").count(), 2, "{said}");
    assert!(said.contains("/dev/null: is no camera") && said.contains("rnet.onnx: has SHA-256"), "{said}");
    assert!(!said.contains("read again and is in use"), "{said}");
    assert!(messages.iter().all(|(_, payload)| payload["seconds"] != 2));
    assert_one_gapless_boot(&messages);
}

#[test]
fn a_stop_during_a_reload_still_tells_of_windows_that_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let state = tempfile::tempdir().unwrap();
    // Nobody listens, and there is neither a disk nor a runtime directory.
    fs::write(state.path().join("run"), "no folder").unwrap();
    let text = Daemon::configuration(state.path(), common::free_port(), &video, 1);
    let text = text.split("[spool]").next().unwrap();
    let mut daemon = Daemon::start_with(state, text, "info", &[]);
    daemon.wait_until_it_says("Connection refused");
    std::thread::sleep(std::time::Duration::from_secs(2));
    daemon.hang_up();
    std::thread::sleep(std::time::Duration::from_secs(1));
    daemon.terminate();
    let (code, said) = daemon.finish();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("are lost with this process"), "{said}");
}

/// The configuration is a FIFO, so that the process is caught where it has only begun to start.
#[test]
fn a_hangup_during_the_start_is_a_reload_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let state = tempfile::tempdir().unwrap();
    let text = Daemon::configuration(state.path(), broker.port, &video, 1);
    let file = state.path().join("late.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let mut daemon = Daemon::start_at(state, &file, "info", &[]);
    // Opens once the daemon has opened it for reading.
    let mut pipe = fs::File::options().write(true).open(&file).unwrap();
    daemon.hang_up();
    let regular = file.with_extension("new");
    fs::write(&regular, &text).unwrap();
    fs::rename(&regular, &file).unwrap();
    std::io::Write::write_all(&mut pipe, text.as_bytes()).unwrap();
    drop(pipe);
    daemon.wait_until_it_says("the configuration was read again");
    let messages =
        subscriber.until(|topic, payload| topic.ends_with("/minute") && payload["partial"] == false);
    assert_one_gapless_boot(&messages);
    daemon.terminate();
    let (code, said) = daemon.finish();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_spool_directory_that_is_left_is_named() {
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
    let told = format!("spool.directory was {}: minutes that wait there are delivered when", left.display());
    daemon.wait_until_it_says(&told);
    daemon.terminate();
    assert_eq!(daemon.finish().0, Some(0));
}
