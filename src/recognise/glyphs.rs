//! The reader: from one plate with its corners to probabilities along its text.

use super::align::Aligned;
use super::ctc::{CHANNELS, Posterior};
use super::model::Model;
use super::network::Network;
use super::sample;
use crate::capture::Plane;
use crate::fault::{Fault, Kind, Result};

/// Where the plate's corners come to lie in the reader's input: left, top, right, bottom.
const ONE_LINE: [f32; 4] = [4.0, 3.0, 124.0, 29.0];
/// The same for a plate of two lines, straightened to a square before its halves are laid side by side.
const TWO_LINES: [f32; 4] = [4.0, 5.0, 60.0, 59.0];
/// Side of that square.
const SQUARE: usize = 64;

/// Reads plates whose corners are known.
pub(super) struct Reader {
    network: Network,
    temperature: f32,
    square: Vec<f32>,
}

impl Reader {
    pub(super) fn new(model: &Model) -> Result<Self> {
        let network = Network::new(model)?;
        let (height, _, channels) = network.output_shape();
        if height != 1 || channels != CHANNELS || network.input_size() != (2 * SQUARE, SQUARE / 2) {
            return Err(Fault::new(Kind::Damaged, "the reader's input or result has another shape than expected")
                .at(&model.place));
        }
        let temperature = model.calibration("temperature").unwrap_or(1.0).clamp(0.2, 10.0);
        Ok(Self { network, temperature, square: vec![0.0; SQUARE * SQUARE] })
    }

    /// Reads one plate into `posterior`; `two_lines` says how to lay it out.
    pub(super) fn read(
        &mut self,
        luma: Plane,
        plate: &Aligned,
        two_lines: bool,
        posterior: &mut Posterior,
    ) -> Result<()> {
        let Self { network, temperature, square } = self;
        let (width, height) = network.input_size();
        network.run(
            |input| {
                if two_lines {
                    sample::straighten(luma, &plate.corners, TWO_LINES, SQUARE, SQUARE, square, SQUARE);
                    let (upper, lower) = square.split_at(SQUARE * SQUARE / 2);
                    let lines = upper.chunks_exact(SQUARE).zip(lower.chunks_exact(SQUARE));
                    for (out, (upper, lower)) in input.chunks_exact_mut(width).zip(lines) {
                        out[..SQUARE].copy_from_slice(upper);
                        out[SQUARE..].copy_from_slice(lower);
                    }
                } else {
                    sample::straighten(luma, &plate.corners, ONE_LINE, width, height, input, width);
                }
                sample::standardise(input);
            },
            |logits| posterior.set(logits, *temperature),
        )
    }
}
