//! Neural networks in tract: files checked by hash, plans for one concrete input shape.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tract_onnx::prelude::*;

use super::{VisionError, fused};

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
    /// training images (`models/training/framing.py`).
    pub landmarks: [[f32; 2]; 5],
}

/// The manifest's text and the files beside it.
pub struct ModelStore {
    folder: Option<PathBuf>,
    /// What the manifest says.
    pub manifest: Manifest,
}

/// The models that are part of this program.
const BUILT_IN: [(&str, &[u8]); 5] = [
    ("manifest.toml", include_bytes!("../../models/manifest.toml")),
    ("pnet.onnx", include_bytes!("../../models/pnet.onnx")),
    ("rnet.onnx", include_bytes!("../../models/rnet.onnx")),
    ("onet.onnx", include_bytes!("../../models/onet.onnx")),
    ("expression.onnx", include_bytes!("../../models/expression.onnx")),
];

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

    /// The bytes of a network whose hash is the manifest's.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the file is missing or its hash is another.
    pub fn bytes(&self, model: &ModelFile) -> Result<Cow<'static, [u8]>, VisionError> {
        let bytes = read(self.folder.as_deref(), &model.file)?;
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != model.sha256 {
            let problem = format!(
                "has SHA-256 {found}, and the manifest says {}: the file is damaged or belongs to another \
                 version; install it again",
                model.sha256
            );
            return Err(VisionError::model(&model.file, problem));
        }
        Ok(bytes)
    }
}

fn read(folder: Option<&Path>, name: &str) -> Result<Cow<'static, [u8]>, VisionError> {
    match folder {
        Some(folder) => {
            let path = folder.join(name);
            std::fs::read(&path).map(Cow::Owned).map_err(|e| VisionError::model(path.display(), e))
        }
        None => BUILT_IN
            .iter()
            .find(|(built_in, _)| *built_in == name)
            .map(|(_, bytes)| Cow::Borrowed(*bytes))
            .ok_or_else(|| {
                VisionError::model(name, "is not part of this program; name a folder with --models")
            }),
    }
}

/// A network, optimised for one input shape.
pub struct Network {
    name: String,
    shape: Vec<usize>,
    state: TypedSimpleState,
}

impl Network {
    /// Optimises the ONNX graph in `bytes` for inputs of `shape` (NCHW); the shape in the file where none is
    /// given.
    ///
    /// # Errors
    /// [`VisionError::Model`] when the file is no ONNX graph, takes another shape, or tract cannot run it.
    pub fn new(name: &str, bytes: &[u8], shape: Option<&[usize]>) -> Result<Self, VisionError> {
        let build = || -> TractResult<Self> {
            let mut model = onnx().model_for_read(&mut &*bytes)?;
            if let Some(shape) = shape {
                model = model.with_input_fact(0, f32::fact(shape).into())?;
            }
            let mut model = model.into_typed()?.into_decluttered()?;
            fused::replace(&mut model)?;
            let model = model.into_optimized()?;
            let shape = model
                .input_fact(0)?
                .shape
                .as_concrete()
                .ok_or_else(|| TractError::msg("has no fixed input shape; export it with one"))?
                .to_vec();
            Ok(Self { name: name.to_owned(), shape, state: model.into_runnable()?.spawn()? })
        };
        build().map_err(|e| VisionError::model(name, format!("{e:#}")))
    }

    /// The input's shape, NCHW.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Runs the network on one input of [`Network::shape`].
    ///
    /// # Errors
    /// [`VisionError::Model`] when the input has another length, the output is not f32, or tract fails.
    pub fn run(&mut self, input: &[f32]) -> Result<Output, VisionError> {
        let mut run = || -> TractResult<Output> {
            let input = Tensor::from_shape(&self.shape, input)?;
            let mut outputs = self.state.run(tvec!(input.into_tvalue()))?;
            let output = Output(outputs.swap_remove(0));
            output.0.try_as_plain_ram()?.as_slice::<f32>()?;
            Ok(output)
        };
        run().map_err(|e| VisionError::model(&self.name, format!("{e:#}")))
    }
}

/// A network's first output, where tract has put it.
pub struct Output(TValue);

impl Output {
    /// Its numbers, flat and row-major.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        // `Network::run` has seen that there is such a slice.
        self.0.try_as_plain_ram().and_then(|plain| plain.as_slice()).unwrap_or_default()
    }
}
