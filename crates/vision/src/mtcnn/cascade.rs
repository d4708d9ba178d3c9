//! The three stages: P-Net proposes candidates, R-Net refines them, and O-Net makes a face of one.

use zeroize::Zeroize;

use super::boxes::{Candidate, Overlap, distinct, suppress};
use super::pyramid::{CELL, Pyramid, propose};
use super::resample::{Cut, Resampler};
use super::tiles::{SIDE, Tile, Tiles};
use crate::analysis::Region;
use crate::camera::Frame;
use crate::engine::Network;
use crate::error::VisionError;
use crate::geometry::{BBox, Face, Point, View, to_f32};
use crate::models::ModelStore;

/// Side of R-Net's input.
const REFINEMENT: usize = 24;
/// Side of O-Net's input.
const OUTPUT: usize = 48;

/// The most cells of one level that are compared with one another; the best ones are. A room full of faces has
/// far fewer, and noise or a checkerboard may have thousands.
const MOST_CELLS: usize = 512;

/// Millions of multiplications of a pass of R-Net and of O-Net, and of P-Net for each pixel.
const REFINEMENT_WORK: f32 = 1.5;
const OUTPUT_WORK: f32 = 12.9;
const PROPOSAL_WORK: f32 = 0.0016;

/// The networks, and the candidates between two stages.
pub(super) struct Cascade {
    /// Logits above which P-Net, R-Net and O-Net keep a box.
    thresholds: [f32; 3],
    pyramid: Pyramid,
    tiles: Tiles,
    /// P-Net for any tile; made when there is one.
    tile: Option<Network>,
    refinement: Network,
    output: Network,
    /// Millions of multiplications that this frame may still cost.
    pub(super) work_left: f32,
    /// The picture in fewer pixels, for the levels that need no more; none where each level reads the picture itself.
    reduced: Option<Frame>,
    /// A wiped picture, whose memory the next reduced one takes.
    spare: Option<Frame>,
    // Kept from one search to the next, so that none allocates.
    resampler: Resampler,
    cells: Vec<Candidate>,
    /// What the last stage has left.
    pub(super) candidates: Vec<Candidate>,
}

impl Cascade {
    /// Loads the three networks.
    pub(super) fn new(store: &ModelStore) -> Result<Self, VisionError> {
        let settings = &store.manifest.detector;
        let load = |model, side| Network::new("MTCNN", &store.bytes(model)?, Some(&[1, 3, side, side]));
        Ok(Self {
            thresholds: settings.thresholds.map(logit),
            pyramid: Pyramid::new(store.bytes(&settings.proposal)?.into_owned(), settings.pyramid_factor),
            tiles: Tiles::default(),
            tile: None,
            refinement: load(&settings.refinement, REFINEMENT)?,
            output: load(&settings.output, OUTPUT)?,
            work_left: f32::INFINITY,
            reduced: None,
            spare: None,
            resampler: Resampler::default(),
            cells: Vec::new(),
            candidates: Vec::new(),
        })
    }

    /// How many levels the pyramid has for this view, the largest first.
    pub(super) fn levels(&mut self, view: &View<'_>, min_face_px: u32) -> Result<usize, VisionError> {
        self.pyramid.levels(view, min_face_px)
    }

    /// The side of P-Net's cell on a level, in pixels of the picture.
    pub(super) fn cell_side(&self, level: usize) -> f32 {
        self.pyramid.cell_side(level)
    }

    /// The first stage: adds what P-Net proposes on one level to the candidates.
    pub(super) fn propose(&mut self, level: usize, view: &View<'_>) -> Result<(), VisionError> {
        self.work_left -= PROPOSAL_WORK * to_f32(self.pyramid.pixels(level));
        let reduced = self.reduced.as_ref().map(|reduced| View::new(reduced, Region::WHOLE));
        let view = reduced.as_ref().unwrap_or(view);
        self.pyramid.find(level, view, &mut self.resampler, self.thresholds[0], &mut self.cells)?;
        self.take_cells();
        Ok(())
    }

    /// Reduces the picture for a search of faces from `min_face_px` on, so that not each level reads all of a large picture. Three of
    /// its pixels or more are left for each of the largest level's: with two, P-Net misses faces that it sees in the picture itself.
    pub(super) fn reduce(&mut self, view: &View<'_>, min_face_px: u32) {
        let by = min_face_px as usize / CELL / 3;
        if by < 2 {
            return;
        }
        let (width, height) = (view.width / by, view.height / by);
        let fits = |frame: &Frame| (frame.width(), frame.height()) == (width, height);
        let mut reduced = self.spare.take().filter(fits).unwrap_or_else(|| Frame::black(width, height));
        let planes = self.resampler.area(view, Cut::whole(view), width, height);
        let (red, rest) = planes.split_at(width * height);
        let (green, blue) = rest.split_at(width * height);
        let levels = red.iter().zip(green).zip(blue);
        for (pixel, ((red, green), blue)) in reduced.rgb_mut().as_chunks_mut::<3>().0.iter_mut().zip(levels) {
            *pixel = [*red, *green, *blue].map(to_level);
        }
        self.reduced = Some(reduced);
    }

