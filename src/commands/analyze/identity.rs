//! A recording's identifier for machines: `boot`, a hash of its content and of the analysis settings.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::list::Recording;
use crate::camera::stills;
use crate::cli::Analyze;
use crate::file;
use crate::vision::Analysis;
use crate::vision::models::{MAX_BYTES, ModelFile, ModelStore, hex};

/// The analysis settings that affect the counts.
#[derive(Serialize)]
struct Settings {
    version: &'static str,
    rate: f64,
    window: u32,
    #[serde(flatten)]
    analysis: Analysis,
    /// Degrees.
    rotate: u32,
    /// The first video stream where it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    video_stream: Option<usize>,
    /// The first digits of SHA-256.
    classifier: String,
    detector: String,
}

/// How many hexadecimal digits name a network.
const DIGITS: usize = 16;

/// The settings as written in the tables: `name=value`, with `; ` between them.
///
/// # Errors
/// When the classifier cannot be read.
pub(super) fn settings(arguments: &Analyze, store: &ModelStore) -> anyhow::Result<String> {
    let detector = &store.manifest.detector;
    let classifier = match &arguments.classifier {
        Some(path) => {
            let bytes =
                file::read(path, MAX_BYTES).with_context(|| format!("{} cannot be read", path.display()))?;
            hex(&Sha256::digest(bytes))
        }
        None => store.manifest.classifier.network.sha256.clone(),
    };
    let mut networks = Sha256::new();
    for ModelFile { sha256, .. } in [&detector.proposal, &detector.refinement, &detector.output] {
        networks.update(sha256);
    }
    let settings = Settings {
        version: env!("CARGO_PKG_VERSION"),
        rate: arguments.rate,
        window: arguments.window,
        analysis: arguments.analysis(),
        rotate: arguments.rotate.degrees(),
        video_stream: Some(arguments.video_stream).filter(|number| *number > 0),
        classifier: classifier[..DIGITS].to_owned(),
        detector: hex(&networks.finalize())[..DIGITS].to_owned(),
    };
    // Through text, which keeps a number's digits as given.
    let settings: BTreeMap<String, Value> = serde_json::from_str(&serde_json::to_string(&settings)?)?;
    let pairs =
        settings.iter().map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"')));
    Ok(pairs.collect::<Vec<_>>().join("; "))
}

/// Computes each recording's `boot`. `alike` is the number of earlier recordings with the same device and length: only those can
/// have the same content.
pub(super) struct Namer<'a> {
    settings: &'a str,
    alike: Vec<u64>,
}

impl<'a> Namer<'a> {
    pub(super) fn new(settings: &'a str, recordings: &[Recording]) -> Self {
        let same_key: Vec<_> = recordings.iter().map(|it| (it.device(), length(&it.path))).collect();
        let alike = (0..same_key.len())
            .map(|i| same_key[..i].iter().filter(|other| **other == same_key[i]).count() as u64);
        Self { settings, alike: alike.collect() }
    }

    /// The `boot` of the recording at `index`: 32 hexadecimal digits.
    ///
    /// A pipe can be read only once, so its label is hashed instead of its content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn boot(&self, index: usize, recording: &Recording) -> io::Result<String> {
        let mut hash = Sha256::new();
        let files = files(&recording.path)?;
        if files.is_empty() {
            hash.update(&recording.label);
        }
        for file in files {
            // The recording may be a folder.
            feed(&mut hash, &file)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.display())))?;
        }
        let start = recording.start.map_or_else(String::new, |start| start.to_string());
        hash.update(format!("\0{start}\0{}\0{}", self.settings, self.alike[index]));
        Ok(hex(&hash.finalize())[..32].to_owned())
    }
}

/// A hash of all that the rows of a recording depend on.
pub(super) fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())[..32].to_owned()
}

/// The files of a recording that can be read twice.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.as_os_str() == "-" {
        return Ok(Vec::new());
    }
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(stills::list(path, stills::is_still)?.0);
    }
    Ok(if metadata.is_file() { vec![path.to_owned()] } else { Vec::new() })
}

fn length(path: &Path) -> u64 {
    let files = files(path).unwrap_or_default();
    files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum()
}

fn feed(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = file::open(path)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => hash.update(&piece[..count]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
