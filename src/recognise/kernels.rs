//! The arithmetic of the networks: convolutions, by [`super::winograd`] where that pays and else by [`super::direct`], and the small
//! operations around them.
//!
//! Maps are channels last with a margin of zeros, so that what lies under a row of a kernel is one run of values.

use gemm::Parallelism;

use super::direct::Direct;
pub(super) use super::vectors::Scratch;
use super::vectors::{self, Job, Method};
use super::winograd::Winograd;
use super::winograd::line::Line;

/// A map's shape and the margin of zeros around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c: usize,
    /// Rows of zeros above and below.
    pub(super) py: usize,
    /// Columns of zeros left and right.
    pub(super) px: usize,
}

impl Shape {
    /// Cells from one row to the next.
    pub(super) fn pitch(self) -> usize {
        self.w + 2 * self.px
    }

    /// Values in the buffer.
    pub(super) fn len(self) -> usize {
        (self.h + 2 * self.py) * self.pitch() * self.c
    }

    /// Index of the first value of cell (y, x); both may reach into the margin.
    pub(super) fn at(self, y: isize, x: isize) -> usize {
        let row = y + self.py as isize;
        let column = x + self.px as isize;
        debug_assert!(row >= 0 && column >= 0);
        (row as usize * self.pitch() + column as usize) * self.c
    }

    /// The values of row `y` without its margin.
    fn row(self, y: usize) -> std::ops::Range<usize> {
        let start = self.at(y as isize, 0);
        start..start + self.w * self.c
    }
}

/// One convolution, its weights laid out for [`conv`].
#[derive(Debug, Clone)]
pub(super) struct Conv {
    pub(super) kh: usize,
    pub(super) kw: usize,
    pub(super) stride: usize,
    /// Zeros on each side, rows and columns.
    pub(super) pad: (usize, usize),
    pub(super) ci: usize,
    pub(super) co: usize,
    pub(super) relu: bool,
    way: Way,
}

/// How a convolution is done.
#[derive(Debug, Clone)]
enum Way {
    Direct(Direct),
    /// 3 x 3 with stride 1 and a margin of one, where the machine has vectors: a quarter of the multiplications.
    Winograd(Winograd),
    /// One row of columns, likewise: half of the multiplications for nine columns.
    Line(Line),
}

impl Conv {
    /// Lays out weights in PyTorch's order `[co][ci][kh][kw]`.
    pub(super) fn new(
        shape: [usize; 4],
        weight: &[f32],
        bias: &[f32],
        stride: usize,
        pad: (usize, usize),
        relu: bool,
    ) -> Self {
        let [co, ci, kh, kw] = shape;
        assert_eq!(weight.len(), co * ci * kh * kw);
        assert_eq!(bias.len(), co);
        let way = match (kh, kw, stride, pad) {
            (3, 3, 1, (1, 1)) if vectors::there_are() => Way::Winograd(Winograd::new(co, ci, weight, bias, relu)),
            (1, 3.., 1, (0, around)) if vectors::there_are() && kw == 2 * around + 1 => {
                Way::Line(Line::new([co, ci, kw], weight, bias, relu))
            }
            _ => Way::Direct(Direct::new(shape, weight, bias, stride, pad, relu)),
        };
        Self { kh, kw, stride, pad, ci, co, relu, way }
    }

    /// Makes room for what it needs to come to `count` results of this shape.
    pub(super) fn reserve(&self, count: usize, d: Shape, scratch: &mut Scratch) {
        match &self.way {
            Way::Winograd(how) => how.reserve(count, d, scratch),
            Way::Line(how) => how.reserve(count, d, scratch),
            Way::Direct(how) => how.reserve(count, d, scratch),
        }
    }

    /// The size of the result for a source of `h` x `w`; `None` if the kernel is larger than the padded source.
    pub(super) fn result(&self, h: usize, w: usize) -> Option<(usize, usize)> {
        Some((result(h, self.kh, self.pad.0, self.stride)?, result(w, self.kw, self.pad.1, self.stride)?))
    }

