//! What names the windows: the boot and the next `seq` in it, with the window that is open. It outlives the process as a part
//! of the state, which is written as a whole, so that no window has the key of another one.

use serde::{Deserialize, Serialize};

use super::record::{Entry, HIGHEST};
use crate::message::payload::Payload;

/// A boot of the machine, or a run where there is no runtime directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Boot {
    /// The kernel's name for the boot of the machine in which this was written.
    kernel_boot: String,
    #[serde(rename = "boot")]
    name: String,
    /// The `seq` of the next window to end.
    #[serde(rename = "seq")]
    next_seq: u64,
    /// The open window as it would be published if the process died now: `seq`, topic, payload.
    open: Option<(u64, String, String)>,
}

/// What tells a record's boot and place in it.
#[derive(Deserialize)]
pub(super) struct Key {
    boot: String,
    seq: u64,
}

impl Key {
    /// The key in a payload, if it has one.
    pub(super) fn of(payload: &str) -> Option<Self> {
        serde_json::from_str(payload).ok()
    }
}

impl Boot {
    /// Names this boot: 32 hexadecimal digits.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The `seq` of the next window to end.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Window `seq` has ended.
    pub(super) fn ended(&mut self, seq: u64) {
        (self.next_seq, self.open) = (seq + 1, None);
    }

    /// Keeps what the open window `seq` would come to if the process died now.
    pub(super) fn keep_open(&mut self, seq: u64, topic: &str, payload: &Payload) {
        self.open = Some((seq, topic.to_owned(), payload.as_str().to_owned()));
    }

    /// Whether this was written in this boot of the kernel.
    pub(super) fn is_in(&self, kernel_boot: &str) -> bool {
        self.kernel_boot == kernel_boot && !self.name.is_empty()
    }

    /// The boot that an earlier process left, or a new one in another boot of the kernel; and the window that was open then,
    /// which counts as ended. `newest` is the key of the newest record that is there.
    pub(super) fn go_on(
        self,
        kernel_boot: &str,
        newest: Option<&Key>,
    ) -> Result<(Self, Option<Entry>), getrandom::Error> {
        let goes_on = self.is_in(kernel_boot);
        let mut boot = if goes_on {
            let ended = newest.filter(|key| key.boot == self.name);
            let next = ended.map_or(0, |key| key.seq.min(HIGHEST) + 1);
            Self { open: None, next_seq: self.next_seq.max(next), ..self.clone() }
        } else {
            let name = (u128::from(getrandom::u64()?) << 64) | u128::from(getrandom::u64()?);
            Self { kernel_boot: kernel_boot.to_owned(), name: format!("{name:032x}"), ..Self::default() }
        };
        // Else it ended before the process did, and its record is there.
        let open = self.open.filter(|(seq, ..)| *seq >= boot.next_seq || !goes_on);
        let open = open.map(|(seq, topic, payload)| {
            log::info!("the window that was open when the last run ended is recovered");
            if goes_on {
                boot.next_seq = seq + 1;
            }
            Entry { topic, payload }
        });
        Ok((boot, open))
    }

    /// Whether a spool can have written it.
    pub(super) fn is_ours(&self) -> bool {
        let Self { kernel_boot, name, next_seq, open } = self;
        name.len() == 32
            && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && kernel_boot.len() <= 64
            && *next_seq <= HIGHEST
            && open
                .as_ref()
                .is_none_or(|(seq, topic, payload)| *seq <= HIGHEST && Entry::new(topic, payload).is_some())
    }
}
