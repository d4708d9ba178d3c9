//! Configuration: fragments merged into [`Settings`], whose types cannot hold a bad value.

mod error;
mod fragment;
mod layers;
mod mqtt;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::delivery::Broker;
use crate::delivery::payload::MAX_BASIS_BYTES;
use crate::delivery::topics::{Topics, check_level, check_root};
use crate::rate::{DEFAULT_HZ, RANGE_HZ};
use crate::vision::Rotation;
use crate::vision::geometry::size_of;
use crate::vision::{Analysis, Region, SMALLEST_TOLD_PX};
pub use error::ConfigError;
use layers::{Layer, key, last};

/// What systemd makes of `StateDirectory=lectern`.
const DEFAULT_SPOOL: &str = "/var/lib/lectern";

/// Width and height of the picture that a camera is asked for where no other is, in pixels.
pub const DEFAULT_SIZE: (u32, u32) = (1920, 1080);

/// A complete and valid configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `device.id`; by default the host's name.
    pub device: String,
    /// `deployment.basis`: why this camera may run.
    pub basis: String,
    /// `camera.*`.
    pub camera: Camera,
    /// `analysis.rate_hz`: frames analysed each second.
    pub rate_hz: f64,
    /// The rest of `analysis.*`.
    pub analysis: Analysis,
    /// `window.seconds`: a divisor of 3600.
    pub window_seconds: u32,
    /// Where to publish: `mqtt.url` and the login.
    pub broker: Broker,
    /// The topics of this device.
    pub topics: Topics,
    /// `mqtt.discovery`: whether Home Assistant is told of this device.
    pub discovery: bool,
    /// `spool.directory`: where records wait for a broker; none where the default one does not exist.
    pub spool_directory: Option<PathBuf>,
    /// `spool.keep_days`: how long they wait.
    pub keep_days: u32,
}

/// What to look with.
#[derive(Debug, Clone)]
pub struct Camera {
    /// Device or recording.
    pub source: CameraSource,
    /// Wanted width in pixels; the driver may choose the nearest.
    pub width: u32,
    /// Wanted height in pixels.
    pub height: u32,
    /// By how much its pictures are turned before they are looked at.
    pub rotate: Rotation,
}

/// `camera.device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraSource {
    /// A V4L2 device node.
    Device(PathBuf),
    /// `file:PATH`: a video or a folder of stills, in a loop in real time.
    Recording(PathBuf),
}

