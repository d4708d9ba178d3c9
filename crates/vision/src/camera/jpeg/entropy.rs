//! Whether a JPEG's entropy-coded data hold the whole picture.
//!
//! The decoder fills in what is missing without a word, and goes on after bytes that were lost in the middle. So the Huffman codes of a
//! baseline picture are walked through first, without the transforms that make pixels of them (ITU-T T.81, annexes B, C and F).

/// Bytes that may be left when all blocks are there: some webcams send a few.
const SLACK: usize = 16;

/// Codes of up to so many bits are looked up; longer ones are searched.
const FAST_BITS: u32 = 9;

/// Why a picture cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::camera) enum Fault {
    #[error("data are damaged or missing in its middle")]
    Damaged,
    /// zune-jpeg 0.5.15 decodes such a picture into another one.
    #[error("each colour component has a scan of its own, which is not read in a baseline JPEG")]
    NotInterleaved,
}

/// Walks through a JPEG from its start of image; one that is neither baseline nor extended sequential with 8 bits passes.
pub(in crate::camera) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let (mut tables, mut frame, mut restart_interval) = (Tables::default(), None, 0);
    let mut at = 2;
    loop {
        // Fill bytes may come before a marker.
        while bytes.get(at..at + 2) == Some(&[0xff, 0xff]) {
            at += 1;
        }
        let [0xff, marker] = *bytes.get(at..at + 2).ok_or(Fault::Damaged)? else {
            return Err(Fault::Damaged);
        };
        let length = bytes.get(at + 2..at + 4).ok_or(Fault::Damaged)?;
        let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        let segment = bytes.get(at + 4..end).ok_or(Fault::Damaged)?;
        match marker {
            0xc4 => tables.read(segment)?,
            0xdd => restart_interval = number(segment, 0)?,
            0xc0 | 0xc1 if segment.first() == Some(&8) => frame = Some(Picture::read(segment)?),
            // Progressive, lossless, arithmetic or 12 bits.
            0xc0..=0xcf if marker != 0xc8 && marker != 0xcc => return Ok(()),
            0xda => {
                // Without a size the number of lines follows later.
                let Some(picture) = frame.filter(|picture| picture.width > 0 && picture.height > 0) else {
                    return Ok(());
                };
                let blocks = picture.blocks(segment)?;
                return Bits::new(&bytes[end..]).scan(&tables, &blocks, picture.units(), restart_interval);
            }
            _ => {}
        }
        at = end;
    }
}

fn number(segment: &[u8], at: usize) -> Result<usize, Fault> {
    match segment.get(at..at + 2) {
        Some(bytes) => Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))),
        None => Err(Fault::Damaged),
    }
}

/// The frame header.
#[derive(Clone, Copy)]
struct Picture {
    width: usize,
    height: usize,
    components: usize,
    /// Identifier and blocks of a unit, across and down.
    sampling: [(u8, usize, usize); 4],
}

impl Picture {
    fn read(segment: &[u8]) -> Result<Self, Fault> {
        let components = usize::from(*segment.get(5).ok_or(Fault::Damaged)?);
        let mut sampling = [(0, 1, 1); 4];
        for (at, sampling) in sampling.iter_mut().enumerate().take(components) {
            let [id, factors, _] = *segment.get(6 + 3 * at..9 + 3 * at).ok_or(Fault::Damaged)? else {
                return Err(Fault::Damaged);
            };
            *sampling = (id, usize::from(factors >> 4), usize::from(factors & 15));
            if !(1..=4).contains(&sampling.1) || !(1..=4).contains(&sampling.2) {
                return Err(Fault::Damaged);
            }
        }
        if !(1..=4).contains(&components) {
            return Err(Fault::Damaged);
        }
        Ok(Self { height: number(segment, 1)?, width: number(segment, 3)?, components, sampling })
    }

    /// The tables for each block of a unit: of the difference, and of the other coefficients.
    fn blocks(&self, scan: &[u8]) -> Result<Vec<(usize, usize)>, Fault> {
        if usize::from(*scan.first().ok_or(Fault::Damaged)?) != self.components {
            return Err(Fault::NotInterleaved);
        }
        let mut blocks = Vec::with_capacity(10);
        for at in 0..self.components {
            let [id, tables] = *scan.get(1 + 2 * at..3 + 2 * at).ok_or(Fault::Damaged)? else {
                return Err(Fault::Damaged);
            };
            let known = self.sampling[..self.components].iter().find(|component| component.0 == id);
            let (_, across, down) = *known.ok_or(Fault::Damaged)?;
            // Of a single component each unit is a block.
            let count = if self.components == 1 { 1 } else { across * down };
            let pair = (usize::from(tables >> 4), usize::from(tables & 15));
            if pair.0 > 3 || pair.1 > 3 {
                return Err(Fault::Damaged);
            }
            blocks.extend(std::iter::repeat_n(pair, count));
        }
        Ok(blocks)
    }

    /// Units (MCUs) of the picture.
    fn units(&self) -> usize {
        let used = &self.sampling[..self.components];
        let most = |side: fn(&(u8, usize, usize)) -> usize| match used {
            [_] => 1,
            _ => used.iter().map(side).max().unwrap_or(1),
        };
        self.width.div_ceil(8 * most(|it| it.1)) * self.height.div_ceil(8 * most(|it| it.2))
    }
}

/// A Huffman table.
#[derive(Clone, Copy)]
struct Table {
    /// For the next bits: length of the code and its symbol; a length of 0 where the code is longer or unknown.
    fast: [(u8, u8); 1 << FAST_BITS],
    /// The end of the codes of each length, aligned to 16 bits, and where its symbols are.
    ends: [u32; 17],
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    const EMPTY: Self =
        Self { fast: [(0, 0); 1 << FAST_BITS], ends: [0; 17], offsets: [0; 17], symbols: [0; 256] };

