//! Many looks, one text.
//!
//! Every look judges every candidate text by the probability that the reader's result gives it. Scores add up as
//! logarithms, each look weighed by what it can be trusted for, and none may speak against a candidate louder than
//! [`LOUDEST`]: one bad look cannot overrule a consensus. Neighbouring frames share their errors, so that n looks count
//! as fewer than n independent ones.

use super::ctc::{CHANNELS, Posterior, Scratch, Text};
use super::read::Character;
use crate::plate::{self, ALPHABET, ALPHABET_SIZE};

/// The most that one look's probability of a candidate can lower its score, as a logarithm.
const LOUDEST: f32 = -9.0;
/// What a further look adds, the first counting 1.
const FURTHER: f32 = 0.45;
/// Texts of this many characters or fewer are badges and numbers, not plates.
const SHORTEST: usize = 1;
/// Looks that are kept.
const LOOKS: usize = 16;
/// Candidates that are kept.
const CANDIDATES: usize = 24;

/// The looks of one vehicle and the texts that they may mean.
#[derive(Debug, Default)]
pub(super) struct Fusion {
    looks: Vec<Evidence>,
    spare: Vec<Evidence>,
    candidates: Vec<Text>,
    /// [`head_start`] of each candidate.
    head_starts: Vec<f32>,
    best: Vec<(Text, f32)>,
    places: Vec<usize>,
    scratch: Scratch,
    added: u32,
}

/// One look.
#[derive(Debug, Default)]
struct Evidence {
    posterior: Posterior,
    weight: f32,
    /// Logarithm of the probability of each candidate.
    scores: Vec<f32>,
    /// The text that this look alone would give.
    own: Text,
}

/// What the looks say together.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// The text with 0/O and 1/I as they were seen.
    pub(super) raw: String,
    /// The text with 0/O and 1/I as the UK layout has them.
    pub(super) text: String,
    /// Probability that it is right.
    pub(super) confidence: f32,
    /// One for each character of `raw`.
    pub(super) characters: Vec<Character>,
    /// Looks that say the same by themselves.
    pub(super) agreeing: u32,
}

impl Fusion {
    /// Looks so far, also those that are no longer kept.
    pub(super) fn looks(&self) -> u32 {
        self.added
    }

    /// Adds a look that `tell` writes; `weight` is 0 to 1.
    pub(super) fn add(&mut self, weight: f32, tell: impl FnOnce(&mut Posterior)) {
        let mut evidence = self.spare.pop().unwrap_or_default();
        tell(&mut evidence.posterior);
        evidence.weight = weight;
        evidence.posterior.search(&mut self.best, &mut self.scratch);
        evidence.own = self.best.first().map_or(Text::default(), |(text, _)| *text);
        evidence.scores.clear();
        for candidate in &self.candidates {
            evidence.scores.push(evidence.posterior.score(candidate));
        }
        self.added += 1;
        self.looks.push(evidence);
        if self.looks.len() > LOOKS {
            self.forget_a_look();
        }
        for index in 0..self.best.len().min(4) {
            let (text, _) = self.best[index];
            if text.len() > SHORTEST && !self.candidates.contains(&text) {
                self.consider(text);
            }
        }
    }

    /// Forgets all looks.
    pub(super) fn clear(&mut self) {
        self.spare.append(&mut self.looks);
        self.candidates.clear();
        self.head_starts.clear();
        self.added = 0;
    }

    /// Lets go of the look that weighs least, the oldest of equals.
    fn forget_a_look(&mut self) {
        let mut least = 0;
        for (index, look) in self.looks.iter().enumerate() {
            if look.weight < self.looks[least].weight {
                least = index;
            }
        }
        let gone = self.looks.remove(least);
        self.spare.push(gone);
    }

