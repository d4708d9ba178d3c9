//! Lectern counts a lecturer's facial expressions on a classroom device and publishes only the counts of
//! each minute over MQTT; no picture leaves the thread that saw it.
//!
//! The data's way: [`camera`] → [`vision`] → [`tally`] → [`delivery`], driven by [`watch`]. Past `vision`
//! nothing can name a pixel type; `tests/house_rules.rs` keeps it so.

pub mod camera; // frames: V4L2, recordings, stills, the staged lecture
pub mod cli; // the command line, as clap reads it
pub mod clock; // boot time and wall time; no other file reads a clock
pub mod commands; // one file a subcommand
pub mod config; // lectern.toml as written, and Settings as validated
pub mod delivery; // payloads, topics, the spool, the publisher
pub mod expression; // the 13 kinds, their names and order
pub mod help; // errors with their cause and how to fix them
pub mod rate; // how many frames a second are analysed
pub mod service; // logging and what systemd wants to know
pub mod tally; // frames into windows, windows into records
pub mod vision; // a frame into sightings: detect, track, align, classify
pub mod watch; // the watch thread: one frame a tick, one record a window
