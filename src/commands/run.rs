//! `lectern run`: the daemon.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::open_camera;
use crate::camera::FrameSource;
use crate::cli::Run;
use crate::clock::{Stop, SystemClock};
use crate::config::Settings;
use crate::delivery::payload::{Identity, State};
use crate::delivery::spool::{Folders, MOST_BYTES, Spool};
use crate::delivery::{EventLoop, OnRequest, Report, Reports, Setup, Timing};
use crate::expression::Sighting;
use crate::help::Causes;
use crate::service::health::{Equipment, Health, Pulse};
use crate::service::signals::Request;
use crate::service::{events, lockdown, notify};
use crate::tally::{Grid, MinuteRecord};
use crate::vision::Analyzer;
use crate::vision::models::ModelStore;
use crate::watch::{Observer, Watch};

/// Where systemd says that this daemon's runtime directory is.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// Watches and publishes until SIGTERM or SIGINT; takes over a new configuration on SIGHUP.
///
/// # Errors
/// When the configuration is wrong, the camera cannot be used, a network cannot be loaded, or windows could not
/// be delivered before the end.
pub fn run(arguments: &Run, models: Option<&Path>) -> anyhow::Result<()> {
    // Before anything takes its time, for a SIGHUP that nobody hears would end the process.
    let event_loop = EventLoop::hearing_signals().context("no event loop")?;
    lockdown::lock_memory();
    let mut settings = Settings::load(&arguments.config)?;
    for problem in settings.unreadable_files() {
        log::warn!("{}; looked for again at each connection", Causes(&problem));
    }
    let (mut source, mut analyzer, mut equipment) = open(&settings, models)?;
    let mut round = Round { file: arguments.config.clone(), spool: None, event_loop: Some(event_loop) };
    while let Some(new) = round.watch(&settings, source, &mut analyzer, equipment.clone())? {
        if kept_in(&new) != kept_in(&settings) {
            round.close_spool();
            tell_of_folder_left(&settings, &new);
        }
        match open(&new, models) {
            Ok(opened) => {
                (source, analyzer, equipment) = opened;
                settings = new;
                events::reloaded();
            }
            // What the file says is valid, and the machine refuses it. The networks are still there; the camera is not,
            // for it had to be closed before it could be opened with other settings.
            Err(error) => {
                events::reload_refused(&format!("{error:#}"));
                analyzer.forget();
                source = open_camera(&settings)?;
            }
        }
    }
    Ok(())
}

/// What of the configuration a spool depends on.
fn kept_in(settings: &Settings) -> (Option<&Path>, u32, u32) {
    (settings.spool_directory.as_deref(), settings.keep_days, settings.window_seconds)
}