    /// Takes up a candidate, in place of the least likely one if there are too many.
    fn consider(&mut self, text: Text) {
        let index = if self.candidates.len() < CANDIDATES {
            self.candidates.push(text);
            self.head_starts.push(head_start(&text));
            self.candidates.len() - 1
        } else {
            let mut worst = (0, f32::INFINITY);
            for index in 0..self.candidates.len() {
                let score = self.sum(index);
                if score < worst.1 {
                    worst = (index, score);
                }
            }
            self.candidates[worst.0] = text;
            self.head_starts[worst.0] = head_start(&text);
            worst.0
        };
        for look in &mut self.looks {
            let score = look.posterior.score(&text);
            match look.scores.get_mut(index) {
                Some(slot) => *slot = score,
                None => look.scores.push(score),
            }
        }
    }

    /// A candidate's score over all looks.
    fn sum(&self, candidate: usize) -> f32 {
        self.looks.iter().map(|look| look.weight * softened(look.scores[candidate])).sum()
    }

    /// What the looks say together; `None` while no look shows a text.
    pub(super) fn verdict(&mut self) -> Option<Verdict> {
        let total: f32 = self.looks.iter().map(|look| look.weight).sum();
        if self.candidates.is_empty() || total <= 0.0 {
            return None;
        }
        // Correlated looks: together they count as `worth` independent ones of weight 1.
        let heaviest = self.looks.iter().map(|look| look.weight).fold(0.0, f32::max);
        let worth = heaviest + FURTHER * (total - heaviest);
        let share = worth / total;
        let mut sums = [0.0f32; CANDIDATES];
        let mut top = 0;
        for index in 0..self.candidates.len() {
            sums[index] = self.sum(index) * share + self.head_starts[index];
            if sums[index] > sums[top] {
                top = index;
            }
        }
        let mass: f32 = sums[..self.candidates.len()].iter().map(|sum| (sum - sums[top]).exp()).sum();
        let text = self.candidates[top];
        let agreeing = self.looks.iter().filter(|look| look.own == text).count() as u32;
        let characters = self.characters(&text, share);
        let raw: String = characters.iter().map(|character| character.best().0).collect();
        // Texts that nobody proposed are left out of `mass` but not of the characters: the product over these is the
        // text's share among all texts of its length. The more doubtful of the two answers counts.
        let of_length: f32 =
            characters.iter().zip(raw.chars()).map(|(character, shown)| character.of_glyph(shown)).product();
        let text = if seen_so(&characters, &raw) { raw.clone() } else { plate::settle(&raw) };
        let confidence = weighed(of_length.min(1.0 / mass), &text);
        Some(Verdict { text, raw, confidence, characters, agreeing })
    }

    /// A probability for every character of `text`, all looks weighed.
    fn characters(&mut self, text: &Text, share: f32) -> Vec<Character> {
        let mut logs = vec![[0.0f32; CHANNELS]; text.len()];
        let mut letters = vec![[0.0f32; 2]; text.len()];
        let mut total = 0.0;
        for look in &self.looks {
            look.posterior.places(text, &mut self.places, &mut self.scratch);
            for ((log, letter), place) in logs.iter_mut().zip(&mut letters).zip(&self.places) {
                for (sum, p) in log.iter_mut().zip(look.posterior.step(*place)) {
                    *sum += look.weight * share * p.max(1e-4).ln();
                }
                for (sum, p) in letter.iter_mut().zip(look.posterior.split(*place)) {
                    *sum += look.weight * p;
                }
            }
            total += look.weight;
        }
        logs.iter()
            .zip(&letters)
            .zip(text.channels())
            .map(|((log, letter), channel)| {
                let top = log.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mass: f32 = log.iter().map(|v| (v - top).exp()).sum();
                let mut p = [0.0; ALPHABET_SIZE];
                for (index, value) in p.iter_mut().enumerate() {
                    *value = (log[index + 1] - top).exp() / mass;
                }
                for (digit, share) in letter.iter().enumerate() {
                    let letter = if digit == 0 { b'O' } else { b'I' };
                    let share = share / total;
                    let both = p[digit];
                    p[usize::from(letter - b'A') + 10] = both * share;
                    p[digit] = both * (1.0 - share);
                }
                debug_assert!(ALPHABET[usize::from(*channel) - 1].is_ascii_alphanumeric());
                Character { p }
            })
            .collect()
    }
}

