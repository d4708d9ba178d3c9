//! SIGTERM, SIGINT and SIGHUP as requests. None is lost between [`Signals::listen`] and the end of the process: one
//! that arrives between two waits is returned by the next one.

use std::io;
use std::path::Path;

use lectern_delivery::Background;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::file;

/// What a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: end the process.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals of this process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts to listen; from now on these signals do not end the process by themselves, and a limit on the size of files makes
    /// a write fail. Must be called within a
    /// tokio runtime that has its drivers enabled.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the next signal; safe to cancel.
    pub async fn number(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.hangup.recv() => SignalKind::hangup().as_raw_value(),
        }
    }

    /// The next request; safe to cancel.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.hangup.recv() => Request::Reload,
        }
    }
}

/// Handler for each signal; called on the deliver thread.
pub type OnRequest = Box<dyn FnMut(Request) + Send>;

/// Handles signals concurrently with the delivery.
#[must_use]
pub fn handle(mut signals: Signals, mut on_request: OnRequest) -> Background {
    Box::pin(async move {
        loop {
            on_request(signals.next().await);
        }
    })
}

/// Whether this process inherited an ignored signal, as from `nohup`; a signal with a handler is not ignored.
#[must_use]
pub fn is_ignored(number: i32) -> bool {
    let status = file::read_to_string(Path::new("/proc/self/status"), 64 << 10).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    number > 0 && mask >> (number - 1) & 1 == 1
}
