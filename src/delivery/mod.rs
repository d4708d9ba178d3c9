//! From records to the broker: payloads, topics, the spool of what is not yet acknowledged, the publisher.

mod link;
pub mod payload;
mod probe;
mod publisher;
pub mod spool;
pub mod topics;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::clock::{Clock, Stop};
use crate::service::health::Health;
use crate::tally::MinuteRecord;
use payload::{Identity, State};
pub use probe::{ProbeError, probe};
use spool::Spool;
use topics::Topics;

/// Records and states that fit between the watch thread and the deliver thread.
const CHANNEL: usize = 64;

/// What the watch thread hands over.
#[derive(Debug)]
pub enum Report {
    /// A window ended.
    Record(MinuteRecord),
    /// The camera delivers, or is lost.
    State(State),
}

/// The watch thread's end of the channel; dropping it makes the deliver thread finish.
pub struct Reports {
    sender: mpsc::Sender<Report>,
    stop: Stop,
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

/// Where the broker is and who asks.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Names this client to the broker; unique among its clients.
    pub client_id: String,
    /// The user name, with the file that holds its password.
    pub login: Option<(String, Option<PathBuf>)>,
}

/// Everything the deliver thread needs to start.
pub struct Delivery {
    /// The broker to connect to.
    pub broker: Broker,
    /// The topics to publish on.
    pub topics: Topics,
    /// Who publishes.
    pub identity: Identity,
    /// `deployment.basis`, repeated in each `status`.
    pub basis: String,
    /// Where records wait for their PUBACK.
    pub spool: Box<dyn Spool>,
    /// The clock that dates a change of state.
    pub clock: Arc<dyn Clock>,
    /// Set should this thread be gone.
    pub stop: Stop,
    /// What this thread does on signals, if they are its business.
    pub signals: Option<OnSignal>,
    /// Where this thread tells that it makes progress.
    pub health: Arc<Health>,
}

/// What is done when the process gets a signal; called on the deliver thread.
pub struct OnSignal {
    /// SIGTERM and SIGINT.
    pub stop: Box<dyn Fn() + Send>,
    /// SIGHUP.
    pub hangup: Box<dyn Fn() + Send>,
}

/// The running deliver thread.
pub struct DeliveryThread(JoinHandle<Summary>);

/// How delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Records that nobody has acknowledged and that are gone with the process.
    pub undelivered: u64,
}

impl Delivery {
    /// Starts the deliver thread.
    ///
    /// # Errors
    /// When the system gives no thread, no event loop or no signal handlers.
    pub fn start(mut self) -> std::io::Result<(Reports, DeliveryThread)> {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = if let Some(on) = self.signals.take() {
            let _inside = runtime.enter();
            use tokio::signal::unix::{SignalKind, signal};
            Some((
                on,
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
            ))
        } else {
            None
        };
        let stop = self.stop.clone();
        let thread = std::thread::Builder::new().name("deliver".to_owned()).spawn(move || {
            let summary = runtime.block_on(async move {
                if let Some((on, mut terminate, mut interrupt, mut hangup)) = signals {
                    tokio::spawn(async move {
                        loop {
                            tokio::select! {
                                _ = terminate.recv() => (on.stop)(),
                                _ = interrupt.recv() => (on.stop)(),
                                _ = hangup.recv() => (on.hangup)(),
                            }
                        }
                    });
                }
                publisher::Publisher::new(self).run(receiver).await
            });
            // A name lookup that hangs must not keep the process.
            runtime.shutdown_background();
            summary
        })?;
        Ok((Reports { sender, stop }, DeliveryThread(thread)))
    }
}

impl DeliveryThread {
    /// Waits until everything is published, or given up after a time limit.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn join(self) -> anyhow::Result<Summary> {
        self.0.join().map_err(|_| anyhow::anyhow!("the deliver thread panicked"))
    }
}
