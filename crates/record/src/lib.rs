//! What all parts of Lectern share: what is looked for and how often, the 13 kinds of expression, windows of time, the clock
//! that measures them, and errors that say how to fix them.
//!
//! Nothing here can name a picture, a file or a network connection; [`clock`] alone asks the system for something.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

pub mod analysis; // what is looked for in a frame
pub mod clock; // boot time and wall time; no other file reads a clock
pub mod expression; // the 13 kinds, their names and order
pub mod help; // errors with their cause and how to fix them
pub mod rate; // how many frames a second are analysed
pub mod window; // frames into windows, windows into records
