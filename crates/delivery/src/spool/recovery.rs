//! How a spool begins: with what an earlier process left, and with a disk that may come later.

use std::collections::VecDeque;
use std::io;

use super::append_log::{Known, Log, News};
use super::boot::Key;
use super::folders::{Folder, Folders};
use super::names::STATE;
use super::patience::Patience;
use super::record::Entry;
use super::state::{self, State};
use super::storage::Storage;
use super::{Away, Spool};
use lectern_record::clock::BootTime;

/// How often the runtime directory is read before the run goes on without what it holds.
pub(super) const READ_RUNTIME: u32 = 3;

/// What an earlier process left in the runtime directory.
struct Left {
    log: Log,
    state: Option<State>,
    tail: VecDeque<(u64, Entry)>,
}

impl Spool {
    pub(super) fn open_in_boot(
        folders: Folders,
        capacity: usize,
        most_bytes: u64,
        kernel_boot: &str,
    ) -> Result<Self, getrandom::Error> {
        let left = folders.runtime.and_then(|Folder { name, storage }| {
            storage
                .and_then(read_runtime)
                .inspect_err(|error| {
                    log::warn!(
                        "runtime directory {name}: {error}; if this process dies, its open window is lost with it"
                    );
                })
                .ok()
        });
        let (runtime, old, tail) = match left {
            Some(Left { log, state, tail }) => (Some(log), state.unwrap_or_default(), tail),
            None => (None, State::default(), VecDeque::new()),
        };
        let same_boot = old.boot.is_in(kernel_boot);
        let (disk_name, storage) = folders.disk.map(|Folder { name, storage }| (name, storage)).unzip();
        let same_disk = old.disk == disk_name && disk_name.is_some() && old.stored.is_some();
        let mut spool = Self {
            state: State {
                first: old.first,
                next: old.next,
                dropped: old.dropped,
                disk: disk_name,
                stored: old.stored.filter(|_| same_boot && same_disk),
                ..State::default()
            },
            tail,
            disk: None,
            away: None,
            runtime,
            capacity: capacity.max(1),
            most_bytes,
            patience: Patience::default(),
            handed_out: None,
            leaving: false,
            trouble: None,
            unswept: false,
        };
        spool.leave_out_copies();
        let newest = spool.tail.back().and_then(|(_, entry)| Key::of(&entry.payload));
        spool.tail.retain(|(position, _)| *position >= old.first);
        if let Some((last, _)) = spool.tail.back() {
            spool.state.next = spool.state.next.max(last + 1);
        }
        if !same_boot {
            spool.state.first = spool.tail.front().map_or(spool.state.next, |(position, _)| *position);
        }
        match storage {
            Some(Ok(storage)) => spool.attach(storage, same_disk),
            Some(Err(error)) => spool.is_away(&error),
            None => {}
        }
        if spool.runtime.as_ref().is_some_and(|log| log.end() > spool.state.next) {
            spool.renumber(spool.state.next);
        }
        let newest = newest.or_else(|| {
            let disk = spool.disk.as_ref().filter(|_| same_boot)?;
            Key::of(&disk.newest()?.payload)
        });
        let before = old.boot.clone();
        let (boot, open) = old.boot.go_on(kernel_boot, newest.as_ref())?;
        match open {
            Some(entry) => {
                // Others may have new positions. They are noted before this one gets the next: if the process died between the two,
                // all before it would count as dropped.
                spool.state.boot = before;
                spool.settle();
                spool.state.boot = boot;
                spool.accept(entry);
            }
            None => {
                spool.state.boot = boot;
                spool.settle();
            }
        }
        Ok(spool)
    }

