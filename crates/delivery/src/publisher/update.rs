//! What goes between the watch thread and the deliver thread: reports through a channel, a summary at the end.

use std::error::Error;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::config::Setup;
use crate::message::payload::State;
use crate::spool::Spool;
use lectern_record::clock::Stop;
use lectern_record::window::MinuteRecord;

/// Records and states that fit between the watch thread and the deliver thread.
const CHANNEL: usize = 64;

/// What the watch thread hands over.
pub enum Report {
    /// A window ended.
    Record(MinuteRecord),
    /// What the open window would come to if it ended now.
    Open(MinuteRecord),
    /// The camera delivers, or is lost.
    State(State),
    /// Another configuration: what comes after it is published as it says.
    Reload(Box<Reload>),
}

/// Opens a spool in the place of another one.
pub type OpenSpool = Box<dyn FnOnce() -> Result<Spool, Box<dyn Error + Send + Sync>> + Send>;

/// Another configuration for the running deliver thread.
pub struct Reload {
    /// What replaces the setup; the boot in its identity is the spool's.
    pub(super) setup: Setup,
    /// Opens another spool, where the configuration asks for one.
    pub(super) spool: Option<OpenSpool>,
    /// Where the `seq` of the next window is answered.
    pub(super) next_seq: SyncSender<u64>,
}

/// A change to another connection.
pub(super) struct Moving {
    /// `offline` for the topic that is left, until it is published: its topic and payload.
    pub(super) farewell: Option<(String, String)>,
    /// Then the old connection ends, whatever the broker does.
    pub(super) by: Instant,
}

/// The watch thread's end of the channel; dropping it makes the deliver thread finish.
pub struct Reports {
    sender: mpsc::Sender<Report>,
    stop: Stop,
}

/// A channel; `stop` is set should its other end be gone.
pub(super) fn channel(stop: Stop) -> (Reports, mpsc::Receiver<Report>) {
    let (sender, receiver) = mpsc::channel(CHANNEL);
    (Reports { sender, stop }, receiver)
}

impl Reports {
    /// Hands over a report. The deliver thread takes it at once whatever the broker does, so this waits for
    /// microseconds at most. Should that thread be gone, the watch is stopped, for nobody could publish it.
    pub fn send(&self, report: Report) {
        if self.sender.blocking_send(report).is_err() {
            log::error!("the deliver thread is gone; a report is lost");
            self.stop.set();
        }
    }

    /// Has the deliver thread take over another configuration, after everything that was sent before. Waits until it has,
    /// which takes as long as opening the spool, whatever the broker does; answers the `seq` of the next window, or
    /// nothing if the deliver thread is gone.
    pub fn reload(&mut self, setup: Setup, spool: Option<OpenSpool>) -> Option<u64> {
        let (next_seq, answer) = sync_channel(1);
        self.stop = setup.stop.clone();
        self.send(Report::Reload(Box::new(Reload { setup, spool, next_seq })));
        answer.recv().ok()
    }
}

/// How delivery ended.
pub struct Summary {
    /// Records that nobody has acknowledged yet.
    pub undelivered: usize,
    /// Whether those are kept for the next run.
    pub kept: bool,
    /// The spool, with what was not delivered.
    pub spool: Spool,
}
