//! `lectern analyze` on recordings: sound, long, damaged and missing ones.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{check_minute, data, lectern, number, portrait_video, schema};
use serde_json::Value;

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn recording_ends_with_a_partial_minute() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "Lecture 1.mkv", 75);
    let [minutes, frames, chart] =
        ["minutes.csv", "frames.csv", "chart.svg"].map(|name| folder.path().join(name));
    let output = lectern()
        .args(["analyze", "--start", "2026-11-23T10:15:30Z", "--rate", "1", "--csv"])
        .arg(&minutes)
        .arg("--frames-csv")
        .arg(&frames)
        .arg("--chart")
        .arg(&chart)
        .arg(&video)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let records = lines(&output);
    assert_eq!(records.len(), 2);
    let schema = schema();
    for record in &records {
        assert!(schema.is_valid(record), "{record}");
        check_minute(record);
        assert_eq!(record["device"], "Lecture_1");
        assert_eq!(number(record, "no_face"), 0);
    }
    assert_eq!(
        (records[0]["start"].as_str(), &records[0]["partial"]),
        (Some("2026-11-23T10:15:30Z"), &false.into())
    );
    assert_eq!(
        (records[1]["start"].as_str(), &records[1]["partial"]),
        (Some("2026-11-23T10:16:30Z"), &true.into())
    );
    assert_eq!((number(&records[0], "frames"), number(&records[1], "frames")), (60, 15));
    assert_eq!((number(&records[1], "seconds"), number(&records[1], "frames_expected")), (15, 15));

    let svg = std::fs::read_to_string(&chart).unwrap();
    let seen: u64 = records.iter().map(|record| number(record, "faces")).sum();
    for text in ["Lecture 1", &format!("n = {seen}"), "Shares of 7 kinds", "happy strong"] {
        assert!(svg.contains(text), "{text}");
    }

    let mut table = csv::Reader::from_path(&minutes).unwrap();
    let header = table.headers().unwrap().clone();
    for (row, record) in table.records().zip(&records) {
        let row = row.unwrap();
        let cell = |name: &str| &row[header.iter().position(|column| column == name).unwrap()];
        assert_eq!((cell("label"), cell("source")), ("Lecture 1", video.to_str().unwrap()));
        assert!(cell("settings").contains("min_confidence=0.4; min_face_px=24; rate=1.0"), "{row:?}");
        for (name, value) in header.iter().zip(&row) {
            if ["label", "source", "settings"].contains(&name) {
                continue;
            }
            let expected = &record[name];
            assert_eq!(
                value,
                expected.as_str().map_or_else(|| expected.to_string(), str::to_owned),
                "{name}"
            );
        }
    }
    let mut table = csv::Reader::from_path(&frames).unwrap();
    assert_eq!(
        table.headers().unwrap(),
        vec!["device", "boot", "label", "source", "seconds", "picture_seconds", "expression"]
    );
    let times: Vec<String> = table.records().map(|row| row.unwrap()[4].to_owned()).collect();
    assert_eq!((times.len(), times[0].as_str(), times[74].as_str()), (75, "0.000", "74.000"));
}

/// The same recording gives the same bytes.
#[test]
fn analysis_is_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 4);
    let run = || lectern().arg("analyze").arg(&video).output().unwrap().stdout;
    assert_eq!(run(), run());
}

#[test]
fn stills_and_streams_are_recordings() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..3 {
        std::fs::copy("tests/fixtures/portrait.png", folder.path().join(format!("{i}.png"))).unwrap();
    }
    std::fs::write(folder.path().join("3.jpg"), "no picture").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not looked at").unwrap();
    let output = lectern().args(["analyze", "--label", "stills"]).arg(folder.path()).output().unwrap();
    let record = &lines(&output)[0];
    assert_eq!(
        (number(record, "frames"), number(record, "corrupt"), number(record, "frames_expected")),
        (3, 1, 4)
    );
    assert!(stderr(&output).contains("3.jpg: is no readable picture"), "{}", stderr(&output));

    let video = portrait_video(folder.path(), "lecture.mkv", 3);
    let stream = std::fs::File::open(portrait_video(folder.path(), "lecture.y4m", 3)).unwrap();
    let output = lectern().args(["analyze", "-"]).stdin(stream).output().unwrap();
    let from_stream = &lines(&output)[0];
    assert_eq!((from_stream["device"].as_str(), number(from_stream, "frames")), (Some("recording"), 6));
    let whole = lectern().arg("analyze").arg(&video).output().unwrap();
    assert_eq!(number(&lines(&whole)[0], "frames"), 6);
}

/// Faces smaller than the minimum or outside the region are not counted.
#[test]
fn searches_only_requested_faces() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 2);
    let analyze = |options: &[&str]| lectern().arg("analyze").args(options).arg(&video).output().unwrap();
    for (options, no_face) in [
        (&[][..], 0),
        (&["--min-face", "150"], 0),
        (&["--min-face", "390"], 4),
        (&["--region", "[0.1, 0.05, 0.95, 1]"], 0),
        (&["--region", "0,0,0.2,0.2"], 4),
    ] {
        let output = analyze(options);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(number(&lines(&output)[0], "no_face"), no_face, "{options:?}");
    }
    for options in [["--min-face", "0"], ["--region", "0,0,1"], ["--region", "0.5,0,0.5,1"]] {
        assert_eq!(analyze(&options).status.code(), Some(2), "{options:?}");
    }
}

