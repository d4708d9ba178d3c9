//! The page: formats the results for the template `page.html`.

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, Value, context};
use serde::Serialize;

use super::super::drawing;
use super::super::label_set::{LabelSet, to_f64};
use super::charts::{Chart, FEW, Sized};
use super::confusion::{Confusion, Range};
use super::groups::{Group, Groups, MAX_PAIRED};
use super::methods;
use super::statistics::{BLOCK_SECONDS, DRAWS, MIN_BLOCKS, SEED, Share, Shares, difference, distance};
use super::table::Lectures;

/// Widths of a chart in pixels: for a desk and for a telephone.
const WIDTHS: [(i32, &str); 2] = [(900, "wide"), (350, "narrow")];

/// Segments that are drawn.
const MAX_SEGMENTS: usize = 200;

/// Lectures whose course is drawn.
const MAX_COURSES: usize = 60;

#[derive(Serialize)]
struct Totals {
    name: String,
    heading: Option<String>,
    source: String,
    minutes: String,
    frames: u64,
    no_face: String,
    uncertain: String,
    corrupt: u64,
    faces: u64,
}

#[derive(Serialize)]
struct ShareRow {
    name: String,
    cells: Vec<ShareCell>,
}

#[derive(Serialize)]
struct ShareCell {
    share: String,
    interval: String,
    /// The share's range under known errors.
    range: String,
}

#[derive(Serialize)]
struct Pair {
    one: String,
    other: String,
    distance: String,
    by_chance: String,
    by_errors: String,
    verdict: &'static str,
    cells: Vec<DifferenceCell>,
}

#[derive(Serialize)]
struct DifferenceCell {
    difference: String,
    interval: String,
    /// Whether chance alone seldom causes it.
    clear: bool,
    /// Whether the classifier's known errors alone could cause it.
    within: bool,
}

/// The whole page.
///
/// # Errors
/// When a chart cannot be drawn.
pub(super) fn page(lectures: &Lectures, groups: &Groups<'_>) -> anyhow::Result<String> {
    let Lectures { all: lectures, by, .. } = lectures;
    let (seven, thirteen) = (LabelSet::seven(), LabelSet::thirteen());
    let errors = Confusion::shipped();
    let short =
        |label_set: &LabelSet| label_set.kinds.iter().map(|kind| kind.name.clone()).collect::<Vec<_>>();
    let courses: Vec<Value> = lectures
        .iter()
        .take(MAX_COURSES)
        .map(|lecture| {
            let name = format!("Course of {}", lecture.label);
            Ok(context! { name => lecture.label, charts => drawn(&Chart::Course(&seven, lecture), &name)? })
        })
        .collect::<anyhow::Result<_>>()?;
    let singles = lectures.len().min(MAX_PAIRED);
    // Also groups, if there is more than one.
    let together = groups.together();
    let together = &together[..together.len().min(MAX_PAIRED)];
    let pairs = [&groups.all[..singles], if together.len() > 1 { together } else { &[] }]
        .into_iter()
        .flat_map(|groups| {
            groups
                .iter()
                .enumerate()
                .flat_map(|(i, one)| groups[i + 1..].iter().map(move |other| (one, other)))
        })
        .map(|(one, other)| pair(one, other, &seven, &errors))
        .collect::<Vec<_>>();
    let settings: BTreeSet<&str> = lectures.iter().map(|lecture| lecture.settings.as_str()).collect();
    let matches = |classifier: &str| !classifier.is_empty() && errors.classifier.starts_with(classifier);
    let measured = settings.iter().all(|settings| {
        settings.split("; ").find_map(|word| word.strip_prefix("classifier=")).is_some_and(matches)
    });
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", include_str!("page.html"))?;
    let page = environment.get_template("page")?.render(context! {
        version => env!("CARGO_PKG_VERSION"),
        count => lectures.len(),
        minutes => minutes(lectures.iter().map(|lecture| lecture.total().seconds).sum()),
        totals => groups.all.iter().map(totals).collect::<Vec<_>>(),
        seven => drawn(&Chart::Shares(&seven, &groups.all), "Shares of 7 kinds")?,
        thirteen => drawn(&Chart::Shares(&thirteen, &groups.all), "Shares of 13 kinds")?,
        segments => match &groups.segments[..] {
            [] => Vec::new(),
            some => drawn(&Chart::Shares(&seven, &some[..some.len().min(MAX_SEGMENTS)]), "Shares of 7 kinds in each segment")?,
        },
        segments_left_out => groups.segments.len().saturating_sub(MAX_SEGMENTS),
        segment_totals => groups.segments.iter().take(MAX_SEGMENTS).map(totals).collect::<Vec<_>>(),
        few => FEW,
        by,
        together => groups.together().len(),
        methods => methods::paragraph(lectures, &errors),
        bibtex => methods::bibtex(),
        names7 => short(&seven),
        divisions => [
            context! { names => short(&seven), rows => share_rows(&groups.all, |it| &it.seven, &seven, &errors) },
            context! { names => short(&thirteen), rows => share_rows(&groups.all, |it| &it.thirteen, &thirteen, &errors) },
        ],
        courses_left_out => lectures.len() - courses.len(),
        courses,
        pairs,
        left_out => lectures.len() - singles,
        paired => singles,
        block => BLOCK_SECONDS / 60,
        least => BLOCK_SECONDS / 60 * u64::try_from(MIN_BLOCKS)?,
        draws => DRAWS,
        seed => SEED,
        settings => settings.iter().map(|text| text.split("; ").collect::<Vec<_>>()).collect::<Vec<_>>(),
        mixed => settings.len() > 1,
        measured,
        classifier => &errors.classifier[..16],
        error_faces => errors.faces,
    })?;
    Ok(page)
}

