//! What a camera offers in one format and size, and the order in which offers are tried.

use std::cmp::Ordering;
use std::fmt::{Display, Formatter};

use v4l::frameinterval::FrameInterval;
use v4l::framesize::{FrameSize, FrameSizeEnum};
use v4l::video::Capture as _;
use v4l::{Device, FourCC, Fraction};

use super::interval;
use crate::camera::pixel_format::PixelFormat;

/// How far an offer lies from what was requested. What comes first is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The requested size, as near as the camera has it.
    Requested,
    /// The same in fewer frames a second, but not in fewer than are analysed.
    Slower,
    /// A smaller picture.
    Smaller,
}

/// A format, a size and a rate of a camera.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) pixels: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    /// The time between two frames to request; none where the driver has no choice of it.
    pub(super) interval: Option<Fraction>,
    rank: Rank,
    /// Seconds between two frames, but no fewer than what is needed.
    seconds: f64,
    /// Pixels of the picture, at most as many as requested.
    area: u32,
}

impl Offer {
    /// Better ones first; equal ones stay in the order of the formats.
    fn order(&self, other: &Self) -> Ordering {
        let rank = self.rank.cmp(&other.rank);
        let size = other.area.cmp(&self.area);
        let rate = self.seconds.total_cmp(&other.seconds);
        match self.rank {
            Rank::Smaller => rank.then(size).then(rate),
            _ => rank.then(rate).then(size),
        }
    }
}

impl Display for Offer {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}x{}", self.pixels, self.width, self.height)?;
        match self.interval.filter(|_| self.rank == Rank::Slower) {
            Some(interval) => write!(f, " with a frame every {interval} s"),
            None => Ok(()),
        }
    }
}

/// What the offers depend on.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rate_hz: f64,
}

/// All offers, the best one first. `sizes` are what the driver sets for the requested size, by format.
pub(super) fn all(device: &Device, sizes: &[(PixelFormat, u32, u32)], wanted: Wanted) -> Vec<Offer> {
    let mut offers = Vec::new();
    for (pixels, width, height) in sizes.iter().copied() {
        let code = code(pixels);
        let intervals = |width, height| device.enum_frameintervals(code, width, height).unwrap_or_default();
        offers.extend(of_size(pixels, (width, height), &intervals(width, height), wanted));
        for (width, height) in smaller(&device.enum_framesizes(code).unwrap_or_default(), (width, height)) {
            let of_size = of_size(pixels, (width, height), &intervals(width, height), wanted);
            offers.extend(of_size.into_iter().take(1).map(|offer| Offer { rank: Rank::Smaller, ..offer }));
        }
    }
    offers.sort_by(Offer::order);
    offers
}

pub(super) fn code(pixels: PixelFormat) -> FourCC {
    let mut code = [b' '; 4];
    code.copy_from_slice(pixels.name().as_bytes());
    FourCC::new(&code)
}

/// The offer for this size, then slower ones.
fn of_size(
    pixels: PixelFormat,
    (width, height): (u32, u32),
    intervals: &[FrameInterval],
    wanted: Wanted,
) -> Vec<Offer> {
    let needed = interval::needed(wanted.rate_hz);
    let chosen = interval::choose(intervals.iter().map(|i| &i.interval), needed);
    let fastest = intervals.iter().map(|i| interval::shortest(&i.interval)).fold(f64::INFINITY, f64::min);
    let area = (width * height).min(wanted.width * wanted.height);
    let offer = Offer {
        pixels,
        width,
        height,
        interval: chosen,
        rank: Rank::Requested,
        seconds: fastest.max(needed),
        area,
    };
    let Some(chosen) = chosen else { return vec![offer] };
    let slower = interval::slower(intervals.iter().map(|i| &i.interval), &chosen, 1.0 / wanted.rate_hz);
    let slower = slower.into_iter().map(|interval| Offer {
        interval: Some(interval),
        rank: Rank::Slower,
        seconds: interval::seconds(&interval),
        ..offer.clone()
    });
    [offer.clone()].into_iter().chain(slower).collect()
}

/// The sizes with fewer pixels, in halves where a driver offers a range.
fn smaller(sizes: &[FrameSize], (width, height): (u32, u32)) -> Vec<(u32, u32)> {
    let listed = sizes.iter().flat_map(|size| match &size.size {
        FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
        FrameSizeEnum::Stepwise(steps) => (1..4)
            .map(|halved| (width >> halved, height >> halved))
            .filter(|(w, h)| *w >= steps.min_width && *h >= steps.min_height)
            .collect(),
    });
    listed
        .filter(|(w, h)| *w > 0 && *h > 0 && w * h < width * height && *w <= width && *h <= height)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::frameinterval::FrameIntervalEnum;

    const WANTED: Wanted = Wanted { width: 1920, height: 1080, rate_hz: 2.0 };

    fn offers(name: &str, size: (u32, u32), rates: &[u32]) -> Vec<Offer> {
        let pixels = PixelFormat::named(name).unwrap();
        let interval = |hz: &u32| FrameInterval {
            index: 0,
            fourcc: code(pixels),
            width: size.0,
            height: size.1,
            interval: FrameIntervalEnum::Discrete(Fraction::new(1, *hz)),
            typ: 1,
        };
        let intervals: Vec<_> = rates.iter().map(interval).collect();
        of_size(pixels, size, &intervals, WANTED)
    }

    fn sorted(offers: impl IntoIterator<Item = Vec<Offer>>) -> Vec<String> {
        let mut offers: Vec<_> = offers.into_iter().flatten().collect();
        offers.sort_by(Offer::order);
        offers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_raw_format_comes_first_if_large_and_fast_enough() {
        let first = |yuyv: (u32, (u32, u32)), mjpeg: (u32, (u32, u32))| {
            sorted([offers("YUYV", yuyv.1, &[yuyv.0]), offers("MJPG", mjpeg.1, &[mjpeg.0])])[0][..4]
                .to_owned()
        };
        let (large, small) = ((1920, 1080), (640, 480));
        assert_eq!(first((5, large), (30, large)), "YUYV");
        assert_eq!(first((2, large), (30, large)), "MJPG");
        assert_eq!(first((30, small), (30, large)), "MJPG");
        assert_eq!(first((30, small), (2, large)), "YUYV");
    }

    #[test]
    fn other_formats_then_slower_rates_then_smaller_sizes_follow() {
        let smaller = |offers: Vec<Offer>| {
            offers.into_iter().take(1).map(|offer| Offer { rank: Rank::Smaller, ..offer }).collect()
        };
        let (large, small) = ((1920, 1080), (1280, 720));
        let order = sorted([
            offers("YUYV", large, &[30, 5, 3, 2, 1]),
            smaller(offers("YUYV", (640, 480), &[30, 5])),
            smaller(offers("YUYV", small, &[30, 5])),
            offers("MJPG", large, &[30, 5]),
            smaller(offers("MJPG", small, &[30])),
        ]);
        assert_eq!(
            order,
            [
                "YUYV 1920x1080",
                "MJPG 1920x1080",
                "YUYV 1920x1080 with a frame every 1/3 s",
                "YUYV 1920x1080 with a frame every 1/2 s",
                "YUYV 1280x720",
                "MJPG 1280x720",
                "YUYV 640x480",
            ]
        );
    }
}
