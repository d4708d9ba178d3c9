//! From a frame to sightings: detect, track, align, classify.
//!
//! Nothing that leaves this module holds pixels: a [`Sighting`](crate::expression::Sighting) is one of 13 kinds, or uncertain.
//!
//! From the ground to the roof, each room uses only those before it: `error` and [`geometry`]; [`models`], the checked files;
//! `fused` and `engine`, which run them; [`mtcnn`] and [`classifier`], what their numbers mean; `scene` and `tracker`, which
//! save searches; and on top [`look`], for whoever aims a camera, and `analyzer`, for whoever counts.

mod analyzer;
pub mod classifier;
mod engine;
mod error;
mod fused;
pub mod geometry;
pub mod look;
pub mod models;
pub mod mtcnn;
mod scene;
mod sweep;
mod tracker;

pub use analyzer::{Analysis, Analyzer, Stage};
pub use error::VisionError;
pub use geometry::Region;
pub use tracker::Faces;
