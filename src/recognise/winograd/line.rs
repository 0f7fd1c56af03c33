//! F(4, 3) along a row, for kernels of one row and three, five, seven or more columns: three columns of the kernel at a time, each turned by
//! itself, their products summed. Four results of nine columns take 18 products where the definition takes 36.

use super::*;

/// The weights of a convolution with one row, stride 1, that keeps the width, turned.
#[derive(Debug, Clone)]
pub(in super::super) struct Line {
    ci: usize,
    co: usize,
    /// Cells of the margin that the kernel reaches into.
    pad: usize,
    /// Columns of the kernel by three.
    groups: usize,
    /// `[point][panel][group][ci][PANEL]`, the last panel filled up with zeros.
    packed: Vec<f32>,
    /// Filled up in the same way.
    bias: Vec<f32>,
    relu: bool,
}

impl Line {
    /// Turns weights in PyTorch's order `[co][ci][1][columns]`; `columns` is odd.
    pub(in super::super) fn new([co, ci, columns]: [usize; 3], weight: &[f32], bias: &[f32], relu: bool) -> Self {
        assert!(weight.len() == co * ci * columns && bias.len() == co && columns % 2 == 1);
        let (panels, groups) = (co.div_ceil(PANEL), columns.div_ceil(3));
        let mut packed = vec![0.0; PATCH * panels * groups * ci * PANEL];
        for (index, kernel) in weight.chunks_exact(columns).enumerate() {
            let (o, i) = (index / ci, index % ci);
            for (group, kernel) in kernel.chunks(3).enumerate() {
                for (point, turn) in TURN.iter().enumerate() {
                    let turned: f64 = kernel.iter().zip(turn).map(|(weight, turn)| f64::from(*weight) * turn).sum();
                    let row = ((point * panels + o / PANEL) * groups + group) * ci + i;
                    packed[row * PANEL + o % PANEL] = turned as f32;
                }
            }
        }
        Self { ci, co, pad: columns / 2, groups, packed, bias: filled_up(bias), relu }
    }

    /// Cells that a tile is made from.
    fn reach(&self) -> usize {
        3 * self.groups + 3
    }

    /// Values from one turned patch to the next: the last vector of a patch may reach beyond it.
    fn deep(&self, lanes: usize) -> usize {
        self.groups * self.ci + lanes
    }

    fn block(&self, count: usize, d: Shape) -> usize {
        block(count * tiles(d), PATCH * (self.groups * self.ci + self.co))
    }
}

impl Method for Line {
    fn channels(&self) -> (usize, usize) {
        (self.ci, self.co)
    }

    fn margin(&self) -> (usize, usize) {
        (0, self.pad)
    }

    fn result(&self, s: Shape) -> (usize, usize) {
        (s.h, s.w)
    }

    fn reserve(&self, count: usize, d: Shape, scratch: &mut Scratch) {
        let block = self.block(count, d);
        scratch.fit(PATCH * block * self.deep(16), PATCH * block * self.bias.len(), self.reach() * self.ci);
    }

    #[inline(always)]
    fn run<S: Simd, const N: usize>(simd: S, job: Job<Self>) {
        let Job { how, count: maps, src, sum, dst, d, scratch } = job;
        let (depth, deep, wide) = (how.groups * how.ci, how.deep(S::F32_LANES), how.bias.len());
        let (tiles, block) = (maps * tiles(d), how.block(maps, d));
        let Scratch { patches, products, edge } = scratch;
        for first in (0..tiles).step_by(block) {
            let count = block.min(tiles - first);
            for tile in 0..count {
                let place = place(first + tile, d);
                turn_patch(simd, how, src, place, edge, &mut patches[tile * deep..], block * deep);
            }
            for point in 0..PATCH {
                let left = &patches[point * block * deep..][..block * deep];
                let right = &how.packed[point * wide * depth..][..wide * depth];
                let result = &mut products[point * block * wide..][..block * wide];
                multiply_all::<S, N>(simd, (left, deep), (right, depth), (result, wide), count);
            }
            for tile in 0..count {
                let place = place(first + tile, d);
                turn_back(simd, how, (&products[tile * wide..], block * wide), sum, place, dst, d);
            }
        }
    }
}

/// Tiles of one result.
fn tiles(d: Shape) -> usize {
    d.h * d.w.div_ceil(TILE)
}

fn place(tile: usize, d: Shape) -> Place {
    let (across, each) = (d.w.div_ceil(TILE), tiles(d));
    let (map, tile) = (tile / each, tile % each);
    Place { map, top: tile / across, left: tile % across * TILE }
}

