//! Y4M streams: any bytes end in frames, an end or an error; memory is bounded by a frame's size, ticks by the bytes.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use lectern::camera::{Capture, FrameSource, MAX_PIXELS, y4m::Y4m};
use lectern_fuzz::memory;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Ticks of a stream whose every frame stands for 20 s at 30 frames a second, and more.
const TICKS_A_FRAME: usize = 1000;

fuzz_target!(|input: (u8, &[u8])| {
    let (rate, bytes) = input;
    let rate_hz = [0.1, 1.0, 2.0, 30.0][usize::from(rate) % 4];
    // A frame has a header of six bytes at least, and a pixel.
    let most_ticks = (bytes.len() / 7 + 1) * TICKS_A_FRAME;
    let reader = Cursor::new(bytes.to_vec());
    let held = memory::most_during(|| {
        let Ok(mut source) = Y4m::from_reader(reader, Path::new("fuzz.y4m"), rate_hz) else { return };
        let mut ticks = 0;
        // Frames of a large picture are slow to decode, and each is like the one before it.
        while let Ok(capture) = source.next() {
            ticks += 1;
            assert!(ticks <= most_ticks, "{ticks} ticks of {} bytes", bytes.len());
            match capture {
                Capture::End => break,
                Capture::Frame(frame) => {
                    assert!(frame.width() > 0 && frame.height() > 0);
                    source.recycle(frame);
                }
                Capture::Corrupt | Capture::Missing => {}
            }
        }
    });
    // The largest frame that a header may claim, at three bytes a pixel, has its place before its bytes are there; a second one
    // comes with the bytes alone.
    let most = MAX_PIXELS * 3 + bytes.len() * 16 + (1 << 20);
    assert!(held <= most, "{held} bytes of memory for {} bytes", bytes.len());
});
