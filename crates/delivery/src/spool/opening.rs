//! How a spool begins: with what an earlier process left, in folders that may come later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use super::old::{self, Old};
use super::reading::Patience;
use super::record::{self, Entry, Name, decode};
use super::state::{self, State};
use super::storage::{Storage, is_foreign};
use super::writing::{UNCOPIED, UNSTORED};
use super::{At, Disk, Folder, Folders, Held, Item, Keep, Runtime, Spool, Trouble};
use crate::events;
use lectern_record::clock::BootTime;

/// How often the runtime directory is read before the run begins without what it holds.
pub(super) const READ_RUNTIME: u32 = 3;

/// What an earlier process left in the runtime directory.
struct Left {
    state: Option<State>,
    records: Vec<(Name, Held)>,
    damaged: u64,
    old: Vec<String>,
}

/// Files of earlier versions: the position that each begins with, whether it goes on from the one before, and its name.
type OldFiles = Vec<(u64, bool, String)>;

impl Spool {
    pub(super) fn open_in_boot(
        folders: Folders,
        keep: Keep,
        kernel_boot: &str,
    ) -> Result<Self, getrandom::Error> {
        let disk = folders.disk.map(|Folder { name, storage }| Disk {
            name,
            storage,
            is_open: false,
            since: None,
            again: BootTime::ZERO,
            in_memory: false,
            old: Vec::new(),
            scanned: None,
            unremoved: Vec::new(),
            trouble: Trouble::default(),
        });
        let runtime = folders.runtime.map(|Folder { name, storage }| Runtime {
            name,
            storage,
            is_open: false,
            old: Vec::new(),
            trouble: Trouble::default(),
        });
        let mut spool = Self {
            state: State::new(kernel_boot)?,
            waiting: VecDeque::new(),
            aside: BTreeMap::new(),
            disk,
            runtime,
            keep,
            patience: Patience::default(),
            failing: None,
            damaged: 0,
            named: 0,
            leaving: false,
        };
        let open = spool.begin();
        spool.take_stock();
        // Nothing is noted before this, for the state that an earlier process left has the open window.
        match open {
            Some(entry) => spool.accept(entry),
            None => {
                spool.trim();
                spool.note();
            }
        }
        Ok(spool)
    }

    /// Takes over what an earlier process left in the runtime directory; the window that was open then is returned.
    fn begin(&mut self) -> Option<Entry> {
        let disk = self.disk.as_ref().map(|disk| disk.name.clone());
        let runtime = self.runtime.as_mut()?;
        let mut left = runtime.read(disk.as_deref());
        for _ in 1..READ_RUNTIME {
            left = left.or_else(|_| runtime.read(disk.as_deref()));
        }
        let Left { state, records, damaged, old } = match left {
            Ok(left) => left,
            Err(error) => {
                runtime.trouble.report(Err(error), &runtime.name, UNCOPIED);
                return None;
            }
        };
        (runtime.is_open, runtime.old, self.damaged) = (true, old, damaged);
        let newest = records.last().map(|(_, held)| held.entry.clone());
        let open = state.and_then(|state| self.state.go_on_from(state, newest.as_ref(), disk.as_deref()));
        for (name, held) in records {
            self.state.next = self.state.next.max(name.position + 1);
            self.waiting.push_back(Item { name, at: At::Memory(Box::new(held)) });
        }
        if open.is_some() {
            log::info!("the window that was open when the last run ended is recovered");
        }
        open
    }

    /// Takes over what is in a runtime directory that could not be read at the start: behind everything else, with the same keys.
    pub(super) fn open_runtime(&mut self) {
        let Some(runtime) = self.runtime.as_mut().filter(|runtime| !runtime.is_open) else { return };
        let Ok(Left { state, mut records, damaged, old }) = runtime.read(None) else { return };
        runtime.is_open = true;
        runtime.old = old;
        runtime.old.extend(records.iter().map(|(name, _)| name.to_string()));
        self.damaged += damaged;
        let last = records.last().map_or(0, |(name, _)| name.position + 1);
        if let Some(State { open, dropped, .. }) = state {
            self.state.dropped += dropped;
            if let Some(entry) = open.map(|(_, topic, payload)| Entry { topic, payload })
                && records.last().is_none_or(|(_, held)| held.entry != entry)
            {
                let name = Name { position: last, start: entry.start() };
                records.push((name, Held { entry, copied: false, on_disk: false }));
            }
        }
        let first = self.state.next.max(last);
        for (name, Held { entry, .. }) in records {
            let held = Held { entry, copied: false, on_disk: false };
            self.waiting.push_back(Item { name, at: At::Memory(Box::new(held)) });
        }
        // So that no copy is written over one of theirs.
        self.renumber(first);
    }

