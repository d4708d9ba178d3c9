//! `lectern compare`: agreement with what people coded.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Output;

use common::lectern;

/// A table of two recordings of 12 minutes, two frames a second: three are neutral, then one is happy.
fn frames(path: &Path) {
    let mut text = "device,boot,label,source,seconds,picture_seconds,expression\n".to_owned();
    for source in ["a/monday.mkv", "tuesday.mkv"] {
        for tick in 0..1440 {
            let seconds = f64::from(tick) / 2.0;
            let expression = match tick {
                1438 => "uncertain",
                1439 => "no_face",
                _ if tick % 4 == 3 => "happy_strong",
                _ => "neutral",
            };
            writeln!(text, "d,{source},L,{source},{seconds:.3},{seconds:.3},{expression}").unwrap();
        }
    }
    fs::write(path, text).unwrap();
}

fn compare(folder: &Path, more: &[&str]) -> Output {
    lectern().arg("compare").args(more).current_dir(folder).output().unwrap()
}

fn succeeds(folder: &Path, more: &[&str]) -> String {
    let output = compare(folder, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The rows of a table that hold all of these cells.
fn rows(table: &Path, cells: &[&str]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(table).unwrap();
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>());
    rows.filter(|row| cells.iter().all(|cell| row.iter().any(|it| it == cell))).collect()
}

#[test]
fn agreement_is_computed_for_each_recording_and_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    frames(&path("frames.csv"));
    // Monday as the table has it, but for two seconds of each minute; of Tuesday the last minute is all neutral.
    let mut anna = "source,start,end,expression\n".to_owned();
    for second in (0..720).step_by(2) {
        let last = if second % 60 == 0 { "neutral" } else { "Happy strong" };
        writeln!(
            anna,
            "monday.mkv,{second},{second}.5,neutral\nmonday.mkv,{second}.5,{},neutral",
            second + 1
        )
        .unwrap();
        writeln!(
            anna,
            "monday.mkv,{},{}.5,neutral\nmonday.mkv,{}.5,{},{last}",
            second + 1,
            second + 1,
            second + 1,
            second + 2
        )
        .unwrap();
    }
    anna.push_str("tuesday.mkv,660,720,neutral\nwednesday.mkv,0,1,neutral\n");
    fs::write(path("anna.csv"), anna).unwrap();
    let arguments = [
        "frames.csv",
        "anna.csv",
        "--csv",
        "values.csv",
        "--confusion",
        "matrix.csv",
        "--chart",
        "matrix.svg",
    ];
    let output = compare(folder.path(), &arguments);
    let [text, warning] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{warning}");
    assert!(warning.contains("wednesday.mkv: 1 intervals are left out"), "{warning}");
    for expected in [
        "7 kinds\n  all recordings\n    anna and Lectern: kappa 0.",
        "Frames left out for anna: 1320 not coded, 2 uncertain for Lectern, 2 without a face for Lectern",
        "anna coded 13.0 min. Kappa's interval (7 kinds) is 0.",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let kappa = |source: &str, kinds: &str| {
        let rows = rows(&path("values.csv"), &["kappa", source, kinds]);
        rows.iter().map(|row| row[5].parse::<f64>().unwrap()).next().unwrap()
    };
    // Monday: 1438 frames, 12 of 359 happy ones were not seen; agreement by chance from the margins.
    let (n, happy, seen) = (1438.0, 359.0, 347.0);
    let (agreed, chance) = ((n - 12.0) / n, (happy * seen + (n - happy) * (n - seen)) / (n * n));
    assert!((kappa("a/monday.mkv", "13") - (agreed - chance) / (1.0 - chance)).abs() < 1e-6);
    assert!(kappa("tuesday.mkv", "7").abs() < 1e-9, "a coder who names one kind agrees by chance");
    let precision = rows(&path("values.csv"), &["a/monday.mkv", "precision", "happy strong"]);
    assert_eq!(precision[0][5], format!("{:.6}", 347.0 / 359.0));
    let confused = rows(&path("matrix.csv"), &["13", "a/monday.mkv", "anna", "neutral", "happy strong"]);
    assert_eq!(confused[0][5], "12");
    assert!(fs::read_to_string(path("matrix.svg")).unwrap().contains("anna and Lectern"));
    assert_eq!(text, succeeds(folder.path(), &["frames.csv", "anna.csv"]), "the same again");
}

#[test]
fn several_coders_have_alpha_and_merged_kinds_are_compared_in_seven() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    frames(&path("frames.csv"));
    fs::write(path("anna.csv"), "source,start,end,expression\ntuesday.mkv,0,720,happy\n").unwrap();
    fs::write(
        path("tuesday.txt"),
        "Ben\t\t00:00:00.000\t0.000\t00:06:00.000\t360.000\tsmile\nBen\t\t00:06:00.000\t360.000\t00:12:00.000\t720.000\tcalm\n",
    )
    .unwrap();
    fs::write(path("words.csv"), "value,expression\nsmile,happy_weak\ncalm,neutral\n").unwrap();
    let text = succeeds(folder.path(), &["frames.csv", "anna.csv", "tuesday.txt", "--mapping", "words.csv"]);
    for expected in
        ["coders: Krippendorff's alpha", "coders and Lectern: Krippendorff's alpha", "Ben and anna: kappa"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let thirteen = text.split("13 kinds\n").nth(1).unwrap();
    assert!(thirteen.contains("Ben and Lectern") && !thirteen.contains("anna and Lectern"), "{text}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    frames(&path("frames.csv"));
    let row =
        "device,boot,label,source,seconds,picture_seconds,expression\nd,1,L,a.mkv,0.000,0.000,neutral\n";
    fs::write(path("faces.csv"), format!("{row}d,1,L,a.mkv,0.000,0.000,neutral\n")).unwrap();
    fs::write(path("a.csv"), "source,start,end,expression\na.mkv,0,1,neutral\ntuesday.mkv,900,901,sad\n")
        .unwrap();
    fs::write(path("minutes.csv"), "device,boot,label,source,seconds,neutral\n").unwrap();
    for (arguments, expected) in [
        (vec!["faces.csv", "a.csv"], "has several faces in a frame"),
        (vec!["frames.csv", "a.csv"], "no frame of the table lies in a coded interval"),
        (vec!["minutes.csv", "a.csv"], "has no column `expression`"),
        (vec!["frames.csv", "a.csv", "--csv", "a.csv"], "would overwrite the input"),
    ] {
        let output = compare(folder.path(), &arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(expected), "{arguments:?}: {error}");
    }
}
