//! A list of recordings: nothing is lost when it is interrupted, nothing is mixed up, and one damaged recording spoils no other.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{column, data, lectern, number, portrait_video};
use lectern::process::signals::is_ignored;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A pipe of Y4M with some pictures of noise in it, 2 a second, whose writer stays.
fn stalled(folder: &Path, frames: usize) -> (PathBuf, fs::File) {
    let pipe = folder.join("stalled.y4m");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut writer = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    writer.write_all(b"YUV4MPEG2 W16 H16 F2:1 Cmono\n").unwrap();
    for _ in 0..frames {
        writer.write_all(b"FRAME\n").unwrap();
        writer.write_all(&[90; 256]).unwrap();
    }
    (pipe, writer)
}

/// A signal ends the run with the counts so far in the table and its own exit code.
#[test]
fn signal_writes_the_counts_so_far() {
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        if number == Signal::HUP && is_ignored(number.as_raw()) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        // A minute and ten pictures, and then nothing for ever.
        let (pipe, _writer) = stalled(folder.path(), 131);
        let table = folder.path().join("minutes.csv");
        fs::write(&table, "old").unwrap();
        let mut child = lectern()
            .args(["analyze", "--csv"])
            .args([&table, &pipe])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(fs::read_to_string(&table).unwrap(), "old", "nothing is emptied before its time");
        // The line is printed before the pictures after it are counted, and no output shows when they are.
        std::thread::sleep(Duration::from_secs(2));
        signal(&child, number);
        out.read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains("interrupted in recording 1 of 1"), "{}", stderr(&output));
        assert_eq!(column(&table, "partial"), ["false", "true"]);
        assert_eq!(column(&table, "frames")[0], "120");
        assert_eq!(line.lines().count(), 2);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "nothing was finished, nothing is left beside"
        );
    }
}

