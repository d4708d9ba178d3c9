//! Connection errors, in messages that never repeat what the broker sent.

use std::borrow::Cow;
use std::io::{self, ErrorKind};

use rumqttc::{ConnectReturnCode, ConnectionError, Packet, StateError, TlsError, mqttbytes};

use super::broker::Broker;
use super::tls;
use lectern_record::help::{Help, Problem};

/// Why there is no connection, and how to fix it. rumqttc's own messages repeat what the broker sent, and some brokers
/// send our password. The caller retries in any case, so there is one kind.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct LinkError(#[from] pub(super) Problem);

impl Help for LinkError {
    fn help(&self) -> Option<Cow<'_, str>> {
        Help::help(&self.0)
    }
}

/// The fix where another service may listen on the port.
const IS_IT_A_BROKER: &str = "is it a broker? check mqtt.url";

/// The fix where the network or the address may be wrong.
const CHECK_NETWORK: &str = "check mqtt.url and the network";

/// The fix where the password may be wrong.
const CHECK_LOGIN: &str = "check mqtt.username and the credential";

/// Something else listens on the port; it may be TLS.
fn not_mqtt() -> Problem {
    Problem::new("answers with what is not MQTT")
        .with_help("if it talks TLS, mqtt.url must begin with mqtts://, otherwise check mqtt.url")
}

impl LinkError {
    /// A problem of this broker.
    fn of(broker: &Broker, problem: Problem) -> Self {
        Self(problem.of(format_args!("broker {broker}:")))
    }

    pub(crate) fn network(broker: &Broker, problem: &str) -> Self {
        Self::of(broker, Problem::new(problem).with_help(CHECK_NETWORK))
    }

    /// `connected`: whether the broker had accepted the connection.
    pub(crate) fn from_rumqttc(broker: &Broker, connected: bool, error: &ConnectionError) -> Self {
        let of = |what: &str, help: &'static str| Self::of(broker, Problem::new(what).with_help(help));
        if let Some(problem) = tls::explain(error, broker) {
            return Self::of(broker, problem);
        }
        match error {
            ConnectionError::ConnectionRefused(code) => match code {
                ConnectReturnCode::BadUserNamePassword => {
                    of("the user name or the password is wrong", CHECK_LOGIN)
                }
                ConnectReturnCode::NotAuthorized => of(
                    "this client is not authorised, or its user name or password is wrong",
                    "check mqtt.username and the credential, and the broker's access rules",
                ),
                ConnectReturnCode::ServiceUnavailable => {
                    of("is not available at the moment", "it is tried again, and its own log says why")
                }
                ConnectReturnCode::BadClientId => of(
                    "does not take this device's client id, its topic with `:` for `/`",
                    "allow longer client ids there, or choose shorter names in [device] and mqtt.root",
                ),
                ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::Success => {
                    of("refuses MQTT 3.1.1", "allow this version there")
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
            // Also a TCP self-connection: a client that connects to a free local port may reach itself.
            ConnectionError::NotConnAck(Packet::Connect(_)) => {
                of("sends back what it is sent", "no broker listens there: check mqtt.url")
            }
            ConnectionError::NotConnAck(_) => of("answers CONNECT with another packet", IS_IT_A_BROKER),
            ConnectionError::RequestsDone | ConnectionError::Tls(_) => {
                Self::network(broker, "connection ended")
            }
        }
    }

    fn from_state(broker: &Broker, connected: bool, error: &StateError) -> Self {
        let of = |what: &str, help: &'static str| Self::of(broker, Problem::new(what).with_help(help));
        match error {
            StateError::ConnectionAborted => Self::closed(broker, connected),
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)) => {
                match error.kind() {
                    // The stream ended inside what would be a packet if it were MQTT.
                    ErrorKind::Other if !connected && broker.tls.is_none() => Self::of(broker, not_mqtt()),
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
                of("acknowledges what it was not sent", "its own log may say why, and it is tried again")
            }
            // A TLS alert that rejects plain text (15 03 0x 00 02) parses like a CONNECT whose first string is 0x00 bytes
            // long.
            StateError::Deserialization(mqttbytes::Error::BoundaryCrossed(256 | 512 | 768 | 1024))
                if !connected =>
            {
                of("talks TLS on this port", "mqtt.url must begin with mqtts://")
            }
            StateError::Deserialization(mqttbytes::Error::OutgoingPacketTooLarge { .. }) => {
                of("was to be sent a packet longer than this program allows", "this is a bug")
            }
            _ if connected || broker.tls.is_some() => of("sends what is not MQTT 3.1.1", IS_IT_A_BROKER),
            _ => Self::of(broker, not_mqtt()),
        }
    }

    /// The broker closed the connection, before or after it accepted it.
    fn closed(broker: &Broker, connected: bool) -> Self {
        let has_identity = broker.tls.as_ref().map(|tls| tls.identity.is_some());
        let help = match (connected, has_identity) {
            (true, _) => {
                let problem = Problem::new("closed the connection").with_help(
                    "its access rules or its limit on messages (max_packet_size) forbid what this device publishes, another client \
                     has the same id, or it restarts",
                );
                return Self::of(broker, problem);
            }
            (false, None) => {
                "if it talks TLS on this port, mqtt.url must begin with mqtts://; otherwise its own log says why"
            }
            (false, Some(false)) => {
                "it may want a certificate from this device (mqtt.client_cert and mqtt.client_key); its own log says why"
            }
            (false, Some(true)) => "its own log says why",
        };
        Self::of(broker, Problem::new("closed the connection before it answered CONNECT").with_help(help))
    }

    /// The kernel's message only; an error from another source may contain received bytes.
    fn io(broker: &Broker, error: &io::Error) -> Self {
        let cause = match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => error.kind().into(),
        };
        Self(Problem::new(format_args!("broker {broker}")).caused_by(cause).with_help(CHECK_NETWORK))
    }
}
