//! Area resampling as adaptive average pooling, which is what the networks were trained behind.

use std::ops::{AddAssign, Range};

use zeroize::{Zeroize, Zeroizing};

use crate::camera::{BLACK, LUMA, Pixels, Planes, mean_rgb};
use crate::geometry::{View, to_f32};

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
    rows: Vec<Range<usize>>,
    narrow: Zeroizing<Vec<u16>>,
    wide: Zeroizing<Vec<u32>>,
    planes: Zeroizing<Vec<f32>>,
}

impl Resampler {
    /// Resamples `cut` to `width` x `height` RGB planes (CHW), 0 to 255, unrounded.
    ///
    /// Output `i` of `n` is the mean of inputs `floor(i * m / n)` to `ceil((i + 1) * m / n)`. The sums are integers,
    /// so the result is that of the original to one rounding of f32. For a picture in luma and colour the mean is computed before
    /// it becomes RGB, which is the same but for rounding and for colours that RGB cannot show.
    pub(super) fn area(&mut self, view: &View<'_>, cut: Cut, width: usize, height: usize) -> &[f32] {
        self.planes.resize(3 * width * height, 0.0);
        self.windows(cut, width, height, (1, 1));
        let (pixels, left, top) = view.pixels();
        let (x, y, stride) = (left + cut.x, top + cut.y, view.frame_width());
        match pixels {
            Pixels::Rgb(rgb) => {
                self.mean_of(0..3, |row| &rgb[((y + row) * stride + x) * 3..][..cut.width * 3], cut)
            }
            Pixels::Planes(Planes { luma, colour, chroma }) => {
                self.mean_of(0..1, |row| &luma[(y + row) * stride + x..][..cut.width], cut);
                let Some(step) = chroma.step() else {
                    gray(&mut self.planes, width * height);
                    return &self.planes;
                };
                // The samples that belong to the pixels.
                let within = Cut {
                    x: x / step.0,
                    y: y / step.1,
                    width: (x + cut.width).div_ceil(step.0) - x / step.0,
                    height: (y + cut.height).div_ceil(step.1) - y / step.1,
                };
                self.windows(Cut { x, y, ..cut }, width, height, step);
                let stride = stride.div_ceil(step.0);
                for (at, plane) in (1..).zip(colour) {
                    let row = |row: usize| &plane[(within.y + row) * stride + within.x..][..within.width];
                    self.mean_of(at..at + 1, row, within);
                }
                coloured(&mut self.planes, width * height);
            }
        }
        &self.planes
    }

    /// Which samples belong to each output column and row, where `step` pixels have one, counted from the cut's first.
    fn windows(&mut self, cut: Cut, width: usize, height: usize, step: (usize, usize)) {
        let samples = |from: usize, step: usize| {
            move |pixels: Range<usize>| {
                let first = from / step;
                (from + pixels.start) / step - first..(from + pixels.end).div_ceil(step) - first
            }
        };
        self.columns.clear();
        self.columns.extend((0..width).map(|i| window(i, cut.width, width)).map(samples(cut.x, step.0)));
        self.rows.clear();
        self.rows.extend((0..height).map(|i| window(i, cut.height, height)).map(samples(cut.y, step.1)));
    }

