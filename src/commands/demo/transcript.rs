//! What the demo's subscriber received: as bar charts on a terminal, as JSON lines elsewhere.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context;
use serde_json::Value;

use crate::expression::{Emotion, Expression, Intensity};
use crate::logging::printable::{Printable, print_json};

/// The longest bar, in columns: two bars with their counts and a label fit into 79.
const BAR: usize = 26;

/// A bar with its count.
const CELL: usize = BAR + 6;

/// How the messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Each payload as it is, one a line.
    Json,
    /// A chart a minute, with SGR colour or without.
    Chart {
        /// Whether escape sequences may set colours.
        colour: bool,
        /// Whether the terminal may be expected to show block elements.
        blocks: bool,
    },
}

/// The messages so far.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// Minutes that were received.
    pub(super) minutes: u32,
    messages: usize,
    bytes: usize,
    frames: u64,
    faces: u64,
    kinds: [u64; Expression::COUNT],
    /// Whether the last message was printed as a chart.
    after_chart: bool,
}

impl Transcript {
    /// Prints one message; true for the last one.
    ///
    /// # Errors
    /// When it is no JSON, or standard output cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "colours are escape sequences; text from outside is Printable"
    )]
    pub(super) fn receive(&mut self, style: Style, topic: &str, payload: &[u8]) -> anyhow::Result<bool> {
        let json: Value = serde_json::from_slice(payload).context("a payload is no JSON")?;
        self.messages += 1;
        self.bytes += payload.len();
        let minute = json.get("seq").is_some();
        if minute {
            self.minutes += 1;
            self.frames += number(&json, "frames");
            self.faces += number(&json, "faces");
            for kind in Expression::ALL {
                self.kinds[kind.index()] += number(&json, kind.name());
            }
        }
        let text = match style {
            Style::Json => {
                print_json(&String::from_utf8_lossy(payload))?;
                return Ok(json["state"] == "offline");
            }
            Style::Chart { colour, blocks } if minute => {
                let above = if self.after_chart { "" } else { "\n" };
                format!("{above}{}\n", chart(topic, &json, colour, blocks))
            }
            Style::Chart { colour, .. } => status(topic, &json, colour),
        };
        self.after_chart = minute;
        // At once, so that no other line can come between.
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes())?;
        output.flush()?;
        Ok(json["state"] == "offline")
    }

    /// The sums of all messages, in three lines of at most 79 columns.
    pub(super) fn summary(&self) -> String {
        let mut kinds: Vec<_> = Expression::ALL.map(|kind| (self.kinds[kind.index()], kind.name())).into();
        kinds.retain(|(count, _)| *count > 0);
        kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let percent = |count: u64| (200 * count + self.faces) / (2 * self.faces).max(1);
        let shown = kinds.iter().take(3).map(|(count, name)| format!("{} % {name}", percent(*count)));
        format!(
            "{}, {} frames, {} faces with {} of the 13 kinds:\n{}{}\n\
             The subscriber received {} messages, {} bytes of JSON, and no picture.",
            minutes(self.minutes),
            self.frames,
            self.faces,
            kinds.len(),
            shown.collect::<Vec<_>>().join(", "),
            if kinds.len() > 3 { ", …" } else { "." },
            self.messages,
            self.bytes,
        )
    }
}

fn minutes(count: u32) -> String {
    format!("{count} minute{}", if count == 1 { "" } else { "s" })
}

fn number(json: &Value, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_default()
}

/// Hours and minutes of a label such as `2026-11-25T00:19:00Z`.
fn clock_time<'a>(json: &'a Value, name: &str) -> &'a str {
    json[name].as_str().and_then(|text| text.get(11..16)).unwrap_or("?")
}

