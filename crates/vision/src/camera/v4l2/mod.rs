//! V4L2 cameras through the `v4l` crate: a format that the camera accepts, and the newest frame on each tick.

mod interval;
mod offer;
mod stream;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use v4l::format::Description;
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, Fraction};
use zeroize::Zeroize;

use super::deadline::SILENCE;
use super::frame::Frame;
use super::pixel_format::PixelFormat;
use super::size::check_size;
use super::source::{CameraError, Capture, FrameSource};
use lectern_record::clock::{Clock, SystemClock};
use lectern_record::help::Problem;
use offer::{Offer, Wanted};
use stream::{NotStarted, Stream};

/// A camera may refuse one offer after the other for this long at most: the watchdog waits for an answer.
const TRY_OFFERS_FOR: Duration = Duration::from_secs(10);

/// The fix of a camera that offers only these formats.
fn other_formats(names: &[String]) -> &'static str {
    // As the kernel names them: BA81, RG10, GB12, BYR2, packed pRAA. RGB comes in several orders.
    let is_bayer = |name: &String| {
        matches!(&**name, "GRBG" | "RGGB" | "GBRG" | "BA81" | "BYR2")
            || (["BG1", "GB1", "BA1", "RG1"].iter().any(|prefix| name.starts_with(prefix)))
            || (name.len() == 4 && name.starts_with('p'))
    };
    if names.iter().any(is_bayer) {
        "it is a CSI camera, which gives raw Bayer: let lectern-source@NAME.service read it, and name its pipe, \
         pipe:/run/lectern-NAME.y4m (see docs/install.md)"
    } else {
        "these formats are not decoded: use a camera that offers YUYV or MJPG, as most USB cameras do; \
         v4l2-ctl --list-formats shows them"
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
    wanted: Wanted,
    formats: Vec<PixelFormat>,
    stream: Option<Stream>,
    /// Why there is no stream, as the system's error number.
    away: i32,
    /// A wiped frame, whose memory the next one reuses.
    spare: Option<Frame>,
    /// Whether a stream could not be stopped: its buffers keep the camera busy until the process ends.
    stuck: bool,
}

impl V4l2 {
    /// A camera that is not opened yet: [`FrameSource::reopen`] opens it.
    #[must_use]
    pub fn new(device: &Path, width: u32, height: u32, rate_hz: f64) -> Self {
        Self {
            device: device.to_owned(),
            wanted: Wanted { width, height, rate_hz },
            formats: PixelFormat::ALL.to_vec(),
            stream: None,
            away: libc::ENODEV,
            spare: None,
            stuck: false,
        }
    }

    /// The same camera, limited to this pixel format if there is one.
    #[must_use]
    pub fn with_format(mut self, format: Option<PixelFormat>) -> Self {
        if let Some(format) = format {
            self.formats = vec![format];
        }
        self
    }

    /// The pixel formats that the camera offers, by their four letters. Works also while another program watches.
    ///
    /// # Errors
    /// [`CameraError`] when it is away, or no camera.
    pub fn formats(&mut self) -> Result<Vec<String>, CameraError> {
        let device = self.device()?;
        let offered = device.enum_formats().map_err(|e| self.failed(e))?;
        Ok(offered.iter().map(name).collect())
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
        if let Some(Err(e)) = self.stream.take().map(Stream::stop) {
            self.give_up(&e);
        }
    }

