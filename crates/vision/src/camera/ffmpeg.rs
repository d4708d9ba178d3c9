//! The ffmpeg child: pictures in planes, the times that belong to them, and complaints, each from a pipe of its own.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use super::deadline::{Deadline, SILENCE, wait};
use super::ffprobe::{Probe, file_url, restrictions, take};
use super::size::MOST_PIXELS;
use super::timeline::{self, Shown, Start, Timeline};

/// A recording that ffmpeg decodes; ended when it is dropped.
pub(super) struct Decoder {
    child: Child,
    pixels: Option<ChildStdout>,
    times: Option<PipeReader>,
    complaints: Option<ChildStderr>,
    said: Vec<u8>,
    /// The line of `times` that has not ended yet.
    line: Vec<u8>,
    timeline: Timeline,
    /// Whether it must give a picture within [`SILENCE`]; otherwise it is waited for.
    live: bool,
    /// Until when, if so. What it complains of is no progress: a damaged recording in a loop does nothing else.
    deadline: Option<Deadline>,
}

impl Decoder {
    /// Starts to decode, on so many `threads` or on as many as ffmpeg likes; again from the start, and live, when `endless`.
    #[expect(clippy::disallowed_methods, reason = "ffmpeg, which decodes a recording")]
    pub(super) fn start(
        path: &Path,
        probe: &Probe,
        rate_hz: f64,
        endless: bool,
        threads: Option<usize>,
    ) -> io::Result<Self> {
        let (times, tell_into) = io::pipe()?;
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-v", "error"]).args(restrictions());
        // A stream may grow in its midst.
        command.arg("-max_pixels").arg(MOST_PIXELS.to_string());
        if endless {
            command.args(["-stream_loop", "-1"]);
        }
        if let Some(threads) = threads {
            command.arg("-threads").arg(threads.to_string());
        }
        command.arg("-i").arg(file_url(path));
        let Probe { width, height, interval, late, number, .. } = *probe;
        let start = if endless { Start::FirstFrame } else { Start::Recording(late) };
        // As most recordings are, and as a pipe of Y4M has it: both are the same samples.
        let filters =
            format!("{},scale={width}:{height}:out_range=tv", timeline::filters(rate_hz, interval, start));
        command.args([
            "-map",
            &format!("0:V:{number}"),
            "-vf",
            &filters,
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "pipe:1",
        ]);
        // Ctrl-C at a terminal is for us: what was read so far is counted first.
        command.process_group(0);
        command.stdin(tell_into).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        Ok(Self {
            pixels: child.stdout.take(),
            times: Some(times),
            complaints: child.stderr.take(),
            child,
            said: Vec::new(),
            line: Vec::new(),
            timeline: Timeline::new(rate_hz, interval, start),
            live: endless,
            deadline: None,
        })
    }

    /// Fills `picture` with the next one and says where it belongs; none at the end, whole or not.
    pub(super) fn next(&mut self, picture: &mut [u8]) -> io::Result<Option<Shown>> {
        self.renew();
        let mut filled = 0;
        while filled < picture.len() {
            match self.read(&mut picture[filled..])? {
                0 => return Ok(None),
                count => filled += count,
            }
        }
        // Told before the picture was written, if perhaps not read yet.
        loop {
            let shown = self.timeline.next();
            if shown.is_some() || self.times.is_none() {
                return Ok(shown);
            }
            self.listen(false)?;
        }
    }

    /// It has got on, or is asked for more.
    fn renew(&mut self) {
        self.deadline = self.live.then(|| Deadline::after(SILENCE));
    }

    /// Waits for pixels, and listens meanwhile, or ffmpeg would block on a full pipe; 0 at their end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.listen(true)? {}
        self.pixels.as_mut().map_or(Ok(0), |pixels| pixels.read(into))
    }

    /// Waits until something comes, takes times and complaints, and says whether pixels can be read.
    fn listen(&mut self, for_pixels: bool) -> io::Result<bool> {
        let pixels = self.pixels.as_ref().filter(|_| for_pixels);
        // One that has ended is replaced by one that is waited for anyway.
        let ready = match (pixels, &self.times, &self.complaints) {
            (Some(pixels), Some(times), Some(said)) => wait([pixels, times, said], self.deadline)?,
            (Some(pixels), Some(times), None) => {
                wait([pixels, times], self.deadline).map(|[p, t]| [p, t, false])?
            }
            (Some(pixels), None, Some(said)) => {
                wait([pixels, said], self.deadline).map(|[p, s]| [p, false, s])?
            }
            (Some(pixels), None, None) => wait([pixels], self.deadline).map(|[p]| [p, false, false])?,
            (None, Some(times), Some(said)) => {
                wait([times, said], self.deadline).map(|[t, s]| [false, t, s])?
            }
            (None, Some(times), None) => wait([times], self.deadline).map(|[t]| [false, t, false])?,
            (None, None, Some(said)) => wait([said], self.deadline).map(|[s]| [false, false, s])?,
            (None, None, None) => return Ok(true),
        };
        if ready[0] || ready[1] {
            self.renew();
        }
        let mut piece = [0; 4096];
        if ready[1]
            && !self
                .times
                .as_mut()
                .is_some_and(|times| hear(times, &mut piece, &mut self.line, &mut self.timeline))
        {
            self.times = None;
        }
        if ready[2] && !self.complaints.as_mut().is_some_and(|said| take(said, &mut piece, &mut self.said)) {
            self.complaints = None;
        }
        Ok(ready[0])
    }

    /// Ends it, after its last complaint, and says whether it ended well, and what it complained of. One that is `cut` short
    /// is not waited for, and ends well if it complained of nothing.
    pub(super) fn finish(mut self, cut: bool) -> (bool, String) {
        // Closed first, or a child that still writes would never end.
        self.pixels = None;
        self.renew();
        if cut {
            let _ = self.child.kill();
        }
        while (self.complaints.is_some() || self.times.is_some()) && self.listen(false).is_ok() {}
        let _ = self.child.kill();
        let sound = self.child.wait().is_ok_and(|status| cut || status.success());
        (sound, String::from_utf8_lossy(&self.said).into_owned())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes what there is, line by line; false at the end.
fn hear(times: &mut PipeReader, piece: &mut [u8], line: &mut Vec<u8>, timeline: &mut Timeline) -> bool {
    /// Real lines have less than a hundred bytes.
    const LONGEST: usize = 1000;
    match times.read(piece) {
        Ok(0) => false,
        Ok(count) => {
            for byte in &piece[..count] {
                if *byte == b'\n' {
                    timeline.line(&String::from_utf8_lossy(line));
                    line.clear();
                } else if line.len() < LONGEST {
                    line.push(*byte);
                }
            }
            true
        }
        Err(e) => e.kind() == io::ErrorKind::Interrupted,
    }
}