/// What waits in a folder that is not named any more stays there.
fn tell_of_folder_left(old: &Settings, new: &Settings) {
    if let Some(left) = old.spool_directory.as_deref().filter(|_| old.spool_directory != new.spool_directory)
    {
        log::warn!(
            "spool.directory was {}: minutes that wait there are delivered when it is named again",
            left.display()
        );
    }
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

/// What a configuration asks for: the camera, the networks, and what is told of both.
type Opened = (Box<dyn FrameSource>, Analyzer, Equipment);

/// Opens it.
fn open(settings: &Settings, models: Option<&Path>) -> anyhow::Result<Opened> {
    let store = ModelStore::open(models)?;
    let analyzer = Analyzer::new(&store, None, settings.analysis)?;
    let equipment = Equipment {
        camera: settings.camera.source.to_string(),
        frames_per_second_wanted: settings.rate_hz,
        models: store.hashes(),
    };
    Ok((open_camera(settings)?, analyzer, equipment))
}

/// From one configuration to the next.
struct Round {
    file: PathBuf,
    /// What waits for the broker, between two configurations.
    spool: Option<Spool>,
    /// The event loop with the signals, between two configurations.
    event_loop: Option<EventLoop>,
}

/// Why a round is to end.
enum End {
    /// The process is to end.
    Leave,
    /// There is a new configuration.
    Reload(Box<Settings>),
}

/// What a signal has asked for, if one has.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Option<End>>>);

impl Asked {
    /// Asks for an end; that the process is to end is not taken back.
    fn ask(&self, end: End) {
        let mut asked = self.lock();
        if !matches!(*asked, Some(End::Leave)) {
            *asked = Some(end);
        }
    }

    fn is_reload(&self) -> bool {
        matches!(*self.lock(), Some(End::Reload(_)))
    }

    fn new_settings(&self) -> Option<Settings> {
        match self.lock().take() {
            Some(End::Reload(settings)) => Some(*settings),
            Some(End::Leave) | None => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<End>> {
        // It is replaced as a whole, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    /// Watches until the process is to end, or, on SIGHUP, a new configuration has been read: then returns it.
    fn watch(
        &mut self,
        settings: &Settings,
        mut source: Box<dyn FrameSource>,
        analyzer: &mut Analyzer,
        equipment: Equipment,
    ) -> anyhow::Result<Option<Settings>> {
        let (stop, asked) = (Stop::default(), Asked::default());
        let spool = match self.spool.take() {
            Some(spool) => spool,
            None => open_spool(settings)?,
        };
        let first_seq = spool.next_seq();
        let window = Duration::from_secs(settings.window_seconds.into());
        let health = Arc::new(Health::new(Arc::new(SystemClock), window).with(equipment));
        let setup = Setup {
            broker: settings.broker.clone(),
            topics: settings.topics.clone(),
            identity: Identity { device: settings.device.clone(), boot: spool.boot().to_owned() },
            basis: settings.basis.clone(),
            discovery: settings.discovery.then_some(settings.window_seconds),
            timing: Timing::default(),
            clock: Arc::new(SystemClock),
            stop: stop.clone(),
            health: Arc::clone(&health),
        };
        let event_loop = self.event_loop.take().map_or_else(EventLoop::hearing_signals, Ok)?;
        let (reports, thread) = setup
            .start_on(spool, event_loop, self.on_request(&stop, &asked))
            .context("the deliver thread did not start")?;
        notify::ready();
        let grid = Grid { seconds: settings.window_seconds, origin: Timestamp::UNIX_EPOCH };
        let watch = Watch {
            clock: &SystemClock,
            stop: &stop,
            grid,
            rate_hz: settings.rate_hz,
            evenly: false,
            first_seq,
        };
        let pulse = Pulse::new(health, notify::watchdog());
        let mut reporter = Reporter { reports, state: State::Starting, pulse, told_of_pause: false };
        let outcome = watch.run(source.as_mut(), analyzer, &mut reporter);
        let reloading = asked.is_reload();
        if !reloading {
            notify::stopping();
        }
        // The camera's light goes out now, not when the broker has everything.
        drop(source);
        reporter.enter(State::Stopping);
        drop(reporter);
        let stopped = stop.is_set();
        let (summary, event_loop) = thread.join_loop()?;
        self.event_loop = Some(event_loop);
        // Asked again, for SIGTERM may have come while the last windows were published.
        let new = asked.new_settings();
        if reloading && new.is_none() {
            notify::stopping();
        }
        outcome?;
        if !stopped {
            bail!("the recording in camera.device has ended: it cannot be played in a loop");
        }
        if summary.undelivered > 0 && !summary.kept && new.is_none() {
            bail!(
                "windows that ended while the broker was away are lost with this process; spool.directory would keep them"
            );
        }
        self.spool = Some(summary.spool);
        Ok(new)
    }

    /// Has the spool opened anew, unless that would lose what waits in memory alone. Before anything else is started,
    /// for a child process has the lock of its folders until it has begun.
    fn close_spool(&mut self) {
        if self.spool.take_if(|spool| spool.survives_the_process()).is_none() {
            log::warn!(
                "minutes wait in memory alone, so the spool is changed at the next reload or start only"
            );
        }
    }

    /// SIGTERM and SIGINT end the watch; SIGHUP ends it too, once a valid configuration has been read.
    fn on_request(&self, stop: &Stop, asked: &Asked) -> OnRequest {
        let (file, stop, asked) = (self.file.clone(), stop.clone(), asked.clone());
        Box::new(move |request| match request {
            Request::Stop => {
                log::info!("asked to stop: publishing the open window, then leaving");
                asked.ask(End::Leave);
                stop.set();
            }
            Request::Reload => match load_again(&file) {
                Ok(new) => {
                    notify::reloading();
                    asked.ask(End::Reload(Box::new(new)));
                    stop.set();
                }
                Err(error) => events::reload_refused(&error.to_string()),
            },
        })
    }
}

/// Reads a changed configuration. One whose files are missing is refused, for the old one works; at the start they are
/// waited for.
fn load_again(file: &Path) -> anyhow::Result<Settings> {
    let settings = Settings::load(file)?;
    match settings.unreadable_files().into_iter().next() {
        Some(problem) => bail!("{problem}"),
        None => Ok(settings),
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
    fn frame(&mut self, _offset: Duration, _sightings: Option<&[Sighting]>) {
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
        self.reports.send(Report::Open(record));
    }

    fn window(&mut self, record: MinuteRecord) {
        self.pulse.window();
        self.reports.send(Report::Record(record));
    }
}