/// A chart for each width.
fn drawn(chart: &Chart<'_>, name: &str) -> anyhow::Result<Vec<Value>> {
    let each = WIDTHS.iter().map(|(width, class)| {
        Ok(context! { class, svg => Value::from_safe_string(drawing::svg(&Sized(chart, *width), name)?) })
    });
    each.collect()
}

fn totals(group: &Group<'_>) -> Totals {
    let total = &group.total;
    let seen = to_f64(total.faces() + total.uncertain + total.no_face).max(1.0);
    let part = |count: u64| format!("{:.1} %", 100.0 * to_f64(count) / seen);
    Totals {
        name: group.name.clone(),
        source: match &group.lectures[..] {
            [lecture] if lecture.label == group.name => lecture.source.clone(),
            [_] => "1 lecture".to_owned(),
            [] => String::new(),
            lectures => format!("{} lectures", lectures.len()),
        },
        heading: group.heading.clone(),
        minutes: minutes(total.seconds),
        frames: total.frames,
        no_face: part(total.no_face),
        uncertain: part(total.uncertain),
        corrupt: total.corrupt,
        faces: total.faces(),
    }
}

/// Whole ones, or with a decimal.
fn minutes(seconds: u64) -> String {
    let decimals = usize::from(!seconds.is_multiple_of(60));
    format!("{:.decimals$}", to_f64(seconds) / 60.0)
}

fn share_rows<'a>(
    groups: &'a [Group<'_>],
    shares: impl Fn(&'a Group<'_>) -> &'a Shares,
    label_set: &LabelSet,
    errors: &Confusion,
) -> Vec<ShareRow> {
    groups.iter().map(|group| share_row(group, shares(group), label_set, errors)).collect()
}

fn share_row(group: &Group<'_>, shares: &Shares, label_set: &LabelSet, errors: &Confusion) -> ShareRow {
    let mean: Vec<f64> = shares.of.iter().map(|share| share.share).collect();
    let around = errors.around(label_set, &mean);
    let cell = |(share, range): (&Share, Range)| ShareCell {
        share: percent(share.share),
        interval: interval(*share),
        range: format!(
            "{} to {}",
            percent((share.share - range.wrongly).max(0.0)),
            percent((share.share + range.missed).min(1.0))
        ),
    };
    ShareRow { name: group.name.clone(), cells: shares.of.iter().zip(around).map(cell).collect() }
}

fn pair(one: &Group<'_>, other: &Group<'_>, label_set: &LabelSet, errors: &Confusion) -> Pair {
    let mixture: Vec<f64> =
        one.seven.of.iter().zip(&other.seven.of).map(|(a, b)| f64::midpoint(a.share, b.share)).collect();
    let around = errors.around(label_set, &mixture);
    let wrong: f64 = around.iter().map(|range| range.missed).sum();
    let apart = distance(&one.seven, &other.seven);
    let cells = one.seven.of.iter().zip(&other.seven.of).zip(around).map(|((a, b), range)| {
        let Share { share, interval } = difference(*a, *b);
        DifferenceCell {
            difference: format!("{:+.1}", 100.0 * share),
            interval: interval.map_or_else(String::new, |(low, high)| {
                format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high)
            }),
            clear: interval.is_some_and(|(low, high)| low > 0.0 || high < 0.0),
            within: share.abs() <= range.most(),
        }
    });
    let chance = apart.by_chance.is_none_or(|most| apart.distance <= most);
    Pair {
        one: one.name.clone(),
        other: other.name.clone(),
        distance: percent(apart.distance),
        by_chance: apart.by_chance.map_or_else(|| "too short".to_owned(), percent),
        by_errors: percent(wrong),
        verdict: match (chance, apart.distance <= wrong) {
            _ if apart.by_chance.is_none() => "too short to tell",
            (true, _) => "no more than chance",
            (false, true) => "more than chance, within known errors",
            (false, false) => "more than chance and known errors",
        },
        cells: cells.collect(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn interval(share: Share) -> String {
    share
        .interval
        .map_or_else(String::new, |(low, high)| format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high))
}
