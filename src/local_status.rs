//! The service's status for `lectern status` on the same machine: one small JSON file in the runtime directory.
//!
//! It holds the device's health and never what was seen: the time and the frames of the last window, but no count of faces
//! or expressions. It lies in memory, only root and the service can read it, and it is replaced every few seconds.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::{BootTime, Clock};
use crate::delivery::payload::{self, State};
use crate::delivery::spool::{STATUS, read_status};
use crate::delivery::{Monitor, ROUND, Round};
use crate::help::Help;
use crate::systemd::health::{Component, DeviceInfo, Health};
use crate::window::MinuteRecord;

/// The version of the file format; a program for another version refuses the file.
const FORM: u32 = 1;

/// A service whose file is older than this hangs: it writes at least every [`ROUND`].
const STALE: Duration = Duration::from_secs(30);

/// The content of the status file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalStatus {
    /// The version of the file format.
    form: u32,
    /// The running version of Lectern.
    pub version: String,
    /// The service's process ID.
    pub pid: u32,
    /// Boot time in seconds at which this was written.
    #[serde(rename = "told_at")]
    written_at: u64,
    /// `device.id`.
    pub device: String,
    /// What the device is doing.
    pub state: State,
    /// Since when, in UTC.
    pub since: String,
    /// Frames a second over the last 10 s or so; none before that, or while the camera is away.
    pub frames_per_second: Option<f64>,
    /// The camera, the configured rate, and the networks.
    #[serde(flatten)]
    pub device_info: DeviceInfo,
    /// The window that ended last, if one did since the service started or reloaded.
    pub last_window: Option<LastWindow>,
    /// The connection to the broker.
    pub broker: BrokerStatus,
    /// What waits for the broker.
    pub spool: SpoolStatus,
    /// Whether the service holds the clock to be synchronised.
    pub clock_synced: bool,
}

/// When a window began and how much of it was watched; not what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWindow {
    /// Its label, in UTC.
    pub start: String,
    /// Seconds that were watched.
    pub seconds: u32,
    /// Frames that were analysed.
    pub frames: u32,
    /// Frames that were due.
    pub frames_expected: u32,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// Host and port.
    pub address: String,
    /// Whether it has accepted the connection.
    pub connected: bool,
    /// Why there is no connection, as in the journal.
    pub problem: Option<String>,
}

/// What waits for the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Windows that wait.
    pub waiting: usize,
    /// How many of them are in files that cannot be read at present.
    pub unreadable: u64,
    /// Windows that were dropped.
    pub dropped: u64,
    /// Whether what waits can go to the disk, and not only to memory.
    pub on_disk: bool,
}

/// Why no status of the service is available.
#[derive(Debug, thiserror::Error)]
pub enum Silent {
    /// No service runs.
    #[error("the service does not run: {0}")]
    NotRunning(String),
    /// The file is too old.
    #[error("the service (process {pid}) has told nothing for {seconds} s: it hangs")]
    Stale {
        /// Its process.
        pid: u32,
        /// For how long.
        seconds: u64,
    },
    /// The service runs a version with another file format.
    #[error("the service runs version {0}, whose {STATUS} this version does not know")]
    OtherVersion(String),
    /// The file is no status.
    #[error("{STATUS} in the runtime directory is damaged")]
    Damaged(#[source] serde_json::Error),
    /// The file may not be read by this user.
    #[error("the runtime directory {0} may not be read")]
    NotAllowed(String),
    /// The file cannot be read.
    #[error("the runtime directory {0} cannot be read")]
    Unreadable(String, #[source] io::Error),
}

impl Help for Silent {
    fn help(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::NotRunning(_) => "start it: systemctl restart lectern",
            Self::Stale { .. } => "see journalctl -u lectern",
            Self::OtherVersion(_) => "restart it: systemctl restart lectern",
            Self::Damaged(_) | Self::Unreadable(..) => "restart the service: systemctl restart lectern",
            Self::NotAllowed(_) => "run lectern status as root",
        }))
    }
}

