//! What comes from outside, made fit for a terminal and the journal: brokers, files, names and programs choose words
//! that we print, and a line break or an escape sequence in them would write lines of their own.

use std::fmt::{Display, Formatter, Result, Write};
use std::io::{self, Write as _};

/// Prints like its content, but with each character that a terminal would obey, or that would break or turn round
/// the line, written as an escape: `\n`, `\u{1b}`, `\u{202e}`.
///
/// It stands in four places, through which everything goes that we print in words: the logger, [`complain`], the lines
/// of `lectern check` and those of `lectern status`.
pub struct Printable<T>(pub T);

/// Says something on standard error, as this program.
#[expect(clippy::disallowed_methods, reason = "here it is escaped")]
pub fn complain(words: impl Display) {
    // Who closed standard error, or has no room for it, hears nothing; the work goes on.
    let _ = writeln!(io::stderr(), "lectern: {}", Printable(words));
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
        while let Some((at, bad)) = rest.char_indices().find(|(_, c)| is_obeyed(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", bad.escape_default())?;
            rest = &rest[at + bad.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Control characters (C0, DEL, C1), the separators of lines and paragraphs, and what changes the direction of text.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_can_break_its_line_or_command_a_terminal() {
        let outside =
            "broker\nlectern: ok\r\x1b[2J\x7f\u{9b}\u{85}\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}\0";
        let printed = Printable(outside).to_string();
        assert!(printed.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{printed}");
        assert!(printed.starts_with("broker\\nlectern: ok\\r\\u{1b}[2J\\u{7f}\\u{9b}"), "{printed}");
        let harmless = "/dev/v4l/by-id/usb-Kamera_für_Überblick … 教室 `\\`";
        assert_eq!(Printable(harmless).to_string(), harmless);
    }
}
