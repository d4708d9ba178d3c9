//! Figures as SVG and PNG: letters, fonts, files.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::atomic_file;
use crate::help::Problem;

/// Text and lines; the page lightens them on a dark screen.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Higher ones would take hundreds of megabytes.
const MAX_PNG_HEIGHT: i32 = 40_000;

/// Sizes of letters in pixels.
pub(super) const TEXT: i32 = 15;
pub(super) const SMALL: i32 = 13;
/// The width of a letter in parts of its size, on average.
const LETTER: f64 = 0.5;
pub(super) const MARGIN: i32 = 8;
pub(super) const LINE: i32 = 22;
/// Where a chart is drawn.
pub(super) type Area<'a, B> = DrawingArea<B, Shift>;

/// What drawing on a backend returns.
pub(super) type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// What can be drawn.
pub(super) trait Figure {
    /// Width and height in pixels.
    fn size(&self) -> (i32, i32);

    fn draw<B: DrawingBackend>(&self, area: &Area<'_, B>) -> Drawn<B>;
}

/// A figure as SVG, with this name for screen readers.
pub(super) fn svg(figure: &impl Figure, name: &str) -> anyhow::Result<String> {
    let (width, height) = figure.size();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (u32::try_from(width)?, u32::try_from(height)?))
            .into_drawing_area();
        figure.draw(&area).map_err(drawing)?;
        area.present().map_err(drawing)?;
    }
    let escaped = fit_for_xml(name).replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    Ok(svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{escaped}\" "), 1))
}

/// Writes a figure on white as SVG or, where the file's name ends so, as PNG.
pub(super) fn write(figure: &impl Figure, path: &Path) -> anyhow::Result<()> {
    let (width, height) = figure.size();
    let size = (u32::try_from(width)?, u32::try_from(height)?);
    let png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if !png {
        let mut svg = String::new();
        on_white(figure, &SVGBackend::with_string(&mut svg, size).into_drawing_area())?;
        return atomic_file::write(path, svg.as_bytes());
    }
    if height > MAX_PNG_HEIGHT {
        let problem = format!("a PNG of it would be {height} pixels high, and {MAX_PNG_HEIGHT} are the most");
        return Err(Problem::new(problem).with_help("write an SVG, or draw fewer recordings").into());
    }
    font()?;
    let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
    on_white(figure, &BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area())?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    atomic_file::write(path, &file)
}

fn on_white<B: DrawingBackend>(figure: &impl Figure, area: &Area<'_, B>) -> anyhow::Result<()> {
    area.fill(&WHITE).and_then(|()| figure.draw(area)).and_then(|()| area.present()).map_err(drawing)
}

pub(super) fn text<B: DrawingBackend>(
    area: &Area<'_, B>,
    label: &str,
    at: (i32, i32),
    size: i32,
    ink: RGBColor,
    side: HPos,
) -> Drawn<B> {
    let style = ("sans-serif", size).into_font().color(&ink).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(fit_for_xml(label), at, style))
}

/// Without the characters that XML forbids, which a label may have.
pub(super) fn fit_for_xml(label: &str) -> String {
    label.replace(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'), "\u{fffd}")
}

/// The approximate width of a text in pixels.
pub(super) fn letters(label: &str, size: i32) -> i32 {
    pixels(f64::from(length(label.chars().count())) * f64::from(size) * LETTER)
}

/// As much of a name as there is room for.
pub(super) fn fitting(name: &str, room: i32, size: i32) -> String {
    if letters(name, size) <= room {
        return name.to_owned();
    }
    let mut kept = name.chars().collect::<Vec<_>>();
    while !kept.is_empty() && letters(&kept.iter().collect::<String>(), size) + size > room {
        kept.pop();
    }
    kept.into_iter().chain(['…']).collect()
}

pub(super) fn brightness(RGBColor(red, green, blue): RGBColor) -> f64 {
    (0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue)) / 255.0
}

#[expect(clippy::cast_possible_truncation, reason = "a part of a picture's side")]
pub(super) fn pixels(value: f64) -> i32 {
    value.round() as i32
}

pub(super) fn length(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the chart cannot be drawn: {error}")
}

fn no_font(what: &str, help: &'static str) -> anyhow::Error {
    Problem::new(format!("the chart cannot be drawn: {what}")).with_help(help).into()
}

/// Font files, in the order in which they are tried.
const FONTS: [&str; 6] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation2/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
];

/// A PNG needs a font of its own; an SVG uses the viewer's.
fn font() -> anyhow::Result<()> {
    let bytes = FONTS.iter().find_map(|path| std::fs::read(path).ok());
    let bytes = bytes.ok_or_else(|| {
        no_font("a PNG needs the font DejaVu Sans", "install fonts-dejavu-core, or write an SVG")
    })?;
    plotters::style::register_font("sans-serif", FontStyle::Normal, Box::leak(bytes.into_boxed_slice()))
        .map_err(|_| no_font("its font is damaged", "install fonts-dejavu-core again, or write an SVG"))
}
