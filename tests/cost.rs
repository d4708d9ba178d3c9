//! Following instead of searching: the same faces for less.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::Path;

use lectern::camera::{Capture, Frame, open_recording, stills};
use lectern::vision::geometry::{BBox, View};
use lectern::vision::models::ModelStore;
use lectern::vision::mtcnn::Detector;
use lectern::vision::{Analysis, Analyzer, Region};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// With the smallest face of 60 pixels, so that these pictures have no tiles; `tests/far.rs` has those that do.
fn analyzer() -> Analyzer {
    let analysis = Analysis { min_face_px: 60, ..Analysis::default() };
    Analyzer::new(&ModelStore::open(None).unwrap(), None, analysis).unwrap()
}

fn overlap(a: &BBox, b: &BBox) -> f32 {
    let width = (a.x2.min(b.x2) - a.x1.max(b.x1)).max(0.0);
    let height = (a.y2.min(b.y2) - a.y1.max(b.y1)).max(0.0);
    width * height / (a.area() + b.area() - width * height)
}

/// Of all frames of the clips in which a search finds a face, in at least 99 of 100 there is one by following too,
/// and the two overlap by .8 on average.
#[test]
#[ignore = "needs the data folder: LECTERN_DATA"]
fn following_finds_what_searching_finds() {
    let clips = common::data("clips");
    let mut detector = Detector::new(&ModelStore::open(None).unwrap()).unwrap();
    for rate_hz in [2.0, 10.0] {
        let (mut analyzer, mut frames, mut searched, mut both, mut sum) = (analyzer(), 0, 0u16, 0u16, 0.0);
        analyzer.expect_rate(rate_hz);
        let mut files: Vec<_> = std::fs::read_dir(&clips).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        for clip in files.iter().filter(|path| path.extension().is_some_and(|e| e == "mkv")) {
            analyzer.forget();
            let mut source = open_recording(clip, rate_hz, false).unwrap();
            while let Capture::Frame(frame) = source.next().unwrap() {
                analyzer.analyze(&frame).unwrap();
                let followed = analyzer.faces().first().map(|face| face.bbox);
                let all = detector.search(&View::new(&frame, Region::WHOLE), 60).unwrap();
                let largest = all.iter().map(|face| face.bbox).max_by(|a, b| a.area().total_cmp(&b.area()));
                frames += 1;
                searched += u16::from(largest.is_some());
                if let (Some(followed), Some(largest)) = (followed, largest) {
                    both += 1;
                    sum += overlap(&followed, &largest);
                }
            }
        }
        let mean = sum / f32::from(both);
        eprintln!(
            "{rate_hz} Hz: {frames} frames, {} searched; a face in {searched} by searching, in {both} of these by \
             following; mean IoU {mean:.3}",
            analyzer.searches()
        );
        assert!(f32::from(both) >= 0.99 * f32::from(searched));
        assert!(mean >= 0.8);
    }
}

/// Searching for the largest face alone, as the daemon does, misses hardly any that searching for all finds.
#[test]
#[ignore = "needs the data folder: LECTERN_DATA"]
fn largest_face_search_misses_hardly_any() {
    let photographs = common::data("wider_dev/images");
    let mut detector = Detector::new(&ModelStore::open(None).unwrap()).unwrap();
    let mut analyzer = analyzer();
    let (mut with, mut found, mut same, mut sum) = (0u16, 0u16, 0u16, 0.0);
    for folder in std::fs::read_dir(photographs).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let picture = stills::read(&file.unwrap().path()).unwrap();
            let picture = if picture.width() >= picture.height() {
                picture.scaled(640, 640 * picture.height() / picture.width())
            } else {
                picture.scaled(640 * picture.width() / picture.height(), 640)
            };
            let mut all = detector.search(&View::new(&picture, Region::WHOLE), 60).unwrap();
            // The tracker's criterion for a face that it does not follow.
            all.retain(|face| face.score >= 0.98);
            let Some(largest) = all.iter().max_by(|a, b| a.bbox.area().total_cmp(&b.bbox.area())) else {
                continue;
            };
            analyzer.forget();
            analyzer.analyze(&picture).unwrap();
            let face = analyzer.faces().first();
            with += 1;
            let Some(face) = face else { continue };
            found += 1;
            let overlap = overlap(&face.bbox, &largest.bbox);
            same += u16::from(overlap >= 0.5);
            sum += overlap;
        }
    }
    let mean = sum / f32::from(found);
    eprintln!(
        "{with} photographs with a face of 60 px: {found} have one in a search for the largest, {same} the same; mean \
         IoU {mean:.3}"
    );
    assert!(f32::from(found) >= 0.99 * f32::from(with));
    assert!(mean >= 0.8);
}

