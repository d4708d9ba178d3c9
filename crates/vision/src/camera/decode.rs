//! Pixel formats into a [`Frame`]. Each function returns none for bytes that are too few or cannot be decoded.
//!
//! Luma and colour keep their encoding (ITU-R BT.601 in limited range, which is what UVC cameras and Y4M files carry): `vision`
//! converts to RGB only the pixels that it needs.

use super::frame::{Chroma, Frame, Layout};
pub use super::jpeg::mjpeg;

impl Chroma {
    /// The `C` parameter of a Y4M header; 8 bits only.
    #[must_use]
    pub fn from_y4m(name: &str) -> Option<Self> {
        match name {
            "mono" => Some(Self::Mono),
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => Some(Self::Yuv420),
            "422" => Some(Self::Yuv422),
            "444" => Some(Self::Yuv444),
            _ => None,
        }
    }
}

/// A luma plane, then the two colour planes, without padding. In the memory of `spare`, if that fits.
#[must_use]
pub fn planar(
    bytes: &[u8],
    width: usize,
    height: usize,
    chroma: Chroma,
    spare: Option<Frame>,
) -> Option<Frame> {
    let bytes = bytes.get(..chroma.frame_bytes(width, height))?;
    if bytes.is_empty() {
        return None;
    }
    let mut frame = Frame::reuse(spare, width, height, Layout::Planes(chroma));
    frame.bytes_mut().copy_from_slice(bytes);
    Some(frame)
}

/// `YUYV` (4:2:2 packed): Y0 Cb Y1 Cr, rows `stride` bytes apart. In the memory of `spare`, if that fits.
#[must_use]
pub fn yuyv(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let rows = Rows::new(bytes, width.div_ceil(2) * 4, height, stride)?;
    if width == 0 {
        return None;
    }
    let mut frame = Frame::reuse(spare, width, height, Layout::Planes(Chroma::Yuv422));
    let [luma, blue, red] = frame.planes_mut();
    let samples = width.div_ceil(2);
    let planes =
        luma.chunks_exact_mut(width).zip(blue.chunks_exact_mut(samples).zip(red.chunks_exact_mut(samples)));
    for (y, (luma, (blue, red))) in planes.enumerate() {
        let packed = rows.row(y).as_chunks::<4>().0;
        let (pairs, odd) = luma.as_chunks_mut::<2>();
        for (luma, [first, _, second, _]) in pairs.iter_mut().zip(packed) {
            *luma = [*first, *second];
        }
        if let ([odd], Some([last, ..])) = (odd, packed.last()) {
            *odd = *last;
        }
        for ((blue, red), [_, cb, _, cr]) in blue.iter_mut().zip(red).zip(packed) {
            (*blue, *red) = (*cb, *cr);
        }
    }
    Some(frame)
}

/// `NV12` (4:2:0): a luma plane, then rows of Cb Cr pairs, all rows `stride` bytes apart.
#[must_use]
pub fn nv12(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let stride = stride.max(width);
    let lumas = Rows::new(bytes, width, height, stride)?;
    let samples = width.div_ceil(2);
    let colours = Rows::new(bytes.get(stride * height..)?, samples * 2, height.div_ceil(2), stride)?;
    if width == 0 {
        return None;
    }
    let mut frame = Frame::reuse(spare, width, height, Layout::Planes(Chroma::Yuv420));
    let [luma, blue, red] = frame.planes_mut();
    for (y, luma) in luma.chunks_exact_mut(width).enumerate() {
        luma.copy_from_slice(lumas.row(y));
    }
    for (y, (blue, red)) in blue.chunks_exact_mut(samples).zip(red.chunks_exact_mut(samples)).enumerate() {
        for ((blue, red), [cb, cr]) in blue.iter_mut().zip(red).zip(colours.row(y).as_chunks::<2>().0) {
            (*blue, *red) = (*cb, *cr);
        }
    }
    Some(frame)
}

/// `GREY`: 8-bit luma in full range, rows `stride` bytes apart.
#[must_use]
pub fn grey(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let rows = Rows::new(bytes, width, height, stride)?;
    packed(width, spare, height, |y, row| {
        for (pixel, level) in row.as_chunks_mut::<3>().0.iter_mut().zip(rows.row(y)) {
            *pixel = [*level; 3];
        }
    })
}

