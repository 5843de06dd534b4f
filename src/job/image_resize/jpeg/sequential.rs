//! Pictures whose coefficients come all at once: decoded and transformed block by block.

use super::super::fault::Fault;
use super::Plane;
use super::bits::Bits;
use super::frame::{Component, Frame};
use super::huffman::{AcTable, DcTable};
use super::idct::Transform;
use super::scan::Scan;
use super::segments::{Segments, ZIGZAG};

/// The DC of an 8-bit picture is at most this far from 0, however finely quantized, with room for an encoder's rounding.
pub(super) const MOST_DC: u32 = 2048;

/// Decodes from the first scan to the end of the picture.
///
/// # Errors
/// Whatever is missing or contradicts itself, the end marker included.
pub(super) fn decode(segments: &mut Segments<'_>, frame: &Frame, first: Scan) -> Result<Vec<Plane>, Fault> {
    let mut planes: Vec<Option<Plane>> = frame.components.iter().map(|_| None).collect();
    let mut next = Some(first);
    while let Some(scan) = next {
        for part in &scan.components {
            if planes[part.index].is_some() {
                return Err(Fault::damaged("a JPEG component comes in two scans"));
            }
            planes[part.index] = Some(Plane::of(&frame.components[part.index]));
        }
        decode_scan(segments, frame, &scan, &mut planes)?;
        next = segments.next_scan()?;
    }
    // Zeros in place of the rest of a file, as a broken download leaves them, are bits like others; the end marker is not there then.
    if !segments.has_ended() {
        return Err(Fault::truncated("the JPEG ends without its end marker"));
    }
    planes.into_iter().map(|plane| plane.ok_or_else(|| Fault::damaged("a JPEG component has no data"))).collect()
}

impl Plane {
    /// A black plane for a component at its scale.
    pub(super) fn of(component: &Component) -> Self {
        let part = component.scale as f64 / 8.0;
        let (width, height) = (component.width * part, component.height * part);
        let stride = component.padded_across * component.scale;
        Self {
            samples: vec![0; stride * component.padded_down * component.scale],
            stride,
            columns: width.ceil() as usize,
            rows: height.ceil() as usize,
            width,
            height,
        }
    }
}

/// What is needed to decode the blocks of one component.
struct Part<'a> {
    component: &'a Component,
    dc_table: &'a DcTable,
    ac_table: &'a AcTable,
    transform: Transform,
    plane: Plane,
    dc: i32,
}

fn decode_scan(segments: &mut Segments<'_>, frame: &Frame, scan: &Scan, planes: &mut [Option<Plane>]) -> Result<(), Fault> {
    let mut bits = segments.bits();
    let mut parts = Vec::with_capacity(scan.components.len());
    for named in &scan.components {
        let component = &frame.components[named.index];
        parts.push(Part {
            component,
            dc_table: segments.dc_table(named.dc_table)?,
            ac_table: segments.ac_table(named.ac_table)?,
            transform: Transform::new(component.scale, segments.quantization(component.quantization)?),
            plane: planes[named.index].take().unwrap_or_else(|| Plane::of(component)),
            dc: 0,
        });
    }
    let (across, down) = match &parts[..] {
        [only] => (only.component.blocks_across, only.component.blocks_down),
        _ => (frame.mcus_across, frame.mcus_down),
    };
    let alone = parts.len() == 1;
    let mut block = [0i16; 64];
    let mut until_restart = segments.restart_interval;
    let mut restarts = 0u8;
    for y in 0..down {
        for x in 0..across {
            if segments.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart(restarts)?;
                    restarts = (restarts + 1) % 8;
                    until_restart = segments.restart_interval;
                    parts.iter_mut().for_each(|part| part.dc = 0);
                }
                until_restart -= 1;
            }
            for part in &mut parts {
                let (wide, high) = if alone { (1, 1) } else { (part.component.across, part.component.down) };
                for v in 0..high {
                    for h in 0..wide {
                        let read = part.block(&mut bits, &mut block, x * wide + h, y * high + v);
                        // Bits that were made up make no sense either; then it is their absence that counts.
                        read.map_err(|fault| bits.check().err().unwrap_or(fault))?;
                    }
                }
            }
            bits.check()?;
        }
    }
    for (named, part) in scan.components.iter().zip(parts) {
        planes[named.index] = Some(part.plane);
    }
    segments.leave_scan(bits)
}

impl Part<'_> {
    /// Decodes the block at these block coordinates. `block` is zero before and after.
    #[inline(always)]
    fn block(&mut self, bits: &mut Bits<'_>, block: &mut [i16; 64], x: usize, y: usize) -> Result<(), Fault> {
        self.dc += self.dc_table.take(bits)?;
        if self.dc.unsigned_abs() > MOST_DC {
            return Err(Fault::damaged("JPEG data leads out of the range of brightness"));
        }
        let scale = self.component.scale;
        let stride = self.plane.stride;
        let output = &mut self.plane.samples[y * scale * stride + x * scale..];
        if scale == 1 {
            pass_ac(self.ac_table, bits)?;
            output[0] = self.transform.flat(self.dc as i16);
            return Ok(());
        }
        let last = take_ac(self.ac_table, bits, block)?;
        block[0] = self.dc as i16;
        if last == 0 {
            let sample = self.transform.flat(block[0]);
            for row in output.chunks_mut(stride).take(scale) {
                row[..scale].fill(sample);
            }
            block[0] = 0;
            return Ok(());
        }
        self.transform.block(block, output, stride);
        *block = [0; 64];
        Ok(())
    }
}

/// Takes the AC coefficients of a block; answers with the zigzag place of the last one, 0 if there is none.
#[inline(always)]
fn take_ac(table: &AcTable, bits: &mut Bits<'_>, block: &mut [i16; 64]) -> Result<usize, Fault> {
    let mut k = 1;
    let mut last = 0;
    while k < 64 {
        let (run, value) = table.take(bits)?;
        k += run;
        if k > 63 {
            if run == AcTable::END as usize {
                break;
            }
            return Err(too_many());
        }
        block[usize::from(ZIGZAG[k])] = value as i16;
        last = k;
        k += 1;
    }
    Ok(last)
}

/// Passes over the AC coefficients of a block.
#[inline(always)]
fn pass_ac(table: &AcTable, bits: &mut Bits<'_>) -> Result<(), Fault> {
    let mut k = 1;
    while k < 64 {
        let run = table.pass(bits)?;
        k += run;
        if k > 63 {
            if run == AcTable::END as usize {
                break;
            }
            return Err(too_many());
        }
        k += 1;
    }
    Ok(())
}

#[cold]
pub(super) fn too_many() -> Fault {
    Fault::damaged("JPEG data has more than 64 coefficients in a block")
}
