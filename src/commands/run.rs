//! `lectern run`: the daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::reload::{Exchangeable, Prepared, Requests};
use super::{REMOVE_ALLOW_SHORT, explain, short_windows};
use crate::cli::Run;
use crate::clock::{Stop, SystemClock};
use crate::config::Settings;
use crate::delivery::payload::{Identity, State};
use crate::delivery::spool::{Folders, MOST_BYTES, Spool};
use crate::delivery::{EventLoop, OpenSpool, Report, Reports, Setup, Timing};
use crate::expression::Sighting;
use crate::help::{Causes, Problem};
use crate::local_status::{StatusFile, StatusWriter};
use crate::logging::events;
use crate::process::hardening;
use crate::process::signals::{self, OnRequest, Request, Signals};
use crate::systemd::health::{Equipment, Health, Pulse};
use crate::systemd::notify;
use crate::watch::{At, Observer, Watch};
use crate::window::{Grid, MinuteRecord};

/// Where systemd says that this daemon's runtime directory is.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// Watches and publishes until SIGTERM or SIGINT; takes over a new configuration on SIGHUP.
///
/// # Errors
/// When the configuration is wrong, the camera cannot be used, a network cannot be loaded, or windows could not
/// be delivered before the end.
pub fn run(arguments: &Run, models: Option<&Path>) -> anyhow::Result<()> {
    // Before anything takes its time, for a SIGHUP that nobody hears would end the process.
    let (event_loop, signals) = hear_signals().context("no event loop")?;
    hardening::lock_memory();
    let settings = Settings::load(&arguments.config)?;
    for problem in settings.unreadable_files() {
        log::warn!("{}; looked for again at each connection", Causes(&problem));
    }
    warn_of_short_windows(&settings);
    let Prepared { mut settings, mut analyzer, equipment } = Prepared::new(settings, models)?;
    let requests = Requests::default();
    let mut camera = Exchangeable::open(&settings, requests.clone())?;

    log_settings(&settings);
    let spool = open_spool(&settings)?;
    let mut seq = spool.next_seq();
    let mut stop = Stop::default();
    requests.begin(&stop);
    let status = StatusFile::default();
    let (setup, pulse) = plan(&settings, equipment, &stop, &status);
    let setup = Setup { identity: Identity { boot: spool.boot().to_owned(), ..setup.identity }, ..setup };
    let on_request = on_request(arguments.config.clone(), models.map(Path::to_owned), requests.clone());
    let (reports, thread) = setup
        .start_on(spool, event_loop, signals::heard(signals, on_request))
        .context("the deliver thread did not start")?;
    let mut reporter = Reporter { reports, state: State::Starting, pulse, told_of_pause: false };
    notify::ready();
    let outcome = loop {
        let grid = Grid { seconds: settings.window_seconds, origin: Timestamp::UNIX_EPOCH };
        let (clock, rate_hz) = (&SystemClock, settings.rate_hz);
        let watch = Watch { clock, stop: &stop, grid, rate_hz, evenly: false, first_seq: seq };
        let outcome = watch.run(&mut camera, &mut analyzer, &mut reporter);
        // An error ends the process, whatever else was asked for.
        let accepted = if outcome.is_ok() { requests.accepted() } else { None };
        let Some(new) = accepted else { break outcome };
        let old = std::mem::replace(&mut settings, new.settings);
        analyzer = new.analyzer;
        camera.exchange(&settings);
        stop = Stop::default();
        requests.begin(&stop);
        let (setup, pulse) = plan(&settings, new.equipment, &stop, &status);
        let Some(next) = reporter.reports.reload(setup, other_spool(&old, &settings)) else { break outcome };
        seq = next;
        (reporter.pulse, reporter.told_of_pause) = (pulse, false);
        warn_of_short_windows(&settings);
        log_settings(&settings);
        events::reloaded();
        notify::ready();
    };
    notify::stopping();
    // The camera's light goes out now, not when the broker has everything.
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

/// An event loop that hears SIGTERM, SIGINT and SIGHUP from now on.
fn hear_signals() -> std::io::Result<(EventLoop, Signals)> {
    let event_loop = EventLoop::new()?;
    let signals = event_loop.within(Signals::listen)?;
    Ok((event_loop, signals))
}

/// Logs once what this configuration runs with. The format that a camera then chooses has a line of its own.
fn log_settings(settings: &Settings) {
    let camera = &settings.camera;
    let size = match camera.source.is_camera() {
        true => format!(", {}x{} requested", camera.width, camera.height),
        false => String::new(),
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

/// What of the configuration a spool depends on.
fn kept_in(settings: &Settings) -> (Option<&Path>, u32, u32) {
    (settings.spool_directory.as_deref(), settings.keep_days, settings.window_seconds)
}

/// Opens the spool of a new configuration, where that is not the old one's.
fn other_spool(old: &Settings, new: &Settings) -> Option<OpenSpool> {
    if kept_in(old) == kept_in(new) {
        return None;
    }
    // What waits in a folder that is not named any more stays there.
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

/// Opens the spool with what an earlier run left in it.
fn open_spool(settings: &Settings) -> anyhow::Result<Spool> {
    let capacity = u64::from(settings.keep_days) * 86_400 / u64::from(settings.window_seconds);
    // systemd gives several, separated by colons, where a unit names several; ours names one.
    let runtime = std::env::var_os(RUNTIME_DIRECTORY).map(PathBuf::from);
    let folders = Folders::open(settings.spool_directory.as_deref(), runtime.as_deref());
    Spool::open(folders, usize::try_from(capacity)?, MOST_BYTES)
        .context("no random bytes for the boot's name")
}

/// What a configuration asks of the deliver thread, but for the boot's name, which is the spool's; and the pulse that both
/// threads keep.
fn plan(settings: &Settings, equipment: Equipment, stop: &Stop, status: &StatusFile) -> (Setup, Pulse) {
    let window = Duration::from_secs(settings.window_seconds.into());
    let health = Arc::new(Health::new(Arc::new(SystemClock), window).with(equipment));
    let setup = Setup {
        broker: settings.broker.clone(),
        topics: settings.topics.clone(),
        identity: Identity { device: settings.device.clone(), boot: String::new() },
        basis: settings.basis.clone(),
        discovery: settings.discovery.then_some(settings.window_seconds),
        timing: Timing::default(),
        clock: Arc::new(SystemClock),
        stop: stop.clone(),
        monitor: Arc::new(StatusWriter::new(Arc::clone(&health), status)),
    };
    (setup, Pulse::new(health, notify::watchdog()))
}

/// SIGTERM and SIGINT end the watch. SIGHUP has a new configuration tried, once everything of it but the camera is known to
/// work: the deliver thread loads the networks, so that the watch misses no frame meanwhile.
fn on_request(file: PathBuf, models: Option<PathBuf>, requests: Requests) -> OnRequest {
    Box::new(move |request| match request {
        Request::Stop => {
            log::info!("asked to stop: publishing the open window, then leaving");
            requests.leave();
        }
        Request::Reload => match load_again(&file, models.as_deref()) {
            Ok(candidate) => requests.try_out(candidate),
            Err(error) => explain::lines(&error).iter().for_each(|line| events::reload_refused(line)),
        },
    })
}

/// Reads a changed configuration. One whose files are missing is refused, for the old one works; at the start they are
/// waited for.
fn load_again(file: &Path, models: Option<&Path>) -> anyhow::Result<Prepared> {
    let settings = Settings::load(file)?;
    match settings.unreadable_files().into_iter().next() {
        Some(problem) => Err(problem.into()),
        None => Ok(Prepared::new(settings, models)?),
    }
}

/// Hands what the watch sees to the deliver thread, and tells systemd how it goes.
struct Reporter {
    reports: Reports,
    state: State,
    pulse: Pulse,
    /// Whether it was said that the recording pauses; it does so again in each round.
    told_of_pause: bool,
}

impl Reporter {
    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.reports.send(Report::State(state));
        }
        notify::words(&self.pulse.words(match state {
            State::Starting => "starting",
            State::Watching => "watching",
            State::CameraLost => "camera lost, it is looked for",
            State::Stopping | State::Offline => "publishing what is left",
        }));
    }
}

impl Observer for Reporter {
    fn frame(&mut self, _at: At, _sightings: Option<&[Sighting]>) {
        self.pulse.frame();
        self.enter(State::Watching);
    }

    fn missing(&mut self, _offset: Duration) {
        // The source answered, if without a picture.
        self.pulse.camera_away();
        self.enter(State::Watching);
        if !std::mem::replace(&mut self.told_of_pause, true) {
            log::warn!(
                "the recording in camera.device has stretches without a picture; their frames are not counted"
            );
        }
    }

    fn camera_lost(&mut self) {
        // That it is back is told by the next frame.
        self.camera_away();
    }

    fn camera_away(&mut self) {
        self.pulse.camera_away();
        self.enter(State::CameraLost);
    }

    fn open_window(&mut self, record: MinuteRecord) {
        self.reports.send(Report::Open(record.as_aggregate()));
    }

    fn window(&mut self, record: MinuteRecord) {
        self.pulse.window();
        self.reports.send(Report::Record(record.as_aggregate()));
    }
}
