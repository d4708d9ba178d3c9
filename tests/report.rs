//! `lectern report`: one self-contained page that loads nothing and shows no person.
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

use common::{kinds, lectern, portrait_video};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A table of lectures: label, teacher, and what a minute shows: faces of each kind, no face.
fn table(path: &Path, lectures: &[(&str, &str, [u32; 13], u32)], minutes: u32) {
    let mut text =
        "device,boot,label,source,seq,start,seconds,frames_expected,frames,corrupt,no_face,uncertain,faces,"
            .to_owned();
    text.push_str(&kinds().collect::<Vec<_>>().join(","));
    text.push_str(",partial,settings,teacher\n");
    for (number, (label, teacher, kinds, no_face)) in lectures.iter().enumerate() {
        for seq in 0..minutes {
            // So that minutes differ.
            let kinds = kinds.map(|count| if seq % 3 == 0 { count / 2 } else { count });
            let faces: u32 = kinds.iter().sum();
            let frames = faces + no_face;
            let counts = kinds.map(|count| count.to_string()).join(",");
            writeln!(
                text,
                "d,{number:032x},\"{label}\",{number}.mkv,{seq},1970-01-01T00:00:00Z,60,120,{frames},0,{no_face},0,{faces},\
                 {counts},false,classifier=43c365c67f70d20d; rate=2.0,\"{teacher}\""
            )
            .unwrap();
        }
    }
    fs::write(path, text).unwrap();
}

const CALM: [u32; 13] = [80, 0, 0, 0, 0, 0, 0, 20, 0, 4, 0, 2, 0];
const MERRY: [u32; 13] = [20, 4, 0, 0, 0, 0, 0, 20, 60, 0, 0, 2, 0];

fn report(table: &Path, out: &Path) -> String {
    let output = lectern().args(["report", "--out"]).args([out, table]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    fs::read_to_string(out).unwrap()
}

#[test]
fn duplicate_minutes_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    table(&path("minutes.csv"), &[("Art", "Müller", CALM, 5)], 45);
    let once = report(&path("minutes.csv"), &path("once.html"));
    let arguments = ["report", "--out", "twice.html", "minutes.csv", "minutes.csv"];
    let output = lectern().args(arguments).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(path("twice.html")).unwrap(), once);
}

#[test]
fn page_has_no_picture_or_remote_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let lectures = [
        ("<b>Algebra & \u{201e}Ärger\u{201c}</b>", "Weiß", CALM, 5),
        ("Art", "Müller", MERRY, 0),
        ("Empty", "Müller", [0; 13], 120),
    ];
    table(&path("minutes.csv"), &lectures, 45);
    let page = report(&path("minutes.csv"), &path("report.html"));
    for forbidden in [
        "<img",
        "<image",
        "data:",
        "base64",
        "url(",
        "<script",
        "<link",
        "<iframe",
        "@import",
        "src=",
        "<b>Algebra",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // Addresses are names of XML, and are not loaded.
    let addresses = page.matches("http").count();
    assert_eq!(
        addresses,
        page.matches("http://www.w3.org/2000/svg").count() + page.matches("http-equiv").count()
    );
    for text in [
        "3 recorded lectures compared",
        "&lt;b&gt;Algebra &amp;",
        "Teacher Müller (2 lectures)",
        "no face was counted",
        "blocks of 10 minutes",
        "<li>classifier=43c365c67f70d20d</li>",
        "more than chance and known errors",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(page, report(&path("minutes.csv"), &path("again.html")), "the same tables give the same page");
}

#[test]
fn difference_within_error_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut slightly = CALM;
    (slightly[0], slightly[9]) = (76, 8);
    table(&path("minutes.csv"), &[("One", "", CALM, 5), ("Other", "", slightly, 5)], 60);
    let page = report(&path("minutes.csv"), &path("report.html"));
    assert!(page.contains("within known errors</td>"), "more than chance, and yet");
    assert!(page.contains("<b>+3.8</b> <span class=\"mark\">†</span>"), "neutral");
    assert!(!page.contains("more than chance and known errors"));
    // Too short to decide.
    table(&path("short.csv"), &[("One", "", CALM, 5), ("Other", "", MERRY, 5)], 10);
    let page = report(&path("short.csv"), &path("report.html"));
    assert!(page.contains("too short to tell"));
}

