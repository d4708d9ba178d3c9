//! A lecturer at the back of the room: small faces in large pictures.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use lectern::camera::{Frame, stills};
use lectern::vision::geometry::{BBox, View};
use lectern::vision::models::ModelStore;
use lectern::vision::mtcnn::Detector;
use lectern::vision::{Analysis, Analyzer, Region};

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
        let portrait =
            stills::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/portrait.png")).unwrap();
        let mut detector = Detector::new(&ModelStore::open(None).unwrap()).unwrap();
        let bbox = detector.search(&View::new(&portrait, Region::WHOLE), 60).unwrap()[0].bbox;
        let factor = FACE / bbox.height();
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
}

/// A wall with noise, and the person at a place, if anywhere; with the face's box.
fn room(random: &mut fastrand::Rng, person: &Person, place: Option<(u16, u16)>) -> (Frame, Option<BBox>) {
    let mut rgb = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for y in 0..HEIGHT {
        let wall = u8::try_from(120 + y * 60 / HEIGHT).unwrap();
        rgb.extend((0..WIDTH * 3).map(|_| wall + random.u8(..7)));
    }
    if let Some((left, top)) = place {
        let picture = &person.picture;
        for (y, row) in picture.rgb().chunks_exact(picture.width() * 3).enumerate() {
            let start = ((usize::from(top) + y) * WIDTH + usize::from(left)) * 3;
            rgb[start..start + row.len()].copy_from_slice(row);
        }
    }
    let face = place.map(|(left, top)| {
        let (x, y, BBox { x1, y1, x2, y2 }) = (f32::from(left), f32::from(top), person.face);
        BBox { x1: x + x1, y1: y + y1, x2: x + x2, y2: y + y2 }
    });
    (Frame::from_rgb(WIDTH, HEIGHT, rgb).unwrap(), face)
}

fn is_at(analyzer: &Analyzer, face: &BBox) -> bool {
    let near =
        |found: &BBox| (found.x1 - face.x1).abs() < FACE / 3.0 && (found.y1 - face.y1).abs() < FACE / 3.0;
    analyzer.faces().iter().any(|found| near(&found.bbox))
}

/// Somebody who comes in is found within two seconds, followed across the room, and gone when he is gone; nothing is found in
/// an empty room.
#[test]
fn a_small_face_is_found_where_something_moved_and_followed_while_it_walks() {
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

/// The time for a frame does not grow with the picture: of the fine levels each frame sees a few tiles, and all within ten
/// seconds.
#[test]
fn a_small_face_that_nothing_announced_is_found_within_ten_seconds() {
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
