//! Face detection by MTCNN: a proposal, a refinement and an output network in cascade (Zhang et al. 2016).
//!
//! The pyramid, the boxes and the suppression follow facenet-pytorch 2.6.0, whose weights these are, number for
//! number; `models/training/reference_mtcnn.py` lists its conventions, and `tests/detector.rs` holds them.

mod boxes;
mod resample;

use super::VisionError;
use super::engine::{DetectorManifest, ModelStore, Network};
use super::geometry::{BBox, Face, Point, View};
use boxes::{Candidate, Overlap, suppress};
use resample::{Cut, Resampler};

/// Side of a P-Net cell, and of the smallest face it sees, in pixels of a pyramid level.
pub(super) const CELL: usize = 12;
/// Side of R-Net's input.
const REFINEMENT: usize = 24;
/// Side of O-Net's input.
const OUTPUT: usize = 48;
/// How much an old box is grown, so that a head that moved since is still in it.
const GROWTH: f32 = 1.1;

/// The most cells of one level that are compared with one another; the best ones are. A room full of faces has
/// far fewer, and noise or a checkerboard may have thousands.
const MOST_CELLS: usize = 512;

/// The most candidates that R-Net and O-Net look at when only the largest face is wanted: a crowd costs little more than
/// one face.
const MOST_FOR_LARGEST: [usize; 2] = [128, 20];
/// The longer side of the largest face that P-Net proposes, in sides of its cell. It was trained on cells that overlap a face
/// by .65 (IoU) and more: a face as wide as high that holds its cell is 1 / sqrt(.65) as long.
const LARGEST_IN_CELL: f32 = 1.25;
/// P-Net's boxes are rough: one with less than so much of the area of the largest face found is a smaller face.
const LEAST_OF_LARGEST: f32 = 0.5;
/// A candidate that overlaps one in which a face was found by more (IoU) is the same face.
const SAME_FACE: f32 = 0.5;

/// The cascade, ready for pictures of one size at a time.
pub struct Detector {
    settings: DetectorManifest,
    proposal: Vec<u8>,
    /// The levels for the size of the last picture.
    pyramid: Option<Pyramid>,
    refinement: Network,
    output: Network,
    // Kept from one search to the next, so that none allocates.
    resampler: Resampler,
    cells: Vec<Candidate>,
    candidates: Vec<Candidate>,
    found: Vec<Candidate>,
}

/// The scales of one picture size, each with its own plan: tract cannot run P-Net with symbolic sides.
struct Pyramid {
    width: usize,
    height: usize,
    min_face_px: u32,
    levels: Vec<Level>,
}

struct Level {
    scale: f64,
    width: usize,
    height: usize,
    network: Network,
}

