//! From a decoded picture to its new size.

use std::cell::RefCell;
use std::f64::consts::PI;

use fast_image_resize::images::{Image, ImageRef, TypedCroppedImage, TypedImageRef};
use fast_image_resize::{Filter as Kernel, FilterType, MulDiv, PixelType, ResizeAlg, ResizeOptions, Resizer, pixels};

use super::colour;
use super::config::Filter;
use super::fault::Fault;
use super::geometry::Geometry;
use super::jpeg::{Colour, Plane};
use super::picture::{Data, Picture, Pixels};

thread_local! {
    /// Its buffers are worth keeping from one picture to the next; large ones are given back.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Buffers above this are not kept for the next picture.
const KEPT_BYTES: usize = 1024 * 1024;

/// Resizes the part of `picture` that `geometry` takes; `size` is that of the whole picture.
///
/// # Errors
/// None that a picture can cause: a mistake of ours is named as such, rather than a panic.
pub(super) fn resample(picture: Picture, size: (u32, u32), geometry: Geometry, filter: Filter) -> Result<Pixels, Fault> {
    let job = Job { size: (f64::from(size.0), f64::from(size.1)), geometry, filter: kernel(filter) };
    RESIZER.with_borrow_mut(|resizer| {
        let data = match picture {
            Picture::Planes { planes, colour } => job.planes(resizer, planes, colour)?,
            Picture::Raster(pixels) => job.raster(resizer, pixels)?,
        };
        if resizer.size_of_internal_buffers() > KEPT_BYTES {
            resizer.reset_internal_buffers();
        }
        Ok(Pixels { width: geometry.width, height: geometry.height, data })
    })
}

struct Job {
    size: (f64, f64),
    geometry: Geometry,
    filter: FilterType,
}

impl Job {
    fn planes(&self, resizer: &mut Resizer, planes: Vec<Plane>, colour: Colour) -> Result<Data, Fault> {
        let mut small = Vec::with_capacity(planes.len());
        for plane in planes {
            small.push(self.plane(resizer, &plane)?);
        }
        Ok(match (colour, <[Vec<u8>; 3]>::try_from(small)) {
            (Colour::Rgb, Ok(planes)) => Data::Rgb(colour::interleaved(&planes)),
            (_, Ok(planes)) => Data::Ycc(planes),
            (colour, Err(mut planes)) => match (colour, &planes[..]) {
                (Colour::Cmyk { inverted }, [c, m, y, k]) => Data::Rgb(colour::cmyk_to_rgb([c, m, y, k], inverted)),
                (Colour::Ycck { inverted }, [y, cb, cr, k]) => Data::Rgb(colour::ycck_to_rgb([y, cb, cr, k], inverted)),
                _ => Data::Grey(planes.swap_remove(0)),
            },
        })
    }

    fn plane(&self, resizer: &mut Resizer, plane: &Plane) -> Result<Vec<u8>, Fault> {
        let rows = plane.samples.len() / plane.stride;
        let whole = TypedImageRef::<pixels::U8>::from_buffer(plane.stride as u32, rows as u32, &plane.samples).map_err(ours)?;
        let view = TypedCroppedImage::from_ref(&whole, 0, 0, plane.columns as u32, plane.rows as u32).map_err(ours)?;
        let mut small = Image::new(self.geometry.width, self.geometry.height, PixelType::U8);
        let options = self.options((plane.width, plane.height), (plane.columns, plane.rows));
        {
            let Some(mut target) = small.typed_image_mut::<pixels::U8>() else {
                return Err(ours("the result has another pixel type"));
            };
            resizer.resize_typed(&view, &mut target, &options).map_err(ours)?;
        }
        Ok(small.into_vec())
    }

    fn raster(&self, resizer: &mut Resizer, picture: Pixels) -> Result<Data, Fault> {
        let (width, height) = (picture.width, picture.height);
        let geometry = self.geometry;
        if (geometry.width, geometry.height) == (width, height) && (geometry.part_width, geometry.part_height) == self.size {
            // Nothing to do, and multiplying by alpha and dividing again would lose something.
            return Ok(picture.data);
        }
        let mut run = |samples: Vec<u8>, kind: PixelType| -> Result<Vec<u8>, Fault> {
            let mut small = Image::new(self.geometry.width, self.geometry.height, kind);
            let options = self.options(self.size, (width as usize, height as usize));
            if matches!(kind, PixelType::U8x2 | PixelType::U8x4) {
                // In place: the resizer itself would make a copy of the whole picture.
                let mut large = Image::from_vec_u8(width, height, samples, kind).map_err(ours)?;
                let alpha = MulDiv::new();
                alpha.multiply_alpha_inplace(&mut large).map_err(ours)?;
                resizer.resize(&large, &mut small, &options).map_err(ours)?;
                alpha.divide_alpha_inplace(&mut small).map_err(ours)?;
            } else {
                let large = ImageRef::new(width, height, &samples, kind).map_err(ours)?;
                resizer.resize(&large, &mut small, &options).map_err(ours)?;
            }
            Ok(small.into_vec())
        };
        Ok(match picture.data {
            Data::Grey(samples) => Data::Grey(run(samples, PixelType::U8)?),
            Data::GreyAlpha(samples) => Data::GreyAlpha(run(samples, PixelType::U8x2)?),
            Data::Rgb(samples) => Data::Rgb(run(samples, PixelType::U8x3)?),
            Data::Rgba(samples) => Data::Rgba(run(samples, PixelType::U8x4)?),
            Data::Ycc([y, cb, cr]) => Data::Ycc([run(y, PixelType::U8)?, run(cb, PixelType::U8)?, run(cr, PixelType::U8)?]),
        })
    }

    /// The part that is taken, in samples of a plane that shows the whole picture in `across` x `down` samples, a fraction
    /// of which may be missing from its `sides`.
    fn options(&self, (across, down): (f64, f64), sides: (usize, usize)) -> ResizeOptions {
        let (x, y) = (across / self.size.0, down / self.size.1);
        let geometry = &self.geometry;
        let (left, top) = (geometry.left * x, geometry.top * y);
        let width = (geometry.part_width * x).min(sides.0 as f64 - left);
        let height = (geometry.part_height * y).min(sides.1 as f64 - top);
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(self.filter)).crop(left, top, width, height).use_alpha(false)
    }
}

fn kernel(filter: Filter) -> FilterType {
    match filter {
        Filter::Lanczos3 => Kernel::new("lanczos3", lanczos3, 3.0).map_or(FilterType::Lanczos3, FilterType::Custom),
        Filter::CatmullRom => FilterType::CatmullRom,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Box => FilterType::Box,
    }
}

/// The Lanczos kernel of radius 3 with one sine in place of two: sin 3t = 3 sin t - 4 sin^3 t. The weights are worked out
/// for every picture, so they are a part of what a thumbnail costs.
fn lanczos3(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if x.abs() >= 3.0 {
        return 0.0;
    }
    let t = x * (PI / 3.0);
    let sine = t.sin();
    sine * sine * (3.0 - 4.0 * sine * sine) / (3.0 * t * t)
}

/// A size or type that the resizer does not take: a mistake of fanfold's own, seen in the item's failure.
fn ours(error: impl std::fmt::Display) -> Fault {
    Fault::damaged(format!("this picture cannot be resized, which is a mistake of fanfold's: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_kernel_is_the_same() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        for n in -400..=400 {
            let x = f64::from(n) / 100.0;
            let expected = if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 };
            assert!((lanczos3(x) - expected).abs() < 1e-12, "{x}");
        }
    }
}
