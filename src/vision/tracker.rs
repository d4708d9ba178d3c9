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

use super::error::VisionError;
use super::geometry::{BBox, Face, View};
use super::mtcnn::{Detector, Overlap, Tile, distinct};
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
const SEARCH_LARGE: f64 = 9.0;
const SEARCH_LARGE_MOVED: f64 = 1.5;

/// Seconds after which a face that was only followed is looked for anew, and after which it is forgotten if it was not found.
const CONFIRM: f64 = 3.0;
const UNCONFIRMED: f64 = 8.0;

/// Seconds for which a lost face is looked for around where it was.
const MISSING: f64 = 3.0;

/// Probability from which something that nobody was followed to is a face: of so many tiles some look like one by chance.
const CERTAIN: f32 = 0.98;

/// A box that overlaps the known face's by more (IoU) is the same face.
const SAME_FACE: f32 = 0.4;

/// So many times the area of the known face has a face that takes its place.
const LARGER: f32 = 1.2;

/// The longer side of the largest face that P-Net proposes, in sides of its cell, with what the next coarser level sees.
const LARGEST_IN_CELL: f32 = 1.4;

/// The most faces that are followed in a large picture.
const MOST_FACES: usize = 32;

/// Which faces of a frame are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faces {
    /// The largest one: the lecturer, who stands nearest to the camera.
    Largest,
    /// All of them.
    All,
}

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
    /// Those that this frame looks at; kept, so that no frame allocates.
    picked: Vec<Tile>,
    /// Faces that a search or a tile has shown in this frame.
    found: Vec<Face>,
    /// Frames since the face that is followed was found last, other than by following it.
    unconfirmed: u32,
    /// Where the face was that was lost, and frames since then.
    missing: Option<(BBox, u32)>,
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
            picked: Vec::new(),
            found: Vec::new(),
            unconfirmed: 0,
            missing: None,
        }
    }

    /// Changes the number of frames a second, from which the time since the last search is reckoned.
    pub(super) fn set_rate(&mut self, rate_hz: f64) {
        self.rate_hz = rate_hz;
    }

    /// Forgets all faces: the next frame is searched.
    pub(super) fn forget(&mut self) {
        self.faces.clear();
        self.age = None;
        self.missing = None;
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
        if detector.plan(view, min_face_px) {
            self.sweep.begin(detector.tiles().len());
        }
        if !detector.tiles().is_empty() {
            self.find_in_parts(detector, view, which)?;
            return Ok(&self.faces);
        }
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
        match which {
            Faces::Largest => detector.search_for_largest(view, min_face_px, &mut self.found)?,
            Faces::All => detector.search_for_all(view, min_face_px, &mut self.found)?,
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
        which: Faces,
    ) -> Result<(), VisionError> {
        self.sweep.see(detector.tiles(), self.scene.moved(view));
        self.unconfirmed = self.unconfirmed.saturating_add(1);
        self.follow_each(detector, view, which)?;
        if self.may_wait(view, [SEARCH_LARGE_MOVED, SEARCH_LARGE]) {
            self.age = self.age.map(|age| age.saturating_add(1));
        } else {
            self.search(detector, view, detector.coarse(), which)?;
            self.take_found(which);
        }
        if which == Faces::Largest {
            self.look_around(detector, view)?;
        }
        let known =
            self.faces.first().filter(|_| which == Faces::Largest).map(|face| face.bbox.longer_side());
        // Of the largest face only a larger one is of interest.
        let least_cell = known.map_or(0.0, |side| side / LARGEST_IN_CELL);
        let is_known = !self.faces.is_empty();
        let mut picked = std::mem::take(&mut self.picked);
        self.sweep.pick(detector.tiles(), self.rate_hz, is_known, least_cell, &mut picked);
        for tile in &picked {
            self.found.clear();
            detector.look_at(view, tile, &mut self.found)?;
            self.take_found(which);
        }
        self.picked = picked;
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
            match detector.follow(view, &self.faces[at].bbox)? {
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
        if kept > 0 {
            self.missing = None;
        }
        Ok(())
    }

    /// Looks for a lost face around where it was, and again for one that was only followed for long.
    fn look_around(&mut self, detector: &mut Detector, view: &View<'_>) -> Result<(), VisionError> {
        let rate_hz = self.rate_hz;
        let seconds = |frames: u32| f64::from(frames) / rate_hz;
        let place = match (self.faces.first(), self.missing) {
            (Some(face), _) => (seconds(self.unconfirmed) >= CONFIRM).then_some(face.bbox),
            (None, Some((place, frames))) => (seconds(frames) < MISSING).then_some(place),
            (None, None) => None,
        };
        if self.faces.is_empty() {
            self.missing = self.missing.map(|(place, frames)| (place, frames.saturating_add(1)));
        }
        let Some(place) = place else { return Ok(()) };
        self.found.clear();
        detector.look_around(view, &place, &mut self.found)?;
        self.take_found(Faces::Largest);
        if self.faces.len() == 1 && seconds(self.unconfirmed) >= UNCONFIRMED {
            self.faces.clear();
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
                        self.faces.clear();
                        self.faces.push(face);
                        self.unconfirmed = 0;
                        self.missing = None;
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
