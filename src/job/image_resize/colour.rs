//! Between colour models, on pictures that are small already.

/// Three planes as interleaved pixels.
pub(super) fn interleaved(planes: &[Vec<u8>; 3]) -> Vec<u8> {
    let [r, g, b] = planes;
    r.iter().zip(g).zip(b).flat_map(|((r, g), b)| [*r, *g, *b]).collect()
}

/// Luma and colour differences (JFIF: BT.601, full range) as interleaved RGB.
pub(super) fn ycc_to_rgb(planes: [&[u8]; 3]) -> Vec<u8> {
    let [y, cb, cr] = planes;
    y.iter().zip(cb).zip(cr).flat_map(|((y, cb), cr)| rgb_of(*y, *cb, *cr)).collect()
}

/// Ink as interleaved RGB, without a profile: each ink takes its colour away. `inverted` ink is stored as 255 - ink.
pub(super) fn cmyk_to_rgb(planes: [&[u8]; 4], inverted: bool) -> Vec<u8> {
    let [c, m, y, k] = planes;
    let light = |ink: u8| if inverted { ink } else { 255 - ink };
    c.iter().zip(m).zip(y).zip(k).flat_map(|(((c, m), y), k)| [c, m, y].map(|ink| product(light(*ink), light(*k)))).collect()
}

/// Ink whose first three are stored as luma and colour differences.
pub(super) fn ycck_to_rgb(planes: [&[u8]; 4], inverted: bool) -> Vec<u8> {
    let [y, cb, cr, k] = planes;
    let light = |ink: u8| if inverted { ink } else { 255 - ink };
    y.iter()
        .zip(cb)
        .zip(cr)
        .zip(k)
        .flat_map(|(((y, cb), cr), k)| rgb_of(*y, *cb, *cr).map(|ink| product(255 - light(ink), light(*k))))
        .collect()
}

/// Interleaved colours with alpha on a background.
pub(super) fn flattened(samples: &[u8], background: [u8; 3]) -> Vec<u8> {
    let over = |value: u8, under: u8, alpha: u8| {
        let sum = u32::from(value) * u32::from(alpha) + u32::from(under) * u32::from(255 - alpha);
        ((sum + 127) / 255) as u8
    };
    samples
        .chunks_exact(4)
        .flat_map(|pixel| {
            let alpha = pixel[3];
            [over(pixel[0], background[0], alpha), over(pixel[1], background[1], alpha), over(pixel[2], background[2], alpha)]
        })
        .collect()
}

/// Grey with alpha as colours with alpha.
pub(super) fn grey_alpha_to_rgba(samples: &[u8]) -> Vec<u8> {
    samples.chunks_exact(2).flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]]).collect()
}

fn rgb_of(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    // 16 bits behind the point, rounded.
    let y = (i32::from(y) << 16) + (1 << 15);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    [y + 91_881 * cr, y - 22_554 * cb - 46_802 * cr, y + 116_130 * cb].map(|value| (value >> 16).clamp(0, 255) as u8)
}

/// a * b / 255, rounded.
fn product(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}
