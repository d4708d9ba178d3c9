//! `lectern eval track` prints the daemon's faces in each frame of a recording.
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

fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = lectern().args(["eval", "track"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bbox(line: &Value) -> [f64; 4] {
    let faces = line["faces"].as_array().unwrap();
    assert_eq!(faces.len(), 1, "{line}");
    assert!(faces[0]["score"].as_f64().unwrap() > 0.9, "{line}");
    serde_json::from_value(faces[0]["box"].clone()).unwrap()
}

#[test]
fn frames_have_time_faces_and_cost() {
    let folder = tempfile::tempdir().unwrap();
    let clip = portrait_video(folder.path(), "lecture.mkv", 3);
    let clip = clip.to_str().unwrap();
    let twice = lines(&[clip]);
    let times: Vec<_> = twice.iter().map(|line| line["t"].as_f64().unwrap()).collect();
    assert_eq!(times, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
    // The portrait stands still: it is searched for once and then followed.
    let searched: Vec<_> = twice.iter().map(|line| line["searched"].as_bool().unwrap()).collect();
    assert_eq!(searched, [true, false, false, false, false, false]);
    for line in &twice {
        let [find, all] = ["find_ms", "cpu_ms"].map(|name| line[name].as_f64().unwrap());
        assert!(find > 0.0 && all > find, "{line}");
        for (now, first) in bbox(line).into_iter().zip(bbox(&twice[0])) {
            assert!((now - first).abs() < 10.0, "{line}");
        }
    }
    assert_eq!(lines(&[clip, "--rate", "4"]).len(), 12);
    assert!(lines(&[clip, "--min-face", "390"]).iter().all(|line| line["faces"] == Value::Array(vec![])));
    assert_eq!(lines(&[clip, "--all"]).len(), 6);
}

/// Boxes are in coordinates of the whole picture, whatever the region.
#[test]
fn boxes_do_not_depend_on_the_region() {
    let folder = tempfile::tempdir().unwrap();
    let clip = portrait_video(folder.path(), "lecture.mkv", 1);
    let clip = clip.to_str().unwrap();
    let whole = bbox(&lines(&[clip])[0]);
    let part = bbox(&lines(&[clip, "--region", "0.1,0.05,0.95,1"])[0]);
    for (a, b) in whole.into_iter().zip(part) {
        assert!((a - b).abs() < 20.0, "{whole:?} {part:?}");
    }
    for (region, printed) in
        [("0.5,0,0.4,1", "must lie within 0 and 1 and not be empty"), ("1,2", "four numbers")]
    {
        let output = lectern().args(["eval", "track", clip, "--region", region]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(printed), "{region}");
    }
}
