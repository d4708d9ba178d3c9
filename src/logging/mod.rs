//! Logging: to the journal where systemd connected us to it, otherwise to standard error.
//!
//! What is logged depends on the crate. Lectern's own: what [`VARIABLE`] selects. Other crates: warnings and errors at most,
//! whatever it selects. rumqttc: nothing, because its lines hold the packets that a broker sent, and a broker that echoes our
//! CONNECT would get the password printed; `lectern_delivery` logs its errors instead. rumqttd, the demo's broker: nothing,
//! because it logs its tracing spans at level error; the demo prints its failures. A panic in another crate is logged by its
//! location alone, because its message may hold anything.
//!
//! The message and fields of each logged record are made [`Printable`].

pub mod events;
mod limit;
pub mod printable;

use std::panic::PanicHookInfo;

use env_filter::{Builder, Filter};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use limit::Limited;
use printable::{Printable, print_error};

/// Sets what is logged: a level for Lectern itself, or `MODULE=LEVEL,…` for its modules. Without it a daemon logs from
/// `info` and a command from `warn`.
pub const VARIABLE: &str = "LECTERN_LOG";

/// Starts logging. None of our lines holds counts or pixels, and none is repeated without end.
///
/// The crates in `silenced` log nothing, because their lines may hold packets.
pub fn start(daemon: bool, silenced: &'static [&'static str]) {
    std::panic::set_hook(Box::new(|panic| print_error(describe(panic))));
    let spec = std::env::var(VARIABLE).unwrap_or_default();
    let filter = filter(if daemon { LevelFilter::Info } else { LevelFilter::Warn }, &spec);
    let most = filter.filter();
    let logger: Box<dyn Log> = match connected_to_journal().then(JournalLog::new) {
        Some(Ok(journal)) => Box::new(Guarded { filter, silenced, inner: Limited::new(journal) }),
        _ => {
            let terminal =
                env_logger::Builder::new().filter_level(LevelFilter::Trace).format_target(false).build();
            Box::new(Guarded { filter, silenced, inner: Limited::new(terminal) })
        }
    };
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(most);
    }
}

fn filter(level: LevelFilter, spec: &str) -> Filter {
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Warn);
    match spec.parse() {
        Ok(own) => builder.filter_module("lectern", own),
        Err(_) => builder.filter_module("lectern", level).parse(spec),
    };
    builder.build()
}

/// The log message of a panic.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    // The compiler writes the paths of our own files from the workspace on.
    let ours =
        panic.location().is_some_and(|at| ["src/", "crates/"].iter().any(|from| at.file().starts_with(from)));
    let message =
        panic.payload_as_str().filter(|_| ours).map_or_else(String::new, |message| format!(": {message}"));
    format!("this is a bug: stopped{place}{message}")
}

/// Drops the records of disallowed crates and levels, and escapes the others.
struct Guarded<L> {
    filter: Filter,
    silenced: &'static [&'static str],
    inner: L,
}

impl<L> Guarded<L> {
    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let name = metadata.target().split("::").next().unwrap_or_default();
        let allowed = match name {
            "lectern" | "lectern_delivery" | "lectern_record" | "lectern_vision" => true,
            _ => !self.silenced.contains(&name) && metadata.level() <= Level::Warn,
        };
        allowed && self.filter.enabled(metadata)
    }
}

impl<L: Log> Log for Guarded<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.allows(metadata) && self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // The filter may also match on the message.
        if !self.allows(record.metadata()) || !self.filter.matches(record) {
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

    fn is_logged(spec: &str, target: &str, level: Level) -> bool {
        let guarded = Guarded {
            filter: filter(LevelFilter::Info, spec),
            silenced: &crate::delivery::CRATES_WITH_PACKETS,
            inner: (),
        };
        guarded.allows(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn a_bare_level_is_lecterns_own() {
        assert!(
            is_logged("", "lectern::watch", Level::Info) && !is_logged("", "lectern::watch", Level::Debug)
        );
        assert!(
            is_logged("debug", "lectern::watch", Level::Debug)
                && !is_logged("debug", "tract_core", Level::Debug)
        );
        assert!(!is_logged("off", "lectern::watch", Level::Error));
        assert!(is_logged("lectern::watch=debug", "lectern::watch", Level::Debug));
        assert!(
            is_logged("", "lectern_delivery::spool", Level::Info)
                && is_logged("trace", "lectern_vision", Level::Trace)
        );
        assert!(is_logged("lectern_delivery=debug", "lectern_delivery::spool", Level::Debug));
        assert!(!is_logged("lectern_delivery=debug", "lectern_vision::tracker", Level::Debug));
    }

    #[test]
    fn packet_loggers_are_silenced_and_others_only_warn() {
        for spec in ["", "trace", "rumqttc=trace", "rumqttc::state=trace,trace", "debug,rumqttc=error"] {
            for level in [Level::Error, Level::Debug, Level::Trace] {
                assert!(!is_logged(spec, "rumqttc::state", level) && !is_logged(spec, "rumqttd", level));
            }
        }
        assert!(is_logged("", "tract_core", Level::Warn));
        assert!(!is_logged("tract_core=trace,rustls=trace", "rustls::client", Level::Info));
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
        let guarded =
            Guarded { filter: filter(LevelFilter::Info, ""), silenced: &[], inner: Kept::default() };
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