impl LocalStatus {
    /// Reads the last status of the service with this runtime directory.
    ///
    /// # Errors
    /// [`Silent`] when no service runs, or its status cannot be determined.
    pub fn read(runtime: &Path, clock: &dyn Clock) -> Result<Self, Silent> {
        let place = || runtime.display().to_string();
        let bytes = read_status(runtime).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Silent::NotRunning(format!(
                "{} holds no {STATUS}, which a version without `status` writes neither",
                place()
            )),
            io::ErrorKind::PermissionDenied => Silent::NotAllowed(place()),
            _ => Silent::Unreadable(place(), error),
        })?;
        Self::parse(&bytes)?.judge(clock.boot(), process_runs)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Silent> {
        /// What every form has.
        #[derive(Deserialize)]
        struct Any {
            form: u32,
            version: String,
        }
        let any: Any = serde_json::from_slice(bytes).map_err(Silent::Damaged)?;
        if any.form != FORM {
            return Err(Silent::OtherVersion(any.version));
        }
        serde_json::from_slice(bytes).map_err(Silent::Damaged)
    }

    /// Whether this is still true at boot time `now`.
    fn judge(self, now: BootTime, runs: impl Fn(u32) -> bool) -> Result<Self, Silent> {
        let pid = self.pid;
        if !runs(pid) {
            return Err(Silent::NotRunning(format!("its last process, {pid}, has ended")));
        }
        match now.as_secs().checked_sub(self.written_at) {
            Some(seconds) if seconds <= STALE.as_secs() => Ok(self),
            // Not during a reload: the state is another one then.
            Some(_) if self.state == State::Offline => Err(Silent::NotRunning("it has ended".to_owned())),
            Some(seconds) => Err(Silent::Stale { pid, seconds }),
            None => Err(Silent::NotRunning(format!("{STATUS} is of an earlier boot of the machine"))),
        }
    }
}

