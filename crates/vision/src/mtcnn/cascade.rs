//! The three stages: P-Net proposes candidates, R-Net refines them, and O-Net makes a face of one.

use zeroize::Zeroize;

use super::areas::{Area, CELL};
use super::boxes::{Candidate, Overlap, suppress};
use super::resample::{Cut, Resampler};
use crate::analysis::Region;
use crate::camera::Frame;
use crate::error::VisionError;
use crate::geometry::{BBox, Face, Point, View, to_f32, to_usize};
use crate::models::ModelStore;
use crate::network::Network;
use crate::parameters::{MAX_CELLS, MAX_LEVEL_PIXELS, OUTPUT_WORK, REFINEMENT_WORK};

/// Side of R-Net's input.
const REFINEMENT: usize = 24;
/// Side of O-Net's input.
const OUTPUT: usize = 48;

/// The networks, and the buffers that they share.
pub(super) struct Cascade {
    /// Logits above which P-Net, R-Net and O-Net keep a box.
    thresholds: [f32; 3],
    /// P-Net's file, and its plans: tract cannot run it with symbolic sides.
    proposal: Vec<u8>,
    plans: Vec<((usize, usize), Network)>,
    refinement: Network,
    output: Network,
    /// Work since this was set to 0, in millions of instructions of a Cortex-A72.
    pub(super) work: f32,
    /// The picture in fewer pixels, for the levels that need no more.
    reduced: Option<Frame>,
    /// A wiped picture, whose memory the next reduced one reuses.
    spare: Option<Frame>,
    // Kept from one run to the next, so that none allocates.
    resampler: Resampler,
    cells: Vec<Candidate>,
}

impl Cascade {
    /// Loads the three networks.
    pub(super) fn new(store: &ModelStore) -> Result<Self, VisionError> {
        let settings = &store.manifest.detector;
        let load = |model, side| Network::new("MTCNN", &store.bytes(model)?, Some(&[1, 3, side, side]));
        Ok(Self {
            thresholds: settings.thresholds.map(logit),
            proposal: store.bytes(&settings.proposal)?.into_owned(),
            plans: Vec::new(),
            refinement: load(&settings.refinement, REFINEMENT)?,
            output: load(&settings.output, OUTPUT)?,
            work: 0.0,
            reduced: None,
            spare: None,
            resampler: Resampler::default(),
            // P-Net has a cell for each 4 pixels or more.
            cells: Vec::with_capacity(MAX_LEVEL_PIXELS / 4),
        })
    }

    /// Forgets the plans of P-Net that none of these areas needs.
    pub(super) fn keep_plans(&mut self, areas: &[Area]) {
        self.plans.retain(|(size, _)| areas.iter().any(|area| area.size == *size));
    }

    /// The first stage on an area: the boxes that pass, as squares in the picture, replace what is in the returned list.
    pub(super) fn propose(&mut self, view: &View<'_>, area: &Area) -> Result<&[Candidate], VisionError> {
        let (width, height) = area.size;
        self.work += area.work();
        let at = match self.plans.iter().position(|(size, _)| *size == area.size) {
            Some(at) => at,
            None => {
                let network = Network::new("P-Net", &self.proposal, Some(&[1, 3, height, width]))?;
                self.plans.push((area.size, network));
                self.plans.len() - 1
            }
        };
        let reduced = self.reduced.as_ref().filter(|_| area.is_level);
        let reduced = reduced.map(|frame| View::new(frame, Region::WHOLE));
        let planes = match &reduced {
            Some(reduced) => self.resampler.area(reduced, Cut::whole(reduced), width, height),
            None => self.resampler.area(view, area.cut, width, height),
        };
        // 3x3 convolution, 2x2 pooling with stride 2 rounded up, two more 3x3 convolutions, none padded.
        let cells = |side: usize| (side - 2).div_ceil(2) - 4;
        let (columns, rows) = (cells(width), cells(height));
        let head = self.plans[at].1.run(planes)?;
        let head = head.values();
        let count = rows * columns;
        if head.len() != 5 * count {
            return Err(VisionError::output("P-Net"));
        }
        self.cells.clear();
        let (left, top) = (to_f32(area.cut.x), to_f32(area.cut.y));
        let passed = head[..count].iter().enumerate().filter(|(_, logit)| **logit >= self.thresholds[0]);
        self.cells.extend(passed.map(|(at, logit)| {
            let corner = |i: usize, of: usize| (to_f32(2 * i + of) / area.scale).floor();
            let (row, column) = (at / columns, at % columns);
            let bbox = BBox {
                x1: left + corner(column, 1),
                y1: top + corner(row, 1),
                x2: left + corner(column, CELL),
                y2: top + corner(row, CELL),
            };
            Candidate { bbox, logit: *logit, offsets: std::array::from_fn(|i| head[(i + 1) * count + at]) }
        }));
        if self.cells.len() > MAX_CELLS {
            self.cells.select_nth_unstable_by(MAX_CELLS, |a, b| b.logit.total_cmp(&a.logit));
            self.cells.truncate(MAX_CELLS);
        }
        suppress(&mut self.cells, Candidate::key, Overlap::Union, 0.5, usize::MAX);
        Ok(&self.cells)
    }

    /// The second stage on one square box: a candidate whose offsets are R-Net's, or none.
    pub(super) fn refine(&mut self, view: &View<'_>, bbox: &BBox) -> Result<Option<Candidate>, VisionError> {
        let Some(cut) = cut(view, bbox) else { return Ok(None) };
        self.work += REFINEMENT_WORK;
        // One at a time: in tract a batch of n is twice as slow as n runs.
        let head = self.refinement.run(self.resampler.area(view, cut, REFINEMENT, REFINEMENT))?;
        let [logit, offsets @ ..]: [f32; 5] =
            head.values().try_into().map_err(|_| VisionError::output("R-Net"))?;
        Ok((logit > self.thresholds[1]).then_some(Candidate { bbox: *bbox, logit, offsets }))
    }

    /// The third stage on one square box: a face with its landmarks, or none.
    pub(super) fn finish(&mut self, view: &View<'_>, bbox: &BBox) -> Result<Option<Face>, VisionError> {
        let Some(cut) = cut(view, bbox) else { return Ok(None) };
        self.work += OUTPUT_WORK;
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

    /// Reduces the picture for the whole levels with cells of `cell` pixels and more, so that not each of them reads all of a large
    /// picture. Three of its pixels or more are left for each of the largest level's: with two, P-Net misses faces that it
    /// sees in the picture itself.
    pub(super) fn reduce(&mut self, view: &View<'_>, cell: f32) {
        let by = to_usize(cell) / CELL / 3;
        if by < 2 || self.reduced.is_some() {
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

    /// Overwrites what is left of the picture.
    pub(super) fn wipe(&mut self) {
        if let Some(mut reduced) = self.reduced.take() {
            reduced.zeroize();
            self.spare = Some(reduced);
        }
        self.resampler.wipe();
    }
}

/// The pixels of a box, counted from 1 and cut off at the border as the original does; none where it is outside.
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
