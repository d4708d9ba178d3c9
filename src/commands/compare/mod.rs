//! `lectern compare`: how well the classified frames agree with what people coded.
//!
//! `human` reads codings (`elan` those that ELAN exports), `frames` pairs them with the analysed frames, `agreement` computes
//! coefficients with intervals, `matrix` draws who was called what, and `output` writes tables and text.

mod agreement;
mod elan;
mod frames;
mod human;
mod matrix;
mod output;

use std::collections::BTreeMap;

use self::agreement::{Alpha, Estimate, Kappa, estimate};
use self::frames::{Frames, Scope};
use self::human::{Codings, Mapping};
use super::label_set::LabelSet;
use super::samples::milliseconds;
use super::{UsageError, outputs, samples};
use crate::cli::Compare;
use crate::help::Problem;
use crate::logging::printable::print_error;

/// Draws of the bootstrap.
const DRAWS: usize = 1000;

/// The agreement of two raters.
struct Pair {
    /// Positions among the raters, of which the last one is Lectern.
    raters: (usize, usize),
    kappa: Option<Estimate>,
    agreement: Option<Estimate>,
    frames: usize,
    /// How often each kind of the first one was called each of the second one.
    matrix: Vec<Vec<usize>>,
}

/// The agreement in one recording, or in all.
struct Agreement {
    /// None for all.
    recording: Option<usize>,
    pairs: Vec<Pair>,
    /// Krippendorff's alpha of the coders, and of the coders and Lectern.
    alphas: Vec<(&'static str, Estimate)>,
}

/// What one label set shows.
struct Comparison {
    label_set: LabelSet,
    of: Vec<Agreement>,
}

/// Compares, prints, and writes what is requested.
///
/// # Errors
/// [`UsageError`] when a table cannot be used, or an output would overwrite it; when something cannot be read or written.
pub fn run(arguments: &Compare) -> anyhow::Result<()> {
    let requested = [
        ("--csv", arguments.csv.as_deref()),
        ("--confusion", arguments.confusion.as_deref()),
        ("--chart", arguments.chart.as_deref()),
    ];
    let inputs = arguments.human.iter().chain([&arguments.table]).chain(&arguments.mapping);
    outputs::check(&requested, inputs.map(AsRef::as_ref))?;
    let recordings = samples::read(&arguments.table)?;
    let mapping = arguments.mapping.as_deref().map_or_else(|| Ok(Mapping::default()), Mapping::read)?;
    let mut codings = Codings::default();
    for path in &arguments.human {
        codings.read(path, &mapping, &recordings)?;
    }
    for (source, count) in &codings.unknown {
        print_error(format_args!(
            "{source}: {count} intervals are left out, for the table has no such source"
        ));
    }
    codings.sort()?;
    let frames = Frames::pair(&recordings, &codings, u64::from(arguments.block) * 1000)?;
    if frames.coded.is_empty() {
        let problem = Problem::new("no frame of the table lies in a coded interval");
        return Err(
            UsageError::new(problem.with_help("see whether sources and times are the table's")).into()
        );
    }
    let comparisons = [LabelSet::seven(), LabelSet::thirteen()].map(|set| compare(set, &frames));
    let output =
        output::Output { arguments, recordings: &recordings, frames: &frames, comparisons: &comparisons };
    output.write()
}

fn compare(label_set: LabelSet, frames: &Frames) -> Comparison {
    let mut scopes = vec![None];
    scopes.extend(frames.recordings().into_iter().map(Some));
    let of = scopes.into_iter().map(|recording| {
        let scope = Scope::new(frames, &label_set, recording);
        agreement(&scope, label_set.kinds.len(), recording)
    });
    Comparison { of: of.collect(), label_set }
}

fn agreement(scope: &Scope, kinds: usize, recording: Option<usize>) -> Agreement {
    let raters = scope.raters;
    // With Lectern first, then the coders among each other.
    let machine = raters - 1;
    let between = (0..machine).flat_map(|one| (one + 1..machine).map(move |other| (one, other)));
    let pairs = (0..machine).map(|coder| (coder, machine)).chain(between);
    let pairs = pairs.filter_map(|raters| pair(scope, kinds, raters));
    let alpha = |name, among: std::ops::Range<usize>| {
        let alpha = Alpha(kinds);
        let mut blocks: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (block, names) in &scope.frames {
            let names: Vec<usize> = names[among.clone()].iter().flatten().copied().collect();
            if names.len() > 1 {
                alpha.add(blocks.entry(*block).or_insert_with(|| alpha.nothing()), &names);
            }
        }
        let blocks: Vec<_> = blocks.into_values().collect();
        Some((name, estimate(&blocks, DRAWS, |sums| alpha.of(sums))?))
    };
    let alphas = match machine {
        1 => Vec::new(),
        _ => [alpha("coders", 0..machine), alpha("coders and Lectern", 0..raters)]
            .into_iter()
            .flatten()
            .collect(),
    };
    Agreement { recording, pairs: pairs.collect(), alphas }
}

fn pair(scope: &Scope, kinds: usize, raters: (usize, usize)) -> Option<Pair> {
    let kappa = Kappa(kinds);
    let mut blocks: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut matrix = vec![vec![0; kinds]; kinds];
    for (block, names) in &scope.frames {
        let (Some(one), Some(other)) = (names[raters.0], names[raters.1]) else { continue };
        kappa.add(blocks.entry(*block).or_insert_with(|| kappa.nothing()), one, other);
        matrix[one][other] += 1;
    }
    let blocks: Vec<_> = blocks.into_values().collect();
    let frames = matrix.iter().flatten().sum();
    (frames > 0).then(|| Pair {
        raters,
        kappa: estimate(&blocks, DRAWS, |sums| kappa.of(sums)),
        agreement: estimate(&blocks, DRAWS, |sums| kappa.agreement(sums)),
        frames,
        matrix,
    })
}
