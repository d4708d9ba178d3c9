//! Whether the broker accepts what this device would publish.

use super::finding::Finding;
use crate::cli::Part;
use crate::config::Settings;
use crate::delivery::{Answer, check_broker, test_messages};

/// Sends a test message on each topic of this device and checks whether it comes back.
pub(super) fn check(settings: &Settings) -> Finding {
    let broker = &settings.broker;
    let messages = test_messages(&settings.topics, &settings.device, settings.discovery.as_ref());
    let tried = messages.len();
    let mut silent = Vec::new();
    for (topic, message) in messages {
        match check_broker(broker, &topic, &message) {
            Ok(Answer::Returned) => {}
            Ok(Answer::Acknowledged) => silent.push(topic),
            Err(error) => return Finding::error(Part::Broker, &error),
        }
    }
    if silent.is_empty() {
        let found = format!("{broker} takes messages on the {tried} topics of {}", settings.topics.base());
        return Finding::ok(Part::Broker, found);
    }
    let topics = silent.join(", ");
    let found = format!("{broker} acknowledged a test message on {topics} and did not give it back");
    Finding::warning(Part::Broker, found).advise(
        "its access rules forbid this device to publish there, and then what it publishes is lost, or to read there, which \
         only this check needs: allow both, and check again",
    )
}
