//! Whether there is light enough to find faces, and not too much.

use std::ops::RangeInclusive;
use std::path::Path;

use super::finding::Finding;
use crate::cli::Part;
use crate::config::Settings;
use crate::vision::VisionError;
use crate::vision::frame_quality::{FrameQuality, QualityMeter};
use crate::vision::models::ModelStore;

/// Mean luma that is good for finding faces, from 0 to 255.
pub(crate) const GOOD_LIGHT: RangeInclusive<f32> = 50.0..=220.0;

/// A meter that measures as the daemon would with these settings.
pub(super) fn meter(settings: &Settings, models: Option<&Path>) -> Result<QualityMeter, VisionError> {
    QualityMeter::new(&ModelStore::open(models)?, &settings.analysis, settings.rate_hz)
}

/// How light the frame is.
pub(super) fn check(measured: Option<Result<FrameQuality, VisionError>>) -> Finding {
    match measured {
        Some(Ok(quality)) => judge(quality.light),
        Some(Err(error)) => Finding::error(Part::Light, &error),
        None => {
            let finding = Finding::skipped(Part::Light, "not measured");
            finding.advise("there was no frame to look at")
        }
    }
}

fn judge(light: f32) -> Finding {
    let measured = format!("brightness {light:.0} of 255");
    if light < *GOOD_LIGHT.start() {
        Finding::warning(Part::Light, format_args!("{measured}: dark"))
            .advise("light the lecturer, or turn the camera away from the window")
    } else if light > *GOOD_LIGHT.end() {
        Finding::warning(Part::Light, format_args!("{measured}: glaring"))
            .advise("turn the camera away from the window or the lamp")
    } else {
        Finding::ok(Part::Light, measured)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn light_is_judged_from_both_ends() {
        assert_eq!(judge(20.0).verdict, Verdict::Warning);
        assert_eq!(judge(120.0).verdict, Verdict::Ok);
        assert_eq!(judge(250.0).verdict, Verdict::Warning);
    }
}