    /// Multiplications and additions for a result of `h` x `w`.
    pub(super) fn flops(&self, h: usize, w: usize) -> u64 {
        2 * (h * w * self.co * self.ci * self.kh * self.kw) as u64
    }
}

/// Cells of a result in one direction; `None` if the kernel is larger than the padded source.
pub(super) fn result(size: usize, kernel: usize, pad: usize, stride: usize) -> Option<usize> {
    (size + 2 * pad).checked_sub(kernel).map(|room| room / stride + 1)
}

/// `dst = [relu](conv(src) + bias [+ sum])` for `count` maps of each kind, one behind the other. `sum` has the shape of `dst` and
/// its own margin.
///
/// # Panics
/// If a buffer does not fit its shape or the shapes do not fit the convolution.
pub(super) fn conv(
    conv: &Conv,
    count: usize,
    src: (&[f32], Shape),
    sum: Option<(&[f32], Shape)>,
    (dst, d): (&mut [f32], Shape),
    scratch: &mut Scratch,
) {
    match &conv.way {
        Way::Direct(how) => vectors::conv(Job { how, count, src, sum, dst, d, scratch }),
        Way::Winograd(how) => vectors::conv(Job { how, count, src, sum, dst, d, scratch }),
        Way::Line(how) => vectors::conv(Job { how, count, src, sum, dst, d, scratch }),
    }
}

