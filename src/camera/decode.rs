//! Pixel formats into RGB. Each function answers none for bytes that are too few or cannot be decoded.
//!
//! YCbCr is ITU-R BT.601 in limited range (16 to 235), which is what UVC cameras and Y4M files carry.

use super::frame::Frame;
pub use super::jpeg::mjpeg;

/// How a planar picture carries its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// No colour.
    Mono,
    /// One colour sample for 2x2 pixels.
    Yuv420,
    /// One colour sample for 2x1 pixels.
    Yuv422,
    /// One colour sample a pixel.
    Yuv444,
}

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

    /// Pixels for one colour sample, across and down.
    fn step(self) -> Option<(usize, usize)> {
        match self {
            Self::Mono => None,
            Self::Yuv420 => Some((2, 2)),
            Self::Yuv422 => Some((2, 1)),
            Self::Yuv444 => Some((1, 1)),
        }
    }

    /// Bytes of one picture.
    #[must_use]
    pub fn frame_bytes(self, width: usize, height: usize) -> usize {
        let colour = self.step().map_or(0, |(across, down)| width.div_ceil(across) * height.div_ceil(down));
        width * height + 2 * colour
    }
}

/// A luma plane, then the two colour planes, without padding.
#[must_use]
pub fn planar(bytes: &[u8], width: usize, height: usize, chroma: Chroma) -> Option<Frame> {
    if bytes.len() < chroma.frame_bytes(width, height) {
        return None;
    }
    let (luma, colour) = bytes.split_at(width * height);
    convert(width, height, None, |x, y| {
        let (cb, cr) = match chroma.step() {
            None => (128, 128),
            Some((across, down)) => {
                let at = (y / down) * width.div_ceil(across) + x / across;
                let plane = width.div_ceil(across) * height.div_ceil(down);
                (colour[at], colour[plane + at])
            }
        };
        ycbcr(luma[y * width + x], cb, cr)
    })
}

/// `YUYV` (4:2:2 packed): Y0 Cb Y1 Cr, rows `stride` bytes apart. In the memory of `spare`, if that fits.
#[must_use]
pub fn yuyv(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let rows = Rows::new(bytes, width.div_ceil(2) * 4, height, stride)?;
    if width == 0 {
        return None;
    }
    let mut frame = Frame::reuse(spare, width, height);
    for (y, out) in frame.rgb_mut().chunks_exact_mut(width * 3).enumerate() {
        let (strips, rest) = rows.row(y).split_at(width / STRIP * 2 * STRIP);
        let strips = strips.as_chunks::<{ 2 * STRIP }>().0;
        let (whole, border) = out.as_chunks_mut::<{ 3 * STRIP }>();
        for (packed, out) in strips.iter().zip(whole) {
            unpack(packed, out);
        }
        for (pair, pixels) in rest.as_chunks::<4>().0.iter().zip(border.chunks_mut(6)) {
            for (luma, pixel) in [pair[0], pair[2]].into_iter().zip(pixels.chunks_exact_mut(3)) {
                pixel.copy_from_slice(&ycbcr(luma, pair[1], pair[3]));
            }
        }
    }
    Some(frame)
}

/// Pixels that are unpacked at once.
const STRIP: usize = 64;

/// In loops of a fixed length over 16-bit numbers, which compilers turn into vector instructions.
#[inline]
fn unpack(packed: &[u8; 2 * STRIP], out: &mut [u8; 3 * STRIP]) {
    // Luma lies in the lower bytes of 16-bit words, colour in the upper ones.
    let mut words = [0u16; STRIP];
    for (word, bytes) in words.iter_mut().zip(packed.as_chunks::<2>().0) {
        *word = u16::from_le_bytes(*bytes);
    }
    let [mut red, mut green, mut blue] = [[0u16; STRIP]; 3];
    for i in 0..STRIP / 2 {
        let colour = Colour::new(words[2 * i] & 0xff00, words[2 * i + 1] & 0xff00);
        for at in [2 * i, 2 * i + 1] {
            (red[at], green[at], blue[at]) = (colour.red, colour.green, colour.blue);
        }
    }
    let mut pixels = [0u32; STRIP];
    for i in 0..STRIP {
        let colour = Colour { red: red[i], green: green[i], blue: blue[i] };
        let [r, g, b] = colour.with(words[i] << 8);
        pixels[i] = u32::from(r) | u32::from(g) << 8 | u32::from(b) << 16;
    }
    // Eight pixels of three bytes are three words of eight.
    for (pixels, out) in pixels.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<24>().0) {
        let p = pixels.map(u64::from);
        let words = [
            p[0] | p[1] << 24 | p[2] << 48,
            p[2] >> 16 | p[3] << 8 | p[4] << 32 | p[5] << 56,
            p[5] >> 8 | p[6] << 16 | p[7] << 40,
        ];
        for (word, out) in words.into_iter().zip(out.as_chunks_mut::<8>().0) {
            *out = word.to_le_bytes();
        }
    }
}

