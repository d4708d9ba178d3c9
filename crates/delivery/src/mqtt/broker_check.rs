//! The broker check of `lectern check`: does the broker accept what this device publishes?

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::broker::Broker;
use super::error::LinkError;
use super::link::{Link, LinkEvent};
use crate::message::discovery::{self, Discovery};
use crate::message::limits::LONGEST_RETURNED;
use crate::message::payload;
use crate::message::topics::{CHECK_SUFFIX, Topics};
use lectern_record::help::{Help, Problem};

/// Longest wait for CONNACK and PUBACK together.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long after its PUBACK the message may still be delivered.
const DELIVERY_WITHIN: Duration = Duration::from_secs(3);

/// Why the broker cannot be used, and how to fix it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BrokerCheckError(Problem);

impl Help for BrokerCheckError {
    fn help(&self) -> Option<Cow<'_, str>> {
        Help::help(&self.0)
    }
}

/// What happened to the test message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The broker acknowledged it and delivered it.
    Returned,
    /// The broker acknowledged it but did not deliver it: it was discarded, or this client may not subscribe.
    Acknowledged,
}

/// The test messages, one for each topic of a device: none counts as a record or a state, and Home Assistant receives
/// the daemon's own announcement.
#[must_use]
pub fn messages(topics: &Topics, device: &str, announced: Option<&Discovery>) -> Vec<(String, String)> {
    let test = payload::check(device);
    let mut messages =
        [&topics.check, &topics.minute, &topics.status].map(|topic| (topic.clone(), test.clone())).to_vec();
    if let Some(announced) = announced {
        let topic = discovery::topic(topics, &announced.prefix);
        messages.push((topic, discovery::payload(device, topics, announced)));
    }
    messages
}

/// Connects as the daemon does, publishes `payload` on `topic` (QoS 1, not retained), checks whether it is delivered,
/// and disconnects.
///
/// MQTT 3.1.1 acknowledges also messages that access rules discard; only a subscriber can detect that. The client id is
/// the daemon's with `::check` at its end, so that a running daemon stays connected; there is no will. Blocks for
/// some 20 s at most.
///
/// # Errors
/// [`BrokerCheckError`] when the broker cannot be reached, refuses the login, or does not acknowledge.
pub fn check_broker(broker: &Broker, topic: &str, payload: &str) -> Result<Answer, BrokerCheckError> {
    let broker = Broker { client_id: format!("{}{CHECK_SUFFIX}", broker.client_id), ..broker.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| BrokerCheckError(Problem::new("no event loop").caused_by(e)))?;
    let mut published = false;
    let outcome = runtime.block_on(async {
        timeout(ANSWER_WITHIN, exchange(&broker, topic, payload, &mut published))
            .await
            .unwrap_or_else(|_| Err(LinkError::network(&broker, "does not acknowledge")))
    });
    runtime.shutdown_background();
    outcome.map_err(|LinkError(problem)| {
        BrokerCheckError(if published {
            problem.and(format_args!("when it was sent {} bytes on {topic}", payload.len()))
        } else {
            problem
        })
    })
}

/// `published` is set once the message is sent.
async fn exchange(
    broker: &Broker,
    topic: &str,
    payload: &str,
    published: &mut bool,
) -> Result<Answer, LinkError> {
    let mut link = connect(broker).await?;
    link.subscribe(topic)?;
    // Some brokers close the connection of a client that may not subscribe.
    if next(&mut link, broker).await.is_err() {
        link = connect(broker).await?;
    }
    link.publish(topic, false, payload)?;
    *published = true;
    let (mut returned, mut acknowledged) = (false, None);
    while !returned || acknowledged.is_none() {
        let limit = acknowledged.map_or_else(|| Instant::now() + ANSWER_WITHIN, |at| at + DELIVERY_WITHIN);
        match timeout_at(limit, next(&mut link, broker)).await {
            Ok(Ok(LinkEvent::Acknowledged)) => acknowledged = Some(Instant::now()),
            Ok(Ok(LinkEvent::Received(received))) => returned |= received == payload.as_bytes(),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    link.disconnect()?;
    // The result is final; errors while disconnecting do not matter.
    while next(&mut link, broker).await.is_ok_and(|event| !matches!(event, LinkEvent::Disconnected)) {}
    Ok(if returned { Answer::Returned } else { Answer::Acknowledged })
}

async fn connect(broker: &Broker) -> Result<Link, LinkError> {
    let mut link = Link::connect(broker, None, LONGEST_RETURNED);
    next(&mut link, broker).await?;
    Ok(link)
}

/// The next event; a failure is an error.
async fn next(link: &mut Link, broker: &Broker) -> Result<LinkEvent, LinkError> {
    match link.event().await {
        Some(LinkEvent::Failed(error)) => Err(error),
        Some(event) => Ok(event),
        None => Err(LinkError::network(broker, "connection closed")),
    }
}
