//! V4L2 cameras through the `v4l` crate: negotiation, and the newest frame on each tick.

mod interval;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use v4l::buffer::{Flags, Metadata, Type};
use v4l::io::mmap::Stream as MmapStream;
use v4l::io::traits::{CaptureStream, Stream};
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC};
use zeroize::Zeroize;

use super::frame::Frame;
use super::size::check_size;
use super::source::{CameraError, Capture, FrameSource};
use super::{decode, jpeg};
use lectern_record::help::Problem;

/// Pixel formats that can be decoded, the cheapest and richest first.
const FORMATS: [&[u8; 4]; 5] = [b"YUYV", b"NV12", b"RGB3", b"MJPG", b"GREY"];

/// Buffers shared with the driver: one to capture into while the other is copied. Each holds a whole picture, 4 MB at 1920x1080; a driver
/// that needs more of them makes more.
const BUFFERS: u32 = 2;

/// As many as a driver may make (VIDEO_MAX_FRAME).
const MAX_BUFFERS: u32 = 32;

/// A camera that shows nothing for this long is lost. A webcam needs up to two seconds for its first frame.
const SILENCE: Duration = Duration::from_secs(4);

/// The fix of a camera that offers only these formats.
fn other_formats(names: &[String]) -> &'static str {
    // As the kernel names them: BA81, RG10, GB12, BYR2, packed pRAA. RGB comes in several orders.
    let is_bayer = |name: &String| {
        matches!(&**name, "GRBG" | "RGGB" | "GBRG" | "BA81" | "BYR2")
            || (["BG1", "GB1", "BA1", "RG1"].iter().any(|prefix| name.starts_with(prefix)))
            || (name.len() == 4 && name.starts_with('p'))
    };
    if names.iter().any(is_bayer) {
        "it is a CSI camera, which gives raw Bayer: use a USB (UVC) one"
    } else {
        "these formats are not decoded: use a camera that offers YUYV or MJPG, as most USB cameras do; v4l2-ctl --list-formats shows them"
    }
}

/// An output, a metadata or a multi-planar node, or what is no V4L2 device at all.
fn no_camera() -> Problem {
    Problem::new("is no camera that can be read")
        .with_help("name the capture node of a USB (UVC) camera, see /dev/v4l/by-id/")
}

/// A V4L2 camera, opened or away.
pub struct V4l2 {
    device: PathBuf,
    width: u32,
    height: u32,
    rate_hz: f64,
    formats: Vec<FourCC>,
    stream: Option<Running>,
    /// Why there is no stream, as the system's error number.
    away: i32,
    /// A wiped frame, whose memory the next one reuses.
    spare: Option<Frame>,
    /// Whether a stream could not be stopped: its buffers keep the camera busy until the process ends.
    stuck: bool,
}

/// A negotiated stream.
struct Running {
    stream: MmapStream<'static>,
    format: Format,
    /// Whether a frame has come since the stream was opened.
    started: bool,
}

impl V4l2 {
    /// A camera that is not opened yet: [`FrameSource::reopen`] opens it.
    #[must_use]
    pub fn new(device: &Path, width: u32, height: u32, rate_hz: f64) -> Self {
        let formats = FORMATS.into_iter().map(FourCC::new).collect();
        Self {
            device: device.to_owned(),
            width,
            height,
            rate_hz,
            formats,
            stream: None,
            away: libc::ENODEV,
            spare: None,
            stuck: false,
        }
    }

    /// The same camera, limited to these pixel formats in order of preference.
    #[must_use]
    pub fn with_formats(mut self, formats: &[[u8; 4]]) -> Self {
        self.formats = formats.iter().map(FourCC::new).collect();
        self
    }

    /// The pixel formats that the camera offers, by their four letters. Works also while another program watches.
    ///
    /// # Errors
    /// [`CameraError`] when it is away, or no camera.
    pub fn formats(&mut self) -> Result<Vec<String>, CameraError> {
        let device = self.device()?;
        let offered = device.enum_formats().map_err(|e| self.failed(e))?;
        // The highest bit of a code marks the big-endian variant (`v4l2_fourcc_be`).
        let name = |code: [u8; 4]| code.map(|letter| char::from(letter & 0x7f)).iter().collect::<String>();
        Ok(offered.iter().map(|f| name(f.fourcc.repr).trim_end().to_owned()).collect())
    }

