//! Reads JPEG: strictly, and no larger than it is needed.
//!
//! [`Jpeg::open`] reads the header, [`Jpeg::decode`] the picture, as planes at 1/8, 1/4, 1/2 or all of their size.
//!
//! # Why
//! fanfold has its own decoder because no crate gave what a thumbnail run needs (2026-11-23). Every missing or contradicting
//! bit has to be an error: `zune-jpeg` 0.5 fills the missing part of a file with grey and calls it a success, `jpeg-decoder`
//! 0.3 does so behind a marker that comes too early. (`zune-jpeg` also mixes up pictures of one scan a component with
//! vertical subsampling.) And a picture has to be scaled while it is decoded, each component as far as it allows, without
//! ever becoming RGB: that makes it about as fast as libjpeg-turbo with nothing but Rust. `benches/README.md` has the figures.

mod bits;
mod frame;
mod huffman;
mod idct;
mod progressive;
mod scan;
mod segments;
mod sequential;

use super::fault::Fault;
use frame::Frame;
use scan::Scan;
use segments::Segments;

pub(super) use frame::Colour;

/// One component of a picture, as decoded: `stride * rows` samples of 8 bits.
#[derive(Debug)]
pub(super) struct Plane {
    /// The samples, row by row; columns and rows behind `columns` and `rows` are padding.
    pub samples: Vec<u8>,
    /// Samples from one row to the next.
    pub stride: usize,
    /// Columns that belong to the picture.
    pub columns: usize,
    /// Rows that belong to the picture.
    pub rows: usize,
    /// How many samples wide the whole picture is: a fraction, because the last sample may lie half outside.
    pub width: f64,
    /// How many samples high the whole picture is.
    pub height: f64,
}

/// A JPEG whose header is read.
pub(super) struct Jpeg<'a> {
    segments: Segments<'a>,
    frame: Frame,
    first: Scan,
}

impl<'a> Jpeg<'a> {
    /// Reads everything up to the first scan. Allocates nothing that grows with the picture's claimed size.
    ///
    /// # Errors
    /// A header that is cut off, contradicts itself or asks for what is not read (arithmetic coding, lossless, 12 bits).
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut segments = Segments::new(bytes)?;
        let Some(first) = segments.next_scan()? else {
            let detail = "the JPEG ends before its picture begins";
            return Err(if segments.has_ended() { Fault::damaged(detail) } else { Fault::truncated(detail) });
        };
        let frame = segments.frame()?;
        Ok(Self { segments, frame, first })
    }

    /// Width and height in pixels, before its orientation is applied.
    pub fn size(&self) -> (u32, u32) {
        (self.frame.width, self.frame.height)
    }

    /// How its components make a colour.
    pub fn colour(&self) -> Colour {
        self.frame.colour
    }

    /// The body of the EXIF segment, from the TIFF header on.
    pub fn exif(&self) -> Option<&'a [u8]> {
        self.segments.exif
    }

    /// The colour profile, put together from its segments; `None` without one or if a part of it is missing.
    pub fn icc(&self) -> Option<Vec<u8>> {
        self.segments.icc()
    }

    /// Decodes all components, each at the smallest scale at which the whole picture has at least `enough(component)`
    /// samples in both directions.
    ///
    /// # Errors
    /// Whatever is missing or contradicts itself: there is no partial picture.
    pub fn decode(mut self, enough: impl Fn(usize) -> (f64, f64)) -> Result<Vec<Plane>, Fault> {
        for (index, component) in self.frame.components.iter_mut().enumerate() {
            component.choose_scale(enough(index));
        }
        if self.frame.progressive {
            progressive::decode(&mut self.segments, &self.frame, self.first)
        } else {
            sequential::decode(&mut self.segments, &self.frame, self.first)
        }
    }
}
