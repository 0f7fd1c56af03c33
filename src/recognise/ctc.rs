//! What the reader saw of one plate, as probabilities along the text (connectionist temporal classification), and
//! what can be asked of it: the likeliest texts, the probability of a given text, where its characters are.
//!
//! Texts are kept as classes in which 0 and O are one, and 1 and I, because the UK font draws them alike; which of the
//! two a place shows is a separate question, asked last ([`Posterior::split`]).

use crate::plate::{ALPHABET_SIZE, LONGEST};

/// Channels of the reader's result: blank, then the alphabet.
pub(super) const CHANNELS: usize = ALPHABET_SIZE + 1;
/// Channel of blank.
const BLANK: usize = 0;
/// Channels that share a glyph: (the one that is kept, the one that is folded into it).
const SHARED: [(usize, usize); 2] = [(channel_of(b'0'), channel_of(b'O')), (channel_of(b'1'), channel_of(b'I'))];
/// Characters less likely than this at a position do not start a branch of the search.
const FAINT: f32 = 8e-3;
/// Prefixes that the search keeps.
const BEAM: usize = 8;

const fn channel_of(character: u8) -> usize {
    1 + if character <= b'9' { (character - b'0') as usize } else { (character - b'A') as usize + 10 }
}

/// A text as channels, with 0/O and 1/I folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Text {
    channels: [u8; LONGEST],
    len: u8,
}

impl Text {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn channels(&self) -> &[u8] {
        &self.channels[..self.len()]
    }

    fn pushed(mut self, channel: usize) -> Option<Self> {
        let len = self.len();
        *self.channels.get_mut(len)? = channel as u8;
        self.len += 1;
        Some(self)
    }

    fn last(&self) -> usize {
        self.channels().last().map_or(BLANK, |c| usize::from(*c))
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        crate::plate::fold(text).bytes().fold(Self::default(), |t, b| t.pushed(channel_of(b)).expect("short enough"))
    }
}

/// Buffers that [`Posterior::search`] and [`Posterior::places`] keep from look to look.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Prefixes, each with the probability of ending in a blank and of ending in its last character.
    beam: Vec<(Text, f32, f32)>,
    next: Vec<(Text, f32, f32)>,
    /// For each position, the state that the likeliest path into each state comes from.
    from: Vec<[u8; 2 * LONGEST + 1]>,
}

/// Probabilities along one plate's text.
#[derive(Debug, Clone, Default)]
pub(super) struct Posterior {
    /// One row a position; each sums to 1. The folded channels hold 0.
    steps: Vec<[f32; CHANNELS]>,
    /// The share of the letter in its shared glyph (O in 0/O, I in 1/I) at each position.
    letter: Vec<[f32; 2]>,
}

impl Posterior {
    /// Takes over the reader's logits (positions x [`CHANNELS`]), softened by `temperature`.
    pub(super) fn set(&mut self, logits: &[f32], temperature: f32) {
        self.steps.clear();
        self.letter.clear();
        for row in logits.chunks_exact(CHANNELS) {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut step = [0.0; CHANNELS];
            let mut sum = 0.0;
            for (p, logit) in step.iter_mut().zip(row) {
                *p = ((logit - top) / temperature).exp();
                sum += *p;
            }
            for p in &mut step {
                *p /= sum;
            }
            let mut shares = [0.0; 2];
            for (share, (digit, letter)) in shares.iter_mut().zip(SHARED) {
                let both = step[digit] + step[letter];
                *share = if both > 0.0 { step[letter] / both } else { 0.0 };
                step[digit] = both;
                step[letter] = 0.0;
            }
            self.steps.push(step);
            self.letter.push(shares);
        }
    }

