//! `pages FOLDER`: the man pages and shell completions of `lectern`, made from its sources.
//!
//! lectern(1) and one page a subcommand come from the command line's own definition, lectern.toml(5) from the
//! commented configuration that is installed, so that neither can say something else than the program.
#![expect(clippy::disallowed_methods, reason = "it writes the pages")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use lectern_cli::Cli;

const CONFIGURATION: &str = include_str!("../../../systemd/lectern.toml");
const SEE_ALSO: &str = ".BR lectern.toml (5),\n.BR systemctl (1),\n.BR journalctl (1)";
const FILES: &str = "\
.TP
.I /etc/lectern/lectern.toml
Configuration; see
.BR lectern.toml (5).
.TP
.I /etc/lectern/lectern.d/*.toml
Fragments that override it, in the order of their names.
.TP
.I /var/lib/lectern
Records that the broker has not acknowledged.
.TP
.I /run/lectern
Name of this boot, the open window, and the state that
.B lectern status
reads.
";
/// Of the commands that read the configuration.
const SERVICE_ENVIRONMENT: &str = "\
.TP
.B LECTERN_\\fISECTION\\fB_\\fIKEY\\fR
Overrides a key of the configuration, as in
.BR LECTERN_MQTT_URL .
.TP
.BR CREDENTIALS_DIRECTORY ,\\  RUNTIME_DIRECTORY
Set by systemd: the secrets, and the runtime directory.
";
const ENVIRONMENT: &str = "\
.TP
.B LECTERN_MODELS
Folder with the networks, as
.BR \\-\\-models .
.TP
.B LECTERN_LOG
What is logged: error, warn, info, debug, or MODULE=LEVEL,…
.TP
.B NO_COLOR
If set, log lines on a terminal have no colour.
";
/// The product has it, too.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("usage: pages FOLDER"));
    fs::create_dir_all(&folder)?;
    // `lectern help` has no page of its own.
    let mut command = Cli::command().version(VERSION).bin_name("lectern").disable_help_subcommand(true);
    command.build();
    page(&command, "lectern", SEE_ALSO, &folder)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        page(sub, &format!("lectern-{}", sub.get_name()), ".BR lectern (1)", &folder)?;
    }
    fs::write(folder.join("lectern.toml.5"), configuration_page(CONFIGURATION))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "lectern", &folder)?;
    }
    Ok(())
}

/// One page; what `--help` ends with becomes its examples.
fn page(command: &clap::Command, name: &str, see_also: &str, folder: &Path) -> io::Result<()> {
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let command = command.clone().after_help(clap::builder::Resettable::Reset).display_name(name);
    let mut text = Vec::new();
    let page = Man::new(command).title(name).manual("Lectern");
    page.source(format!("lectern {}", VERSION)).render(&mut text)?;
    let mut text = without_repetition(&String::from_utf8_lossy(&text));
    text.push_str(&format!(".SH \"EXIT STATUS\"\n{}", exit_status(name)));
    if ["lectern", "lectern-run", "lectern-check", "lectern-aim", "lectern-status"].contains(&name) {
        text.push_str(&format!(".SH FILES\n{FILES}.SH ENVIRONMENT\n{SERVICE_ENVIRONMENT}{ENVIRONMENT}"));
    } else {
        text.push_str(&format!(".SH ENVIRONMENT\n{ENVIRONMENT}"));
    }
    if !examples.is_empty() {
        text.push_str(".SH EXAMPLES\n");
        examples.lines().for_each(|line| text.push_str(&words(line)));
    }
    text.push_str(&format!(".SH SEE ALSO\n{see_also}\n"));
    fs::write(folder.join(format!("{name}.1")), text)
}

/// The page without the first paragraph of its DESCRIPTION where that only repeats NAME.
fn without_repetition(page: &str) -> String {
    let mut lines: Vec<_> = page.lines().collect();
    let position = |lines: &[&str], wanted: &str| lines.iter().position(|line| *line == wanted);
    if let (Some(name), Some(at)) = (position(&lines, ".SH NAME"), position(&lines, ".SH DESCRIPTION")) {
        let repeated = lines[name + 1].ends_with(&format!(" \\- {}", lines[at + 1]));
        if repeated && lines.get(at + 2) == Some(&".PP") {
            lines.drain(at + 1..at + 3);
        }
    }
    lines.join("\n") + "\n"
}

/// What the exit codes of a command mean.
fn exit_status(name: &str) -> String {
    let failed = match name {
        "lectern-check" => "At least one part failed.",
        "lectern-status" => "The service does not run, or writes no state.",
        "lectern-analyze" => "A recording is damaged, or a result could not be written.",
        _ => "It failed; standard error says why.",
    };
    let mut codes = vec![("0", "Done."), ("1", failed), ("2", "Wrong usage or configuration.")];
    if name == "lectern-analyze" {
        codes.push((
            "129, 130, 143",
            "Ended by SIGHUP, SIGINT or SIGTERM; what was counted so far is written.",
        ));
    }
    codes.iter().map(|(code, meaning)| format!(".TP\n.B {code}\n{meaning}\n")).collect()
}

/// A line of text; an indented one is a command, shown as it is, and an empty one ends a paragraph.
fn words(line: &str) -> String {
    if line.is_empty() {
        ".PP\n".to_owned()
    } else if line.starts_with(' ') {
        format!(".nf\n{}\n.fi\n", escape(line.trim()))
    } else {
        escape(line) + "\n"
    }
}

/// lectern.toml(5): each comment of the configuration becomes the explanation of the keys below it.
fn configuration_page(text: &str) -> String {
    let mut page = format!(
        ".TH lectern.toml 5 \"\" \"lectern {}\" Lectern\n.SH NAME\nlectern.toml \\- what lectern looks at, and where it \
         reports to\n.SH SYNOPSIS\n.I /etc/lectern/lectern.toml\n.br\n.I /etc/lectern/lectern.d/*.toml\n\
         .SH DESCRIPTION\n",
        VERSION
    );
    let mut block = Block::default();
    for line in text.lines() {
        if let Some(section) = line.strip_prefix('[') {
            block.write(&mut page);
            page.push_str(&format!(".SH [{}]\n", section.trim_end_matches(']')));
        } else if line.trim_start_matches('#').is_empty() {
            block.write(&mut page);
        } else if let Some(words) = line.strip_prefix("# ") {
            if !block.keys.is_empty() {
                block.write(&mut page);
            }
            block.words.push(words);
        } else {
            block.keys.push(line.trim_start_matches('#'));
        }
    }
    block.write(&mut page);
    page.push_str(".SH SEE ALSO\n.BR lectern (1),\n.BR systemd.exec (5)\n");
    page
}

/// Words, and the keys that they explain, with their defaults or examples.
#[derive(Default)]
struct Block<'a> {
    words: Vec<&'a str>,
    keys: Vec<&'a str>,
}

impl Block<'_> {
    fn write(&mut self, page: &mut String) {
        if self.keys.is_empty() && !self.words.is_empty() {
            page.push_str(".PP\n");
        }
        for (i, key) in self.keys.drain(..).enumerate() {
            page.push_str(&format!(".{}\n\\fB{}\\fR\n", if i == 0 { "TP" } else { "TQ" }, escape(key)));
        }
        for line in self.words.drain(..) {
            page.push_str(&words(line));
        }
    }
}

/// Nothing of a line is taken for an instruction of roff.
fn escape(words: &str) -> String {
    let words = words.replace('\\', "\\e").replace('-', "\\-");
    if words.starts_with(['.', '\'']) { format!("\\&{words}") } else { words }
}
