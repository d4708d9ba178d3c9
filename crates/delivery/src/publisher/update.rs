//! What passes between the watch thread and the deliver thread: updates through a channel, a summary at the end.

use std::error::Error;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::config::PublisherConfig;
use crate::message::payload::State;
use crate::spool::Spool;
use lectern_record::clock::Stop;
use lectern_record::window::MinuteRecord;

/// The channel's capacity, in updates.
const CHANNEL: usize = 64;

/// What the watch thread sends.
pub enum Update {
    /// A window ended.
    Record(MinuteRecord),
    /// The open window, as if it ended now.
    Open(MinuteRecord),
    /// The camera delivers frames, or is lost.
    State(State),
    /// Another configuration; it applies to all later updates.
    Reload(Box<Reload>),
}

/// Opens a spool that replaces another one.
pub type OpenSpool = Box<dyn FnOnce() -> Result<Spool, Box<dyn Error + Send + Sync>> + Send>;

/// Another configuration for the running deliver thread.
pub struct Reload {
    /// Replaces the configuration; the boot in its identity is the spool's.
    pub(super) config: PublisherConfig,
    /// Opens another spool, where the configuration names one.
    pub(super) spool: Option<OpenSpool>,
    /// Returns the `seq` of the next window.
    pub(super) next_seq: SyncSender<u64>,
}

/// The change to another connection.
pub(super) struct Switchover {
    /// `offline` for the old topic, until it is published: topic and payload.
    pub(super) offline: Option<(String, String)>,
    /// The old connection ends at this time, whatever the broker does.
    pub(super) by: Instant,
}

/// The watch thread's end of the channel; dropping it makes the deliver thread finish.
pub struct UpdateSender {
    sender: mpsc::Sender<Update>,
    stop: Stop,
}

/// A channel; `stop` is set if its receiver is gone.
pub(super) fn channel(stop: Stop) -> (UpdateSender, mpsc::Receiver<Update>) {
    let (sender, receiver) = mpsc::channel(CHANNEL);
    (UpdateSender { sender, stop }, receiver)
}

impl UpdateSender {
    /// Sends an update. The deliver thread receives it at once whatever the broker does, so this blocks for
    /// microseconds at most. If that thread is gone, the watch is stopped, because nothing can be published.
    pub fn send(&self, update: Update) {
        if self.sender.blocking_send(update).is_err() {
            log::error!("the deliver thread is gone; a report is lost");
            self.stop.set();
        }
    }

    /// Applies another configuration, after all earlier updates. Blocks until the deliver thread has applied it, which
    /// lasts as long as opening the spool, whatever the broker does. Returns the `seq` of the next window, or `None` if
    /// the deliver thread is gone.
    pub fn reload(&mut self, config: PublisherConfig, spool: Option<OpenSpool>) -> Option<u64> {
        let (next_seq, answer) = sync_channel(1);
        self.stop = config.stop.clone();
        self.send(Update::Reload(Box::new(Reload { config, spool, next_seq })));
        answer.recv().ok()
    }
}

/// How delivery ended.
pub struct Summary {
    /// Records that the broker has not acknowledged.
    pub undelivered: usize,
    /// Whether they are kept for the next run.
    pub kept: bool,
    /// The spool, with the undelivered records.
    pub spool: Spool,
}
