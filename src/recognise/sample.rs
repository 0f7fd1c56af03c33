//! From luma planes to the networks' inputs: whole frames scaled, windows cut out.

use pulp::{Arch, Simd, WithSimd};

use crate::capture::Plane;

/// Scales a luma plane to `width` x `height` at the top left of `dst`, whose rows have `pitch` values: area average
/// when shrinking, bilinear when enlarging. Values become `(luma - 128) / 64`; the rest of `dst` is set to 0.
///
/// # Panics
/// If `dst` holds fewer than `height` rows or `width` exceeds `pitch`.
pub(super) fn scale(luma: Plane, width: usize, height: usize, dst: &mut [f32], pitch: usize, scratch: &mut Scratch) {
    assert!(width <= pitch && dst.len() >= pitch * height);
    if luma.width == 0 || luma.height == 0 {
        dst.fill(0.0);
        return;
    }
    let (lines, below) = dst.split_at_mut(pitch * height);
    below.fill(0.0);
    if width < pitch {
        lines.chunks_exact_mut(pitch).for_each(|line| line[width..].fill(0.0));
    }
    let whole = luma.width.is_multiple_of(width) && luma.height.is_multiple_of(height);
    if whole && luma.height / height <= 128 {
        Arch::new().dispatch(Shrink { luma, width, height, dst, pitch, sums: &mut scratch.sums });
    } else {
        let (w, h) = (luma.width as f32, luma.height as f32);
        let window = Window { cx: w / 2.0, cy: h / 2.0, w, h };
        resample(luma, window, width, height, dst, pitch, scratch, |value| (value - 128.0) / 64.0);
    }
}

/// Buffers that [`scale`] and [`cut`] keep from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    sums: Vec<u16>,
    row: Vec<f32>,
    across: Taps,
    down: Taps,
}

/// Shrinks by whole factors, by 128 at most: sums of bytes, with the vectors of the machine.
struct Shrink<'a> {
    luma: Plane<'a>,
    width: usize,
    height: usize,
    dst: &'a mut [f32],
    pitch: usize,
    sums: &'a mut Vec<u16>,
}

impl WithSimd for Shrink<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { luma, width, height, dst, pitch, sums } = self;
        let (fx, fy) = (luma.width / width, luma.height / height);
        let unit = 1.0 / (64.0 * (fx * fy) as f32);
        sums.clear();
        sums.resize(luma.width, 0);
        for y in 0..height {
            for (sum, value) in sums.iter_mut().zip(luma.row(y * fy)) {
                *sum = u16::from(*value);
            }
            for dy in 1..fy {
                for (sum, value) in sums.iter_mut().zip(luma.row(y * fy + dy)) {
                    // At most 128 bytes: far from the end of sixteen bits, which is not looked for.
                    *sum = sum.wrapping_add(u16::from(*value));
                }
            }
            let line = &mut dst[y * pitch..y * pitch + width];
            // A number that is known lets the compiler take several at once: those of frames of 720, 1080 and 2160 lines.
            match fx {
                2 => across::<2>(sums, line, unit),
                3 => across::<3>(sums, line, unit),
                6 => across::<6>(sums, line, unit),
                _ => {
                    for (out, s) in line.iter_mut().zip(sums.chunks_exact(fx)) {
                        *out = s.iter().map(|&v| u32::from(v)).sum::<u32>() as f32 * unit - 2.0;
                    }
                }
            }
        }
    }
}

/// Every `N` sums make one value.
#[inline(always)]
fn across<const N: usize>(sums: &[u16], line: &mut [f32], unit: f32) {
    for (out, sums) in line.iter_mut().zip(sums.as_chunks::<N>().0) {
        let mut sum = 0u32;
        for value in sums {
            sum = sum.wrapping_add(u32::from(*value));
        }
        *out = sum as f32 * unit - 2.0;
    }
}

/// An upright window of a picture: centre and size in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) cx: f32,
    pub(super) cy: f32,
    pub(super) w: f32,
    pub(super) h: f32,
}