    /// Notes that a stream could not be stopped.
    fn give_up(&mut self, cause: &io::Error) {
        log::warn!("{}: STREAMOFF failed ({cause}); its buffers are given up", self.device.display());
        self.stuck = true;
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

    /// Starts the best offer that the camera does not refuse: a driver may list a format and have no bandwidth for it.
    fn open(&mut self) -> Result<Stream, CameraError> {
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
        let until = SystemClock.boot() + TRY_OFFERS_FOR;
        let mut refused: Option<(Offer, io::Error)> = None;
        for offer in self.offers(&device)? {
            match self.start(&device, &offer) {
                Ok((stream, format, rate)) => {
                    self.log_choice(&offer, &format, &rate, refused.as_ref());
                    return Ok(stream);
                }
                Err(cause) if !is_refusal(&cause) => return Err(self.failed(cause)),
                Err(cause) => {
                    refused.get_or_insert((offer, cause));
                }
            }
            if SystemClock.boot() > until {
                break;
            }
        }
        let cause = refused.map_or_else(|| io::ErrorKind::InvalidInput.into(), |(_, cause)| cause);
        Err(self.failed(cause))
    }

    /// What the camera offers of the formats that are read, the best first.
    fn offers(&mut self, device: &Device) -> Result<Vec<Offer>, CameraError> {
        let listed = device.enum_formats().map_err(|e| self.failed(e))?;
        if listed.is_empty() {
            // v4l 0.14 returns the same for a camera that was just unplugged.
            device.format().map_err(|e| self.failed(e))?;
        }
        let mut formats = self.formats.clone();
        formats.retain(|format| listed.iter().any(|listed| listed.fourcc == offer::code(*format)));
        let (mut sizes, mut refused) = (Vec::new(), None);
        for pixels in formats {
            // What the driver makes of the size: many cameras offer large pictures as MJPEG alone.
            match set(device, pixels, self.wanted.width, self.wanted.height) {
                Ok(format) => sizes.push((pixels, format.width, format.height)),
                Err(error) => refused = Some((pixels, error)),
            }
        }
        match refused {
            _ if !sizes.is_empty() => Ok(offer::all(device, &sizes, self.wanted)),
            Some((pixels, error)) if error.kind() == io::ErrorKind::Unsupported => {
                let problem = Problem::new(format!("offers {pixels} and then refuses it"));
                Err(self.unusable(problem.with_help("try another width and height")))
            }
            Some((_, error)) => Err(self.failed(error)),
            None => Err(self.not_offered(&listed)),
        }
    }

    fn not_offered(&self, listed: &[Description]) -> CameraError {
        let names: Vec<_> = listed.iter().map(name).collect();
        let offers = if names.is_empty() { "no format".to_owned() } else { names.join(", ") };
        let formats = PixelFormat::list(&self.formats);
        let of = if self.formats.len() == 1 { "not" } else { "none of" };
        let help = match PixelFormat::ALL.iter().find(|format| names.iter().any(|name| name == format.name()))
        {
            Some(format) => format!("remove camera.format, or set camera.format = \"{format}\""),
            None => other_formats(&names).to_owned(),
        };
        self.unusable(Problem::new(format!("offers {offers}, and {of} {formats}")).with_help(help))
    }

    /// Sets the format and the rate, and starts to capture.
    fn start(&mut self, device: &Device, offer: &Offer) -> io::Result<(Stream, Format, String)> {
        let format = set(device, offer.pixels, offer.width, offer.height)?;
        check_size(format.width as usize, format.height as usize).map_err(io::Error::other)?;
        let rate = set_rate(device, offer.interval);
        match Stream::start(device, offer.pixels, format) {
            Ok(stream) => Ok((stream, format, rate)),
            Err(NotStarted { cause, stuck }) => {
                if let Some(stuck) = stuck {
                    self.give_up(&stuck);
                }
                Err(cause)
            }
        }
    }

    fn log_choice(&self, offer: &Offer, format: &Format, rate: &str, refused: Option<&(Offer, io::Error)>) {
        let Wanted { width, height, rate_hz } = self.wanted;
        let device = self.device.display();
        if let Some((first, cause)) = refused {
            log::warn!("{device}: refuses {first} ({cause}); {offer} is used instead");
        }
        if (format.width, format.height) != (width, height) {
            log::warn!("{device}: gives {}x{} instead of {width}x{height}", format.width, format.height);
        }
        if offer.interval.is_some_and(|interval| interval::seconds(&interval) > 1.001 / rate_hz) {
            log::warn!("{device}: is slower than analysis.rate_hz = {rate_hz}");
        }
        log::info!("{device}: {} {}x{}, {rate}", offer.pixels, format.width, format.height);
    }
}

/// The format's four letters.
fn name(description: &Description) -> String {
    // The highest bit of a code marks the big-endian variant (`v4l2_fourcc_be`).
    let letters = description.fourcc.repr.map(|letter| char::from(letter & 0x7f));
    letters.iter().collect::<String>().trim_end().to_owned()
}

/// Requests this format and size; returns what the driver sets instead.
///
/// # Errors
/// As the driver's call does, and `Unsupported` where it sets another format.
fn set(device: &Device, pixels: PixelFormat, width: u32, height: u32) -> io::Result<Format> {
    let code = offer::code(pixels);
    let format = device.set_format(&Format::new(width, height, code))?;
    if format.fourcc != code || format.width == 0 || format.height == 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "another format was set"));
    }
    Ok(format)
}

/// Requests the lowest frame rate that suffices for the analysis: unused frames cost bus time and power, and longer
/// exposures help in a dark room. A driver without that choice keeps its rate.
fn set_rate(device: &Device, interval: Option<Fraction>) -> String {
    let Some(interval) = interval else { return "at its own frame rate".to_owned() };
    match device.set_params(&Parameters::new(interval)) {
        Ok(set) => format!("a frame every {} s", set.interval),
        Err(e) => format!("at its own frame rate ({e})"),
    }
}

/// Whether the driver refuses this format, size or rate, and may accept another one; not where the camera is away, busy or not
/// allowed.
fn is_refusal(cause: &io::Error) -> bool {
    let final_for_all = [
        libc::ENODEV,
        libc::ENXIO,
        libc::ENOENT,
        libc::EBUSY,
        libc::EACCES,
        libc::EPERM,
        libc::ENOTTY,
        libc::ENOSYS,
    ];
    !cause.raw_os_error().is_some_and(|number| final_for_all.contains(&number))
}

impl FrameSource for V4l2 {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let captured = match &mut self.stream {
            Some(stream) => stream.newest(&mut self.spare),
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
        for other in ["H264", "RGBP", "BGR3", "NV21"] {
            assert!(help(&[other]).contains("YUYV or MJPG"), "{other}");
        }
    }

    #[test]
    fn only_a_format_is_refused_that_another_one_may_replace() {
        let refused = |number| is_refusal(&io::Error::from_raw_os_error(number));
        assert!([libc::ENOSPC, libc::EINVAL, libc::EIO, libc::EPIPE, libc::ENOMEM].into_iter().all(refused));
        assert!(![libc::ENODEV, libc::EBUSY, libc::EACCES].into_iter().any(refused));
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
