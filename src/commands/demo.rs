//! `lectern demo`: the whole way from pixels to a subscriber, with nothing installed.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rumqttd::{Broker as EmbeddedBroker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use super::progress_bar;
use crate::camera::staged::Staged;
use crate::cli::Demo;
use crate::clock::{Clock, SimulatedClock, Stop, SystemClock};
use crate::delivery::payload::{Identity, State};
use crate::delivery::spool::Spool;
use crate::delivery::topics::Topics;
use crate::delivery::{Broker, Report, Reports, Setup, Timing};
use crate::expression::Sighting;
use crate::rate;
use crate::service::health::Health;
use crate::service::printable::complain;
use crate::window::{Grid, MinuteRecord};
use crate::vision::models::ModelStore;
use crate::vision::{Analysis, Analyzer};
use crate::watch::{Observer, Watch};

const ROOT: &str = "lectern/v1";
const RATE_HZ: f64 = rate::DEFAULT_HZ;
const WINDOW: u32 = 60;

/// Longest wait for the embedded broker or for the last payload.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stages the lecture, publishes its minutes, and prints what the subscriber receives.
///
/// # Errors
/// When a network cannot be loaded, the broker does not start, or a minute does not arrive.
pub fn run(arguments: &Demo, models: Option<&Path>) -> anyhow::Result<()> {
    let mut analyzer = Analyzer::new(&ModelStore::open(models)?, None, Analysis::default())?;
    let mut source = Staged::new(RATE_HZ)?;
    let port = start_broker()?;
    complain(format_args!(
        "an embedded broker listens on 127.0.0.1:{port}; a second client subscribes to {ROOT}/#"
    ));
    let subscriber = Subscriber::start(port)?;

    let grid = Grid { seconds: WINDOW, origin: jiff::Timestamp::UNIX_EPOCH };
    let clock = Arc::new(SimulatedClock::starting_at(this_minute()?, true));
    let stop = Stop::default();
    let device = "demo".to_owned();
    let spool = Spool::in_memory(arguments.minutes as usize)?;
    let setup = Setup {
        broker: Broker {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
            client_id: "lectern-demo".to_owned(),
            login: None,
            tls: None,
        },
        topics: Topics::new(ROOT, "here", "desk", "demo", &device),
        identity: Identity { device, boot: spool.boot().to_owned() },
        basis: "demonstration with a public-domain portrait".to_owned(),
        discovery: None,
        timing: Timing::default(),
        clock: clock.clone(),
        stop: stop.clone(),
        health: Arc::new(Health::new(clock.clone(), Duration::from_secs(WINDOW.into()))),
    };
    let (reports, thread) = setup.start(spool)?;
    reports.send(Report::State(State::Watching));
    let frames = u64::from(arguments.minutes) * u64::from(WINDOW) * 2;
    let bar = progress_bar(Some(frames), "frames").with_message("watching");
    let mut staging = Staging { reports, stop: &stop, bar: &bar, minutes: arguments.minutes, seen: 0 };
    let watch = Watch { clock: &*clock, stop: &stop, grid, rate_hz: RATE_HZ, evenly: true, first_seq: 0 };
    let outcome = watch.run(&mut source, &mut analyzer, &mut staging);
    bar.finish_and_clear();
    staging.reports.send(Report::State(State::Stopping));
    drop(staging);
    thread.join()?;
    outcome?;

    let received = subscriber.finish()?;
    if received < arguments.minutes {
        bail!("{received} of {} minutes arrived at the subscriber", arguments.minutes);
    }
    complain(format_args!("{received} minutes arrived; nothing else left the program"));
    Ok(())
}

/// The last whole minute, so that the first window is a whole one.
fn this_minute() -> anyhow::Result<jiff::Timestamp> {
    let now = SystemClock.wall().as_second();
    Ok(jiff::Timestamp::from_second(now - now.rem_euclid(i64::from(WINDOW)))?)
}

/// Starts the embedded broker on a free loopback port and waits until it answers.
fn start_broker() -> anyhow::Result<u16> {
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

/// The second MQTT client, which prints each payload that it receives.
struct Subscriber {
    /// Tells of the subscription first, then of the end with the number of minutes.
    news: mpsc::Receiver<anyhow::Result<u32>>,
}

impl Subscriber {
    fn start(port: u16) -> anyhow::Result<Self> {
        let options = MqttOptions::new("lectern-demo-subscriber", Ipv4Addr::LOCALHOST.to_string(), port);
        let (client, mut connection) = Client::new(options, 16);
        client.subscribe(format!("{ROOT}/#"), QoS::AtLeastOnce)?;
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
                        match print_line(&publish.payload) {
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

    /// Waits for the last payload, the status `offline`.
    fn finish(self) -> anyhow::Result<u32> {
        self.next("the last payload")
    }

    fn next(&self, what: &str) -> anyhow::Result<u32> {
        self.news.recv_timeout(PATIENCE).with_context(|| format!("{what} did not come"))?
    }
}

/// Prints one payload; true for the last one.
fn print_line(payload: &[u8]) -> anyhow::Result<bool> {
    let json: serde_json::Value = serde_json::from_slice(payload).context("a payload is no JSON")?;
    writeln!(std::io::stdout().lock(), "{}", String::from_utf8_lossy(payload))?;
    Ok(json["state"] == "offline")
}

/// Sends each minute, and ends the lecture after the last.
struct Staging<'a> {
    reports: Reports,
    stop: &'a Stop,
    bar: &'a ProgressBar,
    minutes: u32,
    seen: u32,
}

impl Observer for Staging<'_> {
    fn frame(&mut self, _offset: Duration, _sightings: Option<&[Sighting]>) {
        self.bar.inc(1);
    }

    fn window(&mut self, record: MinuteRecord) {
        self.reports.send(Report::Record(record));
        self.seen += 1;
        self.bar.suspend(|| complain(format_args!("minute {} of {} watched", self.seen, self.minutes)));
        if self.seen == self.minutes {
            self.stop.set();
        }
    }
}
