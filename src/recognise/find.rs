//! The finder: boxes of plates in a whole picture.

use super::model::Model;
use super::network::Network;
use super::sample::{self, Scratch};
use crate::capture::Plane;
use crate::fault::{Fault, Kind, Result};

/// An upright box in pixels of the picture, and how surely it holds a plate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) w: f32,
    pub(super) h: f32,
    /// 0 to 1.
    pub(super) score: f32,
}

impl Found {
    /// A box that is certain: x, y, width, height.
    pub(super) fn at([x, y, w, h]: [f32; 4]) -> Self {
        Self { x, y, w, h, score: 1.0 }
    }

    /// Area of the intersection over area of the union.
    pub(super) fn overlap(&self, other: &Found) -> f32 {
        let side = |a: f32, aw: f32, b: f32, bw: f32| ((a + aw).min(b + bw) - a.max(b)).max(0.0);
        let common = side(self.x, self.w, other.x, other.w) * side(self.y, self.h, other.y, other.h);
        let union = self.w * self.h + other.w * other.h - common;
        if union > 0.0 { common / union } else { 0.0 }
    }
}

/// Pixels of the input that one cell of the result stands for.
const CELL: f32 = 8.0;
/// Score and four distances.
const BOX_CHANNELS: usize = 5;
/// Boxes that overlap more are one plate.
const SAME: f32 = 0.45;
/// More boxes than this in one picture are not looked at.
const MOST: usize = 64;

/// Finds plates in pictures that fit one input size.
pub(super) struct Finder {
    network: Network,
    longest: usize,
    scratch: Scratch,
    found: Vec<Found>,
}

/// Size that a picture is scaled to, its longer side `longest` pixels.
fn scaled(width: usize, height: usize, longest: usize) -> (usize, usize) {
    let scale = longest as f32 / width.max(height).max(1) as f32;
    let fit = |side: usize| ((side as f32 * scale).round() as usize).max(1);
    (fit(width), fit(height))
}

/// Size of the input for such a picture.
fn padded(model: &Model, width: usize, height: usize, longest: usize) -> (usize, usize) {
    let (width, height) = scaled(width, height, longest);
    let stride = model.input.stride.max(1);
    (width.next_multiple_of(stride), height.next_multiple_of(stride))
}

impl Finder {
    /// A finder for pictures of `width` x `height`, scaled so that the longer side is `longest` pixels.
    pub(super) fn new(model: &Model, width: usize, height: usize, longest: usize) -> Result<Self> {
        let (width, height) = padded(model, width, height, longest);
        let network = Network::sized(model, width, height, 1)?;
        let (rows, columns, channels) = network.output_shape();
        if channels < BOX_CHANNELS || (columns * CELL as usize, rows * CELL as usize) != (width, height) {
            return Err(Fault::new(Kind::Damaged, "the finder's result is not a box for every eighth pixel")
                .at(&model.place)
                .remedy("Copy the model files again from the version that they belong to"));
        }
        Ok(Self { network, longest, scratch: Scratch::default(), found: Vec::with_capacity(256) })
    }

    /// Whether pictures of `width` x `height` fit its input.
    pub(super) fn fits(&self, model: &Model, width: usize, height: usize) -> bool {
        self.network.input_size() == padded(model, width, height, self.longest)
    }

    /// Boxes that score at least `threshold`, best first, none overlapping another much. The picture must
    /// [fit](Self::fits).
    pub(super) fn find(&mut self, luma: Plane, threshold: f32) -> Result<&[Found]> {
        let (rows, columns, channels) = self.network.output_shape();
        let (pitch, _) = self.network.input_size();
        let (width, height) = scaled(luma.width, luma.height, self.longest);
        let (sx, sy) = (luma.width as f32 / width as f32, luma.height as f32 / height as f32);
        let Self { network, scratch, found, .. } = self;
        found.clear();
        let logit = (threshold / (1.0 - threshold)).ln();
        network.run(
            1,
            |_, input| sample::scale(luma, width, height, input, pitch, scratch),
            |_, heat| {
                for y in 0..rows {
                    for x in 0..columns {
                        let cell = &heat[(y * columns + x) * channels..][..channels];
                        if cell[0] < logit {
                            continue;
                        }
                        let reach = |v: f32| CELL * v.clamp(-4.0, 5.0).exp();
                        let (cx, cy) = ((x as f32 + 0.5) * CELL, (y as f32 + 0.5) * CELL);
                        let (left, top) = (cx - reach(cell[1]), cy - reach(cell[2]));
                        let (right, bottom) = (cx + reach(cell[3]), cy + reach(cell[4]));
                        found.push(Found {
                            x: left * sx,
                            y: top * sy,
                            w: (right - left) * sx,
                            h: (bottom - top) * sy,
                            score: 1.0 / (1.0 + (-cell[0]).exp()),
                        });
                    }
                }
            },
        )?;
        suppress(found);
        Ok(found)
    }
}

/// Keeps the best of boxes that overlap, best first.
fn suppress(found: &mut Vec<Found>) {
    found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept = 0;
    for index in 0..found.len() {
        let candidate = found[index];
        if kept < MOST && found[..kept].iter().all(|better| better.overlap(&candidate) < SAME) {
            found[kept] = candidate;
            kept += 1;
        }
    }
    found.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_overlapping_boxes_the_best_stays() {
        let at = |x: f32, score: f32| Found { x, y: 0.0, w: 10.0, h: 4.0, score };
        let mut found = vec![at(0.0, 0.5), at(1.0, 0.9), at(20.0, 0.7), at(19.0, 0.6)];
        suppress(&mut found);
        assert_eq!(found.iter().map(|f| f.x).collect::<Vec<_>>(), [1.0, 20.0]);
    }
}
