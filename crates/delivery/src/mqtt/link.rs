//! One connection to the broker, from CONNECT to its end.
//!
//! Each connection gets a client of its own: rumqttc keeps a queue across reconnects and drops it when the
//! broker answers `session_present = false`, so nothing here relies on that queue. The spool is the queue.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, Event, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, PubAck, QoS,
    TlsConfiguration, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::broker::Broker;
use super::error::LinkError;
use super::files::{self, Files};
use crate::message::limits::LONGEST_SENT;
use crate::message::payload::Payload;

/// PINGREQ after this idle time; a second one without PINGRESP ends the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Longest wait for the address of a name, TCP, TLS and CONNACK together.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Requests that rumqttc may queue: one publish in flight and the DISCONNECT after it.
const REQUESTS: usize = 4;

/// The pause after each unsolicited packet, so that an endless stream of them uses little CPU.
const UNSOLICITED_PAUSE: Duration = Duration::from_millis(10);

/// What happened on the connection.
pub(crate) enum LinkEvent {
    Connected,
    /// The one publish in flight is acknowledged.
    Acknowledged,
    /// SUBACK, with success or failure.
    SubAcked,
    /// The payload of a subscribed message that is not retained.
    Received(Vec<u8>),
    Disconnected,
    Failed(LinkError),
}

/// A connection being made or in use. At most one publish is in flight.
pub(crate) struct Link {
    broker: Broker,
    /// Set once the files of the connection are read.
    client: Arc<OnceLock<AsyncClient>>,
    events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to connect; [`LinkEvent::Connected`] or [`LinkEvent::Failed`] follows. `will` is the topic and payload of
    /// the retained last will. A packet longer than `longest_received` ends the connection.
    pub(crate) fn connect(broker: &Broker, will: Option<(&str, &Payload)>, longest_received: usize) -> Self {
        let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        options.set_max_packet_size(longest_received, LONGEST_SENT);
        // Nothing is acknowledged, because nothing is subscribed to with QoS 1. A peer that echoes would otherwise make this
        // client acknowledge its own record: our PUBACK would return as the broker's.
        options.set_manual_acks(true);
        if let Some((topic, payload)) = will {
            options.set_last_will(LastWill::new(topic, payload.as_bytes(), QoS::AtLeastOnce, true));
        }
        // A separate task, because a cancelled poll of the event loop may lose packets.
        let (sender, events) = mpsc::channel(16);
        let client = Arc::new(OnceLock::new());
        let (of_link, new_client) = (broker.clone(), Arc::clone(&client));
        let broker = broker.clone();
        let task = tokio::spawn(async move {
            let Files { password, tls } = match files::read(&broker).await {
                Ok(files) => files,
                Err(error) => {
                    // The link may be gone.
                    let _ = sender.send(LinkEvent::Failed(error)).await;
                    return;
                }
            };
            if let Some((user, _)) = &broker.login {
                options.set_credentials(user, password.unwrap_or_default());
            }
            if let Some(config) = tls {
                options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
            }
            let (client, mut eventloop) = AsyncClient::new(options, REQUESTS);
            let mut network = NetworkOptions::new();
            network.set_connection_timeout(CONNECT_WITHIN.as_secs()).set_tcp_nodelay(true);
            eventloop.set_network_options(network);
            // This task alone sets it.
            let _ = new_client.set(client);
            let (mut connected, mut in_flight) = (false, None);
            loop {
                let event = match eventloop.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        connected = true;
                        LinkEvent::Connected
                    }
                    Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                        in_flight = Some(id);
                        continue;
                    }
                    Ok(Event::Incoming(Packet::PubAck(ack))) if in_flight == Some(ack.pkid) => {
                        in_flight = None;
                        LinkEvent::Acknowledged
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => LinkEvent::SubAcked,
                    // A retained message is old.
                    Ok(Event::Incoming(Packet::Publish(publish))) if !publish.retain => {
                        sleep(UNSOLICITED_PAUSE).await;
                        LinkEvent::Received(publish.payload.to_vec())
                    }
                    Ok(Event::Incoming(_)) => {
                        sleep(UNSOLICITED_PAUSE).await;
                        continue;
                    }
                    Ok(Event::Outgoing(Outgoing::Disconnect)) => LinkEvent::Disconnected,
                    Ok(Event::Outgoing(_)) => continue,
                    Err(error) => {
                        // A PUBACK read together with the end is still in rumqttc's queue. Without this, a broker that
                        // always acknowledges and closes would receive the same record for ever.
                        let acknowledged = in_flight.is_some_and(|id| {
                            let ack = Event::Incoming(Packet::PubAck(PubAck::new(id)));
                            eventloop.state.events.contains(&ack)
                        });
                        if acknowledged && sender.send(LinkEvent::Acknowledged).await.is_err() {
                            return;
                        }
                        LinkEvent::Failed(LinkError::from_rumqttc(&broker, connected, &error))
                    }
                };
                let last = matches!(event, LinkEvent::Disconnected | LinkEvent::Failed(_));
                if sender.send(event).await.is_err() || last {
                    return;
                }
            }
        });
        Self { broker: of_link, client, events, task }
    }

    /// The next event; cancel-safe.
    pub(crate) async fn event(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Publishes with QoS 1. The caller waits for [`LinkEvent::Acknowledged`] before it publishes again.
    pub(crate) fn publish(&mut self, topic: &str, retain: bool, payload: &str) -> Result<(), LinkError> {
        // `try_publish`, because `publish` blocks while the channel is full.
        self.request(|client| client.try_publish(topic, QoS::AtLeastOnce, retain, payload))
    }

    /// Subscribes to a topic with QoS 0; [`LinkEvent::SubAcked`] follows. The daemon never subscribes.
    pub(crate) fn subscribe(&mut self, topic: &str) -> Result<(), LinkError> {
        self.request(|client| client.try_subscribe(topic, QoS::AtMostOnce))
    }

    /// Sends DISCONNECT; [`LinkEvent::Disconnected`] follows, and the broker discards the will.
    pub(crate) fn disconnect(&mut self) -> Result<(), LinkError> {
        self.request(AsyncClient::try_disconnect)
    }

    /// Queues a request of a connection that was made.
    fn request(
        &mut self,
        queue: impl FnOnce(&AsyncClient) -> Result<(), ClientError>,
    ) -> Result<(), LinkError> {
        // The error itself contains the request.
        self.client.get().and_then(|client| queue(client).ok()).ok_or_else(|| self.end_cause())
    }

    /// Why a request failed: the connection's task has ended, and its last event holds the cause.
    fn end_cause(&mut self) -> LinkError {
        while let Ok(event) = self.events.try_recv() {
            if let LinkEvent::Failed(error) = event {
                return error;
            }
        }
        LinkError::network(&self.broker, "connection ended")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}
