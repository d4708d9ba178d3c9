//! Logging: to the journal where systemd connected us to it, otherwise to standard error.
//!
//! What can be heard. Of Lectern itself: what [`VARIABLE`] asks for. Of other crates: warnings at most, whatever it asks
//! for. Of rumqttc: nothing ever, for its lines hold the packets that a broker sent, and one that sends our CONNECT back
//! would have the password printed; what goes wrong there is told in our own words (`lectern_delivery`). Of rumqttd, the
//! demo's broker: nothing, for it names its tracing spans at level error; what fails there is told by the demo. A panic in
//! another crate is told by its place alone, for its words may hold anything.
//!
//! What is heard is made [`Printable`], message and fields.

pub mod events;
mod limit;
pub mod printable;

use std::panic::PanicHookInfo;

use env_filter::{Builder, Filter};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use limit::Limited;
use printable::{Printable, complain};

/// Sets what is logged: a level for Lectern itself, or `MODULE=LEVEL,…` for its modules. Without it a daemon logs from
/// `info` and a command from `warn`.
pub const VARIABLE: &str = "LECTERN_LOG";

/// Starts logging. None of our lines holds counts or pixels, and none is repeated without end.
///
/// Of the crates in `unheard` nothing is heard, for their lines may hold packets.
pub fn start(daemon: bool, unheard: &'static [&'static str]) {
    std::panic::set_hook(Box::new(|panic| complain(describe(panic))));
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let filter = filter(if daemon { LevelFilter::Info } else { LevelFilter::Warn }, &wanted);
    let most = filter.filter();
    let logger: Box<dyn Log> = match connected_to_journal().then(JournalLog::new) {
        Some(Ok(journal)) => Box::new(Guarded { filter, unheard, inner: Limited::new(journal) }),
        _ => {
            let terminal =
                env_logger::Builder::new().filter_level(LevelFilter::Trace).format_target(false).build();
            Box::new(Guarded { filter, unheard, inner: Limited::new(terminal) })
        }
    };
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(most);
    }
}

fn filter(level: LevelFilter, wanted: &str) -> Filter {
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Warn);
    match wanted.parse() {
        Ok(own) => builder.filter_module("lectern", own),
        Err(_) => builder.filter_module("lectern", level).parse(wanted),
    };
    builder.build()
}

/// What a panic is told as.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    // The compiler writes the paths of our own files from the workspace on.
    let ours =
        panic.location().is_some_and(|at| ["src/", "crates/"].iter().any(|from| at.file().starts_with(from)));
    let words =
        panic.payload_as_str().filter(|_| ours).map_or_else(String::new, |words| format!(": {words}"));
    format!("this is a bug: stopped{place}{words}")
}

/// A logger that hears what it may, in a form that may be printed.
struct Guarded<L> {
    filter: Filter,
    unheard: &'static [&'static str],
    inner: L,
}

impl<L> Guarded<L> {
    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        let name = metadata.target().split("::").next().unwrap_or_default();
        let allowed = match name {
            "lectern" | "lectern_delivery" | "lectern_record" | "lectern_vision" => true,
            _ => !self.unheard.contains(&name) && metadata.level() <= Level::Warn,
        };
        allowed && self.filter.enabled(metadata)
    }
}

impl<L: Log> Log for Guarded<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.hears(metadata) && self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // The filter may also ask for words.
        if !self.hears(record.metadata()) || !self.filter.matches(record) {
            return;
        }
        let mut fields = Fields(Vec::new());
        if record.key_values().visit(&mut fields).is_err() {
            fields.0.clear();
        }
        let mut printable = record.to_builder();
        printable.key_values(&fields.0);
        self.inner.log(&printable.args(format_args!("{}", Printable(record.args()))).build());
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

/// The fields of a record, made printable.
struct Fields<'a>(Vec<(Key<'a>, String)>);

impl<'a> VisitSource<'a> for Fields<'a> {
    fn visit_pair(&mut self, key: Key<'a>, value: Value<'a>) -> Result<(), Error> {
        self.0.push((key, Printable(value).to_string()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn heard(wanted: &str, target: &str, level: Level) -> bool {
        let guarded = Guarded {
            filter: filter(LevelFilter::Info, wanted),
            unheard: &crate::delivery::CRATES_WITH_PACKETS,
            inner: (),
        };
        guarded.hears(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn a_bare_level_is_lecterns_own() {
        assert!(heard("", "lectern::watch", Level::Info) && !heard("", "lectern::watch", Level::Debug));
        assert!(
            heard("debug", "lectern::watch", Level::Debug) && !heard("debug", "tract_core", Level::Debug)
        );
        assert!(!heard("off", "lectern::watch", Level::Error));
        assert!(heard("lectern::watch=debug", "lectern::watch", Level::Debug));
        assert!(
            heard("", "lectern_delivery::spool", Level::Info)
                && heard("trace", "lectern_vision", Level::Trace)
        );
        assert!(heard("lectern_delivery=debug", "lectern_delivery::spool", Level::Debug));
        assert!(!heard("lectern_delivery=debug", "lectern_vision::tracker", Level::Debug));
    }

    #[test]
    fn who_logs_packets_is_never_heard_and_others_only_warn() {
        for wanted in ["", "trace", "rumqttc=trace", "rumqttc::state=trace,trace", "debug,rumqttc=error"] {
            for level in [Level::Error, Level::Debug, Level::Trace] {
                assert!(!heard(wanted, "rumqttc::state", level) && !heard(wanted, "rumqttd", level));
            }
        }
        assert!(heard("", "tract_core", Level::Warn));
        assert!(!heard("tract_core=trace,rustls=trace", "rustls::client", Level::Info));
    }

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Log for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &Record<'_>) {
            let mut fields = Fields(Vec::new());
            record.key_values().visit(&mut fields).unwrap();
            let fields: String = fields.0.iter().map(|(key, value)| format!(" {key}={value}")).collect();
            self.0.lock().unwrap().push(format!("{}{fields}", record.args()));
        }
        fn flush(&self) {}
    }

    #[test]
    fn words_and_fields_from_outside_are_escaped() {
        let guarded = Guarded { filter: filter(LevelFilter::Info, ""), unheard: &[], inner: Kept::default() };
        let fields = [("LECTERN_ERROR", "gone\nPRIORITY=0")];
        guarded.log(
            &Record::builder()
                .target("lectern")
                .level(Level::Warn)
                .args(format_args!("{}", "a\nb\x1b[0m"))
                .key_values(&fields)
                .build(),
        );
        let kept = guarded.inner.0.lock().unwrap();
        assert_eq!(*kept, ["a\\nb\\u{1b}[0m LECTERN_ERROR=gone\\nPRIORITY=0"]);
    }
}
