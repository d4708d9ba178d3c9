//! Shares with intervals, differences, distances.
//!
//! Neighbouring minutes are correlated, so that a lecture has fewer independent faces than its count: the variance of a share comes from a
//! circular block bootstrap (Politis and Romano 1992) over blocks of minutes. From it follows how many independent faces would have
//! varied as much, and with that number the interval has Wilson's form, which also holds for kinds that were hardly seen.

use super::super::label_set::LabelSet;
use super::table::Lecture;

/// Length of a block.
pub(super) const BLOCK_SECONDS: u64 = 600;

/// Blocks below which a lecture has no interval.
pub(super) const MIN_BLOCKS: usize = 4;

/// Draws of the bootstrap.
pub(super) const DRAWS: usize = 1000;

/// Constant, so that the same lectures produce the same report.
pub(in crate::commands) const SEED: u64 = 13;

/// The normal distribution's quantile for intervals of 95 %.
pub(in crate::commands) const Z: f64 = 1.959_964;

/// A share of the faces, from 0 to 1, with its 95 % interval if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) share: f64,
    pub(super) interval: Option<(f64, f64)>,
}

/// The shares of all kinds of a label set in some lectures.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) of: Vec<Share>,
    /// What each draw of the bootstrap differs by.
    draws: Vec<Vec<f64>>,
}

impl Shares {
    /// Of these counts alone.
    pub(super) fn without_interval(counts: &[f64]) -> Self {
        let faces = counts.iter().sum::<f64>().max(1.0);
        let of = counts.iter().map(|count| Share { share: count / faces, interval: None });
        Self { of: of.collect(), draws: Vec::new() }
    }

    /// The same without what only [`distance`] needs: megabytes for each hundred lectures.
    pub(super) fn without_draws(self) -> Self {
        Self { draws: Vec::new(), ..self }
    }
}

/// How far two lectures are apart: half the sum of the differences of all shares, the part of the faces that would have to be of
/// another kind to make them alike (total variation distance).
#[derive(Debug, Clone, Copy)]
pub(super) struct Distance {
    pub(super) distance: f64,
    /// 95 % of the distances that chance alone would make.
    pub(super) by_chance: Option<f64>,
}

/// Minutes in a draw at most; where there are more, their differences are scaled (an m out of n bootstrap).
const MAX_DRAWN: usize = 20_000;

/// A lecture's minutes as running sums, so that a block costs as much as two minutes.
struct Running {
    /// Before each minute, and after the last one.
    sums: Vec<Vec<f64>>,
    /// Minutes in a block.
    block: usize,
}

impl Running {
    fn new(lecture: &Lecture, label_set: &LabelSet) -> Self {
        let mut sums = vec![vec![0.0; label_set.kinds.len()]];
        for minute in &lecture.minutes {
            let mut sum = label_set.counts(&minute.kinds);
            add(&mut sum, &sums[sums.len() - 1]);
            sums.push(sum);
        }
        Self { sums, block: block_length(lecture) }
    }

    fn minutes(&self) -> usize {
        self.sums.len() - 1
    }

    /// Adds so many minutes from one on, round the end.
    fn add_block(&self, total: &mut [f64], start: usize, length: usize) {
        let mut between = |from: usize, to: usize| {
            let ends = self.sums[from].iter().zip(&self.sums[to]);
            total.iter_mut().zip(ends).for_each(|(total, (from, to))| *total += to - from);
        };
        let end = start + length;
        between(start, end.min(self.minutes()));
        if end > self.minutes() {
            between(0, end - self.minutes());
        }
    }
}

