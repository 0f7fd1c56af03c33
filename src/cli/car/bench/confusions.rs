//! `outrider bench confusions`: what the reader takes characters for, measured on labelled photographs.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::made_up::{Band, Confusions};
use crate::capture;
use crate::fault::{Fault, Kind, Result};
use crate::plate;
use crate::recognise::{Models, StillPlate, Stills};

/// Below these confidences a read belongs to the band; the last has the rest.
const BANDS: [f32; 4] = [0.6, 0.9, 0.98, 2.0];
/// A read that is less sure is not put out by the car.
const LEAST: f32 = 0.3;
/// Alternatives that are less likely are not kept.
const FAINT: f32 = 2e-4;
/// How much of the union of two boxes must be common for one plate.
const OVERLAP: f32 = 0.3;

/// One picture of a set, as its labels have it.
#[derive(Deserialize)]
struct Labelled {
    file: String,
    plates: Vec<LabelledPlate>,
    split: String,
}

#[derive(Deserialize)]
struct LabelledPlate {
    x: f32,
    y: f32,
    w: f32,
    h: f32,
    text: Option<String>,
}

/// Reads the pictures of `split` in each set of labels and prints what was made of their characters.
pub(super) fn run(labels: &[PathBuf], split: &str) -> Result<()> {
    let mut stills = Stills::new(Models::load(None)?)?;
    let mut known = Confusions { bands: BANDS.iter().map(|_| Band::default()).collect(), ..Confusions::default() };
    for path in labels {
        let text = std::fs::read_to_string(path).map_err(|error| Fault::io("cannot read the labels", path, error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for (number, line) in text.lines().enumerate() {
            let labelled: Labelled = serde_json::from_str(line).map_err(|error| {
                Fault::new(Kind::Damaged, "not a line of labels")
                    .at(format!("{}:{}", path.display(), number + 1))
                    .because(error)
            })?;
            if labelled.split != split || labelled.plates.iter().all(|plate| plate.text.is_none()) {
                continue;
            }
            let found = stills.read(&capture::still(&folder.join(&labelled.file))?)?;
            for plate in &labelled.plates {
                let Some(truth) = &plate.text else { continue };
                let near =
                    found.iter().find(|found| overlap(found.bounds, [plate.x, plate.y, plate.w, plate.h]) > OVERLAP);
                if let Some(found) = near.filter(|found| found.confidence >= LEAST) {
                    count(&plate::fold(truth), found, &mut known);
                }
            }
        }
    }
    for band in &mut known.bands {
        // In an order that says nothing of which characters were on one plate.
        band.samples.sort_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| {
                let first = |taken: &[(char, f32)]| taken.first().map_or(0.0, |(_, p)| *p);
                first(&b.1).total_cmp(&first(&a.1))
            })
        });
    }
    println!("{}", serde_json::to_string(&known).unwrap_or_default());
    Ok(())
}

/// Lays the read beside the truth and keeps what each character was taken for.
fn count(truth: &str, found: &StillPlate, known: &mut Confusions) {
    let truth: Vec<char> = truth.chars().collect();
    let read: Vec<char> = plate::fold(&found.raw).chars().collect();
    // Where the truth has no partner in the read, and the read none in the truth; at most one of either.
    let fits = |truth: &[char], read: &[char]| truth.iter().zip(read).filter(|(a, b)| a == b).count();
    let without = |text: &[char], place: usize| [&text[..place], &text[place + 1..]].concat();
    let (mut lost, mut added) = (None, None);
    if truth.len() == read.len() + 1 {
        lost = (0..truth.len()).max_by_key(|place| fits(&without(&truth, *place), &read));
    } else if truth.len() + 1 == read.len() {
        added = (0..read.len()).max_by_key(|place| fits(&truth, &without(&read, *place)));
    } else if truth.len() != read.len() {
        return;
    }
    let mut left = truth.clone();
    if let Some(place) = lost {
        left.remove(place);
    }
    if let Some(place) = added {
        left.insert(place, '+');
    }
    // A read of something else on the vehicle is no confusion of characters.
    if fits(&left, &read) * 2 < read.len() {
        return;
    }
    let Some(band) = BANDS.iter().position(|below| found.confidence < *below) else { return };
    known.plates += 1;
    known.lost += u64::from(lost.is_some());
    known.added += u64::from(added.is_some());
    known.bands[band].plates += 1;
    for (shown, character) in left.into_iter().zip(&found.characters) {
        let mut taken: Vec<(char, f32)> = Vec::new();
        for (number, p) in character.p.iter().enumerate() {
            let glyph = plate::fold_char(char::from(plate::ALPHABET[number]));
            match taken.iter_mut().find(|(known, _)| *known == glyph) {
                Some((_, sum)) => *sum += p,
                None => taken.push((glyph, *p)),
            }
        }
        taken.retain(|(_, p)| *p >= FAINT);
        taken.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (_, p) in &mut taken {
            *p = (*p * 1e4).round() / 1e4;
        }
        known.bands[band].samples.push((shown, taken));
    }
}

/// The common part of two boxes over all of both.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let side = |at: usize| ((a[at] + a[at + 2]).min(b[at] + b[at + 2]) - a[at].max(b[at])).max(0.0);
    let common = side(0) * side(1);
    common / (a[2] * a[3] + b[2] * b[3] - common).max(1.0)
}
