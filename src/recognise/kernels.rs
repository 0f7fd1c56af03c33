//! The arithmetic of the networks: convolutions as overlapping matrix products, those of 3 x 3 by [`super::winograd`], and the
//! small operations around them.
//!
//! Maps are channels last with a margin of zeros, so that a kernel row over the whole map is one matrix
//! product whose left rows overlap: row stride C, depth kw * C (measured in `docs/figures.md`; several times a
//! convolution by im2col). The surplus cells that such a product writes into the margin are zeroed again.

use gemm::Parallelism;

pub(super) use super::winograd::Scratch;
use super::winograd::line::Line;
use super::winograd::{self, Job, Turned, Winograd};

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

/// One convolution, its weights packed for [`conv`].
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
    /// A matrix product for each row of the kernel; weights are `[ky][kx * ci + i][o]`.
    Products { packed: Vec<f32>, bias: Vec<f32> },
    /// 3 x 3 with stride 1 and a margin of one, where the machine has vectors: a quarter of the multiplications.
    Winograd(Winograd),
    /// One row of columns, likewise: half of the multiplications for nine columns.
    Line(Line),
}

impl Conv {
    /// Packs weights in PyTorch's order `[co][ci][kh][kw]`.
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
            (3, 3, 1, (1, 1)) if winograd::pays() => Way::Winograd(Winograd::new(co, ci, weight, bias, relu)),
            (1, 3.., 1, (0, around)) if winograd::pays() && kw == 2 * around + 1 => {
                Way::Line(Line::new([co, ci, kw], weight, bias, relu))
            }
            _ => Way::Products { packed: Self::packed(shape, weight), bias: bias.to_vec() },
        };
        Self { kh, kw, stride, pad, ci, co, relu, way }
    }

    fn packed([co, ci, kh, kw]: [usize; 4], weight: &[f32]) -> Vec<f32> {
        let mut packed = vec![0.0; weight.len()];
        for o in 0..co {
            for i in 0..ci {
                for ky in 0..kh {
                    for kx in 0..kw {
                        packed[((ky * kw + kx) * ci + i) * co + o] = weight[((o * ci + i) * kh + ky) * kw + kx];
                    }
                }
            }
        }
        packed
    }

    /// Makes room for what it needs to come to `count` results of this shape.
    pub(super) fn reserve(&self, count: usize, d: Shape, scratch: &mut Scratch) {
        match &self.way {
            Way::Winograd(how) => how.reserve(count, d, scratch),
            Way::Line(how) => how.reserve(count, d, scratch),
            Way::Products { .. } => {}
        }
    }

    /// The size of the result for a source of `h` x `w`; `None` if the kernel is larger than the padded source.
    pub(super) fn result(&self, h: usize, w: usize) -> Option<(usize, usize)> {
        let size = |n: usize, k: usize, p: usize| (n + 2 * p).checked_sub(k).map(|room| room / self.stride + 1);
        Some((size(h, self.kh, self.pad.0)?, size(w, self.kw, self.pad.1)?))
    }

    /// Multiplications and additions for a result of `h` x `w`.
    pub(super) fn flops(&self, h: usize, w: usize) -> u64 {
        2 * (h * w * self.co * self.ci * self.kh * self.kw) as u64
    }
}

/// How many bytes of source and result one band of rows may touch: about half of a core's second-level cache.
const BAND_BYTES: usize = 256 << 10;

