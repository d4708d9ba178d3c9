//! Area resampling as adaptive average pooling, which is what the networks were trained behind.

use zeroize::Zeroizing;

use crate::vision::geometry::View;

/// A rectangle of a view: columns `x` to `x + width`, rows `y` to `y + height`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Cut {
    pub(super) fn whole(view: &View<'_>) -> Self {
        Self { x: 0, y: 0, width: view.width, height: view.height }
    }
}

/// Resamples `cut` to `width` x `height` RGB planes (CHW), 0 to 255, unrounded.
///
/// Output `i` of `n` is the mean of inputs `floor(i * m / n)` to `ceil((i + 1) * m / n)`. The sums are integers,
/// so the result is that of the original to one rounding of f32.
pub(super) fn area(view: &View<'_>, cut: Cut, width: usize, height: usize) -> Zeroizing<Vec<f32>> {
    let window = |i: usize, from: usize, to: usize| (i * from / to)..((i + 1) * from).div_ceil(to);
    let columns: Vec<_> = (0..width).map(|i| window(i, cut.width, width)).collect();
    let mut planes = Zeroizing::new(vec![0.0; 3 * width * height]);
    let (red, rest) = planes.split_at_mut(width * height);
    let (green, blue) = rest.split_at_mut(width * height);
    let mut sums = Zeroizing::new(vec![0u32; cut.width * 3]);
    for out_y in 0..height {
        let rows = window(out_y, cut.height, height);
        let count = rows.len();
        sums.fill(0);
        for y in rows {
            let row = &view.row(cut.y + y)[cut.x * 3..][..cut.width * 3];
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += u32::from(*value);
            }
        }
        for (out_x, column) in columns.iter().enumerate() {
            let mut rgb = [0u32; 3];
            for pixel in sums[column.start * 3..column.end * 3].chunks_exact(3) {
                for (channel, value) in rgb.iter_mut().zip(pixel) {
                    *channel += value;
                }
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "the sum of a window is far below 2^24 for any picture"
            )]
            let [r, g, b] = rgb.map(|sum| sum as f32 / (count * column.len()) as f32);
            let at = out_y * width + out_x;
            (red[at], green[at], blue[at]) = (r, g, b);
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Frame;
    use crate::vision::geometry::Region;

    #[test]
    fn windows_overlap_where_the_ratio_is_not_whole() {
        let frame = Frame::from_rgb(3, 1, vec![10, 0, 0, 20, 0, 0, 60, 0, 0]).unwrap();
        let view = View::new(&frame, Region::WHOLE);
        // 3 -> 2: inputs 0..2 and 1..3.
        assert_eq!(area(&view, Cut::whole(&view), 2, 1)[..2], [15.0, 40.0]);
        // 3 -> 4 (enlarging): 0..1, 0..2, 1..3, 2..3.
        assert_eq!(area(&view, Cut::whole(&view), 4, 1)[..4], [10.0, 15.0, 40.0, 60.0]);
    }

    #[test]
    fn a_cut_reads_only_its_own_pixels() {
        let rgb = (0..16u8).flat_map(|i| [i, i + 100, i + 200]).collect();
        let frame = Frame::from_rgb(4, 4, rgb).unwrap();
        let view = View::new(&frame, Region::WHOLE);
        let planes = area(&view, Cut { x: 1, y: 1, width: 2, height: 2 }, 1, 1);
        assert_eq!(planes[..], [7.5, 107.5, 207.5]);
    }
}
