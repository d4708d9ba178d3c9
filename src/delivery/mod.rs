//! From records to the broker: payloads, topics, the spool of what is not yet acknowledged, the publisher.

mod address;
mod announcer;
mod broker;
mod discovery;
mod error;
mod intake;
mod limits;
mod link;
mod local_status;
pub mod payload;
mod probe;
mod publisher;
mod report;
mod setup;
pub mod spool;
mod thread;
mod tls;
pub mod topics;

pub use address::{Address, BadAddress};
pub use broker::{Broker, Tls};
pub(crate) use broker::{is_open_to_others, open_to_others};
pub use limits::MAX_USERNAME_BYTES;
pub use local_status::{BrokerStatus, LastWindow, LocalStatus, Silent, SpoolStatus};
pub use probe::{Answer, ProbeError, messages as test_messages, probe};
pub use publisher::deliver;
pub use report::{OpenSpool, Report, Reports, Summary};
pub use setup::{Setup, Timing};
pub use thread::{DeliveryThread, EventLoop, OnRequest};

/// Crates whose log lines may hold packets, a password among them: they are never heard.
pub const CRATES_WITH_PACKETS: [&str; 2] = ["rumqttc", "rumqttd"];
