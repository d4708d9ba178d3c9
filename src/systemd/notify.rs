//! Notifications to systemd (`sd_notify(3)`); without systemd they are discarded.

use std::time::Duration;

use sd_notify::NotifyState;

use super::health::Notification;

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
    send_states(&[NotifyState::Status(text)]);
}

/// Feeds the watchdog and updates the status line, each only where it is due.
pub fn send(notification: &Notification) {
    if notification.alive {
        send_states(&[NotifyState::Watchdog]);
    }
    if let Some(text) = &notification.status {
        status(text);
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

fn send_states(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("systemd was not told: {error}");
    }
}
