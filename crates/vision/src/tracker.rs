//! Finds faces over successive frames: an anytime search, and tracks, which follow what it found.
//!
//! ```text
//!            areas, by urgency          candidates, by evidence           certain, or of a track
//! Schedule ─────────────▶ P-Net ─────────────▶ R-Net, O-Net ─────────────▶ Track ──▶ O-Net on each frame
//!    ▲                                  (what a frame has no time for waits)   │
//!    └── what Motion reports away from tracks      verified every few seconds, or searched where it was lost
//! ```
//!
//! Each frame follows its tracks first, then searches until its budget is used up. What is left waits for the next frame.

use super::analysis::Faces;
use super::error::VisionError;
use super::geometry::{BBox, Face, View};
use super::motion::Motion;
use super::mtcnn::{Candidate, Detector, Overlap, suppress};
use super::parameters::{
    CERTAIN, CONTAINED, FRAME_WORK, LARGER, LARGEST_IN_CELL, LOST, LOST_LONG, LOST_PAUSE, MAX_CELLS,
    MAX_FACES, MAX_WAITING, MIN_PROPOSED, QUIET, SAME_FACE, SEARCH_RECORDED, STRONG, UNVERIFIED,
    UNVERIFIED_AT, VERIFY, VERIFY_AT,
};
use super::schedule::Schedule;
use super::track::{Follow, Track, is_near, is_same, step, within};

/// Where the frames come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// A camera: each frame has a time budget.
    Live,
    /// A recording: without a time budget.
    Recorded,
}

/// The tracks, and the pending work of the search.
pub(super) struct Tracker {
    pace: Pace,
    /// Frames a second.
    rate_hz: f64,
    motion: Motion,
    schedule: Schedule,
    /// P-Net's proposals that R-Net has not examined yet.
    waiting: Vec<Candidate>,
    /// P-Net's proposals near a track.
    near: Vec<Candidate>,
    tracks: Vec<Track>,
    /// The number of the newest track.
    newest: u32,
    /// The faces of the last frame, and what following adds to each.
    faces: Vec<Face>,
    follows: Vec<Follow>,
    /// Frames since a recording was searched as a whole; none before the first frame.
    age: Option<u32>,
    searches: u64,
}

impl Tracker {
    /// A tracker without any face, for `rate_hz` frames a second.
    pub(super) fn new(rate_hz: f64) -> Self {
        Self {
            pace: Pace::Live,
            rate_hz,
            motion: Motion::default(),
            schedule: Schedule::default(),
            waiting: Vec::with_capacity(MAX_WAITING + MAX_CELLS),
            near: Vec::with_capacity(MAX_CELLS),
            tracks: Vec::with_capacity(MAX_FACES),
            newest: 0,
            faces: Vec::with_capacity(MAX_FACES),
            follows: Vec::with_capacity(MAX_FACES),
            age: None,
            searches: 0,
        }
    }

    /// Changes where frames come from.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Changes the number of frames a second, from which times are computed.
    pub(super) fn set_rate(&mut self, rate_hz: f64) {
        self.rate_hz = rate_hz;
    }

    /// Drops all state: the next frame is a new picture.
    pub(super) fn forget(&mut self) {
        self.motion = Motion::default();
        self.waiting.clear();
        self.tracks.clear();
        self.newest = 0;
        self.faces.clear();
        self.follows.clear();
        self.age = None;
    }

    /// The faces of the last frame.
    pub(super) fn faces(&self) -> &[Face] {
        &self.faces
    }

    /// What following adds to each of them.
    pub(super) fn follows(&self) -> &[Follow] {
        &self.follows
    }

    /// In how many frames the picture or a part of it was searched so far.
    pub(super) fn searches(&self) -> u64 {
        self.searches
    }

    /// The faces to count in this frame; none smaller than about `min_face_px`.
    pub(super) fn find(
        &mut self,
        detector: &mut Detector,
        view: &View<'_>,
        min_face_px: u32,
        which: Faces,
    ) -> Result<&[Face], VisionError> {
        self.motion.see(view);
        if detector.begin(view, min_face_px) || self.age.is_none() {
            self.motion.begin();
            self.schedule.begin(detector.areas().len());
            self.waiting.clear();
            self.tracks.clear();
            self.age = Some(u32::MAX);
        }
        let mut frame = FrameSearch { tracker: self, detector, view, which };
        frame.follow()?;
        frame.verify()?;
        frame.search()?;
        detector.end();
        let live = || self.tracks.iter().filter(|track| track.lost.is_none());
        self.faces.clear();
        self.faces.extend(live().map(|track| track.face.clone()));
        self.follows.clear();
        self.follows.extend(live().map(|track| track.follow));
        Ok(&self.faces)
    }

    fn live(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|track| track.lost.is_none())
    }
}

/// The search of one frame.
struct FrameSearch<'a> {
    tracker: &'a mut Tracker,
    detector: &'a mut Detector,
    view: &'a View<'a>,
    which: Faces,
}

