//! Waiting for bytes with an end: whoever reads a pipe that nobody fills gets control back.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use lectern_record::clock::{BootTime, Clock, Stop, SystemClock};

/// A live source that gives no picture for this long is lost, as a camera is.
pub(super) const SILENCE: Duration = Duration::from_secs(4);

/// Until when something is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: BootTime,
    patience: Duration,
}

impl Deadline {
    /// So long from now on.
    pub(super) fn after(patience: Duration) -> Self {
        Self { at: SystemClock.boot() + patience, patience }
    }

    fn left(self) -> Duration {
        self.at.saturating_sub(SystemClock.boot())
    }

    fn is_over(self) -> io::Error {
        io::Error::new(io::ErrorKind::WouldBlock, format!("none for {} s", self.patience.as_secs()))
    }
}

/// Waits until one of `files` can be read or has ended, for ever without a `deadline`; says which.
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

/// Which of `files` can be read or have ended; none of them after so long.
fn ready_within<const N: usize>(
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

/// Whether it is [`wait`] that gave up.
pub(super) fn is_over(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::WouldBlock
}

/// How often whoever waits looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A file or pipe that is waited for until a deadline, where it has one, and ends when it is asked to stop.
pub(super) struct Patient {
    pub(super) file: File,
    /// Shared with whoever knows where a picture begins.
    pub(super) deadline: Option<Rc<Cell<Deadline>>>,
    pub(super) stop: Stop,
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.stop.is_set() {
            let deadline = self.deadline.as_ref().map(|deadline| deadline.get());
            let limit = deadline.map_or(LOOK_EVERY, |deadline| deadline.left().min(LOOK_EVERY));
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
