//! What several fuzz targets need.

pub mod storage;

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A password that no output may hold.
pub const CANARY: &str = "Xyzzy-42";

/// A logger that keeps everything that is said, at every level, in every crate.
pub struct Heard(Mutex<String>);

static HEARD: Heard = Heard(Mutex::new(String::new()));

impl Heard {
    /// Starts to listen, the first time; forgets what was said.
    pub fn anew() -> &'static Self {
        // It can be set once, which is once too often at the second call.
        let _ = log::set_logger(&HEARD);
        log::set_max_level(log::LevelFilter::Trace);
        HEARD.lock().clear();
        &HEARD
    }

    /// What was said since.
    pub fn said(&self) -> String {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl log::Log for Heard {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // What the product never lets through.
        !metadata.target().starts_with("rumqtt")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let _ = writeln!(self.lock(), "{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Keeps account of what is allocated, so that a target can bound it. libFuzzer's own limit is only looked at once a second.
pub mod memory {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    /// The system's allocator, with an account.
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

    /// The most bytes that `act` holds at once, beyond what was held before.
    pub fn most_during(act: impl FnOnce()) -> usize {
        let before = NOW.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        act();
        MOST.load(Ordering::Relaxed).saturating_sub(before)
    }
}