/// A text in the colours of the SGR sequence `sgr`.
fn painted(text: &str, sgr: &str, colour: bool) -> String {
    if colour && !text.is_empty() { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
}

fn status(topic: &str, json: &Value, colour: bool) -> String {
    let state = json["state"].as_str().unwrap_or("?");
    let state = painted(&Printable(state).to_string(), "1", colour);
    format!("{} UTC  {}  {state}\n", Printable(clock_time(json, "since")), Printable(topic))
}

/// One minute: weak and strong beside one another, an emotion a line.
fn chart(topic: &str, json: &Value, colour: bool, blocks: bool) -> String {
    let count = |kind: Expression| number(json, kind.name());
    let most = Expression::ALL.map(count).into_iter().max().unwrap_or_default().max(1);
    let bar = |kind: Expression, sgr: &str| {
        let count = count(kind);
        let length = usize::try_from((count * BAR as u64).div_ceil(most)).unwrap_or(BAR);
        let cell = if blocks { "█" } else { "#" };
        let zero = if blocks { "·" } else { "." };
        let text = if count == 0 { zero.to_owned() } else { format!("{} {count}", cell.repeat(length)) };
        let rest = " ".repeat(CELL.saturating_sub(text.chars().count()));
        format!("{}{rest}", painted(&text, sgr, colour))
    };
    let mut text = format!(
        "{}  {}\n{} frames: {} with an expression, {} uncertain, {} without a face\n\n",
        painted(&format!("{} UTC", Printable(clock_time(json, "start"))), "1", colour),
        painted(&Printable(topic).to_string(), "1", colour),
        number(json, "frames"),
        number(json, "faces"),
        number(json, "uncertain"),
        number(json, "no_face"),
    );
    let mut line = |label: &str, left: &str, right: &str| {
        let _ = writeln!(text, "{}", format!("  {label:<9} {left} {right}").trim_end());
    };
    line("neutral", &bar(Expression::Neutral, "39"), "");
    line("", &format!("{:<CELL$}", "weak"), "strong");
    for (label, emotion, sgr) in [
        ("surprise", Emotion::Surprise, "36"),
        ("fear", Emotion::Fear, "35"),
        ("disgust", Emotion::Disgust, "33"),
        ("happy", Emotion::Happy, "32"),
        ("sad", Emotion::Sad, "34"),
        ("angry", Emotion::Angry, "31"),
    ] {
        let [weak, strong] =
            [Intensity::Weak, Intensity::Strong].map(|i| bar(Expression::Of(emotion, i), sgr));
        line(label, &weak, &strong);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> Value {
        let mut minute = serde_json::json!({
            "seq": 0, "start": "2026-11-25T00:19:00Z", "frames": 120, "faces": 97, "uncertain": 3, "no_face": 20
        });
        for kind in Expression::ALL {
            minute[kind.name()] = 0.into();
        }
        minute["neutral"] = 60.into();
        minute["happy_weak"] = 30.into();
        minute["happy_strong"] = 6.into();
        minute["sad_strong"] = 1.into();
        minute
    }

    #[test]
    fn a_chart_fits_80_columns_and_shows_all_kinds() {
        let text = chart("lectern/v1/here/desk/demo/demo/minute", &minute(), false, true);
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        assert_eq!(text.matches('·').count(), Expression::COUNT - 4, "{text}");
        assert!(text.contains(&format!("  neutral   {} 60\n", "█".repeat(BAR))), "{text}");
        // One face of sixty is still seen.
        assert!(text.contains("█ 1\n"), "{text}");
        assert!(chart("topic", &minute(), false, false).is_ascii());
    }

    #[test]
    fn the_summary_adds_the_minutes_up() {
        let mut transcript = Transcript::default();
        let payload = minute().to_string();
        for _ in 0..2 {
            assert!(!transcript.receive(Style::Json, "topic", payload.as_bytes()).unwrap());
        }
        let summary = transcript.summary();
        assert!(
            summary.starts_with(
                "2 minutes, 240 frames, 194 faces with 4 of the 13 kinds:\n62 % neutral, 31 % happy_weak"
            ),
            "{summary}"
        );
        assert!(Transcript::default().summary().contains("0 of the 13 kinds"));
    }
}
