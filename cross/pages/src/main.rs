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
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if !examples.is_empty() {
        text.push_str(".SH EXAMPLES\n");
        examples.lines().for_each(|line| text.push_str(&words(line)));
    }
    text.push_str(&format!(".SH SEE ALSO\n{see_also}\n"));
    fs::write(folder.join(format!("{name}.1")), text)
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
