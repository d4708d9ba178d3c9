//! A recording counts what it shows: gaps, damaged and falling timestamps, playlists, pictures that are too large, outputs that are
//! inputs.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{column, lectern, number, portrait_video};
use lectern::camera::{CameraError, Capture, FrameSource, Pixels, open_recording};
use lectern::help::Explained;
use serde_json::Value;

fn ffmpeg(arguments: &[&str], output: &Path) {
    let status = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).arg(output).status();
    assert!(status.expect("ffmpeg is installed").success());
}

/// A small video of `seconds`, each frame another picture, each a key frame.
fn clip(folder: &Path, name: &str, rate: &str, seconds: u32) -> PathBuf {
    let path = folder.join(name);
    let input = format!("testsrc=s=64x48:r={rate}:d={seconds}");
    ffmpeg(&["-f", "lavfi", "-i", &input, "-c:v", "mjpeg", "-q:v", "2"], &path);
    path
}

/// The same packets at other times: `pts` is an expression in milliseconds.
fn retimed(from: &Path, name: &str, pts: &str) -> PathBuf {
    let path = from.with_file_name(name);
    let filter = format!("setts=pts='{pts}'");
    ffmpeg(&["-i", from.to_str().unwrap(), "-c", "copy", "-bsf:v", &filter], &path);
    path
}

