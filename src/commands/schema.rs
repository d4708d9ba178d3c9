//! `lectern schema`: the JSON Schema of the payloads.

use std::io::Write;

use anyhow::Context;

use super::STANDARD_OUTPUT;
use crate::delivery::payload::JSON_SCHEMA;

/// Prints it.
///
/// # Errors
/// When standard output cannot be written.
pub fn run() -> anyhow::Result<()> {
    std::io::stdout().write_all(JSON_SCHEMA.as_bytes()).context(STANDARD_OUTPUT)
}
