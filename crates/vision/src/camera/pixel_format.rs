//! The pixel formats that are read from a camera: negotiation, decoding, configuration, messages and the fuzz target all
//! use this one table.

use std::fmt::{Debug, Display, Formatter};

use super::frame::Frame;
use super::{decode, jpeg};

/// Makes a picture of bytes, width, height and stride, perhaps in the memory of a spare one.
type Decode = fn(&[u8], usize, usize, usize, Option<Frame>) -> Option<Frame>;

/// Every format, in order of preference: the cheapest and richest first.
const FORMATS: [PixelFormat; 8] = [
    PixelFormat { name: "YUYV", decode: decode::yuyv },
    PixelFormat { name: "UYVY", decode: decode::uyvy },
    PixelFormat { name: "YVYU", decode: decode::yvyu },
    PixelFormat { name: "VYUY", decode: decode::vyuy },
    PixelFormat { name: "NV12", decode: decode::nv12 },
    PixelFormat { name: "RGB3", decode: decode::rgb3 },
    PixelFormat { name: "MJPG", decode: |bytes, width, height, _, _| jpeg::mjpeg_of(bytes, width, height) },
    PixelFormat { name: "GREY", decode: decode::grey },
];

/// A pixel format that can be decoded.
#[derive(Clone, Copy)]
pub struct PixelFormat {
    /// The four letters of its code (V4L2's `v4l2_fourcc`).
    name: &'static str,
    decode: Decode,
}

impl PixelFormat {
    /// Every format, in order of preference.
    pub const ALL: &'static [Self] = &FORMATS;

    /// The format with this name, in letters of either case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.name.eq_ignore_ascii_case(name))
    }

    /// The names of some formats, for a message.
    #[must_use]
    pub fn list(formats: &[Self]) -> String {
        formats.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
    }

    /// Its four letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// A picture of `width` x `height` pixels, whose rows lie `stride` bytes apart; in the memory of `spare`, if that fits. None for
    /// bytes that are too few or cannot be decoded.
    #[must_use]
    pub fn decode(
        self,
        bytes: &[u8],
        width: usize,
        height: usize,
        stride: usize,
        spare: Option<Frame>,
    ) -> Option<Frame> {
        (self.decode)(bytes, width, height, stride, spare)
    }
}

impl PartialEq for PixelFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for PixelFormat {}

