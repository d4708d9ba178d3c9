//! The status as metrics in Prometheus' text format, for the textfile collector of node_exporter.
//!
//! The form: <https://prometheus.io/docs/instrumenting/exposition_formats/>. `promtool check metrics` reads it in continuous
//! integration.

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use super::board::Board;
use crate::delivery::payload::State;
use crate::local_status::LocalStatus;
use crate::logging::printable::Printable;

/// Labels and value.
type Sample = (Vec<(&'static str, String)>, String);

/// The metrics of a service, or of none, and of the board.
pub(super) fn metrics(service: Option<&LocalStatus>, board: &Board) -> String {
    let mut text = Text::default();
    text.gauge("lectern_up", "Whether the service runs and tells of itself.", u8::from(service.is_some()));
    if let Some(service) = service {
        text.service(service);
    }
    text.board(board);
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[Sample]) {
        if samples.is_empty() {
            return;
        }
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<_> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _infallible = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help, &[(Vec::new(), value.to_string())]);
    }

    fn service(&mut self, service: &LocalStatus) {
        let LocalStatus { device_info, broker, spool, .. } = service;
        let info = vec![("device", service.device.clone()), ("version", service.version.clone())];
        self.family("lectern_build_info", "gauge", "What runs.", &[(info, "1".to_owned())]);
        let models: Vec<_> = device_info
            .models
            .iter()
            .map(|(file, hash)| (vec![("file", file.clone()), ("sha256", hash.clone())], "1".to_owned()))
            .collect();
        self.family("lectern_model_info", "gauge", "The networks that run.", &models);
        let states = State::ALL
            .map(|state| (vec![("state", state.name())], u8::from(state == service.state).to_string()));
        self.family("lectern_state", "gauge", "What the device is doing: one of these is 1.", &states);
        if let Some(rate) = service.frames_per_second {
            self.gauge("lectern_frames_per_second", "Frames analysed each second, of late.", rate);
        }
        let wanted = device_info.frames_per_second_wanted;
        self.gauge("lectern_frames_per_second_wanted", "Frames to analyse each second.", wanted);
        if let Some(window) = &service.last_window {
            if let Ok(start) = window.start.parse::<Timestamp>() {
                let help = "Label of the window that ended last.";
                self.gauge("lectern_last_window_start_timestamp_seconds", help, start.as_second());
            }
            let help = "Frames analysed in the window that ended last.";
            self.gauge("lectern_last_window_frames", help, window.frames);
            let help = "Frames that were due in the window that ended last.";
            self.gauge("lectern_last_window_frames_expected", help, window.frames_expected);
        }
        let help = "Whether the broker has accepted the connection.";
        self.gauge("lectern_broker_connected", help, u8::from(broker.connected));
        self.gauge("lectern_windows_waiting", "Windows that wait for the broker.", spool.waiting);
        let help = "Waiting windows in files that cannot be read at present.";
        self.gauge("lectern_windows_unreadable", help, spool.unreadable);
        let dropped = [(Vec::new(), spool.dropped.to_string())];
        let help = "Windows that nobody will receive.";
        self.family("lectern_windows_dropped_total", "counter", help, &dropped);
        let help = "Whether what waits can go to the disk, and not only to memory.";
        self.gauge("lectern_spool_on_disk", help, u8::from(spool.on_disk));
        let help = "Whether the service holds the clock to be synchronised.";
        self.gauge("lectern_clock_synchronised", help, u8::from(service.clock_synced));
    }

    fn board(&mut self, board: &Board) {
        let heat: Vec<_> = board
            .temperatures
            .iter()
            .map(|one| {
                (vec![("zone", one.zone.clone()), ("sensor", one.sensor.clone())], one.celsius.to_string())
            })
            .collect();
        self.family("lectern_board_temperature_celsius", "gauge", "Temperatures of the board.", &heat);
        let reason = |name: &str| vec![("reason", name.to_owned())];
        let now: Vec<_> = board
            .throttling
            .iter()
            .map(|one| (reason(one.reason.name()), u8::from(one.now).to_string()))
            .collect();
        self.family("lectern_board_throttled", "gauge", "Why the board is slowed down now.", &now);
        let since: Vec<_> = board
            .throttling
            .iter()
            .filter_map(|one| Some((reason(one.reason.name()), u8::from(one.since_boot?).to_string())))
            .collect();
        let help = "Why the board was slowed down since its boot.";
        self.family("lectern_board_throttled_since_boot", "gauge", help, &since);
    }
}

/// A label's value. A character that controls a terminal is written as elsewhere, `\u{1b}`, with its backslash escaped.
fn escape(value: &str) -> String {
    Printable(value).to_string().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_hold_anything() {
        assert_eq!(escape("a\\b\"c\nd\x1b\u{202e}"), "a\\\\b\\\"c\\\\nd\\\\u{1b}\\\\u{202e}");
    }
}
