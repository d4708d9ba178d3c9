//! Which tick a frame of a recording belongs to, whatever its timestamps do.
//!
//! ffmpeg's filter `fps` gives each tick the frame that a player shows then: the last one at or before it. It repeats that frame over
//! a gap, however long. So a chain of filters before it shortens each gap by whole ticks until one frame stands for no longer than
//! `hold`, and prints for each frame which time it had and which it was moved to. From both [`Timeline`] computes how many ticks
//! were removed, and restores them.
//!
//! Time starts where the recording does. A video stream that starts later than the recording's other streams has no frame for the
//! ticks before.
//!
//! Time that falls is of two kinds. A frame whose timestamp is damaged jumps ahead, and the ones after it fall back: there the
//! gap is reverted, and `fps` replaces the frame that came too early. A recorder that restarted falls permanently: there time
//! continues from its last value.

use std::collections::VecDeque;

/// A frame stands for at most this long, in seconds, or for twice its recording's interval or one tick where that is longer.
const HOLD: f64 = 2.0;

/// Units of a second in which times are printed: each time of a recording with 24, 25, 30, 50 or 60 frames a second, their
/// thousand-and-first variants, milliseconds and MPEG's clock is a whole number of them, so that none is moved by rounding.
const UNITS: u32 = 705_600_000;

/// How far in units a frame may lie after a tick and still be shown on it: containers round times to milliseconds. It is less than
/// half of one, so that a time that is printed with three digits is never later than its tick.
const ROUNDING: i64 = UNITS as i64 / 2000 - 1;

/// A video stream that starts by less than this later than its recording, in seconds, starts with it: an audio encoder's delay
/// puts the first audio frame so far before the first video frame.
const ENCODER_DELAY: f64 = 0.05;

/// Where the time of a recording starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Start {
    /// With its first frame.
    FirstFrame,
    /// With the first of all streams. The video stream starts so many seconds later, as far as ffprobe can see.
    Recording(f64),
}

impl Start {
    /// The zero of time, in units, as an expression and as a function of the first frame's time: some formats count the frames'
    /// times from the start of the recording, others from that of the stream.
    fn zero(self) -> (String, impl Fn(i64) -> i64) {
        let units = |seconds: f64| whole(seconds * f64::from(UNITS));
        let (below, with_first, otherwise) = match self {
            Self::FirstFrame => (i64::MAX, true, 0),
            Self::Recording(late) if late < ENCODER_DELAY => (units(ENCODER_DELAY), true, 0),
            Self::Recording(late) => (units(late - ENCODER_DELAY), false, units(-late)),
        };
        let value = if with_first { "STARTPTS".to_owned() } else { otherwise.to_string() };
        let expression = format!("if(lt(STARTPTS,{below}),{value})");
        (expression, move |first| match first < below {
            true if with_first => first,
            true => otherwise,
            false => 0,
        })
    }
}

/// Where times are written: standard input, which ffmpeg does not read here. Escaped once for the option and once for the graph.
const PIPE: &str = r"file=pipe\\:0:direct=1";

/// How long a frame may be repeated, in seconds.
fn hold(rate_hz: f64, interval: f64) -> f64 {
    HOLD.max(2.0 * interval).max(1.0 / rate_hz)
}

/// The filter chain that turns a recording into ticks, and prints them for [`Timeline::line`].
pub(super) fn filters(rate_hz: f64, interval: f64, start: Start) -> String {
    let print = |mode: &str, what: &str| {
        format!("metadata=mode={mode}:key=lectern:value={what},metadata=mode=print:key=lectern:{PIPE}")
    };
    // In units; the registers of the expression outlive a frame. 0: what was removed so far, 1: time of the last frame,
    // 2: what had been removed before the last gap, 4: time of this frame, 5: since the last one, 6: what that was moved to.
    let units = f64::from(UNITS);
    let (hold, tick, interval) = (hold(rate_hz, interval) * units, units / rate_hz, interval * units);
    let gap = format!("st(2,ld(0));st(0,ld(0)+{tick}*ceil((ld(5)-{hold})/{tick}))");
    let fall = format!(
        "st(0,if(between(ld(4)-ld(2),ld(6)-{hold},ld(6)+{hold}),ld(2),ld(0)+{tick}*floor(ld(5)/{tick})))"
    );
    let first = format!("st(0,{tick}*ceil((ld(4)-{ROUNDING})/{tick}))");
    let (zero, _) = start.zero();
    let moved = format!(
        "st(4,if(isnan(PTS),if(N,ld(1)+{interval}),PTS-{zero}));st(5,ld(4)-ld(1));st(6,ld(1)-ld(0));\
         if(N,if(gt(ld(5),{hold}),{gap},if(lt(ld(5),-{hold}),{fall})),{first});st(1,ld(4));\
         round(ld(4)-ld(0)-{ROUNDING})"
    );
    [
        format!("settb=1/{UNITS}"),
        print("add", "had"),
        format!("setpts='{moved}'"),
        print("modify", "moved"),
        format!("fps={rate_hz}:round=up:start_time=0"),
        print("modify", "tick"),
    ]
    .join(",")
}

/// What a tick of ffmpeg's shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shown {
    /// Its tick in the time of the recording, counted from the recording's start.
    pub(super) tick: i64,
    /// Age of the frame at this tick, in seconds.
    pub(super) age: f64,
    /// Whether the recording ended before it: the frame is repeated for longer than it stands.
    pub(super) is_over: bool,
}