    /// The likeliest texts with the logarithms of their probabilities, best first, into `best`.
    pub(super) fn search(&self, best: &mut Vec<(Text, f32)>, scratch: &mut Scratch) {
        let Scratch { beam, next, .. } = scratch;
        beam.clear();
        beam.push((Text::default(), 1.0, 0.0));
        let mut scale = 0.0f32;
        for step in &self.steps {
            next.clear();
            let mut give = |text: Text, blank: f32, glyph: f32| match next.iter_mut().find(|(t, ..)| *t == text) {
                Some(entry) => {
                    entry.1 += blank;
                    entry.2 += glyph;
                }
                None => next.push((text, blank, glyph)),
            };
            for (text, blank, glyph) in beam.iter() {
                let last = text.last();
                give(*text, (blank + glyph) * step[BLANK], if last == BLANK { 0.0 } else { glyph * step[last] });
                for (channel, p) in step.iter().enumerate().skip(1) {
                    if *p < FAINT {
                        continue;
                    }
                    let from = if channel == last { *blank } else { blank + glyph };
                    if from > 0.0
                        && let Some(longer) = text.pushed(channel)
                    {
                        give(longer, 0.0, from * p);
                    }
                }
            }
            next.sort_unstable_by(|a, b| (b.1 + b.2).total_cmp(&(a.1 + a.2)));
            next.truncate(BEAM);
            let total: f32 = next.iter().map(|(_, b, g)| b + g).sum();
            if total <= 0.0 {
                break;
            }
            scale += total.ln();
            beam.clear();
            beam.extend(next.iter().map(|(t, b, g)| (*t, b / total, g / total)));
        }
        best.clear();
        best.extend(beam.iter().map(|(text, b, g)| (*text, (b + g).max(f32::MIN_POSITIVE).ln() + scale)));
    }

    /// The logarithm of the probability that the plate says exactly `text`.
    pub(super) fn score(&self, text: &Text) -> f32 {
        let states = 2 * text.len() + 1;
        let mut alpha = [0.0f32; 2 * LONGEST + 1];
        let mut log = 0.0f32;
        let glyph = |state: usize| if state % 2 == 1 { usize::from(text.channels[state / 2]) } else { BLANK };
        for (t, step) in self.steps.iter().enumerate() {
            if t == 0 {
                alpha[0] = step[BLANK];
                if states > 1 {
                    alpha[1] = step[glyph(1)];
                }
            } else {
                for state in (0..states).rev() {
                    let mut sum = alpha[state];
                    if state > 0 {
                        sum += alpha[state - 1];
                    }
                    if state > 1 && state % 2 == 1 && glyph(state) != glyph(state - 2) {
                        sum += alpha[state - 2];
                    }
                    alpha[state] = sum * step[glyph(state)];
                }
            }
            let total: f32 = alpha[..states].iter().sum();
            if total < 1e-30 {
                return f32::NEG_INFINITY;
            }
            log += total.ln();
            for value in &mut alpha[..states] {
                *value /= total;
            }
        }
        let end = alpha[states - 1] + if states > 1 { alpha[states - 2] } else { 0.0 };
        end.max(f32::MIN_POSITIVE).ln() + log
    }

    /// The position at which each character of `text` shows most clearly, along the likeliest path, into `places`.
    pub(super) fn places(&self, text: &Text, places: &mut Vec<usize>, scratch: &mut Scratch) {
        places.clear();
        let states = 2 * text.len() + 1;
        let steps = self.steps.len();
        if steps < text.len() || text.len() == 0 {
            places.resize(text.len(), 0);
            return;
        }
        let glyph = |state: usize| if state % 2 == 1 { usize::from(text.channels[state / 2]) } else { BLANK };
        let mut value = [f32::NEG_INFINITY; 2 * LONGEST + 1];
        let from = &mut scratch.from;
        from.clear();
        from.resize(steps, [0u8; 2 * LONGEST + 1]);
        let log = |t: usize, state: usize| self.steps[t][glyph(state)].max(1e-12).ln();
        value[0] = log(0, 0);
        value[1] = log(0, 1);
        for (t, from) in from.iter_mut().enumerate().skip(1) {
            for state in (0..states).rev() {
                let mut origin = state;
                if state > 0 && value[state - 1] > value[origin] {
                    origin = state - 1;
                }
                if state > 1 && state % 2 == 1 && glyph(state) != glyph(state - 2) && value[state - 2] > value[origin] {
                    origin = state - 2;
                }
                from[state] = origin as u8;
                value[state] = value[origin] + log(t, state);
            }
        }
        let mut state = if value[states - 2] > value[states - 1] { states - 2 } else { states - 1 };
        places.resize(text.len(), usize::MAX);
        for t in (0..steps).rev() {
            if state % 2 == 1 {
                let place = &mut places[state / 2];
                if *place == usize::MAX || self.steps[t][glyph(state)] > self.steps[*place][glyph(state)] {
                    *place = t;
                }
            }
            state = usize::from(from[t][state]);
        }
        for place in places.iter_mut().filter(|place| **place == usize::MAX) {
            *place = 0;
        }
    }