#[test]
fn resume_continues_an_interrupted_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, seconds) in [("a.mkv", 3), ("b.mkv", 4)] {
        portrait_video(folder.path(), name, seconds);
    }
    let (pipe, writer) = stalled(folder.path(), 1);
    let analyze = |out: &str, more: &[&str]| {
        let mut command = lectern();
        command
            .args(["analyze", "--jobs", "1", "--csv"])
            .arg(path(out))
            .arg("--faces-csv")
            .arg(path("faces.csv"));
        command.args(more).args([path("a.mkv"), path("b.mkv"), pipe.clone()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let child = analyze("minutes.csv", &[]).spawn().unwrap();
    let beside = path("minutes.csv.unfinished");
    let began = Instant::now();
    let finished = || {
        let entries = fs::read_dir(&beside).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "json")).count()
    };
    while finished() < 2 {
        assert!(began.elapsed() < common::TIMEOUT, "two recordings are finished");
        std::thread::sleep(Duration::from_millis(20));
    }
    // SIGKILL: no chance to print anything.
    signal(&child, Signal::KILL);
    child.wait_with_output().unwrap();
    assert!(!path("minutes.csv").exists());
    let output = analyze("minutes.csv", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("holds 2 recordings that an earlier run has finished; go on with --resume")
    );

    drop(writer);
    fs::remove_file(&pipe).unwrap();
    portrait_video(folder.path(), "stalled.y4m", 2);
    let resumed = analyze("minutes.csv", &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert!(!beside.exists());
    let faces = fs::read(path("faces.csv")).unwrap();
    let whole = analyze("whole.csv", &[]).output().unwrap();
    assert_eq!(whole.stdout, resumed.stdout);
    assert_eq!(fs::read(path("whole.csv")).unwrap(), fs::read(path("minutes.csv")).unwrap());
    assert_eq!(fs::read(path("faces.csv")).unwrap(), faces);
    assert_eq!(column(&path("faces.csv"), "happy_weak").len(), 2 * (3 + 4 + 2));
}

#[test]
fn recordings_of_equal_name_stay_separate() {
    let folder = tempfile::tempdir().unwrap();
    let mut videos = Vec::new();
    for (name, seconds) in [("monday", 2), ("tuesday", 3)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        videos.push(portrait_video(&folder.path().join(name), "lecture.mkv", seconds));
    }
    // And a copy.
    fs::create_dir(folder.path().join("copy")).unwrap();
    videos.push(folder.path().join("copy/lecture.mkv"));
    fs::copy(&videos[0], &videos[2]).unwrap();
    let table = folder.path().join("minutes.csv");
    let analyze = |jobs: &str, more: &[&str]| {
        let mut command = lectern();
        command.args(["analyze", "--jobs", jobs, "--csv"]).arg(&table).args(more).args(&videos);
        command.output().unwrap()
    };
    let output = analyze("3", &[]);
    let keys: HashSet<String> = lines(&output)
        .iter()
        .map(|line| format!("{} {} {}", line["device"], line["boot"], line["seq"]))
        .collect();
    assert_eq!((keys.len(), column(&table, "seq")), (3, vec!["0".to_owned(); 3]));
    assert_eq!(column(&table, "source"), videos.iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>());
    let again = analyze("1", &[]);
    assert_eq!(again.stdout, output.stdout, "in the order of the list, however many at a time");
    let boots = column(&table, "boot");
    // Other settings, other records.
    assert!(analyze("2", &["--min-face", "100"]).status.success());
    assert!(column(&table, "boot").iter().all(|boot| !boots.contains(boot)));

    let labels = ["--label", "Prof. Müller", "--label", "Dr. Weiß", "--label", "x"];
    assert!(analyze("2", &labels).status.success());
    assert_eq!(column(&table, "label"), ["Prof. Müller", "Dr. Weiß", "x"]);
    assert_eq!(column(&table, "device"), ["Prof._M_ller", "Dr._Wei_", "x"]);
    let output = analyze("2", &["--label", "one"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--label is given 1 times for 3 recordings"), "{}", stderr(&output));
}

/// A damaged recording in a manifest is reported and the others are counted.
#[test]
fn manifest_survives_a_damaged_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    portrait_video(folder.path(), "a.mkv", 2);
    fs::write(path("b.mkv"), "no video").unwrap();
    fs::create_dir(path("c")).unwrap();
    fs::copy("tests/fixtures/portrait.png", path("c/0.png")).unwrap();
    let manifest = "file,label,teacher,start,subject\na.mkv,Algebra 1,\"Weiß, Dr.\",2026-11-23T10:15:00Z,math\nb.mkv,,,,\nc,,Müller,,art\n";
    fs::write(path("lectures.csv"), manifest).unwrap();
    let output = lectern()
        .args(["analyze", "--window", "30", "--manifest"])
        .arg(path("lectures.csv"))
        .arg("--csv")
        .arg(path("minutes.csv"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("b.mkv: holds no video"), "{}", stderr(&output));
    let minutes = path("minutes.csv");
    assert_eq!(column(&minutes, "label"), ["Algebra 1", "c"]);
    assert_eq!(column(&minutes, "source"), ["a.mkv", "c"]);
    assert_eq!(column(&minutes, "teacher"), ["Weiß, Dr.", "Müller"]);
    assert_eq!(column(&minutes, "subject"), ["math", "art"]);
    assert_eq!(column(&minutes, "start")[0], "2026-11-23T10:15:00Z");
    assert!(column(&minutes, "settings")[0].contains("window=30"));
    fs::write(path("lectures.csv"), "name\nx\n").unwrap();
    let output = lectern().args(["analyze", "--manifest"]).arg(path("lectures.csv")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("lectures.csv: has no column `file`"), "{}", stderr(&output));
}

#[test]
fn counts_and_reports_all_faces_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("two.mkv");
    let two = "split[a][b];[b]scale=iw*3/4:-1,pad=iw*4/3:ih*4/3[c];[a][c]hstack,fps=10";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-loop", "1", "-framerate", "10", "-i", "tests/fixtures/portrait.png"])
        .args(["-t", "2", "-vf", two, "-pix_fmt", "yuv420p"])
        .arg(&video)
        .status();
    assert!(made.unwrap().success());
    let faces = folder.path().join("faces.csv");
    let analyze = |more: &[&str]| {
        let output =
            lectern().args(["analyze", "--faces-csv"]).arg(&faces).args(more).arg(&video).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        lines(&output).remove(0)
    };
    let seen = |minute: &Value| number(minute, "faces") + number(minute, "uncertain");
    assert_eq!(seen(&analyze(&[])), 4);
    assert_eq!(seen(&analyze(&["--faces", "all"])), 8);
    let widths: Vec<f64> = column(&faces, "width").iter().map(|width| width.parse().unwrap()).collect();
    assert_eq!((widths.len(), column(&faces, "face")[1].as_str()), (8, "1"));
    let sums = lectern::expression::Expression::ALL
        .map(|kind| column(&faces, kind.name())[0].parse::<f64>().unwrap());
    assert!((sums.iter().sum::<f64>() - 1.0).abs() < 1e-3);
    let minute = analyze(&["--min-confidence", "1"]);
    assert_eq!((number(&minute, "faces"), number(&minute, "uncertain")), (0, 4));
    assert!(widths.iter().all(|width| *width > 60.0));
}

#[test]
fn recording_without_faces_prints_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 6);
    let output = lectern().args(["analyze", "--region", "0,0,0.2,0.2"]).arg(&video).output().unwrap();
    let hint = stderr(&output);
    assert!(
        output.status.success()
            && hint.contains("12 of 12 frames show no face (none was seen in pictures of 400 x 400"),
        "{hint}"
    );
    // What was tried, and what it gave.
    assert!(hint.contains("--rotate 90 in 0") && hint.contains("--min-face 12 in 0"), "{hint}");
    assert!(
        hint.ends_with("with no --region in 4; try no --region\n") && hint.lines().count() == 1,
        "{hint}"
    );
    let output = lectern().arg("analyze").arg(&video).output().unwrap();
    assert_eq!(stderr(&output), "");
}

