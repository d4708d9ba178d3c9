//! Charts as in the paper's figures 9 to 11: the shares of kinds as bars of 100 %, and the course of a lecture.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::super::drawing::{
    Area, Drawn, Figure, INK, LINE, MARGIN, SMALL, TEXT, brightness, fitting, length, letters, pixels, text,
};
use super::super::label_set::{LabelSet, to_f64};
use super::table::{Lecture, Minute};

/// The categories of frames beside the kinds.
const FRAMES: [(&str, RGBColor); 3] = [
    ("counted face", RGBColor(96, 104, 116)),
    ("uncertain", RGBColor(150, 156, 166)),
    ("no face", RGBColor(232, 235, 239)),
];

/// A row of the chart of shares: its name, its bar, the bar of its frames.
const BAR: i32 = 24;
const FRAME_BAR: i32 = 7;
const ROW: i32 = LINE + BAR + FRAME_BAR + 12;
/// Below the bars: the axis, and what it means.
const AXIS: i32 = 44;
const COURSE: i32 = 150;

/// The width of charts that are written by themselves, and the height of their titles.
const WIDTH: i32 = 900;
const TITLE: i32 = LINE + MARGIN;

/// A row of the chart of shares.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) total: Minute,
}

/// A chart: what it shows, and its size in pixels.
pub(super) enum Chart<'a> {
    /// The shares of some lectures or teachers.
    Shares(&'a LabelSet, &'a [Row]),
    /// A lecture's minutes.
    Course(&'a LabelSet, &'a Lecture),
}

impl Chart<'_> {
    fn legend(&self, width: i32) -> Vec<Vec<(String, RGBColor)>> {
        let (Chart::Shares(label_set, _) | Chart::Course(label_set, _)) = self;
        let kinds = label_set.kinds.iter().map(|kind| (kind.name.clone(), kind.colour));
        let frames = FRAMES.map(|(name, colour)| (name.to_owned(), colour));
        // In the course the kinds are the counted faces.
        let skipped = usize::from(matches!(self, Chart::Course(..)));
        let mut lines = vec![Vec::new()];
        let mut left = width;
        for entry in kinds.chain(frames.into_iter().skip(skipped)) {
            let wide = entry_width(&entry.0);
            if wide > left {
                lines.push(Vec::new());
                left = width;
            }
            left -= wide;
            lines.last_mut().expect("there is one from the start").push(entry);
        }
        lines
    }

    /// In pixels, for this width.
    fn height(&self, width: i32) -> i32 {
        let legend = LINE * length(self.legend(width - 2 * MARGIN).len());
        let bars = match self {
            Chart::Shares(_, rows) => ROW * length(rows.len()),
            Chart::Course(..) => COURSE + MARGIN,
        };
        MARGIN + legend + bars + AXIS
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<'_, B>, width: i32) -> Drawn<B> {
        let mut y = MARGIN;
        for line in self.legend(width - 2 * MARGIN) {
            let mut x = MARGIN;
            for (name, colour) in line {
                area.draw(&Rectangle::new([(x, y + 3), (x + 12, y + 15)], colour.filled()))?;
                text(area, &name, (x + 17, y + 9), SMALL, INK, HPos::Left)?;
                x += entry_width(&name);
            }
            y += LINE;
        }
        match self {
            Chart::Shares(label_set, rows) => {
                for row in *rows {
                    shares(area, label_set, row, y, width)?;
                    y += ROW;
                }
                axis(area, "share of the counted faces (thin bar: of the frames)", y, width)
            }
            Chart::Course(label_set, lecture) => course(area, label_set, lecture, y, width),
        }
    }
}

/// A chart of this width.
pub(super) struct Sized<'a>(pub(super) &'a Chart<'a>, pub(super) i32);

impl Figure for Sized<'_> {
    fn size(&self) -> (i32, i32) {
        (self.1, self.0.height(self.1))
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<'_, B>) -> Drawn<B> {
        self.0.draw(area, self.1)
    }
}

