//! Tests of the whole way from bytes to bytes, on pictures made here.

mod damage;
mod job;
mod pixels;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, ExtendedColorType, ImageFormat, RgbImage, RgbaImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use serde_json::{Value, json};

use super::config::ImageResizeConfig;
use super::recipe::{Recipe, Resized};

/// A recipe of these settings.
fn recipe(settings: Value) -> Recipe {
    let mut config = json!({ "destination": "out" });
    for (name, value) in settings.as_object().expect("an object") {
        config[name] = value.clone();
    }
    let config: ImageResizeConfig = serde_json::from_value(config).expect("a config");
    config.check().expect("a config that can be");
    Recipe::from(&config)
}

fn make(bytes: &[u8], settings: Value) -> Resized {
    recipe(settings).make(bytes).expect("a picture")
}

/// What another program sees in a file.
fn seen(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).expect("a file that can be read")
}

/// Colours with large shapes, a gradient and some noise, different in every corner.
fn scene(width: u32, height: u32) -> RgbImage {
    let mut seed = 7u32;
    RgbImage::from_fn(width, height, |x, y| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (seed >> 28) as u8;
        let (right, lower) = (x * 2 >= width, y * 2 >= height);
        let ramp = (x * 60 / width + y * 60 / height) as u8;
        image::Rgb([
            if right { 180 } else { 40 } + ramp / 2 + noise,
            if lower { 150 } else { 30 } + ramp / 2,
            if right == lower { 120 } else { 60 } + ramp / 4 + noise / 2,
        ])
    })
}

/// How a test's JPEG is written.
#[derive(Clone, Copy)]
struct JpegStyle {
    sampling: SamplingFactor,
    progressive: bool,
    restart: Option<u16>,
    optimized: bool,
}

const PLAIN: JpegStyle = JpegStyle { sampling: SamplingFactor::F_2_2, progressive: false, restart: None, optimized: false };

fn jpeg(picture: &RgbImage, style: JpegStyle) -> Vec<u8> {
    jpeg_with(picture, style, |_| {})
}

fn jpeg_with(picture: &RgbImage, style: JpegStyle, more: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(style.sampling);
    encoder.set_progressive(style.progressive);
    encoder.set_optimized_huffman_tables(style.optimized);
    if let Some(interval) = style.restart {
        encoder.set_restart_interval(interval);
    }
    more(&mut encoder);
    encoder
        .encode(picture.as_raw(), picture.width() as u16, picture.height() as u16, ColorType::Rgb)
        .expect("a picture that can be encoded");
    bytes
}

fn written(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("a picture that can be encoded");
    bytes.into_inner()
}

fn gif(picture: &RgbaImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    GifEncoder::new(&mut bytes)
        .encode(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgba8)
        .expect("a picture that can be encoded");
    bytes
}

/// Peak signal to noise over all channels, in dB.
fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: f64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 / (sum / a.as_raw().len() as f64).max(1e-9)).log10()
}

/// Asserts that the middle of each pixel block of `colours` (a row) has this colour, within `tolerance`.
fn assert_row(picture: &RgbImage, colours: &[[u8; 3]], tolerance: u8) {
    let step = picture.width() / colours.len() as u32;
    for (n, expected) in colours.iter().enumerate() {
        let found = picture.get_pixel(n as u32 * step + step / 2, picture.height() / 2).0;
        let far = found.iter().zip(expected).any(|(found, expected)| found.abs_diff(*expected) > tolerance);
        assert!(!far, "colour {n}: {found:?} for {expected:?}");
    }
}
