//! This process: the signals that it gets, and what keeps its memory to itself.

pub mod hardening;
pub mod signals;
