//! The shipped classifier gives the same result in tract and onnxruntime, on drawn faces and a public-domain portrait.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;

mod common;

use common::lectern;
use lectern::camera::stills;
use lectern::expression::{Emotion, Expression, Intensity};
use lectern::vision::Region;
use lectern::vision::classifier::{Classifier, most_likely};
use lectern::vision::geometry::View;
use lectern::vision::models::ModelStore;
use lectern::vision::mtcnn::Detector;
use serde::Deserialize;

/// The tolerance of a probability: onnxruntime computes in f32 too, in another order.
const PROBABILITY: f32 = 0.001;

const HAPPY: Expression = Expression::Of(Emotion::Happy, Intensity::Strong);

#[derive(Deserialize)]
struct Reference {
    sha256: String,
    faces: BTreeMap<String, BTreeMap<String, f32>>,
}

#[test]
fn shipped_network_matches_onnxruntime() {
    let text = std::fs::read_to_string("tests/fixtures/faces/reference.json").unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    let store = ModelStore::open(None).unwrap();
    let made_for = &store.manifest.classifier.network.sha256;
    assert_eq!(
        &reference.sha256, made_for,
        "run models/training/export/reference_classifier.py for the new network"
    );
    let mut classifier = Classifier::new(&store).unwrap();
    for (name, expected) in &reference.faces {
        let face = stills::read(&Path::new("tests/fixtures/faces").join(name)).unwrap();
        let found = classifier.classify_crop(&face).unwrap();
        for kind in Expression::ALL {
            let (found, expected) = (found[kind.index()], expected[kind.name()]);
            assert!((found - expected).abs() < PROBABILITY, "{name}: {kind}: {found} and not {expected}");
        }
    }
}

#[test]
fn astronaut_smiles_in_crop_and_whole_picture() {
    let store = ModelStore::open(None).unwrap();
    let mut classifier = Classifier::new(&store).unwrap();
    let crop = stills::read(Path::new("tests/fixtures/faces/portrait.png")).unwrap();
    assert_eq!(most_likely(&classifier.classify_crop(&crop).unwrap()).0, HAPPY);

    let picture = stills::read(Path::new("tests/fixtures/portrait.png")).unwrap();
    let view = View::new(&picture, Region::WHOLE);
    let face = Detector::new(&store).unwrap().search(&view, 40).unwrap().remove(0);
    let (kind, probability) = most_likely(&classifier.classify_face(&view, &face).unwrap());
    assert!(kind == HAPPY && probability > 0.8, "{kind} {probability}");
}

/// Runs `lectern eval classify` on the same face repeatedly: the probabilities of neutral and of the likeliest kind.
fn classify_repeatedly(arguments: &[&str], face: &str, times: usize) -> Vec<(f32, f32)> {
    let mut command = lectern();
    command.args(["eval", "classify"]).args(arguments);
    let output = command.args(std::iter::repeat_n(face, times)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let probabilities = lines.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let named: BTreeMap<String, f32> = serde_json::from_value(line["probabilities"].clone()).unwrap();
        assert!((named.values().sum::<f32>() - 1.0).abs() < 1e-4);
        (named["neutral"], named.values().copied().fold(0.0, f32::max))
    });
    probabilities.collect()
}

/// With `--person` a face that always shows a faint smile becomes more neutral; without it nothing changes.
#[test]
fn person_baseline_shifts_to_neutral() {
    let amused = "tests/fixtures/faces/portrait-blurred.png";
    let (with, without) =
        (classify_repeatedly(&["--person"], amused, 120), classify_repeatedly(&[], amused, 120));
    assert!(without.iter().all(|pair| *pair == without[0]), "{without:?}");
    assert_eq!(with[0], without[0], "nothing is known of the first frame");
    assert!(with[119].0 > 2.0 * with[0].0, "{:?} {:?}", with[0], with[119]);
    // A broad smile for a minute stays a smile.
    let smile = classify_repeatedly(&["--person"], "tests/fixtures/faces/portrait.png", 120);
    assert!(smile[119].1 > 0.9 && smile[119].0 < 0.05, "{:?}", smile[119]);
}
