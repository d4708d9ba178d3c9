//! One connection on request: does the broker take what this device would publish?

use std::time::Duration;

use tokio::time::timeout;

use super::Broker;
use super::link::{Link, LinkError, LinkEvent};

/// Longest wait for CONNACK and PUBACK together.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Why the broker cannot be used, with the way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(String);

/// Connects as the daemon does, publishes `payload` on `topic` (QoS 1, not retained), and leaves.
///
/// The client id is the daemon's with `-check` at its end, so that a running daemon is not thrown out; no will is
/// left. Blocks for some 20 s at most.
///
/// # Errors
/// [`ProbeError`] when the broker cannot be reached, refuses the login, or does not acknowledge.
pub fn probe(broker: &Broker, topic: &str, payload: &str) -> Result<(), ProbeError> {
    let broker = Broker { client_id: format!("{}-check", broker.client_id), ..broker.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ProbeError(format!("no event loop: {e}")))?;
    let outcome = runtime.block_on(async {
        timeout(ANSWER_WITHIN, talk(&broker, topic, payload))
            .await
            .unwrap_or_else(|_| Err(LinkError::network(&broker, "does not acknowledge")))
    });
    runtime.shutdown_background();
    outcome.map_err(|error| ProbeError(error.to_string()))
}

async fn talk(broker: &Broker, topic: &str, payload: &str) -> Result<(), LinkError> {
    let mut link = Link::connect(broker, None)?;
    loop {
        match link.event().await {
            Some(LinkEvent::Connected) => {
                link.publish(topic, false, payload).map_err(|e| LinkError::network(broker, e))?;
            }
            Some(LinkEvent::Acknowledged) => {
                link.disconnect().map_err(|e| LinkError::network(broker, e))?;
            }
            Some(LinkEvent::Disconnected) => return Ok(()),
            Some(LinkEvent::Failed(error)) => return Err(error),
            None => return Err(LinkError::network(broker, "connection closed")),
        }
    }
}
