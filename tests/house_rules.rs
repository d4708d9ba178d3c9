//! The rules of the house: who may know pixels, cameras, networks, files and clocks, which way the arrows go, and
//! how long a file is.
//!
//! Each rule is held against the sources as they are, and then against sources in which it is broken on purpose, in every
//! file that it is for: a rule that cannot fail is none.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of a file of `src`, without its tests.
const MOST_LINES: usize = 400;

/// Files that are longer.
const LONG: [&str; 0] = [];

/// Rooms whose own files still use one another in circles; towards other rooms they are as all others.
const ROUND: [&str; 0] = [];

/// A Rust file: its path from the folder of its crate, and its text.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Its code, without tests and comments.
    fn code(&self) -> String {
        let lines = without_tests(&self.text).into_iter();
        lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// The same file with a line more: at its beginning, or behind its tests.
    fn with(&self, line: &str, at_end: bool) -> Self {
        let Self { path, text } = self;
        let text = if at_end { format!("{text}\n{line}\n") } else { format!("{line}\n{text}") };
        Self { path: path.clone(), text }
    }
}

/// The lines of a file without its test module, which ends where a line begins with a brace; code behind it is not left out,
/// nor is anything else that only tests compile.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    let begins = |at: usize| {
        let mut behind = lines[at..].iter().skip_while(|line| line.starts_with("#["));
        lines[at] == "#[cfg(test)]" && behind.next() == Some(&"mod tests {")
    };
    let Some(begin) = (0..lines.len()).find(|at| begins(*at)) else { return lines };
    let rest = lines[begin..].iter().skip_while(|line| **line != "}").skip(1);
    lines[..begin].iter().chain(rest).copied().collect()
}

/// Every Rust file of a folder, without those that are tests alone: `tests.rs` and what is in a folder `tests`.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(Path::new(folder), Path::new(folder), &mut found);
    assert!(!found.is_empty(), "nothing in {folder}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(path: &Path, root: &Path, found: &mut Vec<Source>) {
    if path != root && path.file_stem().is_some_and(|name| name == "tests") {
        let owner = fs::read_to_string(path.with_file_name("mod.rs")).unwrap();
        let mut lines = owner.lines().skip_while(|line| *line != "#[cfg(test)]");
        let module = lines.find(|line| !line.starts_with("#["));
        assert_eq!(module, Some("mod tests;"), "{}: is no test module", path.display());
    } else if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), root, found);
        }
    } else if path.extension().is_some_and(|e| e == "rs") {
        let text = fs::read_to_string(path).unwrap();
        found.push(Source { path: path.strip_prefix(root).unwrap().to_owned(), text });
    }
}

/// Every path in the code: `use a::{b, c::d}` gives `a::b` and `a::c::d`, so that no rule is evaded by braces.
fn paths(code: &str) -> Vec<String> {
    let (mut all, mut rest) = (Vec::new(), String::new());
    let mut open: Option<String> = None;
    for line in code.lines() {
        let starts = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];
        match (&mut open, starts.iter().find_map(|start| line.trim_start().strip_prefix(start))) {
            (Some(statement), _) => statement.push_str(line),
            (None, Some(statement)) => open = Some(statement.to_owned()),
            (None, None) => rest.extend([line, "\n"]),
        }
        if let Some(statement) = open.take_if(|statement| statement.contains(';')) {
            write_out("", statement.split(';').next().unwrap_or_default(), &mut all);
        }
    }
    // A visibility names a room and does not use it.
    let rest = rest.replace("pub(in crate::", "");
    let in_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    all.extend(rest.split(|c| !in_path(c)).filter(|path| path.contains("::")).map(str::to_owned));
    all
}

/// Writes out what stands between two braces, or in a whole `use`.
fn write_out(before: &str, tree: &str, all: &mut Vec<String>) {
    let (mut depth, mut from) = (0, 0);
    let ends = tree.char_indices().chain([(tree.len(), ',')]);
    for (at, c) in ends {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = tree[from..at].trim();
                from = at + 1;
                match item.split_once('{') {
                    Some((head, inner)) => {
                        let inner = inner.trim_end().strip_suffix('}').unwrap();
                        write_out(&format!("{before}{}", head.trim()), inner, all);
                    }
                    None if item.is_empty() => {}
                    None => all.push(format!("{before}{}", item.split(' ').next().unwrap_or_default())),
                }
            }
            _ => {}
        }
    }
}

/// What some rooms may not say.
struct Rule {
    /// The rooms, which are folders or files of `src`; all where none is named.
    rooms: &'static [&'static str],
    /// Rooms that may.
    except: &'static [&'static str],
    words: &'static [&'static str],
    /// A line that says this as well is none against the rule.
    unless: Option<&'static str>,
    why: &'static str,
}

