//! Whether the outputs of a command may be written: none may be an input or another output, by whatever name.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::UsageError;
use crate::camera::stills;
use crate::help::Problem;

/// How many nested links are followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// What a path refers to.
#[derive(PartialEq, Eq)]
enum Identity {
    /// A file, by device and inode: the same through symbolic and hard links.
    File(u64, u64),
    /// One that is not there yet, by its real folder and name.
    Absent(PathBuf, OsString),
}

/// Checks all paths before any of them is opened.
///
/// # Errors
/// [`UsageError`] when an output is an input, the same file as another output, or no file that can be written.
pub(super) fn check<'a>(
    outputs: &[(&str, Option<&Path>)],
    inputs: impl Iterator<Item = &'a Path> + Clone,
) -> Result<(), UsageError> {
    let mut known: Vec<(Identity, String)> = Vec::new();
    for (option, path) in outputs {
        let Some(path) = *path else { continue };
        let refused = |what: String, help: &'static str| {
            let problem = Problem::new(what).of(format_args!("{option} {}:", path.display()));
            UsageError::new(problem.with_help(help))
        };
        if let Ok(kind) = fs::metadata(path).map(|metadata| metadata.file_type()) {
            if kind.is_dir() {
                return Err(refused("is a folder".to_owned(), "name a file in it"));
            }
            // A terminal, /dev/null or a pipe accepts any output.
            if kind.is_socket() || kind.is_block_device() {
                return Err(refused("is no file".to_owned(), "name one that can be written"));
            }
        }
        let Some(identity) = identity(path) else { continue };
        if let Some(input) = inputs.clone().find(|input| reads(input, &identity)) {
            let input = input.display();
            return Err(refused(format!("would overwrite the input {input}"), "name another file"));
        }
        if let Some((_, other)) = known.iter().find(|(known, _)| *known == identity) {
            return Err(refused(format!("is the same file as {other}"), "name another one"));
        }
        known.push((identity, format!("{option} {}", path.display())));
    }
    Ok(())
}

/// Whether an input is this file, or a folder of which it is or would be a picture.
fn reads(input: &Path, output: &Identity) -> bool {
    let input = if input.as_os_str() == "-" { Path::new("/dev/stdin") } else { input };
    if !input.is_dir() {
        return identity(input).is_some_and(|input| input == *output);
    }
    match output {
        Identity::File(..) => fs::read_dir(input).is_ok_and(|pictures| {
            pictures.filter_map(|picture| Some(picture.ok()?.path())).any(|picture| {
                stills::is_still(&picture) && identity(&picture).is_some_and(|it| it == *output)
            })
        }),
        Identity::Absent(folder, name) => {
            stills::is_still(Path::new(name)) && fs::canonicalize(input).is_ok_and(|input| input == *folder)
        }
    }
}

/// What `path` refers to; none for what is no regular file, or has no existing folder.
fn identity(path: &Path) -> Option<Identity> {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_file().then(|| Identity::File(metadata.dev(), metadata.ino())),
        Err(_) => {
            // Perhaps a link to what is not there.
            let mut path = path.to_owned();
            for _ in 0..MAX_LINKS {
                let Ok(target) = fs::read_link(&path) else { break };
                path = path.parent()?.join(target);
            }
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
            Some(Identity::Absent(folder, path.file_name()?.to_owned()))
        }
    }
}