fn analyze(arguments: &[&Path]) -> Output {
    lectern().arg("analyze").args(arguments).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sum(output: &Output, field: &str) -> u64 {
    lines(output).iter().map(|record| number(record, field)).sum()
}

#[test]
fn pause_is_expected_but_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    // Two seconds, an hour's pause, two seconds.
    let video = retimed(&clip(folder.path(), "whole.mkv", "10", 4), "pause.mkv", "PTS+gte(PTS,2000)*3600000");
    let output = analyze(&[&video]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // The frame before the pause stands for two seconds at most.
    assert_eq!((sum(&output, "frames"), sum(&output, "frames_expected")), (4 + 3 + 4, 7208));
    assert!(
        stderr(&output).contains("pause.mkv: no picture from 0:00:03.5 to 1:00:02.0"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn damaged_timestamp_adds_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let whole = clip(folder.path(), "whole.mkv", "10", 10);
    for jump in ["32768", "8192", "1048576", "-8192", "1e12"] {
        let video = retimed(&whole, "damaged.mkv", &format!("max(0,PTS+eq(N,40)*{jump})"));
        let output = analyze(&[&video]);
        let counted = (sum(&output, "frames"), sum(&output, "frames_expected"));
        assert_eq!(counted, (20, 20), "{jump}: {}", stderr(&output));
    }
}

/// The Matroska file with the times of its clusters, in milliseconds, changed.
fn reclustered(from: &Path, name: &str, change: impl Fn(u16) -> u16) -> PathBuf {
    let mut bytes = std::fs::read(from).unwrap();
    let mut changed = 0;
    for at in 0..bytes.len() - 20 {
        if bytes[at..at + 4] != [0x1f, 0x43, 0xb6, 0x75] {
            continue;
        }
        // The element Timestamp with two bytes, after the cluster's length; of times below 256 ms it has one.
        let time = (at..at + 14).find(|at| bytes[*at..*at + 2] == [0xe7, 0x82]);
        if let Some(at) = time {
            let time = u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]);
            bytes[at + 2..at + 4].copy_from_slice(&change(time).to_be_bytes());
            changed += usize::from(change(time) != time);
        }
    }
    assert!(changed > 0);
    let path = from.with_file_name(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Timestamps that restart are continued, and a stretch that jumps is counted once.
#[test]
fn restarted_and_jumping_times_are_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mkv");
    let input = "testsrc=s=64x48:r=10:d=20";
    ffmpeg(&["-f", "lavfi", "-i", input, "-c:v", "mjpeg", "-cluster_time_limit", "2000"], &whole);
    let anew = reclustered(&whole, "anew.mkv", |ms| if ms >= 10_000 { ms - 10_000 } else { ms });
    let output = analyze(&[&anew]);
    let (frames, expected) = (sum(&output, "frames"), sum(&output, "frames_expected"));
    assert!((39..=41).contains(&frames) && frames == expected, "{frames} of {expected}: {}", stderr(&output));
    // One bit of one time, which moves two seconds by half a minute.
    let jumped =
        reclustered(&whole, "jumped.mkv", |ms| if (9000..11_000).contains(&ms) { ms ^ 0x8000 } else { ms });
    let output = analyze(&[&jumped]);
    let frames = sum(&output, "frames");
    assert!((36..=44).contains(&frames), "{frames}: {}", stderr(&output));
}

/// A jump of many hours counts as damage, and the frames before it are counted.
#[test]
fn jump_of_many_hours_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let whole = clip(folder.path(), "whole.mkv", "10", 4);
    let video = retimed(&whole, "jump.mkv", "PTS+gte(PTS,2000)*28800000");
    let output = analyze(&[&video]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(sum(&output, "frames"), 7, "{}", stderr(&output));
    assert!(stderr(&output).contains("its time jumps by 8.0 hours"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
}

/// The shown pictures of a recording that is sound: their planes.
fn pictures(path: &Path, rate_hz: f64) -> Vec<Vec<u8>> {
    let mut source = open_recording(path, rate_hz, false).unwrap();
    let mut pictures = Vec::new();
    loop {
        match source.next().unwrap() {
            Capture::Frame(frame) => {
                let Pixels::Planes(planes) = frame.pixels() else { panic!("{}: planes", path.display()) };
                pictures.push([planes.luma, planes.colour[0], planes.colour[1]].concat());
            }
            Capture::End => return pictures,
            Capture::Corrupt | Capture::Missing => panic!("{}: no picture", path.display()),
        }
    }
}

#[test]
fn samples_a_recording_as_ffmpeg_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut videos: Vec<_> =
        [("10", "a.mkv"), ("24", "b.avi"), ("30000/1001", "c.mkv"), ("1", "d.mkv"), ("1/4", "e.avi")]
            .iter()
            .map(|(rate, name)| clip(folder.path(), name, rate, 12))
            .collect();
    // A camera whose frames come as they like.
    videos.push(retimed(&videos[2], "f.mkv", "PTS+mod(N*7919,29)-14*gt(N,0)"));
    for video in videos {
        for rate_hz in [0.3, 1.0, 2.0, 3.0, 30.0] {
            // The last frame at or before a tick, of times that were rounded to milliseconds.
            let filter = format!(
                "settb=1/1000000,setpts=PTS-499,fps={rate_hz}:round=up:start_time=0,scale=out_range=tv"
            );
            let raw = folder.path().join("raw");
            ffmpeg(
                &["-i", video.to_str().unwrap(), "-vf", &filter, "-f", "rawvideo", "-pix_fmt", "yuv420p"],
                &raw,
            );
            let expected: Vec<_> =
                std::fs::read(&raw).unwrap().chunks(64 * 48 * 3 / 2).map(<[u8]>::to_vec).collect();
            let found = pictures(&video, rate_hz);
            let same = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
            assert_eq!(
                (found.len(), same),
                (expected.len(), expected.len()),
                "{} at {rate_hz} Hz",
                video.display()
            );
        }
    }
}

#[test]
fn loop_continues_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let video = clip(folder.path(), "short.mkv", "10", 3);
    let mut source = open_recording(&video, 2.0, true).unwrap();
    let shown: Vec<_> = (0..20).map(|_| source.next().unwrap()).collect();
    assert!(shown.iter().all(|shown| matches!(shown, Capture::Frame(_))));
}

#[test]
fn formats_that_name_other_files_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let video = clip(folder.path(), "secret.ts", "10", 2);
    let lists = [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n#EXT-X-ENDLIST\n".to_owned()),
        ("list.ffconcat", format!("ffconcat version 1.0\nfile '{}'\n", video.file_name().unwrap().display())),
    ];
    for (name, text) in lists {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let output = analyze(&[&path]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{name}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("is a playlist, a list of files")
                && stderr(&output).contains("convert it first")
        );
        assert_eq!(stderr(&output).lines().count(), 1);
    }
}

#[test]
fn recording_without_readable_picture_fails() {
    let folder = tempfile::tempdir().unwrap();
    let stills = folder.path().join("stills");
    std::fs::create_dir(&stills).unwrap();
    std::fs::write(stills.join("0.jpg"), "no picture").unwrap();
    let empty = folder.path().join("empty.y4m");
    std::fs::write(&empty, "YUV4MPEG2 W2 H2 F4:1 Cmono\n").unwrap();
    for path in [stills.clone(), stills.join("0.jpg"), empty] {
        let output = analyze(&[&path]);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        let expected = format!("{}: not one picture of it could be read", path.display());
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    }
}

#[test]
fn single_picture_is_a_recording() {
    let output = analyze(&[Path::new("assets/portrait.jpg")]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((sum(&output, "frames"), sum(&output, "frames_expected"), sum(&output, "faces")), (1, 1, 1));
}

/// A PNG's signature and header, which claim so many pixels.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes().into_iter().chain(height.to_be_bytes()).chain([8, 2, 0, 0, 0]));
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&header);
    bytes.extend(crc32fast::hash(&header).to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
    bytes
}

/// The portrait, whose header claims so many pixels.
fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = std::fs::read("assets/portrait.jpg").unwrap();
    let frame = bytes.windows(2).position(|marker| matches!(marker, [0xff, 0xc0..=0xc2])).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

/// A picture whose header claims too many pixels is rejected before memory is allocated.
#[test]
fn oversized_picture_is_rejected_unallocated() {
    let folder = tempfile::tempdir().unwrap();
    let y4m = b"YUV4MPEG2 W20000 H20000 F25:1\nFRAME\n".to_vec();
    for (name, bytes) in [("a.png", png(20_000, 20_000)), ("b.jpg", jpeg(16_384, 16_384)), ("c.y4m", y4m)] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for command in [&["eval", "detect"][..], &["analyze"]] {
            if name == "c.y4m" && command[0] == "eval" {
                continue;
            }
            // 400 MB of addresses are enough to say so.
            let script = "ulimit -v 400000 && exec \"$@\"";
            let program = lectern();
            let output = Command::new("bash")
                .args(["-c", script, "bash"])
                .arg(program.get_program())
                .args(command)
                .arg(&path)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
            assert!(
                stderr(&output).contains("at most 8192 x 4096 are read; scale it down first"),
                "{}",
                stderr(&output)
            );
        }
    }
    let large = folder.path().join("large.mkv");
    ffmpeg(&["-f", "lavfi", "-i", "color=s=8320x4160:r=1:d=1", "-c:v", "mjpeg"], &large);
    let output = analyze(&[&large]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is 8320 x 4160 pixels, and at most"), "{}", stderr(&output));
}

#[test]
fn outputs_never_overwrite_inputs_or_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let video = portrait_video(folder.path(), "lec1.mkv", 1);
    let stills = path("stills");
    std::fs::create_dir(&stills).unwrap();
    std::fs::copy("tests/fixtures/portrait.png", stills.join("0.png")).unwrap();
    symlink(&video, path("link.csv")).unwrap();
    std::fs::hard_link(&video, path("hard.csv")).unwrap();
    symlink(path("new.csv"), path("dangling.csv")).unwrap();
    std::fs::write(path("old.csv"), "old").unwrap();
    let before = std::fs::read(&video).unwrap();
    let given = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|a| if a.starts_with('-') { PathBuf::from(a) } else { path(a) });
        lectern().arg("analyze").args(arguments).output().unwrap()
    };
    for (arguments, problem) in [
        (&["--csv", "lec1.mkv", "stills", "lec1.mkv"][..], "would overwrite the input"),
        (&["--chart", "link.csv", "lec1.mkv"], "would overwrite the input"),
        (&["--frames-csv", "hard.csv", "lec1.mkv"], "would overwrite the input"),
        (&["--csv", "stills/0.png", "stills"], "would overwrite the input"),
        (&["--chart", "stills/1.png", "stills"], "would overwrite the input"),
        (&["--csv", "old.csv", "--classifier", "old.csv", "stills"], "would overwrite the input"),
        (&["--csv", "new.csv", "--chart", "dangling.csv", "lec1.mkv"], "is the same file as --csv"),
        (&["--csv", "old.csv", "--frames-csv", "stills/../old.csv", "lec1.mkv"], "is the same file as --csv"),
        (&["--csv", "stills", "lec1.mkv"], "is a folder"),
    ] {
        let output = given(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(problem), "{arguments:?}: {}", stderr(&output));
        assert_eq!((stderr(&output).lines().count(), output.stdout.len()), (1, 0));
    }
    assert_eq!(std::fs::read(&video).unwrap(), before);
    assert_eq!(std::fs::read(path("old.csv")).unwrap(), b"old");
    assert!(!path("new.csv").exists());
    // What is no file takes anything, twice too.
    let output = lectern()
        .args(["analyze", "--csv", "/dev/null", "--frames-csv", "/dev/null", "--chart", "/dev/null"])
        .arg(&video)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    // Standard input is an input by whatever name.
    let stream = portrait_video(folder.path(), "lec.y4m", 1);
    let output = lectern()
        .args(["analyze", "-", "--csv"])
        .arg(&stream)
        .stdin(std::fs::File::open(&stream).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn window_without_frames_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "clip.mkv", "5", 1);
    let output = analyze(&["--rate".as_ref(), "0.1".as_ref(), "--window".as_ref(), "5".as_ref(), &clip]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--rate 0.1 gives no frame in --window 5"), "{}", stderr(&output));
}

