//! The words of an alert: what is said aloud and what is written.

use std::time::Duration;

use super::Grade;
use crate::plate;

/// A VRM letter by letter in the NATO alphabet, digits as words, with a comma where the plate has its gap:
/// "Alpha Bravo one two, Charlie Delta Echo".
pub fn spell(text: &str) -> String {
    let groups: Vec<String> = plate::spaced(text)
        .split(' ')
        .map(|group| group.chars().map(spoken_character).collect::<Vec<_>>().join(" "))
        .collect();
    groups.join(", ")
}

/// "Silver Ford Focus", from what the list says; empty if it says nothing.
pub fn vehicle(colour: &str, make: &str, model: &str) -> String {
    let words: Vec<String> = [colour, make, model].into_iter().flat_map(str::split_whitespace).map(titled).collect();
    words.join(" ")
}

/// What is said aloud. Anything but a certain alert says its grade first.
pub(super) fn spoken(
    grade: Grade,
    reason: &str,
    colour: &str,
    make: &str,
    camera: &str,
    text: &str,
    drill: bool,
) -> String {
    let mut sentences = Vec::new();
    if drill {
        sentences.push("Drill".to_owned());
    }
    sentences.push(match grade {
        Grade::Certain => capital(&reason.to_lowercase()),
        weaker => format!("{} {}", capital(weaker.word()), reason.to_lowercase()),
    });
    // The model is left out: it costs time, and make and colour are what eyes look for.
    sentences.push(vehicle(colour, make, ""));
    sentences.push(format!("{} camera", capital(camera)));
    sentences.push(spell(text));
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join(". ") + "."
}

/// A duration as people say it, one unit: "12 s", "5 min", "3 h", "41 days".
pub fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5_399 => format!("{} min", (seconds + 30) / 60),
        5_400..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

/// With its first letter as a capital.
pub(super) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// A word of a list, written in capitals or not, as in running text. Short words in capitals are names
/// ("BMW", "VW", "CX5") and stay.
fn titled(word: &str) -> String {
    if word.len() <= 3 || word.chars().any(|c| c.is_ascii_digit()) {
        word.to_owned()
    } else {
        capital(&word.to_lowercase())
    }
}

fn spoken_character(character: char) -> &'static str {
    match character {
        '0' => "zero",
        '1' => "one",
        '2' => "two",
        '3' => "three",
        '4' => "four",
        '5' => "five",
        '6' => "six",
        '7' => "seven",
        '8' => "eight",
        '9' => "nine",
        'A' => "Alpha",
        'B' => "Bravo",
        'C' => "Charlie",
        'D' => "Delta",
        'E' => "Echo",
        'F' => "Foxtrot",
        'G' => "Golf",
        'H' => "Hotel",
        'I' => "India",
        'J' => "Juliett",
        'K' => "Kilo",
        'L' => "Lima",
        'M' => "Mike",
        'N' => "November",
        'O' => "Oscar",
        'P' => "Papa",
        'Q' => "Quebec",
        'R' => "Romeo",
        'S' => "Sierra",
        'T' => "Tango",
        'U' => "Uniform",
        'V' => "Victor",
        'W' => "Whiskey",
        'X' => "X-ray",
        'Y' => "Yankee",
        'Z' => "Zulu",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certain_alert_says_reason_vehicle_camera_and_vrm() {
        assert_eq!(
            spoken(Grade::Certain, "STOLEN", "silver", "FORD", "front", "AB12CDE", false),
            "Stolen. Silver Ford. Front camera. Alpha Bravo one two, Charlie Delta Echo."
        );
    }

    #[test]
    fn a_weaker_alert_says_so_first_and_a_drill_before_that() {
        let said = spoken(Grade::Possible, "stolen", "", "", "rear left", "A123BCD", true);
        assert_eq!(said, "Drill. Possible stolen. Rear left camera. Alpha one two three, Bravo Charlie Delta.");
        assert!(
            spoken(Grade::Probable, "no insurance", "", "", "front", "A1", false).starts_with("Probable no insurance.")
        );
    }

    #[test]
    fn every_character_of_a_plate_has_a_word() {
        for character in plate::ALPHABET {
            assert_ne!(spoken_character(character as char), "unknown");
        }
    }

    #[test]
    fn vehicles_read_like_running_text() {
        assert_eq!(vehicle("WHITE", "VW", "TRANSPORTER T5"), "White VW Transporter T5");
        assert_eq!(vehicle("", "BMW", ""), "BMW");
        assert_eq!(vehicle("", "", ""), "");
    }

    #[test]
    fn ages_have_one_unit() {
        for (seconds, said) in
            [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3_600, "60 min"), (7_200, "2 h"), (86_400 * 41, "41 days")]
        {
            assert_eq!(ago(Duration::from_secs(seconds)), said);
        }
    }
}
