//! A camera behind a pipe: whatever its writer does, the daemon stays up, says how its camera is, and watches again.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{Daemon, Mosquitto, Subscriber};

/// A pipe, and a daemon with windows of 5 s whose camera it is.
fn daemon(broker: &Mosquitto) -> (Daemon, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("camera.y4m");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = Daemon::configuration(folder.path(), broker.port, &pipe, 5);
    let text = text.replace("file:", "pipe:").replace("seconds = 5\n", "seconds = 5\nallow_short = true\n");
    (Daemon::start_with(folder, &text, "info", &[]), pipe)
}

/// ffmpeg writes moving pictures of this size at this rate into the pipe, in real time.
struct Writer(Child);

impl Writer {
    fn start(pipe: &Path, size: &str, rate: u32) -> Self {
        let source = format!("testsrc2=size={size}:rate={rate}");
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-re", "-f", "lavfi", "-i", &source]);
        command.args(["-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe"]).arg(pipe).stderr(Stdio::null());
        Self(command.spawn().expect("ffmpeg is installed"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Anonymous memory of a process, in kB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_writer_may_end_and_come_back_at_any_time() {
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let (mut daemon, pipe) = daemon(&broker);
    // None at all.
    subscriber.until(|_, payload| payload["state"] == "camera_lost");
    daemon.wait_for_output("see whether what writes it still runs");
    // It is killed in the middle of a frame, most likely; the next one has another size.
    for size in ["320x240", "640x480"] {
        let writer = Writer::start(&pipe, size, 5);
        subscriber.until(|_, payload| payload["state"] == "watching");
        subscriber.until(|topic, payload| topic.ends_with("/minute") && payload["frames"].as_u64() > Some(0));
        drop(writer);
        subscriber.until(|_, payload| payload["state"] == "camera_lost");
    }
    // It opens the pipe and writes nothing.
    drop(std::fs::File::options().write(true).open(&pipe).unwrap());
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("what writes it has ended") && printed.contains("the camera is back"),
        "{printed}"
    );
}

/// 30 frames a second, of which two are analysed, fill no memory.
#[test]
fn a_flood_of_pictures_fills_no_memory() {
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let (daemon, pipe) = daemon(&broker);
    let _writer = Writer::start(&pipe, "640x480", 30);
    let ended = |count: usize| {
        for _ in 0..count {
            subscriber
                .until(|topic, payload| topic.ends_with("/minute") && payload["frames"].as_u64() > Some(0));
        }
        memory(daemon.child.id())
    };
    let (before, after) = (ended(2), ended(3));
    assert!(after < before + 8192, "{before} kB, then {after} kB");
    daemon.terminate();
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn a_file_that_is_no_pipe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("camera.y4m");
    std::fs::File::create(&file).unwrap().write_all(b"YUV4MPEG2 W2 H2 F4:1\n").unwrap();
    let broker = Mosquitto::start();
    let text = Daemon::configuration(folder.path(), broker.port, &file, 60).replace("file:", "pipe:");
    let (code, printed) = Daemon::start_with(folder, &text, "info", &[]).finish();
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("is no pipe") && printed.contains("mkfifo"), "{printed}");
}