/// Windows that hold no whole number of frames stay in step with the recording.
#[test]
fn fractional_frames_keep_the_recording_time() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "clip.mkv", "10", 60);
    for (rate, window, windows) in [("2.5", "1", 60), ("0.3", "5", 12), ("0.142857", "60", 1)] {
        let table = folder.path().join("frames.csv");
        let options = ["--rate", rate, "--window", window, "--frames-csv"].map(Path::new);
        let output = analyze(&[&options[..], &[&table, &clip]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let (frames, hz) = (sum(&output, "frames"), rate.parse::<f64>().unwrap());
        assert_eq!((frames, lines(&output).len()), (sum(&output, "frames_expected"), windows), "{rate}");
        // The picture that a frame shows is that many periods from the start.
        let rows = column(&table, "seconds");
        for (number, seconds) in (0_u32..).zip(&rows) {
            let seconds: f64 = seconds.parse().unwrap();
            assert!((seconds - f64::from(number) / hz).abs() < 0.002, "{rate}: frame {number} at {seconds}");
        }
        assert!((f64::from(u32::try_from(rows.len()).unwrap()) / hz - 60.0).abs() < 1.0 / hz, "{rate}");
    }
}

#[test]
fn closed_stderr_does_not_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (good, missing) = (clip(folder.path(), "good.mkv", "5", 1), folder.path().join("missing.mkv"));
    let table = folder.path().join("minutes.csv");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut analyze = lectern();
    analyze.args([
        "analyze".as_ref(),
        good.as_os_str(),
        missing.as_os_str(),
        "--csv".as_ref(),
        table.as_os_str(),
    ]);
    let code = analyze
        .stdout(std::process::Stdio::null())
        .stderr(writer.try_clone().unwrap())
        .status()
        .unwrap()
        .code();
    assert_eq!((code, table.is_file()), (Some(1), true));
    let mut run = lectern();
    run.args(["run", "--config", "/nowhere/lectern.toml"]);
    assert_eq!(run.stderr(writer).status().unwrap().code(), Some(2));
}