/// An upside-down recording shows no face and a hint explains why; with `--rotate` it gives the upright counts.
#[test]
fn turned_recording_prints_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let upright = portrait_video(folder.path(), "upright.mkv", 12);
    let turned = folder.path().join("turned.mkv");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&upright)
        .args(["-vf", "hflip,vflip", "-c:v", "ffv1"])
        .arg(&turned)
        .status();
    assert!(status.unwrap().success());
    let counts = |path: &Path, rotate: &str| {
        let output = lectern().arg("analyze").arg(path).args(["--rotate", rotate]).output().unwrap();
        let [frames, no_face] = ["frames", "no_face"].map(|name| lines(&output)[0][name].as_u64().unwrap());
        (frames, no_face, stderr(&output))
    };
    let (frames, no_face, hint) = counts(&turned, "0");
    assert_eq!((frames, no_face), (24, 24), "{hint}");
    assert!(hint.contains("try --rotate 180"), "{hint}");
    let (_, missed, _) = counts(&upright, "0");
    assert_eq!(counts(&turned, "180").1, missed);
}

/// The minimum face size in pixels does not depend on the size of the picture.
#[test]
fn counts_a_distant_lecturer() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("lecture.mkv");
    // A face of some 28 pixels that does not move: it is found within ten seconds.
    let room = "scale=100:-1,pad=1920:1080:1200:500:color=0x808080,noise=alls=6:allf=t";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-loop", "1", "-framerate", "2", "-i", "tests/fixtures/portrait.png"])
        .args(["-t", "12", "-vf", room, "-pix_fmt", "yuv420p"])
        .arg(&video)
        .status()
        .unwrap();
    assert!(made.success());
    let output = lectern().args(["analyze", "--min-face", "24"]).arg(&video).output().unwrap();
    let record = &lines(&output)[0];
    assert_eq!(number(record, "frames"), 24);
    assert!(number(record, "faces") >= 4, "{record}");
    let output = lectern().args(["analyze", "--min-face", "60"]).arg(&video).output().unwrap();
    assert_eq!(number(&lines(&output)[0], "no_face"), 24);
}

/// Cuts a file to a part of its length.
fn cut(path: &Path, part: f64) {
    let length = std::fs::metadata(path).unwrap().len();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small file"
    )]
    let kept = (length as f64 * part) as u64;
    std::fs::File::options().write(true).open(path).unwrap().set_len(kept).unwrap();
}

#[test]
fn truncated_recording_is_counted_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cut.mkv", "cut.y4m"] {
        let video = portrait_video(folder.path(), name, 10);
        cut(&video, 0.6);
        let good = portrait_video(folder.path(), "good.mkv", 2);
        let output = lectern().arg("analyze").args([&video, &good]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let records = lines(&output);
        assert_eq!(records.len(), 2, "{name}: the other recording is analysed all the same");
        assert!(number(&records[0], "frames") > 2, "{name}");
        assert_eq!(records[0]["partial"], true);
        let stderr = stderr(&output);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(name) && stderr.contains("what could be read is counted"), "{stderr}");
    }
}

#[test]
fn invalid_recording_is_named_with_a_fix() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("lecture.mp4");
    std::fs::write(&text, "not a video").unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let cases = [
        (text, "holds no video that ffmpeg can read"),
        (folder.path().join("missing.mkv"), "cannot be read: No such file"),
        (empty, "holds no .jpg, .jpeg or .png file"),
    ];
    for (path, problem) in cases {
        let output = lectern().arg("analyze").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = stderr(&output);
        assert!(
            stderr.starts_with(&format!("lectern: {}: ", path.display())) && stderr.contains(problem),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// Without ffmpeg the error asks to install it.
#[test]
fn missing_ffmpeg_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 1);
    let output = lectern().env("PATH", folder.path()).arg("analyze").arg(&video).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("install ffmpeg"), "{}", stderr(&output));
}

#[test]
#[ignore = "needs the data folder: LECTERN_DATA"]
fn counts_the_person_in_the_clips() {
    let clips = std::fs::read_dir(data("clips")).unwrap().map(|entry| entry.unwrap().path());
    let clips: Vec<_> = clips.filter(|path| path.extension().is_some_and(|e| e == "mkv")).collect();
    let output = lectern().arg("analyze").args(&clips).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let records = lines(&output);
    let sum = |field| records.iter().map(|record| number(record, field)).sum::<u64>();
    let (frames, seen) = (sum("frames"), sum("faces") + sum("uncertain"));
    assert_eq!(records.len(), clips.len());
    assert!(seen * 100 >= frames * 95, "{seen} of {frames}");
}