impl Detector {
    /// Loads the three networks.
    ///
    /// # Errors
    /// [`VisionError::Model`] when one is missing, damaged or of another shape.
    pub fn new(store: &ModelStore) -> Result<Self, VisionError> {
        let settings = store.manifest.detector.clone();
        let load = |model, side| Network::new("MTCNN", &store.bytes(model)?, Some(&[1, 3, side, side]));
        Ok(Self {
            proposal: store.bytes(&settings.proposal)?.into_owned(),
            pyramid: None,
            refinement: load(&settings.refinement, REFINEMENT)?,
            output: load(&settings.output, OUTPUT)?,
            settings,
            resampler: Resampler::default(),
            cells: Vec::new(),
            candidates: Vec::new(),
            found: Vec::new(),
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
        let [most, most_refined] = self.settings.most_candidates;
        self.propose(view, min_face_px, most)?;
        self.refine(view)?;
        self.candidates.truncate(most_refined);
        for at in 0..self.candidates.len() {
            let bbox = self.candidates[at].bbox;
            faces.extend(self.finish(view, &bbox)?);
        }
        self.resampler.wipe();
        distinct(faces);
        Ok(())
    }

    /// Searches for the largest face alone, which costs less: from the smallest level of the pyramid, where the largest
    /// faces are, to the largest, and no further than where a face larger than the one found could still be. O-Net looks
    /// at no candidate that cannot be larger than a face found already, and again at a face only where R-Net is surer of it.
    pub(super) fn search_for_largest(
        &mut self,
        view: &View<'_>,
        min_face_px: u32,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        faces.clear();
        self.found.clear();
        let [mut most, mut looks_left] = MOST_FOR_LARGEST;
        for at in (0..self.levels(view, min_face_px)?).rev() {
            let longest = faces.first().map_or(0.0, |face| face.bbox.longer_side());
            if self.reach(at) < longest || most == 0 || looks_left == 0 {
                break;
            }
            self.candidates.clear();
            self.propose_at(at, view)?;
            self.select(most);
            most -= self.candidates.len();
            let least = LEAST_OF_LARGEST * faces.first().map_or(0.0, |face| face.bbox.area());
            self.candidates.retain(|candidate| candidate.bbox.area() >= least);
            self.refine(view)?;
            for at in 0..self.candidates.len() {
                if looks_left > 0 {
                    let candidate = self.candidates[at];
                    looks_left -= usize::from(self.look(view, candidate, faces)?);
                }
            }
        }
        self.resampler.wipe();
        Ok(())
    }

    /// O-Net on a candidate that may hold the largest face, or a better view of one that was found already; false where a
    /// look would be in vain. The largest face so far is the one in `faces`.
    fn look(
        &mut self,
        view: &View<'_>,
        candidate: Candidate,
        faces: &mut Vec<Face>,
    ) -> Result<bool, VisionError> {
        let same = |bbox: &BBox, other: &BBox| Overlap::Union.of(bbox, other) > SAME_FACE;
        let known = self.found.iter().position(|found| same(&found.bbox, &candidate.bbox));
        let largest = faces.first().map_or(0.0, |face| face.bbox.area());
        let in_vain = match known {
            Some(known) => {
                candidate.logit <= self.found[known].logit
                    || faces.first().is_some_and(|largest| !same(&largest.bbox.square(), &candidate.bbox))
            }
            None => candidate.bbox.area() < largest,
        };
        if in_vain {
            return Ok(false);
        }
        let Some(face) = self.finish(view, &candidate.bbox)? else { return Ok(true) };
        match known {
            Some(known) => self.found[known] = candidate,
            None => self.found.push(candidate),
        }
        let better = known.is_some() && faces.first().is_some_and(|largest| same(&largest.bbox, &face.bbox));
        if better || face.bbox.area() > largest {
            faces.clear();
            faces.push(face);
        }
        Ok(true)
    }

    /// Looks for a face only where one was; one pass of the output network.
    ///
    /// # Errors
    /// [`VisionError::Model`] when a network fails.
    pub fn follow(&mut self, view: &View<'_>, known: &BBox) -> Result<Option<Face>, VisionError> {
        let face = self.finish(view, &known.grown(GROWTH).square());
        self.resampler.wipe();
        face
    }

    /// The first stage: P-Net over the pyramid; the candidates are squares to be refined.
    fn propose(&mut self, view: &View<'_>, min_face_px: u32, most: usize) -> Result<(), VisionError> {
        self.candidates.clear();
        for at in 0..self.levels(view, min_face_px)? {
            self.propose_at(at, view)?;
        }
        self.select(most);
        Ok(())
    }

    /// How many levels the pyramid has for this view; they are made when its size is another.
    fn levels(&mut self, view: &View<'_>, min_face_px: u32) -> Result<usize, VisionError> {
        let fits = |p: &Pyramid| (p.width, p.height, p.min_face_px) == (view.width, view.height, min_face_px);
        if !self.pyramid.as_ref().is_some_and(fits) {
            self.pyramid = None;
            self.pyramid = Some(Pyramid::new(&self.proposal, &self.settings, view, min_face_px)?);
        }
        Ok(self.pyramid.as_ref().map_or(0, |pyramid| pyramid.levels.len()))
    }

    /// The longer side of the largest face that a level can find, in pixels of the picture.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "sides of pictures are far below 2^24"
    )]
    fn reach(&self, at: usize) -> f32 {
        let cell = |level: &Level| CELL as f32 / level.scale as f32;
        self.pyramid.as_ref().map_or(0.0, |pyramid| LARGEST_IN_CELL * cell(&pyramid.levels[at]))
    }

