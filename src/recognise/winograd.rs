//! Convolutions of 3 x 3 by Winograd's minimal filtering, F(4 x 4, 3 x 3): a tile of 4 x 4 results comes from a patch of 6 x 6
//! cells by 36 products where the definition takes 144 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015,
//! arXiv 1509.09308; the matrices are theirs). Patches and results are turned by additions, each of the 36 points is a
//! matrix product of its own over the channels. Rounding errors are some ten times those of the definition, 1e-5 of the result.
//!
//! [`mod@line`] does the same along one row for kernels that are wide and not high.

#![allow(clippy::needless_range_loop, reason = "see the remark above `vectors::dot`")]

pub(super) mod line;

use pulp::Simd;

use super::kernels::Shape;
use super::vectors::{Job, Method, PANEL, ROWS, Scratch, dot, filled_up, load, store};

/// Cells of the result that a tile has in each direction.
const TILE: usize = 4;
/// Cells of the source that it is made from.
const PATCH: usize = TILE + 2;
const POINTS: usize = PATCH * PATCH;
/// How many bytes of turned patches and products are made before the results are: they are read again soon, and stay in a
/// core's second-level cache.
const BLOCK_BYTES: usize = 128 << 10;

/// How a kernel of 3 is turned: six points from three weights.
const TURN: [[f64; 3]; PATCH] = [
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// The weights of a convolution of 3 x 3, stride 1, with a margin of one cell, turned.
#[derive(Debug, Clone)]
pub(super) struct Winograd {
    ci: usize,
    co: usize,
    /// `[point][panel][ci][PANEL]`, the last panel filled up with zeros.
    packed: Vec<f32>,
    /// Filled up in the same way.
    bias: Vec<f32>,
    relu: bool,
}

impl Winograd {
    /// Turns weights in PyTorch's order `[co][ci][3][3]`.
    pub(super) fn new(co: usize, ci: usize, weight: &[f32], bias: &[f32], relu: bool) -> Self {
        assert!(weight.len() == co * ci * 9 && bias.len() == co);
        let panels = co.div_ceil(PANEL);
        let mut packed = vec![0.0; POINTS * panels * ci * PANEL];
        for (index, kernel) in weight.chunks_exact(9).enumerate() {
            let (o, i) = (index / ci, index % ci);
            for down in 0..PATCH {
                let half: [f64; 3] =
                    std::array::from_fn(|x| (0..3).map(|y| TURN[down][y] * f64::from(kernel[3 * y + x])).sum());
                for across in 0..PATCH {
                    let turned: f64 = half.iter().zip(TURN[across]).map(|(half, turn)| half * turn).sum();
                    let point = down * PATCH + across;
                    packed[((point * panels + o / PANEL) * ci + i) * PANEL + o % PANEL] = turned as f32;
                }
            }
        }
        Self { ci, co, packed, bias: filled_up(bias), relu }
    }

    fn block(&self, count: usize, d: Shape) -> usize {
        block(count * Place::tiles(d), POINTS * (self.ci + self.co))
    }
}

/// Of so many tiles, each with so many values between source and result, those that are made at once, a multiple of [`ROWS`]: all
/// blocks nearly of one size.
fn block(tiles: usize, values: usize) -> usize {
    let fit = BLOCK_BYTES / (size_of::<f32>() * values);
    tiles.div_ceil(tiles.div_ceil(fit.max(ROWS))).next_multiple_of(ROWS)
}

/// Which tile of which result.
#[derive(Clone, Copy)]
struct Place {
    map: usize,
    top: usize,
    left: usize,
}

impl Place {
    /// Tiles of one result.
    fn tiles(d: Shape) -> usize {
        d.w.div_ceil(TILE) * d.h.div_ceil(TILE)
    }

    fn of(tile: usize, d: Shape) -> Self {
        let (across, each) = (d.w.div_ceil(TILE), Self::tiles(d));
        let (map, tile) = (tile / each, tile % each);
        Self { map, top: tile / across * TILE, left: tile % across * TILE }
    }
}

impl Method for Winograd {
    fn channels(&self) -> (usize, usize) {
        (self.ci, self.co)
    }

    fn margin(&self) -> (usize, usize) {
        (1, 1)
    }

    fn result(&self, s: Shape) -> (usize, usize) {
        (s.h, s.w)
    }

    fn reserve(&self, count: usize, d: Shape, scratch: &mut Scratch) {
        let block = self.block(count, d);
        // A vector is sixteen values at the most.
        scratch.fit(POINTS * block * self.ci.next_multiple_of(16), POINTS * block * self.bias.len(), POINTS * self.ci);
    }

    #[inline(always)]
    fn run<S: Simd, const N: usize>(simd: S, job: Job<Self>) {
        let Job { how, count: maps, src, sum, dst, d, scratch } = job;
        let deep = how.ci.next_multiple_of(S::F32_LANES);
        let wide = how.bias.len();
        let tiles = maps * Place::tiles(d);
        let block = how.block(maps, d);
        let Scratch { patches, products, edge } = scratch;
        for first in (0..tiles).step_by(block) {
            let count = block.min(tiles - first);
            for tile in 0..count {
                let place = Place::of(first + tile, d);
                turn_patch(simd, src, place, edge, &mut patches[tile * deep..], block * deep);
            }
            for point in 0..POINTS {
                let left = &patches[point * block * deep..][..block * deep];
                let right = &how.packed[point * wide * how.ci..][..wide * how.ci];
                let result = &mut products[point * block * wide..][..block * wide];
                multiply_all::<S, N>(simd, (left, deep), (right, how.ci), (result, wide), count);
            }
            for tile in 0..count {
                let place = Place::of(first + tile, d);
                turn_back(simd, how, (&products[tile * wide..], block * wide), sum, place, dst, d);
            }
        }
    }
}

/// The products of one point: `count` rows of `depth` values, `pitch` apart, times panels, into rows that are `wide`.
#[inline(always)]
fn multiply_all<S: Simd, const N: usize>(
    simd: S,
    (left, pitch): (&[f32], usize),
    (right, depth): (&[f32], usize),
    (result, wide): (&mut [f32], usize),
    count: usize,
) {
    for (index, panel) in right.chunks_exact(depth * PANEL).enumerate() {
        let panel = S::as_simd_f32s(panel).0.as_chunks::<N>().0;
        for row in (0..count).step_by(ROWS) {
            let (left, result) = (&left[row * pitch..], &mut result[row * wide + index * PANEL..]);
            match count - row {
                1 => multiply::<S, N, 1>(simd, left, pitch, panel, result, wide),
                2 => multiply::<S, N, 2>(simd, left, pitch, panel, result, wide),
                3 => multiply::<S, N, 3>(simd, left, pitch, panel, result, wide),
                4 => multiply::<S, N, 4>(simd, left, pitch, panel, result, wide),
                5 => multiply::<S, N, 5>(simd, left, pitch, panel, result, wide),
                _ => multiply::<S, N, ROWS>(simd, left, pitch, panel, result, wide),
            }
        }
    }
}

/// `R` rows of patches, `pitch` values apart, times a panel.
#[inline(always)]
fn multiply<S: Simd, const N: usize, const R: usize>(
    simd: S,
    left: &[f32],
    pitch: usize,
    panel: &[[S::f32s; N]],
    result: &mut [f32],
    wide: usize,
) {
    let mut rows: [&[f32]; R] = [&[]; R];
    for r in 0..R {
        rows[r] = &left[r * pitch..][..panel.len()];
    }
    let mut sums = [[simd.splat_f32s(0.0); N]; R];
    dot(simd, rows, panel, &mut sums);
    for r in 0..R {
        S::as_mut_simd_f32s(&mut result[r * wide..][..PANEL]).0.copy_from_slice(&sums[r]);
    }
}

/// Turns the patch that a tile is made from: point by point, `step` values apart.
#[inline(always)]
fn turn_patch<S: Simd>(
    simd: S,
    (src, s): (&[f32], Shape),
    place: Place,
    edge: &mut [f32],
    turned: &mut [f32],
    step: usize,
) {
    let run = PATCH * s.c;
    let line = s.pitch() * s.c;
    let src = &src[place.map * s.len()..][..s.len()];
    // The patch begins one cell up and left of the tile, in the margin at the least.
    let first = (place.top + s.py - 1) * line + (place.left + s.px - 1) * s.c;
    let mut rows: [&[f32]; PATCH] = [&[]; PATCH];
    if place.top + TILE <= s.h && place.left + TILE <= s.w {
        for y in 0..PATCH {
            rows[y] = &src[first + y * line..][..run];
        }
    } else {
        // Beyond the first cells of the margin there may be nothing, or another row.
        let (high, wide) = ((s.h + 2 - place.top).min(PATCH), (s.w + 2 - place.left).min(PATCH) * s.c);
        let edge = &mut edge[..PATCH * run];
        edge.fill(0.0);
        for y in 0..high {
            edge[y * run..][..wide].copy_from_slice(&src[first + y * line..][..wide]);
        }
        for y in 0..PATCH {
            rows[y] = &edge[y * run..][..run];
        }
    }
    for channel in (0..s.c).step_by(S::F32_LANES) {
        let lanes = S::F32_LANES.min(s.c - channel);
        let zero = simd.splat_f32s(0.0);
        let mut half = [[zero; PATCH]; PATCH];
        for x in 0..PATCH {
            let mut column = [zero; PATCH];
            for y in 0..PATCH {
                column[y] = load(simd, &rows[y][x * s.c + channel..][..lanes]);
            }
            let column = turn(simd, column);
            for y in 0..PATCH {
                half[y][x] = column[y];
            }
        }
        for y in 0..PATCH {
            let row = turn(simd, half[y]);
            for x in 0..PATCH {
                let values = &mut turned[(y * PATCH + x) * step + channel..][..S::F32_LANES];
                S::as_mut_simd_f32s(values).0[0] = row[x];
            }
        }
    }
}

/// Turns six values of the source.
#[inline(always)]
fn turn<S: Simd>(simd: S, d: [S::f32s; PATCH]) -> [S::f32s; PATCH] {
    let (two, four) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0));
    let (less_four, less_five) = (simd.splat_f32s(-4.0), simd.splat_f32s(-5.0));
    let a = simd.mul_add_e_f32s(less_four, d[2], d[4]);
    let b = simd.mul_add_e_f32s(less_four, d[1], d[3]);
    let c = simd.sub_f32s(d[4], d[2]);
    let e = simd.mul_f32s(two, simd.sub_f32s(d[3], d[1]));
    [
        simd.mul_add_e_f32s(four, d[0], simd.mul_add_e_f32s(less_five, d[2], d[4])),
        simd.add_f32s(a, b),
        simd.sub_f32s(a, b),
        simd.add_f32s(c, e),
        simd.sub_f32s(c, e),
        simd.mul_add_e_f32s(four, d[1], simd.mul_add_e_f32s(less_five, d[3], d[5])),
    ]
}

