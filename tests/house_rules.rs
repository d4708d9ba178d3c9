//! Privacy as architecture: who may know pixels, cameras, networks, files and clocks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file of a room (a folder or a file of `src`), with its code and without its tests and comments.
fn room(name: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&Path::new("src").join(name), &mut found);
    assert!(!found.is_empty(), "no room named {name}");
    found
}

fn collect(path: &Path, found: &mut Vec<(PathBuf, String)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        found.push((path.to_owned(), lines.collect::<Vec<_>>().join("\n")));
    }
}

fn all() -> Vec<(PathBuf, String)> {
    room("")
}

fn refuse(files: Vec<(PathBuf, String)>, words: &[&str], why: &str) {
    for (path, code) in files {
        for word in words {
            assert!(!code.contains(word), "{}: `{word}`: {why}", path.display());
        }
    }
}

fn outside(files: Vec<(PathBuf, String)>, rooms: &[&str]) -> Vec<(PathBuf, String)> {
    let inside = |path: &Path| rooms.iter().any(|room| path.starts_with(Path::new("src").join(room)));
    files.into_iter().filter(|(path, _)| !inside(path)).collect()
}

#[test]
fn past_vision_nothing_can_name_a_pixel() {
    for name in ["tally", "delivery", "service"] {
        refuse(
            room(name),
            &["camera::", "vision::", "Frame;", "image::"],
            "imports nothing from camera or vision",
        );
    }
}

#[test]
fn only_the_camera_touches_v4l2() {
    refuse(outside(all(), &["camera"]), &["v4l::", "/dev/video"], "V4L2 belongs to camera");
}

#[test]
fn only_delivery_touches_the_network() {
    // The demo brings its own broker and subscriber, on loopback; it is not in the package.
    let files = outside(all(), &["delivery", "commands/demo.rs"]);
    refuse(
        files,
        &["rumqttc", "TcpStream", "UdpSocket", "std::net", "tokio::net"],
        "the network belongs to delivery",
    );
}

#[test]
fn run_writes_no_file() {
    // `analyze` writes the tables and charts that it is asked for; `delivery::spool` writes what the broker has not.
    let files = outside(all(), &["delivery/spool", "commands/analyze.rs", "commands/chart.rs"]);
    let words = ["File::create", "fs::write", "OpenOptions", "create_dir", "save("];
    refuse(files, &words, "no module but delivery::spool writes a file in `run`");
}

#[test]
fn only_the_clock_reads_a_clock() {
    let words = ["SystemTime", "Timestamp::now", "std::time::Instant", "clock_gettime", "Zoned::now"];
    // tokio's Instant only measures how long the network has been silent.
    refuse(outside(all(), &["clock.rs", "clock"]), &words, "time is read through the trait Clock");
}

#[test]
fn a_frame_cannot_be_copied_printed_or_serialised() {
    let text = fs::read_to_string("src/camera/frame.rs").unwrap();
    let declaration = text.split("pub struct Frame").next().unwrap();
    assert!(!declaration.contains("derive("), "Frame derives nothing");
    for word in ["Clone for Frame", "Debug for Frame", "Serialize for Frame", "Display for Frame"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("impl Drop for Frame"), "a Frame wipes itself");
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let files: Vec<_> =
        all().into_iter().filter(|(_, code)| code.contains("unsafe ")).map(|(path, _)| path).collect();
    assert_eq!(files, [Path::new("src/clock/kernel.rs")]);
}

#[test]
fn the_daemon_has_two_threads() {
    let files = outside(all(), &["commands/demo.rs"]);
    let spawning: Vec<_> = files
        .into_iter()
        .filter(|(_, code)| code.contains("thread::spawn") || code.contains("thread::Builder"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(spawning, [Path::new("src/delivery/mod.rs")]);
}

#[test]
fn what_is_said_on_standard_error_is_escaped() {
    // The demo says its own numbers.
    for (path, code) in outside(all(), &["commands/demo.rs"]) {
        for line in code.lines().filter(|line| line.contains("eprint")) {
            assert!(
                line.contains("Printable("),
                "{}: {line}: use service::printable::complain",
                path.display()
            );
        }
    }
}
