//! Reloading during the watch: a new configuration is tried first, and ends the watch only when all of it is accepted. The
//! old one is in use until then.
//!
//! ```text
//! load thread:  SIGHUP ─▶ read and validate ─▶ load the networks ─▶ candidate (`loading.rs`)
//! watch thread: next tick ─▶ the same camera? ─▶ keep it ────────────────┐
//!                                  │ no                                  ├─▶ accepted: the watch ends, and
//!                                  └─▶ open the new one ─▶ it works ─────┘   begins anew with the candidate
//!                                                     └─▶ it does not: refused, the watch goes on
//! ```

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{explain, open_camera};
use crate::camera::{CameraError, Capture, Frame, FrameSource};
use crate::clock::Stop;
use crate::config::{CameraSource, Settings};
use crate::logging::events;
use crate::systemd::health::DeviceInfo;
use crate::systemd::notify;
use crate::vision::models::ModelStore;
use crate::vision::{Analyzer, VisionError};

/// A configuration with its networks loaded; its camera is not open yet.
pub(super) struct Prepared {
    pub(super) settings: Settings,
    pub(super) analyzer: Analyzer,
    pub(super) device_info: DeviceInfo,
}

impl Prepared {
    /// Loads the networks.
    pub(super) fn new(settings: Settings, models: Option<&Path>) -> Result<Self, VisionError> {
        let store = ModelStore::open(models)?;
        let analyzer = Analyzer::new(&store, None, settings.analysis)?;
        let device_info = DeviceInfo {
            camera: settings.camera.source.to_string(),
            frames_per_second_wanted: settings.rate_hz,
            models: store.hashes(),
        };
        Ok(Self { settings, analyzer, device_info })
    }
}

/// Requests that signals made of the watch.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    /// Ends the current watch.
    stop: Stop,
    /// The process is to end; never reset.
    ends: bool,
    /// A configuration to try.
    candidate: Option<Box<Prepared>>,
    /// A configuration that is to be used from now on.
    accepted: Option<Box<Prepared>>,
}

impl Requests {
    /// A watch begins, which later requests end through `stop`.
    pub(super) fn begin(&self, stop: &Stop) {
        let mut pending = self.lock();
        pending.stop = stop.clone();
        if pending.ends {
            stop.set();
        }
    }

    /// Ends the process.
    pub(super) fn stop(&self) {
        let mut pending = self.lock();
        pending.ends = true;
        pending.stop.set();
    }

    /// Offers a configuration to try; replaces one that was not tried yet.
    pub(super) fn try_out(&self, candidate: Prepared) {
        self.lock().candidate = Some(Box::new(candidate));
    }

    /// The configuration for which the watch ended, unless the process is to end.
    pub(super) fn accepted(&self) -> Option<Box<Prepared>> {
        let mut pending = self.lock();
        if pending.ends { None } else { pending.accepted.take() }
    }

    fn candidate(&self) -> Option<Box<Prepared>> {
        self.lock().candidate.take()
    }

    fn accept(&self, candidate: Box<Prepared>) {
        notify::reloading();
        let mut pending = self.lock();
        pending.accepted = Some(candidate);
        pending.stop.set();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Each part is replaced as a whole, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A camera that can be replaced while it is in use.
pub(super) struct Exchangeable {
    requests: Requests,
    /// What is in use.
    settings: Settings,
    source: Box<dyn FrameSource>,
    /// The camera of the configuration that was accepted, if it is another one.
    next: Option<Box<dyn FrameSource>>,
}

/// Placeholder for a camera that was closed so that it can be opened with other settings.
struct Closed;

impl FrameSource for Closed {
    fn next(&mut self) -> Result<Capture, CameraError> {
        Ok(Capture::End)
    }
}

impl Exchangeable {
    /// Opens the camera of a configuration.
    pub(super) fn open(settings: &Settings, requests: Requests) -> Result<Self, CameraError> {
        Ok(Self { requests, settings: settings.clone(), source: open_camera(settings)?, next: None })
    }

    /// Goes on with a configuration that was accepted.
    pub(super) fn exchange(&mut self, settings: &Settings) {
        self.settings = settings.clone();
        if let Some(next) = self.next.take() {
            self.source = next;
        }
    }

    /// Tries a new configuration, if there is one; whether it was accepted, so that the watch ends.
    fn try_candidate(&mut self) -> Result<bool, CameraError> {
        let Some(candidate) = self.requests.candidate() else { return Ok(false) };
        if is_same_camera(&self.settings, &candidate.settings) {
            self.requests.accept(candidate);
            return Ok(true);
        }
        let shares_device = is_same_device(&self.settings, &candidate.settings);
        if shares_device {
            // A driver provides one stream at a time.
            self.source = Box::new(Closed);
        }
        match open_camera(&candidate.settings) {
            Ok(next) => {
                self.next = Some(next);
                self.requests.accept(candidate);
                return Ok(true);
            }
            Err(error) => {
                for line in explain::lines(&error.into()) {
                    events::reload_refused(&line);
                }
                if shares_device {
                    self.source = open_camera(&self.settings)?;
                }
            }
        }
        Ok(false)
    }
}

impl FrameSource for Exchangeable {
    fn next(&mut self) -> Result<Capture, CameraError> {
        if self.try_candidate()? { Ok(Capture::End) } else { self.source.next() }
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        if self.try_candidate()? { Ok(()) } else { self.source.reopen() }
    }

    fn recycle(&mut self, frame: Frame) {
        self.source.recycle(frame);
    }
}

/// Whether the pictures of one configuration are those of the other.
fn is_same_camera(one: &Settings, other: &Settings) -> bool {
    let of = |settings: &Settings| (settings.camera.clone(), settings.rate_hz.to_bits());
    of(one) == of(other)
}

/// Whether both configurations need the same device, perhaps by two names.
fn is_same_device(one: &Settings, other: &Settings) -> bool {
    let device = |settings: &Settings| match &settings.camera.source {
        CameraSource::Device(path) => std::fs::metadata(path).ok().map(|node| (node.rdev(), 0)),
        CameraSource::Pipe(path) => std::fs::metadata(path).ok().map(|pipe| (pipe.dev(), pipe.ino())),
        CameraSource::Recording(_) => None,
    };
    device(one).is_some_and(|number| device(other) == Some(number))
}
