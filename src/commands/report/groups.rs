//! Lectures by themselves, and all of those together that share a teacher or another column of the manifest.

use std::collections::HashMap;

use super::super::label_set::LabelSet;
use super::statistics::{Shares, shares};
use super::table::{Lecture, Lectures, Minute, Segment};

/// Lectures, or groups of them, that are compared pair by pair; further ones are left out.
pub(super) const MAX_PAIRED: usize = 12;

/// A lecture, several together, or a segment, with their shares.
pub(super) struct Group<'a> {
    pub(super) name: String,
    /// The name in charts, with the number of lectures.
    pub(super) title: String,
    /// What it and those after it are, where that differs from those before it.
    pub(super) heading: Option<String>,
    /// None of a segment.
    pub(super) lectures: Vec<&'a Lecture>,
    pub(super) total: Minute,
    pub(super) seven: Shares,
    pub(super) thirteen: Shares,
}

impl Group<'_> {
    /// The shares of a label set.
    pub(super) fn shares(&self, label_set: &LabelSet) -> &Shares {
        if label_set.kinds.len() == self.seven.of.len() { &self.seven } else { &self.thirteen }
    }
}

/// Each lecture, then the groups in the order of their first lecture.
pub(super) struct Groups<'a> {
    pub(super) all: Vec<Group<'a>>,
    /// How many are single lectures.
    pub(super) singles: usize,
    pub(super) segments: Vec<Group<'a>>,
}

impl<'a> Groups<'a> {
    pub(super) fn of(lectures: &'a Lectures) -> Self {
        let label_sets = (LabelSet::seven(), LabelSet::thirteen());
        let group = |number: usize, name: String, title: String, theirs: Vec<&'a Lecture>| {
            let seven = shares(&theirs, &label_sets.0);
            let mut total = Minute::default();
            theirs.iter().for_each(|lecture| total.add(&lecture.total()));
            Group {
                name,
                title,
                heading: None,
                total,
                seven: if number < MAX_PAIRED { seven } else { seven.without_draws() },
                thirteen: shares(&theirs, &label_sets.1).without_draws(),
                lectures: theirs,
            }
        };
        let single = lectures.all.iter().enumerate();
        let mut all: Vec<Group<'a>> =
            single.map(|(i, it)| group(i, it.label.clone(), it.label.clone(), vec![it])).collect();
        let singles = all.len();
        let column = capitalised(&lectures.by);
        for (i, (name, theirs)) in grouped(&lectures.all).into_iter().enumerate() {
            let name = format!("{column} {name}");
            let title = match theirs.len() {
                1 => format!("{name} (1 lecture)"),
                count => format!("{name} ({count} lectures)"),
            };
            all.push(group(i, name, title, theirs));
        }
        if all.len() > singles {
            all[0].heading = Some("Lectures".to_owned());
            all[singles].heading = Some(format!("By {}", lectures.by));
        }
        Self { all, singles, segments: segments(&lectures.segments, &label_sets) }
    }

    pub(super) fn together(&self) -> &[Group<'a>] {
        &self.all[self.singles..]
    }
}

/// The segments, with a heading for each lecture.
fn segments<'a>(segments: &[Segment], (seven, thirteen): &(LabelSet, LabelSet)) -> Vec<Group<'a>> {
    let mut last = None;
    let group = |Segment { name, label, total }: &Segment| {
        let heading = (last.replace(label.clone()).as_ref() != Some(label)).then(|| label.clone());
        Group {
            name: name.clone(),
            title: name.clone(),
            heading,
            lectures: Vec::new(),
            seven: Shares::without_interval(&seven.counts(&total.kinds)),
            thirteen: Shares::without_interval(&thirteen.counts(&total.kinds)),
            total: total.clone(),
        }
    };
    segments.iter().map(group).collect()
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn grouped(lectures: &[Lecture]) -> Vec<(&str, Vec<&Lecture>)> {
    let mut groups: Vec<(&str, Vec<&Lecture>)> = Vec::new();
    let mut positions = HashMap::new();
    for lecture in lectures.iter().filter(|lecture| !lecture.group.is_empty()) {
        let at = *positions.entry(&lecture.group).or_insert_with(|| {
            groups.push((&lecture.group, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(lecture);
    }
    groups
}
