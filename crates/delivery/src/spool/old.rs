//! The files of earlier versions: many records in one. They are read where they lie, and removed once all of theirs is delivered.
//!
//! ```text
//! file   = (entries|late)-<position of its first record, 16 hexadecimal digits>[-…]     record*
//! record = FF 4C 52 01 | length | position | dropped | crc    | entry
//!          marker, 4 B | u32    | u64      | u64     | u32    | `length` bytes of UTF-8: topic, line feed, payload
//! ```
//! All numbers are little-endian. `crc` is the CRC-32 of length, position, dropped and entry.

use super::record::{Entry, HIGHEST, LONGEST};

const MARKER: [u8; 4] = [0xff, b'L', b'R', 1];
const HEADER: usize = 28;

/// No file of earlier versions is longer.
pub(super) const LONGEST_FILE: usize = 2 * (64 * 1024 + HEADER + LONGEST);

/// More records than fit in one file.
const MOST: u64 = 8192;

/// One of these files.
pub(super) struct Old {
    pub(super) name: String,
    /// How many of its records are damaged, as far as that shows.
    pub(super) damaged: u64,
}

/// The position of the first record in a file of this name, and whether one that follows it has the next position; none where
/// the file is none of these.
pub(super) fn parse(name: &str) -> Option<(u64, bool)> {
    let mut parts = name.strip_prefix("entries-").or_else(|| name.strip_prefix("late-"))?.splitn(2, '-');
    let from = parts.next().filter(|from| from.len() == 16)?;
    Some((u64::from_str_radix(from, 16).ok()?, parts.next().is_none()))
}

/// A record: its position, how many had been dropped, and the entry.
pub(super) struct Record {
    pub(super) position: u64,
    pub(super) dropped: u64,
    pub(super) entry: Entry,
}

/// The good records in a file's bytes, by position.
pub(super) fn scan(bytes: &[u8]) -> Vec<Record> {
    let (mut records, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match look_at(&bytes[at..]) {
            Some((record, length)) => {
                records.push(record);
                at += length;
            }
            None => at += 1,
        }
    }
    records
}

/// How many records of a file are damaged: those that are missing before the next file's first, or at least one where none is good.
pub(super) fn damaged(from: u64, records: &[Record], next: Option<u64>) -> u64 {
    let end = records.last().map_or(from, |last| last.position + 1);
    let end = next.unwrap_or(end).clamp(end, from.saturating_add(MOST).max(end));
    let begin = records.first().map_or(from, |first| first.position.min(from));
    (end - begin).saturating_sub(records.len() as u64).clamp(u64::from(records.is_empty()), MOST)
}

fn look_at(bytes: &[u8]) -> Option<(Record, usize)> {
    let (header, rest) = bytes.strip_prefix(&MARKER)?.split_at_checked(HEADER - MARKER.len())?;
    let (summed, crc) = header.split_at(20);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let length = usize::try_from(number(&summed[..4])).ok().filter(|length| *length <= LONGEST)?;
    let entry = rest.get(..length)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(summed);
    hasher.update(entry);
    if hasher.finalize().to_le_bytes() != *crc {
        return None;
    }
    let (position, dropped) = (number(&summed[4..12]), number(&summed[12..]));
    let (topic, payload) = str::from_utf8(entry).ok()?.split_once('\n')?;
    let entry = Entry::new(topic, payload).filter(|_| position < HIGHEST && dropped <= HIGHEST)?;
    Some((Record { position, dropped, entry }, HEADER + length))
}