/// `NV12` (4:2:0): a luma plane, then rows of Cb Cr pairs, all rows `stride` bytes apart.
#[must_use]
pub fn nv12(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let stride = stride.max(width);
    let luma = Rows::new(bytes, width, height, stride)?;
    let colour = Rows::new(bytes.get(stride * height..)?, width.div_ceil(2) * 2, height.div_ceil(2), stride)?;
    convert(width, height, spare, |x, y| {
        let pair = &colour.row(y / 2)[x / 2 * 2..][..2];
        ycbcr(luma.row(y)[x], pair[0], pair[1])
    })
}

/// `GREY`: 8-bit luma in full range, rows `stride` bytes apart.
#[must_use]
pub fn grey(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let rows = Rows::new(bytes, width, height, stride)?;
    convert(width, height, spare, |x, y| [rows.row(y)[x]; 3])
}

/// `RGB3`: 8-bit R, G, B, rows `stride` bytes apart.
#[must_use]
pub fn rgb3(bytes: &[u8], width: usize, height: usize, stride: usize, spare: Option<Frame>) -> Option<Frame> {
    let rows = Rows::new(bytes, width * 3, height, stride)?;
    convert(width, height, spare, |x, y| {
        let pixel = &rows.row(y)[x * 3..][..3];
        [pixel[0], pixel[1], pixel[2]]
    })
}

/// Rows of `used` bytes, `stride` bytes apart.
struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
    used: usize,
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8], used: usize, height: usize, stride: usize) -> Option<Self> {
        // A driver that leaves the stride at zero means rows without padding.
        let stride = stride.max(used);
        let needed = stride.checked_mul(height.checked_sub(1)?)?.checked_add(used)?;
        (bytes.len() >= needed).then_some(Self { bytes, stride, used })
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.used]
    }
}

fn convert(
    width: usize,
    height: usize,
    spare: Option<Frame>,
    pixel: impl Fn(usize, usize) -> [u8; 3],
) -> Option<Frame> {
    if width == 0 || height == 0 {
        return None;
    }
    let mut frame = Frame::reuse(spare, width, height);
    for (y, row) in frame.rgb_mut().chunks_exact_mut(width * 3).enumerate() {
        for (x, out) in row.chunks_exact_mut(3).enumerate() {
            out.copy_from_slice(&pixel(x, y));
        }
    }
    Some(frame)
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to 0 to 255")]
fn ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let high = |byte| u16::from(byte) << 8;
    Colour::new(high(cb), high(cr)).with(high(y)).map(|value| value as u8)
}

/// What two colour samples add to or take from luma: BT.601 in limited range, in sixty-fourths.
///
/// Samples come in the upper byte of 16 bits, so that the upper half of a product of 16 bits is what is wanted; every
/// sum fits 16 bits without a sign, and saturates at black.
#[derive(Clone, Copy)]
struct Colour {
    red: u16,
    green: u16,
    blue: u16,
}

impl Colour {
    // The factors of BT.601 times 64, for a sample times 256 of 65536: luma's is 1.164384.
    const LUMA: u16 = 19_077;
    const RED_OF_CR: u16 = 26_149;
    const GREEN_OF_CB: u16 = 6_419;
    const GREEN_OF_CR: u16 = 13_320;
    const BLUE_OF_CB: u16 = 33_050;
    // What the offsets of luma (16) and colour (128) come to, less half a step for rounding.
    const RED: u16 = 14_234;
    const GREEN: u16 = 8_709;
    const BLUE: u16 = 17_685;

