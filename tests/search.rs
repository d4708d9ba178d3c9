//! The faces of an exact search are reported, whatever the picture: drawn scenes, with the daemon's and `analyze`'s settings.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use lectern::camera::{Frame, stills};
use lectern::vision::geometry::{BBox, Face, View, to_f32};
use lectern::vision::models::ModelStore;
use lectern::vision::mtcnn::Detector;
use lectern::vision::{Analysis, Analyzer, Faces, Region};

/// Frames a second.
const RATE: usize = 2;

/// An exact search of this score or more is to be reported.
const CERTAIN: f32 = 0.98;

fn store() -> ModelStore {
    ModelStore::open(None).unwrap()
}

fn portrait() -> Frame {
    stills::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/portrait.png")).unwrap()
}

/// A room, and portraits in it.
struct Scene {
    size: (usize, usize),
    /// Side of each portrait, left and top.
    portraits: Vec<(usize, usize, usize)>,
    min_face_px: u32,
    noise: u8,
}

impl Scene {
    /// Between one and thirty portraits on a grid, whose faces have `from` to `to` pixels.
    fn drawn(random: &mut fastrand::Rng, size: (usize, usize), faces: usize) -> Self {
        // The face of the portrait has about .45 of its height.
        let columns = (1..=faces).find(|n| n * n >= faces).unwrap();
        let rows = faces.div_ceil(columns);
        let cell = (size.0 / columns).min(size.1 / rows);
        let portraits = (0..faces).map(|at| {
            let side = random.usize(cell * 2 / 3..=cell);
            let left = at % columns * (size.0 / columns) + random.usize(0..=size.0 / columns - side);
            let top = at / columns * (size.1 / rows) + random.usize(0..=size.1 / rows - side);
            (side, left, top)
        });
        let portraits = portraits.collect();
        let min_face_px = *random.choice([24, 24, 30, 36, 40, 44, 48, 60].as_slice()).unwrap();
        Self { size, portraits, min_face_px, noise: random.u8(1..8) }
    }

    fn frame(&self, random: &mut fastrand::Rng, person: &Frame) -> Frame {
        let (width, height) = self.size;
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            let wall = u8::try_from(120 + y * 60 / height).unwrap();
            rgb.extend((0..width * 3).map(|_| wall + random.u8(..self.noise)));
        }
        for (side, left, top) in &self.portraits {
            let person = person.scaled(*side, *side);
            for y in 0..*side {
                let at = ((top + y) * width + left) * 3;
                let noisy = person.row(y).iter().map(|v| v.saturating_add(random.u8(..self.noise)));
                rgb[at..at + side * 3].iter_mut().zip(noisy).for_each(|(into, from)| *into = from);
            }
        }
        Frame::from_rgb(width, height, rgb).unwrap()
    }

    fn analysis(&self, faces: Faces) -> Analysis {
        Analysis { min_face_px: self.min_face_px, faces, ..Analysis::default() }
    }

    /// Millions of multiplications of an exact search of a whole pyramid, without R-Net and O-Net.
    fn pyramid_work(&self) -> f64 {
        let scale = 12.0 / f64::from(self.min_face_px);
        let pixels = f64::from(u32::try_from(self.size.0 * self.size.1).unwrap()) * scale * scale;
        0.0016 * pixels / (1.0 - 0.709 * 0.709)
    }
}

fn overlap(a: &BBox, b: &BBox) -> f32 {
    let width = (a.x2.min(b.x2) - a.x1.max(b.x1)).max(0.0);
    let height = (a.y2.min(b.y2) - a.y1.max(b.y1)).max(0.0);
    width * height / (a.area() + b.area() - width * height)
}

fn exact(detector: &mut Detector, frame: &Frame, min_face_px: u32) -> Vec<Face> {
    let mut faces = detector.search(&View::new(frame, Region::WHOLE), min_face_px).unwrap();
    // It finds some faces below the minimum, by chance.
    let smallest = to_f32(min_face_px as usize);
    faces.retain(|face| face.score >= CERTAIN && face.bbox.longer_side() >= smallest);
    faces
}

