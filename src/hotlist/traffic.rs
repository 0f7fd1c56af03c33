//! What other vehicles there are: how likely a text is a real vehicle's VRM before anybody has looked.
//!
//! "This vehicle is the listed one" has to be weighed against "it is some other vehicle". A text of the current UK
//! layout is borne by a vehicle about one time in ten, a text that no layout fits hardly ever: a read that could be
//! either is the more likely the listed one, the emptier the space of VRMs around it is.

use crate::plate::{Layout, PATTERNS};

/// The kinds of text that differ in how many vehicles bear one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A UK layout.
    Laid(Layout),
    /// Laid out like the current marks, but of a half-year or with a letter that was never issued.
    Unissued,
    /// No UK layout: foreign, or no plate at all.
    Other,
}

const CLASSES: usize = 9;

impl Class {
    const ALL: [Self; CLASSES] = [
        Self::Laid(Layout::Current),
        Self::Laid(Layout::Prefix),
        Self::Laid(Layout::Suffix),
        Self::Laid(Layout::LettersFirst),
        Self::Laid(Layout::DigitsFirst),
        Self::Laid(Layout::Diplomatic),
        Self::Laid(Layout::Military),
        Self::Unissued,
        Self::Other,
    ];

    /// Its place in [`Self::ALL`].
    fn index(self) -> usize {
        match self {
            Self::Laid(layout) => layout as usize,
            Self::Unissued => CLASSES - 2,
            Self::Other => CLASSES - 1,
        }
    }

    /// Vehicles on UK roads of this class, in thousands, and how many texts the class has, in thousands. The texts are
    /// counted from the layouts; the vehicles are estimates from the age of the fleet, good to a factor of two, which
    /// moves a probability of one half by some fifteen points.
    fn fleet(self) -> (f32, f32) {
        match self {
            Self::Laid(Layout::Current) => (35_000.0, 373_000.0),
            Self::Laid(Layout::Prefix) => (2_500.0, 255_000.0),
            Self::Laid(Layout::Suffix) => (200.0, 243_000.0),
            Self::Laid(Layout::LettersFirst) => (1_500.0, 150_000.0),
            Self::Laid(Layout::DigitsFirst) => (500.0, 50_000.0),
            Self::Laid(Layout::Diplomatic) => (5.0, 2_000.0),
            Self::Laid(Layout::Military) => (50.0, 45_000.0),
            Self::Unissued => (50.0, 500_000.0),
            Self::Other => (400.0, 1_000_000.0),
        }
    }
}

/// The half-years of current marks that have not been issued are few and change twice a year; 27 to 50 and 77 to 99 are
/// those of November 2026. A mark issued later counts as rare until this is moved on, not as impossible.
const NOT_YET: [std::ops::RangeInclusive<u8>; 2] = [27..=50, 77..=99];

/// How likely a text that no list holds is some vehicle's VRM, by class.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    free: [f32; CLASSES],
}

impl Traffic {
    /// Traffic in which the lists hold `listed` VRMs of each class: what is listed is not free any more.
    pub(super) fn with_listed(listed: &Listed) -> Self {
        let mut free = [0.0; CLASSES];
        for ((free, class), listed) in free.iter_mut().zip(Class::ALL).zip(listed.0) {
            let (vehicles, texts) = class.fleet();
            // Lists overlap and hold vehicles that are gone: some free ones remain in any case.
            let listed = (listed / 1000.0).min(0.9 * vehicles);
            *free = (vehicles - listed) / (texts - listed);
        }
        Self { free }
    }

    /// How likely some vehicle bears this text, given that no list holds it.
    pub(super) fn density(&self, numbers: &[u8]) -> f32 {
        self.free[class(numbers).index()]
    }

    /// A mean over the texts of `length` characters that a misreading may lead to.
    pub(super) fn mean(&self, length: usize) -> f32 {
        match length {
            7 => 0.5 * self.free[Class::Laid(Layout::Current).index()],
            _ => self.free[Class::Laid(Layout::LettersFirst).index()],
        }
    }
}

/// How many VRMs of each class are listed.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed([f32; CLASSES]);

impl Listed {
    /// Adds what another list holds.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// Counts one VRM that stands for `weight` of its kind.
    pub(super) fn count(&mut self, numbers: &[u8], weight: f32) {
        self.0[class(numbers).index()] += weight;
    }
}