    #[inline]
    fn new(cb: u16, cr: u16) -> Self {
        Self {
            red: upper(cr, Self::RED_OF_CR),
            green: upper(cb, Self::GREEN_OF_CB) + upper(cr, Self::GREEN_OF_CR),
            blue: upper(cb, Self::BLUE_OF_CB),
        }
    }

    #[inline]
    fn with(self, y: u16) -> [u16; 3] {
        let y = upper(y, Self::LUMA);
        let sums = [
            (y + self.red).saturating_sub(Self::RED),
            (y + Self::GREEN).saturating_sub(self.green),
            (y + self.blue).saturating_sub(Self::BLUE),
        ];
        sums.map(|sum| (sum >> 6).min(255))
    }
}

/// The upper 16 bits of a product.
#[inline]
fn upper(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn black_white_and_the_primaries_come_out_right() {
        assert_eq!(ycbcr(16, 128, 128), [0, 0, 0]);
        assert_eq!(ycbcr(235, 128, 128), [255, 255, 255]);
        for (ycc, rgb) in
            [((81, 90, 240), [255, 0, 0]), ((145, 54, 34), [0, 255, 0]), ((41, 240, 110), [0, 0, 255])]
        {
            let found = ycbcr(ycc.0, ycc.1, ycc.2);
            assert!(found.iter().zip(rgb).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 2), "{found:?}");
        }
    }

    #[test]
    fn every_colour_is_within_one_level_of_the_formula() {
        for y in (0..=255).step_by(5) {
            for cb in (0..=255).step_by(3) {
                for cr in (0..=255).step_by(3) {
                    let [luma, blue, red] =
                        [f64::from(y) - 16.0, f64::from(cb) - 128.0, f64::from(cr) - 128.0];
                    let luma = 255.0 / 219.0 * luma;
                    let exact = [
                        luma + 1.596_027 * red,
                        luma - 0.391_762 * blue - 0.812_968 * red,
                        luma + 2.017_232 * blue,
                    ];
                    for (found, exact) in ycbcr(y, cb, cr).into_iter().zip(exact) {
                        let wrong = f64::from(found) - exact.clamp(0.0, 255.0);
                        assert!(wrong.abs() < 0.6, "{y} {cb} {cr}: {found} and not {exact}");
                    }
                }
            }
        }
    }

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
        let expected = yuyv(&packed, 4, 2, 11, None).unwrap();
        let mut semi: Vec<u8> = luma.iter().flat_map(|row| row.iter().copied().chain([0; 3])).collect();
        semi.extend(colour.iter().flat_map(|(cb, cr)| [*cb, *cr]));
        assert_eq!(nv12(&semi, 4, 2, 7, None).unwrap().rgb(), expected.rgb());
        let flat: Vec<u8> = luma.concat().into_iter().chain([100, 140]).chain([150, 90]).collect();
        assert_eq!(planar(&flat, 4, 2, Chroma::Yuv420).unwrap().rgb(), expected.rgb());
        assert_eq!(rgb3(expected.rgb(), 4, 2, 12, None).unwrap().rgb(), expected.rgb());
        assert_eq!(grey(&[1, 2, 3, 4], 2, 2, 0, None).unwrap().rgb(), [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
    }

    #[test]
    fn a_wide_row_is_unpacked_like_a_narrow_one() {
        // Whole strips, a part of one, and an odd pixel.
        for width in [1usize, 2, 63, 64, 65, 127, 128, 131] {
            let packed: Vec<u8> =
                (0..width.div_ceil(2) * 4).map(|i| u8::try_from(i * 37 % 256).unwrap()).collect();
            let frame = yuyv(&packed, width, 1, 0, None).unwrap();
            for (x, pixel) in frame.rgb().chunks_exact(3).enumerate() {
                let pair = &packed[x / 2 * 4..][..4];
                assert_eq!(pixel, ycbcr(pair[x % 2 * 2], pair[1], pair[3]), "{x} of {width}");
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
                let _ = planar(&bytes, width, height, chroma);
            }
        }
    }
}
