//! A camera behind a pipe (FIFO): another program writes Y4M into it for ever, and the newest picture counts.
//!
//! Opening it waits for nobody, and one whose writer ended, falls silent or writes something else is a lost camera. A writer that is
//! faster than the analysis waits while the pipe is full, so what lies in the pipe at a tick is old: it is read and dropped undecoded.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use zeroize::{Zeroize, Zeroizing};

use super::deadline::{Deadline, SILENCE, ready_within};
use super::frame::Frame;
use super::source::{CameraError, Capture, FrameSource};
use super::y4m::{Header, MAX_LINE};
use lectern_record::clock::{BootTime, Clock, SystemClock};
use lectern_record::help::Problem;

/// A writer with at least so many frames for each that is analysed soon writes one that began after the tick.
const FRAMES_A_TICK: f64 = 2.0;

/// Frames that a writer may be late with before it counts as backlogged.
const BACKLOG: f64 = 2.0;

/// A pipe with Y4M; open or lost.
pub struct Pipe {
    path: PathBuf,
    rate_hz: f64,
    stream: Option<Stream>,
    /// A wiped frame, whose memory the next one reuses.
    spare: Option<Frame>,
}

impl Pipe {
    /// A pipe that is not opened yet: [`FrameSource::reopen`] opens it.
    #[must_use]
    pub fn new(path: &Path, rate_hz: f64) -> Self {
        Self { path: path.to_owned(), rate_hz, stream: None, spare: None }
    }

    fn lost(&self, cause: impl Into<io::Error>) -> CameraError {
        CameraError::lost(&self.path, cause.into())
    }

    /// Opens it without waiting for a writer.
    #[expect(clippy::disallowed_methods, reason = "opened to be read alone")]
    fn open(&self) -> Result<File, CameraError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => {
                return Err(self.lost(io::Error::new(io::ErrorKind::NotFound, "there is no such pipe")));
            }
            Err(e) => return Err(self.lost(e)),
        };
        if !file.metadata().map_err(|e| self.lost(e))?.file_type().is_fifo() {
            let problem = Problem::new("is no pipe");
            return Err(CameraError::Unusable {
                device: self.path.display().to_string(),
                problem: problem
                    .with_help("remove it, and make a pipe with mkfifo; or name a recording with file:"),
            });
        }
        Ok(file)
    }
}

impl FrameSource for Pipe {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let spare = self.spare.take();
        let Some(stream) = &mut self.stream else {
            return Err(self.lost(io::ErrorKind::NotConnected));
        };
        match stream.newest(self.rate_hz) {
            Ok(()) => Ok(stream.decoded(spare)),
            Err(cause) => {
                if !stream.is_another {
                    self.stream = None;
                }
                Err(self.lost(cause))
            }
        }
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.is_another) {
            // Its new header was read already.
            stream.is_another = false;
            return Ok(());
        }
        let file = self.open()?;
        self.stream = None;
        // Two readers would each get parts of a picture.
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => self.lost(io::Error::from_raw_os_error(libc::EBUSY)),
            other => self.lost(other),
        })?;
        self.stream = Some(Stream::new(file));
        Ok(())
    }

    fn recycle(&mut self, mut frame: Frame) {
        frame.zeroize();
        self.spare = Some(frame);
    }
}

/// What a read led to.
enum Step {
    /// A frame is whole; so many bytes of this tick had been read when it began.
    Frame(usize),
    /// There is nothing to read now.
    Waits,
}

/// What one writer, or one after the other, writes.
struct Stream {
    file: File,
    /// Whether a writer was seen; without one a read looks like the end.
    has_writer: bool,
    header: Option<Header>,
    /// Whether the header has changed, which makes it another camera.
    is_another: bool,
    /// The line that is being read.
    line: Vec<u8>,
    /// Bytes of the frame that is being read, and how many of them had been read at this tick when it began.
    filled: Option<usize>,
    began: usize,
    picture: Zeroizing<Vec<u8>>,
    /// The last whole frame.
    newest: Zeroizing<Vec<u8>>,
    /// Bytes read at this tick.
    read: usize,
    /// Since when frames are counted, and how many came since.
    counted: Option<(BootTime, u32)>,
}

