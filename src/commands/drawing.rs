//! Figures as SVG and PNG: letters, fonts, files.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::atomic_file;
use super::fonts::Fonts;
use crate::cli::ChartStyle;
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
/// Resolution of a PNG whose width is given in millimetres, and of what is measured in pixels.
const PRINT_DPI: f64 = 300.0;
const SCREEN_DPI: f64 = 96.0;
const MM_PER_INCH: f64 = 25.4;

/// How a figure is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    /// In millimetres: none for a screen.
    pub(super) width: Option<u16>,
    pub(super) style: ChartStyle,
}

impl Format {
    pub(super) const SCREEN: Self = Self { width: None, style: ChartStyle::Screen };

    /// In pixels of a screen, `otherwise` where none is given.
    pub(super) fn pixels(self, otherwise: i32) -> i32 {
        self.width.map_or(otherwise, |width| pixels(f64::from(width) / MM_PER_INCH * SCREEN_DPI))
    }

    fn canvas<'a, B: DrawingBackend>(
        self,
        area: &'a DrawingArea<B, Shift>,
        scale: f64,
        fonts: &'a Fonts,
    ) -> Canvas<'a, B> {
        let ink = if self.style == ChartStyle::Screen { INK } else { BLACK };
        Canvas { area, top: 0, scale, ink, in_grey: self.style == ChartStyle::Grey, fonts }
    }
}

/// What drawing on a backend returns.
pub(super) type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// Where is drawn, in pixels of a screen.
pub(super) struct Canvas<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    top: i32,
    /// Pixels of the area in one of a screen.
    scale: f64,
    /// Text and lines.
    ink: RGBColor,
    /// Whether colours are drawn as greys.
    in_grey: bool,
    fonts: &'a Fonts,
}

impl<B: DrawingBackend> Canvas<'_, B> {
    /// The same from `top` on.
    pub(super) fn below(&self, top: i32) -> Self {
        Self { top: self.top + top, ..*self }
    }

    fn at(&self, (x, y): (i32, i32)) -> (i32, i32) {
        let scaled = |value: i32| pixels(f64::from(value) * self.scale);
        (scaled(x), scaled(y + self.top))
    }

    pub(super) fn rect(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Drawn<B> {
        self.hatched(from, to, Fill::from(colour))
    }

    pub(super) fn hatched(&self, from: (i32, i32), to: (i32, i32), fill: Fill) -> Drawn<B> {
        let Fill { colour, hatch, faded } = fill;
        let level = u8::try_from(pixels(255.0 * brightness(colour))).unwrap_or(u8::MAX);
        let colour = if self.in_grey { RGBColor(level, level, level) } else { colour };
        let style = colour.mix(if faded { FADED } else { 1.0 }).filled();
        self.area.draw(&Rectangle::new([self.at(from), self.at(to)], style))?;
        hatch.lines(from, to).into_iter().try_for_each(|(from, to)| self.line(from, to))
    }

    pub(super) fn line(&self, from: (i32, i32), to: (i32, i32)) -> Drawn<B> {
        let width = u32::try_from(pixels(self.scale)).unwrap_or(1).max(1);
        self.area.draw(&PathElement::new([self.at(from), self.at(to)], self.ink.stroke_width(width)))
    }

    /// Text in the ink of the figure.
    pub(super) fn label(&self, label: &str, at: (i32, i32), size: i32, side: HPos) -> Drawn<B> {
        self.text(label, at, size, self.ink, side)
    }

    pub(super) fn text(&self, label: &str, at: (i32, i32), size: i32, ink: RGBColor, side: HPos) -> Drawn<B> {
        let label = fit_for_xml(label);
        let size = f64::from(size) * self.scale;
        let mut runs = self.fonts.runs(&label);
        let (mut x, y) = self.at(at);
        if let [(name, run)] = &mut runs[..] {
            let style = (*name, size).into_font().color(&ink).pos(Pos::new(side, VPos::Center));
            return self.area.draw(&Text::new(std::mem::take(run), (x, y), style));
        }
        let width = |(name, run): &(&str, String)| {
            let size = (*name, size).into_font().box_size(run);
            size.map_or(0, |(width, _)| i32::try_from(width).unwrap_or_default())
        };
        let total: i32 = runs.iter().map(width).sum();
        x -= match side {
            HPos::Left => 0,
            HPos::Center => total / 2,
            HPos::Right => total,
        };
        for run in &runs {
            let style = (run.0, size).into_font().color(&ink).pos(Pos::new(HPos::Left, VPos::Center));
            self.area.draw(&Text::new(run.1.clone(), (x, y), style))?;
            x += width(run);
        }
        Ok(())
    }
}

/// The lines in a rectangle, by which kinds are told apart without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hatch {
    None,
    Rising,
    Falling,
    Horizontal,
    Vertical,
    Grid,
    Lattice,
}

