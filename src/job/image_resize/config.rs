//! [`ImageResizeConfig`]: the settings of `image_resize`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::expression::Setting;
use crate::job::{ConfigError, Fleet};
use crate::storage::{Location, OnExists};

/// The largest side that can be asked for, in pixels.
pub(super) const MOST_SIDE: u32 = 16_384;

/// The largest side of a WebP, in pixels.
pub(super) const MOST_WEBP_SIDE: u32 = 16_383;

/// Resizes pictures: reads each item's JPEG, PNG, WebP or GIF (its first frame) and writes it smaller to `destination`.
///
/// What a file is, is told by its content. Its EXIF orientation is applied, its colour profile kept, all other metadata
/// dropped: a position taken by a phone does not leave the house. Ink (CMYK) becomes RGB. A file that is empty, cut off or
/// damaged is failed (`Image.Empty`, `Image.Truncated`, `Image.Damaged`), never half a picture; something else than the four
/// kinds is `Image.Unsupported`, more pixels than `max_pixels` are `Image.TooLarge`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageResizeConfig {
    /// Width of the box the picture is fitted into, in pixels. With `fit: contain` one of `width` and `height` may be left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16384), example = 128)]
    pub width: Option<u32>,

    /// Height of the box the picture is fitted into, in pixels.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16384), example = 128)]
    pub height: Option<u32>,

    /// How the picture is fitted into the box.
    #[serde(default)]
    pub fit: Fit,

    /// Whether a picture smaller than the box is made larger. Without, it keeps its size (with `cover` and `fill`: each side
    /// that is too small does, and `cover` still cuts to the shape of the box).
    #[serde(default)]
    pub enlarge: bool,

    /// How pixels are weighed. `lanczos3` is the sharpest, `box` the fastest.
    #[serde(default)]
    pub filter: Filter,

    /// What is written. `same` writes the kind that was read, under the name's own extension.
    #[serde(default)]
    pub format: Format,

    /// Quality of a JPEG, 1 to 100. Below 90 its colours are stored at half the resolution (4:2:0), as is usual. PNG, WebP and
    /// GIF are written without loss and do not look at it.
    #[serde(default = "default_quality")]
    #[schemars(range(min = 1, max = 100))]
    pub quality: u8,

    /// The colour under transparent pixels when a JPEG is written, as `#rrggbb`.
    #[serde(default)]
    #[schemars(with = "String", regex(pattern = r"^#[0-9A-Fa-f]{6}$"))]
    pub background: Colour,

    /// The most pixels a picture may have, before and after; checked before anything is decoded. A pixel takes up to 4 bytes
    /// of memory (8 for 16-bit PNGs), for each core.
    #[serde(default = "default_max_pixels")]
    #[schemars(range(min = 1))]
    pub max_pixels: u64,

    /// Where the pictures are read. Left out, where the workflow's `items.objects` come from.
    #[serde(default)]
    pub source: Option<Location>,

    /// Where the results are written: a folder or an S3 prefix outside of the source.
    #[schemars(example = "thumbnails/")]
    pub destination: Location,

    /// The result's name below `destination`. Left out, the item's own `Key` below the source: with `format: same` as it is, else
    /// with the extension of the format, which takes the place of a picture's extension and is added to any other.
    #[serde(default)]
    pub name: Option<Setting<String>>,

    /// What to do about a result that is there already: `overwrite` it, `skip` the item or let it `fail`. After a crash, what is
    /// there may be the item's own result, published just before.
    #[serde(default)]
    pub on_exists: OnExists,
}

fn default_quality() -> u8 {
    80
}

fn default_max_pixels() -> u64 {
    50_000_000
}

/// How a picture is fitted into a box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// All of it, as large as the box allows, in its own shape.
    #[default]
    Contain,
    /// The box is filled; what stands out on two sides is cut off, the middle stays.
    Cover,
    /// The box is filled with all of it, squeezed out of shape if need be.
    Fill,
}

/// How pixels are weighed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A windowed sinc over 6 pixels: sharp.
    #[default]
    Lanczos3,
    /// A cubic over 4 pixels.
    CatmullRom,
    /// Linear over 2 pixels: soft.
    Bilinear,
    /// The mean of the pixels that become one.
    Box,
}

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The kind that was read (of an animation, one frame).
    #[default]
    Same,
    /// JPEG, of `quality`.
    Jpeg,
    /// PNG.
    Png,
    /// WebP without loss: larger than a JPEG of the same photo, right for drawings and transparency.
    Webp,
}

impl Format {
    /// The extensions of this format, the usual one first; none for [`Format::Same`].
    pub(super) fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Same => &[],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Png => &["png"],
            Self::Webp => &["webp"],
        }
    }
}

/// A colour, `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Default for Colour {
    fn default() -> Self {
        Self([255; 3])
    }
}

impl Serialize for Colour {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [r, g, b] = self.0;
        serializer.collect_str(&format_args!("#{r:02x}{g:02x}{b:02x}"))
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is not a colour: expected `#` and six hexadecimal digits, such as `#ffffff`"))
        })?;
        let [_, r, g, b] = number.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

impl ImageResizeConfig {
    /// What resizing needs of others on AWS: where it reads and writes.
    ///
    /// # Errors
    /// Folders of this machine.
    pub(super) fn fleet(&self) -> Result<Fleet, ConfigError> {
        let places = [("source", self.source.as_ref()), ("destination", Some(&self.destination))];
        let folder = |(name, place): (&str, Option<&Location>)| {
            let folder = place.filter(|place| !place.is_s3())?;
            let error =
                ConfigError::new(name, format!("`{folder}` is a folder of this machine, which the workers on AWS do not have"));
            Some(error.hint("`s3://bucket/prefix/`, or a param of `type: path`"))
        };
        if let Some(error) = places.into_iter().filter_map(folder).reduce(ConfigError::and) {
            return Err(error);
        }
        let fleet = Fleet::default().writing(self.destination.clone());
        Ok(self.source.iter().cloned().fold(fleet, Fleet::reading))
    }

    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// A number out of its range, or a box without the sides that `fit` needs.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if let Some(side) = side.filter(|side| !(1..=MOST_SIDE).contains(side)) {
                return Err(ConfigError::new(name, format!("{side} pixels, allowed are 1 to {MOST_SIDE}")));
            }
            if let (Format::Webp, Some(MOST_SIDE)) = (self.format, side) {
                return Err(ConfigError::new(name, format!("{MOST_SIDE} pixels, a WebP has at most {MOST_WEBP_SIDE}")));
            }
        }
        let missing = match (self.width, self.height) {
            (Some(_), Some(_)) => None,
            (None, None) => Some("width"),
            (None, Some(_)) => (self.fit != Fit::Contain).then_some("width"),
            (Some(_), None) => (self.fit != Fit::Contain).then_some("height"),
        };
        match (missing, self.fit) {
            (None, _) => {}
            (Some(name), Fit::Contain) => {
                return Err(ConfigError::new(name, "missing: `width`, `height` or both say how large the result is")
                    .hint("add `width: 128`"));
            }
            (Some(name), fit) => {
                let fit = if fit == Fit::Cover { "cover" } else { "fill" };
                return Err(ConfigError::new(name, format!("missing: `fit: {fit}` needs `width` and `height`"))
                    .hint("add it, or use `fit: contain`"));
            }
        }
        if !(1..=100).contains(&self.quality) {
            return Err(ConfigError::new("quality", format!("{}, allowed are 1 to 100", self.quality)));
        }
        if self.max_pixels == 0 {
            return Err(ConfigError::new("max_pixels", "0 would refuse every picture; at least 1"));
        }
        Ok(())
    }
}