/// The joint shares of lectures; no block spans two of them.
pub(super) fn shares(lectures: &[&Lecture], label_set: &LabelSet) -> Shares {
    let running: Vec<Running> = lectures.iter().map(|lecture| Running::new(lecture, label_set)).collect();
    let kinds = label_set.kinds.len();
    let mut total = vec![0.0; kinds];
    running.iter().for_each(|it| add(&mut total, &it.sums[it.minutes()]));
    let faces: f64 = total.iter().sum();
    if faces < 1.0 {
        return Shares { of: vec![Share { share: 0.0, interval: None }; kinds], draws: Vec::new() };
    }
    let mean: Vec<f64> = total.iter().map(|count| count / faces).collect();
    let blocks: usize = running.iter().map(|it| it.minutes() / it.block).sum();
    if blocks < MIN_BLOCKS {
        let of = mean.iter().map(|share| Share { share: *share, interval: None }).collect();
        return Shares { of, draws: Vec::new() };
    }
    let mut draws = bootstrap(&running, &mean);
    // Few blocks vary less than the world does.
    let widening = (to_f64(blocks) / to_f64(blocks - 1)).sqrt();
    draws.iter_mut().flatten().for_each(|difference| *difference *= widening);
    let variance =
        |kind: usize| draws.iter().map(|draw| draw[kind] * draw[kind]).sum::<f64>() / to_f64(draws.len());
    // How many times as much the shares vary as those of independent faces.
    let independent = |kind: usize| mean[kind] * (1.0 - mean[kind]) / faces;
    let overall = (0..kinds).map(variance).sum::<f64>() / (0..kinds).map(independent).sum::<f64>().max(1e-12);
    let t = t_quantile(to_f64(blocks - 1));
    let of = (0..kinds).map(|kind| {
        let own = if mean[kind] > 0.0 { variance(kind) / independent(kind).max(1e-12) } else { 0.0 };
        let effect = own.max(overall).max(1.0);
        Share { share: mean[kind], interval: Some(wilson(mean[kind], (faces / effect).max(1.0), t)) }
    });
    Shares { of: of.collect(), draws }
}

/// In rows of the table.
fn block_length(lecture: &Lecture) -> usize {
    let window = lecture.minutes.first().map_or(60, |minute| minute.seconds).max(1);
    usize::try_from(BLOCK_SECONDS.div_ceil(window)).unwrap_or(usize::MAX)
}

/// Draws as many minutes in blocks, each from any of the lectures, and returns how much their shares differ from `mean`. A lecture
/// that is hardly longer than a block adds its difference from the others, not its own variation.
fn bootstrap(lectures: &[Running], mean: &[f64]) -> Vec<Vec<f64>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    // Each minute may begin a block: the first one of each lecture among all.
    let mut firsts = Vec::new();
    let mut minutes = 0;
    for lecture in lectures.iter().filter(|it| it.minutes() > 0) {
        firsts.push((minutes, lecture));
        minutes += lecture.minutes();
    }
    let drawn = minutes.min(MAX_DRAWN);
    let scale = (to_f64(drawn) / to_f64(minutes)).sqrt();
    let mut draws = Vec::new();
    for _ in 0..DRAWS {
        let mut total = vec![0.0; mean.len()];
        let mut left = drawn;
        while left > 0 {
            let at = random.usize(0..minutes);
            let (first, lecture) = firsts[firsts.partition_point(|(first, _)| *first <= at) - 1];
            let length = left.min(lecture.block).min(lecture.minutes());
            lecture.add_block(&mut total, at - first, length);
            left -= length;
        }
        let faces: f64 = total.iter().sum();
        if faces > 0.0 {
            draws.push(total.iter().zip(mean).map(|(count, mean)| scale * (count / faces - mean)).collect());
        }
    }
    draws
}

