//! Opens the files that a person or another program names: regular ones alone, so that no pipe, device or socket in their place
//! blocks the program, and reads them to a limit.
//!
//! A mount whose server is gone still blocks each call: what must go on meanwhile reads on another thread.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a regular file for reading.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for anything else, with what it is; otherwise as the system has them.
#[expect(clippy::disallowed_methods, reason = "here it is made sure that it is a regular file")]
pub fn open(path: &Path) -> io::Result<File> {
    // By name first: to open a device may already have an effect.
    check(std::fs::metadata(path)?.file_type())?;
    // The name may lead to another file by now.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// The content of a regular file.
///
/// # Errors
/// As [`open`], and [`io::ErrorKind::FileTooLarge`] where it has more than `longest` bytes.
pub fn read(path: &Path, longest: usize) -> io::Result<Vec<u8>> {
    read_all(&open(path)?, longest)
}

/// The rest of an open file.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`] where it has more than `longest` bytes.
pub fn read_all(file: &File, longest: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more, which shows that it is longer.
    let limit = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    if file.take(limit).read_to_end(&mut bytes)? > longest {
        let what = format!("has more than {longest} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// The content of a regular file in UTF-8.
///
/// # Errors
/// As [`read`], and [`io::ErrorKind::InvalidData`] where it is not UTF-8.
pub fn read_to_string(path: &Path, longest: usize) -> io::Result<String> {
    text(read(path, longest)?)
}

/// Bytes in UTF-8.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] where they are not.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    // The error would hold the bytes.
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

fn check(kind: FileType) -> io::Result<()> {
    let found = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {found}, not a regular file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_types, reason = "a socket among the files")]
    fn only_regular_files_are_opened_and_nothing_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), pipe, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("pipe"), at("link")).unwrap();
        std::fs::write(at("file"), "12345").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link to a file")).unwrap();
        for (path, found) in [
            (at("pipe"), "a pipe"),
            (at("link"), "a pipe"),
            (at("socket"), "a socket"),
            (folder.path().to_owned(), "a folder"),
            ("/dev/zero".into(), "a device"),
        ] {
            let error = open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
            assert_eq!(error.to_string(), format!("it is {found}, not a regular file"), "{path:?}");
        }
        assert_eq!(read(&at("link to a file"), 5).unwrap(), b"12345");
        assert_eq!(read(&at("file"), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&at("none"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        // Files of the kernel have no length beforehand.
        assert!(read(Path::new("/proc/self/status"), 64 << 10).unwrap().starts_with(b"Name:"));
        assert_eq!(read(Path::new("/proc/self/status"), 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
