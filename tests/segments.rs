//! `lectern analyze --segments`: counts of slides, tasks and chapters beside the minutes.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;

use common::{column, lectern, portrait_video};

#[test]
fn each_segment_is_counted_beside_the_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    portrait_video(folder.path(), "a.mkv", 6);
    portrait_video(folder.path(), "b.mkv", 2);
    let rows = "a.mkv,Slide 1,0,2\na.mkv,=Task,0:01,0:00:04.5\nb.mkv,Slide 1,0,1\na.mkv,Later,60,90\n";
    fs::write(path("slides.csv"), format!("source,name,start,end\n{rows}")).unwrap();
    let tables = ["--csv", "minutes.csv", "--segments", "slides.csv", "--segments-csv", "segments.csv"];
    let run = |more: &[&str]| {
        lectern()
            .args(["analyze", "a.mkv", "b.mkv"])
            .args(tables)
            .args(more)
            .current_dir(&folder)
            .output()
            .unwrap()
    };
    let output = run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let column = |name: &str| column(&path("segments.csv"), name);
    assert_eq!(column("segment"), ["Slide 1", "'=Task", "Later", "Slide 1"]);
    assert_eq!(column("segment_start"), ["0.000", "1.000", "60.000", "0.000"]);
    assert_eq!(column("seconds"), ["2", "4", "0", "1"], "of the time that the recording has");
    assert_eq!(column("frames_expected"), ["4", "7", "0", "2"]);
    assert_eq!(column("frames"), ["4", "7", "0", "2"]);
    assert_eq!(column("source"), ["a.mkv", "a.mkv", "a.mkv", "b.mkv"]);
    // All of a segment's frames are counted as those of its minute are.
    let faces = |at: usize| {
        column("faces")[at].parse::<u32>().unwrap() + column("uncertain")[at].parse::<u32>().unwrap()
    };
    assert_eq!((faces(0), faces(1)), (4, 7));
    let before = fs::read(path("segments.csv")).unwrap();
    assert!(run(&["--jobs", "1"]).status.success());
    assert_eq!(fs::read(path("segments.csv")).unwrap(), before);

    fs::write(path("slides.csv"), "source,name,start,end\nc.mkv,x,0,1\n").unwrap();
    let output = run(&[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && error.contains("`c.mkv` is none of the recordings"),
        "{error}"
    );
}
