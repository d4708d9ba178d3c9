//! `lectern run`: the daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::loading::Loader;
use super::reload::{Exchangeable, Prepared, Requests};
use super::{REMOVE_ALLOW_SHORT, short_windows};
use crate::cli::Run;
use crate::clock::{Stop, SystemClock};
use crate::config::{CameraSource, Settings};
use crate::delivery::payload::{Identity, State};
use crate::delivery::spool::{Folders, Keep, Owner, Spool};
use crate::delivery::{EventLoop, OpenSpool, PublisherConfig, Timing, Update, UpdateSender};
use crate::expression::Sighting;
use crate::help::Problem;
use crate::local_status::{StatusFile, StatusWriter};
use crate::logging::events;
use crate::process::hardening;
use crate::process::signals::{self, Signals};
use crate::readability::Readability;
use crate::systemd::health::{DeviceInfo, Health, Watchdog};
use crate::systemd::notify;
use crate::watch::{At, Observer, Watch};
use crate::window::{Grid, MinuteRecord};

/// What the journal says of a camera whose pictures cannot be decoded.
const UNREADABLE: &str = "most pictures of the camera cannot be decoded and are counted as corrupt; try another USB port and a shorter \
                          cable, or another camera.format: see lectern check --only camera";

/// The variable in which systemd passes the runtime directory.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// Watches and publishes until SIGTERM or SIGINT; reloads the configuration on SIGHUP.
///
/// # Errors
/// When the configuration is wrong, the camera cannot be used, a network cannot be loaded, or windows could not
/// be delivered before the end.
pub fn run(arguments: &Run, models: Option<&Path>) -> anyhow::Result<()> {
    // Before any slow step: an unhandled SIGHUP would end the process.
    let (event_loop, mut signals) = listen_for_signals().context("no event loop")?;
    hardening::lock_memory();
    let loader = Loader { config: arguments.config.clone(), models: models.map(Path::to_owned) };
    let Some(prepared) = loader.start(&event_loop, &mut signals)? else { return Ok(()) };
    let Prepared { mut settings, mut analyzer, device_info } = prepared;
    warn_of_short_windows(&settings);
    let requests = Requests::default();
    let mut camera = Exchangeable::open(&settings, requests.clone())?;

    log_settings(&settings);
    let spool = open_spool(&settings)?;
    let mut seq = spool.next_seq();
    let mut stop = Stop::default();
    requests.begin(&stop);
    let status = StatusFile::default();
    let (setup, watchdog) = plan(&settings, device_info, &stop, &status);
    let setup =
        PublisherConfig { identity: Identity { boot: spool.boot().to_owned(), ..setup.identity }, ..setup };
    let handle = signals::handle(signals, loader.on_request(requests.clone()));
    let (reports, thread) =
        setup.start_on(spool, event_loop, handle).context("the deliver thread did not start")?;
    let mut reporter = Reporter {
        reports,
        state: State::Starting,
        watchdog,
        readability: Readability::default(),
        pause_logged: false,
    };
    notify::ready();
    let outcome = loop {
        let grid = Grid { seconds: settings.window_seconds, origin: Timestamp::UNIX_EPOCH };
        let (clock, rate_hz) = (&SystemClock, settings.rate_hz);
        let watch = Watch { clock, stop: &stop, grid, rate_hz, evenly: false, first_seq: seq };
        let outcome = watch.run(&mut camera, &mut analyzer, &mut reporter);
        // An error ends the process, whatever else was requested.
        let accepted = if outcome.is_ok() { requests.accepted() } else { None };
        let Some(new) = accepted else { break outcome };
        let old = std::mem::replace(&mut settings, new.settings);
        analyzer = new.analyzer;
        camera.exchange(&settings);
        stop = Stop::default();
        requests.begin(&stop);
        let (setup, watchdog) = plan(&settings, new.device_info, &stop, &status);
        let Some(next) = reporter.reports.reload(setup, other_spool(&old, &settings)) else { break outcome };
        seq = next;
        (reporter.watchdog, reporter.readability) = (watchdog, Readability::default());
        reporter.pause_logged = false;
        warn_of_short_windows(&settings);
        log_settings(&settings);
        events::reloaded();
        notify::ready();
    };
    notify::stopping();
    // Turns the camera's light off now, not after the delivery.
    drop(camera);
    reporter.enter(State::Stopping);
    drop(reporter);
    let stopped = stop.is_set();
    let summary = thread.join()?;
    outcome?;
    if !stopped {
        bail!("the recording in camera.device has ended: it cannot be played in a loop");
    }
    if summary.undelivered > 0 && !summary.kept {
        let problem = Problem::new("windows that ended while the broker was away are lost with this process");
        return Err(problem.with_help("spool.directory would keep them").into());
    }
    Ok(())
}

/// An event loop that handles SIGTERM, SIGINT and SIGHUP from now on.
fn listen_for_signals() -> std::io::Result<(EventLoop, Signals)> {
    let event_loop = EventLoop::new()?;
    let signals = event_loop.within(Signals::listen)?;
    Ok((event_loop, signals))
}

