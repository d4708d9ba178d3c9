//! The picture. It is born in `camera`, read in `vision`, and wiped where it is dropped.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use zeroize::Zeroize;

/// One picture: packed RGB, 8 bits a channel, rows from top to bottom without padding.
///
/// It can be neither cloned, printed nor serialised, and its memory is overwritten when it is dropped.
pub struct Frame {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Frame {
    /// A black picture of `width` x `height` pixels.
    #[must_use]
    pub fn black(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; width * height * 3] }
    }

    /// A picture of `width` x `height` pixels in the memory of `spare`, if that has this size; black if not.
    pub(super) fn reuse(spare: Option<Self>, width: usize, height: usize) -> Self {
        spare
            .filter(|spare| (spare.width, spare.height) == (width, height))
            .unwrap_or_else(|| Self::black(width, height))
    }

    /// Takes over `rgb`, which must hold `width * height * 3` bytes and be no empty picture.
    #[must_use]
    pub fn from_rgb(width: usize, height: usize, mut rgb: Vec<u8>) -> Option<Self> {
        if width == 0 || height == 0 || rgb.len() != width * height * 3 {
            rgb.zeroize();
            return None;
        }
        Some(Self { width, height, rgb })
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

    /// The pixels: `height` rows of `width` RGB triples.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The pixels, to be written.
    #[must_use]
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// The same picture in another size: bilinear, each pixel the weighted mean of all that it covers.
    #[must_use]
    pub fn scaled(&self, width: usize, height: usize) -> Self {
        let mut scaled = Self::black(width, height);
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let from = TypedImageRef::<U8x3>::from_buffer(side(self.width), side(self.height), &self.rgb);
        let into = TypedImage::<U8x3>::from_buffer(side(width), side(height), &mut scaled.rgb);
        let (from, mut into) = from.ok().zip(into.ok()).expect("a frame holds width * height * 3 bytes");
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // Typed, or the program would hold the code for every other type of pixel.
        Resizer::new().resize_typed(&from, &mut into, &options).expect("both pictures are packed RGB");
        scaled
    }

    /// One row of pixels: `width * 3` bytes.
    #[must_use]
    pub fn row(&self, y: usize) -> &[u8] {
        &self.rgb[y * self.width * 3..][..self.width * 3]
    }
}

impl Zeroize for Frame {
    fn zeroize(&mut self) {
        // Of the vector only its content, so that the length still tells that nothing was skipped.
        self.rgb.as_mut_slice().zeroize();
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
