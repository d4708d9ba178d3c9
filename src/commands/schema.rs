//! `lectern schema`: the JSON Schema of the payloads.

use anyhow::Context;

use super::STANDARD_OUTPUT;
use crate::delivery::payload::JSON_SCHEMA;
use crate::logging::printable::print_json;

/// Prints it.
///
/// # Errors
/// When standard output cannot be written.
pub fn run() -> anyhow::Result<()> {
    print_json(JSON_SCHEMA).context(STANDARD_OUTPUT)
}
