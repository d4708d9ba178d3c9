//! What is wrong with a configuration, and where.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{Display, Formatter, Result};

use crate::help::{Explained, Help, Problem};

/// One mistake in a configuration: its file and line (or its variable), its key, what is allowed, and how to fix it.
#[derive(Debug)]
pub struct Mistake {
    place: String,
    problem: Problem,
}

impl Mistake {
    pub(super) fn at(place: impl Display, problem: impl Into<Problem>) -> Self {
        Self { place: place.to_string(), problem: problem.into() }
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl Error for Mistake {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

impl Help for Mistake {
    fn help(&self) -> Option<Cow<'_, str>> {
        Help::help(&self.problem)
    }
}

/// A configuration that cannot be used: all its mistakes, in the order in which the files are read.
#[derive(Debug)]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// At least one.
    pub(super) fn new(mistakes: Vec<Mistake>) -> Self {
        debug_assert!(!mistakes.is_empty(), "a configuration is refused for a reason");
        Self { mistakes }
    }

    /// The single mistakes, to print one a line.
    pub fn mistakes(&self) -> impl Iterator<Item = &Mistake> {
        self.mistakes.iter()
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (number, mistake) in self.mistakes.iter().enumerate() {
            let before = if number == 0 { "" } else { "\n" };
            write!(f, "{before}{}", Explained(mistake))?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}
