//! The analysis settings, from the configuration and the command line.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Default side of the smallest face to search for, in pixels.
pub const DEFAULT_MIN_FACE_PX: u32 = 24;

/// The analysis settings; a recording's results contain them in serialised form.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Analysis {
    /// Side of the smallest face to search for, in pixels.
    pub min_face_px: u32,
    /// The part of the picture to analyse.
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
    /// The largest one: the lecturer, nearest to the camera.
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
    /// From the mean resting face of the training data, for all people.
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

/// By how much pictures are turned clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// A quarter: what was at the left is at the top.
    Quarter,
    /// A half.
    Half,
    /// Three quarters: what was at the right is at the top.
    ThreeQuarters,
}

impl Rotation {
    /// The three that change a picture.
    pub const TURNS: [Self; 3] = [Self::Quarter, Self::Half, Self::ThreeQuarters];

    /// That of so many degrees; none but 0, 90, 180 and 270 is possible.
    #[must_use]
    pub fn from_degrees(degrees: u32) -> Option<Self> {
        [Self::None, Self::Quarter, Self::Half, Self::ThreeQuarters]
            .into_iter()
            .find(|rotation| rotation.degrees() == degrees)
    }

    /// Degrees clockwise.
    #[must_use]
    pub fn degrees(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Quarter => 90,
            Self::Half => 180,
            Self::ThreeQuarters => 270,
        }
    }

    /// This one and then another.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        Self::from_degrees((self.degrees() + other.degrees()) % 360).unwrap_or_default()
    }

    /// Whether width and height change places.
    #[must_use]
    pub fn swaps(self) -> bool {
        matches!(self, Self::Quarter | Self::ThreeQuarters)
    }

    /// Width and height of a picture after the rotation.
    #[must_use]
    pub fn size_of<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.swaps() { (height, width) } else { (width, height) }
    }
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.degrees().fmt(f)
    }
}

impl FromStr for Rotation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let degrees = text.parse().ok().and_then(Self::from_degrees);
        degrees.ok_or_else(|| format!("must be 0, 90, 180 or 270, not {text}"))
    }
}
