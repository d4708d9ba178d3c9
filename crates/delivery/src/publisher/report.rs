//! What goes between the watch thread and the deliver thread: reports through a channel, a summary at the end.

use tokio::sync::mpsc;

use crate::message::payload::State;
use crate::spool::Spool;
use lectern_record::clock::Stop;
use lectern_record::window::MinuteRecord;

/// Records and states that fit between the watch thread and the deliver thread.
const CHANNEL: usize = 64;

/// What the watch thread hands over.
#[derive(Debug)]
pub enum Report {
    /// A window ended.
    Record(MinuteRecord),
    /// What the open window would come to if it ended now.
    Open(MinuteRecord),
    /// The camera delivers, or is lost.
    State(State),
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
}

/// How delivery ended.
pub struct Summary {
    /// Records that nobody has acknowledged yet.
    pub undelivered: usize,
    /// Whether those are kept for the next run.
    pub kept: bool,
    /// The spool, for whoever goes on in this process.
    pub spool: Spool,
}
