//! The results as text for people, as tables and as a figure.

use std::fmt::Write as _;

use anyhow::Context;

use super::super::drawing::Format;
use super::super::report::statistics::to_f64;
use super::super::samples::Samples;
use super::super::spreadsheet::as_text;
use super::super::{STANDARD_OUTPUT, atomic_file, drawing};
use super::agreement::Estimate;
use super::frames::{Frames, LeftOut};
use super::matrix::{Matrices, Matrix};
use super::{Comparison, Pair};
use crate::cli::Compare;
use crate::logging::printable::{Printable, print_lines};

const COLUMNS: [&str; 9] = ["kinds", "source", "raters", "measure", "kind", "value", "low", "high", "frames"];

/// What is written.
pub(super) struct Output<'a> {
    pub(super) arguments: &'a Compare,
    pub(super) recordings: &'a [Samples],
    pub(super) frames: &'a Frames,
    pub(super) comparisons: &'a [Comparison],
}

impl Output<'_> {
    pub(super) fn write(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.arguments.csv {
            atomic_file::write(path, &self.table()?)?;
        }
        if let Some(path) = &self.arguments.confusion {
            atomic_file::write(path, &self.confusion()?)?;
        }
        if let Some(path) = &self.arguments.chart {
            let matrices = self.comparisons.iter().flat_map(|comparison| {
                self.with_lectern(&comparison.of[0].pairs).map(|pair| Matrix {
                    title: format!(
                        "{} kinds: {} and Lectern, {} frames",
                        comparison.label_set.kinds.len(),
                        self.frames.coders[pair.raters.0],
                        pair.frames
                    ),
                    label_set: &comparison.label_set,
                    counts: &pair.matrix,
                })
            });
            drawing::write(&Matrices(matrices.collect()), path, Format::SCREEN)?;
        }
        print_lines(self.text()?.lines()).context(STANDARD_OUTPUT)
    }

    fn with_lectern<'p>(&self, pairs: &'p [Pair]) -> impl Iterator<Item = &'p Pair> + use<'p> {
        let machine = self.frames.coders.len();
        pairs.iter().filter(move |pair| pair.raters.1 == machine)
    }

    fn rater(&self, at: usize) -> &str {
        self.frames.coders.get(at).map_or("Lectern", String::as_str)
    }

    fn raters(&self, pair: &Pair) -> String {
        format!("{} and {}", self.rater(pair.raters.0), self.rater(pair.raters.1))
    }

    /// The recording's source; empty for all.
    fn source(&self, recording: Option<usize>) -> &str {
        recording.map_or("", |at| &self.recordings[at].source)
    }

    /// One row for each value.
    fn table(&self) -> anyhow::Result<Vec<u8>> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(COLUMNS)?;
        for Comparison { label_set, of } in self.comparisons {
            let kinds = label_set.kinds.len().to_string();
            for agreement in of {
                let source = as_text(self.source(agreement.recording));
                let mut row = |raters: &str, measure: &str, kind: &str, it: Estimate, frames: usize| {
                    let limit = |limit: Option<f64>| limit.map_or_else(String::new, |it| format!("{it:.6}"));
                    let (low, high) = it.interval.unzip();
                    let (value, frames) = (format!("{:.6}", it.value), frames.to_string());
                    let (low, high, raters) = (limit(low), limit(high), as_text(raters));
                    table
                        .write_record([&kinds, &source, &raters, measure, kind, &value, &low, &high, &frames])
                };
                for pair in &agreement.pairs {
                    let raters = self.raters(pair);
                    for (measure, it) in [("kappa", pair.kappa), ("agreement", pair.agreement)] {
                        it.map_or(Ok(()), |it| row(&raters, measure, "", it, pair.frames))?;
                    }
                    if pair.raters.1 != self.frames.coders.len() {
                        continue;
                    }
                    for (at, kind) in label_set.kinds.iter().enumerate() {
                        for (measure, it) in [("precision", pair.precision(at)), ("recall", pair.recall(at))]
                        {
                            let Some((value, frames)) = it else { continue };
                            row(&raters, measure, &kind.name, Estimate { value, interval: None }, frames)?;
                        }
                    }
                }
                for (raters, alpha) in &agreement.alphas {
                    row(raters, "alpha", "", *alpha, agreement.pairs.iter().map(|it| it.frames).sum())?;
                }
            }
        }
        for (coder, counts) in self.frames.coders.iter().zip(&self.frames.left_out) {
            for ((_, reason), count) in LeftOut::ALL.iter().zip(counts) {
                let (coder, count) = (as_text(coder), count.to_string());
                table.write_record(["", "", &coder, "left out", reason, &count, "", "", &count])?;
            }
        }
        Ok(table.into_inner().map_err(|error| error.into_error())?)
    }

    /// How often each kind was called what, with the recordings one by one and together.
    fn confusion(&self) -> anyhow::Result<Vec<u8>> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["kinds", "source", "coder", "coded", "lectern", "frames"])?;
        for Comparison { label_set, of } in self.comparisons {
            let kinds = label_set.kinds.len().to_string();
            for agreement in of {
                let source = as_text(self.source(agreement.recording));
                for pair in self.with_lectern(&agreement.pairs) {
                    let coder = as_text(self.rater(pair.raters.0));
                    for (coded, row) in label_set.kinds.iter().zip(&pair.matrix) {
                        for (named, count) in label_set.kinds.iter().zip(row) {
                            let frames = count.to_string();
                            table.write_record([
                                &kinds,
                                &source,
                                &coder,
                                &coded.name,
                                &named.name,
                                &frames,
                            ])?;
                        }
                    }
                }
            }
        }
        Ok(table.into_inner().map_err(|error| error.into_error())?)
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        for Comparison { label_set, of } in self.comparisons {
            let count = label_set.kinds.len();
            writeln!(text, "{count} kinds")?;
            for agreement in of {
                let source = match agreement.recording {
                    None => "all recordings",
                    Some(at) => &self.recordings[at].source,
                };
                if agreement.pairs.is_empty() {
                    let why = "no frame: whoever names emotions without intensity is compared in 7 kinds";
                    writeln!(text, "  {}: {why}", Printable(source))?;
                    continue;
                }
                writeln!(text, "  {}", Printable(source))?;
                for pair in &agreement.pairs {
                    let kappa = pair.kappa.map_or_else(|| "not defined: one kind alone".to_owned(), number);
                    let agreement = pair.agreement.map_or_else(String::new, percent);
                    let raters = self.raters(pair);
                    let n = pair.frames;
                    writeln!(
                        text,
                        "    {}: kappa {kappa}; agreement {agreement}; {n} frames",
                        Printable(raters)
                    )?;
                }
                for (raters, alpha) in &agreement.alphas {
                    writeln!(text, "    {raters}: Krippendorff's alpha {}", number(*alpha))?;
                }
            }
            for pair in self.with_lectern(&of[0].pairs) {
                let coder = Printable(self.rater(pair.raters.0));
                writeln!(
                    text,
                    "  Lectern against {coder}{:>16}{:>9}{:>9}{:>9}",
                    "coded", "named", "precision", "recall"
                )?;
                for (at, kind) in label_set.kinds.iter().enumerate() {
                    let [coded, named] = [pair.coded(at), pair.named(at)];
                    let cell = |it: Option<(f64, usize)>| {
                        it.map_or_else(|| "-".to_owned(), |(share, _)| format!("{:.1} %", 100.0 * share))
                    };
                    let (precision, recall) = (cell(pair.precision(at)), cell(pair.recall(at)));
                    writeln!(text, "    {:<16}{coded:>10}{named:>9}{precision:>10}{recall:>9}", kind.name)?;
                }
            }
        }
        for (coder, counts) in self.frames.coders.iter().zip(&self.frames.left_out) {
            let reasons: Vec<String> = LeftOut::ALL
                .iter()
                .zip(counts)
                .filter(|(_, count)| **count > 0)
                .map(|((_, reason), count)| format!("{count} {reason}"))
                .collect();
            if !reasons.is_empty() {
                writeln!(text, "Frames left out for {}: {}", Printable(coder), reasons.join(", "))?;
            }
        }
        for pair in self.with_lectern(&self.comparisons[0].of[0].pairs) {
            text.push_str(&self.required(pair)?);
        }
        Ok(text)
    }

    /// How long one must code for an interval of the wanted width, which shrinks with the root of the time.
    fn required(&self, pair: &Pair) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let (coder, minutes) = (self.rater(pair.raters.0), self.frames.minutes[pair.raters.0]);
        let wanted = self.arguments.width;
        write!(text, "{} coded {minutes:.1} min. ", Printable(coder))?;
        match pair.kappa.and_then(|kappa| kappa.interval) {
            Some((low, high)) => {
                let needed = minutes * ((high - low) / wanted).powi(2);
                let width = high - low;
                writeln!(
                    text,
                    "Kappa's interval (7 kinds) is {width:.2} wide; for {wanted} one must code about {needed:.0} min of \
                     such recordings."
                )?;
            }
            None => writeln!(
                text,
                "There is no interval: code at least {} different blocks of {} s.",
                super::agreement::MIN_BLOCKS,
                self.arguments.block
            )?,
        }
        Ok(text)
    }
}

