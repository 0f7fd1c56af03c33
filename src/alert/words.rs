//! The words of an alert: what is said aloud and what is written.

use std::time::Duration;

use super::{Grade, How, Sighting};
use crate::plate;

/// A VRM letter by letter in the NATO alphabet, digits as words, with a comma where the plate has its gap:
/// "Alpha Bravo one two, Charlie Delta Echo".
pub fn spell(text: &str) -> String {
    let groups: Vec<String> = plate::spaced(text)
        .split(' ')
        .map(|group| group.chars().map(character_word).collect::<Vec<_>>().join(" "))
        .collect();
    groups.join(", ")
}

/// "Silver Ford Focus", from what the list says; empty if it says nothing.
pub fn vehicle(colour: &str, make: &str, model: &str) -> String {
    let words: Vec<String> = [colour, make, model].into_iter().flat_map(str::split_whitespace).map(titled).collect();
    words.join(" ")
}

/// What is said aloud. Anything but a certain alert says its grade first, and one that is not of the listed plate itself
/// says "possible" whatever its grade.
pub(super) fn spoken(grade: Grade, sighting: &Sighting, text: &str) -> String {
    let mut sentences = Vec::new();
    if sighting.drill {
        sentences.push("Drill".to_owned());
    }
    let reason = sighting.reason.to_lowercase();
    sentences.push(match if sighting.how == How::Approximate { Grade::Possible } else { grade } {
        Grade::Certain => capital(&reason),
        weaker => format!("{} {reason}", capital(weaker.word())),
    });
    if sighting.expired {
        sentences.push("Out of date".to_owned());
    } else if !sighting.against.is_empty() {
        sentences.push("Contradicted".to_owned());
    }
    // The model is left out: it costs time, and make and colour are what eyes look for.
    sentences.push(vehicle(&sighting.colour, &sighting.make, ""));
    sentences.push(camera(&sighting.camera));
    sentences.push(spell(text));
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join(". ") + "."
}

/// What is said of an alert that something has come to speak against.
pub(super) fn contradicted(headline: &str, text: &str) -> String {
    let reason = headline.to_lowercase();
    format!("{} {reason}. Contradicted. {}.", capital(Grade::Possible.word()), spell(text))
}

/// What is said when an alert no longer stands, and who has withdrawn it, where that is known: "the office".
pub(super) fn stood_down(text: &str, who: Option<&str>) -> String {
    let by = who.map_or_else(String::new, |who| format!("Withdrawn by {who}. "));
    format!("Stand down. {by}{}.", spell(text))
}

/// Whether `word` is the grade that weakens a reason.
pub(super) fn doubt_word(word: &str) -> bool {
    [Grade::Probable, Grade::Possible].iter().any(|grade| grade.word() == word)
}

/// "Front camera, left": the side behind a comma, where the camera's name ends with one.
fn camera(name: &str) -> String {
    match name.trim().rsplit_once(' ') {
        Some((place, side)) if SIDES.contains(&side.to_lowercase().as_str()) => {
            format!("{} camera, {}", capital(place), side.to_lowercase())
        }
        _ => format!("{} camera", capital(name.trim())),
    }
}

const SIDES: [&str; 5] = ["left", "right", "centre", "nearside", "offside"];

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

/// How a character of a plate is said.
pub(super) fn character_word(character: char) -> &'static str {
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

    fn sighting(reason: &str, camera: &str) -> Sighting {
        Sighting {
            reason: reason.to_owned(),
            make: String::new(),
            colour: String::new(),
            camera: camera.into(),
            ..Sighting::made_up()
        }
    }

    #[test]
    fn a_certain_alert_says_reason_vehicle_camera_and_vrm() {
        let seen = Sighting { colour: "silver".into(), make: "FORD".into(), ..sighting("STOLEN", "front left") };
        assert_eq!(
            spoken(Grade::Certain, &seen, "AB12CDE"),
            "Stolen. Silver Ford. Front camera, left. Alpha Bravo one two, Charlie Delta Echo."
        );
    }

    #[test]
    fn a_weaker_alert_says_so_first_and_a_drill_before_that() {
        let drill = Sighting { drill: true, ..sighting("stolen", "rear") };
        let said = spoken(Grade::Possible, &drill, "A123BCD");
        assert_eq!(said, "Drill. Possible stolen. Rear camera. Alpha one two three, Bravo Charlie Delta.");
        let front = sighting("no insurance", "front");
        assert!(spoken(Grade::Probable, &front, "A1").starts_with("Probable no insurance."));
    }

    #[test]
    fn what_is_not_the_listed_plate_is_possible_and_doubt_follows_the_reason() {
        let near = Sighting { how: How::Approximate, ..sighting("stolen", "front") };
        assert!(spoken(Grade::Certain, &near, "A1").starts_with("Possible stolen. Front"));
        let old = Sighting { expired: true, ..sighting("stolen", "front") };
        assert!(spoken(Grade::Possible, &old, "A1").starts_with("Possible stolen. Out of date. Front"));
        let odd = Sighting { against: vec!["camera saw a white vehicle".into()], ..sighting("stolen", "front") };
        assert!(spoken(Grade::Possible, &odd, "A1").starts_with("Possible stolen. Contradicted. Front"));
        assert_eq!(stood_down("A1B", None), "Stand down. Alpha one Bravo.");
        let by = stood_down("A1B", Some("the office"));
        assert_eq!(by, "Stand down. Withdrawn by the office. Alpha one Bravo.");
    }

    #[test]
    fn every_character_of_a_plate_has_a_word() {
        for character in plate::ALPHABET {
            assert_ne!(character_word(character as char), "unknown");
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
