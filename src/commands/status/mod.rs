//! `lectern status`: the health of the running service, and the board that it runs on.

mod board;
mod prometheus;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::{STANDARD_OUTPUT, atomic_file};
use crate::cli::Status;
use crate::clock::SystemClock;
use crate::help::{Explained, Problem};
use crate::local_status::{LocalStatus, Silent};
use crate::logging::printable::{print_error, print_json, print_lines};
use board::Board;

/// Where the kernel exposes the board's sensors.
const SYS: &str = "/sys";

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a LocalStatus>,
    board: &'a Board,
}

/// Prints lines, one JSON object, or metrics.
///
/// # Errors
/// When no service runs (except for metrics), its status may not be read, or the output cannot be written.
pub fn run(arguments: &Status) -> anyhow::Result<()> {
    let board = Board::read(Path::new(SYS));
    let service = LocalStatus::read(&arguments.runtime, &SystemClock);
    if arguments.prometheus {
        return write_metrics(service, &board, arguments.out.as_deref());
    }
    let printed = if arguments.json {
        let problem = service.as_ref().err().map(|error| Explained(error).to_string());
        let service = service.as_ref().ok();
        let report = Report { running: service.is_some(), problem, service, board: &board };
        print_json(&serde_json::to_string(&report)?)
    } else {
        print_lines(service.as_ref().map(lines).unwrap_or_default().into_iter().chain(board.lines()))
    };
    printed.context(STANDARD_OUTPUT)?;
    service?;
    Ok(())
}

/// A stopped service is a value; a status that may not be read is an error.
fn write_metrics(
    service: Result<LocalStatus, Silent>,
    board: &Board,
    out: Option<&Path>,
) -> anyhow::Result<()> {
    let service = match service {
        Ok(service) => Some(service),
        Err(error @ (Silent::NotAllowed(_) | Silent::Unreadable(..))) => return Err(error.into()),
        Err(error) => {
            print_error(Explained(&error));
            None
        }
    };
    let text = prometheus::metrics(service.as_ref(), board);
    match out {
        // The collector is another user, whatever the mask; it reads `*.prom` alone.
        Some(file) => atomic_file::replace(file, text.as_bytes(), Some(Permissions::from_mode(0o644)))
            .map_err(|error| {
                let problem = Problem::new(atomic_file::cannot_write(file)).caused_by(error);
                problem.with_help("name a file in a folder that is there").into()
            }),
        None => print_lines(text.lines()).context(STANDARD_OUTPUT),
    }
}

/// The status as text for people.
fn lines(service: &LocalStatus) -> Vec<String> {
    let LocalStatus { device_info, broker, spool, .. } = service;
    let state = service.state.name().replace('_', " ");
    let wanted = device_info.frames_per_second_wanted;
    let rate = service.frames_per_second.map_or_else(
        || format!("no rate yet, {wanted:.1} frames/s wanted"),
        |rate| format!("{rate:.1} frames/s, {wanted:.1} wanted"),
    );
    let window = service.last_window.as_ref().map_or_else(
        || "none has ended yet".to_owned(),
        |window| {
            format!(
                "began {}, {} s, {} of {} frames",
                window.start, window.seconds, window.frames, window.frames_expected
            )
        },
    );
    let connection = match (&broker.problem, broker.connected) {
        (_, true) => format!("{} connected", broker.address),
        (Some(problem), false) => format!("away: {problem}"),
        (None, false) => format!("{} not connected yet", broker.address),
    };
    let mut waiting = format!("{} minutes wait, {} dropped", spool.waiting, spool.dropped);
    if spool.unreadable > 0 {
        waiting += &format!(", {} cannot be read: see lectern check --only disk", spool.unreadable);
    }
    waiting +=
        if spool.on_disk { ", on the disk" } else { ", in memory only: a power failure loses what waits" };
    let clock = if service.clock_synced { "synchronised" } else { "not synchronised: see timedatectl" };
    let models: Vec<_> = device_info
        .models
        .iter()
        .map(|(file, hash)| format!("{file} {}", hash.get(..12).unwrap_or(hash)))
        .collect();
    let other = if service.version == env!("CARGO_PKG_VERSION") {
        String::new()
    } else {
        format!("; {} is installed: systemctl restart lectern", env!("CARGO_PKG_VERSION"))
    };
    [
        ("service", format!("{state} since {}, version {}{other}", service.since, service.version)),
        ("camera", format!("{}, {rate}", device_info.camera)),
        ("minute", window),
        ("broker", connection),
        ("spool", waiting),
        ("clock", clock.to_owned()),
        ("models", models.join(", ")),
    ]
    .map(|(part, text)| format!("{part:<8} {text}"))
    .into()
}
