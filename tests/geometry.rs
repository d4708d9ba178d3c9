//! Pictures are analysed as a player shows them: pixel aspect ratio, orientation, the selected video stream, and files in
//! natural order. What the table of faces says of each.
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

use common::{column, lectern, number, portrait_video};
use serde_json::Value;

fn ffmpeg(arguments: &[&str], output: &Path) {
    let status = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).arg(output).status();
    assert!(status.expect("ffmpeg is installed").success(), "{arguments:?}");
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn minutes(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Frames with a face, and the mean place and size of the faces.
fn faces(folder: &Path, arguments: &[&Path]) -> (u64, [f64; 4]) {
    let table = folder.join("faces.csv");
    let output = lectern().args(["analyze", "--faces-csv"]).arg(&table).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let count = minutes(&output).iter().map(|it| number(it, "faces") + number(it, "uncertain")).sum();
    let mean = |name: &str| {
        let cells: Vec<f64> = column(&table, name).iter().map(|cell| cell.parse().unwrap()).collect();
        cells.iter().sum::<f64>() / f64::from(u32::try_from(cells.len()).unwrap())
    };
    (count, ["x", "y", "width", "height"].map(mean))
}

fn assert_alike(what: &str, found: (u64, [f64; 4]), expected: (u64, [f64; 4])) {
    assert!(found.0.abs_diff(expected.0) <= 1, "{what}: {found:?} {expected:?}");
    let off = found.1.iter().zip(expected.1).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < 6.0, "{what}: {found:?} {expected:?}");
}

