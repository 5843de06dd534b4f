//! [`Scan`]: the header of a scan.

use super::super::fault::Fault;
use super::frame::Frame;

/// Which components and coefficients a scan brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    pub components: Vec<ScanComponent>,
    /// First and last coefficient in zigzag order.
    pub first: usize,
    pub last: usize,
    /// Bits of the coefficients known before (0: this is the first scan for them) and missing after.
    pub high: u32,
    pub low: u32,
}

/// A component in a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScanComponent {
    pub index: usize,
    pub dc_table: usize,
    pub ac_table: usize,
}

impl Scan {
    /// Reads the body of a scan header.
    ///
    /// # Errors
    /// Components that are not in the frame, or parameters that cannot be.
    pub fn read(body: &[u8], frame: &Frame) -> Result<Self, Fault> {
        let wrong = || Fault::damaged("a JPEG scan header contradicts the frame header");
        let (&count, rest) = body.split_first().ok_or_else(wrong)?;
        let count = usize::from(count);
        let list = rest.get(..count * 2).ok_or_else(wrong)?;
        let &[first, last, bits] = rest.get(count * 2..).and_then(|rest| rest.first_chunk::<3>()).ok_or_else(wrong)?;
        let mut components = Vec::with_capacity(count.min(4));
        for part in list.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == part[0]).ok_or_else(wrong)?;
            if components.iter().any(|known: &ScanComponent| known.index == index) || part[1] >> 4 > 3 || part[1] & 15 > 3 {
                return Err(wrong());
            }
            components.push(ScanComponent { index, dc_table: usize::from(part[1] >> 4), ac_table: usize::from(part[1] & 15) });
        }
        let scan = Self {
            components,
            first: usize::from(first),
            last: usize::from(last),
            high: u32::from(bits >> 4),
            low: u32::from(bits & 15),
        };
        let blocks = |part: &ScanComponent| frame.components[part.index].across * frame.components[part.index].down;
        let in_mcu: usize = scan.components.iter().map(blocks).sum();
        let progressive = scan.last < 64
            && scan.first <= scan.last
            && scan.low <= 13
            && (scan.high == 0 || scan.high == scan.low + 1)
            && if scan.first == 0 { scan.last == 0 } else { scan.components.len() == 1 };
        // Sequential scans have their parameters fixed; some encoders write others, and no decoder minds.
        if scan.components.is_empty() || (scan.components.len() > 1 && in_mcu > 10) || (frame.progressive && !progressive) {
            return Err(wrong());
        }
        Ok(scan)
    }
}
