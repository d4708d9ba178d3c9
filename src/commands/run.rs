//! `lectern run`: the daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use jiff::Timestamp;

use crate::camera::v4l2::V4l2;
use crate::camera::{CameraError, FrameSource, open_recording};
use crate::cli::Run;
use crate::clock::{Stop, SystemClock};
use crate::config::{CameraSource, Settings};
use crate::delivery::payload::{Identity, State};
use crate::delivery::spool::{Folders, MOST_BYTES, Spool};
use crate::delivery::{Delivery, Report, Reports, Timing};
use crate::expression::Sighting;
use crate::service::notify;
use crate::tally::{Grid, MinuteRecord};
use crate::vision::Analyzer;
use crate::vision::engine::ModelStore;
use crate::watch::{Observer, Watch};

/// Where systemd says that this daemon's runtime directory is.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// Watches and publishes until SIGTERM or SIGINT.
///
/// # Errors
/// When the configuration is wrong, the camera cannot be used, a network cannot be loaded, or windows could not
/// be delivered before the end.
pub fn run(arguments: &Run, models: Option<&Path>) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config)?;
    let mut analyzer = Analyzer::new(&ModelStore::open(models)?, None, settings.analysis)?;
    let mut source = open_camera(&settings)?;
    let stop = Stop::default();
    let spool = open_spool(&settings)?;
    let first_seq = spool.next_seq();
    let delivery = Delivery {
        broker: settings.broker.clone(),
        topics: settings.topics.clone(),
        identity: Identity { device: settings.device.clone(), boot: spool.boot().to_owned() },
        basis: settings.basis.clone(),
        spool,
        discovery: settings.discovery.then_some(settings.window_seconds),
        timing: Timing::default(),
        clock: Arc::new(SystemClock),
        stop: stop.clone(),
        handle_signals: true,
    };
    let (reports, thread) = delivery.start().context("the deliver thread did not start")?;
    notify::ready();
    let grid = Grid { seconds: settings.window_seconds, origin: Timestamp::UNIX_EPOCH };
    let watch = Watch { clock: &SystemClock, stop: &stop, grid, rate_hz: settings.rate_hz, first_seq };
    let mut reporter = Reporter { reports, state: State::Starting };
    let outcome = watch.run(source.as_mut(), &mut analyzer, &mut reporter);
    notify::stopping();
    // The camera's light goes out now, not when the broker has everything.
    drop(source);
    drop(analyzer);
    reporter.enter(State::Stopping);
    drop(reporter);
    let asked = stop.is_set();
    let summary = thread.join()?;
    outcome?;
    if !asked {
        bail!("the recording in camera.device has ended: it cannot be played in a loop");
    }
    if summary.undelivered > 0 && !summary.kept {
        bail!(
            "windows that ended while the broker was away are lost with this process; spool.directory would keep them"
        );
    }
    Ok(())
}

/// Opens the spool with what an earlier run left in it.
fn open_spool(settings: &Settings) -> anyhow::Result<Spool> {
    let capacity = u64::from(settings.keep_days) * 86_400 / u64::from(settings.window_seconds);
    // systemd may give several, separated by colons; the unit names one.
    let runtime = std::env::var_os(RUNTIME_DIRECTORY).map(PathBuf::from);
    let folders = Folders::open(settings.spool_directory.as_deref(), runtime.as_deref());
    Spool::open(folders, usize::try_from(capacity)?, MOST_BYTES)
        .context("no random bytes for the boot's name")
}

/// Opens what `camera.device` names. A camera that is away is not an error: the watch waits for it.
fn open_camera(settings: &Settings) -> Result<Box<dyn FrameSource>, CameraError> {
    let camera = &settings.camera;
    match &camera.source {
        CameraSource::Recording(path) => open_recording(path, settings.rate_hz, true),
        CameraSource::Device(device) => {
            let mut opened = V4l2::new(device, camera.width, camera.height, settings.rate_hz);
            match opened.reopen() {
                Ok(()) | Err(CameraError::Lost { .. }) => Ok(Box::new(opened)),
                Err(error) => Err(error),
            }
        }
    }
}

/// Hands what the watch sees to the deliver thread.
struct Reporter {
    reports: Reports,
    state: State,
}

impl Reporter {
    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.reports.send(Report::State(state));
            notify::status(match state {
                State::Starting => "starting",
                State::Watching => "watching",
                State::CameraLost => "the camera is lost; it is looked for",
                State::Stopping | State::Offline => "publishing what is left",
            });
        }
    }
}

impl Observer for Reporter {
    fn frame(&mut self, _offset: std::time::Duration, _sightings: Option<&[Sighting]>) {
        self.enter(State::Watching);
    }

    fn camera_lost(&mut self) {
        // That it is back is told by the next frame.
        self.enter(State::CameraLost);
    }

    fn open_window(&mut self, record: MinuteRecord) {
        self.reports.send(Report::Open(record));
    }

    fn window(&mut self, record: MinuteRecord) {
        self.reports.send(Report::Record(record));
    }
}
