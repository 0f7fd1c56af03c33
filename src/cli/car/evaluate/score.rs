//! Scores the plates read in labelled pictures, as the figures of the project are scored: what was found, what was read,
//! what was read that is not there, and whether the confidences mean what they say.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One line of a labels file.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Picture {
    pub(super) file: String,
    pub(super) plates: Vec<Label>,
    #[serde(default)]
    pub(super) split: Option<String>,
}

/// A labelled plate: its upright box in pixels, origin top left.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Label {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) w: f32,
    pub(super) h: f32,
    /// The VRM; `None` if nobody wrote it down.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// ISO-2.
    #[serde(default)]
    pub(super) country: Option<String>,
}

/// A plate as the unit gives it.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) confidence: f32,
    /// x, y, width, height in pixels.
    pub(super) bounds: [f32; 4],
}

/// Overlap from which a plate is found, and from which a read has to do with it at all.
const FOUND: f32 = 0.5;
const NEAR: f32 = 0.2;

/// What is counted of one group of plates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) plates: u32,
    pub(super) found: u32,
    pub(super) texts: u32,
    pub(super) read: u32,
    /// Read with 0 = O and 1 = I.
    pub(super) read_folded: u32,
}

/// How one labelled plate fared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fate {
    pub(super) found: bool,
    /// The label's text as A-Z and 0-9, empty if it has none.
    pub(super) wanted: String,
    /// The text of the plate given at this place, if one was.
    pub(super) got: Option<String>,
    pub(super) read: bool,
    pub(super) read_folded: bool,
}

/// All counts of an evaluation.
#[derive(Debug, Default)]
pub(super) struct Score {
    pub(super) pictures: u32,
    pub(super) all: Count,
    /// By kind of slice and its name.
    pub(super) slices: BTreeMap<(&'static str, String), Count>,
    /// Reads that belong to no labelled plate.
    pub(super) false_reads: u32,
    pub(super) sureness: Sureness,
}

/// Confidences of reads of labelled texts against how often they are right, in tenths.
#[derive(Debug, Default)]
pub(super) struct Sureness {
    reads: [u32; 10],
    right: [u32; 10],
    sum: [f64; 10],
}

impl Score {
    /// Takes in one picture; `slices` names the slices of each of its plates. Returns how each plate fared.
    pub(super) fn picture(
        &mut self,
        labels: &[Label],
        given: &[Given],
        slices: impl Fn(&Label) -> Vec<(&'static str, String)>,
    ) -> Vec<Fate> {
        let texts: Vec<String> = given.iter().map(|plate| letters(&plate.text)).collect();
        let mut used = vec![false; given.len()];
        let mut fates = Vec::new();
        for label in labels {
            let bounds = [label.x, label.y, label.w, label.h];
            let mut best: Option<(f32, usize)> = None;
            for (index, plate) in given.iter().enumerate() {
                let overlap = overlap(bounds, plate.bounds);
                if overlap >= NEAR {
                    used[index] = true;
                    if best.is_none_or(|(most, _)| overlap >= most) {
                        best = Some((overlap, index));
                    }
                }
            }
            let wanted = letters(label.text.as_deref().unwrap_or_default());
            let read = !wanted.is_empty() && texts.contains(&wanted);
            let read_folded = !wanted.is_empty() && texts.iter().any(|text| fold(text) == fold(&wanted));
            for (used, text) in used.iter_mut().zip(&texts) {
                *used |= !text.is_empty() && *text == wanted;
            }
            let fate = Fate {
                found: best.is_some_and(|(overlap, _)| overlap >= FOUND),
                got: best.map(|(_, index)| texts[index].clone()),
                read,
                read_folded,
                wanted,
            };
            if let Some((_, index)) = best
                && !fate.wanted.is_empty()
                && !texts[index].is_empty()
            {
                self.sureness.add(given[index].confidence, texts[index] == fate.wanted);
            }
            self.all.add(&fate);
            for slice in slices(label) {
                self.slices.entry(slice).or_default().add(&fate);
            }
            fates.push(fate);
        }
        self.pictures += 1;
        self.false_reads += texts.iter().zip(&used).filter(|(text, used)| !text.is_empty() && !**used).count() as u32;
        fates
    }
}

impl Count {
    fn add(&mut self, fate: &Fate) {
        self.plates += 1;
        self.found += u32::from(fate.found);
        self.texts += u32::from(!fate.wanted.is_empty());
        self.read += u32::from(fate.read);
        self.read_folded += u32::from(fate.read_folded);
    }
}

impl Sureness {
    fn add(&mut self, confidence: f32, right: bool) {
        let bin = ((confidence * 10.0) as usize).min(9);
        self.reads[bin] += 1;
        self.right[bin] += u32::from(right);
        self.sum[bin] += f64::from(confidence);
    }

