//! The job `image_resize`: reads pictures, writes them smaller.

mod colour;
mod config;
mod encode;
mod fault;
mod geometry;
mod job;
mod jpeg;
mod kind;
mod name;
mod picture;
mod raster;
mod recipe;
mod resample;
mod whole;

#[cfg(test)]
mod tests;

pub use config::{Colour, Filter, Fit, Format, ImageResizeConfig};
pub use job::{ImageResize, ObjectItem, ResizedItem};
pub use recipe::{Resized, resize};
