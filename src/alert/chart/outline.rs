//! The shape of a symbol: lines and curves on a square.

/// The side of the square.
pub const SIDE: f32 = 100.0;
/// The most steps of one outline: more than any symbol needs, and less than takes time to draw.
const MOST: usize = 400;

/// One step along an outline, in absolute places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Begins a line here.
    Move([f32; 2]),
    /// Straight to here.
    Line([f32; 2]),
    /// By a guiding point to here.
    Quadratic([f32; 2], [f32; 2]),
    /// By two guiding points to here.
    Cubic([f32; 2], [f32; 2], [f32; 2]),
    /// Back to where the line began.
    Close,
}

/// A shape that can be filled; what lies inside an even number of its lines is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline(Vec<Step>);

impl Outline {
    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Parses "M50 6 L97 92 L3 92 Z".
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split([' ', ',', '\n']).filter(|word| !word.is_empty()).peekable();
        let mut steps = Vec::new();
        let mut open = false;
        while let Some(word) = words.next() {
            let (letter, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            let needs = match letter {
                "M" | "L" => 2,
                "Q" => 4,
                "C" => 6,
                "Z" => 0,
                _ => return Err(format!("{word:?} is none of M, L, Q, C and Z with numbers behind")),
            };
            // The first number may touch its letter.
            let mut numbers = Vec::new();
            let first = (!rest.is_empty()).then_some(rest);
            while numbers.len() < needs {
                let number = first.filter(|_| numbers.is_empty()).or_else(|| words.next());
                let value = number.and_then(|number| number.parse::<f32>().ok());
                match value.filter(|value| (0.0..=SIDE).contains(value)) {
                    Some(value) => numbers.push(value),
                    None => {
                        let found = number.map_or("nothing".to_owned(), |number| format!("{number:?}"));
                        return Err(format!("{letter} needs {needs} numbers from 0 to {SIDE}, and has {found}"));
                    }
                }
            }
            let at = |place: usize| [numbers[2 * place], numbers[2 * place + 1]];
            if letter != "M" && !open {
                return Err(format!("{letter} comes before any M"));
            }
            steps.push(match needs {
                2 if letter == "M" => Step::Move(at(0)),
                2 => Step::Line(at(0)),
                4 => Step::Quadratic(at(0), at(1)),
                6 => Step::Cubic(at(0), at(1), at(2)),
                _ if rest.is_empty() => Step::Close,
                _ => return Err(format!("Z has no numbers, and here it is {word:?}")),
            });
            open = letter != "Z";
            if steps.len() > MOST {
                return Err(format!("it has more than {MOST} steps"));
            }
        }
        if open || steps.is_empty() {
            return Err("it does not end with Z".to_owned());
        }
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_are_read_and_what_cannot_be_drawn_is_said() {
        let outline = Outline::parse("M0 0 L 100,0 Q100 50 100 100\n C75 100 25 100 0 100 Z").expect("an outline");
        assert_eq!(outline.steps().len(), 5);
        assert_eq!(outline.steps()[2], Step::Quadratic([100.0, 50.0], [100.0, 100.0]));
        for (text, words) in [
            ("", "does not end with Z"),
            ("M0 0 L1 1", "does not end with Z"),
            ("L1 1 Z", "L comes before any M"),
            ("M0 0 L1 1 Z L2 2 Z", "L comes before any M"),
            ("M0 0 L101 1 Z", "from 0 to 100, and has \"101\""),
            ("M0 0 LNaN 1 Z", "has \"NaN\""),
            ("M0 0 L1", "and has nothing"),
            ("M0 0 l1 1 Z", "\"l1\" is none of"),
            ("M0 0 é Z", "\"é\" is none of"),
            ("M0 0 Z3", "Z has no numbers"),
        ] {
            let why = Outline::parse(text).expect_err(text);
            assert!(why.contains(words), "{text:?}: {why}");
        }
        assert!(Outline::parse(&format!("M0 0 {}Z", "L1 1 ".repeat(500))).is_err());
    }
}
