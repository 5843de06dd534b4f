//! [`Bits`]: the entropy-coded bits between two markers.

use super::super::fault::Fault;

/// Reads bits, most significant first, and takes stuffed zeros out.
///
/// Behind the last bit it goes on with zeros and counts them, so that reading needs no check per bit;
/// [`Bits::check`] tells whether one of them was used.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    /// The next bits, left-aligned.
    buffer: u64,
    /// How many of `buffer`'s bits are known.
    count: u32,
    /// How many of the bits read ahead so far are not in the file.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position, buffer: 0, count: 0, made_up: 0 }
    }

    /// Makes sure that at least 48 bits can be looked at.
    #[inline(always)]
    pub fn refill(&mut self) {
        if self.count < 48 {
            self.refill_now();
        }
    }

    #[inline(always)]
    fn refill_now(&mut self) {
        if let Some(Ok(next)) = self.bytes.get(self.position..self.position + 8).map(<[u8; 8]>::try_from) {
            let word = u64::from_be_bytes(next);
            // A byte 0xFF anywhere is a stuffed byte or a marker: the slow way.
            if (!word).wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 == 0 {
                // Bits behind the counted ones are put in too; they are the same that the next refill puts there.
                self.buffer |= word >> self.count;
                self.position += ((63 - self.count) >> 3) as usize;
                self.count |= 56;
                return;
            }
        }
        self.refill_bytewise();
    }

    #[cold]
    #[inline(never)]
    fn refill_bytewise(&mut self) {
        while self.count <= 56 {
            let byte = match self.next_byte() {
                Some(byte) => byte,
                None => {
                    self.made_up += 8;
                    0
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next byte of entropy-coded data, or `None` at a marker or the end of the file.
    fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        if byte != 0xFF {
            self.position += 1;
            return Some(byte);
        }
        match self.bytes.get(self.position + 1)? {
            0x00 => {
                self.position += 2;
                Some(0xFF)
            }
            _ => None,
        }
    }

    /// The next `n` bits without taking them, 1 to 16.
    #[inline(always)]
    pub fn peek(&self, n: u32) -> usize {
        (self.buffer >> (64 - n)) as usize
    }

    /// Takes `n` bits, at most as many as are known.
    #[inline(always)]
    pub fn skip(&mut self, n: u32) {
        self.buffer <<= n;
        self.count = self.count.wrapping_sub(n);
    }

    /// Takes one bit.
    #[inline(always)]
    pub fn bit(&mut self) -> bool {
        self.refill();
        let bit = self.buffer >> 63 != 0;
        self.skip(1);
        bit
    }

    /// Takes `n` bits, 1 to 16, without a refill.
    #[inline(always)]
    pub fn take(&mut self, n: u32) -> u32 {
        let value = self.peek(n) as u32;
        self.skip(n);
        value
    }

    /// Takes `n` bits, 1 to 15, as a signed value of that magnitude category.
    #[inline(always)]
    pub fn take_signed(&mut self, n: u32) -> i32 {
        let value = self.take(n) as i32;
        // Below half of the range: a negative value, written in ones' complement.
        let negative = (value >> (n - 1)) - 1;
        value + (negative & ((-1 << n) + 1))
    }

    /// Whether everything taken so far was in the file.
    ///
    /// # Errors
    /// Truncated at the end of the file, damaged at a marker.
    #[inline(always)]
    pub fn check(&self) -> Result<(), Fault> {
        if self.made_up > self.count { Err(self.ran_out()) } else { Ok(()) }
    }

    #[cold]
    fn ran_out(&self) -> Fault {
        match self.marker() {
            Some((marker, _)) => Fault::damaged(format!(
                "JPEG data ends too early: marker {marker:02X} at byte {} of {}",
                self.position,
                self.bytes.len()
            )),
            None => Fault::truncated(format!("JPEG data ends at byte {}, before the picture is complete", self.bytes.len())),
        }
    }

    /// The marker at which the data ended and the position behind it.
    fn marker(&self) -> Option<(u8, usize)> {
        let mut position = self.position;
        while *self.bytes.get(position)? == 0xFF {
            position += 1;
        }
        Some((self.bytes[position], position + 1))
    }

    /// Ends a run of data: what is left must be the padding of the last byte. Zero bytes are forgiven: some cameras write them.
    fn finish(&mut self) -> Result<(), Fault> {
        self.check()?;
        self.skip((self.count - self.made_up) % 8);
        loop {
            self.refill();
            if self.count <= self.made_up {
                return Ok(());
            }
            if self.take(8) != 0 {
                return Err(Fault::damaged(format!(
                    "JPEG data goes on behind the last block, before byte {} of {}",
                    self.position,
                    self.bytes.len()
                )));
            }
        }
    }

    /// Goes over restart marker number `expected` (0 to 7).
    ///
    /// # Errors
    /// Data left over before it, another marker, or none.
    pub fn restart(&mut self, expected: u8) -> Result<(), Fault> {
        self.finish()?;
        match self.marker() {
            Some((marker, behind)) if marker == 0xD0 + expected => {
                *self = Self::new(self.bytes, behind);
                Ok(())
            }
            Some((marker, _)) => Err(Fault::damaged(format!(
                "JPEG restart marker {:02X} expected, {marker:02X} found at byte {} of {}",
                0xD0 + expected,
                self.position,
                self.bytes.len()
            ))),
            None => Err(Fault::truncated(format!("JPEG data ends at byte {}, before the picture is complete", self.bytes.len()))),
        }
    }

    /// Ends a scan and answers with the position of the marker behind it (or the end of the file).
    ///
    /// # Errors
    /// Data left over, or taken that was not there.
    pub fn end_of_scan(mut self) -> Result<usize, Fault> {
        self.finish()?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffed_zeros_are_taken_out_and_missing_bits_noticed() {
        let bytes = [0xAB, 0xFF, 0x00, 0xCD, 0xFF, 0xD9];
        let mut bits = Bits::new(&bytes, 0);
        bits.refill();
        assert_eq!(bits.take(16), 0xABFF);
        assert_eq!(bits.take(8), 0xCD);
        bits.check().expect("all three bytes are there");
        bits.take(1);
        let fault = bits.check().expect_err("a fourth is not");
        assert_eq!(fault.detail, "JPEG data ends too early: marker D9 at byte 4 of 6");
    }

    #[test]
    fn values_are_extended_as_in_the_standard() {
        let mut bits = Bits::new(&[0b0110_1000, 0b0111_1111], 0);
        bits.refill();
        assert_eq!([bits.take_signed(1), bits.take_signed(2), bits.take_signed(3)], [-1, 3, -7 + 2]);
        assert_eq!(bits.take_signed(2), -3);
    }

    #[test]
    fn both_ways_of_refilling_give_the_same_bits() {
        let plain: Vec<u8> = (0..64u8).map(|n| n.wrapping_mul(37) % 0xFF).collect();
        let mut fast = Bits::new(&plain, 0);
        let mut slow = Bits::new(&plain, 0);
        for n in [3, 1, 7, 16, 11, 2, 13, 5, 16, 16, 9, 1, 4].into_iter().cycle().take(60) {
            fast.refill();
            slow.refill_bytewise();
            assert_eq!(fast.take(n), slow.take(n));
            assert_eq!(fast.check().is_ok(), slow.check().is_ok());
        }
    }
}