impl Rule {
    fn is_for(&self, path: &Path) -> bool {
        let within = |rooms: &[&str]| rooms.iter().any(|room| path.starts_with(room));
        (self.rooms.is_empty() || within(self.rooms)) && !within(self.except)
    }

    /// What of a file is against the rule.
    fn broken_in(&self, source: &Source) -> Option<String> {
        let code = source.code();
        let paths = paths(&code);
        let lines = code.lines().chain(paths.iter().map(String::as_str));
        let mut lines = lines.filter(|line| self.unless.is_none_or(|word| !line.contains(word)));
        let line = lines.find(|line| self.words.iter().any(|word| line.contains(word)))?;
        Some(format!("{}: `{}`: {}", source.path.display(), line.trim(), self.why))
    }

    /// Holds the rule against the sources, and against sources that break it, in every file and with every word.
    fn hold(&self) {
        let sources = sources("src");
        for room in self.rooms.iter().chain(self.except) {
            assert!(sources.iter().any(|source| source.path.starts_with(room)), "no room named {room}");
        }
        for source in sources.iter().filter(|source| self.is_for(&source.path)) {
            assert_eq!(self.broken_in(source), None);
            for (word, at_end) in self.words.iter().flat_map(|word| [(word, true), (word, false)]) {
                assert!(self.broken_in(&source.with(word, at_end)).is_some(), "{word} in {:?}", source.path);
            }
        }
    }
}

#[test]
fn only_delivery_touches_the_network() {
    let rule = Rule {
        rooms: &[],
        except: &[],
        words: &["rumqttc", "TcpStream", "UdpSocket", "std::net", "tokio::net"],
        unless: None,
        why: "the network belongs to delivery",
    };
    rule.hold();
}

#[test]
fn run_writes_no_file() {
    let rule = Rule {
        rooms: &[],
        // `placed` writes the tables, charts, pages and metrics that are asked for, `unfinished` what a list has finished so
        // far.
        except: &["commands/placed.rs", "commands/analyze/unfinished.rs"],
        words: &["File::create", "fs::write", "OpenOptions", "create_dir", "save("],
        unless: None,
        why: "no module but delivery::spool writes a file in `run`",
    };
    rule.hold();
}

#[test]
fn only_the_clock_reads_a_clock() {
    let rule = Rule {
        rooms: &[],
        except: &[],
        // tokio's Instant only measures how long the network has been silent.
        words: &["SystemTime", "Timestamp::now", "std::time::Instant", "clock_gettime", "Zoned::now"],
        unless: None,
        why: "time is read through the trait Clock",
    };
    rule.hold();
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let rule = Rule {
        rooms: &[],
        // `lectern_record::clock::kernel` is the one file.
        except: &[],
        words: &["unsafe "],
        unless: None,
        why: "unsafe code belongs to clock::kernel",
    };
    rule.hold();
}

#[test]
fn the_daemon_has_two_threads() {
    let rule = Rule {
        rooms: &[],
        // `analyze` has one for each recording that it analyses at a time.
        except: &["commands/analyze/mod.rs"],
        words: &["thread::spawn", "thread::Builder", "thread::scope"],
        unless: None,
        why: "there is one thread beside the main one, and delivery starts it",
    };
    rule.hold();
}

#[test]
fn what_is_said_on_standard_error_is_escaped() {
    let rule = Rule {
        rooms: &[],
        // The demo says its own numbers.
        except: &["commands/demo.rs"],
        words: &["eprintln!(", "eprint!("],
        unless: Some("Printable("),
        why: "use logging::printable::complain",
    };
    rule.hold();
}

/// A file that uses another one, by their paths.
type Arrow = (PathBuf, PathBuf);

/// The files of a crate by the names of their modules.
type Modules = BTreeMap<Vec<String>, PathBuf>;

/// What a file uses of its own crate.
fn arrows_from(source: &Source, modules: &Modules) -> Vec<Arrow> {
    let own = module(&source.path);
    let used = paths(&source.code()).into_iter().filter_map(|path| {
        let path = absolute(&path, &own, modules)?;
        (0..=path.len()).rev().find_map(|length| modules.get(&path[..length]))
    });
    used.filter(|used| **used != source.path).map(|used| (source.path.clone(), used.clone())).collect()
}

/// The names of a file's module, from its crate on.
fn module(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        path.with_extension("").iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if matches!(names.last().unwrap().as_str(), "mod" | "lib" | "main") {
        names.pop();
    }
    names
}

