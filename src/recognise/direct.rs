//! Convolutions as their definition has them, for the kernels that [`super::winograd`] does not turn: a cell of the result is the
//! product of the cells under the kernel, row by row as they lie in the source, with the weights. Some cells and a panel of channels
//! are multiplied at once; bias, sum and rectifier are done while the result is still in registers.

#![allow(clippy::needless_range_loop, reason = "see the remark above `vectors::dot`")]

use pulp::Simd;

use super::kernels::{Shape, result};
use super::vectors::{Job, Method, PANEL, ROWS, Scratch, dot, filled_up, load, store};

/// Cells that pass all panels before the next ones do: what they are made from stays in a core's second-level cache.
const BAND: usize = 16 * ROWS;

/// The weights of a convolution.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    /// Channels of the result and of the source, rows and columns of the kernel.
    shape: [usize; 4],
    stride: usize,
    /// Zeros on each side, rows and columns.
    pad: (usize, usize),
    /// `[panel][row][column * ci + i][PANEL]`, the last panel filled up with zeros.
    packed: Vec<f32>,
    /// Filled up in the same way.
    bias: Vec<f32>,
    relu: bool,
}

impl Direct {
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
        assert!(weight.len() == co * ci * kh * kw && bias.len() == co);
        let mut packed = vec![0.0; co.next_multiple_of(PANEL) * ci * kh * kw];
        for (index, weight) in weight.iter().enumerate() {
            let (x, y, i, o) = (index % kw, index / kw % kh, index / (kw * kh) % ci, index / (kw * kh * ci));
            packed[(((o / PANEL * kh + y) * kw + x) * ci + i) * PANEL + o % PANEL] = *weight;
        }
        Self { shape, stride, pad, packed, bias: filled_up(bias), relu }
    }
}

/// Where a cell of the result comes from and goes to: indices of its first values.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// In the source, of the kernel's first row.
    from: usize,
    sum: usize,
    to: usize,
}

impl Method for Direct {
    fn channels(&self) -> (usize, usize) {
        (self.shape[1], self.shape[0])
    }

    fn margin(&self) -> (usize, usize) {
        self.pad
    }

    fn result(&self, s: Shape) -> (usize, usize) {
        let [_, _, kh, kw] = self.shape;
        // Of a source that is smaller than the kernel comes nothing.
        let cells = |size: usize, kernel: usize, pad: usize| result(size, kernel, pad, self.stride).unwrap_or(0);
        (cells(s.h, kh, self.pad.0), cells(s.w, kw, self.pad.1))
    }

    fn reserve(&self, _: usize, _: Shape, _: &mut Scratch) {}

    #[inline(always)]
    fn run<S: Simd, const N: usize>(simd: S, job: Job<Self>) {
        let Job { how, count, src: (src, s), sum, dst, d, .. } = job;
        let [_, ci, kh, kw] = how.shape;
        let panel = kh * kw * ci * PANEL;
        let (sum, shape) = (sum.map(|(values, _)| values), sum.map_or(d, |(_, shape)| shape));
        let cells = count * d.h * d.w;
        let mut band = [Cell::default(); BAND];
        let (mut map, mut y, mut x) = (0, 0, 0);
        for first in (0..cells).step_by(BAND) {
            let band = &mut band[..BAND.min(cells - first)];
            for index in 0..band.len() {
                let (top, left) = (y * how.stride + s.py - how.pad.0, x * how.stride + s.px - how.pad.1);
                band[index] = Cell {
                    from: map * s.len() + (top * s.pitch() + left) * s.c,
                    sum: map * shape.len() + ((y + shape.py) * shape.pitch() + x + shape.px) * d.c,
                    to: map * d.len() + ((y + d.py) * d.pitch() + x + d.px) * d.c,
                };
                x += 1;
                if x == d.w {
                    (x, y) = (0, y + 1);
                }
                if y == d.h {
                    (y, map) = (0, map + 1);
                }
            }
            for (index, panel) in how.packed.chunks_exact(panel).enumerate() {
                let panel = S::as_simd_f32s(panel).0.as_chunks::<N>().0;
                for cells in band.chunks(ROWS) {
                    let strip = Strip { how, cells, panel, channel: index * PANEL, step: s.pitch() * s.c };
                    match cells.len() {
                        1 => strip.run::<1>(simd, src, sum, dst),
                        2 => strip.run::<2>(simd, src, sum, dst),
                        3 => strip.run::<3>(simd, src, sum, dst),
                        4 => strip.run::<4>(simd, src, sum, dst),
                        5 => strip.run::<5>(simd, src, sum, dst),
                        _ => strip.run::<ROWS>(simd, src, sum, dst),
                    }
                }
            }
        }
    }
}

