//! Quadrilaterals of a luma plane, straightened.

use pulp::{Arch, Simd, WithSimd};

use super::read::Corners;
use crate::capture::Plane;

/// The most samples that one value is averaged from, in each direction.
const FINEST: usize = 6;
/// The most values in a row.
const WIDEST: usize = 128;

/// Warps a plane so that the corners of a quadrilateral (pixels of the plane) come to lie at the corners of the
/// rectangle `inner` (left, top, right, bottom, in target pixels), and samples `width` x `height` values, raw luma, into
/// rows of `width`. Each value is an average of bilinear samples, about one a source pixel; the border is continued outwards.
///
/// # Panics
/// If `width` is more than 128 or `dst` holds fewer than `height` rows.
pub(super) fn straighten(
    luma: Plane,
    quad: &Corners,
    inner: [f32; 4],
    (width, height): (usize, usize),
    dst: &mut [f32],
) {
    assert!(width <= WIDEST && dst.len() >= width * height);
    if luma.width == 0 || luma.height == 0 {
        dst.fill(0.0);
        return;
    }
    let length = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let across = length(quad[0], quad[1]).max(length(quad[3], quad[2])) / (inner[2] - inner[0]);
    let down = length(quad[0], quad[3]).max(length(quad[1], quad[2])) / (inner[3] - inner[1]);
    let samples = |scale: f32| (scale.ceil().max(1.0) as usize).min(FINEST);
    let map = Homography::from_rectangle(inner, quad);
    let dst = &mut dst[..width * height];
    Arch::new().dispatch(Straighten { luma, map, samples: (samples(across), samples(down)), width, dst });
}

struct Straighten<'a> {
    luma: Plane<'a>,
    map: Homography,
    /// Samples a value, across and down.
    samples: (usize, usize),
    width: usize,
    dst: &'a mut [f32],
}

impl WithSimd for Straighten<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { luma, map: Homography(m), samples: (nx, ny), width, dst } = self;
        let share = 1.0 / (nx * ny) as f32;
        let (right, below) = (usize::from(luma.width > 1), if luma.height > 1 { luma.stride } else { 0 });
        let last = [(luma.width - 1) as f32, (luma.height - 1) as f32];
        // The last cell that has a neighbour.
        let inside = [luma.width.saturating_sub(2) as i32, luma.height.saturating_sub(2) as i32];
        let stride = luma.stride as i32;
        let mut places = [(0i32, 0f32, 0f32); WIDEST * FINEST];
        let mut sums = [0f32; WIDEST * FINEST];
        let (places, sums) = (&mut places[..width * nx], &mut sums[..width * nx]);
        for (y, line) in dst.chunks_exact_mut(width).enumerate() {
            sums.fill(0.0);
            for j in 0..ny {
                let v = y as f32 + (j as f32 + 0.5) / ny as f32;
                let (a, b, c) = (m[1] * v + m[2], m[4] * v + m[5], m[7] * v + 1.0);
                let unit = 1.0 / nx as f32;
                for (k, place) in places.iter_mut().enumerate() {
                    let u = (k as f32 + 0.5) * unit;
                    let w = 1.0 / (m[6] * u + c);
                    let px = ((m[0] * u + a) * w - 0.5).clamp(0.0, last[0]);
                    let py = ((m[3] * u + b) * w - 0.5).clamp(0.0, last[1]);
                    let (x0, y0) = ((px as i32).min(inside[0]), (py as i32).min(inside[1]));
                    *place = (y0 * stride + x0, px - x0 as f32, py - y0 as f32);
                }
                for (sum, (at, fx, fy)) in sums.iter_mut().zip(&*places) {
                    let at = *at as usize;
                    let mix = |at: usize| {
                        let (a, b) = (f32::from(luma.data[at]), f32::from(luma.data[at + right]));
                        a + fx * (b - a)
                    };
                    let (a, b) = (mix(at), mix(at + below));
                    *sum += a + fy * (b - a);
                }
            }
            for (out, sums) in line.iter_mut().zip(sums.chunks_exact(nx)) {
                *out = sums.iter().sum::<f32>() * share;
            }
        }
    }
}

/// A map of the plane onto itself that keeps lines straight.
#[derive(Debug, Clone, Copy)]
struct Homography([f32; 8]);

