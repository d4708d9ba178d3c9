//! Lectern counts a lecturer's facial expressions on a classroom device and publishes only the counts of
//! each minute over MQTT; no picture leaves the watch thread.
//!
//! Data flow: [`camera`] → [`vision`] → [`window`] → [`delivery`], driven by [`watch`]. Each stage is a crate, and
//! the compiler proves that nothing downstream of `vision` can name a pixel type. This crate connects them.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

pub mod commands; // one file a subcommand
pub mod config; // lectern.toml as written, and Settings as validated
pub mod local_status; // status.json in the runtime directory, read by `lectern status`
pub mod logging; // the journal, and what is printed on standard error
pub mod process; // signals, and what keeps pictures in memory to this process
pub mod readability; // whether a camera's pictures can be decoded
pub mod systemd; // the watchdog and systemd notifications
pub mod watch; // the watch thread: one frame a tick, one record a window

pub use lectern_cli as cli; // the command line, as clap reads it
pub use lectern_delivery as delivery; // payloads, topics, the spool, the publisher
pub use lectern_record::{clock, expression, file, help, rate, window};
pub use lectern_vision as vision; // a frame into sightings: detect, track, align, classify
pub use lectern_vision::camera; // frames: V4L2, recordings, stills, the synthetic lecture