    /// Gives what is in memory positions from `first` on. The copies are written anew, and then those before are removed.
    fn renumber(&mut self, first: u64) {
        self.aside.clear();
        for (index, position) in (self.first_in_memory()..self.waiting.len()).zip(first..) {
            let Item { name, at } = &mut self.waiting[index];
            let old = std::mem::replace(name, Name { position, ..*name });
            self.state.next = self.state.next.max(position + 1);
            let At::Memory(held) = at else { continue };
            if let Some(runtime) = self.runtime.as_mut().filter(|_| std::mem::take(&mut held.copied)) {
                runtime.old.push(old.to_string());
            }
            if std::mem::take(&mut held.on_disk) {
                self.unlink(old);
            }
        }
    }

    /// Opens the disk, if that could not be done before.
    pub(super) fn open_disk(&mut self) {
        if self.disk.as_ref().is_some_and(|disk| !disk.is_open) {
            self.take_stock();
            self.trim();
            self.note();
        }
    }

    /// Finds what waits on the disk, and where it goes among what is in memory.
    fn take_stock(&mut self) {
        let Some(disk) = &mut self.disk else { return };
        let (found, mut newest) = match disk.take_stock() {
            Ok(found) => found,
            Err(error) => {
                if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
                    // The folder cannot be made, so nothing is there to wait for.
                    disk.since = Some(BootTime::ZERO);
                }
                disk.trouble.report(Err(error), &disk.name, UNSTORED);
                return;
            }
        };
        disk.is_open = true;
        self.state.disk = Some(disk.name.clone());
        disk.in_memory = disk.storage.is_in_memory();
        if disk.in_memory {
            log::warn!("spool.directory {} is in memory: a power loss takes what waits there", disk.name);
        }
        disk.trouble.report(Ok(()), &disk.name, UNSTORED);
        // Delivered, while the disk was away or could not be written.
        let gone = std::mem::take(&mut self.state.gone);
        let (gone, mut found): (VecDeque<_>, VecDeque<_>) = found
            .into_iter()
            .partition(|item| gone.iter().any(|(from, end)| (*from..*end).contains(&item.name.position)));
        if let Some(last) = found.back().filter(|item| matches!(item.at, At::File))
            && let Ok(bytes) = disk.storage.read(&last.name.to_string(), record::LONGEST)
            && let Some((dropped, _)) = decode(&bytes)
        {
            newest = newest.max(dropped);
        }
        // Without a state of this boot it is the count; else it is not above it.
        self.state.dropped = self.state.dropped.max(newest);
        let mut collides = false;
        for Item { name, at } in &mut self.waiting {
            let At::Memory(held) = at else { continue };
            let may_be_there = std::mem::take(&mut held.on_disk);
            let Ok(index) = found.binary_search_by_key(&name.position, |item| item.name.position) else {
                continue;
            };
            // The process died after it was stored, and before its copy was removed; or the positions are of another disk.
            held.on_disk = disk.look_at(&found[index]).map_or(may_be_there, |entry| entry == held.entry);
            collides |= !held.on_disk;
            if held.on_disk {
                found.remove(index);
            }
        }
        let end = found.back().map_or(0, |last| last.name.position + 1);
        let begin = self.waiting.front().map_or(u64::MAX, |first| first.name.position);
        self.state.next = self.state.next.max(end);
        if collides || begin < end {
            self.renumber(self.state.next);
        }
        found.append(&mut self.waiting);
        self.waiting = found;
        for item in gone.iter().filter(|item| matches!(item.at, At::File)) {
            self.unlink(item.name);
        }
    }
}

