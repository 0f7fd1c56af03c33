//! From luma planes to the networks' inputs: whole frames scaled, windows cut out, quadrilaterals straightened.

use pulp::{Arch, Simd, WithSimd};

use super::read::Corners;
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

/// The luma at pixel centre coordinates (x, y), the border continued outwards.
fn bilinear(luma: Plane, x: f32, y: f32) -> f32 {
    let x = x.clamp(0.0, (luma.width - 1) as f32);
    let y = y.clamp(0.0, (luma.height - 1) as f32);
    let (x0, y0) = (x as usize, y as usize);
    let right = usize::from(x0 + 1 < luma.width);
    let below = if y0 + 1 < luma.height { luma.stride } else { 0 };
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let at = y0 * luma.stride + x0;
    let mix = |at: usize| {
        let (a, b) = (f32::from(luma.data[at]), f32::from(luma.data[at + right]));
        a + fx * (b - a)
    };
    let (a, b) = (mix(at), mix(at + below));
    a + fy * (b - a)
}

/// An upright window of a picture: centre and size in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) cx: f32,
    pub(super) cy: f32,
    pub(super) w: f32,
    pub(super) h: f32,
}

/// The most samples that one straightened value is averaged from, in each direction.
const FINEST: usize = 6;

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

/// Warps a plane so that the corners of a quadrilateral (pixels of the plane) come to lie at the corners of the
/// rectangle `inner` (left, top, right, bottom, in target pixels), and samples `width` x `height` values, raw luma, into
/// rows of `pitch`.
pub(super) fn straighten(
    luma: Plane,
    quad: &Corners,
    inner: [f32; 4],
    width: usize,
    height: usize,
    dst: &mut [f32],
    pitch: usize,
) {
    if luma.width == 0 || luma.height == 0 {
        dst.fill(0.0);
        return;
    }
    let h = Homography::from_rectangle(inner, quad);
    // Several source pixels in one target pixel are averaged: about one sample a source pixel.
    let length = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let across = length(quad[0], quad[1]).max(length(quad[3], quad[2])) / (inner[2] - inner[0]);
    let down = length(quad[0], quad[3]).max(length(quad[1], quad[2])) / (inner[3] - inner[1]);
    let samples = |scale: f32| (scale.ceil().max(1.0) as usize).min(FINEST);
    let (nx, ny) = (samples(across), samples(down));
    let share = 1.0 / (nx * ny) as f32;
    for y in 0..height {
        for x in 0..width {
            let mut sum = 0.0;
            for j in 0..ny {
                for i in 0..nx {
                    let u = x as f32 + (i as f32 + 0.5) / nx as f32;
                    let v = y as f32 + (j as f32 + 0.5) / ny as f32;
                    let [px, py] = h.apply(u, v);
                    sum += bilinear(luma, px - 0.5, py - 0.5);
                }
            }
            dst[y * pitch + x] = sum * share;
        }
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

/// A map of the plane onto itself that keeps lines straight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Homography([f32; 8]);

impl Homography {
    /// The one that takes the corners of `rectangle` (left, top, right, bottom) to `quad`, top left first, clockwise.
    pub(super) fn from_rectangle(rectangle: [f32; 4], quad: &Corners) -> Self {
        // First from the unit square (P. Heckbert, "Fundamentals of texture mapping", 1989, section 2.2.3).
        let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = *quad;
        let (dx1, dx2, sx) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
        let (dy1, dy2, sy) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
        let area = dx1 * dy2 - dx2 * dy1;
        let (g, h) =
            if area.abs() < 1e-9 { (0.0, 0.0) } else { ((sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area) };
        let unit = [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h];
        // Then the rectangle to the unit square, folded in.
        let [left, top, right, bottom] = rectangle;
        let (ku, kv) = (1.0 / (right - left), 1.0 / (bottom - top));
        let (u, v) = (-left * ku, -top * kv);
        let w = unit[6] * u + unit[7] * v + 1.0;
        let scale = 1.0 / w;
        Self([
            unit[0] * ku * scale,
            unit[1] * kv * scale,
            (unit[0] * u + unit[1] * v + unit[2]) * scale,
            unit[3] * ku * scale,
            unit[4] * kv * scale,
            (unit[3] * u + unit[4] * v + unit[5]) * scale,
            unit[6] * ku * scale,
            unit[7] * kv * scale,
        ])
    }

    pub(super) fn apply(&self, u: f32, v: f32) -> [f32; 2] {
        let m = &self.0;
        let w = 1.0 / (m[6] * u + m[7] * v + 1.0);
        [(m[0] * u + m[1] * v + m[2]) * w, (m[3] * u + m[4] * v + m[5]) * w]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(data: &[u8], width: usize, stride: usize) -> Plane<'_> {
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
    fn a_homography_takes_the_corners_where_it_should() {
        let quad = [[10.0, 20.0], [90.0, 12.0], [95.0, 60.0], [8.0, 52.0]];
        let h = Homography::from_rectangle([4.0, 3.0, 124.0, 29.0], &quad);
        for ([u, v], want) in [[4.0, 3.0], [124.0, 3.0], [124.0, 29.0], [4.0, 29.0]].into_iter().zip(quad) {
            let got = h.apply(u, v);
            assert!((got[0] - want[0]).abs() < 1e-3 && (got[1] - want[1]).abs() < 1e-3, "{got:?} is not {want:?}");
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

    #[test]
    fn a_cut_is_what_straightening_an_upright_window_gives() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut data: Vec<u8> = (0..200 * 256).map(|_| random.u8(..)).collect();
        for _ in 0..6 {
            data = (0..data.len())
                .map(|i| ((u32::from(data[i]) + u32::from(data[(i + 1) % data.len()])) / 2) as u8)
                .collect();
        }
        let source = plane(&data, 250, 256);
        let (mut got, mut want) = (vec![0.0; 128 * 64], vec![0.0; 128 * 64]);
        let mut scratch = Scratch::default();
        // Whole factors, where an average over samples is an average over areas, and enlarging.
        for (cx, cy, w) in [(125.0, 100.0, 256.0), (90.0, 70.0, 128.0), (60.3, 41.7, 90.0), (20.0, 10.0, 64.0)] {
            let window = Window { cx, cy, w, h: w / 2.0 };
            cut(source, window, 128, 64, &mut got, &mut scratch);
            let corner = |dx: f32, dy: f32| [cx + dx * w / 2.0, cy + dy * w / 4.0];
            let quad = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
            straighten(source, &quad, [0.0, 0.0, 128.0, 64.0], 128, 64, &mut want, 128);
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 0.6, "{w} wide: off by {worst}");
        }
    }
}
