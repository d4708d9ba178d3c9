//! `lectern demo`: from real pixels to a subscriber.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(feature = "demo")]

mod common;

use common::{check_minute, lectern, number, schema};
use serde_json::Value;

#[test]
fn a_minute_of_the_demo_arrives_as_the_schema_says() {
    let output = lectern().args(["demo", "--minutes", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let schema = schema();
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert!(schema.is_valid(line), "{line}");
    }
    let minutes: Vec<_> = lines.iter().filter(|line| line.get("seq").is_some()).collect();
    assert_eq!(minutes.len(), 1);
    check_minute(minutes[0]);
    assert_eq!((number(minutes[0], "frames"), number(minutes[0], "frames_expected")), (120, 120));
    // The staged lecturer is away for ten seconds of each minute.
    assert!((20..30).contains(&number(minutes[0], "no_face")), "{}", minutes[0]);
    assert!(number(minutes[0], "faces") > 0);
    assert_eq!(lines.last().unwrap()["state"], "offline");
}
