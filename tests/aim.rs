//! `lectern aim` prints what to change, and no picture.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;

use common::{lectern, still};

/// The output for the portrait after ffmpeg's `filter`, one line a measurement.
fn aim(filter: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let stills = still(folder.path(), filter);
    let file = folder.path().join("lectern.toml");
    let text = format!("deployment.basis = \"test\"\ncamera.device = \"file:{}\"\n", stills.display());
    fs::write(&file, text).unwrap();
    let output = lectern().args(["aim", "--looks", "2", "--config"]).arg(&file).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let lines: Vec<_> = printed.lines().collect();
    // The same picture gives the same advice, as plain text.
    assert_eq!(lines.len(), 2, "{printed}");
    let advice = lines.iter().map(|line| line.split_once("=> ").unwrap().1).collect::<Vec<_>>();
    let without_digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(without_digits(advice[0]), without_digits(advice[1]));
    assert!(printed.len() < 600 && printed.is_ascii() && !printed.contains('\x1b'), "{printed}");
    eprintln!("{filter}: {}", lines[0]);
    lines[0].to_owned()
}

/// The portrait, 400 pixels wide, on a gray wall of 640 x 480, `width` pixels wide and moved to (`x`, `y`).
fn on_a_wall(width: u32, x: u32, y: u32) -> String {
    format!("scale={width}:-1,pad=640:480:{x}:{y}:color=0x808080")
}

#[test]
fn good_position_is_confirmed() {
    assert!(aim(&on_a_wall(400, 120, 40)).contains("good"));
}

#[test]
fn small_face_suggests_a_closer_camera() {
    let printed = aim(&on_a_wall(72, 260, 150));
    assert!(
        printed.contains("move the camera closer: the face is") && printed.contains("24 are needed"),
        "{printed}"
    );
}

#[test]
fn range_is_printed_with_and_without_a_face() {
    let near = aim(&on_a_wall(400, 120, 40));
    assert!(near.contains("times as far, about 3.0 m"), "{near}");
    let empty = aim("drawbox=c=gray:t=fill");
    assert!(empty.contains("reach     about ") && empty.contains("if it sees 70 degrees across"), "{empty}");
}

#[test]
fn face_at_the_edge_suggests_a_turn() {
    assert!(aim(&on_a_wall(240, 400, 100)).contains("turn the camera to the right"));
    assert!(aim(&on_a_wall(240, 0, 100)).contains("turn the camera to the left"));
}

#[test]
fn darkness_suggests_more_light() {
    assert!(
        aim(&format!("{},eq=brightness=-0.45:contrast=0.3", on_a_wall(400, 120, 40))).contains("more light")
    );
}

#[test]
fn turned_camera_prints_the_angle() {
    for (turn, degrees) in [("hflip,vflip", 180), ("transpose=clock", 270), ("transpose=cclock", 90)] {
        let printed = aim(&format!("{},{turn}", on_a_wall(400, 120, 40)));
        assert!(printed.contains(&format!("set camera.rotate = {degrees}, or turn")), "{printed}");
    }
}

#[test]
fn blur_suggests_focusing() {
    assert!(aim(&format!("{},gblur=sigma=12", on_a_wall(400, 120, 40))).contains("focus the camera"));
}

#[test]
fn empty_room_reports_no_face() {
    assert!(aim("drawbox=c=gray:t=fill").contains("no face is seen"));
}

/// An absent camera is reported at each measurement; a device that is no camera ends the command.
#[test]
fn absent_camera_retries_invalid_one_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lectern.toml");
    let aim_at = |camera: &str| {
        let text = format!("deployment.basis = \"test\"\ncamera.device = \"{camera}\"\n");
        fs::write(&file, text).unwrap();
        let output = lectern().args(["aim", "--looks", "2", "--config"]).arg(&file).output().unwrap();
        let printed = [output.stdout, output.stderr].map(|printed| String::from_utf8(printed).unwrap());
        (output.status.code(), printed)
    };
    let (code, [lines, _]) = aim_at("/dev/no-such-camera");
    assert_eq!((code, lines.lines().count()), (Some(0), 2), "{lines}");
    assert!(lines.lines().all(|line| line.contains("plug it in again")), "{lines}");
    let (code, [lines, error]) = aim_at("/dev/null");
    assert_eq!((code, lines.as_str()), (Some(1), ""), "{lines}");
    assert!(error.contains("is no camera that can be read; name the capture node"), "{error}");
}
