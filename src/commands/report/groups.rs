//! Lectures by themselves, and all of a teacher's together.

use super::charts::Row;
use super::table::{Lecture, Minute};

/// Teachers in the order of their first lecture, with all of theirs.
pub(super) fn teachers(lectures: &[Lecture]) -> Vec<(&str, Vec<&Lecture>)> {
    let mut teachers: Vec<(&str, Vec<&Lecture>)> = Vec::new();
    for lecture in lectures.iter().filter(|lecture| !lecture.teacher.is_empty()) {
        match teachers.iter_mut().find(|(name, _)| *name == lecture.teacher) {
            Some((_, theirs)) => theirs.push(lecture),
            None => teachers.push((&lecture.teacher, vec![lecture])),
        }
    }
    teachers
}

/// All minutes of some lectures.
pub(super) fn together(lectures: &[&Lecture]) -> Minute {
    let mut total = Minute::default();
    for minute in lectures.iter().map(|lecture| lecture.total()) {
        total.seconds += minute.seconds;
        total.expected += minute.expected;
        total.counts.add(&minute.counts);
    }
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
