//! A negotiated stream of a camera: started at once, and the newest frame on each tick.

use std::io;
use std::time::Duration;

use v4l::buffer::{Flags, Metadata, Type};
use v4l::io::mmap::Stream as MmapStream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::{Device, Format};

use crate::camera::deadline::SILENCE;
use crate::camera::frame::Frame;
use crate::camera::pixel_format::PixelFormat;
use crate::camera::source::Capture;

/// Buffers shared with the driver: one to capture into while the other is copied. Each holds a whole picture, 4 MB at 1920x1080; a driver
/// that needs more of them makes more.
const BUFFERS: u32 = 2;

/// As many as a driver may make (VIDIOC_REQBUFS, VIDEO_MAX_FRAME).
const MAX_BUFFERS: u32 = 32;

/// A running stream.
pub(super) struct Stream {
    stream: MmapStream<'static>,
    pixels: PixelFormat,
    format: Format,
    /// Whether the stream's current buffer is ours, and not the driver's.
    holds_buffer: bool,
    /// Whether a frame has come.
    has_frame: bool,
}

impl Stream {
    /// Starts to capture in the format that is set, so that a driver that refuses it does so now.
    ///
    /// # Errors
    /// As the driver's calls do; a stream that could not be stopped then is in the error too.
    pub(super) fn start(device: &Device, pixels: PixelFormat, format: Format) -> Result<Self, NotStarted> {
        let stream =
            MmapStream::with_buffers(device, Type::VideoCapture, BUFFERS).map_err(NotStarted::new)?;
        let mut started = Self { stream, pixels, format, holds_buffer: false, has_frame: false };
        // v4l 0.14 starts with the first call of `next`, which is not to wait for a frame here.
        started.stream.set_timeout(Duration::ZERO);
        match started.stream.next() {
            Ok(_) => started.holds_buffer = true,
            Err(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => (),
            Err(cause) => return Err(NotStarted { cause, stuck: started.stop().err() }),
        }
        started.stream.set_timeout(SILENCE);
        Ok(started)
    }

    /// Stops to capture.
    ///
    /// # Errors
    /// When the driver cannot: its buffers keep the camera busy then, until the process ends.
    pub(super) fn stop(mut self) -> io::Result<()> {
        match self.stream.stop() {
            Err(e) if e.raw_os_error() != Some(libc::ENODEV) => {
                // v4l 0.14 panics when it drops a stream that STREAMOFF fails on. The mapping is leaked instead.
                std::mem::forget(self.stream);
                Err(e)
            }
            _ => Ok(()),
        }
    }

    /// Drops what was captured since the last tick undecoded, and waits for the next frame.
    pub(super) fn newest(&mut self, spare: &mut Option<Frame>) -> io::Result<Capture> {
        if self.has_frame {
            // The driver has filled its buffers long ago and thrown away everything since.
            for _ in 0..MAX_BUFFERS {
                if self.stream.handle().poll(libc::POLLIN, 0)? == 0 {
                    break;
                }
                self.grab(|_, _| ())?;
            }
        }
        let (pixels, format) = (self.pixels, self.format);
        let captured = self.grab(|buffer, meta| capture(buffer, meta, pixels, &format, spare.take()))?;
        self.has_frame = true;
        Ok(captured)
    }

    /// Gives the last buffer back, waits for one, and passes it to `read`.
    fn grab<T>(&mut self, read: impl FnOnce(&[u8], &Metadata) -> T) -> io::Result<T> {
        loop {
            while !self.holds_buffer {
                // `next` would queue a buffer that the driver already has.
                match CaptureStream::dequeue(&mut self.stream) {
                    Ok(_) => self.holds_buffer = true,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => (),
                    Err(e) => return Err(e),
                }
            }
            match self.stream.next() {
                Ok((buffer, meta)) => return Ok(read(buffer, meta)),
                // The buffer was queued before the wait was interrupted.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => self.holds_buffer = false,
                Err(e) => return Err(e),
            }
        }
    }
}

/// Why a stream does not run.
pub(super) struct NotStarted {
    pub(super) cause: io::Error,
    /// Why it could not be stopped either.
    pub(super) stuck: Option<io::Error>,
}

impl NotStarted {
    fn new(cause: io::Error) -> Self {
        Self { cause, stuck: None }
    }
}

/// Decodes one buffer, of which the driver has filled the first `bytesused` bytes.
fn capture(
    buffer: &[u8],
    meta: &Metadata,
    pixels: PixelFormat,
    format: &Format,
    spare: Option<Frame>,
) -> Capture {
    let used = (meta.bytesused as usize).min(buffer.len());
    if used == 0 || meta.flags.contains(Flags::ERROR) {
        return Capture::Corrupt;
    }
    let (width, height, stride) = (format.width as usize, format.height as usize, format.stride as usize);
    let frame = pixels.decode(&buffer[..used], width, height, stride, spare);
    frame.map_or(Capture::Corrupt, Capture::Frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::FourCC;

    #[test]
    fn a_buffer_is_cut_by_what_the_driver_filled() {
        let format = Format::new(2, 1, FourCC::new(b"GREY"));
        let grey = PixelFormat::named("GREY").unwrap();
        let mut meta = Metadata { bytesused: 2, ..Metadata::default() };
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, grey, &format, None), Capture::Frame(_)));
        meta.bytesused = 1;
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, grey, &format, None), Capture::Corrupt));
        meta.bytesused = 0;
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, grey, &format, None), Capture::Corrupt));
        (meta.bytesused, meta.flags) = (2, Flags::ERROR);
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, grey, &format, None), Capture::Corrupt));
    }
}
