//! The picture of a tick is the one that a player shows then, and its time is that of a clock which is drawn into it.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{column, lectern, portrait_video};
use lectern::camera::{Capture, Pixels, open_recording};

/// Bits of the drawn clock, each 8 pixels wide.
const BITS: usize = 28;

/// Draws the time of each frame in milliseconds.
const CLOCK: &str =
    "format=yuv420p,geq=lum='16+220*mod(floor(round(T*1000)/pow(2,floor(X/8))),2)':cb=128:cr=128";

fn ffmpeg(folder: &Path, arguments: &str, output: &str) -> PathBuf {
    let output = folder.join(output);
    let mut command = Command::new("ffmpeg");
    command.current_dir(folder).args(["-v", "error", "-y"]);
    // No argument of these tests has a space in it.
    let status = command.args(arguments.split_ascii_whitespace()).arg(&output).status();
    assert!(status.expect("ffmpeg is installed").success(), "{arguments}");
    output
}

/// A recording of a drawn clock: the filters before and after it, and ffmpeg's other arguments.
fn clock(folder: &Path, rate: &str, before: &str, after: &str, more: &str, output: &str) -> PathBuf {
    let filters = format!("{before}{CLOCK}{after}");
    let arguments =
        format!("-f lavfi -i color=s=224x32:r={rate}:d=6 -vf {filters} -fps_mode passthrough {more}");
    ffmpeg(folder, &arguments, output)
}

/// The same with a tone in a second stream.
fn clock_and_tone(folder: &Path, before: &str, more: &str, output: &str) -> PathBuf {
    let inputs = "-f lavfi -i sine=d=12 -f lavfi -i color=s=224x32:r=25:d=6 -map 0 -map 1";
    let arguments = format!("{inputs} -vf {before}{CLOCK} -fps_mode passthrough {more}");
    ffmpeg(folder, &arguments, output)
}

/// Ticks with a picture, the picture's own time, and what its clock shows; in seconds.
fn times(video: &Path, rate_hz: f64) -> Vec<(f64, f64, f64)> {
    let mut source = open_recording(video, rate_hz, false).unwrap();
    let mut times = Vec::new();
    for number in 0_u32.. {
        let tick = f64::from(number) / rate_hz;
        match source.next().unwrap_or_else(|e| panic!("{}: {e}", video.display())) {
            Capture::Frame(frame) => {
                let Pixels::Planes(planes) = frame.pixels() else { panic!("planes") };
                let row = &planes.luma[16 * frame.width()..];
                let ms = (0..BITS).filter(|bit| row[8 * bit + 4] > 128).map(|bit| 1_u32 << bit).sum::<u32>();
                times.push((tick, tick - source.age().as_secs_f64(), f64::from(ms) / 1000.0));
            }
            Capture::Missing => {}
            Capture::Corrupt => panic!("{}: corrupt", video.display()),
            Capture::End => break,
        }
    }
    assert!(!times.is_empty(), "{}: no picture", video.display());
    times
}

/// Each picture's time is its clock's, but for `cut` seconds that are not shown; it is at or before its tick, and the next picture,
/// at most `interval` seconds later, after it.
fn check(video: &Path, rate_hz: f64, cut: f64, interval: f64) -> Vec<f64> {
    let found = times(video, rate_hz);
    for (tick, picture, clock) in &found {
        let shown = (tick, picture, clock);
        assert!((picture + cut - clock).abs() <= 0.001, "{}: {shown:?}", video.display());
        let age = tick + cut - clock;
        assert!((-0.0006..interval).contains(&age), "{} at {rate_hz} Hz: {shown:?}", video.display());
    }
    found.iter().map(|(tick, ..)| *tick).collect()
}