/// Cuts a window out of a plane, sampled to `width` x `height` values, raw luma: area average when shrinking, bilinear
/// when enlarging, the border continued outwards. One direction after the other, so that the cost is that of the source
/// pixels touched.
///
/// # Panics
/// If `dst` holds fewer than `width * height` values.
pub(super) fn cut(luma: Plane, window: Window, width: usize, height: usize, dst: &mut [f32], scratch: &mut Scratch) {
    assert!(dst.len() >= width * height);
    if luma.width == 0 || luma.height == 0 {
        dst.fill(0.0);
        return;
    }
    resample(luma, window, width, height, dst, width, scratch, |value| value);
}

/// The work of [`cut`] and [`scale`]: into rows of `pitch` values, each made what `of` says, with the vectors of the machine.
#[allow(clippy::too_many_arguments, reason = "two callers, and each of these is theirs to choose")]
fn resample(
    luma: Plane,
    window: Window,
    width: usize,
    height: usize,
    dst: &mut [f32],
    pitch: usize,
    scratch: &mut Scratch,
    of: impl Fn(f32) -> f32,
) {
    let Scratch { row, across, down, .. } = scratch;
    across.lay(window.cx - window.w / 2.0, window.w / width as f32, width, luma.width);
    down.lay(window.cy - window.h / 2.0, window.h / height as f32, height, luma.height);
    Arch::new().dispatch(Resample { luma, across, down, row, width, height, dst, pitch, of });
}