/// Wilson's interval (1927) for a share of `n` faces.
fn wilson(share: f64, n: f64, t: f64) -> (f64, f64) {
    let middle = (share + t * t / (2.0 * n)) / (1.0 + t * t / n);
    let half = t / (1.0 + t * t / n) * (share * (1.0 - share) / n + t * t / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// Student's 97.5 % quantile (Abramowitz and Stegun 26.7.5).
pub(in crate::commands) fn t_quantile(freedom: f64) -> f64 {
    let power = |exponent| Z.powi(exponent);
    Z + (power(3) + Z) / (4.0 * freedom)
        + (5.0 * power(5) + 16.0 * power(3) + 3.0 * Z) / (96.0 * freedom.powi(2))
        + (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * Z) / (384.0 * freedom.powi(3))
}

/// A share less another one, with an interval after Newcombe (1998, method 10).
pub(super) fn difference(one: Share, other: Share) -> Share {
    let share = one.share - other.share;
    let interval = one.interval.zip(other.interval).map(|((low1, high1), (low2, high2))| {
        let below = (one.share - low1).hypot(high2 - other.share);
        let above = (high1 - one.share).hypot(other.share - low2);
        (share - below, share + above)
    });
    Share { share, interval }
}

/// How far two sets of shares are apart.
pub(super) fn distance(one: &Shares, other: &Shares) -> Distance {
    let half_sum = |differences: &mut dyn Iterator<Item = f64>| differences.map(f64::abs).sum::<f64>() / 2.0;
    let distance = half_sum(&mut one.of.iter().zip(&other.of).map(|(a, b)| a.share - b.share));
    let mut drawn: Vec<f64> = one
        .draws
        .iter()
        // Backwards, for the same seed drew both.
        .zip(other.draws.iter().rev())
        .map(|(a, b)| half_sum(&mut a.iter().zip(b).map(|(a, b)| a - b)))
        .collect();
    drawn.sort_by(f64::total_cmp);
    Distance { distance, by_chance: drawn.get(drawn.len() * 95 / 100).copied() }
}

fn add(total: &mut [f64], more: &[f64]) {
    total.iter_mut().zip(more).for_each(|(total, more)| *total += more);
}

#[expect(clippy::cast_precision_loss, reason = "blocks and draws are far below 2^53")]
pub(in crate::commands) fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::report::table::Minute;

    fn close(a: f64, b: f64, within: f64) -> bool {
        (a - b).abs() < within
    }

    #[test]
    fn quantiles_and_intervals_are_those_of_the_books() {
        for (freedom, quantile) in [(3.0, 3.182), (11.0, 2.201), (1e6, 1.960)] {
            assert!(close(t_quantile(freedom), quantile, 0.03), "{freedom}: {}", t_quantile(freedom));
        }
        // Newcombe (1998), table I: 81 of 263, 15 of 148.
        let (low, high) = wilson(81.0 / 263.0, 263.0, Z);
        assert!(close(low, 0.2553, 1e-4) && close(high, 0.3662, 1e-4), "{low} {high}");
        // The same, table II, method 10: 56 of 70 and 48 of 80.
        let share = |count: f64, n: f64| Share { share: count / n, interval: Some(wilson(count / n, n, Z)) };
        let (low, high) = difference(share(56.0, 70.0), share(48.0, 80.0)).interval.unwrap();
        assert!(close(low, 0.0524, 1e-4) && close(high, 0.3339, 1e-4), "{low} {high}");
    }

    /// A normal number (Box and Muller 1958).
    fn normal(random: &mut fastrand::Rng) -> f64 {
        (-2.0 * random.f64().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
    }

    /// A lecture in which what shows drifts from minute to minute, by an autoregressive process of which each kind has its own.
    fn simulated(random: &mut fastrand::Rng, minutes: usize, kept: f64) -> Lecture {
        const LOGITS: [f64; 13] = [3.0, 0.5, -1.0, -1.0, -2.0, 0.0, -1.5, 2.0, 1.0, 1.0, 0.0, 0.5, -0.5];
        let mut drift: [f64; 13] = std::array::from_fn(|_| 0.7 * normal(random));
        let mut lecture = Lecture::default();
        for _ in 0..minutes {
            for value in &mut drift {
                *value = kept * *value + 0.7 * (1.0 - kept * kept).sqrt() * normal(random);
            }
            let weights: Vec<f64> =
                LOGITS.iter().zip(drift).map(|(logit, drift)| (logit + drift).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let mut minute = Minute { seconds: 60, expected: 120, frames: 120, ..Minute::default() };
            for _ in 0..110 {
                let mut left = random.f64() * sum;
                let at = weights.iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                minute.kinds[at.unwrap_or(0)] += 1;
            }
            lecture.minutes.push(minute);
        }
        lecture
    }

    #[test]
    fn intervals_cover_true_shares_in_nine_of_ten_lectures() {
        for (label_set, kept, minutes) in [
            (LabelSet::seven(), 0.6, 50),
            (LabelSet::thirteen(), 0.6, 50),
            (LabelSet::seven(), 0.3, 90),
            (LabelSet::thirteen(), 0.5, 45),
        ] {
            let mut random = fastrand::Rng::with_seed(7);
            // What a lecture without an end shows.
            let endless = simulated(&mut random, 40_000, kept);
            let all = label_set.counts(&endless.total().kinds);
            let faces: f64 = all.iter().sum();
            const LECTURES: u32 = 200;
            let mut within = vec![0u32; label_set.kinds.len()];
            for _ in 0..LECTURES {
                let lecture = simulated(&mut random, minutes, kept);
                for ((share, truth), within) in
                    shares(&[&lecture], &label_set).of.iter().zip(&all).zip(&mut within)
                {
                    let (low, high) = share.interval.unwrap();
                    *within += u32::from((low..=high).contains(&(truth / faces)));
                }
            }
            for (kind, within) in label_set.kinds.iter().zip(within) {
                assert!(within * 10 >= LECTURES * 9, "{}: {within} of {LECTURES}, kept {kept}", kind.name);
            }
        }
    }

    #[test]
    fn what_was_not_seen_or_too_shortly_has_no_interval() {
        let mut random = fastrand::Rng::with_seed(1);
        let short = simulated(&mut random, 39, 0.5);
        assert!(shares(&[&short], &LabelSet::seven()).of.iter().all(|share| share.interval.is_none()));
        let empty = Lecture { minutes: vec![Minute::default(); 60], ..Lecture::default() };
        assert!(shares(&[&empty], &LabelSet::seven()).of.iter().all(|share| share.share == 0.0));
    }

    /// Among them some of a single block, which a bootstrap of each lecture by itself could only turn round.
    #[test]
    fn short_alike_lectures_differ_by_chance_alone() {
        let label_set = LabelSet::seven();
        for minutes in [10, 15, 20] {
            let mut random = fastrand::Rng::with_seed(3);
            let far = (0..100).filter(|_| {
                let [one, other] = [0, 1].map(|_| {
                    let lectures = [(); 6].map(|()| simulated(&mut random, minutes, 0.5));
                    shares(&lectures.each_ref(), &label_set)
                });
                let Distance { distance, by_chance } = distance(&one, &other);
                distance > by_chance.unwrap()
            });
            let far = far.count();
            assert!(far <= 20, "{far} of 100 with {minutes} minutes");
        }
    }

    #[test]
    fn alike_lectures_differ_by_chance_alone() {
        let mut random = fastrand::Rng::with_seed(3);
        let label_set = LabelSet::seven();
        let far = (0..100).filter(|_| {
            let [one, other] = [0, 1].map(|_| shares(&[&simulated(&mut random, 60, 0.5)], &label_set));
            let Distance { distance, by_chance } = distance(&one, &other);
            distance > by_chance.unwrap()
        });
        let far = far.count();
        assert!(far <= 20, "{far} of 100");
        let other = Lecture {
            minutes: (0..60)
                .map(|_| Minute {
                    seconds: 60,
                    expected: 120,
                    kinds: std::array::from_fn(|kind| u64::from(kind == 12) * 100),
                    ..Minute::default()
                })
                .collect(),
            ..Lecture::default()
        };
        let (one, other) =
            (shares(&[&simulated(&mut random, 60, 0.5)], &label_set), shares(&[&other], &label_set));
        let Distance { distance, by_chance } = distance(&one, &other);
        assert!(distance > 0.8 && distance > by_chance.unwrap());
    }
}