impl Stream {
    fn new(file: File) -> Self {
        Self {
            file,
            has_writer: false,
            header: None,
            is_another: false,
            line: Vec::new(),
            filled: None,
            began: 0,
            picture: Zeroizing::default(),
            newest: Zeroizing::default(),
            read: 0,
            counted: None,
        }
    }

    /// Reads up to the newest frame, for which it waits as long as for a camera's.
    fn newest(&mut self, rate_hz: f64) -> io::Result<()> {
        let silence = Deadline::after(SILENCE);
        let patience = Deadline::after(Duration::from_secs_f64(0.5 / rate_hz));
        let old = usize::try_from(rustix::io::ioctl_fionread(&self.file)?).unwrap_or(usize::MAX);
        // What was read of a frame before this tick is old, too.
        (self.read, self.began) = (0, 0);
        let mut has_frame = false;
        loop {
            let interval = self.header.map_or(0.0, |header| 1.0 / header.frames_per_second);
            let is_fast = interval * rate_hz * FRAMES_A_TICK <= 1.0;
            let wait = match self.step() {
                Ok(Step::Frame(began)) => {
                    has_frame = true;
                    let is_old = self.read < old || is_fast && began < old.max(1);
                    if !is_old && (!self.is_behind() || patience.left().is_zero()) {
                        return Ok(());
                    }
                    continue;
                }
                Ok(Step::Waits) if has_frame => {
                    let longest = if is_fast { 2.0 * interval } else { interval / 2.0 };
                    patience.left().min(Duration::from_secs_f64(longest))
                }
                Ok(Step::Waits) => silence.left(),
                // It is lost with the next call.
                Err(_) if has_frame && !self.is_another => return Ok(()),
                Err(e) => return Err(e),
            };
            if ready_within([&self.file], Some(wait))?.is_none() {
                if has_frame {
                    // It is slower than its header says.
                    self.counted = None;
                    return Ok(());
                }
                return Err(silence.is_over());
            }
            self.has_writer = true;
        }
    }

    /// Whether fewer frames came than the header promises: the writer waited for this program, and has more.
    fn is_behind(&self) -> bool {
        let Some(((since, count), header)) = self.counted.zip(self.header) else { return false };
        let elapsed = SystemClock.boot().saturating_sub(since).as_secs_f64();
        elapsed * header.frames_per_second > f64::from(count) + BACKLOG
    }

