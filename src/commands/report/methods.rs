//! A paragraph of methods and references for a paper.

use std::collections::{BTreeMap, BTreeSet};

use super::super::label_set::to_f64;
use super::confusion::Confusion;
use super::statistics::{BLOCK_SECONDS, DRAWS};
use super::table::Lecture;

/// What was done, with version, networks, settings and limits.
pub(super) fn paragraph(lectures: &[Lecture], errors: &Confusion) -> String {
    // Each setting with all values that it has.
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in
        lectures.iter().flat_map(|it| it.settings.split("; ")).filter_map(|it| it.split_once('='))
    {
        values.entry(name).or_default().insert(value);
    }
    let value = |name: &str| {
        let some = values.get(name).map(|all| all.iter().copied().collect::<Vec<_>>().join(" or "));
        some.unwrap_or_else(|| "(not recorded)".to_owned())
    };
    let seconds = lectures.iter().map(|lecture| lecture.total().seconds).sum();
    let recordings =
        if lectures.len() == 1 { "1 recording".to_owned() } else { format!("{} recordings", lectures.len()) };
    let baseline = match &*value("baseline") {
        "person" => "measured from the resting face of the person seen, which is learnt in each recording",
        "none" => "measured from faces in general",
        _ => "measured from the baselines named in the settings",
    };
    let faces = match &*value("faces") {
        "largest" => "the largest face",
        "all" => "each face",
        _ => "the faces named in the settings",
    };
    format!(
        "Facial expressions were counted with Lectern {version} (detector SHA-256 {detector}…, classifier {classifier}…) in {recordings} \
         of {minutes:.0} min in all. At {rate} frames a second, {faces} of at least {min_face} pixels was found by a cascade of \
         convolutional networks (MTCNN) and classified as neutral or as one of six emotions, weak or strong (13 kinds), {baseline}. \
         A face whose likeliest kind had a probability below {confidence} was counted as uncertain and is not part of the shares, which \
         are of counted faces, not of time. Intervals (95 %) are from a circular block bootstrap over blocks of {block} min ({DRAWS} \
         draws) in Wilson's form, and those of differences are Newcombe's; they hold neither the classifier's errors nor differences \
         among people. The classifier was trained and tested on photographs from the web ({photographs} labelled photographs in the \
         test), not in classrooms; weak and strong are a proxy from annotators' votes, not measured intensity. Differences no larger \
         than its known errors are marked. Expressions are not feelings, and nothing was inferred about individuals. Agreement with human \
         coders: [report kappa with its interval, from lectern compare].",
        version = value("version"),
        detector = value("detector"),
        classifier = value("classifier"),
        minutes = to_f64(seconds) / 60.0,
        rate = value("rate"),
        min_face = value("min_face_px"),
        confidence = value("min_confidence"),
        block = BLOCK_SECONDS / 60,
        photographs = errors.faces,
    )
}

/// The paper whose method the program follows, and the program.
pub(super) fn bibtex() -> String {
    format!(
        "@article{{zheng2020recognition,
  author  = {{Zheng, Kun and Yang, Dong and Liu, Junhua and Cui, Jinling}},
  title   = {{Recognition of Teachers' Facial Expression Intensity Based on Convolutional Neural Network and Attention Mechanism}},
  journal = {{IEEE Access}},
  year    = {{2020}},
  doi     = {{10.1109/ACCESS.2020.3046225}}
}}

@software{{lectern,
  author  = {{{{Lectern developers}}}},
  title   = {{Lectern}},
  version = {{{}}}
}}",
        env!("CARGO_PKG_VERSION")
    )
}
