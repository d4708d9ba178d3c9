//! Where configuration comes from: the file, the fragments beside it, the environment; later ones win.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::fragment::{Fragment, Key, SECTIONS};

/// Variables that start like configuration and are none.
const NOT_CONFIGURATION: [&str; 3] = ["LECTERN_DATA", "LECTERN_LOG", "LECTERN_MODELS"];

/// One source of configuration.
pub(super) struct Layer {
    /// The file, or the variable.
    name: String,
    /// What was parsed; spans count its bytes.
    text: String,
    fragment: Fragment,
}

/// A value with the place it was written at.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: String,
}

/// Reads `file`, then `lectern.d/*.toml` beside it by name, then the `LECTERN_…` variables.
pub(super) fn read(
    file: &Path,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = vec![Layer::from_file(file)?];
    for fragment in fragments_beside(file)? {
        layers.push(Layer::from_file(&fragment)?);
    }
    let mut variables: Vec<_> = environment
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("LECTERN_") && !NOT_CONFIGURATION.contains(&name.as_str()))
        .collect();
    variables.sort();
    for (name, value) in variables {
        layers.push(Layer::from_variable(&name, &value)?);
    }
    Ok(layers)
}

/// The value that the last layer gives to a key.
pub(super) fn last<'a, T: Clone + 'a>(
    layers: &'a [Layer],
    key: impl Fn(&'a Fragment) -> &'a Key<T>,
) -> Option<Located<T>> {
    layers.iter().rev().find_map(|layer| {
        let found = key(&layer.fragment).as_ref()?;
        Some(Located { value: found.get_ref().clone(), place: layer.place(found.span().start) })
    })
}

/// Takes one key through its check.
pub(super) fn key<'a, T: Clone + 'a, U>(
    layers: &'a [Layer],
    name: &str,
    of: impl Fn(&'a Fragment) -> &'a Key<T>,
    check: impl Fn(T) -> Result<U, String>,
) -> Result<Option<U>, ConfigError> {
    last(layers, of)
        .map(|Located { value, place }| {
            check(value).map_err(|p| ConfigError::at(place, format!("{name} {p}")))
        })
        .transpose()
}

fn fragments_beside(file: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = file.parent().unwrap_or(Path::new("")).join("lectern.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(ConfigError::at(folder.display(), format!("cannot be read: {e}"))),
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    found.sort();
    Ok(found)
}

impl Layer {
    fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            ConfigError::at(path.display(), format!("cannot be read: {e}; name the file with --config"))
        })?;
        Self::parse(path.display().to_string(), text)
    }

    /// `LECTERN_SECTION_KEY=value`; the value is TOML where that fits the key, and a string otherwise.
    fn from_variable(name: &str, value: &std::ffi::OsStr) -> Result<Self, ConfigError> {
        let value = value
            .to_str()
            .ok_or_else(|| ConfigError::at(format!("variable {name}"), "is not valid UTF-8"))?;
        let lower = name.trim_start_matches("LECTERN_").to_ascii_lowercase();
        let Some((section, key)) = lower.split_once('_').filter(|(section, _)| SECTIONS.contains(section))
        else {
            let problem =
                format!("names no configuration key; sections are {}", SECTIONS.join(", ").to_uppercase());
            return Err(ConfigError::at(format!("variable {name}"), problem));
        };
        let place = format!("variable {name}");
        let quoted = toml::Value::String(value.to_owned());
        Self::parse(place.clone(), format!("{section}.{key} = {value}"))
            .or_else(|_| Self::parse(place, format!("{section}.{key} = {quoted}")))
    }

    fn parse(name: String, text: String) -> Result<Self, ConfigError> {
        match toml::from_str(&text) {
            Ok(fragment) => Ok(Self { name, text, fragment }),
            Err(e) => {
                let at = e.span().map_or(0, |span| span.start);
                // toml names an unknown key, but not one whose value is of the wrong type.
                let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
                let message = without_value(e.message());
                let problem = match text[line..at].split_once('=').map(|(key, _)| key.trim()) {
                    Some(key) if message.starts_with("invalid") && is_key(key) => format!("{key}: {message}"),
                    _ => message,
                };
                Err(ConfigError::at(place(&name, &text, at), problem))
            }
        }
    }

    fn place(&self, byte: usize) -> String {
        place(&self.name, &self.text, byte)
    }
}

/// What toml says, less the value that it found: it may be a password.
fn without_value(message: &str) -> String {
    let found = message.find(['"', '`']).filter(|_| {
        ["invalid type", "invalid value", "invalid length"].iter().any(|kind| message.starts_with(kind))
    });
    match (found, message.rfind(", expected ")) {
        (Some(value), Some(expected)) if value < expected => {
            format!("{}{}", message[..value].trim_end(), &message[expected..])
        }
        (Some(value), _) => message[..value].trim_end().to_owned(),
        _ => message.to_owned(),
    }
}

/// Whether this can be a key; a line may also begin in the midst of a string.
fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// `file:line`; a variable has no lines.
fn place(name: &str, text: &str, byte: usize) -> String {
    if name.starts_with("variable ") {
        return name.to_owned();
    }
    let line = 1 + text.as_bytes().iter().take(byte).filter(|byte| **byte == b'\n').count();
    format!("{name}:{line}")
}
