//! Words for systemd (`sd_notify(3)`); without systemd they go nowhere.

use sd_notify::NotifyState;

/// The daemon has started.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// What `systemctl status` shows in its line "Status".
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
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
