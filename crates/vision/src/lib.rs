//! From a camera to sightings: capture, detect, track, align, classify.
//!
//! This crate depends only on `lectern_record` of Lectern: nothing here can name a topic or a connection, and nothing that
//! reaches the network can name what is here. Results hold no pixels: a
//! [`Sighting`](lectern_record::expression::Sighting) is one of 13 kinds, or uncertain.
//!
//! Each module uses only those before it: [`camera`] makes frames; `error`, `analysis` and [`geometry`] are shared; [`models`]
//! checks the files; `dequantize`, `ops` and `network` run them; [`mtcnn`] and [`classifier`] interpret the networks' output;
//! [`baseline`] adapts it to a person; `parameters`, `motion`, `schedule`, `track` and `tracker` search and follow,
//! `alternatives` looks differently; and on top,
//! `analyzer` serves the counting, and [`frame_quality`] the installation of a camera.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

mod alternatives;
mod analyzer;
pub mod baseline;
mod blur;
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
mod track;
mod tracker;

use lectern_record::analysis;

pub use alternatives::Alternative;
pub use analysis::{Analysis, Baseline, DEFAULT_MIN_FACE_PX, Faces, Region, Rotation};
pub use analyzer::{Analyzer, FaceResult, MIN_CLASSIFIABLE_PX, Stage};
pub use error::VisionError;
