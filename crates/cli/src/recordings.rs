//! The commands for recordings: `lectern analyze` and what is made of its tables.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use lectern_record::analysis::{Analysis, Baseline, Faces, Rotation};
use lectern_record::rate::DEFAULT_HZ;

use super::looked_for::{LookedFor, rate};

/// Arguments of `lectern analyze`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lectern analyze lecture.mp4 --csv minutes.csv
  lectern analyze monday.mkv tuesday.mkv --label 'Prof. Müller' --label 'Dr. Weiß' --csv minutes.csv
  lectern analyze --manifest lectures.csv --csv minutes.csv --resume
  ffmpeg -i lecture.mp4 -f yuv4mpegpipe -pix_fmt yuv420p - | lectern analyze - --label lecture")]
pub struct Analyze {
    /// Videos that ffmpeg reads, or folders of them; .y4m files; pipes with Y4M; JPEG or PNG files, or folders of them (each is
    /// one analysed frame); - for Y4M on standard input
    #[arg(required_unless_present = "manifest", value_name = "VIDEO")]
    pub videos: Vec<PathBuf>,

    /// Table of recordings, instead of VIDEO: a column `file` (from the table's own folder on), and where wanted `label` and
    /// `start`; all other columns are carried through into the tables. CSV or text as spreadsheets write it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["videos", "label", "start"])]
    pub manifest: Option<PathBuf>,

    /// What people call the recording; once for each VIDEO, in the same order [default: the file's name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub label: Vec<String>,

    /// When the recording began, for example 2026-11-23T10:15:00Z; once for each VIDEO. Without it, it begins at
    /// 1970-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub start: Vec<Timestamp>,

    /// Recordings to analyse side by side, one for each core; a single one is decoded on so many [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,

    /// Go on with a list whose run did not end: recordings that were finished are not analysed again
    #[arg(long)]
    pub resume: bool,

    /// Frames to analyse each second
    #[arg(long, value_name = "HZ", default_value_t = DEFAULT_HZ, value_parser = rate)]
    pub rate: f64,

    /// Length of a window, instead of a minute; a divisor of 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = window)]
    pub window: u32,

    /// Which faces of a frame are counted: the largest one, or all
    #[arg(long, value_name = "WHICH", default_value = "largest", value_parser = which_faces())]
    pub faces: Faces,

    /// The probability below which an expression is `uncertain`
    #[arg(long, value_name = "P", default_value_t = Analysis::default().min_confidence, value_parser = probability)]
    pub min_confidence: f32,

    /// What expressions are measured from: `person`, the resting face of whoever is seen, learnt while it is watched; or
    /// `none`, that of people in general
    #[arg(long, value_name = "person|none", default_value = "person")]
    pub baseline: Baseline,

    /// Where to look, and for what.
    #[command(flatten)]
    pub looked_for: LookedFor,

    /// Turn the pictures clockwise by so many degrees before they are analysed: 0, 90, 180 or 270
    #[arg(long, value_name = "DEGREES", default_value = "0")]
    pub rotate: Rotation,

    /// Which video stream of a recording that has several, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub video_stream: usize,

    /// Another classifier (ONNX): input [1, 1 or 3, S, S], luma from 0 to 255; output 13 logits in the order of the
    /// payload
    #[arg(long, value_name = "FILE")]
    pub classifier: Option<PathBuf>,

    /// Also write the minutes as a table
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Also write a table with time and expression of each analysed frame
    #[arg(long, value_name = "FILE")]
    pub frames_csv: Option<PathBuf>,

    /// Also write a table with place, size and the 13 probabilities of each face: about a person, see docs/privacy.md
    #[arg(long, value_name = "FILE")]
    pub faces_csv: Option<PathBuf>,

    /// Table of stretches of the recordings, such as slides, tasks or chapters: columns `source` (a VIDEO, or its file's name),
    /// `name`, `start`, `end` (seconds or h:mm:ss since the recording's start, end exclusive). They may overlap
    #[arg(long, value_name = "FILE", requires = "segments_csv")]
    pub segments: Option<PathBuf>,

    /// Also write the counts of each of the --segments as a table
    #[arg(long, value_name = "FILE", requires = "segments")]
    pub segments_csv: Option<PathBuf>,

    /// Begin each table with a byte order mark, by which Excel recognises UTF-8
    #[arg(long)]
    pub bom: bool,

    /// Also draw the shares of 13 and of 7 kinds of each recording; FILE ends in .svg or .png
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
}

impl Analyze {
    /// The daemon's default analysis, with these settings.
    #[must_use]
    pub fn analysis(&self) -> Analysis {
        Analysis {
            faces: self.faces,
            min_confidence: self.min_confidence,
            baseline: self.baseline,
            ..self.looked_for.analysis()
        }
    }
}

