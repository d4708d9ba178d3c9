//! The two label sets: the 13 kinds, and 7 that merge weak and strong.

use plotters::style::RGBColor;

use super::drawing::Hatch;
use crate::expression::{Emotion, Expression, Intensity};

/// One kind of a label set.
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) colour: RGBColor,
    pub(super) hatch: Hatch,
    /// Its members among the 13 kinds, by [`Expression::index`].
    members: Vec<usize>,
}

/// A set of labels for the expressions, in the order of the payload.
pub(super) struct LabelSet {
    pub(super) kinds: Vec<Kind>,
}

/// The hue of an emotion: the palette of Okabe and Ito (2008), which is distinguishable with every kind of colour vision.
fn hue(expression: Expression) -> RGBColor {
    match expression {
        Expression::Neutral => RGBColor(187, 187, 187),
        Expression::Of(Emotion::Surprise, _) => RGBColor(86, 180, 233),
        Expression::Of(Emotion::Fear, _) => RGBColor(204, 121, 167),
        Expression::Of(Emotion::Disgust, _) => RGBColor(0, 158, 115),
        Expression::Of(Emotion::Happy, _) => RGBColor(240, 228, 66),
        Expression::Of(Emotion::Sad, _) => RGBColor(0, 114, 178),
        Expression::Of(Emotion::Angry, _) => RGBColor(213, 94, 0),
    }
}

/// Half way to white.
fn tint(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let half = |value: u8| value / 2 + 128;
    RGBColor(half(red), half(green), half(blue))
}

impl LabelSet {
    pub(super) fn thirteen() -> Self {
        let kind = |expression: Expression| Kind {
            name: expression.name().replace('_', " "),
            colour: match expression {
                Expression::Of(_, Intensity::Weak) => tint(hue(expression)),
                _ => hue(expression),
            },
            hatch: Hatch::None,
            members: vec![expression.index()],
        };
        Self { kinds: Expression::ALL.map(kind).into() }
    }

    pub(super) fn seven() -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for expression in Expression::ALL {
            let name = expression.name().split('_').next().unwrap_or_default();
            match kinds.last_mut() {
                Some(last) if last.name == name => last.members.push(expression.index()),
                _ => kinds.push(Kind {
                    name: name.to_owned(),
                    colour: hue(expression),
                    hatch: Hatch::None,
                    members: vec![expression.index()],
                }),
            }
        }
        Self { kinds }
    }

    /// The same in greys: a hatch for each emotion, on a light ground for weak.
    pub(super) fn in_grey(mut self) -> Self {
        for kind in &mut self.kinds {
            let expression = Expression::ALL[kind.members[0]];
            kind.hatch = match expression {
                Expression::Neutral => Hatch::None,
                Expression::Of(Emotion::Surprise, _) => Hatch::Rising,
                Expression::Of(Emotion::Fear, _) => Hatch::Falling,
                Expression::Of(Emotion::Disgust, _) => Hatch::Horizontal,
                Expression::Of(Emotion::Happy, _) => Hatch::Vertical,
                Expression::Of(Emotion::Sad, _) => Hatch::Grid,
                Expression::Of(Emotion::Angry, _) => Hatch::Lattice,
            };
            let level = match expression {
                Expression::Neutral => 215,
                Expression::Of(_, Intensity::Weak) if kind.members.len() == 1 => 245,
                Expression::Of(..) => 190,
            };
            kind.colour = RGBColor(level, level, level);
        }
        self
    }

    /// Counts of the 13 kinds, added up.
    pub(super) fn counts(&self, kinds: &[u64; Expression::COUNT]) -> Vec<f64> {
        let sum = |kind: &Kind| to_f64(kind.members.iter().map(|at| kinds[*at]).sum());
        self.kinds.iter().map(sum).collect()
    }

    /// The kind of this set that one of the 13 belongs to.
    pub(super) fn kind_of(&self, index: usize) -> usize {
        self.kinds.iter().position(|kind| kind.members.contains(&index)).unwrap_or_default()
    }
}

/// A count as a number to compute with.
#[expect(clippy::cast_precision_loss, reason = "a share does not show one face in 2^53")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_kinds_merge_weak_and_strong_of_thirteen() {
        let (seven, thirteen) = (LabelSet::seven(), LabelSet::thirteen());
        assert_eq!((seven.kinds.len(), thirteen.kinds.len()), (7, 13));
        let counts: [u64; 13] = std::array::from_fn(|i| i as u64);
        assert_eq!(seven.counts(&counts), [0.0, 3.0, 7.0, 11.0, 15.0, 19.0, 23.0]);
        assert_eq!((seven.kind_of(0), seven.kind_of(8), thirteen.kind_of(8)), (0, 4, 8));
    }
}
