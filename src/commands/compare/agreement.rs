//! Coefficients of agreement, with intervals from a bootstrap over blocks of time.
//!
//! Both coefficients follow from sums over frames, and sums add up over blocks: a draw of the bootstrap adds blocks.

use super::super::report::statistics::{SEED, Z, t_quantile, to_f64};

/// Blocks below which there is no interval.
pub(super) const MIN_BLOCKS: usize = 10;

/// Blocks in a draw at most; where there are more, their differences are scaled (an m out of n bootstrap).
const MAX_BLOCKS: usize = 2000;

/// A value with its 95 % interval if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) interval: Option<(f64, f64)>,
}

/// Cohen's kappa (1960) of two raters and `kinds` kinds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kappa(pub(super) usize);

impl Kappa {
    /// The sums of no frame.
    pub(super) fn nothing(self) -> Vec<f64> {
        vec![0.0; 1 + 2 * self.0]
    }

    /// Adds a frame: how many agreed, how often either rater named each kind.
    pub(super) fn add(self, sums: &mut [f64], one: usize, other: usize) {
        sums[0] += f64::from(u8::from(one == other));
        sums[1 + one] += 1.0;
        sums[1 + self.0 + other] += 1.0;
    }

    pub(super) fn agreement(self, sums: &[f64]) -> Option<f64> {
        let n = self.frames(sums);
        (n > 0.0).then(|| sums[0] / n)
    }

    pub(super) fn frames(self, sums: &[f64]) -> f64 {
        sums[1..=self.0].iter().sum()
    }

    /// The agreement by chance.
    fn chance(self, sums: &[f64]) -> f64 {
        let (one, other) = sums[1..].split_at(self.0);
        one.iter().zip(other).map(|(one, other)| one * other).sum::<f64>() / self.frames(sums).powi(2)
    }

    /// None where chance alone always agrees.
    pub(super) fn of(self, sums: &[f64]) -> Option<f64> {
        let (agreed, chance) = (self.agreement(sums)?, self.chance(sums));
        (chance < 1.0 - 1e-12).then(|| (agreed - chance) / (1.0 - chance))
    }
}

/// Krippendorff's alpha for nominal data and any number of raters (2011).
#[derive(Debug, Clone, Copy)]
pub(super) struct Alpha(pub(super) usize);

impl Alpha {
    /// The sums of no frame.
    pub(super) fn nothing(self) -> Vec<f64> {
        vec![0.0; 1 + self.0]
    }

    /// Adds a frame: agreeing pairs, and how often each kind was named. One that a single rater named has no pair.
    pub(super) fn add(self, sums: &mut [f64], names: &[usize]) {
        if names.len() < 2 {
            return;
        }
        for name in names {
            sums[1 + name] += 1.0;
            let alike = names.iter().filter(|other| *other == name).count() - 1;
            sums[0] += to_f64(alike) / to_f64(names.len() - 1);
        }
    }

    pub(super) fn of(self, sums: &[f64]) -> Option<f64> {
        let n: f64 = sums[1..].iter().sum();
        let by_chance: f64 = sums[1..].iter().map(|count| count * (n - count)).sum();
        (by_chance > 0.0).then(|| 1.0 - (n - sums[0]) * (n - 1.0) / by_chance)
    }
}

/// The sum of some blocks.
pub(super) fn total(blocks: &[Vec<f64>]) -> Vec<f64> {
    let mut total = vec![0.0; blocks.first().map_or(0, Vec::len)];
    blocks.iter().for_each(|block| add(&mut total, block));
    total
}

fn add(total: &mut [f64], more: &[f64]) {
    total.iter_mut().zip(more).for_each(|(total, more)| *total += more);
}

