//! The job `image_resize`: reads pictures, writes them smaller.

mod colour;
mod config;
mod encode;
mod fault;
mod geometry;
mod jpeg;
mod kind;
mod picture;
mod raster;
mod recipe;
mod resample;
mod whole;

pub use config::{Colour, Filter, Fit, Format, ImageResizeConfig};
pub use recipe::{Resized, resize};
