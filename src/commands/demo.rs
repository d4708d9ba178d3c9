//! `lectern demo`: the whole way from pixels to a subscriber, with nothing installed.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use indicatif::ProgressBar;

use super::progress_bar;
use crate::camera::staged::Staged;
use crate::cli::Demo;
use crate::clock::{Clock, SimulatedClock, Stop, SystemClock};
use crate::delivery::demo::{Subscriber, start_broker};
use crate::delivery::payload::{Identity, State};
use crate::delivery::spool::Spool;
use crate::delivery::topics::Topics;
use crate::delivery::{Broker, Report, Reports, Setup, Timing, Unmonitored};
use crate::expression::Sighting;
use crate::logging::printable::complain;
use crate::rate;
use crate::vision::models::ModelStore;
use crate::vision::{Analysis, Analyzer};
use crate::watch::{At, Observer, Watch};
use crate::window::{Grid, MinuteRecord};

const ROOT: &str = "lectern/v1";
const RATE_HZ: f64 = rate::DEFAULT_HZ;
const WINDOW: u32 = 60;

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
    let subscriber = Subscriber::start(port, ROOT, print_line)?;

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
        monitor: Arc::new(Unmonitored),
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
    fn frame(&mut self, _at: At, _sightings: Option<&[Sighting]>) {
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