impl Display for CameraSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Recording(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Settings {
    /// Reads `file`, the fragments in `lectern.d` beside it, and the process's `LECTERN_…` variables.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, key and what is allowed.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::from_layers(&layers::read(file, std::env::vars_os())?, file)
    }

    fn from_layers(layers: &[Layer], file: &Path) -> Result<Self, ConfigError> {
        let device = level(layers, "device.id", |f| &f.device.id)?.unwrap_or_else(host_name);
        let site = level(layers, "device.site", |f| &f.device.site)?.unwrap_or_else(unassigned);
        let building = level(layers, "device.building", |f| &f.device.building)?.unwrap_or_else(unassigned);
        let room = level(layers, "device.room", |f| &f.device.room)?.unwrap_or_else(unassigned);
        let root = key(
            layers,
            "mqtt.root",
            |f| &f.mqtt.root,
            |root: String| check_root(&root).map_err(|e| e.to_string()).map(|()| root),
        )?
        .unwrap_or_else(|| "lectern/v1".to_owned());
        let source = key(layers, "camera.device", |f| &f.camera.device, camera_source)?.ok_or_else(|| {
            missing(
                file,
                "camera.device",
                "name a camera, for example one from /dev/v4l/by-id/, or file:PATH",
            )
        })?;
        let window_seconds = key(
            layers,
            "window.seconds",
            |f| &f.window.seconds,
            |seconds| {
                if seconds > 0 && 3600 % seconds == 0 {
                    Ok(seconds)
                } else {
                    Err(format!("must divide 3600, not {seconds}"))
                }
            },
        )?
        .unwrap_or(60);
        let range = within(*RANGE_HZ.start(), *RANGE_HZ.end());
        let rate_hz = key(layers, "analysis.rate_hz", |f| &f.analysis.rate_hz, range)?.unwrap_or(DEFAULT_HZ);
        if f64::from(window_seconds) * rate_hz < 1.0 {
            let place = last(layers, |f| &f.analysis.rate_hz).map_or_else(String::new, |l| l.place);
            let problem =
                format!("analysis.rate_hz = {rate_hz} gives no frame in window.seconds = {window_seconds}");
            return Err(ConfigError::at(place, problem));
        }
        let topics = Topics::new(&root, &site, &building, &room, &device);
        let settings = Self {
            basis: basis(layers, file)?,
            camera: Camera {
                source,
                width: key(layers, "camera.width", |f| &f.camera.width, within(64, 4096))?
                    .unwrap_or(DEFAULT_SIZE.0),
                height: key(layers, "camera.height", |f| &f.camera.height, within(64, 4096))?
                    .unwrap_or(DEFAULT_SIZE.1),
                rotate: key(
                    layers,
                    "camera.rotate",
                    |f| &f.camera.rotate,
                    |degrees| {
                        Rotation::from_degrees(degrees)
                            .ok_or_else(|| format!("must be 0, 90, 180 or 270, not {degrees}"))
                    },
                )?
                .unwrap_or_default(),
            },
            rate_hz,
            analysis: analysis(layers)?,
            window_seconds,
            broker: mqtt::broker(layers, topics.client_id())?,
            topics,
            discovery: last(layers, |f| &f.mqtt.discovery).is_some_and(|on| on.value),
            spool_directory: key(
                layers,
                "spool.directory",
                |f| &f.spool.directory,
                |directory: String| {
                    if directory.starts_with('/') {
                        Ok(PathBuf::from(directory))
                    } else {
                        Err(format!("= \"{directory}\" must be an absolute path"))
                    }
                },
            )?
            .or_else(|| Some(PathBuf::from(DEFAULT_SPOOL)).filter(|path| path.is_dir())),
            keep_days: key(layers, "spool.keep_days", |f| &f.spool.keep_days, within(1, 366))?.unwrap_or(7),
            device,
        };
        settings.refuse_faces_larger_than_the_picture(layers)?;
        Ok(settings)
    }

    /// What the connection to the broker needs of files that cannot be read now: key, file and reason of each.
    ///
    /// That is no error of the configuration, for a file may come later than this program does: with a file system that
    /// is mounted late, or with a certificate that is renewed. It is read at each connect.
    #[must_use]
    pub fn unreadable_files(&self) -> Vec<String> {
        let tls = self.broker.tls.as_ref();
        let identity = tls.and_then(|tls| tls.identity.as_ref());
        let files = [
            ("mqtt.password_file", self.broker.login.as_ref().and_then(|(_, file)| file.as_ref())),
            ("mqtt.ca", tls.and_then(|tls| tls.ca.as_ref())),
            ("mqtt.client_cert", identity.map(|(certificate, _)| certificate)),
            ("mqtt.client_key", identity.map(|(_, key)| key)),
        ];
        let problem = |(key, file): (&str, Option<&PathBuf>)| {
            let error = std::fs::File::open(file?).err()?;
            Some(format!("{key} {}: {error}", file?.display()))
        };
        files.into_iter().filter_map(problem).collect()
    }

    /// A recording's size is not known here, so only a camera's is held against it.
    fn refuse_faces_larger_than_the_picture(&self, layers: &[Layer]) -> Result<(), ConfigError> {
        let (width, height) = self.camera.rotate.size_of((self.camera.width, self.camera.height));
        let (width, height) = size_of(self.analysis.region, width, height);
        let smallest = self.analysis.min_face_px;
        let is_camera = matches!(self.camera.source, CameraSource::Device(_));
        if !is_camera || smallest <= width.min(height) {
            return Ok(());
        }
        let place = last(layers, |f| &f.analysis.min_face_px)
            .map(|at| at.place)
            .or_else(|| last(layers, |f| &f.analysis.region).map(|at| at.place));
        let problem = format!(
            "analysis.min_face_px = {smallest} is more than the {width} x {height} pixels that are looked at: no face \
             could be found"
        );
        Err(ConfigError::at(place.unwrap_or_default(), problem))
    }
}

