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

/// PINGREQ after this much silence; a second one without an answer ends the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Longest wait for the address of a name, TCP, TLS and CONNACK together.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Requests that rumqttc may hold: one publish in flight and the DISCONNECT after it.
const REQUESTS: usize = 4;

/// A pause after each packet that nobody waited for, so that a broker which sends them without end costs little.
const UNASKED_PAUSE: Duration = Duration::from_millis(10);

/// The password as it stands in the file, without the line's end.
fn password(file: &Path) -> Result<String, LinkError> {
    let bad = |problem: Problem| {
        let problem = problem.of(format_args!("mqtt password file {}:", file.display()));
        LinkError::from(problem.or_help("check mqtt.password_file or the credential mqtt-password"))
    };
    let unreadable = |error| bad(Problem::new("cannot be read").caused_by(error));
    let mut text = String::new();
    // Opening a pipe would wait for whoever writes to it.
    if std::fs::metadata(file).is_ok_and(|file| !file.is_file()) {
        return Err(bad("is no regular file".into()));
    }
    let open = std::fs::File::open(file).map_err(unreadable)?;
    // It may have come, or changed, since the configuration was read.
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

/// What the broker did.
pub(crate) enum LinkEvent {
    Connected,
    /// The one publish in flight is acknowledged.
    Acknowledged,
    /// A subscription is answered, with yes or no.
    Answered,
    /// A message that was subscribed to and is published now: its payload.
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
    /// Starts to connect; [`LinkEvent::Connected`] or [`LinkEvent::Failed`] follows. `will` is a topic and what
    /// the broker publishes there, retained, should this client vanish. A longer packet than `longest_received` ends the
    /// connection.
    pub(crate) fn connect(
        broker: &Broker,
        will: Option<(&str, &Payload)>,
        longest_received: usize,
    ) -> Result<Self, LinkError> {
        let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        options.set_max_packet_size(longest_received, LONGEST_SENT);
        // Nothing is acknowledged, for nothing is subscribed to with QoS 1. A peer that sends back what it is sent would
        // otherwise have our own record acknowledged by us, and our PUBACK would come back as its.
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

        // In a task of its own, because polling the event loop cannot be cancelled half-way without loss.
        let (sender, events) = mpsc::channel(16);
        let broker = broker.clone();
        let ours = broker.clone();
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
                    Ok(Event::Incoming(Packet::SubAck(_))) => LinkEvent::Answered,
                    // What the broker had kept from earlier says nothing of now.
                    Ok(Event::Incoming(Packet::Publish(publish))) if !publish.retain => {
                        sleep(UNASKED_PAUSE).await;
                        LinkEvent::Received(publish.payload.to_vec())
                    }
                    Ok(Event::Incoming(_)) => {
                        sleep(UNASKED_PAUSE).await;
                        continue;
                    }
                    Ok(Event::Outgoing(Outgoing::Disconnect)) => LinkEvent::Disconnected,
                    Ok(Event::Outgoing(_)) => continue,
                    Err(error) => {
                        // What came in the same breath as the end is not yet told. A broker that acknowledges and closes,
                        // each time, would otherwise be sent the same record for ever.
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
        Ok(Self { broker: ours, client, events, task })
    }

    /// The next thing that happens; safe to cancel.
    pub(crate) async fn event(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Publishes with QoS 1. The caller waits for [`LinkEvent::Acknowledged`] before it publishes again.
    pub(crate) fn publish(&mut self, topic: &str, retain: bool, payload: &str) -> Result<(), LinkError> {
        // `try_publish`, because `publish` waits where the channel is full.
        self.client
            .try_publish(topic, QoS::AtLeastOnce, retain, payload)
            .map_err(|error| self.why_ended(&error))
    }

    /// Asks for what is published on a topic, with QoS 0; [`LinkEvent::Answered`] follows. The daemon never does.
    pub(crate) fn subscribe(&mut self, topic: &str) -> Result<(), LinkError> {
        self.client.try_subscribe(topic, QoS::AtMostOnce).map_err(|error| self.why_ended(&error))
    }

    /// Asks to disconnect; [`LinkEvent::Disconnected`] follows, and the will is not sent.
    pub(crate) fn disconnect(&mut self) -> Result<(), LinkError> {
        self.client.try_disconnect().map_err(|error| self.why_ended(&error))
    }

    /// Why nothing can be sent any more: the connection's task has ended, and said why just before. The error itself holds
    /// what was to be sent.
    fn why_ended(&mut self, _: &ClientError) -> LinkError {
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