    fn lost(&mut self, cause: io::Error) -> CameraError {
        self.close();
        self.away = cause.raw_os_error().unwrap_or(libc::ENODEV);
        let cause = match cause.kind() {
            kind @ io::ErrorKind::TimedOut => {
                io::Error::new(kind, format!("no frame for {} s", SILENCE.as_secs()))
            }
            _ => cause,
        };
        CameraError::Lost { device: self.device.display().to_string(), cause }
    }

    fn unusable(&self, problem: impl Into<Problem>) -> CameraError {
        CameraError::Unusable { device: self.device.display().to_string(), problem: problem.into() }
    }

    /// What an error of the system means for the caller.
    fn failed(&mut self, cause: io::Error) -> CameraError {
        // Processor emulators (qemu-user) implement no ioctl of V4L2, and return ENOSYS.
        if matches!(cause.raw_os_error(), Some(libc::ENOTTY | libc::ENOSYS)) {
            return self.unusable(no_camera());
        }
        self.lost(cause)
    }

    fn close(&mut self) {
        let Some(mut running) = self.stream.take() else { return };
        match running.stream.stop() {
            Err(e) if e.raw_os_error() != Some(libc::ENODEV) => {
                // v4l 0.14 panics when it drops a stream that STREAMOFF fails on. The mapping is leaked instead.
                log::warn!("{}: STREAMOFF failed ({e}); its buffers are given up", self.device.display());
                std::mem::forget(running.stream);
                self.stuck = true;
            }
            _ => drop(running),
        }
    }

    fn device(&mut self) -> Result<Device, CameraError> {
        // Asked first, because v4l 0.14 panics at a path that holds a NUL.
        match std::fs::metadata(&self.device) {
            Ok(node) if node.file_type().is_char_device() => (),
            Err(e) if e.kind() != io::ErrorKind::InvalidInput => return Err(self.failed(e)),
            _ => return Err(self.unusable(no_camera())),
        }
        Device::with_path(&self.device).map_err(|e| self.failed(e))
    }

    fn open(&mut self) -> Result<Running, CameraError> {
        if self.stuck {
            return Err(self.unusable(
                Problem::new("could not be stopped and stays busy").with_help("start the program again"),
            ));
        }
        let device = self.device()?;
        // Not VIDIOC_QUERYCAP: v4l 0.14 panics where the driver has cut the camera's name within a character.
        device.format().map_err(|e| match e.raw_os_error() {
            Some(libc::EINVAL) => self.unusable(no_camera()),
            _ => self.failed(e),
        })?;
        let format = self.negotiate(&device)?;
        let rate = self.slow_down(&device, &format);
        let mut stream =
            MmapStream::with_buffers(&device, Type::VideoCapture, BUFFERS).map_err(|e| self.failed(e))?;
        stream.set_timeout(SILENCE);
        log::info!(
            "{}: {} {}x{}, {rate}",
            self.device.display(),
            String::from_utf8_lossy(&format.fourcc.repr),
            format.width,
            format.height
        );
        Ok(Running { stream, format, started: false })
    }

    /// Sets the fast enough format nearest to the requested size, the first of equal ones; or else the fastest.
    fn negotiate(&mut self, device: &Device) -> Result<Format, CameraError> {
        let offered = device.enum_formats().map_err(|e| self.failed(e))?;
        if offered.is_empty() {
            // v4l 0.14 returns the same for a camera that was just unplugged.
            device.format().map_err(|e| self.failed(e))?;
        }
        let known: Vec<_> = self
            .formats
            .iter()
            .copied()
            .filter(|fourcc| offered.iter().any(|format| format.fourcc == *fourcc))
            .collect();
        let (mut best, mut refused): (Option<(Offer, FourCC)>, _) = (None, None);
        for fourcc in &known {
            // What the driver would make of it: many cameras offer large pictures as MJPEG alone.
            let format = match self.set(device, *fourcc) {
                Ok(format) => format,
                Err(error) => {
                    refused = Some(error);
                    continue;
                }
            };
            let intervals =
                device.enum_frameintervals(*fourcc, format.width, format.height).unwrap_or_default();
            let fastest =
                intervals.iter().map(|i| interval::shortest(&i.interval)).fold(f64::INFINITY, f64::min);
            let offer = Offer {
                seconds: fastest.max(interval::needed(self.rate_hz)),
                pixels: (format.width * format.height).min(self.width * self.height),
            };
            if best.as_ref().is_none_or(|(best, _)| offer.is_better_than(best)) {
                best = Some((offer, *fourcc));
            }
        }
        let format = match (best, refused) {
            (Some((_, fourcc)), _) => self.set(device, fourcc)?,
            (None, Some(error)) => return Err(error),
            (None, None) => {
                let names: Vec<_> =
                    offered.iter().map(|f| String::from_utf8_lossy(&f.fourcc.repr).into_owned()).collect();
                let offers = if names.is_empty() { "no format".to_owned() } else { names.join(", ") };
                let problem =
                    Problem::new(format!("offers {offers} and none of YUYV, NV12, RGB3, MJPG, GREY"));
                return Err(self.unusable(problem.with_help(other_formats(&names))));
            }
        };
        check_size(format.width as usize, format.height as usize)
            .map_err(|problem| self.unusable(problem))?;
        if (format.width, format.height) != (self.width, self.height) {
            log::warn!(
                "{}: gives {}x{} instead of {}x{}",
                self.device.display(),
                format.width,
                format.height,
                self.width,
                self.height
            );
        }
        Ok(format)
    }

