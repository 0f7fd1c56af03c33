//! Reads one picture by itself, as `outrider read` does.

use std::sync::Arc;

use super::Models;
use super::align::{Aligned, Aligner, hull};
use super::ctc::Posterior;
use super::find::{Finder, Found};
use super::fuse::Fusion;
use super::glyphs::Reader;
use super::read::{Character, Corners};
use crate::capture::Picture;
use crate::fault::{Fault, Result};
use crate::plate;

/// Longer side of the finder's input, pixels.
const FINDER_INPUT: usize = 640;
/// Least score of a box that is looked at closely. Low, because the aligner and the reader are better judges.
const FOUND: f32 = 0.12;
/// Boxes that score less are looked at only where no surer one held a plate: of 207 legible plates of `val` that costs
/// none (nor would 0.4), and it spares most looks. What is missed are plates that are too far away to be read.
const WEAK: f32 = 0.35;
/// Score of a box whose plate makes weak ones not worth a look.
const SURE: f32 = 0.3;
/// Boxes that score less and hold nothing that looks like a plate close up are left out.
const LISTED: f32 = 0.15;
/// Boxes in which the aligner sees plates that overlap more are one plate; the finder's surest stays.
const SAME: f32 = 0.5;
/// Least probability of being a plate.
const PLATE: f32 = 0.35;
/// Plates narrower than this, in pixels, are told but not read: nothing in them is legible.
const UNREADABLE: f32 = 26.0;
/// Least confidence of a text that is given.
const TRUSTED: f32 = 0.4;

/// A text between these from one look is looked at again, as little closer and wider as the aligner may be wrong by. Looks at one
/// picture share their errors, so the further ones weigh less.
const DOUBTFUL: std::ops::Range<f32> = 0.1..0.9;
const FURTHER: f32 = 0.5;
const CLOSER_AND_WIDER: [[f32; 2]; 2] = [[0.95, 0.93], [1.06, 1.1]];

/// Corners moved away from their middle by factors along the text and across it.
fn stretched(corners: &Corners, [along, across]: [f32; 2]) -> Corners {
    let middle = |axis: usize| corners.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0;
    let half = |a: [usize; 2], b: [usize; 2], axis: usize| {
        (corners[a[0]][axis] + corners[a[1]][axis] - corners[b[0]][axis] - corners[b[1]][axis]) / 4.0
    };
    std::array::from_fn(|index| {
        std::array::from_fn(|axis| {
            // A corner is the middle, half the text's direction, half the one across it, and what is left of a trapezium.
            let (right, down) = (half([1, 2], [0, 3], axis), half([2, 3], [0, 1], axis));
            let (x, y) = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)][index];
            let left_over = corners[index][axis] - middle(axis) - x * right - y * down;
            middle(axis) + x * right * along + y * down * across + left_over
        })
    })
}

/// A plate in a still picture.
#[derive(Debug, Clone)]
pub struct StillPlate {
    /// The VRM with shared glyphs settled by the layout; empty where it is not trusted to be read.
    pub text: String,
    /// The VRM as it was read.
    pub raw: String,
    /// Probability that the text is right.
    pub confidence: f32,
    /// One for each character of `raw`.
    pub characters: Vec<Character>,
    /// Corners in reading direction, pixels of the picture.
    pub corners: Corners,
    /// The upright box around them: x, y, width, height.
    pub bounds: [f32; 4],
    /// The country whose layout fits, where that can be told.
    pub country: Option<&'static str>,
}

impl StillPlate {
    /// A plate of which no more is known than its upright box.
    fn unread(bounds: [f32; 4]) -> Self {
        let [x, y, w, h] = bounds;
        Self {
            text: String::new(),
            raw: String::new(),
            confidence: 0.0,
            characters: Vec::new(),
            corners: [[x, y], [x + w, y], [x + w, y + h], [x, y + h]],
            bounds,
            country: None,
        }
    }
}

/// Reads stills one after the other.
pub struct Stills {
    models: Arc<Models>,
    /// The finders of the sizes seen last.
    finders: Vec<Finder>,
    aligner: Aligner,
    reader: Reader,
}

