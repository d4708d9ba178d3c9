//! JPEG as cameras encode it.

mod entropy;

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::{DynamicImage, ImageDecoder, RgbImage};
use zeroize::{Zeroize, Zeroizing};

pub(super) use entropy::check;

use super::frame::Frame;
use super::size::is_too_large;

/// A JPEG as a camera sends it: perhaps without Huffman tables, perhaps with padding after its end; one whose
/// end or middle is missing is torn.
#[must_use]
pub fn mjpeg(bytes: &[u8]) -> Option<Frame> {
    decode(bytes, |width, height| !is_too_large(width, height))
}

/// The same from a camera that delivers `width` x `height` pixels, perhaps rounded up to whole blocks. Four damaged bytes can
/// claim any other size; that is checked before anything is decoded.
pub(super) fn mjpeg_of(bytes: &[u8], width: usize, height: usize) -> Option<Frame> {
    decode(bytes, |w, h| !is_too_large(w, h) && w.abs_diff(width) < 16 && h.abs_diff(height) < 16)
}

fn decode(bytes: &[u8], fits: impl FnOnce(usize, usize) -> bool) -> Option<Frame> {
    let end = bytes.windows(2).rposition(|marker| marker == [0xff, 0xd9])? + 2;
    let bytes = &bytes[..end];
    let scan = segment(bytes, 0xda)?;
    let picture = if segment(&bytes[..scan], 0xc4).is_some() {
        decode_whole(bytes, fits)?
    } else {
        let whole = [&bytes[..scan], &standard_huffman_tables(), &bytes[scan..]].concat();
        decode_whole(&Zeroizing::new(whole), fits)?
    };
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Frame::from_rgb(width, height, picture.into_raw())
}

fn decode_whole(bytes: &[u8], fits: impl FnOnce(usize, usize) -> bool) -> Option<RgbImage> {
    // Reads the header alone.
    let decoder = JpegDecoder::new(Cursor::new(bytes)).ok()?;
    let (width, height) = decoder.dimensions();
    if !fits(width as usize, height as usize) || check(bytes).is_err() {
        return None;
    }
    Some(match DynamicImage::from_decoder(decoder).ok()? {
        DynamicImage::ImageRgb8(picture) => picture,
        grey => {
            let picture = grey.to_rgb8();
            grey.into_bytes().zeroize();
            picture
        }
    })
}

/// Where the first segment with this marker begins, walking from segment to segment.
fn segment(bytes: &[u8], marker: u8) -> Option<usize> {
    let mut at = 2; // after the start of image
    loop {
        match bytes.get(at..at + 4)? {
            [0xff, 0xff, ..] => at += 1, // fill byte
            [0xff, found, high, low] => {
                if *found == marker {
                    return Some(at);
                }
                at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
            }
            _ => return None,
        }
    }
}

