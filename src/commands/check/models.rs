//! Whether the networks are those of the manifest, run, and are fast enough for the configured rate.

use std::path::Path;
use std::time::Duration;

use super::finding::Finding;
use crate::camera::Frame;
use crate::cli::Part;
use crate::clock::{Clock, SystemClock};
use crate::config::{DEFAULT_SIZE, Settings};
use crate::vision::classifier::Classifier;
use crate::vision::models::ModelStore;
use crate::vision::{Analyzer, VisionError};

/// Runs the networks on an empty picture.
pub(super) fn check(models: Option<&Path>, settings: Option<&Settings>) -> Finding {
    match try_models(models, settings) {
        Ok((false, _)) => Finding::failed(Part::Models, "the networks give wrong results on a test picture")
            .advise("install the package again"),
        Ok((true, elapsed)) => {
            let milliseconds = elapsed.as_millis();
            match settings.filter(|settings| elapsed.as_secs_f64() > 1.0 / settings.rate_hz) {
                Some(_) => {
                    let found = format!("hashes match, a search takes {milliseconds} ms");
                    Finding::warning(Part::Models, found)
                        .advise("lower analysis.rate_hz or raise analysis.min_face_px")
                }
                None => {
                    let found = format!("hashes match; a search takes {milliseconds} ms");
                    Finding::ok(Part::Models, found)
                }
            }
        }
        Err(error) => Finding::error(Part::Models, &error).or_advise("install the package again"),
    }
}

/// Whether the outputs are sane, and how long a full search of an empty picture lasts.
fn try_models(models: Option<&Path>, settings: Option<&Settings>) -> Result<(bool, Duration), VisionError> {
    let store = ModelStore::open(models)?;
    let probabilities = Classifier::new(&store)?.classify_crop(&Frame::black(48, 48))?;
    let sane = probabilities.iter().all(|p| (0.0..=1.0).contains(p))
        && (probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-3;
    let mut analyzer = Analyzer::new(&store, None, settings.map(|s| s.analysis).unwrap_or_default())?;
    let (width, height) = settings.map_or(DEFAULT_SIZE, |s| (s.camera.width, s.camera.height));
    let picture = Frame::black(width as usize, height as usize);
    // The first one also plans the networks for this size.
    let empty = analyzer.analyze(&picture)?.is_empty();
    // Else nothing has moved, and nothing would be searched.
    analyzer.forget();
    let began = SystemClock.boot();
    analyzer.analyze(&picture)?;
    Ok((sane && empty, SystemClock.boot().saturating_sub(began)))
}
