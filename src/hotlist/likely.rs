//! What a read may mean: the texts that its looks allow, each with its probability.
//!
//! Reading gives, for every place of the text, a probability for everything it could be. A text of the same length has
//! the product of these. One character may also be lost, or one that is none be read: such a text has the product over
//! the places that remain, times what a loss or an addition costs. Nothing here knows which characters look alike: what
//! the looks allowed says it, for this plate and this light.

use super::index::Packed;
use super::traffic::Traffic;
use crate::plate::{self, ALPHABET_SIZE, LONGEST};
use crate::recognise::Character;

/// How often it reads one that is none; what a place says itself ("no character here") counts where it is more.
const ADDED: f32 = 0.002;
/// How likely the vehicle of an entry still goes about with that VRM: entries outlive vehicles, and are mistyped.
const ENTRY_LIVES: f32 = 0.5;
/// Steps of one search; a plate so doubtful that more are needed is searched less deeply.
const STEPS: usize = 20_000;
/// Texts below this share are not told.
const FAINT: f32 = 1e-3;

/// How a text differs in length from what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    /// It does not.
    None,
    /// Reading lost the text's character at this place.
    Lost(usize),
    /// Reading has one more, at this place of the read.
    Added(usize),
}

/// A text that the vehicle may bear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Likely {
    numbers: [u8; LONGEST],
    length: usize,
    pub(super) edit: Edit,
    likelihood: f32,
    /// Whether some list holds it.
    pub(super) listed: bool,
    /// Probability that the vehicle bears it, all others weighed against it.
    pub(super) share: f32,
}

impl Likely {
    /// How often reading loses one character of a plate, whichever.
    pub(super) const LOST: f32 = 0.02;

    pub(super) fn packed(&self) -> Packed {
        Packed::of_numbers(self.numbers())
    }

    pub(super) fn numbers(&self) -> &[u8] {
        &self.numbers[..self.length]
    }

    /// The text, shared glyphs written as digits.
    pub(super) fn text(&self) -> String {
        self.numbers().iter().map(|number| char::from(plate::ALPHABET[usize::from(*number)])).collect()
    }
}

/// What a read's characters say, shared glyphs taken together.
pub(super) struct Places {
    places: Vec<Place>,
    /// By place: the most that what is left of the text from there on can be worth.
    best_left: [f32; LONGEST + 1],
}

struct Place {
    p: [f32; ALPHABET_SIZE],
    /// Characters that are possible at all, likeliest first.
    order: [u8; ALPHABET_SIZE],
    possible: usize,
    /// Probability that there is no character.
    none: f32,
}

impl Places {
    /// `None` for characters that make no text.
    pub(super) fn of(characters: &[Character]) -> Option<Self> {
        if characters.is_empty() || characters.len() > LONGEST {
            return None;
        }
        let least = ADDED / characters.len() as f32;
        let places: Vec<Place> = characters.iter().map(|character| Place::of(character, least)).collect();
        let mut best_left = [1.0; LONGEST + 1];
        for (place, left) in places.iter().enumerate().rev() {
            best_left[place] = best_left[place + 1] * left.best().max(left.none);
        }
        Some(Self { places, best_left })
    }

    /// Probability of the folded character number `number` at `place`.
    pub(super) fn p(&self, place: usize, number: u8) -> f32 {
        self.places.get(place).map_or(0.0, |place| place.p[usize::from(number)])
    }

    /// Probability that there is no character at `place`.
    pub(super) fn none(&self, place: usize) -> f32 {
        self.places.get(place).map_or(0.0, |place| place.none)
    }

    /// The probability that the looks give to the likeliest text of the same length.
    pub(super) fn top(&self) -> f32 {
        self.places.iter().map(Place::best).product()
    }

