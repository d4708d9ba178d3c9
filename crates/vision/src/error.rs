//! The errors of this crate's modules.

use std::borrow::Cow;
use std::fmt::Display;

use lectern_record::help::Help;

/// Why the networks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// A model file is missing, damaged, or not what this version expects.
    #[error("model {model}: {problem}")]
    Model {
        /// The file or network.
        model: String,
        /// What is wrong.
        problem: String,
        /// How to fix it, where the problem has a fix of its own.
        help: Option<&'static str>,
    },
}

impl VisionError {
    pub(super) fn model(model: impl Display, problem: impl Display) -> Self {
        Self::Model { model: model.to_string(), problem: problem.to_string(), help: None }
    }

    /// The same, with how to fix it.
    pub(super) fn with_help(self, help: &'static str) -> Self {
        let Self::Model { model, problem, .. } = self;
        Self::Model { model, problem, help: Some(help) }
    }

    /// A network has an output of another length.
    pub(super) fn output(network: &str) -> Self {
        Self::model(network, "has another output than this version of Lectern expects")
    }
}

impl Help for VisionError {
    fn help(&self) -> Option<Cow<'_, str>> {
        let Self::Model { help, .. } = self;
        help.map(Cow::Borrowed)
    }
}