    /// Requests the size in this format; returns what the driver sets instead.
    fn set(&mut self, device: &Device, fourcc: FourCC) -> Result<Format, CameraError> {
        let requested = Format::new(self.width, self.height, fourcc);
        let format = device.set_format(&requested).map_err(|e| self.failed(e))?;
        if format.fourcc != fourcc || format.width == 0 || format.height == 0 {
            let problem = Problem::new(format!("offers {fourcc} and then refuses it"));
            return Err(self.unusable(problem.with_help("try another width and height")));
        }
        Ok(format)
    }

    /// Requests the lowest frame rate that suffices for the analysis: unused frames cost bus time and power, and longer
    /// exposures help in a dark room. A driver without that choice keeps its rate.
    fn slow_down(&self, device: &Device, format: &Format) -> String {
        let offered =
            device.enum_frameintervals(format.fourcc, format.width, format.height).unwrap_or_default();
        let needed = interval::needed(self.rate_hz);
        let Some(chosen) = interval::choose(offered.iter().map(|i| &i.interval), needed) else {
            return "at its own frame rate".to_owned();
        };
        if interval::seconds(&chosen) > 1.0 / self.rate_hz {
            log::warn!("{}: is slower than analysis.rate_hz = {}", self.device.display(), self.rate_hz);
        }
        match device.set_params(&Parameters::new(chosen)) {
            Ok(set) => format!("a frame every {} s", set.interval),
            Err(e) => format!("at its own frame rate ({e})"),
        }
    }
}

/// What a camera offers in one format for the requested size and rate.
#[derive(Debug, Clone, Copy)]
struct Offer {
    /// Seconds between two frames, as short as they can be, but no shorter than what is needed.
    seconds: f64,
    /// Pixels of the picture, at most as many as requested.
    pixels: u32,
}

impl Offer {
    fn is_better_than(self, other: &Self) -> bool {
        self.seconds < other.seconds || self.seconds <= other.seconds && self.pixels > other.pixels
    }
}

impl FrameSource for V4l2 {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let captured = match &mut self.stream {
            Some(running) => running.newest(&mut self.spare),
            None => Err(io::Error::from_raw_os_error(self.away)),
        };
        captured.map_err(|e| self.lost(e))
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        self.close();
        self.stream = Some(self.open()?);
        Ok(())
    }

    fn recycle(&mut self, mut frame: Frame) {
        frame.zeroize();
        self.spare = Some(frame);
    }
}

impl Drop for V4l2 {
    fn drop(&mut self) {
        self.close();
    }
}

impl Running {
    /// Drops what was captured since the last tick undecoded, and waits for the next frame.
    fn newest(&mut self, spare: &mut Option<Frame>) -> io::Result<Capture> {
        if self.started {
            // The driver has filled its buffers long ago and thrown away everything since.
            for _ in 0..MAX_BUFFERS {
                if self.stream.handle().poll(libc::POLLIN, 0)? == 0 {
                    break;
                }
                self.grab(|_, _| ())?;
            }
        }
        let format = self.format;
        let captured = self.grab(|buffer, meta| capture(buffer, meta, &format, spare.take()))?;
        self.started = true;
        Ok(captured)
    }