    /// The texts that the vehicle may bear, each once, likeliest first; those that no list can make worth `least` are left
    /// out but counted against the others. `listed` says whether some list holds a text.
    pub(super) fn texts(&self, traffic: &Traffic, least: f32, listed: impl Fn(Packed) -> bool) -> Vec<Likely> {
        let mut top = Likely {
            numbers: [0; LONGEST],
            length: self.places.len(),
            edit: Edit::None,
            likelihood: self.top(),
            listed: false,
            share: 0.0,
        };
        for (number, place) in top.numbers.iter_mut().zip(&self.places) {
            *number = place.order[0];
        }
        if top.likelihood <= 0.0 {
            return Vec::new();
        }
        // Every other vehicle together weighs at least so much: a text below the floor cannot become `least` of it.
        let others = traffic.density(top.numbers()) * top.likelihood;
        let mut floor = (least.max(FAINT) / ENTRY_LIVES * others).min(0.5 * top.likelihood);
        let mut search = Search { places: self, floor, steps: 0, found: Vec::new() };
        loop {
            search.go(0, &mut Likely { length: 0, ..top }, 1.0, Edit::None);
            if search.steps < STEPS {
                break;
            }
            floor *= 8.0;
            search = Search { places: self, floor, steps: 0, found: Vec::new() };
        }
        let mut texts = search.found;
        if texts.is_empty() {
            texts.push(top);
        }
        // One text may come about in two ways, such as the loss of either of two equal neighbours.
        texts.sort_unstable_by_key(|text| (text.packed(), std::cmp::Reverse(text.likelihood.to_bits())));
        texts.dedup_by(|again, text| {
            let same = again.packed() == text.packed();
            if same {
                text.likelihood += again.likelihood;
            }
            same
        });
        let mut all = self.unseen(traffic, &top, &texts);
        for text in &mut texts {
            text.listed = listed(text.packed());
            let free = traffic.density(text.numbers());
            text.share = text.likelihood * if text.listed { ENTRY_LIVES.max(free) } else { free };
            // Lost and added characters of vehicles that no list holds are part of what is unseen already.
            if text.edit == Edit::None {
                all += text.share;
            } else if text.listed {
                all += text.share - text.likelihood * free;
            }
        }
        for text in &mut texts {
            text.share /= all.max(f32::MIN_POSITIVE);
        }
        // Of the texts of another length only the listed ones are of use: the others are part of what is unseen.
        texts.retain(|text| text.share >= FAINT && (text.listed || text.edit == Edit::None));
        texts.sort_unstable_by(|a, b| b.share.total_cmp(&a.share));
        texts
    }

    /// What vehicles weigh that the search did not name: those behind less likely characters of the same length, and
    /// those of which reading lost or added a character.
    fn unseen(&self, traffic: &Traffic, top: &Likely, seen: &[Likely]) -> f32 {
        let named: f32 = seen.iter().filter(|text| text.edit == Edit::None).map(|text| text.likelihood).sum();
        let mut all = (1.0 - named).max(0.0) * traffic.mean(top.length);
        let length = top.length;
        if length < LONGEST {
            let each = top.likelihood * lost(length);
            for gap in 0..=length {
                let mut longer = [0; LONGEST];
                longer[..gap].copy_from_slice(&top.numbers[..gap]);
                longer[gap + 1..=length].copy_from_slice(&top.numbers[gap..length]);
                for number in GLYPHS {
                    longer[gap] = number;
                    all += each * traffic.density(&longer[..=length]);
                }
            }
        }
        if length > 1 {
            for (gone, place) in self.places.iter().enumerate() {
                let mut shorter = [0; LONGEST];
                shorter[..gone].copy_from_slice(&top.numbers[..gone]);
                shorter[gone..length - 1].copy_from_slice(&top.numbers[gone + 1..length]);
                all += top.likelihood / place.best() * place.none * traffic.density(&shorter[..length - 1]);
            }
        }
        all
    }
}