impl FrameSearch<'_> {
    fn seconds(&self, frames: u32) -> f64 {
        f64::from(frames) / self.tracker.rate_hz
    }

    /// Follows every track from its last position.
    fn follow(&mut self) -> Result<(), VisionError> {
        for track in &mut self.tracker.tracks {
            track.age = track.age.saturating_add(1);
            if let Some(frames) = &mut track.lost {
                *frames = frames.saturating_add(1);
                continue;
            }
            let before = track.face.bbox;
            // A walking person moves further in half a second than a small face is wide.
            let ahead = track.step.map(|step| before.moved(step));
            let (first, second) = match ahead {
                Some(ahead) if Overlap::Union.of(&before, &ahead) < SAME_FACE => (ahead, Some(before)),
                ahead => (before, ahead),
            };
            let found = match (self.detector.follow(self.view, &first)?, second) {
                (None, Some(second)) => self.detector.follow(self.view, &second)?,
                (found, _) => found,
            };
            match found {
                Some(face) => {
                    (track.face, track.follow.outside) = within(self.view, face);
                    track.area.get_or_insert(track.face.bbox.area());
                    track.step = step(&before, &track.face.bbox);
                }
                None => track.lost = Some(0),
            }
        }
        self.merge();
        Ok(())
    }

    /// Verifies tracks that were only followed for long or changed much, and searches for lost ones near their last position.
    fn verify(&mut self) -> Result<(), VisionError> {
        for at in 0..self.tracker.tracks.len() {
            let Some(track) = self.tracker.tracks.get(at) else { break };
            let bbox = track.face.bbox;
            let drift = bbox.area() / track.area.unwrap_or(bbox.area());
            let drift = drift.max(1.0 / drift);
            let is_due = match track.lost.map(|frames| self.seconds(frames)) {
                None => self.seconds(track.age) >= VERIFY || drift >= VERIFY_AT,
                Some(since) => since < LOST || since % LOST_PAUSE < 1.0 / self.tracker.rate_hz,
            };
            if !is_due || !self.may_go_on() {
                continue;
            }
            self.search_near(at, &bbox)?;
            let rate_hz = self.tracker.rate_hz;
            // Another one stands there where lost tracks before it were removed.
            let Some(track) = self.tracker.tracks.get_mut(at).filter(|track| track.face.bbox == bbox) else {
                continue;
            };
            let seconds = f64::from(track.age) / rate_hz;
            if track.age > 0 && track.lost.is_none() && (seconds >= UNVERIFIED || drift >= UNVERIFIED_AT) {
                track.lost = Some(0);
            }
        }
        let rate_hz = self.tracker.rate_hz;
        self.tracker
            .tracks
            .retain(|track| track.lost.is_none_or(|frames| f64::from(frames) < LOST_LONG * rate_hz));
        self.merge();
        Ok(())
    }

    /// Searches for the face of a track about where it was, until it is certain.
    fn search_near(&mut self, at: usize, bbox: &BBox) -> Result<(), VisionError> {
        let is_lost = self.tracker.tracks[at].lost.is_some();
        for area in self.detector.near(self.view, bbox, is_lost) {
            self.tracker.near.clear();
            self.detector.propose(self.view, &area, &mut self.tracker.near)?;
            self.tracker.near.sort_unstable_by(|a, b| b.logit.total_cmp(&a.logit));
            for number in 0..self.tracker.near.len() {
                let candidate = self.tracker.near[number];
                let is_elsewhere = Overlap::Union.of(&candidate.bbox, &bbox.square()) == 0.0;
                if is_elsewhere && !is_lost {
                    continue;
                }
                if let Some(refined) = self.detector.refine(self.view, &candidate.bbox)?
                    && let Some(face) = self.detector.finish(self.view, &refined)?
                {
                    self.accept(face);
                    // A face that was found may have removed lost tracks.
                    if self.tracker.tracks.get(at).is_none_or(|track| track.age == 0) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Searches until nothing is left to do, or the frame's budget is used up.
    fn search(&mut self) -> Result<(), VisionError> {
        let rate_hz = self.tracker.rate_hz;
        let largest = self.largest();
        let is_tracking = self.tracker.live().next().is_some();
        let least_cell = self.least_cell();
        let changed = self.tracker.motion.changed(self.view, largest, QUIET * rate_hz);
        self.tracker.schedule.begin_frame(self.detector.areas(), changed, rate_hz, is_tracking, least_cell);
        if self.tracker.pace == Pace::Recorded {
            let age = self.tracker.age.unwrap_or(u32::MAX);
            let is_certain = self.tracker.live().any(|track| track.face.score >= CERTAIN);
            if !is_certain || self.seconds(age) >= SEARCH_RECORDED {
                self.tracker.schedule.renew();
                self.tracker.age = Some(0);
            } else {
                self.tracker.age = Some(age + 1);
            }
        }
        let mut searched = false;
        while self.may_go_on() {
            let waiting = &self.tracker.waiting;
            let best = (0..waiting.len()).max_by(|a, b| waiting[*a].logit.total_cmp(&waiting[*b].logit));
            let is_strong = |at: usize| waiting[at].logit >= STRONG || waiting.len() > MAX_WAITING;
            let area = match best {
                Some(at) if is_strong(at) => None,
                _ => self.tracker.schedule.next(self.detector.areas(), self.least_cell()),
            };
            match (area, best) {
                (Some(area), _) => {
                    self.detector.propose(self.view, &area, &mut self.tracker.waiting)?;
                    searched = true;
                }
                (None, Some(at)) => {
                    let candidate = self.tracker.waiting.swap_remove(at);
                    let before = self.detector.work();
                    self.examine(&candidate)?;
                    self.tracker.schedule.spend(self.detector.work() - before);
                }
                (None, None) => break,
            }
        }
        self.tracker.searches += u64::from(searched);
        Ok(())
    }

    fn may_go_on(&self) -> bool {
        self.tracker.pace == Pace::Recorded || self.detector.work() < FRAME_WORK
    }

    /// Where only the largest face counts: the one that others must exceed.
    fn largest(&self) -> Option<BBox> {
        self.tracker.live().next().filter(|_| self.which == Faces::Largest).map(|track| track.face.bbox)
    }

    /// The smallest cell for a face that may replace the tracked one.
    fn least_cell(&self) -> f32 {
        self.largest().map_or(0.0, |bbox| LARGER.sqrt() * bbox.longer_side() / LARGEST_IN_CELL)
    }

    /// R-Net and O-Net on a candidate, unless a tracked face explains it.
    fn examine(&mut self, candidate: &Candidate) -> Result<(), VisionError> {
        if self.is_explained(&candidate.bbox) {
            return Ok(());
        }
        let Some(refined) = self.detector.refine(self.view, &candidate.bbox)? else { return Ok(()) };
        if self.is_explained(&refined) {
            return Ok(());
        }
        if let Some(face) = self.detector.finish(self.view, &refined)? {
            self.accept(face);
        }
        Ok(())
    }

    /// Whether a square is of a tracked face, or smaller than the one that counts.
    fn is_explained(&self, square: &BBox) -> bool {
        self.tracker.live().any(|track| Overlap::Union.of(&track.face.bbox.square(), square) > SAME_FACE)
            || self.largest().is_some_and(|bbox| square.longer_side() < MIN_PROPOSED * bbox.longer_side())
    }

    /// Accepts a face that a search has found: it replaces the followed one of the same person, or begins a track.
    fn accept(&mut self, face: Face) {
        let (face, outside) = within(self.view, face);
        let area = face.bbox.area();
        let tracks = &mut self.tracker.tracks;
        let same =
            tracks.iter().position(|track| track.lost.is_none() && is_same(&track.face.bbox, &face.bbox));
        if let Some(at) = same {
            let track = &mut tracks[at];
            // A box within the other may be that of an eye, or the face of one that has grown.
            let replaces = match Overlap::Union.of(&track.face.bbox, &face.bbox) > SAME_FACE {
                true => track.age > 0 || face.score > track.face.score,
                false => face.score >= CERTAIN && track.face.score < CERTAIN,
            };
            if replaces {
                let follow = Follow { outside, ..track.follow };
                *track = Track { face, follow, age: 0, area: None, lost: None, step: track.step };
            }
            return;
        }
        if face.score < CERTAIN {
            return;
        }
        // Of one that was followed until the frame before it is the same person's.
        let since_then = tracks.iter().filter(|track| track.lost == Some(0));
        let step = since_then.filter_map(|track| step(&track.face.bbox, &face.bbox)).next();
        let all = self.which == Faces::All;
        let lost = tracks.iter().filter(|track| {
            let is_as_large = all || track.face.bbox.area() <= LARGER * area;
            track.lost.is_some() && is_as_large && is_near(&track.face.bbox, &face.bbox)
        });
        let found_again = lost.min_by_key(|track| track.lost).map(|track| track.follow.track);
        match self.which {
            Faces::All if tracks.iter().filter(|track| track.lost.is_none()).count() >= MAX_FACES => return,
            Faces::All => {
                tracks.retain(|track| track.lost.is_none() || !is_near(&track.face.bbox, &face.bbox))
            }
            Faces::Largest => {
                if tracks.iter().any(|track| track.lost.is_none() && area <= LARGER * track.face.bbox.area())
                {
                    return;
                }
                tracks.retain(|track| track.lost.is_some() && track.face.bbox.area() > LARGER * area);
            }
        }
        let track = found_again.unwrap_or_else(|| {
            self.tracker.newest += 1;
            self.tracker.newest
        });
        let follow = Follow { track, outside };
        tracks.push(Track { face, follow, age: 0, area: None, lost: None, step });
    }

    /// Where one face covers another, both old boxes may have settled on the same one.
    fn merge(&mut self) {
        let key =
            |track: &Track| (if track.lost.is_some() { 0.0 } else { track.face.score }, track.face.bbox);
        suppress(&mut self.tracker.tracks, key, Overlap::Minimum, CONTAINED, usize::MAX);
    }
}