#[test]
fn silent_live_source_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("camera.y4m");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // No writer.
    assert!(matches!(open_recording(&pipe, 2.0, true), Err(CameraError::Lost { .. })));
    let mut live = lectern::camera::LoopedRecording::new(&pipe, 2.0);
    assert!(matches!(live.next(), Err(CameraError::Lost { .. })));
    // A writer begins a frame, and stalls.
    let mut writer = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let stream = b"YUV4MPEG2 W2 H2 F2:1 Cmono\nFRAME\nabcdFRAME\nab";
    std::io::Write::write_all(&mut writer, stream).unwrap();
    live.reopen().unwrap();
    assert!(matches!(live.next(), Ok(Capture::Frame(_))));
    let error = live.next().err().unwrap();
    let error = Explained(&error).to_string();
    assert!(error.contains("none for 4 s; see whether what writes it still runs"), "{error}");
    std::io::Write::write_all(&mut writer, stream).unwrap();
    live.reopen().unwrap();
    assert!(matches!(live.next(), Ok(Capture::Frame(_))));
    // A byte now and then ends that frame, and is too slow for the next one.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let trickle = std::thread::spawn(move || {
        while stopped.recv_timeout(std::time::Duration::from_millis(500)).is_err() {
            std::io::Write::write_all(&mut writer, b"F").unwrap();
        }
    });
    assert!(matches!(live.next(), Ok(Capture::Frame(_))));
    assert!(matches!(live.next(), Err(CameraError::Lost { .. })));
    stop.send(()).unwrap();
    trickle.join().unwrap();
}
