//! One connection to the broker, and why there is none, in our own words.

mod address;
mod broker;
mod broker_check;
pub(crate) mod error;
pub(crate) mod link;
mod tls;

pub use address::{Address, BadAddress};
pub use broker::{Broker, Tls, is_open_to_others, open_to_others};
pub use broker_check::{Answer, ProbeError, messages as test_messages, probe};
