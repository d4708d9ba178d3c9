//! MJPEG: damaged pictures end in none, and a picture's memory is bounded by its size, which is bounded itself.
#![no_main]

use lectern::camera::decode;
use lectern_fuzz::memory;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// The largest picture of all readers: 8192 x 4096.
const MOST_PIXELS: usize = 8192 * 4096;

/// What a decoder holds for each pixel at most: coefficients of a progressive picture (3 x 2 bytes), its planes, and RGB twice.
const BYTES_A_PIXEL: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    // A large picture takes long, and tells no more than a small one: only headers that claim one are of interest.
    let mut frame = None;
    let held = memory::most_during(|| frame = decode::mjpeg(bytes));
    let pixels = frame.as_ref().map_or(MOST_PIXELS, |frame| {
        assert_eq!(frame.rgb().len(), frame.width() * frame.height() * 3);
        frame.width() * frame.height()
    });
    assert!(pixels <= MOST_PIXELS);
    assert!(held <= pixels * BYTES_A_PIXEL + (1 << 20), "{held} bytes for {pixels} pixels");
});