/// Turns the cells that a tile is made from: point by point, `step` values apart, in each all groups.
#[inline(always)]
fn turn_patch<S: Simd>(
    simd: S,
    how: &Line,
    (src, s): (&[f32], Shape),
    place: Place,
    edge: &mut [f32],
    turned: &mut [f32],
    step: usize,
) {
    let src = &src[place.map * s.len()..][..s.len()];
    let first = ((place.top + s.py) * s.pitch() + place.left + s.px - how.pad) * s.c;
    let (reach, there) = (how.reach(), s.w + s.px + how.pad - place.left);
    let cells = if there >= reach {
        &src[first..][..reach * s.c]
    } else {
        // Beyond the margin there may be nothing, or another row.
        let edge = &mut edge[..reach * s.c];
        edge.fill(0.0);
        edge[..there * s.c].copy_from_slice(&src[first..][..there * s.c]);
        &edge[..]
    };
    for group in 0..how.groups {
        for channel in (0..s.c).step_by(S::F32_LANES) {
            let lanes = S::F32_LANES.min(s.c - channel);
            let mut row = [simd.splat_f32s(0.0); PATCH];
            for point in 0..PATCH {
                row[point] = load(simd, &cells[(3 * group + point) * s.c + channel..][..lanes]);
            }
            let row = turn(simd, row);
            for point in 0..PATCH {
                // What reaches into the next group is written over by it.
                let values = &mut turned[point * step + group * s.c + channel..][..S::F32_LANES];
                S::as_mut_simd_f32s(values).0[0] = row[point];
            }
        }
    }
}

/// Turns the products of a tile, which lie `step` values apart, back and writes the tile.
#[inline(always)]
fn turn_back<S: Simd>(
    simd: S,
    how: &Line,
    (products, step): (&[f32], usize),
    sum: Option<(&[f32], Shape)>,
    place: Place,
    dst: &mut [f32],
    d: Shape,
) {
    let floor = simd.splat_f32s(if how.relu { 0.0 } else { f32::NEG_INFINITY });
    let dst = &mut dst[place.map * d.len()..][..d.len()];
    let sum = sum.map(|(values, shape)| (&values[place.map * shape.len()..][..shape.len()], shape));
    let columns = TILE.min(d.w - place.left);
    for channel in (0..d.c).step_by(S::F32_LANES) {
        let lanes = S::F32_LANES.min(d.c - channel);
        let mut points = [simd.splat_f32s(0.0); PATCH];
        for point in 0..PATCH {
            points[point] = load(simd, &products[point * step + channel..][..S::F32_LANES]);
        }
        let row = back(simd, points);
        let bias = load(simd, &how.bias[channel..][..S::F32_LANES]);
        write(simd, (row, columns), (bias, floor), sum, dst, d, (place.top, place.left), (channel, lanes));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kernels::Conv;
    use super::super::super::kernels::tests::{COUNT, maps, plain};
    use super::super::super::vectors::tests::agrees;
    use super::*;

    /// As the test of the same name of [`super::super`].
    #[test]
    fn agrees_with_the_definition_for_vectors_of_every_width() {
        let mut random = fastrand::Rng::with_seed(12);
        for (h, w, ci, co, columns) in [(1, 1, 1, 1, 3), (1, 64, 24, 40, 9), (3, 7, 5, 17, 5), (2, 30, 9, 16, 7)] {
            for (margin, with_sum, relu) in [(0, false, true), (2, true, false)] {
                let weight: Vec<f32> = (0..co * ci * columns).map(|_| random.f32() - 0.5).collect();
                let bias: Vec<f32> = (0..co).map(|_| random.f32() - 0.5).collect();
                let s = Shape { h, w, c: ci, py: margin, px: columns / 2 + margin };
                let d = Shape { h, w, c: co, py: margin, px: 3 };
                let other = Shape { py: 0, px: margin, ..d };
                let (src, sum) = (maps(COUNT, s, &mut random), maps(COUNT, other, &mut random));
                let sum = with_sum.then_some((sum.as_slice(), other));
                let definition = Conv::new([co, ci, 1, columns], &weight, &bias, 1, (0, columns / 2), relu);
                let want = plain(&definition, (&weight, &bias), (&src, s), sum, d);
                agrees(&Line::new([co, ci, columns], &weight, &bias, relu), (&src, s), sum, (&want, d));
            }
        }
    }
}
