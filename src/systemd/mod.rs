//! systemd: service notifications, and health for its watchdog.

pub mod health;
pub mod notify;