/// Whether there is a process with this ID, of any user.
fn process_runs(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

/// The state of the status file, which outlives a reload.
#[derive(Clone, Default)]
pub struct StatusFile(Arc<Mutex<StatusState>>);

/// Forwards the deliver thread's status to the health and into the file.
pub struct StatusWriter {
    health: Arc<Health>,
    file: StatusFile,
}

impl StatusWriter {
    /// Creates a writer for the time that one configuration is in use; the file's content includes `health`.
    #[must_use]
    pub fn new(health: Arc<Health>, file: &StatusFile) -> Self {
        Self { health, file: file.clone() }
    }

    fn state(&self) -> MutexGuard<'_, StatusState> {
        self.file.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for StatusWriter {
    fn went_round(&self, mut round: Round<'_>) {
        self.health.progress(Component::Delivery);
        self.health.set_broker_connected(round.connected);
        self.health.set_unreadable(round.unreadable.take());
        self.state().write(&self.health, round);
    }

    fn window_ended(&self, record: &MinuteRecord) {
        self.state().window(record);
    }

    fn broker_away(&self, problem: &str) {
        self.state().broker_away(problem);
    }
}

/// What is written next, and what was written last.
#[derive(Default)]
struct StatusState {
    last_window: Option<LastWindow>,
    problem: Option<String>,
    /// When the file was last written, and with which state and connection.
    written: Option<(Instant, State, bool)>,
    failed: bool,
}

impl StatusState {
    /// Records a window that ended.
    fn window(&mut self, record: &MinuteRecord) {
        self.last_window = Some(LastWindow {
            start: payload::rfc3339(record.start),
            seconds: record.seconds,
            frames: record.counts.frames,
            frames_expected: record.frames_expected,
        });
    }

    /// Records why there is no connection.
    fn broker_away(&mut self, problem: &str) {
        self.problem = Some(problem.to_owned());
    }

    /// Writes the file when the state or the connection changed, and at least every [`ROUND`].
    fn write(&mut self, health: &Health, round: Round<'_>) {
        let Round { setup, state: (state, since), connected, backlog, runtime, .. } = round;
        let now = Instant::now();
        if self.written.is_some_and(|(at, old_state, was_connected)| {
            old_state == state && was_connected == connected && now < at + ROUND
        }) {
            return;
        }
        self.written = Some((now, state, connected));
        if connected {
            self.problem = None;
        }
        let status = LocalStatus {
            form: FORM,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            written_at: setup.clock.boot().as_secs(),
            device: setup.identity.device.clone(),
            state,
            since: payload::rfc3339(since),
            frames_per_second: health.rate(),
            device_info: health.device_info().clone(),
            last_window: self.last_window.clone(),
            broker: BrokerStatus {
                address: setup.broker.to_string(),
                connected,
                problem: self.problem.clone(),
            },
            spool: SpoolStatus {
                waiting: backlog.spooled,
                unreadable: backlog.unreadable,
                dropped: backlog.dropped,
                on_disk: backlog.on_disk,
            },
            clock_synced: setup.clock.synced(),
        };
        let Some(folder) = runtime else { return };
        let text = serde_json::to_vec(&status).expect("strings and numbers are JSON");
        match folder.write(STATUS, &text, false) {
            Ok(()) => self.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    log::warn!("{STATUS} cannot be written in the runtime directory: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> LocalStatus {
        LocalStatus {
            form: FORM,
            version: "0.1.0".to_owned(),
            pid: 7,
            written_at: 1000,
            device: "cam1".to_owned(),
            state: State::Watching,
            since: "2026-11-23T10:15:00Z".to_owned(),
            frames_per_second: Some(2.0),
            device_info: DeviceInfo::default(),
            last_window: None,
            broker: BrokerStatus { address: "b:1883".to_owned(), connected: true, problem: None },
            spool: SpoolStatus { waiting: 0, unreadable: 0, dropped: 0, on_disk: true },
            clock_synced: true,
        }
    }

    #[test]
    fn a_status_is_valid_while_its_process_runs_and_updates_it() {
        let at = |seconds| status().judge(Duration::from_secs(seconds), |pid| pid == 7);
        assert!(at(1000).is_ok() && at(1030).is_ok());
        assert!(matches!(at(1031), Err(Silent::Stale { pid: 7, seconds: 31 })));
        let left = LocalStatus { state: State::Offline, ..status() };
        assert!(matches!(left.judge(Duration::from_secs(1031), |_| true), Err(Silent::NotRunning(_))));
        // The file of an earlier boot, where the folder is on a disk.
        assert!(matches!(at(999), Err(Silent::NotRunning(_))));
        assert!(matches!(status().judge(Duration::from_secs(1000), |_| false), Err(Silent::NotRunning(_))));
    }

    #[test]
    fn a_status_of_another_version_or_a_damaged_one_is_refused() {
        let text = serde_json::to_string(&status()).unwrap();
        assert_eq!(LocalStatus::parse(text.as_bytes()).unwrap(), status());
        let newer = text.replace("\"form\":1", "\"form\":2").replace("0.1.0", "9.0.0");
        assert!(
            matches!(LocalStatus::parse(newer.as_bytes()), Err(Silent::OtherVersion(version)) if version == "9.0.0")
        );
        for damaged in ["", "{}", &text[..text.len() / 2], &text.replace("watching", "dreaming")] {
            assert!(matches!(LocalStatus::parse(damaged.as_bytes()), Err(Silent::Damaged(_))), "{damaged}");
        }
    }

    #[test]
    fn no_field_can_hold_what_was_seen() {
        let text = serde_json::to_string(&LocalStatus {
            last_window: Some(LastWindow {
                start: String::new(),
                seconds: 60,
                frames: 1,
                frames_expected: 2,
            }),
            ..status()
        })
        .unwrap();
        let kinds = crate::expression::Expression::ALL.map(crate::expression::Expression::name);
        for word in kinds.into_iter().chain(["face", "uncertain"]) {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}
