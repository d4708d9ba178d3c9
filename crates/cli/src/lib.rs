//! The command line: its definition alone, for the program and for its manual pages and completions.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may"))]

mod looked_for;
mod recordings;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lectern_record::rate::DEFAULT_HZ;

use looked_for::rate;

pub use looked_for::LookedFor;
pub use recordings::{Analyze, ChartStyle, Compare, Export, ExportFormat, Report};

/// Where the daemon looks for its configuration.
pub const DEFAULT_PATH: &str = "/etc/lectern/lectern.toml";

/// Counts a lecturer's facial expressions on the device and publishes only the counts of each minute over MQTT.
///
/// No picture is stored or sent. Results go to standard output, messages to standard error.
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
#[derive(Debug, Parser)]
#[command(name = "lectern", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Folder with manifest.toml and the networks, to use instead of the built-in ones
    #[arg(long, global = true, value_name = "DIR", env = "LECTERN_MODELS")]
    pub models: Option<PathBuf>,
}

/// What `--help` ends with.
macro_rules! after_help {
    ($demo:literal) => {
        concat!(
            "Start here:\n",
            $demo,
            "  lectern analyze lecture.mp4             count the expressions of a recorded lecture
  lectern report minutes.csv --out r.html compare recorded lectures
  lectern check                           find out what the daemon still needs
  lectern run --config ./lectern.toml     run the daemon, as systemd does

LECTERN_LOG sets what is logged: error, warn, info, debug, or MODULE=LEVEL,…

An expression is not a feeling. Do not use this to judge people."
        )
    };
}

#[cfg(feature = "demo")]
const AFTER_HELP: &str =
    after_help!("  lectern demo                            see it work, without a camera or a broker\n");
#[cfg(not(feature = "demo"))]
const AFTER_HELP: &str = after_help!("");

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a camera and publish the counts of each minute over MQTT, until stopped
    ///
    /// SIGTERM or Ctrl-C ends it: it publishes the open window with `"partial": true`, then the status `offline`, and
    /// exits with 0. SIGHUP reads the configuration again; if the new one cannot be used, the old one stays in use.
    /// If the camera is unplugged, it is tried every 2 seconds until it is back.
    Run(Run),
    /// Check what the daemon needs, and say how to provide what is missing
    ///
    /// Prints one line each for the configuration, the camera, the light, the models, the broker, the clock, the disk
    /// and the unit: `ok`, `warning`, `failed` or `skipped`, and what to do. The exit code is 1 if any failed. Run it as
    /// root, so that it can read what the service reads. It publishes a test message, not
    /// retained, on each topic of the device (with `mqtt.discovery` the announcement, too) and waits for it to come back. It
    /// keeps and shows no picture.
    Check(Check),
    /// Tell how the running service does: camera, broker, waiting minutes, clock, heat; never a count
    ///
    /// The service tells of itself every few seconds in its runtime directory, which root may read. Of the last minute the
    /// time and the frames are told, and nothing that was seen. Beside it stands what the board says of its temperature and
    /// of throttling. The exit code is 0 if the service runs, also while the camera or the broker is away, and 1 if it does
    /// not run or tells nothing. With `--prometheus` a service that does not run is a value (`lectern_up 0`) and the exit
    /// code 0.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Status),
    /// Aim a camera by text: size and place of the face, light, blur, and what to change
    ///
    /// Measures twice a second until Ctrl-C. At a terminal the text is updated in place; elsewhere each measurement is
    /// one line. No picture is shown, stored or sent. Only one program can use the camera: stop the service first.
    Aim(Aim),
    /// Run a self-contained demonstration: a simulated lecture, an embedded broker, a subscriber
    ///
    /// A public-domain portrait, on which expressions are drawn, moves in front of a wall. The real detector and classifier
    /// analyse it twice a second of simulated time, and the counts of each minute go to a broker on this machine's loopback
    /// interface, which accepts no other clients. The second client subscribes, and prints each minute that it receives: on a
    /// terminal as a bar chart, elsewhere as one JSON line. With NO_COLOR set the charts have no colour.
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Count the expressions of recorded lectures
    ///
    /// Prints one JSON line for each minute of each recording, counted from its start; the last one is usually
    /// `"partial": true`. Recordings are analysed side by side and told in the order of the list. Tables are written beside
    /// their names, with the ending `.unfinished`, and put in place when they are whole. Ctrl-C, SIGTERM and SIGHUP end it:
    /// it writes what was counted so far, the last minute partial, and exits with 130, 143 and 129; `--resume` goes on.
    /// A damaged recording is counted as far as it can be read, and reported, after all others; the exit code is then 1.
    /// Where a recording has no picture for longer than 2 s (or twice its frame interval, or the time between two analysed
    /// frames, whichever is longest), these frames add to `frames_expected` but not to `frames`, and standard error says
    /// from when to when. An output that is an input or another output is refused; the exit code is then 2.
    // In a box, because it has many more options than the others.
    Analyze(Box<Analyze>),
    /// Compare recordings: one page with charts, intervals and what the classifier's errors could make of it
    ///
    /// Reads tables that `lectern analyze --csv` wrote, and writes one HTML file that needs no network. Shares have 95 %
    /// intervals from a bootstrap over blocks of minutes, because neighbouring minutes are alike; a difference that the
    /// classifier's known errors could make alone is marked. A lecture of less than four blocks of 10 minutes has no interval.
    Report(Report),
    /// Compare the classified frames with what people coded: kappa, alpha, confusion matrices
    ///
    /// Each analysed frame in a coded interval is compared, for 7 and for 13 kinds, for each recording and for all: Cohen's kappa,
    /// Krippendorff's alpha with several coders, percent agreement, precision and recall of each kind. Frames that were not coded,
    /// or in which Lectern named no kind, are left out and counted. Intervals (95 %) come from a bootstrap over blocks of
    /// time, because neighbouring frames are alike; less than 10 coded blocks have none.
    Compare(Compare),
    /// Export classified frames for ELAN, Praat or a player's subtitles
    ///
    /// Frames that follow each other with the same expression are merged into intervals, which begin at the analysed frame and
    /// end at the next one. A table of frames gives one tier; one of faces gives a tier for each track, or for each number of a
    /// face in its frame where the table has no tracks. No picture is read or written.
    Export(Export),
    /// Measure what a frame costs on this device, stage by stage
    ///
    /// Two frames a second of the clip are decoded from YUYV as from a camera, their faces are searched for or followed,
    /// and classified. Times are CPU time of one thread, means over the frames, without loading the networks.
    Bench(Bench),
    /// Run the detector or the classifier on pictures, or the tracker on a recording, and print one JSON line for each
    /// picture
    #[command(subcommand)]
    Eval(Eval),
    /// Print the JSON Schema of everything that is published
    Schema,
}