impl Homography {
    /// The one that takes the corners of `rectangle` (left, top, right, bottom) to `quad`, top left first, clockwise.
    fn from_rectangle(rectangle: [f32; 4], quad: &Corners) -> Self {
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

    #[cfg(test)]
    fn apply(&self, u: f32, v: f32) -> [f32; 2] {
        let m = &self.0;
        let w = 1.0 / (m[6] * u + m[7] * v + 1.0);
        [(m[0] * u + m[1] * v + m[2]) * w, (m[3] * u + m[4] * v + m[5]) * w]
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::plane;
    use super::super::sample::{Scratch, Window, cut};
    use super::*;

    /// The luma at pixel centre coordinates (x, y), the border continued outwards.
    fn bilinear(luma: Plane, x: f32, y: f32) -> f32 {
        let (x, y) = (x.clamp(0.0, (luma.width - 1) as f32), y.clamp(0.0, (luma.height - 1) as f32));
        let of = |x: usize, y: usize| f32::from(luma.row(y.min(luma.height - 1))[x.min(luma.width - 1)]);
        let (x0, y0, fx, fy) = (x as usize, y as usize, x.fract(), y.fract());
        let line = |y: usize| of(x0, y) + fx * (of(x0 + 1, y) - of(x0, y));
        line(y0) + fy * (line(y0 + 1) - line(y0))
    }

    /// The plain twin: sample by sample.
    fn plain(
        luma: Plane,
        quad: &Corners,
        inner: [f32; 4],
        (width, height): (usize, usize),
        n: (usize, usize),
    ) -> Vec<f32> {
        let map = Homography::from_rectangle(inner, quad);
        let value = |x: usize, y: usize| {
            let samples = (0..n.0 * n.1).map(|k| {
                let (u, v) = ((k % n.0) as f32 + 0.5, (k / n.0) as f32 + 0.5);
                let [px, py] = map.apply(x as f32 + u / n.0 as f32, y as f32 + v / n.1 as f32);
                bilinear(luma, px - 0.5, py - 0.5)
            });
            samples.sum::<f32>() / (n.0 * n.1) as f32
        };
        (0..width * height).map(|k| value(k % width, k / width)).collect()
    }

    fn noise(count: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(5);
        (0..count).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn straightening_is_what_its_samples_one_by_one_give_also_beyond_the_border() {
        let data = noise(120 * 128);
        let source = plane(&data, 120, 128);
        let inner = [4.0, 3.0, 124.0, 29.0];
        let at = |x: f32, y: f32, k: f32| {
            [[10.0, 20.0], [90.0, 12.0], [95.0, 40.0], [8.0, 42.0]].map(|[a, b]: [f32; 2]| [x + k * a, y + k * b])
        };
        for (quad, samples) in [
            (at(0.0, 0.0, 1.0), (1, 2)),
            (at(-30.0, -20.0, 1.0), (1, 2)),
            (at(60.0, 90.0, 1.0), (1, 2)),
            (at(-40.0, -10.0, 1.9), (2, 3)),
            (at(-900.0, 0.0, 30.0), (6, 6)),
            (at(500.0, 500.0, 0.5), (1, 1)),
        ] {
            let mut got = vec![0.0; 128 * 32];
            straighten(source, &quad, inner, (128, 32), &mut got);
            let want = plain(source, &quad, inner, (128, 32), samples);
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 0.1, "{quad:?}: off by {worst}");
        }
        // A picture of one row, of one column, of one pixel; corners that are no quadrilateral.
        for (w, h) in [(1, 1), (5, 1), (1, 5)] {
            let mut got = vec![0.0; 128 * 32];
            straighten(plane(&data[..w * h], w, w), &at(-3.0, -3.0, 0.2), inner, (128, 32), &mut got);
            assert!(got.iter().all(|value| (0.0..=255.0).contains(value)), "{w}x{h}");
            straighten(plane(&data[..w * h], w, w), &[[f32::NAN; 2]; 4], inner, (128, 32), &mut got);
            straighten(plane(&data[..w * h], w, w), &[[1.0; 2]; 4], inner, (128, 32), &mut got);
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
    fn a_cut_is_what_straightening_an_upright_window_gives() {
        let mut data = noise(200 * 256);
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
            straighten(source, &quad, [0.0, 0.0, 128.0, 64.0], (128, 64), &mut want);
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 0.6, "{w} wide: off by {worst}");
        }
    }
}
