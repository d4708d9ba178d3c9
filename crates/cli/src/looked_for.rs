//! What recordings and cameras alike are looked at for, and how its values are read.

use clap::Args;

use lectern_record::analysis::{Analysis, DEFAULT_MIN_FACE_PX, Region};
use lectern_record::rate::RANGE_HZ;

/// Which faces of a recording are looked for.
#[derive(Debug, Clone, Copy, Args)]
pub struct LookedFor {
    /// Side of the smallest face to find, in pixels of the picture
    #[arg(long, value_name = "PX", default_value_t = DEFAULT_MIN_FACE_PX, value_parser = clap::value_parser!(u32).range(12..=2000))]
    pub min_face: u32,

    /// The part of the picture to look at, in fractions of its width and height [default: all of it]
    #[arg(long, value_name = "LEFT,TOP,RIGHT,BOTTOM", value_parser = region)]
    pub region: Option<Region>,
}

impl LookedFor {
    /// The daemon's default analysis, with these settings.
    #[must_use]
    pub fn analysis(&self) -> Analysis {
        Analysis {
            min_face_px: self.min_face,
            region: self.region.unwrap_or(Region::WHOLE),
            ..Analysis::default()
        }
    }
}

/// Frames a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "must be a number")?;
    if RANGE_HZ.contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("must be from {} to {}", RANGE_HZ.start(), RANGE_HZ.end()))
    }
}

/// A region as in the configuration; the brackets may be left out.
fn region(text: &str) -> Result<Region, String> {
    let inside = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let numbers: Result<Vec<f32>, _> = inside.split(',').map(|number| number.trim().parse()).collect();
    let four: [f32; 4] = numbers
        .ok()
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or("must be four numbers with commas between them")?;
    Region::new(four).ok_or_else(|| "must lie within 0 and 1 and not be empty".to_owned())
}
