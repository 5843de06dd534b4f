//! [`Transform`]: from the coefficients of a block to its samples, at 1/8, 1/4, 1/2 or all of its size.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

type Lanes<const N: usize> = [f32; N];

/// The inverse transform for one scale and one quantization table, whose factors are folded into each other.
///
/// The smaller ones transform the lowest N x N coefficients with an N-point transform: the picture as a camera with
/// fewer pixels would have taken it, at the cost of those N x N alone.
///
/// In floating point because that needs no instructions beyond the baseline of x86-64 and AArch64 to run in vectors;
/// written over whole rows so that the compiler does just that.
pub(super) struct Transform {
    scale: usize,
    /// By place in the block, column by column.
    factors: [f32; 64],
}

impl Transform {
    /// `scale` is 1, 2, 4 or 8; `quantization` is stored column by column.
    pub fn new(scale: usize, quantization: &[u16; 64]) -> Self {
        // cos(k pi / 16) * sqrt 2: what the scaled 8-point transform by Arai, Agui and Nakajima leaves to its input.
        let eight =
            [1.0, 1.387_039_8, 1.306_563, 1.175_875_6, 1.0, 0.785_694_96, 0.541_196_1, 0.275_899_4].map(|f: f32| f / 8f32.sqrt());
        let four = [FRAC_1_SQRT_2 / 2.0, 0.5, FRAC_1_SQRT_2 / 2.0, 0.5, 0.0, 0.0, 0.0, 0.0];
        let two = [FRAC_1_SQRT_2 / 2.0, FRAC_1_SQRT_2 / 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let scales = match scale {
            8 => eight,
            4 => four,
            _ => two,
        };
        let mut factors = [0.0; 64];
        for (place, factor) in factors.iter_mut().enumerate() {
            *factor = f32::from(quantization[place]) * scales[place / 8] * scales[place % 8];
        }
        Self { scale, factors }
    }

    /// The one value of a block that has nothing but a DC.
    #[inline(always)]
    pub fn flat(&self, dc: i16) -> u8 {
        sample(f32::from(dc) * self.factors[0])
    }

    /// Transforms a block into rows of `output`, `stride` samples apart.
    #[inline(always)]
    pub fn block(&self, block: &[i16; 64], output: &mut [u8], stride: usize) {
        match self.scale {
            8 => write(self.eight(block), output, stride),
            4 => write(self.four(block), output, stride),
            _ => write(self.two(block), output, stride),
        }
    }

    #[inline(always)]
    fn columns<const N: usize>(&self, block: &[i16; 64]) -> [Lanes<N>; N] {
        let mut columns = [[0.0; N]; N];
        for (x, column) in columns.iter_mut().enumerate() {
            for (y, value) in column.iter_mut().enumerate() {
                *value = f32::from(block[x * 8 + y]) * self.factors[x * 8 + y];
            }
        }
        columns
    }

    fn eight(&self, block: &[i16; 64]) -> [Lanes<8>; 8] {
        eight_points(turned(eight_points(self.columns(block))))
    }

    fn four(&self, block: &[i16; 64]) -> [Lanes<4>; 4] {
        four_points(turned(four_points(self.columns(block))))
    }

    #[inline(always)]
    fn two(&self, block: &[i16; 64]) -> [Lanes<2>; 2] {
        let [[a, b], [c, d]] = self.columns(block);
        [[a + c + b + d, a - c + b - d], [a + c - b - d, a - c - b + d]]
    }
}

/// A value around 0 as a sample around 128.
#[inline(always)]
fn sample(value: f32) -> u8 {
    // Comparisons in place of `clamp`, which has NaN to think of and becomes several instructions; no input is NaN here.
    let value = value + 128.0;
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits: no conversion, runs in vectors.
    (value + 12_582_912.0).to_bits() as u8
}

#[inline(always)]
fn write<const N: usize>(rows: [Lanes<N>; N], output: &mut [u8], stride: usize) {
    for (row, output) in rows.iter().zip(output.chunks_mut(stride)) {
        let mut samples = [0u8; N];
        for (sample_out, value) in samples.iter_mut().zip(row) {
            *sample_out = sample(*value);
        }
        output[..N].copy_from_slice(&samples);
    }
}

#[inline(always)]
fn turned<const N: usize>(rows: [Lanes<N>; N]) -> [Lanes<N>; N] {
    let mut turned = [[0.0; N]; N];
    for (x, column) in turned.iter_mut().enumerate() {
        for (value, row) in column.iter_mut().zip(&rows) {
            *value = row[x];
        }
    }
    turned
}

// Plain loops: `array::map` and its kin leave calls in the innermost loop of a decoder.

#[inline(always)]
fn sum<const N: usize>(mut a: Lanes<N>, b: Lanes<N>) -> Lanes<N> {
    for (a, b) in a.iter_mut().zip(&b) {
        *a += b;
    }
    a
}

#[inline(always)]
fn difference<const N: usize>(mut a: Lanes<N>, b: Lanes<N>) -> Lanes<N> {
    for (a, b) in a.iter_mut().zip(&b) {
        *a -= b;
    }
    a
}

#[inline(always)]
fn times<const N: usize>(mut a: Lanes<N>, factor: f32) -> Lanes<N> {
    for a in &mut a {
        *a *= factor;
    }
    a
}

/// The 8-point transform of Arai, Agui and Nakajima: 5 multiplications, the rest is in [`Transform::factors`].
#[inline(always)]
fn eight_points(f: [Lanes<8>; 8]) -> [Lanes<8>; 8] {
    let (a, b) = (sum(f[0], f[4]), difference(f[0], f[4]));
    let c = sum(f[2], f[6]);
    let d = difference(times(difference(f[2], f[6]), SQRT_2), c);
    let (e0, e3, e1, e2) = (sum(a, c), difference(a, c), sum(b, d), difference(b, d));

    let (z13, z10) = (sum(f[5], f[3]), difference(f[5], f[3]));
    let (z11, z12) = (sum(f[1], f[7]), difference(f[1], f[7]));
    let o7 = sum(z11, z13);
    let o5 = times(sum(z10, z12), 1.847_759_1);
    let o6 = difference(difference(o5, times(z10, 2.613_126)), o7);
    let middle = difference(times(difference(z11, z13), SQRT_2), o6);
    let o4 = difference(difference(o5, times(z12, 1.082_392_2)), middle);
    [
        sum(e0, o7),
        sum(e1, o6),
        sum(e2, middle),
        sum(e3, o4),
        difference(e3, o4),
        difference(e2, middle),
        difference(e1, o6),
        difference(e0, o7),
    ]
}

#[inline(always)]
fn four_points(f: [Lanes<4>; 4]) -> [Lanes<4>; 4] {
    const NEAR: f32 = 0.923_879_5;
    const FAR: f32 = 0.382_683_43;
    let (e0, e1) = (sum(f[0], f[2]), difference(f[0], f[2]));
    let o0 = sum(times(f[1], NEAR), times(f[3], FAR));
    let o1 = difference(times(f[1], FAR), times(f[3], NEAR));
    [sum(e0, o0), sum(e1, o1), difference(e1, o1), difference(e0, o0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in the order of the standard: `block[u][v]` stored column by column.
    fn defined(block: &[i16; 64], n: usize) -> Vec<f64> {
        let mut samples = Vec::new();
        for y in 0..n {
            for x in 0..n {
                let mut value = 128.0;
                for u in 0..n {
                    for v in 0..n {
                        let weight = |k: usize| if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
                        let wave = |k: usize, at: usize| {
                            ((2 * at + 1) as f64 * k as f64 * std::f64::consts::PI / (2 * n) as f64).cos() * weight(k)
                        };
                        value += f64::from(block[u * 8 + v]) * wave(u, x) * wave(v, y) * n as f64 / 8.0;
                    }
                }
                samples.push(value.clamp(0.0, 255.0));
            }
        }
        samples
    }

    #[test]
    fn every_scale_is_the_transform_of_its_lowest_coefficients() {
        let mut seed = 1u32;
        for _ in 0..50 {
            let block: [i16; 64] = std::array::from_fn(|place| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let size = 200 / (1 + place / 8 + place % 8) as i32;
                ((seed >> 16) as i32 % (2 * size + 1) - size) as i16
            });
            for scale in [2, 4, 8] {
                let mut output = vec![0; scale * 10];
                Transform::new(scale, &[1; 64]).block(&block, &mut output, 10);
                for (n, expected) in defined(&block, scale).into_iter().enumerate() {
                    let found = f64::from(output[n / scale * 10 + n % scale]);
                    assert!((found - expected).abs() <= 0.51, "scale {scale}, sample {n}: {found} for {expected}");
                }
            }
        }
    }

    #[test]
    fn extremes_are_clamped() {
        let transform = Transform::new(8, &[u16::MAX; 64]);
        assert_eq!((transform.flat(i16::MAX), transform.flat(i16::MIN), transform.flat(0)), (255, 0, 128));
        let mut output = [0; 64];
        transform.block(&[i16::MIN; 64], &mut output, 8);
        assert!(output.iter().all(|sample| *sample == 0 || *sample == 255));
    }
}
