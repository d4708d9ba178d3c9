//! Lectures by themselves, and all of a teacher's together.

use std::collections::HashMap;

use super::charts::Row;
use super::table::{Lecture, Minute};

/// Teachers in the order of their first lecture, with all of theirs.
pub(super) fn teachers(lectures: &[Lecture]) -> Vec<(&str, Vec<&Lecture>)> {
    let mut teachers: Vec<(&str, Vec<&Lecture>)> = Vec::new();
    let mut positions = HashMap::new();
    for lecture in lectures.iter().filter(|lecture| !lecture.teacher.is_empty()) {
        let at = *positions.entry(&lecture.teacher).or_insert_with(|| {
            teachers.push((&lecture.teacher, Vec::new()));
            teachers.len() - 1
        });
        teachers[at].1.push(lecture);
    }
    teachers
}

/// All minutes of some lectures.
pub(super) fn together(lectures: &[&Lecture]) -> Minute {
    let mut total = Minute::default();
    lectures.iter().for_each(|lecture| total.add(&lecture.total()));
    total
}

/// Each lecture, then each teacher.
pub(super) fn rows(lectures: &[Lecture]) -> Vec<Row> {
    let single = lectures.iter().map(|lecture| Row { name: lecture.label.clone(), total: lecture.total() });
    let together = teachers(lectures).into_iter().map(|(name, theirs)| Row {
        name: match theirs.len() {
            1 => format!("Teacher {name} (1 lecture)"),
            count => format!("Teacher {name} ({count} lectures)"),
        },
        total: together(&theirs),
    });
    single.chain(together).collect()
}
