//! The aligner: the four corners of one plate, and whether it is one.

use super::model::Model;
use super::network::Network;
use super::read::Corners;
use super::sample::{self, Scratch, Window};
use crate::capture::Plane;
use crate::fault::{Fault, Kind, Result};

/// A plate with its corners.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Aligned {
    /// In pixels of the picture.
    pub(super) corners: Corners,
    /// Probability that this is a plate.
    pub(super) plate: f32,
    /// Probability that its text has two lines.
    pub(super) two_lines: f32,
}

impl Aligned {
    /// Whether the text is more likely of two lines than of one.
    pub(super) fn has_two_lines(&self) -> bool {
        self.two_lines > 0.5
    }
}

/// Windows that are looked at in one run of the network. The weights of its last layers, of which a window makes little use, are
/// fetched once for all of them.
const AT_ONCE: usize = 4;

/// Finds the corners of plates whose upright box is roughly known.
pub(super) struct Aligner {
    network: Network,
    scratch: Scratch,
}

/// The upright box around corners: x, y, width, height.
pub(super) fn hull(corners: &Corners) -> [f32; 4] {
    let least = |i: usize| corners.iter().map(|c| c[i]).fold(f32::INFINITY, f32::min);
    let most = |i: usize| corners.iter().map(|c| c[i]).fold(f32::NEG_INFINITY, f32::max);
    let (x, y) = (least(0), least(1));
    [x, y, most(0) - x, most(1) - y]
}

impl Aligner {
    pub(super) fn new(model: &Model) -> Result<Self> {
        let network = Network::new(model, AT_ONCE)?;
        if network.output_shape() != (1, 1, 10) {
            return Err(Fault::new(Kind::Damaged, "the aligner's result is not ten values").at(&model.place));
        }
        Ok(Self { network, scratch: Scratch::default() })
    }

    /// Adds to `aligned` the plate in or near each box (x, y, width, height; pixels of the picture).
    pub(super) fn align(&mut self, luma: Plane, boxes: &[[f32; 4]], aligned: &mut Vec<Aligned>) -> Result<()> {
        let Self { network, scratch } = self;
        let (width, height) = network.input_size();
        let window = |[x, y, w, h]: [f32; 4]| {
            let across = 1.5 * w.max(2.0 * h).max(4.0);
            Window { cx: x + w / 2.0, cy: y + h / 2.0, w: across, h: across * height as f32 / width as f32 }
        };
        for boxes in boxes.chunks(AT_ONCE) {
            network.run(
                boxes.len(),
                |index, input| {
                    sample::cut(luma, window(boxes[index]), width, height, input, scratch);
                    sample::standardise(input);
                },
                |index, v| {
                    let window = window(boxes[index]);
                    let corner =
                        |i: usize| [window.cx + v[2 * i] * window.w / 2.0, window.cy + v[2 * i + 1] * window.h / 2.0];
                    let sigmoid = |v: f32| 1.0 / (1.0 + (-v).exp());
                    aligned.push(Aligned {
                        corners: [corner(0), corner(1), corner(2), corner(3)],
                        plate: sigmoid(v[8]),
                        two_lines: sigmoid(v[9]),
                    });
                },
            )?;
        }
        Ok(())
    }
}