    /// Searches read the picture itself again.
    pub(super) fn forget_reduced(&mut self) {
        if let Some(mut reduced) = self.reduced.take() {
            reduced.zeroize();
            self.spare = Some(reduced);
        }
    }

    fn take_cells(&mut self) {
        if self.cells.len() > MOST_CELLS {
            self.cells.select_nth_unstable_by(MOST_CELLS, |a, b| b.logit.total_cmp(&a.logit));
            self.cells.truncate(MOST_CELLS);
        }
        suppress(&mut self.cells, of_candidate, Overlap::Union, 0.5, usize::MAX);
        self.candidates.append(&mut self.cells);
    }

    /// Plans the tiles of this view; true where it is of another size than the last one.
    #[expect(clippy::cast_possible_truncation, reason = "a ratio")]
    pub(super) fn plan_tiles(&mut self, view: &View<'_>, min_face_px: u32) -> bool {
        self.tiles.plan(view, min_face_px, self.pyramid.factor as f32)
    }

    /// The tiles of the view that they were planned for.
    pub(super) fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// The first stage on a tile.
    pub(super) fn propose_in(&mut self, tile: &Tile, view: &View<'_>) -> Result<(), VisionError> {
        let network = match &mut self.tile {
            Some(network) => network,
            none => none.insert(Network::new("P-Net", &self.pyramid.proposal, Some(&[1, 3, SIDE, SIDE]))?),
        };
        self.work_left -= PROPOSAL_WORK * to_f32(SIDE * SIDE);
        let planes = self.resampler.area(view, tile.cut, SIDE, SIDE);
        let (scale, origin) = (to_f32(SIDE) / to_f32(tile.cut.width), (tile.cut.x, tile.cut.y));
        propose(network, planes, (SIDE, SIDE), scale, origin, self.thresholds[0], &mut self.cells)?;
        self.take_cells();
        Ok(())
    }

    /// The best candidates of all that were proposed, as squares.
    pub(super) fn select(&mut self, most: usize) {
        suppress(&mut self.candidates, of_candidate, Overlap::Union, 0.7, most);
        for candidate in &mut self.candidates {
            candidate.bbox = candidate.regressed(0.0).square();
        }
    }

    /// The second stage: R-Net on each candidate; those that stay are squares again, the best first.
    pub(super) fn refine(&mut self, view: &View<'_>) -> Result<(), VisionError> {
        let mut kept = 0;
        for at in 0..self.candidates.len() {
            let bbox = self.candidates[at].bbox;
            let Some(cut) = cut(view, &bbox) else { continue };
            if self.work_left <= 0.0 {
                break;
            }
            self.work_left -= REFINEMENT_WORK;
            // One at a time: in tract a batch of n takes twice as long as n runs.
            let head = self.refinement.run(self.resampler.area(view, cut, REFINEMENT, REFINEMENT))?;
            let [logit, offsets @ ..]: [f32; 5] =
                head.values().try_into().map_err(|_| VisionError::output("R-Net"))?;
            if logit > self.thresholds[1] {
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

    /// Of the candidates that overlap by more (IoU) only the best.
    pub(super) fn keep_best(&mut self, overlap: f32) {
        suppress(&mut self.candidates, of_candidate, Overlap::Union, overlap, usize::MAX);
    }

    /// The third stage: O-Net on one square box; a face with its landmarks, or none.
    pub(super) fn finish(&mut self, view: &View<'_>, bbox: &BBox) -> Result<Option<Face>, VisionError> {
        let Some(cut) = cut(view, bbox) else { return Ok(None) };
        self.work_left -= OUTPUT_WORK;
        let head = self.output.run(self.resampler.area(view, cut, OUTPUT, OUTPUT))?;
        let head: [f32; 15] = head.values().try_into().map_err(|_| VisionError::output("O-Net"))?;
        if head[0] <= self.thresholds[2] {
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

    /// The third stage on the best of all that were refined; adds the faces, and keeps those of the list that differ.
    pub(super) fn finish_all(
        &mut self,
        view: &View<'_>,
        most: usize,
        faces: &mut Vec<Face>,
    ) -> Result<(), VisionError> {
        self.candidates.truncate(most);
        for at in 0..self.candidates.len() {
            if self.work_left > 0.0 {
                let bbox = self.candidates[at].bbox;
                faces.extend(self.finish(view, &bbox)?);
            }
        }
        self.wipe();
        distinct(faces);
        Ok(())
    }

    /// Overwrites what is left of the picture.
    pub(super) fn wipe(&mut self) {
        self.resampler.wipe();
    }
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

/// A mean of levels, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of bytes is from 0 to 255"
)]
fn to_level(mean: f32) -> u8 {
    mean.round() as u8
}

/// The logit of a probability, so that no network needs a softmax.
fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}
