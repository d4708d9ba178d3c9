//! Both ends of `lectern demo`, on loopback: an embedded broker, and a subscriber. They are not in the package.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a broker and a subscriber of its own, on loopback and on threads of their own"
)]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rumqttd::{Broker as EmbeddedBroker, Config, ConnectionSettings, RouterConfig, ServerSettings};

/// Longest wait for the embedded broker or for the last payload.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the embedded broker on a free loopback port and waits until it answers.
///
/// # Errors
/// When there is no port or no thread for it, or it does not answer.
pub fn start_broker() -> anyhow::Result<u16> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 4_096,
        max_inflight_count: 100,
        auth: None,
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
            return Ok(port);
        }
        std::thread::sleep(PATIENCE / 200);
    }
    bail!("the embedded broker does not answer on {listen}")
}

/// The second MQTT client.
pub struct Subscriber {
    /// Tells of the subscription first, then of the end with the number of minutes.
    news: mpsc::Receiver<anyhow::Result<u32>>,
}

impl Subscriber {
    /// Subscribes to everything under `root`, and hands each payload on; `take` says which one is the last.
    ///
    /// # Errors
    /// When the broker does not let it subscribe.
    pub fn start(
        port: u16,
        root: &str,
        take: impl Fn(&[u8]) -> anyhow::Result<bool> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let options = MqttOptions::new("lectern-demo-subscriber", Ipv4Addr::LOCALHOST.to_string(), port);
        let (client, mut connection) = Client::new(options, 16);
        client.subscribe(format!("{root}/#"), QoS::AtLeastOnce)?;
        let (sender, news) = mpsc::channel();
        std::thread::Builder::new().name("subscriber".to_owned()).spawn(move || {
            // The client must live as long as its connection.
            let _client = client;
            let mut minutes = 0;
            for event in connection.iter() {
                let told = match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => sender.send(Ok(0)),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        minutes += u32::from(publish.topic.ends_with("/minute"));
                        match take(&publish.payload) {
                            Ok(last) if last => sender.send(Ok(minutes)),
                            Ok(_) => continue,
                            Err(error) => sender.send(Err(error)),
                        }
                    }
                    Ok(_) => continue,
                    Err(error) => sender.send(Err(error.into())),
                };
                if told.is_err() {
                    return;
                }
            }
        })?;
        let subscriber = Self { news };
        subscriber.next("the subscription")?;
        Ok(subscriber)
    }

    /// Waits for the last payload; returns how many minutes came.
    ///
    /// # Errors
    /// When it does not come.
    pub fn finish(self) -> anyhow::Result<u32> {
        self.next("the last payload")
    }

    fn next(&self, what: &str) -> anyhow::Result<u32> {
        self.news.recv_timeout(PATIENCE).with_context(|| format!("{what} did not come"))?
    }
}
