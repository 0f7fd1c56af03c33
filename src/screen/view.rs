//! What the screens show, in words and pictures that need no further thought. Built by the unit, drawn by the pages.

use std::sync::Arc;

use super::pages::{Found, ListLine, MapView, Shift, SoundSetting};
use crate::alert::{Alert, Standing, ago};
use crate::clock::Moment;
use crate::recognise::{Read, ReadId, Thumbnail};

/// Everything that is shown at one time.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The instant that it describes; ages are counted from it.
    pub now: Moment,
    /// Whether it is dark outside. The crew can switch by hand, too.
    pub night: bool,
    /// One for each camera.
    pub cameras: Vec<CameraTile>,
    /// Newest first; as many as there is room for are shown.
    pub reads: Vec<ReadLine>,
    /// What is said where there are none: "No plate read yet".
    pub no_reads: String,
    /// The alert that waits for an answer.
    pub alert: Option<Arc<Alert>>,
    /// How many alerts wait, the one shown and those put off included.
    pub waiting: usize,
    /// The parts of the unit, in the order in which they are shown.
    pub status: Vec<StatusItem>,
    /// One line under the cameras: "132 reads, 2 hits since 13:05".
    pub summary: String,
    /// What the office has to say to the crew.
    pub notice: Notice,
    /// The lists, for their page.
    pub lists: Vec<ListLine>,
    /// How well the unit does its work, for the page Health.
    pub figures: Vec<StatusItem>,
    /// Who is on duty, and the drill.
    pub shift: Shift,
    /// How loud alerts are.
    pub sound: SoundSetting,
    /// What the last search or entry brought.
    pub found: Option<Arc<Found>>,
    /// Where the car has been, and what it read there.
    pub map: Arc<MapView>,
    /// Why the unit is locked, and what to do: nothing else is shown then. Empty: it is open.
    pub locked: String,
}

/// Words of the office for the crew. They are shown, never spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// Whose words they are, and of when.
    pub head: String,
    /// The words; empty: there are none.
    pub text: String,
}

/// One camera.
#[derive(Debug, Clone, Default)]
pub struct CameraTile {
    /// Its name from the configuration.
    pub name: String,
    /// How it is.
    pub state: State,
    /// A few words: "25 frames/s, none dropped", or what is wrong.
    pub detail: String,
    /// The newest picture, at about [`preview_width`](super::Handle::preview_width). A window keeps the one it has where this is `None`.
    pub picture: Option<Arc<Thumbnail>>,
    /// Plates in that picture: left, top, width, height in fractions of its width and height.
    pub boxes: Vec<[f32; 4]>,
}

/// One read on the reel.
#[derive(Debug, Clone)]
pub struct ReadLine {
    /// Which read.
    pub id: ReadId,
    /// The VRM.
    pub text: String,
    /// The plate as the camera saw it.
    pub patch: Arc<Thumbnail>,
    /// "14:02:07".
    pub when: String,
    /// The camera's name.
    pub camera: Arc<str>,
    /// Probability that the text is right, 0 to 1.
    pub confidence: f32,
    /// Place (from 0) of a character that is not sure.
    pub weak: Option<usize>,
    /// What is to be said of the place: "", "no position", "fix 12 s old".
    pub place: String,
    /// Whether it matched an entry.
    pub hit: bool,
}

impl ReadLine {
    /// A read as a line of the reel. `when` is local time, `place` a remark on the position, empty where it is good.
    pub fn of(read: &Read, when: String, place: String, hit: bool) -> Self {
        let sure = read.raw.chars().zip(&read.characters).map(|(shown, character)| character.of_glyph(shown));
        let weakest = sure.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        Self {
            id: read.id,
            text: read.text.clone(),
            patch: Arc::clone(&read.patch),
            when,
            camera: Arc::clone(&read.camera),
            confidence: read.confidence,
            weak: weakest.filter(|(_, p)| *p < DOUBTFUL).map(|(place, _)| place),
            place,
            hit,
        }
    }
}

/// A character below this probability is marked.
const DOUBTFUL: f32 = 0.9;

/// How a part of the unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Well.
    #[default]
    Ok,
    /// Works, but should be watched.
    Warn,
    /// Does not work.
    Fault,
}

/// One part of the unit on the status strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusItem {
    /// "Sound".
    pub name: String,
    /// One short word: "ready", "2 h", "lost".
    pub word: String,
    /// How it is.
    pub state: State,
    /// The reason, and what to do; shown when touched.
    pub detail: String,
}

impl StatusItem {
    /// A part that is well.
    pub fn ok(name: impl Into<String>, word: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), word: word.into(), state: State::Ok, detail: detail.into() }
    }

    /// A part that should be watched.
    pub fn warn(name: impl Into<String>, word: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { state: State::Warn, ..Self::ok(name, word, detail) }
    }

    /// A part that does not work.
    pub fn fault(name: impl Into<String>, word: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { state: State::Fault, ..Self::ok(name, word, detail) }
    }
}