/// A path from the crate on, if it is one within it.
fn absolute(path: &str, own: &[String], modules: &Modules) -> Option<Vec<String>> {
    let mut base = own.to_vec();
    let mut names = path.split("::").peekable();
    match *names.peek()? {
        "crate" => {
            names.next();
            base.clear();
        }
        "self" => {
            names.next();
        }
        "super" => {
            while names.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        first => {
            let child = [own, &[first.to_owned()]].concat();
            modules.get(&child)?;
        }
    }
    base.extend(names.map(str::to_owned));
    Some(base)
}

/// The files or rooms of a circle, each of which uses the next one, if there is any.
fn circle(arrows: &BTreeSet<(String, String)>) -> Option<String> {
    let mut left = arrows.clone();
    loop {
        // What uses nothing that is left is in no circle.
        let users: BTreeSet<_> = left.iter().map(|(from, _)| from.clone()).collect();
        let before = left.len();
        left.retain(|(_, to)| users.contains(to));
        if left.len() == before {
            break;
        }
    }
    let mut way = vec![&left.first()?.0];
    loop {
        let (_, next) = left.iter().find(|(from, _)| way.last() == Some(&from)).unwrap();
        way.push(next);
        if let Some(start) = way[..way.len() - 1].iter().position(|file| *file == next) {
            return Some(way[start..].iter().map(|file| file.as_str()).collect::<Vec<_>>().join(" -> "));
        }
    }
}

/// The circle among files, or among rooms, which are the folders and files of a crate's root. It may lead through files of one
/// room that is `round`.
fn circle_of_files_or_rooms(arrows: &[Arrow], round: &[&str]) -> Option<String> {
    let (mut files, mut rooms) = (BTreeSet::new(), BTreeSet::new());
    for (from, to) in arrows {
        let [from_room, to_room] = [from, to].map(|path| module(path).first().cloned().unwrap_or_default());
        if from_room != to_room || !round.contains(&from_room.as_str()) {
            files.insert((from.display().to_string(), to.display().to_string()));
        }
        if from_room != to_room {
            rooms.insert((from_room, to_room));
        }
    }
    circle(&files).or_else(|| circle(&rooms))
}

#[test]
fn no_circle_leads_through_files_or_rooms() {
    let mut common = sources("tests/common");
    common.iter_mut().for_each(|source| source.path = Path::new("common").join(&source.path));
    let bench = |folder: &str| [sources(folder), common.clone()].concat();
    for sources in [sources("src"), bench("benches/soak"), bench("benches/fleet")] {
        let modules: Modules =
            sources.iter().map(|source| (module(&source.path), source.path.clone())).collect();
        let arrows: Vec<_> = sources.iter().flat_map(|source| arrows_from(source, &modules)).collect();
        assert!(arrows.len() > sources.len() / 2, "too few arrows: {arrows:?}");
        assert_eq!(circle_of_files_or_rooms(&arrows, &ROUND), None);
        // Whoever is used, and uses the user, closes a circle. Nobody can name the root alone.
        for (from, to) in arrows.iter().filter(|(from, _)| !module(from).is_empty()) {
            let back = format!("use crate::{};", module(from).join("::"));
            let used = sources.iter().find(|source| source.path == *to).unwrap().with(&back, true);
            let broken = [&arrows[..], &arrows_from(&used, &modules)].concat();
            let [room, other] = [from, to].map(|path| module(path).first().cloned().unwrap_or_default());
            let is_tolerated = room == other && ROUND.contains(&room.as_str());
            assert!(
                is_tolerated || circle_of_files_or_rooms(&broken, &ROUND).is_some(),
                "{}: {back}",
                to.display()
            );
        }
    }
}

#[test]
fn no_exception_outlives_its_reason() {
    let sources = sources("src");
    let modules: Modules = sources.iter().map(|source| (module(&source.path), source.path.clone())).collect();
    for room in ROUND {
        let own = sources.iter().filter(|source| source.path.starts_with(room));
        let arrows: Vec<_> = own.flat_map(|source| arrows_from(source, &modules)).collect();
        assert!(
            circle_of_files_or_rooms(&arrows, &[]).is_some(),
            "{room} has no circle: remove it from ROUND"
        );
    }
    for file in LONG {
        let source = sources.iter().find(|source| source.path == Path::new(file));
        let is_long = source.is_some_and(|source| without_tests(&source.text).len() > MOST_LINES);
        assert!(is_long, "{file} is not too long: remove it from LONG");
    }
}

#[test]
fn a_file_of_the_program_fits_into_a_head() {
    let is_short = |source: &Source| without_tests(&source.text).len() <= MOST_LINES;
    for source in
        sources("src").into_iter().filter(|source| LONG.iter().all(|file| source.path != Path::new(file)))
    {
        assert!(is_short(&source), "{}: more than {MOST_LINES} lines", source.path.display());
        assert!(!is_short(&source.with(&"//\n".repeat(MOST_LINES), true)));
    }
}
