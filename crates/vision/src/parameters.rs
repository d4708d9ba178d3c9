//! The numbers that the search and the tracker are tuned by, each with what chose it. A time is in seconds, work in millions of
//! instructions of a Cortex-A72 (`benches/insns.py`), a size in pixels of the picture unless stated otherwise.

/// What P-Net costs for each pixel of a level, R-Net and O-Net for each box, with the resampling before them.
pub(super) const PROPOSAL_WORK: f32 = 0.0013;
pub(super) const REFINEMENT_WORK: f32 = 1.2;
pub(super) const OUTPUT_WORK: f32 = 7.2;

/// A level of the pyramid with more pixels is cut into tiles, each of which has 16,384.
pub(super) const MAX_LEVEL_PIXELS: usize = 20_000;

/// Cells for a face of approximately known size, in parts of its longer side.
pub(super) const NEAR_CELLS: [f32; 3] = [0.85, 0.72, 1.0];

/// The most cells of one area that are compared with one another; noise or a checkerboard may have thousands.
pub(super) const MAX_CELLS: usize = 512;

/// How much an old box is grown, so that a head that moved since is still in it.
pub(super) const GROWTH: f32 = 1.1;

/// After so much work nothing more is begun in a frame of a live camera.
pub(super) const FRAME_WORK: f32 = 320.0;

/// Areas that keep changing are searched again in this time, with so much work a second or more.
pub(super) const STEADY_WORK: f32 = 20.0;
pub(super) const RESTLESS: f32 = 10.0;

/// A new face changes so much of the square of its cell, or more.
pub(super) const FRESH_SHARE: f32 = 1.0;

/// P-Net's logit from which a candidate has priority over further areas.
pub(super) const STRONG: f32 = 2.2;

/// The most waiting candidates; no further area is searched until there are fewer.
pub(super) const MAX_WAITING: usize = 256;

/// Probability from which something that was not followed is a face: among so many areas, some resemble a face by chance.
pub(super) const CERTAIN: f32 = 0.98;

/// Boxes that overlap by more (IoU) are of the same face, and so are those of which one lies in the other by more.
pub(super) const SAME_FACE: f32 = 0.4;
pub(super) const CONTAINED: f32 = 0.7;

/// Where only the largest face counts: minimum area of a face that replaces the tracked one, over that one's area.
pub(super) const LARGER: f32 = 1.2;

/// The boxes of P-Net and R-Net are rough: one whose side is less than this part of the tracked face's is a smaller face.
pub(super) const MIN_PROPOSED: f32 = 0.75;

/// The longer side of the largest face that P-Net proposes, in sides of its cell, with what the next coarser level sees.
pub(super) const LARGEST_IN_CELL: f32 = 1.4;

/// The most faces that are followed.
pub(super) const MAX_FACES: usize = 32;

/// A followed face is searched for anew after so long, and once its area has changed by such a factor; it is dropped after
/// so long, and at such a factor, if it is not found then.
pub(super) const VERIFY: f64 = 3.0;
pub(super) const VERIFY_AT: f32 = 1.3;
pub(super) const UNVERIFIED: f64 = 8.0;
pub(super) const UNVERIFIED_AT: f32 = 2.0;

/// A lost face is searched for near its last position on each frame for a time, and then at intervals: a lecturer who turns to the board
/// stays there, and turns back.
pub(super) const LOST: f64 = 3.0;
pub(super) const LOST_LONG: f64 = 60.0;
pub(super) const LOST_PAUSE: f64 = 2.0;

/// A face that is further away from where it was in the frame before than so many of its sides is another one.
pub(super) const MAX_STEP: f32 = 3.0;

/// Changes after so long without any are searched first; a screen changes all the time.
pub(super) const QUIET: f64 = 2.0;

/// While a face is tracked, an area is searched again no sooner than after so long, unless it was quiet.
pub(super) const PAUSE_TRACKING: f64 = 3.0;

/// Time in which all areas are searched whether anything changed or not; a shorter one while a face is tracked, within so much
/// work a second: changes in front of a person are that person's.
pub(super) const REVISIT: f32 = 30.0;
pub(super) const REVISIT_TRACKING: f32 = 5.0;
pub(super) const REVISIT_WORK: f32 = 8.0;

/// Time after which a recording is searched as a whole again although a certain face is followed.
pub(super) const SEARCH_RECORDED: f64 = 2.0;

/// How many pictures without a face are looked at differently, each twice as late as the one before; and the longer side over the
/// smallest face to search for in turned ones.
pub(super) const ALTERNATIVE_TRIES: u32 = 8;
pub(super) const TURNED_FACES: usize = 24;
