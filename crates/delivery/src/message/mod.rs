//! What leaves the device, where to, and how long it can become.

pub(crate) mod discovery;
pub(crate) mod limits;
pub mod payload;
pub mod topics;
