//! Pictures whose coefficients come in several scans, a few more bits with each: collected first, transformed at the end.

use super::super::fault::Fault;
use super::Plane;
use super::bits::Bits;
use super::frame::{Component, Frame};
use super::huffman::AcTable;
use super::idct::Transform;
use super::scan::Scan;
use super::segments::{Segments, ZIGZAG};
use super::sequential::{MOST_DC, too_many};

/// The coefficients of a component as far as they are known.
///
/// Of a block only the lowest N x N are kept, those its scale needs; of the others only which are not zero, because later
/// scans bring one bit for each of these. A 24-megapixel picture decoded at 1/8 so takes 6 MB in place of 70.
struct Coefficients<'a> {
    component: &'a Component,
    /// `scale * scale` values a block, column by column.
    kept: Vec<i16>,
    /// By zigzag place, one bit for each coefficient that is not zero.
    nonzero: Vec<u64>,
    /// By zigzag place: the place among the kept ones, or [`NOT_KEPT`].
    place: [u8; 64],
    has_dc: bool,
}

const NOT_KEPT: u8 = 64;

/// Decodes from the first scan to the end of the picture.
///
/// # Errors
/// Whatever is missing or contradicts itself; here also a missing end marker, behind which scans may be missing.
pub(super) fn decode(segments: &mut Segments<'_>, frame: &Frame, first: Scan) -> Result<Vec<Plane>, Fault> {
    let mut all: Vec<Coefficients<'_>> = frame.components.iter().map(Coefficients::new).collect();
    let mut next = Some(first);
    while let Some(scan) = next {
        decode_scan(segments, frame, &scan, &mut all)?;
        next = segments.next_scan()?;
    }
    if !segments.has_ended() {
        return Err(Fault::truncated("the JPEG ends without its end marker: more scans may be missing"));
    }
    if all.iter().any(|coefficients| !coefficients.has_dc) {
        return Err(Fault::damaged("a JPEG component has no data"));
    }
    let mut planes = Vec::with_capacity(all.len());
    for coefficients in all {
        let quantization = segments.quantization(coefficients.component.quantization)?;
        planes.push(coefficients.into_plane(quantization));
    }
    Ok(planes)
}

impl<'a> Coefficients<'a> {
    fn new(component: &'a Component) -> Self {
        let scale = component.scale;
        let blocks = component.padded_across * component.padded_down;
        let place = ZIGZAG.map(|place| {
            let (x, y) = (usize::from(place / 8), usize::from(place % 8));
            if x < scale && y < scale { (x * scale + y) as u8 } else { NOT_KEPT }
        });
        Self { component, kept: vec![0; blocks * scale * scale], nonzero: vec![0; blocks], place, has_dc: false }
    }

    /// Puts a coefficient that was zero.
    #[inline(always)]
    fn put(&mut self, block: usize, k: usize, value: i16) {
        self.nonzero[block] |= 1 << k;
        if self.place[k] != NOT_KEPT {
            let size = self.component.scale * self.component.scale;
            self.kept[block * size + usize::from(self.place[k])] = value;
        }
    }

    /// Takes one more bit for each nonzero coefficient of `places`.
    #[inline(always)]
    fn refine(&mut self, bits: &mut Bits<'_>, block: usize, mut places: u64, bit: i16) {
        let size = self.component.scale * self.component.scale;
        while places != 0 {
            let k = places.trailing_zeros() as usize;
            places &= places - 1;
            if bits.bit() && self.place[k] != NOT_KEPT {
                let value = &mut self.kept[block * size + usize::from(self.place[k])];
                *value = value.saturating_add(if *value < 0 { -bit } else { bit });
            }
        }
    }

