//! `lectern check` names each problem and its fix.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Mosquitto, Subscriber, copy_models, damage, free_port, lectern, portrait_video, still};
use lectern::delivery::spool::storage::{Directory, Storage};
use serde_json::Value;

/// A configuration with the basis and these sections.
fn configuration(folder: &Path, rest: &str) -> PathBuf {
    let file = folder.join("lectern.toml");
    fs::write(&file, format!("deployment.basis = \"test\"\ndevice.id = \"cam1\"\n{rest}")).unwrap();
    file
}

fn check(file: &Path, only: &str) -> Output {
    lectern().args(["check", "--config"]).arg(file).args(["--only", only]).output().unwrap()
}

/// The output for one part, which must be one line.
fn line(file: &Path, part: &str, code: i32) -> String {
    let output = check(file, part);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
    printed
}

/// Every part of a healthy device is ok, and the test message arrives.
#[test]
fn healthy_device_passes_every_check() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let broker = Mosquitto::start();
    let subscriber = Subscriber::start(broker.port);
    let file = configuration(
        folder.path(),
        &format!(
            "camera.device = \"file:{}\"\nmqtt.url = \"mqtt://127.0.0.1:{}\"\n",
            video.display(),
            broker.port
        ),
    );
    let output = lectern().args(["check", "--json", "--config"]).arg(&file).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(output.status.code(), Some(0));
    let checks = report["checks"].as_array().unwrap();
    let parts: Vec<_> = checks.iter().map(|check| check["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["configuration", "camera", "light", "models", "broker", "clock", "disk", "unit"]);
    for part in ["configuration", "camera", "light", "broker"] {
        let check = checks.iter().find(|check| check["part"] == part).unwrap();
        assert_eq!(check["verdict"], "ok", "{check}");
    }
    for topic in ["check", "minute", "status"] {
        let message = subscriber.next();
        assert_eq!(message.0, format!("lectern/v1/unassigned/unassigned/unassigned/cam1/{topic}"));
        // Nothing that counts as a record or a state.
        assert_eq!(message.1, serde_json::json!({"schema": 1, "device": "cam1", "check": true}));
    }
}

#[test]
fn detection_range_is_printed_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    // A face of some 110 pixels.
    let stills = still(folder.path(), "pad=1920:1080:700:400:color=0x808080");
    let text = format!("camera.device = \"file:{}\"\nanalysis.min_face_px = 30\n", stills.display());
    let file = configuration(folder.path(), &text);
    let printed = line(&file, "camera", 0);
    assert!(printed.contains("gives 1920 x 1080 pixels, a face is 1"), "{printed}");
    assert!(printed.contains(" pixels high, smaller than 30 is not seen: up to "), "{printed}");
    let output =
        lectern().args(["check", "--json", "--only", "camera", "--config"]).arg(&file).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reach = &report["checks"][0]["reach"];
    let value = |name: &str| reach[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    assert!((value("times_as_far") - value("face_px") / 30.0).abs() < 0.1, "{report}");
    assert!((value("metres") - 7.3).abs() < 0.2, "{report}");
    assert!((value("smallest_face_px"), value("assumed_view_degrees")) == (30.0, 70.0), "{report}");
}

/// An invalid configuration is named with its line, and dependent parts are skipped.
#[test]
fn invalid_configuration_skips_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lectern.toml");
    fs::write(&file, "[camera]\ndevice = \"/dev/null\"\n").unwrap();
    let printed = line(&file, "configuration", 1);
    assert!(
        printed.starts_with("failed   configuration") && printed.contains("deployment.basis is not set"),
        "{printed}"
    );
    let printed = String::from_utf8(check(&file, "camera,light,broker,disk").stdout).unwrap();
    assert_eq!(printed.matches("skipped").count(), 4, "{printed}");
    // The reason is printed even if the part `configuration` is not selected.
    let output = check(&file, "broker");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("deployment.basis is not set") && printed.contains("skipped  broker"),
        "{printed}"
    );
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(check(&file, "clock").stdout).unwrap();
    assert!(!printed.contains("configuration"), "{printed}");
    fs::write(&file, "deployment.basis = \"test\"\n[window]\nseconds = 7\n[camera]\ndevice = \"/dev/null\"")
        .unwrap();
    assert!(line(&file, "configuration", 1).contains("lectern.toml:3"));
}

