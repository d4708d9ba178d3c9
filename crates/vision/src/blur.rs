//! How blurred a crop is, without a sharp one to compare it with.

use super::geometry::to_f32;

/// Side of the box that the crop is blurred with once more, in pixels.
const BOX: u8 = 11;

/// The measure of F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric"
/// (2007), as scikit-image's `blur_effect` computes it: 0 for a sharp crop, 1 for the most blurred; it compares the differences
/// between neighbours with those that are left once the crop is blurred with a box. `crop` has `side` rows of `side` values.
pub(super) fn blur(crop: &[f32], side: usize) -> f32 {
    let blur = [(1, side), (side, 1)].map(|(along, across)| blur_along(crop, side, along, across));
    blur[0].max(blur[1])
}

/// The same in one direction: `along` is the distance of neighbours in it, `across` that in the other.
fn blur_along(crop: &[f32], side: usize, along: usize, across: usize) -> f32 {
    let at =
        |values: &[f32], along_at: usize, across_at: usize| values[along_at * along + across_at * across];
    let reach = -isize::from(BOX / 2)..=isize::from(BOX / 2);
    let mut softer = vec![0.0; crop.len()];
    for line in 0..side {
        for place in 0..side {
            let sum: f32 = reach.clone().map(|by| at(crop, mirrored(place, by, side), line)).sum();
            softer[place * along + line * across] = sum / f32::from(BOX);
        }
    }
    // Sobel's operator; what touches the border is left out.
    let edge = |values: &[f32], place: usize, line: usize| {
        let side_by_side = |line: usize| at(values, place + 1, line) - at(values, place - 1, line);
        (side_by_side(line - 1) + 2.0 * side_by_side(line) + side_by_side(line + 1)).abs() / 8.0
    };
    let (mut sharp, mut lost) = (0.0, 0.0);
    for line in 2..side - 1 {
        for place in 2..side - 1 {
            let here = edge(crop, place, line);
            sharp += here;
            lost += (here - edge(&softer, place, line)).max(0.0);
        }
    }
    if sharp < to_f32(side) / 100.0 { 1.0 } else { (sharp - lost) / sharp }
}

/// A place that lies `by` further, mirrored at the borders.
fn mirrored(place: usize, by: isize, side: usize) -> usize {
    let place = place.checked_add_signed(by).unwrap_or_else(|| by.unsigned_abs() - place - 1);
    if place < side { place } else { 2 * side - 1 - place }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 48;

    /// A drawn pattern: a ramp with rings on it.
    fn pattern() -> Vec<f32> {
        let value = |at: usize| {
            let (x, y) = (at % SIDE, at / SIDE);
            let ring = to_f32((x * x + 2 * y * y) % 97);
            ring + to_f32(x)
        };
        (0..SIDE * SIDE).map(value).collect()
    }

    fn softened(crop: &[f32]) -> Vec<f32> {
        let near = |at: usize, by: isize| crop[at.saturating_add_signed(by).min(crop.len() - 1)];
        (0..crop.len()).map(|at| (-3..=3).map(|by| near(at, by)).sum::<f32>() / 7.0).collect()
    }

    /// `skimage.measure.blur_effect(picture, h_size=11, channel_axis=None, reduce_func=max)` of scikit-image 0.24.0.
    #[test]
    fn equals_scikit_image() {
        for (crop, expected) in [(pattern(), 0.142_642), (softened(&pattern()), 0.363_499)] {
            assert!((blur(&crop, SIDE) - expected).abs() < 1e-3, "{} {expected}", blur(&crop, SIDE));
        }
    }

    #[test]
    fn a_plain_crop_is_blurred() {
        assert!((blur(&[77.0; SIDE * SIDE], SIDE) - 1.0).abs() < f32::EPSILON);
    }
}
