//! VRMs: the alphabet, what one glyph can stand for, and the layouts that UK plates follow.
//!
//! In the prescribed UK font `0` and `O` are one glyph, and so are `1` and `I`: only the layout tells
//! them apart. [`fold`] makes texts comparable whatever was chosen, [`settle`] chooses by layout.

mod abroad;

use std::fmt;

pub use abroad::lands;

/// Number of characters that a plate can show.
pub const ALPHABET_SIZE: usize = 36;
/// The characters, in the order in which recognition numbers them.
pub const ALPHABET: [u8; ALPHABET_SIZE] = *b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// The longest VRM that is stored; no country's plates have more characters.
pub const LONGEST: usize = 12;

/// The index of a character in [`ALPHABET`].
pub fn index_of(character: char) -> Option<usize> {
    match character {
        '0'..='9' => Some(character as usize - '0' as usize),
        'A'..='Z' => Some(character as usize - 'A' as usize + 10),
        _ => None,
    }
}

/// A vehicle registration mark: 1 to [`LONGEST`] characters of A-Z and 0-9, no spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrm(String);

/// Why a text is not a VRM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAVrm {
    /// Nothing is left once spaces and separators are taken away.
    #[error("it is empty")]
    Empty,
    /// More than [`LONGEST`] characters.
    #[error("it has {0} characters, more than {LONGEST}")]
    TooLong(usize),
    /// A character that no plate shows.
    #[error("it contains {0:?}, which no plate shows")]
    Foreign(char),
}

impl Vrm {
    /// Reads a VRM as people write it: case, spaces, hyphens and dots do not count.
    pub fn parse(text: &str) -> Result<Self, NotAVrm> {
        let mut vrm = String::with_capacity(text.len());
        for character in text.chars() {
            match character.to_ascii_uppercase() {
                ' ' | '\t' | '-' | '.' | '\u{a0}' => {}
                c if index_of(c).is_some() => vrm.push(c),
                c => return Err(NotAVrm::Foreign(c)),
            }
        }
        match vrm.len() {
            0 => Err(NotAVrm::Empty),
            n if n > LONGEST => Err(NotAVrm::TooLong(n)),
            _ => Ok(Self(vrm)),
        }
    }

    /// The characters, without spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The VRM with every glyph that can stand for two characters written as the digit.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

impl fmt::Display for Vrm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `text` with O as 0 and I as 1: equal for any two texts that one row of UK glyphs can stand for.
pub fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// O as 0, I as 1, everything else as it is.
pub fn fold_char(character: char) -> char {
    match character {
        'O' => '0',
        'I' => '1',
        other => other,
    }
}

/// A layout of UK plates, most common first. In the pattern `A` is a letter and `9` a digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// AB12 CDE, since September 2001.
    Current,
    /// A123 BCD, 1983 to 2001, and Q marks.
    Prefix,
    /// ABC 123D, 1963 to 1983.
    Suffix,
    /// Northern Ireland and other dateless marks: letters first (ABC 1234).
    LettersFirst,
    /// Dateless marks with the digits first (1234 AB).
    DigitsFirst,
    /// 101 D 123 and 101 X 123.
    Diplomatic,
    /// AB 12 CD and its orders.
    Military,
}

/// Every layout of UK plates as a pattern, likeliest first: the order decides when several fit.
/// Source: Display of Registration Marks Regulations 2001, schedule 3; the last two from common use.
pub(crate) const PATTERNS: &[(Layout, &str)] = &[
    (Layout::Current, "AA99AAA"),
    (Layout::Prefix, "A999AAA"),
    (Layout::Prefix, "A99AAA"),
    (Layout::Suffix, "AAA999A"),
    (Layout::LettersFirst, "AAA9999"),
    (Layout::LettersFirst, "AAA999"),
    (Layout::Suffix, "AAA99A"),
    (Layout::Prefix, "A9AAA"),
    (Layout::Suffix, "AAA9A"),
    (Layout::LettersFirst, "AA9999"),
    (Layout::DigitsFirst, "9999AA"),
    (Layout::DigitsFirst, "999AAA"),
    (Layout::LettersFirst, "AAA99"),
    (Layout::LettersFirst, "AAA9"),
    (Layout::LettersFirst, "AA999"),
    (Layout::LettersFirst, "AA99"),
    (Layout::LettersFirst, "AA9"),
    (Layout::LettersFirst, "A9999"),
    (Layout::LettersFirst, "A999"),
    (Layout::LettersFirst, "A99"),
    (Layout::LettersFirst, "A9"),
    (Layout::DigitsFirst, "99AAA"),
    (Layout::DigitsFirst, "9AAA"),
    (Layout::DigitsFirst, "999AA"),
    (Layout::DigitsFirst, "99AA"),
    (Layout::DigitsFirst, "9AA"),
    (Layout::DigitsFirst, "9999A"),
    (Layout::DigitsFirst, "999A"),
    (Layout::DigitsFirst, "99A"),
    (Layout::DigitsFirst, "9A"),
    (Layout::Diplomatic, "999A999"),
    (Layout::Military, "AA99AA"),
    (Layout::Military, "99AA99"),
];

