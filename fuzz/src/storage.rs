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

    fn sync(&mut self, _: &str) -> io::Result<()> {
        self.files(|_| Ok(()))
    }

    fn write(&mut self, name: &str, bytes: &[u8], _durably: bool) -> io::Result<()> {
        self.files(|files| {
            files.insert(name.to_owned(), bytes.to_vec());
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