/// A square product `c = a * b` of `n` x `n` matrices in rows: the yardstick of `bench kernels`.
///
/// # Panics
/// If a matrix has not `n * n` values.
pub fn matrix_product(n: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!([a.len(), b.len(), c.len()] == [n * n; 3]);
    let row = n as isize;
    // SAFETY: each matrix has exactly n * n values, as asserted, in rows of n; the result is borrowed exclusively, so it aliases
    // neither factor. n fits in isize since slices of n * n values do.
    unsafe {
        gemm::gemm(
            n,
            n,
            n,
            c.as_mut_ptr(),
            1,
            row,
            false,
            a.as_ptr(),
            1,
            row,
            b.as_ptr(),
            1,
            row,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Space to depth by `k`: channel `(dy*k + dx)*c + i` of cell (y, x) is channel `i` of cell (k*y+dy, k*x+dx).
pub(super) fn space_to_depth(k: usize, src: &[f32], s: Shape, dst: &mut [f32], d: Shape) {
    assert_eq!((d.h, d.w, d.c), (s.h / k, s.w / k, s.c * k * k));
    for y in 0..d.h {
        for dy in 0..k {
            let (line, cells) = (&src[s.row(y * k + dy)], &mut dst[d.row(y)]);
            match k * s.c {
                // Lengths that are known are moved, not copied by a call: those that the networks begin with.
                2 => part_cells::<2>(line, cells, d.c, dy),
                4 => part_cells::<4>(line, cells, d.c, dy),
                run => {
                    for (cell, values) in cells.chunks_exact_mut(d.c).zip(line.chunks_exact(run)) {
                        cell[dy * run..(dy + 1) * run].copy_from_slice(values);
                    }
                }
            }
        }
    }
}

/// Every `RUN` values of a line become the part `dy` of a cell of `c` values.
fn part_cells<const RUN: usize>(line: &[f32], cells: &mut [f32], c: usize, dy: usize) {
    for (cell, values) in cells.chunks_exact_mut(c).zip(line.as_chunks::<RUN>().0) {
        if let Some(part) = cell.as_chunks_mut::<RUN>().0.get_mut(dy) {
            *part = *values;
        }
    }
}

/// Maximum over windows of `kh` x `kw` that do not overlap; what does not fill a window is left out.
pub(super) fn pool(kh: usize, kw: usize, src: &[f32], s: Shape, dst: &mut [f32], d: Shape) {
    assert_eq!((d.h, d.w, d.c), (s.h / kh, s.w / kw, s.c));
    for y in 0..d.h {
        let out = &mut dst[d.row(y)];
        out.fill(f32::NEG_INFINITY);
        for dy in 0..kh {
            let line = &src[s.row(y * kh + dy)];
            for (cell, window) in out.chunks_exact_mut(d.c).zip(line.chunks_exact(kw * s.c)) {
                for source in window.chunks_exact(s.c) {
                    for (value, candidate) in cell.iter_mut().zip(source) {
                        *value = value.max(*candidate);
                    }
                }
            }
        }
    }
}

/// Every cell doubled in both directions.
pub(super) fn up2(src: &[f32], s: Shape, dst: &mut [f32], d: Shape) {
    assert_eq!((d.h, d.w, d.c), (s.h * 2, s.w * 2, s.c));
    for y in 0..d.h {
        let line = &src[s.row(y / 2)];
        for (x, cell) in dst[d.row(y)].chunks_exact_mut(d.c).enumerate() {
            cell.copy_from_slice(&line[x / 2 * s.c..(x / 2 + 1) * s.c]);
        }
    }
}

/// `dst = [relu](a + b)`.
pub(super) fn add(relu: bool, a: (&[f32], Shape), b: (&[f32], Shape), dst: &mut [f32], d: Shape) {
    assert_eq!((a.1.h, a.1.w, a.1.c), (d.h, d.w, d.c));
    assert_eq!((b.1.h, b.1.w, b.1.c), (d.h, d.w, d.c));
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    for y in 0..d.h {
        for ((value, a), b) in dst[d.row(y)].iter_mut().zip(&a.0[a.1.row(y)]).zip(&b.0[b.1.row(y)]) {
            *value = (a + b).max(floor);
        }
    }
}

/// `dst = [relu](a + b)`, every cell of `a` doubled in both directions.
pub(super) fn add_doubled(relu: bool, a: (&[f32], Shape), b: (&[f32], Shape), dst: &mut [f32], d: Shape) {
    assert_eq!((a.1.h * 2, a.1.w * 2, a.1.c), (d.h, d.w, d.c));
    assert_eq!((b.1.h, b.1.w, b.1.c), (d.h, d.w, d.c));
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    for y in 0..d.h {
        let (cells, others) = (a.0[a.1.row(y / 2)].chunks_exact(d.c), b.0[b.1.row(y)].chunks_exact(2 * d.c));
        for ((pair, cell), others) in dst[d.row(y)].chunks_exact_mut(2 * d.c).zip(cells).zip(others) {
            for (values, others) in pair.chunks_exact_mut(d.c).zip(others.chunks_exact(d.c)) {
                for ((value, a), b) in values.iter_mut().zip(cell).zip(others) {
                    *value = (a + b).max(floor);
                }
            }
        }
    }
}

/// Zeros the margin of a map.
pub(super) fn clear_margin(map: &mut [f32], d: Shape) {
    if d.py > 0 {
        let edge = d.py * d.pitch() * d.c;
        let end = map.len() - edge;
        map[..edge].fill(0.0);
        map[end..].fill(0.0);
    }
    if d.px > 0 {
        for y in 0..d.h as isize {
            map[d.at(y, -(d.px as isize))..d.at(y, 0)].fill(0.0);
            map[d.at(y, d.w as isize)..d.at(y, (d.w + d.px) as isize)].fill(0.0);
        }
    }
}

/// Copies a map's values out, tight.
pub(super) fn take(src: &[f32], s: Shape, values: &mut [f32]) {
    for (y, line) in values.chunks_exact_mut(s.w * s.c).enumerate() {
        line.copy_from_slice(&src[s.row(y)]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The safe twin: a convolution as its definition says, of every map.
    pub(in super::super) fn plain(
        conv: &Conv,
        weights: (&[f32], &[f32]),
        (sources, s): (&[f32], Shape),
        sums: Option<(&[f32], Shape)>,
        d: Shape,
    ) -> Vec<f32> {
        let sum = |map: usize| sums.map(|(values, shape)| (&values[map * shape.len()..][..shape.len()], shape));
        let sources = sources.chunks_exact(s.len()).enumerate();
        sources.flat_map(|(map, src)| plain_one(conv, weights, (src, s), sum(map), d)).collect()
    }

    fn plain_one(
        conv: &Conv,
        (weight, bias): (&[f32], &[f32]),
        (src, s): (&[f32], Shape),
        sum: Option<(&[f32], Shape)>,
        d: Shape,
    ) -> Vec<f32> {
        let mut out = vec![0.0; d.len()];
        for y in 0..d.h {
            for x in 0..d.w {
                for o in 0..d.c {
                    let mut value = bias[o] + sum.map_or(0.0, |(v, shape)| v[shape.at(y as isize, x as isize) + o]);
                    for ky in 0..conv.kh {
                        for kx in 0..conv.kw {
                            let sy = (y * conv.stride + ky) as isize - conv.pad.0 as isize;
                            let sx = (x * conv.stride + kx) as isize - conv.pad.1 as isize;
                            if sy < 0 || sx < 0 || sy >= s.h as isize || sx >= s.w as isize {
                                continue;
                            }
                            for i in 0..s.c {
                                value += src[s.at(sy, sx) + i] * weight[((o * s.c + i) * conv.kh + ky) * conv.kw + kx];
                            }
                        }
                    }
                    out[d.at(y as isize, x as isize) + o] = if conv.relu { value.max(0.0) } else { value };
                }
            }
        }
        out
    }

    /// Maps at once.
    pub(in super::super) const COUNT: usize = 2;

    pub(in super::super) fn maps(count: usize, shape: Shape, random: &mut fastrand::Rng) -> Vec<f32> {
        (0..count).flat_map(|_| map(shape, random)).collect()
    }

    fn map(shape: Shape, random: &mut fastrand::Rng) -> Vec<f32> {
        let mut values = vec![0.0; shape.len()];
        for y in 0..shape.h {
            values[shape.row(y)].fill_with(|| random.f32() - 0.5);
        }
        values
    }

    /// Height and width of the source, its channels and those of the result, rows and columns of the kernel, stride, padding.
    #[allow(clippy::type_complexity, reason = "a table")]
    pub(in super::super) const SHAPES: [(usize, usize, usize, usize, usize, usize, usize, (usize, usize)); 14] = [
        (5, 7, 3, 8, 3, 3, 1, (1, 1)),
        (1, 1, 1, 1, 3, 3, 1, (1, 1)),
        (9, 6, 8, 16, 3, 3, 2, (1, 1)),
        (8, 6, 8, 5, 2, 2, 2, (0, 0)),
        (40, 300, 16, 24, 3, 3, 1, (1, 1)),
        (13, 30, 88, 88, 3, 3, 1, (1, 1)),
        (9, 30, 8, 12, 3, 3, 1, (0, 0)),
        (4, 64, 8, 12, 4, 1, 1, (0, 0)),
        (4, 8, 8, 12, 4, 8, 1, (0, 0)),
        (1, 64, 8, 8, 1, 5, 1, (0, 2)),
        (1, 64, 128, 128, 1, 9, 1, (0, 4)),
        (3, 13, 5, 18, 1, 9, 1, (0, 4)),
        (2, 6, 7, 3, 1, 7, 1, (0, 3)),
        (6, 6, 4, 37, 1, 1, 1, (0, 0)),
    ];

    #[test]
    fn convolution_agrees_with_its_definition_in_every_shape() {
        let mut random = fastrand::Rng::with_seed(7);
        for (h, w, ci, co, kh, kw, stride, pad) in SHAPES {
            for (margin, with_sum, relu) in [(0, false, true), (0, true, false), (2, true, true)] {
                let weight: Vec<f32> = (0..co * ci * kh * kw).map(|_| random.f32() - 0.5).collect();
                let bias: Vec<f32> = (0..co).map(|_| random.f32() - 0.5).collect();
                let op = Conv::new([co, ci, kh, kw], &weight, &bias, stride, pad, relu);
                let s = Shape { h, w, c: ci, py: pad.0 + margin, px: pad.1 + margin };
                let (oh, ow) = op.result(h, w).expect("the kernel fits");
                let d = Shape { h: oh, w: ow, c: co, py: 1, px: s.px };
                let src = maps(COUNT, s, &mut random);
                let other = Shape { py: 0, px: 3, ..d };
                let sum = maps(COUNT, other, &mut random);
                let sum = with_sum.then_some((sum.as_slice(), other));
                let mut got = vec![0.0; COUNT * d.len()];
                conv(&op, COUNT, (&src, s), sum, (&mut got, d), &mut Scratch::default());
                let want = plain(&op, (&weight, &bias), (&src, s), sum, d);
                let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-3, "{h}x{w} {ci}->{co} {kh}x{kw}/{stride} margin {margin}: off by {worst}");
            }
        }
    }

    #[test]
    fn space_to_depth_and_back_by_hand() {
        let s = Shape { h: 2, w: 4, c: 1, py: 0, px: 0 };
        let d = Shape { h: 1, w: 2, c: 4, py: 1, px: 1 };
        let mut out = vec![0.0; d.len()];
        space_to_depth(2, &[1., 2., 3., 4., 5., 6., 7., 8.], s, &mut out, d);
        assert_eq!(out[d.row(0)], [1., 2., 5., 6., 3., 4., 7., 8.]);
        assert_eq!(out.iter().filter(|v| **v != 0.0).count(), 8);
    }

    #[test]
    fn space_to_depth_by_its_definition() {
        let mut random = fastrand::Rng::with_seed(3);
        for (k, c) in [(2, 1), (4, 1), (2, 2), (3, 1), (2, 3)] {
            let s = Shape { h: 2 * k, w: 3 * k, c, py: 1, px: 2 };
            let d = Shape { h: 2, w: 3, c: c * k * k, py: 0, px: 1 };
            let src = map(s, &mut random);
            let mut out = vec![0.0; d.len()];
            space_to_depth(k, &src, s, &mut out, d);
            for (y, x, dy, dx, i) in (0..2 * 3 * k * k * c)
                .map(|n| (n / (3 * k * k * c), n / (k * k * c) % 3, n / (k * c) % k, n / c % k, n % c))
            {
                let from = s.at((y * k + dy) as isize, (x * k + dx) as isize) + i;
                assert_eq!(out[d.at(y as isize, x as isize) + (dy * k + dx) * c + i], src[from], "{k} {c}");
            }
        }
    }

    #[test]
    fn a_margin_is_cleared_and_nothing_else() {
        for (py, px) in [(0, 0), (1, 0), (0, 2), (2, 1)] {
            let s = Shape { h: 3, w: 4, c: 2, py, px };
            let mut values = vec![9.0; s.len()];
            clear_margin(&mut values, s);
            assert_eq!(values.iter().filter(|value| **value == 9.0).count(), 3 * 4 * 2);
            assert!((0..3).all(|y| values[s.row(y)].iter().all(|value| *value == 9.0)));
        }
    }

    #[test]
    fn pooling_and_doubling() {
        let s = Shape { h: 2, w: 3, c: 2, py: 0, px: 1 };
        let mut src = vec![9.0; s.len()];
        src[s.row(0)].copy_from_slice(&[1., -1., 2., -2., 3., -3.]);
        src[s.row(1)].copy_from_slice(&[4., -4., 5., -5., 6., -6.]);
        let d = Shape { h: 1, w: 3, c: 2, py: 0, px: 0 };
        let mut out = vec![0.0; d.len()];
        pool(2, 1, &src, s, &mut out, d);
        assert_eq!(out, [4., -1., 5., -2., 6., -3.]);
        let twice = Shape { h: 2, w: 6, c: 2, py: 0, px: 0 };
        let mut doubled = vec![0.0; twice.len()];
        up2(&out, d, &mut doubled, twice);
        assert_eq!(doubled[..8], [4., -1., 4., -1., 5., -2., 5., -2.]);
        assert_eq!(doubled[..12], doubled[12..]);
        let with = Shape { py: 1, px: 2, ..twice };
        let others = map(with, &mut fastrand::Rng::with_seed(1));
        let (mut sum, mut at_once) = (vec![0.0; twice.len()], vec![0.0; twice.len()]);
        for relu in [false, true] {
            add(relu, (&doubled, twice), (&others, with), &mut sum, twice);
            add_doubled(relu, (&out, d), (&others, with), &mut at_once, twice);
            assert_eq!(sum, at_once);
        }
    }
}
