//! The picture. It is born in `camera`, read in `vision`, and wiped where it is dropped.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use zeroize::Zeroize;

/// How a picture in luma and colour differences carries its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// No colour.
    Mono,
    /// One colour sample for 2x2 pixels.
    Yuv420,
    /// One colour sample for 2x1 pixels.
    Yuv422,
    /// One colour sample for 1x2 pixels: 4:2:2 that was turned by a quarter.
    Yuv440,
    /// One colour sample a pixel.
    Yuv444,
}

impl Chroma {
    /// Pixels for one colour sample, across and down; none without colour.
    #[must_use]
    pub fn step(self) -> Option<(usize, usize)> {
        match self {
            Self::Mono => None,
            Self::Yuv420 => Some((2, 2)),
            Self::Yuv422 => Some((2, 1)),
            Self::Yuv440 => Some((1, 2)),
            Self::Yuv444 => Some((1, 1)),
        }
    }

    /// Samples of each of both colour planes.
    fn samples(self, width: usize, height: usize) -> usize {
        self.step().map_or(0, |(across, down)| width.div_ceil(across) * height.div_ceil(down))
    }

    /// Bytes of one picture.
    #[must_use]
    pub fn frame_bytes(self, width: usize, height: usize) -> usize {
        width * height + 2 * self.samples(width, height)
    }
}

/// What the bytes of a picture are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Rows of packed RGB.
    Rgb,
    /// A plane of luma, then the two planes of colour differences: ITU-R BT.601 in limited range (16 to 235).
    Planes(Chroma),
}

impl Layout {
    fn bytes(self, width: usize, height: usize) -> usize {
        match self {
            Self::Rgb => width * height * 3,
            Self::Planes(chroma) => chroma.frame_bytes(width, height),
        }
    }
}

/// The bytes of a picture, as they are to be read.
#[derive(Clone, Copy)]
pub enum Pixels<'a> {
    /// `height` rows of `width` RGB triples.
    Rgb(&'a [u8]),
    /// Luma and colour differences.
    Planes(Planes<'a>),
}

/// The three planes of a picture, rows without padding.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    /// A sample a pixel.
    pub luma: &'a [u8],
    /// Cb and Cr; empty without colour.
    pub colour: [&'a [u8]; 2],
    /// How pixels and colour samples belong together.
    pub chroma: Chroma,
}

/// One picture, 8 bits a sample, rows from top to bottom without padding: as the camera sent it, because most of it is never
/// needed in colour.
///
/// It can be neither cloned, printed nor serialised, and its memory is overwritten when it is dropped.
pub struct Frame {
    width: usize,
    height: usize,
    layout: Layout,
    bytes: Vec<u8>,
}

impl Frame {
    /// A black picture of `width` x `height` RGB pixels.
    #[must_use]
    pub fn black(width: usize, height: usize) -> Self {
        Self::zeros(width, height, Layout::Rgb)
    }

    fn zeros(width: usize, height: usize, layout: Layout) -> Self {
        Self { width, height, layout, bytes: vec![0; layout.bytes(width, height)] }
    }

    /// A picture of `width` x `height` pixels in the memory of `spare`, if that has this size and layout; all zeros if not.
    pub(super) fn reuse(spare: Option<Self>, width: usize, height: usize, layout: Layout) -> Self {
        spare
            .filter(|spare| (spare.width, spare.height, spare.layout) == (width, height, layout))
            .unwrap_or_else(|| Self::zeros(width, height, layout))
    }

    /// Takes over `rgb`, which must hold `width * height * 3` bytes and be no empty picture.
    #[must_use]
    pub fn from_rgb(width: usize, height: usize, mut rgb: Vec<u8>) -> Option<Self> {
        if width == 0 || height == 0 || rgb.len() != width * height * 3 {
            rgb.zeroize();
            return None;
        }
        Some(Self { width, height, layout: Layout::Rgb, bytes: rgb })
    }

    /// The same picture in RGB.
    #[must_use]
    pub fn into_rgb(self) -> Self {
        let Pixels::Planes(planes) = self.pixels() else { return self };
        let mut frame = Self::black(self.width, self.height);
        for (y, row) in frame.bytes.chunks_exact_mut(self.width * 3).enumerate() {
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let [cb, cr] = match planes.chroma.step() {
                    None => [NO_COLOUR; 2],
                    Some((across, down)) => {
                        let at = (y / down) * self.width.div_ceil(across) + x / across;
                        planes.colour.map(|plane| plane[at])
                    }
                };
                *pixel = rgb_of(planes.luma[y * self.width + x], cb, cr);
            }
        }
        frame
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The samples.
    #[must_use]
    pub fn pixels(&self) -> Pixels<'_> {
        match self.layout {
            Layout::Rgb => Pixels::Rgb(&self.bytes),
            Layout::Planes(chroma) => {
                let (luma, colour) = self.bytes.split_at(self.width * self.height);
                let (blue, red) = colour.split_at(chroma.samples(self.width, self.height));
                Pixels::Planes(Planes { luma, colour: [blue, red], chroma })
            }
        }
    }

    /// All bytes, to be written.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The planes of luma, Cb and Cr, to be written; the last two are empty in a picture without colour.
    pub(super) fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let colour = match self.layout {
            Layout::Rgb => 0,
            Layout::Planes(chroma) => chroma.samples(self.width, self.height),
        };
        let (luma, rest) = self.bytes.split_at_mut(self.width * self.height);
        let (blue, rest) = rest.split_at_mut(colour);
        [luma, blue, &mut rest[..colour]]
    }

    /// The pixels of an RGB picture: `height` rows of `width` RGB triples.
    ///
    /// # Panics
    /// If the picture is none; [`Frame::into_rgb`] makes one of it.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        assert!(self.layout == Layout::Rgb, "a picture in RGB");
        &self.bytes
    }

    /// The pixels of an RGB picture, to be written.
    ///
    /// # Panics
    /// If the picture is none; [`Frame::into_rgb`] makes one of it.
    #[must_use]
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        assert!(self.layout == Layout::Rgb, "a picture in RGB");
        &mut self.bytes
    }

    /// The same RGB picture in another size: bilinear, each pixel the weighted mean of all that it covers.
    ///
    /// # Panics
    /// If the picture is not in RGB; [`Frame::into_rgb`] makes one of it.
    #[must_use]
    pub fn scaled(&self, width: usize, height: usize) -> Self {
        let mut scaled = Self::black(width, height);
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let from = TypedImageRef::<U8x3>::from_buffer(side(self.width), side(self.height), self.rgb());
        let into = TypedImage::<U8x3>::from_buffer(side(width), side(height), &mut scaled.bytes);
        let (from, mut into) = from.ok().zip(into.ok()).expect("a frame holds width * height * 3 bytes");
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // Typed, or the program would hold the code for every other type of pixel.
        Resizer::new().resize_typed(&from, &mut into, &options).expect("both pictures are packed RGB");
        scaled
    }

    /// One row of an RGB picture: `width * 3` bytes.
    ///
    /// # Panics
    /// If the picture is not in RGB; [`Frame::into_rgb`] makes one of it.
    #[must_use]
    pub fn row(&self, y: usize) -> &[u8] {
        &self.rgb()[y * self.width * 3..][..self.width * 3]
    }
}

