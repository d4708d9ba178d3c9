//! A folder in memory for the spool.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lectern::delivery::spool::storage::Storage;

/// Copies share their files.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, Vec<u8>>,
    /// How many of the next calls that read or write fail.
    failing: u32,
}

impl Memory {
    /// Changes the files by name; never fails.
    pub fn with_files<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        act(&mut self.lock().files)
    }

    /// Makes the next calls that read or write fail, or none.
    pub fn fail(&self, calls: u32) {
        self.lock().failing = calls;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files for a call that may fail.
    fn files<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.lock();
        if inner.failing > 0 {
            inner.failing -= 1;
            return Err(io::Error::other("fails in passing"));
        }
        act(&mut inner.files)
    }
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        self.files(|files| Ok(files.keys().cloned().collect()))
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        self.files(|files| {
            let bytes = files.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(bytes[..bytes.len().min(longest)].to_vec())
        })
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.files(|files| {
            let bytes = files.get(name).ok_or(io::ErrorKind::NotFound)?;
            let part =
                usize::try_from(offset).ok().and_then(|start| bytes.get(start..start.checked_add(length)?));
            part.map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
        })
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files(|files| {
            files.entry(name.to_owned()).or_default().extend(bytes);
            Ok(())
        })
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        self.files(|_| Ok(()))
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files(|files| {
            files.insert(name.to_owned(), bytes.to_vec());
            Ok(())
        })
    }

    fn rename(&mut self, name: &str, new: &str) -> io::Result<()> {
        self.files(|files| {
            let bytes = files.remove(name).ok_or(io::ErrorKind::NotFound)?;
            files.insert(new.to_owned(), bytes);
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.files(|files| {
            files.remove(name);
            Ok(())
        })
    }
}
