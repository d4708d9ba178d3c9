//! Fonts for PNG: an SVG uses the viewer's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ab_glyph::{Font, FontRef};
use plotters::style::{FontStyle, register_font};

use crate::help::Problem;
use crate::logging::printable::print_error;

/// The family of text that the first font shows.
const FAMILY: &str = "sans-serif";

/// Font files, in the order in which they are tried where fontconfig is not installed.
const FILES: [&str; 6] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation2/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
];

/// Scripts whose letters change with their neighbours or run from right to left; a PNG draws letter by letter.
const SHAPED: [std::ops::RangeInclusive<char>; 3] =
    ['\u{590}'..='\u{8ff}', '\u{900}'..='\u{dff}', '\u{1000}'..='\u{109f}'];

/// The fonts of a figure, with the names by which they are drawn.
#[derive(Default)]
pub(super) struct Fonts(Vec<(String, FontRef<'static>)>);

impl Fonts {
    /// Fonts that show all of a text together, and says which characters none of them has.
    ///
    /// # Errors
    /// When there is no font at all.
    pub(super) fn for_text(text: &str) -> anyhow::Result<Self> {
        let mut fonts = Self::default();
        let first = FILES.iter().map(PathBuf::from).chain(matched("sans-serif")).find_map(|it| read(&it));
        fonts.add(first.ok_or_else(|| {
            let problem = Problem::new("the chart cannot be drawn: a PNG needs the font DejaVu Sans");
            problem.with_help("install fonts-dejavu-core, or write an SVG")
        })?);
        let others: BTreeSet<char> = text.chars().filter(|c| !c.is_ascii() && !c.is_control()).collect();
        let mut missing = String::new();
        for c in others.iter().copied() {
            if fonts.0.iter().any(|(_, font)| shows(font, c)) {
                continue;
            }
            let pattern = format!("sans-serif:charset={:x}", u32::from(c));
            match matched(&pattern).and_then(|path| read(&path)).filter(|bytes| has(bytes, c)) {
                Some(bytes) => fonts.add(bytes),
                None => missing.push(c),
            }
        }
        if !missing.is_empty() {
            print_error(format_args!(
                "the PNG has boxes instead of {missing}: no font shows them; install one, such as fonts-noto-cjk, or write an SVG"
            ));
        }
        if others.iter().any(|c| SHAPED.iter().any(|script| script.contains(c))) {
            print_error(
                "a PNG draws letters one by one from left to right, which is wrong for a script in the labels; write an SVG",
            );
        }
        Ok(fonts)
    }

    fn add(&mut self, bytes: &'static [u8]) {
        let name = if self.0.is_empty() { FAMILY.to_owned() } else { format!("{FAMILY} {}", self.0.len()) };
        if let (Ok(font), Ok(())) =
            (FontRef::try_from_slice(bytes), register_font(&name, FontStyle::Normal, bytes))
        {
            self.0.push((name, font));
        }
    }

    /// A text in pieces that one font shows each, with the names of the fonts.
    pub(super) fn runs(&self, text: &str) -> Vec<(&str, String)> {
        let mut runs: Vec<(&str, String)> = Vec::new();
        for c in text.chars() {
            let font = self.0.iter().find(|(_, font)| shows(font, c)).or(self.0.first());
            let name = font.map_or(FAMILY, |(name, _)| name);
            match runs.last_mut() {
                Some((last, run)) if *last == name => run.push(c),
                _ => runs.push((name, c.to_string())),
            }
        }
        runs
    }
}

fn shows(font: &FontRef<'_>, c: char) -> bool {
    font.glyph_id(c).0 != 0
}

fn has(bytes: &[u8], c: char) -> bool {
    FontRef::try_from_slice(bytes).is_ok_and(|font| shows(&font, c))
}

/// Fonts of all scripts have some 20 MB.
const MAX_BYTES: usize = 64 << 20;

/// The content of a font; it stays in memory until the program ends, for plotters keeps a reference.
fn read(path: &Path) -> Option<&'static [u8]> {
    let bytes = crate::file::read(path, MAX_BYTES).ok()?;
    FontRef::try_from_slice(&bytes).ok()?;
    Some(Box::leak(bytes.into_boxed_slice()))
}

/// What fontconfig finds for a pattern, if it is installed.
#[expect(clippy::disallowed_methods, reason = "fontconfig's library would be one more in C")]
fn matched(pattern: &str) -> Option<PathBuf> {
    let output = std::process::Command::new("fc-match").args(["--format=%{file}", pattern]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_no_font_shows_does_not_fail() {
        // A private character, which no font should have.
        let fonts = Fonts::for_text("Müller \u{10fffd}").unwrap();
        assert_eq!(fonts.runs("Müller \u{10fffd}"), [(FAMILY, "Müller \u{10fffd}".to_owned())]);
    }
}
