//! From pixels to the bytes of a file.

use image::codecs::gif::GifEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use jpeg_encoder::{ColorType, Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use super::colour;
use super::config::MOST_WEBP_SIDE;
use super::fault::Fault;
use super::kind::Kind;
use super::picture::{Data, Pixels};

/// How a picture is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoding {
    pub kind: Kind,
    /// 1 to 100.
    pub quality: u8,
    /// Under transparent pixels.
    pub background: [u8; 3],
}

impl Encoding {
    /// Whether colour differences are stored at half the resolution.
    pub fn halves_colour(&self) -> bool {
        self.kind == Kind::Jpeg && self.quality < 90
    }

    /// Writes it, with a colour profile that describes it.
    ///
    /// # Errors
    /// A picture larger than the kind allows.
    pub fn write(&self, pixels: Pixels, icc: Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
        match self.kind {
            Kind::Jpeg => self.jpeg(pixels, icc),
            Kind::Png => png(pixels, icc),
            Kind::WebP => webp(pixels, icc),
            Kind::Gif => gif(pixels),
        }
    }

    fn jpeg(&self, pixels: Pixels, icc: Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
        let side = |side: u32| u16::try_from(side).map_err(|_| too_large(&pixels, 65_535));
        let (width, height) = (side(pixels.width)?, side(pixels.height)?);
        let data = match pixels.data {
            Data::Rgba(samples) => Data::Rgb(colour::flattened(&samples, self.background)),
            Data::GreyAlpha(samples) => {
                let flat = colour::flattened(&colour::grey_alpha_to_rgba(&samples), self.background);
                if self.background.iter().all(|part| *part == self.background[0]) {
                    Data::Grey(flat.chunks_exact(3).map(|pixel| pixel[0]).collect())
                } else {
                    Data::Rgb(flat)
                }
            }
            data => data,
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.quality);
        encoder.set_sampling_factor(if self.halves_colour() { SamplingFactor::F_2_2 } else { SamplingFactor::F_1_1 });
        if let Some(icc) = icc.filter(|icc| fits(icc, matches!(data, Data::Grey(_)))) {
            encoder.add_icc_profile(&icc).map_err(|error| refused("JPEG", error))?;
        }
        let written = match data {
            Data::Grey(samples) => encoder.encode(&samples, width, height, ColorType::Luma),
            Data::Rgb(samples) => encoder.encode(&samples, width, height, ColorType::Rgb),
            Data::Ycc(planes) => encoder.encode_image(YccPlanes { planes, width, height }),
            Data::GreyAlpha(_) | Data::Rgba(_) => Ok(()),
        };
        written.map_err(|error| refused("JPEG", error))?;
        Ok(bytes)
    }
}

/// Planes for the encoder as they are, without a detour over RGB.
struct YccPlanes {
    planes: [Vec<u8>; 3],
    width: u16,
    height: u16,
}

impl ImageBuffer for YccPlanes {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let width = usize::from(self.width);
        let start = usize::from(y) * width;
        for (buffer, plane) in buffers.iter_mut().zip(&self.planes) {
            buffer.extend_from_slice(&plane[start..start + width]);
        }
    }
}

/// Interleaved samples and what the `image` crate calls them.
fn interleaved(data: Data) -> (Vec<u8>, ExtendedColorType) {
    match data {
        Data::Grey(samples) => (samples, ExtendedColorType::L8),
        Data::GreyAlpha(samples) => (samples, ExtendedColorType::La8),
        Data::Rgb(samples) => (samples, ExtendedColorType::Rgb8),
        Data::Rgba(samples) => (samples, ExtendedColorType::Rgba8),
        Data::Ycc([y, cb, cr]) => (colour::ycc_to_rgb([&y, &cb, &cr]), ExtendedColorType::Rgb8),
    }
}

fn png(pixels: Pixels, icc: Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
    let (width, height) = (pixels.width, pixels.height);
    let (samples, kind) = interleaved(pixels.data);
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    if let Some(icc) = icc.filter(|icc| fits(icc, matches!(kind, ExtendedColorType::L8 | ExtendedColorType::La8))) {
        encoder.set_icc_profile(icc).map_err(|error| refused("PNG", error))?;
    }
    encoder.write_image(&samples, width, height, kind).map_err(|error| refused("PNG", error))?;
    Ok(bytes)
}

fn webp(pixels: Pixels, icc: Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
    if pixels.width.max(pixels.height) > MOST_WEBP_SIDE {
        return Err(too_large(&pixels, MOST_WEBP_SIDE));
    }
    let (width, height) = (pixels.width, pixels.height);
    let (samples, kind) = interleaved(pixels.data);
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut bytes);
    // A WebP is never grey inside.
    if let Some(icc) = icc.filter(|icc| fits(icc, false)) {
        encoder.set_icc_profile(icc).map_err(|error| refused("WebP", error))?;
    }
    encoder.write_image(&samples, width, height, kind).map_err(|error| refused("WebP", error))?;
    Ok(bytes)
}

fn gif(pixels: Pixels) -> Result<Vec<u8>, Fault> {
    let (width, height) = (pixels.width, pixels.height);
    let samples = match pixels.data {
        Data::Rgba(samples) => samples,
        data => match interleaved(data) {
            (samples, ExtendedColorType::L8) => samples.iter().flat_map(|grey| [*grey, *grey, *grey, 255]).collect(),
            (samples, ExtendedColorType::La8) => colour::grey_alpha_to_rgba(&samples),
            (samples, _) => samples.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect(),
        },
    };
    let mut bytes = Vec::new();
    // Speed 10 of 30: the best palette that does not take longer than the rest of the job.
    GifEncoder::new_with_speed(&mut bytes, 10)
        .encode(&samples, width, height, ExtendedColorType::Rgba8)
        .map_err(|error| refused("GIF", error))?;
    Ok(bytes)
}

/// Whether a colour profile can describe such pixels: one for grey says nothing about colours, nor one for ink.
fn fits(icc: &[u8], grey: bool) -> bool {
    match icc.get(16..20) {
        Some(b"GRAY") => grey,
        Some(b"CMYK") => false,
        _ => true,
    }
}

fn too_large(pixels: &Pixels, most: u32) -> Fault {
    Fault::too_large(format!("the result would be {} x {}, this format ends at {most} a side", pixels.width, pixels.height))
}

fn refused(kind: &str, error: impl std::fmt::Display) -> Fault {
    Fault::unsupported(format!("the result cannot be written as {kind}: {error}"))
}