#[test]
fn non_square_pixels_change_no_count() {
    let folder = tempfile::tempdir().unwrap();
    let square = folder.path().join("square.mkv");
    let portrait = ["-loop", "1", "-framerate", "5", "-i", "tests/fixtures/portrait.png", "-t", "20"];
    let scene = "scale=576:576,pad=1200:576:200:0,crop=1024:576:88+60*sin(t):0,setsar=1";
    let quality = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-crf", "14"];
    ffmpeg(&[&portrait[..], &["-vf", scene], &quality].concat(), &square);
    let expected = faces(folder.path(), &[&square]);
    assert_eq!(expected.0, 40);
    let from = ["-i", square.to_str().unwrap()];
    for (name, filters) in [
        ("pal.mkv", "scale=720:576,setsar=64/45"),
        ("half.mp4", "scale=512:576,setsar=2"),
        ("low.mkv", "scale=1024:288,setsar=1/2"),
        // Lying on its side, and with the metadata that turns it, below.
        ("lying.mp4", "scale=512:576,setsar=2,transpose=clock"),
    ] {
        let mut video = folder.path().join(name);
        ffmpeg(&[&from[..], &["-vf", filters], &quality].concat(), &video);
        if name == "lying.mp4" {
            let lying = ["-display_rotation", "90", "-i", video.to_str().unwrap(), "-c", "copy"];
            let old = ["-i", video.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"];
            let turned = folder.path().join("turned.mp4");
            // Older versions of ffmpeg have no option for it, newer ones ignore the metadata.
            let mut command = Command::new("ffmpeg");
            let done = command.args(["-v", "quiet", "-y"]).args(lying).arg(&turned).status().unwrap();
            if !done.success() {
                ffmpeg(&old, &turned);
            }
            video = turned;
        }
        assert_alike(name, faces(folder.path(), &[&video]), expected);
    }
    let stream = folder.path().join("half.y4m");
    ffmpeg(&["-i", folder.path().join("half.mp4").to_str().unwrap(), "-t", "4"], &stream);
    let four = (8, expected.1);
    let found = faces(folder.path(), &[&stream]);
    assert_eq!(found.0, four.0);
    assert!((found.1[2] - four.1[2]).abs() < 10.0, "{found:?} {four:?}");
}

/// The JPEG with an orientation in EXIF.
fn oriented(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn stills_are_rotated_by_exif() {
    let folder = tempfile::tempdir().unwrap();
    let mut upright = None;
    // How the camera stores a picture of each orientation.
    for (orientation, stored) in (1..).zip([
        "null",
        "hflip",
        "hflip,vflip",
        "vflip",
        "transpose=0",
        "transpose=2",
        "transpose=3",
        "transpose=1",
    ]) {
        let stills = folder.path().join(format!("stills {orientation}"));
        fs::create_dir(&stills).unwrap();
        for i in 0..5 {
            let filters = format!("scale=320:320,pad=480:360:{}:{}:gray,{stored}", 20 + 25 * i, 5 * i);
            let jpeg = folder.path().join("plain.jpg");
            ffmpeg(&["-i", "tests/fixtures/portrait.png", "-vf", &filters, "-q:v", "2"], &jpeg);
            fs::write(stills.join(format!("{i}.jpg")), oriented(&fs::read(&jpeg).unwrap(), orientation))
                .unwrap();
        }
        let found = faces(folder.path(), &[&stills]);
        let expected = *upright.get_or_insert(found);
        assert_eq!((expected.0, found.0), (5, 5), "{orientation}");
        assert_alike(&orientation.to_string(), found, expected);
    }
}

#[test]
fn analyses_the_selected_video_stream() {
    let folder = tempfile::tempdir().unwrap();
    let portrait = portrait_video(folder.path(), "portrait.mkv", 6);
    let both = folder.path().join("both.mkv");
    let slides = ["-f", "lavfi", "-i", "color=gray:s=320x240:r=10:d=6", "-i", portrait.to_str().unwrap()];
    ffmpeg(&[&slides[..], &["-map", "0", "-map", "1", "-c:v", "mjpeg", "-q:v", "2"]].concat(), &both);
    let analyze = |number: &str| {
        lectern()
            .args(["analyze", "--csv"])
            .arg(folder.path().join("minutes.csv"))
            .args(["--video-stream", number])
            .arg(&both)
            .output()
            .unwrap()
    };
    for (stream, no_face) in [("0", 12), ("1", 0)] {
        let output = analyze(stream);
        assert_eq!(number(&minutes(&output)[0], "no_face"), no_face, "{}", stderr(&output));
        let hint = format!("; {stream} is analysed, --video-stream N analyses another one");
        assert!(
            stderr(&output).contains("both.mkv: has 2 video streams: 0 (320 x 240), 1 ("),
            "{}",
            stderr(&output)
        );
        assert!(stderr(&output).contains(&hint), "{}", stderr(&output));
        let tried = "video stream 1 shows one in 8 of 8; try --video-stream 1\n";
        assert_eq!(stderr(&output).ends_with(tried), stream == "0", "{}", stderr(&output));
        let settings = column(&folder.path().join("minutes.csv"), "settings").remove(0);
        assert_eq!(settings.contains("video_stream=1"), stream == "1", "{settings}");
    }
    let output = analyze("2");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("has no video stream 2, but 2 video streams: 0 (320 x 240)"),
        "{}",
        stderr(&output)
    );
    let output = lectern().arg("analyze").arg(&portrait).output().unwrap();
    assert!(!stderr(&output).contains("stream"), "{}", stderr(&output));
}

/// Stills and videos of a folder are in natural order, without their companion files.
#[test]
fn folders_are_in_natural_order() {
    let folder = tempfile::tempdir().unwrap();
    let stills = folder.path().join("stills");
    fs::create_dir(&stills).unwrap();
    for name in ["1.png", "2.png", "10.png"] {
        fs::copy("tests/fixtures/portrait.png", stills.join(name)).unwrap();
    }
    ffmpeg(&["-f", "lavfi", "-i", "color=gray:s=320x320", "-frames:v", "1"], &stills.join("2.png"));
    fs::write(stills.join("._1.png"), "a resource fork").unwrap();
    let table = folder.path().join("frames.csv");
    let output = lectern().args(["analyze", "--frames-csv"]).args([&table, &stills]).output().unwrap();
    assert!(
        stderr(&output).contains("stills: 1 files whose names begin with a dot are left out"),
        "{}",
        stderr(&output)
    );
    let without: Vec<bool> = column(&table, "expression").iter().map(|it| it == "no_face").collect();
    assert_eq!(without, [false, true, false]);

    let videos = folder.path().join("videos");
    fs::create_dir(&videos).unwrap();
    for name in ["week 10.mkv", "week 2.mkv"] {
        portrait_video(&videos, name, 1);
    }
    fs::write(videos.join("._week 2.mkv"), "a resource fork").unwrap();
    fs::write(videos.join("notes.txt"), "not looked at").unwrap();
    fs::copy(stills.join("1.png"), videos.join("cover.png")).unwrap();
    let output = lectern().arg("analyze").arg(&videos).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let devices: Vec<_> = minutes(&output).iter().map(|it| it["device"].to_string()).collect();
    assert_eq!(devices, ["\"week_2\"", "\"week_10\""]);
    for left_out in ["videos: 1 files whose names begin with a dot", "videos: 1 pictures beside videos"] {
        assert!(stderr(&output).contains(left_out), "{}", stderr(&output));
    }
    let labels: Vec<PathBuf> = ["--label", "a", "--label", "b"].map(PathBuf::from).into();
    let output = lectern().arg("analyze").args(&labels).arg(&videos).output().unwrap();
    assert_eq!(minutes(&output).iter().map(|it| it["device"].clone()).collect::<Vec<_>>(), ["a", "b"]);
}

/// Of two people one leaves for three seconds: both keep their track numbers.
#[test]
fn track_number_survives_a_short_absence() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("two.mkv");
    let two = "split[a][b];[a][b]hstack,drawbox=x=iw/2:w=iw/2:h=ih:color=gray:t=fill:enable='between(t,3,6)',format=yuv420p";
    let portrait = ["-loop", "1", "-framerate", "4", "-i", "tests/fixtures/portrait.png", "-t", "10"];
    ffmpeg(&[&portrait[..], &["-vf", two, "-c:v", "ffv1"]].concat(), &video);
    let table = folder.path().join("faces.csv");
    let output = lectern()
        .args(["analyze", "--faces", "all", "--faces-csv"])
        .arg(&table)
        .arg(&video)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let middle = 400.0;
    let mut frames = [0, 0];
    for ((x, track), seconds) in
        column(&table, "x").iter().zip(column(&table, "track")).zip(column(&table, "seconds"))
    {
        let is_right = x.parse::<f64>().unwrap() > middle;
        let first = if is_right { "2" } else { "1" };
        // Which of the two is found first does not matter; that it stays does.
        assert!(["1", "2"].contains(&track.as_str()), "{seconds}: {track}");
        frames[usize::from(is_right)] += usize::from(track == first);
    }
    assert!([[20, 13], [0, 0]].contains(&frames), "{frames:?}");
}

