//! Ratio charts of recordings, as in the paper's figures 9 to 11: the share of each of 13 kinds and of 7.

use std::path::Path;

use anyhow::Context;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::expression::{Emotion, Expression};
use crate::tally::Counts;

/// One recording: its label and all its counts.
pub(super) type Recording = (String, Counts);

const PANEL: (u32, u32) = (460, 400);
const MARGIN: i32 = 20;
/// Where bars begin, to the right of their names.
const BARS_FROM: i32 = 150;
/// Room for the share at the end of the longest bar.
const SHARE: i32 = 60;
/// Below the title.
const ROWS_FROM: i32 = 60;

/// Writes an SVG with two panels for each recording: 13 kinds at the left, 7 at the right.
///
/// Shares are of the faces with a certain expression; a recording without any has empty bars.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(path: &Path, recordings: &[Recording]) -> anyhow::Result<()> {
    let rows = recordings.len().max(1);
    let size = (2 * PANEL.0, PANEL.1 * u32::try_from(rows)?);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        for (panels, (label, counts)) in area.split_evenly((rows, 2)).chunks(2).zip(recordings) {
            let faces = counts.faces();
            let title = format!("{label}: {faces} faces in 13 kinds");
            panel(&panels[0], &title, &thirteen(counts), faces)?;
            panel(&panels[1], &format!("{label}: the same in 7 kinds"), &seven(counts), faces)?;
        }
        area.present().map_err(drawing)?;
    }
    std::fs::write(path, svg).with_context(|| format!("{} cannot be written", path.display()))
}

fn thirteen(counts: &Counts) -> Vec<(&'static str, u32)> {
    Expression::ALL.iter().map(|kind| (kind.name(), counts.kinds[kind.index()])).collect()
}

/// Weak and strong together.
fn seven(counts: &Counts) -> Vec<(&'static str, u32)> {
    let name = |kind: &Expression| match kind {
        Expression::Neutral => "neutral",
        Expression::Of(Emotion::Surprise, _) => "surprise",
        Expression::Of(Emotion::Fear, _) => "fear",
        Expression::Of(Emotion::Disgust, _) => "disgust",
        Expression::Of(Emotion::Happy, _) => "happy",
        Expression::Of(Emotion::Sad, _) => "sad",
        Expression::Of(Emotion::Angry, _) => "angry",
    };
    let mut sums: Vec<(&str, u32)> = Vec::new();
    for kind in Expression::ALL {
        let count = counts.kinds[kind.index()];
        match sums.last_mut() {
            Some((last, sum)) if *last == name(&kind) => *sum += count,
            _ => sums.push((name(&kind), count)),
        }
    }
    sums
}

/// Draws one bar for each name, as long as its share of `total`.
fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    bars: &[(&str, u32)],
    total: u32,
) -> anyhow::Result<()> {
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw(&Text::new(title.to_owned(), (MARGIN, MARGIN), text(18))).map_err(drawing)?;
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (i32::try_from(width)?, i32::try_from(height)?);
    let step = (height - ROWS_FROM - MARGIN) / i32::try_from(bars.len())?;
    let longest = f64::from(width - BARS_FROM - SHARE - MARGIN);
    for (y, (name, count)) in (ROWS_FROM..).step_by(usize::try_from(step)?).zip(bars) {
        let share = f64::from(*count) / f64::from(total.max(1));
        #[expect(clippy::cast_possible_truncation, reason = "a share of a panel's width")]
        let end = BARS_FROM + (share * longest) as i32;
        let bar = Rectangle::new([(BARS_FROM, y), (end, y + step * 2 / 3)], BLUE.mix(0.6).filled());
        area.draw(&bar).map_err(drawing)?;
        let middle = y + step / 6;
        area.draw(&Text::new((*name).to_owned(), (MARGIN, middle), text(14))).map_err(drawing)?;
        let share = format!("{:.1} %", 100.0 * share);
        area.draw(&Text::new(share, (end + 6, middle), text(14))).map_err(drawing)?;
    }
    Ok(())
}

fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("the chart cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_both_divisions_of_each_recording() {
        let mut counts = Counts::default();
        (counts.kinds[0], counts.kinds[7], counts.kinds[8]) = (1, 1, 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        write(&path, &[("monday".to_owned(), counts), ("empty".to_owned(), Counts::default())]).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        for expected in ["monday: 4 faces", "happy_strong", "50.0 %", "75.0 %", "empty: 0 faces"] {
            assert!(svg.contains(expected), "{expected}");
        }
        assert_eq!(seven(&Counts::default()).len(), 7);
    }
}