    /// The means of the windows into these planes, whose samples lie beside one another in rows.
    fn mean_of<'a>(&mut self, planes: Range<usize>, row: impl Fn(usize) -> &'a [u8], cut: Cut) {
        let size = self.columns.len() * self.rows.len();
        let (columns, rows) = (&self.columns[..], &self.rows[..]);
        let out = &mut self.planes[planes.start * size..planes.end * size];
        // So many rows of bytes add up to no more than 16 bits, which halves the work of the inner loop.
        let narrow = cut.height / rows.len() + 2 <= 257;
        match (planes.len(), narrow) {
            (3, true) => sum_up::<u16, 3>(row, columns, rows, &mut self.narrow, cut.width, out),
            (3, false) => sum_up::<u32, 3>(row, columns, rows, &mut self.wide, cut.width, out),
            (_, true) => sum_up::<u16, 1>(row, columns, rows, &mut self.narrow, cut.width, out),
            (_, false) => sum_up::<u32, 1>(row, columns, rows, &mut self.wide, cut.width, out),
        }
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

/// Sums of rows with `N` interleaved channels, and their means as `N` planes.
fn sum_up<'a, T: Copy + Default + AddAssign + From<u8> + Into<u32>, const N: usize>(
    row: impl Fn(usize) -> &'a [u8],
    columns: &[Range<usize>],
    rows: &[Range<usize>],
    sums: &mut Vec<T>,
    width: usize,
    planes: &mut [f32],
) {
    let size = columns.len() * rows.len();
    sums.resize(width * N, T::default());
    for (out_y, rows) in rows.iter().enumerate() {
        sums.fill(T::default());
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
        let pixels = sums.as_chunks::<N>().0;
        for (out_x, column) in columns.iter().enumerate() {
            let mut channels = [0u32; N];
            for pixel in &pixels[column.clone()] {
                for (channel, value) in channels.iter_mut().zip(pixel) {
                    *channel += (*value).into();
                }
            }
            let count = to_f32(rows.len() * column.len());
            for (plane, sum) in channels.into_iter().enumerate() {
                planes[plane * size + out_y * columns.len() + out_x] = to_f32(sum as usize) / count;
            }
        }
    }
}

/// Planes of luma, Cb and Cr into such of R, G and B.
fn coloured(planes: &mut [f32], size: usize) {
    let (red, rest) = planes.split_at_mut(size);
    let (green, blue) = rest.split_at_mut(size);
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        [*red, *green, *blue] = mean_rgb(*red, *green, *blue);
    }
}

/// The same without colour.
fn gray(planes: &mut [f32], size: usize) {
    let (red, rest) = planes.split_at_mut(size);
    red.iter_mut().for_each(|level| *level = ((*level - BLACK) * LUMA).clamp(0.0, 255.0));
    rest.chunks_exact_mut(size).for_each(|plane| plane.copy_from_slice(red));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Region;
    use crate::camera::{Frame, decode};

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

    #[test]
    fn a_picture_in_luma_and_colour_gives_what_it_gives_in_rgb() {
        // Slow changes without a colour that RGB cannot show.
        let (width, height) = (64, 48);
        let level = |from: usize, x: usize, y: usize| u8::try_from(from + x / 2 + y / 3).unwrap();
        let yuyv: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [level(80, x, y), level([100, 120][x % 2], x / 2, y)]))
            .collect();
        let grey: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| level(80, x, y))).collect();
        let colour =
            (0..height / 2).flat_map(|y| (0..width).map(move |x| level([100, 120][x % 2], x / 2, 2 * y)));
        let nv12: Vec<u8> = grey.iter().copied().chain(colour).collect();
        let frames = || {
            [
                decode::yuyv(&yuyv, width, height, 2 * width, None).unwrap(),
                decode::nv12(&nv12, width, height, width, None).unwrap(),
                decode::grey(&grey, width, height, width, None).unwrap(),
            ]
        };
        for (number, (planes, rgb)) in frames().iter().zip(frames().map(Frame::into_rgb)).enumerate() {
            let (planes, rgb) = (View::new(planes, Region::WHOLE), View::new(&rgb, Region::WHOLE));
            for (x, y) in [(0, 0), (7, 5), (20, 13)] {
                for (side, to) in [(24, 12), (25, 12), (31, 7), (12, 24)] {
                    let cut = Cut { x, y, width: side, height: side };
                    let both = area(&planes, cut, to, to).into_iter().zip(area(&rgb, cut, to, to));
                    let most = both.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(most < 1.5, "{most} in frame {number}, {cut:?} to {to}");
                }
            }
        }
    }
}
