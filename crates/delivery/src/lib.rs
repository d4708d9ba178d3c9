//! From records to the broker: payloads, topics, the spool of what is not yet acknowledged, the publisher.
//!
//! Of Lectern it knows `lectern_record` alone, so that nothing here can name a picture. What the program is told of it
//! goes through [`Monitor`], and through the journal ([`events`]).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

#[cfg(feature = "demo")]
pub mod demo; // an embedded broker, and a subscriber that prints what it receives
pub mod events; // what the journal is told
mod message; // the bytes that leave the device, and where to
mod monitor; // what the program is told
mod mqtt; // one connection to the broker
pub mod outage; // which outages the journal is told of
mod publisher; // the deliver thread
pub mod spool; // what the broker has not acknowledged

pub use message::limits::MAX_USERNAME_BYTES;
pub use message::{payload, topics};
pub use monitor::{Monitor, ROUND, Round, Unmonitored};
pub use mqtt::{
    Address, Answer, BadAddress, Broker, BrokerCheckError, Tls, check_broker, is_open_to_others,
    open_to_others, test_messages,
};
pub use publisher::{
    Background, DeliveryThread, EventLoop, OpenSpool, Panicked, PublisherConfig, Summary, Timing, Update,
    UpdateSender, deliver,
};
// The names that the program uses.
pub use mqtt::{BrokerCheckError as ProbeError, check_broker as probe};
pub use publisher::{
    Background as Beside, PublisherConfig as Setup, Update as Report, UpdateSender as Reports,
};

/// Crates whose log lines may hold packets, a password among them: they are never heard.
pub const CRATES_WITH_PACKETS: [&str; 2] = ["rumqttc", "rumqttd"];