/// Charts with titles, one below the other.
pub(super) struct Panels<'a>(pub(super) &'a [(String, Chart<'a>)]);

impl Figure for Panels<'_> {
    fn size(&self) -> (i32, i32) {
        (WIDTH, self.0.iter().map(|(_, chart)| TITLE + chart.height(WIDTH)).sum())
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<'_, B>) -> Drawn<B> {
        let mut y = 0;
        for (title, chart) in self.0 {
            text(area, title, (MARGIN, y + MARGIN + LINE / 2), TEXT, INK, HPos::Left)?;
            y += TITLE;
            let height = chart.height(WIDTH);
            chart.draw(&area.clone().shrink((0, y), (WIDTH, height)), WIDTH)?;
            y += height;
        }
        Ok(())
    }
}

/// One row: a name with its number of faces, a bar of kinds, a thin bar of frames.
fn shares<B: DrawingBackend>(
    area: &Area<'_, B>,
    label_set: &LabelSet,
    Row { name, total }: &Row,
    y: i32,
    width: i32,
) -> Drawn<B> {
    let counts = label_set.counts(&total.kinds);
    let faces: f64 = counts.iter().sum();
    let number = format!("n = {}", total.faces());
    let room = width - 2 * MARGIN - letters(&number, SMALL) - 10;
    text(area, &fitting(name, room, TEXT), (MARGIN, y + LINE / 2), TEXT, INK, HPos::Left)?;
    text(area, &number, (width - MARGIN, y + LINE / 2), SMALL, INK, HPos::Right)?;
    let bar = y + LINE;
    let mut parts = Vec::new();
    for (kind, count) in label_set.kinds.iter().zip(&counts) {
        parts.push((count / faces.max(1.0), kind.colour));
    }
    stack(area, &parts, bar, BAR, width, true)?;
    if faces < 1.0 {
        text(area, "no face was counted", (MARGIN + 4, bar + BAR / 2), SMALL, INK, HPos::Left)?;
    }
    let seen = [total.faces(), total.uncertain, total.no_face].map(to_f64);
    let all: f64 = seen.iter().sum();
    let parts: Vec<_> = seen.iter().zip(FRAMES).map(|(n, (_, colour))| (n / all.max(1.0), colour)).collect();
    stack(area, &parts, bar + BAR + 2, FRAME_BAR, width, false)
}

/// A bar of parts from left to right.
fn stack<B: DrawingBackend>(
    area: &Area<'_, B>,
    parts: &[(f64, RGBColor)],
    y: i32,
    height: i32,
    width: i32,
    labelled: bool,
) -> Drawn<B> {
    let full = f64::from(width - 2 * MARGIN);
    let mut from = 0.0;
    for (share, colour) in parts.iter().filter(|(share, _)| *share > 0.0) {
        let (left, right) = (MARGIN + pixels(from * full), MARGIN + pixels((from + share) * full));
        // A pixel between two parts, where there is one.
        let end = (right - 1).max(left);
        area.draw(&Rectangle::new([(left, y), (end, y + height)], colour.filled()))?;
        let label = format!("{:.0} %", 100.0 * share);
        if labelled && right - left > letters(&label, SMALL) + 6 {
            let ink = if brightness(*colour) > 0.45 { BLACK } else { WHITE };
            text(area, &label, ((left + right) / 2, y + height / 2), SMALL, ink, HPos::Center)?;
        }
        from += share;
    }
    Ok(())
}

/// The minutes of a lecture as columns of 100 % of the frames that were due.
fn course<B: DrawingBackend>(
    area: &Area<'_, B>,
    label_set: &LabelSet,
    lecture: &Lecture,
    y: i32,
    width: i32,
) -> Drawn<B> {
    let left = MARGIN + letters("100 %", SMALL) + 6;
    let full = f64::from(width - MARGIN - left);
    for percent in [0, 50, 100] {
        let at = y + MARGIN + COURSE - COURSE * percent / 100;
        area.draw(&PathElement::new([(left - 4, at), (left, at)], INK))?;
        text(area, &format!("{percent} %"), (left - 6, at), SMALL, INK, HPos::Right)?;
    }
    let seconds = to_f64(lecture.total().seconds.max(1));
    let mut from = 0.0;
    // A column is at least a pixel wide, however many minutes there are.
    let mut column = Minute::default();
    for (number, minute) in lecture.minutes.iter().enumerate() {
        column.add(minute);
        let to = from + to_f64(column.seconds);
        if pixels(to / seconds * full) <= pixels(from / seconds * full) && number + 1 < lecture.minutes.len()
        {
            continue;
        }
        let minute = std::mem::take(&mut column);
        let [x, end] = [from, to].map(|at| left + pixels(at / seconds * full));
        from = to;
        let mut parts: Vec<(f64, RGBColor)> = label_set
            .counts(&minute.kinds)
            .into_iter()
            .zip(label_set.kinds.iter().map(|k| k.colour))
            .collect();
        parts.push((to_f64(minute.uncertain), FRAMES[1].1));
        parts.push((to_f64(minute.no_face), FRAMES[2].1));
        let seen: f64 = parts.iter().map(|(count, _)| count).sum();
        let due = to_f64(minute.expected).max(seen).max(1.0);
        let mut bottom = 0.0;
        for (count, colour) in parts.into_iter().filter(|(count, _)| *count > 0.0) {
            let [low, high] = [bottom, bottom + count]
                .map(|count| y + MARGIN + COURSE - pixels(count / due * f64::from(COURSE)));
            bottom += count;
            area.draw(&Rectangle::new([(x, high), (end.max(x + 1), low)], colour.filled()))?;
        }
    }
    let base = y + MARGIN + COURSE;
    area.draw(&PathElement::new([(left, base), (width - MARGIN, base)], INK))?;
    let minutes = seconds / 60.0;
    let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0];
    let step = steps.into_iter().find(|step| minutes / step * 42.0 <= full).unwrap_or(240.0);
    let mut at = 0.0;
    while at <= minutes {
        let x = left + pixels(at / minutes * full);
        area.draw(&PathElement::new([(x, base), (x, base + 4)], INK))?;
        text(area, &format!("{at:.0}"), (x, base + 13), SMALL, INK, HPos::Center)?;
        at += step;
    }
    text(
        area,
        "minutes; share of the frames that were due",
        (width - MARGIN, base + 30),
        SMALL,
        INK,
        HPos::Right,
    )
}

/// 0 to 100 % below the bars.
fn axis<B: DrawingBackend>(area: &Area<'_, B>, label: &str, y: i32, width: i32) -> Drawn<B> {
    area.draw(&PathElement::new([(MARGIN, y), (width - MARGIN, y)], INK))?;
    for (percent, side) in
        [(0, HPos::Left), (25, HPos::Center), (50, HPos::Center), (75, HPos::Center), (100, HPos::Right)]
    {
        let x = MARGIN + (width - 2 * MARGIN) * percent / 100;
        area.draw(&PathElement::new([(x, y), (x, y + 4)], INK))?;
        text(area, &format!("{percent} %"), (x, y + 13), SMALL, INK, side)?;
    }
    text(area, label, (width - MARGIN, y + 32), SMALL, INK, HPos::Right)
}

fn entry_width(name: &str) -> i32 {
    letters(name, SMALL) + 32
}