    /// Adds what P-Net proposes on one level to the candidates.
    fn propose_at(&mut self, at: usize, view: &View<'_>) -> Result<(), VisionError> {
        let threshold = logit(self.settings.thresholds[0]);
        let Some(level) = self.pyramid.as_mut().and_then(|pyramid| pyramid.levels.get_mut(at)) else {
            return Ok(());
        };
        let planes = self.resampler.area(view, Cut::whole(view), level.width, level.height);
        level.find(planes, threshold, &mut self.cells)?;
        if self.cells.len() > MOST_CELLS {
            self.cells.select_nth_unstable_by(MOST_CELLS, |a, b| b.logit.total_cmp(&a.logit));
            self.cells.truncate(MOST_CELLS);
        }
        suppress(&mut self.cells, of_candidate, Overlap::Union, 0.5, usize::MAX);
        self.candidates.append(&mut self.cells);
        Ok(())
    }

    /// The best candidates of all that were proposed, as squares.
    fn select(&mut self, most: usize) {
        suppress(&mut self.candidates, of_candidate, Overlap::Union, 0.7, most);
        for candidate in &mut self.candidates {
            candidate.bbox = candidate.regressed(0.0).square();
        }
    }

    /// The second stage: R-Net on each candidate; those that stay are squares again, the best first.
    fn refine(&mut self, view: &View<'_>) -> Result<(), VisionError> {
        let threshold = logit(self.settings.thresholds[1]);
        let mut kept = 0;
        for at in 0..self.candidates.len() {
            let bbox = self.candidates[at].bbox;
            let Some(cut) = cut(view, &bbox) else { continue };
            // One at a time: in tract a batch of n takes twice as long as n runs.
            let head = self.refinement.run(self.resampler.area(view, cut, REFINEMENT, REFINEMENT))?;
            let [logit, offsets @ ..]: [f32; 5] =
                head.values().try_into().map_err(|_| wrong_head("R-Net"))?;
            if logit > threshold {
                self.candidates[kept] = Candidate { bbox, logit, offsets };
                kept += 1;
            }
        }
        self.candidates.truncate(kept);
        suppress(&mut self.candidates, of_candidate, Overlap::Union, 0.7, usize::MAX);
        for candidate in &mut self.candidates {
            candidate.bbox = candidate.regressed(1.0).square();
        }
        Ok(())
    }

    /// The third stage: O-Net on one square box; a face with its landmarks, or none.
    fn finish(&mut self, view: &View<'_>, bbox: &BBox) -> Result<Option<Face>, VisionError> {
        let Some(cut) = cut(view, bbox) else { return Ok(None) };
        let head = self.output.run(self.resampler.area(view, cut, OUTPUT, OUTPUT))?;
        let head: [f32; 15] = head.values().try_into().map_err(|_| wrong_head("O-Net"))?;
        if head[0] <= logit(self.settings.thresholds[2]) {
            return Ok(None);
        }
        let candidate =
            Candidate { bbox: *bbox, logit: head[0], offsets: [head[1], head[2], head[3], head[4]] };
        let (width, height) = (bbox.width() + 1.0, bbox.height() + 1.0);
        let landmarks = std::array::from_fn(|i| Point {
            x: width * head[5 + i] + bbox.x1 - 1.0,
            y: height * head[10 + i] + bbox.y1 - 1.0,
        });
        Ok(Some(Face { bbox: candidate.regressed(1.0), score: 1.0 / (1.0 + (-head[0]).exp()), landmarks }))
    }
}

