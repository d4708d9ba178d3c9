//! Tracks the daemon's progress, and derives the systemd watchdog and status line from it.
//!
//! Each component records its progress: `Capture` when the camera responds (with a picture, or with the error that it is
//! still absent), `Windows` when a window ends, `Delivery` when the deliver thread completes a round. The watch thread
//! feeds the watchdog only while no component is overdue, so that a blocked camera, windows that never end and a hanging
//! deliver thread each cause a restart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{BootTime, Clock};

/// How long a component may exceed its own period. Ticks come at least every 10 s, a lost camera is retried every
/// 2 s, and the deliver thread completes a round every [`ROUND`](lectern_delivery::ROUND); the rest allows for a loaded machine.
const GRACE: Duration = Duration::from_secs(30);

/// How often the frame rate in the status line is updated.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// A component that must make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The camera responds.
    Capture,
    /// Windows end.
    Windows,
    /// The deliver thread completes a round.
    Delivery,
}

impl Component {
    const ALL: [Self; 3] = [Self::Capture, Self::Windows, Self::Delivery];

    fn name(self) -> &'static str {
        match self {
            Self::Capture => "the camera",
            Self::Windows => "counting",
            Self::Delivery => "delivery",
        }
    }
}

/// The device's camera, rate and models; fixed until the next reload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `camera.device`.
    pub camera: String,
    /// `analysis.rate_hz`.
    pub frames_per_second_wanted: f64,
    /// SHA-256 of each network, by its file's name.
    pub models: BTreeMap<String, String>,
}

/// Health of both threads, shared between them.
pub struct Health {
    clock: Arc<dyn Clock>,
    /// Boot time in milliseconds of the last progress of each part.
    progress: [AtomicU64; 3],
    window: Duration,
    broker_connected: AtomicBool,
    /// The unreadable files of the spool, as text for the status line.
    unreadable: Mutex<Option<String>>,
    rate: Mutex<Option<f64>>,
    device_info: DeviceInfo,
}

impl Health {
    /// Every component has just made progress, windows last `window`, and no broker is connected.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, window: Duration) -> Self {
        let now = milliseconds(clock.boot());
        let progress = [now, now, now].map(AtomicU64::new);
        Self {
            clock,
            progress,
            window,
            broker_connected: AtomicBool::new(false),
            unreadable: Mutex::default(),
            rate: Mutex::default(),
            device_info: DeviceInfo::default(),
        }
    }

    /// Sets the device info.
    #[must_use]
    pub fn with(self, device_info: DeviceInfo) -> Self {
        Self { device_info, ..self }
    }

    /// The device info.
    #[must_use]
    pub fn device_info(&self) -> &DeviceInfo {
        &self.device_info
    }

    /// Frames a second, once measured.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_rate(&self, rate: Option<f64>) {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner) = rate;
    }

    /// Records that a component has made progress.
    pub fn progress(&self, component: Component) {
        self.progress[component as usize].store(milliseconds(self.clock.boot()), Ordering::Relaxed);
    }

    /// Whether the broker has accepted the connection.
    pub fn set_broker_connected(&self, connected: bool) {
        self.broker_connected.store(connected, Ordering::Relaxed);
    }

    /// Which files of the spool cannot be read at present.
    pub fn set_unreadable(&self, files: Option<String>) {
        *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    /// The first overdue component, if any.
    #[must_use]
    pub fn overdue(&self) -> Option<Component> {
        let now = milliseconds(self.clock.boot());
        Component::ALL.into_iter().find(|component| {
            let limit = if *component == Component::Windows { self.window + GRACE } else { GRACE };
            let silent = now.saturating_sub(self.progress[*component as usize].load(Ordering::Relaxed));
            silent > milliseconds(limit)
        })
    }
}

fn milliseconds(time: BootTime) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is due to be sent to systemd.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// Whether to feed the watchdog.
    pub alive: bool,
    /// The status line, if it has changed.
    pub status: Option<String>,
}