fn level<'a>(
    layers: &'a [Layer],
    name: &str,
    of: impl Fn(&'a fragment::Fragment) -> &'a fragment::Key<String>,
) -> Result<Option<String>, ConfigError> {
    key(layers, name, of, |text| check_level(&text).map(|()| text.clone()).map_err(|e| format!("= {e}")))
}

fn within<T: PartialOrd + Display + Copy>(low: T, high: T) -> impl Fn(T) -> Result<T, String> {
    move |value| {
        if value >= low && value <= high {
            Ok(value)
        } else {
            Err(format!("must be from {low} to {high}, not {value}"))
        }
    }
}

fn missing(file: &Path, name: &str, help: &str) -> ConfigError {
    ConfigError::at(file.display(), format!("{name} is not set: {help}"))
}

fn unassigned() -> String {
    "unassigned".to_owned()
}

/// The host's name, cut to what a topic level may hold.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let label = name.split('.').next().unwrap_or_default();
    if check_level(label).is_ok() { label.to_owned() } else { "lectern".to_owned() }
}

fn camera_source(device: String) -> Result<CameraSource, String> {
    match device.strip_prefix("file:") {
        // A network camera's address may hold a password, so what is refused is not repeated.
        Some(path) if path.is_empty() || path == "-" || path.contains("://") => {
            Err("names no file on this device that can be played in a loop".to_owned())
        }
        Some(path) => Ok(CameraSource::Recording(path.into())),
        None if device.starts_with('/') => Ok(CameraSource::Device(device.into())),
        None => Err("must be an absolute path such as /dev/v4l/by-id/… or file:PATH".to_owned()),
    }
}

fn basis(layers: &[Layer], file: &Path) -> Result<String, ConfigError> {
    let help = "write down why this camera may run, for example \"informed consent, DPIA-2026-014\"; nothing is \
                watched without it";
    key(
        layers,
        "deployment.basis",
        |f| &f.deployment.basis,
        |basis: String| {
            let basis = basis.trim().to_owned();
            if basis.is_empty() {
                Err(format!("is empty: {help}"))
            } else if basis.len() > MAX_BASIS_BYTES || basis.chars().any(char::is_control) {
                Err(format!("must be one line of at most {MAX_BASIS_BYTES} bytes"))
            } else {
                Ok(basis)
            }
        },
    )?
    .ok_or_else(|| missing(file, "deployment.basis", help))
}

fn analysis(layers: &[Layer]) -> Result<Analysis, ConfigError> {
    let default = Analysis::default();
    Ok(Analysis {
        min_face_px: key(
            layers,
            "analysis.min_face_px",
            |f| &f.analysis.min_face_px,
            within(SMALLEST_TOLD_PX, 2000),
        )?
        .unwrap_or(default.min_face_px),
        region: key(
            layers,
            "analysis.region",
            |f| &f.analysis.region,
            |region| {
                Region::new(region).ok_or_else(|| {
                    format!("must be [left, top, right, bottom] within 0 and 1 and not empty, not {region:?}")
                })
            },
        )?
        .unwrap_or(default.region),
        faces: key(layers, "analysis.faces", |f| &f.analysis.faces, |faces: String| faces.parse())?
            .unwrap_or(default.faces),
        min_confidence: key(
            layers,
            "analysis.min_confidence",
            |f| &f.analysis.min_confidence,
            within(0.0, 1.0),
        )?
        .unwrap_or(default.min_confidence),
        baseline: key(
            layers,
            "analysis.baseline",
            |f| &f.analysis.baseline,
            |baseline: String| baseline.parse(),
        )?
        .unwrap_or(default.baseline),
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "values are parsed, not computed")]
mod tests;
