//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::rate::{DEFAULT_HZ, RANGE_HZ};

/// Where the daemon looks for its configuration.
pub const DEFAULT_PATH: &str = "/etc/lectern/lectern.toml";

/// Counts a lecturer's facial expressions on the device and publishes only the counts of each minute.
///
/// No picture is stored or sent. Results go to standard output, words for people to standard error.
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Folder with manifest.toml and the networks, instead of those that are part of the program
    #[arg(long, global = true, value_name = "DIR", env = "LECTERN_MODELS")]
    pub models: Option<PathBuf>,
}

/// What `--help` ends with.
macro_rules! after_help {
    ($demo:literal) => {
        concat!(
            "Start here:\n",
            $demo,
            "  lectern analyze lecture.mp4             the counts of a recorded lecture
  lectern check                           is everything ready? what is missing?
  lectern run --config ./lectern.toml     the daemon, as systemd starts it

LECTERN_LOG sets what is logged: error, warn, info, debug, or MODULE=LEVEL,…

An expression is not a feeling. Do not use this to judge people: see the README."
        )
    };
}

#[cfg(feature = "demo")]
const AFTER_HELP: &str =
    after_help!("  lectern demo                            see it work: no camera, no broker needed\n");
#[cfg(not(feature = "demo"))]
const AFTER_HELP: &str = after_help!("");

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a camera and publish the counts of each minute over MQTT, until stopped
    ///
    /// SIGTERM or Ctrl-C publishes the open window with `"partial": true`, sets the status to `offline`, and
    /// exits with 0. A camera that is pulled out is looked for until it is back.
    Run(Run),
    /// Check everything the daemon needs, and say what to do about what is missing
    ///
    /// One line each for the configuration, the camera, the light, the models, the broker, the clock, the disk and
    /// the unit: `ok`, `warning` or `failed`, and what to do. Exit code 1 if any failed. Run it as root, so that it
    /// sees what the daemon sees. A test message goes to the device's topic `check`, and should come back from there;
    /// no picture is kept or shown.
    Check(Check),
    /// Aim a camera without seeing its picture: the face's size and place, light, blur, and what to change
    ///
    /// Looks twice a second until Ctrl-C. At a terminal the text is refreshed in place, elsewhere each look is a
    /// line. No pixel is printed, stored or sent. A running daemon has the camera: stop it first.
    Aim(Aim),
    /// Show the main job with nothing installed: a staged lecture, an embedded broker, a subscriber
    ///
    /// A public-domain portrait moves before a wall; the real detector and classifier look at it twice a second
    /// of simulated time; the counts of each minute go to a broker on this machine's loopback; a second MQTT
    /// client subscribes and prints each payload that it receives as one JSON line.
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Count the expressions of recorded lectures
    ///
    /// Prints one JSON line for each minute of each recording, counted from its start; the last one is usually
    /// `"partial": true`. A damaged recording is counted as far as it can be read, then reported; exit code 1. A frame
    /// stands for 2 s at most (or for two frame intervals or one tick, if longer): a longer pause is told on standard error, its
    /// frames are expected and not counted. An output that is an input or another output is refused; exit code 2.
    Analyze(Analyze),
    /// Measure what a frame costs on this device, stage by stage
    ///
    /// Two frames a second of the clip are decoded from YUYV as from a camera, searched or followed, and classified.
    /// CPU time of one thread, means over the frames; loading the networks is left out.
    Bench(Bench),
    /// Measure the detector or the classifier on pictures, one JSON line each
    #[command(subcommand)]
    Eval(Eval),
    /// Print the JSON Schema of everything that is published
    Schema,
}

/// Arguments of `lectern run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration; *.toml in lectern.d beside it and LECTERN_… variables override it
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
}

/// Arguments of `lectern check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration to check with
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,

    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,

    /// Check these parts alone
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,
}

/// What `lectern check` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// File, fragments and variables
    Configuration,
    /// Its formats and a frame
    Camera,
    /// How bright a frame is
    Light,
    /// Their hashes and a test run
    Models,
    /// Connection, login and a test message that comes back
    Broker,
    /// Whether it is synchronised
    Clock,
    /// Room for minutes that wait
    Disk,
    /// The systemd service
    Unit,
}

/// Arguments of `lectern aim`.
#[derive(Debug, Args)]
pub struct Aim {
    /// The configuration that names the camera
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,

    /// Stop after so many looks
    #[arg(long, value_name = "N")]
    pub looks: Option<u32>,
}

/// Arguments of `lectern demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Simulated minutes to watch; each takes seconds
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub minutes: u32,
}

/// Arguments of `lectern analyze`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lectern analyze lecture.mp4 --csv minutes.csv
  lectern analyze monday.mkv tuesday.mkv --frames-csv frames.csv
  ffmpeg -i lecture.mp4 -f yuv4mpegpipe -pix_fmt yuv420p - | lectern analyze - --label lecture")]
pub struct Analyze {
    /// Videos that ffmpeg reads, .y4m files, pipes with Y4M, JPEG or PNG stills or folders of them (one a tick), or - for
    /// Y4M on standard input
    #[arg(required = true, value_name = "VIDEO")]
    pub videos: Vec<PathBuf>,

    /// What to call the recordings in the field `device` [default: the file's name]
    #[arg(long, value_parser = label)]
    pub label: Option<String>,

    /// Time of day at which each recording began, for example 2026-11-23T10:15:00Z; without it minutes count
    /// from 1970-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub start: Option<Timestamp>,

    /// Frames to analyse each second
    #[arg(long, value_name = "HZ", default_value_t = DEFAULT_HZ, value_parser = rate)]
    pub rate: f64,

    /// Also write the minutes as a table
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Also draw the share of each of 13 and of 7 kinds, two bar charts for each recording, as SVG
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,

    /// Also write time and expression of each analysed frame
    #[arg(long, value_name = "FILE")]
    pub frames_csv: Option<PathBuf>,

    /// Another classifier: ONNX, input [1, 1 or 3, S, S] (luma, 0 to 255), output 13 logits in the order of the
    /// payload
    #[arg(long, value_name = "FILE")]
    pub classifier: Option<PathBuf>,
}

/// Arguments of `lectern bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// A recording, as in `lectern analyze`; without it the staged lecture of the demo
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// The measurements of `lectern eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Find the faces of pictures whose longer side is scaled to 640 pixels; boxes in the picture's own pixels
    Detect(EvalDetect),
    /// Probabilities of the 13 kinds for pictures that are face crops already, framed as in FER-2013
    Classify(EvalClassify),
}

/// Arguments of `lectern eval detect`.
#[derive(Debug, Args)]
pub struct EvalDetect {
    /// Side of the smallest face to look for, in pixels of the scaled picture
    #[arg(long, value_name = "PX", default_value_t = 40, value_parser = clap::value_parser!(u32).range(12..=640))]
    pub min_face: u32,

    /// JPEG or PNG files
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
}

/// Arguments of `lectern eval classify`.
#[derive(Debug, Args)]
pub struct EvalClassify {
    /// Another classifier, as in `lectern analyze --classifier`
    #[arg(long, value_name = "FILE")]
    pub classifier: Option<PathBuf>,

    /// JPEG or PNG files, gray or colour, of any size
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
}

fn label(text: &str) -> Result<String, String> {
    crate::delivery::topics::check_level(text).map(|()| text.to_owned()).map_err(|e| e.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if RANGE_HZ.contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("must be from {} to {}", RANGE_HZ.start(), RANGE_HZ.end()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