    /// Reads until a frame is whole or there is nothing to read.
    fn step(&mut self) -> io::Result<Step> {
        if !self.has_writer {
            return Ok(Step::Waits);
        }
        loop {
            let read = match self.filled {
                Some(filled) => self.file.read(&mut self.picture[filled..]),
                None => self.read_line(),
            };
            let read = match read {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "what writes it has ended"));
                }
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Waits),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.read += read;
            match &mut self.filled {
                Some(filled) => {
                    *filled += read;
                    if *filled == self.picture.len() {
                        self.filled = None;
                        std::mem::swap(&mut self.picture, &mut self.newest);
                        let (_, count) = self.counted.get_or_insert((SystemClock.boot(), 0));
                        *count = count.saturating_add(1);
                        return Ok(Step::Frame(self.began));
                    }
                }
                None if self.line.ends_with(b"\n") => self.line_ended()?,
                None => {}
            }
        }
    }

    /// Reads one byte of a line, so that no pixel lies in a buffer beside the picture's.
    fn read_line(&mut self) -> io::Result<usize> {
        if self.line.len() as u64 >= MAX_LINE {
            return Err(malformed("a header line does not end".into()));
        }
        let mut byte = [0];
        let read = self.file.read(&mut byte)?;
        self.line.extend_from_slice(&byte[..read]);
        Ok(read)
    }

    fn line_ended(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if line.starts_with(b"FRAME") && self.header.is_some() {
            self.began = self.read.saturating_sub(line.len());
            self.filled = Some(0);
            return Ok(());
        }
        if self.header.is_some() && !line.starts_with(b"YUV4MPEG2") {
            return Err(malformed("no frame header where one should be".into()));
        }
        let header = Header::read(&mut line.as_slice()).map_err(|bad| malformed(bad.to_string()))?;
        let size = header.chroma.frame_bytes(header.width, header.height);
        let old = self.header.replace(header);
        (self.picture, self.newest) = (vec![0; size].into(), vec![0; size].into());
        self.counted = None;
        match old {
            Some(old) if old != header => {
                self.is_another = true;
                Err(malformed(format!("it has become {header}, and was {old}")))
            }
            _ => Ok(()),
        }
    }

    /// The newest frame as a picture; its bytes are wiped.
    fn decoded(&mut self, spare: Option<Frame>) -> Capture {
        let captured = self.header.map(|header| header.decode(&self.newest, spare));
        self.newest.as_mut_slice().zeroize();
        captured.unwrap_or(Capture::Corrupt)
    }
}