impl Debug for PixelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Display for PixelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Pixels;
    use proptest::prelude::*;

    /// Rows of a picture are padded by so many bytes.
    const PADDING: usize = 3;

    /// A picture in luma, with a pair of colour samples for two pixels of a row.
    struct Picture {
        width: usize,
        height: usize,
    }

    impl Picture {
        fn luma(x: usize, y: usize) -> u8 {
            u8::try_from(20 + (x * 37 + y * 11) % 200).unwrap()
        }

        /// Cb and Cr. All rows are alike, so that formats with fewer colour samples have the same picture.
        fn colour(x: usize) -> [u8; 2] {
            [60, 90].map(|level| u8::try_from(level + x / 2 * 23 % 100).unwrap())
        }

        /// Packed 4:2:2, with Y0, Cb, Y1 and Cr at these places.
        fn packed(&self, places: [usize; 4]) -> Vec<u8> {
            let row = |y| {
                let pairs = (0..self.width.div_ceil(2)).flat_map(move |pair| {
                    let ([cb, cr], mut bytes) = (Self::colour(pair * 2), [0; 4]);
                    let luma = |x| if x < self.width { Self::luma(x, y) } else { 0xee };
                    for (place, sample) in
                        places.into_iter().zip([luma(pair * 2), cb, luma(pair * 2 + 1), cr])
                    {
                        bytes[place] = sample;
                    }
                    bytes
                });
                pairs.chain([0xee; PADDING])
            };
            (0..self.height).flat_map(row).collect()
        }

        /// What a camera sends in this format, and its stride.
        fn encoded(&self, format: PixelFormat) -> (Vec<u8>, usize) {
            let Self { width, height } = *self;
            let pairs = width.div_ceil(2);
            let rows = |row: &dyn Fn(usize) -> Vec<u8>, count: usize| -> Vec<u8> {
                (0..count).flat_map(|y| row(y).into_iter().chain([0xee; PADDING])).collect()
            };
            match format.name {
                "YUYV" => (self.packed([0, 1, 2, 3]), pairs * 4 + PADDING),
                "UYVY" => (self.packed([1, 0, 3, 2]), pairs * 4 + PADDING),
                "YVYU" => (self.packed([0, 3, 2, 1]), pairs * 4 + PADDING),
                "VYUY" => (self.packed([1, 2, 3, 0]), pairs * 4 + PADDING),
                "NV12" => {
                    let stride = pairs * 2 + PADDING;
                    let pad = stride - width;
                    let luma = (0..height)
                        .flat_map(|y| (0..width).map(move |x| Self::luma(x, y)).chain(vec![0xee; pad]));
                    let colour =
                        rows(&|_| (0..pairs).flat_map(|x| Self::colour(x * 2)).collect(), height.div_ceil(2));
                    (luma.chain(colour).collect(), stride)
                }
                "RGB3" => (rows(&|y| self.rgb(y), height), width * 3 + PADDING),
                "GREY" => {
                    (rows(&|y| (0..width).map(|x| Self::luma(x, y)).collect(), height), width + PADDING)
                }
                "MJPG" => {
                    let rgb: Vec<u8> = (0..height).flat_map(|y| self.rgb(y)).collect();
                    let side = |length: usize| u32::try_from(length).unwrap();
                    let picture = image::RgbImage::from_raw(side(width), side(height), rgb).unwrap();
                    let mut bytes = Vec::new();
                    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100);
                    picture.write_with_encoder(encoder).unwrap();
                    (bytes, 0)
                }
                other => panic!("{other} has no picture to be tested with: add how a camera sends it"),
            }
        }

        fn rgb(&self, y: usize) -> Vec<u8> {
            let expected =
                decode::yuyv(&self.packed([0, 1, 2, 3]), self.width, self.height, self.stride(), None);
            expected.unwrap().into_rgb().row(y).to_vec()
        }

        fn stride(&self) -> usize {
            self.width.div_ceil(2) * 4 + PADDING
        }
    }

    #[test]
    fn each_format_gives_the_same_picture() {
        let names: Vec<_> = PixelFormat::ALL.iter().map(|format| format.name).collect();
        assert_eq!(names, ["YUYV", "UYVY", "YVYU", "VYUY", "NV12", "RGB3", "MJPG", "GREY"]);
        for (width, height) in [(1, 1), (2, 2), (5, 3), (8, 2), (65, 4), (128, 3), (131, 5)] {
            let picture = Picture { width, height };
            for format in PixelFormat::ALL {
                let (bytes, stride) = picture.encoded(*format);
                let frame = format.decode(&bytes, width, height, stride, None);
                let frame = frame.unwrap_or_else(|| panic!("no {format} picture of {width} x {height}"));
                assert_eq!((frame.width(), frame.height()), (width, height), "{format}");
                let tolerance = if format.name == "MJPG" { 40 } else { 0 };
                let frame = frame.into_rgb();
                for y in 0..height {
                    let expected: Vec<u8> = match format.name {
                        "GREY" => (0..width).flat_map(|x| [Picture::luma(x, y); 3]).collect(),
                        _ => picture.rgb(y),
                    };
                    let right = frame.row(y).iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= tolerance);
                    assert!(
                        right,
                        "{format}, {width} x {height}, row {y}: {:?}, not {expected:?}",
                        frame.row(y)
                    );
                }
            }
        }
    }

    /// The reference of the other test is checked sample by sample.
    #[test]
    fn each_sample_of_yuyv_is_unpacked() {
        for width in [1, 2, 5, 63, 64, 65, 127, 128, 131] {
            let picture = Picture { width, height: 2 };
            let bytes = picture.packed([0, 1, 2, 3]);
            let frame = decode::yuyv(&bytes, width, 2, picture.stride(), None).unwrap();
            let Pixels::Planes(planes) = frame.pixels() else { panic!("no planes") };
            for (x, y) in (0..width).flat_map(|x| [(x, 0), (x, 1)]) {
                assert_eq!(planes.luma[y * width + x], Picture::luma(x, y), "{x} of {width}");
                let at = y * width.div_ceil(2) + x / 2;
                assert_eq!(planes.colour.map(|plane| plane[at]), Picture::colour(x), "{x} of {width}");
            }
        }
    }

    #[test]
    fn a_format_is_found_by_its_name() {
        assert_eq!(PixelFormat::named("mjpg").map(PixelFormat::name), Some("MJPG"));
        assert_eq!(PixelFormat::named("H264"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            width in 0usize..20, height in 0usize..20, stride in 0usize..50,
        ) {
            for format in PixelFormat::ALL {
                let _ = format.decode(&bytes, width, height, stride, None);
            }
        }
    }
}
