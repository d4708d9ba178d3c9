//! `lectern export`: classified frames in the formats of annotation programs. Their libraries read them in tests/formats.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{lectern, portrait_video};

fn export(folder: &Path, arguments: &[&str]) -> Output {
    lectern().arg("export").args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn real_tables_are_exported_to_each_format() {
    let folder = tempfile::tempdir().unwrap();
    portrait_video(folder.path(), "a & b.mkv", 3);
    portrait_video(folder.path(), "c.mkv", 2);
    let tables = ["--frames-csv", "frames.csv", "--faces-csv", "faces.csv"];
    let output =
        lectern().args(["analyze", "a & b.mkv", "c.mkv"]).args(tables).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::create_dir(folder.path().join("out")).unwrap();
    for (table, to, file, expected) in [
        ("frames.csv", "elan", "a & b.eaf", "RELATIVE_MEDIA_URL=\"./a%20%26%20b.mkv\""),
        ("faces.csv", "elan", "c.eaf", "TIER_ID=\"face 1\""),
        ("frames.csv", "praat", "c.TextGrid", "xmax = 2.000"),
        ("faces.csv", "srt", "c.srt", "00:00:01,500 --> 00:00:02,000\n1 "),
        ("frames.csv", "tsv", "c.tsv", "c.mkv\tc\texpression\t0.000\t"),
    ] {
        let output = export(folder.path(), &[table, "--to", to, "--out", "out"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(folder.path().join("out").join(file)).unwrap();
        assert!(text.contains(expected), "{to}: {text}");
    }
    for (arguments, expected) in [
        (["frames.csv", "--to", "elan", "--out", "one.eaf"], "holds 2 recordings, and one.eaf is one file"),
        (["frames.csv", "--to", "tsv", "--out", "frames.csv"], "would overwrite the input"),
    ] {
        let output = export(folder.path(), &arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(expected), "{error}");
    }
}
