//! Intervals of all recordings, tab-delimited; `lectern compare` reads them as codings.

use super::super::samples::Samples;
use super::super::spreadsheet::as_text;
use super::intervals::tiers;
use super::praat::seconds;

pub(super) fn write(recordings: &[Samples]) -> anyhow::Result<String> {
    let mut table = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    table.write_record(["source", "label", "coder", "start", "end", "expression"])?;
    for samples in recordings {
        let (source, label) = (as_text(&samples.source), as_text(&samples.label));
        for tier in tiers(samples) {
            for it in &tier.intervals {
                let times = [it.start, it.end].map(seconds);
                table.write_record([&source, &label, &tier.name, &times[0], &times[1], it.label])?;
            }
        }
    }
    Ok(String::from_utf8(table.into_inner().map_err(|error| error.into_error())?)?)
}