/// Turns progress into [`Notification`]s; owned by the watch thread.
pub struct Watchdog {
    health: Arc<Health>,
    /// A fraction of systemd's `WatchdogSec`, or none without a watchdog.
    feed_every: Option<Duration>,
    fed: Option<BootTime>,
    /// The frame from which on the others are counted.
    counting_since: Option<BootTime>,
    frames: u32,
    status: String,
    /// The overdue component that was logged last.
    reported: Option<Component>,
}

impl Watchdog {
    /// `watchdog` is systemd's `WatchdogSec`; it is fed four times as often.
    #[must_use]
    pub fn new(health: Arc<Health>, watchdog: Option<Duration>) -> Self {
        Self {
            health,
            feed_every: watchdog.map(|limit| limit / 4),
            fed: None,
            counting_since: None,
            frames: 0,
            status: String::new(),
            reported: None,
        }
    }

    /// Records a counted frame.
    pub fn frame(&mut self) {
        match self.counting_since {
            Some(_) => self.frames = self.frames.saturating_add(1),
            None => self.counting_since = Some(self.health.clock.boot()),
        }
        self.health.progress(Component::Capture);
    }

    /// Records a picture that could not be decoded: the camera responds, and no frame is counted.
    pub fn corrupt(&mut self) {
        self.counting_since.get_or_insert(self.health.clock.boot());
        self.health.progress(Component::Capture);
    }

    /// Records that the camera is absent, and that reopening was tried.
    pub fn camera_away(&mut self) {
        (self.frames, self.counting_since) = (0, None);
        self.health.set_rate(None);
        self.health.progress(Component::Capture);
    }

    /// Records the end of a window.
    pub fn window(&mut self) {
        self.health.progress(Component::Windows);
    }

    /// The notification that is due; `doing` describes the daemon's activity for people, for example `watching`.
    pub fn notification(&mut self, doing: &str) -> Notification {
        let now = self.health.clock.boot();
        let overdue = self.health.overdue();
        if overdue != self.reported {
            self.reported = overdue;
            if let Some(component) = overdue {
                log::error!("{} has made no progress; the watchdog is not fed", component.name());
            }
        }
        let due = self.feed_every.is_some_and(|every| self.fed.is_none_or(|fed| now >= fed + every));
        let alive = due && overdue.is_none();
        if alive {
            self.fed = Some(now);
        }
        Notification { alive, status: self.status(doing, now) }
    }