/// What a glyph can stand for at a place that wants a letter (`A`) or a digit (`9`); `None` if it cannot.
fn cast(character: char, place: u8) -> Option<char> {
    match (place, character) {
        (b'A', '0') => Some('O'),
        (b'A', '1') => Some('I'),
        (b'9', 'O') => Some('0'),
        (b'9', 'I') => Some('1'),
        (b'A', c) if c.is_ascii_uppercase() => Some(c),
        (b'9', c) if c.is_ascii_digit() => Some(c),
        _ => None,
    }
}

/// Whether the letters of `text` may stand where `layout` has them. A weak test: it tells layouts apart, it
/// never refuses a read.
fn plausible(layout: Layout, text: &str) -> bool {
    let b = text.as_bytes();
    match layout {
        // The memory tag has no I, Q or Z, the last three no I or Q. Numbers that were never issued (00, 01, 50) are still
        // numbers.
        Layout::Current => !b[..2].iter().any(|c| b"IQZ".contains(c)) && !b[4..].iter().any(|c| b"IQ".contains(c)),
        // Year letters have no I, O, U or Z; serials have no leading nought; Q is "age unknown".
        Layout::Prefix => {
            !b"IOUZ".contains(&b[0]) && b[1] != b'0' && !b[b.len() - 3..].iter().any(|c| b"IQZ".contains(c))
        }
        Layout::Suffix => {
            !b"IOQUZ".contains(&b[b.len() - 1]) && b[3] != b'0' && !b[..3].iter().any(|c| b"IQZ".contains(c))
        }
        Layout::LettersFirst => b.iter().find(|c| c.is_ascii_digit()) != Some(&b'0') && !b"IQZ".contains(&b[0]),
        Layout::DigitsFirst => b[0] != b'0' && !b.iter().any(|c| b"Q".contains(c)),
        Layout::Diplomatic => b"DX".contains(&b[3]),
        // Rare, and its orders are many: it must not claim a shared glyph from a commoner layout.
        Layout::Military => !text.contains(['I', 'O', '0', '1']),
    }
}

/// The likeliest UK layout that the glyphs of `text` (no spaces) can stand for, and the text it gives.
pub fn layout(text: &str) -> Option<(Layout, String)> {
    let mut as_it_stands = None;
    for (layout, pattern) in PATTERNS {
        if pattern.len() != text.len() {
            continue;
        }
        let cast: Option<String> = text.chars().zip(pattern.bytes()).map(|(c, place)| cast(c, place)).collect();
        if let Some(settled) = cast {
            if plausible(*layout, &settled) {
                return Some((*layout, settled));
            }
            // A layout that was never issued this way settles nothing, but may name what is shown.
            if settled == text {
                as_it_stands.get_or_insert((*layout, settled));
            }
        }
    }
    as_it_stands
}

/// As [`layout`], for a text whose shared glyphs are settled: none where the text as it stands is another country's, and a UK
/// layout would have to change it. ER130VZ is French, and not ER13 OVZ.
fn layout_here(text: &str) -> Option<(Layout, String)> {
    layout(text).filter(|(_, settled)| settled == text || lands(text).next().is_none())
}

/// The country (ISO 3166-1 alpha-2) that a plate of this text is most likely from: the UK where a UK layout fits, whoever else
/// has it, because that is where the car patrols; another where only its layouts fit. To be shown, not to be held against a hit:
/// that is [`country`].
pub fn likely_country(text: &str) -> Option<&'static str> {
    if layout_here(text).is_some() {
        return Some("GB");
    }
    let mut lands = lands(text);
    let first = lands.next()?;
    lands.next().is_none().then_some(first)
}

