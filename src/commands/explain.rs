//! Errors of commands on standard error: one line each, `what: cause; help`.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use super::{Interrupted, UsageError};
use crate::camera::CameraError;
use crate::config::ConfigError;
use crate::delivery::BrokerCheckError;
use crate::help::{Causes, Explained, Help, Problem};
use crate::local_status::Silent;
use crate::logging::printable::print_error;
use crate::vision::VisionError;
use crate::watch::WatchError;

/// Prints an error: a configuration's mistakes one by one, anything else on one line.
pub fn print(error: &anyhow::Error) {
    lines(error).iter().for_each(print_error);
}

/// The same as text, without the program's name.
pub(super) fn lines(error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<ConfigError>() {
        Some(error) => error.mistakes().map(|mistake| Explained(mistake).to_string()).collect(),
        None => vec![line(error)],
    }
}

/// What failed, its causes and how to fix it.
fn line(error: &anyhow::Error) -> String {
    let outermost: &(dyn Error + 'static) = error.as_ref();
    let what = Causes(outermost);
    match error.chain().find_map(help) {
        Some(help) => format!("{what}; {help}"),
        None => what.to_string(),
    }
}

/// How to fix an error, if its type has help.
fn help<'a>(error: &'a (dyn Error + 'static)) -> Option<Cow<'a, str>> {
    fn of<'a, E: Help + 'static>(error: &'a (dyn Error + 'static)) -> Option<Cow<'a, str>> {
        error.downcast_ref::<E>().and_then(Help::help)
    }
    of::<Problem>(error)
        .or_else(|| of::<UsageError>(error))
        .or_else(|| of::<Interrupted>(error))
        .or_else(|| of::<CameraError>(error))
        .or_else(|| of::<VisionError>(error))
        .or_else(|| of::<WatchError>(error))
        .or_else(|| of::<BrokerCheckError>(error))
        .or_else(|| of::<Silent>(error))
        .or_else(|| {
            // An I/O error wraps a `Problem`, which its `source` skips.
            error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<Problem>()?.help()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::path::Path;

    #[test]
    fn causes_and_help_are_found_below_any_context() {
        let cause = || io::Error::from(io::ErrorKind::NotFound);
        let camera = || CameraError::unreadable(Path::new("a; b"), cause());
        let error = anyhow::Error::from(camera()).context("the list cannot be used");
        assert_eq!(lines(&error), ["the list cannot be used: a; b: cannot be read: entity not found"]);
        let usage = UsageError::new(Problem::new("x is a folder").with_help("name a file in it"));
        let error = Err::<(), _>(usage).context("outer").unwrap_err();
        assert_eq!(lines(&error), ["outer: x is a folder; name a file in it"]);
        let inner = io::Error::other(Problem::new("x is a folder").with_help("remove it"));
        let error = Err::<(), _>(inner).context("t.csv cannot be written").unwrap_err();
        assert_eq!(lines(&error), ["t.csv cannot be written: x is a folder; remove it"]);
        assert_eq!(lines(&WatchError::from(camera()).into()), ["a; b: cannot be read: entity not found"]);
    }
}
