//! [`Picture`]: a decoded picture on its way to its new size, and [`Pixels`], what it is made of after that.

use image::metadata::Orientation;

use super::fault::Fault;
use super::geometry::Geometry;
use super::jpeg::{Colour, Jpeg, Plane};
use super::kind::Kind;
use super::{raster, whole};

/// What the decoder may leave out, because the picture gets smaller anyway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// The geometry, before the orientation is applied.
    pub geometry: Geometry,
    /// Colour differences are halved in both directions in the result.
    pub half_colour: bool,
}

/// A decoded picture.
#[derive(Debug)]
pub(super) enum Picture {
    /// From a JPEG: one plane per component, each at a size of its own.
    Planes { planes: Vec<Plane>, colour: Colour },
    /// From anything else.
    Raster(Pixels),
}

/// Interleaved or planar pixels of 8 bits, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pixels {
    pub width: u32,
    pub height: u32,
    pub data: Data,
}

/// The samples of [`Pixels`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Grey(Vec<u8>),
    GreyAlpha(Vec<u8>),
    Rgb(Vec<u8>),
    Rgba(Vec<u8>),
    /// Luma and two colour differences, a plane each.
    Ycc([Vec<u8>; 3]),
}

/// What is known of a picture before it is decoded.
pub(super) struct Head<'a> {
    pub kind: Kind,
    /// As stored, before the orientation is applied.
    pub width: u32,
    pub height: u32,
    pub orientation: Orientation,
    /// The colour profile, if it describes the colours the picture is decoded to.
    pub icc: Option<Vec<u8>>,
    body: Body<'a>,
}

enum Body<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Raster(raster::Raster<'a>),
}

/// How many times larger than the result a picture is decoded, at the least. A decoder that scales by halves gives
/// something between this and twice as much; below 1 detail would be lost. See `benches/README.md` for what it costs.
const MARGIN: f64 = 1.5;

impl<'a> Head<'a> {
    /// Reads the header of a picture. Nothing that grows with the claimed size is allocated.
    ///
    /// # Errors
    /// What is not read, is cut off or damaged, or has more than `max_pixels`.
    pub fn read(bytes: &'a [u8], max_pixels: u64) -> Result<Self, Fault> {
        let kind = Kind::of(bytes)?;
        if kind == Kind::Jpeg {
            let jpeg = Jpeg::open(bytes)?;
            let (width, height) = jpeg.size();
            Fault::check_pixels(width, height, max_pixels)?;
            // A profile for ink says nothing about the RGB such a picture becomes.
            let ink = matches!(jpeg.colour(), Colour::Cmyk { .. } | Colour::Ycck { .. });
            return Ok(Self {
                kind,
                width,
                height,
                orientation: jpeg.exif().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms),
                icc: if ink { None } else { jpeg.icc() },
                body: Body::Jpeg(Box::new(jpeg)),
            });
        }
        whole::check(kind, bytes)?;
        let mut raster = raster::Raster::open(kind, bytes, max_pixels)?;
        let (width, height) = raster.size();
        Fault::check_pixels(width, height, max_pixels)?;
        let orientation = raster.orientation();
        let icc = raster.icc();
        Ok(Self { kind, width, height, orientation, icc, body: Body::Raster(raster) })
    }

    /// The size as it is to be seen.
    pub fn upright_size(&self) -> (u32, u32) {
        if transposes(self.orientation) { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Decodes it, no larger than needed.
    ///
    /// # Errors
    /// Whatever is missing or damaged.
    pub fn decode(self, needs: Needs) -> Result<Picture, Fault> {
        match self.body {
            Body::Jpeg(jpeg) => {
                let Geometry { part_width, part_height, width, height, .. } = needs.geometry;
                let colour = jpeg.colour();
                // The result's pixels, had it been made of the whole picture.
                let across = f64::from(width) * f64::from(self.width) / part_width;
                let down = f64::from(height) * f64::from(self.height) / part_height;
                let planes = jpeg.decode(|component| {
                    let half = needs.half_colour && colour == Colour::Ycc && component > 0;
                    let times = if half { MARGIN / 2.0 } else { MARGIN };
                    (across * times, down * times)
                })?;
                Ok(Picture::Planes { planes, colour })
            }
            Body::Raster(raster) => raster.decode().map(Picture::Raster),
        }
    }
}

/// Whether width and height change places.
pub(super) fn transposes(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

impl Pixels {
    /// Turns and flips it.
    #[must_use]
    pub fn oriented(self, orientation: Orientation) -> Self {
        if orientation == Orientation::NoTransforms {
            return self;
        }
        let (w, h) = (self.width as usize, self.height as usize);
        let (width, height) = if transposes(orientation) { (h, w) } else { (w, h) };
        let turn = |samples: Vec<u8>, channels: usize| {
            let mut turned = Vec::with_capacity(samples.len());
            for y in 0..height {
                for x in 0..width {
                    let (from_x, from_y) = match orientation {
                        Orientation::NoTransforms => (x, y),
                        Orientation::FlipHorizontal => (w - 1 - x, y),
                        Orientation::Rotate180 => (w - 1 - x, h - 1 - y),
                        Orientation::FlipVertical => (x, h - 1 - y),
                        Orientation::Rotate90FlipH => (y, x),
                        Orientation::Rotate90 => (y, h - 1 - x),
                        Orientation::Rotate270FlipH => (w - 1 - y, h - 1 - x),
                        Orientation::Rotate270 => (w - 1 - y, x),
                    };
                    let at = (from_y * w + from_x) * channels;
                    turned.extend_from_slice(&samples[at..at + channels]);
                }
            }
            turned
        };
        let data = match self.data {
            Data::Grey(samples) => Data::Grey(turn(samples, 1)),
            Data::GreyAlpha(samples) => Data::GreyAlpha(turn(samples, 2)),
            Data::Rgb(samples) => Data::Rgb(turn(samples, 3)),
            Data::Rgba(samples) => Data::Rgba(turn(samples, 4)),
            Data::Ycc(planes) => Data::Ycc(planes.map(|samples| turn(samples, 1))),
        };
        Self { width: width as u32, height: height as u32, data }
    }
}
