//! Every kind of picture comes out right.

use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, Rgb, Rgba, RgbaImage, imageops};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use serde_json::json;

use super::*;
use crate::job::image_resize::config::Format;

fn png(width: u32, height: u32) -> serde_json::Value {
    json!({ "width": width, "height": height, "format": "png" })
}

#[test]
fn jpegs_of_every_make_show_the_picture_they_were_made_of() {
    let picture = scene(83, 61);
    // With the least each gives back: dB, less the coarser the colours are stored.
    for (sampling, least) in [
        (SamplingFactor::F_1_1, 36.0),
        (SamplingFactor::F_2_1, 29.0),
        (SamplingFactor::F_1_2, 29.0),
        (SamplingFactor::F_2_2, 27.0),
        (SamplingFactor::F_4_1, 26.0),
        (SamplingFactor::F_4_2, 25.0),
        (SamplingFactor::F_1_4, 25.0),
        (SamplingFactor::F_2_4, 24.0),
    ] {
        for progressive in [false, true] {
            for restart in [None, Some(3)] {
                // Tables of its own also mean a scan for each component. The encoder cannot do that with restarts.
                for optimized in [false, true].into_iter().filter(|optimized| !optimized || restart.is_none()) {
                    let bytes = jpeg(&picture, JpegStyle { sampling, progressive, restart, optimized });
                    let ours = seen(&make(&bytes, png(100, 100)).bytes).to_rgb8();
                    let found = psnr(&ours, &picture);
                    let style = format!("{sampling:?}, progressive {progressive}, restart {restart:?}, optimized {optimized}");
                    assert!(found > least, "{style}: {found:.1} dB");
                }
            }
        }
    }
}

#[test]
fn samples_are_those_of_another_decoder() {
    let picture = scene(83, 61);
    for progressive in [false, true] {
        let bytes = jpeg(&picture, JpegStyle { sampling: SamplingFactor::F_1_1, progressive, ..PLAIN });
        let found = psnr(&seen(&make(&bytes, png(100, 100)).bytes).to_rgb8(), &seen(&bytes).to_rgb8());
        assert!(found > 50.0, "progressive {progressive}: {found:.1} dB");
    }
}

#[test]
fn every_scale_of_decoding_shows_the_same_picture() {
    let picture = scene(640, 480);
    for progressive in [false, true] {
        let bytes = jpeg(&picture, JpegStyle { progressive, ..PLAIN });
        let full = seen(&bytes).to_rgb8();
        for width in [400, 200, 100, 50, 20] {
            let ours = seen(&make(&bytes, png(width, 480)).bytes).to_rgb8();
            let expected = imageops::resize(&full, ours.width(), ours.height(), imageops::FilterType::Lanczos3);
            let found = psnr(&ours, &expected);
            assert!(found > 36.0, "width {width}, progressive {progressive}: {found:.1} dB");
        }
    }
}

#[test]
fn every_orientation_comes_upright() {
    let upright = scene(48, 32);
    let tiff = |orientation: u8| {
        let mut segment = b"Exif\0\0II\x2A\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        segment.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        segment
    };
    for orientation in 1..=8u8 {
        // As a camera stores it: what the orientation will undo.
        let stored = match orientation {
            2 => imageops::flip_horizontal(&upright),
            3 => imageops::rotate180(&upright),
            4 => imageops::flip_vertical(&upright),
            5 => imageops::flip_horizontal(&imageops::rotate90(&upright)),
            6 => imageops::rotate270(&upright),
            7 => imageops::flip_horizontal(&imageops::rotate270(&upright)),
            8 => imageops::rotate90(&upright),
            _ => upright.clone(),
        };
        let style = JpegStyle { sampling: SamplingFactor::F_1_1, ..PLAIN };
        let bytes = jpeg_with(&stored, style, |encoder| encoder.add_app_segment(1, tiff(orientation)).expect("a segment"));
        let found = make(&bytes, png(48, 48));
        assert_eq!((found.width, found.height), (48, 32), "orientation {orientation}");
        let found = psnr(&seen(&found.bytes).to_rgb8(), &upright);
        assert!(found > 30.0, "orientation {orientation}: {found:.1} dB");

        // The box is that of the picture as it is seen, also where it is cut.
        let cover = make(&bytes, json!({ "width": 20, "height": 10, "fit": "cover", "format": "png" }));
        let expected =
            imageops::resize(&imageops::crop_imm(&upright, 0, 4, 48, 24).to_image(), 20, 10, imageops::FilterType::Lanczos3);
        let found = psnr(&seen(&cover.bytes).to_rgb8(), &expected);
        assert!(found > 30.0, "cover, orientation {orientation}: {found:.1} dB");
    }
}

