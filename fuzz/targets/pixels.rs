//! Raw pictures of a camera: any bytes with any format, size and stride give a picture of that size, or none.
#![no_main]

use lectern::camera::{Chroma, PixelFormat, decode};
use lectern_fuzz::memory;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Planes as Y4M has them.
const PLANES: [Chroma; 4] = [Chroma::Mono, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444];

fuzz_target!(|input: (u8, u16, u16, u16, &[u8])| {
    let (format, width, height, stride, bytes) = input;
    // Most sizes should be small enough for the bytes that there are.
    let [width, height, stride] = [width % 512, height % 512, stride % 2048].map(usize::from);
    // `jpeg` has a target of its own, because its memory has another bound.
    let raw: Vec<_> = PixelFormat::ALL.iter().filter(|format| format.name() != "MJPG").collect();
    let choice = usize::from(format) % (raw.len() + PLANES.len());
    let mut frame = None;
    let held = memory::most_during(|| {
        frame = match raw.get(choice) {
            Some(format) => format.decode(bytes, width, height, stride, None),
            None => decode::planar(bytes, width, height, PLANES[choice - raw.len()], None),
        };
    });
    match frame {
        Some(frame) => {
            assert_eq!((frame.width(), frame.height()), (width, height));
            assert!(width > 0 && height > 0 && frame.into_rgb().rgb().len() == width * height * 3);
            assert!(held <= width * height * 3 + 4096, "{held} bytes");
        }
        None => assert!(held <= 4096, "{held} bytes for no picture"),
    }
});
