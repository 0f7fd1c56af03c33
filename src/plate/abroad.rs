//! Layouts of other European countries, coarse: runs of letters and digits and how long each may be.

/// A run of letters (`A`) or digits (`9`), its least and its greatest length.
type Run = (char, usize, usize);

/// What cars of each country (ISO 3166-1 alpha-2) carry, current and recent. A weak description on purpose: it tells plates from
/// what is none, and never rewrites a text. Source: the countries' published formats, as UNECE's distinguishing signs name them.
const LANDS: &[(&str, &[&[Run]])] = &[
    (
        "AT",
        &[
            &[('A', 1, 2), ('9', 3, 5), ('A', 1, 2)],
            &[('A', 1, 2), ('9', 1, 2), ('A', 3, 3)],
            &[('A', 1, 2), ('9', 3, 6)],
        ],
    ),
    ("BE", &[&[('9', 1, 1), ('A', 3, 3), ('9', 3, 3)], &[('A', 3, 3), ('9', 3, 3)]]),
    ("BG", &[&[('A', 1, 2), ('9', 4, 4), ('A', 2, 2)]]),
    ("CH", &[&[('A', 2, 2), ('9', 1, 6)]]),
    ("CY", &[&[('A', 3, 3), ('9', 3, 3)]]),
    ("CZ", &[&[('9', 1, 1), ('A', 1, 1), ('9', 5, 5)], &[('9', 1, 1), ('A', 2, 2), ('9', 4, 4)]]),
    ("DE", &[&[('A', 2, 5), ('9', 1, 4)], &[('A', 2, 5), ('9', 1, 4), ('A', 1, 1)]]),
    ("DK", &[&[('A', 2, 2), ('9', 5, 5)]]),
    ("EE", &[&[('9', 3, 3), ('A', 3, 3)]]),
    ("ES", &[&[('9', 4, 4), ('A', 3, 3)], &[('A', 1, 2), ('9', 4, 4), ('A', 1, 2)]]),
    ("FI", &[&[('A', 2, 3), ('9', 1, 3)]]),
    ("FR", &[&[('A', 2, 2), ('9', 3, 3), ('A', 2, 2)], &[('9', 1, 4), ('A', 2, 3), ('9', 2, 2)]]),
    ("GR", &[&[('A', 3, 3), ('9', 4, 4)]]),
    ("HR", &[&[('A', 2, 2), ('9', 3, 4), ('A', 1, 2)]]),
    ("HU", &[&[('A', 3, 4), ('9', 3, 3)]]),
    ("IE", &[&[('9', 2, 3), ('A', 1, 2), ('9', 1, 6)]]),
    ("IT", &[&[('A', 2, 2), ('9', 3, 3), ('A', 2, 2)]]),
    ("LT", &[&[('A', 3, 3), ('9', 3, 3)]]),
    ("LU", &[&[('A', 2, 2), ('9', 4, 4)]]),
    ("LV", &[&[('A', 2, 2), ('9', 1, 4)]]),
    ("MT", &[&[('A', 3, 3), ('9', 3, 3)]]),
    (
        "NL",
        &[
            &[('A', 2, 2), ('9', 4, 4)],
            &[('9', 4, 4), ('A', 2, 2)],
            &[('9', 2, 2), ('A', 2, 2), ('9', 2, 2)],
            &[('A', 2, 2), ('9', 2, 2), ('A', 2, 2)],
            &[('A', 4, 4), ('9', 2, 2)],
            &[('9', 2, 2), ('A', 4, 4)],
            &[('9', 2, 2), ('A', 3, 3), ('9', 1, 1)],
            &[('9', 1, 1), ('A', 3, 3), ('9', 2, 2)],
            &[('A', 2, 2), ('9', 3, 3), ('A', 1, 1)],
            &[('A', 1, 1), ('9', 3, 3), ('A', 2, 2)],
            &[('A', 3, 3), ('9', 2, 2), ('A', 1, 1)],
            &[('A', 1, 1), ('9', 2, 2), ('A', 3, 3)],
            &[('9', 1, 1), ('A', 2, 2), ('9', 3, 3)],
            &[('9', 3, 3), ('A', 2, 2), ('9', 1, 1)],
        ],
    ),
    ("NO", &[&[('A', 2, 2), ('9', 5, 5)]]),
    ("PL", &[&[('A', 2, 3), ('9', 4, 5)], &[('A', 2, 3), ('9', 3, 4), ('A', 1, 1)], &[('A', 4, 4), ('9', 3, 3)]]),
    (
        "PT",
        &[
            &[('9', 4, 4), ('A', 2, 2)],
            &[('9', 2, 2), ('A', 2, 2), ('9', 2, 2)],
            &[('A', 2, 2), ('9', 4, 4)],
            &[('A', 2, 2), ('9', 2, 2), ('A', 2, 2)],
        ],
    ),
    ("RO", &[&[('A', 2, 2), ('9', 2, 2), ('A', 3, 3)], &[('A', 1, 1), ('9', 2, 3), ('A', 3, 3)]]),
    ("RU", &[&[('A', 1, 1), ('9', 3, 3), ('A', 2, 2), ('9', 2, 3)]]),
    ("SE", &[&[('A', 3, 3), ('9', 3, 3)], &[('A', 3, 3), ('9', 2, 2), ('A', 1, 1)]]),
    ("SI", &[&[('A', 2, 2), ('9', 2, 3), ('A', 1, 3)]]),
    ("SK", &[&[('A', 2, 2), ('9', 3, 3), ('A', 2, 2)]]),
    ("TR", &[&[('9', 2, 2), ('A', 1, 3), ('9', 2, 4)]]),
    ("UA", &[&[('A', 2, 2), ('9', 4, 4), ('A', 2, 2)]]),
];

/// The longest text that any of these countries has, characters.
const LONGEST: usize = 9;

/// The countries that have plates like `text` (A-Z and 0-9, no spaces).
pub fn lands(text: &str) -> impl Iterator<Item = &'static str> {
    LANDS
        .iter()
        .filter(move |(_, layouts)| text.len() <= LONGEST && layouts.iter().any(|layout| fits(text, layout)))
        .map(|(land, _)| *land)
}

/// Whether the runs of `text` are those of `layout`.
fn fits(text: &str, layout: &[Run]) -> bool {
    let mut rest = text;
    for (kind, least, most) in layout {
        let end = rest.find(|c: char| c.is_ascii_digit() != (*kind == '9')).unwrap_or(rest.len());
        if !(*least..=*most).contains(&end) {
            return false;
        }
        rest = &rest[end..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plates_of_the_road_are_known_and_words_are_not() {
        for (text, land) in [
            ("WL1GJG", "AT"),
            ("MAB1234", "DE"),
            ("X052EH163", "RU"),
            ("9953ZM76", "FR"),
            ("ZH19", "CH"),
            ("1234BCD", "ES"),
            ("B311ALY", "RO"),
            ("12D12345", "IE"),
            ("1ABC234", "BE"),
        ] {
            assert!(lands(text).any(|found| found == land), "{text}");
        }
        for text in ["EXPRESS", "HARB0UR", "07700900123", "0800123456", "A1B2C3D4", "", "123456789", "RR1ER"] {
            assert_eq!(lands(text).count(), 0, "{text}");
        }
    }

    #[test]
    fn runs_alternate() {
        for (land, layouts) in LANDS {
            for layout in *layouts {
                assert!(layout.windows(2).all(|pair| pair[0].0 != pair[1].0), "{land}: two runs of a kind are one run");
                assert!(layout.iter().map(|run| run.2).sum::<usize>() <= LONGEST + 2, "{land}");
            }
        }
    }
}
