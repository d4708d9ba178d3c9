//! Under random faults no ended record is lost, and none arrives with two contents: `cargo bench --bench soak`.
//!
//! ```text
//! cargo bench --bench soak -- [--seed 1] [--faults 2000]      # CI: --faults 40
//! ```
//! A device (a child process with the real publisher and spool, synthetic windows, minutes of 100 ms) connects to a real
//! mosquitto through a small proxy, under random faults: the device is killed or loses power; its disk is full, missing
//! for some time or unreadable (single reads, or every second file); its clock steps; the network is cut, drops bytes or
//! echoes them; the broker is restarted, or killed and started again. Lasting faults overlap with others. A power loss also
//! damages unsynced data, and restores files whose removal was not synced. The folders record what the spool accepted in
//! ledgers that no fault affects. In the end everything in the ledgers must have arrived at a subscriber:
//!
//! - a record that was accepted, and an open window that was kept, in every boot that lost no power;
//! - a record that was synced to the disk, always; what a power loss takes is younger, and the last of its boot;
//! - with the same bytes each time, `seq` from 0 on without a gap, and in order once repeats are removed.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench may"
)]
#![allow(clippy::unwrap_used, reason = "a soak that cannot go on fails")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod device;
mod disk;
mod files;
mod reconcile;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser;
use common::Mosquitto;
use common::proxy::{Fault as Network, Proxy};
use fastrand::Rng;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS, SubscribeFilter};

/// The longest wait for an expected event.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The topic of the subscriber's own end marker.
const END: &str = "soak/end";

const HOUR: i64 = 3_600;
const TEN_YEARS: i64 = 10 * 8_766 * HOUR;

/// A soak with random faults.
#[derive(Parser)]
struct Arguments {
    /// The same seed gives the same faults in the same order, though not at the same instants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many faults.
    #[arg(long, default_value_t = 2000)]
    faults: u32,
    /// Runs the device instead: its folder, and the port of its broker.
    #[arg(long, hide = true, num_args = 2)]
    device: Option<Vec<String>>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some([folder, port]) = arguments.device.as_deref() {
        return device::run(Path::new(folder), port.parse().unwrap());
    }
    soak(&arguments)
}

/// All faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    PowerLoss,
    BrokerRestart,
    BrokerKill,
    Cut,
    Silence,
    Reflection,
    DiskFull,
    ReadsFail,
    FilesFail,
    DiskAway,
    ClockStep,
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::Kill,
        Self::PowerLoss,
        Self::BrokerRestart,
        Self::BrokerKill,
        Self::Cut,
        Self::Silence,
        Self::Reflection,
        Self::DiskFull,
        Self::ReadsFail,
        Self::FilesFail,
        Self::DiskAway,
        Self::ClockStep,
    ];
}

