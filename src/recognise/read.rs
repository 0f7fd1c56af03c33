//! What recognition gives: looks, and the reads that they are fused into.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::plate::{ALPHABET, ALPHABET_SIZE, fold_char};

/// Names one read for good: the unit's run (counted by the journal) and the vehicle pass within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId {
    /// How many times the unit had been started; 0 where nothing is kept.
    pub run: u64,
    /// Counts the vehicle passes of the run, over all cameras, from 1.
    pub pass: u64,
}

impl fmt::Display for ReadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.pass)
    }
}

/// A plate's corners in pixels of the frame, in reading direction: top-left, top-right, bottom-right,
/// bottom-left.
pub type Corners = [[f32; 2]; 4];

/// One character of a text: a probability for everything it could be.
#[derive(Debug, Clone, PartialEq)]
pub struct Character {
    /// Probability of each character, numbered as in [`ALPHABET`]. Sums to at most 1; what is missing is the
    /// probability that there is no character here.
    pub p: [f32; ALPHABET_SIZE],
}

impl Character {
    /// The probability of a character or of the one that the UK font draws alike (0/O, 1/I).
    pub fn of_glyph(&self, shown: char) -> f32 {
        ALPHABET.iter().zip(&self.p).filter(|(c, _)| fold_char(**c as char) == fold_char(shown)).map(|(_, p)| p).sum()
    }

    /// The likeliest character and its probability.
    pub fn best(&self) -> (char, f32) {
        let mut best = 0;
        for (index, p) in self.p.iter().enumerate() {
            if *p > self.p[best] {
                best = index;
            }
        }
        (ALPHABET[best] as char, self.p[best])
    }
}

/// A small colour picture: 8-bit red, green, blue, rows tight.
#[derive(Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl fmt::Debug for Thumbnail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbnail({}x{})", self.width, self.height)
    }
}

/// One vehicle pass: all its looks, fused. A later read of the same id corrects an earlier one; an empty text
/// withdraws it.
#[derive(Debug, Clone)]
pub struct Read {
    /// Which pass.
    pub id: ReadId,
    /// The camera's name.
    pub camera: Arc<str>,
    /// The VRM with shared glyphs settled by the layout; empty: withdrawn.
    pub text: String,
    /// The VRM as it was read.
    pub raw: String,
    /// Probability that `text` is right.
    pub confidence: f32,
    /// One for each character of `raw`.
    pub characters: Vec<Character>,
    /// Capture instant of the first and the last look.
    pub first_at: Moment,
    /// Capture instant of the last look.
    pub last_at: Moment,
    /// The source's own time of the first look.
    pub first_seen: Duration,
    /// The source's own time of the last look.
    pub last_seen: Duration,
    /// How many looks were fused.
    pub looks: u32,
    /// How many of them read exactly `raw`.
    pub agreeing: u32,
    /// Where the plate was in the best look.
    pub corners: Corners,
    /// The plate, native resolution, from the best look.
    pub patch: Arc<Thumbnail>,
    /// The vehicle around it, scaled down, from the best look.
    pub overview: Arc<Thumbnail>,
}