/// The folded characters, by their numbers: all but O and I.
const GLYPHS: [u8; 34] = {
    let (mut glyphs, mut count, mut number) = ([0; 34], 0, 0);
    while count < 34 {
        if plate::ALPHABET[number as usize] != b'O' && plate::ALPHABET[number as usize] != b'I' {
            glyphs[count] = number;
            count += 1;
        }
        number += 1;
    }
    glyphs
};

/// Probability that one certain character was lost at one certain gap of a text of `length` characters.
fn lost(length: usize) -> f32 {
    Likely::LOST / ((length + 1) * GLYPHS.len()) as f32
}

impl Place {
    fn of(character: &Character, least_none: f32) -> Self {
        let mut p = [0.0f32; ALPHABET_SIZE];
        for (number, value) in character.p.iter().enumerate() {
            let folded = plate::index_of(plate::fold_char(char::from(plate::ALPHABET[number]))).unwrap_or(number);
            // What is not a number counts as impossible.
            p[folded] += if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
        }
        let sum: f32 = p.iter().sum();
        let mut order: [u8; ALPHABET_SIZE] = std::array::from_fn(|number| number as u8);
        order.sort_unstable_by(|a, b| p[usize::from(*b)].total_cmp(&p[usize::from(*a)]));
        let possible = order.iter().take_while(|number| p[usize::from(**number)] > 0.0).count();
        Self { p, order, possible, none: (1.0 - sum).clamp(least_none, 1.0) }
    }

    fn best(&self) -> f32 {
        self.p[usize::from(self.order[0])]
    }
}

struct Search<'a> {
    places: &'a Places,
    floor: f32,
    steps: usize,
    found: Vec<Likely>,
}

