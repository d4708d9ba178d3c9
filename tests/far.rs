//! A lecturer at the back of the room: small faces in large pictures.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use lectern::camera::{Frame, stills};
use lectern::expression::Sighting;
use lectern::vision::geometry::{BBox, View};
use lectern::vision::models::ModelStore;
use lectern::vision::mtcnn::Detector;
use lectern::vision::{Analysis, Analyzer, MIN_CLASSIFIABLE_PX, Region};

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;

/// Height of the face in pixels.
const FACE: f32 = 28.0;

/// The portrait, so small that its face has [`FACE`] pixels, and where the face is in it.
struct Person {
    picture: Frame,
    face: BBox,
}

impl Person {
    fn new() -> Self {
        Self::of(FACE)
    }

    /// With a face of `height` pixels.
    fn of(height: f32) -> Self {
        let portrait =
            stills::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/portrait.png")).unwrap();
        let mut detector = Detector::new(&ModelStore::open(None).unwrap()).unwrap();
        let bbox = detector.search(&View::new(&portrait, Region::WHOLE), 60).unwrap()[0].bbox;
        let factor = height / bbox.height();
        let side = |length: usize| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a picture's side"
            )]
            let side = (length as f32 * factor) as usize;
            side
        };
        let picture = portrait.scaled(side(portrait.width()), side(portrait.height()));
        let BBox { x1, y1, x2, y2 } = bbox;
        Self { picture, face: BBox { x1: x1 * factor, y1: y1 * factor, x2: x2 * factor, y2: y2 * factor } }
    }

    /// Draws the person with its upper left corner at a place.
    fn put_into(&self, frame: &mut Frame, (left, top): (u16, u16)) {
        let width = frame.width();
        for (y, row) in self.picture.rgb().chunks_exact(self.picture.width() * 3).enumerate() {
            let start = ((usize::from(top) + y) * width + usize::from(left)) * 3;
            frame.rgb_mut()[start..start + row.len()].copy_from_slice(row);
        }
    }
}

/// A wall with noise, and the person at a place, if anywhere; with the face's box.
fn room(random: &mut fastrand::Rng, person: &Person, place: Option<(u16, u16)>) -> (Frame, Option<BBox>) {
    let mut rgb = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for y in 0..HEIGHT {
        let wall = u8::try_from(120 + y * 60 / HEIGHT).unwrap();
        rgb.extend((0..WIDTH * 3).map(|_| wall + random.u8(..7)));
    }
    let mut frame = Frame::from_rgb(WIDTH, HEIGHT, rgb).unwrap();
    if let Some(place) = place {
        person.put_into(&mut frame, place);
    }
    let face = place.map(|(left, top)| {
        let (x, y, BBox { x1, y1, x2, y2 }) = (f32::from(left), f32::from(top), person.face);
        BBox { x1: x + x1, y1: y + y1, x2: x + x2, y2: y + y2 }
    });
    (frame, face)
}

fn is_at(analyzer: &Analyzer, face: &BBox) -> bool {
    let near =
        |found: &BBox| (found.x1 - face.x1).abs() < FACE / 3.0 && (found.y1 - face.y1).abs() < FACE / 3.0;
    analyzer.faces().iter().any(|found| near(&found.bbox))
}

/// A person who enters is found within two seconds and followed across the room; an empty room shows no face.
#[test]
fn moving_small_face_is_found_and_followed() {
    let store = ModelStore::open(None).unwrap();
    let mut analyzer =
        Analyzer::new(&store, None, Analysis { min_face_px: 24, ..Analysis::default() }).unwrap();
    let (person, mut random) = (Person::new(), fastrand::Rng::with_seed(1));
    for _ in 0..8 {
        let (frame, _) = room(&mut random, &person, None);
        assert_eq!(analyzer.analyze(&frame).unwrap().len(), 0);
    }
    // Two frames a second, so that these are 1.5 s.
    for _ in 0..3 {
        let (frame, _) = room(&mut random, &person, Some((1200, 500)));
        analyzer.analyze(&frame).unwrap();
    }
    // Two face widths in half a second: a walk.
    for step in 0..8 {
        let (frame, face) = room(&mut random, &person, Some((1200 - 50 * step, 500)));
        analyzer.analyze(&frame).unwrap();
        assert!(is_at(&analyzer, &face.unwrap()), "step {step}: {:?}", analyzer.faces());
    }
    for frames in 0..3 {
        let (frame, _) = room(&mut random, &person, None);
        assert!(analyzer.analyze(&frame).unwrap().is_empty(), "{frames} frames later");
    }
}