/// Arguments of `lectern run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Configuration file; *.toml in lectern.d beside it and LECTERN_… variables override it
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
}

/// Arguments of `lectern check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration file, as for `lectern run`
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,

    /// Print one JSON object instead of lines
    #[arg(long)]
    pub json: bool,

    /// Check only these parts, separated by commas
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,
}

/// What `lectern check` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// File, fragments and variables can be used
    Configuration,
    /// The formats that it offers, and a test frame
    Camera,
    /// How bright the test frame is
    Light,
    /// The networks' hashes, and a test run
    Models,
    /// Connection, login, and test messages that should come back
    Broker,
    /// Whether the clock is synchronised
    Clock,
    /// Whether minutes can wait there for the broker
    Disk,
    /// The state of the systemd service
    Unit,
}

/// What `lectern status --help` ends with.
const STATUS_EXAMPLES: &str = "\
Examples:
  sudo lectern status
  sudo lectern status --json
  sudo lectern status --prometheus --out /var/lib/prometheus/node-exporter/lectern.prom";

/// Arguments of `lectern status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Print one JSON object instead of lines
    #[arg(long, conflicts_with = "prometheus")]
    pub json: bool,

    /// Print metrics in Prometheus' text format, for the textfile collector of node_exporter
    #[arg(long)]
    pub prometheus: bool,

    /// Write the metrics to this file, which is replaced as a whole, instead of standard output
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub out: Option<PathBuf>,

    /// The service's runtime directory
    #[arg(long, value_name = "DIR", env = "RUNTIME_DIRECTORY", default_value = "/run/lectern")]
    pub runtime: PathBuf,
}

/// Arguments of `lectern aim`.
#[derive(Debug, Args)]
pub struct Aim {
    /// Configuration file, which names the camera
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub config: PathBuf,

    /// Stop after N measurements
    #[arg(long, value_name = "N")]
    pub looks: Option<u32>,
}

/// Arguments of `lectern demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Simulated minutes to watch; each takes a few seconds
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub minutes: u32,

    /// Print the messages as JSON lines on a terminal, too
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `lectern bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// A recording, as for `lectern analyze`; without it the staged lecture of the demo is measured
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,

    /// Where to look, and for what.
    #[command(flatten)]
    pub looked_for: LookedFor,
}

/// The measurements of `lectern eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Find the faces of pictures: the longer side is scaled to 640 pixels, boxes are in the picture's own pixels
    Detect(EvalDetect),
    /// Print the probabilities of the 13 kinds for pictures that are cut-out faces, framed as in FER-2013
    Classify(EvalClassify),
    /// Find and follow the faces of a recording as the daemon does, and print one line for each analysed frame
    ///
    /// A line is {"t", "faces": [{"box": [x1, y1, x2, y2], "score"}], "searched", "find_ms", "cpu_ms"}: seconds since the
    /// start, the faces that are counted, in pixels of the whole picture, whether it was searched for faces, and the CPU time
    /// of finding them and of the whole analysis, both without decoding. A frame that could not be read has no line.
    Track(EvalTrack),
}

/// Arguments of `lectern eval detect`.
#[derive(Debug, Args)]
pub struct EvalDetect {
    /// Side of the smallest face to find, in pixels of the scaled picture
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

    /// The pictures are successive frames of one person, two a second: learn how the face looks at rest, and measure from there,
    /// as with `analysis.baseline = "person"`
    #[arg(long)]
    pub person: bool,

    /// JPEG or PNG files, gray or colour, of any size
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
}

/// Arguments of `lectern eval track`.
#[derive(Debug, Args)]
pub struct EvalTrack {
    /// A recording, as for `lectern analyze`
    #[arg(value_name = "VIDEO")]
    pub video: PathBuf,

    /// Frames to analyse each second
    #[arg(long, value_name = "HZ", default_value_t = DEFAULT_HZ, value_parser = rate)]
    pub rate: f64,

    /// Where to look, and for what.
    #[command(flatten)]
    pub looked_for: LookedFor,

    /// Find all faces instead of the largest one
    #[arg(long)]
    pub all: bool,

    /// Search each frame as if it were the first of a recording, instead of following
    #[arg(long)]
    pub search: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