#[test]
fn advice_is_separate_from_names() {
    let folder = tempfile::tempdir().unwrap();
    let report = |file: &Path, only: &str, more: &[&std::ffi::OsStr]| -> Value {
        let mut command = lectern();
        command.args(["check", "--json", "--only", only, "--config"]).arg(file).args(more);
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let missing = report(&folder.path().join("a; b").join("lectern.toml"), "configuration", &[]);
    let found = missing["checks"][0]["found"].as_str().unwrap();
    assert!(found.contains("a; b/lectern.toml: cannot be read: No such file"), "{missing}");
    assert_eq!(missing["checks"][0]["advice"], "name the file with --config");
    let models = copy_models(folder.path());
    damage(&models.join("onet.onnx"));
    let file = configuration(folder.path(), "camera.device = \"/dev/null\"\n");
    let damaged = report(&file, "models", &["--models".as_ref(), models.as_os_str()]);
    assert_eq!(damaged["checks"][0]["advice"], "install the package again", "{damaged}");
}

#[test]
fn each_mistake_has_line_and_advice() {
    let folder = tempfile::tempdir().unwrap();
    let text = "camera.device = \"/dev/null\"\nwindow.secnods = 60\nmqtt.password = \"Xyzzy-1\"\n";
    let output = check(&configuration(folder.path(), text), "configuration");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(
        lines[0].contains("lectern.toml:4: ") && lines[0].ends_with("; did you mean `window.seconds`?"),
        "{printed}"
    );
    assert!(
        lines[1].contains("lectern.toml:5: ") && lines[1].contains("/etc/credstore/lectern.mqtt-password"),
        "{printed}"
    );
    assert!(!printed.contains("Xyzzy"), "{printed}");
}

/// Short windows of a camera are an error, and with `allow_short` a warning.
#[test]
fn short_windows_need_permission() {
    let folder = tempfile::tempdir().unwrap();
    let short = "camera.device = \"/dev/null\"\nwindow.seconds = 10\n";
    let printed = line(&configuration(folder.path(), short), "configuration", 1);
    assert!(printed.contains("lectern.toml:4: window.seconds = 10 is too short"), "{printed}");
    let allowed = format!("{short}window.allow_short = true\n");
    let printed = line(&configuration(folder.path(), &allowed), "configuration", 0);
    assert!(printed.starts_with("warning") && printed.contains("10 s and 20 frames"), "{printed}");
    let recording = short.replace("/dev/null", "file:/lecture.mkv");
    assert!(line(&configuration(folder.path(), &recording), "configuration", 0).starts_with("ok"));
}

#[test]
fn missing_connection_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = "camera.device = \"/dev/null\"\nmqtt.url = \"mqtts://localhost\"\nmqtt.ca = \"/none.pem\"\n";
    let printed = line(&configuration(folder.path(), text), "configuration", 1);
    assert!(
        printed.contains("mqtt.ca /none.pem: No such file") && printed.contains("put it there"),
        "{printed}"
    );
}

