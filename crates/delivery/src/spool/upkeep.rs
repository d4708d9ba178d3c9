//! What a spool does after each change: it drops what is too much, and notes and tells what has changed.

use std::io;

use super::append_log::{Log, News};
use super::names::STATE;
use super::{MOST_IN_MEMORY, Spool};
use crate::events;

impl Spool {
    /// Drops the oldest records while there are too many.
    pub(super) fn trim(&mut self) {
        let mut is_full = false;
        while self
            .disk
            .as_ref()
            .is_some_and(|log| log.len() > 0 && (self.len() > self.capacity || log.bytes() > self.most_bytes))
            && self.disk.as_mut().is_some_and(Log::drop_oldest)
        {
            is_full = true;
        }
        while self.tail.len() > self.capacity.min(MOST_IN_MEMORY) {
            is_full = true;
            self.state.dropped += 1;
            self.pop_tail();
        }
        if is_full {
            events::records_dropped();
        }
    }

    /// Notes what has changed, and then removes the files that are not needed any more: whoever reads them again must know
    /// that.
    pub(super) fn settle(&mut self) {
        if let Some(disk) = &mut self.disk {
            self.state.dropped = self.state.dropped.saturating_add(disk.take_given_up());
        }
        self.write_state();
        self.in_runtime(Log::sweep);
        if let Some(disk) = &mut self.disk {
            let swept = disk.sweep();
            if let Err(error) = &swept
                && !self.unswept
            {
                log::warn!("an old file cannot be removed from the spool: {error}; it is tried again");
            }
            self.unswept = swept.is_err();
        }
        self.tell_news();
    }

    pub(super) fn tell_news(&mut self) {
        let Some(disk) = self.disk.as_mut().filter(|disk| disk.has_changed()) else { return };
        let news = disk.take_news();
        for news in news {
            match news {
                News::Unreadable(name, error) => events::spool_unreadable(&name, &error),
                News::Readable(name) => events::spool_readable(&name),
                News::PassedOver(name) => {
                    log::warn!("{name} still cannot be read; newer minutes are delivered before those in it");
                }
                News::Renamed(old, new) => log::info!("{old} in the spool is called {new} from now on"),
                News::GivenUp(name) => events::spool_given_up(&name),
                News::Damaged(name) => {
                    log::warn!("{name}: a record on the disk is damaged; it counts as dropped");
                }
            }
        }
        self.settle();
    }

    /// Does something with the copy in the runtime directory; when that fails, goes on without one.
    pub(super) fn in_runtime(&mut self, act: impl FnOnce(&mut Log) -> io::Result<()>) {
        if let Some(Err(error)) = self.runtime.as_mut().map(act) {
            log::warn!(
                "the runtime directory does not take records: {error}; should this process die, what waits in \
                          memory is lost with it"
            );
            // What is there grows old: its state would give a `seq` to a second window, and its records would come again
            // behind newer ones. Without it, the next run is another boot.
            if let Some(mut log) = self.runtime.take() {
                let _ = log.storage().remove(STATE);
                log.forget_before(u64::MAX);
                let _ = log.sweep();
            }
        }
    }

    pub(super) fn write_state(&mut self) {
        if self.runtime.is_none() {
            return;
        }
        if let Some(disk) = &self.disk {
            self.state.stored = Some(disk.known().into());
        }
        let Ok(bytes) = serde_json::to_vec(&self.state) else { return };
        self.in_runtime(|log| log.storage().replace(STATE, &bytes));
    }
}
