//! Follows known faces from frame to frame, because a full search on each frame is waste.
//!
//! ```text
//!        found                  every face confirmed, nothing moved elsewhere
//! Search ──────▶ Follow each by one O-Net pass ◀──────────────────────────────┐
//!  ▲  │            │    └──────────────────────────────────────────────────────┘
//!  │  │            └── one is lost, something moved elsewhere, or the last search is old ──▶ Search
//!  │  └ nobody ─▶ Wait ◀── nothing moved ┐
//!  │               │ └───────────────────┘
//!  └── something moved, or the last search is old
//! ```

use super::analysis::Faces;
use super::error::VisionError;
use super::geometry::{BBox, Face, Point, View};
use super::mtcnn::{CERTAIN, Detector, Overlap, Tile, distinct};
use super::scene::Scene;
use super::sweep::Sweep;

/// Seconds after which a picture with known faces is searched again if something moves elsewhere; not at once, because a
/// screen behind a lecturer changes all the time.
const SEARCH_MOVED: f64 = 3.0;

/// Seconds after which a picture with known faces is searched again whatever the [`Scene`] says.
const SEARCH_KNOWN: f64 = 5.0;

/// Seconds after which a picture without a known face is searched again although nothing moves.
const SEARCH_EMPTY: f64 = 30.0;

/// Seconds after which a large picture without a known face is searched for large ones, whether something moved or not.
const SEARCH_LARGE: f64 = 30.0;
const SEARCH_LARGE_MOVED: f64 = 1.5;

/// Seconds after which a face that was only followed is looked for anew, and after which it is forgotten if it was not found.
const CONFIRM: f64 = 3.0;
const UNCONFIRMED: f64 = 8.0;

/// Seconds for which a lost face is looked for around where it was on each frame, and then now and then: whoever turns to the
/// board stays there, and turns back.
const MISSING: f64 = 3.0;
const MISSING_LONG: f64 = 60.0;
const MISSING_PAUSE: f64 = 2.0;

/// Seconds after which what moves again is something new; a screen moves all the time.
const QUIET: f64 = 2.0;

/// Millions of multiplications in a frame after which nothing more is begun in a large picture.
const MOST_WORK: f32 = 250.0;

/// A box that overlaps the known face's by more (IoU) is the same face.
const SAME_FACE: f32 = 0.4;

/// A face that is further away from where one was in the frame before than so many of its sides is another one.
const FURTHEST_STEP: f32 = 3.0;

/// So many times the area of the known face has a face that takes its place.
const LARGER: f32 = 1.2;

/// The longer side of the largest face that P-Net proposes, in sides of its cell, with what the next coarser level sees.
const LARGEST_IN_CELL: f32 = 1.4;

/// The most faces that are followed in a large picture.
const MOST_FACES: usize = 32;

/// The faces of the last frame, and when they were searched for.
pub(super) struct Tracker {
    scene: Scene,
    faces: Vec<Face>,
    /// Frames a second.
    rate_hz: f64,
    /// Frames since the last search; none before the first one.
    age: Option<u32>,
    searches: u64,
    /// The tiles of a large picture.
    sweep: Sweep,
    /// Faces that a search or a tile has shown in this frame.
    found: Vec<Face>,
    /// Frames since the face that is followed was found last, other than by following it.
    unconfirmed: u32,
    /// Where the face was that was lost, and frames since then.
    missing: Option<(BBox, u32)>,
    /// How far the largest face has moved since the frame before.
    step: Option<Point>,
}

impl Tracker {
    /// A tracker that knows no face and sees `rate_hz` frames a second.
    pub(super) fn new(rate_hz: f64) -> Self {
        Self {
            scene: Scene::default(),
            faces: Vec::new(),
            rate_hz,
            age: None,
            searches: 0,
            sweep: Sweep::default(),
            found: Vec::new(),
            unconfirmed: 0,
            missing: None,
            step: None,
        }
    }

    /// Changes the number of frames a second, from which the time since the last search is reckoned.
    pub(super) fn set_rate(&mut self, rate_hz: f64) {
        self.rate_hz = rate_hz;
    }

    /// Forgets all that it has seen: the next frame is searched, and tiles are looked at as those of a new picture.
    pub(super) fn forget(&mut self) {
        self.faces.clear();
        self.age = None;
        self.scene = Scene::default();
        self.unconfirmed = 0;
        self.missing = None;
        self.step = None;
    }

    /// The faces of the last frame.
    pub(super) fn faces(&self) -> &[Face] {
        &self.faces
    }

