//! What outlives the process: a small file in the runtime directory that is replaced as a whole.

use std::io;

use serde::{Deserialize, Serialize};

use super::record::{Entry, HIGHEST};
use super::storage::{Storage, is_foreign};

/// Its file in the runtime directory.
pub(super) const STATE: &str = "state.json";

/// The state is far shorter, unless thousands of files could not be removed.
const LONGEST: usize = 1 << 20;

/// The names of the windows, and what the files of the records do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The kernel's name for the boot of the machine in which this was written.
    pub(super) kernel_boot: String,
    /// Ours: of the boot of the machine, or of a run where there is no runtime directory.
    pub(super) boot: String,
    /// The `seq` of the next window to end.
    pub(super) seq: u64,
    /// The open window as it would be published if the process died now: `seq`, topic, payload.
    pub(super) open: Option<(u64, String, String)>,
    /// The position of the next record.
    pub(super) next: u64,
    /// Given up so far. Damaged files count for as long as they are there, and are not in this number.
    pub(super) dropped: u64,
    /// The folder on the disk that the positions belong to; none before it is opened.
    pub(super) disk: Option<String>,
    /// Positions of records that are not needed and may be on the disk all the same, for they could not be removed: from, to
    /// before.
    pub(super) gone: Vec<(u64, u64)>,
}

impl State {
    /// The state of a new boot.
    pub(super) fn new(kernel_boot: &str) -> Result<Self, getrandom::Error> {
        let boot = (u128::from(getrandom::u64()?) << 64) | u128::from(getrandom::u64()?);
        Ok(Self { kernel_boot: kernel_boot.to_owned(), boot: format!("{boot:032x}"), ..Self::default() })
    }

    /// Takes over what an earlier process left, and returns the window that was open then, which counts as ended. `newest` is
    /// the newest record that it left, `disk` what the folder on the disk is called.
    pub(super) fn go_on_from(
        &mut self,
        left: Self,
        newest: Option<&Entry>,
        disk: Option<&str>,
    ) -> Option<Entry> {
        self.next = left.next;
        self.dropped = left.dropped;
        let open = left.open.map(|(seq, topic, payload)| (seq, Entry { topic, payload }));
        let open = open.filter(|(_, open)| newest != Some(open));
        if left.kernel_boot != self.kernel_boot {
            return open.map(|(_, entry)| entry);
        }
        if left.disk.as_deref() == disk {
            (self.disk, self.gone) = (left.disk, left.gone);
        }
        self.boot = left.boot;
        // A record may be there without a state that counts it.
        let ended = newest.and_then(Entry::head).filter(|head| head.boot.as_ref() == Some(&self.boot));
        self.seq = left.seq.max(ended.and_then(|head| head.seq).map_or(0, |seq| seq.min(HIGHEST) + 1));
        let (seq, entry) = open.filter(|(seq, _)| *seq >= self.seq)?;
        self.seq = seq + 1;
        Some(entry)
    }

    /// The record at this position is not needed.
    pub(super) fn forget(&mut self, position: u64) {
        match self.gone.last_mut() {
            Some((_, end)) if *end == position => *end += 1,
            _ => self.gone.push((position, position + 1)),
        }
    }

    /// Whether a spool can have written it.
    fn is_ours(&self) -> bool {
        let Self { kernel_boot, boot, seq, open, next, dropped, gone, .. } = self;
        boot.len() == 32
            && boot.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && kernel_boot.len() <= 64
            && [seq, next, dropped].iter().all(|number| **number <= HIGHEST)
            && gone.iter().all(|(_, end)| *end <= HIGHEST)
            && open
                .as_ref()
                .is_none_or(|(seq, topic, payload)| *seq <= HIGHEST && Entry::new(topic, payload).is_some())
    }
}

/// The state of an earlier process; none when there is none, or it is not ours.
pub(super) fn read(storage: &dyn Storage) -> io::Result<Option<State>> {
    let refuse = |why: &str| log::warn!("{STATE} in the runtime directory is not used: {why}");
    let bytes = match storage.read(STATE, LONGEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_foreign(&error) => {
            refuse(&error.to_string());
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match serde_json::from_slice::<State>(&bytes) {
        Ok(state) if state.is_ours() => return Ok(Some(state)),
        Ok(_) => refuse("it has values that no spool writes"),
        Err(error) => refuse(&error.to_string()),
    }
    Ok(None)
}