    /// Gives the last buffer back, waits for one, and hands it to `read`.
    fn grab<T>(&mut self, read: impl FnOnce(&[u8], &Metadata) -> T) -> io::Result<T> {
        loop {
            match self.stream.next() {
                Ok((buffer, meta)) => return Ok(read(buffer, meta)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                    // The buffer was queued before the wait was interrupted, and `next` would queue it a second
                    // time: dequeue one first.
                    while let Err(e) = CaptureStream::dequeue(&mut self.stream) {
                        if e.kind() != io::ErrorKind::Interrupted {
                            return Err(e);
                        }
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// Decodes one buffer, of which the driver has filled the first `bytesused` bytes.
fn capture(buffer: &[u8], meta: &Metadata, format: &Format, spare: Option<Frame>) -> Capture {
    let used = (meta.bytesused as usize).min(buffer.len());
    if used == 0 || meta.flags.contains(Flags::ERROR) {
        return Capture::Corrupt;
    }
    decoded(&buffer[..used], format, spare).map_or(Capture::Corrupt, Capture::Frame)
}

fn decoded(bytes: &[u8], format: &Format, spare: Option<Frame>) -> Option<Frame> {
    let (width, height, stride) = (format.width as usize, format.height as usize, format.stride as usize);
    match &format.fourcc.repr {
        b"YUYV" => decode::yuyv(bytes, width, height, stride, spare),
        b"NV12" => decode::nv12(bytes, width, height, stride, spare),
        b"RGB3" => decode::rgb3(bytes, width, height, stride, spare),
        b"GREY" => decode::grey(bytes, width, height, stride, spare),
        b"MJPG" => jpeg::mjpeg_of(bytes, width, height),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_csi_camera_is_called_one() {
        let help =
            |names: &[&str]| other_formats(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        for bayer in ["BA81", "RG10", "pRAA", "BG12", "GRBG"] {
            assert!(help(&["UYVY", bayer]).contains("CSI"), "{bayer}");
        }
        for other in ["UYVY", "H264", "RGBP", "BGR3", "NV21"] {
            assert!(help(&[other]).contains("YUYV or MJPG"), "{other}");
        }
    }

    #[test]
    fn a_buffer_is_cut_by_what_the_driver_filled() {
        let format = Format::new(2, 1, FourCC::new(b"GREY"));
        let mut meta = Metadata { bytesused: 2, ..Metadata::default() };
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, &format, None), Capture::Frame(_)));
        meta.bytesused = 1;
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, &format, None), Capture::Corrupt));
        meta.bytesused = 0;
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, &format, None), Capture::Corrupt));
        (meta.bytesused, meta.flags) = (2, Flags::ERROR);
        assert!(matches!(capture(&[1, 2, 3, 4], &meta, &format, None), Capture::Corrupt));
    }

    #[test]
    fn a_raw_format_is_chosen_if_large_and_fast_enough() {
        // As YUYV and as MJPEG, for two frames a second, of which a camera is to give twice as many.
        let first = |yuyv: (f64, u32), mjpeg: (f64, u32)| {
            let [raw, packed] =
                [yuyv, mjpeg].map(|(hz, pixels)| Offer { seconds: (1.0 / hz).max(0.25), pixels });
            if packed.is_better_than(&raw) { "MJPG" } else { "YUYV" }
        };
        let (large, small) = (1920 * 1080, 640 * 480);
        assert_eq!(first((5.0, large), (30.0, large)), "YUYV");
        assert_eq!(first((2.0, large), (30.0, large)), "MJPG");
        assert_eq!(first((30.0, small), (30.0, large)), "MJPG");
        assert_eq!(first((30.0, small), (2.0, large)), "YUYV");
    }

    #[test]
    fn a_camera_that_is_not_there_is_lost_and_not_unusable() {
        let mut camera = V4l2::new(Path::new("/dev/no-such-camera"), 640, 480, 2.0);
        assert!(matches!(camera.reopen(), Err(CameraError::Lost { .. })));
        assert!(matches!(camera.next(), Err(CameraError::Lost { .. })));
    }

    #[test]
    fn what_is_no_camera_is_refused() {
        for path in ["/dev/null", "/dev/shm", "/dev/vid\0eo"] {
            let mut camera = V4l2::new(Path::new(path), 640, 480, 2.0);
            let error = camera.reopen().unwrap_err();
            assert!(matches!(error, CameraError::Unusable { .. }), "{path:?}: {error}");
        }
    }
}