#[test]
fn ink_becomes_the_colours_that_other_programs_show() {
    // Written by Pillow 13 as CMYK (and relabelled to YCCK); the colours are those that Pillow shows.
    let cmyk = make(include_bytes!("cmyk.jpg"), png(32, 8));
    assert_row(&seen(&cmyk.bytes).to_rgb8(), &CMYK_COLOURS, 2);
    let ycck = make(include_bytes!("ycck.jpg"), png(32, 8));
    assert_row(&seen(&ycck.bytes).to_rgb8(), &YCCK_COLOURS, 2);
    let as_jpeg = make(include_bytes!("cmyk.jpg"), json!({ "width": 32, "quality": 95 }));
    assert_row(&seen(&as_jpeg.bytes).to_rgb8(), &CMYK_COLOURS, 6);
}

const CMYK_COLOURS: [[u8; 3]; 4] = [[55, 225, 245], [198, 63, 139], [127, 127, 127], [0, 0, 195]];
const YCCK_COLOURS: [[u8; 3]; 4] = [[56, 225, 246], [199, 64, 140], [67, 67, 67], [189, 180, 28]];

#[test]
fn grey_stays_grey() {
    let grey = GrayImage::from_fn(64, 48, |x, y| image::Luma([(x * 3 + y) as u8]));
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 90).encode(grey.as_raw(), 64, 48, ColorType::Luma).expect("a picture");
    for (name, bytes) in [("jpeg", bytes), ("png", written(grey, ImageFormat::Png))] {
        let same = seen(&make(&bytes, json!({ "width": 32 })).bytes);
        let DynamicImage::ImageLuma8(small) = &same else { panic!("{name} became {:?}", same.color()) };
        assert!(small.get_pixel(20, 10).0[0].abs_diff(142) <= 3, "{name}");
    }
}

#[test]
fn the_colour_profile_is_kept_byte_for_byte_where_it_still_holds() {
    let profile = |space: &[u8; 4], length: usize| {
        let mut profile: Vec<u8> = (0..length).map(|n| n as u8).collect();
        profile[16..20].copy_from_slice(space);
        profile
    };
    // Longer than a segment can hold: two of them.
    let rgb = profile(b"RGB ", 70_000);
    let bytes = jpeg_with(&scene(40, 30), PLAIN, |encoder| encoder.add_icc_profile(&rgb).expect("a profile"));
    for format in ["same", "jpeg", "png", "webp"] {
        let made = make(&bytes, json!({ "width": 20, "format": format }));
        let reader = image::ImageReader::new(std::io::Cursor::new(&made.bytes)).with_guessed_format().expect("a format");
        let kept = reader.into_decoder().and_then(|mut decoder| decoder.icc_profile()).expect("a picture");
        assert_eq!(kept.as_ref(), Some(&rgb), "{format}");
    }

    // A profile for grey says nothing about the red under a grey picture with alpha.
    let grey = GrayAlphaImage::from_pixel(8, 8, image::LumaA([10, 128]));
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::set_icc_profile(&mut encoder, profile(b"GRAY", 300)).expect("a profile");
    image::ImageEncoder::write_image(encoder, grey.as_raw(), 8, 8, image::ExtendedColorType::La8).expect("a picture");
    let profile_of = |settings| {
        let made = make(&bytes, settings);
        let reader = image::ImageReader::new(std::io::Cursor::new(made.bytes)).with_guessed_format().expect("a format");
        reader.into_decoder().and_then(|mut decoder| decoder.icc_profile()).expect("a picture")
    };
    assert!(profile_of(json!({ "width": 4 })).is_some());
    assert!(profile_of(json!({ "width": 4, "format": "jpeg" })).is_some());
    assert!(profile_of(json!({ "width": 4, "format": "jpeg", "background": "#ff0000" })).is_none());
}

