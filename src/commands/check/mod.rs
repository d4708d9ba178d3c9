//! `lectern check`: one line for each thing the daemon needs, and what to do about what is missing.

mod broker;
mod camera;
mod clock;
mod disk;
mod finding;
mod light;
mod models;
mod unit;

use std::path::Path;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::STANDARD_OUTPUT;
use super::detection_range::DetectionRange;
use crate::cli::{Check, Part};
use crate::config::Settings;
use crate::delivery::spool::Owner;
use crate::logging::printable::{print_json, print_lines};
use finding::{Finding, Verdict};
pub(super) use light::GOOD_LIGHT;

/// What cannot be checked without a good configuration.
const NEED_CONFIGURATION: [Part; 4] = [Part::Camera, Part::Light, Part::Broker, Part::Disk];

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Finding],
}

/// Checks and prints one line a part, or one JSON object.
///
/// # Errors
/// When any check failed, or standard output cannot be written.
pub fn run(arguments: &Check, folder: Option<&Path>) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config);
    let selected = |part: &Part| arguments.only.is_empty() || arguments.only.contains(part);
    // Some parts need a valid configuration; its errors are printed even if only those parts are selected.
    let included = |part: Part| {
        let explains = part == Part::Configuration && settings.is_err();
        selected(&part) || (explains && NEED_CONFIGURATION.iter().any(selected))
    };
    let mut findings = Vec::new();
    let mut print = |finding: Finding| -> anyhow::Result<()> {
        if !arguments.json {
            print_lines([finding.line()]).context(STANDARD_OUTPUT)?;
        }
        findings.push(finding);
        Ok(())
    };
    let mut measured = None;
    let measure = |settings: &Settings| {
        let mut meter = light::meter(settings, folder);
        let mut measured = None;
        let finding = camera::check(settings, &mut |frame| {
            if let Ok(meter) = &mut meter {
                measured = Some(meter.measure(frame));
            }
        });
        (finding, measured.or(meter.err().map(Err)))
    };
    for part in Part::value_variants().iter().copied().filter(|part| included(*part)) {
        match (part, &settings) {
            (Part::Configuration, Ok(settings)) => print(configuration(settings))?,
            (Part::Configuration, Err(error)) => {
                for mistake in error.mistakes() {
                    print(Finding::error(part, mistake))?;
                }
            }
            (Part::Camera, Ok(settings)) => {
                let (finding, seen) = measure(settings);
                let finding = match &seen {
                    Some(Ok(quality)) => {
                        let finding =
                            finding.with_range(DetectionRange::of(quality, settings.analysis.min_face_px));
                        camera::judge(finding, quality, settings)
                    }
                    _ => finding,
                };
                measured = seen;
                print(finding)?;
            }
            (Part::Light, Ok(settings)) => {
                if !included(Part::Camera) {
                    measured = measure(settings).1;
                }
                print(light::check(measured.take()))?;
            }
            (Part::Broker, Ok(settings)) => print(broker::check(settings))?,
            (Part::Disk, Ok(settings)) => {
                let owner = Owner::of(&settings.topics);
                print(disk::check(settings.spool_directory.as_deref(), &owner))?;
            }
            (Part::Models, _) => print(models::check(folder, settings.as_ref().ok()))?,
            (Part::Clock, _) => print(clock::check())?,
            (Part::Unit, _) => print(unit::check())?,
            (Part::Camera | Part::Light | Part::Broker | Part::Disk, Err(_)) => {
                let finding = Finding::skipped(part, "not checked");
                print(finding.advise("correct the configuration first"))?;
            }
        }
    }
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    if arguments.json {
        let report = serde_json::to_string(&Report { ok: failed == 0, checks: &findings })?;
        print_json(&report).context(STANDARD_OUTPUT)?;
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", findings.len());
    }
    Ok(())
}

fn configuration(settings: &Settings) -> Finding {
    if let Some(problem) = settings.unreadable_files().into_iter().next() {
        return Finding::error(Part::Configuration, &problem);
    }
    let found = format!("publishes on {}, basis: {}", settings.topics.minute, settings.basis);
    if settings.short_windows {
        let found = format!("{found}; {}", super::short_windows(settings));
        return Finding::warning(Part::Configuration, found).advise(super::REMOVE_ALLOW_SHORT);
    }
    Finding::ok(Part::Configuration, found)
}
