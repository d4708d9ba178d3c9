//! Configuration: fragments merged into [`Settings`], whose types cannot hold a bad value.

mod error;
mod fragment;
mod layers;
mod mqtt;
mod suggest;
mod window;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::camera::PixelFormat;
use crate::delivery::payload::MAX_BASIS_BYTES;
use crate::delivery::topics::{Topics, UNASSIGNED, check_level, check_root};
use crate::delivery::{Broker, Discovery};
use crate::file;
use crate::help::Problem;
use crate::vision::geometry::size_of;
use crate::vision::{Analysis, Baseline, Faces, MIN_CLASSIFIABLE_PX, Region, Rotation};
pub use error::{ConfigError, Mistake};
use fragment::SECTIONS;
use layers::{Layers, Refused, within};
use window::window;
pub use window::{MIN_FRAMES, MIN_SECONDS};

/// What systemd makes of `StateDirectory=lectern`.
const DEFAULT_SPOOL: &str = "/var/lib/lectern";

/// Default width and height of the picture that is requested from a camera, in pixels.
pub const DEFAULT_SIZE: (u32, u32) = (1920, 1080);

/// Every key, as `section.key`.
pub fn keys() -> impl Iterator<Item = String> {
    SECTIONS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")))
}

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
    /// Whether `window.allow_short` lets a camera have windows that are too short to be aggregates.
    pub short_windows: bool,
    /// Where to publish: `mqtt.url` and the login.
    pub broker: Broker,
    /// The topics of this device.
    pub topics: Topics,
    /// `mqtt.discovery`: how the device announces itself to Home Assistant, if it does.
    pub discovery: Option<Discovery>,
    /// `spool.directory`: where records wait for a broker; none where the default one does not exist.
    pub spool_directory: Option<PathBuf>,
    /// `spool.keep_days`: how long they wait.
    pub keep_days: u32,
}

/// The camera's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Device or recording.
    pub source: CameraSource,
    /// Requested width in pixels; the driver may choose the nearest.
    pub width: u32,
    /// Requested height in pixels.
    pub height: u32,
    /// The only pixel format to request; none for the best that the camera accepts.
    pub format: Option<PixelFormat>,
    /// Rotation of its pictures before the analysis.
    pub rotate: Rotation,
}

impl CameraSource {
    /// Whether it shows people live, and not a recording.
    #[must_use]
    pub fn is_camera(&self) -> bool {
        match self {
            Self::Device(_) | Self::Pipe(_) => true,
            Self::Recording(_) => false,
        }
    }
}

/// `camera.device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraSource {
    /// A V4L2 device node.
    Device(PathBuf),
    /// `pipe:PATH`: a pipe into which another program writes Y4M for ever.
    Pipe(PathBuf),
    /// `file:PATH`: a video or a folder of stills, in a loop in real time.
    Recording(PathBuf),
}

