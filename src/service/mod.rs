//! What the machine around the daemon wants to know of it, and what it must not.

pub mod events;
pub mod health;
mod limit;
pub mod lockdown;
pub mod logging;
pub mod notify;
pub mod printable;
pub mod signals;