/// The likeliest class of a text of folded characters, numbered as in the alphabet.
pub(super) fn class(numbers: &[u8]) -> Class {
    let (mut letters, mut digits) = (0u16, 0u16);
    for (place, number) in numbers.iter().enumerate() {
        letters |= u16::from(*number >= 10 || *number <= 1) << place;
        digits |= u16::from(*number < 10) << place;
    }
    let mut unissued = false;
    for (layout, pattern) in PATTERNS {
        if pattern.len() != numbers.len() {
            continue;
        }
        let wanted = pattern.bytes().enumerate().fold(0u16, |mask, (place, c)| mask | u16::from(c == b'A') << place);
        let all = (1u16 << numbers.len()) - 1;
        if letters & wanted != wanted || digits & (all & !wanted) != all & !wanted {
            continue;
        }
        let fits = match layout {
            Layout::Current => issued(numbers),
            Layout::Prefix => has_year(numbers[0]) && numbers[1] != 0,
            Layout::Suffix => has_year(numbers[numbers.len() - 1]) && numbers[3] != 0,
            Layout::DigitsFirst => numbers[0] != 0,
            Layout::Diplomatic => matches!(numbers[3], D | X),
            Layout::LettersFirst | Layout::Military => true,
        };
        if fits {
            return Class::Laid(*layout);
        }
        unissued |= *layout == Layout::Current;
    }
    if unissued { Class::Unissued } else { Class::Other }
}

// Letters by their numbers in the alphabet; a letter I or O reads as 1 or 0.
const I: u8 = 1;
const O: u8 = 0;
const D: u8 = 13;
const Q: u8 = 26;
const U: u8 = 30;
const X: u8 = 33;
const Z: u8 = 35;

fn issued(numbers: &[u8]) -> bool {
    let year = numbers[2] * 10 + numbers[3];
    !numbers[..2].iter().any(|n| matches!(*n, I | Q | Z))
        && !numbers[4..].iter().any(|n| matches!(*n, I | Q))
        && !matches!(year, 0 | 1)
        && !NOT_YET.iter().any(|years| years.contains(&year))
}

fn has_year(letter: u8) -> bool {
    !matches!(letter, I | O | U | Z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plate;

    fn numbers(text: &str) -> Vec<u8> {
        text.chars().map(|c| plate::index_of(plate::fold_char(c)).expect("a character") as u8).collect()
    }

    #[test]
    fn texts_are_told_apart_by_layout() {
        for (text, expected) in [
            ("AB12CDE", Class::Laid(Layout::Current)),
            ("ABO2COE", Class::Laid(Layout::Current)),
            ("AB99CDE", Class::Unissued),
            ("ZB12CDE", Class::Unissued),
            ("A123BCD", Class::Laid(Layout::Prefix)),
            ("Q123BCD", Class::Laid(Layout::Prefix)),
            ("ABC123D", Class::Laid(Layout::Suffix)),
            ("JIL1234", Class::Laid(Layout::LettersFirst)),
            ("1234AB", Class::Laid(Layout::DigitsFirst)),
            ("101D123", Class::Laid(Layout::Diplomatic)),
            ("AB12CD", Class::Laid(Layout::Military)),
            ("AB123CD", Class::Other),
            ("BUSES", Class::Other),
        ] {
            assert_eq!(class(&numbers(text)), expected, "{text}");
        }
    }

    #[test]
    fn every_class_has_a_place_of_its_own() {
        for (place, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), place, "{class:?}");
        }
    }

    #[test]
    fn what_is_listed_is_not_free() {
        let empty = Traffic::with_listed(&Listed::default());
        let mut listed = Listed::default();
        listed.count(&numbers("AB12CDE"), 5e6);
        let dense = Traffic::with_listed(&listed);
        let text = numbers("AB13CDE");
        assert!(dense.density(&text) < empty.density(&text) && dense.density(&text) > 0.05);
        assert_eq!(dense.density(&numbers("A123BCD")), empty.density(&numbers("A123BCD")));
        assert!(empty.density(&numbers("AB123CD")) < 0.01 * empty.density(&text));
        listed.count(&numbers("AB12CDE"), 1e12);
        assert!(Traffic::with_listed(&listed).density(&text) > 0.0, "a list never has every vehicle");
    }
}
