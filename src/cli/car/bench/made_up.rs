//! Made-up lists and reads: marks laid out as UK traffic has them, and readings with measured doubts.

use std::io::Write;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind, Result};
use crate::hotlist::typed;
use crate::plate;
use crate::recognise::{Character, Read};

/// A mark, by layout about as often as vehicles on the road have it.
pub(super) fn mark(random: &mut Rng) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNOPRSTUVWXY";
    let mut text = String::with_capacity(7);
    let layout = match random.u32(0..100) {
        0..85 => "LLyyLLL",
        85..91 => "LdnnLLL",
        91 => "LLLdnnL",
        92..97 => "LLLdnnn",
        97..99 => "dnnnLL",
        _ => "LLdnnLL",
    };
    let year = [random.u8(2..=26), random.u8(51..=76)][random.usize(0..2)];
    let mut digits = [year / 10, year % 10].into_iter();
    for place in layout.bytes() {
        text.push(match place {
            b'L' => char::from(LETTERS[random.usize(0..LETTERS.len())]),
            b'y' => char::from(b'0' + digits.next().unwrap_or_default()),
            b'd' => random.char('1'..='9'),
            _ => random.char('0'..='9'),
        });
    }
    text
}

/// Writes a list of so many entries as CSV; gives every `each`th mark.
pub(super) fn list(out: impl Write, entries: u64, random: &mut Rng, each: u64) -> std::io::Result<Vec<String>> {
    const REASONS: [&str; 5] = ["stolen", "no insurance", "information", "cloned", "disqualified keeper"];
    const MAKES: [(&str, &str); 6] = [
        ("FORD", "FOCUS"),
        ("VAUXHALL", "CORSA"),
        ("VOLKSWAGEN", "GOLF"),
        ("BMW", "320D"),
        ("TOYOTA", "YARIS"),
        ("NISSAN", "QASHQAI"),
    ];
    const COLOURS: [&str; 6] = ["BLACK", "WHITE", "SILVER", "BLUE", "RED", "GREEN"];
    let mut out = std::io::BufWriter::with_capacity(1 << 20, out);
    let mut kept = Vec::new();
    writeln!(out, "vrm,reason,priority,action,make,model,colour,markers,source,added,confirmed,expires")?;
    for number in 0..entries {
        let mark = mark(random);
        let (make, model) = MAKES[random.usize(0..MAKES.len())];
        writeln!(
            out,
            "{mark},{},{},{},{make},{model},{},{},{:02}AB,2026-{:02}-{:02},2026-11-{:02},",
            REASONS[random.usize(0..REASONS.len())],
            ["high", "medium", "low"][random.usize(0..3)],
            ["STOP", "SILENT", ""][random.usize(0..3)],
            COLOURS[random.usize(0..COLOURS.len())],
            ["", "", "", "FI VI"][random.usize(0..4)],
            random.u32(1..60),
            random.u32(1..11),
            random.u32(1..29),
            random.u32(1..25),
        )?;
        if number % each == 0 {
            kept.push(mark);
        }
    }
    out.flush()?;
    Ok(kept)
}

/// A pattern of a mark: some places left open, sometimes an end cut off.
pub(super) fn pattern(random: &mut Rng) -> String {
    let mut text: Vec<u8> = mark(random).into_bytes();
    for _ in 0..random.usize(1..4) {
        let place = random.usize(0..text.len());
        text[place] = b'?';
    }
    match random.u32(0..4) {
        0 => text.insert(0, b'*'),
        1 => text.push(b'*'),
        2 => text[random.usize(1..6)] = b'*',
        _ => {}
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What the car's reader said of the characters of real plates: for each true character, what it took it for, with
/// probabilities. Nothing of it can be traced to a plate: characters are kept apart and sorted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Confusions {
    /// How many plates were read, and of how many a character was lost or added.
    pub(super) plates: u64,
    pub(super) lost: u64,
    pub(super) added: u64,
    /// By how sure the read was as a whole, the least sure first.
    pub(super) bands: Vec<Band>,
}

/// Reads that are about as sure as each other.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Band {
    pub(super) plates: u64,
    /// True character (shared glyphs as digits; `+` for one that is none), and what it was taken for.
    pub(super) samples: Vec<(char, Vec<(char, f32)>)>,
}

impl Confusions {
    /// Those that were measured with the reader that is part of this program; see docs/design/hotlist.md.
    pub(super) fn measured() -> Result<Self> {
        let known: Self = serde_json::from_str(include_str!("confusions.json"))
            .map_err(|error| Fault::new(Kind::Internal, "the measured confusions cannot be read").because(error))?;
        if known.bands.iter().all(|band| band.samples.is_empty()) {
            return Err(Fault::new(Kind::Internal, "no confusions have been measured")
                .remedy("Measure them with outrider bench confusions"));
        }
        Ok(known)
    }

    /// What the reader may make of a plate that says `mark`: characters drawn from those of one band, one lost or added as
    /// often as it was.
    pub(super) fn read(&self, mark: &str, random: &mut Rng) -> Read {
        let mut left = random.u64(0..self.plates.max(1));
        let band = self.bands.iter().find(|band| {
            let here = left < band.plates;
            left = left.saturating_sub(band.plates);
            here
        });
        let band = band.or(self.bands.last()).map_or(&[][..], |band| &band.samples[..]);
        let mut characters: Vec<Character> =
            plate::fold(mark).chars().map(|shown| self.character(shown, band, random)).collect();
        if random.u64(0..self.plates.max(1)) < self.lost {
            characters.remove(random.usize(0..characters.len()));
        }
        if random.u64(0..self.plates.max(1)) < self.added {
            let place = random.usize(0..=characters.len());
            characters.insert(place, self.character('+', band, random));
        }
        let text: String = characters.iter().map(|character| character.best().0).collect();
        let confidence = characters.iter().map(|character| character.of_glyph(character.best().0)).product();
        typed(&text, characters, confidence)
    }

    fn character(&self, shown: char, band: &[(char, Vec<(char, f32)>)], random: &mut Rng) -> Character {
        let of = |samples: &[(char, Vec<(char, f32)>)], random: &mut Rng| {
            let fitting: Vec<&Vec<(char, f32)>> =
                samples.iter().filter(|(truth, _)| *truth == shown).map(|(_, taken)| taken).collect();
            random.choice(fitting).cloned()
        };
        let taken = of(band, random).or_else(|| {
            // A character that no plate of this band has: from any band.
            let all: Vec<_> = self.bands.iter().flat_map(|band| band.samples.iter().cloned()).collect();
            of(&all, random)
        });
        let mut p = [0.0; plate::ALPHABET_SIZE];
        for (character, value) in taken.unwrap_or_else(|| vec![(shown, 0.9)]) {
            if let Some(number) = plate::index_of(character) {
                p[number] += value;
            }
        }
        Character { p }
    }
}
