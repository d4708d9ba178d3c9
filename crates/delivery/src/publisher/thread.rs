//! The deliver thread: its event loop, its start and its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::Publisher;
use super::config::Setup;
use super::update::{self, Report, Reports, Summary};
use crate::spool::Spool;

/// Delivers what comes through `reports` until it is closed and all is published, or given up after a time limit.
///
/// [`Setup::start`] runs this on a thread of its own; a load test runs many on one runtime.
pub async fn deliver(setup: Setup, spool: Spool, reports: mpsc::Receiver<Report>) -> Summary {
    Publisher::new(setup, spool).run(reports).await
}

/// The event loop of the deliver thread. It is made before that thread, so that what the program made within it, as its
/// signals, is heard from the start.
pub struct EventLoop {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl EventLoop {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no event loop.
    pub fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Makes something of tokio's that belongs to this event loop.
    pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        make()
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

/// What the program has done on the deliver thread beside the delivery, without an end.
pub type Beside = Pin<Box<dyn Future<Output = Infallible> + Send>>;

/// The deliver thread panicked.
#[derive(Debug, thiserror::Error)]
#[error("the deliver thread panicked")]
pub struct Panicked;

/// The running deliver thread.
pub struct DeliveryThread(JoinHandle<Summary>);

impl Setup {
    /// Starts the deliver thread with an event loop of its own.
    ///
    /// # Errors
    /// When the system gives no thread or no event loop.
    pub fn start(self, spool: Spool) -> std::io::Result<(Reports, DeliveryThread)> {
        self.start_on(spool, EventLoop::new()?, Box::pin(std::future::pending()))
    }

    /// Starts the deliver thread on an event loop.
    ///
    /// # Errors
    /// When the system gives no thread.
    #[expect(clippy::disallowed_methods, reason = "this is the second thread of the daemon")]
    pub fn start_on(
        self,
        spool: Spool,
        event_loop: EventLoop,
        beside: Beside,
    ) -> std::io::Result<(Reports, DeliveryThread)> {
        let (reports, receiver) = update::channel(self.stop.clone());
        let thread = std::thread::Builder::new().name("deliver".to_owned()).spawn(move || {
            let runtime = event_loop.runtime.as_ref().expect("only a drop takes it");
            runtime.block_on(async {
                tokio::select! {
                    summary = deliver(self, spool, receiver) => summary,
                    never = beside => match never {},
                }
            })
        })?;
        Ok((reports, DeliveryThread(thread)))
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
    pub fn join(self) -> Result<Summary, Panicked> {
        self.0.join().map_err(|_| Panicked)
    }
}
