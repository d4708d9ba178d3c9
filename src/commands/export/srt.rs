//! SubRip subtitles, for looking at the results over the recording: a player shows them, and no picture is stored.

use std::fmt::Write as _;

use super::super::samples::{Sample, Samples};
use super::intervals::tiers;

/// From a table of faces a subtitle for each frame, with a line for each face; from a table of frames one for each interval.
pub(super) fn write(samples: &Samples) -> String {
    let mut subtitles: Vec<(u64, u64, String)> = Vec::new();
    if samples.rows.iter().any(|row| row.details.is_some()) {
        let period = samples.period();
        for faces in samples.rows.chunk_by(|one, other| one.at == other.at) {
            let at = faces[0].at;
            if let Some((_, end, _)) = subtitles.last_mut() {
                *end = (*end).min(at);
            }
            let lines: Vec<String> = faces.iter().map(line).collect();
            subtitles.push((at, at + period, lines.join("\n")));
        }
    } else {
        let tiers = tiers(samples);
        let intervals = tiers.iter().flat_map(|tier| &tier.intervals);
        subtitles.extend(intervals.map(|it| (it.start, it.end, it.label.to_owned())));
        subtitles.sort_by_key(|(start, ..)| *start);
    }
    let mut text = String::new();
    for (number, (start, end, lines)) in subtitles.iter().enumerate() {
        // Writing into a string cannot fail.
        let _ = write!(text, "{}\n{} --> {}\n{lines}\n\n", number + 1, clock(*start), clock(*end));
    }
    text
}

/// Label, probability, place and size in pixels.
fn line(row: &Sample) -> String {
    let mut line = format!("{} {}", row.face, row.observation.name());
    if let Some(details) = &row.details {
        if let Some(probability) = details.probability {
            let _ = write!(line, " {probability:.2}");
        }
        let [left, top, width, height] = details.bounds;
        let _ = write!(line, " [{left:.0},{top:.0} {width:.0}x{height:.0}]");
    }
    line
}

fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02},{:03}", seconds % 60, milliseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::super::intervals::tests::samples;
    use super::*;

    #[test]
    fn a_subtitle_has_label_probability_and_box() {
        let text = write(&samples(&[(3_600_000, 0, 0), (3_600_000, 1, 8), (3_600_500, 0, 0)], true));
        let expected = "1\n01:00:00,000 --> 01:00:00,500\n0 neutral 0.75 [10,20 30x40]\n1 happy_strong 0.75 [10,20 30x40]\n\n\
                        2\n01:00:00,500 --> 01:00:01,000\n0 neutral 0.75 [10,20 30x40]\n\n";
        assert_eq!(text, expected);
        let frames = write(&samples(&[(0, 0, 0), (500, 0, 0), (1000, 0, 13)], false));
        assert!(frames.starts_with("1\n00:00:00,000 --> 00:00:01,000\nneutral\n\n2\n"), "{frames}");
    }
}