    /// From the numbers of codes of 1 to 16 bits, and their symbols.
    fn new(counts: &[u8], symbols: &[u8]) -> Result<Self, Fault> {
        let mut table = Self::EMPTY;
        table.symbols[..symbols.len()].copy_from_slice(symbols);
        let (mut code, mut index) = (0u32, 0usize);
        for (length, count) in (1u8..).zip(counts) {
            let first = code;
            table.offsets[usize::from(length)] =
                i32::try_from(index).unwrap_or(0) - i32::try_from(first).unwrap_or(0);
            for symbol in &symbols[index..index + usize::from(*count)] {
                if u32::from(length) <= FAST_BITS {
                    let rest = FAST_BITS - u32::from(length);
                    let from = (code << rest) as usize;
                    let filled = table.fast.get_mut(from..from + (1 << rest)).ok_or(Fault::Damaged)?;
                    filled.fill((length, *symbol));
                }
                code += 1;
            }
            index += usize::from(*count);
            if code > 1 << length {
                return Err(Fault::Damaged);
            }
            table.ends[usize::from(length)] = code << (16 - u32::from(length));
            code <<= 1;
        }
        Ok(table)
    }
}

/// The tables of the DC and of the AC coefficients.
struct Tables([[Table; 4]; 2]);

impl Default for Tables {
    fn default() -> Self {
        Self([[Table::EMPTY; 4]; 2])
    }
}

impl Tables {
    /// Reads one DHT segment.
    fn read(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let [class, rest @ ..] = segment {
            let (counts, rest) = rest.split_at_checked(16).ok_or(Fault::Damaged)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(Fault::Damaged)?;
            let place =
                self.0.get_mut(usize::from(class >> 4)).and_then(|it| it.get_mut(usize::from(class & 15)));
            if total > 256 {
                return Err(Fault::Damaged);
            }
            *place.ok_or(Fault::Damaged)? = Table::new(counts, symbols)?;
            segment = rest;
        }
        Ok(())
    }
}

/// Entropy-coded data, bit by bit, without the zero that is stuffed after each 0xff.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest one.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, count: 0 }
    }

    /// Walks through all units; damage where their number or a code is not right.
    fn scan(
        mut self,
        tables: &Tables,
        blocks: &[(usize, usize)],
        units: usize,
        restart_interval: usize,
    ) -> Result<(), Fault> {
        let [dc, ac] = &tables.0;
        for unit in 0..units {
            if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
                let number = u8::try_from((unit / restart_interval - 1) % 8).unwrap_or(0);
                if self.marker()? != Some(0xd0 + number) {
                    return Err(Fault::Damaged);
                }
                self.at += 2;
            }
            for (difference, others) in blocks {
                self.block(&dc[*difference], &ac[*others])?;
            }
        }
        // Where the data end without a marker, nothing had to be guessed.
        match self.marker()? {
            None | Some(0xd9) => Ok(()),
            Some(_) => Err(Fault::Damaged),
        }
    }

    fn block(&mut self, dc: &Table, ac: &Table) -> Result<(), Fault> {
        let size = self.symbol(dc)?;
        self.skip(u32::from(size).min(17))?;
        let mut coefficient = 1;
        while coefficient < 64 {
            let symbol = self.symbol(ac)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            match (run, size) {
                (15, 0) => coefficient += 16,
                (_, 0) => return Ok(()),
                _ => {
                    coefficient += u32::from(run) + 1;
                    if coefficient > 64 {
                        return Err(Fault::Damaged);
                    }
                    self.skip(u32::from(size))?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn symbol(&mut self, table: &Table) -> Result<u8, Fault> {
        self.fill();
        let (length, symbol) = table.fast[(self.buffer >> (64 - FAST_BITS)) as usize];
        if length > 0 {
            self.skip(length.into())?;
            return Ok(symbol);
        }
        let next = (self.buffer >> 48) as u32;
        let length =
            (FAST_BITS + 1..=16).find(|length| next < table.ends[*length as usize]).ok_or(Fault::Damaged)?;
        let code = i32::try_from(next >> (16 - length)).unwrap_or(0);
        let index = usize::try_from(code + table.offsets[length as usize]).map_err(|_| Fault::Damaged)?;
        self.skip(length)?;
        table.symbols.get(index).copied().ok_or(Fault::Damaged)
    }

    #[inline]
    fn skip(&mut self, bits: u32) -> Result<(), Fault> {
        if bits > self.count {
            self.fill();
        }
        if bits > self.count {
            return Err(Fault::Damaged);
        }
        self.buffer <<= bits;
        self.count -= bits;
        Ok(())
    }

    /// Buffers at least 32 bits, as far as there are that many before the next marker.
    #[inline]
    fn fill(&mut self) {
        while self.count <= 32 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                Some([byte, ..]) if *byte != 0xff => {
                    self.at += 1;
                    *byte
                }
                _ => return,
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Goes to the next marker and returns it; none at the end of the data. A few bytes may be left before it.
    fn marker(&mut self) -> Result<Option<u8>, Fault> {
        let mut left = self.count as usize / 8;
        (self.buffer, self.count) = (0, 0);
        loop {
            match self.bytes.get(self.at..) {
                None | Some([] | [0xff]) => return Ok(None),
                Some([0xff, 0xff, ..]) => self.at += 1,
                Some([0xff, marker, ..]) if *marker != 0 => return Ok(Some(*marker)),
                Some(_) => {
                    self.at += 1;
                    left += 1;
                }
            }
            if left > SLACK {
                return Err(Fault::Damaged);
            }
        }
    }
}