impl Pyramid {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "sides of pictures are far below 2^24"
    )]
    fn new(
        bytes: &[u8],
        settings: &DetectorManifest,
        view: &View<'_>,
        min_face_px: u32,
    ) -> Result<Self, VisionError> {
        let (width, height) = (view.width, view.height);
        let mut scale = CELL as f64 / f64::from(min_face_px);
        let mut side = width.min(height) as f64 * scale;
        let mut levels = Vec::new();
        while side >= CELL as f64 {
            let (w, h) = ((width as f64 * scale + 1.0) as usize, (height as f64 * scale + 1.0) as usize);
            let network = Network::new("P-Net", bytes, Some(&[1, 3, h, w]))?;
            levels.push(Level { scale, width: w, height: h, network });
            scale *= settings.pyramid_factor;
            side *= settings.pyramid_factor;
        }
        Ok(Self { width, height, min_face_px, levels })
    }
}

impl Level {
    /// Runs P-Net on this level; the cells that pass, as boxes in the picture, replace what is in `found`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "sides of pictures are far below 2^24"
    )]
    fn find(
        &mut self,
        planes: &[f32],
        threshold: f32,
        found: &mut Vec<Candidate>,
    ) -> Result<(), VisionError> {
        // 3x3 convolution, 2x2 pooling with stride 2 rounded up, two more 3x3 convolutions, none padded.
        let cells = |side: usize| (side - 2).div_ceil(2) - 4;
        let (columns, rows) = (cells(self.width), cells(self.height));
        let head = self.network.run(planes)?;
        let head = head.values();
        let count = rows * columns;
        if head.len() != 5 * count {
            return Err(wrong_head("P-Net"));
        }
        let scale = self.scale as f32;
        found.clear();
        for (at, logit) in head[..count].iter().enumerate().filter(|(_, logit)| **logit >= threshold) {
            let corner = |i: usize, of: usize| ((2 * i + of) as f32 / scale).floor();
            let (row, column) = (at / columns, at % columns);
            let bbox = BBox {
                x1: corner(column, 1),
                y1: corner(row, 1),
                x2: corner(column, CELL),
                y2: corner(row, CELL),
            };
            let offsets = std::array::from_fn(|i| head[(i + 1) * count + at]);
            found.push(Candidate { bbox, logit: *logit, offsets });
        }
        Ok(())
    }
}

/// Keeps the best of those that cover the same face, best first.
pub(super) fn distinct(faces: &mut Vec<Face>) {
    suppress(faces, |face| (face.score, face.bbox), Overlap::Minimum, 0.7, usize::MAX);
}

fn of_candidate(candidate: &Candidate) -> (f32, BBox) {
    (candidate.logit, candidate.bbox)
}

/// The pixels of a box, counted from 1 and cut off at the border as the original does; none where it is
/// outside.
#[expect(clippy::cast_possible_truncation, reason = "saturating is what a box far outside needs")]
fn cut(view: &View<'_>, bbox: &BBox) -> Option<Cut> {
    let span = |from: f32, to: f32, side: usize| {
        let start = usize::try_from((from.trunc() as i64).max(1)).ok()? - 1;
        let end = usize::try_from(to.trunc() as i64).ok()?.min(side);
        (start < end).then(|| (start, end - start))
    };
    let (x, width) = span(bbox.x1, bbox.x2, view.width)?;
    let (y, height) = span(bbox.y1, bbox.y2, view.height)?;
    Some(Cut { x, y, width, height })
}

/// The logit of a probability, so that no network needs a softmax.
fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}

fn wrong_head(network: &str) -> VisionError {
    VisionError::model(network, "has another output than this version of Lectern expects")
}