impl Display for CameraSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Pipe(path) => write!(f, "pipe:{}", path.display()),
            Self::Recording(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Settings {
    /// Reads `file`, the fragments in `lectern.d` beside it, and the process's `LECTERN_…` variables.
    ///
    /// # Errors
    /// [`ConfigError`] with all mistakes, each with file, line, key and what is allowed.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Layers::read(file, std::env::vars_os()).finish(Self::from_layers)
    }

    /// Every key is read before the first mistake ends it, so that all of them are noted.
    fn from_layers(layers: &Layers) -> Result<Self, Refused> {
        let device = level(layers, "device.id", |f| &f.device.id);
        let site = level(layers, "device.site", |f| &f.device.site);
        let building = level(layers, "device.building", |f| &f.device.building);
        let room = level(layers, "device.room", |f| &f.device.room);
        let root = layers.key(
            "mqtt.root",
            |f| &f.mqtt.root,
            |root: String| check_root(&root).map_err(|e| e.to_string()).map(|()| root),
        );
        let basis = basis(layers);
        let camera = camera(layers);
        let analysis = analysis(layers);
        let (window_seconds, rate_hz, short_windows) =
            window(layers, camera.as_ref().ok().map(|camera| camera.source.is_camera()));
        let broker = mqtt::broker(layers);
        let spool_directory = layers.key("spool.directory", |f| &f.spool.directory, absolute_directory);
        let keep_days = layers.key("spool.keep_days", |f| &f.spool.keep_days, within(1, 366));
        if let (Ok(camera), Ok(analysis)) = (&camera, &analysis) {
            refuse_faces_larger_than_the_picture(layers, camera, analysis);
        }

        let discovery = mqtt::discovery(layers);
        let window_seconds = window_seconds?;
        let device = device?.unwrap_or_else(host_name);
        let topics = Topics::new(
            &root?.unwrap_or_else(|| "lectern/v1".to_owned()),
            &site?.unwrap_or_else(unassigned),
            &building?.unwrap_or_else(unassigned),
            &room?.unwrap_or_else(unassigned),
            &device,
        );
        Ok(Self {
            device,
            basis: basis?,
            camera: camera?,
            rate_hz: rate_hz?,
            analysis: analysis?,
            window_seconds,
            short_windows: short_windows?,
            broker: Broker { client_id: topics.client_id(), ..broker? },
            topics,
            discovery: discovery?.map(|discovery| Discovery { window_seconds, ..discovery }),
            spool_directory: spool_directory?
                .or_else(|| Some(PathBuf::from(DEFAULT_SPOOL)).filter(|path| path.is_dir())),
            keep_days: keep_days?.unwrap_or(7),
        })
    }

    /// What the connection to the broker needs of files that cannot be read now: key, file and reason of each.
    ///
    /// That is no error of the configuration, for a file may come later than this program does: with a file system that
    /// is mounted late, or with a certificate that is renewed. It is read at each connect.
    #[must_use]
    pub fn unreadable_files(&self) -> Vec<Problem> {
        let tls = self.broker.tls.as_ref();
        let identity = tls.and_then(|tls| tls.identity.as_ref());
        let files = [
            ("mqtt.password_file", self.broker.login.as_ref().and_then(|(_, file)| file.as_ref())),
            ("mqtt.ca", tls.and_then(|tls| tls.ca.as_ref())),
            ("mqtt.client_cert", identity.map(|(certificate, _)| certificate)),
            ("mqtt.client_key", identity.map(|(_, key)| key)),
        ];
        let problem = |(key, path): (&str, Option<&PathBuf>)| {
            let error = file::open(path?).err()?;
            let problem = Problem::new(format!("{key} {}", path?.display())).caused_by(error);
            Some(problem.with_help("put it there, or correct the key: the broker is not reached without it"))
        };
        files.into_iter().filter_map(problem).collect()
    }

    /// How many frames a whole window expects.
    #[must_use]
    pub fn frames_per_window(&self) -> f64 {
        f64::from(self.window_seconds) * self.rate_hz
    }
}

/// Width and height, what pictures come from, and how they are turned.
fn camera(layers: &Layers) -> Result<Camera, Refused> {
    let source = layers.key("camera.device", |f| &f.camera.device, camera_source).and_then(|source| {
        source.ok_or_else(|| {
            layers
                .missing("camera.device", "name a camera, for example one from /dev/v4l/by-id/, or file:PATH")
        })
    });
    let width = layers.key("camera.width", |f| &f.camera.width, within(64, 4096));
    let height = layers.key("camera.height", |f| &f.camera.height, within(64, 4096));
    let format = layers.key("camera.format", |f| &f.camera.format, pixel_format);
    let rotate = layers.key("camera.rotate", |f| &f.camera.rotate, rotation);
    Ok(Camera {
        source: source?,
        width: width?.unwrap_or(DEFAULT_SIZE.0),
        height: height?.unwrap_or(DEFAULT_SIZE.1),
        format: format?.flatten(),
        rotate: rotate?.unwrap_or_default(),
    })
}

fn pixel_format(name: String) -> Result<Option<PixelFormat>, String> {
    match PixelFormat::named(&name) {
        None if name == "auto" => Ok(None),
        None => Err(format!("must be auto, {}", PixelFormat::list(PixelFormat::ALL))),
        format => Ok(format),
    }
}

fn rotation(degrees: u32) -> Result<Rotation, String> {
    Rotation::from_degrees(degrees).ok_or_else(|| format!("must be 0, 90, 180 or 270, not {degrees}"))
}

/// The size of a recording or a pipe is not available here, so only a device's is checked against it.
fn refuse_faces_larger_than_the_picture(layers: &Layers, camera: &Camera, analysis: &Analysis) {
    let (width, height) = camera.rotate.size_of((camera.width, camera.height));
    let (width, height) = size_of(analysis.region, width, height);
    let smallest = analysis.min_face_px;
    if !matches!(camera.source, CameraSource::Device(_)) || smallest <= width.min(height) {
        return;
    }
    let problem = Problem::new(format!(
        "analysis.min_face_px = {smallest} is more than the {width} x {height} pixels that are looked at: no face could be \
         found"
    ))
    .with_help("lower analysis.min_face_px, or widen analysis.region");
    let at = [
        layers.last(|f| &f.analysis.min_face_px).map(|at| at.place),
        layers.last(|f| &f.analysis.region).map(|at| at.place),
        layers.last(|f| &f.camera.width).map(|at| at.place),
    ];
    match at.into_iter().flatten().next() {
        Some(place) => layers.refuse(&place, problem),
        None => layers.refuse_all(problem),
    };
}

