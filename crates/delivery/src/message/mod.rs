//! The payloads that leave the device, their topics, and their size limits.

pub(crate) mod discovery;
pub(crate) mod limits;
pub mod payload;
pub mod topics;