    /// Opens the disk, or keeps it for later. `same_disk` says that the tail has its positions after those on this disk.
    fn attach(&mut self, storage: Box<dyn Storage>, same_disk: bool) {
        let known = self.state.stored.clone();
        let is_known = known.is_some();
        let stored_end = known.as_ref().and_then(|known| known.end);
        let mut known: Option<Known> = known.map(Into::into);
        if let Some(known) = known.as_mut().filter(|_| same_disk) {
            known.in_memory_from = Some(self.tail.front().map_or(self.state.first, |(front, _)| *front));
        }
        let (mut log, dropped) = match Log::open(storage, known) {
            Ok(opened) => opened,
            Err((storage, error)) => {
                self.is_away(&error);
                self.away = Some(Away { storage, since: None, again: BootTime::ZERO });
                return;
            }
        };
        if !is_known {
            self.state.dropped = self.state.dropped.max(dropped);
        }
        if let Some(end) = stored_end {
            log.discard(end, self.state.first);
        }
        if self.trouble.take().is_some() {
            log::info!("the disk can be used again");
        }
        if same_disk {
            // The process died after they were stored, and before it had noted so.
            let stored = log.known_end();
            self.tail.retain(|(position, _)| *position >= stored);
            self.state.first = self.state.first.max(stored).min(self.state.next.max(stored));
            self.state.next = self.state.next.max(stored);
        }
        if self.tail.front().map_or(self.state.first, |(front, _)| *front) < log.end() || !same_disk {
            self.renumber(log.end().max(self.state.next));
        }
        self.state.stored = Some(log.known().into());
        self.disk = Some(log);
    }

    /// Leaves out what an earlier process wrote when it died within [`Spool::renumber`]: the tail's beginning once more. The old
    /// ones are whole.
    fn leave_out_copies(&mut self) {
        let settled = self.tail.partition_point(|(position, _)| *position < self.state.first);
        let mut entries = self.tail.iter().skip(settled).map(|(_, entry)| entry);
        let Some(first) = entries.next() else { return };
        if let Some(others) = entries.position(|entry| entry == first) {
            self.tail.truncate(settled + 1 + others);
        }
    }

    /// Gives the tail and its copies positions from `first` on, or from behind all that they had.
    fn renumber(&mut self, first: u64) {
        let first = self.runtime.as_ref().map_or(first, |log| first.max(log.end()));
        self.state.dropped += self.missing();
        self.handed_out = None;
        for ((position, _), new) in self.tail.iter_mut().zip(first..) {
            *position = new;
        }
        (self.state.first, self.state.next) = (first, first + self.tail.len() as u64);
        let (tail, dropped) = (std::mem::take(&mut self.tail), self.state.dropped);
        self.in_runtime(|log| {
            tail.iter().try_for_each(|(position, entry)| log.append(*position, dropped, entry))?;
            log.forget_before(first);
            Ok(())
        });
        self.tail = tail;
    }

    fn is_away(&mut self, error: &io::Error) {
        let reason = error.to_string();
        if self.trouble.as_ref() != Some(&reason) {
            let path = self.state.disk.as_deref().unwrap_or_default();
            log::warn!(
                "spool.directory {path}: {reason}; records wait in memory, and a power loss would lose them"
            );
            self.trouble = Some(reason);
        }
    }

    /// Tries a disk again that could not be opened.
    pub(super) fn fetch(&mut self) {
        if let Some(Away { storage, since, .. }) = self.away.take() {
            let same_disk = self.state.stored.is_some();
            self.attach(storage, same_disk);
            if let Some(away) = &mut self.away {
                away.since = since;
            } else {
                self.settle();
            }
        }
    }
}

/// What an earlier process left in the runtime directory. Where it cannot be read, its state is removed: it would grow old
/// while this run goes on without it.
fn read_runtime(mut storage: Box<dyn Storage>) -> io::Result<Left> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match Log::open(storage, None) {
            Err((refused, error)) => {
                storage = refused;
                error
            }
            Ok((mut log, _)) => {
                let tail = log.entries().collect::<io::Result<_>>();
                match (log.take_news().pop(), tail, state::read(log.storage())) {
                    (None, Ok(tail), Ok(state)) => return Ok(Left { log, state, tail }),
                    (Some(News::Unreadable(name, error)), ..) => {
                        storage = log.into_storage();
                        io::Error::other(format!("{name}: {error}"))
                    }
                    (_, Err(error), _) | (_, _, Err(error)) => {
                        storage = log.into_storage();
                        error
                    }
                    (Some(_), Ok(_), Ok(_)) => {
                        storage = log.into_storage();
                        io::Error::from(io::ErrorKind::InvalidData)
                    }
                }
            }
        };
        if attempt == READ_RUNTIME {
            // Where another process uses the folder, the state is that one's.
            if error.kind() != io::ErrorKind::ResourceBusy {
                let _ = storage.remove(STATE);
            }
            return Err(error);
        }
    }
}
