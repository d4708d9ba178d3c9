//! The sources of the configuration: the file, the fragments beside it, the environment; later ones win.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Mistake};
use super::fragment::{Fragment, Key, Refusal, SECTIONS, Written};
use super::suggest;
use crate::file;
use crate::help::Problem;

/// Variables that start like configuration and are none.
const NOT_CONFIGURATION: [&str; 3] = ["LECTERN_DATA", "LECTERN_LOG", "LECTERN_MODELS"];

/// What the names of variables begin with.
const PREFIX: &str = "LECTERN_";

/// A file that is absent is most often one that was not named.
const NAME_THE_FILE: &str = "name the file with --config";

/// The fix of any other file that cannot be read.
const CHECK_THE_FILE: &str = "replace it with a text file that this user may read, or remove it";

/// The largest file of a configuration.
const MAX_BYTES: usize = 1 << 20;

/// One source of configuration.
struct Layer {
    source: Source,
    fragment: Fragment,
}

/// Where a layer was written.
enum Source {
    /// A file with its text; values count its bytes.
    File(PathBuf, String),
    Variable(String),
}

impl Source {
    /// `file:line`; a variable has no lines.
    fn place(&self, byte: usize) -> String {
        match self {
            Self::File(path, text) => format!("{}:{}", path.display(), line(text, byte)),
            Self::Variable(name) => variable(name),
        }
    }
}

/// A check of a key's value by its range.
pub(super) fn within<T: PartialOrd + Display + Copy>(low: T, high: T) -> impl Fn(T) -> Result<T, String> {
    move |value| {
        if value >= low && value <= high {
            Ok(value)
        } else {
            Err(format!("must be from {low} to {high}, not {value}"))
        }
    }
}

fn variable(name: &str) -> String {
    format!("variable {name}")
}

/// The line of a byte, from 1.
fn line(text: &str, byte: usize) -> usize {
    1 + text.as_bytes().iter().take(byte).filter(|byte| **byte == b'\n').count()
}

/// Every layer, and all mistakes that were found in them so far.
pub(super) struct Layers {
    /// The file that the configuration begins with.
    file: PathBuf,
    layers: Vec<Layer>,
    /// With the layer and the byte, by which they are sorted in the end.
    mistakes: RefCell<Vec<(usize, usize, Mistake)>>,
    /// Whether a layer could not be read to its end, so that a key that seems to be missing may be there.
    incomplete: bool,
}

/// A value with the place it was written at.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Where something was written: for people, and by the order of layers and bytes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    layer: usize,
    byte: usize,
    name: String,
}

/// A mistake was noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused;

