//! `lectern.toml` as it is written: every key optional, every unknown key refused.

use serde::Deserialize;
use toml::Spanned;

/// A key that may be absent, with its place in the file.
pub(super) type Key<T> = Option<Spanned<T>>;

/// One file, or one environment variable.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fragment {
    pub(super) device: Device,
    pub(super) deployment: Deployment,
    pub(super) camera: Camera,
    pub(super) analysis: Analysis,
    pub(super) window: Window,
    pub(super) mqtt: Mqtt,
    pub(super) spool: Spool,
}

/// The names of the sections of [`Fragment`].
pub(super) const SECTIONS: [&str; 7] =
    ["device", "deployment", "camera", "analysis", "window", "mqtt", "spool"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Device {
    pub(super) id: Key<String>,
    pub(super) site: Key<String>,
    pub(super) building: Key<String>,
    pub(super) room: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Deployment {
    pub(super) basis: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Camera {
    pub(super) device: Key<String>,
    pub(super) width: Key<u32>,
    pub(super) height: Key<u32>,
    pub(super) rotate: Key<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Analysis {
    pub(super) rate_hz: Key<f64>,
    pub(super) min_face_px: Key<u32>,
    pub(super) region: Key<[f32; 4]>,
    pub(super) faces: Key<String>,
    pub(super) min_confidence: Key<f32>,
    pub(super) baseline: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Window {
    pub(super) seconds: Key<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mqtt {
    pub(super) url: Key<String>,
    pub(super) root: Key<String>,
    pub(super) username: Key<String>,
    pub(super) password_file: Key<String>,
    pub(super) ca: Key<String>,
    pub(super) client_cert: Key<String>,
    pub(super) client_key: Key<String>,
    pub(super) discovery: Key<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spool {
    pub(super) directory: Key<String>,
    pub(super) keep_days: Key<u32>,
}
