//! The length of source files, which neither the compiler nor clippy limits. Dependencies are limited by the crates and by
//! clippy.toml.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

/// The maximum length of a product file, without its tests.
const MAX_LINES: usize = 400;

/// The lines of a file without its test module, which ends at a line that is a brace. Code after the module counts, as
/// does other code that only tests compile.
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

/// Checks every Rust file of a folder, except pure test files; returns their number.
fn check_folder(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        } else if path.is_dir() {
            files += check_folder(&path);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let lines = without_tests(&fs::read_to_string(&path).unwrap()).len();
            assert!(lines <= MAX_LINES, "{}: {lines} lines, {MAX_LINES} at most", path.display());
            files += 1;
        }
    }
    files
}

#[test]
fn source_files_are_short() {
    let crates = fs::read_dir("crates").unwrap().map(|entry| entry.unwrap().path().join("src"));
    for folder in crates.chain([Path::new("src").to_owned()]) {
        assert!(check_folder(&folder) > 0, "nothing in {}", folder.display());
    }
}

#[test]
fn code_after_tests_is_counted() {
    let text = "a\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    b\n}\nc\n";
    assert_eq!(without_tests(text), ["a", "c"]);
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod helpers {\n}\n").len(), 4);
}
