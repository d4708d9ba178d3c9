//! The deliver thread: its event loop, its start and its end.

use std::thread::JoinHandle;

use tokio::runtime::Runtime;

use super::publisher::deliver;
use super::report::{self, Reports, Summary};
use super::setup::Setup;
use super::spool::Spool;
use crate::service::signals::{Request, Signals};

/// The event loop of the deliver thread. It is made before that thread, so that no signal ends the process while it starts.
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
pub struct DeliveryThread(JoinHandle<Summary>);

impl Setup {
    /// Starts the deliver thread with an event loop of its own.
    ///
    /// # Errors
    /// When the system gives no thread or no event loop.
    pub fn start(self, spool: Spool) -> std::io::Result<(Reports, DeliveryThread)> {
        self.start_on(spool, EventLoop::new()?, Box::new(|_| ()))
    }

    /// Starts the deliver thread on an event loop.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_on(
        self,
        spool: Spool,
        mut event_loop: EventLoop,
        mut on_request: OnRequest,
    ) -> std::io::Result<(Reports, DeliveryThread)> {
        let (reports, receiver) = report::channel(self.stop.clone());
        let thread = std::thread::Builder::new().name("deliver".to_owned()).spawn(move || {
            let EventLoop { runtime, signals } = &mut event_loop;
            let runtime = runtime.as_ref().expect("only a drop takes it");
            runtime.block_on(async {
                let requests = async {
                    match signals {
                        Some(signals) => loop {
                            on_request(signals.next().await);
                        },
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    summary = deliver(self, spool, receiver) => summary,
                    () = requests => unreachable!("requests have no end"),
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
    pub fn join(self) -> anyhow::Result<Summary> {
        self.0.join().map_err(|_| anyhow::anyhow!("the deliver thread panicked"))
    }
}