/// The components that faults affect.
struct Scene {
    folder: PathBuf,
    device: Device,
    broker: Mosquitto,
    proxy: Proxy,
    subscriber: Subscriber,
    random: Rng,
    /// Records that a power loss caught before they were synced.
    unsynced: u64,
    /// The boots that ended in a power loss.
    powerless: Vec<String>,
    /// The number of further faults until the network recovers.
    network_back: Option<u32>,
    /// The same for the disk's faults, by the file that marks each.
    disk_back: [(&'static str, Option<u32>); 4],
}

/// The faults of the disk, by the file that marks each.
const DISK_FAULTS: [&str; 4] = [files::DISK_FULL, files::READS_FAIL, files::FILES_FAIL, files::DISK_AWAY];

fn soak(arguments: &Arguments) -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::unbounded();
    let subscriber = Subscriber::start(broker.port);
    let proxy = Proxy::in_pieces::<128>(broker.port);
    let mut scene = Scene {
        folder: folder.path().to_owned(),
        device: Device::start(folder.path(), proxy.port),
        broker,
        proxy,
        subscriber,
        random: Rng::with_seed(arguments.seed),
        unsynced: 0,
        powerless: Vec::new(),
        network_back: None,
        disk_back: DISK_FAULTS.map(|fault| (fault, None)),
    };
    let mut happened = [0_u32; Fault::ALL.len()];
    let began = Instant::now();
    for count in 1..=arguments.faults {
        std::thread::sleep(Duration::from_millis(scene.random.u64(10..250)));
        let fault = scene.random.choice(Fault::ALL).unwrap();
        happened[fault as usize] += 1;
        scene.inflict(fault);
        scene.heal();
        if count % 200 == 0 {
            eprintln!("{count} faults in {} s", began.elapsed().as_secs());
        }
    }
    let (received, powerless, unsynced) = scene.finish();
    let outcome = reconcile::reconcile(folder.path(), &received, &powerless, unsynced);
    let faults: Vec<_> =
        Fault::ALL.iter().zip(happened).map(|(fault, times)| format!("{fault:?} {times}")).collect();
    println!("seed {}, {} faults ({}): {outcome}", arguments.seed, arguments.faults, faults.join(", "));
    if outcome.is_good() {
        ExitCode::SUCCESS
    } else {
        fs::write(folder.path().join("received"), received.join("\n")).unwrap();
        println!("what was noted and received is kept in {}", folder.keep().display());
        ExitCode::FAILURE
    }
}

/// The process of the device; killed when it is dropped.
struct Device(Child);

impl Device {
    fn start(folder: &Path, port: u16) -> Self {
        let program = std::env::current_exe().unwrap();
        Self(Command::new(program).arg("--device").arg(folder).arg(port.to_string()).spawn().unwrap())
    }

    /// Kills it; it may not have ended by itself.
    fn end(&mut self) {
        self.0.kill().unwrap();
        let status = self.0.wait().unwrap();
        assert_eq!(status.code(), None, "the device ended by itself: {status}");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::Kill => self.kill(),
            Fault::PowerLoss => {
                // A device that was killed before it opened its folders has no boot yet.
                self.device.end();
                self.powerless.extend(reconcile::boot_in(&self.folder.join(files::RUNTIME)));
                let _ = fs::remove_dir_all(self.folder.join(files::RUNTIME));
                self.unsynced += disk::lose_power(&self.folder, &mut self.random);
                self.device = Device::start(&self.folder, self.proxy.port);
            }
            Fault::BrokerRestart => self.restart_broker(Mosquitto::stop),
            Fault::BrokerKill => self.restart_broker(Mosquitto::kill),
            Fault::Cut => self.network(Network::Refused),
            Fault::Silence => self.network(Network::HalfOpen),
            Fault::Reflection => self.network(Network::Reflecting),
            Fault::DiskFull => self.disk(files::DISK_FULL),
            Fault::ReadsFail => self.disk(files::READS_FAIL),
            Fault::FilesFail => self.disk(files::FILES_FAIL),
            Fault::DiskAway => self.disk(files::DISK_AWAY),
            Fault::ClockStep => {
                let offset = self.random.choice([0, HOUR, -HOUR, TEN_YEARS, -TEN_YEARS]).unwrap();
                fs::write(self.folder.join(files::CLOCK_OFFSET), offset.to_string()).unwrap();
            }
        }
    }

    /// Ends the faults that have lasted long enough.
    fn heal(&mut self) {
        let over = |left: &mut Option<u32>| {
            *left = left.map(|faults| faults - 1);
            left.take_if(|faults| *faults == 0).is_some()
        };
        if over(&mut self.network_back) {
            self.proxy.cut_and_set(Network::None);
        }
        let mut mended = self.disk_back;
        let is_over = mended.each_mut().map(|(fault, left)| (*fault, over(left)));
        self.disk_back = mended;
        for (fault, _) in is_over.into_iter().filter(|(_, is_over)| *is_over) {
            self.mend_disk(fault);
        }
    }

    fn disk(&mut self, fault: &'static str) {
        let file = self.folder.join(fault);
        if fault != files::DISK_AWAY {
            fs::write(file, "").unwrap();
        } else if !file.exists() {
            // A file replaces the folder atomically, so that a device that starts meanwhile does not create
            // another folder.
            fs::write(&file, "").unwrap();
            if exchange(&file, &self.folder.join(files::DISK)).is_err() {
                // A device that was killed too early has not created it.
                fs::remove_file(file).unwrap();
                return;
            }
        }
        let lasts = Some(self.random.u32(1..5));
        self.disk_back.iter_mut().filter(|(name, _)| *name == fault).for_each(|(_, left)| *left = lasts);
    }