/// What a text of a UK layout gains over one of no layout, as a logarithm. A car that patrols the UK sees one plate of another
/// country in some thirty and a misread text seldom has a layout, so that the true factor is in the hundreds; this one is weak
/// so that it decides between texts that the looks leave open, and never against what they show.
const UK_LAYOUT: f32 = 1.6;

/// What is known of a candidate before anything was seen.
fn head_start(text: &Text) -> f32 {
    let text: String = text.channels().iter().map(|channel| char::from(ALPHABET[usize::from(*channel) - 1])).collect();
    if plate::layout(&text).is_some() { UK_LAYOUT } else { 0.0 }
}

/// The odds that looks alone can give: what two networks say of something that is not a plate is worth no more.
const LOOKS_AT_BEST: f32 = 400.0;

/// Least share of a glyph at which it is taken to be the one of its pair that it looks like.
const SEEN_SO: f32 = 0.9;

/// Whether `raw` is to stand as it is although a UK layout would change it: it is another country's plate as it stands, where 0
/// and O differ in shape, and each glyph that would change was surely seen so. Never for one of the first two: most UK marks have
/// letters there, often an O, and how sure the reader is of its nought says too little (BO53 GTR on a drive). Behind them the
/// reader was that sure of no glyph, on 431 labelled UK plates and 180 passes, that a UK layout had to change.
fn seen_so(characters: &[Character], raw: &str) -> bool {
    const FIRST: usize = 2;
    let settled = plate::settle(raw);
    settled != raw
        && raw.get(..FIRST) == settled.get(..FIRST)
        && plate::lands(raw).next().is_some()
        && characters.iter().zip(raw.chars().zip(settled.chars())).all(|(character, (shown, meant))| {
            shown == meant || character.best().1 >= SEEN_SO * character.of_glyph(shown)
        })
}

/// A confidence weighed by how often plates look like `text` at all. It lowers the trust in signs, badges and numbers on
/// vans, and never changes what was seen: almost no plate of Europe is without a digit or without a letter, and few are
/// shorter than four characters. The factors are odds, chosen on the training photographs' reads of things that are no
/// plates.
fn weighed(confidence: f32, text: &str) -> f32 {
    // A nought may be an O and a one an I, unless the layout says which.
    let surely_digits = text.bytes().any(|c| matches!(c, b'2'..=b'9'));
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let uk = digits > 0 && plate::layout(text).is_some();
    let abroad = plate::lands(text).next().is_some();
    let kind = match text.len() {
        5 if digits == 5 => 0.01,
        all if all == digits => 0.001,
        _ if uk => 1.0,
        _ if abroad && surely_digits => 0.6,
        _ if abroad => 0.05,
        _ if surely_digits => 0.3,
        _ => 0.001,
    };
    let length = match text.len() {
        0..=3 => 0.02,
        4 => 0.1,
        5..=8 => 1.0,
        _ if abroad => 0.6,
        _ => 0.02,
    };
    let odds = (confidence / (1.0 - confidence).max(1e-6)).min(LOOKS_AT_BEST) * kind * length;
    odds / (1.0 + odds)
}

