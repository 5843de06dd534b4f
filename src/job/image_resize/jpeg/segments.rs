//! [`Segments`]: the markers of a JPEG between its scans, and the tables they bring.

use super::super::fault::Fault;
use super::bits::Bits;
use super::frame::Frame;
use super::huffman::{AcTable, DcTable};
use super::scan::Scan;

/// By zigzag order: the place in a block that is stored column by column (the order the transform wants).
pub(super) const ZIGZAG: [u8; 64] = {
    let by_row: [u8; 64] = [
        0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35,
        42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62,
        63,
    ];
    let mut by_column = [0; 64];
    let mut n = 0;
    while n < 64 {
        by_column[n] = by_row[n] % 8 * 8 + by_row[n] / 8;
        n += 1;
    }
    by_column
};

/// A walk over the segments of a file, holding the tables defined so far.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    position: usize,
    frame: Option<Frame>,
    /// Quantization tables in the order of [`ZIGZAG`]'s places.
    quantization: [Option<[u16; 64]>; 4],
    dc: [Option<DcTable>; 4],
    ac: [Option<AcTable>; 4],
    /// MCUs between restart markers, 0 for none.
    pub restart_interval: usize,
    pub exif: Option<&'a [u8]>,
    /// Number, count and data of the profile's parts.
    icc: Vec<(u8, u8, &'a [u8])>,
    jfif: bool,
    adobe: Option<u8>,
    ended: bool,
}

