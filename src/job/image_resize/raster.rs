//! [`Raster`]: PNG, WebP and GIF, read by the `image` crate.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::fault::Fault;
use super::kind::Kind;
use super::picture::{Data, Pixels};

/// What a decoder may allocate beside the picture itself: for a colour profile, or texts nobody asked for.
const BESIDE_BYTES: u64 = 16 * 1024 * 1024;

/// A PNG, WebP or GIF whose header is read.
pub(super) struct Raster<'a>(Box<dyn ImageDecoder + 'a>);

impl<'a> Raster<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// A header that is cut off or damaged.
    pub fn open(kind: Kind, bytes: &'a [u8], max_pixels: u64) -> Result<Self, Fault> {
        let reader = Cursor::new(bytes);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(max_pixels.saturating_mul(8).saturating_add(BESIDE_BYTES));
        let mut decoder: Box<dyn ImageDecoder + 'a> = match kind {
            Kind::Gif => Box::new(GifDecoder::new(reader).map_err(fault)?),
            Kind::WebP => Box::new(WebPDecoder::new(reader).map_err(fault)?),
            Kind::Png | Kind::Jpeg => {
                limits.max_alloc = Some(BESIDE_BYTES);
                return PngDecoder::with_limits(reader, limits).map(|decoder| Self(Box::new(decoder))).map_err(fault);
            }
        };
        decoder.set_limits(limits).map_err(fault)?;
        Ok(Self(decoder))
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    /// The orientation in its EXIF; one that cannot be read is none, as with every viewer.
    pub fn orientation(&mut self) -> Orientation {
        self.0.orientation().unwrap_or(Orientation::NoTransforms)
    }

    /// The colour profile; one that cannot be read is none.
    pub fn icc(&mut self) -> Option<Vec<u8>> {
        self.0.icc_profile().ok().flatten().filter(|profile| !profile.is_empty())
    }

    /// Decodes the picture, the first one of an animation.
    ///
    /// # Errors
    /// Whatever is missing or damaged.
    pub fn decode(self) -> Result<Pixels, Fault> {
        let (width, height) = self.0.dimensions();
        let colour = self.0.color_type();
        let length = usize::try_from(self.0.total_bytes()).map_err(|_| Fault::damaged("the picture has no size that can be"))?;
        let mut samples = vec![0; length];
        self.0.read_image(&mut samples).map_err(fault)?;
        let data = match colour {
            ColorType::L8 => Data::Grey(samples),
            ColorType::La8 => Data::GreyAlpha(samples),
            ColorType::Rgb8 => Data::Rgb(samples),
            ColorType::Rgba8 => Data::Rgba(samples),
            ColorType::L16 => Data::Grey(narrow(samples)),
            ColorType::La16 => Data::GreyAlpha(narrow(samples)),
            ColorType::Rgb16 => Data::Rgb(narrow(samples)),
            ColorType::Rgba16 => Data::Rgba(narrow(samples)),
            other => return Err(Fault::unsupported(format!("pixels of kind {other:?} are not read"))),
        };
        Ok(Pixels { width, height, data })
    }
}

/// 16 bits a sample to 8, rounded to the nearest, in place.
fn narrow(mut samples: Vec<u8>) -> Vec<u8> {
    for n in 0..samples.len() / 2 {
        let wide = u32::from(u16::from_ne_bytes([samples[2 * n], samples[2 * n + 1]]));
        samples[n] = ((wide * 255 + 32_895) >> 16) as u8;
    }
    samples.truncate(samples.len() / 2);
    samples.shrink_to_fit();
    samples
}

/// What a decoder complains about, in our words. Whether the file is all there was asked before.
fn fault(error: ImageError) -> Fault {
    let cut = |error: &ImageError| {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(inner) = next {
            if inner.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof) {
                return true;
            }
            next = inner.source();
        }
        false
    };
    match &error {
        ImageError::Unsupported(_) => Fault::unsupported(error.to_string()),
        ImageError::Limits(_) => Fault::damaged(format!("more memory asked for than the picture can need: {error}")),
        _ if cut(&error) => Fault::truncated(format!("the data ends before the picture is complete: {error}")),
        _ => Fault::damaged(error.to_string()),
    }
}
