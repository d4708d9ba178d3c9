//! Logging: to the journal where systemd connected us to it, otherwise to standard error.

use log::LevelFilter;

/// Sets what is logged; otherwise a daemon logs from `info` and a command from `warn`.
pub const VARIABLE: &str = "LECTERN_LOG";

/// Starts logging. Other crates are heard from `warn` on only; none of our lines holds counts or pixels.
pub fn start(daemon: bool) {
    let level = if daemon { LevelFilter::Info } else { LevelFilter::Warn };
    if systemd_journal_logger::connected_to_journal()
        && let Ok(journal) = systemd_journal_logger::JournalLog::new()
        && journal.install().is_ok()
    {
        // The journal keeps its own filter; this one is read from the same variable as at a terminal.
        let wanted = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        log::set_max_level(wanted.unwrap_or(level));
        return;
    }
    env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        .filter_module("lectern", level)
        // The demo's broker names its tracing spans at level error; what fails there is told by the demo.
        .filter_module("rumqttd", LevelFilter::Off)
        .parse_env(VARIABLE)
        .format_target(false)
        .init();
}
