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

/// `YUYV`: Y0 Cb Y1 Cr, rows `stride` bytes apart. In the memory of `spare`, if that fits.
#[must_use]
pub fn yuyv(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    packed_422::<0, 1, 3>(bytes, width, height, stride, spare)
}

/// `UYVY`: Cb Y0 Cr Y1, otherwise as [`yuyv`].
#[must_use]
pub fn uyvy(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    packed_422::<1, 0, 2>(bytes, width, height, stride, spare)
}

/// `YVYU`: Y0 Cr Y1 Cb, otherwise as [`yuyv`].
#[must_use]
pub fn yvyu(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    packed_422::<0, 3, 1>(bytes, width, height, stride, spare)
}

/// `VYUY`: Cr Y0 Cb Y1, otherwise as [`yuyv`].
#[must_use]
pub fn vyuy(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    packed_422::<1, 2, 0>(bytes, width, height, stride, spare)
}

/// Packed 4:2:2: of each four bytes the luma samples are at `Y` and `Y + 2`, and the colour samples of both pixels at `CB` and `CR`.
fn packed_422<const Y: usize, const CB: usize, const CR: usize>(
    bytes: &[u8],
    width: usize,
    height: usize,
    stride: usize,
    spare: Option<Frame>,
) -> Option<Frame> {
    let samples = width.div_ceil(2);
    let rows = Rows::new(bytes, samples * 4, height, stride)?;
    if width == 0 {
        return None;
    }
    let mut frame = Frame::reuse(spare, width, height, Layout::Planes(Chroma::Yuv422));
    let [luma, blue, red] = frame.planes_mut();
    let planes =
        luma.chunks_exact_mut(width).zip(blue.chunks_exact_mut(samples).zip(red.chunks_exact_mut(samples)));
    for (y, (luma, (blue, red))) in planes.enumerate() {
        let packed = rows.row(y).as_chunks::<4>().0;
        let (pairs, odd) = luma.as_chunks_mut::<2>();
        for (((pair, blue), red), four) in pairs.iter_mut().zip(&mut *blue).zip(&mut *red).zip(packed) {
            *pair = [four[Y], four[Y + 2]];
            (*blue, *red) = (four[CB], four[CR]);
        }
        if let ([odd], Some(four)) = (odd, packed.last()) {
            *odd = four[Y];
            (blue[samples - 1], red[samples - 1]) = (four[CB], four[CR]);
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
    use proptest::prelude::*;

    #[test]
    fn planes_are_the_same_picture_as_packed_samples() {
        // 4x2, each pair of pixels with its own colour.
        let luma = [[50, 60, 70, 80], [90, 100, 110, 120]];
        let packed: Vec<u8> =
            luma.iter().flat_map(|row| [row[0], 100, row[1], 150, row[2], 140, row[3], 90]).collect();
        let expected = yuyv(&packed, 4, 2, 0, None).unwrap().into_rgb();
        let flat: Vec<u8> = luma.concat().into_iter().chain([100, 140]).chain([150, 90]).collect();
        assert_eq!(planar(&flat, 4, 2, Chroma::Yuv420, None).unwrap().into_rgb().rgb(), expected.rgb());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            width in 0usize..20, height in 0usize..20,
        ) {
            for chroma in [Chroma::Mono, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444] {
                let _ = planar(&bytes, width, height, chroma, None);
            }
        }
    }
}
