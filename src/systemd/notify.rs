//! Words for systemd (`sd_notify(3)`); without systemd they go nowhere.

use std::time::Duration;

use sd_notify::NotifyState;

use super::health::Words;

/// The daemon has started, or has taken over a new configuration.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A new configuration is being taken over; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// What `systemctl status` shows in its line "Status".
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// The watchdog and the status line, as far as there is something to tell.
pub fn words(words: &Words) {
    if words.alive {
        tell(&[NotifyState::Watchdog]);
    }
    if let Some(text) = &words.status {
        status(text);
    }
}

/// `WatchdogSec` of the unit, if systemd watches this process.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The daemon is on its way out.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("systemd was not told: {error}");
    }
}
