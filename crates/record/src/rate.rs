//! How many frames a second are analysed: said once for the configuration, the commands and the analyzer.

use std::ops::RangeInclusive;

/// Where no other rate is asked for.
pub const DEFAULT_HZ: f64 = 2.0;

/// What may be asked for.
pub const RANGE_HZ: RangeInclusive<f64> = 0.1..=30.0;
