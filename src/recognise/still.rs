//! Reads one picture by itself, as `outrider read` does.

use std::sync::Arc;

use super::Models;
use super::align::{Aligned, Aligner, hull};
use super::find::{Finder, Found};
use super::fuse::{Fusion, Verdict};
use super::glyphs::Reader;
use super::read::{Character, Corners};
use crate::capture::{Picture, Plane};
use crate::fault::Result;
use crate::plate;

/// Longer side of the finder's input, pixels.
const FINDER_INPUT: usize = 640;
/// Least score of a box that is looked at closely. Low, because the aligner and the reader are better judges.
const FOUND: f32 = 0.12;
/// Boxes that score less are looked at only where no surer one held a plate: of 207 legible plates of `val` that costs
/// none (nor would 0.4), and it spares most looks. What is missed are plates that are too far away to be read.
const WEAK: f32 = 0.35;
/// So many of those are looked at together.
const WEAK_AT_ONCE: usize = 4;
/// Score of a box whose plate makes weak ones not worth a look.
const SURE: f32 = 0.3;
/// Boxes that score less and hold nothing that looks like a plate close up are left out.
const LISTED: f32 = 0.15;
/// Boxes in which the aligner sees plates that overlap more are one plate; the finder's surest stays.
const SAME: f32 = 0.5;
/// Overlap of a find and the plate that the aligner sees in it from which a second look would see the same.
const AGREED: f32 = 0.8;
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

/// A find that holds a plate.
struct Place {
    found: Found,
    /// The first look at it.
    look: Aligned,
    /// Its index among the plates that are listed.
    listed: usize,
}

impl Place {
    /// The upright box around the plate, as the first look says.
    fn hull(&self) -> [f32; 4] {
        hull(&self.look.corners)
    }

    /// Whether finder and aligner see the plate at one place.
    fn is_agreed(&self) -> bool {
        Found::at(self.hull()).overlap(&self.found) >= AGREED
    }
}

/// A plate that was read.
fn told(plate: &Aligned, verdict: Option<Verdict>) -> StillPlate {
    let unread = StillPlate { corners: plate.corners, ..StillPlate::unread(hull(&plate.corners)) };
    let Some(verdict) = verdict else { return unread };
    let trusted = verdict.confidence >= TRUSTED;
    StillPlate {
        country: if trusted { plate::likely_country(&verdict.text) } else { None },
        text: if trusted { verdict.text } else { String::new() },
        raw: verdict.raw,
        confidence: verdict.confidence,
        characters: verdict.characters,
        ..unread
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
        let found = self.finder(picture)?.find(luma, FOUND)?.to_vec();
        let (mut plates, places) = self.places(luma, &found)?;
        // A second look from where the first says that the plate is.
        let (agreed, moved): (Vec<&Place>, Vec<&Place>) = places.iter().partition(|place| place.is_agreed());
        let (hulls, mut second) = (moved.iter().map(|place| place.hull()).collect::<Vec<_>>(), Vec::new());
        self.aligner.align(luma, &hulls, &mut second)?;
        let mut legible = Vec::new();
        let looks = agreed.iter().map(|place| place.look).chain(second);
        for (place, plate) in agreed.iter().chain(&moved).zip(looks) {
            plates[place.listed] = StillPlate::unread(hull(&plate.corners));
            if place.found.w >= UNREADABLE {
                legible.push((place.listed, plate));
            }
        }
        for ((index, plate), verdict) in legible.iter().zip(self.verdicts(luma, &legible)?) {
            plates[*index] = told(plate, verdict);
        }
        Ok(plates)
    }

    /// What is listed of the finds, none of it read yet, and which of it are plates: of finds in which the aligner sees one
    /// plate the surest, of weak ones only those before which no surer one held a plate.
    fn places(&mut self, luma: Plane, found: &[Found]) -> Result<(Vec<StillPlate>, Vec<Place>)> {
        let (mut plates, mut places, mut first) = (Vec::new(), Vec::<Place>::new(), Vec::new());
        let (sure, weak) = found.split_at(found.partition_point(|found| found.score >= WEAK));
        for finds in std::iter::once(sure).chain(weak.chunks(WEAK_AT_ONCE)) {
            let enough = |places: &[Place]| places.iter().any(|place| place.found.score >= SURE);
            if finds.first().is_some_and(|found| found.score < WEAK) && enough(&places) {
                break;
            }
            first.clear();
            let boxes: Vec<_> = finds.iter().map(|found| [found.x, found.y, found.w, found.h]).collect();
            self.aligner.align(luma, &boxes, &mut first)?;
            for ((found, coarse), plate) in finds.iter().zip(boxes).zip(&first) {
                if found.score < WEAK && enough(&places) {
                    break;
                }
                let here = Found::at(hull(&plate.corners));
                if plate.plate < PLATE {
                    if found.score >= LISTED {
                        plates.push(StillPlate::unread(coarse));
                    }
                } else if places.iter().all(|surer| Found::at(surer.hull()).overlap(&here) <= SAME) {
                    places.push(Place { found: *found, look: *plate, listed: plates.len() });
                    plates.push(StillPlate::unread(coarse));
                }
            }
        }
        Ok((plates, places))
    }

    /// What plates say, one for each.
    fn verdicts(&mut self, luma: Plane, plates: &[(usize, Aligned)]) -> Result<Vec<Option<Verdict>>> {
        let mut fusions: Vec<Fusion> = plates.iter().map(|_| Fusion::default()).collect();
        let looks: Vec<Aligned> = plates.iter().map(|(_, plate)| *plate).collect();
        self.reader.read(luma, &looks, |index, seen| fusions[index].add(1.0, |posterior| seen.tell(posterior)))?;
        let mut verdicts: Vec<_> = fusions.iter_mut().map(Fusion::verdict).collect();
        let doubtful = |verdict: &Option<Verdict>| verdict.as_ref().is_some_and(|v| DOUBTFUL.contains(&v.confidence));
        let (mut of, mut further) = (Vec::new(), Vec::new());
        for index in (0..plates.len()).filter(|index| doubtful(&verdicts[*index])) {
            for factors in CLOSER_AND_WIDER {
                of.push(index);
                further.push(Aligned { corners: stretched(&looks[index].corners, factors), ..looks[index] });
            }
        }
        self.reader.read(luma, &further, |index, seen| {
            fusions[of[index]].add(FURTHER, |posterior| seen.tell(posterior));
        })?;
        of.dedup();
        of.into_iter().for_each(|index| verdicts[index] = fusions[index].verdict());
        Ok(verdicts)
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
