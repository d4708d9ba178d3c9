//! Praat's TextGrid in its long form: tiers that cover all of the time, empty where nothing is.

use std::fmt::Write as _;

use super::super::samples::Samples;
use super::intervals::{Interval, tiers};

pub(super) fn write(samples: &Samples) -> String {
    let tiers = tiers(samples);
    let end = tiers.iter().flat_map(|tier| &tier.intervals).map(|it| it.end).max().unwrap_or(1);
    let mut text = format!(
        "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = 0\nxmax = {}\ntiers? <exists>\nsize = {}\nitem []:\n",
        seconds(end),
        tiers.len()
    );
    for (number, tier) in tiers.iter().enumerate() {
        let intervals = without_gaps(&tier.intervals, end);
        let mut line = |spaces: usize, line: String| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{}{line}", " ".repeat(spaces));
        };
        line(4, format!("item [{}]:", number + 1));
        line(8, "class = \"IntervalTier\"".to_owned());
        line(8, format!("name = \"{}\"", tier.name.replace('"', "\"\"")));
        line(8, "xmin = 0".to_owned());
        line(8, format!("xmax = {}", seconds(end)));
        line(8, format!("intervals: size = {}", intervals.len()));
        for (number, Interval { start, end, label }) in intervals.iter().enumerate() {
            line(8, format!("intervals [{}]:", number + 1));
            line(12, format!("xmin = {}", seconds(*start)));
            line(12, format!("xmax = {}", seconds(*end)));
            line(12, format!("text = \"{label}\""));
        }
    }
    text
}

/// With empty intervals between and around.
fn without_gaps(intervals: &[Interval], end: u64) -> Vec<Interval> {
    let mut all = Vec::new();
    let mut at = 0;
    for interval in intervals {
        if at < interval.start {
            all.push(Interval { start: at, end: interval.start, label: "" });
        }
        all.push(*interval);
        at = interval.end;
    }
    if at < end {
        all.push(Interval { start: at, end, label: "" });
    }
    all
}

/// Milliseconds as seconds, without a number's rounding.
pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}