#[test]
fn other_metadata_is_dropped() {
    let secret = b"Exif\0\0GPS: at home";
    let bytes = jpeg_with(&scene(40, 30), PLAIN, |encoder| {
        encoder.add_app_segment(1, secret.to_vec()).expect("a segment");
        encoder.add_app_segment(13, b"Photoshop caption".to_vec()).expect("a segment");
    });
    for format in ["same", "png", "webp"] {
        let made = make(&bytes, json!({ "width": 20, "format": format })).bytes;
        for part in [&b"GPS"[..], b"caption", b"Exif"] {
            assert!(!made.windows(part.len()).any(|window| window == part), "{format}");
        }
    }
}

#[test]
fn transparency_neither_bleeds_nor_gets_lost() {
    // Left opaque red, right transparent green: the green must not show at the edge.
    let picture = RgbaImage::from_fn(64, 64, |x, _| if x < 31 { Rgba([200, 0, 0, 255]) } else { Rgba([0, 255, 0, 0]) });
    for bytes in [written(picture.clone(), ImageFormat::Png), written(picture.clone(), ImageFormat::WebP), gif(&picture)] {
        let flat =
            seen(&make(&bytes, json!({ "width": 16, "format": "jpeg", "background": "#0000ff", "quality": 95 })).bytes).to_rgb8();
        for (x, _, pixel) in flat.enumerate_pixels() {
            assert!(pixel.0[1] < 24, "green at column {x}: {pixel:?}");
        }
        assert_row(&flat, &[[200, 0, 0], [0, 0, 255]], 8);
        let kept = seen(&make(&bytes, json!({ "width": 16 })).bytes).to_rgba8();
        assert_eq!((kept.get_pixel(2, 8).0[3], kept.get_pixel(14, 8).0[3]), (255, 0));
    }
    let white = seen(&make(&written(picture, ImageFormat::Png), json!({ "width": 16, "format": "jpeg" })).bytes).to_rgb8();
    assert_row(&white, &[[200, 0, 0], [255, 255, 255]], 8);
}

#[test]
fn sixteen_bits_and_palettes_become_eight_bits() {
    let wide = ImageBuffer::<Rgb<u16>, _>::from_fn(32, 8, |x, _| Rgb([x as u16 * 2000, 65535, 257]));
    let found = seen(&make(&written(DynamicImage::ImageRgb16(wide.clone()), ImageFormat::Png), json!({ "width": 32 })).bytes);
    assert_eq!(found.to_rgb8().get_pixel(20, 3).0, [(40_000u32 * 255 / 65_535) as u8 + 1, 255, 1]);
    let small = seen(&make(&written(DynamicImage::ImageRgb16(wide), ImageFormat::Png), json!({ "width": 16 })).bytes);
    assert_eq!(small.color(), image::ColorType::Rgb8);

    let palette = make(&palette_png(), json!({ "width": 4, "height": 1, "format": "png" }));
    let pixels = seen(&palette.bytes).to_rgba8();
    assert_eq!(pixels.as_raw(), &[255, 0, 0, 255, 0, 255, 0, 0, 0, 0, 255, 255, 255, 0, 0, 255]);
}

