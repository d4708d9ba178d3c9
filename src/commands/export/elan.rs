//! ELAN's annotation format, version 3.0 (EAF, Max Planck Institute for Psycholinguistics).

use std::fmt::{Result, Write as _};

use super::super::drawing::fit_for_xml;
use super::super::samples::Samples;
use super::intervals::tiers;

/// The document of one recording: each annotation has two time slots of its own, which stand in the order of time.
pub(super) fn write(samples: &Samples) -> std::result::Result<String, std::fmt::Error> {
    let mut text = String::new();
    document(samples, &mut text)?;
    Ok(text)
}

fn document(samples: &Samples, text: &mut String) -> Result {
    let tiers = tiers(samples);
    let (url, relative) = addresses(samples);
    let kind = match samples.file_name().rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str()
    {
        "mp4" | "m4v" => "video/mp4",
        "mpg" | "mpeg" => "video/mpeg",
        "mov" => "video/quicktime",
        _ => "unknown",
    };
    let annotations: Vec<_> = tiers
        .iter()
        .enumerate()
        .flat_map(|(tier, it)| it.intervals.iter().map(move |it| (tier, it)))
        .collect();
    // The same table gives the same file, so that the date is none of today.
    write!(
        text,
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="lectern" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL="{}" MIME_TYPE="{kind}" RELATIVE_MEDIA_URL="{}"/>
        <PROPERTY NAME="lastUsedAnnotationId">{}</PROPERTY>
    </HEADER>
    <TIME_ORDER>
"#,
        escaped(&url),
        escaped(&relative),
        annotations.len()
    )?;
    // Slots are numbered in the order of time.
    let mut times: Vec<(u64, usize)> = Vec::new();
    for (number, (_, interval)) in annotations.iter().enumerate() {
        times.extend([(interval.start, 2 * number), (interval.end, 2 * number + 1)]);
    }
    times.sort_unstable();
    let mut slots = vec![0; times.len()];
    for (at, (time, slot)) in times.iter().enumerate() {
        slots[*slot] = at + 1;
        writeln!(text, r#"        <TIME_SLOT TIME_SLOT_ID="ts{}" TIME_VALUE="{time}"/>"#, at + 1)?;
    }
    writeln!(text, "    </TIME_ORDER>")?;
    for (at, tier) in tiers.iter().enumerate() {
        let name = escaped(&tier.name);
        writeln!(text, r#"    <TIER LINGUISTIC_TYPE_REF="expression" TIER_ID="{name}">"#)?;
        for (number, (_, interval)) in annotations.iter().enumerate().filter(|(_, (tier, _))| *tier == at) {
            let (id, [start, end]) = (number + 1, [slots[2 * number], slots[2 * number + 1]]);
            writeln!(
                text,
                r#"        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{id}" TIME_SLOT_REF1="ts{start}" TIME_SLOT_REF2="ts{end}">
                <ANNOTATION_VALUE>{}</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>"#,
                interval.label
            )?;
        }
        writeln!(text, "    </TIER>")?;
    }
    writeln!(
        text,
        r#"    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="expression" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>"#
    )
}

/// Where the recording is: its path as it was named, and its name beside the document.
fn addresses(samples: &Samples) -> (String, String) {
    let source = encoded(&samples.source);
    let url = if source.starts_with('/') { format!("file://{source}") } else { source };
    (url, format!("./{}", encoded(samples.file_name())))
}

/// Bytes that a URL cannot hold as `%` and two digits.
fn encoded(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                text.push(byte.into())
            }
            _ => text.extend(['%'].into_iter().chain(format!("{byte:02X}").chars())),
        }
    }
    text
}

fn escaped(text: &str) -> String {
    fit_for_xml(text).replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
