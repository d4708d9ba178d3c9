//! Area resampling as adaptive average pooling, which is what the networks were trained behind.

use std::ops::{AddAssign, Range};

use zeroize::{Zeroize, Zeroizing};

use crate::vision::geometry::{View, to_f32};

/// A rectangle of a view: columns `x` to `x + width`, rows `y` to `y + height`.
#[derive(Debug, Clone, Copy, PartialEq)]
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

/// The buffers of a resampling, kept from one to the next.
#[derive(Default)]
pub(super) struct Resampler {
    columns: Vec<Range<usize>>,
    narrow: Zeroizing<Vec<u16>>,
    wide: Zeroizing<Vec<u32>>,
    planes: Zeroizing<Vec<f32>>,
}

impl Resampler {
    /// Resamples `cut` to `width` x `height` RGB planes (CHW), 0 to 255, unrounded.
    ///
    /// Output `i` of `n` is the mean of inputs `floor(i * m / n)` to `ceil((i + 1) * m / n)`. The sums are integers,
    /// so the result is that of the original to one rounding of f32.
    pub(super) fn area(&mut self, view: &View<'_>, cut: Cut, width: usize, height: usize) -> &[f32] {
        self.columns.clear();
        self.columns.extend((0..width).map(|i| window(i, cut.width, width)));
        self.planes.resize(3 * width * height, 0.0);
        let planes = &mut self.planes[..];
        // So many rows of bytes add up to no more than 16 bits, which halves the work of the inner loop.
        if cut.height / height + 2 <= 257 {
            sum_up(view, cut, &self.columns, &mut self.narrow, planes);
        } else {
            sum_up(view, cut, &self.columns, &mut self.wide, planes);
        }
        planes
    }

    /// Overwrites what is left of the picture.
    pub(super) fn wipe(&mut self) {
        self.narrow.as_mut_slice().zeroize();
        self.wide.as_mut_slice().zeroize();
        self.planes.as_mut_slice().zeroize();
    }
}

/// The inputs of output `i`, where `from` inputs become `to` outputs.
fn window(i: usize, from: usize, to: usize) -> Range<usize> {
    (i * from / to)..((i + 1) * from).div_ceil(to)
}

fn sum_up<T: Copy + Default + AddAssign + From<u8> + Into<u32>>(
    view: &View<'_>,
    cut: Cut,
    columns: &[Range<usize>],
    sums: &mut Vec<T>,
    planes: &mut [f32],
) {
    let (width, height) = (columns.len(), planes.len() / 3 / columns.len());
    let (red, rest) = planes.split_at_mut(width * height);
    let (green, blue) = rest.split_at_mut(width * height);
    sums.resize(cut.width * 3, T::default());
    for out_y in 0..height {
        let rows = window(out_y, cut.height, height);
        let count = rows.len();
        sums.fill(T::default());
        let row = |y: usize| &view.row(cut.y + y)[cut.x * 3..][..cut.width * 3];
        let mut y = rows.start;
        // Four rows at a time, because reading and writing the sums costs more than adding.
        while y + 4 <= rows.end {
            let four = row(y).iter().zip(row(y + 1)).zip(row(y + 2).iter().zip(row(y + 3)));
            for (sum, ((a, b), (c, d))) in sums.iter_mut().zip(four) {
                let mut four = T::from(*a);
                four += T::from(*b);
                four += T::from(*c);
                four += T::from(*d);
                *sum += four;
            }
            y += 4;
        }
        for y in y..rows.end {
            for (sum, value) in sums.iter_mut().zip(row(y)) {
                *sum += T::from(*value);
            }
        }
        for (out_x, column) in columns.iter().enumerate() {
            let mut rgb = [0u32; 3];
            for pixel in sums[column.start * 3..column.end * 3].chunks_exact(3) {
                for (channel, value) in rgb.iter_mut().zip(pixel) {
                    *channel += (*value).into();
                }
            }
            let [r, g, b] = rgb.map(|sum| to_f32(sum as usize) / to_f32(count * column.len()));
            let at = out_y * width + out_x;
            (red[at], green[at], blue[at]) = (r, g, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Frame;
    use crate::vision::geometry::Region;

    fn area(view: &View<'_>, cut: Cut, width: usize, height: usize) -> Vec<f32> {
        Resampler::default().area(view, cut, width, height).to_vec()
    }

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

    #[test]
    fn no_sum_overflows_however_high_the_window() {
        for height in [255, 256, 257, 258, 600] {
            let frame = Frame::from_rgb(1, height, vec![255; height * 3]).unwrap();
            let view = View::new(&frame, Region::WHOLE);
            assert_eq!(area(&view, Cut::whole(&view), 1, 1), [255.0; 3], "{height}");
            assert_eq!(area(&view, Cut::whole(&view), 1, 2), [255.0; 6], "{height}");
        }
    }
}