/// Logs once what this configuration runs with. The format that a camera then chooses has a line of its own.
fn log_settings(settings: &Settings) {
    let camera = &settings.camera;
    let size = match camera.source {
        CameraSource::Device(_) => format!(", {}x{} requested", camera.width, camera.height),
        CameraSource::Pipe(_) | CameraSource::Recording(_) => String::new(),
    };
    let scheme = if settings.broker.tls.is_some() { "mqtts" } else { "mqtt" };
    log::info!(
        "lectern {}: camera {}{size}; topic {}; broker {scheme}://{}",
        env!("CARGO_PKG_VERSION"),
        camera.source,
        settings.topics.minute,
        settings.broker
    );
}

fn warn_of_short_windows(settings: &Settings) {
    if settings.short_windows {
        log::warn!("{}; {REMOVE_ALLOW_SHORT}", short_windows(settings));
    }
}

/// What a spool keeps with these settings.
fn keep(settings: &Settings) -> Keep {
    let seconds = settings.keep_days.saturating_mul(86_400);
    let records = usize::try_from(seconds / settings.window_seconds).unwrap_or(usize::MAX);
    Keep { records, seconds: Some(seconds), owner: Some(Owner::of(&settings.topics)) }
}

/// Opens the spool of a new configuration, where that is not the old one's.
fn other_spool(old: &Settings, new: &Settings) -> Option<OpenSpool> {
    if (&old.spool_directory, keep(old)) == (&new.spool_directory, keep(new)) {
        return None;
    }
    // Records in a folder that is no longer configured stay there.
    if let Some(left) = old.spool_directory.as_deref().filter(|_| old.spool_directory != new.spool_directory)
    {
        log::warn!(
            "spool.directory was {}: minutes that wait there are delivered when it is named again",
            left.display()
        );
    }
    let settings = new.clone();
    Some(Box::new(move || open_spool(&settings).map_err(Into::into)))
}

/// Opens the spool with the records of earlier runs.
fn open_spool(settings: &Settings) -> anyhow::Result<Spool> {
    // systemd gives several, separated by colons, where a unit names several; ours names one.
    let runtime = std::env::var_os(RUNTIME_DIRECTORY).map(PathBuf::from);
    let folders = Folders::open(settings.spool_directory.as_deref(), runtime.as_deref());
    Spool::open(folders, keep(settings)).context("no random bytes for the boot's name")
}

/// The deliver thread's setup for a configuration, without the boot's name, which is the spool's; and the watchdog over both
/// threads.
fn plan(
    settings: &Settings,
    device_info: DeviceInfo,
    stop: &Stop,
    status: &StatusFile,
) -> (PublisherConfig, Watchdog) {
    let window = Duration::from_secs(settings.window_seconds.into());
    let health = Arc::new(Health::new(Arc::new(SystemClock), window).with(device_info));
    let setup = PublisherConfig {
        broker: settings.broker.clone(),
        topics: settings.topics.clone(),
        identity: Identity { device: settings.device.clone(), boot: String::new() },
        basis: settings.basis.clone(),
        discovery: settings.discovery.clone(),
        timing: Timing::default(),
        clock: Arc::new(SystemClock),
        stop: stop.clone(),
        monitor: Arc::new(StatusWriter::new(Arc::clone(&health), status)),
    };
    (setup, Watchdog::new(health, notify::watchdog()))
}

/// Sends the watch's results to the deliver thread, and its health to systemd.
struct Reporter {
    reports: UpdateSender,
    state: State,
    watchdog: Watchdog,
    readability: Readability,
    /// Whether the recording's pause was logged; it recurs in each loop of the recording.
    pause_logged: bool,
}

impl Reporter {
    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.reports.send(Update::State(state));
        }
        notify::send(&self.watchdog.notification(match state {
            State::Starting => "starting",
            State::Watching => "watching",
            State::CameraLost => "camera lost, it is looked for",
            State::CameraUnreadable => "most pictures of the camera cannot be decoded",
            State::Stopping | State::Offline => "publishing what is left",
        }));
    }
}

impl Observer for Reporter {
    fn frame(&mut self, at: At, sightings: Option<&[Sighting]>) {
        let is_decoded = sightings.is_some();
        if is_decoded {
            self.watchdog.frame();
        } else {
            self.watchdog.corrupt();
        }
        let was_unreadable = self.state == State::CameraUnreadable;
        match (self.readability.add(at.tick, is_decoded), is_decoded) {
            (true, _) => {
                if !was_unreadable {
                    events::camera_unreadable(UNREADABLE);
                }
                self.enter(State::CameraUnreadable);
            }
            (false, true) => {
                if was_unreadable {
                    events::camera_back();
                }
                self.enter(State::Watching);
            }
            // A damaged picture alone changes no state.
            (false, false) => self.enter(self.state),
        }
    }

    fn missing(&mut self, _offset: Duration) {
        // The source responded, if without a picture.
        self.watchdog.camera_away();
        self.enter(State::Watching);
        if !std::mem::replace(&mut self.pause_logged, true) {
            log::warn!(
                "the recording in camera.device has stretches without a picture; their frames are not counted"
            );
        }
    }

    fn camera_lost(&mut self) {
        // The next frame reports that it is back.
        self.camera_away();
    }

    fn camera_away(&mut self) {
        self.watchdog.camera_away();
        self.readability = Readability::default();
        self.enter(State::CameraLost);
    }

    fn open_window(&mut self, record: MinuteRecord) {
        self.reports.send(Update::Open(record.as_aggregate()));
    }

    fn window(&mut self, record: MinuteRecord) {
        self.watchdog.window();
        self.reports.send(Update::Record(record.as_aggregate()));
    }
}