#[test]
fn picture_times_match_the_drawn_clock() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let x264 = "-c:v libx264 -crf 12 -g 25";
    let steady = clock(folder, "25", "", "", x264, "steady.mp4");
    for (video, cut, interval) in [
        (clock(folder, "30000/1001", "", "", x264, "ntsc.mkv"), 0.0, 0.035),
        (clock(folder, "24", "", "", "-c:v mjpeg -q:v 2", "film.avi"), 0.0, 0.043),
        (clock(folder, "25", "", "", "-f mpegts -c:v libx264 -crf 12", "b_frames.ts"), 0.0, 0.041),
        (clock_and_tone(folder, "", &format!("{x264} -c:a aac"), "tone.mkv"), 0.0, 0.041),
        (clock_and_tone(folder, "", &format!("{x264} -c:a aac"), "tone.ts"), 0.0, 0.041),
        // A camera that drops frames in the dark: up to twelve of thirteen.
        (
            clock(folder, "25", "", ",select='not(mod(n,13))+gt(mod(n,17),11)'", x264, "variable.mp4"),
            0.0,
            0.53,
        ),
        (clock(folder, "25", "", "", "-pix_fmt yuv420p", "steady.y4m"), 0.0, 0.041),
        // An edit list: decoding starts before what is shown.
        (ffmpeg(folder, "-ss 1.3 -i steady.mp4 -c copy", "edit.mp4"), 1.32, 0.041),
        // Negative times, which an edit list cuts off. Those of the tone above are its encoder's.
        (
            ffmpeg(
                folder,
                "-i steady.mp4 -c copy -avoid_negative_ts disabled -output_ts_offset -2",
                "negative.mov",
            ),
            2.0,
            0.041,
        ),
        (steady.clone(), 0.0, 0.041),
    ] {
        for rate_hz in [0.7, 2.0, 3.0] {
            let ticks = check(&video, rate_hz, cut, interval);
            assert!(ticks[0] <= 0.0, "{}: {ticks:?}", video.display());
        }
    }
    // At the recording's own rate each picture is shown once.
    let matroska = clock(folder, "30", "", "", x264, "thirty.mkv");
    let found = times(&matroska, 30.0);
    assert!(found.windows(2).all(|pair| pair[1].2 > pair[0].2) && found.len() == 180, "{}", found.len());
}

#[test]
fn late_video_stream_keeps_its_offset() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The recording starts with the delay of the audio encoder where the container does not cut it off: 481 samples of MP2.
    for (more, delay, name) in [
        ("-c:v libx264 -crf 12 -c:a pcm_s16le", 0.0, "late.mkv"),
        ("-c:v libx264 -crf 12 -c:a aac", 0.0, "late.mp4"),
        ("-c:v libx264 -crf 12 -c:a mp2", 481.0 / 44_100.0, "late.ts"),
    ] {
        let video = clock_and_tone(folder, "setpts=PTS+4.2/TB,", more, name);
        let ticks = check(&video, 2.0, -delay, 0.041);
        assert!((ticks[0] - 4.5).abs() < 1e-9 && ticks.len() == 12, "{name}: {ticks:?}");
    }
    // The table of frames begins there, too.
    let portrait = portrait_video(folder, "portrait.mkv", 3);
    let portrait = portrait.to_str().unwrap();
    let late = ffmpeg(
        folder,
        &format!(
            "-f lavfi -i sine=d=12 -itsoffset 6.28 -i {portrait} -map 0 -map 1 -c:v copy -c:a pcm_s16le"
        ),
        "late_portrait.mkv",
    );
    let table = folder.join("frames.csv");
    let output = lectern().args(["analyze", "--frames-csv"]).args([&table, &late]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && printed.contains("no picture from 0:00:00.0 to 0:00:06.5"),
        "{printed}"
    );
    assert_eq!(column(&table, "seconds"), ["6.500", "7.000", "7.500", "8.000", "8.500", "9.000"]);
    let pictures = ["6.480", "6.980", "7.480", "7.980", "8.480", "8.980"];
    assert_eq!(column(&table, "picture_seconds"), pictures);
}

#[test]
fn time_lapse_is_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    for (seconds, more, name) in [
        (30, "-c:v libx264 -crf 12", "half.mp4"),
        (60, "-c:v mjpeg -q:v 2", "minute.mkv"),
        (60, "-c:v mjpeg -q:v 2", "minute.avi"),
    ] {
        // Eight hours, more than the pauses of a recording may be.
        let input = format!("-f lavfi -i color=s=224x32:r=1/{seconds}:d=28800 -vf {CLOCK} {more}");
        let video = ffmpeg(folder.path(), &input, name);
        let ticks = check(&video, 0.1, 0.0, f64::from(seconds) + 0.01);
        assert_eq!(ticks.len(), 2880, "{name}");
    }
}

#[test]
fn backward_times_keep_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let whole = clock(folder, "25", "", "", "-c:v mjpeg -q:v 2", "whole.mkv");
    // Two frames in the wrong order now and then, and one whose time was damaged.
    for (pts, name) in [
        ("PTS+80*eq(mod(N,20),5)-80*eq(mod(N,20),6)", "swapped.mkv"),
        ("max(0,PTS+eq(N,71)*32768)", "damaged.mkv"),
    ] {
        let bitstream = format!("-i {} -c copy -bsf:v setts=pts='{pts}'", whole.display());
        let video = ffmpeg(folder, &bitstream, name);
        let found = times(&video, 2.0);
        let right = found.iter().filter(|(_, picture, clock)| (picture - clock).abs() <= 0.081).count();
        assert_eq!((found.len(), right), (12, 12), "{name}: {found:?}");
    }
}
