//! Escapes text from outside for the terminal and the journal: brokers, files, names and programs choose text that we
//! print, and a line break or an escape sequence in it would forge lines.

use std::fmt::{Display, Formatter, Result, Write};
use std::io::{self, Write as _};

/// Prints its content, and escapes each character that controls a terminal, breaks the line or changes its direction:
/// `\n`, `\u{1b}`, `\u{202e}`.
///
/// Four places apply it, and all human-readable output passes one of them: the logger, [`print_error`], the lines of
/// `lectern check` and those of `lectern status`.
pub struct Printable<T>(pub T);

/// Prints a message on standard error, prefixed with the program's name.
#[expect(clippy::disallowed_methods, reason = "here it is escaped")]
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
}