#[test]
fn y4m_pipe_gives_the_counts_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, options: &[&str]| {
        let video = folder.path().join(name);
        let moving = "scale=360:-1,crop=240:240:x='60+50*sin(t*2)':y='60+50*cos(t*3)',noise=alls=20:allf=t";
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-loop", "1", "-framerate", "23.976", "-i", "tests/fixtures/portrait.png"])
            .args(["-t", "9.3", "-vf", moving])
            .args(options)
            .arg(&video)
            .status();
        assert!(status.unwrap().success());
        video
    };
    let videos = [
        made("limited.mkv", &["-c:v", "mpeg4", "-pix_fmt", "yuv420p"]),
        made("full.mkv", &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]),
        made("more.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv444p"]),
    ];
    for video in videos {
        let mut writer = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&video)
            .args(["-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p", "-"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let faces = |name: &str| folder.path().join(name);
        let read = |input: &Path, stdin: Stdio, table: &str| {
            let output = lectern()
                .args(["analyze", "--faces-csv"])
                .arg(faces(table))
                .arg(input)
                .stdin(stdin)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            lines(&output).remove(0)
        };
        let piped = read(Path::new("-"), writer.stdout.take().unwrap().into(), "piped.csv");
        writer.wait().unwrap();
        let file = read(&video, Stdio::null(), "file.csv");
        for field in common::kinds().chain(["frames", "no_face", "uncertain", "seconds"]) {
            assert_eq!(piped[field], file[field], "{field} of {}", video.display());
        }
        assert_eq!(number(&file, "frames"), 19);
        for name in ["x", "width", "happy_weak", "neutral"] {
            assert_eq!(
                column(&faces("piped.csv"), name),
                column(&faces("file.csv"), name),
                "{}",
                video.display()
            );
        }
    }
}

/// A reader that closes standard output early still gets complete tables.
#[test]
fn closed_stdout_does_not_stop_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 2);
    let table = folder.path().join("minutes.csv");
    let mut child =
        lectern().args(["analyze", "--csv"]).args([&table, &video]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(column(&table, "frames"), ["4"]);
}

/// Slides with known shares: `faces` each for two seconds.
fn slides(folder: &Path, name: &str, faces: &[PathBuf]) -> PathBuf {
    let list = folder.join("slides.txt");
    let lines = faces.iter().map(|face| format!("file '{}'\nduration 2\n", face.display()));
    fs::write(&list, lines.collect::<String>()).unwrap();
    let video = folder.join(name);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "concat", "-safe", "0", "-i"])
        .arg(&list)
        .args(["-vf", "scale=320:320,fps=10,format=yuv420p"])
        .arg(&video)
        .status();
    assert!(status.unwrap().success());
    video
}

/// Twelve recordings, killed ten times and resumed, give the same tables as one uninterrupted run.
#[test]
#[ignore = "needs the data folder: LECTERN_DATA"]
fn ten_kills_give_the_tables_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let files = |part: &str, ending: &str| {
        let mut files: Vec<_> =
            fs::read_dir(data(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == ending));
        files.sort();
        files
    };
    let mut videos: Vec<_> = files("clips", "mkv").into_iter().take(6).collect();
    for (i, faces) in files("rated_dev/faces", "jpg").chunks(20).take(6).enumerate() {
        videos.push(slides(folder.path(), &format!("slides {i}.mkv"), faces));
    }
    assert_eq!(videos.len(), 12);
    let start = |name: &str, more: &[&str]| {
        let table = |kind: &str| folder.path().join(format!("{name}-{kind}.csv"));
        let mut command = lectern();
        command.args(["analyze", "--window", "10", "--csv"]).arg(table("minutes"));
        command.arg("--frames-csv").arg(table("frames")).arg("--faces-csv").arg(table("faces"));
        command.args(more).args(&videos).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let whole = start("whole", &[]).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    let mut random = fastrand::Rng::with_seed(12);
    let mut kills = 0;
    while kills < 10 {
        let mut child = start("killed", &["--resume"]);
        std::thread::sleep(Duration::from_millis(random.u64(100..1500)));
        if child.try_wait().unwrap().is_some() {
            // It was finished: once more from the start.
            continue;
        }
        signal(&child, *[Signal::KILL, Signal::INT, Signal::TERM].get(random.usize(0..3)).unwrap());
        child.wait_with_output().unwrap();
        kills += 1;
    }
    let resumed = start("killed", &["--resume"]).wait_with_output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(resumed.stdout, whole.stdout);
    for kind in ["minutes", "frames", "faces"] {
        let table = |name: &str| fs::read(folder.path().join(format!("{name}-{kind}.csv"))).unwrap();
        assert!(table("whole") == table("killed"), "{kind}");
    }
}

