//! Raw pictures of a camera: any bytes with any format, size and stride give a picture of that size, or none.
#![no_main]

use lectern::camera::Chroma;
use lectern::camera::decode;
use lectern_fuzz::memory;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fuzz_target!(|input: (u8, u16, u16, u16, &[u8])| {
    let (format, width, height, stride, bytes) = input;
    // Most sizes should be small enough for the bytes that there are.
    let [width, height, stride] = [width % 512, height % 512, stride % 2048].map(usize::from);
    let mut frame = None;
    let held = memory::most_during(|| {
        frame = match format % 8 {
            0 => decode::yuyv(bytes, width, height, stride, None),
            1 => decode::nv12(bytes, width, height, stride, None),
            2 => decode::rgb3(bytes, width, height, stride, None),
            3 => decode::grey(bytes, width, height, stride, None),
            4 => decode::planar(bytes, width, height, Chroma::Mono, None),
            5 => decode::planar(bytes, width, height, Chroma::Yuv420, None),
            6 => decode::planar(bytes, width, height, Chroma::Yuv422, None),
            _ => decode::planar(bytes, width, height, Chroma::Yuv444, None),
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
