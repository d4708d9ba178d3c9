//! One connection to the broker, and why there is none, in our own words.

mod address;
mod broker;
pub(crate) mod error;
pub(crate) mod link;
mod probe;
mod tls;

pub use address::{Address, BadAddress};
pub use broker::{Broker, Tls, is_open_to_others, open_to_others};
pub use probe::{Answer, ProbeError, messages as test_messages, probe};
