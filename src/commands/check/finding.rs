//! What one check found, and what to do about it.

use std::fmt::Display;

use clap::ValueEnum;
use serde::Serialize;

use super::super::detection_range::DetectionRange;
use crate::cli::Part;
use crate::help::{Causes, Help};

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    Warning,
    Failed,
    /// Not checked, because something else is missing.
    Skipped,
}

/// What was found, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Finding {
    part: String,
    pub(super) verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// Of the camera: how far away a face is seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<DetectionRange>,
}

impl Finding {
    fn new(part: Part, verdict: Verdict, found: impl Display) -> Self {
        let part = part.to_possible_value().expect("no part is hidden from the command line");
        Self {
            part: part.get_name().to_owned(),
            verdict,
            found: found.to_string(),
            advice: None,
            reach: None,
        }
    }

    pub(super) fn ok(part: Part, found: impl Display) -> Self {
        Self::new(part, Verdict::Ok, found)
    }

    pub(super) fn warning(part: Part, found: impl Display) -> Self {
        Self::new(part, Verdict::Warning, found)
    }

    pub(super) fn failed(part: Part, found: impl Display) -> Self {
        Self::new(part, Verdict::Failed, found)
    }

    pub(super) fn skipped(part: Part, found: impl Display) -> Self {
        Self::new(part, Verdict::Skipped, found)
    }

    /// An error with its causes, and how to fix it as advice.
    pub(super) fn error(part: Part, error: &impl Help) -> Self {
        let finding = Self::failed(part, Causes(error));
        match error.help() {
            Some(help) => finding.advise(help),
            None => finding,
        }
    }

    /// The same, with what to do.
    pub(super) fn advise(self, advice: impl Display) -> Self {
        Self { advice: Some(advice.to_string()), ..self }
    }

    /// The same, with advice if it has none yet.
    pub(super) fn or_advise(self, advice: &str) -> Self {
        if self.advice.is_some() { self } else { self.advise(advice) }
    }

    /// The same, with how far away a face is seen.
    pub(super) fn with_range(self, reach: DetectionRange) -> Self {
        let found = format!("{}, {}: up to {reach}", self.found, reach.sizes());
        Self { found, reach: Some(reach), ..self }
    }

    /// The same, with more of what was found.
    pub(super) fn and(self, more: impl Display) -> Self {
        Self { found: format!("{}; {}", self.found, more), ..self }
    }

    /// The same as a warning, with its reason.
    pub(super) fn warn(self, reason: impl Display) -> Self {
        Self { verdict: Verdict::Warning, ..self.and(reason) }
    }

    pub(super) fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed",
            Verdict::Skipped => "skipped",
        };
        let advice = self.advice.as_ref().map_or_else(String::new, |advice| format!("; {advice}"));
        format!("{verdict:<8} {:<14} {}{advice}", self.part, self.found)
    }
}

/// The first few of a list.
pub(super) fn first(names: &[String]) -> String {
    const FEW: usize = 8;
    let more = names.len().saturating_sub(FEW);
    let few = names[..names.len().min(FEW)].join(", ");
    if more > 0 { format!("{few} and {more} more") } else { few }
}