    /// Probabilities at a position; the letters that share a digit's glyph hold 0.
    pub(super) fn step(&self, place: usize) -> &[f32; CHANNELS] {
        &self.steps[place]
    }

    /// The share of O in 0/O and of I in 1/I at a position.
    pub(super) fn split(&self, place: usize) -> [f32; 2] {
        self.letter[place]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A posterior that says `text`, each character with probability `p`, the rest spread over `others`.
    pub(crate) fn saying(text: &str, p: f32, others: &str) -> Posterior {
        let mut logits = Vec::new();
        let mut row = |fill: &dyn Fn(&mut [f32])| {
            let mut step = [-12.0f32; CHANNELS];
            fill(&mut step);
            logits.extend(step);
        };
        for character in text.bytes() {
            row(&|step| step[BLANK] = 0.0);
            row(&|step| {
                step[channel_of(character)] = p.ln();
                for other in others.bytes() {
                    step[channel_of(other)] = ((1.0 - p) / others.len() as f32).ln();
                }
            });
            row(&|step| step[BLANK] = 0.0);
        }
        let mut posterior = Posterior::default();
        posterior.set(&logits, 1.0);
        posterior
    }

    #[test]
    fn the_likeliest_text_comes_first_with_its_probability() {
        let posterior = saying("AB12CDE", 0.9, "8X");
        let mut best = Vec::new();
        posterior.search(&mut best, &mut Scratch::default());
        assert_eq!(best[0].0, Text::of("AB12CDE"));
        assert!((best[0].1 - 7.0 * 0.9f32.ln()).abs() < 0.01, "{}", best[0].1);
        for (text, log) in &best {
            assert!((posterior.score(text) - log).abs() < 0.2, "search and score agree");
        }
    }

    #[test]
    fn a_doubled_character_needs_a_gap_and_gets_it() {
        let posterior = saying("AA11", 0.95, "7");
        let mut best = Vec::new();
        posterior.search(&mut best, &mut Scratch::default());
        assert_eq!(best[0].0, Text::of("AA11"));
        let mut places = Vec::new();
        posterior.places(&best[0].0, &mut places, &mut Scratch::default());
        assert_eq!(places, [1, 4, 7, 10]);
    }

    #[test]
    fn shared_glyphs_are_one_class_and_their_share_is_kept() {
        let posterior = saying("O1", 0.7, "0I");
        let mut best = Vec::new();
        posterior.search(&mut best, &mut Scratch::default());
        assert_eq!(best[0].0, Text::of("01"));
        assert!(posterior.split(1)[0] > 0.7 && posterior.split(4)[1] < 0.3);
    }

    #[test]
    fn probabilities_of_all_short_texts_sum_to_one() {
        let posterior = saying("7B", 0.6, "1");
        let mut sum = posterior.score(&Text::default()).exp();
        for a in crate::plate::ALPHABET {
            if matches!(a, b'O' | b'I') {
                continue;
            }
            let one = Text::of(&(a as char).to_string());
            sum += posterior.score(&one).exp();
            for b in crate::plate::ALPHABET {
                if !matches!(b, b'O' | b'I') {
                    sum += posterior.score(&Text::of(&format!("{}{}", a as char, b as char))).exp();
                }
            }
        }
        assert!((sum - 1.0).abs() < 0.01, "{sum}");
    }
}
