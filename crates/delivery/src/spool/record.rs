//! The bytes of one record in a file of the spool, and how the good ones are found.
//!
//! ```text
//! record  = FF 4C 52 01 | length | position | dropped | crc    | entry
//!           marker, 4 B | u32    | u64      | u64     | u32    | `length` bytes of UTF-8: topic, line feed, payload
//! ```
//! All numbers are little-endian. `crc` is the CRC-32 of length, position, dropped and entry. `dropped` is how many
//! entries had been given up when the record was written, so that the count survives with the entries.

use crate::message::payload::MAX_BYTES;

const MARKER: [u8; 4] = [0xff, b'L', b'R', 1];
pub(super) const HEADER: usize = 28;
/// No entry is longer: a topic and a payload.
pub(super) const LONGEST: usize = 4096;

/// No topic of ours is longer: levels of 64 bytes each.
const LONGEST_TOPIC: usize = 2048;

/// No number that we count to is higher: a minute's worth each for longer than the sun will last, and far from an overflow.
pub(super) const HIGHEST: u64 = u64::MAX / 4;

/// One entry: a topic and the payload to publish on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) topic: String,
    pub(super) payload: String,
}

impl Entry {
    /// None where no broker would take it from us.
    pub(super) fn new(topic: &str, payload: &str) -> Option<Self> {
        let good = |c: char| c.is_ascii_graphic() && !matches!(c, '+' | '#');
        let is_topic = (1..=LONGEST_TOPIC).contains(&topic.len()) && topic.chars().all(good);
        (is_topic && payload.len() <= MAX_BYTES)
            .then(|| Self { topic: topic.to_owned(), payload: payload.to_owned() })
    }

    fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n{}", self.topic, self.payload).into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (topic, payload) = str::from_utf8(bytes).ok()?.split_once('\n')?;
        Self::new(topic, payload)
    }
}

/// The bytes of a record.
pub(super) fn encode(position: u64, dropped: u64, entry: &Entry) -> Vec<u8> {
    let entry = entry.to_bytes();
    let mut summed = Vec::with_capacity(20 + entry.len());
    summed.extend(u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
    summed.extend(position.to_le_bytes());
    summed.extend(dropped.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&summed);
    crc.update(&entry);
    [&MARKER, &summed[..], &crc.finalize().to_le_bytes(), &entry].concat()
}

/// The entry of the record that these bytes are, if they are that of `position` and whole.
pub(super) fn decode(bytes: &[u8], position: u64) -> Option<Entry> {
    match look_at(bytes) {
        Decoded::Good { position: found, entry, .. } if found == position => Some(entry),
        _ => None,
    }
}

/// A good record in a file.
pub(super) struct Record {
    pub(super) position: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
    pub(super) dropped: u64,
}

/// What a file's bytes hold.
pub(super) struct Scan {
    pub(super) records: Vec<Record>,
    /// Whether the file ends in a record that is all there, and damaged; not in a torn one.
    pub(super) damaged_at_end: bool,
    /// Whether the last record is good, so that the file can be added to.
    pub(super) ends_well: bool,
}

/// Finds the good records in a file's bytes.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let (mut records, mut at, mut damaged_at_end) = (Vec::new(), 0, false);
    while at < bytes.len() {
        match look_at(&bytes[at..]) {
            Decoded::Good { position, dropped, length, .. } => {
                records.push(Record { position, offset: at as u64, length, dropped });
                at += length;
                damaged_at_end = false;
            }
            Decoded::Damaged => {
                damaged_at_end = true;
                at += 1;
            }
            Decoded::Torn | Decoded::Nothing => at += 1,
        }
    }
    let end = records.last().map_or(0, |record| record.offset + record.length as u64);
    Scan { records, damaged_at_end, ends_well: end == bytes.len() as u64 }
}

enum Decoded {
    Good {
        position: u64,
        dropped: u64,
        /// Of the whole record.
        length: usize,
        entry: Entry,
    },
    /// A marker and as many bytes as it says, with another checksum or with what we would not have written.
    Damaged,
    /// A marker, and the end of the file before the end of the record.
    Torn,
    Nothing,
}

fn look_at(bytes: &[u8]) -> Decoded {
    if !bytes.starts_with(&MARKER) {
        return Decoded::Nothing;
    }
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Decoded::Torn };
    let (summed, crc) = (&header[4..24], &header[24..28]);
    let length = summed[..4].iter().rev().fold(0_usize, |n, byte| n << 8 | usize::from(*byte));
    if length > LONGEST {
        return Decoded::Damaged;
    }
    let Some(entry) = rest.get(..length) else { return Decoded::Torn };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(summed);
    hasher.update(entry);
    if hasher.finalize().to_le_bytes() != *crc {
        return Decoded::Damaged;
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let (position, dropped) = (number(&summed[4..12]), number(&summed[12..20]));
    match Entry::from_bytes(entry) {
        Some(entry) if position <= HIGHEST && dropped <= HIGHEST => {
            Decoded::Good { position, dropped, length: HEADER + length, entry }
        }
        _ => Decoded::Damaged,
    }
}