fn absolute_directory(directory: String) -> Result<PathBuf, String> {
    if directory.starts_with('/') {
        Ok(PathBuf::from(directory))
    } else {
        Err(format!("= \"{directory}\" must be an absolute path"))
    }
}

fn level<'a>(
    layers: &'a Layers,
    name: &str,
    of: impl Fn(&'a fragment::Fragment) -> &'a fragment::Key<String>,
) -> Result<Option<String>, Refused> {
    layers.key(name, of, |text| check_level(&text).map(|()| text.clone()).map_err(|e| format!("= {e}")))
}

fn unassigned() -> String {
    UNASSIGNED.to_owned()
}

/// The host's name, cut to what a topic level may hold.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let label = name.split('.').next().unwrap_or_default();
    if check_level(label).is_ok() { label.to_owned() } else { "lectern".to_owned() }
}

/// How a camera is used that is no V4L2 device.
const NETWORK_CAMERA: &str = "let lectern-source@NAME.service receive it, and name its pipe: pipe:/run/lectern-NAME.y4m (see docs/install.md)";

fn camera_source(device: String) -> Result<CameraSource, Problem> {
    // A network camera's address may hold a password, so what is refused is not repeated.
    if device.contains("://") {
        let problem = Problem::new("names a camera in the network, which another program has to receive");
        return Err(problem.with_help(NETWORK_CAMERA));
    }
    match device.split_once(':') {
        Some(("file", path)) if path.is_empty() || path == "-" => {
            Err("names no file on this device that can be played in a loop".into())
        }
        Some(("file", path)) => Ok(CameraSource::Recording(path.into())),
        Some(("pipe", path)) if path.starts_with('/') => Ok(CameraSource::Pipe(path.into())),
        _ if device.starts_with('/') => Ok(CameraSource::Device(device.into())),
        _ => Err("must be an absolute path such as /dev/v4l/by-id/…, file:PATH or pipe:/PATH".into()),
    }
}

fn basis(layers: &Layers) -> Result<String, Refused> {
    let help = "write down why this camera may run, for example \"informed consent, DPIA-2026-014\"; nothing is watched \
                without it";
    let check = |basis: String| {
        let basis = basis.trim().to_owned();
        if basis.is_empty() {
            Err(Problem::new("is empty").with_help(help))
        } else if basis.len() > MAX_BASIS_BYTES || basis.chars().any(char::is_control) {
            Err(format!("must be one line of at most {MAX_BASIS_BYTES} bytes").into())
        } else {
            Ok(basis)
        }
    };
    layers
        .key("deployment.basis", |f| &f.deployment.basis, check)?
        .ok_or_else(|| layers.missing("deployment.basis", help))
}

fn analysis(layers: &Layers) -> Result<Analysis, Refused> {
    let default = Analysis::default();
    let min_face_px =
        layers.key("analysis.min_face_px", |f| &f.analysis.min_face_px, within(MIN_CLASSIFIABLE_PX, 2000));
    let region = |region| {
        let allowed = "must be [left, top, right, bottom] within 0 and 1 and not empty";
        Region::new(region).ok_or_else(|| format!("{allowed}, not {region:?}"))
    };
    let region = layers.key("analysis.region", |f| &f.analysis.region, region);
    let faces = layers.key("analysis.faces", |f| &f.analysis.faces, |faces: String| faces.parse::<Faces>());
    let min_confidence =
        layers.key("analysis.min_confidence", |f| &f.analysis.min_confidence, within(0.0, 1.0));
    let baseline = layers.key(
        "analysis.baseline",
        |f| &f.analysis.baseline,
        |baseline: String| baseline.parse::<Baseline>(),
    );
    Ok(Analysis {
        min_face_px: min_face_px?.unwrap_or(default.min_face_px),
        region: region?.unwrap_or(default.region),
        faces: faces?.unwrap_or(default.faces),
        min_confidence: min_confidence?.unwrap_or(default.min_confidence),
        baseline: baseline?.unwrap_or(default.baseline),
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "values are parsed, not computed")]
mod tests;
