//! This process: its signals, and the protection of its memory.

pub mod hardening;
pub mod signals;
