//! `lectern schema`: the JSON Schema of the payloads.

use std::io::Write;

use crate::delivery::payload::JSON_SCHEMA;

/// Prints it.
///
/// # Errors
/// When standard output cannot be written.
pub fn run() -> anyhow::Result<()> {
    std::io::stdout().write_all(JSON_SCHEMA.as_bytes())?;
    Ok(())
}