/// Turns six points back into four values.
#[inline(always)]
fn back<S: Simd>(simd: S, m: [S::f32s; PATCH]) -> [S::f32s; TILE] {
    let (two, four, eight) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(8.0));
    let (a, b) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (c, e) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(a, c)),
        simd.mul_add_e_f32s(two, e, b),
        simd.mul_add_e_f32s(four, c, a),
        simd.mul_add_e_f32s(eight, e, simd.add_f32s(b, m[5])),
    ]
}

/// Turns the products of a tile, which lie `step` values apart, back and writes the tile.
#[inline(always)]
fn turn_back<S: Simd>(
    simd: S,
    how: &Winograd,
    (products, step): (&[f32], usize),
    sum: Option<(&[f32], Shape)>,
    place: Place,
    dst: &mut [f32],
    d: Shape,
) {
    let floor = simd.splat_f32s(if how.relu { 0.0 } else { f32::NEG_INFINITY });
    let zero = simd.splat_f32s(0.0);
    let dst = &mut dst[place.map * d.len()..][..d.len()];
    let sum = sum.map(|(values, shape)| (&values[place.map * shape.len()..][..shape.len()], shape));
    let (rows, columns) = (TILE.min(d.h - place.top), TILE.min(d.w - place.left));
    for channel in (0..d.c).step_by(S::F32_LANES) {
        let lanes = S::F32_LANES.min(d.c - channel);
        let mut half = [[zero; PATCH]; TILE];
        for x in 0..PATCH {
            let mut column = [zero; PATCH];
            for y in 0..PATCH {
                column[y] = load(simd, &products[(y * PATCH + x) * step + channel..][..S::F32_LANES]);
            }
            let column = back(simd, column);
            for y in 0..TILE {
                half[y][x] = column[y];
            }
        }
        let bias = load(simd, &how.bias[channel..][..S::F32_LANES]);
        for y in 0..rows {
            let row = back(simd, half[y]);
            write(simd, (row, columns), (bias, floor), sum, dst, d, (place.top + y, place.left), (channel, lanes));
        }
    }
}

