//! An append-only log of entries in files of about [`SEGMENT`] bytes.
//!
//! ```text
//! file    = entries-<position of its first record, 16 hexadecimal digits>[-<attempt>]
//! content = record*
//! record  = FF 4C 52 01 | length | position | dropped | crc    | entry
//!           marker, 4 B | u32    | u64      | u64     | u32    | `length` bytes of UTF-8
//! ```
//! All numbers are little-endian. `crc` is the CRC-32 of length, position, dropped and entry. `dropped` is how many
//! entries had been given up when the record was written, so that the count survives with the entries.
//!
//! Invariants: bytes once written are never changed; positions rise from record to record and from file to file;
//! a file is removed only as a whole, when none of its records is needed any more.
//!
//! What a crash leaves behind. Of the process: everything appended. Of the machine: everything up to the last
//! `sync`, and after it anything: a torn record, zeroes, nothing. A reader looks for the next marker with a right
//! checksum (the marker begins with FF, which is in no UTF-8), so it skips what is torn or damaged and finds what comes
//! after, also where a file was appended to after a torn record. A gap in the positions counts what was skipped. A
//! removed file may be there again, and its entries, which the broker has, are published once more. But it is not there
//! beside a file begun later: the folder is synced with the name of each new file. Else the entries between the two, which
//! were never written, would count as skipped.

use std::collections::VecDeque;
use std::io;

use super::storage::Storage;

/// A file is not added to beyond this size. After a power loss up to one file of entries that the broker has
/// already acknowledged comes again.
const SEGMENT: u64 = 64 * 1024;

const PREFIX: &str = "entries-";
const MARKER: [u8; 4] = [0xff, b'L', b'R', 1];
const HEADER: usize = 28;
/// No entry is longer: a topic and a payload.
const LONGEST: usize = 4096;

/// One entry: a topic and the payload to publish on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) topic: String,
    pub(super) payload: String,
}

impl Entry {
    fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n{}", self.topic, self.payload).into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (topic, payload) = str::from_utf8(bytes).ok()?.split_once('\n')?;
        Some(Self { topic: topic.to_owned(), payload: payload.to_owned() })
    }
}

/// Where a record lies in its file: bytes.
struct Place {
    position: u64,
    offset: u64,
    length: usize,
}

struct Segment {
    name: String,
    bytes: u64,
    places: VecDeque<Place>,
}

/// What was found when a log was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Entries that were damaged.
    pub(super) damaged: u64,
    /// The count of dropped entries in the newest record.
    pub(super) dropped: u64,
}

/// The log; holds no entry in memory, only where each one lies.
pub(super) struct Log {
    storage: Box<dyn Storage>,
    segments: VecDeque<Segment>,
    /// Counts failed writes, so that what they left behind is never added to.
    attempt: u32,
}

impl Log {
    /// Reads what an earlier process left; entries before position `from` are not needed any more.
    pub(super) fn open(storage: Box<dyn Storage>, from: u64) -> io::Result<(Self, Found)> {
        let mut names: Vec<_> =
            storage.list()?.into_iter().filter(|name| first_position(name).is_some()).collect();
        names.sort_unstable();
        let (mut log, mut found) =
            (Self { storage, segments: VecDeque::new(), attempt: 0 }, Found::default());
        let mut next: Option<u64> = None;
        for (index, name) in names.iter().enumerate() {
            let bytes = log.storage.read(name)?;
            let scan = scan(&bytes);
            let mut expected = next.or(first_position(name)).unwrap_or_default().max(from);
            let mut places = VecDeque::new();
            for record in scan.records {
                // Not needed any more, or written twice after a failure.
                if record.place.position < expected {
                    continue;
                }
                found.damaged += record.place.position - expected;
                found.dropped = record.dropped;
                expected = record.place.position + 1;
                places.push_back(record.place);
            }
            // Nothing follows that could show the gap.
            if index + 1 == names.len() && scan.damaged_at_end {
                found.damaged += 1;
            }
            next = Some(expected);
            if places.is_empty() {
                log.storage.remove(name)?;
            } else {
                // The process that wrote it may have died before it did this. A disk that is full can be read all the same.
                if let Err(error) = log.storage.sync(name) {
                    log::warn!("records on the disk may not survive a power loss: {error}");
                }
                // Two torn records one after the other would look like a damaged one.
                let size = if scan.ends_well { bytes.len() as u64 } else { SEGMENT.max(bytes.len() as u64) };
                log.segments.push_back(Segment { name: name.clone(), bytes: size, places });
            }
        }
        Ok((log, found))
    }

    /// Position of the oldest entry.
    pub(super) fn first(&self) -> Option<u64> {
        Some(self.segments.front()?.places.front()?.position)
    }