    fn into_plane(self, quantization: &[u16; 64]) -> Plane {
        let scale = self.component.scale;
        let transform = Transform::new(scale, quantization);
        let mut plane = Plane::of(self.component);
        let mut wide = [0i16; 64];
        for (n, kept) in self.kept.chunks_exact(scale * scale).enumerate() {
            let (x, y) = (n % self.component.padded_across, n / self.component.padded_across);
            let output = &mut plane.samples[y * scale * plane.stride + x * scale..];
            if scale == 1 || self.nonzero[n] & !1 == 0 {
                let sample = transform.flat(kept[0]);
                for row in output.chunks_mut(plane.stride).take(scale) {
                    row[..scale].fill(sample);
                }
                continue;
            }
            for (column, kept) in wide.chunks_exact_mut(8).zip(kept.chunks_exact(scale)) {
                column[..scale].copy_from_slice(kept);
            }
            transform.block(&wide, output, plane.stride);
        }
        plane
    }
}

fn decode_scan(segments: &mut Segments<'_>, frame: &Frame, scan: &Scan, all: &mut [Coefficients<'_>]) -> Result<(), Fault> {
    for named in &scan.components {
        let coefficients = &mut all[named.index];
        // An AC scan says nothing without its DC, and a refinement nothing without what it refines.
        if (scan.first > 0 || scan.high > 0) && !coefficients.has_dc {
            return Err(Fault::damaged("a JPEG scan refines what was not there before"));
        }
        coefficients.has_dc |= scan.first == 0;
    }
    let mut restarts = Restarts { interval: segments.restart_interval, left: segments.restart_interval, number: 0 };
    let mut bits = segments.bits();
    if scan.first == 0 {
        dc_scan(segments, frame, scan, all, &mut bits, &mut restarts)?;
    } else {
        let named = scan.components[0];
        let table = segments.ac_table(named.ac_table)?;
        ac_scan(&mut all[named.index], scan, table, &mut bits, &mut restarts)?;
    }
    segments.leave_scan(bits)
}

/// Counts MCUs to the next restart marker.
struct Restarts {
    interval: usize,
    left: usize,
    number: u8,
}

impl Restarts {
    /// Called before each MCU; true if a restart marker was gone over.
    #[inline(always)]
    fn before_mcu(&mut self, bits: &mut Bits<'_>) -> Result<bool, Fault> {
        if self.interval == 0 {
            return Ok(false);
        }
        let due = self.left == 0;
        if due {
            bits.restart(self.number)?;
            self.number = (self.number + 1) % 8;
            self.left = self.interval;
        }
        self.left -= 1;
        Ok(due)
    }
}