/// Tables with other analysis settings are named, and files that are no tables are rejected.
#[test]
fn mixed_analyses_and_bad_tables_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let video = portrait_video(folder.path(), "lecture.mkv", 2);
    for (name, min_face) in [("a.csv", "24"), ("b.csv", "60")] {
        let output = lectern()
            .args(["analyze", "--min-face", min_face, "--csv"])
            .args([&path(name), &video])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let tables = ["a.csv", "b.csv", "a.csv"].map(path);
    let written = [path("r.html"), path("r.png")];
    let mut command = lectern();
    command.arg("report").args(tables).arg("--out").arg(&written[0]).arg("--chart").arg(&written[1]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(path("r.html")).unwrap();
    assert!(page.contains("2 recorded lectures") && page.contains("analysed with different settings"));
    assert!(!page.contains("errors of this classifier are not known"));
    assert!(fs::read(path("r.png")).unwrap().starts_with(b"\x89PNG"));

    fs::write(path("none.csv"), "a,b\n1,2\n").unwrap();
    for (table, expected) in [("none.csv", "has no column `device`"), ("a.csv", "would overwrite the input")]
    {
        let output =
            lectern().arg("report").arg(path(table)).arg("--out").arg(path("a.csv")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn control_characters_keep_charts_valid() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    table(&path("minutes.csv"), &[("a\u{1b}[31m\u{b}", "Müller", CALM, 5)], 45);
    let arguments = ["report", "minutes.csv", "--out", "page.html", "--chart", "chart.svg"];
    let output = lectern().args(arguments).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(path("chart.svg")).unwrap();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
}

/// Rows of a table with the columns of `head`.
fn counts(head: &str, rows: impl Iterator<Item = String>) -> String {
    let kinds = kinds().collect::<Vec<_>>().join(",");
    let columns = "seq,start,seconds,frames_expected,frames,corrupt,no_face,uncertain,faces";
    let mut text = format!("{head},{columns},{kinds},partial,settings\n");
    rows.for_each(|row| writeln!(text, "{row},{}false,s", "0,".repeat(12)).unwrap());
    text
}

#[test]
fn sums_are_larger_than_the_counts_of_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let row = |seq| format!("d,1,L,a,{seq},t,60,4000000000,4000000000,0,1000000000,0,3000000000,3000000000");
    fs::write(path("minutes.csv"), counts("device,boot,label,source", (0..2).map(row))).unwrap();
    let page = report(&path("minutes.csv"), &path("report.html"));
    assert!(page.contains("<td>8000000000</td>") && page.contains("25.0 %") && page.contains("6000000000"));
}

#[test]
fn large_tables_give_small_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let long = |seq| format!("d,1,Long,a,{seq},t,60,120,120,0,20,0,100,{}", 100 + seq % 2);
    fs::write(path("long.csv"), counts("device,boot,label,source", (0..60_000).map(long))).unwrap();
    let page = report(&path("long.csv"), &path("report.html"));
    assert!(page.contains("60000 minutes") && page.len() < 1 << 20, "{} bytes", page.len());

    let many = |number| format!("d,{number},L{number},a,0,t,60,120,120,0,20,0,100,100");
    fs::write(path("many.csv"), counts("device,boot,label,source", (0..600).map(many))).unwrap();
    let page = report(&path("many.csv"), &path("report.html"));
    assert!(page.contains("540 more lectures are not drawn"), "{} bytes", page.len());
    assert_eq!(page.matches("aria-label=\"Course of").count(), 2 * 60);

    // A quotation mark that is not closed makes a cell of all that follows.
    let open = format!("d,1,\"L,a\n{}", "x,y,z\n".repeat(20_000));
    fs::write(path("open.csv"), counts("device,boot,label,source", (0..1).map(long)) + &open).unwrap();
    let output =
        lectern().args(["report", "open.csv", "--out", "r.html"]).current_dir(&folder).output().unwrap();
    assert!(stderr(&output).contains("line 3: has a cell of more than 65536 bytes"), "{}", stderr(&output));
}

#[test]
fn lectures_are_grouped_by_any_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    table(&path("minutes.csv"), &[("One", "Müller", CALM, 5), ("Two", "Weiß", MERRY, 0)], 45);
    let text = fs::read_to_string(path("minutes.csv")).unwrap();
    fs::write(path("minutes.csv"), text.replacen(",teacher\n", ",Subject\n", 1)).unwrap();
    let run = |by: &str| {
        let arguments = ["report", "minutes.csv", "--out", "page.html", "--by", by];
        lectern().args(arguments).current_dir(&folder).output().unwrap()
    };
    assert!(run("subject").status.success());
    let page = fs::read_to_string(path("page.html")).unwrap();
    for text in ["By subject", "Subject Müller (1 lecture)", "Subject Müller<br>less Subject Weiß"] {
        assert!(page.contains(text), "{text}");
    }
    let output = run("room");
    let expected = "no table has a column `room`; the manifest's columns are Subject";
    assert!(output.status.code() == Some(2) && stderr(&output).contains(expected), "{}", stderr(&output));
}

