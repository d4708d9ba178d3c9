//! What is written when: records, the state, and what is removed or dropped.

use std::io;

use jiff::Timestamp;

use super::record::{Name, encode};
use super::state::STATE;
use super::{At, BATCH, Item, MOST_IN_MEMORY, MOST_RECORDS, Spool};
use crate::events;

/// What it means that the runtime directory cannot be used.
pub(super) const UNCOPIED: &str = "if this process dies meanwhile, what waits in memory is lost with it";

/// The same of the disk.
pub(super) const UNSTORED: &str = "records wait in memory, and a power loss would lose them";

impl Spool {
    /// Writes what is only in memory to the disk, and returns when a power loss would not lose it; of many records only the oldest,
    /// unless the process is about to end.
    pub fn store(&mut self) {
        self.open_disk();
        let first = self.first_in_memory();
        let end = if self.leaving { self.waiting.len() } else { self.waiting.len().min(first + BATCH) };
        let Some(disk) = self.disk.as_mut().filter(|disk| disk.is_open) else { return };
        let storage = &mut disk.storage;
        disk.unremoved.retain(|name| storage.remove(&name.to_string()).is_err());
        if disk.unremoved.is_empty() {
            self.state.gone.clear();
        }
        if first == end {
            return;
        }
        let written = self.waiting.range_mut(first..end).try_for_each(|Item { name, at }| {
            let At::Memory(held) = at else { return Ok(()) };
            held.on_disk = true;
            storage.write(&name.to_string(), &encode(self.state.dropped, &held.entry), true)
        });
        let mut folders: Vec<_> = self.waiting.range(first..end).map(|item| item.name.to_string()).collect();
        folders.dedup_by(|one, other| one.split('/').next() == other.split('/').next());
        let stored = written.and_then(|()| folders.iter().try_for_each(|name| storage.sync(name)));
        if !disk.trouble.report(stored, &disk.name, UNSTORED) {
            return;
        }
        for item in self.waiting.range_mut(first..end) {
            if let At::Memory(held) = std::mem::replace(&mut item.at, At::File)
                && let Some(runtime) = self.runtime.as_mut().filter(|_| held.copied)
            {
                let _ = runtime.storage.remove(&item.name.to_string());
            }
        }
        self.trim();
    }

    /// Writes what outlives the process to the runtime directory. Where that fails, there is no state, so that the next process
    /// names a new boot instead of giving a `seq` to a second window.
    pub(super) fn note(&mut self) {
        self.open_runtime();
        let first = self.first_in_memory();
        let Some(runtime) = self.runtime.as_mut().filter(|runtime| runtime.is_open) else { return };
        let copied = self.waiting.range_mut(first..).try_for_each(|Item { name, at }| {
            if let At::Memory(held) = at
                && !held.copied
            {
                let record = encode(self.state.dropped, &held.entry);
                runtime.storage.write(&name.to_string(), &record, false)?;
                held.copied = true;
            }
            Ok(())
        });
        let state = serde_json::to_vec(&self.state).map_err(io::Error::from);
        let storage = &mut runtime.storage;
        let noted = copied.and(state).and_then(|state| {
            // First, for the state may say of which disk the new positions are.
            runtime.old.retain(|name| storage.remove(name).is_err());
            storage.write(STATE, &state, false)
        });
        if !runtime.trouble.report(noted, &runtime.name, UNCOPIED) {
            let _ = runtime.storage.remove(STATE);
        }
    }

    /// Forgets a record, and removes its file.
    pub(super) fn forget(&mut self, index: usize) {
        let Some(Item { name, at }) = self.waiting.remove(index) else { return };
        self.aside.remove(&name.position);
        match at {
            At::Memory(held) => {
                if held.on_disk && !self.unlink(name) {
                    self.note();
                }
                if let Some(runtime) = self.runtime.as_mut().filter(|_| held.copied) {
                    // If it cannot be removed, it comes again with the next run.
                    let _ = runtime.storage.remove(&name.to_string());
                }
            }
            At::File => {
                if !self.unlink(name) {
                    self.note();
                }
            }
            At::Old { file, .. } => {
                let is_there = |item: &Item| matches!(item.at, At::Old { file: other, .. } if other == file);
                if !self.waiting.iter().any(is_there)
                    && let Some(old) = self.disk.as_mut().and_then(|disk| disk.old.get_mut(file as usize))
                {
                    // With its file they are not found again.
                    self.state.dropped += std::mem::take(&mut old.damaged);
                    let name = old.name.clone();
                    self.note();
                    if let Some(disk) = &mut self.disk {
                        // If it cannot be removed, its records come again with the next run.
                        let _ = disk.storage.remove(&name);
                    }
                }
            }
        }
    }

    /// Removes a file from the disk; where that fails, returns false, and the state says that it is not needed.
    pub(super) fn unlink(&mut self, name: Name) -> bool {
        let Some(disk) = &mut self.disk else { return true };
        if disk.is_open {
            let Err(error) = disk.storage.remove(&name.to_string()) else { return true };
            if disk.unremoved.is_empty() {
                log::warn!("{name} cannot be removed from the spool: {error}; it is tried again");
            }
            disk.unremoved.push(name);
        }
        self.state.forget(name.position);
        false
    }

    /// Drops the oldest records while there are too many.
    pub(super) fn trim(&mut self) {
        let most = self.keep.records.clamp(1, MOST_RECORDS);
        let too_many = self.waiting.len().saturating_sub(most);
        (0..too_many).for_each(|_| self.forget(0));
        let first = self.first_in_memory();
        let too_many_in_memory = (self.waiting.len() - first).saturating_sub(MOST_IN_MEMORY);
        (0..too_many_in_memory).for_each(|_| self.forget(first));
        self.dropped_now(too_many + too_many_in_memory);
    }

    /// Drops the records that are older than they may be; `now` is the time of a clock that is right. A record whose start is not
    /// certain is older than the next one.
    pub fn expire(&mut self, now: Timestamp) {
        let Some(seconds) = self.keep.seconds else { return };
        let oldest = now.as_second() - i64::from(seconds);
        let is_old = |item: &Item| item.name.start.is_some_and(|start| i64::from(start) < oldest);
        let may_be_old =
            self.waiting.iter().take_while(|item| item.name.start.is_none() || is_old(item)).count();
        let old = self.waiting.range(..may_be_old).rposition(is_old).map_or(0, |last| last + 1);
        (0..old).for_each(|_| self.forget(0));
        self.dropped_now(old);
    }

    fn dropped_now(&mut self, count: usize) {
        if count > 0 {
            self.state.dropped += count as u64;
            self.note();
            events::records_dropped();
        }
    }
}
