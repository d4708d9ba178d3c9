//! From a camera to sightings: capture, detect, track, align, classify.
//!
//! Of Lectern it knows `lectern_record` alone: nothing here can name a topic or a connection, and nothing that reaches the network can
//! name what is here. What is counted holds no pixels: a [`Sighting`](lectern_record::expression::Sighting) is one of 13 kinds, or uncertain.
//!
//! From the ground to the roof, each room uses only those before it: [`camera`], which makes frames; `error`, `analysis` and [`geometry`]; [`models`], the checked files;
//! `dequantize`, `ops` and `network`, which run them; [`mtcnn`] and [`classifier`], what their numbers mean; [`baseline`], from whose resting face; `parameters`, `motion`, `schedule` and `tracker`, which
//! search and follow; and on top `analyzer`, for whoever counts, and [`frame_quality`], for whoever aims a camera.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

mod analyzer;
pub mod baseline;
pub mod camera;
pub mod classifier;
mod dequantize;
mod error;
pub mod frame_quality;
pub mod geometry;
pub mod models;
mod motion;
pub mod mtcnn;
mod network;
mod ops;
mod parameters;
mod schedule;
mod tracker;
mod upright;

use lectern_record::analysis;

pub use analysis::{Analysis, Baseline, DEFAULT_MIN_FACE_PX, Faces, Region, Rotation};
pub use analyzer::{Analyzer, SMALLEST_TOLD_PX, Seen, Stage};
pub use error::VisionError;
