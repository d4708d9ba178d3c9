//! A `file:` source without frames is a lost camera, and never keeps the daemon from stopping.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Daemon, Mosquitto, Subscriber, portrait_video};
use rustix::process::{Pid, Signal, kill_process};

fn stops(daemon: Daemon) -> String {
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    printed
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A stopped ffmpeg counts as a lost camera and is replaced.
#[test]
fn stopped_ffmpeg_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &video, 60);
    subscriber.until(|_, payload| payload["state"] == "watching");
    for stop_daemon in [false, true] {
        let ffmpeg = children(daemon.child.id());
        assert_eq!(ffmpeg.len(), 1);
        kill_process(Pid::from_raw(ffmpeg[0]).unwrap(), Signal::STOP).unwrap();
        if stop_daemon {
            // Buffered frames are used first, so that the daemon is waiting when SIGTERM arrives.
            std::thread::sleep(Duration::from_secs(2));
            stops(daemon);
            assert!(!std::path::Path::new(&format!("/proc/{}", ffmpeg[0])).exists(), "ffmpeg is left behind");
            return;
        }
        subscriber.until(|_, payload| payload["state"] == "camera_lost");
        subscriber.until(|_, payload| payload["state"] == "watching");
    }
}

/// A recording for which ffmpeg only prints errors counts as a lost camera.
#[test]
fn undecodable_recording_is_a_lost_camera() {
    let folder = tempfile::tempdir().unwrap();
    let whole = portrait_video(folder.path(), "lecture.mp4", 3);
    let mut bytes = std::fs::read(&whole).unwrap();
    let (from, to) = (bytes.windows(4).position(|it| it == b"mdat").unwrap() + 4, bytes.len());
    let end = bytes
        .windows(4)
        .rposition(|it| it == b"moov")
        .filter(|moov| *moov > from)
        .map_or(to, |moov| moov - 4);
    bytes[from..end].fill(0xa5);
    let damaged = folder.path().join("damaged.mp4");
    std::fs::write(&damaged, bytes).unwrap();
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let daemon = Daemon::start(broker.port, &damaged, 60);
    subscriber.until(|_, payload| payload["state"] == "camera_lost");
    stops(daemon);
}

#[test]
fn empty_pipe_does_not_block_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("camera");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let mut daemon = Daemon::start(broker.port, &pipe, 60);
    subscriber.until(|_, payload| payload["state"] == "camera_lost");
    daemon.wait_for_output("see whether what writes it still runs");
    // Long enough to be opened again, and to be silent again.
    std::thread::sleep(Duration::from_secs(8));
    let printed = stops(daemon);
    assert!(printed.contains("publishing the open window"), "{printed}");
    assert!(!printed.contains("is back"), "{printed}");
}
