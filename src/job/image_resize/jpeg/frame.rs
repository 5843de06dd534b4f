//! [`Frame`]: the size of a JPEG, its components and what they mean.

use super::super::fault::Fault;

/// How the components of a picture make a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::job::image_resize) enum Colour {
    /// One component: luma.
    Grey,
    /// Luma and two colour differences.
    Ycc,
    /// Red, green and blue.
    Rgb,
    /// Cyan, magenta, yellow and black; `inverted` as Adobe writes them: 255 is no ink.
    Cmyk { inverted: bool },
    /// As CMYK, with the first three as luma and colour differences.
    Ycck { inverted: bool },
}

/// The frame header, and what follows from it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub width: u32,
    pub height: u32,
    pub progressive: bool,
    pub components: Vec<Component>,
    pub colour: Colour,
    /// MCUs in a row of an interleaved scan.
    pub mcus_across: usize,
    /// Rows of MCUs of an interleaved scan.
    pub mcus_down: usize,
}

/// A component of the picture.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub id: u8,
    /// Blocks of an MCU across and down, 1 to 4.
    pub across: usize,
    pub down: usize,
    /// Which quantization table.
    pub quantization: usize,
    /// Samples, before any scaling: exact, so a fraction at the edge.
    pub width: f64,
    pub height: f64,
    /// Blocks with at least one sample of the picture: what a scan of this component alone holds.
    pub blocks_across: usize,
    pub blocks_down: usize,
    /// Blocks including those that fill up the last MCUs.
    pub padded_across: usize,
    pub padded_down: usize,
    /// Samples of a block's side after decoding: 1, 2, 4 or 8.
    pub scale: usize,
}

impl Component {
    /// Takes the smallest scale at which the picture has at least this width and height.
    pub fn choose_scale(&mut self, (width, height): (f64, f64)) {
        let enough = |scale: &usize| {
            let part = *scale as f64 / 8.0;
            self.width * part >= width && self.height * part >= height
        };
        self.scale = [1, 2, 4].into_iter().find(enough).unwrap_or(8);
    }
}

impl Frame {
    /// Reads the body of a frame header; `adobe` is the transform of an Adobe segment before it.
    ///
    /// # Errors
    /// Sizes and factors that cannot be, and what is not read: arithmetic coding, lossless, 12 bits.
    pub fn read(marker: u8, body: &[u8], jfif: bool, adobe: Option<u8>) -> Result<Self, Fault> {
        match marker {
            0xC0..=0xC2 => {}
            0xC9..=0xCB | 0xCD..=0xCF => return Err(Fault::unsupported("a JPEG with arithmetic coding")),
            0xC3 => return Err(Fault::unsupported("a lossless JPEG")),
            _ => return Err(Fault::unsupported("a hierarchical JPEG")),
        }
        let short = || Fault::damaged("the JPEG frame header is too short");
        let (&[precision, h1, h0, w1, w0, count], list) = body.split_first_chunk::<6>().ok_or_else(short)?;
        if precision != 8 {
            return Err(Fault::unsupported(format!("a JPEG of {precision} bits a sample, 8 are read")));
        }
        let width = u32::from(u16::from_be_bytes([w1, w0]));
        let height = u32::from(u16::from_be_bytes([h1, h0]));
        if height == 0 {
            return Err(Fault::unsupported("a JPEG whose height is not in its header"));
        }
        if width == 0 {
            return Err(Fault::damaged("the JPEG has no width"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Fault::unsupported(format!("a JPEG of {count} components, 1, 3 or 4 are read")));
        }
        let list = list.get(..usize::from(count) * 3).ok_or_else(short)?;
        let factor = |part: &[u8]| (usize::from(part[1] >> 4), usize::from(part[1] & 15));
        let (mut most_across, mut most_down) = (1, 1);
        for part in list.chunks_exact(3) {
            let (across, down) = factor(part);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || part[2] > 3 {
                return Err(Fault::damaged("a JPEG component has a sampling factor or a table that cannot be"));
            }
            (most_across, most_down) = (most_across.max(across), most_down.max(down));
        }
        let mcus_across = (width as usize).div_ceil(8 * most_across);
        let mcus_down = (height as usize).div_ceil(8 * most_down);
        let components: Vec<Component> = list
            .chunks_exact(3)
            .map(|part| {
                let (across, down) = factor(part);
                let width = f64::from(width) * across as f64 / most_across as f64;
                let height = f64::from(height) * down as f64 / most_down as f64;
                Component {
                    id: part[0],
                    across,
                    down,
                    quantization: usize::from(part[2]),
                    width,
                    height,
                    blocks_across: (width.ceil() as usize).div_ceil(8),
                    blocks_down: (height.ceil() as usize).div_ceil(8),
                    padded_across: mcus_across * across,
                    padded_down: mcus_down * down,
                    scale: 8,
                }
            })
            .collect();
        let ids: Vec<u8> = components.iter().map(|component| component.id).collect();
        if (1..ids.len()).any(|n| ids[..n].contains(&ids[n])) {
            return Err(Fault::damaged("two JPEG components have one number"));
        }
        let colour = colour(&ids, jfif, adobe);
        Ok(Self { width, height, progressive: marker == 0xC2, components, colour, mcus_across, mcus_down })
    }
}

/// What the components mean: libjpeg's rules, which everybody follows.
fn colour(ids: &[u8], jfif: bool, adobe: Option<u8>) -> Colour {
    match (ids, adobe) {
        ([_], _) => Colour::Grey,
        ([_, _, _], _) if jfif => Colour::Ycc,
        ([_, _, _], Some(0)) | (b"RGB", None) => Colour::Rgb,
        ([_, _, _], _) => Colour::Ycc,
        (_, Some(2)) => Colour::Ycck { inverted: true },
        (_, adobe) => Colour::Cmyk { inverted: adobe.is_some() },
    }
}