/// Some cells and a panel of their channels.
struct Strip<'a, S: Simd, const N: usize> {
    how: &'a Direct,
    cells: &'a [Cell],
    panel: &'a [[S::f32s; N]],
    /// The panel's first channel.
    channel: usize,
    /// Values from one row of the source to the next.
    step: usize,
}

impl<S: Simd, const N: usize> Strip<'_, S, N> {
    #[inline(always)]
    fn run<const R: usize>(&self, simd: S, src: &[f32], sum: Option<&[f32]>, dst: &mut [f32]) {
        let [co, ci, _, kw] = self.how.shape;
        let depth = kw * ci;
        let mut sums = [[simd.splat_f32s(0.0); N]; R];
        for (row, panel) in self.panel.chunks_exact(depth).enumerate() {
            let mut rows: [&[f32]; R] = [&[]; R];
            for r in 0..R {
                rows[r] = &src[self.cells[r].from + row * self.step..][..depth];
            }
            dot(simd, rows, panel, &mut sums);
        }
        let floor = simd.splat_f32s(if self.how.relu { 0.0 } else { f32::NEG_INFINITY });
        for n in 0..N {
            let channel = self.channel + n * S::F32_LANES;
            if channel >= co {
                break;
            }
            let lanes = S::F32_LANES.min(co - channel);
            let bias = load(simd, &self.how.bias[channel..][..S::F32_LANES]);
            for r in 0..R {
                let mut value = simd.add_f32s(sums[r][n], bias);
                if let Some(values) = sum {
                    value = simd.add_f32s(value, load(simd, &values[self.cells[r].sum + channel..][..lanes]));
                }
                store(simd, simd.max_f32s(value, floor), &mut dst[self.cells[r].to + channel..][..lanes]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::Conv;
    use super::super::kernels::tests::{COUNT, SHAPES, maps, plain};
    use super::super::vectors::tests::agrees;
    use super::*;

    /// As the test of the same name of [`super::super::winograd`].
    #[test]
    fn agrees_with_the_definition_for_vectors_of_every_width() {
        let mut random = fastrand::Rng::with_seed(13);
        for (h, w, ci, co, kh, kw, stride, pad) in SHAPES {
            let weight: Vec<f32> = (0..co * ci * kh * kw).map(|_| random.f32() - 0.5).collect();
            let bias: Vec<f32> = (0..co).map(|_| random.f32() - 0.5).collect();
            let definition = Conv::new([co, ci, kh, kw], &weight, &bias, stride, pad, true);
            let s = Shape { h, w, c: ci, py: pad.0, px: pad.1 + 1 };
            let (oh, ow) = definition.result(h, w).expect("the kernel fits");
            let d = Shape { h: oh, w: ow, c: co, py: 1, px: 2 };
            let other = Shape { py: 0, px: 1, ..d };
            let (src, sum) = (maps(COUNT, s, &mut random), maps(COUNT, other, &mut random));
            let sum = Some((sum.as_slice(), other));
            let want = plain(&definition, (&weight, &bias), (&src, s), sum, d);
            agrees(&Direct::new([co, ci, kh, kw], &weight, &bias, stride, pad, true), (&src, s), sum, (&want, d));
        }
    }
}
