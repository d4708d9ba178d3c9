//! MJPEG: damaged pictures end in none, and a picture's memory is bounded by its size, which is bounded itself.
#![no_main]

use lectern::camera::{MAX_PIXELS, decode};
use lectern_fuzz::memory;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// What a decoder holds for each pixel at most: coefficients of a progressive picture (3 x 2 bytes), its planes, and RGB twice.
const BYTES_A_PIXEL: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let mut frame = None;
    let held = memory::most_during(|| frame = decode::mjpeg(bytes));
    let held_for = frame.as_ref().map_or(MAX_PIXELS, |frame| {
        let (width, height) = (frame.width(), frame.height());
        assert!(frame.rgb().len() == width * height * 3 && width * height <= MAX_PIXELS);
        // A decoder works in whole blocks, of 32 x 32 pixels at most.
        width.next_multiple_of(32) * height.next_multiple_of(32)
    });
    assert!(held <= held_for * BYTES_A_PIXEL + (1 << 20), "{held} bytes for {held_for} pixels");
});
