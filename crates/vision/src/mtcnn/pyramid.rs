//! P-Net over the picture in several sizes, because it sees faces of one size alone.

use super::boxes::Candidate;
use super::resample::{Cut, Resampler};
use crate::engine::Network;
use crate::error::VisionError;
use crate::geometry::{BBox, View, to_f32};

/// Side of a P-Net cell, and of the smallest face it sees, in pixels of a pyramid level.
pub(crate) const CELL: usize = 12;

/// The sizes of one picture.
pub(super) struct Pyramid {
    /// P-Net's file.
    pub(super) proposal: Vec<u8>,
    /// The ratio of two neighbouring scales.
    pub(super) factor: f64,
    /// Width and height of the picture for which the levels were made, and its smallest face.
    made_for: Option<(usize, usize, u32)>,
    levels: Vec<Level>,
}

/// One size, with its own plan: tract cannot run P-Net with symbolic sides.
struct Level {
    /// Its pixels for one of the picture's.
    scale: f32,
    width: usize,
    height: usize,
    network: Network,
}

impl Pyramid {
    pub(super) fn new(proposal: Vec<u8>, factor: f64) -> Self {
        Self { proposal, factor, made_for: None, levels: Vec::new() }
    }

    /// How many levels there are for this view, the largest first; they are made when its size is another.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a level is no larger than a picture, and boxes are reckoned in f32"
    )]
    pub(super) fn levels(&mut self, view: &View<'_>, min_face_px: u32) -> Result<usize, VisionError> {
        let wanted = Some((view.width, view.height, min_face_px));
        if self.made_for == wanted {
            return Ok(self.levels.len());
        }
        // Before the new plans, because both would take twice the memory.
        self.made_for = None;
        self.levels.clear();
        let [cell, width, height] = [CELL, view.width, view.height].map(|side| f64::from(to_f32(side)));
        let mut scale = cell / f64::from(min_face_px);
        let mut side = width.min(height) * scale;
        while side >= cell {
            let (width, height) = ((width * scale + 1.0) as usize, (height * scale + 1.0) as usize);
            let network = Network::new("P-Net", &self.proposal, Some(&[1, 3, height, width]))?;
            self.levels.push(Level { scale: scale as f32, width, height, network });
            scale *= self.factor;
            side *= self.factor;
        }
        self.made_for = wanted;
        Ok(self.levels.len())
    }

    /// The pixels of a level.
    pub(super) fn pixels(&self, level: usize) -> usize {
        self.levels[level].width * self.levels[level].height
    }

    /// The side of a cell of a level, in pixels of the picture.
    pub(super) fn cell_side(&self, level: usize) -> f32 {
        to_f32(CELL) / self.levels[level].scale
    }

    /// Runs P-Net on a level; the cells that pass, as boxes in the picture, replace what is in `found`.
    pub(super) fn find(
        &mut self,
        level: usize,
        view: &View<'_>,
        resampler: &mut Resampler,
        threshold: f32,
        found: &mut Vec<Candidate>,
    ) -> Result<(), VisionError> {
        let Level { scale, width, height, network } = &mut self.levels[level];
        let size = (*width, *height);
        propose(
            network,
            resampler.area(view, Cut::whole(view), size.0, size.1),
            size,
            *scale,
            (0, 0),
            threshold,
            found,
        )
    }
}

/// Runs P-Net on the planes of a part of the picture that begins at `origin`; the cells that pass, as boxes in the picture,
/// replace what is in `found`.
pub(super) fn propose(
    network: &mut Network,
    planes: &[f32],
    (width, height): (usize, usize),
    scale: f32,
    origin: (usize, usize),
    threshold: f32,
    found: &mut Vec<Candidate>,
) -> Result<(), VisionError> {
    // 3x3 convolution, 2x2 pooling with stride 2 rounded up, two more 3x3 convolutions, none padded.
    let cells = |side: usize| (side - 2).div_ceil(2) - 4;
    let (columns, rows) = (cells(width), cells(height));
    let head = network.run(planes)?;
    let head = head.values();
    let count = rows * columns;
    if head.len() != 5 * count {
        return Err(VisionError::output("P-Net"));
    }
    found.clear();
    let (left, top) = (to_f32(origin.0), to_f32(origin.1));
    for (at, logit) in head[..count].iter().enumerate().filter(|(_, logit)| **logit >= threshold) {
        let corner = |i: usize, of: usize| (to_f32(2 * i + of) / scale).floor();
        let (row, column) = (at / columns, at % columns);
        let bbox = BBox {
            x1: left + corner(column, 1),
            y1: top + corner(row, 1),
            x2: left + corner(column, CELL),
            y2: top + corner(row, CELL),
        };
        let offsets = std::array::from_fn(|i| head[(i + 1) * count + at]);
        found.push(Candidate { bbox, logit: *logit, offsets });
    }
    Ok(())
}
