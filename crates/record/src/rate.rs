//! The analysis rate in frames a second: one definition for the configuration, the commands and the analyzer.

use std::ops::RangeInclusive;

/// The default rate.
pub const DEFAULT_HZ: f64 = 2.0;

/// The allowed rates.
pub const RANGE_HZ: RangeInclusive<f64> = 0.1..=30.0;