impl Search<'_> {
    /// Goes on from place `at` of the read with the beginning of a text that is worth `likelihood`.
    fn go(&mut self, at: usize, text: &mut Likely, likelihood: f32, edit: Edit) {
        self.steps += 1;
        let left = self.places.best_left[at];
        if self.steps >= STEPS || likelihood * left < self.floor {
            return;
        }
        let length = text.length;
        if edit == Edit::None && length < LONGEST && likelihood * lost(self.places.places.len()) * left >= self.floor {
            for number in GLYPHS {
                text.numbers[length] = number;
                text.length = length + 1;
                self.go(at, text, likelihood * lost(self.places.places.len()), Edit::Lost(length));
            }
            text.length = length;
        }
        let Some(place) = self.places.places.get(at) else {
            if length > 0 {
                self.found.push(Likely { edit, likelihood, ..*text });
            }
            return;
        };
        for number in &place.order[..place.possible] {
            let longer = likelihood * place.p[usize::from(*number)];
            if length == LONGEST || longer * self.places.best_left[at + 1] < self.floor {
                break;
            }
            text.numbers[length] = *number;
            text.length = length + 1;
            self.go(at + 1, text, longer, edit);
        }
        text.length = length;
        if edit == Edit::None {
            self.go(at + 1, text, likelihood * place.none, Edit::Added(at));
            text.length = length;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::traffic::Listed;
    use super::*;
    use proptest::prelude::*;

    /// Characters that say `text`, each with its alternatives and their probabilities.
    pub(crate) fn saying(text: &[&[(char, f32)]]) -> Vec<Character> {
        text.iter()
            .map(|place| {
                let mut p = [0.0; ALPHABET_SIZE];
                for (character, value) in *place {
                    p[plate::index_of(*character).expect("a character")] += value;
                }
                Character { p }
            })
            .collect()
    }

    fn sure(character: char) -> Vec<(char, f32)> {
        vec![(character, 0.999)]
    }

    fn characters(text: &str, doubt: Option<(usize, &[(char, f32)])>) -> Vec<Character> {
        let mut places: Vec<Vec<(char, f32)>> = text.chars().map(sure).collect();
        if let Some((place, alternatives)) = doubt {
            places[place] = alternatives.to_vec();
        }
        saying(&places.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn shares(characters: &[Character], listed: &[&str]) -> Vec<(String, f32)> {
        let listed: Vec<Packed> = listed.iter().filter_map(|text| Packed::of(text)).collect();
        Places::of(characters)
            .expect("a text")
            .texts(&Traffic::with_listed(&Listed::default()), 0.01, |packed| listed.contains(&packed))
            .iter()
            .map(|text| (text.text(), text.share))
            .collect()
    }

    fn share(characters: &[Character], listed: &[&str], of: &str) -> f32 {
        shares(characters, listed).iter().find(|(text, _)| *text == plate::fold(of)).map_or(0.0, |(_, share)| *share)
    }

    #[test]
    fn a_listed_text_weighs_more_than_one_that_may_not_exist() {
        let doubtful = characters("AB12CDE", Some((1, &[('B', 0.7), ('8', 0.299)])));
        // A812CDE is no UK layout: whatever is listed, the looks must make it much likelier.
        assert!(share(&doubtful, &["AB12CDE"], "AB12CDE") > 0.99);
        let doubtful = characters("AB12CDE", Some((5, &[('D', 0.6), ('O', 0.399)])));
        let alone = share(&doubtful, &["AB12COE"], "AB12COE");
        let both = share(&doubtful, &["AB12COE", "AB12CDE"], "AB12COE");
        assert!(alone > 0.7 && alone < 0.95, "{alone}");
        assert!((0.35..0.45).contains(&both), "two listed neighbours share by what the looks say: {both}");
        assert_eq!(share(&characters("AB12CDE", None), &["AB12COE"], "AB12COE"), 0.0, "a sure read is another vehicle");
    }

    #[test]
    fn one_lost_or_added_character_is_weighed() {
        // Six sure characters of no UK layout, of which a 1 may be lost.
        let lost = share(&characters("AB2CDE", None), &["AB12CDE"], "AB12CDE");
        assert!(lost > 0.01 && lost < 0.5, "{lost}");
        let added = characters("AB12ICDE", Some((4, &[('I', 0.4)])));
        assert!(share(&added, &["AB12CDE"], "AB12CDE") > 0.9);
        assert_eq!(shares(&added, &["AB12CDE"]).iter().filter(|(text, _)| text == "AB12CDE").count(), 1);
    }

    #[test]
    fn characters_that_say_nothing_or_too_much_break_nothing() {
        assert!(Places::of(&[]).is_none());
        assert!(Places::of(&vec![Character { p: [0.0; ALPHABET_SIZE] }; 13]).is_none());
        assert!(shares(&vec![Character { p: [0.0; ALPHABET_SIZE] }; 7], &[]).is_empty());
        assert!(shares(&vec![Character { p: [f32::NAN; ALPHABET_SIZE] }; 7], &[]).is_empty());
        let flat = vec![Character { p: [1.0 / 36.0; ALPHABET_SIZE] }; 12];
        assert!(shares(&flat, &["AB12CDE"]).iter().all(|(_, share)| share.is_finite()));
    }

    proptest! {
        #[test]
        fn shares_are_probabilities(rows in proptest::collection::vec(proptest::collection::vec((0usize..36, 0.0f32..1.0), 1..5), 1..9),
                                    listed in proptest::collection::vec("[A-Z0-9]{1,8}", 0..5)) {
            let characters: Vec<Character> = rows
                .iter()
                .map(|row| {
                    let sum: f32 = row.iter().map(|(_, p)| p).sum::<f32>() + 0.01;
                    let mut p = [0.0; ALPHABET_SIZE];
                    for (number, value) in row {
                        p[*number] += value / sum;
                    }
                    Character { p }
                })
                .collect();
            let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
            let shares = shares(&characters, &listed);
            let sum: f32 = shares.iter().map(|(_, share)| share).sum();
            prop_assert!(shares.iter().all(|(_, share)| (0.0..=1.0001).contains(share)) && sum <= 1.01, "{sum}");
        }
    }
}