#[test]
fn table_of_faces_has_the_share_outside_and_the_blur() {
    let folder = tempfile::tempdir().unwrap();
    let portrait = ["-i", "tests/fixtures/portrait.png", "-frames:v", "1", "-vf"];
    let mean = |name: &str, filter: &str, column_name: &str| {
        let picture = folder.path().join(name);
        ffmpeg(&[&portrait[..], &[filter]].concat(), &picture);
        let table = folder.path().join("faces.csv");
        let output = lectern().args(["analyze", "--faces-csv"]).arg(&table).arg(&picture).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        column(&table, column_name)[0].parse::<f64>().unwrap()
    };
    assert!(mean("whole.png", "null", "outside") < 0.01);
    let (left, width) = (mean("whole.png", "null", "x"), mean("whole.png", "null", "width"));
    let cut = format!("crop=iw-{at}:ih:{at}:0", at = left + 0.2 * width);
    let outside = mean("cut.png", &cut, "outside");
    // The detector guesses how wide a face is that it sees in part.
    assert!((0.1..0.7).contains(&outside), "{outside}");
    let sharp = mean("whole.png", "null", "blur");
    let blurred = mean("blurred.png", "gblur=sigma=6", "blur");
    assert!(blurred > sharp + 0.1, "{sharp} {blurred}");
}