/// A stream that is not as it should be.
fn malformed(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::Command;
    use std::thread::sleep;

    const RATE_HZ: f64 = 10.0;

    struct Fifo {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    impl Fifo {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("camera.y4m");
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            Self { _folder: folder, path }
        }

        /// A camera that is open; a writer that opens the pipe does not wait then.
        fn camera(&self) -> Pipe {
            let mut camera = Pipe::new(&self.path, RATE_HZ);
            camera.reopen().unwrap();
            camera
        }

        fn writer(&self) -> File {
            File::options().write(true).open(&self.path).unwrap()
        }
    }

    fn header(side: usize, rate: u32) -> Vec<u8> {
        format!("YUV4MPEG2 W{side} H{side} F{rate}:1 Ip A1:1 Cmono\n").into_bytes()
    }

    fn frame(side: usize, shade: u8) -> Vec<u8> {
        [b"FRAME\n".as_slice(), &vec![shade; side * side]].concat()
    }

    /// The shade of the next frame, and its width.
    fn shade(camera: &mut Pipe) -> (u8, usize) {
        match camera.next() {
            Ok(Capture::Frame(frame)) => {
                let crate::camera::Pixels::Planes(planes) = frame.pixels() else { panic!("no planes") };
                let shown = (planes.luma[0], frame.width());
                camera.recycle(frame);
                shown
            }
            Ok(_) => panic!("no frame"),
            Err(error) => panic!("{}", lectern_record::help::Explained(&error)),
        }
    }

    fn lost(camera: &mut Pipe) -> String {
        match camera.next() {
            Err(error @ CameraError::Lost { .. }) => lectern_record::help::Explained(&error).to_string(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("the camera still delivers"),
        }
    }

    #[test]
    fn a_writer_that_ends_is_a_lost_camera_until_the_next_one() {
        let fifo = Fifo::new();
        let mut camera = fifo.camera();
        // At a frame's end, in the middle of a frame or of a line, and at once.
        let whole = [header(16, 10), frame(16, 50)].concat();
        let ends = [
            whole.clone(),
            [whole.clone(), frame(16, 60)[..100].to_vec()].concat(),
            header(16, 10)[..20].into(),
            vec![],
        ];
        for bytes in ends {
            let mut writer = fifo.writer();
            writer.write_all(&bytes).unwrap();
            drop(writer);
            if bytes.len() >= whole.len() {
                assert_eq!(shade(&mut camera), (50, 16));
            }
            let message = lost(&mut camera);
            assert!(
                message.contains("what writes it has ended") && message.contains("still runs"),
                "{message}"
            );
            camera.reopen().unwrap();
            let mut writer = fifo.writer();
            writer.write_all(&[header(16, 10), frame(16, 70)].concat()).unwrap();
            assert_eq!(shade(&mut camera), (70, 16));
            drop(writer);
            lost(&mut camera);
            camera.reopen().unwrap();
        }
    }

    #[test]
    fn a_pipe_without_a_writer_is_lost_and_opened_without_blocking() {
        let fifo = Fifo::new();
        let mut camera = fifo.camera();
        assert!(lost(&mut camera).contains("none for 4 s"));
        camera.reopen().unwrap();
        let _writer = fifo.writer();
        // A writer that writes nothing.
        assert!(lost(&mut camera).contains("none for 4 s"));
    }

    #[test]
    fn another_size_or_rate_is_another_camera() {
        let fifo = Fifo::new();
        let mut camera = fifo.camera();
        let mut writer = fifo.writer();
        writer.write_all(&[header(16, 10), frame(16, 50)].concat()).unwrap();
        assert_eq!(shade(&mut camera), (50, 16));
        for (side, rate) in [(24, 10), (24, 5)] {
            writer.write_all(&[header(side, rate), frame(side, 60)].concat()).unwrap();
            assert!(lost(&mut camera).contains("it has become"));
            camera.reopen().unwrap();
            assert_eq!(shade(&mut camera), (60, side));
        }
        writer.write_all(b"no frame\n").unwrap();
        assert!(lost(&mut camera).contains("no frame header"));
    }

    #[test]
    fn older_frames_are_dropped() {
        let fifo = Fifo::new();
        let mut camera = fifo.camera();
        let mut writer = fifo.writer();
        writer.write_all(&header(64, 10)).unwrap();
        // All that lies in the pipe but the last one is old.
        for shade in 1..=10 {
            writer.write_all(&frame(64, shade)).unwrap();
        }
        assert_eq!(shade(&mut camera), (10, 64));
    }

    /// A writer that is faster than the analysis waits in the middle of an old frame, and the camera skips that.
    #[test]
    fn a_flood_is_read_up_to_the_newest_frame() {
        let fifo = Fifo::new();
        let mut camera = fifo.camera();
        let mut writer = fifo.writer();
        // Frames of 250,000 bytes do not fit into the pipe.
        let flood = std::thread::spawn(move || {
            let mut written = header(500, 30);
            for number in 0u64.. {
                written.extend(frame(500, u8::try_from(number % 251).unwrap()));
                if writer.write_all(&written).is_err() {
                    return number;
                }
                written.clear();
            }
            0
        });
        shade(&mut camera);
        for _ in 0..20 {
            sleep(Duration::from_millis(100));
            let (first, _) = shade(&mut camera);
            let (second, _) = shade(&mut camera);
            assert_ne!(first, second);
            assert_eq!(camera.stream.as_ref().unwrap().newest.capacity(), 250_000);
        }
        drop(camera);
        assert!(flood.join().unwrap() > 40, "each tick drops the frame that waited");
    }

    #[test]
    fn one_program_reads_a_pipe() {
        let fifo = Fifo::new();
        let _camera = fifo.camera();
        let error = Pipe::new(&fifo.path, RATE_HZ).reopen().unwrap_err();
        assert!(
            matches!(&error, CameraError::Lost { cause, .. } if cause.raw_os_error() == Some(libc::EBUSY))
        );
    }

    #[test]
    fn what_is_no_pipe_is_refused_and_what_is_not_there_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = Pipe::new(&folder.path().join("x.y4m"), RATE_HZ).reopen().unwrap_err();
        assert!(matches!(error, CameraError::Lost { .. }), "{error}");
        let error = Pipe::new(folder.path(), RATE_HZ).reopen().unwrap_err();
        assert!(matches!(error, CameraError::Unusable { .. }), "{error}");
    }
}