/// What a rectangle is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill {
    pub(super) colour: RGBColor,
    pub(super) hatch: Hatch,
    /// Whether the ground shines through.
    pub(super) faded: bool,
}

impl From<RGBColor> for Fill {
    fn from(colour: RGBColor) -> Self {
        Self { colour, hatch: Hatch::None, faded: false }
    }
}

/// The opacity of what is faded.
const FADED: f64 = 0.35;

/// Between the lines of a hatch.
const STEP: usize = 5;

impl Hatch {
    fn lines(self, (left, top): (i32, i32), (right, bottom): (i32, i32)) -> Vec<((i32, i32), (i32, i32))> {
        let horizontal = || (top + 2..bottom).step_by(STEP).map(|y| ((left, y), (right, y)));
        let vertical = || (left + 2..right).step_by(STEP).map(|x| ((x, top), (x, bottom)));
        // Where x + y, or x - y, is constant.
        let rising = || {
            let ends = |c: i32| ((left.max(c - bottom), right.min(c - top)), c);
            (left + top..right + bottom).step_by(STEP).map(ends).map(|((a, b), c)| ((a, c - a), (b, c - b)))
        };
        let falling = || {
            let ends = |c: i32| ((left.max(c + top), right.min(c + bottom)), c);
            (left - bottom..right - top).step_by(STEP).map(ends).map(|((a, b), c)| ((a, a - c), (b, b - c)))
        };
        match self {
            Self::None => Vec::new(),
            Self::Rising => rising().collect(),
            Self::Falling => falling().collect(),
            Self::Horizontal => horizontal().collect(),
            Self::Vertical => vertical().collect(),
            Self::Grid => horizontal().chain(vertical()).collect(),
            Self::Lattice => rising().chain(falling()).collect(),
        }
    }
}

/// What can be drawn.
pub(super) trait Figure {
    /// Width and height in pixels of a screen.
    fn size(&self) -> (i32, i32);

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn<B>;
}

/// A figure as SVG, with this name for screen readers.
pub(super) fn svg(figure: &impl Figure, name: &str) -> anyhow::Result<String> {
    let svg = bare_svg(figure, Format::SCREEN, false)?;
    let escaped = fit_for_xml(name).replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    Ok(svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{escaped}\" "), 1))
}

fn bare_svg(figure: &impl Figure, format: Format, on_white: bool) -> anyhow::Result<String> {
    let (width, height) = figure.size();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (u32::try_from(width)?, u32::try_from(height)?))
            .into_drawing_area();
        if on_white {
            area.fill(&WHITE).map_err(drawing)?;
        }
        let fonts = Fonts::default();
        let canvas = format.canvas(&area, 1.0, &fonts);
        figure.draw(&canvas).map_err(drawing)?;
        area.present().map_err(drawing)?;
    }
    Ok(svg)
}

/// Writes a figure on white as SVG or, where the file's name ends so, as PNG.
pub(super) fn write(figure: &impl Figure, path: &Path, format: Format) -> anyhow::Result<()> {
    let (width, height) = figure.size();
    let mut svg = bare_svg(figure, format, true)?;
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        if let Some(mm) = format.width {
            // What a typesetting program takes for its size; the pixels stay in `viewBox`.
            let high = f64::from(mm) * f64::from(height) / f64::from(width);
            let pixels = format!("width=\"{width}\" height=\"{height}\"");
            svg = svg.replacen(&pixels, &format!("width=\"{mm}mm\" height=\"{high:.2}mm\""), 1);
        }
        return atomic_file::write(path, svg.as_bytes());
    }
    let scale = format.width.map_or(1.0, |_| PRINT_DPI / SCREEN_DPI);
    let [width, height] = [width, height].map(|side| pixels(f64::from(side) * scale));
    if height > MAX_PNG_HEIGHT {
        let problem = format!("a PNG of it would be {height} pixels high, and {MAX_PNG_HEIGHT} are the most");
        return Err(Problem::new(problem).with_help("write an SVG, or draw fewer recordings").into());
    }
    let fonts = Fonts::for_text(&svg)?;
    let size = (u32::try_from(width)?, u32::try_from(height)?);
    let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        let canvas = format.canvas(&area, scale, &fonts);
        figure.draw(&canvas).map_err(drawing)?;
        area.present().map_err(drawing)?;
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    if format.width.is_some() {
        // 300 pixels an inch.
        let (xppu, yppu, unit) = (11811, 11811, png::Unit::Meter);
        encoder.set_pixel_dims(Some(png::PixelDimensions { xppu, yppu, unit }));
    }
    encoder.write_header()?.write_image_data(&pixels)?;
    atomic_file::write(path, &file)
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
