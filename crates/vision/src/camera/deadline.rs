//! Reads with a deadline: a read from an idle pipe times out instead of blocking forever.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use lectern_record::clock::{BootTime, Clock, Stop, SystemClock};

/// A live source without a picture for this long counts as lost, like a camera.
pub(super) const SILENCE: Duration = Duration::from_secs(4);

/// The end of a wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: BootTime,
    timeout: Duration,
}

impl Deadline {
    /// A deadline this long from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self { at: SystemClock.boot() + timeout, timeout }
    }

    /// What is left of it.
    pub(super) fn left(self) -> Duration {
        self.at.saturating_sub(SystemClock.boot())
    }

    /// The error of a wait that it ended.
    pub(super) fn is_over(self) -> io::Error {
        io::Error::new(io::ErrorKind::WouldBlock, format!("none for {} s", self.timeout.as_secs()))
    }
}

/// Waits until one of `files` is readable or has ended, without a `deadline` forever; returns which.
///
/// # Errors
/// When the deadline has passed ([`is_over`]), or as poll(2) does.
pub(super) fn wait<const N: usize>(
    files: [&dyn AsFd; N],
    deadline: Option<Deadline>,
) -> io::Result<[bool; N]> {
    match (ready_within(files, deadline.map(Deadline::left))?, deadline) {
        (None, Some(deadline)) => Err(deadline.is_over()),
        (ready, _) => Ok(ready.unwrap_or([true; N])),
    }
}

/// Which of `files` are readable or have ended; none after the limit.
pub(super) fn ready_within<const N: usize>(
    files: [&dyn AsFd; N],
    limit: Option<Duration>,
) -> io::Result<Option<[bool; N]>> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    let mut polled = files.map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN));
    loop {
        match poll(&mut polled, limit.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(polled.map(|file| !file.revents().is_empty()))),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether the error is [`wait`]'s timeout.
pub(super) fn is_over(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::WouldBlock
}

/// How often a waiting reader checks for a stop.
const POLL_STOP_EVERY: Duration = Duration::from_millis(200);

/// Reads a file or pipe until its deadline, if it has one; ends at a stop request.
pub(super) struct TimedReader {
    pub(super) file: File,
    /// Shared with the parser, which renews it at each picture.
    pub(super) deadline: Option<Rc<Cell<Deadline>>>,
    pub(super) stop: Stop,
}

impl Read for TimedReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.stop.is_set() {
            let deadline = self.deadline.as_ref().map(|deadline| deadline.get());
            let limit = deadline.map_or(POLL_STOP_EVERY, |deadline| deadline.left().min(POLL_STOP_EVERY));
            if ready_within([&self.file], Some(limit))?.is_some() {
                return self.file.read(into);
            }
            if let Some(deadline) = deadline.filter(|deadline| deadline.left().is_zero()) {
                return Err(deadline.is_over());
            }
        }
        Ok(0)
    }
}