/// A tracked person farther away and a moving screen do not delay the detection of a lecturer who enters: two seconds.
#[test]
fn entering_lecturer_is_found_beside_a_screen() {
    let store = ModelStore::open(None).unwrap();
    let mut analyzer =
        Analyzer::new(&store, None, Analysis { min_face_px: 24, ..Analysis::default() }).unwrap();
    let (lecturer, other, mut random) = (Person::new(), Person::of(22.0), fastrand::Rng::with_seed(3));
    let mut draw = |place: Option<(u16, u16)>| {
        let (mut frame, face) = room(&mut random, &lecturer, place);
        other.put_into(&mut frame, (1500, 520));
        for y in 100..500 {
            let width = frame.width();
            frame.rgb_mut()[(y * width + 200) * 3..][..700 * 3].fill(random.u8(..));
        }
        (frame, face)
    };
    for _ in 0..24 {
        analyzer.analyze(&draw(None).0).unwrap();
    }
    assert_eq!(analyzer.faces().len(), 1, "the other person is known");
    let found = (0..4).any(|step| {
        let (frame, face) = draw(Some((40 + 40 * step, 560)));
        analyzer.analyze(&frame).unwrap();
        is_at(&analyzer, &face.unwrap())
    });
    assert!(found, "{:?}", analyzer.faces());
}

/// A face that is too small for its expression counts as uncertain, whatever the thresholds.
#[test]
fn too_small_face_is_uncertain() {
    let store = ModelStore::open(None).unwrap();
    let analysis = Analysis { min_face_px: 12, min_confidence: 0.0, ..Analysis::default() };
    let mut analyzer = Analyzer::new(&store, None, analysis).unwrap();
    for (height, is_classified) in [(15.0, false), (30.0, true)] {
        let person = Person::of(height);
        let mut frame = Frame::from_rgb(160, 120, vec![128; 160 * 120 * 3]).unwrap();
        person.put_into(&mut frame, (40, 8));
        analyzer.forget();
        let sightings = analyzer.analyze(&frame).unwrap();
        assert_eq!(sightings.len(), 1, "{height}");
        assert_eq!(matches!(sightings[0], Sighting::Certain(_)), is_classified, "{height}: {sightings:?}");
        assert_eq!(
            analyzer.faces()[0].bbox.longer_side() >= f32::from(u8::try_from(MIN_CLASSIFIABLE_PX).unwrap()),
            is_classified
        );
    }
}

/// The time for a frame does not grow with the picture: of the fine levels each frame sees a few tiles, and all within ten
/// seconds.
#[test]
fn still_small_face_is_found_in_ten_seconds() {
    let store = ModelStore::open(None).unwrap();
    let mut analyzer =
        Analyzer::new(&store, None, Analysis { min_face_px: 24, ..Analysis::default() }).unwrap();
    let (person, mut random) = (Person::new(), fastrand::Rng::with_seed(2));
    // There from the first frame on, near the end of every order.
    let found = (0..20).any(|_| {
        let (frame, face) = room(&mut random, &person, Some((1800, 950)));
        analyzer.analyze(&frame).unwrap();
        is_at(&analyzer, &face.unwrap())
    });
    assert!(found);
}

#[test]
fn earlier_frames_do_not_change_the_result() {
    let person = Person::new();
    let mut random = fastrand::Rng::with_seed(5);
    let empty: Vec<_> = (0..24).map(|_| room(&mut random, &person, None).0).collect();
    let with_person: Vec<_> = (0..24).map(|_| room(&mut random, &person, Some((900, 500))).0).collect();
    let mut analyzer = Analyzer::new(&ModelStore::open(None).unwrap(), None, Analysis::default()).unwrap();
    let mut watch = |frames: &[Frame]| -> Vec<Vec<Sighting>> {
        analyzer.forget();
        frames.iter().map(|frame| analyzer.analyze(frame).unwrap().to_vec()).collect()
    };
    let alone = watch(&with_person);
    assert!(alone.iter().any(|sightings| !sightings.is_empty()));
    watch(&empty);
    assert_eq!(watch(&with_person), alone);
}
