//! A layer between a folder of the device and the spool; methods without an override pass through.

use std::io;

use lectern::delivery::spool::storage::{Directory, Storage};

/// What is between a spool and a real folder.
pub(crate) trait Between: Send {
    fn inner(&mut self) -> &mut Directory;
    fn inner_to_read(&self) -> &Directory;
    /// Whether this can be read now.
    fn reading(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.inner().sync(name)
    }
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    fn rename(&mut self, name: &str, new: &str) -> io::Result<()> {
        self.inner().rename(name, new)
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner().remove(name)
    }
}

/// The folder as the spool sees it.
pub(crate) struct Folder<B>(pub(crate) B);

impl<B: Between> Storage for Folder<B> {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.reading("")?;
        self.0.inner_to_read().list()
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        self.0.reading(name)?;
        self.0.inner_to_read().read(name, longest)
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.reading(name)?;
        self.0.inner_to_read().read_at(name, offset, length)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.append(name, bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.0.sync(name)
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.replace(name, bytes)
    }

    fn rename(&mut self, name: &str, new: &str) -> io::Result<()> {
        self.0.rename(name, new)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}
