//! One connection to the broker, from CONNECT to its end.
//!
//! Each connection gets a client of its own: rumqttc keeps a queue across reconnects and drops it when the
//! broker answers `session_present = false`, so nothing here relies on that queue. The spool is the queue.

use std::io;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, LastWill, MqttOptions, NetworkOptions, Outgoing,
    Packet, QoS, StateError, TlsConfiguration, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Broker;
use super::payload::Payload;
use super::tls;

/// PINGREQ after this much silence; a second one without an answer ends the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Longest wait for the address of a name, TCP, TLS and CONNACK together.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Requests that rumqttc may hold: one publish in flight and the DISCONNECT after it.
const REQUESTS: usize = 4;

/// Why there is no connection, with the way out.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(
        "broker {broker}: the user name or the password is wrong; check mqtt.username and the credential"
    )]
    BadCredentials { broker: String },
    #[error(
        "broker {broker}: this client is not authorised, or its user name or password is wrong; check mqtt.username and \
         the credential, and the broker's access rules"
    )]
    NotAuthorised { broker: String },
    #[error("broker {broker}: is not available at the moment; it is tried again, and its own log says why")]
    Unavailable { broker: String },
    #[error("broker {broker}: refused the connection ({code:?}); its own log says why")]
    Refused { broker: String, code: ConnectReturnCode },
    #[error(
        "broker {broker}: closed the connection; it restarts, another client has the same id, or its access rules forbid \
         what this device publishes"
    )]
    Closed { broker: String },
    #[error("broker {broker}: {problem}; check mqtt.url and the network")]
    Network { broker: String, problem: String },
    #[error("broker {broker}: {problem}")]
    Tls { broker: String, problem: String },
    #[error("mqtt password file {file}: {cause}; check mqtt.password_file or the credential mqtt-password")]
    Password { file: String, cause: io::Error },
    #[error(transparent)]
    BadFile(#[from] tls::BadFile),
}

impl LinkError {
    pub(super) fn network(broker: &Broker, problem: impl ToString) -> Self {
        Self::Network { broker: broker.to_string(), problem: problem.to_string() }
    }

    fn from_rumqttc(broker: &Broker, error: ConnectionError) -> Self {
        let name = broker.to_string();
        if let Some(problem) = tls::explain(&error, &broker.host) {
            return Self::Tls { broker: name, problem };
        }
        match error {
            ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword) => {
                Self::BadCredentials { broker: name }
            }
            ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => {
                Self::NotAuthorised { broker: name }
            }
            ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable) => {
                Self::Unavailable { broker: name }
            }
            ConnectionError::ConnectionRefused(code) => Self::Refused { broker: name, code },
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
                Self::network(broker, "does not answer")
            }
            ConnectionError::Io(cause) => Self::network(broker, cause),
            ConnectionError::MqttState(StateError::ConnectionAborted) => Self::Closed { broker: name },
            other => Self::network(broker, other),
        }
    }
}

impl std::fmt::Display for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What the broker did.
pub(super) enum LinkEvent {
    Connected,
    /// The one publish in flight is acknowledged.
    Acknowledged,
    /// A subscription is answered, with yes or no.
    Answered,
    /// A message that was subscribed to: its payload.
    Received(Vec<u8>),
    Disconnected,
    Failed(LinkError),
}

/// A connection being made or in use. At most one publish is in flight.
pub(super) struct Link {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to connect; [`LinkEvent::Connected`] or [`LinkEvent::Failed`] follows. `will` is a topic and what
    /// the broker publishes there, retained, should this client vanish.
    pub(super) fn connect(broker: &Broker, will: Option<(&str, &Payload)>) -> Result<Self, LinkError> {
        let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        if let Some((topic, payload)) = will {
            options.set_last_will(LastWill::new(topic, payload.as_bytes(), QoS::AtLeastOnce, true));
        }
        if let Some((user, password_file)) = &broker.login {
            // Read at each connect, so that a changed password needs no restart.
            let password = match password_file {
                Some(file) => std::fs::read_to_string(file)
                    .map_err(|cause| LinkError::Password { file: file.display().to_string(), cause })?,
                None => String::new(),
            };
            options.set_credentials(user, password.trim_end_matches(['\r', '\n']));
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
        let task = tokio::spawn(async move {
            let mut in_flight = None;
            loop {
                let event = match eventloop.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => LinkEvent::Connected,
                    Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                        in_flight = Some(id);
                        continue;
                    }
                    Ok(Event::Incoming(Packet::PubAck(ack))) if in_flight == Some(ack.pkid) => {
                        in_flight = None;
                        LinkEvent::Acknowledged
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => LinkEvent::Answered,
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        LinkEvent::Received(publish.payload.to_vec())
                    }
                    Ok(Event::Outgoing(Outgoing::Disconnect)) => LinkEvent::Disconnected,
                    Ok(_) => continue,
                    Err(error) => LinkEvent::Failed(LinkError::from_rumqttc(&broker, error)),
                };
                let last = matches!(event, LinkEvent::Disconnected | LinkEvent::Failed(_));
                if sender.send(event).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Self { client, events, task })
    }

    /// The next thing that happens; safe to cancel.
    pub(super) async fn event(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Publishes with QoS 1. The caller waits for [`LinkEvent::Acknowledged`] before it publishes again.
    pub(super) fn publish(
        &self,
        topic: &str,
        retain: bool,
        payload: &str,
    ) -> Result<(), rumqttc::ClientError> {
        // `try_publish`, because `publish` waits where the channel is full.
        self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload)
    }

    /// Asks for what is published on a topic, with QoS 0; [`LinkEvent::Answered`] follows. The daemon never does.
    pub(super) fn subscribe(&self, topic: &str) -> Result<(), rumqttc::ClientError> {
        self.client.try_subscribe(topic, QoS::AtMostOnce)
    }

    /// Asks to disconnect; [`LinkEvent::Disconnected`] follows, and the will is not sent.
    pub(super) fn disconnect(&self) -> Result<(), rumqttc::ClientError> {
        self.client.try_disconnect()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}
