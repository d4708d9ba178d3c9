//! Where frames come from: a V4L2 camera, a recording, a folder of stills, or the staged lecture of the demo.
//!
//! From the ground to the roof: `frame`, `size` and `source` are what all of them have in common; `decode` and `jpeg` make frames
//! of bytes, and `patience` waits for bytes. A source each are [`v4l2`], [`y4m`], [`stills`], [`staged`] and [`video`], which
//! stands on `probe`, `timeline` and `child`. `recording` chooses among them, and `live` plays what it chose without an end.

mod child;
pub mod decode;
mod frame;
mod jpeg;
mod live;
mod patience;
mod probe;
mod recording;
mod rotation;
mod size;
mod source;
pub mod staged;
pub mod stills;
mod timeline;
pub mod v4l2;
pub mod video;
pub mod y4m;

pub(crate) use frame::{BLACK, LUMA, mean_rgb};
pub use frame::{Chroma, Frame, Pixels, Planes};
pub use live::Live;
pub use recording::{open_recording, open_recording_among};
pub use rotation::rotated;
pub use size::MOST_PIXELS;
pub use source::{CameraError, Capture, FrameSource};
