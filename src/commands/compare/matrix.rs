//! The confusion matrix as a figure: rows are what a coder named, columns what Lectern named.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::super::drawing::{Canvas, Drawn, Figure, LINE, MARGIN, SMALL, TEXT, length, letters, pixels};
use super::super::label_set::LabelSet;
use super::super::report::statistics::to_f64;

/// Side of a cell, and the room for the names of the rows.
const CELL: i32 = 46;
const NAMES: i32 = 118;
/// The full colour of a cell.
const FULL: RGBColor = RGBColor(0, 82, 138);

/// The matrix of one coder.
pub(super) struct Matrix<'a> {
    pub(super) title: String,
    pub(super) label_set: &'a LabelSet,
    pub(super) counts: &'a [Vec<usize>],
}

impl Matrix<'_> {
    fn side(&self) -> i32 {
        CELL * length(self.counts.len())
    }

    fn height(&self) -> i32 {
        // Title, names of the columns in two lines, the cells, what the axes are.
        2 * LINE + 2 * LINE + self.side() + LINE + MARGIN
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>, top: i32) -> Drawn<B> {
        let label = |name: &str, at, size, side| canvas.label(name, at, size, side);
        label(&self.title, (MARGIN, top + LINE / 2 + 4), TEXT, HPos::Left)?;
        label(
            "rows: coder; columns: Lectern; per cent of the row",
            (MARGIN, top + LINE + 12),
            SMALL,
            HPos::Left,
        )?;
        let cells = top + 4 * LINE;
        for (i, kind) in self.label_set.kinds.iter().enumerate() {
            let at = CELL * length(i);
            let middle = NAMES + at + CELL / 2;
            // Weak and strong stand below the emotion.
            for (line, word) in kind.name.split(' ').enumerate() {
                label(word, (middle, cells - 26 + 15 * length(line)), 11, HPos::Center)?;
            }
            label(&kind.name, (NAMES - 6, cells + at + CELL / 2), SMALL, HPos::Right)?;
            let row: usize = self.counts[i].iter().sum();
            for (j, count) in self.counts[i].iter().enumerate() {
                let (x, y) = (NAMES + CELL * length(j), cells + at);
                let share = to_f64(*count) / to_f64(row.max(1));
                canvas.rect((x, y), (x + CELL - 2, y + CELL - 2), shade(share))?;
                if *count > 0 {
                    let ink = if share > 0.5 { WHITE } else { BLACK };
                    let percent = format!("{:.0}", 100.0 * share);
                    canvas.text(&percent, (x + CELL / 2, y + 17), SMALL, ink, HPos::Center)?;
                    canvas.text(&count.to_string(), (x + CELL / 2, y + 33), 10, ink, HPos::Center)?;
                }
            }
        }
        Ok(())
    }
}

/// From nearly white to the full colour.
fn shade(share: f64) -> RGBColor {
    let RGBColor(red, green, blue) = FULL;
    let between = |full: u8| {
        let value = 245.0 + (f64::from(full) - 245.0) * share;
        u8::try_from(pixels(value)).unwrap_or(u8::MAX)
    };
    RGBColor(between(red), between(green), between(blue))
}

/// Matrices, one below the other.
pub(super) struct Matrices<'a>(pub(super) Vec<Matrix<'a>>);

impl Figure for Matrices<'_> {
    fn size(&self) -> (i32, i32) {
        let wide = |matrix: &Matrix<'_>| (NAMES + matrix.side()).max(letters(&matrix.title, TEXT)) + MARGIN;
        let width = self.0.iter().map(wide).max().unwrap_or(NAMES);
        (width, self.0.iter().map(Matrix::height).sum::<i32>().max(1))
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn<B> {
        let mut top = 0;
        for matrix in &self.0 {
            matrix.draw(canvas, top)?;
            top += matrix.height();
        }
        Ok(())
    }
}
