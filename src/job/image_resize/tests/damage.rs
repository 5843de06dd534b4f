//! Nothing that is cut off, damaged or a trap comes out as a picture.

use image::{DynamicImage, ImageFormat};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::job::image_resize::fault::{Fault, FaultKind};

/// One of each kind, JPEGs of several makes first.
fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let picture = scene(36, 28);
    let alpha = DynamicImage::ImageRgb8(picture.clone()).to_rgba8();
    vec![
        ("baseline", jpeg(&picture, PLAIN)),
        ("restarts", jpeg(&picture, JpegStyle { restart: Some(2), ..PLAIN })),
        ("full colour", jpeg(&picture, JpegStyle { sampling: SamplingFactor::F_1_1, optimized: true, ..PLAIN })),
        ("progressive", jpeg(&picture, JpegStyle { progressive: true, ..PLAIN })),
        ("png", written(picture.clone(), ImageFormat::Png)),
        ("webp", written(picture, ImageFormat::WebP)),
        ("gif", gif(&alpha)),
    ]
}

fn fault(bytes: &[u8], settings: serde_json::Value) -> Fault {
    recipe(settings).make(bytes).expect_err("not a picture")
}

/// A small result lets the decoder leave out much, a large one nothing: both have to notice.
const SIZES: [u32; 2] = [7, 100];

#[test]
fn every_cut_is_noticed() {
    for (name, whole) in pictures() {
        // An animation's first frame is followed by a trailer.
        let spare = usize::from(name == "gif");
        for size in SIZES {
            let recipe = recipe(json!({ "width": size, "height": size }));
            for end in 1..whole.len() - spare {
                match recipe.make(&whole[..end]) {
                    Ok(_) => panic!("{name}: {end} of {} bytes became a picture", whole.len()),
                    Err(fault) => assert_eq!(fault.kind, FaultKind::Truncated, "{name}, {end} of {}: {fault}", whole.len()),
                }
            }
            for end in whole.len() - spare..=whole.len() {
                recipe.make(&whole[..end]).unwrap_or_else(|fault| panic!("{name}, {end} of {}: {fault}", whole.len()));
            }
        }
    }
}

#[test]
fn zeros_in_place_of_the_rest_are_no_picture() {
    for (name, whole) in pictures().into_iter().take(4) {
        for kept in [whole.len() / 2, whole.len() * 9 / 10, whole.len() - 9, whole.len() - 1] {
            let mut zeroed = whole[..kept].to_vec();
            zeroed.resize(whole.len(), 0);
            fault(&zeroed, json!({ "width": 7 }));
            assert!(recipe(json!({ "width": 100 })).make(&zeroed).is_err(), "{name}, {kept} of {}", whole.len());
        }
    }
}

#[test]
fn an_end_marker_does_not_make_a_cut_file_whole() {
    for (name, whole) in pictures().into_iter().take(3) {
        let data = whole.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a scan") + 14;
        for end in data..whole.len() - 2 {
            let mut cut = whole[..end].to_vec();
            // Cut between 0xFF and its stuffed zero, the zero is put back.
            cut.extend_from_slice(if cut.ends_with(&[0xFF]) { &[0x00, 0xFF, 0xD9] } else { &[0xFF, 0xD9] });
            let fault = fault(&cut, json!({ "width": 7 }));
            let known = matches!(fault.kind, FaultKind::Damaged | FaultKind::Truncated);
            assert!(known, "{name}, {end} of {}: {fault}", whole.len());
        }
    }
}

#[test]
fn bytes_behind_the_end_do_not_matter() {
    for (name, whole) in pictures() {
        let expected = make(&whole, json!({ "width": 20 }));
        let mut longer = whole;
        longer.extend(b"\0\0garbage\xFF\xD8\xFF".repeat(50));
        assert_eq!(make(&longer, json!({ "width": 20 })), expected, "{name}");
    }
}

#[test]
fn a_changed_bit_is_noticed_where_the_format_lets_it() {
    // PNG has checksums: every single one. JPEG has none; what contradicts its code is noticed.
    let (_, whole) = pictures().swap_remove(4);
    for bit in (64..whole.len() * 8).step_by(5) {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(resized) = recipe(json!({ "width": 20 })).make(&changed) {
            assert_eq!(resized, make(&whole, json!({ "width": 20 })), "bit {bit} changed the picture");
        }
    }
    for (name, whole) in pictures().into_iter().take(4) {
        let recipe = recipe(json!({ "width": 20 }));
        let start = whole.len() / 2;
        let noticed = (start * 8..whole.len() * 8)
            .step_by(3)
            .filter(|bit| {
                let mut changed = whole.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                recipe.make(&changed).is_err()
            })
            .count();
        let share = noticed as f64 * 3.0 / ((whole.len() - start) * 8) as f64;
        assert!(share > 0.15, "{name}: {:.0} % of the changed bits were noticed", share * 100.0);
    }
}

