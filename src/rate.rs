//! How many frames a second are analysed, as `analysis.rate_hz` and `lectern analyze --rate` say it.

use std::ops::RangeInclusive;

/// Where nothing else is said.
pub const DEFAULT_HZ: f64 = 2.0;

/// What may be said.
const ALLOWED_HZ: RangeInclusive<f64> = 0.1..=30.0;

/// A rate that cannot be used, with what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("must be from {} to {}", ALLOWED_HZ.start(), ALLOWED_HZ.end())]
pub struct BadRate;

/// Checks a rate.
///
/// # Errors
/// [`BadRate`] when it is too low or too high.
pub fn check_rate(hz: f64) -> Result<f64, BadRate> {
    if ALLOWED_HZ.contains(&hz) { Ok(hz) } else { Err(BadRate) }
}
