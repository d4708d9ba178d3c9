//! The subcommands, one file each.

pub mod analyze;
pub mod bench;
mod chart;
#[cfg(feature = "demo")]
pub mod demo;
pub mod eval;
pub mod run;
pub mod schema;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What could not be written, for an error's first line.
const STANDARD_OUTPUT: &str = "standard output cannot be written";

/// A progress bar on standard error, hidden where that is no terminal; without a length it counts.
fn progress_bar(length: Option<u64>, unit: &str) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{msg} {wide_bar} {pos}/{len} UNIT, {eta} left"),
        None => (ProgressBar::no_length(), "{msg} {spinner} {pos} UNIT, {elapsed}"),
    };
    let style = ProgressStyle::with_template(&template.replace("UNIT", unit));
    let bar = bar.with_style(style.expect("the templates above are valid"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