/// Arguments of `lectern report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lectern report minutes.csv --out report.html
  lectern report monday.csv tuesday.csv --out report.html --chart shares.png
  lectern report minutes.csv --by subject --out report.html --chart figure.svg --chart-width 85 --chart-style grey
  lectern report minutes.csv segments.csv --out report.html")]
pub struct Report {
    /// Tables that `lectern analyze --csv` wrote, and where wanted those of `--segments-csv`
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<PathBuf>,

    /// Where to write the page
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// Group lectures by this column of the manifest [default: teacher, where there is one]
    #[arg(long, value_name = "COLUMN")]
    pub by: Option<String>,

    /// Also draw the shares of 7 and of 13 kinds alone; FILE ends in .svg or .png
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,

    /// The chart's width in print: 85 is a column and 175 a page of most journals; a PNG then has 300 dpi [default: 900
    /// pixels, for a screen]
    #[arg(long, value_name = "MM", requires = "chart", value_parser = clap::value_parser!(u16).range(60..=420))]
    pub chart_width: Option<u16>,

    /// The chart's inks
    #[arg(long, value_name = "STYLE", requires = "chart", default_value = "screen")]
    pub chart_style: ChartStyle,
}

/// Arguments of `lectern compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lectern compare frames.csv anna.csv
  lectern compare frames.csv anna.csv ben.csv --csv agreement.csv --chart confusion.svg
  lectern compare frames.csv monday.txt --mapping words.csv

A table of codings has the columns source, start, end (seconds, exclusive), expression and, where wanted, coder; expressions are
the 13 kinds, or the 7 without weak and strong; uncertain and no_face are none. Without a column coder the file's name is the
coder's. An export of ELAN has a tier for each coder, and a name that begins with the recording's: monday.txt for monday.mkv.")]
pub struct Compare {
    /// Table that `lectern analyze --frames-csv` wrote, with one face a frame
    #[arg(value_name = "TABLE")]
    pub table: PathBuf,

    /// What people coded: tables, or tab-delimited exports of ELAN
    #[arg(required = true, value_name = "HUMAN")]
    pub human: Vec<PathBuf>,

    /// Table with the columns `value` and `expression`, and where wanted `tier` and `coder`: which kind each word of a coding
    /// scheme is. An empty expression leaves the interval out; so do tiers that a column `tier` does not name
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,

    /// Length of the blocks that the bootstrap draws
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub block: u32,

    /// The width of kappa's interval for which the time to code is estimated
    #[arg(long, value_name = "WIDTH", default_value_t = 0.1, value_parser = width)]
    pub width: f64,

    /// Also write each value with its interval as a table
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Also write the confusion matrices as a table
    #[arg(long, value_name = "FILE")]
    pub confusion: Option<PathBuf>,

    /// Also draw the confusion matrices of all recordings together; FILE ends in .svg or .png
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
}

/// Arguments of `lectern export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lectern export frames.csv --to elan --out monday.eaf
  lectern export faces.csv --to srt --out monday.srt
  lectern export frames.csv --to praat --out grids/")]
pub struct Export {
    /// Table that `lectern analyze --frames-csv` or `--faces-csv` wrote
    #[arg(value_name = "TABLE")]
    pub table: PathBuf,

    /// The format
    #[arg(long, value_name = "FORMAT")]
    pub to: ExportFormat,

    /// Where to write it: a file or, for each recording one that has its name, a folder that exists
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What `lectern export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// ELAN's annotations (.eaf): intervals, a tier for each face
    Elan,
    /// Praat's TextGrid: the same
    Praat,
    /// Subtitles for a player: from a table of faces a line for each face, with probability and box in pixels
    Srt,
    /// Intervals, tab-delimited, of all recordings in one file; `lectern compare` reads them
    Tsv,
}

fn width(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(width) if (0.001..=1.0).contains(&width) => Ok(width),
        _ => Err("must be from 0.001 to 1".to_owned()),
    }
}

/// The inks of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChartStyle {
    /// Colours, with text in dark grey
    Screen,
    /// Colours, with text in black
    Print,
    /// Greys: a hatch for each emotion, lighter for weak
    Grey,
}

fn which_faces() -> impl TypedValueParser<Value = Faces> {
    PossibleValuesParser::new(["largest", "all"]).try_map(|which| which.parse::<Faces>())
}

fn window(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 && 3600 % seconds == 0 => Ok(seconds),
        _ => Err("must be a number of seconds that divides 3600".to_owned()),
    }
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("must be from 0 to 1".to_owned()),
    }
}
