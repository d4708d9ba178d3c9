//! The detector finds what the original finds: facenet-pytorch 2.6.0 on a public-domain portrait.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use lectern::camera::{Frame, stills};
use lectern::vision::Region;
use lectern::vision::geometry::{Affine, Face, Point, View};
use lectern::vision::models::ModelStore;
use lectern::vision::mtcnn::Detector;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The tolerance of a box side or a landmark, in pixels. The output network's weights
/// are quantised to 8 bits, which moves them by up to half a pixel (`models/README.md`).
const PIXELS: f32 = 1.0;
/// The tolerance of a probability.
const SCORE: f32 = 0.001;

#[derive(Deserialize)]
struct Reference {
    thresholds: [f32; 3],
    factor: f64,
    scenes: Vec<Scene>,
}

#[derive(Deserialize)]
struct Scene {
    name: String,
    min_face: u32,
    canvas: Canvas,
    rgb_sha256: String,
    faces: Vec<ReferenceFace>,
}

#[derive(Deserialize)]
struct Canvas {
    width: usize,
    height: usize,
    gray: u8,
    pastes: Vec<Paste>,
    crop: Option<[usize; 2]>,
}

#[derive(Deserialize)]
struct Paste {
    halvings: u32,
    x: usize,
    y: usize,
}

#[derive(Deserialize)]
struct ReferenceFace {
    #[serde(rename = "box")]
    bbox: [f32; 4],
    score: f32,
    landmarks: [[f32; 2]; 5],
}

fn portrait() -> Frame {
    stills::read(Path::new("tests/fixtures/portrait.png")).unwrap()
}

/// Replaces each block of 2x2 pixels by its rounded mean.
fn halved(frame: &Frame) -> Frame {
    let (width, height) = (frame.width() / 2, frame.height() / 2);
    let mut half = Frame::black(width, height);
    for y in 0..height {
        for i in 0..width * 3 {
            let left = i / 3 * 6 + i % 3;
            let (upper, lower) = (frame.row(2 * y), frame.row(2 * y + 1));
            let sum: u16 =
                [upper[left], upper[left + 3], lower[left], lower[left + 3]].into_iter().map(u16::from).sum();
            half.rgb_mut()[y * width * 3 + i] = u8::try_from((sum + 2) >> 2).unwrap();
        }
    }
    half
}

fn build(canvas: &Canvas) -> Frame {
    let mut frame = Frame::black(canvas.width, canvas.height);
    frame.rgb_mut().fill(canvas.gray);
    for paste in &canvas.pastes {
        let picture = (0..paste.halvings).fold(portrait(), |picture, _| halved(&picture));
        for y in 0..picture.height() {
            let at = ((paste.y + y) * canvas.width + paste.x) * 3;
            frame.rgb_mut()[at..at + picture.width() * 3].copy_from_slice(picture.row(y));
        }
    }
    let Some([left, top]) = canvas.crop else { return frame };
    let mut cropped = Frame::black(canvas.width - left, canvas.height - top);
    let bytes = cropped.width() * 3;
    for y in 0..cropped.height() {
        cropped.rgb_mut()[y * bytes..][..bytes].copy_from_slice(&frame.row(top + y)[left * 3..]);
    }
    cropped
}

fn search(detector: &mut Detector, frame: &Frame, min_face: u32) -> Vec<Face> {
    detector.search(&View::new(frame, Region::WHOLE), min_face).unwrap()
}

fn near(found: f32, expected: f32, tolerance: f32, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found} and not {expected}");
}

/// Boxes, scores and landmarks match those of the original implementation.
#[test]
fn matches_the_original_detector() {
    let text = std::fs::read_to_string("tests/fixtures/portrait.json").unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    let mut store = ModelStore::open(None).unwrap();
    // The original has no caps, and another last threshold than the product.
    store.manifest.detector.thresholds = reference.thresholds;
    store.manifest.detector.pyramid_factor = reference.factor;
    store.manifest.detector.most_candidates = [usize::MAX; 2];
    let mut detector = Detector::new(&store).unwrap();
    for scene in &reference.scenes {
        let frame = build(&scene.canvas);
        let hash: String = Sha256::digest(frame.rgb()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, scene.rgb_sha256, "{} was not rebuilt as it was", scene.name);
        let faces = search(&mut detector, &frame, scene.min_face);
        assert_eq!(faces.len(), scene.faces.len(), "{}", scene.name);
        for (found, expected) in faces.iter().zip(&scene.faces) {
            let sides = [found.bbox.x1, found.bbox.y1, found.bbox.x2, found.bbox.y2];
            for (side, expected) in sides.into_iter().zip(expected.bbox) {
                near(side, expected, PIXELS, &scene.name);
            }
            near(found.score, expected.score, SCORE, &scene.name);
            for (point, [x, y]) in found.landmarks.iter().zip(expected.landmarks) {
                near(point.x, x, PIXELS, &scene.name);
                near(point.y, y, PIXELS, &scene.name);
            }
        }
    }
}

