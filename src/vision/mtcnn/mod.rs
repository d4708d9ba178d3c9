//! Face detection by MTCNN: a proposal, a refinement and an output network in cascade (Zhang et al. 2016).
//!
//! The pyramid, the boxes and the suppression follow facenet-pytorch 2.6.0, whose weights these are, number for
//! number; `models/training/reference_mtcnn.py` lists its conventions, and `tests/detector.rs` holds them.
//!
//! `cascade` has the three stages, `pyramid` the first one's sizes of the picture; `largest` is the policy by which a search for
//! one face leaves most of them out. `boxes` and `resample` are what all of them reckon with.

mod boxes;
mod cascade;
mod largest;
mod pyramid;
mod resample;
mod tiles;

use super::error::VisionError;
use super::geometry::{BBox, Face, View};
use super::models::ModelStore;
pub(super) use boxes::{Overlap, distinct};
use cascade::Cascade;
use largest::Largest;
pub(super) use tiles::Tile;
use tiles::around;

/// How much an old box is grown, so that a head that moved since is still in it.
const GROWTH: f32 = 1.1;

/// The most candidates of a tile for R-Net and for O-Net.
const MOST_IN_TILE: [usize; 2] = [16, 4];

/// The cascade, ready for pictures of one size at a time.
pub struct Detector {
    cascade: Cascade,
    largest: Largest,
    /// The most candidates for R-Net and for O-Net when all faces are searched for.
    most_candidates: [usize; 2],
}

impl Detector {
    /// Loads the three networks.
    ///
    /// # Errors
    /// [`VisionError::Model`] when one is missing, damaged or of another shape.
    pub fn new(store: &ModelStore) -> Result<Self, VisionError> {
        Ok(Self {
            cascade: Cascade::new(store)?,
            largest: Largest::default(),
            most_candidates: store.manifest.detector.most_candidates,
        })
    }

    /// Searches the whole view for faces of `min_face_px` or more; best score first.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn search(&mut self, view: &View<'_>, min_face_px: u32) -> Result<Vec<Face>, VisionError> {
        let mut faces = Vec::new();
        self.search_for_all(view, min_face_px, &mut faces)?;
        Ok(faces)
    }

    /// [`Detector::search`] into a list that is kept.
    pub(super) fn search_for_all(
        &mut self,
        view: &View<'_>,
        min_face_px: u32,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        faces.clear();
        let cascade = &mut self.cascade;
        cascade.candidates.clear();
        for level in 0..cascade.levels(view, min_face_px)? {
            cascade.propose(level, view)?;
        }
        cascade.finish_all(view, self.most_candidates, faces)
    }

    /// Searches for the largest face alone, which costs less; none or one.
    pub(super) fn search_for_largest(
        &mut self,
        view: &View<'_>,
        min_face_px: u32,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        self.largest.search(&mut self.cascade, view, min_face_px, faces)
    }

    /// Plans which faces are searched for in the whole view, and which in tiles of it; true where the view has another size
    /// than the last one.
    pub(super) fn plan(&mut self, view: &View<'_>, min_face_px: u32) -> bool {
        self.cascade.plan_tiles(view, min_face_px)
    }

    /// The tiles of the view, the smallest faces' first; none where it is so small that it is searched whole.
    pub(super) fn tiles(&self) -> &[Tile] {
        self.cascade.tiles().all()
    }

    /// The smallest face that is searched for in the whole view, in pixels.
    pub(super) fn coarse(&self) -> u32 {
        self.cascade.tiles().coarse()
    }

    /// Adds the faces in a tile.
    pub(super) fn look_at(
        &mut self,
        view: &View<'_>,
        tile: &Tile,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        self.cascade.candidates.clear();
        self.cascade.propose_in(tile, view)?;
        self.cascade.finish_all(view, MOST_IN_TILE, faces)
    }

    /// Adds the faces near a place where one of about this size should be.
    pub(super) fn look_around(
        &mut self,
        view: &View<'_>,
        place: &BBox,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        for tile in around(view, place) {
            self.look_at(view, &tile, faces)?;
        }
        Ok(())
    }

    /// Looks for a face only where one was; one pass of the output network.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn follow(&mut self, view: &View<'_>, known: &BBox) -> Result<Option<Face>, VisionError> {
        let face = self.cascade.finish(view, &known.grown(GROWTH).square());
        self.cascade.wipe();
        face
    }
}