/// A statistic of the sums of `blocks`, with a percentile interval from so many draws, widened for few blocks.
/// The first of the sums are agreements.
pub(super) fn estimate(
    blocks: &[Vec<f64>],
    draws: usize,
    statistic: impl Fn(&[f64]) -> Option<f64>,
) -> Option<Estimate> {
    let mut sums = total(blocks);
    let count = blocks.len();
    if count == 0 {
        return None;
    }
    let value = statistic(&sums)?;
    if count < MIN_BLOCKS {
        return Some(Estimate { value, interval: None });
    }
    if value >= 1.0 {
        // Not one disagreement, and no draw can have one: Wilson's limit for all of as many independent looks as there are blocks.
        sums[0] *= to_f64(count) / (to_f64(count) + Z * Z);
        return Some(Estimate { value, interval: statistic(&sums).map(|low| (low, value)) });
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let drawn = count.min(MAX_BLOCKS);
    let mut values: Vec<f64> = (0..draws)
        .filter_map(|_| {
            sums.fill(0.0);
            (0..drawn).for_each(|_| add(&mut sums, &blocks[random.usize(0..count)]));
            statistic(&sums)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    // Few blocks vary less than the world does.
    let freedom = to_f64(count - 1);
    let widened = t_quantile(freedom) / Z * (to_f64(count) / freedom).sqrt();
    let scale = widened * (to_f64(drawn) / to_f64(count)).sqrt();
    let at = |part: usize| values.get(values.len() * part / 1000).map(|drawn| (drawn - value) * scale);
    let interval = at(25)
        .zip(at(975))
        .map(|(low, high)| ((value + low).clamp(-1.0, value), (value + high).clamp(value, 1.0)));
    Some(Estimate { value, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kappa(pairs: &[(usize, usize)], kinds: usize) -> Option<f64> {
        let mut sums = Kappa(kinds).nothing();
        pairs.iter().for_each(|(one, other)| Kappa(kinds).add(&mut sums, *one, *other));
        Kappa(kinds).of(&sums)
    }

    #[test]
    fn coefficients_are_those_of_the_books() {
        // Cohen (1960), table 1: 88 of 200 judged alike, by chance 41 %. (Fleiss' layout of the same example.)
        let counts = [[88, 14, 18], [10, 40, 10], [2, 6, 12]];
        let pairs: Vec<_> = (0..9).flat_map(|at| vec![(at / 3, at % 3); counts[at / 3][at % 3]]).collect();
        assert!((kappa(&pairs, 3).unwrap() - 0.4915).abs() < 1e-3, "{:?}", kappa(&pairs, 3));
        assert_eq!(kappa(&[(1, 1), (1, 1)], 3), None, "chance alone always agrees");
        // Krippendorff (2011), example C: 4 observers, 12 units, nominal alpha .743.
        let columns: [&[usize]; 12] = [
            &[1, 1, 1],
            &[2, 2, 3, 2],
            &[3, 3, 3, 3],
            &[3, 3, 3, 3],
            &[2, 2, 2, 2],
            &[1, 2, 3, 4],
            &[4, 4, 4, 4],
            &[1, 1, 2, 1],
            &[2, 2, 2, 2],
            &[5, 5, 5],
            &[1, 1],
            &[3],
        ];
        let mut sums = Alpha(6).nothing();
        columns.iter().for_each(|names| Alpha(6).add(&mut sums, names));
        assert!((Alpha(6).of(&sums).unwrap() - 0.743).abs() < 1e-3, "{:?}", Alpha(6).of(&sums));
    }

    /// Two raters whose kappa is known: an expression lasts some seconds; the second rater sees it with probability `kappa`, and
    /// otherwise names any kind as often as it occurs, for as long as it lasts.
    fn simulated(random: &mut fastrand::Rng, blocks: usize, kappa: f64) -> Vec<Vec<f64>> {
        const SHARES: [f64; 7] = [0.55, 0.05, 0.02, 0.03, 0.2, 0.1, 0.05];
        const FRAMES: usize = 120;
        let draw = |random: &mut fastrand::Rng| {
            let mut left = random.f64();
            SHARES.iter().position(|share| {
                left -= share;
                left < 0.0
            })
        };
        let (mut one, mut other) = (0, 0);
        let mut new = true;
        let block = |_| {
            let mut sums = Kappa(7).nothing();
            for _ in 0..FRAMES {
                if new {
                    one = draw(random).unwrap_or(0);
                    other = if random.f64() < kappa { one } else { draw(random).unwrap_or(0) };
                }
                // 8 frames on average: 4 s.
                new = random.f64() < 0.125;
                Kappa(7).add(&mut sums, one, other);
            }
            sums
        };
        (0..blocks).map(block).collect()
    }

    #[test]
    fn intervals_cover_the_true_kappa_in_nine_of_ten_draws() {
        for (blocks, truth) in [(12, 0.4), (30, 0.6), (30, 0.9), (60, 0.2)] {
            let mut random = fastrand::Rng::with_seed(7);
            const TRIALS: u32 = 200;
            let within: u32 = (0..TRIALS)
                .map(|_| {
                    let simulated = simulated(&mut random, blocks, truth);
                    let (low, high) =
                        estimate(&simulated, 400, |sums| Kappa(7).of(sums)).unwrap().interval.unwrap();
                    u32::from((low..=high).contains(&truth))
                })
                .sum();
            assert!(within * 10 >= TRIALS * 9, "{blocks} blocks, kappa {truth}: {within} of {TRIALS}");
        }
    }

    #[test]
    fn few_blocks_have_no_interval_and_perfect_agreement_has_a_lower_limit() {
        let mut random = fastrand::Rng::with_seed(7);
        let few = simulated(&mut random, MIN_BLOCKS - 1, 0.5);
        assert_eq!(estimate(&few, 100, |sums| Kappa(7).of(sums)).unwrap().interval, None);
        let perfect = simulated(&mut random, 20, 1.0);
        let Estimate { value, interval } = estimate(&perfect, 100, |sums| Kappa(7).of(sums)).unwrap();
        let (low, high) = interval.unwrap();
        assert!(value.min(high) >= 1.0 && (0.7..0.8).contains(&low), "{low}");
    }
}
