//! What is looked for in a frame: what the configuration and the command line choose.

use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Side of the smallest face that is looked for where no other is asked for, in pixels.
pub const DEFAULT_MIN_FACE_PX: u32 = 24;

/// What to look for in a frame; serialised, it says how a recording was analysed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Analysis {
    /// Side of the smallest face that is looked for, in pixels.
    pub min_face_px: u32,
    /// The part of the picture to look at.
    pub region: Region,
    /// Which faces are counted.
    pub faces: Faces,
    /// The probability below which an expression is `uncertain`.
    pub min_confidence: f32,
    /// What an expression is measured from.
    pub baseline: Baseline,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            min_face_px: DEFAULT_MIN_FACE_PX,
            region: Region::WHOLE,
            faces: Faces::Largest,
            min_confidence: 0.4,
            baseline: Baseline::Person,
        }
    }
}

/// Which faces of a frame are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Faces {
    /// The largest one: the lecturer, who stands nearest to the camera.
    Largest,
    /// All of them.
    All,
}

impl FromStr for Faces {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "largest" => Ok(Self::Largest),
            "all" => Ok(Self::All),
            other => Err(format!("must be \"largest\" or \"all\", not \"{other}\"")),
        }
    }
}

/// What an expression is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// From the resting face of the person, learnt while it is watched.
    Person,
    /// From that of the people whom the classifier was trained on, for everybody.
    None,
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "person" => Ok(Self::Person),
            "none" => Ok(Self::None),
            other => Err(format!("must be \"person\" or \"none\", not \"{other}\"")),
        }
    }
}

/// A part of the picture, in fractions of its width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Serialize for Region {
    /// As the configuration has it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.edges().serialize(serializer)
    }
}

impl Region {
    /// The whole picture.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };

    /// `[left, top, right, bottom]`, each from 0 to 1; none when it is empty or outside the picture.
    #[must_use]
    pub fn new([left, top, right, bottom]: [f32; 4]) -> Option<Self> {
        let inside = |v: f32| (0.0..=1.0).contains(&v);
        let good = [left, top, right, bottom].into_iter().all(inside) && left < right && top < bottom;
        good.then_some(Self { left, top, right, bottom })
    }

    /// `[left, top, right, bottom]`.
    #[must_use]
    pub fn edges(self) -> [f32; 4] {
        [self.left, self.top, self.right, self.bottom]
    }
}
