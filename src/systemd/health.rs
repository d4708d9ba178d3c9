//! Whether the daemon makes progress, and what systemd is told of it: the watchdog and the status line.
//!
//! Each part says so when it has done something: `Capture` when the camera answered (with a picture, or with the
//! news that it is still away), `Tally` when a window ended, `Delivery` when the deliver thread went round. The
//! watch thread feeds the watchdog, and only while none of them is overdue, so that a camera that blocks, windows
//! that never end, and a deliver thread that hangs each end in a restart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{BootTime, Clock};

/// How long a part may take beyond its own rhythm. Ticks come every 10 s at most, a lost camera is tried every
/// 2 s, and the deliver thread goes round every [`ROUND`](lectern_delivery::ROUND); the rest is for a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the status line is written anew.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// What must make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The camera answers.
    Capture,
    /// Windows end.
    Tally,
    /// The deliver thread goes round.
    Delivery,
}

impl Part {
    const ALL: [Self; 3] = [Self::Capture, Self::Tally, Self::Delivery];

    fn name(self) -> &'static str {
        match self {
            Self::Capture => "the camera",
            Self::Tally => "counting",
            Self::Delivery => "delivery",
        }
    }
}

/// What the device watches with: fixed while it watches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Equipment {
    /// `camera.device`.
    pub camera: String,
    /// `analysis.rate_hz`.
    pub frames_per_second_wanted: f64,
    /// SHA-256 of each network, by its file's name.
    pub models: BTreeMap<String, String>,
}

/// What both threads tell of themselves.
pub struct Health {
    clock: Arc<dyn Clock>,
    /// Boot time in milliseconds of the last progress of each part.
    progress: [AtomicU64; 3],
    window: Duration,
    broker_connected: AtomicBool,
    /// The files of the spool that cannot be read, in words.
    unreadable: Mutex<Option<String>>,
    rate: Mutex<Option<f64>>,
    equipment: Equipment,
}

impl Health {
    /// Every part has made progress just now, windows last `window`, and no broker is connected.
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
            equipment: Equipment::default(),
        }
    }

    /// The same, with what the device watches with.
    #[must_use]
    pub fn with(self, equipment: Equipment) -> Self {
        Self { equipment, ..self }
    }

    /// What the device watches with.
    #[must_use]
    pub fn equipment(&self) -> &Equipment {
        &self.equipment
    }

    /// Frames a second, as far as they were measured.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_rate(&self, rate: Option<f64>) {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner) = rate;
    }

    /// A part has made progress.
    pub fn progress(&self, part: Part) {
        self.progress[part as usize].store(milliseconds(self.clock.boot()), Ordering::Relaxed);
    }

    /// Whether the broker has accepted the connection.
    pub fn set_broker_connected(&self, connected: bool) {
        self.broker_connected.store(connected, Ordering::Relaxed);
    }

    /// Which files of the spool cannot be read at present.
    pub fn set_unreadable(&self, files: Option<String>) {
        *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    /// The first part that is overdue, if one is.
    #[must_use]
    pub fn overdue(&self) -> Option<Part> {
        let now = milliseconds(self.clock.boot());
        Part::ALL.into_iter().find(|part| {
            let limit = if *part == Part::Tally { self.window + PATIENCE } else { PATIENCE };
            let silent = now.saturating_sub(self.progress[*part as usize].load(Ordering::Relaxed));
            silent > milliseconds(limit)
        })
    }
}

fn milliseconds(time: BootTime) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What systemd is to be told now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The watchdog is to be fed.
    pub alive: bool,
    /// The status line has changed.
    pub status: Option<String>,
}

/// The watch thread's pulse: turns progress into [`Words`].
pub struct Pulse {
    health: Arc<Health>,
    /// A fraction of systemd's `WatchdogSec`, or none without a watchdog.
    feed_every: Option<Duration>,
    fed: Option<BootTime>,
    /// The frame from which on the others are counted.
    counting_since: Option<BootTime>,
    frames: u32,
    status: String,
    starving: Option<Part>,
}