/// `RGB3`: 8-bit R, G, B, rows `stride` bytes apart.
#[must_use]
pub fn rgb3(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let rows = Rows::new(bytes, width * 3, height, stride)?;
    packed(width, spare, height, |y, row| row.copy_from_slice(rows.row(y)))
}

/// An RGB picture, filled row by row.
fn packed(
    width: usize,
    spare: Option<Frame>,
    height: usize,
    fill: impl Fn(usize, &mut [u8]),
) -> Option<Frame> {
    if width == 0 || height == 0 {
        return None;
    }
    let mut frame = Frame::reuse(spare, width, height, Layout::Rgb);
    for (y, row) in frame.bytes_mut().chunks_exact_mut(width * 3).enumerate() {
        fill(y, row);
    }
    Some(frame)
}

/// Rows of `used` bytes, `stride` bytes apart.
struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
    used: usize,
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8], used: usize, height: usize, stride: usize) -> Option<Self> {
        // A stride of zero means rows without padding.
        let stride = stride.max(used);
        let needed = stride.checked_mul(height.checked_sub(1)?)?.checked_add(used)?;
        (bytes.len() >= needed).then_some(Self { bytes, stride, used })
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Pixels;
    use proptest::prelude::*;

    #[test]
    fn every_packing_of_the_same_picture_is_the_same_picture() {
        // 4x2, each pair of pixels with its own colour, rows padded by 3 bytes where there is a stride.
        let luma = [[50, 60, 70, 80], [90, 100, 110, 120]];
        let colour = [(100, 150), (140, 90)];
        let mut packed = Vec::new();
        for row in luma {
            for (pair, (cb, cr)) in row.chunks(2).zip(colour) {
                packed.extend([pair[0], cb, pair[1], cr]);
            }
            packed.extend([0; 3]);
        }
        let expected = yuyv(&packed, 4, 2, 11, None).unwrap().into_rgb();
        let mut semi: Vec<u8> = luma.iter().flat_map(|row| row.iter().copied().chain([0; 3])).collect();
        semi.extend(colour.iter().flat_map(|(cb, cr)| [*cb, *cr]));
        assert_eq!(nv12(&semi, 4, 2, 7, None).unwrap().into_rgb().rgb(), expected.rgb());
        let flat: Vec<u8> = luma.concat().into_iter().chain([100, 140]).chain([150, 90]).collect();
        assert_eq!(planar(&flat, 4, 2, Chroma::Yuv420, None).unwrap().into_rgb().rgb(), expected.rgb());
        assert_eq!(rgb3(expected.rgb(), 4, 2, 12, None).unwrap().rgb(), expected.rgb());
        assert_eq!(grey(&[1, 2, 3, 4], 2, 2, 0, None).unwrap().rgb(), [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
    }

    #[test]
    fn every_sample_of_a_row_is_unpacked_whatever_its_length() {
        for width in [1usize, 2, 63, 64, 65, 127, 128, 131] {
            let packed: Vec<u8> =
                (0..width.div_ceil(2) * 4).map(|i| u8::try_from(i * 37 % 256).unwrap()).collect();
            let frame = yuyv(&packed, width, 1, 0, None).unwrap();
            let Pixels::Planes(planes) = frame.pixels() else { panic!("no planes") };
            for x in 0..width {
                let pair = &packed[x / 2 * 4..][..4];
                assert_eq!(planes.luma[x], pair[x % 2 * 2], "{x} of {width}");
                assert_eq!(planes.colour.map(|plane| plane[x / 2]), [pair[1], pair[3]], "{x} of {width}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            width in 0usize..20, height in 0usize..20, stride in 0usize..50,
        ) {
            for decode in [yuyv, nv12, grey, rgb3] {
                let _ = decode(&bytes, width, height, stride, None);
            }
            for chroma in [Chroma::Mono, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444] {
                let _ = planar(&bytes, width, height, chroma, None);
            }
        }
    }
}