/// Lists a folder, and removes what a write that was cut short left behind.
fn find(storage: &mut dyn Storage) -> io::Result<(Vec<Name>, OldFiles)> {
    let (mut records, mut old) = (Vec::new(), Vec::new());
    for name in storage.list()? {
        if let Some(record) = Name::parse(&name) {
            records.push(record);
        } else if let Some((from, follows)) = old::parse(&name) {
            old.push((from, follows, name));
        } else if name.strip_suffix(".new").is_some_and(|name| Name::parse(name).is_some()) {
            let _ = storage.remove(&name);
        }
    }
    old.sort_unstable();
    Ok((records, old))
}

impl Runtime {
    /// Reads what an earlier process left, whose positions are those of the folder on the disk if it is called `disk`.
    fn read(&mut self, disk: Option<&str>) -> io::Result<Left> {
        let (records, old) = find(self.storage.as_mut())?;
        let state = state::read(self.storage.as_ref())?;
        let on_disk = disk.is_some() && state.as_ref().is_some_and(|state| state.disk.as_deref() == disk);
        let mut left = Left { state, records: Vec::new(), damaged: 0, old: Vec::new() };
        for name in records {
            match self.storage.read(&name.to_string(), record::LONGEST) {
                Ok(bytes) => match decode(&bytes) {
                    Some((_, entry)) => left.records.push((name, Held { entry, copied: true, on_disk })),
                    None => left.damaged += 1,
                },
                Err(error) if is_foreign(&error) => log::warn!("{name} in the runtime directory {error}"),
                Err(error) => return Err(error),
            }
        }
        for (.., file) in old {
            match self.storage.read(&file, old::LONGEST_FILE) {
                Ok(bytes) => {
                    left.records.extend(old::scan(&bytes).into_iter().map(
                        |old::Record { position, entry, .. }| {
                            let name = Name { position, start: entry.start() };
                            (name, Held { entry, copied: false, on_disk })
                        },
                    ));
                    left.old.push(file);
                }
                Err(error) if is_foreign(&error) => log::warn!("{file} in the runtime directory {error}"),
                Err(error) => return Err(error),
            }
        }
        left.records.sort_by_key(|(name, _)| name.position);
        // The process may have died while it wrote copies anew.
        let mut seen = BTreeSet::new();
        let twice = left.records.extract_if(.., |(_, held)| !seen.insert(held.entry.payload.clone()));
        left.old.extend(twice.filter(|(_, held)| held.copied).map(|(name, _)| name.to_string()));
        Ok(left)
    }
}

impl Disk {
    /// The records in a folder by position, those in files of earlier versions included, and the count of dropped ones in these.
    fn take_stock(&mut self) -> io::Result<(Vec<Item>, u64)> {
        let (records, files) = find(self.storage.as_mut())?;
        let mut items: Vec<_> = records.into_iter().map(|name| Item { name, at: At::File }).collect();
        let mut newest = 0;
        self.old.clear();
        for (place, (from, _, name)) in files.iter().enumerate() {
            let records = match self.storage.read(name, old::LONGEST_FILE) {
                Ok(bytes) => old::scan(&bytes),
                Err(error) if is_foreign(&error) => {
                    events::spool_foreign(name, &error.to_string());
                    continue;
                }
                // It is tried again at the next start.
                Err(error) => {
                    events::spool_unreadable(name, &error.to_string());
                    Vec::new()
                }
            };
            let next = files.get(place + 1).filter(|(_, follows, _)| *follows).map(|(next, ..)| *next);
            let damaged = old::damaged(*from, &records, next);
            if damaged > 0 {
                events::spool_damaged(name, &format!("is damaged: {damaged} minutes or more are dropped"));
            }
            let file = u32::try_from(self.old.len()).unwrap_or(u32::MAX);
            for (old::Record { position, dropped, .. }, index) in records.into_iter().zip(0..) {
                newest = newest.max(dropped);
                // Earlier versions kept days by count.
                items.push(Item { name: Name { position, start: None }, at: At::Old { file, index } });
            }
            self.old.push(Old { name: name.clone(), damaged });
        }
        items.sort_by_key(|item| item.name.position);
        items.dedup_by_key(|item| item.name.position);
        Ok((items, newest))
    }
}