    fn status(&mut self, doing: &str, now: BootTime) -> Option<String> {
        let counted = self.counting_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if counted >= STATUS_EVERY {
            self.health.set_rate(Some(f64::from(self.frames) / counted.as_secs_f64()));
            (self.frames, self.counting_since) = (0, Some(now));
        }
        let rate = self.health.rate().map_or_else(String::new, |rate| format!("{rate:.1} frames/s, "));
        let connected = self.health.broker_connected.load(Ordering::Relaxed);
        let broker = if connected { "broker connected" } else { "broker away, minutes wait" };
        let unreadable = self.health.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        let spool = unreadable.as_ref().map_or_else(String::new, |files| {
            format!(", {files} in the spool cannot be read: see lectern check --only disk")
        });
        drop(unreadable);
        let status = format!("{doing}, {rate}{broker}{spool}");
        (status != self.status).then(|| {
            self.status.clone_from(&status);
            status
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SimulatedClock, Stop};
    use jiff::Timestamp;

    const WINDOW: Duration = Duration::from_secs(60);
    const WATCHDOG: Duration = Duration::from_secs(60);

    struct Machine {
        clock: SimulatedClock,
        health: Arc<Health>,
        watchdog: Watchdog,
    }

    /// The components that keep working in a simulated second.
    struct Works {
        camera: bool,
        windows: bool,
        delivery: bool,
    }

    const ALL: Works = Works { camera: true, windows: true, delivery: true };

    impl Machine {
        fn new() -> Self {
            let clock = SimulatedClock::starting_at(Timestamp::UNIX_EPOCH, true);
            let health = Arc::new(Health::new(Arc::new(clock.clone()), WINDOW));
            let watchdog = Watchdog::new(Arc::clone(&health), Some(WATCHDOG));
            Self { clock, health, watchdog }
        }

        /// Simulates so many seconds; returns the longest time in seconds between two feedings of the watchdog.
        fn run(&mut self, seconds: u64, works: &Works) -> u64 {
            let (mut since_fed, mut longest) = (0, 0);
            for second in 1..=seconds {
                self.clock.sleep_until(self.clock.boot() + Duration::from_secs(1), &Stop::default());
                if works.camera {
                    self.watchdog.frame();
                    self.watchdog.frame();
                }
                if works.windows && second % WINDOW.as_secs() == 0 {
                    self.watchdog.window();
                }
                if works.delivery {
                    self.health.progress(Component::Delivery);
                }
                since_fed = if self.watchdog.notification("watching").alive { 0 } else { since_fed + 1 };
                longest = longest.max(since_fed);
            }
            longest
        }
    }

    #[test]
    fn a_working_daemon_feeds_its_watchdog_in_time() {
        assert!(Machine::new().run(7200, &ALL) < WATCHDOG.as_secs() / 2);
    }

    #[test]
    fn each_hanging_component_stops_the_watchdog() {
        for works in [
            Works { camera: false, ..ALL },
            Works { windows: false, ..ALL },
            Works { delivery: false, ..ALL },
        ] {
            let mut machine = Machine::new();
            machine.run(300, &ALL);
            assert!(machine.run(300, &works) > WATCHDOG.as_secs());
        }
    }

    #[test]
    fn an_absent_camera_does_not_cause_a_restart() {
        let mut machine = Machine::new();
        for _ in 0..300 {
            machine.run(1, &Works { camera: false, ..ALL });
            machine.watchdog.camera_away();
            machine.health.progress(Component::Windows);
            assert_eq!(machine.health.overdue(), None);
        }
    }

    #[test]
    fn a_recovered_component_feeds_the_watchdog_again() {
        let mut machine = Machine::new();
        machine.run(100, &Works { delivery: false, ..ALL });
        assert_eq!(machine.health.overdue(), Some(Component::Delivery));
        machine.run(2, &ALL);
        assert_eq!(machine.health.overdue(), None);
    }

    #[test]
    fn the_status_line_is_readable() {
        let mut machine = Machine::new();
        assert_eq!(
            machine.watchdog.notification("starting").status.as_deref(),
            Some("starting, broker away, minutes wait")
        );
        machine.health.set_broker_connected(true);
        machine.run(40, &ALL);
        assert_eq!(machine.watchdog.status, "watching, 2.0 frames/s, broker connected");
        // An unchanged status is not sent again.
        assert_eq!(machine.watchdog.notification("watching").status, None);
        machine.watchdog.camera_away();
        let status = machine.watchdog.notification("camera lost").status;
        assert_eq!(status.as_deref(), Some("camera lost, broker connected"));
    }

    #[test]
    fn the_status_line_names_an_unreadable_file() {
        let mut machine = Machine::new();
        machine.health.set_unreadable(Some("entries-0000000000000000".to_owned()));
        let status = machine.watchdog.notification("watching").status.unwrap();
        assert!(status.contains("entries-0000000000000000 in the spool cannot be read"), "{status}");
        machine.health.set_unreadable(None);
        let status = machine.watchdog.notification("watching").status.unwrap();
        assert_eq!(status, "watching, broker away, minutes wait");
    }

    #[test]
    fn without_a_watchdog_none_is_fed() {
        let clock = SimulatedClock::starting_at(Timestamp::UNIX_EPOCH, true);
        let mut watchdog = Watchdog::new(Arc::new(Health::new(Arc::new(clock), WINDOW)), None);
        assert!(!watchdog.notification("watching").alive);
    }
}