impl Layers {
    /// Reads `file`, then `lectern.d/*.toml` beside it by name, then the `LECTERN_…` variables.
    pub(super) fn read(file: &Path, environment: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mistakes = RefCell::default();
        let mut this = Self { file: file.to_owned(), layers: Vec::new(), mistakes, incomplete: false };
        this.add_file(file);
        for fragment in this.fragments_beside(file) {
            this.add_file(&fragment);
        }
        let mut variables: Vec<_> = environment
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX) && !NOT_CONFIGURATION.contains(&name.as_str()))
            .collect();
        variables.sort();
        for (name, value) in variables {
            this.add_variable(&name, &value);
        }
        this
    }

    /// The value that the last layer gives to a key.
    pub(super) fn last<'a, T: Clone + 'a>(
        &'a self,
        key: impl Fn(&'a Fragment) -> &'a Key<T>,
    ) -> Option<Located<T>> {
        self.layers.iter().enumerate().rev().find_map(|(number, layer)| {
            let Written { value, byte } = key(&layer.fragment).as_ref()?;
            let place = Place { layer: number, byte: *byte, name: layer.source.place(*byte) };
            Some(Located { value: value.clone(), place })
        })
    }

    /// Checks one key; the error of `check` describes what is allowed: `must be …`.
    pub(super) fn key<'a, T: Clone + 'a, U, E: Into<Problem>>(
        &'a self,
        name: &str,
        of: impl Fn(&'a Fragment) -> &'a Key<T>,
        check: impl Fn(T) -> Result<U, E>,
    ) -> Result<Option<U>, Refused> {
        let Some(Located { value, place }) = self.last(of) else { return Ok(None) };
        check(value).map(Some).map_err(|problem| self.refuse(&place, problem.into().of(name)))
    }

    /// Records a mistake.
    pub(super) fn refuse(&self, place: &Place, problem: impl Into<Problem>) -> Refused {
        let Place { layer, byte, name } = place;
        self.mistakes.borrow_mut().push((*layer, *byte, Mistake::at(name, problem)));
        Refused
    }

    /// Records a mistake of the whole configuration; it is listed last.
    pub(super) fn refuse_all(&self, problem: impl Into<Problem>) -> Refused {
        let name = self.file.display().to_string();
        self.refuse(&Place { layer: usize::MAX, byte: 0, name }, problem)
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&self, name: &str, help: &'static str) -> Refused {
        if !self.incomplete {
            self.refuse_all(Problem::new(format!("{name} is not set")).with_help(help));
        }
        Refused
    }

    /// Notes a mistake of the layer that is being read.
    fn refuse_layer(&self, name: impl Display, problem: impl Into<Problem>) {
        self.refuse(&Place { layer: self.layers.len(), byte: 0, name: name.to_string() }, problem);
    }

    /// What was read, unless there was any mistake.
    pub(super) fn finish<T>(self, read: impl FnOnce(&Self) -> Result<T, Refused>) -> Result<T, ConfigError> {
        let outcome = read(&self);
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|(layer, byte, _)| (*layer, *byte));
        let mistakes: Vec<_> = mistakes.into_iter().map(|(_, _, mistake)| mistake).collect();
        outcome.ok().filter(|_| mistakes.is_empty()).ok_or_else(|| ConfigError::new(mistakes))
    }

    fn fragments_beside(&self, file: &Path) -> Vec<PathBuf> {
        let folder = file.parent().unwrap_or(Path::new("")).join("lectern.d");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(e) => {
                self.refuse_layer(folder.display(), Problem::new("cannot be read").caused_by(e));
                return Vec::new();
            }
        };
        let mut found: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        found.sort();
        found
    }

    fn add_file(&mut self, path: &Path) {
        match file::read_to_string(path, MAX_BYTES) {
            Ok(text) => {
                let (fragment, mistakes, whole) = parse(&text);
                self.add(Source::File(path.to_owned(), text), fragment, mistakes);
                self.incomplete |= !whole;
            }
            Err(error) => {
                let help = if error.kind() == ErrorKind::NotFound { NAME_THE_FILE } else { CHECK_THE_FILE };
                let problem = Problem::new("cannot be read").caused_by(error).with_help(help);
                self.refuse_layer(path.display(), problem);
                self.incomplete = true;
            }
        }
    }

    /// `LECTERN_SECTION_KEY=value`; the value is TOML where that fits the key, and a string otherwise.
    fn add_variable(&mut self, name: &str, value: &OsStr) {
        let Some(value) = value.to_str() else {
            self.refuse_layer(variable(name), "is not valid UTF-8");
            return;
        };
        let rest = name.strip_prefix(PREFIX).unwrap_or(name);
        let lower = rest.to_ascii_lowercase();
        let known = lower.split_once('_').filter(|(section, key)| {
            SECTIONS.iter().any(|(name, keys)| name == section && keys.contains(key))
        });
        let Some((section, key)) = known else {
            self.refuse_layer(variable(name), suggest::unknown_variable(rest));
            return;
        };
        let quoted = toml::Value::String(value.to_owned());
        let as_toml = parse(&format!("{section}.{key} = {value}"));
        let (fragment, mistakes, _) = match &as_toml {
            (_, mistakes, _) if mistakes.is_empty() => as_toml,
            _ => parse(&format!("{section}.{key} = {quoted}")),
        };
        self.add(Source::Variable(name.to_owned()), fragment, mistakes);
    }

    fn add(&mut self, source: Source, fragment: Fragment, mistakes: Vec<(usize, Problem)>) {
        for (byte, problem) in mistakes {
            let place = Place { layer: self.layers.len(), byte, name: source.place(byte) };
            self.refuse(&place, problem);
        }
        self.layers.push(Layer { source, fragment });
    }
}

/// What a text sets, its mistakes with the bytes they begin at, and whether it is TOML to its end. What is no TOML is
/// reported alone, because the parser's other errors are artefacts of it.
fn parse(text: &str) -> (Fragment, Vec<(usize, Problem)>, bool) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut fragment = Fragment::default();
    if !errors.is_empty() {
        let mut lines = BTreeSet::new();
        let errors = errors.iter().map(|error| (error.span().map_or(0, |span| span.start), error.message()));
        let first_of_line = errors.filter(|(byte, _)| lines.insert(line(text, *byte)));
        return (fragment, first_of_line.map(|(byte, problem)| (byte, problem.into())).collect(), false);
    }
    let mut mistakes = Vec::new();
    for (section, content) in table.get_ref() {
        let name = section.get_ref().as_ref();
        let DeValue::Table(keys) = content.get_ref() else {
            mistakes.push((section.span().start, not_a_section(name)));
            continue;
        };
        if SECTIONS.iter().all(|(known, _)| *known != name) {
            mistakes.push((section.span().start, suggest::unknown_section(name)));
            continue;
        }
        for (key, value) in keys {
            let (key, byte) = (key.get_ref().as_ref(), key.span().start);
            match fragment.set(name, key, value.get_ref(), byte) {
                Ok(()) => {}
                Err(Refusal::Unknown) => mistakes.push((byte, suggest::unknown_key(name, key))),
                Err(Refusal::WrongType(allowed)) => {
                    mistakes.push((byte, Problem::new(format!("{name}.{key} {allowed}"))));
                }
            }
        }
    }
    (fragment, mistakes, true)
}

/// A name at the top of a file that has a value.
fn not_a_section(name: &str) -> Problem {
    if SECTIONS.iter().any(|(known, _)| *known == name) {
        return Problem::new(format!("{name} is a section"))
            .with_help(format!("write [{name}], and its keys below"));
    }
    suggest::unknown_section(name)
}
