//! Escapes text from outside for the terminal and the journal: brokers, files, names and programs choose text that we
//! print, and a line break or an escape sequence in it would forge lines.
//!
//! All output passes the functions of this file or the logger: `clippy.toml` allows standard output, standard error and the text of
//! a progress bar nowhere else.
#![expect(clippy::disallowed_methods, reason = "here it is escaped")]

use std::fmt::{Display, Formatter, Result, Write};
use std::io::{self, IsTerminal, Write as _};

use indicatif::ProgressBar;

/// Prints its content, and escapes each character that controls a terminal, breaks the line or changes its direction:
/// `\n`, `\u{1b}`, `\u{202e}`.
pub struct Printable<T>(pub T);

/// Prints lines on standard output.
///
/// # Errors
/// When it cannot be written.
pub fn print_lines(lines: impl IntoIterator<Item = impl Display>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", Printable(line))?;
    }
    out.flush()
}

/// Prints JSON on standard output, one value a line. The same characters are escaped as in [`Printable`], in JSON's way
/// (`\u001b`), so that it stays the same JSON.
///
/// # Errors
/// When it cannot be written.
pub fn print_json(json: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", escape_json(json.trim_end()))?;
    out.flush()
}

/// Prints lines on a terminal over the last `above` ones.
///
/// # Errors
/// When it cannot be written.
pub fn print_over(above: usize, lines: impl IntoIterator<Item = impl Display>) -> io::Result<()> {
    if above > 0 {
        // Up to the first of them, and clear from there (ECMA-48: CPL, ED).
        write!(io::stdout(), "\x1b[{above}F\x1b[J")?;
    }
    print_lines(lines)
}

/// Whether standard output is a terminal.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Sets the text of a progress bar.
pub fn set_message(bar: &ProgressBar, text: impl Display) {
    bar.set_message(Printable(text).to_string());
}

/// Prints a message on standard error, prefixed with the program's name.
pub fn print_error(message: impl Display) {
    // Standard error may be closed or full; the work continues without it.
    let _ = writeln!(io::stderr(), "lectern: {}", Printable(message));
}

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Escapes what is written through it.
struct Escaping<'a, 'b>(&'a mut Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> Result {
        let mut rest = text;
        while let Some((at, bad)) = rest.char_indices().find(|(_, c)| is_control_or_bidi(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", bad.escape_default())?;
            rest = &rest[at + bad.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// JSON without the characters that [`Printable`] escapes; they stand in its strings alone, beside the end of a line.
fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_control_or_bidi(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters (C0, DEL, C1), the separators of lines and paragraphs, and what changes the direction of text.
fn is_control_or_bidi(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_can_break_its_line_or_control_a_terminal() {
        let outside =
            "broker\nlectern: ok\r\x1b[2J\x7f\u{9b}\u{85}\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}\0";
        let printed = Printable(outside).to_string();
        assert!(printed.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{printed}");
        assert!(printed.starts_with("broker\\nlectern: ok\\r\\u{1b}[2J\\u{7f}\\u{9b}"), "{printed}");
        let harmless = "/dev/v4l/by-id/usb-Kamera_für_Überblick … 教室 `\\`";
        assert_eq!(Printable(harmless).to_string(), harmless);
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let outside =
            "a\nb\x1b[2J\x7f\u{9b}\u{85}\u{2028}\u{202e}\u{2066}\u{200f}\u{61c}\0 für 教室 😀 \\ \"";
        let json = serde_json::to_string(outside).unwrap();
        let printed = escape_json(&json);
        assert!(!printed.chars().any(is_control_or_bidi), "{printed}");
        assert_eq!(serde_json::from_str::<String>(&printed).unwrap(), outside);
        assert_eq!(escape_json("{}\n{}"), "{}\n{}");
    }

    #[test]
    fn a_progress_bar_cannot_control_a_terminal() {
        let bar = ProgressBar::hidden();
        set_message(&bar, "lecture\x1b]0;title\x07\u{202e}.mkv");
        assert_eq!(bar.message(), "lecture\\u{1b}]0;title\\u{7}\\u{202e}.mkv");
    }
}
