//! What may go wrong in every room of vision.

use std::fmt::Display;

/// Why the networks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// A model file is missing, damaged, or not what this version expects.
    #[error("model {model}: {problem}")]
    Model {
        /// The file or network.
        model: String,
        /// What is wrong, and the way out.
        problem: String,
    },
}

impl VisionError {
    pub(super) fn model(model: impl Display, problem: impl Display) -> Self {
        Self::Model { model: model.to_string(), problem: problem.to_string() }
    }

    /// A network has an output of another length.
    pub(super) fn output(network: &str) -> Self {
        Self::model(network, "has another output than this version of Lectern expects")
    }
}
