//! The synthetic lecture of `bench`, whose scene is the demo's too: a real portrait moves before a wall, nearer and farther, in changing light and under
//! sensor noise, and is out of the picture for ten seconds of each minute.
//!
//! The portrait is NASA's of the astronaut Eileen Collins, in the public domain (`assets/README.md`).

use std::f64::consts::TAU;

use super::decode;
use super::frame::Frame;
use super::source::{CameraError, Capture, FrameSource};

const PORTRAIT: &[u8] = include_bytes!("../../../../assets/portrait.jpg");

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// The lecturer is away for this part of each minute, in seconds.
const AWAY: std::ops::Range<f64> = 40.0..50.0;

/// An endless lecture, the same each time.
pub struct SyntheticLecture {
    portrait: Frame,
    rate_hz: f64,
    tick: u32,
}

impl SyntheticLecture {
    /// A lecture seen `rate_hz` times a second.
    ///
    /// # Errors
    /// Never for the portrait that is part of the program.
    pub fn new(rate_hz: f64) -> Result<Self, CameraError> {
        let portrait = decode::mjpeg(PORTRAIT).ok_or_else(|| CameraError::Unusable {
            device: "the staged lecture".to_owned(),
            problem: "its portrait is damaged".into(),
        })?;
        Ok(Self { portrait, rate_hz, tick: 0 })
    }
}

impl FrameSource for SyntheticLecture {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let seconds = f64::from(self.tick) / self.rate_hz;
        let mut frame = scene(&self.portrait, seconds);
        expose(&mut frame, light(seconds), self.tick);
        self.tick = self.tick.wrapping_add(1);
        Ok(Capture::Frame(frame))
    }
}

/// The wall and, unless the lecturer is away, this portrait at its place `seconds` after the start, in even light and without noise:
/// 640 x 480 pixels.
#[must_use]
pub fn scene(portrait: &Frame, seconds: f64) -> Frame {
    let mut frame = wall();
    if !AWAY.contains(&seconds.rem_euclid(60.0)) {
        // Sines whose periods share no small multiple, so that no two frames are alike for a long time.
        let scale = 0.75 + 0.2 * (TAU * seconds / 23.0).sin();
        let person = portrait.scaled(scaled(portrait.width(), scale), scaled(portrait.height(), scale));
        let free = WIDTH - person.width().min(WIDTH);
        let left = scaled(free, 0.5 + 0.45 * (TAU * seconds / 17.0).sin());
        paste(&mut frame, &person, left, HEIGHT.saturating_sub(person.height()));
    }
    frame
}

/// The light `seconds` after the start, as a factor of the scene's brightness.
#[must_use]
pub fn light(seconds: f64) -> f64 {
    1.0 + 0.2 * (TAU * seconds / 31.0).sin()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part of a picture's side"
)]
fn scaled(length: usize, factor: f64) -> usize {
    (length as f64 * factor).round() as usize
}

/// A wall that grows darker downwards.
fn wall() -> Frame {
    let mut frame = Frame::black(WIDTH, HEIGHT);
    for (y, row) in frame.rgb_mut().chunks_exact_mut(WIDTH * 3).enumerate() {
        let shade = u8::try_from(170 - y / 6).unwrap_or_default();
        for pixel in row.chunks_exact_mut(3) {
            pixel.copy_from_slice(&[shade, shade, shade - 20]);
        }
    }
    frame
}

/// Copies `picture` into `frame` with its top left corner at (`left`, `top`); what does not fit is cut off.
fn paste(frame: &mut Frame, picture: &Frame, left: usize, top: usize) {
    let bytes = picture.width().min(WIDTH - left) * 3;
    for y in 0..picture.height().min(HEIGHT - top) {
        let at = ((top + y) * WIDTH + left) * 3;
        frame.rgb_mut()[at..at + bytes].copy_from_slice(&picture.row(y)[..bytes]);
    }
}

/// Multiplies by `light` and adds noise of a few levels, drawn from the tick (a linear congruential generator:
/// a picture needs no better randomness).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 255")]
fn expose(frame: &mut Frame, light: f64, tick: u32) {
    let gain = (light * 256.0) as i32;
    let mut random = tick.wrapping_mul(2_654_435_761).wrapping_add(1);
    for value in frame.rgb_mut() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = i32::try_from(random >> 28).unwrap_or_default() - 8;
        *value = (i32::from(*value) * gain / 256 + noise).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_staged_lecture_moves_and_is_the_same_each_time() {
        let mut lectures = [SyntheticLecture::new(2.0).unwrap(), SyntheticLecture::new(2.0).unwrap()];
        let mut last = Vec::new();
        for _ in 0..3 {
            let [a, b] = lectures.each_mut().map(|lecture| match lecture.next() {
                Ok(Capture::Frame(frame)) => frame.rgb().to_vec(),
                _ => panic!("no frame"),
            });
            assert_eq!(a, b);
            assert_ne!(a, last);
            last = a;
        }
    }
}