impl<'a> Segments<'a> {
    /// Starts behind the first marker.
    ///
    /// # Errors
    /// Bytes that do not begin like a JPEG.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if !bytes.starts_with(&[0xFF, 0xD8]) {
            return Err(Fault::unsupported("not a JPEG"));
        }
        Ok(Self {
            bytes,
            position: 2,
            frame: None,
            quantization: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart_interval: 0,
            exif: None,
            icc: Vec::new(),
            jfif: false,
            adobe: None,
            ended: false,
        })
    }

    /// The frame header.
    ///
    /// # Errors
    /// There was none before the first scan.
    pub fn frame(&self) -> Result<Frame, Fault> {
        self.frame.clone().ok_or_else(|| Fault::damaged("a JPEG scan begins before the frame header"))
    }

    /// Goes on to the next scan; `None` at the end of the picture.
    ///
    /// # Errors
    /// A segment that is cut off or cannot be. The end of the file in place of the end marker is left to
    /// [`Segments::has_ended`].
    pub fn next_scan(&mut self) -> Result<Option<Scan>, Fault> {
        loop {
            let Some(marker) = self.marker() else {
                return if self.frame.is_some() { Ok(None) } else { Err(self.cut_off()) };
            };
            match marker {
                0xD9 => {
                    self.ended = true;
                    return Ok(None);
                }
                // Markers without a body.
                0x01 | 0xD0..=0xD7 => continue,
                0xD8 => return Err(Fault::damaged(format!("a second JPEG begins at byte {}", self.position))),
                _ => {}
            }
            let body = self.body()?;
            match marker {
                0xC4 => self.huffman_tables(body)?,
                0xC0..=0xCF if marker != 0xC8 && marker != 0xCC => {
                    if self.frame.is_some() {
                        return Err(Fault::damaged("the JPEG has two frame headers"));
                    }
                    self.frame = Some(Frame::read(marker, body, self.jfif, self.adobe)?);
                }
                0xDA => return Scan::read(body, &self.frame()?).map(Some),
                0xDB => self.quantization_tables(body)?,
                0xDD => {
                    let &interval = body.first_chunk().ok_or_else(|| Fault::damaged("a JPEG restart interval is cut off"))?;
                    self.restart_interval = usize::from(u16::from_be_bytes(interval));
                }
                0xDC => return Err(Fault::unsupported("a JPEG whose height follows its first scan")),
                0xE0 => self.jfif |= body.starts_with(b"JFIF\0"),
                0xE1 => self.exif = self.exif.or(body.strip_prefix(b"Exif\0\0")),
                0xE2 => {
                    if let Some([number, count, data @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                        self.icc.push((*number, *count, data));
                    }
                }
                0xEE if body.starts_with(b"Adobe") => self.adobe = body.get(11).copied().or(self.adobe),
                _ => {}
            }
        }
    }

    /// Whether the marker that ends a JPEG was there.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The bits of the scan whose header was read last.
    pub fn bits(&self) -> Bits<'a> {
        Bits::new(self.bytes, self.position)
    }

    /// Goes on behind a scan.
    ///
    /// # Errors
    /// Data left over, or taken that was not there.
    pub fn leave_scan(&mut self, bits: Bits<'a>) -> Result<(), Fault> {
        self.position = bits.end_of_scan()?;
        Ok(())
    }

    /// A table that a scan names.
    ///
    /// # Errors
    /// It was not defined.
    pub fn dc_table(&self, index: usize) -> Result<&DcTable, Fault> {
        self.dc[index].as_ref().ok_or_else(|| undefined("Huffman"))
    }

    /// A table that a scan names.
    ///
    /// # Errors
    /// It was not defined.
    pub fn ac_table(&self, index: usize) -> Result<&AcTable, Fault> {
        self.ac[index].as_ref().ok_or_else(|| undefined("Huffman"))
    }

    /// A table that a component names.
    ///
    /// # Errors
    /// It was not defined.
    pub fn quantization(&self, index: usize) -> Result<&[u16; 64], Fault> {
        self.quantization[index].as_ref().ok_or_else(|| undefined("quantization"))
    }

    /// The colour profile, if all parts of it are there.
    pub fn icc(&self) -> Option<Vec<u8>> {
        let count = self.icc.len();
        let mut parts = self.icc.clone();
        parts.sort_by_key(|(number, ..)| *number);
        let whole = parts.iter().zip(1..).all(|((number, of, _), place)| *number == place && usize::from(*of) == count);
        (count > 0 && count < 256 && whole).then(|| parts.iter().flat_map(|(.., data)| *data).copied().collect())
    }

    /// The next marker; bytes before it are passed over, as libjpeg does.
    fn marker(&mut self) -> Option<u8> {
        loop {
            self.position += memchr::memchr(0xFF, self.bytes.get(self.position..)?)? + 1;
            match *self.bytes.get(self.position)? {
                0x00 => {}
                0xFF => continue,
                marker => {
                    self.position += 1;
                    return Some(marker);
                }
            }
        }
    }

    /// The body of the segment whose marker was read.
    fn body(&mut self) -> Result<&'a [u8], Fault> {
        let rest = &self.bytes[self.position..];
        let &length = rest.first_chunk::<2>().ok_or_else(|| self.cut_off())?;
        let length = usize::from(u16::from_be_bytes(length));
        if length < 2 {
            return Err(Fault::damaged(format!("a JPEG segment at byte {} has no length", self.position)));
        }
        let body = rest.get(2..length).ok_or_else(|| self.cut_off())?;
        self.position += length;
        Ok(body)
    }

    fn cut_off(&self) -> Fault {
        Fault::truncated(format!("the JPEG ends at byte {}, within its header", self.bytes.len()))
    }

    fn huffman_tables(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        while let Some((&class, rest)) = body.split_first() {
            let wrong = || Fault::damaged("a JPEG Huffman table is cut off or cannot be");
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(wrong)?;
            match (class >> 4, usize::from(class & 15)) {
                (0, index @ 0..4) => self.dc[index] = Some(DcTable::new(counts, symbols)?),
                (1, index @ 0..4) => self.ac[index] = Some(AcTable::new(counts, symbols)?),
                _ => return Err(wrong()),
            }
            body = rest;
        }
        Ok(())
    }

    fn quantization_tables(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        while let Some((&head, rest)) = body.split_first() {
            let wrong = || Fault::damaged("a JPEG quantization table is cut off or cannot be");
            let (wide, index) = (head >> 4 != 0, usize::from(head & 15));
            let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or_else(wrong)?;
            let table = self.quantization.get_mut(index).ok_or_else(wrong)?.insert([0; 64]);
            for (n, place) in ZIGZAG.iter().enumerate() {
                table[usize::from(*place)] =
                    if wide { u16::from_be_bytes([values[2 * n], values[2 * n + 1]]) } else { u16::from(values[n]) };
            }
            body = rest;
        }
        Ok(())
    }
}

fn undefined(what: &str) -> Fault {
    Fault::damaged(format!("the JPEG names a {what} table that it does not define"))
}