/// An empty room under flickering light, its stripes running through the picture, and sensor noise.
fn room(tick: u32) -> Frame {
    let mut frame = Frame::black(WIDTH, HEIGHT);
    let mut random = tick.wrapping_mul(2_654_435_761).wrapping_add(1);
    for (at, value) in frame.rgb_mut().iter_mut().enumerate() {
        let (x, y) = (at / 3 % WIDTH, at / 3 / WIDTH);
        // A wall with a darker board, brighter by up to 15 % where the lamp was on, 4 % brighter overall each second tick.
        let wall: u32 = if x > 400 && y > 100 && y < 250 { 60 } else { 150 };
        let stripe = 100 + (u32::try_from(y).unwrap() + tick * 37) / 40 % 4 * 5 + tick % 2 * 4;
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = u8::try_from((wall * stripe / 100 + (random >> 27)).min(255)).unwrap();
    }
    frame
}

/// The portrait in the room, `side` pixels high, its light as it falls.
fn enter(frame: &mut Frame, side: usize, left: usize, top: usize) {
    let person = stills::read(Path::new("tests/fixtures/portrait.png")).unwrap().scaled(side, side);
    for y in 0..side {
        let at = ((top + y) * WIDTH + left) * 3;
        frame.rgb_mut()[at..at + side * 3].copy_from_slice(person.row(y));
    }
}

#[test]
fn empty_room_is_rarely_searched() {
    let mut analyzer = analyzer();
    for tick in 0..240 {
        assert!(analyzer.analyze(&room(tick)).unwrap().is_empty());
    }
    // Two minutes: each of the eight levels is searched every half a minute, in a frame of its own, plus a few searches because
    // of the flicker. The first frame is searched as a whole.
    assert!(analyzer.searches() <= 45, "{} searches", analyzer.searches());
}

/// A person in the picture for a second is in two frames.
#[test]
fn person_present_for_a_second_is_found() {
    let mut analyzer = analyzer();
    let mut tick = 0;
    for side in [240, 320, 440] {
        for left in (0..WIDTH - side).step_by(97) {
            for _ in 0..3 {
                tick += 1;
                analyzer.analyze(&room(tick)).unwrap();
            }
            let seen = (0..2).any(|_| {
                tick += 1;
                let mut frame = room(tick);
                enter(&mut frame, side, left, HEIGHT - side);
                !analyzer.analyze(&frame).unwrap().is_empty()
            });
            assert!(seen, "a portrait of {side} px at {left}");
        }
    }
}

/// With `faces = "largest"`, a nearer person is counted within three seconds, though the tracked face is still there.
#[test]
fn nearer_face_is_found_beside_a_tracked_one() {
    let mut analyzer = analyzer();
    for tick in 0..2 {
        let mut frame = room(tick);
        enter(&mut frame, 200, 20, 40);
        analyzer.analyze(&frame).unwrap();
    }
    let tracked = analyzer.faces()[0].bbox;
    for tick in 2..8 {
        let mut frame = room(tick);
        enter(&mut frame, 200, 20, 40);
        enter(&mut frame, 300, 330, 180);
        analyzer.analyze(&frame).unwrap();
    }
    assert!(analyzer.faces()[0].bbox.area() > 1.5 * tracked.area());
}
