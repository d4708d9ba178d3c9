//! Whatever lies in the place of a file that was named: it is opened only if it is a regular file, and nothing hangs.
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
use std::process::{Output, Stdio};
use std::time::Instant;

use common::{copy_models, lectern};

const FOUND: &str = "it is a pipe, not a regular file";

fn make_pipe(path: &Path) -> PathBuf {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    path.to_owned()
}

/// Runs a command to its end; one that hangs fails.
fn output(arguments: &[&Path]) -> Output {
    let mut child = lectern()
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > common::TIMEOUT {
            child.kill().unwrap();
            panic!("{arguments:?} hangs");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// The exit code, and all that was printed.
fn outcome(arguments: &[&Path]) -> (Option<i32>, String) {
    let output = output(arguments);
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

#[test]
fn pipes_in_place_of_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = make_pipe(&folder.path().join("pipe"));
    let at = |name: &str| folder.path().join(name);
    let models = copy_models(folder.path());
    fs::remove_file(models.join("pnet.onnx")).unwrap();
    make_pipe(&models.join("pnet.onnx"));
    let picture = Path::new("tests/fixtures/portrait.png");
    let to = at("out");
    let cases: [(&[&Path], i32); 8] = [
        (&["run".as_ref(), "--config".as_ref(), &pipe], 2),
        (&["check".as_ref(), "--only".as_ref(), "configuration".as_ref(), "--config".as_ref(), &pipe], 1),
        (&["report".as_ref(), &pipe, "--out".as_ref(), &to], 1),
        (&["analyze".as_ref(), "--manifest".as_ref(), &pipe], 1),
        (&["analyze".as_ref(), "--classifier".as_ref(), &pipe, picture], 1),
        (&["--models".as_ref(), &models, "eval".as_ref(), "detect".as_ref(), picture], 1),
        (&["eval".as_ref(), "classify".as_ref(), &pipe], 1),
        (&["eval".as_ref(), "detect".as_ref(), &pipe], 1),
    ];
    for (arguments, code) in cases {
        let (found, printed) = outcome(arguments);
        assert!(found == Some(code) && printed.contains(FOUND), "{arguments:?}: {found:?} {printed}");
    }
}

#[test]
fn pipes_among_fragments_and_certificates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("lectern.toml");
    let pipe = make_pipe(&folder.path().join("pipe"));
    let text = |mqtt: &str| {
        format!(
            "[deployment]\nbasis = \"test\"\n[camera]\ndevice = \"file:/none\"\n[mqtt]\nurl = \"mqtts://localhost:1\"\n{mqtt}"
        )
    };
    let check =
        [Path::new("check"), "--only".as_ref(), "configuration".as_ref(), "--config".as_ref(), &config];
    for key in ["ca", "client_cert", "client_key", "password_file"] {
        let mqtt = "username = \"u\"\nclient_key = \"/none\"\nclient_cert = \"/none\"\n";
        let mqtt: String =
            mqtt.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect();
        fs::write(&config, text(&format!("{mqtt}{key} = \"{}\"\n", pipe.display()))).unwrap();
        let (code, printed) = outcome(&check);
        assert!(code == Some(1), "{key}: {printed}");
        assert!(printed.contains(FOUND) || printed.contains("/none"), "{key}: {printed}");
    }
    fs::write(&config, text("")).unwrap();
    fs::create_dir(folder.path().join("lectern.d")).unwrap();
    make_pipe(&folder.path().join("lectern.d/x.toml"));
    let (code, printed) = outcome(&check);
    assert!(code == Some(1) && printed.contains(FOUND), "{printed}");
}

#[test]
fn pipe_among_stills_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy("tests/fixtures/portrait.png", folder.path().join("1.png")).unwrap();
    make_pipe(&folder.path().join("2.png"));
    let (code, printed) = outcome(&["analyze".as_ref(), folder.path()]);
    assert!(code == Some(1) && printed.contains(&format!("2.png: {FOUND}")), "{printed}");
}

/// Standard input that is a regular file is one.
#[test]
fn redirected_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("list.csv");
    fs::write(&manifest, "file\nnone.mkv\n").unwrap();
    let output = lectern()
        .args(["analyze", "--manifest", "/dev/stdin"])
        .stdin(fs::File::open(&manifest).unwrap())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("none.mkv: cannot be read: No such file"), "{printed}");
}
