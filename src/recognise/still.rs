//! Reads one picture by itself, as `outrider read` does.

use std::sync::Arc;

use super::Models;
use super::align::{Aligner, hull};
use super::ctc::Posterior;
use super::find::Finder;
use super::fuse::Fusion;
use super::glyphs::Reader;
use super::read::{Character, Corners};
use crate::capture::Picture;
use crate::fault::Result;
use crate::plate;

/// Longer side of the finder's input, pixels.
const FINDER_INPUT: usize = 640;
/// Least score of a box that is looked at closely. Low, because the aligner and the reader are better judges.
const FOUND: f32 = 0.08;
/// Boxes that score less and hold nothing that looks like a plate close up are left out.
const LISTED: f32 = 0.12;
/// Plates narrower than this, in pixels, are where the aligner says: the finder sees too little of them. Of larger ones the
/// mean of the two is nearer the truth than either.
const NARROW: f32 = 48.0;
/// Least probability of being a plate.
const PLATE: f32 = 0.5;
/// Plates narrower than this, in pixels, are told but not read: nothing in them is legible.
const UNREADABLE: f32 = 26.0;
/// Least confidence of a text that is given.
const TRUSTED: f32 = 0.3;

/// The box half-way between two.
fn mean(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    std::array::from_fn(|side| (a[side] + b[side]) / 2.0)
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
        for found in &found {
            let coarse = [found.x, found.y, found.w, found.h];
            let first = self.aligner.align(luma, coarse)?;
            if first.plate < PLATE {
                if found.score >= LISTED {
                    plates.push(StillPlate::unread(coarse));
                }
                continue;
            }
            // A second look from where the first says that the plate is.
            let plate = self.aligner.align(luma, hull(&first.corners))?;
            let bounds = if found.w < NARROW { hull(&plate.corners) } else { mean(coarse, hull(&first.corners)) };
            if found.w < UNREADABLE {
                plates.push(StillPlate::unread(bounds));
                continue;
            }
            let mut fusion = Fusion::default();
            let two_lines = plate.two_lines > 0.5;
            fusion.add(1.0, |posterior: &mut Posterior| self.reader.read(luma, &plate, two_lines, posterior))?;
            let verdict = fusion.verdict();
            let trusted = verdict.as_ref().is_some_and(|verdict| verdict.confidence >= TRUSTED);
            plates.push(match verdict {
                Some(verdict) => StillPlate {
                    country: (trusted && plate::layout(&verdict.text).is_some()).then_some("GB"),
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
