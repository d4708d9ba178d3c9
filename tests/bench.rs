//! `lectern bench` measures the cost of a frame.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{lectern, portrait_video};
use serde_json::Value;

fn report(arguments: &[&str]) -> Value {
    let output = lectern().args(["bench", "--json"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn measures_each_stage_of_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    let clip = portrait_video(folder.path(), "lecture.mkv", 3);
    let report = report(&["--clip", clip.to_str().unwrap()]);
    assert_eq!(report["clip"], clip.to_str().unwrap());
    assert_eq!((&report["frames"], &report["found"]), (&6.into(), &6.into()));
    let number = |value: &Value| value.as_f64().unwrap();
    let stages =
        ["decode_ms", "find_ms", "align_ms", "classify_ms"].map(|name| number(&report["stages"][name]));
    assert!(stages.iter().all(|ms| *ms > 0.0), "{report}");
    let frame = number(&report["frame_ms"]);
    assert!((stages.iter().sum::<f64>() - frame).abs() < 1e-6, "{report}");
    assert!(number(&report["worst_ms"]) >= frame, "{report}");
    assert!((number(&report["rate_hz"]) * frame - 1000.0).abs() < 1e-3, "{report}");
    assert!(number(&report["peak_rss_mb"]) > 1.0, "{report}");
}

#[test]
fn measures_the_synthetic_lecture_by_default() {
    let report = report(&[]);
    assert_eq!((&report["clip"], &report["frames"]), (&"staged".into(), &120.into()));
    // The staged lecturer is away for ten seconds of the minute.
    assert!((95..=100).contains(&report["found"].as_u64().unwrap()), "{report}");
    let output = lectern().arg("bench").output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    for word in ["decode", "find", "align", "classify", "frames a second", "peak memory"] {
        assert!(table.contains(word), "{table}");
    }
}

#[test]
fn applies_region_and_face_options() {
    let folder = tempfile::tempdir().unwrap();
    let clip = portrait_video(folder.path(), "lecture.mkv", 2);
    let found =
        |options: &[&str]| report(&[&["--clip", clip.to_str().unwrap()], options].concat())["found"].clone();
    assert_eq!(found(&["--min-face", "150", "--region", "0.1,0.05,0.95,1"]), 4);
    assert_eq!(found(&["--min-face", "390"]), 0);
    assert_eq!(found(&["--region", "0,0,0.2,0.2"]), 0);
}

#[test]
fn missing_clip_is_named() {
    let output = lectern().args(["bench", "--clip", "nowhere.mkv"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.mkv"));
}
