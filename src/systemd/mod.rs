//! What systemd is told, and when its watchdog is fed.

pub mod health;
pub mod notify;