#[test]
fn finds_no_face_in_an_empty_picture() {
    let mut detector = Detector::new(&ModelStore::open(None).unwrap()).unwrap();
    let mut noise = Frame::black(640, 480);
    let mut random = 1u32;
    for value in noise.rgb_mut() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = random.to_le_bytes()[3];
    }
    assert!(search(&mut detector, &Frame::black(640, 480), 40).is_empty());
    assert!(search(&mut detector, &noise, 40).is_empty());
    // Smaller than any face that is searched for.
    assert!(search(&mut detector, &Frame::black(30, 30), 40).is_empty());
    assert!(search(&mut detector, &Frame::black(1, 1), 40).is_empty());
}

#[test]
fn follows_a_face_until_it_is_gone() {
    let mut detector = Detector::new(&ModelStore::open(None).unwrap()).unwrap();
    let frame = portrait();
    let face = search(&mut detector, &frame, 40).remove(0);
    let mut moved = face.bbox;
    (moved.x1, moved.x2) = (moved.x1 + 8.0, moved.x2 + 8.0);
    let followed = detector.follow(&View::new(&frame, Region::WHOLE), &moved).unwrap().unwrap();
    near(followed.bbox.x1, face.bbox.x1, 12.0, "left");
    let empty = Frame::black(frame.width(), frame.height());
    assert!(detector.follow(&View::new(&empty, Region::WHOLE), &moved).unwrap().is_none());
}

/// The classifier's input has the framing of its training images: the face is found in it again, with
/// its landmarks where the manifest says, however large and tilted it was in the picture.
#[test]
fn aligned_crop_has_the_training_framing() {
    const SIDE: u8 = 240;
    let store = ModelStore::open(None).unwrap();
    let mut detector = Detector::new(&store).unwrap();
    // In the middle of a crop twice as wide, because the detector needs to see what is around a face.
    let framing =
        store.manifest.classifier.landmarks.map(|[x, y]| Point { x: 0.25 + x / 2.0, y: 0.25 + y / 2.0 });
    let whole = portrait();
    for (scale, degrees) in [(1.0f32, 0.0f32), (0.5, 0.0), (0.8, 12.0), (0.8, -12.0)] {
        let what = format!("scale {scale}, {degrees} degrees");
        let frame = turned(&whole, scale, degrees);
        let face = search(&mut detector, &frame, 30).remove(0);
        let map = Affine::similarity(&framing, &face.landmarks);
        let luma = map.crop(&View::new(&frame, Region::WHOLE), SIDE.into());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "luma is from 0 to 255")]
        let rgb = luma.iter().flat_map(|v| [v.round() as u8; 3]).collect();
        let crop = Frame::from_rgb(SIDE.into(), SIDE.into(), rgb).unwrap();
        let again = search(&mut detector, &crop, 60).remove(0);
        for (point, expected) in again.landmarks.iter().zip(framing) {
            // A single face's proportions differ from the mean ones.
            near(point.x / f32::from(SIDE), expected.x, 0.04, &what);
            near(point.y / f32::from(SIDE), expected.y, 0.04, &what);
        }
        let [left_eye, right_eye, ..] = again.landmarks;
        near((right_eye.y - left_eye.y) / (right_eye.x - left_eye.x), 0.0, 0.1, "slope of the eyes");
    }
}

/// The picture smaller and turned about its centre, by sampling its nearest pixels.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "coordinates in a small picture"
)]
fn turned(frame: &Frame, scale: f32, degrees: f32) -> Frame {
    let side = (frame.width() as f32 * scale) as usize;
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = frame.width() as f32 / 2.0;
    let mut turned = Frame::black(side, side);
    for y in 0..side {
        for x in 0..side {
            let (dx, dy) = (x as f32 - side as f32 / 2.0, y as f32 - side as f32 / 2.0);
            let from_x = centre + (cos * dx + sin * dy) / scale;
            let from_y = centre + (cos * dy - sin * dx) / scale;
            let last = (frame.width() - 1) as f32;
            let (from_x, from_y) = (from_x.clamp(0.0, last) as usize, from_y.clamp(0.0, last) as usize);
            let pixel = &frame.row(from_y)[from_x * 3..][..3];
            turned.rgb_mut()[(y * side + x) * 3..][..3].copy_from_slice(pixel);
        }
    }
    turned
}