struct Resample<'a, F> {
    luma: Plane<'a>,
    across: &'a Taps,
    down: &'a Taps,
    row: &'a mut Vec<f32>,
    width: usize,
    height: usize,
    dst: &'a mut [f32],
    pitch: usize,
    of: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Resample<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { luma, across, down, row, width, height, dst, pitch, of } = self;
        let (left, right) = across.reach();
        row.clear();
        row.resize(right - left, 0.0);
        for (y, out) in dst.chunks_mut(pitch).take(height).enumerate() {
            let (top, weights) = down.of(y);
            let mut first = true;
            for (tap, weight) in weights.iter().enumerate() {
                if *weight <= 0.0 {
                    continue;
                }
                let source = &luma.row(top + tap)[left..right];
                if std::mem::take(&mut first) {
                    for (sum, value) in row.iter_mut().zip(source) {
                        *sum = weight * f32::from(*value);
                    }
                } else {
                    for (sum, value) in row.iter_mut().zip(source) {
                        *sum += weight * f32::from(*value);
                    }
                }
            }
            let out = &mut out[..width];
            // A number of samples that is known lets the compiler unroll them: three to five for a frame of a camera.
            match across.count {
                2 => weigh::<2>(row, left, across, out, &of),
                3 => weigh::<3>(row, left, across, out, &of),
                4 => weigh::<4>(row, left, across, out, &of),
                5 => weigh::<5>(row, left, across, out, &of),
                _ => {
                    for (x, out) in out.iter_mut().enumerate() {
                        let (first, weights) = across.of(x);
                        *out = of(row[first - left..].iter().zip(weights).map(|(value, weight)| value * weight).sum());
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn weigh<const N: usize>(row: &[f32], left: usize, across: &Taps, out: &mut [f32], of: impl Fn(f32) -> f32) {
    for ((out, first), weights) in out.iter_mut().zip(&across.first).zip(across.weights.as_chunks::<N>().0) {
        let values = &row[first - left..first - left + N];
        let mut sum = 0.0;
        for tap in 0..N {
            sum += values[tap] * weights[tap];
        }
        *out = of(sum);
    }
}

/// Which source samples of one direction make up each target sample, and what each weighs.
#[derive(Debug, Default)]
struct Taps {
    /// Source samples a target sample.
    count: usize,
    first: Vec<usize>,
    weights: Vec<f32>,
}

impl Taps {
    /// For `targets` samples of `step` source samples each, the first beginning at `origin`; the source has `sources`.
    fn lay(&mut self, origin: f32, step: f32, targets: usize, sources: usize) {
        self.count = if step > 1.0 { (step.ceil() as usize + 1).min(sources) } else { 2.min(sources) };
        self.first.clear();
        self.weights.clear();
        self.weights.resize(targets * self.count, 0.0);
        let last = (sources - 1) as f32;
        for (target, weights) in self.weights.chunks_exact_mut(self.count).enumerate() {
            let from = origin + target as f32 * step;
            // Enlarged, a value lies between the centres of two samples, which is an area one sample wide.
            let (from, to) =
                if step > 1.0 { (from, from + step) } else { (from + step / 2.0 - 0.5, from + step / 2.0 + 0.5) };
            let first = (from.floor().clamp(0.0, last) as usize).min(sources - self.count);
            self.first.push(first);
            let share = 1.0 / (to - from);
            let mut at = from;
            while at < to {
                let next = (at.floor() + 1.0).min(to);
                // Half a step on is inside the sample whatever the rounding.
                let sample = ((at + next) / 2.0).floor().clamp(0.0, last) as usize;
                weights[sample.saturating_sub(first).min(self.count - 1)] += (next - at) * share;
                at = if next > at { next } else { to };
            }
        }
    }

    /// The source samples from the first to the one after the last that any target sample needs.
    fn reach(&self) -> (usize, usize) {
        let first = self.first.iter().copied().min().unwrap_or(0);
        (first, self.first.iter().copied().max().unwrap_or(0) + self.count)
    }

    /// The first source sample of a target sample, and the weights from there on.
    fn of(&self, target: usize) -> (usize, &[f32]) {
        (self.first[target], &self.weights[target * self.count..][..self.count])
    }
}

/// Makes values independent of light: `(value - mean) / (deviation + 8)`.
pub(super) fn standardise(values: &mut [f32]) {
    let n = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
    let unit = 1.0 / (variance.sqrt() + 8.0);
    for value in values {
        *value = (*value - mean) * unit;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn plane(data: &[u8], width: usize, stride: usize) -> Plane<'_> {
        Plane { data, stride, step: 1, width, height: data.len() / stride }
    }

    #[test]
    fn all_ways_of_scaling_keep_a_gradient() {
        let data: Vec<u8> = (0..60 * 64).map(|i| ((i % 64).min(59) * 2 + i / 64 * 2) as u8).collect();
        let source = plane(&data, 60, 64);
        for (w, h) in [(20, 20), (24, 17), (120, 90), (60, 60), (30, 12), (16, 16), (13, 14)] {
            let mut out = vec![9.0; (w + 3) * (h + 1)];
            scale(source, w, h, &mut out, w + 3, &mut Scratch::default());
            for y in 1..h - 1 {
                for x in 1..w - 1 {
                    let want = ((x as f32 + 0.5) * 60.0 / w as f32 - 0.5) * 2.0
                        + ((y as f32 + 0.5) * 60.0 / h as f32 - 0.5) * 2.0;
                    let got = out[y * (w + 3) + x] * 64.0 + 128.0;
                    assert!((got - want).abs() < 0.6, "{w}x{h} at {x},{y}: {got} is not {want}");
                }
            }
            assert_eq!(out[w], 0.0, "the padding is empty");
            assert!(out[h * (w + 3)..].iter().all(|v| *v == 0.0));
        }
    }

    #[test]
    fn a_cut_reaches_past_the_border_without_harm() {
        let data = vec![77; 100];
        let mut out = vec![0.0; 128 * 64];
        for (w, cx) in [(900.0, 0.0), (900.0, -600.0), (40.0, 31.0), (3.0, 9.9), (0.01, 0.0)] {
            let window = Window { cx, cy: cx / 2.0, w, h: w / 2.0 };
            cut(plane(&data, 10, 10), window, 128, 64, &mut out, &mut Scratch::default());
            assert!(out.iter().all(|v| (*v - 77.0).abs() < 1e-3), "{w} wide at {cx}");
        }
    }
}