#[test]
fn unknown_part_is_a_usage_error() {
    assert_eq!(lectern().args(["check", "--only", "weather"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn absent_and_invalid_cameras_differ() {
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path(), "camera.device = \"/dev/no-such-camera\"\n");
    let printed = line(&file, "camera", 1);
    assert!(printed.contains("No such file") && printed.contains("plug it in again"), "{printed}");
    let file = configuration(folder.path(), "camera.device = \"/dev/null\"\n");
    let printed = line(&file, "camera", 1);
    assert!(printed.contains("is no camera that can be read"), "{printed}");
    // A file that is no recording replaces a camera with a format that cannot be decoded;
    // tests/camera.rs has such a camera.
    fs::write(folder.path().join("lecture.mkv"), "no video").unwrap();
    let file = configuration(
        folder.path(),
        &format!("camera.device = \"file:{}/lecture.mkv\"\n", folder.path().display()),
    );
    assert!(line(&file, "camera", 1).starts_with("failed"));
}

#[test]
fn dark_and_glaring_rooms_are_warnings() {
    for (filter, expected) in
        [("eq=brightness=-0.45:contrast=0.3", "dark"), ("eq=brightness=0.9:contrast=0.2", "glaring")]
    {
        let folder = tempfile::tempdir().unwrap();
        let stills = still(folder.path(), filter);
        let file = configuration(folder.path(), &format!("camera.device = \"file:{}\"\n", stills.display()));
        let printed = line(&file, "light", 0);
        assert!(printed.starts_with("warning") && printed.contains(expected), "{printed}");
    }
}

#[test]
fn broker_down_and_wrong_password_differ() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let camera = "camera.device = \"/dev/null\"\n";
    let file = configuration(folder.path(), &format!("{camera}mqtt.url = \"mqtt://127.0.0.1:{port}\"\n"));
    let printed = line(&file, "broker", 1);
    assert!(printed.contains("Connection refused") && printed.contains("check mqtt.url"), "{printed}");

    let broker = Mosquitto::with_password("lectern", "Xyzzy-1");
    let password = folder.path().join("password");
    for (text, code) in [("Xyzzy-1", 0), ("Xyzzy-2", 1)] {
        fs::write(&password, text).unwrap();
        fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let file = configuration(
            folder.path(),
            &format!(
                "{camera}[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nusername = \"lectern\"\npassword_file = \"{}\"\n",
                broker.port,
                password.display()
            ),
        );
        let printed = line(&file, "broker", code);
        assert!(!printed.contains(text), "a secret is never printed: {printed}");
        // mosquitto reports a wrong password as "not authorised".
        assert!(code == 0 || printed.contains("password") || printed.contains("not authorised"), "{printed}");
    }
}

/// A broker that discards messages is a warning; one that disconnects the device is a failure.
#[test]
fn discarding_broker_warns_closing_broker_fails() {
    for (most_queued, code, verdict) in [(1000, 0, "warning"), (0, 1, "failed")] {
        let folder = tempfile::tempdir().unwrap();
        let (_broker, port) = Mosquitto::with_access_rules("topic read lectern/#\n", most_queued);
        let text = format!("camera.device = \"/dev/null\"\nmqtt.url = \"mqtt://127.0.0.1:{port}\"\n");
        let printed = line(&configuration(folder.path(), &text), "broker", code);
        assert!(printed.starts_with(verdict) && printed.contains("access rules"), "{printed}");
        assert!(
            printed.contains("lectern/v1/unassigned/unassigned/unassigned/cam1/check"),
            "the topic: {printed}"
        );
    }
}

#[test]
fn models_are_checked_by_hash_and_inference() {
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path(), "camera.device = \"/dev/null\"\n");
    assert!(!line(&file, "models", 0).starts_with("failed"));
    let models = copy_models(folder.path());
    damage(&models.join("onet.onnx"));
    let output = lectern()
        .args(["check", "--only", "models", "--config"])
        .arg(&file)
        .arg("--models")
        .arg(&models)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("SHA-256") && output.status.code() == Some(1), "{printed}");
}

#[test]
#[ignore = "needs root, for a small disk in a mount namespace"]
fn full_disk_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(
        folder.path(),
        &format!(
            "camera.device = \"/dev/null\"\n[spool]\ndirectory = \"{}\"\n",
            folder.path().join("state").display()
        ),
    );
    fs::create_dir(folder.path().join("state")).unwrap();
    let unshared = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=200k none \"$0\" && exec \"$1\" check --only disk --config \"$2\"")
        .arg(folder.path().join("state"))
        .arg(assert_cmd::cargo::cargo_bin!("lectern"))
        .arg(&file)
        .output()
        .unwrap();
    let printed = String::from_utf8(unshared.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&unshared.stderr);
    assert!(printed.starts_with("failed   disk") && printed.contains("make room"), "{printed}{stderr}");
}

/// A configuration with this spool directory.
fn keeping_in(folder: &Path, directory: &Path) -> PathBuf {
    let text = format!("camera.device = \"/dev/null\"\n[spool]\ndirectory = \"{}\"\n", directory.display());
    configuration(folder, &text)
}

#[test]
fn spool_directory_must_be_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for directory in [file.as_path(), Path::new("/dev/null")] {
        let printed = line(&keeping_in(folder.path(), directory), "disk", 1);
        assert!(printed.contains("is not a folder; name a folder in spool.directory"), "{printed}");
    }
}

/// Unreadable or damaged files are named, also while the service uses the spool.
#[test]
fn unreadable_spool_files_are_named_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let file = keeping_in(folder.path(), &state);
    // In use, as by the running service.
    let service = Directory::at(&state);
    service.list().unwrap();
    assert!(line(&file, "disk", 0).contains("MB free"));
    let unreadable = "0000000000000/0000000000000003";
    fs::create_dir(state.join("0000000000000")).unwrap();
    fs::write(state.join(unreadable), "minutes").unwrap();
    let printed = line(&file, "disk", 0);
    assert!(
        printed.starts_with("warning") && printed.contains("(0000000000000/0000000000000003: "),
        "{printed}"
    );
    // A file that its owner may not read; root must drop its capabilities.
    fs::set_permissions(state.join(unreadable), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    }
    let output = command
        .arg(assert_cmd::cargo::cargo_bin!("lectern"))
        .args(["check", "--only", "disk", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with("failed   disk") && printed.contains(unreadable), "{printed}");
    assert!(printed.contains("Permission denied"), "{printed}");
}
