//! [`DcTable`] and [`AcTable`]: Huffman codes, most of them looked up at once together with the value behind them.

use super::super::fault::Fault;
use super::bits::Bits;

/// Codes up to this length are looked up; longer ones are rare and searched.
const LOOKUP_BITS: u32 = 10;

/// Codes and their symbols.
pub(super) struct Codes {
    /// By the next bits: length of the code << 8 | symbol, or 0 if the code is longer.
    lookup: [u16; 1 << LOOKUP_BITS],
    /// By length: one more than the largest code, left-aligned to 16 bits.
    limit: [u32; 17],
    /// By length: what to add to a code to get the place of its symbol.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Codes {
    /// `counts[n]` codes of length n + 1, with these symbols in order.
    ///
    /// # Errors
    /// More codes of a length than there can be.
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let mut codes = Self { lookup: [0; 1 << LOOKUP_BITS], limit: [0; 17], offset: [0; 17], symbols: symbols.to_vec() };
        let mut code = 0u32;
        let mut place = 0usize;
        for length in 1..=16u32 {
            let count = u32::from(counts[length as usize - 1]);
            codes.offset[length as usize] = place as i32 - code as i32;
            if code + count > 1 << length {
                return Err(Fault::damaged("a JPEG Huffman table has more codes than fit"));
            }
            for _ in 0..count {
                if length <= LOOKUP_BITS {
                    let entry = (length as u16) << 8 | u16::from(symbols[place]);
                    let first = (code << (LOOKUP_BITS - length)) as usize;
                    codes.lookup[first..first + (1 << (LOOKUP_BITS - length))].fill(entry);
                }
                code += 1;
                place += 1;
            }
            codes.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(codes)
    }

    /// Takes one code; at least 16 bits must be known.
    ///
    /// # Errors
    /// Bits that are no code.
    #[inline(always)]
    pub fn take(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        let entry = self.lookup[bits.peek(LOOKUP_BITS)];
        if entry != 0 {
            bits.skip(u32::from(entry >> 8));
            return Ok(entry as u8);
        }
        self.take_long(bits)
    }

    #[cold]
    fn take_long(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        let next = bits.peek(16) as u32;
        for length in LOOKUP_BITS + 1..=16 {
            if next < self.limit[length as usize] {
                let place = (next >> (16 - length)) as i32 + self.offset[length as usize];
                bits.skip(length);
                return self.symbols.get(place as usize).copied().ok_or_else(no_code);
            }
        }
        // Made-up bits are no code either; then it is the end that is missing.
        bits.skip(16);
        bits.check()?;
        Err(no_code())
    }
}

#[cold]
fn no_code() -> Fault {
    Fault::damaged("JPEG data is not in the code of its Huffman table")
}

/// A table for DC differences: the symbol is a magnitude category.
pub(super) struct DcTable(Codes);

impl DcTable {
    /// See [`AcTable::new`].
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        // 12-bit and lossless pictures have larger categories; neither is read.
        if symbols.iter().any(|category| *category > 11) {
            return Err(Fault::damaged("a JPEG Huffman table has a DC category above 11"));
        }
        Ok(Self(Codes::new(counts, symbols)?))
    }

    /// Takes a difference.
    ///
    /// # Errors
    /// Bits that are no code.
    #[inline(always)]
    pub fn take(&self, bits: &mut Bits<'_>) -> Result<i32, Fault> {
        bits.refill();
        let category = self.0.take(bits)?;
        Ok(if category == 0 { 0 } else { bits.take_signed(u32::from(category)) })
    }
}

/// What the next bits of AC data say, packed: `value << 16 | run << 8 | bits`.
///
/// `run` counts the zeros before the value; [`AcTable::END`] ends the block. With [`AcTable::MORE`] set, `value` is not yet the
/// value but its category.
pub(super) type AcEntry = i32;

/// A table for AC coefficients: the symbol is a run of zeros and a magnitude category.
pub(super) struct AcTable {
    pub codes: Codes,
    entries: Box<[AcEntry; 1 << LOOKUP_BITS]>,
}

impl AcTable {
    /// A run that leads out of any block.
    pub const END: i32 = 0x7F;
    /// The value has still to be taken from the bits.
    pub const MORE: AcEntry = 0x80;

    /// `counts[n]` codes of length n + 1, with these symbols in order.
    ///
    /// # Errors
    /// More codes of a length than there can be.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let codes = Codes::new(counts, symbols)?;
        let mut entries = Box::new([0; 1 << LOOKUP_BITS]);
        for (next, entry) in entries.iter_mut().enumerate() {
            let found = codes.lookup[next];
            if found != 0 {
                *entry = Self::entry(next as i32, i32::from(found >> 8), found as u8);
            }
        }
        Ok(Self { codes, entries })
    }

    fn entry(next: i32, length: i32, symbol: u8) -> AcEntry {
        let (run, category) = (i32::from(symbol >> 4), i32::from(symbol & 15));
        match (run, category) {
            (15, 0) => 15 << 8 | length,
            (_, 0) => Self::END << 8 | length,
            _ if length + category <= LOOKUP_BITS as i32 => {
                let value = next >> (LOOKUP_BITS as i32 - length - category) & ((1 << category) - 1);
                let value = if value >> (category - 1) == 0 { value - (1 << category) + 1 } else { value };
                value << 16 | run << 8 | (length + category)
            }
            _ => category << 16 | run << 8 | Self::MORE | length,
        }
    }

    /// Takes a coefficient: the zeros before it ([`AcTable::END`]: no more) and its value. Refills by itself.
    ///
    /// Symbols with a run and no category mean the end here, as in a sequential picture.
    ///
    /// # Errors
    /// Bits that are no code.
    #[inline(always)]
    pub fn take(&self, bits: &mut Bits<'_>) -> Result<(usize, i32), Fault> {
        bits.refill();
        let mut entry = self.entries[bits.peek(LOOKUP_BITS)];
        if entry == 0 {
            let symbol = self.codes.take_long(bits)?;
            entry = match (symbol >> 4, symbol & 15) {
                (15, 0) => 15 << 8,
                (_, 0) => Self::END << 8,
                (run, category) => i32::from(category) << 16 | i32::from(run) << 8 | Self::MORE,
            };
        }
        bits.skip((entry & 0x7F) as u32);
        let run = (entry >> 8 & 0x7F) as usize;
        let value = entry >> 16;
        Ok((run, if entry & Self::MORE == 0 { value } else { bits.take_signed(value as u32) }))
    }

    /// Takes a coefficient like [`AcTable::take`] but answers with the zeros before it alone.
    ///
    /// # Errors
    /// Bits that are no code.
    #[inline(always)]
    pub fn pass(&self, bits: &mut Bits<'_>) -> Result<usize, Fault> {
        bits.refill();
        let entry = self.entries[bits.peek(LOOKUP_BITS)];
        if entry == 0 {
            let symbol = self.codes.take_long(bits)?;
            bits.skip(u32::from(symbol & 15));
            return Ok(match symbol {
                0xF0 => 15,
                _ if symbol & 15 == 0 => Self::END as usize,
                _ => usize::from(symbol >> 4),
            });
        }
        let more = if entry & Self::MORE == 0 { 0 } else { entry >> 16 };
        bits.skip(((entry & 0x7F) + more) as u32);
        Ok((entry >> 8 & 0x7F) as usize)
    }
}