impl Zeroize for Frame {
    fn zeroize(&mut self) {
        // Only the vector's content is wiped, so that its length still shows that nothing was skipped.
        self.bytes.as_mut_slice().zeroize();
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.zeroize();
    }
}

/// The colour sample of gray.
const NO_COLOUR: u8 = 128;

/// Levels of RGB for one of luma: BT.601 in limited range, as all that follow.
pub(crate) const LUMA: f32 = 255.0 / 219.0;
/// The luma of black.
pub(crate) const BLACK: f32 = 16.0;
const RED_OF_CR: f32 = 1.596_027;
const GREEN_OF_CB: f32 = -0.391_762;
const GREEN_OF_CR: f32 = -0.812_968;
const BLUE_OF_CB: f32 = 2.017_232;

/// The pixel of a luma and two colour samples, which may be means of some, from 0 to 255.
#[inline]
pub(crate) fn mean_rgb(luma: f32, cb: f32, cr: f32) -> [f32; 3] {
    let luma = LUMA * (luma - BLACK);
    let (blue, red) = (cb - f32::from(NO_COLOUR), cr - f32::from(NO_COLOUR));
    [luma + RED_OF_CR * red, luma + GREEN_OF_CB * blue + GREEN_OF_CR * red, luma + BLUE_OF_CB * blue]
        .map(|level| level.clamp(0.0, 255.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 255")]
fn rgb_of(luma: u8, cb: u8, cr: u8) -> [u8; 3] {
    mean_rgb(luma.into(), cb.into(), cr.into()).map(|level| level.round() as u8)
}

// A picture stays where it is, cannot be printed or written out, and wipes itself.
static_assertions::assert_impl_all!(Frame: Drop);
static_assertions::assert_not_impl_any!(Frame: Clone, std::fmt::Debug, std::fmt::Display, serde::Serialize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_white_and_the_primaries_come_out_right() {
        assert_eq!(rgb_of(16, 128, 128), [0, 0, 0]);
        assert_eq!(rgb_of(235, 128, 128), [255, 255, 255]);
        for (ycc, rgb) in
            [((81, 90, 240), [255, 0, 0]), ((145, 54, 34), [0, 255, 0]), ((41, 240, 110), [0, 0, 255])]
        {
            let found = rgb_of(ycc.0, ycc.1, ycc.2);
            assert!(found.iter().zip(rgb).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 2), "{found:?}");
        }
    }

    #[test]
    fn a_frame_refuses_a_wrong_length() {
        assert!(Frame::from_rgb(2, 2, vec![0; 11]).is_none());
        assert!(Frame::from_rgb(0, 2, vec![]).is_none());
    }

    #[test]
    fn a_frame_wipes_every_byte() {
        let mut frame = Frame::from_rgb(4, 2, vec![7; 24]).unwrap();
        // What `drop` calls; memory cannot be read after the drop itself without unsafe code.
        frame.zeroize();
        assert_eq!(frame.rgb(), [0; 24]);
        assert!(std::mem::needs_drop::<Frame>());
    }
}
