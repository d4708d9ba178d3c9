//! The 13 kinds of expression: six emotions, each weak or strong, and neutral (paper, section II.B.1).

use std::fmt;

/// One of the six basic emotions, with the names of its kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emotion {
    /// `surprise_weak` and `surprise_strong`.
    Surprise,
    /// `fear_weak` and `fear_strong`.
    Fear,
    /// `disgust_weak` and `disgust_strong`.
    Disgust,
    /// `happy_weak` and `happy_strong`.
    Happy,
    /// `sad_weak` and `sad_strong`.
    Sad,
    /// `angry_weak` and `angry_strong`.
    Angry,
}

/// How strongly an emotion shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intensity {
    /// It shows slightly.
    Weak,
    /// It shows fully.
    Strong,
}

/// What a face shows: neutral, or an emotion with its intensity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expression {
    /// No emotion shows.
    Neutral,
    /// An emotion, weak or strong.
    Of(Emotion, Intensity),
}

impl Expression {
    /// How many kinds there are.
    pub const COUNT: usize = 13;

    /// Every kind, in the order of the payload's fields and of the classifier's outputs.
    pub const ALL: [Self; Self::COUNT] = {
        use Emotion::{Angry, Disgust, Fear, Happy, Sad, Surprise};
        use Intensity::{Strong, Weak};
        [
            Self::Neutral,
            Self::Of(Surprise, Weak),
            Self::Of(Surprise, Strong),
            Self::Of(Fear, Weak),
            Self::Of(Fear, Strong),
            Self::Of(Disgust, Weak),
            Self::Of(Disgust, Strong),
            Self::Of(Happy, Weak),
            Self::Of(Happy, Strong),
            Self::Of(Sad, Weak),
            Self::Of(Sad, Strong),
            Self::Of(Angry, Weak),
            Self::Of(Angry, Strong),
        ]
    };

    /// The position of this kind in [`Expression::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Neutral => 0,
            Self::Of(emotion, intensity) => 1 + 2 * emotion as usize + intensity as usize,
        }
    }

    /// The name of this kind in payloads, tables and command output.
    #[must_use]
    pub fn name(self) -> &'static str {
        const NAMES: [&str; Expression::COUNT] = [
            "neutral",
            "surprise_weak",
            "surprise_strong",
            "fear_weak",
            "fear_strong",
            "disgust_weak",
            "disgust_strong",
            "happy_weak",
            "happy_strong",
            "sad_weak",
            "sad_strong",
            "angry_weak",
            "angry_strong",
        ];
        NAMES[self.index()]
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One face as it is counted; the only output of `vision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// The classifier is confident of one kind.
    Certain(Expression),
    /// A face whose best probability is below `analysis.min_confidence`, or that is too small to be classified.
    Uncertain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_name_and_order_agree() {
        for (position, kind) in Expression::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), position);
        }
        let names: std::collections::HashSet<_> = Expression::ALL.map(Expression::name).into();
        assert_eq!(names.len(), Expression::COUNT);
        assert_eq!(Expression::Of(Emotion::Angry, Intensity::Strong).to_string(), "angry_strong");
    }
}
