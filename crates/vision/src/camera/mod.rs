//! Sources of frames: a V4L2 camera, a recording, a folder of stills, or the synthetic lecture of `bench`.
//!
//! From the bottom up: all sources share `frame`, `size` and `source`; `decode` and `jpeg` make frames
//! of bytes, `pixel_format` lists what a camera may send, and `deadline` waits for bytes. A source each are [`v4l2`], `pipe`, [`y4m`], [`stills`], [`synthetic`] and [`video`], which
//! is built on `ffprobe`, `timeline` and `ffmpeg`. `recording` chooses among them, and `looped_recording` plays its choice in a
//! loop.

mod deadline;
pub mod decode;
mod ffmpeg;
mod ffprobe;
mod frame;
mod jpeg;
mod looped_recording;
mod pipe;
mod pixel_format;
mod recording;
mod rotation;
mod size;
mod source;
pub mod stills;
pub mod synthetic;
mod timeline;
pub mod v4l2;
pub mod video;
pub mod y4m;

pub(crate) use frame::{BLACK, LUMA, mean_rgb};
pub use frame::{Chroma, Frame, Pixels, Planes};
pub use looped_recording::LoopedRecording;
pub use pipe::Pipe;
pub use pixel_format::PixelFormat;
pub use recording::{open_recording, open_recording_among};
pub use rotation::rotated;
pub use size::MAX_PIXELS;
pub use source::{CameraError, Capture, FrameSource};
