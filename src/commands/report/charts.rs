//! Charts as in the paper's figures 9 to 11: the shares of kinds as bars of 100 %, and the course of a lecture.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::super::drawing::{
    Canvas, Drawn, Figure, Fill, Format, Hatch, LINE, MARGIN, SMALL, TEXT, brightness, fitting, length,
    letters, pixels,
};
use super::super::label_set::{Kind, LabelSet, to_f64};
use super::groups::Group;
use super::table::{Lecture, Minute};

/// The categories of frames beside the kinds.
const FRAMES: [(&str, RGBColor); 3] = [
    ("counted face", RGBColor(96, 104, 116)),
    ("uncertain", RGBColor(150, 156, 166)),
    ("no face", RGBColor(232, 235, 239)),
];

/// The width of charts that are written by themselves, and the height of their titles.
const WIDTH: i32 = 900;
const TITLE: i32 = LINE + MARGIN;

/// A row of the chart of shares: its name, its bar, the intervals of its parts, the bar of its frames.
const BAR: i32 = 24;
const INTERVALS: i32 = 11;
const FRAME_BAR: i32 = 7;
const ROW: i32 = LINE + BAR + INTERVALS + FRAME_BAR + 12;
/// Below the bars: the axis, and what it means.
const AXIS: i32 = 44;
const COURSE: i32 = 150;

/// Counted faces, two minutes of them, below which a bar is faded: single frames make its shares.
pub(super) const FEW: u64 = 240;

/// A chart: what it shows, and its size in pixels.
pub(super) enum Chart<'a> {
    /// The shares of some lectures or groups of them.
    Shares(&'a LabelSet, &'a [Group<'a>]),
    /// A lecture's minutes.
    Course(&'a LabelSet, &'a Lecture),
}

impl Chart<'_> {
    fn legend(&self, width: i32) -> Vec<Vec<(String, Fill)>> {
        let (Chart::Shares(label_set, _) | Chart::Course(label_set, _)) = self;
        let kinds = label_set.kinds.iter().map(|kind| (kind.name.clone(), fill(kind)));
        let frames = FRAMES.map(|(name, colour)| (name.to_owned(), colour.into()));
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
            Chart::Shares(_, groups) => groups.iter().map(row_height).sum(),
            Chart::Course(..) => COURSE + MARGIN,
        };
        MARGIN + legend + bars + AXIS
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>, width: i32) -> Drawn<B> {
        let mut y = MARGIN;
        for line in self.legend(width - 2 * MARGIN) {
            let mut x = MARGIN;
            for (name, fill) in line {
                canvas.hatched((x, y + 3), (x + 12, y + 15), fill)?;
                canvas.label(&name, (x + 17, y + 9), SMALL, HPos::Left)?;
                x += entry_width(&name);
            }
            y += LINE;
        }
        match self {
            Chart::Shares(label_set, groups) => {
                for group in *groups {
                    shares(canvas, label_set, group, y, width)?;
                    y += row_height(group);
                }
                axis(canvas, "share of the counted faces (thin bar: of the frames)", y, width)
            }
            Chart::Course(label_set, lecture) => course(canvas, label_set, lecture, y, width),
        }
    }
}

/// A chart of this width.
pub(super) struct Sized<'a>(pub(super) &'a Chart<'a>, pub(super) i32);

impl Figure for Sized<'_> {
    fn size(&self) -> (i32, i32) {
        (self.1, self.0.height(self.1))
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn<B> {
        self.0.draw(canvas, self.1)
    }
}

/// Charts with letters and titles, one below the other.
pub(super) struct Panels<'a> {
    pub(super) charts: &'a [(&'a str, Chart<'a>)],
    pub(super) format: Format,
}

impl Panels<'_> {
    fn width(&self) -> i32 {
        self.format.pixels(WIDTH)
    }
}

impl Figure for Panels<'_> {
    fn size(&self) -> (i32, i32) {
        let width = self.width();
        (width, self.charts.iter().map(|(_, chart)| TITLE + chart.height(width)).sum())
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn<B> {
        let (width, mut y) = (self.width(), 0);
        for ((title, chart), letter) in self.charts.iter().zip('a'..) {
            let title = format!("({letter}) {title}");
            canvas.label(&title, (MARGIN, y + MARGIN + LINE / 2), TEXT, HPos::Left)?;
            y += TITLE;
            chart.draw(&canvas.below(y), width)?;
            y += chart.height(width);
        }
        Ok(())
    }
}

fn row_height(group: &Group<'_>) -> i32 {
    let heading = group.heading.as_ref().map_or(0, |_| MARGIN + TITLE);
    heading + ROW
}

