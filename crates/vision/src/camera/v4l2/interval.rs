//! The time between two frames: what the analysis needs, and which of a driver's offers serves it.

use v4l::Fraction;
use v4l::frameinterval::FrameIntervalEnum;

/// A camera delivers at least this many frames for each that is analysed, so that waiting for a fresh one
/// lasts half a tick at most.
const FRAMES_A_TICK: f64 = 2.0;

/// The longest interval in seconds that serves an analysis of `rate_hz` frames a second.
pub(super) fn needed(rate_hz: f64) -> f64 {
    1.0 / (FRAMES_A_TICK * rate_hz)
}

/// The length of an interval.
pub(super) fn seconds(fraction: &Fraction) -> f64 {
    f64::from(fraction.numerator) / f64::from(fraction.denominator.max(1))
}

/// The shortest of the intervals that one entry of a driver's list stands for, in seconds.
pub(super) fn shortest(interval: &FrameIntervalEnum) -> f64 {
    match interval {
        FrameIntervalEnum::Discrete(fraction) => seconds(fraction),
        FrameIntervalEnum::Stepwise(steps) => seconds(&steps.min),
    }
}

/// The longest interval of at most `needed` seconds; where none is that short, the shortest there is.
pub(super) fn choose<'a>(
    offered: impl Iterator<Item = &'a FrameIntervalEnum>,
    needed: f64,
) -> Option<Fraction> {
    let candidates: Vec<_> = offered
        .flat_map(|interval| match interval {
            FrameIntervalEnum::Discrete(fraction) => vec![*fraction],
            // Between its ends a driver rounds to a step by itself.
            FrameIntervalEnum::Stepwise(steps) => {
                vec![steps.min, within(needed, steps.min, steps.max), steps.max]
            }
        })
        .collect();
    let fast_enough = candidates.iter().filter(|f| seconds(f) <= needed * 1.001);
    fast_enough
        .max_by(|a, b| seconds(a).total_cmp(&seconds(b)))
        .or_else(|| candidates.iter().min_by(|a, b| seconds(a).total_cmp(&seconds(b))))
        .copied()
}

/// The intervals of a list that are longer than `chosen`, and no longer than `limit` seconds; the shortest first.
pub(super) fn slower<'a>(
    offered: impl Iterator<Item = &'a FrameIntervalEnum>,
    chosen: &Fraction,
    limit: f64,
) -> Vec<Fraction> {
    let listed = offered.map(|interval| match interval {
        FrameIntervalEnum::Discrete(fraction) => *fraction,
        FrameIntervalEnum::Stepwise(steps) => within(limit, steps.min, steps.max),
    });
    let mut slower: Vec<_> = listed
        .filter(|fraction| (seconds(chosen) * 1.001..=limit * 1.001).contains(&seconds(fraction)))
        .collect();
    slower.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    slower
}

/// `needed` seconds as a fraction, if it lies between two others.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an analysis rate gives 16 ms to 10 s"
)]
fn within(needed: f64, min: Fraction, max: Fraction) -> Fraction {
    if needed < seconds(&min) || needed > seconds(&max) {
        return min;
    }
    Fraction::new((needed * 10_000.0) as u32, 10_000)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the intervals are chosen, not computed")]
mod tests {
    use super::*;
    use v4l::frameinterval::Stepwise;

    fn chosen(offered: &[FrameIntervalEnum], rate_hz: f64) -> f64 {
        seconds(&choose(offered.iter(), needed(rate_hz)).unwrap())
    }

    #[test]
    fn the_slowest_rate_that_serves_the_analysis_is_chosen() {
        let offered: Vec<_> =
            [30, 15, 10, 5, 2].map(|fps| FrameIntervalEnum::Discrete(Fraction::new(1, fps))).into();
        assert_eq!(chosen(&offered, 2.0), 0.2);
        assert_eq!(chosen(&offered, 7.0), 1.0 / 15.0);
        assert_eq!(chosen(&offered, 30.0), 1.0 / 30.0);
    }

    #[test]
    fn a_range_of_intervals_is_used_up_to_what_is_needed() {
        let steps =
            Stepwise { min: Fraction::new(1, 60), max: Fraction::new(1, 1), step: Fraction::new(1, 60) };
        assert_eq!(chosen(&[FrameIntervalEnum::Stepwise(steps)], 2.0), 0.25);
    }
}
