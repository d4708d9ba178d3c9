//! Progress bars on a terminal: one for each recording, and one overall.

use std::fmt::Display;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::super::progress_style;
use crate::logging::printable::{print_error, set_message};

/// Parts of a recording in the overall bar.
const PARTS: u64 = 1000;

/// The bars of all recordings.
pub(super) struct Progress {
    bars: MultiProgress,
    /// Hidden for a single recording.
    all: ProgressBar,
}

/// The bar of one recording.
pub(super) struct Bar<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
    /// Parts of this recording that the overall bar has counted.
    counted: u64,
}

impl Progress {
    pub(super) fn new(recordings: usize) -> Self {
        let bars = MultiProgress::new();
        if recordings == 1 {
            return Self { bars, all: ProgressBar::hidden() };
        }
        let all = bars.add(ProgressBar::new(recordings as u64 * PARTS));
        let template = format!("all {recordings} recordings {{wide_bar}} {{percent}} %, {{eta}} left");
        all.set_style(ProgressStyle::with_template(&template).expect("the template above is valid"));
        all.enable_steady_tick(Duration::from_secs(1));
        Self { bars, all }
    }

    /// A bar for one recording, of `ticks` frames where available.
    pub(super) fn bar(&self, name: String, ticks: Option<u64>) -> Bar<'_> {
        let bar = ticks.map_or_else(ProgressBar::no_length, ProgressBar::new);
        // Above the overall bar.
        let bar = self.bars.insert(0, bar);
        bar.set_style(progress_style(ticks.is_some(), "frames"));
        set_message(&bar, name);
        Bar { progress: self, bar, counted: 0 }
    }

    /// Counts a recording that an earlier run finished.
    pub(super) fn skip(&self) {
        self.all.inc(PARTS);
    }

    /// Hides the bars while `write` writes to the terminal.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    pub(super) fn print_error(&self, message: impl Display) {
        self.suspend(|| print_error(message));
    }

    pub(super) fn clear(&self) {
        self.all.finish_and_clear();
    }
}

impl Bar<'_> {
    pub(super) fn step(&mut self) {
        self.bar.inc(1);
        let Some(length) = self.bar.length().filter(|length| *length > 0) else { return };
        let parts = (self.bar.position() * PARTS / length).min(PARTS);
        self.progress.all.inc(parts.saturating_sub(self.counted));
        self.counted = self.counted.max(parts);
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.progress.all.inc(PARTS - self.counted);
        self.bar.finish_and_clear();
    }
}