impl Pair {
    /// How often the coder named a kind.
    fn coded(&self, kind: usize) -> usize {
        self.matrix[kind].iter().sum()
    }

    /// How often Lectern did.
    fn named(&self, kind: usize) -> usize {
        self.matrix.iter().map(|row| row[kind]).sum()
    }

    /// The part of what Lectern named so that the coder named so, and of how many frames.
    fn precision(&self, kind: usize) -> Option<(f64, usize)> {
        let named = self.named(kind);
        (named > 0).then(|| (to_f64(self.matrix[kind][kind]) / to_f64(named), named))
    }

    /// The part of what the coder named so that Lectern named so.
    fn recall(&self, kind: usize) -> Option<(f64, usize)> {
        let coded = self.coded(kind);
        (coded > 0).then(|| (to_f64(self.matrix[kind][kind]) / to_f64(coded), coded))
    }
}

fn number(Estimate { value, interval }: Estimate) -> String {
    match interval {
        Some((low, high)) => format!("{value:.3} ({low:.3} to {high:.3})"),
        None => format!("{value:.3} (too short for an interval)"),
    }
}

fn percent(Estimate { value, interval }: Estimate) -> String {
    match interval {
        Some((low, high)) => {
            format!("{:.1} % ({:.1} to {:.1})", 100.0 * value, 100.0 * low, 100.0 * high)
        }
        None => format!("{:.1} %", 100.0 * value),
    }
}