/// 4 x 1 with a palette of red, transparent green and blue.
fn palette_png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1A\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| damage::png_chunk(&mut bytes, name, data);
    chunk(b"IHDR", &[0, 0, 0, 4, 0, 0, 0, 1, 8, 3, 0, 0, 0]);
    chunk(b"PLTE", &[255, 0, 0, 0, 255, 0, 0, 0, 255]);
    chunk(b"tRNS", &[255, 0]);
    // zlib with one stored block: filter 0 and four indices.
    chunk(b"IDAT", &[0x78, 0x01, 1, 5, 0, 0xFA, 0xFF, 0, 0, 1, 2, 0, 0, 0x0C, 0, 4]);
    chunk(b"IEND", &[]);
    bytes
}

#[test]
fn the_first_frame_stands_for_an_animation() {
    let frames = [Rgba([200, 0, 0, 255]), Rgba([0, 200, 0, 255])].map(|colour| RgbaImage::from_pixel(20, 20, colour));
    let mut bytes = Vec::new();
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        for frame in frames {
            encoder.encode_frame(image::Frame::new(frame)).expect("a frame");
        }
    }
    let made = make(&bytes, json!({ "width": 10 }));
    assert!(made.bytes.starts_with(b"GIF8"));
    assert_eq!(seen(&made.bytes).to_rgba8().get_pixel(5, 5).0, [200, 0, 0, 255]);
}

#[test]
fn same_is_the_kind_that_was_read() {
    let picture = scene(30, 20);
    for (bytes, start) in [
        (jpeg(&picture, PLAIN), &b"\xFF\xD8\xFF"[..]),
        (written(picture.clone(), ImageFormat::Png), b"\x89PNG"),
        (written(picture.clone(), ImageFormat::WebP), b"RIFF"),
        (written(picture, ImageFormat::Gif), b"GIF8"),
    ] {
        assert!(make(&bytes, json!({ "width": 10 })).bytes.starts_with(start));
    }
    assert_eq!(Format::default(), Format::Same);
}

#[test]
fn sizes_are_exact() {
    for ((width, height), settings, expected) in [
        ((500, 375), json!({ "width": 128, "height": 128 }), (128, 96)),
        ((20, 5000), json!({ "width": 128, "height": 128 }), (1, 128)),
        ((1, 1), json!({ "width": 128, "height": 128 }), (1, 1)),
        ((1, 1), json!({ "width": 16, "height": 8, "fit": "fill", "enlarge": true }), (16, 8)),
        ((37, 23), json!({ "width": 16, "height": 16, "fit": "cover" }), (16, 16)),
        ((37, 23), json!({ "width": 16, "height": 16, "fit": "fill" }), (16, 16)),
        ((9, 17), json!({ "width": 8 }), (8, 15)),
        ((37, 23), json!({ "width": 1, "height": 1 }), (1, 1)),
        ((8, 8), json!({ "width": 33, "height": 33, "fit": "cover", "enlarge": true }), (33, 33)),
    ] {
        let picture = scene(width, height);
        for bytes in [jpeg(&picture, PLAIN), written(picture.clone(), ImageFormat::Png)] {
            for filter in ["lanczos3", "catmull_rom", "bilinear", "box"] {
                let mut settings = settings.clone();
                settings["filter"] = json!(filter);
                let made = make(&bytes, settings);
                let found = seen(&made.bytes);
                assert_eq!((made.width, made.height), expected, "{width} x {height} {filter}");
                assert_eq!((found.width(), found.height()), expected, "{width} x {height} {filter}");
            }
        }
    }
}

#[test]
fn a_part_is_taken_from_the_middle() {
    // Three stripes; the outer ones are cut off.
    let picture = image::RgbImage::from_fn(96, 32, |x, _| Rgb([[200, 0, 0], [0, 200, 0], [0, 0, 200]][x as usize / 32]));
    for bytes in
        [jpeg(&picture, JpegStyle { sampling: SamplingFactor::F_1_1, ..PLAIN }), written(picture.clone(), ImageFormat::Png)]
    {
        let made = make(&bytes, json!({ "width": 8, "height": 8, "fit": "cover", "format": "png", "filter": "box" }));
        assert_row(&seen(&made.bytes).to_rgb8(), &[[0, 200, 0]; 3], 3);
    }
}