/// `dst = [relu](conv(src) + bias [+ sum])` for `count` maps of each kind, one behind the other. `sum` has the shape of `dst` and
/// its own margin.
///
/// # Panics
/// If a buffer does not fit its shape or the shapes do not fit the convolution.
pub(super) fn conv(
    conv: &Conv,
    count: usize,
    (src, s): (&[f32], Shape),
    sum: Option<(&[f32], Shape)>,
    (dst, d): (&mut [f32], Shape),
    scratch: &mut Scratch,
) {
    let (packed, bias) = match &conv.way {
        Way::Winograd(how) => return winograd::conv(Job { how, count, src: (src, s), sum, dst, d, scratch }),
        Way::Line(how) => return winograd::conv(Job { how, count, src: (src, s), sum, dst, d, scratch }),
        Way::Products { packed, bias } => (packed, bias),
    };
    assert_eq!((s.c, d.c), (conv.ci, conv.co));
    assert_eq!(conv.result(s.h, s.w), Some((d.h, d.w)));
    assert!(s.py >= conv.pad.0 && s.px >= conv.pad.1);
    assert!(src.len() == count * s.len() && dst.len() == count * d.len());
    if let Some((values, shape)) = sum {
        assert!((shape.h, shape.w, shape.c) == (d.h, d.w, d.c) && values.len() == count * shape.len());
    }
    if d.h * d.w == 1 {
        return cells(conv, (packed, bias), (src, s), sum, (dst, d));
    }
    for map in 0..count {
        let sum = sum.map(|(values, shape)| (&values[map * shape.len()..][..shape.len()], shape));
        let (src, dst) = (&src[map * s.len()..][..s.len()], &mut dst[map * d.len()..][..d.len()]);
        rows(conv, (packed, bias), (src, s), sum, (dst, d));
    }
}

/// A convolution by products of whole rows.
fn rows(
    conv: &Conv,
    (packed, bias): (&[f32], &[f32]),
    (src, s): (&[f32], Shape),
    sum: Option<(&[f32], Shape)>,
    (dst, d): (&mut [f32], Shape),
) {
    // With equal pitches a band of rows is one product; else each row is one.
    let whole = conv.stride == 1 && s.pitch() == d.pitch();
    let cell = size_of::<f32>() * (s.c + d.c);
    let band = if whole { (BAND_BYTES / (s.pitch() * cell)).clamp(1, d.h) } else { 1 };
    for top in (0..d.h).step_by(band) {
        let bottom = (top + band).min(d.h);
        if let Some((values, shape)) = sum {
            for y in top..bottom {
                dst[d.row(y)].copy_from_slice(&values[shape.row(y)]);
            }
        }
        for ky in 0..conv.kh {
            let y = (top * conv.stride + ky) as isize - conv.pad.0 as isize;
            product(
                Product {
                    rows: (bottom - top - 1) * d.pitch() + d.w,
                    depth: conv.kw * conv.ci,
                    columns: conv.co,
                    left_stride: conv.stride * conv.ci,
                    result_stride: conv.co,
                    add: ky > 0 || sum.is_some(),
                },
                &src[s.at(y, -(conv.pad.1 as isize))..],
                &packed[ky * conv.kw * conv.ci * conv.co..],
                &mut dst[d.at(top as isize, 0)..],
            );
        }
        for y in top..bottom {
            finish(&mut dst[d.row(y)], bias, conv.relu);
            if whole && y + 1 < bottom {
                let surplus = d.at(y as isize, d.w as isize)..d.at(y as isize + 1, 0);
                dst[surplus].fill(0.0);
            }
        }
    }
}

/// A convolution that leaves one cell of each map: a row of the product is a map, so that all share what is fetched of the weights.
fn cells(
    conv: &Conv,
    (packed, bias): (&[f32], &[f32]),
    (src, s): (&[f32], Shape),
    sum: Option<(&[f32], Shape)>,
    (dst, d): (&mut [f32], Shape),
) {
    if let Some((values, shape)) = sum {
        for (map, values) in dst.chunks_exact_mut(d.len()).zip(values.chunks_exact(shape.len())) {
            map[d.row(0)].copy_from_slice(&values[shape.row(0)]);
        }
    }
    for ky in 0..conv.kh {
        product(
            Product {
                rows: dst.len() / d.len(),
                depth: conv.kw * conv.ci,
                columns: conv.co,
                left_stride: s.len(),
                result_stride: d.len(),
                add: ky > 0 || sum.is_some(),
            },
            &src[s.at(ky as isize - conv.pad.0 as isize, -(conv.pad.1 as isize))..],
            &packed[ky * conv.kw * conv.ci * conv.co..],
            &mut dst[d.at(0, 0)..],
        );
    }
    for map in dst.chunks_exact_mut(d.len()) {
        finish(&mut map[d.row(0)], bias, conv.relu);
    }
}