/// The country that a plate of this text is from, as on its oval, where its layout tells: only the seven places of the
/// current, prefix and suffix marks do. The shorter and dateless layouts are those of other countries too (ABC 123 is
/// Swedish, B AB 1234 German), and a text of no UK layout may be a misread one.
pub fn country(text: &str) -> Option<&'static str> {
    match layout_here(text)? {
        (Layout::Current | Layout::Prefix | Layout::Suffix, settled) if settled.len() == 7 => Some("GB"),
        _ => None,
    }
}

/// `text` with 0/O and 1/I as its UK layout has them; unchanged where no UK layout fits.
pub fn settle(text: &str) -> String {
    layout(text).map_or_else(|| text.to_owned(), |(_, settled)| settled)
}

/// `text` spaced as a UK plate shows it; unchanged where no UK layout fits.
pub fn spaced(text: &str) -> String {
    let cut = match layout_here(text) {
        Some((Layout::Current, _)) => 4,
        Some((Layout::Prefix, _)) => text.len() - 3,
        Some((Layout::Suffix, _)) => 3,
        Some((Layout::LettersFirst, _)) => text.chars().take_while(char::is_ascii_uppercase).count(),
        Some((Layout::DigitsFirst, _)) => text.chars().take_while(char::is_ascii_digit).count(),
        Some((Layout::Diplomatic, _)) => return format!("{} {} {}", &text[..3], &text[3..4], &text[4..]),
        Some((Layout::Military, _)) => return format!("{} {} {}", &text[..2], &text[2..4], &text[4..]),
        None => return text.to_owned(),
    };
    format!("{} {}", &text[..cut], &text[cut..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_vrms_in_many_ways() {
        assert_eq!(Vrm::parse(" ab12-cde ").map(|v| v.to_string()), Ok("AB12CDE".into()));
        assert_eq!(Vrm::parse(" - "), Err(NotAVrm::Empty));
        assert_eq!(Vrm::parse("AB12?DE"), Err(NotAVrm::Foreign('?')));
        assert_eq!(Vrm::parse("ABCDEFGHIJKLM"), Err(NotAVrm::TooLong(13)));
    }

    #[test]
    fn the_layout_settles_shared_glyphs() {
        for (raw, settled) in [
            ("AB1OCDE", "AB10CDE"),
            ("ABOICDE", "AB01CDE"),
            ("A812BCO", "A812BCO"),
            ("BD5ISMR", "BD51SMR"),
            ("0IL123", "OIL123"),
            ("I234AB", "1234AB"),
            ("ABC1OOD", "ABC100D"),
            ("101D1O1", "101D101"),
            ("B123XY", "B123XY"),
            ("K1NGO0", "K1NGO0"),
        ] {
            assert_eq!(settle(raw), settled, "{raw}");
        }
    }

    #[test]
    fn the_country_is_told_by_layouts_that_no_other_country_has() {
        for text in ["AB12CDE", "ABI2CDE", "A123BCD", "ABC123D"] {
            assert_eq!(country(text), Some("GB"), "{text}");
        }
        for text in ["BAB1234", "ABC123", "1234AB", "AA123AA", "A12BCD", "ER130VZ", ""] {
            assert_eq!(country(text), None, "{text}");
        }
        assert_eq!(likely_country("ER13OVZ"), Some("GB"));
        assert_eq!(likely_country("ER130VZ"), None, "French, Italian or Slovak");
    }

    #[test]
    fn spacing_follows_the_layout() {
        for (text, shown) in [
            ("AB12CDE", "AB12 CDE"),
            ("A123BCD", "A123 BCD"),
            ("ABC123D", "ABC 123D"),
            ("JIL1234", "JIL 1234"),
            ("WOBXY", "WOBXY"),
            ("ER13OVZ", "ER13 OVZ"),
            ("ER130VZ", "ER130VZ"),
        ] {
            assert_eq!(spaced(text), shown);
        }
    }

    proptest! {
        #[test]
        fn settling_changes_shared_glyphs_only(text in "[A-Z0-9]{1,12}") {
            let settled = settle(&text);
            prop_assert_eq!(fold(&settled), fold(&text));
            prop_assert_eq!(settle(&settled), settled);
        }

        #[test]
        fn parsing_is_the_inverse_of_spacing(text in "[A-Z0-9]{1,12}") {
            prop_assert_eq!(Vrm::parse(&spaced(&text)).map(|v| v.to_string()), Ok(text));
        }
    }
}
