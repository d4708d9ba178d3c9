//! Why there is no connection to the broker, in words of our own.

use std::io::{self, ErrorKind};

use rumqttc::{ConnectReturnCode, ConnectionError, Packet, StateError, TlsError, mqttbytes};

use super::broker::Broker;
use super::tls;

/// Why there is no connection, with the way out. Its words are our own: those of rumqttc repeat what the broker sent, and
/// some brokers send our password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
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
    #[error(
        "broker {broker}: closed the connection; it restarts, another client has the same id, or its access rules forbid \
         what this device publishes"
    )]
    Closed { broker: String },
    #[error("broker {broker}: {problem}; check mqtt.url and the network")]
    Network { broker: String, problem: String },
    /// A problem with its own way out.
    #[error("broker {broker}: {told}")]
    Told { broker: String, told: String },
    #[error("mqtt password file {file}: {problem}; check mqtt.password_file or the credential mqtt-password")]
    Password { file: String, problem: String },
    #[error(transparent)]
    BadFile(#[from] tls::BadFile),
}

/// Something else listens on the port; it may be TLS.
const NOT_MQTT: &str = "answers with what is not MQTT; if it talks TLS, mqtt.url must begin with mqtts://, otherwise check mqtt.url";

impl LinkError {
    pub(crate) fn network(broker: &Broker, problem: &str) -> Self {
        Self::Network { broker: broker.to_string(), problem: problem.to_owned() }
    }

    /// `connected` tells whether the broker had accepted the connection.
    pub(crate) fn from_rumqttc(broker: &Broker, connected: bool, error: &ConnectionError) -> Self {
        let name = broker.to_string();
        let told = |told: &str| Self::Told { broker: broker.to_string(), told: told.to_owned() };
        if let Some(problem) = tls::explain(error, broker) {
            return told(&problem);
        }
        match error {
            ConnectionError::ConnectionRefused(code) => match code {
                ConnectReturnCode::BadUserNamePassword => Self::BadCredentials { broker: name },
                ConnectReturnCode::NotAuthorized => Self::NotAuthorised { broker: name },
                ConnectReturnCode::ServiceUnavailable => Self::Unavailable { broker: name },
                ConnectReturnCode::BadClientId => told(
                    "does not take this device's client id, its topic with `:` for `/`; allow longer client ids there, or \
                     choose shorter names in [device] and mqtt.root",
                ),
                ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::Success => {
                    told("refuses MQTT 3.1.1; allow this version there")
                }
            },
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
                Self::network(broker, "does not answer")
            }
            ConnectionError::Io(error) if error.raw_os_error().is_none() => {
                Self::network(broker, "its name cannot be resolved")
            }
            ConnectionError::Io(error) | ConnectionError::Tls(TlsError::Io(error)) => Self::io(broker, error),
            ConnectionError::MqttState(error) => Self::from_state(broker, connected, error),
            // Also the service behind the port of a client: a port that is free may connect to itself.
            ConnectionError::NotConnAck(Packet::Connect(_)) => {
                told("sends back what it is sent; no broker listens there: check mqtt.url")
            }
            ConnectionError::NotConnAck(_) => {
                told("answers CONNECT with another packet; is it a broker? check mqtt.url")
            }
            ConnectionError::RequestsDone | ConnectionError::Tls(_) => {
                Self::network(broker, "connection ended")
            }
        }
    }

    fn from_state(broker: &Broker, connected: bool, error: &StateError) -> Self {
        let told = |told: &str| Self::Told { broker: broker.to_string(), told: told.to_owned() };
        match error {
            StateError::ConnectionAborted => Self::closed(broker, connected),
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)) => {
                match error.kind() {
                    // It ended in the midst of what would be a packet if it were MQTT.
                    ErrorKind::Other if !connected && broker.tls.is_none() => told(NOT_MQTT),
                    ErrorKind::Other | ErrorKind::UnexpectedEof => Self::closed(broker, connected),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe if !connected => {
                        Self::closed(broker, connected)
                    }
                    _ => Self::io(broker, error),
                }
            }
            StateError::AwaitPingResp | StateError::CollisionTimeout => {
                Self::network(broker, "does not answer")
            }
            StateError::Unsolicited(_) => {
                told("acknowledges what it was not sent; its own log may say why, and it is tried again")
            }
            // A record of TLS that says "no TLS here" (an alert, 15 03 0x 00 02) reads like a CONNECT whose first string
            // is 0x00 bytes long.
            StateError::Deserialization(mqttbytes::Error::BoundaryCrossed(256 | 512 | 768 | 1024))
                if !connected =>
            {
                told("talks TLS on this port; mqtt.url must begin with mqtts://")
            }
            StateError::Deserialization(mqttbytes::Error::OutgoingPacketTooLarge { .. }) => {
                told("was to be sent a packet longer than this program allows; this is a bug")
            }
            _ if connected || broker.tls.is_some() => {
                told("sends what is not MQTT 3.1.1; is it a broker? check mqtt.url")
            }
            _ => told(NOT_MQTT),
        }
    }

    /// The broker has ended the connection, before or after it had accepted it.
    fn closed(broker: &Broker, connected: bool) -> Self {
        let why = match (connected, broker.tls.as_ref().map(|tls| tls.identity.is_some())) {
            (true, _) => return Self::Closed { broker: broker.to_string() },
            (false, None) => {
                "if it talks TLS on this port, mqtt.url must begin with mqtts://; otherwise its own log says why"
            }
            (false, Some(false)) => {
                "it may want a certificate from this device (mqtt.client_cert and mqtt.client_key); its own log says why"
            }
            (false, Some(true)) => "its own log says why",
        };
        let told = format!("closed the connection before it answered CONNECT; {why}");
        Self::Told { broker: broker.to_string(), told }
    }

    /// The kernel's words; any other source might have put what it received into its own.
    fn io(broker: &Broker, error: &io::Error) -> Self {
        let words = match error.raw_os_error() {
            Some(_) => error.to_string(),
            None => error.kind().to_string(),
        };
        Self::network(broker, &words)
    }
}