/// A frame that reached `fps`.
#[derive(Debug, Clone, Copy, Default)]
struct Arrived {
    /// In seconds, as it was moved.
    seconds: f64,
    /// The first tick that it can be shown on, as `fps` counts.
    tick: i64,
    /// Ticks that were removed before it.
    removed: i64,
}

/// Parses the filters' output.
pub(super) struct Timeline {
    rate_hz: f64,
    hold: f64,
    /// The time that the next line labels, in units.
    time: Option<i64>,
    start: Start,
    /// The zero of time, in units, as soon as there is a frame.
    zero: Option<i64>,
    had: VecDeque<Option<i64>>,
    last: Arrived,
    before: Arrived,
    shown: VecDeque<Shown>,
}

impl Timeline {
    pub(super) fn new(rate_hz: f64, interval: f64, start: Start) -> Self {
        Self {
            rate_hz,
            hold: hold(rate_hz, interval),
            time: None,
            start,
            zero: None,
            had: VecDeque::new(),
            last: Arrived::default(),
            before: Arrived::default(),
            shown: VecDeque::new(),
        }
    }

    /// Takes one line: `frame:N pts:P pts_time:S`, or `lectern=WORD` for the frame before it.
    pub(super) fn line(&mut self, line: &str) {
        match line.trim_end() {
            "lectern=had" => self.had.push_back(self.time),
            "lectern=moved" => self.arrived(),
            "lectern=tick" => self.ticked(),
            other => {
                let pts = other.split_ascii_whitespace().find_map(|word| word.strip_prefix("pts:"));
                self.time = pts.and_then(|pts| pts.parse().ok());
            }
        }
    }

    /// The next frame that comes down the pipe.
    pub(super) fn next(&mut self) -> Option<Shown> {
        self.shown.pop_front()
    }

    fn arrived(&mut self) {
        let had = self.had.pop_front().flatten();
        let Some(moved) = self.time else { return };
        let seconds = to_seconds(moved.saturating_add(ROUNDING));
        let removed = had.map_or(self.last.removed, |had| {
            let zero = *self.zero.get_or_insert_with(|| self.start.zero().1(had));
            let since_start = to_seconds(had.saturating_sub(zero));
            whole((since_start - seconds) * self.rate_hz)
        });
        self.before = self.last;
        // As `fps` rounds: up. The subtrahend is the error of the multiplication.
        let tick = whole((to_seconds(moved) * self.rate_hz - 1e-9).ceil());
        self.last = Arrived { seconds, tick, removed };
    }

    fn ticked(&mut self) {
        let Some(tick) = self.time else { return };
        // `fps` holds two frames: the one it shows, and the next one, which comes later. At the end it holds one.
        let shown = if self.last.tick <= tick { self.last } else { self.before };
        let age = to_f64(tick) / self.rate_hz - shown.seconds;
        let is_over = age > self.hold + 1.0 / self.rate_hz;
        self.shown.push_back(Shown { tick: tick.saturating_add(shown.removed), age, is_over });
    }
}

/// The nearest whole number.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and no recording lasts 2^63 ticks")]
fn whole(ticks: f64) -> i64 {
    ticks.round() as i64
}

fn to_seconds(units: i64) -> f64 {
    to_f64(units) / f64::from(UNITS)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 units are 147 days")]
fn to_f64(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of frames in microseconds and ticks of ffmpeg's, in the order in which they are printed.
    fn shown_ticks(events: &[(&str, i64)]) -> Vec<i64> {
        let mut timeline = Timeline::new(2.0, 0.1, Start::Recording(0.0));
        for (word, time) in events {
            let time = if *word == "tick" { *time } else { time * i64::from(UNITS) / 1_000_000 };
            timeline.line(&format!("frame:0    pts:{time}       pts_time:0"));
            timeline.line(&format!("lectern={word}"));
        }
        std::iter::from_fn(|| timeline.next()).map(|shown| shown.tick).collect()
    }

    #[test]
    fn ticks_removed_from_a_gap_are_restored() {
        let events = [
            ("had", 0),
            ("moved", 0),
            ("had", 10_000_000),
            ("moved", 1_500_000),
            ("tick", 0),
            ("tick", 1),
            ("tick", 2),
            ("tick", 3),
        ];
        assert_eq!(shown_ticks(&events), [0, 1, 2, 20]);
    }

    #[test]
    fn a_frame_that_is_replaced_is_not_shown() {
        // The second one jumped ahead, and the third one falls back.
        let events = [
            ("had", 0),
            ("moved", 0),
            ("had", 33_000_000),
            ("moved", 1_500_000),
            ("had", 200_000),
            ("moved", 200_000),
            ("had", 1_800_000),
            ("moved", 1_800_000),
            ("tick", 3),
        ];
        assert_eq!(shown_ticks(&events), [3]);
    }

    #[test]
    fn unknown_lines_change_nothing() {
        let mut timeline = Timeline::new(2.0, 0.1, Start::Recording(0.0));
        for line in
            ["", "lectern=tick", "lectern=moved", "pts:", "frame:0 pts:NOPTS pts_time:NOPTS", "lectern=had"]
        {
            timeline.line(line);
        }
        assert_eq!(timeline.next(), None);
    }
}
