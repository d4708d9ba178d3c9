//! Logging: to the journal where systemd connected us to it, otherwise to standard error.

use env_filter::{Builder, Filter, FilteredLog};
use log::LevelFilter;
use systemd_journal_logger::{JournalLog, connected_to_journal};

use super::limit::Limited;

/// Sets what is logged: a level for Lectern itself, or `MODULE=LEVEL,…`. Without it a daemon logs from `info` and
/// a command from `warn`.
pub const VARIABLE: &str = "LECTERN_LOG";

/// Starts logging. Other crates are heard from `warn` on only; none of our lines holds counts or pixels, and none
/// is repeated without end.
pub fn start(daemon: bool) {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let filter = filter(if daemon { LevelFilter::Info } else { LevelFilter::Warn }, &wanted);
    let most = filter.filter();
    if connected_to_journal()
        && let Ok(journal) = JournalLog::new()
        && log::set_boxed_logger(Box::new(FilteredLog::new(Limited::new(journal), filter.clone()))).is_ok()
    {
        log::set_max_level(most);
        return;
    }
    let terminal = env_logger::Builder::new().filter_level(LevelFilter::Trace).format_target(false).build();
    if log::set_boxed_logger(Box::new(FilteredLog::new(Limited::new(terminal), filter))).is_ok() {
        log::set_max_level(most);
    }
}

fn filter(level: LevelFilter, wanted: &str) -> Filter {
    let mut builder = Builder::new();
    // The demo's broker names its tracing spans at level error; what fails there is told by the demo.
    builder.filter_level(LevelFilter::Warn).filter_module("rumqttd", LevelFilter::Off);
    match wanted.parse() {
        Ok(own) => builder.filter_module("lectern", own),
        Err(_) => builder.filter_module("lectern", level).parse(wanted),
    };
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Level, Metadata};

    fn heard(wanted: &str, target: &str, level: Level) -> bool {
        filter(LevelFilter::Info, wanted).enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn a_bare_level_is_lecterns_own() {
        assert!(heard("", "lectern::watch", Level::Info) && !heard("", "lectern::watch", Level::Debug));
        assert!(
            heard("debug", "lectern::watch", Level::Debug) && !heard("debug", "tract_core", Level::Debug)
        );
        assert!(!heard("off", "lectern::watch", Level::Error));
        assert!(
            heard("rumqttc=debug", "rumqttc", Level::Debug) && heard("rumqttc=debug", "lectern", Level::Info)
        );
    }
}
