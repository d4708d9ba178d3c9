//! From records to the broker: payloads, topics, the spool of what is not yet acknowledged, the publisher.

mod address;
mod discovery;
mod limits;
mod link;
pub mod payload;
mod probe;
mod publisher;
pub mod spool;
mod tls;
pub mod topics;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::clock::{Clock, Stop};
use crate::service::health::Health;
use crate::service::signals::{Request, Signals};
use crate::tally::MinuteRecord;
pub use address::{Address, BadAddress};
pub use limits::MAX_USERNAME_BYTES;
use payload::{Identity, State};
pub use probe::{Answer, ProbeError, probe};
use spool::Spool;
use topics::Topics;

/// Crates whose log lines may hold packets, a password among them: they are never heard.
pub const CRATES_WITH_PACKETS: [&str; 2] = ["rumqttc", "rumqttd"];

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
    /// How to talk TLS; none for plain TCP.
    pub tls: Option<Tls>,
}

/// The files of a TLS connection, read anew at each connect, so that renewed ones need no restart.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The certificates of the authorities to trust (PEM); those of the system where none is given.
    pub ca: Option<PathBuf>,
    /// The certificate chain and the key that this device shows (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Said of a password or a key that others may read.
pub(crate) const OPEN_TO_OTHERS: &str = "is open to others; chmod 600 it";

/// Whether a file that holds a secret may be read by others than its owner.
pub(crate) fn is_open_to_others(file: &std::fs::Metadata) -> bool {
    file.permissions().mode() & 0o077 != 0
}

/// How patient the deliver thread is. Tests are less patient than devices.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The back-off after a first failure; it doubles with each one more.
    pub first_backoff: Duration,
    /// The longest back-off.
    pub longest_backoff: Duration,
    /// A PUBACK that takes longer means that the connection is dead, whatever TCP believes.
    pub acknowledge_within: Duration,
    /// A record that waits longer goes to the disk.
    pub store_after: Duration,
    /// How long a stop may take to deliver what is left.
    pub leave_within: Duration,
    /// The shortest time between two records of a backlog, so that a campus that comes back does not drown its broker.
    pub pace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(60),
            acknowledge_within: Duration::from_secs(15),
            store_after: Duration::from_secs(5),
            leave_within: Duration::from_secs(10),
            pace: Duration::from_millis(20),
        }
    }
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
    pub spool: Spool,
    /// Announces the device to Home Assistant, with sensors that expire after three windows of so many seconds; none
    /// withdraws an earlier announcement.
    pub discovery: Option<u32>,
    /// How patient to be.
    pub timing: Timing,
    /// The clock that dates a change of state.
    pub clock: Arc<dyn Clock>,
    /// Set should this thread be gone.
    pub stop: Stop,
    /// Where this thread tells that it makes progress.
    pub health: Arc<Health>,
}

/// The event loop of the deliver thread. It outlives one [`Delivery`], so that the signals that it hears are lost between
/// two of them neither.
pub struct EventLoop {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    signals: Option<Signals>,
}

impl EventLoop {
    /// One that leaves signals alone.
    ///
    /// # Errors
    /// When the system gives no event loop.
    pub fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime: Some(runtime), signals: None })
    }

    /// One that hears SIGTERM, SIGINT and SIGHUP from now on.
    ///
    /// # Errors
    /// When the system gives no event loop or takes no signal handlers.
    pub fn hearing_signals() -> std::io::Result<Self> {
        let mut this = Self::new()?;
        if let Some(runtime) = &this.runtime {
            let _inside = runtime.enter();
            this.signals = Some(Signals::listen()?);
        }
        Ok(this)
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        // A name lookup that hangs must not keep the process.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What is done when a signal comes; called on the deliver thread.
pub type OnRequest = Box<dyn FnMut(Request) + Send>;

/// The running deliver thread.
pub struct DeliveryThread(JoinHandle<(Summary, EventLoop)>);

/// How delivery ended.
pub struct Summary {
    /// Records that nobody has acknowledged yet.
    pub undelivered: usize,
    /// Whether those are kept for the next run.
    pub kept: bool,
    /// The spool, for whoever goes on in this process.
    pub spool: Spool,
}

impl Delivery {
    /// Starts the deliver thread with an event loop of its own.
    ///
    /// # Errors
    /// When the system gives no thread or no event loop.
    pub fn start(self) -> std::io::Result<(Reports, DeliveryThread)> {
        self.start_on(EventLoop::new()?, Box::new(|_| ()))
    }

    /// Starts the deliver thread on an event loop, which [`DeliveryThread::join_loop`] gives back.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_on(
        self,
        mut event_loop: EventLoop,
        mut on_request: OnRequest,
    ) -> std::io::Result<(Reports, DeliveryThread)> {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let stop = self.stop.clone();
        let thread = std::thread::Builder::new().name("deliver".to_owned()).spawn(move || {
            let EventLoop { runtime, signals } = &mut event_loop;
            let runtime = runtime.as_ref().expect("only a drop takes it");
            let summary = runtime.block_on(async {
                let requests = async {
                    match signals {
                        Some(signals) => loop {
                            on_request(signals.next().await);
                        },
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    summary = self.run(receiver) => summary,
                    () = requests => unreachable!("requests have no end"),
                }
            });
            (summary, event_loop)
        })?;
        Ok((Reports { sender, stop }, DeliveryThread(thread)))
    }
}

impl Delivery {
    /// Delivers what comes through `reports` until it is closed and all is published, or given up after a time limit.
    ///
    /// [`Delivery::start`] runs this on a thread of its own; a load test runs many on one runtime.
    pub async fn run(self, reports: mpsc::Receiver<Report>) -> Summary {
        publisher::Publisher::new(self).run(reports).await
    }
}

impl DeliveryThread {
    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until everything is published, or given up after a time limit.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn join(self) -> anyhow::Result<Summary> {
        self.join_loop().map(|(summary, _)| summary)
    }

    /// The same, with the event loop for whoever goes on in this process.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn join_loop(self) -> anyhow::Result<(Summary, EventLoop)> {
        self.0.join().map_err(|_| anyhow::anyhow!("the deliver thread panicked"))
    }
}
