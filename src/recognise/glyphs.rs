//! The reader: from one plate with its corners to probabilities along its text.

use super::align::Aligned;
use super::ctc::{CHANNELS, Posterior};
use super::model::Model;
use super::network::Network;
use super::sample;
use super::straighten::straighten;
use crate::capture::Plane;
use crate::fault::{Fault, Kind, Result};

/// Where the plate's corners come to lie in the reader's input: left, top, right, bottom.
const ONE_LINE: [f32; 4] = [4.0, 3.0, 124.0, 29.0];
/// The same for a plate of two lines, straightened to a square before its halves are laid side by side.
const TWO_LINES: [f32; 4] = [4.0, 5.0, 60.0, 59.0];
/// Side of that square.
const SQUARE: usize = 64;
/// Plates that are read in one run of the network.
const AT_ONCE: usize = 4;

/// What the network says of one plate.
pub(super) struct Seen<'a> {
    logits: &'a [f32],
    temperature: f32,
}

impl Seen<'_> {
    /// As probabilities.
    pub(super) fn tell(&self, posterior: &mut Posterior) {
        posterior.set(self.logits, self.temperature);
    }
}

/// Reads plates whose corners are known.
pub(super) struct Reader {
    network: Network,
    temperature: f32,
    square: Vec<f32>,
}

impl Reader {
    pub(super) fn new(model: &Model) -> Result<Self> {
        let network = Network::new(model, AT_ONCE)?;
        let (height, _, channels) = network.output_shape();
        if height != 1 || channels != CHANNELS || network.input_size() != (2 * SQUARE, SQUARE / 2) {
            return Err(Fault::new(Kind::Damaged, "the reader's input or result has another shape than expected")
                .at(&model.place));
        }
        let temperature = model.calibration("temperature").unwrap_or(1.0).clamp(0.2, 10.0);
        Ok(Self { network, temperature, square: vec![0.0; SQUARE * SQUARE] })
    }

    /// Reads plates and hands to `told` which of them and what is seen of it, in their order.
    pub(super) fn read(&mut self, luma: Plane, plates: &[Aligned], mut told: impl FnMut(usize, Seen)) -> Result<()> {
        let Self { network, temperature, square } = self;
        let (width, height) = network.input_size();
        for (chunk, plates) in plates.chunks(AT_ONCE).enumerate() {
            network.run(
                plates.len(),
                |index, input| {
                    let plate = &plates[index];
                    if plate.has_two_lines() {
                        straighten(luma, &plate.corners, TWO_LINES, (SQUARE, SQUARE), square);
                        let (upper, lower) = square.split_at(SQUARE * SQUARE / 2);
                        let lines = upper.chunks_exact(SQUARE).zip(lower.chunks_exact(SQUARE));
                        for (out, (upper, lower)) in input.chunks_exact_mut(width).zip(lines) {
                            out[..SQUARE].copy_from_slice(upper);
                            out[SQUARE..].copy_from_slice(lower);
                        }
                    } else {
                        straighten(luma, &plate.corners, ONE_LINE, (width, height), input);
                    }
                    sample::standardise(input);
                },
                |index, logits| told(chunk * AT_ONCE + index, Seen { logits, temperature: *temperature }),
            )?;
        }
        Ok(())
    }
}
