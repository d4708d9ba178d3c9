//! The effect of known classifier errors on shares, from the confusion matrix of the model card.

use super::super::label_set::LabelSet;
use crate::expression::Expression;

/// Faces of FER2013Valid, counted by `models/training/evaluate/confusion.py`.
const MATRIX: &str = include_str!("../../../models/confusion13.csv");

/// The confusion matrix of a classifier.
pub(super) struct Confusion {
    /// SHA-256 of the classifier that was measured.
    pub(super) classifier: String,
    /// Faces that were measured.
    pub(super) faces: u32,
    /// Rows are labels, columns predictions.
    counts: Vec<[f64; Expression::COUNT]>,
}

/// The errors around one kind, as shares of all faces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// Faces of other kinds that were classified as this one.
    pub(super) wrongly: f64,
    /// Faces of this kind that were classified as others.
    pub(super) missed: f64,
}

impl Range {
    /// The largest difference that these errors alone can cause, if all go in one direction.
    pub(super) fn most(self) -> f64 {
        self.wrongly + self.missed
    }
}

impl Confusion {
    pub(super) fn shipped() -> Self {
        Self::parse(MATRIX)
    }

    fn parse(text: &str) -> Self {
        let (first, table) = text.split_once('\n').unwrap_or_default();
        let word = |name: &str| first.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default();
        let rows = table.lines().skip(1).map(|row| {
            let mut counts = row.split(',').skip(1).map(|count| count.parse().unwrap_or_default());
            std::array::from_fn(|_| counts.next().unwrap_or_default())
        });
        Self {
            classifier: word("classifier=").to_owned(),
            faces: word("n=").parse().unwrap_or_default(),
            counts: rows.collect(),
        }
    }

    /// The errors around each kind of a label set, if `shares` were the true ones.
    pub(super) fn around(&self, label_set: &LabelSet, shares: &[f64]) -> Vec<Range> {
        let kinds = label_set.kinds.len();
        let mut predicted = vec![vec![0.0; kinds]; kinds];
        for (labelled, row) in self.counts.iter().enumerate() {
            for (name, count) in row.iter().enumerate() {
                predicted[label_set.kind_of(labelled)][label_set.kind_of(name)] += count;
            }
        }
        for row in &mut predicted {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|count| *count /= sum.max(1.0));
        }
        let wrongly = |kind: usize| {
            (0..kinds)
                .filter(|other| *other != kind)
                .map(|other| shares[other] * predicted[other][kind])
                .sum()
        };
        let missed = |kind: usize| shares[kind] * (1.0 - predicted[kind][kind]);
        (0..kinds).map(|kind| Range { wrongly: wrongly(kind), missed: missed(kind) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::models::ModelStore;

    #[test]
    fn the_matrix_is_of_the_classifier_that_is_shipped() {
        let errors = Confusion::shipped();
        let manifest = ModelStore::open(None).unwrap().manifest;
        assert_eq!(
            errors.classifier, manifest.classifier.network.sha256,
            "run models/training/evaluate/confusion.py again"
        );
        assert_eq!(errors.counts.len(), 13);
        let predicted: f64 = errors.counts.iter().flatten().sum();
        assert!(predicted > 3000.0 && predicted <= f64::from(errors.faces));
        let header = MATRIX.lines().nth(1).unwrap();
        let names: Vec<_> = header.split(',').skip(1).take(13).collect();
        assert_eq!(names, Expression::ALL.map(Expression::name));
    }

    #[test]
    fn errors_add_up_and_a_perfect_classifier_has_none() {
        let label_set = LabelSet::seven();
        let mut shares = vec![0.0; 7];
        (shares[0], shares[4]) = (0.5, 0.5);
        let around = Confusion::shipped().around(&label_set, &shares);
        let (wrongly, missed) =
            around.iter().fold((0.0, 0.0), |(w, m), range| (w + range.wrongly, m + range.missed));
        assert!((wrongly - missed).abs() < 1e-9, "each face that one kind misses another one gets");
        assert!(missed > 0.02 && missed < 0.3, "{missed}");
        let counts =
            (0..13).map(|kind| std::array::from_fn(|name| f64::from(u8::from(kind == name)))).collect();
        let perfect = Confusion { classifier: String::new(), faces: 13, counts };
        assert!(perfect.around(&label_set, &shares).iter().all(|range| range.most() < 1e-9));
    }
}
