//! The types that all parts of Lectern share: analysis settings, the 13 kinds of expression, windows of time, the clock that
//! measures them, the files that are read, and errors with their fixes.
//!
//! Nothing here can name a picture or a network connection; only [`clock`] and [`mod@file`] call the system.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

pub mod analysis; // the analysis settings
pub mod clock; // boot time and wall time; no other file reads a clock
pub mod expression; // the 13 kinds, their names and order
pub mod file; // opens what others named, and never waits for it
pub mod help; // errors with their cause and how to fix them
pub mod rate; // how many frames a second are analysed
pub mod window; // frames into windows, windows into records