/// A run that can read no recording leaves an existing table unchanged.
#[test]
fn failed_run_keeps_the_old_table() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("minutes.csv");
    fs::write(&table, "old").unwrap();
    let missing = folder.path().join("mistyped.mkv");
    let output = lectern().arg("analyze").arg(&missing).arg("--csv").arg(&table).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&table).unwrap(), "old");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "something is left behind");
}

/// Leftover files beside a table are replaced, or named with the fix if they hold results.
#[test]
fn leftovers_of_another_run_are_handled() {
    let folder = tempfile::tempdir().unwrap();
    let video = portrait_video(folder.path(), "lecture.mkv", 1);
    let path = |name: &str| folder.path().join(name);
    let analyze = |tables: &[(&str, &str)]| {
        let mut command = lectern();
        command.arg("analyze").arg(&video);
        for (option, name) in tables {
            command.arg(option).arg(path(name));
        }
        command.output().unwrap()
    };
    fs::write(path("frames.csv.unfinished"), "a table that was not whole").unwrap();
    let output = analyze(&[("--frames-csv", "frames.csv")]);
    assert!(output.status.success(), "{}", stderr(&output));
    fs::create_dir(path("frames.csv.unfinished")).unwrap();
    let output = analyze(&[("--csv", "minutes.csv"), ("--frames-csv", "frames.csv")]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("go on with it (--resume), or remove that folder"),
        "{}",
        stderr(&output)
    );
}

/// Tables and manifests that a spreadsheet saved again are still accepted.
#[test]
fn spreadsheet_tables_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    portrait_video(folder.path(), "a.mkv", 2);
    let manifest =
        "File;Label;Teacher;start;\"room, building\"\r\na.mkv;=1+1;@home;23.11.2026 10:15;-2\r\n;;;;\r\n";
    fs::write(path("lectures.csv"), manifest).unwrap();
    let mut command = lectern();
    command.args(["analyze", "--bom", "--manifest"]).arg(path("lectures.csv"));
    command.arg("--csv").arg(path("minutes.csv")).arg("--frames-csv").arg(path("frames.csv"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for table in ["minutes.csv", "frames.csv"] {
        let text = fs::read_to_string(path(table)).unwrap();
        assert!(text.starts_with("\u{feff}device,"), "{table}: {text}");
        let cells = ["label", "Teacher", "room, building"].map(|name| column(&path(table), name).remove(0));
        assert_eq!(cells, ["'=1+1", "'@home", "-2"], "{table}");
    }
    assert_eq!(column(&path("minutes.csv"), "start"), ["2026-11-23T10:15:00Z"]);

    // Saved again where lists are separated by semicolons.
    let mut reader = csv::Reader::from_path(path("minutes.csv")).unwrap();
    let mut writer = csv::WriterBuilder::new();
    let mut writer =
        writer.delimiter(b';').terminator(csv::Terminator::CRLF).from_path(path("saved.csv")).unwrap();
    writer.write_record(reader.headers().unwrap()).unwrap();
    reader.records().for_each(|row| writer.write_record(&row.unwrap()).unwrap());
    writer.flush().unwrap();
    for (table, page) in [("minutes.csv", "a.html"), ("saved.csv", "b.html")] {
        let output = lectern().arg("report").arg(path(table)).arg("--out").arg(path(page)).output().unwrap();
        assert!(output.status.success(), "{table}: {}", stderr(&output));
    }
    let [a, b] = ["a.html", "b.html"].map(|page| fs::read_to_string(path(page)).unwrap());
    assert_eq!(a, b.replace("saved.csv", "minutes.csv"));
    assert!(
        a.contains("=1+1") && !a.contains("'=1+1") && !a.contains("&#x27;=1+1"),
        "the label as it was given"
    );
}
