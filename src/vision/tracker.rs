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
use super::geometry::{Face, View};
use super::mtcnn::{Detector, distinct};
use super::scene::Scene;

/// Seconds after which a picture with known faces is searched again if something moves elsewhere; not at once, because a
/// screen behind a lecturer changes all the time.
const SEARCH_MOVED: f64 = 3.0;

/// Seconds after which a picture with known faces is searched again whatever the [`Scene`] says.
const SEARCH_KNOWN: f64 = 5.0;

/// Seconds after which a picture without a known face is searched again although nothing moves.
const SEARCH_EMPTY: f64 = 30.0;

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
}

impl Tracker {
    /// A tracker that knows no face and sees `rate_hz` frames a second.
    pub(super) fn new(rate_hz: f64) -> Self {
        Self { scene: Scene::default(), faces: Vec::new(), rate_hz, age: None, searches: 0 }
    }

    /// Changes the number of frames a second, from which the time since the last search is reckoned.
    pub(super) fn set_rate(&mut self, rate_hz: f64) {
        self.rate_hz = rate_hz;
    }

    /// Forgets all faces: the next frame is searched.
    pub(super) fn forget(&mut self) {
        self.faces.clear();
        self.age = None;
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
        if self.may_wait(view) && self.follow(detector, view)? {
            self.age = self.age.map(|age| age.saturating_add(1));
            return Ok(&self.faces);
        }
        match which {
            Faces::Largest => detector.search_for_largest(view, min_face_px, &mut self.faces)?,
            Faces::All => detector.search_for_all(view, min_face_px, &mut self.faces)?,
        }
        self.scene.searched();
        self.age = Some(0);
        self.searches += 1;
        Ok(&self.faces)
    }

    /// Whether the last search still holds but for where the known faces are by now.
    fn may_wait(&mut self, view: &View<'_>) -> bool {
        let Some(age) = self.age else { return false };
        // This is the frame number `age + 1` after the search.
        let within = |seconds: f64| f64::from(age) + 1.0 < seconds * self.rate_hz;
        if self.faces.is_empty() {
            within(SEARCH_EMPTY) && !self.scene.changed(view, [].into_iter())
        } else {
            within(SEARCH_MOVED)
                || within(SEARCH_KNOWN) && !self.scene.changed(view, self.faces.iter().map(|face| face.bbox))
        }
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
}
