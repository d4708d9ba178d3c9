//! The program: parse the command line, call one command, map errors to exit codes.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ContextValue;
use lectern::cli::{Cli, Command};
use lectern::commands;
use lectern::config::ConfigError;
use lectern::delivery::CRATES_WITH_PACKETS;
use lectern::logging::printable::{Printable, print_error};

/// Wrong usage or configuration; clap uses the same.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| wrong_usage(error).exit());
    lectern::logging::start(matches!(cli.command, Command::Run(_)), &CRATES_WITH_PACKETS);
    let models = cli.models.as_deref();
    if let Err(error) = lectern::process::hardening::lock_down() {
        print_error(format_args!("core dumps could not be switched off: {error}"));
        return ExitCode::FAILURE;
    }
    let result = match &cli.command {
        Command::Run(arguments) => commands::run::run(arguments, models),
        Command::Check(arguments) => commands::check::run(arguments, models),
        Command::Aim(arguments) => commands::aim::run(arguments, models),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => commands::demo::run(arguments, models),
        Command::Analyze(arguments) => commands::analyze::run(arguments, models),
        Command::Report(arguments) => commands::report::run(arguments),
        Command::Compare(arguments) => commands::compare::run(arguments),
        Command::Export(arguments) => commands::export::run(arguments),
        Command::Bench(arguments) => commands::bench::run(arguments, models),
        Command::Eval(arguments) => commands::eval::run(arguments, models),
        Command::Status(arguments) => commands::status::run(arguments),
        Command::Schema => commands::schema::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe: it needs no more output.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            commands::explain::print(&error);
            if let Some(interrupted) = error.downcast_ref::<commands::Interrupted>() {
                return ExitCode::from(u8::try_from(128 + interrupted.number).unwrap_or(u8::MAX));
            }
            let wrong_usage = error.is::<ConfigError>() || error.is::<commands::UsageError>();
            if wrong_usage { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// The same error with the arguments that it repeats escaped: a file's name may be one of them.
fn wrong_usage(mut error: clap::Error) -> clap::Error {
    let escaped = |text: &String| Printable(text).to_string();
    let repeated: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in repeated {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(escaped(&text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(escaped).collect()),
            other => other,
        };
        error.insert(kind, value);
    }
    error
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