/// Adds bias and sum to `columns` results that begin at cell (y, x), cuts them off at the floor, and writes these channels of
/// them.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "inlined into two loops, whose own these are")]
fn write<S: Simd>(
    simd: S,
    (row, columns): ([S::f32s; TILE], usize),
    (bias, floor): (S::f32s, S::f32s),
    sum: Option<(&[f32], Shape)>,
    dst: &mut [f32],
    d: Shape,
    (y, x): (usize, usize),
    (channel, lanes): (usize, usize),
) {
    let mut row = row;
    for column in 0..TILE {
        row[column] = simd.add_f32s(row[column], bias);
    }
    if let Some((values, shape)) = sum {
        let first = ((y + shape.py) * shape.pitch() + x + shape.px) * d.c + channel;
        for column in 0..columns {
            row[column] = simd.add_f32s(row[column], load(simd, &values[first + column * d.c..][..lanes]));
        }
    }
    let first = ((y + d.py) * d.pitch() + x + d.px) * d.c + channel;
    for column in 0..columns {
        let value = simd.max_f32s(row[column], floor);
        store(simd, value, &mut dst[first + column * d.c..][..lanes]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::Conv;
    use super::super::kernels::tests::{COUNT, maps, plain};
    use super::super::vectors::conv;
    use super::super::vectors::tests::agrees;
    use super::*;

    /// Against the definition: tiles that are cut off, channels that fill no vector and no panel, margins, sums.
    #[test]
    fn agrees_with_the_definition_for_vectors_of_every_width() {
        let mut random = fastrand::Rng::with_seed(11);
        for (h, w, ci, co) in
            [(1, 1, 1, 1), (4, 4, 8, 16), (5, 7, 3, 9), (9, 30, 24, 40), (13, 6, 88, 88), (8, 5, 17, 33)]
        {
            for (margin, with_sum, relu) in [(0, false, true), (2, true, false)] {
                let weight: Vec<f32> = (0..co * ci * 9).map(|_| random.f32() - 0.5).collect();
                let bias: Vec<f32> = (0..co).map(|_| random.f32() - 0.5).collect();
                let s = Shape { h, w, c: ci, py: 1 + margin, px: 1 + margin };
                let d = Shape { h, w, c: co, py: margin, px: 3 };
                let other = Shape { py: 0, px: margin, ..d };
                let (src, sum) = (maps(COUNT, s, &mut random), maps(COUNT, other, &mut random));
                let sum = with_sum.then_some((sum.as_slice(), other));
                let definition = Conv::new([co, ci, 3, 3], &weight, &bias, 1, (1, 1), relu);
                let want = plain(&definition, (&weight, &bias), (&src, s), sum, d);
                agrees(&Winograd::new(co, ci, &weight, &bias, relu), (&src, s), sum, (&want, d));
            }
        }
    }

    #[test]
    #[should_panic(expected = "margin")]
    fn a_source_without_a_margin_is_refused() {
        let how = Winograd::new(1, 1, &[1.0; 9], &[0.0], false);
        let s = Shape { h: 4, w: 4, c: 1, py: 0, px: 0 };
        let mut dst = vec![0.0; s.len()];
        let src = vec![0.0; s.len()];
        conv(Job {
            how: &how,
            count: 1,
            src: (&src, s),
            sum: None,
            dst: &mut dst,
            d: s,
            scratch: &mut Scratch::default(),
        });
    }
}
