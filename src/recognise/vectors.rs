//! What all ways of doing a convolution share: the job, and small operations on the vectors of the machine, which pulp chooses at
//! run time; the code is the same for all of them.

#![allow(clippy::needless_range_loop, reason = "see the remark above `dot`")]

use pulp::{Arch, Simd, WithSimd};

use super::kernels::Shape;

/// Channels of the result that are multiplied at once: two vectors of AVX2.
pub(super) const PANEL: usize = 16;
/// Rows of the left factor that are multiplied at once: with [`PANEL`] as many sums as AVX2 has registers for.
pub(super) const ROWS: usize = 6;

/// A way of doing a convolution, its weights laid out for it.
pub(super) trait Method {
    /// Channels of the source and of the result.
    fn channels(&self) -> (usize, usize);

    /// Cells of zeros that it needs around the source, rows and columns.
    fn margin(&self) -> (usize, usize);

    /// Height and width of the result.
    fn result(&self, s: Shape) -> (usize, usize);

    /// Makes room for `count` results of this shape.
    fn reserve(&self, count: usize, d: Shape, scratch: &mut Scratch);

    /// Does what is asked for; a panel is `N` vectors. Shapes and buffers fit, and there is room.
    fn run<S: Simd, const N: usize>(simd: S, job: Job<Self>)
    where
        Self: Sized;
}

/// One convolution to be done: `dst = [relu](conv(src) + bias [+ sum])`, for several maps that lie one behind the other.
pub(super) struct Job<'a, T> {
    pub(super) how: &'a T,
    /// Maps of each kind.
    pub(super) count: usize,
    /// The sources, with their margins.
    pub(super) src: (&'a [f32], Shape),
    pub(super) sum: Option<(&'a [f32], Shape)>,
    pub(super) dst: &'a mut [f32],
    pub(super) d: Shape,
    pub(super) scratch: &'a mut Scratch,
}

/// What is between source and result: turned patches, their products, and a patch at the edge. Grows to the largest convolution.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) patches: Vec<f32>,
    pub(super) products: Vec<f32>,
    pub(super) edge: Vec<f32>,
}

impl Scratch {
    pub(super) fn fit(&mut self, patches: usize, products: usize, edge: usize) {
        for (values, len) in [(&mut self.patches, patches), (&mut self.products, products), (&mut self.edge, edge)] {
            values.resize(len.max(values.len()), 0.0);
        }
    }
}

/// Does it, with the vectors of this machine.
///
/// # Panics
/// If a buffer does not fit its shape, the shapes do not fit the convolution, or the source has no margin.
pub(super) fn conv<T: Method>(job: Job<T>) {
    Arch::new().dispatch(job);
}

impl<T: Method> WithSimd for Job<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ((src, s), d) = (self.src, self.d);
        let (py, px) = self.how.margin();
        assert_eq!((s.c, d.c), self.how.channels());
        assert_eq!((d.h, d.w), self.how.result(s));
        assert!(s.py >= py && s.px >= px, "the source has no margin");
        assert!(src.len() == self.count * s.len() && self.dst.len() == self.count * d.len());
        if let Some((values, shape)) = self.sum {
            assert!((shape.h, shape.w, shape.c) == (d.h, d.w, d.c) && values.len() == self.count * shape.len());
        }
        self.how.reserve(self.count, d, self.scratch);
        match S::F32_LANES {
            16 => T::run::<S, 1>(simd, self),
            8 => T::run::<S, 2>(simd, self),
            4 => T::run::<S, 4>(simd, self),
            _ => T::run::<S, PANEL>(simd, self),
        }
    }
}

/// Whether this machine has vectors.
pub(super) fn there_are() -> bool {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes) > 1
}

/// A bias with zeros up to whole panels.
pub(super) fn filled_up(bias: &[f32]) -> Vec<f32> {
    let mut bias = bias.to_vec();
    bias.resize(bias.len().next_multiple_of(PANEL), 0.0);
    bias
}

// What follows, and what uses it, has loops over indices where iterators would be shorter: what the compiler does not inline of them,
// closures first of all, is compiled without the vectors that its caller was compiled for.

/// Adds to `sums` the products of `R` rows with a panel; each row has a value for every row of the panel.
#[inline(always)]
pub(super) fn dot<S: Simd, const N: usize, const R: usize>(
    simd: S,
    rows: [&[f32]; R],
    panel: &[[S::f32s; N]],
    sums: &mut [[S::f32s; N]; R],
) {
    for (channel, weights) in panel.iter().enumerate() {
        for r in 0..R {
            let value = simd.splat_f32s(rows[r][channel]);
            for n in 0..N {
                sums[r][n] = simd.mul_add_e_f32s(value, weights[n], sums[r][n]);
            }
        }
    }
}

/// A vector's worth of values, or the fewer that there are and zeros.
#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    if values.len() == S::F32_LANES { S::as_simd_f32s(values).0[0] } else { simd.partial_load_f32s(values) }
}

/// Writes a vector, or as much of it as there is room for.
#[inline(always)]
pub(super) fn store<S: Simd>(simd: S, value: S::f32s, values: &mut [f32]) {
    if values.len() == S::F32_LANES {
        S::as_mut_simd_f32s(values).0[0] = value;
    } else {
        simd.partial_store_f32s(values, value);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Holds what comes of a method to `want`, with every width of vectors that a machine may have, whatever this one has.
    pub(in super::super) fn agrees<T: Method>(
        how: &T,
        (src, s): (&[f32], Shape),
        sum: Option<(&[f32], Shape)>,
        (want, d): (&[f32], Shape),
    ) {
        let mut scratch = Scratch::default();
        let count = src.len() / s.len();
        how.reserve(count, d, &mut scratch);
        // What an earlier convolution has left there must not matter.
        scratch.patches.fill(f32::NAN);
        scratch.products.fill(f32::NAN);
        let mut check = |vectors: &str, does: &dyn Fn(Job<T>)| {
            let mut got = vec![0.0; count * d.len()];
            does(Job { how, count, src: (src, s), sum, dst: &mut got, d, scratch: &mut scratch });
            for (index, (a, b)) in got.iter().zip(want).enumerate() {
                assert!((a - b).abs() < 2e-4, "{vectors}: {s:?} to {d:?} at {index}: {a} is not {b}");
            }
        };
        check("this machine's", &|job| conv(job));
        check("1", &|job| job.with_simd(pulp::Scalar));
        check("4", &|job| job.with_simd(pulp::Scalar128b));
        check("8", &|job| job.with_simd(pulp::Scalar256b));
        check("16", &|job| job.with_simd(pulp::Scalar512b));
    }
}