impl Stills {
    /// Ready for any picture.
    pub fn new(models: Arc<Models>) -> Result<Self> {
        Ok(Self {
            aligner: Aligner::new(&models.aligner)?,
            reader: Reader::new(&models.reader)?,
            finders: Vec::new(),
            models,
        })
    }

    /// The plates in a picture, surest find first.
    pub fn read(&mut self, picture: &Picture) -> Result<Vec<StillPlate>> {
        let luma = picture.luma();
        let finder = self.finder(picture)?;
        let found = finder.find(luma, FOUND)?.to_vec();
        let mut plates: Vec<StillPlate> = Vec::new();
        let mut places: Vec<Found> = Vec::new();
        for found in &found {
            if found.score < WEAK && places.iter().any(|place| place.score >= SURE) {
                break;
            }
            let coarse = [found.x, found.y, found.w, found.h];
            let first = self.aligner.align(luma, coarse)?;
            if first.plate < PLATE {
                if found.score >= LISTED {
                    plates.push(StillPlate::unread(coarse));
                }
                continue;
            }
            let place = Found { score: found.score, ..Found::at(hull(&first.corners)) };
            if places.iter().any(|surer| surer.overlap(&place) > SAME) {
                continue;
            }
            places.push(place);
            // A second look from where the first says that the plate is.
            let plate = self.aligner.align(luma, hull(&first.corners))?;
            let bounds = hull(&plate.corners);
            if found.w < UNREADABLE {
                plates.push(StillPlate::unread(bounds));
                continue;
            }
            let mut fusion = Fusion::default();
            let two_lines = plate.two_lines > 0.5;
            let mut look = |corners: Corners, weight: f32| {
                let plate = Aligned { corners, ..plate };
                fusion.add(weight, |posterior: &mut Posterior| self.reader.read(luma, &plate, two_lines, posterior))?;
                Ok::<_, Fault>(fusion.verdict())
            };
            let mut verdict = look(plate.corners, 1.0)?;
            if verdict.as_ref().is_some_and(|verdict| DOUBTFUL.contains(&verdict.confidence)) {
                for factors in CLOSER_AND_WIDER {
                    verdict = look(stretched(&plate.corners, factors), FURTHER)?;
                }
            }
            let trusted = verdict.as_ref().is_some_and(|verdict| verdict.confidence >= TRUSTED);
            plates.push(match verdict {
                Some(verdict) => StillPlate {
                    country: if trusted { plate::likely_country(&verdict.text) } else { None },
                    text: if trusted { verdict.text } else { String::new() },
                    raw: verdict.raw,
                    confidence: verdict.confidence,
                    characters: verdict.characters,
                    corners: plate.corners,
                    bounds,
                },
                None => StillPlate { corners: plate.corners, ..StillPlate::unread(bounds) },
            });
        }
        Ok(plates)
    }

    fn finder(&mut self, picture: &Picture) -> Result<&mut Finder> {
        let size = (picture.width(), picture.height());
        let index = match self.finders.iter().position(|finder| finder.fits(&self.models.finder, size.0, size.1)) {
            Some(index) => index,
            None => {
                if self.finders.len() == 8 {
                    self.finders.remove(0);
                }
                self.finders.push(Finder::new(&self.models.finder, size.0, size.1, FINDER_INPUT)?);
                self.finders.len() - 1
            }
        };
        Ok(&mut self.finders[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretching_keeps_the_middle_and_moves_every_corner_outwards() {
        let corners = [[10.0, 20.0], [110.0, 10.0], [112.0, 40.0], [12.0, 44.0]];
        assert_eq!(stretched(&corners, [1.0, 1.0]), corners);
        let wide = stretched(&corners, [1.2, 1.0]);
        assert!(wide[0][0] < 10.0 && wide[1][0] > 110.0 && wide[2][0] > 112.0 && wide[3][0] < 12.0);
        let high = stretched(&corners, [1.0, 1.5]);
        assert!(high[0][1] < 20.0 && high[1][1] < 10.0 && high[2][1] > 40.0 && high[3][1] > 44.0);
        for (axis, middle) in [(0, 61.0), (1, 28.5)] {
            let of = |corners: &Corners| corners.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0;
            assert!((of(&wide) - middle).abs() < 1e-4 && (of(&high) - middle).abs() < 1e-4);
        }
    }
}
