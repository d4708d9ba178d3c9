//! The state directory, on a disk that can be full, is slow, and loses unsynced data in a power loss.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use lectern::delivery::spool::storage::{Directory, Storage};

use crate::files::{DISK, DISK_AWAY, DISK_FULL, FILES_FAIL, Ledger, READS_FAIL, STORED, payload};

/// The files whose names were synced.
const SYNCED: &str = "synced.ledger";
/// Files that were removed since a folder was synced last.
const REMOVED: &str = "removed";
/// A sync takes up to so many milliseconds, as on a worn SD card, so that a power loss often falls into one.
const SLOWEST_SYNC_MS: u64 = 60;
/// How many removals a power loss undoes at most.
const MOST_REVIVED: usize = 3;

/// The device's side of the disk, with ledgers of the synced data.
pub(crate) struct Disk {
    inner: Directory,
    folder: PathBuf,
    stored: Ledger,
    synced: Ledger,
    /// The payloads of the files whose names are not synced.
    unsynced: BTreeMap<String, String>,
}

impl Disk {
    pub(crate) fn open(folder: &Path) -> Self {
        fs::create_dir_all(folder.join(REMOVED)).unwrap();
        Self {
            inner: Directory::at(&folder.join(DISK)),
            folder: folder.to_owned(),
            stored: Ledger::open(folder.join(STORED)),
            synced: Ledger::open(folder.join(SYNCED)),
            unsynced: BTreeMap::new(),
        }
    }

    fn reading(&self, name: &str) -> io::Result<()> {
        let passing = self.folder.join(READS_FAIL).exists() && fastrand::bool();
        let is_bad = name.bytes().fold(0, |sum: u32, byte| sum + u32::from(byte)) % 2 == 1;
        if passing || (is_bad && self.folder.join(FILES_FAIL).exists()) {
            return Err(rustix::io::Errno::IO.into());
        }
        Ok(())
    }

    fn room(&self) -> io::Result<()> {
        if self.folder.join(DISK_FULL).exists() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// Where the state directory is now.
fn place(folder: &Path) -> PathBuf {
    let away = folder.join(DISK_AWAY);
    if away.exists() { away } else { folder.join(DISK) }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.reading("")?;
        self.inner.list()
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        self.reading(name)?;
        self.inner.read(name, longest)
    }

    fn write(&mut self, name: &str, bytes: &[u8], durably: bool) -> io::Result<()> {
        self.room()?;
        std::thread::sleep(Duration::from_millis(fastrand::u64(..SLOWEST_SYNC_MS)));
        self.inner.write(name, bytes, durably)?;
        self.unsynced.insert(name.to_owned(), payload(bytes));
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.room()?;
        self.inner.sync(name)?;
        fs::remove_dir_all(self.folder.join(REMOVED))?;
        fs::create_dir(self.folder.join(REMOVED))?;
        let Some((folder, _)) = name.split_once('/') else { return Ok(()) };
        let is_there = |other: &String| other.split_once('/').is_some_and(|(other, _)| other == folder);
        self.unsynced.retain(|name, payload| {
            let synced = is_there(name);
            if synced {
                self.synced.note(name);
                self.stored.note(payload);
            }
            !synced
        });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let is_safe = self.unsynced.remove(name).is_none();
        let grave = self.folder.join(REMOVED).join(name.replace('/', "+"));
        // A file of that name may have been removed before, and there may be none now.
        let _ = fs::remove_file(&grave);
        if is_safe {
            let _ = fs::hard_link(place(&self.folder).join(name), grave);
        }
        self.inner.remove(name)
    }
}

/// The files in the folders of records: names and paths.
fn records(disk: &Path) -> Vec<(String, PathBuf)> {
    let files =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.strip_prefix(disk).unwrap().display().to_string();
    files(disk.to_owned())
        .filter(|folder| folder.is_dir())
        .flat_map(files)
        .map(|path| (name(&path), path))
        .collect()
}

/// Applies a power loss to the disk of a stopped device: files whose names were not synced are missing, truncated, zeroed or
/// randomised, and the last removals are undone. Returns the number of such files.
pub(crate) fn lose_power(folder: &Path, random: &mut Rng) -> u64 {
    let ledger = fs::read_to_string(folder.join(SYNCED)).unwrap_or_default();
    let safe: HashSet<&str> = ledger.lines().collect();
    let (mut caught, mut new_name_stayed) = (0, false);
    let disk = place(folder);
    for (name, path) in records(&disk) {
        if safe.contains(&*name) {
            continue;
        }
        caught += 1;
        let mut bytes = fs::read(&path).unwrap();
        let left = random.usize(..=bytes.len());
        match random.u8(..4) {
            0 => {
                fs::remove_file(&path).unwrap();
                continue;
            }
            1 => bytes.truncate(left),
            2 => bytes[left..].fill(0),
            _ => random.fill(&mut bytes[left..]),
        }
        fs::write(&path, bytes).unwrap();
        new_name_stayed = true;
    }
    // File systems keep the order of name changes.
    let revived = if new_name_stayed { 0 } else { random.usize(..=MOST_REVIVED) };
    let graves = fs::read_dir(folder.join(REMOVED)).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut graves: Vec<_> = graves.collect();
    graves.sort_unstable();
    for grave in graves.iter().rev().take(revived) {
        let path = disk.join(grave.file_name().unwrap().to_str().unwrap().replace('+', "/"));
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::rename(grave, path).unwrap();
        }
    }
    // What is there now stays.
    let _ = fs::remove_dir_all(folder.join(REMOVED));
    let names = records(&disk).into_iter().map(|(name, _)| name + "\n");
    fs::write(folder.join(SYNCED), names.collect::<String>()).unwrap();
    caught
}
