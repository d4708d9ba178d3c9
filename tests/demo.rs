//! `lectern demo`: from real pixels to a subscriber.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
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

    // The documents show both payloads as they are: a minute, then a status.
    for document in ["docs/mqtt.md", "docs/privacy.md"] {
        let text = std::fs::read_to_string(document).unwrap();
        let shown = text.split("```json\n").skip(1).map(|text| text.split("```").next().unwrap());
        let shown: Vec<Value> = shown.take(2).map(|json| serde_json::from_str(json).unwrap()).collect();
        assert_eq!(shown.len(), 2, "{document}");
        for (shown, printed) in shown.iter().zip([minutes[0], &lines[0]]) {
            assert!(schema.is_valid(shown), "{document}: {shown}");
            let (shown, printed) = (shown.as_object().unwrap(), printed.as_object().unwrap());
            assert!(shown.keys().eq(printed.keys()), "{document} shows {shown:?}");
        }
    }
}
