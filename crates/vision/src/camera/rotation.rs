//! Pictures of a camera that hangs upside down or lies on its side, turned upright.

use std::time::Duration;

use lectern_record::analysis::Rotation;
use zeroize::Zeroize;

use super::frame::{Chroma, Frame, Layout, Pixels};
use super::source::{CameraError, Capture, FrameSource};

/// Turns a plane of `width` x `height` samples.
fn turn<T: Copy>(rotation: Rotation, from: &[T], width: usize, height: usize, into: &mut [T]) {
    match rotation {
        Rotation::None => into.copy_from_slice(from),
        Rotation::Half => into.iter_mut().zip(from.iter().rev()).for_each(|(into, from)| *into = *from),
        Rotation::Quarter | Rotation::ThreeQuarters => {
            for (row, line) in into.chunks_exact_mut(height.max(1)).enumerate() {
                for (column, sample) in line.iter_mut().enumerate() {
                    let (x, y) = match rotation {
                        Rotation::Quarter => (row, height - 1 - column),
                        _ => (width - 1 - row, column),
                    };
                    *sample = from[y * width + x];
                }
            }
        }
    }
}

impl Frame {
    /// The picture turned clockwise, in the memory of `spare` where that fits.
    pub(crate) fn rotated(&self, rotation: Rotation, spare: Option<Self>) -> Self {
        let (width, height) = rotation.size_of((self.width(), self.height()));
        match self.pixels() {
            Pixels::Rgb(rgb) => {
                let mut frame = Self::reuse(spare, width, height, Layout::Rgb);
                let (from, into) = (rgb.as_chunks::<3>().0, frame.bytes_mut().as_chunks_mut::<3>().0);
                turn(rotation, from, self.width(), self.height(), into);
                frame
            }
            Pixels::Planes(planes) => {
                let chroma = match planes.chroma {
                    Chroma::Yuv422 if rotation.swaps() => Chroma::Yuv440,
                    Chroma::Yuv440 if rotation.swaps() => Chroma::Yuv422,
                    same => same,
                };
                let mut frame = Self::reuse(spare, width, height, Layout::Planes(chroma));
                let [luma, blue, red] = frame.planes_mut();
                turn(rotation, planes.luma, self.width(), self.height(), luma);
                if let Some((across, down)) = planes.chroma.step() {
                    let (width, height) = (self.width().div_ceil(across), self.height().div_ceil(down));
                    for (from, into) in planes.colour.into_iter().zip([blue, red]) {
                        turn(rotation, from, width, height, into);
                    }
                }
                frame
            }
        }
    }
}

/// A source whose pictures are turned.
struct Rotated {
    source: Box<dyn FrameSource>,
    rotation: Rotation,
    /// A wiped picture, whose memory the next one reuses.
    spare: Option<Frame>,
}

/// The source with its pictures turned upright.
#[must_use]
pub fn rotated(source: Box<dyn FrameSource>, rotation: Rotation) -> Box<dyn FrameSource> {
    match rotation {
        Rotation::None => source,
        rotation => Box::new(Rotated { source, rotation, spare: None }),
    }
}

impl FrameSource for Rotated {
    fn next(&mut self) -> Result<Capture, CameraError> {
        Ok(match self.source.next()? {
            Capture::Frame(frame) => {
                let turned = frame.rotated(self.rotation, self.spare.take());
                self.source.recycle(frame);
                Capture::Frame(turned)
            }
            other => other,
        })
    }

    fn reopen(&mut self) -> Result<(), CameraError> {
        self.source.reopen()
    }

    fn ticks(&self) -> Option<u64> {
        self.source.ticks()
    }

    fn other_streams(&self) -> Option<String> {
        self.source.other_streams()
    }

    fn left_out(&self) -> Option<String> {
        self.source.left_out()
    }

    fn age(&self) -> Duration {
        self.source.age()
    }

    fn recycle(&mut self, mut frame: Frame) {
        frame.zeroize();
        self.spare = Some(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::decode;

    fn rgb(width: usize, height: usize, values: &[u8]) -> Frame {
        Frame::from_rgb(width, height, values.iter().flat_map(|v| [*v, 0, *v]).collect()).unwrap()
    }

    #[test]
    fn each_rotation_turns_clockwise() {
        let frame = rgb(3, 2, &[1, 2, 3, 4, 5, 6]);
        for (degrees, size, values) in [
            (0, (3, 2), [1, 2, 3, 4, 5, 6]),
            (90, (2, 3), [4, 1, 5, 2, 6, 3]),
            (180, (3, 2), [6, 5, 4, 3, 2, 1]),
            (270, (2, 3), [3, 6, 2, 5, 1, 4]),
        ] {
            let rotation = Rotation::from_degrees(degrees).unwrap();
            let turned = frame.rotated(rotation, None);
            assert_eq!((turned.width(), turned.height()), size, "{degrees}");
            assert_eq!(turned.rgb(), rgb(size.0, size.1, &values).rgb(), "{degrees}");
        }
        assert!(Rotation::from_degrees(45).is_none() && "-90".parse::<Rotation>().is_err());
    }

    #[test]
    fn colour_stays_with_its_pixels_in_every_layout() {
        // Four quarters of one luma and colour each; 4:2:2 becomes 4:4:0 where it lies on its side.
        let level = |x: usize, y: usize| [80, 110, 140, 170][x / 8 + 2 * (y / 4)];
        let (width, height) = (16, 8);
        let yuyv: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [level(x, y), [100, 150][(x + y / 4) % 2]]))
            .collect();
        for rotation in Rotation::TURNS {
            let planes = decode::yuyv(&yuyv, width, height, 2 * width, None).unwrap();
            let turned = planes.rotated(rotation, None).into_rgb();
            let expected = planes.into_rgb().rotated(rotation, None);
            assert_eq!(turned.rgb(), expected.rgb(), "{rotation}");
        }
    }
}