/// One row: a name with its number of faces, a bar of kinds, the intervals of its parts, a thin bar of frames.
fn shares<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    label_set: &LabelSet,
    group: &Group<'_>,
    mut y: i32,
    width: i32,
) -> Drawn<B> {
    if let Some(heading) = &group.heading {
        y += MARGIN;
        let room = width - 2 * MARGIN;
        canvas.label(&fitting(heading, room, TEXT), (MARGIN, y + LINE / 2), TEXT, HPos::Left)?;
        canvas.line((MARGIN, y + LINE), (width - MARGIN, y + LINE))?;
        y += TITLE;
    }
    let total = &group.total;
    let faces = total.faces();
    let few = faces < FEW;
    let number = if few { format!("n = {faces}, few") } else { format!("n = {faces}") };
    let room = width - 2 * MARGIN - letters(&number, SMALL) - 10;
    canvas.label(&fitting(&group.title, room, TEXT), (MARGIN, y + LINE / 2), TEXT, HPos::Left)?;
    canvas.label(&number, (width - MARGIN, y + LINE / 2), SMALL, HPos::Right)?;
    let bar = y + LINE;
    let parts: Vec<Part> = label_set
        .kinds
        .iter()
        .zip(&group.shares(label_set).of)
        .map(|(kind, share)| Part {
            share: share.share,
            fill: Fill { faded: few, ..fill(kind) },
            interval: share.interval,
        })
        .collect();
    stack(canvas, &parts, bar, BAR, width, true)?;
    if faces < 1 {
        canvas.label("no face was counted", (MARGIN + 4, bar + BAR / 2), SMALL, HPos::Left)?;
    }
    let seen = [faces, total.uncertain, total.no_face].map(to_f64);
    let all: f64 = seen.iter().sum();
    let part = |(count, (_, colour)): (&f64, (&str, RGBColor))| Part {
        share: count / all.max(1.0),
        fill: colour.into(),
        interval: None,
    };
    let parts: Vec<Part> = seen.iter().zip(FRAMES).map(part).collect();
    stack(canvas, &parts, bar + BAR + INTERVALS + 2, FRAME_BAR, width, false)
}

/// A part of a bar.
struct Part {
    share: f64,
    fill: Fill,
    interval: Option<(f64, f64)>,
}

/// A bar of parts from left to right.
fn stack<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    parts: &[Part],
    y: i32,
    height: i32,
    width: i32,
    labelled: bool,
) -> Drawn<B> {
    let full = f64::from(width - 2 * MARGIN);
    let mut from = 0.0;
    let mut lane = 0;
    for Part { share, fill, interval } in parts.iter().filter(|part| part.share > 0.0) {
        let (left, right) = (MARGIN + pixels(from * full), MARGIN + pixels((from + share) * full));
        // A pixel between two parts, where there is one.
        let end = (right - 1).max(left);
        canvas.hatched((left, y), (end, y + height), *fill)?;
        let label = format!("{:.0} %", 100.0 * share);
        let room = letters(&label, SMALL) + 6;
        if labelled && right - left > room {
            let (x, middle) = ((left + right) / 2, y + height / 2);
            if fill.hatch != Hatch::None {
                canvas.rect((x - room / 2, middle - 8), (x + room / 2, middle + 8), fill.colour)?;
            }
            match fill.faded {
                true => canvas.label(&label, (x, middle), SMALL, HPos::Center)?,
                false if brightness(fill.colour) > 0.45 => {
                    canvas.text(&label, (x, middle), SMALL, BLACK, HPos::Center)?;
                }
                false => canvas.text(&label, (x, middle), SMALL, WHITE, HPos::Center)?,
            }
        }
        // Where the part would end at the limits of its own share; neighbours in two lanes.
        if let Some((low, high)) = interval.filter(|_| right - left >= 8) {
            let at = y + height + 4 + 5 * lane;
            let [low, high] = [low, high].map(|limit| MARGIN + pixels(((from + limit) * full).min(full)));
            canvas.line((low, at), (high, at))?;
            [low, high].into_iter().try_for_each(|x| canvas.line((x, at - 2), (x, at + 2)))?;
            lane = 1 - lane;
        }
        from += share;
    }
    Ok(())
}

fn fill(kind: &Kind) -> Fill {
    Fill { colour: kind.colour, hatch: kind.hatch, faded: false }
}

/// The minutes of a lecture as columns of 100 % of the frames that were due.
fn course<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    label_set: &LabelSet,
    lecture: &Lecture,
    y: i32,
    width: i32,
) -> Drawn<B> {
    let left = MARGIN + letters("100 %", SMALL) + 6;
    let full = f64::from(width - MARGIN - left);
    for percent in [0, 50, 100] {
        let at = y + MARGIN + COURSE - COURSE * percent / 100;
        canvas.line((left - 4, at), (left, at))?;
        canvas.label(&format!("{percent} %"), (left - 6, at), SMALL, HPos::Right)?;
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
            canvas.rect((x, high), (end.max(x + 1), low), colour)?;
        }
    }
    let base = y + MARGIN + COURSE;
    canvas.line((left, base), (width - MARGIN, base))?;
    let minutes = seconds / 60.0;
    let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0];
    let step = steps.into_iter().find(|step| minutes / step * 42.0 <= full).unwrap_or(240.0);
    let mut at = 0.0;
    while at <= minutes {
        let x = left + pixels(at / minutes * full);
        canvas.line((x, base), (x, base + 4))?;
        canvas.label(&format!("{at:.0}"), (x, base + 13), SMALL, HPos::Center)?;
        at += step;
    }
    let what = "minutes; share of the frames that were due";
    canvas.label(what, (width - MARGIN, base + 30), SMALL, HPos::Right)
}

/// 0 to 100 % below the bars.
fn axis<B: DrawingBackend>(canvas: &Canvas<'_, B>, label: &str, y: i32, width: i32) -> Drawn<B> {
    canvas.line((MARGIN, y), (width - MARGIN, y))?;
    for (percent, side) in
        [(0, HPos::Left), (25, HPos::Center), (50, HPos::Center), (75, HPos::Center), (100, HPos::Right)]
    {
        let x = MARGIN + (width - 2 * MARGIN) * percent / 100;
        canvas.line((x, y), (x, y + 4))?;
        canvas.label(&format!("{percent} %"), (x, y + 13), SMALL, side)?;
    }
    canvas.label(label, (width - MARGIN, y + 32), SMALL, HPos::Right)
}

fn entry_width(name: &str) -> i32 {
    letters(name, SMALL) + 32
}