/// The DHT segment with the typical tables of ITU-T T.81, annex K.3, which a camera that sends none means.
fn standard_huffman_tables() -> Vec<u8> {
    const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const LUMA_DC_LENGTHS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    const CHROMA_DC_LENGTHS: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
    const LUMA_AC_LENGTHS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d];
    const CHROMA_AC_LENGTHS: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77];
    #[rustfmt::skip]
    const LUMA_AC_VALUES: [u8; 162] = [
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ];
    #[rustfmt::skip]
    const CHROMA_AC_VALUES: [u8; 162] = [
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ];
    let tables: [(u8, &[u8; 16], &[u8]); 4] = [
        (0x00, &LUMA_DC_LENGTHS, &DC_VALUES),
        (0x01, &CHROMA_DC_LENGTHS, &DC_VALUES),
        (0x10, &LUMA_AC_LENGTHS, &LUMA_AC_VALUES),
        (0x11, &CHROMA_AC_LENGTHS, &CHROMA_AC_VALUES),
    ];
    let mut segment = vec![0xff, 0xc4, 0x01, 0xa2]; // 418 bytes: 2 and four tables
    for (class, lengths, values) in tables {
        segment.push(class);
        segment.extend_from_slice(lengths);
        segment.extend_from_slice(values);
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jpeg() -> Vec<u8> {
        let picture = RgbImage::from_fn(33, 17, |x, y| {
            image::Rgb([u8::try_from(x * 7).unwrap(), u8::try_from(y * 15).unwrap(), 128])
        });
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&picture).unwrap();
        bytes
    }

    /// The file without any DHT segment.
    fn without_tables(mut bytes: Vec<u8>) -> Vec<u8> {
        while let Some(at) = segment(&bytes, 0xc4).filter(|at| *at < segment(&bytes, 0xda).unwrap()) {
            let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            bytes.drain(at..at + 2 + length);
        }
        bytes
    }

    #[test]
    fn a_jpeg_without_huffman_tables_is_the_same_picture() {
        let whole = jpeg();
        let bare = without_tables(whole.clone());
        assert!(bare.len() < whole.len() - 400);
        assert_eq!(mjpeg(&bare).unwrap().rgb(), mjpeg(&whole).unwrap().rgb());
    }

    #[test]
    fn a_torn_jpeg_is_corrupt_and_a_padded_one_is_not() {
        let whole = jpeg();
        assert!(mjpeg(&whole[..whole.len() / 2]).is_none());
        assert!(mjpeg(&[]).is_none());
        assert!(mjpeg(&[whole, vec![0; 100]].concat()).is_some());
    }

    #[test]
    fn a_jpeg_that_claims_to_be_huge_is_corrupt() {
        let mut bytes = jpeg();
        let size = segment(&bytes, 0xc0).unwrap() + 5; // after marker, length and precision: height, width
        bytes[size..size + 4].copy_from_slice(&[0x2e, 0xe0, 0x2e, 0xe0]);
        let began = std::time::Instant::now();
        let decoded = mjpeg(&bytes);
        assert!(decoded.is_none(), "a frame of 12000x12000 after {:?}", began.elapsed());
    }

    /// The same, and also a larger one that has every kind of frequency.
    fn noisy() -> Vec<u8> {
        let picture = RgbImage::from_fn(320, 240, |x, y| {
            let level =
                |factor: u32| u8::try_from(((x * factor) ^ (y * 7)).wrapping_mul(x + factor) % 256).unwrap();
            image::Rgb([level(3), level(5), u8::try_from(x % 256).unwrap()])
        });
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 80).encode_image(&picture).unwrap();
        bytes
    }

    #[test]
    fn a_jpeg_with_a_missing_middle_is_corrupt() {
        let whole = noisy();
        assert_eq!(check(&whole), Ok(()));
        let scan = segment(&whole, 0xda).unwrap() + 14;
        let mut missed = 0;
        for cut in 0..200 {
            // As much as a lost USB packet, or more.
            let length = 64 + cut * 13 % 1500;
            let at = scan + cut * 7919 % (whole.len() - scan - length - 2);
            missed += u32::from(mjpeg(&[&whole[..at], &whole[at + length..]].concat()).is_some());
        }
        // Where the garbage after a cut happens to have as many blocks as were lost, nothing shows it.
        assert!(missed <= 8, "{missed} of 200 pictures without some bytes pass for whole ones");
    }

    #[test]
    fn a_few_bytes_before_the_end_are_no_damage() {
        let whole = noisy();
        let end = whole.len() - 2;
        let padded = |count| [&whole[..end], &vec![0; count], &whole[end..]].concat();
        assert_eq!(check(&padded(6)), Ok(()));
        assert_eq!(check(&padded(2000)), Err(entropy::Fault::Damaged));
    }

    /// zune-jpeg would decode it into another picture.
    #[test]
    fn a_scan_for_each_component_is_refused() {
        let mut bytes = noisy();
        let scan = segment(&bytes, 0xda).unwrap();
        // The header of a scan with the first component alone, as cjpeg -scans writes it.
        bytes.splice(scan..scan + 14, [0xff, 0xda, 0, 8, 1, bytes[scan + 5], bytes[scan + 6], 0, 63, 0]);
        assert_eq!(check(&bytes), Err(entropy::Fault::NotInterleaved));
        assert!(mjpeg(&bytes).is_none());
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_jpeg_decoder_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            let mut bytes = jpeg();
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = mjpeg(&bytes);
        }
    }
}