fn dc_scan(
    segments: &Segments<'_>,
    frame: &Frame,
    scan: &Scan,
    all: &mut [Coefficients<'_>],
    bits: &mut Bits<'_>,
    restarts: &mut Restarts,
) -> Result<(), Fault> {
    let alone = scan.components.len() == 1;
    let (across, down) = if alone {
        let component = &frame.components[scan.components[0].index];
        (component.blocks_across, component.blocks_down)
    } else {
        (frame.mcus_across, frame.mcus_down)
    };
    let mut tables = Vec::with_capacity(scan.components.len());
    for named in scan.components.iter().filter(|_| scan.high == 0) {
        tables.push(segments.dc_table(named.dc_table)?);
    }
    let mut last = [0i32; 4];
    for y in 0..down {
        for x in 0..across {
            if restarts.before_mcu(bits)? {
                last = [0; 4];
            }
            for (n, named) in scan.components.iter().enumerate() {
                let coefficients = &mut all[named.index];
                let component = coefficients.component;
                let (wide, high) = if alone { (1, 1) } else { (component.across, component.down) };
                let size = component.scale * component.scale;
                for inside in 0..wide * high {
                    let (h, v) = (inside % wide, inside / wide);
                    let block = (y * high + v) * component.padded_across + x * wide + h;
                    let dc = &mut coefficients.kept[block * size];
                    if scan.high > 0 {
                        *dc |= i16::from(bits.bit()) << scan.low;
                        continue;
                    }
                    last[n] += tables[n].take(bits)?;
                    if last[n].unsigned_abs() << scan.low > MOST_DC {
                        bits.check()?;
                        return Err(Fault::damaged("JPEG data leads out of the range of brightness"));
                    }
                    *dc = (last[n] << scan.low) as i16;
                }
            }
            bits.check()?;
        }
    }
    Ok(())
}

fn ac_scan(
    coefficients: &mut Coefficients<'_>,
    scan: &Scan,
    table: &AcTable,
    bits: &mut Bits<'_>,
    restarts: &mut Restarts,
) -> Result<(), Fault> {
    let component = coefficients.component;
    // Blocks that end here without a code of their own.
    let mut ended = 0u32;
    for y in 0..component.blocks_down {
        for x in 0..component.blocks_across {
            if restarts.before_mcu(bits)? {
                ended = 0;
            }
            let block = y * component.padded_across + x;
            let read = match ended {
                1.. if scan.high == 0 => Ok(ended - 1),
                _ if scan.high == 0 => first_bits(coefficients, block, scan, table, bits),
                _ => next_bit(coefficients, block, scan, table, bits, ended),
            };
            // Bits that were made up make no sense either; then it is their absence that counts.
            ended = read.map_err(|fault| bits.check().err().unwrap_or(fault))?;
            bits.check()?;
        }
    }
    Ok(())
}

/// Takes the first bits of a block's coefficients; answers how many blocks behind it end without a code of their own.
#[inline(always)]
fn first_bits(
    coefficients: &mut Coefficients<'_>,
    block: usize,
    scan: &Scan,
    table: &AcTable,
    bits: &mut Bits<'_>,
) -> Result<u32, Fault> {
    let mut k = scan.first;
    while k <= scan.last {
        bits.refill();
        let symbol = table.codes.take(bits)?;
        let (run, category) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if category == 0 && run < 15 {
            return Ok(end_run(bits, run as u32));
        }
        k += run;
        if k > scan.last {
            return Err(too_many());
        }
        if category > 0 {
            let value = bits.take_signed(category) << scan.low;
            coefficients.put(block, k, value as i16);
        }
        k += 1;
    }
    Ok(0)
}

/// Takes one more bit of a block's coefficients; `ended` and the answer as with [`first_bits`].
#[inline(always)]
fn next_bit(
    coefficients: &mut Coefficients<'_>,
    block: usize,
    scan: &Scan,
    table: &AcTable,
    bits: &mut Bits<'_>,
    ended: u32,
) -> Result<u32, Fault> {
    let bit = 1i16 << scan.low;
    let mut k = scan.first;
    let up_to_last = u64::MAX >> (63 - scan.last);
    if ended > 0 {
        let places = coefficients.nonzero[block] & up_to_last & u64::MAX << k;
        coefficients.refine(bits, block, places, bit);
        return Ok(ended - 1);
    }
    while k <= scan.last {
        bits.refill();
        let symbol = table.codes.take(bits)?;
        let (run, category) = (u32::from(symbol >> 4), symbol & 15);
        let known = coefficients.nonzero[block] & up_to_last & u64::MAX << k;
        let value = match (category, run) {
            (0, 15) => 0,
            (0, _) => {
                let ended = end_run(bits, run);
                coefficients.refine(bits, block, known, bit);
                return Ok(ended);
            }
            (1, _) => {
                if bits.bit() {
                    bit
                } else {
                    -bit
                }
            }
            _ => return Err(Fault::damaged("JPEG data has more than one bit in a refinement")),
        };
        // The new coefficient's place is behind `run` zeros; the nonzero ones on the way get their bit.
        let mut zeros = !known & up_to_last & u64::MAX << k;
        for _ in 0..run {
            zeros &= zeros.wrapping_sub(1);
        }
        if zeros == 0 {
            // A run of 16 zeros may lead to the very end; a value has to have a place.
            if value != 0 {
                return Err(too_many());
            }
            coefficients.refine(bits, block, known, bit);
            return Ok(0);
        }
        let place = zeros.trailing_zeros() as usize;
        coefficients.refine(bits, block, known & ((1 << place) - 1), bit);
        if value != 0 {
            coefficients.put(block, place, value);
        }
        k = place + 1;
    }
    Ok(0)
}

/// How many blocks behind this one end, by the code with `run`.
#[inline(always)]
fn end_run(bits: &mut Bits<'_>, run: u32) -> u32 {
    if run == 0 { 0 } else { (1 << run) - 1 + bits.take(run) }
}
