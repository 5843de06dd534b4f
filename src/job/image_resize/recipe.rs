//! [`resize`]: what the job does with the bytes of one picture.

use super::config::{Filter, Fit, Format, ImageResizeConfig};
use super::encode::Encoding;
use super::fault::Fault;
use super::geometry::Geometry;
use super::kind::Kind;
use super::picture::{Head, Needs, transposes};
use super::resample::resample;
use crate::job::JobError;

/// A picture as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// Resizes one picture in memory: what the job does with each item, without reading and writing. CPU-bound.
///
/// ```
/// use fanfold::job::image_resize::{ImageResizeConfig, resize};
/// use serde_json::json;
///
/// let config: ImageResizeConfig = serde_json::from_value(json!({ "width": 128, "destination": "out" }))?;
/// let error = resize(b"not a picture", &config).expect_err("text is not a picture");
/// assert_eq!(error.to_string(), "Image.Unsupported: JPEG, PNG, WebP and GIF are read, this is text");
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// `Image.Empty`, `Image.Unsupported`, `Image.Truncated`, `Image.Damaged` or `Image.TooLarge`: nothing that another try
/// would change.
pub fn resize(bytes: &[u8], config: &ImageResizeConfig) -> Result<Resized, JobError> {
    Ok(Recipe::from(config).make(bytes)?)
}

/// The settings that concern pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    bounds: (Option<u32>, Option<u32>),
    fit: Fit,
    enlarge: bool,
    filter: Filter,
    format: Format,
    quality: u8,
    background: [u8; 3],
    max_pixels: u64,
}

impl From<&ImageResizeConfig> for Recipe {
    fn from(config: &ImageResizeConfig) -> Self {
        Self {
            bounds: (config.width, config.height),
            fit: config.fit,
            enlarge: config.enlarge,
            filter: config.filter,
            format: config.format,
            quality: config.quality.clamp(1, 100),
            background: config.background.0,
            max_pixels: config.max_pixels,
        }
    }
}

impl Recipe {
    pub(super) fn make(&self, bytes: &[u8]) -> Result<Resized, Fault> {
        let mut head = Head::read(bytes, self.max_pixels)?;
        let upright = Geometry::new(head.upright_size(), self.bounds, self.fit, self.enlarge);
        Fault::check_pixels(upright.width, upright.height, self.max_pixels)?;
        let (size, orientation, icc) = ((head.width, head.height), head.orientation, head.icc.take());
        let geometry = if transposes(orientation) { upright.transposed() } else { upright };
        let kind = match self.format {
            Format::Same => head.kind,
            Format::Jpeg => Kind::Jpeg,
            Format::Png => Kind::Png,
            Format::Webp => Kind::WebP,
        };
        let encoding = Encoding { kind, quality: self.quality, background: self.background };
        let picture = head.decode(Needs { geometry, half_colour: encoding.halves_colour() })?;
        let pixels = resample(picture, size, geometry, self.filter)?.oriented(orientation);
        let bytes = encoding.write(pixels, icc)?;
        Ok(Resized { bytes, width: upright.width, height: upright.height })
    }
}
