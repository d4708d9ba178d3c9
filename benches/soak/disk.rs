//! The state directory, on a disk that can be full, is slow, and loses unsynced data in a power loss.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use lectern::delivery::spool::storage::{Directory, Storage};

use crate::files::{DISK, DISK_AWAY, DISK_FULL, FILES_FAIL, Ledger, READS_FAIL, STORED, payload};
use crate::folder::{Between, Folder};

/// The number of synced bytes of each file, at each change: lines of a name and a number.
const SYNCED: &str = "synced.ledger";
/// Files that were removed since the folder itself was synced, which is when a new file is.
const REMOVED: &str = "removed";
/// A sync takes up to so many milliseconds, as on a worn SD card, so that a power loss often falls into one.
const SLOWEST_SYNC_MS: u64 = 60;
/// How many removals a power loss undoes at most.
const MOST_REVIVED: usize = 3;
/// The first bytes of each record.
const MARKER: &[u8] = b"\xffLR\x01";

/// The device's side of the disk, with ledgers of the synced data.
pub(crate) struct Disk {
    inner: Directory,
    folder: PathBuf,
    stored: Ledger,
    synced: Ledger,
    synced_names: HashSet<String>,
    /// The payloads appended to each file since its last sync.
    unsynced: HashMap<String, Vec<String>>,
}

impl Disk {
    pub(crate) fn open(folder: &Path) -> io::Result<Folder<Self>> {
        fs::create_dir_all(folder.join(REMOVED))?;
        Ok(Folder(Self {
            inner: Directory::at(&folder.join(DISK)),
            folder: folder.to_owned(),
            stored: Ledger::open(folder.join(STORED))?,
            synced: Ledger::open(folder.join(SYNCED))?,
            synced_names: HashSet::new(),
            unsynced: HashMap::new(),
        }))
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

impl Between for Disk {
    fn inner(&mut self) -> &mut Directory {
        &mut self.inner
    }

    fn inner_to_read(&self) -> &Directory {
        &self.inner
    }

    fn reading(&self, name: &str) -> io::Result<()> {
        let passing = self.folder.join(READS_FAIL).exists() && fastrand::bool();
        let is_bad = name.bytes().fold(0, |sum: u32, byte| sum + u32::from(byte)) % 2 == 1;
        if passing || (is_bad && self.folder.join(FILES_FAIL).exists()) {
            return Err(rustix::io::Errno::IO.into());
        }
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if let Err(full) = self.room() {
            // As much as fits.
            self.inner.append(name, &bytes[..fastrand::usize(..bytes.len())])?;
            return Err(full);
        }
        self.inner.append(name, bytes)?;
        self.unsynced.entry(name.to_owned()).or_default().push(payload(bytes));
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.room()?;
        std::thread::sleep(Duration::from_millis(fastrand::u64(..SLOWEST_SYNC_MS)));
        self.inner.sync(name)?;
        if self.synced_names.insert(name.to_owned()) {
            fs::remove_dir_all(self.folder.join(REMOVED))?;
            fs::create_dir(self.folder.join(REMOVED))?;
        }
        let bytes = self.inner.read(name, usize::MAX - 1)?.len();
        self.synced.note(&format!("{name} {bytes}"));
        for payload in self.unsynced.remove(name).unwrap_or_default() {
            self.stored.note(&payload);
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.room()?;
        self.inner.replace(name, bytes)
    }

    fn rename(&mut self, name: &str, new: &str) -> io::Result<()> {
        self.room()?;
        self.inner.rename(name, new)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.unsynced.remove(name);
        self.synced_names.remove(name);
        let grave = self.folder.join(REMOVED).join(name);
        // A file of that name may have been removed before, and there may be none now.
        let _ = fs::remove_file(&grave);
        let _ = fs::hard_link(place(&self.folder).join(name), grave);
        self.inner.remove(name)?;
        self.synced.note(&format!("{name} 0"));
        Ok(())
    }
}

/// Applies a power loss to the disk of a stopped device: unsynced data is truncated, zeroed or randomised, and the last
/// removals are undone. Returns the number of unsynced records.
pub(crate) fn lose_power(folder: &Path, random: &mut Rng) -> u64 {
    let ledger = fs::read_to_string(folder.join(SYNCED)).unwrap_or_default();
    let notes: Vec<_> = ledger.lines().filter_map(|line| line.split_once(' ')).collect();
    let safe: HashMap<&str, usize> =
        notes.iter().map(|(name, bytes)| (*name, bytes.parse().unwrap())).collect();
    let (mut caught, mut new_name_stayed) = (0, false);
    let disk = place(folder);
    for entry in fs::read_dir(&disk).into_iter().flatten().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("entries-") {
            continue;
        }
        let mut bytes = fs::read(entry.path()).unwrap();
        let safe = safe.get(&*name).copied().unwrap_or(0).min(bytes.len());
        let unsynced = &mut bytes[safe..];
        if unsynced.is_empty() {
            continue;
        }
        caught += unsynced.windows(MARKER.len()).filter(|window| *window == MARKER).count() as u64;
        let left = random.usize(..=unsynced.len());
        match random.u8(..4) {
            // Not even its name was synced.
            0 if safe == 0 => {
                fs::remove_file(entry.path()).unwrap();
                continue;
            }
            0 | 1 => bytes.truncate(safe + left),
            2 => unsynced[left..].fill(0),
            _ => random.fill(&mut unsynced[left..]),
        }
        fs::write(entry.path(), bytes).unwrap();
        new_name_stayed |= safe == 0;
    }
    let removals = notes.iter().rev().filter(|(_, bytes)| *bytes == "0");
    // File systems keep the order of name changes.
    let revived = if new_name_stayed { 0 } else { random.usize(..=MOST_REVIVED) };
    for (name, _) in removals.take(revived) {
        if !disk.join(name).exists() {
            // It may no longer exist, or have been created and removed more than once.
            let _ = fs::rename(folder.join(REMOVED).join(name), disk.join(name));
        }
    }
    // What is there now stays.
    let _ = fs::remove_dir_all(folder.join(REMOVED));
    let sizes = fs::read_dir(&disk).into_iter().flatten().map(|entry| {
        let entry = entry.unwrap();
        format!("{} {}\n", entry.file_name().display(), entry.metadata().unwrap().len())
    });
    fs::write(folder.join(SYNCED), sizes.collect::<String>()).unwrap();
    caught
}
