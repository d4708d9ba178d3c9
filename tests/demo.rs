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

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use common::{check_minute, lectern, number, schema};
use rumqttc::{Client, MqttOptions, QoS};
use serde_json::Value;

#[test]
fn demo_minute_is_valid_under_the_schema() {
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
    // Its expression changes.
    let kinds = lectern::expression::Expression::ALL.map(|kind| number(minutes[0], kind.name()));
    assert!(kinds.iter().filter(|count| **count > 0).count() >= 4, "{}", minutes[0]);
    assert_eq!(lines.last().unwrap()["state"], "offline");

    // The document shows both payloads as they are: a minute, then a status.
    let text = std::fs::read_to_string("docs/mqtt.md").unwrap();
    let shown = text.split("```json\n").skip(1).map(|text| text.split("```").next().unwrap());
    let shown: Vec<Value> = shown.take(2).map(|json| serde_json::from_str(json).unwrap()).collect();
    assert_eq!(shown.len(), 2);
    for (shown, printed) in shown.iter().zip([minutes[0], &lines[0]]) {
        assert!(schema.is_valid(shown), "{shown}");
        let (shown, printed) = (shown.as_object().unwrap(), printed.as_object().unwrap());
        assert!(shown.keys().eq(printed.keys()), "{shown:?}");
    }
}

/// The output of `lectern demo` on a terminal, which `script` provides.
fn on_a_terminal(arguments: &str, no_colour: &str) -> String {
    let program = assert_cmd::cargo::cargo_bin!("lectern").display();
    let output = Command::new("script")
        .args(["-qec", &format!("{program} demo --minutes 1 {arguments}"), "/dev/null"])
        .env("TERM", "xterm")
        .env("NO_COLOR", no_colour)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn terminal_shows_charts_and_optional_json() {
    let chart = on_a_terminal("", "");
    assert!(
        chart.contains("█") && chart.contains("surprise") && chart.contains("1 minute, 120 frames"),
        "{chart}"
    );
    assert!(chart.contains("\x1b[32m") && !chart.contains("{\"schema\""), "{chart}");
    assert!(!on_a_terminal("", "1").contains("\x1b[32m"));
    let json = on_a_terminal("--json", "");
    assert!(json.contains("{\"schema\"") && !json.contains("surprise  "), "{json}");
}

#[test]
fn demo_broker_rejects_other_clients() {
    let mut demo = Command::new(assert_cmd::cargo::cargo_bin!("lectern"))
        .args(["demo", "--minutes", "3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(demo.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    let port = line.split("127.0.0.1:").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    for login in [None, Some(("", "")), Some(("lectern-demo", "")), Some(("demo", "demo"))] {
        let mut options = MqttOptions::new("intruder", Ipv4Addr::LOCALHOST.to_string(), port);
        if let Some((user, password)) = login {
            options.set_credentials(user, password);
        }
        let (client, mut connection) = Client::new(options, 4);
        client
            .publish("lectern/v1/here/desk/demo/demo/minute", QoS::AtMostOnce, false, "{\"seq\":0}")
            .unwrap();
        assert!(connection.iter().find_map(|event| event.err()).is_some(), "{login:?} is accepted");
    }
    let mut printed = String::new();
    demo.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(demo.wait().unwrap().success());
    assert!(!printed.contains("{\"seq\":0}"), "{printed}");
    assert_eq!(printed.matches("\"seq\":").count(), 3, "{printed}");
}
