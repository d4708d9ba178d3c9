//! The device under test: the real publisher, spool and windows; frames and folders with faults.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use lectern::clock::{BootTime, Clock, Stop, SystemClock};
use lectern::delivery::payload::State;
use lectern::delivery::spool::storage::{Directory, Storage};
use lectern::delivery::spool::{self, Folders, Keep, Patience, Spool};
use lectern::delivery::{PublisherConfig, Timing, Update};
use lectern::expression::{Expression, Sighting};
use lectern::window::{Grid, Window};

use crate::common::{config, local_broker};
use crate::disk::Disk;
use crate::files::{ACCEPTED, CLOCK_OFFSET, DISK, FINISH, KEPT, Ledger, RUNTIME, payload};

/// How much faster the device's clock runs: a minute takes 100 ms.
const SPEED: u32 = 600;
const GRID: Grid = Grid { seconds: 60, origin: Timestamp::UNIX_EPOCH };
const RATE_HZ: f64 = 0.1;
const TICK: Duration = Duration::from_secs(10);
/// Much longer than faults last.
const HOLD_ORDER: Duration = Duration::from_secs(60);
/// More than the largest backlog, so that no record is dropped.
const CAPACITY: usize = 100_000;

const TIMING: Timing = Timing {
    first_backoff: Duration::from_millis(20),
    longest_backoff: Duration::from_millis(200),
    acknowledge_within: Duration::from_millis(500),
    store_after: Duration::from_millis(50),
    shutdown_within: Duration::from_secs(600),
    pace: Duration::from_millis(1),
};

/// Watches and delivers until it is killed, or the file [`FINISH`] exists.
pub(crate) fn run(folder: &Path, port: u16) -> ExitCode {
    let clock = Arc::new(FastClock { offset: folder.join(CLOCK_OFFSET) });
    let folders = Folders {
        disk: Some(named(DISK, Disk::open(folder))),
        runtime: Some(named(RUNTIME, Runtime::open(folder))),
    };
    let mut spool = Spool::open(folders, Keep::records(CAPACITY)).unwrap();
    // No file is unreadable for longer than the order is held, whatever the clock's speed.
    spool.set_patience(Patience { hold_order: HOLD_ORDER * SPEED, ..Patience::default() });
    let first_seq = spool.next_seq();
    let stop = Stop::default();
    let broker = local_broker(port, "soak-device");
    let config = PublisherConfig {
        clock: clock.clone(),
        stop: stop.clone(),
        ..config("soak", broker, &spool, TIMING)
    };
    let (updates, thread) = config.start(spool).unwrap();
    updates.send(Update::State(State::Watching));
    let finish = folder.join(FINISH);
    watch(&*clock, first_seq, &stop, || finish.exists(), |update| updates.send(update));
    updates.send(Update::State(State::Stopping));
    drop(updates);
    if thread.join().unwrap().undelivered == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn named(name: &str, storage: impl Storage + 'static) -> spool::Folder {
    spool::Folder { name: name.to_owned(), storage: Box::new(storage) }
}

/// Like `lectern::watch`, with random faces.
fn watch(
    clock: &dyn Clock,
    first_seq: u64,
    stop: &Stop,
    finish: impl Fn() -> bool,
    mut send: impl FnMut(Update),
) {
    let mut random = Rng::new();
    let (mut seq, mut opens) = (first_seq, clock.boot());
    loop {
        let mut window = Window::open(GRID, RATE_HZ, clock, opens);
        opens = window.ends();
        let mut tick = window.opened();
        while tick < window.ends() && !finish() {
            clock.sleep_until(tick, stop);
            let face = random.choice(Expression::ALL).map(Sighting::Certain);
            window.add_frame(face.as_slice());
            send(Update::Open(window.record_at(clock.boot(), seq, clock)));
            tick += TICK;
        }
        if finish() {
            return send(Update::Record(window.record_at(clock.boot(), seq, clock)));
        }
        clock.sleep_until(window.ends(), stop);
        send(Update::Record(window.record_at(window.ends(), seq, clock)));
        seq += 1;
    }
}

/// A fast clock whose wall time is stepped by a file.
struct FastClock {
    offset: PathBuf,
}

impl FastClock {
    fn offset(&self) -> i64 {
        // A read during the write gives no number: an additional step.
        fs::read_to_string(&self.offset).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

impl Clock for FastClock {
    fn boot(&self) -> BootTime {
        SystemClock.boot() * SPEED
    }

    fn wall(&self) -> Timestamp {
        let wall = Timestamp::UNIX_EPOCH.saturating_add(self.boot());
        wall.and_then(|wall| wall.saturating_add(SignedDuration::from_secs(self.offset()))).unwrap()
    }

    fn synced(&self) -> bool {
        self.offset() == 0
    }

    fn sleep_until(&self, deadline: BootTime, stop: &Stop) {
        SystemClock.sleep_until(deadline / SPEED, stop);
    }
}

/// The runtime directory, with ledgers of its content.
struct Runtime {
    inner: Directory,
    accepted: Ledger,
    kept: Ledger,
}

impl Runtime {
    fn open(folder: &Path) -> Self {
        Self {
            inner: Directory::at(&folder.join(RUNTIME)),
            accepted: Ledger::open(folder.join(ACCEPTED)),
            kept: Ledger::open(folder.join(KEPT)),
        }
    }
}

impl Storage for Runtime {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn read(&self, name: &str, longest: usize) -> io::Result<Vec<u8>> {
        self.inner.read(name, longest)
    }

    fn write(&mut self, name: &str, bytes: &[u8], durably: bool) -> io::Result<()> {
        self.inner.write(name, bytes, durably)?;
        if name.contains('/') {
            self.accepted.note(&payload(bytes));
            return Ok(());
        }
        let state: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        if let Some(open) = state["open"][2].as_str() {
            self.kept.note(open);
        }
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.inner.sync(name)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}
