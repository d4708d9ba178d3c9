//! One record is one file: its name is its place in the order, its content has a checksum.
//!
//! ```text
//! name    = <position / 1000, 13 digits>/<position, 16 digits>[-<start in seconds since 1970, where the clock was right>]
//! content = LR2 <CRC-32 of what follows, 8 hexadecimal digits> <dropped>\n<topic>\n<payload>
//! ```
//! `dropped` is how many records had been given up when this one was written, so that the count survives with the records.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use crate::message::payload::MAX_BYTES;
use crate::message::topics::Topics;

/// The first bytes of a record of this form.
const FORM: &str = "LR2 ";

/// No file of a record is longer.
pub(super) const LONGEST: usize = 4096;

/// No topic of ours is longer: levels of 64 bytes each.
const LONGEST_TOPIC: usize = 2048;

/// No number that we count to is higher: a minute each is longer than the sun will last, and there are numbers of 16 digits behind it.
pub(super) const HIGHEST: u64 = 8_999_999_999_999_999;

/// So many records share a folder.
const PER_FOLDER: u64 = 1000;

/// The name of a record's file; the position alone gives the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) position: u64,
    /// When the window began, in seconds since 1970; none where the clock was not synchronised.
    pub(super) start: Option<u32>,
}

impl Name {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (folder, file) = path.split_once('/')?;
        let (position, start) = match file.split_once('-') {
            Some((position, start)) => (position, Some(start.parse().ok()?)),
            None => (file, None),
        };
        let name = Self { position: position.parse().ok()?, start };
        // Only as we write it: no sign, no other number of digits, no other folder.
        (name.to_string() == path && is_folder(folder) && name.position <= HIGHEST).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, start } = self;
        write!(f, "{:013}/{position:016}", position / PER_FOLDER)?;
        start.map_or(Ok(()), |start| write!(f, "-{start}"))
    }
}

/// Whether a folder of this name holds records.
pub(super) fn is_folder(name: &str) -> bool {
    name.len() == 13 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// One entry: a topic and the payload to publish on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) topic: String,
    pub(super) payload: String,
}

/// What the spool reads of a payload.
#[derive(Deserialize)]
pub(super) struct Head {
    device: Option<String>,
    pub(super) boot: Option<String>,
    pub(super) seq: Option<u64>,
    start: Option<String>,
    clock_synced: Option<bool>,
}

impl Entry {
    /// None where no broker would take it from us.
    pub(super) fn new(topic: &str, payload: &str) -> Option<Self> {
        let good = |c: char| c.is_ascii_graphic() && !matches!(c, '+' | '#');
        let is_topic = (1..=LONGEST_TOPIC).contains(&topic.len()) && topic.chars().all(good);
        (is_topic && payload.len() <= MAX_BYTES)
            .then(|| Self { topic: topic.to_owned(), payload: payload.to_owned() })
    }

    pub(super) fn head(&self) -> Option<Head> {
        serde_json::from_str(&self.payload).ok()
    }

    /// The start of its window in seconds since 1970, where the clock was synchronised.
    pub(super) fn start(&self) -> Option<u32> {
        let head = self.head().filter(|head| head.clock_synced == Some(true))?;
        u32::try_from(head.start?.parse::<Timestamp>().ok()?.as_second()).ok()
    }
}

/// Whose records a spool delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `mqtt.root`.
    pub root: String,
    /// `device.id`.
    pub device: String,
}

impl Owner {
    /// The device that publishes on these topics.
    #[must_use]
    pub fn of(topics: &Topics) -> Self {
        let mut levels = topics.base().rsplitn(5, '/');
        let device = levels.next().unwrap_or_default().to_owned();
        Self { root: levels.nth(3).unwrap_or_default().to_owned(), device }
    }

    /// Whether a record is this device's, from whatever room: a planted one must not be published with this device's login.
    pub(super) fn owns(&self, entry: &Entry) -> bool {
        let place = entry.topic.strip_prefix(&self.root).and_then(|rest| rest.strip_prefix('/'));
        let levels: Vec<_> = place.unwrap_or_default().split('/').collect();
        matches!(levels[..], [_, _, _, device, "minute"] if device == self.device)
            && entry.head().and_then(|head| head.device).as_ref() == Some(&self.device)
    }
}

/// Why a record is not delivered that [`Owner::owns`] refuses.
pub(super) fn not_ours(entry: &Entry) -> String {
    format!("is of another device (topic {})", entry.topic)
}

/// The content of a record's file.
pub(super) fn encode(dropped: u64, entry: &Entry) -> Vec<u8> {
    let summed = format!("{dropped}\n{}\n{}", entry.topic, entry.payload);
    format!("{FORM}{:08x} {summed}", crc32fast::hash(summed.as_bytes())).into_bytes()
}

/// The count of dropped records and the entry in a file; none where it is damaged or of another form.
pub(super) fn decode(bytes: &[u8]) -> Option<(u64, Entry)> {
    let (crc, summed) = str::from_utf8(bytes).ok()?.strip_prefix(FORM)?.split_once(' ')?;
    if crc != format!("{:08x}", crc32fast::hash(summed.as_bytes())) {
        return None;
    }
    let (dropped, entry) = summed.split_once('\n')?;
    let (topic, payload) = entry.split_once('\n')?;
    let dropped = dropped.parse().ok().filter(|dropped| *dropped <= HIGHEST)?;
    Some((dropped, Entry::new(topic, payload)?))
}
