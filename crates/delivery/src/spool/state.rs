//! What outlives the process: a small file in the runtime directory that is replaced as a whole.

use std::io;

use serde::{Deserialize, Serialize};

use super::append_log::{Known, MOST_FILES};
use super::boot::Boot;
use super::names::STATE;
use super::record::HIGHEST;
use super::segment::{self, Late};
use super::storage::{Storage, is_foreign};

/// The state is far shorter, unless thousands of files cannot be read.
const LONGEST: usize = 4 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    #[serde(flatten)]
    pub(super) boot: Boot,
    /// Every record before this position is acknowledged, dropped or on the disk.
    pub(super) first: u64,
    /// The position of the next record.
    pub(super) next: u64,
    /// Given up so far. What is damaged counts when it is passed, so that no restart counts it again.
    pub(super) dropped: u64,
    /// The folder that the positions on the disk belong to.
    pub(super) disk: Option<String>,
    /// What is there; none while it could not be opened since the machine booted.
    pub(super) stored: Option<Stored>,
}

/// What is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stored {
    /// Every record in order before this is acknowledged or dropped.
    pub(super) first: u64,
    /// Every record in order before this was stored, where that is known.
    pub(super) end: Option<u64>,
    /// Files that were passed over or given up.
    pub(super) late: Vec<Late>,
}

impl From<Known> for Stored {
    fn from(Known { first, end, late, .. }: Known) -> Self {
        Self { first, end, late }
    }
}

impl From<Stored> for Known {
    fn from(Stored { first, end, late }: Stored) -> Self {
        Self { first, end, late, in_memory_from: None }
    }
}

impl State {
    /// Whether a spool can have written it.
    fn is_ours(&self) -> bool {
        let unknown = Stored::default();
        let stored = self.stored.as_ref().unwrap_or(&unknown);
        let numbers = [self.next, self.dropped, stored.end.unwrap_or(stored.first)];
        let is_late = |late: &Late| {
            let end = late.end.unwrap_or(HIGHEST);
            let in_range =
                late.from <= end && end <= HIGHEST && late.since.is_none_or(|since| since <= HIGHEST);
            in_range && segment::parse(&late.name).is_some()
        };
        self.boot.is_ours()
            && numbers.iter().all(|number| *number <= HIGHEST)
            && self.first <= self.next
            && stored.end.is_none_or(|end| stored.first <= end)
            && stored.late.len() <= MOST_FILES
            && stored.late.iter().all(is_late)
    }
}

/// The state of an earlier process; none when there is none, or it is not ours.
pub(super) fn read(storage: &dyn Storage) -> io::Result<Option<State>> {
    let refuse = |told: &str| log::warn!("{STATE} in the runtime directory is not used: {told}");
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