/// A matrix product: the rows of the left may overlap, those of the right are tight, those of the result may lie apart.
struct Product {
    rows: usize,
    depth: usize,
    columns: usize,
    left_stride: usize,
    result_stride: usize,
    add: bool,
}

fn product(p: Product, left: &[f32], right: &[f32], result: &mut [f32]) {
    assert!(p.rows > 0 && (p.rows - 1) * p.left_stride + p.depth <= left.len());
    assert!(p.depth * p.columns <= right.len() && p.columns <= p.result_stride);
    assert!((p.rows - 1) * p.result_stride + p.columns <= result.len());
    // SAFETY: the assertions above keep every element that the product touches inside its slice: the left
    // matrix ends at (rows-1)*left_stride + depth, the right one at depth*columns, the result, whose rows do not
    // overlap, at (rows-1)*result_stride + columns. The result is borrowed exclusively, so it aliases neither factor; the left rows overlap
    // one another, which is sound because they are only read. All strides fit in isize since slices do.
    unsafe {
        gemm::gemm(
            p.rows,
            p.columns,
            p.depth,
            result.as_mut_ptr(),
            1,
            p.result_stride as isize,
            p.add,
            left.as_ptr(),
            1,
            p.left_stride as isize,
            right.as_ptr(),
            1,
            p.columns as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// A square product `c = a * b` of `n` x `n` matrices in rows: the yardstick of `bench kernels`.
///
/// # Panics
/// If a matrix has not `n * n` values.
pub fn matrix_product(n: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    product(Product { rows: n, depth: n, columns: n, left_stride: n, result_stride: n, add: false }, a, b, c);
}

/// Adds the bias and cuts off below zero, a row of cells in place.
fn finish(cells: &mut [f32], bias: &[f32], relu: bool) {
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    for cell in cells.chunks_exact_mut(bias.len()) {
        for (value, bias) in cell.iter_mut().zip(bias) {
            *value = (*value + bias).max(floor);
        }
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

/// Copies tight values into a map.
pub(super) fn fill(values: &[f32], dst: &mut [f32], d: Shape) {
    for (y, line) in values.chunks_exact(d.w * d.c).enumerate() {
        dst[d.row(y)].copy_from_slice(line);
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

    #[test]
    fn convolution_agrees_with_its_definition_in_every_shape() {
        let mut random = fastrand::Rng::with_seed(7);
        for (h, w, ci, co, kh, kw, stride, pad) in [
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
        ] {
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
    fn pooling_and_doubling() {
        let s = Shape { h: 2, w: 3, c: 2, py: 0, px: 1 };
        let mut src = vec![0.0; s.len()];
        fill(&[1., -1., 2., -2., 3., -3., 4., -4., 5., -5., 6., -6.], &mut src, s);
        let d = Shape { h: 1, w: 3, c: 2, py: 0, px: 0 };
        let mut out = vec![0.0; d.len()];
        pool(2, 1, &src, s, &mut out, d);
        assert_eq!(out, [4., -1., 5., -2., 6., -3.]);
        let twice = Shape { h: 2, w: 6, c: 2, py: 0, px: 0 };
        let mut doubled = vec![0.0; twice.len()];
        up2(&out, d, &mut doubled, twice);
        assert_eq!(doubled[..8], [4., -1., 4., -1., 5., -2., 5., -2.]);
        assert_eq!(doubled[..12], doubled[12..]);
    }
}