    /// Expected calibration error: how far confidence and truth are apart, over tenths, weighed by their reads.
    pub(super) fn error(&self) -> Option<f64> {
        let all: u32 = self.reads.iter().sum();
        (all > 0).then(|| {
            let apart = self.sum.iter().zip(&self.right).map(|(sum, right)| (sum - f64::from(*right)).abs());
            apart.sum::<f64>() / f64::from(all)
        })
    }

    /// Each tenth that has reads: reads, mean confidence, share that is right.
    pub(super) fn curve(&self) -> impl Iterator<Item = (u32, f64, f64)> {
        (0..10).filter(|bin| self.reads[*bin] > 0).map(|bin| {
            let reads = f64::from(self.reads[bin]);
            (self.reads[bin], self.sum[bin] / reads, f64::from(self.right[bin]) / reads)
        })
    }
}

/// A-Z and 0-9 of a text, upper case.
fn letters(text: &str) -> String {
    text.chars().map(|c| c.to_ascii_uppercase()).filter(char::is_ascii_alphanumeric).collect()
}

fn fold(text: &str) -> String {
    crate::plate::fold(text)
}

/// Area of the intersection over area of the union of two boxes x, y, w, h.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let side = |i: usize| ((a[i] + a[i + 2]).min(b[i] + b[i + 2]) - a[i].max(b[i])).max(0.0);
    let common = side(0) * side(1);
    let union = a[2] * a[3] + b[2] * b[3] - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// Wilson's 95 % interval of a share.
pub(super) fn interval(hits: u32, of: u32) -> (f64, f64) {
    if of == 0 {
        return (0.0, 0.0);
    }
    let (z, n) = (1.96, f64::from(of));
    let p = f64::from(hits) / n;
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    ((middle - half) / scale, (middle + half) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(x: f32, text: Option<&str>) -> Label {
        Label { x, y: 0.0, w: 100.0, h: 20.0, text: text.map(Into::into), country: Some("GB".into()) }
    }

    fn given(x: f32, text: &str, confidence: f32) -> Given {
        Given { text: text.into(), confidence, bounds: [x, 0.0, 100.0, 20.0] }
    }

    #[test]
    fn every_way_a_plate_can_fare_is_counted() {
        let mut score = Score::default();
        let labels = [
            label(0.0, Some("AB12 CDE")),
            label(200.0, Some("XY0IABC")),
            label(400.0, None),
            label(600.0, Some("LOST1")),
        ];
        let reads = [
            given(10.0, "AB12CDE", 0.95),
            given(260.0, "XYO1ABC", 0.6),
            given(400.0, "WHAT", 0.5),
            given(900.0, "SH0P", 0.9),
            given(950.0, "", 0.0),
        ];
        let fates = score
            .picture(&labels, &reads, |label| vec![("side", if label.x < 300.0 { "left" } else { "right" }.into())]);
        assert_eq!(fates.iter().map(|fate| fate.found).collect::<Vec<_>>(), [true, false, true, false]);
        assert_eq!(score.all, Count { plates: 4, found: 2, texts: 3, read: 1, read_folded: 2 });
        assert_eq!(score.false_reads, 1, "only the shop sign is a read of nothing");
        assert_eq!(fates[1].got.as_deref(), Some("XYO1ABC"), "an overlap of a quarter is near");
        assert_eq!(score.slices[&("side", "left".into())].read_folded, 2);
    }

    #[test]
    fn a_text_read_at_another_place_is_read_and_not_false() {
        let mut score = Score::default();
        score.picture(&[label(0.0, Some("AB12CDE"))], &[given(500.0, "AB12CDE", 0.9)], |_| Vec::new());
        assert_eq!((score.all.read, score.all.found, score.false_reads), (1, 0, 0));
    }

    #[test]
    fn confidences_are_held_to_their_word() {
        let mut honest = Sureness::default();
        let mut boastful = Sureness::default();
        for index in 0..100 {
            honest.add(0.9, index % 10 != 0);
            boastful.add(0.9, index % 2 != 0);
        }
        assert!(honest.error().expect("reads") < 1e-6);
        assert!((boastful.error().expect("reads") - 0.4).abs() < 1e-6);
        assert_eq!(Sureness::default().error(), None);
    }

    #[test]
    fn the_interval_is_wilsons() {
        let (low, high) = interval(90, 100);
        assert!((low - 0.8256).abs() < 1e-3 && (high - 0.9448).abs() < 1e-3, "{low} {high}");
        assert_eq!(interval(0, 0), (0.0, 0.0));
    }
}
