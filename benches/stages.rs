//! The cost of each stage of a frame on this machine: `cargo bench --bench stages`.
//!
//! `lectern bench` measures the same stages on a clip, on the device itself; `benches/insns.py` counts instructions for ARM.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench may"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]
#![allow(missing_docs, reason = "each benchmark is named for what it measures")]

use std::path::Path;

use divan::Bencher;
use lectern::camera::{Frame, decode, stills};
use lectern::vision::classifier::Classifier;
use lectern::vision::geometry::View;
use lectern::vision::models::ModelStore;
use lectern::vision::mtcnn::Detector;
use lectern::vision::{Analysis, Analyzer, Region};

fn main() {
    divan::main();
}

fn store() -> ModelStore {
    ModelStore::open(None).unwrap()
}

fn portrait() -> Frame {
    stills::read(Path::new("tests/fixtures/portrait.png")).unwrap()
}

/// `faces` portraits of 200 px side by side before a grey wall.
fn picture(faces: usize, width: usize, height: usize) -> Frame {
    let person = portrait().scaled(200, 200);
    let mut frame = Frame::black(width, height);
    frame.rgb_mut().fill(150);
    for i in 0..faces {
        let (left, top) = (i % 3 * 215, 20 + i / 3 * 225);
        for y in 0..200 {
            frame.rgb_mut()[((top + y) * width + left) * 3..][..600].copy_from_slice(person.row(y));
        }
    }
    frame
}

#[divan::bench(args = [(640, 480), (1280, 720), (1920, 1080)])]
fn decode_yuyv(bencher: Bencher, (width, height): (usize, usize)) {
    let packed = [90, 120, 160, 140].repeat(width * height / 2);
    let mut spare = None;
    bencher.bench_local(|| spare = decode::yuyv(&packed, width, height, 0, spare.take()));
}

#[divan::bench]
fn decode_mjpeg_portrait(bencher: Bencher) {
    let bytes = std::fs::read("assets/portrait.jpg").unwrap();
    bencher.bench_local(|| decode::mjpeg(&bytes));
}

#[divan::bench(args = [0, 1, 6])]
fn search_for_all(bencher: Bencher, faces: usize) {
    let (mut detector, frame) = (Detector::new(&store()).unwrap(), picture(faces, 640, 480));
    bencher.bench_local(|| detector.search(&View::new(&frame, Region::WHOLE), 60).unwrap());
}

#[divan::bench]
fn follow(bencher: Bencher) {
    let (mut detector, frame) = (Detector::new(&store()).unwrap(), picture(1, 640, 480));
    let view = View::new(&frame, Region::WHOLE);
    let known = detector.search(&view, 60).unwrap().remove(0).bbox;
    bencher.bench_local(|| detector.follow(&view, &known).unwrap());
}

#[divan::bench]
fn align(bencher: Bencher) {
    let (mut detector, frame) = (Detector::new(&store()).unwrap(), picture(1, 640, 480));
    let view = View::new(&frame, Region::WHOLE);
    let face = detector.search(&view, 60).unwrap().remove(0);
    let (classifier, mut crop) = (Classifier::new(&store()).unwrap(), Vec::new());
    bencher.bench_local(|| classifier.align(&view, &face, &mut crop));
}

#[divan::bench]
fn classify(bencher: Bencher) {
    let (mut classifier, frame) = (Classifier::new(&store()).unwrap(), portrait());
    bencher.bench_local(|| classifier.classify_crop(&frame).unwrap());
}

/// The first frame of a watch, which is searched.
#[divan::bench(args = [(0, 640, 480), (1, 640, 480), (6, 640, 480), (1, 1280, 720), (1, 1920, 1080)])]
fn frame_searched(bencher: Bencher, (faces, width, height): (usize, usize, usize)) {
    let mut analyzer = Analyzer::new(&store(), None, Analysis::default()).unwrap();
    let frame = picture(faces, width, height);
    bencher.bench_local(|| {
        analyzer.forget();
        analyzer.analyze(&frame).unwrap().len()
    });
}

/// A later frame, in which the face is followed, or nothing has moved.
#[divan::bench(args = [0, 1, 6])]
fn frame_followed(bencher: Bencher, faces: usize) {
    let mut analyzer = Analyzer::new(&store(), None, Analysis::default()).unwrap();
    // No search falls due while this runs.
    analyzer.expect_rate(1e9);
    let frame = picture(faces, 640, 480);
    bencher.bench_local(|| analyzer.analyze(&frame).unwrap().len());
}

/// From the program's models to an analyzer that has seen a frame.
#[divan::bench]
fn start(bencher: Bencher) {
    let frame = picture(1, 640, 480);
    bencher.bench_local(|| {
        let mut analyzer = Analyzer::new(&store(), None, Analysis::default()).unwrap();
        analyzer.analyze(&frame).unwrap().len()
    });
}
