//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::rate::{DEFAULT_HZ, RANGE_HZ};
use crate::vision::{Analysis, Baseline, DEFAULT_MIN_FACE_PX, Region};

/// Where the daemon looks for its configuration.
pub const DEFAULT_PATH: &str = "/etc/lectern/lectern.toml";

/// Counts a lecturer's facial expressions on the device and publishes only the counts of each minute over MQTT.
///
/// No picture is stored or sent. Results go to standard output, messages to standard error.
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
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
    /// root, so that it can read what the service reads. It publishes a test message on the device's topic `check` and
    /// waits for it to come back. It keeps and shows no picture.
    Check(Check),
    /// Aim a camera by text: size and place of the face, light, blur, and what to change
    ///
    /// Measures twice a second until Ctrl-C. At a terminal the text is updated in place; elsewhere each measurement is
    /// one line. No picture is shown, stored or sent. Only one program can use the camera: stop the service first.
    Aim(Aim),
    /// Show the main job without a camera or a broker: a staged lecture, an embedded broker, a subscriber
    ///
    /// A public-domain portrait moves in front of a wall. The real detector and classifier analyse it twice a second
    /// of simulated time, and the counts of each minute go to a broker on this machine's loopback interface. A second
    /// MQTT client subscribes, and prints each payload that it receives as one JSON line.
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Count the expressions of recorded lectures
    ///
    /// Prints one JSON line for each minute of each recording, counted from its start; the last one is usually
    /// `"partial": true`. A damaged recording is counted as far as it can be read, and reported; the exit code is then 1.
    /// Where a recording has no picture for longer than 2 s (or twice its frame interval, or the time between two analysed
    /// frames, whichever is longest), these frames add to `frames_expected` but not to `frames`, and standard error says
    /// from when to when. An output that is an input or another output is refused; the exit code is then 2.
    Analyze(Analyze),
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
    /// Connection, login, and a test message that should come back
    Broker,
    /// Whether the clock is synchronised
    Clock,
    /// Whether minutes can wait there for the broker
    Disk,
    /// The state of the systemd service
    Unit,
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
}

/// Arguments of `lectern analyze`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lectern analyze lecture.mp4 --csv minutes.csv
  lectern analyze monday.mkv tuesday.mkv --frames-csv frames.csv
  ffmpeg -i lecture.mp4 -f yuv4mpegpipe -pix_fmt yuv420p - | lectern analyze - --label lecture")]
pub struct Analyze {
    /// Videos that ffmpeg reads; .y4m files; pipes with Y4M; JPEG or PNG files, or folders of them (each is one analysed
    /// frame); - for Y4M on standard input
    #[arg(required = true, value_name = "VIDEO")]
    pub videos: Vec<PathBuf>,

    /// Name of the recordings in the field `device` [default: the file's name]
    #[arg(long, value_parser = label)]
    pub label: Option<String>,

    /// When each recording began, for example 2026-11-23T10:15:00Z; without it they begin at 1970-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub start: Option<Timestamp>,

    /// Frames to analyse each second
    #[arg(long, value_name = "HZ", default_value_t = DEFAULT_HZ, value_parser = rate)]
    pub rate: f64,

    /// Also write the minutes as a table
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Also draw two bar charts for each recording, as SVG: the share of each of 13 and of 7 kinds
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,

    /// Also write a table with time and expression of each analysed frame
    #[arg(long, value_name = "FILE")]
    pub frames_csv: Option<PathBuf>,

    /// Another classifier (ONNX): input [1, 1 or 3, S, S], luma from 0 to 255; output 13 logits in the order of the
    /// payload
    #[arg(long, value_name = "FILE")]
    pub classifier: Option<PathBuf>,

    /// What expressions are measured from: `person`, the resting face of whoever is seen, learnt while it is watched; or
    /// `none`, that of people in general
    #[arg(long, value_name = "person|none", default_value = "person")]
    pub baseline: Baseline,

    /// Where to look, and for what.
    #[command(flatten)]
    pub looked_for: LookedFor,
}

/// Which faces of a recording are looked for.
#[derive(Debug, Clone, Copy, Args)]
pub struct LookedFor {
    /// Side of the smallest face to find, in pixels of the picture
    #[arg(long, value_name = "PX", default_value_t = DEFAULT_MIN_FACE_PX, value_parser = clap::value_parser!(u32).range(12..=2000))]
    pub min_face: u32,

    /// The part of the picture to look at, in fractions of its width and height [default: all of it]
    #[arg(long, value_name = "LEFT,TOP,RIGHT,BOTTOM", value_parser = region)]
    pub region: Option<Region>,
}

impl LookedFor {
    /// How the daemon would analyse, but for what was asked.
    #[must_use]
    pub fn analysis(&self) -> Analysis {
        Analysis {
            min_face_px: self.min_face,
            region: self.region.unwrap_or(Region::WHOLE),
            ..Analysis::default()
        }
    }
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

/// A region as in the configuration; the brackets may be left out.
fn region(text: &str) -> Result<Region, String> {
    let inside = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let numbers: Result<Vec<f32>, _> = inside.split(',').map(|number| number.trim().parse()).collect();
    let four: [f32; 4] = numbers
        .ok()
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or("must be four numbers with commas between them")?;
    Region::new(four).ok_or_else(|| "must lie within 0 and 1 and not be empty".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