/// A logarithm of a probability that is never below [`LOUDEST`].
fn softened(log: f32) -> f32 {
    (log.exp() + LOUDEST.exp()).ln().min(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::ctc::tests::saying;
    use super::*;

    fn fused(looks: &[(&str, f32, &str, f32)]) -> Verdict {
        let mut fusion = Fusion::default();
        for (text, p, others, weight) in looks {
            let seen = saying(text, *p, others);
            fusion.add(*weight, |posterior| *posterior = seen);
        }
        fusion.verdict().expect("there are looks")
    }

    #[test]
    fn one_clear_look_is_enough() {
        let verdict = fused(&[("AB12CDE", 0.995, "8", 1.0)]);
        assert_eq!(verdict.text, "AB12CDE");
        assert!(verdict.confidence > 0.9, "{}", verdict.confidence);
    }

    #[test]
    fn a_single_contrary_look_does_not_overrule_a_consensus() {
        let same = ("AB12CDE", 0.9, "8", 1.0);
        let verdict = fused(&[same, same, same, ("A812CDE", 0.999, "B", 1.0), same]);
        assert_eq!(verdict.text, "AB12CDE");
        assert_eq!(verdict.agreeing, 4);
    }

    #[test]
    fn doubtful_looks_that_agree_make_a_sure_read() {
        let one = fused(&[("AB12CDE", 0.8, "8", 1.0)]).confidence;
        let many = fused(&[("AB12CDE", 0.8, "8", 1.0); 8]).confidence;
        assert!(one < 0.5 && many > 0.9, "{one} {many}");
    }

    #[test]
    fn what_was_forgotten_does_not_speak_against_a_clear_look() {
        let mut fusion = Fusion::default();
        let mut look = |text: &str, p: f32| fusion.add(1.0, |posterior| *posterior = saying(text, p, "8"));
        for text in ["HH1HAI", "4S432", "I1AH", "MM88HHW", "HI1HH"] {
            look(text, 0.7);
        }
        look("AB12CDE", 0.995);
        let before = fusion.verdict().expect("there are looks").confidence;
        fusion.clear();
        assert!(fusion.verdict().is_none() && fusion.looks() == 0);
        fusion.add(1.0, |posterior| *posterior = saying("AB12CDE", 0.995, "8"));
        let verdict = fusion.verdict().expect("there is a look");
        assert_eq!((verdict.text.as_str(), verdict.agreeing), ("AB12CDE", 1));
        assert!(verdict.confidence > 0.9 && before < 0.1, "{} after {before}", verdict.confidence);
    }

    #[test]
    fn shared_glyphs_are_settled_in_the_text_and_kept_in_raw() {
        let verdict = fused(&[("ABO2CDO", 0.9, "0I8", 1.0)]);
        assert_eq!(verdict.text, "AB02CDO");
        assert_eq!(verdict.raw, "ABO2CDO");
    }

    #[test]
    fn a_plate_of_another_country_keeps_the_glyphs_that_were_surely_seen() {
        let text = |raw: &str, p: f32, other: &str| fused(&[(raw, p, other, 1.0); 3]).text;
        assert_eq!(text("ER130VZ", 0.97, "8"), "ER130VZ", "French, and its nought is one");
        assert_eq!(text("ER130VZ", 0.6, "O"), "ER13OVZ", "who knows");
        assert_eq!(text("AB1OCDE", 0.97, "8"), "AB10CDE", "nobody else has such plates");
        assert_eq!(text("B053GTR", 0.97, "8"), "BO53GTR", "Romanian at most, and more likely British");
    }

    #[test]
    fn what_hardly_a_plate_says_is_trusted_less() {
        let sure = |text: &str| fused(&[(text, 0.999, "8", 1.0); 6]).confidence;
        assert!(sure("AB12CDE") > 0.99 && sure("HHAB123") > 0.98);
        assert!(sure("BUSES") < 0.5 && sure("292") < 0.1 && sure("EXPRESS") < 0.5 && sure("HARB0UR") < 0.5);
        assert!(sure("A1") > 0.5, "short marks exist");
        assert!(sure("WL1GJG") > 0.9 && sure("X052EH163") > 0.9 && sure("9953ZM76") > 0.9, "plates of other countries");
        assert!(sure("1234567890") < 0.1 && sure("EX1T") < 0.8);
    }

    #[test]
    fn many_looks_of_many_texts_stay_within_bounds() {
        let mut fusion = Fusion::default();
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let text: String = (0..7).map(|_| random.choice(ALPHABET.iter()).map_or('A', |c| *c as char)).collect();
            fusion.add(random.f32(), |posterior| *posterior = saying(&text, 0.7, "7"));
            let verdict = fusion.verdict().expect("there are looks");
            assert!((0.0..=1.0).contains(&verdict.confidence));
        }
        assert_eq!(fusion.looks(), 200);
        assert!(fusion.looks.len() <= LOOKS && fusion.candidates.len() <= CANDIDATES);
    }
}
