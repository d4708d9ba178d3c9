//! From a frame to sightings: detect, track, align, classify.
//!
//! Nothing that leaves this module holds pixels: a [`Sighting`](crate::expression::Sighting) is one of 13 kinds, or uncertain.
//!
//! From the ground to the roof, each room uses only those before it: `error`, `analysis` and [`geometry`]; [`models`], the checked files;
//! `weights`, `fused` and `engine`, which run them; [`mtcnn`] and [`classifier`], what their numbers mean; [`baseline`], from whose resting face; `scene` and `tracker`, which
//! save searches; and on top `analyzer`, for whoever counts, and [`look`], for whoever aims a camera.

mod analysis;
mod analyzer;
pub mod baseline;
pub mod classifier;
mod engine;
mod error;
mod fused;
pub mod geometry;
pub mod look;
pub mod models;
mod motion;
pub mod mtcnn;
mod parameters;
mod schedule;
mod tracker;
mod upright;
mod weights;

pub use analysis::{Analysis, Baseline, DEFAULT_MIN_FACE_PX, Faces, Region};
pub use analyzer::{Analyzer, SMALLEST_TOLD_PX, Seen, Stage};
pub use error::VisionError;