#[test]
fn missing_and_superfluous_data_is_named() {
    let whole = jpeg(&scene(60, 44), JpegStyle { restart: Some(2), ..PLAIN });
    let marker = whole.windows(2).rposition(|pair| pair[0] == 0xFF && (0xD0..0xD8).contains(&pair[1])).expect("a restart");
    let (name, place) = (whole[marker + 1], marker - 3);

    let mut other = whole.clone();
    other[marker + 1] = 0xD0 + (name + 1) % 8;
    let detail = fault(&other, json!({ "width": 7 })).detail;
    assert!(
        detail.starts_with(&format!("JPEG restart marker {name:02X} expected, {:02X} found at byte ", other[marker + 1])),
        "{detail}"
    );

    let mut longer = whole.clone();
    longer.splice(marker..marker, [0x55; 9]);
    assert_eq!(fault(&longer, json!({ "width": 7 })).kind, FaultKind::Damaged);

    let mut shorter = whole;
    shorter.drain(place..marker);
    assert_eq!(fault(&shorter, json!({ "width": 7 })).kind, FaultKind::Damaged);
}

#[test]
fn what_is_not_read_is_named() {
    assert_eq!(fault(b"", json!({ "width": 7 })), Fault::empty());
    assert_eq!(
        fault(b"%PDF-1.4 and so on", json!({ "width": 7 })),
        Fault::unsupported("JPEG, PNG, WebP and GIF are read, this is a PDF")
    );
    let baseline = jpeg(&scene(16, 16), PLAIN);
    let frame = baseline.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
    for (marker, precision, detail) in [
        (0xC9, 8, "a JPEG with arithmetic coding"),
        (0xC3, 8, "a lossless JPEG"),
        (0xC5, 8, "a hierarchical JPEG"),
        (0xC1, 12, "a JPEG of 12 bits a sample, 8 are read"),
    ] {
        let mut other = baseline.clone();
        (other[frame + 1], other[frame + 4]) = (marker, precision);
        assert_eq!(fault(&other, json!({ "width": 7 })), Fault::unsupported(detail));
    }
}

/// A chunk with its checksum.
pub(super) fn png_chunk(bytes: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    bytes.extend((data.len() as u32).to_be_bytes());
    let start = bytes.len();
    bytes.extend(name);
    bytes.extend(data);
    let sum = bytes[start..].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xEDB8_8320 })
    });
    bytes.extend((!sum).to_be_bytes());
}

#[test]
fn a_claimed_size_is_refused_before_it_costs_anything() {
    let mut png = b"\x89PNG\r\n\x1A\n".to_vec();
    png_chunk(&mut png, b"IHDR", &[0, 0, 0x40, 0, 0, 0, 0x40, 0, 8, 6, 0, 0, 0]);
    png_chunk(&mut png, b"IDAT", &[0x78, 0x01, 3, 0, 0, 0, 0, 1]);
    png_chunk(&mut png, b"IEND", &[]);
    assert_eq!(png.len(), 65);
    let mut gif = gif(&image::RgbaImage::new(4, 4));
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    let mut jpeg = jpeg(&scene(16, 16), PLAIN);
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
    for (bytes, detail) in [
        (png, "16384 x 16384 is 268435456 pixels, `max_pixels` is 50000000"),
        (gif, "65535 x 65535 is 4294836225 pixels, `max_pixels` is 50000000"),
        (jpeg, "65535 x 65535 is 4294836225 pixels, `max_pixels` is 50000000"),
    ] {
        assert_eq!(fault(&bytes, json!({ "width": 7 })), Fault::too_large(detail));
    }
    let small = written(scene(20, 10), ImageFormat::Png);
    assert_eq!(
        fault(&small, json!({ "width": 7, "max_pixels": 199 })),
        Fault::too_large("20 x 10 is 200 pixels, `max_pixels` is 199")
    );
    make(&small, json!({ "width": 7, "max_pixels": 200 }));
    // The result counts as well.
    assert_eq!(
        fault(&small, json!({ "width": 16384, "enlarge": true })),
        Fault::too_large("16384 x 8192 is 134217728 pixels, `max_pixels` is 50000000")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_change_makes_a_decoder_panic(
        which in 0usize..7,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
        in_header in any::<bool>(),
        size in prop::sample::select(&SIZES[..]),
    ) {
        let (_, mut bytes) = pictures().swap_remove(which);
        let range = if in_header { bytes.len().min(300) } else { bytes.len() };
        for (place, value) in changes {
            let place = place.index(range);
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let recipe = recipe(json!({ "width": size, "height": size, "max_pixels": 1_000_000 }));
        if let Ok(resized) = recipe.make(&bytes) {
            prop_assert!(resized.width <= size && resized.height <= size);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        start in prop::sample::select(vec![&b"\xFF\xD8\xFF"[..], b"\x89PNG\r\n\x1A\n", b"RIFF\x40\0\0\0WEBP", b"GIF89a", b""]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start, &rest].concat();
        let _ = recipe(json!({ "width": 16, "max_pixels": 1_000_000 })).make(&bytes);
    }
}
