//! Whether the broker takes what this device would publish.

use super::finding::Finding;
use crate::cli::Part;
use crate::config::Settings;
use crate::delivery::{Answer, payload, probe};

/// Sends a test message and looks whether it comes back.
pub(super) fn check(settings: &Settings) -> Finding {
    let (broker, topic) = (&settings.broker, &settings.topics.check);
    match probe(broker, topic, &payload::check(&settings.device)) {
        Ok(Answer::Returned) => Finding::ok(Part::Broker, format_args!("{broker} takes messages on {topic}")),
        Ok(Answer::Acknowledged) => {
            let found = format!("{broker} acknowledged the test message and did not give it back");
            Finding::warning(Part::Broker, found).advise(format_args!(
                "its access rules may throw away what this device publishes: let it read {topic} and check again, or look \
                 for the message on the other side"
            ))
        }
        Err(error) => Finding::error(Part::Broker, error),
    }
}
