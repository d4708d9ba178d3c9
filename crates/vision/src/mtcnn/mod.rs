//! Face detection by MTCNN: a proposal, a refinement and an output network in cascade (Zhang et al. 2016).
//!
//! The pyramid, the boxes and the suppression follow facenet-pytorch 2.6.0, whose weights these are, number for
//! number; `models/training/detector/reference_mtcnn.py` lists its conventions, and `tests/detector.rs` holds them.
//!
//! `cascade` has the three stages, `areas` the inputs of the first one; `boxes` and `resample` are shared.
//! [`Detector::search`] is the original's search of a whole picture. The tracker composes its own from the same stages.

mod areas;
mod boxes;
mod cascade;
mod resample;

use super::error::VisionError;
use super::geometry::{BBox, Face, View};
use super::models::ModelStore;
use super::parameters::GROWTH;
pub(super) use areas::Area;
use areas::{Areas, TILE, levels};
use boxes::distinct;
pub(super) use boxes::{Candidate, Overlap, suppress};
use cascade::Cascade;

/// The cascade, ready for pictures of one size at a time.
pub struct Detector {
    cascade: Cascade,
    areas: Areas,
    /// The ratio of two neighbouring scales of the pyramid.
    factor: f64,
    /// The most candidates for R-Net and for O-Net in [`Detector::search`].
    most_candidates: [usize; 2],
}

impl Detector {
    /// Loads the three networks.
    ///
    /// # Errors
    /// [`VisionError::Model`] when one is missing, damaged or of another shape.
    pub fn new(store: &ModelStore) -> Result<Self, VisionError> {
        let settings = &store.manifest.detector;
        Ok(Self {
            cascade: Cascade::new(store)?,
            areas: Areas::default(),
            factor: settings.pyramid_factor,
            most_candidates: settings.most_candidates,
        })
    }

    /// Searches the whole view for faces of `min_face_px` or more, as the original does; best score first.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn search(&mut self, view: &View<'_>, min_face_px: u32) -> Result<Vec<Face>, VisionError> {
        let Self { cascade, most_candidates: [most, most_refined], .. } = self;
        let levels: Vec<_> = levels(view.width, view.height, min_face_px, self.factor).collect();
        cascade.keep_plans(&levels);
        let mut candidates = Vec::new();
        for level in &levels {
            candidates.extend_from_slice(cascade.propose(view, level)?);
        }
        suppress(&mut candidates, Candidate::key, Overlap::Union, 0.7, *most);
        let mut refined = Vec::new();
        for candidate in &candidates {
            refined.extend(cascade.refine(view, &candidate.proposed())?);
        }
        suppress(&mut refined, Candidate::key, Overlap::Union, 0.7, *most_refined);
        let mut faces = Vec::new();
        for candidate in &refined {
            faces.extend(cascade.finish(view, &candidate.refined())?);
        }
        cascade.wipe();
        distinct(&mut faces);
        Ok(faces)
    }

    /// Plans the areas of the view, and counts work from 0; true where the view has another size than the last one.
    pub(super) fn begin(&mut self, view: &View<'_>, min_face_px: u32) -> bool {
        self.cascade.work = 0.0;
        let is_new = self.areas.plan(view, min_face_px, self.factor);
        if is_new {
            self.cascade.keep_plans(self.areas.all());
        }
        is_new
    }

    /// What was done since the frame began, in millions of instructions of a Cortex-A72.
    pub(super) fn work(&self) -> f32 {
        self.cascade.work
    }

    /// The areas of the view, the largest faces' first.
    pub(super) fn areas(&self) -> &[Area] {
        self.areas.all()
    }

    /// The areas in which a face of about this size at about this place is seen, or farther around it.
    pub(super) fn near(&self, view: &View<'_>, bbox: &BBox, far: bool) -> impl Iterator<Item = Area> + use<> {
        self.areas.near(view, bbox, if far { TILE } else { TILE / 2 }).into_iter().flatten()
    }

    /// P-Net on an area: adds the boxes that may be faces, as squares.
    pub(super) fn propose(
        &mut self,
        view: &View<'_>,
        area: &Area,
        found: &mut impl Extend<Candidate>,
    ) -> Result<(), VisionError> {
        if area.is_level {
            self.cascade.reduce(view, self.areas.finest_level());
        }
        let cells = self.cascade.propose(view, area)?;
        found.extend(cells.iter().map(|cell| Candidate { bbox: cell.proposed(), ..*cell }));
        Ok(())
    }

    /// R-Net on a box; O-Net's input square, or none.
    pub(super) fn refine(&mut self, view: &View<'_>, bbox: &BBox) -> Result<Option<BBox>, VisionError> {
        Ok(self.cascade.refine(view, bbox)?.map(|candidate| candidate.refined()))
    }

    /// O-Net on a square box; a face, or none.
    pub(super) fn finish(&mut self, view: &View<'_>, bbox: &BBox) -> Result<Option<Face>, VisionError> {
        self.cascade.finish(view, bbox)
    }

    /// Looks for a face only where one was: the last two stages of the cascade, or the last one alone where R-Net sees none.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn follow(&mut self, view: &View<'_>, tracked: &BBox) -> Result<Option<Face>, VisionError> {
        if let Some(refined) = self.refine(view, &tracked.square())?
            && let Some(face) = self.finish(view, &refined)?
        {
            return Ok(Some(face));
        }
        self.finish(view, &tracked.grown(GROWTH).square())
    }

    /// Ends a frame: overwrites what is left of it.
    pub(super) fn end(&mut self) {
        self.cascade.wipe();
    }
}

/// The areas of a picture of this size.
#[cfg(test)]
pub(super) fn test_areas(width: usize, height: usize, min_face_px: u32) -> Vec<Area> {
    let frame = crate::camera::Frame::black(width, height);
    let mut areas = Areas::default();
    areas.plan(&View::new(&frame, super::Region::WHOLE), min_face_px, 0.709);
    areas.all().to_vec()
}
