//! The cost of a broker and its devices: `cargo bench --bench fleet`.
//!
//! ```text
//! cargo bench --bench fleet -- [--devices 2000] [--windows 5] [--cluster]
//! ```
//! Every device is the real publisher with a spool in memory; all run on one thread, against one real mosquitto, which is
//! restarted in the middle, or (`--cluster`) spread over two real RabbitMQ nodes, of which one is restarted while the
//! subscriber listens at the other. A subscriber with a persistent session must get every record, counted once after
//! removal of repeats by device, boot and `seq`.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench may"
)]
#![allow(clippy::unwrap_used, reason = "a load test that cannot go on fails")]

mod brokers;
#[path = "../../tests/common/mod.rs"]
mod common;
mod rabbitmq;

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use brokers::{Brokers, Node};
use clap::Parser;
use common::device::record;
use common::{Mosquitto, number};
use lectern::delivery::payload::State;
use lectern::delivery::spool::Spool;
use lectern::delivery::{Timing, Update, deliver};
use rabbitmq::Cluster;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

/// The time from one record of a device to its next.
const WINDOW: Duration = Duration::from_secs(2);

/// How long the broker is down.
const AWAY: Duration = Duration::from_secs(2);

/// The longest wait for a record after every device has disconnected.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The unit of CPU time in `/proc`, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

const TIMING: Timing = Timing {
    first_backoff: Duration::from_secs(1),
    longest_backoff: Duration::from_secs(5),
    acknowledge_within: Duration::from_secs(15),
    store_after: Duration::from_secs(5),
    shutdown_within: Duration::from_secs(120),
    pace: Duration::from_millis(20),
};

/// A fleet of devices at one broker.
#[derive(Parser)]
struct Arguments {
    /// How many devices.
    #[arg(long, default_value_t = 2000)]
    devices: u32,
    /// How many records each of them publishes.
    #[arg(long, default_value_t = 5)]
    windows: u32,
    /// Two RabbitMQ nodes in place of one mosquitto.
    #[arg(long)]
    cluster: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Arguments { devices, windows, cluster, .. } = Arguments::parse();
    // A connection is a file on both sides; the broker inherits this limit.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let brokers: Box<dyn Brokers> = match (cluster, Cluster::is_installed()) {
        (false, _) => Box::new(Mosquitto::unbounded()),
        (true, true) => Box::new(Cluster::start()),
        (true, false) => {
            eprintln!("RabbitMQ is not installed; apt-get install rabbitmq-server");
            return ExitCode::FAILURE;
        }
    };
    if load(brokers, devices, windows) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the fleet and prints the result; returns whether every record arrived.
fn load(mut brokers: Box<dyn Brokers>, devices: u32, windows: u32) -> bool {
    let began = Instant::now();
    let nodes = brokers.nodes();
    let subscriber = Subscriber::start(nodes[0].port);
    let (every_window, middle) = (WINDOW * windows, WINDOW * windows / 2);
    let fleet = std::thread::spawn(move || run_all(&nodes, devices, windows));
    std::thread::sleep(middle);
    let before = usages(&*brokers);
    brokers.stop();
    std::thread::sleep(AWAY);
    brokers.restart();
    let undelivered = fleet.join().unwrap();
    let (devices, windows) = (u64::from(devices), u64::from(windows));
    let (records, repeats) = subscriber.finish(devices * windows);
    let missing = devices * windows - records;
    println!(
        "{devices} devices, {windows} records each within {} s, one broker restart, {} s in all: {records} records \
         received, {repeats} repeats, {missing} missing, {undelivered} undelivered",
        every_window.as_secs(),
        began.elapsed().as_secs(),
    );
    println!("brokers before the restart of the last: {before}");
    println!("brokers after it: {}", usages(&*brokers));
    println!("clients, with the subscriber: {}", Usage::of("self"));
    missing == 0
}

/// Runs every device, spread over the nodes; returns the number of undelivered records.
fn run_all(nodes: &[Node], devices: u32, windows: u32) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ports = nodes.iter().cycle().map(|node| node.port);
        let tasks: Vec<_> = (0..devices)
            .zip(ports)
            .map(|(device, port)| tokio::spawn(run(device, devices, windows, port)))
            .collect();
        let mut undelivered = 0;
        for task in tasks {
            undelivered += task.await.unwrap();
        }
        undelivered
    })
}

/// What each node has used so far.
fn usages(brokers: &dyn Brokers) -> String {
    let each = brokers.nodes().into_iter().map(|node| Usage::of(&node.pid.to_string()).to_string());
    each.collect::<Vec<_>>().join("; ")
}

/// Runs one device; returns the number of undelivered records.
async fn run(index: u32, devices: u32, windows: u32, port: u16) -> usize {
    let device = format!("device-{index}");
    let spool = Spool::in_memory(1000).unwrap();
    let config = common::config(&device, common::local_broker(port, &device), &spool, TIMING);
    let (updates, receiver) = tokio::sync::mpsc::channel(16);
    let running = tokio::spawn(deliver(config, spool, receiver));
    // Spread over a window, like devices that started at different times.
    tokio::time::sleep(WINDOW * index / devices).await;
    updates.send(Update::State(State::Watching)).await.unwrap();
    for seq in 0..windows {
        tokio::time::sleep(WINDOW).await;
        updates.send(Update::Record(record(seq.into()))).await.unwrap();
    }
    drop(updates);
    running.await.unwrap().undelivered
}

/// What a process has used so far.
struct Usage {
    cpu: Duration,
    /// Kibibytes.
    peak_rss: u64,
}

impl Usage {
    /// `process` is a name in `/proc`.
    fn of(process: &str) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        // The program's name, in parentheses, may have spaces; user and system time are the 12th and 13th field after it.
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = [11, 12].map(|field| fields[field].parse::<u64>().unwrap()).iter().sum();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        Self {
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
            peak_rss: peak.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s CPU, {} KiB peak RSS", self.cpu.as_secs_f64(), self.peak_rss)
    }
}

/// A client with a persistent session that reports every record.
struct Subscriber {
    records: mpsc::Receiver<(String, String, u64)>,
}

impl Subscriber {
    fn start(port: u16) -> Self {
        let mut options = MqttOptions::new("fleet-subscriber", Ipv4Addr::LOCALHOST.to_string(), port);
        options.set_clean_session(false);
        let (client, mut connection) = Client::new(options, 16);
        let (sender, records) = mpsc::channel();
        let (subscribed, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        client.try_subscribe("lectern/v1/+/+/+/+/minute", QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.send(())),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let record: Value = serde_json::from_slice(&publish.payload).unwrap();
                        let text = |field: &str| record[field].as_str().unwrap().to_owned();
                        if sender.send((text("device"), text("boot"), number(&record, "seq"))).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        ready.recv_timeout(TIMEOUT).expect("a subscription");
        Self { records }
    }

    /// Waits for so many records; returns the numbers of records and repeats.
    fn finish(self, expected: u64) -> (u64, u64) {
        let (mut seen, mut records, mut repeats) = (HashSet::new(), 0, 0);
        while records < expected {
            let Ok(key) = self.records.recv_timeout(TIMEOUT) else { break };
            if seen.insert(key) { records += 1 } else { repeats += 1 }
        }
        (records, repeats)
    }
}
