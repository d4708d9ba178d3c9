//! `lectern check`: one line for each thing the daemon needs, and what to do about what is missing.

mod broker;
mod camera;
mod clock;
mod disk;
mod finding;
mod light;
mod models;
mod unit;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::STANDARD_OUTPUT;
use super::detection_range::Reach;
use crate::cli::{Check, Part};
use crate::config::Settings;
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
    let asked = |part: &Part| arguments.only.is_empty() || arguments.only.contains(part);
    // Without a good configuration some parts cannot be checked; whoever asked for these alone is told why.
    let wanted = |part: Part| {
        let explains = part == Part::Configuration && settings.is_err();
        asked(&part) || (explains && NEED_CONFIGURATION.iter().any(asked))
    };
    let mut out = std::io::stdout().lock();
    let mut findings = Vec::new();
    let mut tell = |finding: Finding| -> anyhow::Result<()> {
        if !arguments.json {
            writeln!(out, "{}", finding.line()).context(STANDARD_OUTPUT)?;
        }
        findings.push(finding);
        Ok(())
    };
    let mut looked = None;
    let look_at = |settings: &Settings| {
        let mut looker = light::looker(settings, folder);
        let mut looked = None;
        let finding = camera::check(settings, &mut |frame| {
            if let Ok(looker) = &mut looker {
                looked = Some(looker.look(frame));
            }
        });
        (finding, looked.or(looker.err().map(Err)))
    };
    for part in Part::value_variants().iter().copied().filter(|part| wanted(*part)) {
        match (part, &settings) {
            (Part::Configuration, Ok(settings)) => tell(configuration(settings))?,
            (Part::Configuration, Err(error)) => {
                for mistake in error.mistakes() {
                    tell(Finding::error(part, mistake))?;
                }
            }
            (Part::Camera, Ok(settings)) => {
                let (finding, seen) = look_at(settings);
                let finding = match &seen {
                    Some(Ok(look)) => {
                        let finding = finding.with_reach(Reach::of(look, settings.analysis.min_face_px));
                        camera::judge(finding, look, settings)
                    }
                    _ => finding,
                };
                looked = seen;
                tell(finding)?;
            }
            (Part::Light, Ok(settings)) => {
                if !wanted(Part::Camera) {
                    looked = look_at(settings).1;
                }
                tell(light::check(looked.take()))?;
            }
            (Part::Broker, Ok(settings)) => tell(broker::check(settings))?,
            (Part::Disk, Ok(settings)) => tell(disk::check(settings.spool_directory.as_deref()))?,
            (Part::Models, _) => tell(models::check(folder, settings.as_ref().ok()))?,
            (Part::Clock, _) => tell(clock::check())?,
            (Part::Unit, _) => tell(unit::check())?,
            (Part::Camera | Part::Light | Part::Broker | Part::Disk, Err(_)) => {
                let finding = Finding::skipped(part, "not checked");
                tell(finding.advise("correct the configuration first"))?;
            }
        }
    }
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    if arguments.json {
        let report = serde_json::to_string(&Report { ok: failed == 0, checks: &findings })?;
        writeln!(out, "{report}").context(STANDARD_OUTPUT)?;
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
