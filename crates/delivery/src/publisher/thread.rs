//! The deliver thread: its event loop, its start and its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::Publisher;
use super::config::PublisherConfig;
use super::update::{self, Summary, Update, UpdateSender};
use crate::spool::Spool;

/// Delivers the updates until the channel is closed and all records are published, or the shutdown time is over.
///
/// [`PublisherConfig::start`] runs this on a thread of its own; a load test runs many on one runtime.
pub async fn deliver(config: PublisherConfig, spool: Spool, updates: mpsc::Receiver<Update>) -> Summary {
    Publisher::new(config, spool).run(updates).await
}

/// The event loop of the deliver thread. It is created before that thread, so that signal handlers created within it
/// are active from the start.
pub struct EventLoop {
    /// `None` only during a drop.
    runtime: Option<Runtime>,
}

impl EventLoop {
    /// Creates the event loop.
    ///
    /// # Errors
    /// When the system provides no event loop.
    pub fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Creates a tokio resource that belongs to this event loop.
    pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.runtime().enter();
        make()
    }

    /// Runs a future to its end on this thread.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime().block_on(future)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only a drop takes it")
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

/// A task of the program that runs on the deliver thread without end.
pub type Background = Pin<Box<dyn Future<Output = Infallible> + Send>>;

/// The deliver thread panicked.
#[derive(Debug, thiserror::Error)]
#[error("the deliver thread panicked")]
pub struct Panicked;

/// The running deliver thread.
pub struct DeliveryThread(JoinHandle<Summary>);

impl PublisherConfig {
    /// Starts the deliver thread with an event loop of its own.
    ///
    /// # Errors
    /// When the system provides no thread or no event loop.
    pub fn start(self, spool: Spool) -> std::io::Result<(UpdateSender, DeliveryThread)> {
        self.start_on(spool, EventLoop::new()?, Box::pin(std::future::pending()))
    }

    /// Starts the deliver thread on an event loop.
    ///
    /// # Errors
    /// When the system provides no thread.
    #[expect(clippy::disallowed_methods, reason = "this is the second thread of the daemon")]
    pub fn start_on(
        self,
        spool: Spool,
        event_loop: EventLoop,
        background: Background,
    ) -> std::io::Result<(UpdateSender, DeliveryThread)> {
        let (updates, receiver) = update::channel(self.stop.clone());
        let thread = std::thread::Builder::new().name("deliver".to_owned()).spawn(move || {
            event_loop.block_on(async {
                tokio::select! {
                    summary = deliver(self, spool, receiver) => summary,
                    never = background => match never {},
                }
            })
        })?;
        Ok((updates, DeliveryThread(thread)))
    }
}

impl DeliveryThread {
    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until all records are published, or the shutdown time is over.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn join(self) -> Result<Summary, Panicked> {
        self.0.join().map_err(|_| Panicked)
    }
}
