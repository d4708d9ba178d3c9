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
use super::geometry::{BBox, Face, Point, View};
use super::models::ModelStore;
pub(super) use boxes::{Overlap, distinct};
use cascade::Cascade;
use largest::Largest;
pub(super) use tiles::Tile;
use tiles::{BELOW, around, below};

/// How much an old box is grown, so that a head that moved since is still in it.
const GROWTH: f32 = 1.1;

/// The most candidates of a tile for R-Net and for O-Net.
const MOST_IN_TILE: [usize; 2] = [16, 4];

/// Probability from which something that nobody was followed to is a face: of so many tiles, and of small things, some look like one
/// by chance.
pub(super) const CERTAIN: f32 = 0.98;

/// P-Net's boxes are rough: one whose side is less than so much of the largest known face's is a smaller face.
const LEAST_PROPOSED: f32 = 0.9;

/// Candidates that overlap by more (IoU) are of one face, of which O-Net sees the one that R-Net is surest of.
const SAME_FACE: f32 = 0.4;

/// A box that overlaps the known face's by more (IoU) is that face.
const KNOWN: f32 = 0.5;

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
        let [most, most_refined] = self.most_candidates;
        cascade.select(most);
        cascade.refine(view)?;
        cascade.finish_all(view, most_refined, faces)
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

    /// Begins a frame in which so much may be done, in millions of multiplications: after that no look is begun that can be left out.
    pub(super) fn allow(&mut self, work: f32) {
        self.cascade.work_left = work;
    }

    /// Whether the frame may go on with another look.
    pub(super) fn may_look(&self) -> bool {
        self.cascade.work_left > 0.0
    }

    /// The tiles of the view, the smallest faces' first; none where it is so small that it is searched whole.
    pub(super) fn tiles(&self) -> &[Tile] {
        self.cascade.tiles().all()
    }

    /// Searches the whole view, of which tiles show the smallest faces, for the others: for all of them, or for the largest.
    pub(super) fn search_coarse(
        &mut self,
        view: &View<'_>,
        all: bool,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        let min_face_px = self.cascade.tiles().coarse();
        self.cascade.reduce(view, min_face_px);
        let done = match all {
            true => self.search_for_all(view, min_face_px, faces),
            false => self.search_for_largest(view, min_face_px, faces),
        };
        self.cascade.forget_reduced();
        done
    }

    /// Adds the faces in a tile; of those that are no larger than the `known` one only some, for nobody asks for them.
    pub(super) fn look_at(
        &mut self,
        view: &View<'_>,
        tile: &Tile,
        known: Option<&BBox>,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        let cascade = &mut self.cascade;
        cascade.candidates.clear();
        cascade.propose_in(tile, view)?;
        let [most, most_refined] = MOST_IN_TILE;
        cascade.select(most);
        let side = known.map_or(0.0, BBox::longer_side);
        let is_known =
            |bbox: &BBox| known.is_some_and(|known| Overlap::Union.of(bbox, &known.square()) > KNOWN);
        cascade.candidates.retain(|candidate| {
            candidate.bbox.longer_side() >= LEAST_PROPOSED * side && !is_known(&candidate.bbox)
        });
        cascade.refine(view)?;
        cascade.candidates.retain(|candidate| candidate.bbox.longer_side() >= side);
        cascade.keep_best(SAME_FACE);
        cascade.finish_all(view, most_refined, faces)
    }

    /// Adds the faces near a place where one of about this size should be; once there is a certain one, no other sizes are tried.
    pub(super) fn look_around(
        &mut self,
        view: &View<'_>,
        place: &BBox,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        for tile in around(view, place) {
            self.look_at(view, &tile, None, faces)?;
            if faces.iter().any(|face| face.score >= CERTAIN) {
                break;
            }
        }
        Ok(())
    }

    /// The tiles to look at for somebody who moves, from the middle of whose upper side on.
    pub(super) fn below(&self, view: &View<'_>, point: Point) -> [Option<Tile>; BELOW] {
        below(self.tiles(), view, point)
    }

    /// How many pixels of the picture a tile of the smallest faces is wide; none where there are no tiles.
    pub(super) fn finest(&self) -> Option<usize> {
        self.tiles().first().map(Tile::side)
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
