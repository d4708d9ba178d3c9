//! After the first frames no frame allocates, but for what tract needs inside.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::path::Path;
use std::sync::Mutex;

use lectern::camera::{Frame, decode, stills};
use lectern::vision::models::ModelStore;
use lectern::vision::{Analysis, Analyzer, DEFAULT_MIN_FACE_PX};

/// Where something was allocated, outside of tract.
static OURS: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    static WATCHING: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        watch();
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        watch();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn watch() {
    // Not while a backtrace is made, which allocates itself.
    if WATCHING.replace(false) {
        let trace = Backtrace::force_capture().to_string();
        if !trace.contains("tract_") {
            OURS.lock().unwrap().push(trace);
        }
        WATCHING.set(true);
    }
}

/// A grey wall, packed as YUYV, with the portrait before it or not.
fn packed(person: bool) -> Vec<u8> {
    let portrait = stills::read(Path::new("tests/fixtures/portrait.png")).unwrap();
    let mut packed = [120, 128].repeat(640 * 480);
    for y in 0..if person { portrait.height() } else { 0 } {
        for (x, pixel) in portrait.row(y).chunks_exact(3).enumerate() {
            packed[((y + 50) * 640 + x + 100) * 2] = pixel[1];
        }
    }
    packed
}

fn analyze(analyzer: &mut Analyzer, packed: &[u8], spare: Option<Frame>) -> Option<Frame> {
    let frame = decode::yuyv(packed, 640, 480, 0, spare).unwrap();
    analyzer.analyze(&frame).unwrap();
    Some(frame)
}

#[test]
fn steady_state_allocates_nothing() {
    // By default this picture is searched in tiles, different ones in each frame.
    for (min_face_px, first) in [(DEFAULT_MIN_FACE_PX, 10), (60, 1)] {
        let analysis = Analysis { min_face_px, ..Analysis::default() };
        let mut analyzer = Analyzer::new(&ModelStore::open(None).unwrap(), None, analysis).unwrap();
        let frames = [packed(true), packed(true), packed(false), packed(false)];
        let mut spare = None;
        for frame in frames.iter().cycle().take(first * frames.len()) {
            spare = analyze(&mut analyzer, frame, spare);
        }
        let before = analyzer.searches();
        WATCHING.set(true);
        for frame in frames.iter().cycle().take(2 * frames.len()) {
            spare = analyze(&mut analyzer, frame, spare);
        }
        WATCHING.set(false);
        // A person enters, is followed and leaves, and the room stays empty.
        assert!(
            analyzer.searches() >= before + 2,
            "{min_face_px}: {} searches",
            analyzer.searches() - before
        );
        let ours = OURS.lock().unwrap();
        assert!(ours.is_empty(), "{min_face_px}: {} allocations; the first one:\n{}", ours.len(), ours[0]);
    }
}
