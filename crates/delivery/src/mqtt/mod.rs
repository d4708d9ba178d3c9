//! One connection to the broker, its errors, and the broker check.

mod address;
mod broker;
mod broker_check;
pub(crate) mod error;
mod files;
pub(crate) mod link;
mod pem;
mod tls;

pub use address::{Address, BadAddress};
pub use broker::{Broker, Tls, is_open_to_others, open_to_others};
pub use broker_check::{Answer, BrokerCheckError, check_broker, messages as test_messages};