#[test]
fn segments_are_drawn_beside_the_lectures() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    table(&path("minutes.csv"), &[("One", "Müller", CALM, 5)], 45);
    let kinds = kinds().collect::<Vec<_>>().join(",");
    let columns =
        "segment,segment_start,segment_end,seconds,frames_expected,frames,corrupt,no_face,uncertain,faces";
    let row = format!("d,1,One,a.mkv,Slide <1>,0.000,30.000,30,60,60,0,10,0,50,50,{}s,", "0,".repeat(12));
    let text = format!("device,boot,label,source,{columns},{kinds},settings,teacher\n{row}\n{row}\n");
    fs::write(path("segments.csv"), text).unwrap();
    let arguments = ["report", "minutes.csv", "segments.csv", "--out", "page.html"];
    let output = lectern().args(arguments).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(path("page.html")).unwrap();
    assert!(page.contains("Shares of 7 kinds in each segment"));
    assert_eq!(
        page.matches("<th scope=\"row\">Slide &lt;1&gt;</th>").count(),
        1,
        "a segment that occurs twice counts once"
    );
    assert!(page.contains("<td>0.5</td><td>60</td>"), "half a minute");
}

#[test]
fn figures_have_the_size_and_the_inks_of_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    table(&path("minutes.csv"), &[("One", "Müller", CALM, 5), ("Two", "Weiß", [1; 13], 0)], 45);
    let draw = |chart: &str, more: &[&str]| {
        let mut command = lectern();
        command.args(["report", "minutes.csv", "--out", "page.html", "--chart", chart]).args(more);
        let output = command.current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read(path(chart)).unwrap()
    };
    let svg = String::from_utf8(draw("a.svg", &["--chart-width", "85", "--chart-style", "grey"])).unwrap();
    assert!(
        svg.starts_with("<svg width=\"85mm\" height=\"") && svg.contains("viewBox=\"0 0 321 "),
        "{}",
        &svg[..99]
    );
    let mut fills = svg.split("fill=\"#").skip(1).map(|rest| &rest[..6]);
    assert!(fills.all(|fill| fill[..2] == fill[2..4] && fill[2..4] == fill[4..]), "greys alone");
    assert!(svg.contains("(a) Shares of 7 kinds") && svg.contains("(b) Shares of 13 kinds"));
    let coloured = String::from_utf8(draw("b.svg", &[])).unwrap();
    assert!(coloured.contains("#56B4E9"), "colours");
    let width = |png: &[u8]| u32::from_be_bytes(png[16..20].try_into().unwrap());
    assert_eq!((width(&draw("c.png", &["--chart-width", "85"])), width(&draw("d.png", &[]))), (1003, 900));
    let page = fs::read_to_string(path("page.html")).unwrap();
    for text in [
        "At 2.0 frames a second",
        "classifier 43c365c67f70d20d",
        "@article{zheng2020recognition",
        "doi     = {10.1109",
    ] {
        assert!(page.contains(text), "{text}");
    }
}
