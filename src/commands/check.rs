//! `lectern check`: one line for each thing the daemon needs, and what to do about what is missing.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::{STANDARD_OUTPUT, open_camera};
use crate::camera::v4l2::V4l2;
use crate::camera::{Capture, Frame, FrameSource};
use crate::cli::{Check, Part};
use crate::clock::{Clock, SystemClock, synced_by_timesyncd};
use crate::config::{CameraSource, Settings};
use crate::delivery::{Answer, payload, probe, spool};
use crate::service::printable::Printable;
use crate::vision::classifier::Classifier;
use crate::vision::look::Looker;
use crate::vision::models::ModelStore;
use crate::vision::{Analyzer, VisionError};

/// Frames that are thrown away first: a camera needs some to find its exposure.
const SETTLING: u32 = 5;

/// Mean luma that is good for finding faces, from 0 to 255.
pub(super) const GOOD_LIGHT: std::ops::RangeInclusive<f32> = 50.0..=220.0;

/// Room below which the disk is as good as full, and below which it will be soon, in bytes. A week of minutes
/// takes some 7 MB.
const FULL: u64 = 1 << 20;
const NEARLY_FULL: u64 = 64 << 20;

/// The start of 2025: a clock before that has not been set.
const CERTAINLY_PAST: i64 = 1_735_689_600;

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Failed,
    /// It could not be looked at, because something else is missing.
    Skipped,
}

/// What was found, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    part: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    /// `told` is what was found, then, after a semicolon, what to do: as our errors put it.
    fn new(part: Part, verdict: Verdict, told: impl Display) -> Self {
        let told = Printable(told).to_string();
        let (found, advice) = match told.split_once("; ") {
            Some((found, advice)) => (found.to_owned(), Some(advice.to_owned())),
            None => (told, None),
        };
        Self { part: name(part), verdict, found, advice }
    }

    fn ok(part: Part, told: impl Display) -> Self {
        Self { part: name(part), verdict: Verdict::Ok, found: Printable(told).to_string(), advice: None }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed",
            Verdict::Skipped => "skipped",
        };
        let advice = self.advice.as_ref().map_or_else(String::new, |advice| format!("; {advice}"));
        format!("{verdict:<8} {:<14} {}{advice}", self.part, self.found)
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Finding],
}

const PARTS: [Part; 8] = [
    Part::Configuration,
    Part::Camera,
    Part::Light,
    Part::Models,
    Part::Broker,
    Part::Clock,
    Part::Disk,
    Part::Unit,
];

fn name(part: Part) -> &'static str {
    match part {
        Part::Configuration => "configuration",
        Part::Camera => "camera",
        Part::Light => "light",
        Part::Models => "models",
        Part::Broker => "broker",
        Part::Clock => "clock",
        Part::Disk => "disk",
        Part::Unit => "unit",
    }
}