impl Pulse {
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
            starving: None,
        }
    }

    /// A picture was counted.
    pub fn frame(&mut self) {
        match self.counting_since {
            Some(_) => self.frames = self.frames.saturating_add(1),
            None => self.counting_since = Some(self.health.clock.boot()),
        }
        self.health.progress(Part::Capture);
    }

    /// The camera is away, and was looked for.
    pub fn camera_away(&mut self) {
        (self.frames, self.counting_since) = (0, None);
        self.health.set_rate(None);
        self.health.progress(Part::Capture);
    }

    /// A window ended.
    pub fn window(&mut self) {
        self.health.progress(Part::Tally);
    }

    /// What is to be told, given what the daemon does in plain words, for example `watching`.
    pub fn words(&mut self, doing: &str) -> Words {
        let now = self.health.clock.boot();
        let overdue = self.health.overdue();
        if overdue != self.starving {
            self.starving = overdue;
            if let Some(part) = overdue {
                log::error!("{} has made no progress; the watchdog is not fed", part.name());
            }
        }
        let due = self.feed_every.is_some_and(|every| self.fed.is_none_or(|fed| now >= fed + every));
        let alive = due && overdue.is_none();
        if alive {
            self.fed = Some(now);
        }
        Words { alive, status: self.status(doing, now) }
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
        pulse: Pulse,
    }

    /// What goes on working in a simulated second.
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
            let pulse = Pulse::new(Arc::clone(&health), Some(WATCHDOG));
            Self { clock, health, pulse }
        }

        /// Lives for so many seconds; returns the longest time in seconds that the watchdog was hungry.
        fn live(&mut self, seconds: u64, works: &Works) -> u64 {
            let (mut hungry, mut longest) = (0, 0);
            for second in 1..=seconds {
                self.clock.sleep_until(self.clock.boot() + Duration::from_secs(1), &Stop::default());
                if works.camera {
                    self.pulse.frame();
                    self.pulse.frame();
                }
                if works.windows && second % WINDOW.as_secs() == 0 {
                    self.pulse.window();
                }
                if works.delivery {
                    self.health.progress(Part::Delivery);
                }
                hungry = if self.pulse.words("watching").alive { 0 } else { hungry + 1 };
                longest = longest.max(hungry);
            }
            longest
        }
    }

    #[test]
    fn a_daemon_that_makes_progress_feeds_its_watchdog_in_time() {
        assert!(Machine::new().live(7200, &ALL) < WATCHDOG.as_secs() / 2);
    }

    #[test]
    fn each_part_that_hangs_starves_the_watchdog() {
        for works in [
            Works { camera: false, ..ALL },
            Works { windows: false, ..ALL },
            Works { delivery: false, ..ALL },
        ] {
            let mut machine = Machine::new();
            machine.live(300, &ALL);
            assert!(machine.live(300, &works) > WATCHDOG.as_secs());
        }
    }

    #[test]
    fn a_camera_that_is_away_is_no_reason_to_restart() {
        let mut machine = Machine::new();
        for _ in 0..300 {
            machine.live(1, &Works { camera: false, ..ALL });
            machine.pulse.camera_away();
            machine.health.progress(Part::Tally);
            assert_eq!(machine.health.overdue(), None);
        }
    }

    #[test]
    fn a_part_that_goes_on_feeds_the_watchdog_again() {
        let mut machine = Machine::new();
        machine.live(100, &Works { delivery: false, ..ALL });
        assert_eq!(machine.health.overdue(), Some(Part::Delivery));
        machine.live(2, &ALL);
        assert_eq!(machine.health.overdue(), None);
    }

    #[test]
    fn the_status_line_is_for_people() {
        let mut machine = Machine::new();
        assert_eq!(
            machine.pulse.words("starting").status.as_deref(),
            Some("starting, broker away, minutes wait")
        );
        machine.health.set_broker_connected(true);
        machine.live(40, &ALL);
        assert_eq!(machine.pulse.status, "watching, 2.0 frames/s, broker connected");
        // Nothing new, nothing told.
        assert_eq!(machine.pulse.words("watching").status, None);
        machine.pulse.camera_away();
        let status = machine.pulse.words("camera lost").status;
        assert_eq!(status.as_deref(), Some("camera lost, broker connected"));
    }

    #[test]
    fn the_status_line_names_a_file_that_cannot_be_read() {
        let mut machine = Machine::new();
        machine.health.set_unreadable(Some("entries-0000000000000000".to_owned()));
        let status = machine.pulse.words("watching").status.unwrap();
        assert!(status.contains("entries-0000000000000000 in the spool cannot be read"), "{status}");
        machine.health.set_unreadable(None);
        let status = machine.pulse.words("watching").status.unwrap();
        assert_eq!(status, "watching, broker away, minutes wait");
    }

    #[test]
    fn without_a_watchdog_nobody_is_fed() {
        let clock = SimulatedClock::starting_at(Timestamp::UNIX_EPOCH, true);
        let mut pulse = Pulse::new(Arc::new(Health::new(Arc::new(clock), WINDOW)), None);
        assert!(!pulse.words("watching").alive);
    }
}