/// An alert in the words of its page.
pub(super) struct AlertWords {
    pub(super) headline: String,
    pub(super) sure: String,
    pub(super) queue: String,
    pub(super) camera: String,
    pub(super) behind: String,
    pub(super) count: String,
    pub(super) weakest: String,
    pub(super) mark: Option<usize>,
    pub(super) freshness: String,
    pub(super) faults: String,
}

impl AlertWords {
    pub(super) fn of(view: &View, alert: &Alert) -> Self {
        use crate::alert::Grade;
        let weak = alert.sureness.weakest.filter(|(_, _, p)| *p < 0.99);
        let faults: Vec<String> =
            view.status.iter().filter(|item| item.state == State::Fault).map(|item| sentence(&item.name)).collect();
        Self {
            headline: match (&alert.standing, alert.grade) {
                (Standing::Withdrawn(why), _) => format!("WITHDRAWN: {why}"),
                (Standing::Open, Grade::Certain) => alert.headline.clone(),
                // The page says in words, not by colour alone, that it is not certain.
                (Standing::Open, weaker) => format!("{}: {}", weaker.word().to_uppercase(), alert.headline),
            },
            sure: match alert.standing {
                Standing::Open => format!("{} sure", percent(alert.sureness.probability)),
                Standing::Withdrawn(_) => String::new(),
            },
            queue: if view.waiting > 1 { format!("{} more waiting", view.waiting - 1) } else { String::new() },
            camera: format!("{} camera", sentence(&alert.camera)),
            behind: format!("{} ago", ago(view.now.since(alert.last_at))),
            count: if alert.count > 1 { format!("seen {} times", alert.count) } else { String::new() },
            weakest: weak.map_or_else(String::new, |(place, character, p)| {
                format!("Least sure: {} character, {character} {}", ordinal(place + 1), percent(p))
            }),
            mark: weak.map(|(place, ..)| place),
            freshness: format!("{}, {}", sentence(&alert.entry_freshness), alert.list_freshness),
            faults: if faults.is_empty() { String::new() } else { format!("At fault: {}", faults.join(", ")) },
        }
    }
}

/// A probability in whole percent, never rounded up to certainty; what is not a number is nothing.
pub(super) fn percent(p: f32) -> String {
    let p = if p.is_nan() { 0.0 } else { p };
    format!("{:.0} %", (p * 100.0).floor().clamp(0.0, 99.0))
}

/// With a capital at its start.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (1, n) if n != 11 => "st",
        (2, n) if n != 12 => "nd",
        (3, n) if n != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_hundred_percent() {
        for (p, said) in [(1.0, "99 %"), (0.999, "99 %"), (0.976, "97 %"), (0.0, "0 %"), (f32::NAN, "0 %")] {
            assert_eq!(percent(p), said);
        }
    }

    #[test]
    fn places_are_counted_as_people_do() {
        let said: Vec<String> = [1, 2, 3, 4, 11, 12, 21].map(ordinal).into();
        assert_eq!(said, ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st"]);
    }

    #[test]
    fn a_glyph_that_stands_for_two_characters_is_no_doubt() {
        let character = |sure: &[(char, f32)]| {
            let mut p = [0.0; crate::plate::ALPHABET_SIZE];
            for (c, share) in sure {
                p[crate::plate::index_of(*c).expect("of a plate")] = *share;
            }
            crate::recognise::Character { p }
        };
        let picture = Arc::new(Thumbnail { width: 1, height: 1, rgb: vec![0; 3] });
        let mut read = Read {
            id: crate::recognise::ReadId { run: 1, pass: 1 },
            camera: "front".into(),
            text: "A0B".to_owned(),
            raw: "AOB".to_owned(),
            confidence: 0.98,
            characters: vec![
                character(&[('A', 0.95)]),
                character(&[('0', 0.5), ('O', 0.49)]),
                character(&[('B', 0.97)]),
            ],
            first_at: Moment::default(),
            last_at: Moment::default(),
            first_seen: std::time::Duration::ZERO,
            last_seen: std::time::Duration::ZERO,
            looks: 3,
            agreeing: 3,
            corners: [[0.0; 2]; 4],
            patch: Arc::clone(&picture),
            overview: picture,
        };
        assert_eq!(ReadLine::of(&read, String::new(), String::new(), false).weak, None);
        read.characters[2] = character(&[('B', 0.6), ('8', 0.4)]);
        assert_eq!(ReadLine::of(&read, String::new(), String::new(), false).weak, Some(2));
    }
}
