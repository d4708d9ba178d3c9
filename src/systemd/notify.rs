//! Notifications to systemd (`sd_notify(3)`); without systemd they are discarded.
//!
//! A socket that is full is not waited for: the watch would stand still until somebody reads it. What did not fit is sent with the
//! next notification.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

use super::health::Notification;
use crate::logging::printable::Printable;

/// The variable in which systemd names its socket.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Messages that wait for the socket, oldest first: at most one of each kind.
static WAITING: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// The daemon has started, or has switched to a new configuration.
pub fn ready() {
    send_states(&[NotifyState::Ready]);
}

/// The daemon is switching to a new configuration; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send_states(&[NotifyState::Reloading, now]),
        Err(_) => send_states(&[NotifyState::Reloading]),
    }
}

/// The text of the line "Status" in `systemctl status`.
pub fn status(text: &str) {
    // A line break would begin another notification.
    send_states(&[NotifyState::Status(&Printable(text).to_string())]);
}

/// Feeds the watchdog and updates the status line, each only where it is due.
pub fn send(notification: &Notification) {
    if notification.alive {
        send_states(&[NotifyState::Watchdog]);
    }
    match &notification.status {
        Some(text) => status(text),
        None => send_states(&[]),
    }
}

/// `WatchdogSec` of the unit, if systemd watches this process.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The daemon is stopping.
pub fn stopping() {
    send_states(&[NotifyState::Stopping]);
}

/// Sends these states after those that wait.
fn send_states(states: &[NotifyState<'_>]) {
    let Some(socket) = env::var_os(NOTIFY_SOCKET) else { return };
    let message = states.iter().map(|state| format!("{state}\n")).collect();
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    send_in_order(&mut waiting, message, |message| send_to(&socket, message));
}

fn send_in_order(waiting: &mut VecDeque<String>, message: String, send: impl Fn(&str) -> io::Result<()>) {
    if !message.is_empty() {
        // A later status replaces an earlier one that was not sent yet.
        waiting.retain(|earlier| kind(earlier) != kind(&message));
        waiting.push_back(message);
    }
    while let Some(message) = waiting.front() {
        match send(message) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => log::debug!("systemd cannot be notified: {error}"),
        }
        waiting.pop_front();
    }
}

/// The name of a message's first state.
fn kind(message: &str) -> &str {
    message.split('=').next().unwrap_or_default()
}

/// Sends one message, or fails where that would block.
#[expect(clippy::disallowed_types, reason = "systemd's socket on this machine")]
fn send_to(socket: &OsStr, message: &str) -> io::Result<()> {
    use std::os::unix::net::UnixDatagram;

    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
#[allow(clippy::disallowed_types, reason = "a test may")]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    /// All messages that lie in a socket.
    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        std::iter::from_fn(|| {
            socket.recv(&mut buffer).ok().map(|count| String::from_utf8_lossy(&buffer[..count]).into())
        })
        .collect()
    }

    #[test]
    fn a_socket_that_nobody_reads_blocks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut waiting = VecDeque::new();
        let mut send = |message: String| {
            send_in_order(&mut waiting, message, |message| send_to(path.as_os_str(), message));
            waiting.len()
        };
        // Until the socket is full.
        while send("WATCHDOG=1\n".to_owned()) == 0 {}
        for state in ["READY=1\n", "STATUS=one\n", "STATUS=two\n", "WATCHDOG=1\n"] {
            assert!((1..=3).contains(&send(state.to_owned())));
        }
        assert!(received(&socket).iter().all(|message| message == "WATCHDOG=1\n"));
        assert_eq!(send(String::new()), 0);
        assert_eq!(received(&socket), ["READY=1\n", "STATUS=two\n", "WATCHDOG=1\n"]);
    }
}
