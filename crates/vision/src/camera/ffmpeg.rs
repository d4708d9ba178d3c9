//! The ffmpeg process: planar pictures, their times, and error messages, each from a pipe of its own.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use super::deadline::{Deadline, SILENCE, wait};
use super::ffprobe::{Probe, drain, file_url, restrictions};
use super::size::MAX_PIXELS;
use super::timeline::{self, Shown, Start, Timeline};

/// A recording that ffmpeg decodes; ended when it is dropped.
pub(super) struct Decoder {
    child: Child,
    pixels: Option<ChildStdout>,
    times: Option<PipeReader>,
    errors: Option<ChildStderr>,
    stderr: Vec<u8>,
    /// The line of `times` that has not ended yet.
    line: Vec<u8>,
    timeline: Timeline,
    /// Whether it must deliver a picture within [`SILENCE`]; otherwise there is no deadline.
    live: bool,
    /// The deadline, if live. Error messages do not renew it: a damaged recording in a loop writes nothing else.
    deadline: Option<Deadline>,
}

impl Decoder {
    /// Starts to decode, on so many `threads` or ffmpeg's default; in a loop, and live, when `endless`.
    #[expect(clippy::disallowed_methods, reason = "ffmpeg, which decodes a recording")]
    pub(super) fn start(
        path: &Path,
        probe: &Probe,
        rate_hz: f64,
        endless: bool,
        threads: Option<usize>,
    ) -> io::Result<Self> {
        let (times, times_into) = io::pipe()?;
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-v", "error"]).args(restrictions());
        // A stream's size may grow midway.
        command.arg("-max_pixels").arg(MAX_PIXELS.to_string());
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
        // Only this process handles Ctrl-C: it counts what was read so far first.
        command.process_group(0);
        command.stdin(times_into).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        Ok(Self {
            pixels: child.stdout.take(),
            times: Some(times),
            errors: child.stderr.take(),
            child,
            stderr: Vec::new(),
            line: Vec::new(),
            timeline: Timeline::new(rate_hz, interval, start),
            live: endless,
            deadline: None,
        })
    }

    /// Fills `picture` with the next one and returns its tick; none at the end, even a truncated one.
    pub(super) fn next(&mut self, picture: &mut [u8]) -> io::Result<Option<Shown>> {
        self.renew();
        let mut filled = 0;
        while filled < picture.len() {
            match self.read(&mut picture[filled..])? {
                0 => return Ok(None),
                count => filled += count,
            }
        }
        // ffmpeg writes the time before the picture, but it may not be read yet.
        loop {
            let shown = self.timeline.next();
            if shown.is_some() || self.times.is_none() {
                return Ok(shown);
            }
            self.poll(false)?;
        }
    }

    /// Renews the deadline: ffmpeg made progress, or a new picture is requested.
    fn renew(&mut self) {
        self.deadline = self.live.then(|| Deadline::after(SILENCE));
    }

    /// Waits for pixels, and drains the other pipes meanwhile, or ffmpeg would block on a full one; 0 at their end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.poll(true)? {}
        self.pixels.as_mut().map_or(Ok(0), |pixels| pixels.read(into))
    }

    /// Waits for any pipe, drains times and errors, and returns whether pixels can be read.
    fn poll(&mut self, for_pixels: bool) -> io::Result<bool> {
        let pixels = self.pixels.as_ref().filter(|_| for_pixels);
        // Ended pipes are left out.
        let ready = match (pixels, &self.times, &self.errors) {
            (Some(pixels), Some(times), Some(stderr)) => wait([pixels, times, stderr], self.deadline)?,
            (Some(pixels), Some(times), None) => {
                wait([pixels, times], self.deadline).map(|[p, t]| [p, t, false])?
            }
            (Some(pixels), None, Some(stderr)) => {
                wait([pixels, stderr], self.deadline).map(|[p, s]| [p, false, s])?
            }
            (Some(pixels), None, None) => wait([pixels], self.deadline).map(|[p]| [p, false, false])?,
            (None, Some(times), Some(stderr)) => {
                wait([times, stderr], self.deadline).map(|[t, s]| [false, t, s])?
            }
            (None, Some(times), None) => wait([times], self.deadline).map(|[t]| [false, t, false])?,
            (None, None, Some(stderr)) => wait([stderr], self.deadline).map(|[s]| [false, false, s])?,
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
                .is_some_and(|times| read_times(times, &mut piece, &mut self.line, &mut self.timeline))
        {
            self.times = None;
        }
        if ready[2] && !self.errors.as_mut().is_some_and(|stderr| drain(stderr, &mut piece, &mut self.stderr))
        {
            self.errors = None;
        }
        Ok(ready[0])
    }

    /// Ends the process after its last error message; returns whether it succeeded, and its error messages. One that is `cut`
    /// short is killed, and succeeded if it wrote no errors.
    pub(super) fn finish(mut self, cut: bool) -> (bool, String) {
        // Closed first, or a child that still writes would block forever.
        self.pixels = None;
        self.renew();
        if cut {
            let _ = self.child.kill();
        }
        while (self.errors.is_some() || self.times.is_some()) && self.poll(false).is_ok() {}
        let _ = self.child.kill();
        let sound = self.child.wait().is_ok_and(|status| cut || status.success());
        (sound, String::from_utf8_lossy(&self.stderr).into_owned())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // It may have ended already; the wait reaps it in either case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Parses the available lines; false at the end.
fn read_times(times: &mut PipeReader, piece: &mut [u8], line: &mut Vec<u8>, timeline: &mut Timeline) -> bool {
    /// Real lines have less than a hundred bytes.
    const MAX_LINE: usize = 1000;
    match times.read(piece) {
        Ok(0) => false,
        Ok(count) => {
            for byte in &piece[..count] {
                if *byte == b'\n' {
                    timeline.line(&String::from_utf8_lossy(line));
                    line.clear();
                } else if line.len() < MAX_LINE {
                    line.push(*byte);
                }
            }
            true
        }
        Err(e) => e.kind() == io::ErrorKind::Interrupted,
    }
}