    /// How many frames were searched so far.
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
        self.scene.see(view);
        // Before its first search everything is new.
        if detector.plan(view, min_face_px) || self.age.is_none() {
            self.scene.begin(!detector.tiles().is_empty());
            self.sweep.begin(detector.tiles().len());
        }
        if !detector.tiles().is_empty() {
            detector.allow(MOST_WORK);
            self.find_in_parts(detector, view, min_face_px, which)?;
            return Ok(&self.faces);
        }
        detector.allow(f32::INFINITY);
        if self.may_wait(view, [0.0, SEARCH_EMPTY]) && self.follow(detector, view)? {
            self.age = self.age.map(|age| age.saturating_add(1));
            return Ok(&self.faces);
        }
        self.search(detector, view, min_face_px, which)?;
        std::mem::swap(&mut self.faces, &mut self.found);
        Ok(&self.faces)
    }

    /// Searches the whole picture; what it shows is in `found` afterwards.
    fn search(
        &mut self,
        detector: &mut Detector,
        view: &View<'_>,
        min_face_px: u32,
        which: Faces,
    ) -> Result<(), VisionError> {
        match (detector.tiles().is_empty(), which) {
            (true, Faces::Largest) => detector.search_for_largest(view, min_face_px, &mut self.found)?,
            (true, Faces::All) => detector.search_for_all(view, min_face_px, &mut self.found)?,
            (false, which) => detector.search_coarse(view, which == Faces::All, &mut self.found)?,
        }
        self.scene.searched();
        self.age = Some(0);
        self.searches += 1;
        Ok(())
    }

    /// Whether the last search still holds but for where the known faces are by now. `empty` has the seconds after which a
    /// picture without a known face is searched again: if something moves, and whatever does.
    fn may_wait(&mut self, view: &View<'_>, empty: [f64; 2]) -> bool {
        let Some(age) = self.age else { return false };
        // This is the frame number `age + 1` after the search.
        let within = |seconds: f64| f64::from(age) + 1.0 < seconds * self.rate_hz;
        let [moved, longest] = if self.faces.is_empty() { empty } else { [SEARCH_MOVED, SEARCH_KNOWN] };
        within(moved) || within(longest) && !self.scene.changed(view, self.faces.iter().map(|face| face.bbox))
    }

    /// Looks for every known face where it was; false when one is lost.
    fn follow(&mut self, detector: &mut Detector, view: &View<'_>) -> Result<bool, VisionError> {
        for face in &mut self.faces {
            match detector.follow(view, &face.bbox)? {
                Some(now) => *face = now,
                None => return Ok(false),
            }
        }
        // Where one face covers another, both old boxes may have settled on the same one.
        let known = self.faces.len();
        distinct(&mut self.faces);
        Ok(self.faces.len() == known)
    }

    /// The same for a picture with tiles: known faces are followed, large faces searched for in the whole picture now and then,
    /// and some tiles looked at.
    fn find_in_parts(
        &mut self,
        detector: &mut Detector,
        view: &View<'_>,
        min_face_px: u32,
        which: Faces,
    ) -> Result<(), VisionError> {
        let before = self.faces.first().map(|face| face.bbox);
        self.unconfirmed = self.unconfirmed.saturating_add(1);
        self.follow_each(detector, view, which)?;
        if self.may_wait(view, [SEARCH_LARGE_MOVED, SEARCH_LARGE]) {
            self.age = self.age.map(|age| age.saturating_add(1));
        } else {
            self.search(detector, view, min_face_px, which)?;
            self.take_found(which);
        }
        if which == Faces::Largest {
            self.look_around(detector, view)?;
        }
        let (is_known, known) = (!self.faces.is_empty(), self.larger_than(which));
        self.sweep.see(
            detector.tiles(),
            self.scene.news(view, known, QUIET * self.rate_hz),
            self.rate_hz,
            is_known,
        );
        if let Some(mover) = detector.finest().and_then(|side| self.scene.mover(view, side)) {
            for tile in detector.below(view, mover).into_iter().flatten() {
                self.look_at(detector, view, &tile, which)?;
            }
        }
        while detector.may_look() {
            let least_cell = self.least_cell(which);
            let Some(tile) = self.sweep.next(detector.tiles(), least_cell) else { break };
            self.look_at(detector, view, &tile, which)?;
        }
        self.step = before.and_then(|before| step(&before, &self.faces.first()?.bbox));
        Ok(())
    }

    /// The face that another one must exceed to be of interest.
    fn larger_than(&self, which: Faces) -> Option<BBox> {
        self.faces.first().filter(|_| which == Faces::Largest).map(|face| face.bbox)
    }

    /// The smallest cell in which such a face may be.
    fn least_cell(&self, which: Faces) -> f32 {
        self.larger_than(which).map_or(0.0, |bbox| bbox.longer_side() / LARGEST_IN_CELL)
    }

    /// Looks at one tile, if a face of interest may be in it.
    fn look_at(
        &mut self,
        detector: &mut Detector,
        view: &View<'_>,
        tile: &Tile,
        which: Faces,
    ) -> Result<(), VisionError> {
        if tile.cell < self.least_cell(which) {
            return Ok(());
        }
        self.found.clear();
        detector.look_at(view, tile, self.larger_than(which).as_ref(), &mut self.found)?;
        self.take_found(which);
        Ok(())
    }

    /// Looks for every known face where it was, and forgets those that are not there.
    fn follow_each(
        &mut self,
        detector: &mut Detector,
        view: &View<'_>,
        which: Faces,
    ) -> Result<(), VisionError> {
        let mut kept = 0;
        for at in 0..self.faces.len() {
            let bbox = self.faces[at].bbox;
            let now = match (detector.follow(view, &bbox)?, self.step) {
                // Whoever walks goes on walking, further in half a second than a small face is wide.
                (None, Some(step)) if which == Faces::Largest => detector.follow(view, &bbox.moved(step))?,
                (now, _) => now,
            };
            match now {
                Some(now) => {
                    self.faces[kept] = now;
                    kept += 1;
                }
                None if which == Faces::Largest => self.missing = Some((self.faces[at].bbox, 0)),
                None => {}
            }
        }
        self.faces.truncate(kept);
        distinct(&mut self.faces);
        Ok(())
    }

    /// Looks again for a face that was only followed for long, and for a lost one around where it was, also while a smaller one is
    /// known.
    fn look_around(&mut self, detector: &mut Detector, view: &View<'_>) -> Result<(), VisionError> {
        let rate_hz = self.rate_hz;
        let seconds = |frames: u32| f64::from(frames) / rate_hz;
        if let Some(place) =
            self.faces.first().map(|face| face.bbox).filter(|_| seconds(self.unconfirmed) >= CONFIRM)
        {
            self.found.clear();
            detector.look_around(view, &place, &mut self.found)?;
            self.take_found(Faces::Largest);
            if seconds(self.unconfirmed) >= UNCONFIRMED {
                self.faces.clear();
            }
        }
        let Some((place, frames)) = &mut self.missing else { return Ok(()) };
        let (place, since) = (*place, seconds(*frames));
        *frames = frames.saturating_add(1);
        if since >= MISSING_LONG {
            self.missing = None;
        } else if since < MISSING || since % MISSING_PAUSE < 1.0 / rate_hz {
            self.found.clear();
            detector.look_around(view, &place, &mut self.found)?;
            self.take_found(Faces::Largest);
        }
        Ok(())
    }

    /// Takes over what was found.
    fn take_found(&mut self, which: Faces) {
        for face in self.found.drain(..) {
            match which {
                Faces::All if face.score >= CERTAIN => self.faces.push(face),
                Faces::All => {}
                Faces::Largest => match self.faces.first_mut() {
                    Some(known) if Overlap::Union.of(&known.bbox, &face.bbox) > SAME_FACE => {
                        self.unconfirmed = 0
                    }
                    Some(known) if face.bbox.area() <= LARGER * known.bbox.area() => {}
                    _ if face.score < CERTAIN => {}
                    _ => {
                        let area = face.bbox.area();
                        self.missing = self.missing.filter(|(lost, _)| lost.area() > LARGER * area);
                        self.unconfirmed = 0;
                        self.faces.clear();
                        self.faces.push(face);
                    }
                },
            }
        }
        if which == Faces::All {
            distinct(&mut self.faces);
            self.faces.truncate(MOST_FACES);
        }
    }
}

/// How far a face has moved from one frame to the next; none where it must be another one's.
fn step(before: &BBox, now: &BBox) -> Option<Point> {
    let (before_at, now_at) = (before.middle(), now.middle());
    let step = Point { x: now_at.x - before_at.x, y: now_at.y - before_at.y };
    (step.x.hypot(step.y) < FURTHEST_STEP * before.longer_side()).then_some(step)
}
