//! Errors as a person reads them: what failed, its cause, and how to fix it. The three are kept apart until they are
//! printed, so that no code has to find one of them in the text of another.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{Display, Formatter, Result};

/// An error that may have a fix. Its `Display` is what failed, and its `source` the cause.
pub trait Help: Error {
    /// What a person can do, as an imperative without a full stop; none where there is nothing to do.
    fn help(&self) -> Option<Cow<'_, str>>;
}

/// What failed, its cause, and how to fix it.
#[derive(Debug)]
pub struct Problem {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    help: Option<Cow<'static, str>>,
}

impl Problem {
    /// What failed, without a cause or a fix.
    pub fn new(what: impl Display) -> Self {
        Self { what: what.to_string(), source: None, help: None }
    }

    /// The message and fix of another error, which has no cause.
    pub fn from_error(error: &impl Help) -> Self {
        let help = error.help().map(|help| Cow::Owned(help.into_owned()));
        Self { what: error.to_string(), source: None, help }
    }

    /// The same, with its cause.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same, with how to fix it.
    #[must_use]
    pub fn with_help(self, help: impl Into<Cow<'static, str>>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same, with how to fix it if it has no fix yet.
    #[must_use]
    pub fn or_help(self, help: impl Into<Cow<'static, str>>) -> Self {
        Self { help: self.help.or_else(|| Some(help.into())), ..self }
    }

    /// The same, with more about what failed.
    #[must_use]
    pub fn and(self, more: impl Display) -> Self {
        Self { what: format!("{} {more}", self.what), ..self }
    }

    /// The same, of a file, a device or a key, whose name comes first.
    #[must_use]
    pub fn of(self, subject: impl Display) -> Self {
        Self { what: format!("{subject} {}", self.what), ..self }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.what)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl Help for Problem {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.help.as_deref().map(Cow::Borrowed)
    }
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self::new(what)
    }
}

impl From<&str> for Problem {
    fn from(what: &str) -> Self {
        Self::new(what)
    }
}

/// Prints what failed with its causes: `what: cause: cause`.
pub struct Causes<'a, E: ?Sized>(pub &'a E);

impl<E: Error + ?Sized> Display for Causes<'_, E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Prints all of an error on one line: `what: cause; help`.
pub struct Explained<'a, E: ?Sized>(pub &'a E);

impl<E: Help + ?Sized> Display for Explained<'_, E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}", Causes(self.0))?;
        self.0.help().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_joined_only_where_it_is_printed() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        let problem =
            Problem::new("cannot be read").of("/a; b/x").caused_by(cause).with_help("name another file");
        assert_eq!(problem.to_string(), "/a; b/x cannot be read");
        assert_eq!(problem.help().unwrap(), "name another file");
        assert_eq!(
            Explained(&problem).to_string(),
            "/a; b/x cannot be read: entity not found; name another file"
        );
        assert_eq!(Explained(&Problem::from("broken")).to_string(), "broken");
    }
}
