//! One connection to the broker, from CONNECT to its end.
//!
//! Each connection gets a client of its own: rumqttc keeps a queue across reconnects and drops it when the
//! broker answers `session_present = false`, so nothing here relies on that queue. The spool is the queue.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, Event, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, PubAck, QoS,
    TlsConfiguration, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::broker::{Broker, is_open_to_others, open_to_others};
use super::error::LinkError;
use super::tls;
use crate::message::limits::{LONGEST_SENT, MAX_PASSWORD_BYTES};
use crate::message::payload::Payload;
use lectern_record::help::Problem;

/// PINGREQ after this idle time; a second one without PINGRESP ends the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Longest wait for the address of a name, TCP, TLS and CONNACK together.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Requests that rumqttc may queue: one publish in flight and the DISCONNECT after it.
const REQUESTS: usize = 4;

/// The pause after each unsolicited packet, so that an endless stream of them uses little CPU.
const UNSOLICITED_PAUSE: Duration = Duration::from_millis(10);

/// Reads the password file, without the line ending.
fn password(file: &Path) -> Result<String, LinkError> {
    let bad = |problem: Problem| {
        let problem = problem.of(format_args!("mqtt password file {}:", file.display()));
        LinkError::from(problem.or_help("check mqtt.password_file or the credential mqtt-password"))
    };
    let unreadable = |error| bad(Problem::new("cannot be read").caused_by(error));
    let mut text = String::new();
    // Opening a pipe would block until a writer opens it.
    if std::fs::metadata(file).is_ok_and(|file| !file.is_file()) {
        return Err(bad("is no regular file".into()));
    }
    let open = std::fs::File::open(file).map_err(unreadable)?;
    // The file may have appeared or changed since the configuration was read.
    if open.metadata().is_ok_and(|file| is_open_to_others(&file)) {
        return Err(bad(open_to_others()));
    }
    open.take(MAX_PASSWORD_BYTES as u64 + 2).read_to_string(&mut text).map_err(unreadable)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.len() > MAX_PASSWORD_BYTES {
        return Err(bad(format!("holds more than {MAX_PASSWORD_BYTES} bytes").into()));
    }
    Ok(text)
}

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
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to connect; [`LinkEvent::Connected`] or [`LinkEvent::Failed`] follows. `will` is the topic and payload of
    /// the retained last will. A packet longer than `longest_received` ends the connection.
    pub(crate) fn connect(
        broker: &Broker,
        will: Option<(&str, &Payload)>,
        longest_received: usize,
    ) -> Result<Self, LinkError> {
        let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        options.set_max_packet_size(longest_received, LONGEST_SENT);
        // Nothing is acknowledged, because nothing is subscribed to with QoS 1. A peer that echoes would otherwise make this
        // client acknowledge its own record: our PUBACK would return as the broker's.
        options.set_manual_acks(true);
        if let Some((topic, payload)) = will {
            options.set_last_will(LastWill::new(topic, payload.as_bytes(), QoS::AtLeastOnce, true));
        }
        if let Some((user, password_file)) = &broker.login {
            // Read at each connect, so that a changed password needs no restart.
            let password = password_file.as_deref().map_or_else(|| Ok(String::new()), password)?;
            options.set_credentials(user, password);
        }
        if let Some(tls) = &broker.tls {
            let config = TlsConfiguration::Rustls(tls::configure(tls)?);
            options.set_transport(Transport::tls_with_config(config));
        }
        let (client, mut eventloop) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_WITHIN.as_secs()).set_tcp_nodelay(true);
        eventloop.set_network_options(network);

        // A separate task, because a cancelled poll of the event loop may lose packets.
        let (sender, events) = mpsc::channel(16);
        let broker = broker.clone();
        let of_link = broker.clone();
        let task = tokio::spawn(async move {
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
        Ok(Self { broker: of_link, client, events, task })
    }

    /// The next event; cancel-safe.
    pub(crate) async fn event(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Publishes with QoS 1. The caller waits for [`LinkEvent::Acknowledged`] before it publishes again.
    pub(crate) fn publish(&mut self, topic: &str, retain: bool, payload: &str) -> Result<(), LinkError> {
        // `try_publish`, because `publish` blocks while the channel is full.
        self.client
            .try_publish(topic, QoS::AtLeastOnce, retain, payload)
            .map_err(|error| self.end_cause(&error))
    }

    /// Subscribes to a topic with QoS 0; [`LinkEvent::SubAcked`] follows. The daemon never subscribes.
    pub(crate) fn subscribe(&mut self, topic: &str) -> Result<(), LinkError> {
        self.client.try_subscribe(topic, QoS::AtMostOnce).map_err(|error| self.end_cause(&error))
    }

    /// Sends DISCONNECT; [`LinkEvent::Disconnected`] follows, and the broker discards the will.
    pub(crate) fn disconnect(&mut self) -> Result<(), LinkError> {
        self.client.try_disconnect().map_err(|error| self.end_cause(&error))
    }

    /// Why the request failed: the connection's task has ended, and its last event holds the cause. The error itself
    /// contains the request.
    fn end_cause(&mut self, _: &ClientError) -> LinkError {
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
