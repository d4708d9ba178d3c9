//! Waiting for bytes with an end: whoever reads a pipe that nobody fills gets control back.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Stop;

/// A live source that gives nothing for this long is lost, as a camera is.
pub(super) const SILENCE: Duration = Duration::from_secs(4);

/// Waits until one of `files` can be read or has ended, for ever without `patience`; says which.
///
/// # Errors
/// When the patience is over ([`is_over`]), or as poll(2) does.
pub(super) fn wait<const N: usize>(
    files: [&dyn AsFd; N],
    patience: Option<Duration>,
) -> io::Result<[bool; N]> {
    let limit = patience.and_then(|limit| Timespec::try_from(limit).ok());
    let mut polled = files.map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN));
    loop {
        match poll(&mut polled, limit.as_ref()) {
            Ok(0) => {
                let told = format!("nothing for {} s", patience.unwrap_or_default().as_secs());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, told));
            }
            Ok(_) => return Ok(polled.map(|file| !file.revents().is_empty())),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether it is [`wait`] that gave up.
pub(super) fn is_over(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::WouldBlock
}

/// How often whoever waits without an end looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A file or pipe of which each read waits no longer than its patience, and ends when it is asked to stop.
pub(super) struct Patient {
    pub(super) file: File,
    pub(super) patience: Option<Duration>,
    pub(super) stop: Stop,
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match wait([&self.file], Some(self.patience.unwrap_or(LOOK_EVERY))) {
                Err(e) if is_over(&e) && self.patience.is_none() => {}
                Err(e) => return Err(e),
                Ok(_) => return self.file.read(into),
            }
            if self.stop.is_set() {
                return Ok(0);
            }
        }
    }
}