/// What the scene's faces are in some of its frames, and which of them are reported.
fn judge(scene: &Scene, seed: u64, which: Faces, mut analyzer: Analyzer, due: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut detector = Detector::new(&store()).unwrap();
    let person = portrait();
    let what = format!("seed {seed}: {:?} from {} px, {which:?}", scene.size, scene.min_face_px);
    for number in 0..due + 3 {
        let frame = scene.frame(&mut random, &person);
        analyzer.analyze(&frame).unwrap();
        for face in analyzer.faces() {
            let BBox { x1, y1, x2, y2 } = face.bbox;
            let (width, height) = (to_f32(frame.width()), to_f32(frame.height()));
            assert!(x1 >= -1.0 && y1 >= -1.0 && x2 <= width + 1.0 && y2 <= height + 1.0, "{what}: {face:?}");
        }
        if number < due {
            continue;
        }
        let seen = exact(&mut detector, &frame, scene.min_face_px);
        let found =
            |face: &Face| analyzer.faces().iter().any(|found| overlap(&found.bbox, &face.bbox) >= 0.5);
        match which {
            Faces::All => {
                let missed: Vec<_> = seen.iter().filter(|face| !found(face)).collect();
                assert!(
                    missed.is_empty(),
                    "{what}, frame {number}: {} of {}: {missed:?}",
                    missed.len(),
                    seen.len()
                );
            }
            Faces::Largest => {
                // Any of about that size will do; in a crowd the exact search, whose candidates are capped, misses some itself.
                let largest = seen.iter().map(|face| face.bbox.area()).fold(0.0, f32::max);
                let reported = analyzer.faces().iter().map(|face| face.bbox.area()).fold(0.0, f32::max);
                assert!(
                    reported >= 0.64 * largest,
                    "{what}, frame {number}: {:?}, and not one of {largest} square pixels",
                    analyzer.faces()
                );
            }
        }
        // A reported box is that of a face.
        for face in analyzer.faces() {
            let of = seen
                .iter()
                .max_by(|a, b| overlap(&a.bbox, &face.bbox).total_cmp(&overlap(&b.bbox, &face.bbox)));
            if let Some(of) = of.filter(|of| overlap(&of.bbox, &face.bbox) > 0.2) {
                let ratio = face.bbox.area() / of.bbox.area();
                assert!((1.0 / 1.4..1.4).contains(&ratio), "{what}, frame {number}: {face:?} and not {of:?}");
            }
        }
    }
}

/// In scenes of every size that a frame's time suffices for: within two seconds the largest face, within three all.
#[test]
fn reports_faces_of_an_exact_search_in_time() {
    let mut random = fastrand::Rng::with_seed(7);
    for seed in 0..12 {
        let size = *random
            .choice([(320, 240), (640, 480), (720, 720), (710, 472), (480, 640), (1280, 720)].as_slice())
            .unwrap();
        let most = if size.0 >= 640 { 30 } else { 9 };
        let faces = *random.choice([1, 1, 2, 6, most].as_slice()).unwrap();
        let scene = Scene::drawn(&mut random, size, faces);
        if scene.pyramid_work() > 1_000.0 {
            continue;
        }
        for (which, seconds) in [(Faces::Largest, 2), (Faces::All, 3)] {
            let analyzer = Analyzer::new(&store(), None, scene.analysis(which)).unwrap();
            judge(&scene, seed, which, analyzer, seconds * RATE);
            let analyzer = Analyzer::new(&store(), None, scene.analysis(which)).unwrap();
            judge(&scene, seed, which, analyzer.for_recordings(&store()).unwrap(), 0);
        }
    }
}

/// One of two lost neighbours is back: it removes both tracks, of which the second was due next.
#[test]
fn one_face_can_end_two_lost_tracks() {
    let mut random = fastrand::Rng::with_seed(3);
    let person = portrait();
    let room = |portraits: &[(usize, usize, usize)]| Scene {
        size: (640, 480),
        portraits: portraits.to_vec(),
        min_face_px: 60,
        noise: 4,
    };
    let (left, right) = ((260, 40, 100), (260, 330, 100));
    let mut analyzer = Analyzer::new(&store(), None, room(&[]).analysis(Faces::All)).unwrap();
    for (portraits, faces) in [(vec![left, right], 2), (vec![], 0), (vec![left], 1)] {
        for _ in 0..4 {
            analyzer.analyze(&room(&portraits).frame(&mut random, &person)).unwrap();
        }
        assert_eq!(analyzer.faces().len(), faces);
    }
}
