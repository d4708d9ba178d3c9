//! Delivers records to the broker: payloads, topics, the spool of unacknowledged records, the publisher.
//!
//! The only crate of Lectern that it depends on is `lectern_record`, so that no type here can hold a picture. The program
//! observes it through [`Monitor`], and through the journal ([`events`]).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

#[cfg(feature = "demo")]
pub mod demo; // an embedded broker, and a subscriber that prints what it receives
pub mod events; // journal entries
mod message; // payloads and topics
mod monitor; // the observer interface
mod mqtt; // one connection to the broker
pub mod outage; // which outages are logged
mod publisher; // the deliver thread
pub mod spool; // unacknowledged records

pub use message::discovery::{Discovery, check_prefix, check_url};
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

/// Crates whose log lines may contain packets, including a password: they are never logged.
pub const CRATES_WITH_PACKETS: [&str; 2] = ["rumqttc", "rumqttd"];