    /// Position of the newest entry.
    pub(super) fn last(&self) -> Option<u64> {
        Some(self.segments.back()?.places.back()?.position)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.places.len()).sum()
    }

    /// Size on the disk in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds an entry; its position must be higher than every earlier one.
    pub(super) fn append(&mut self, position: u64, dropped: u64, entry: &Entry) -> io::Result<()> {
        let record = encode(position, dropped, &entry.to_bytes());
        if self.segments.back().is_none_or(|segment| segment.bytes + record.len() as u64 > SEGMENT) {
            self.sync()?;
            let mut name = format!("{PREFIX}{position:016x}");
            if self.attempt > 0 {
                name = format!("{name}-{}", self.attempt);
            }
            self.segments.push_back(Segment { name, bytes: 0, places: VecDeque::new() });
        }
        let Some(segment) = self.segments.back_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = self.storage.append(&segment.name, &record) {
            // Some of it may be there, so where the next one would lie is not known: it goes into another file.
            segment.bytes = SEGMENT;
            self.retract(position);
            return Err(error);
        }
        segment.places.push_back(Place { position, offset: segment.bytes, length: record.len() });
        segment.bytes += record.len() as u64;
        Ok(())
    }

    /// Takes back the entries from `position` on, which are not safe on the disk; they may be appended again.
    pub(super) fn retract(&mut self, position: u64) {
        while let Some(segment) = self.segments.back_mut() {
            while segment.places.back().is_some_and(|place| place.position >= position) {
                segment.places.pop_back();
            }
            if !segment.places.is_empty() {
                // Added to no more, so that whatever is wrong with it stays apart.
                segment.bytes = segment.bytes.max(SEGMENT);
                break;
            }
            // If that fails too, what is there comes again one day, with the same bytes.
            let _ = self.storage.remove(&segment.name);
            self.segments.pop_back();
        }
        self.attempt += 1;
    }

    /// Returns when every entry would survive a power loss.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self.segments.back() {
            Some(segment) => self.storage.sync(&segment.name),
            None => Ok(()),
        }
    }

    /// Reads the oldest entry again, and checks it again.
    pub(super) fn oldest(&self) -> Option<(u64, io::Result<Entry>)> {
        let segment = self.segments.front()?;
        let place = segment.places.front()?;
        Some((place.position, self.read(segment, place)))
    }

    /// Every entry from the oldest on.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, io::Result<Entry>)> {
        self.segments.iter().flat_map(move |segment| {
            segment.places.iter().map(move |place| (place.position, self.read(segment, place)))
        })
    }

    fn read(&self, segment: &Segment, place: &Place) -> io::Result<Entry> {
        let record = self.storage.read_at(&segment.name, place.offset, place.length)?;
        match decode(&record) {
            Decoded::Good { position, .. } if position == place.position => {
                Entry::from_bytes(&record[HEADER..])
            }
            _ => None,
        }
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "damaged"))
    }

    /// Forgets the entries before `position`, and removes the files that hold nothing else.
    pub(super) fn forget_before(&mut self, position: u64) -> io::Result<()> {
        while let Some(segment) = self.segments.front_mut() {
            while segment.places.front().is_some_and(|place| place.position < position) {
                segment.places.pop_front();
            }
            if !segment.places.is_empty() {
                break;
            }
            let Some(segment) = self.segments.pop_front() else { break };
            self.storage.remove(&segment.name)?;
        }
        Ok(())
    }

    /// The folder that the log lies in, for the files beside it.
    pub(super) fn storage(&mut self) -> &mut dyn Storage {
        self.storage.as_mut()
    }
}

fn first_position(name: &str) -> Option<u64> {
    let position = name.strip_prefix(PREFIX)?.split('-').next()?;
    u64::from_str_radix(position, 16).ok()
}

fn encode(position: u64, dropped: u64, entry: &[u8]) -> Vec<u8> {
    let mut summed = Vec::with_capacity(20 + entry.len());
    summed.extend(u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
    summed.extend(position.to_le_bytes());
    summed.extend(dropped.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&summed);
    crc.update(entry);
    [&MARKER, &summed[..], &crc.finalize().to_le_bytes(), entry].concat()
}

struct Record {
    place: Place,
    dropped: u64,
}

struct Scan {
    records: Vec<Record>,
    /// Whether the file ends in a record that is all there, and damaged; not in a torn one.
    damaged_at_end: bool,
    /// Whether the last record is good, so that the file can be added to.
    ends_well: bool,
}

/// Finds the good records in a file's bytes.
fn scan(bytes: &[u8]) -> Scan {
    let (mut records, mut at, mut damaged_at_end) = (Vec::new(), 0, false);
    while at < bytes.len() {
        match decode(&bytes[at..]) {
            Decoded::Good { position, dropped, length } => {
                let place = Place { position, offset: at as u64, length: HEADER + length };
                at += place.length;
                records.push(Record { place, dropped });
                damaged_at_end = false;
            }
            Decoded::Damaged => {
                damaged_at_end = true;
                at += 1;
            }
            Decoded::Torn | Decoded::Nothing => at += 1,
        }
    }
    let end = records.last().map_or(0, |Record { place, .. }| place.offset + place.length as u64);
    Scan { records, damaged_at_end, ends_well: end == bytes.len() as u64 }
}

enum Decoded {
    Good {
        position: u64,
        dropped: u64,
        length: usize,
    },
    /// A marker and as many bytes as it says, with another checksum.
    Damaged,
    /// A marker, and the end of the file before the end of the record.
    Torn,
    Nothing,
}

fn decode(bytes: &[u8]) -> Decoded {
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
    Decoded::Good { position: number(&summed[4..12]), dropped: number(&summed[12..20]), length }
}
