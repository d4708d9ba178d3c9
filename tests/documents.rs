//! The documents explain every field and key; a new one without an explanation fails here.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;

use lectern::delivery::payload::JSON_SCHEMA;
use serde_json::Value;

/// The part of a document between this heading and the next one of its level.
fn section(document: &str, heading: &str) -> String {
    let text = fs::read_to_string(document).unwrap();
    let begins = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading} in {document}"));
    let rest = &text[begins + heading.len() + 2..];
    rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
}

/// The names in backquotes in the first column of a section's tables.
fn explained(section: &str) -> BTreeSet<String> {
    let columns = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let names =
        |column: &str| -> Vec<String> { column.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    columns.flat_map(names).collect()
}

#[test]
fn documents_explain_each_payload_field() {
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    for payload in ["minute", "status"] {
        let fields = schema["$defs"][payload]["properties"].as_object().unwrap();
        let fields: BTreeSet<_> = fields.keys().cloned().collect();
        assert_eq!(explained(&section("docs/mqtt.md", &format!("## Fields of `{payload}`"))), fields);
    }
}

#[test]
fn documents_explain_each_configuration_key() {
    // tests/package.rs compares this file with the code.
    let example = fs::read_to_string("systemd/lectern.toml").unwrap();
    for part in example.split("\n[").skip(1) {
        let (name, lines) = part.split_once("]\n").unwrap();
        let keys = lines.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        let keys = keys.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(" = "));
        let keys: BTreeSet<_> = keys.map(|(key, _)| key.to_owned()).collect();
        assert!(!keys.is_empty(), "{name}");
        assert_eq!(explained(&section("docs/configuration.md", &format!("## [{name}]"))), keys, "{name}");
    }
}

#[test]
fn first_pages_are_short() {
    for (document, most) in [("README.md", 80), ("ARCHITECTURE.md", 150)] {
        let lines = fs::read_to_string(document).unwrap().lines().count();
        assert!(lines <= most, "{document} has {lines} lines, {most} are allowed");
    }
}

/// Whether a program names this field of a minute outside its comments, as a separate word.
fn names(code: &str, field: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let lines = code.lines().filter(|line| !line.trim_start().starts_with(['#', '/']));
    lines.flat_map(|line| line.split(|c| !word(c))).any(|found| found == field)
}

#[test]
fn examples_handle_each_minute_field() {
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let fields = schema["$defs"]["minute"]["properties"].as_object().unwrap().keys();
    let kinds = lectern::expression::Expression::ALL.map(lectern::expression::Expression::name);
    let fields: Vec<_> = fields.map(String::as_str).filter(|field| !kinds.contains(field)).collect();
    // Fields that a subscriber may ignore: the version, and whether a record was late.
    for (file, left_out) in [
        ("examples/minutes.py", &["schema", "replayed"][..]),
        ("examples/dashboard/telegraf.conf", &[]),
        ("examples/dashboard/flow/minute.js", &["schema"]),
        ("examples/dashboard/rooms.mjs", &[]),
    ] {
        let code = fs::read_to_string(file).unwrap();
        for field in &fields {
            assert_eq!(names(&code, field), !left_out.contains(field), "{file}: {field}");
        }
        // They name the kinds, or compose them from their parts.
        for part in kinds.iter().flat_map(|kind| kind.split('_')) {
            let whole = kinds.iter().any(|kind| kind.contains(part) && names(&code, kind));
            let written = whole || names(&code, part) || names(&code, &format!("_{part}"));
            assert!(written, "{file}: {part}");
        }
    }
}
