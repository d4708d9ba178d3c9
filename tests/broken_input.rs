//! Broken input ends in one clear message and the right exit code.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;

use common::lectern;

fn copy_models(to: &Path) {
    for entry in std::fs::read_dir("models").unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Runs it and returns its exit code and its one message.
fn failure(arguments: &[&str]) -> (Option<i32>, String) {
    let output = lectern().args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn unreadable_picture_is_named_and_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.jpg");
    std::fs::write(&broken, [0xff, 0xd8, 0xff, 0xe0, 0, 16]).unwrap();
    for what in ["detect", "classify"] {
        let output =
            lectern().args(["eval", what]).arg(&broken).arg("tests/fixtures/portrait.png").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines.lines().count(), 1);
        assert!(lines.contains("portrait.png"), "{lines}");
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(
            printed.starts_with(&format!("lectern: {}: is no readable picture", broken.display())),
            "{printed}"
        );
        assert!(printed.ends_with("1 of 2 pictures could not be read\n"), "{printed}");
    }
}

#[test]
fn invalid_configuration_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("lectern.toml");
    std::fs::write(&config, "[deployment]\nbasis = \"test\"\n[camera]\ndevce = \"/dev/video0\"\n").unwrap();
    let path = config.to_str().unwrap();
    let (code, printed) = failure(&["run", "--config", path]);
    assert_eq!(code, Some(2));
    let expected = [
        format!("lectern: {path}:4: camera.devce is not a key; did you mean `camera.device`?\n"),
        format!(
            "lectern: {path}: camera.device is not set; name a camera, for example one from /dev/v4l/by-id/, or file:PATH\n"
        ),
    ];
    assert_eq!(printed, expected.concat());
    let (code, printed) = failure(&["run", "--config", "/no/such/lectern.toml"]);
    assert_eq!(code, Some(2));
    assert!(printed.starts_with("lectern: /no/such/lectern.toml: cannot be read: No such file"), "{printed}");
    assert_eq!(failure(&["run", "--confg", path]).0, Some(2));
    assert_eq!(failure(&["analyze", "--rate", "1000", "x.mkv"]).0, Some(2));
}

#[test]
fn model_with_another_hash_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    copy_models(folder.path());
    let models = folder.path().to_str().unwrap();
    let portrait = "tests/fixtures/portrait.png";
    assert_eq!(failure(&["--models", models, "eval", "classify", portrait]).0, Some(0));
    for file in ["pnet.onnx", "expression.onnx"] {
        let path = folder.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let what = if file == "pnet.onnx" { "detect" } else { "classify" };
        let (code, printed) = failure(&["--models", models, "eval", what, portrait]);
        assert_eq!(code, Some(1));
        assert!(printed.starts_with(&format!("lectern: model {file}: has SHA-256 ")), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        copy_models(folder.path());
    }
}

#[test]
fn classifier_of_another_shape_is_rejected() {
    let portrait = "tests/fixtures/portrait.png";
    let (code, printed) = failure(&["eval", "classify", "--classifier", "models/rnet.onnx", portrait]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("models/rnet.onnx") || printed.contains("classifier"), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let (code, printed) = failure(&["eval", "classify", "--classifier", "Cargo.toml", portrait]);
    assert_eq!((code, printed.lines().count()), (Some(1), 1), "{printed}");
}

#[test]
fn device_that_is_no_camera_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("lectern.toml");
    std::fs::write(&config, "[deployment]\nbasis = \"test\"\n[camera]\ndevice = \"/dev/null\"\n").unwrap();
    let (code, printed) = failure(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(printed.starts_with("lectern: /dev/null: is no camera"), "{printed}");
    assert!(printed.contains("/dev/v4l/by-id/") && printed.lines().count() == 1, "{printed}");
}
