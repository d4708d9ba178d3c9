//! Shared helpers of the fuzz targets.

pub mod storage;

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A password that no output may hold.
pub const CANARY: &str = "Xyzzy-42";

/// A logger that captures all messages, at every level, of every crate.
pub struct CapturedLog(Mutex<String>);

static CAPTURED: CapturedLog = CapturedLog(Mutex::new(String::new()));

impl CapturedLog {
    /// Installs the logger at the first call, and clears the captured text.
    pub fn start() -> &'static Self {
        // It can be set only once; later calls fail.
        let _ = log::set_logger(&CAPTURED);
        log::set_max_level(log::LevelFilter::Trace);
        CAPTURED.lock().clear();
        &CAPTURED
    }

    /// The captured text.
    pub fn text(&self) -> String {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl log::Log for CapturedLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // The product never logs these crates.
        !metadata.target().starts_with("rumqtt")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let _ = writeln!(self.lock(), "{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Counts the allocated bytes, so that a target can limit them. libFuzzer checks its own limit only once a second.
pub mod memory {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    /// The system's allocator, with a counter.
    pub struct Counting;

    fn add(bytes: usize) {
        let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
        MOST.fetch_max(now, Ordering::Relaxed);
    }

    // SAFETY: every call is handed to the system's allocator as it is.
    #[allow(unsafe_code, reason = "an allocator cannot be written without it")]
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            add(layout.size());
            // SAFETY: the caller keeps `alloc`'s contract, which is the same.
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            add(layout.size());
            // SAFETY: as above.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            NOW.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    /// The peak of the bytes that `act` holds, beyond those held before.
    pub fn most_during(act: impl FnOnce()) -> usize {
        let before = NOW.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        act();
        MOST.load(Ordering::Relaxed).saturating_sub(before)
    }
}
