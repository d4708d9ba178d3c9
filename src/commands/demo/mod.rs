//! `lectern demo`: from pixels to a subscriber, with nothing else installed.

mod lecture;
mod transcript;

use std::iter;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use indicatif::ProgressBar;

use super::progress_bar;
use crate::cli::Demo;
use crate::clock::{Clock, SimulatedClock, Stop, SystemClock};
use crate::delivery::demo::{Subscriber, start_broker};
use crate::delivery::payload::{Identity, State};
use crate::delivery::spool::Spool;
use crate::delivery::topics::Topics;
use crate::delivery::{PublisherConfig, Timing, Unmonitored, Update, UpdateSender};
use crate::expression::Sighting;
use crate::logging::printable::{is_terminal, print_error, print_lines, set_message};
use crate::rate;
use crate::vision::models::ModelStore;
use crate::vision::{Analysis, Analyzer};
use crate::watch::{At, Observer, Watch};
use crate::window::{Grid, MinuteRecord};
use lecture::Lecture;
use transcript::{Style, Transcript};

const ROOT: &str = "lectern/v1";
const RATE_HZ: f64 = rate::DEFAULT_HZ;
const WINDOW: u32 = 60;

/// Watches the lecture, publishes its minutes, and prints what the subscriber receives.
///
/// # Errors
/// When a network cannot be loaded, the broker does not start, or a minute does not arrive.
pub fn run(arguments: &Demo, models: Option<&Path>) -> anyhow::Result<()> {
    let mut analyzer = Analyzer::new(&ModelStore::open(models)?, None, Analysis::default())?;
    let mut source = Lecture::new(RATE_HZ)?;
    let broker = start_broker("lectern-demo")?;
    print_error(format_args!("embedded broker on {broker}, for this demo's two clients only"));
    let frames = u64::from(arguments.minutes) * u64::from(WINDOW) * 2;
    let bar = progress_bar(Some(frames), "frames");
    set_message(&bar, "watching");
    let style = style(arguments.json);
    let (mut transcript, shown) = (Some(Transcript::default()), bar.clone());
    let subscriber = Subscriber::start(&broker, ROOT, move |topic, payload| {
        let Some(received) = &mut transcript else { return Ok(None) };
        // A line above the bar, not through it.
        let last = shown.suspend(|| received.receive(style, topic, payload))?;
        Ok(if last { transcript.take() } else { None })
    })?;

    let grid = Grid { seconds: WINDOW, origin: jiff::Timestamp::UNIX_EPOCH };
    let clock = Arc::new(SimulatedClock::starting_at(this_minute()?, true));
    let stop = Stop::default();
    let device = "demo".to_owned();
    let spool = Spool::in_memory(arguments.minutes as usize)?;
    let setup = PublisherConfig {
        broker,
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
    reports.send(Update::State(State::Watching));
    let mut observer = Publishing { reports, stop: &stop, bar: &bar, minutes: arguments.minutes, seen: 0 };
    let watch = Watch { clock: &*clock, stop: &stop, grid, rate_hz: RATE_HZ, evenly: true, first_seq: 0 };
    let outcome = watch.run(&mut source, &mut analyzer, &mut observer);
    bar.finish_and_clear();
    observer.reports.send(Update::State(State::Stopping));
    drop(observer);
    thread.join()?;
    outcome?;

    let received = subscriber.finish()?;
    if received.minutes < arguments.minutes {
        bail!("{} of {} minutes arrived at the subscriber", received.minutes, arguments.minutes);
    }
    match style {
        Style::Json => received.summary().lines().for_each(print_error),
        Style::Chart { .. } => {
            let more = "`lectern demo --json` prints the messages; docs/mqtt.md explains them.";
            print_lines(iter::once("").chain(received.summary().lines()).chain([more]))?;
        }
    }
    Ok(())
}

/// Charts where people read, JSON where programs do.
fn style(json: bool) -> Style {
    if json || !is_terminal() {
        return Style::Json;
    }
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|name| name == "dumb");
    Style::Chart { colour: !dumb && !set("NO_COLOR"), blocks: !dumb }
}

/// The last whole minute, so that the first window is a whole one.
fn this_minute() -> anyhow::Result<jiff::Timestamp> {
    let now = SystemClock.wall().as_second();
    Ok(jiff::Timestamp::from_second(now - now.rem_euclid(i64::from(WINDOW)))?)
}

/// Publishes each minute, and ends the lecture after the last.
struct Publishing<'a> {
    reports: UpdateSender,
    stop: &'a Stop,
    bar: &'a ProgressBar,
    minutes: u32,
    seen: u32,
}

impl Observer for Publishing<'_> {
    fn frame(&mut self, _at: At, _sightings: Option<&[Sighting]>) {
        self.bar.inc(1);
    }

    fn window(&mut self, record: MinuteRecord) {
        self.reports.send(Update::Record(record));
        self.seen += 1;
        if self.seen == self.minutes {
            self.stop.set();
        }
    }
}
