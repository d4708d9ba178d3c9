//! Both ends of `lectern demo`, on loopback: an embedded broker, and a subscriber. They are not in the package.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a broker and a subscriber of its own, on loopback and on threads of their own"
)]

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rumqttd::{Broker as EmbeddedBroker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use crate::Broker;

/// Longest wait for the embedded broker or for the last payload.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Starts the embedded broker on a free loopback port and waits until it accepts connections. Returns the connection
/// parameters of `client_id`.
///
/// The user name is a random token of this start, with an empty password, so that no other program on this machine can
/// publish or subscribe.
///
/// # Errors
/// When there is no free port, thread or random number, or the broker does not accept connections.
pub fn start_broker(client_id: &str) -> anyhow::Result<Broker> {
    let token = random_token()?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 4_096,
        max_inflight_count: 100,
        auth: Some(HashMap::from([(token.clone(), String::new())])),
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "demo".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let config = Config {
        router: RouterConfig {
            max_connections: 16,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("demo".to_owned(), server)])),
        ..Config::default()
    };
    // The broker lives as long as the process; rumqttd has no way to stop it.
    std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
        if let Err(error) = EmbeddedBroker::new(config).start() {
            log::error!("the embedded broker stopped: {error}");
        }
    })?;
    for _ in 0..200 {
        if TcpStream::connect(listen).is_ok() {
            return Ok(Broker {
                host: Ipv4Addr::LOCALHOST.to_string(),
                port,
                client_id: client_id.to_owned(),
                login: Some((token, None)),
                tls: None,
            });
        }
        std::thread::sleep(TIMEOUT / 200);
    }
    bail!("the embedded broker does not accept connections on {listen}")
}

/// 128 random bits in hexadecimal digits.
fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no random bytes for the demo's login")?;
    let mut token = String::new();
    for byte in bytes {
        write!(token, "{byte:02x}")?;
    }
    Ok(token)
}

/// The second MQTT client.
pub struct Subscriber<T> {
    /// `None` after the subscription, then the result of the last payload.
    results: mpsc::Receiver<anyhow::Result<Option<T>>>,
}

impl<T: Send + 'static> Subscriber<T> {
    /// Subscribes to everything under `root`. `handle` gets topic and payload of each message, and returns a result for the last.
    ///
    /// # Errors
    /// When the broker refuses the connection or the subscription.
    pub fn start(
        broker: &Broker,
        root: &str,
        mut handle: impl FnMut(&str, &[u8]) -> anyhow::Result<Option<T>> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new("lectern-demo-subscriber", &broker.host, broker.port);
        if let Some((user, _)) = &broker.login {
            options.set_credentials(user, "");
        }
        let (client, mut connection) = Client::new(options, 16);
        client.subscribe(format!("{root}/#"), QoS::AtLeastOnce)?;
        let (sender, results) = mpsc::channel();
        std::thread::Builder::new().name("subscriber".to_owned()).spawn(move || {
            // The client must live as long as its connection.
            let _client = client;
            for event in connection.iter() {
                let result = match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => Ok(None),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        match handle(&publish.topic, &publish.payload) {
                            Ok(None) => continue,
                            result => result,
                        }
                    }
                    Ok(_) => continue,
                    Err(error) => Err(error.into()),
                };
                if sender.send(result).is_err() {
                    return;
                }
            }
        })?;
        let subscriber = Self { results };
        subscriber.next("the subscription")?;
        Ok(subscriber)
    }

    /// Waits for the last payload; returns its result.
    ///
    /// # Errors
    /// When it does not arrive in time.
    pub fn finish(self) -> anyhow::Result<T> {
        self.next("the last payload")?.context("the subscription was acknowledged twice")
    }

    fn next(&self, what: &str) -> anyhow::Result<Option<T>> {
        self.results.recv_timeout(TIMEOUT).with_context(|| format!("{what} did not come"))?
    }
}