/// Checks and prints one line a part, or one JSON object.
///
/// # Errors
/// When any check failed, or standard output cannot be written.
pub fn run(arguments: &Check, models: Option<&Path>) -> anyhow::Result<()> {
    let wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut out = std::io::stdout().lock();
    let mut findings = Vec::new();
    let mut tell = |finding: Finding| -> anyhow::Result<()> {
        if !arguments.json {
            writeln!(out, "{}", finding.line()).context(STANDARD_OUTPUT)?;
        }
        findings.push(finding);
        Ok(())
    };
    let settings = Settings::load(&arguments.config);
    let mut frame = None;
    for part in PARTS.into_iter().filter(|part| wanted(*part)) {
        match (part, &settings) {
            (Part::Configuration, Ok(settings)) => tell(configuration(settings))?,
            (Part::Configuration, Err(error)) => tell(Finding::new(part, Verdict::Failed, error))?,
            (Part::Camera, Ok(settings)) => {
                let (finding, seen) = camera(settings);
                frame = seen;
                tell(finding)?;
            }
            (Part::Light, Ok(settings)) => {
                if !wanted(Part::Camera) {
                    frame = camera(settings).1;
                }
                tell(light(settings, models, frame.take()))?;
            }
            (Part::Broker, Ok(settings)) => tell(broker(settings))?,
            (Part::Disk, Ok(settings)) => tell(disk(settings.spool_directory.as_deref()))?,
            (Part::Models, _) => tell(self_test(models, settings.as_ref().ok()))?,
            (Part::Clock, _) => {
                tell(clock(SystemClock.wall().as_second(), SystemClock.synced(), synced_by_timesyncd()))?
            }
            (Part::Unit, _) => tell(unit())?,
            (Part::Camera | Part::Light | Part::Broker | Part::Disk, Err(_)) => {
                tell(Finding::new(part, Verdict::Skipped, "not checked; correct the configuration first"))?;
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
        let told =
            format!("{problem}; put it there, or correct the key: the broker is not reached without it");
        return Finding::new(Part::Configuration, Verdict::Failed, told);
    }
    Finding::ok(
        Part::Configuration,
        format_args!("publishes on {}, because of: {}", settings.topics.minute, settings.basis),
    )
}

/// What the camera offers, and a frame of it.
fn camera(settings: &Settings) -> (Finding, Option<Frame>) {
    let failed = |told: &dyn Display| (Finding::new(Part::Camera, Verdict::Failed, told), None);
    let mut offers = String::new();
    if let CameraSource::Device(device) = &settings.camera.source {
        let mut opened = V4l2::new(device, settings.camera.width, settings.camera.height, settings.rate_hz);
        match opened.formats() {
            Ok(formats) => offers = format!("offers {}, ", first(&formats)),
            Err(error) => return failed(&error),
        }
        if service_is_active() {
            return (
                Finding::ok(Part::Camera, format_args!("{offers}is in use by the running service")),
                None,
            );
        }
    }
    let mut source = match open_camera(settings) {
        Ok(source) => source,
        Err(error) => return failed(&error),
    };
    match settle(source.as_mut()) {
        Ok(Some(frame)) => {
            let told = format!("{offers}gives {} x {} pixels", frame.width(), frame.height());
            (Finding::ok(Part::Camera, told), Some(frame))
        }
        Ok(None) => failed(&"every frame was torn or empty; try another USB port and a shorter cable"),
        Err(error) => failed(&error),
    }
}

/// The first few of a list.
fn first(names: &[String]) -> String {
    const FEW: usize = 8;
    let more = names.len().saturating_sub(FEW);
    let few = names[..names.len().min(FEW)].join(", ");
    if more > 0 { format!("{few} and {more} more") } else { few }
}

/// The last good one of a few frames.
fn settle(source: &mut dyn FrameSource) -> Result<Option<Frame>, crate::camera::CameraError> {
    let mut last = None;
    for _ in 0..=SETTLING {
        if let Capture::Frame(frame) = source.next()? {
            last = Some(frame);
        }
    }
    Ok(last)
}

fn light(settings: &Settings, models: Option<&Path>, frame: Option<Frame>) -> Finding {
    let Some(frame) = frame else {
        return Finding::new(Part::Light, Verdict::Skipped, "not measured; there was no frame to look at");
    };
    let looked = ModelStore::open(models)
        .and_then(|store| Looker::new(&store, settings.analysis.region))
        .and_then(|mut looker| looker.look(&frame));
    match looked {
        Ok(look) => judge_light(look.light),
        Err(error) => Finding::new(Part::Light, Verdict::Failed, error),
    }
}

fn judge_light(light: f32) -> Finding {
    let measured = format!("brightness {light:.0} of 255");
    if light < *GOOD_LIGHT.start() {
        let advice = "light the lecturer, or turn the camera away from the window";
        Finding::new(Part::Light, Verdict::Warning, format_args!("{measured}: dark; {advice}"))
    } else if light > *GOOD_LIGHT.end() {
        let advice = "turn the camera away from the window or the lamp";
        Finding::new(Part::Light, Verdict::Warning, format_args!("{measured}: glaring; {advice}"))
    } else {
        Finding::ok(Part::Light, measured)
    }
}

/// Whether the networks are those of the manifest, run, and are fast enough for the configured rate.
fn self_test(models: Option<&Path>, settings: Option<&Settings>) -> Finding {
    match try_models(models, settings) {
        Ok((false, _)) => Finding::new(
            Part::Models,
            Verdict::Failed,
            "the networks give nonsense on a test picture; install the package again",
        ),
        Ok((true, took)) => {
            let told = format!("as the manifest says; a search takes {} ms", took.as_millis());
            match settings.filter(|settings| took.as_secs_f64() > 1.0 / settings.rate_hz) {
                Some(_) => Finding {
                    advice: Some("lower analysis.rate_hz or raise analysis.min_face_px".to_owned()),
                    ..Finding::new(Part::Models, Verdict::Warning, told.replace("; ", ", "))
                },
                None => Finding::ok(Part::Models, told),
            }
        }
        Err(error) => {
            Finding::new(Part::Models, Verdict::Failed, format_args!("{error}; install the package again"))
        }
    }
}

/// Whether the outputs are sane, and how long a full search of an empty picture takes.
fn try_models(models: Option<&Path>, settings: Option<&Settings>) -> Result<(bool, Duration), VisionError> {
    let store = ModelStore::open(models)?;
    let probabilities = Classifier::new(&store)?.classify_crop(&Frame::black(48, 48))?;
    let sane = probabilities.iter().all(|p| (0.0..=1.0).contains(p))
        && (probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-3;
    let mut analyzer = Analyzer::new(&store, None, settings.map(|s| s.analysis).unwrap_or_default())?;
    let (width, height) = settings.map_or((640, 480), |s| (s.camera.width, s.camera.height));
    let picture = Frame::black(width as usize, height as usize);
    // The first one also plans the networks for this size.
    let empty = analyzer.analyze(&picture)?.is_empty();
    // Else nothing has moved, and nothing would be searched.
    analyzer.forget();
    let began = SystemClock.boot();
    analyzer.analyze(&picture)?;
    Ok((sane && empty, SystemClock.boot().saturating_sub(began)))
}

fn broker(settings: &Settings) -> Finding {
    match probe(&settings.broker, &settings.topics.check, &payload::check(&settings.device)) {
        Ok(Answer::Returned) => {
            let told = format!("{} takes messages on {}", settings.broker, settings.topics.check);
            Finding::ok(Part::Broker, told)
        }
        Ok(Answer::Acknowledged) => {
            let told = format!(
                "{} acknowledged the test message and did not give it back; its access rules may throw away what this \
                 device publishes: let it read {} and check again, or look for the message on the other side",
                settings.broker, settings.topics.check
            );
            Finding::new(Part::Broker, Verdict::Warning, told)
        }
        Err(error) => Finding::new(Part::Broker, Verdict::Failed, error),
    }
}

fn clock(now: i64, synced: bool, by_timesyncd: bool) -> Finding {
    if now < CERTAINLY_PAST {
        let told = "has not been set; connect the network, and see timedatectl";
        Finding::new(Part::Clock, Verdict::Failed, told)
    } else if synced && by_timesyncd {
        Finding::ok(Part::Clock, "synchronised")
    } else if synced {
        let told = "is synchronised, but not by systemd-timesyncd, and the service may not ask the kernel; add \
                    SystemCallFilter=adjtimex clock_adjtime with systemctl edit lectern";
        Finding::new(Part::Clock, Verdict::Warning, told)
    } else {
        let told = "is not synchronised: minutes say clock_synced false; see timedatectl, \
                    or with chrony set rtcsync";
        Finding::new(Part::Clock, Verdict::Warning, told)
    }
}

fn disk(directory: Option<&Path>) -> Finding {
    let Some(directory) = directory else {
        let told = "no spool.directory: minutes wait for a broker in memory only; the service makes one at its first start";
        return Finding::new(Part::Disk, Verdict::Warning, told);
    };
    let place = directory.display();
    if std::fs::metadata(directory).is_ok_and(|found| !found.is_dir()) {
        let told = format!("{place} is not a folder; name a folder in spool.directory");
        return Finding::new(Part::Disk, Verdict::Failed, told);
    }
    match rustix::fs::statvfs(directory) {
        Ok(disk) => {
            let read_only = disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
            let room = judge_disk(&place.to_string(), disk.f_bavail.saturating_mul(disk.f_frsize), read_only);
            match spool::inspect(directory) {
                Ok(found) => judge_files(&place.to_string(), &found, room),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    let told = format!("{place} may not be looked at; run lectern check as root");
                    if room.verdict == Verdict::Failed {
                        room
                    } else {
                        Finding::new(Part::Disk, Verdict::Warning, told)
                    }
                }
                Err(error) => {
                    let told = format!("{place} cannot be read: {error}; check the SD card");
                    Finding::new(Part::Disk, Verdict::Failed, told)
                }
            }
        }
        Err(rustix::io::Errno::NOENT) => {
            let told = format!("{place} is not there yet; the service makes it at its first start");
            Finding::new(Part::Disk, Verdict::Warning, told)
        }
        Err(rustix::io::Errno::ACCESS) => {
            let told = format!("{place} may not be looked at; run lectern check as root");
            Finding::new(Part::Disk, Verdict::Warning, told)
        }
        Err(error) => Finding::new(Part::Disk, Verdict::Failed, format_args!("{place}: {error}")),
    }
}

/// What the files of the spool add to what is said of the room for them.
fn judge_files(place: &str, found: &spool::Inspection, room: Finding) -> Finding {
    let several = |names: &[String]| {
        let what = if names.len() == 1 { "1 file".to_owned() } else { format!("{} files", names.len()) };
        (what, first(names))
    };
    if let Some((_, error)) = found.unreadable.first() {
        let names: Vec<_> = found.unreadable.iter().map(|(name, _)| name.clone()).collect();
        let (what, names) = several(&names);
        let told = format!(
            "{place}: {what} of minutes cannot be read ({names}: {error}); save what the disk still gives, and replace \
             it within a day, or these minutes are lost"
        );
        return Finding::new(Part::Disk, Verdict::Failed, told);
    }
    if room.verdict != Verdict::Failed && !found.aside.is_empty() {
        let (what, names) = several(&found.aside);
        let told = format!(
            "{place}: {what} of minutes could not be read for a day ({names}), and these minutes count as dropped; \
             replace the disk, then remove what begins with aside-"
        );
        return Finding::new(Part::Disk, Verdict::Warning, told);
    }
    room
}

fn judge_disk(place: &str, free: u64, read_only: bool) -> Finding {
    let room = format!("{place}: {} MB free", free >> 20);
    if read_only {
        let told = format!("{place} is read-only; minutes cannot wait for a broker there: check the SD card");
        Finding::new(Part::Disk, Verdict::Failed, told)
    } else if free < FULL {
        Finding::new(
            Part::Disk,
            Verdict::Failed,
            format_args!("{room}: full; make room, or minutes are lost"),
        )
    } else if free < NEARLY_FULL {
        Finding::new(Part::Disk, Verdict::Warning, format_args!("{room}; make room soon"))
    } else {
        Finding::ok(Part::Disk, room)
    }
}

/// What systemd says of the service, property by property.
fn service(property: &str) -> Option<String> {
    let output = Command::new("systemctl")
        .args(["show", "--value", "-p", property, "lectern.service"])
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn service_is_active() -> bool {
    sd_notify::booted().unwrap_or_default() && service("ActiveState").is_some_and(|state| state == "active")
}

fn unit() -> Finding {
    if !sd_notify::booted().unwrap_or_default() {
        return Finding::new(Part::Unit, Verdict::Skipped, "systemd does not run here");
    }
    let of = |property| service(property).unwrap_or_default();
    judge_unit(&of("LoadState"), &of("ActiveState"), &of("UnitFileState"), &of("StatusText"))
}

fn judge_unit(loaded: &str, active: &str, enabled: &str, status: &str) -> Finding {
    let warn = |told: &str| Finding::new(Part::Unit, Verdict::Warning, told);
    match (loaded, active) {
        ("loaded", "active" | "reloading") if enabled == "enabled" => Finding::ok(Part::Unit, status),
        ("loaded", "active" | "reloading") => {
            warn("runs, but would not after a restart of the machine; systemctl enable lectern")
        }
        ("loaded", "failed") => Finding::new(
            Part::Unit,
            Verdict::Failed,
            "lectern.service has failed; see journalctl -u lectern, then systemctl restart lectern",
        ),
        ("loaded", _) => warn("lectern.service does not run; systemctl enable --now lectern"),
        _ => warn("lectern.service is not installed; install the package"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_its_year_and_its_synchronisation() {
        assert_eq!(clock(0, true, true).verdict, Verdict::Failed);
        assert_eq!(clock(CERTAINLY_PAST, true, true).verdict, Verdict::Ok);
        let chrony = clock(CERTAINLY_PAST, true, false);
        assert_eq!(chrony.verdict, Verdict::Warning);
        assert!(chrony.advice.unwrap().contains("SystemCallFilter"));
        let unsynced = clock(CERTAINLY_PAST, false, false);
        assert_eq!(unsynced.verdict, Verdict::Warning);
        assert!(unsynced.advice.unwrap().contains("timedatectl"));
    }

    #[test]
    fn a_full_or_read_only_disk_is_a_failure() {
        assert_eq!(judge_disk("/d", 0, false).verdict, Verdict::Failed);
        assert_eq!(judge_disk("/d", 10 << 20, false).verdict, Verdict::Warning);
        assert_eq!(judge_disk("/d", 1 << 30, false).verdict, Verdict::Ok);
        assert_eq!(judge_disk("/d", 1 << 30, true).verdict, Verdict::Failed);
        assert_eq!(disk(Some(Path::new("/no/such/folder"))).verdict, Verdict::Warning);
    }

    #[test]
    fn light_is_judged_from_both_ends() {
        assert_eq!(judge_light(20.0).verdict, Verdict::Warning);
        assert_eq!(judge_light(120.0).verdict, Verdict::Ok);
        assert_eq!(judge_light(250.0).verdict, Verdict::Warning);
    }

    #[test]
    fn a_unit_that_failed_is_a_failure_and_one_that_rests_a_warning() {
        let status = "watching, 2.0 frames/s, broker connected";
        assert_eq!(judge_unit("loaded", "active", "enabled", status), Finding::ok(Part::Unit, status));
        assert_eq!(judge_unit("loaded", "active", "disabled", status).verdict, Verdict::Warning);
        assert_eq!(judge_unit("loaded", "failed", "enabled", "").verdict, Verdict::Failed);
        assert_eq!(judge_unit("loaded", "inactive", "disabled", "").verdict, Verdict::Warning);
        assert_eq!(judge_unit("not-found", "inactive", "", "").verdict, Verdict::Warning);
    }
}