    fn mend_disk(&self, fault: &str) {
        let file = self.folder.join(fault);
        if fault == files::DISK_AWAY && file.exists() {
            exchange(&file, &self.folder.join(files::DISK)).unwrap();
            fs::remove_file(file).unwrap();
        } else {
            let _ = fs::remove_file(file);
        }
    }

    fn network(&mut self, state: Network) {
        match state {
            Network::Refused => self.proxy.cut_and_set(state),
            _ => self.proxy.set(state),
        }
        self.network_back = Some(self.random.u32(1..5));
    }

    /// A message that the broker acknowledges without a subscriber is lost by the broker, not by the device: so the device
    /// can connect only once the subscriber is back.
    fn restart_broker(&mut self, end: fn(&mut Mosquitto)) {
        self.proxy.close(true);
        end(&mut self.broker);
        self.subscriber.subscribed.try_iter().for_each(drop);
        self.pause();
        self.broker.restart();
        self.subscriber.wait();
        self.proxy.close(false);
    }

    fn kill(&mut self) {
        self.device.end();
        self.pause();
        self.device = Device::start(&self.folder, self.proxy.port);
    }

    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.random.u64(0..100)));
    }

    /// Ends all faults and waits until the device has delivered everything; returns the received payloads, the boots that
    /// lost power, and their number of unsynced records.
    fn finish(mut self) -> (Vec<String>, Vec<String>, u64) {
        self.proxy.cut_and_set(Network::None);
        DISK_FAULTS.iter().for_each(|fault| self.mend_disk(fault));
        fs::write(self.folder.join(files::FINISH), "").unwrap();
        let status = self.device.0.wait().unwrap();
        assert!(status.success(), "the device could not deliver what was left");
        (self.subscriber.finish(), self.powerless, self.unsynced)
    }
}

/// A client directly at the broker. It never writes once it has subscribed (QoS 0, no ping), so that it reads to
/// the end what a killed broker had sent; and a broker sends to it before it acknowledges to the device.
struct Subscriber {
    client: Client,
    subscribed: mpsc::Receiver<()>,
    received: mpsc::Receiver<Option<String>>,
}

impl Subscriber {
    fn start(port: u16) -> Self {
        let mut options = MqttOptions::new("soak-subscriber", Ipv4Addr::LOCALHOST.to_string(), port);
        options.set_keep_alive(Duration::ZERO);
        let (client, mut connection) = Client::new(options, 16);
        let (sender, received) = mpsc::channel();
        let (ready, subscribed) = mpsc::channel();
        let subscribing = client.clone();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        let topics = ["lectern/#", END]
                            .map(|topic| SubscribeFilter::new(topic.to_owned(), QoS::AtMostOnce));
                        subscribing.try_subscribe_many(topics).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                        let message = (publish.topic != END).then_some(payload);
                        if sender.send(message).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        let this = Self { client, subscribed, received };
        this.wait();
        this
    }

    /// Waits for the next subscription.
    fn wait(&self) {
        self.subscribed.recv_timeout(TIMEOUT).expect("a subscription");
    }

    /// All received payloads, once the end marker has arrived.
    fn finish(self) -> Vec<String> {
        self.client.publish(END, QoS::AtLeastOnce, false, "").unwrap();
        let mut all = Vec::new();
        while let Some(payload) = self.received.recv_timeout(TIMEOUT).expect("the end") {
            all.push(payload);
        }
        all
    }
}

/// Exchanges the names of two files or folders atomically.
fn exchange(one: &Path, other: &Path) -> rustix::io::Result<()> {
    let folder = rustix::fs::CWD;
    rustix::fs::renameat_with(folder, one, folder, other, rustix::fs::RenameFlags::EXCHANGE)
}
