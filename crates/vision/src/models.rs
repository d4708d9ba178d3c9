//! The model files: from the program or a folder, each checked against the hash that the manifest names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::VisionError;
use lectern_record::expression::Expression;
use lectern_record::file;

/// The largest model file.
pub const MAX_BYTES: usize = 256 << 20;

/// One network, as the manifest names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// File name beside the manifest.
    pub file: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Where the weights come from.
    pub source: String,
    /// Under which terms.
    pub licence: String,
}

/// `models/manifest.toml`: which files, from where, and the numbers that belong to them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The MTCNN cascade.
    pub detector: DetectorManifest,
    /// The expression classifier.
    pub classifier: ClassifierManifest,
}

impl Manifest {
    fn check(&self) -> Result<(), &'static str> {
        let detector = &self.detector;
        let landmarks = &self.classifier.landmarks;
        if !detector.thresholds.iter().all(|t| *t > 0.0 && *t < 1.0) {
            Err("detector.thresholds must lie between 0 and 1")
        } else if !(detector.pyramid_factor > 0.1 && detector.pyramid_factor < 0.99) {
            Err("detector.pyramid_factor must lie between 0.1 and 0.99")
        } else if !landmarks.iter().flatten().all(|v| (0.0..=1.0).contains(v)) {
            Err("classifier.landmarks must lie within 0 and 1")
        } else if landmarks[0][0] >= landmarks[1][0] {
            Err("classifier.landmarks must begin with the left eye, then the right one")
        } else if !self.classifier.resting.iter().chain(&self.classifier.borders).all(|v| v.is_finite()) {
            Err("classifier.resting and classifier.borders must be finite")
        } else {
            Ok(())
        }
    }
}

/// The cascade's networks and its numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorManifest {
    /// Probability at which the proposal, refinement and output network keep a box.
    pub thresholds: [f32; 3],
    /// Ratio of two neighbouring scales of the pyramid.
    pub pyramid_factor: f64,
    /// The most candidates handed to the refinement and to the output network; the best go on.
    pub most_candidates: [usize; 2],
    /// P-Net.
    pub proposal: ModelFile,
    /// R-Net.
    pub refinement: ModelFile,
    /// O-Net.
    pub output: ModelFile,
}

/// The classifier's network and its framing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierManifest {
    /// The network.
    pub network: ModelFile,
    /// Where eyes, nose and mouth corners lie in a crop, in fractions of its side: the median of the
    /// training images (`models/training/dataset/crop_landmarks.py`).
    pub landmarks: [[f32; 2]; 5],
    /// The network's logits of a resting face of the population, with a mean of 0
    /// (`models/training/selection/simulate_lectures.py`).
    pub resting: [f32; Expression::COUNT],
    /// The strength from which surprise, fear, disgust, happy, sad and angry are strong
    /// (`models/training/selection/intensity.py`).
    pub borders: [f32; 6],
}

/// The manifest's text and the files beside it.
pub struct ModelStore {
    folder: Option<PathBuf>,
    /// The parsed manifest.
    pub manifest: Manifest,
}

/// The models that are part of this program.
const BUILT_IN: [(&str, &[u8]); 5] = [
    ("manifest.toml", include_bytes!("../../../models/manifest.toml")),
    ("pnet.onnx", include_bytes!("../../../models/pnet.onnx")),
    ("rnet.onnx", include_bytes!("../../../models/rnet.onnx")),
    ("onet.onnx", include_bytes!("../../../models/onet.onnx")),
    ("expression.onnx", include_bytes!("../../../models/expression.onnx")),
];

/// A hash in hexadecimal digits.
#[must_use]
pub fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ModelStore {
    /// The models in `folder`, or those that are part of the program.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the manifest is missing or wrong.
    pub fn open(folder: Option<&Path>) -> Result<Self, VisionError> {
        let bytes = read(folder, "manifest.toml")?;
        let text = String::from_utf8_lossy(&bytes);
        let manifest: Manifest =
            toml::from_str(&text).map_err(|e| VisionError::model("manifest.toml", e.message()))?;
        manifest.check().map_err(|problem| VisionError::model("manifest.toml", problem))?;
        Ok(Self { folder: folder.map(Path::to_owned), manifest })
    }

    /// The SHA-256 of each network, by its file's name, from the manifest; [`ModelStore::bytes`] verifies it.
    #[must_use]
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let Manifest { detector, classifier } = &self.manifest;
        let networks = [&detector.proposal, &detector.refinement, &detector.output, &classifier.network];
        networks.map(|network| (network.file.clone(), network.sha256.clone())).into()
    }

    /// The bytes of a network whose hash is the manifest's.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the file is missing or its hash is another.
    pub fn bytes(&self, model: &ModelFile) -> Result<Cow<'static, [u8]>, VisionError> {
        let bytes = read(self.folder.as_deref(), &model.file)?;
        let found = hex(&Sha256::digest(&bytes));
        if found != model.sha256 {
            let problem = format!(
                "has SHA-256 {found}, and the manifest says {}: the file is damaged or belongs to another version",
                model.sha256
            );
            return Err(VisionError::model(&model.file, problem).with_help("install the package again"));
        }
        Ok(bytes)
    }
}

fn read(folder: Option<&Path>, name: &str) -> Result<Cow<'static, [u8]>, VisionError> {
    match folder {
        Some(folder) => {
            let path = folder.join(name);
            file::read(&path, MAX_BYTES).map(Cow::Owned).map_err(|e| VisionError::model(path.display(), e))
        }
        None => BUILT_IN
            .iter()
            .find(|(built_in, _)| *built_in == name)
            .map(|(_, bytes)| Cow::Borrowed(*bytes))
            .ok_or_else(|| {
                VisionError::model(name, "is not part of this program")
                    .with_help("name a folder with --models")
            }),
    }
}
