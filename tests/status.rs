//! `lectern status` with a real running service.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use common::{Daemon, Mosquitto, TIMEOUT, kinds, lectern, number, portrait_video};
use serde_json::Value;

fn status(run: &Path, arguments: &[&str]) -> Output {
    lectern().arg("status").args(arguments).env("RUNTIME_DIRECTORY", run).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(run: &Path) -> Value {
    let output = status(run, &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The status as soon as it satisfies a condition.
fn once(run: &Path, condition: impl Fn(&Value) -> bool) -> Value {
    let limit = Instant::now() + TIMEOUT;
    loop {
        let status = json(run);
        if condition(&status) {
            return status;
        }
        assert!(Instant::now() < limit, "{status}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Checks that a text names no count.
fn assert_no_counts(printed: &str) {
    for word in kinds().chain(["faces", "no_face", "uncertain"]) {
        assert!(!printed.contains(word), "{word} in {printed}");
    }
}

/// `lectern status` shows the health of a running service and no counts.
#[test]
fn running_service_shows_health_not_counts() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let mut broker = Mosquitto::start();
    let mut daemon = Daemon::start(broker.port, &video, 1);
    let run = daemon.folder.path().join("run");
    let reported = once(&run, |status| {
        let service = &status["service"];
        service["last_window"]["frames"] == 2 && service["frames_per_second"].is_number()
    });
    let service = &reported["service"];
    assert_eq!(reported["running"], true, "{reported}");
    assert_eq!(service["state"], "watching");
    assert_eq!(service["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(service["camera"], format!("file:{}", video.display()));
    assert_eq!(service["frames_per_second_wanted"], 2.0);
    assert_eq!(service["broker"]["address"], format!("127.0.0.1:{}", broker.port));
    assert_eq!(service["broker"]["connected"], true);
    assert_eq!(service["spool"]["on_disk"], true);
    assert_eq!(number(&service["last_window"], "seconds"), 1);
    let models = service["models"].as_object().unwrap();
    let manifest = fs::read_to_string("models/manifest.toml").unwrap();
    assert_eq!(models.len(), 4);
    assert!(models.values().all(|hash| manifest.contains(hash.as_str().unwrap())), "{reported}");
    assert!(reported["board"]["temperatures"].is_array());

    let lines = status(&run, &[]);
    assert_eq!(lines.status.code(), Some(0));
    let metrics = status(&run, &["--prometheus"]);
    assert_eq!(metrics.status.code(), Some(0));
    for printed in [text(&lines.stdout), text(&metrics.stdout), reported.to_string()] {
        assert_no_counts(&printed);
    }
    assert_no_counts(&fs::read_to_string(run.join("status.json")).unwrap());
    let mode = fs::metadata(run.join("status.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The status explains waiting minutes, and the exit code stays 0.
    broker.stop();
    let away = once(&run, |status| status["service"]["broker"]["problem"].is_string());
    assert_eq!(away["service"]["broker"]["connected"], false);
    let waits = once(&run, |status| status["service"]["spool"]["waiting"].as_u64() > Some(1));
    assert!(
        waits["service"]["broker"]["problem"].as_str().unwrap().contains("Connection refused"),
        "{waits}"
    );
    let lines = status(&run, &[]);
    assert_eq!(lines.status.code(), Some(0));
    assert!(text(&lines.stdout).contains("Connection refused"), "{lines:?}");

    // The status also shows that the service has ended.
    daemon.terminate();
    daemon.child.wait().unwrap();
    let ended = json(&run);
    assert!(ended["problem"].as_str().unwrap().contains("does not run"), "{ended}");
    let (code, printed) = daemon.finish();
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn missing_status_is_an_error_with_a_fix() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    let refused = |expected: &str| {
        let output = status(run, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let printed = text(&output.stderr);
        assert!(printed.contains(expected) && printed.contains("; "), "{printed}");
        assert_eq!(json(run)["running"], false);
    };
    refused("the service does not run");
    let file = run.join("status.json");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("{\"form\":99,\"version\":\"9.9.9\"}");
    refused("the service runs version 9.9.9");
    for damaged in ["", "\0\0\0\0", "{\"form\":1,\"version\":\"0.1.0\"}", "[]"] {
        write(damaged);
        refused("is damaged");
    }
    // A pipe without a writer does not block it.
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused("cannot be read");
}

#[test]
fn dead_and_hanging_services_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let daemon = Daemon::start(common::free_port(), &video, 60);
    let run = daemon.folder.path().join("run");
    once(&run, |status| status["running"] == true);
    // A status file with an old timestamp.
    let stale = tempfile::tempdir().unwrap();
    let mut reported: Value = serde_json::from_slice(&fs::read(run.join("status.json")).unwrap()).unwrap();
    let at = number(&reported, "told_at").checked_sub(31).expect("a machine that is up for half a minute");
    reported["told_at"] = at.into();
    fs::write(stale.path().join("status.json"), reported.to_string()).unwrap();
    let output = status(stale.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("it hangs; see journalctl -u lectern"), "{output:?}");
    let metrics = text(&status(stale.path(), &["--prometheus"]).stdout);
    assert!(metrics.contains("lectern_up 0\n"), "{metrics}");
    // The files after a crash.
    let folder = daemon.kill();
    let output = status(&folder.path().join("run"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the service does not run"), "{output:?}");
}

#[test]
fn metrics_are_written_atomically() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    let out = folder.path().join("lectern.prom");
    fs::write(&out, "old").unwrap();
    let write = |file: &Path| status(&run, &["--prometheus", "--out", file.to_str().unwrap()]);
    // A stopped service is a value, not an error.
    let output = write(&out);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty() && text(&output.stderr).contains("does not run"));
    assert!(fs::read_to_string(&out).unwrap().contains("\nlectern_up 0\n"));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    let output = write(&folder.path().join("none/lectern.prom"));
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stderr);
    assert!(
        printed.contains("cannot be written: No such file")
            && printed.contains("; name a file in a folder that is there")
    );
    for wrong in [&["--out", "a"][..], &["--json", "--prometheus"]] {
        assert_eq!(status(&run, wrong).status.code(), Some(2));
    }
}
