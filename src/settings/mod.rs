//! Settings that the office hands to the cars: a closed set of keys, each with bounds.
//!
//! None of them can harm a crew, its data or anybody's privacy, whatever an office says: a shift gets no longer than the car
//! has it, a car tells no more often where it is, a list counts for no longer. Retention, addresses, keys, loudness, grades and
//! recognition are not among them. See docs/design/sync.md.

mod handed;
#[cfg(feature = "office")]
mod sheet;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Budgets;

pub use handed::{Handed, MOST_BYTES, SETTINGS};
#[cfg(feature = "office")]
pub use sheet::{MOST_SHEET, Sheet};

/// The longest notice, characters: two lines on the crew's screen.
const LONGEST_NOTICE: u32 = 100;

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// After so many hours whoever has signed on is signed off.
    LongestShift,
    /// From so many hours on a list counts as stale.
    ListsStale,
    /// After so many days the crew is reminded of a drill.
    Drill,
    /// Seconds between two reports of what works.
    Health,
    /// Seconds between two reports of where the car is.
    Position,
    /// Megabytes a day of pictures of reads without a hit over metered networks.
    MeteredPictures,
    /// The same of pictures of reads with a hit.
    MeteredHitPictures,
    /// The same of whole lists.
    MeteredLists,
    /// Words for the crew.
    Notice,
}

/// What a key may be set to.
#[derive(Debug, Clone, Copy)]
enum Bounds {
    /// A whole number from the first to the second.
    Whole(u32, u32),
    /// Words of so many characters at most.
    Text(u32),
}

/// What a key is set to.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Whole(u32),
    /// Words.
    Text(String),
}

// Words for a crew may name somebody: they stay out of logs and panics.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words())
    }
}

impl Value {
    /// For the record: of words only how many there are.
    fn words(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Text(text) => format!("{} characters", text.chars().count()),
        }
    }
}

impl Key {
    /// Every key.
    pub const ALL: [Key; 9] = [
        Key::LongestShift,
        Key::ListsStale,
        Key::Drill,
        Key::Health,
        Key::Position,
        Key::MeteredPictures,
        Key::MeteredHitPictures,
        Key::MeteredLists,
        Key::Notice,
    ];

    /// Its name in the office's file and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::LongestShift => "longest_shift_h",
            Self::ListsStale => "lists_stale_h",
            Self::Drill => "drill_days",
            Self::Health => "health_s",
            Self::Position => "position_s",
            Self::MeteredPictures => "metered_pictures_mb",
            Self::MeteredHitPictures => "metered_hit_pictures_mb",
            Self::MeteredLists => "metered_lists_mb",
            Self::Notice => "notice",
        }
    }

    /// The key of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// What it does, for whoever sets it.
    pub fn what(self) -> &'static str {
        match self {
            Self::LongestShift => {
                "hours after which whoever has signed on is signed off; the car's own, if that is shorter"
            }
            Self::ListsStale => {
                "hours without news from which on a list counts as stale, so that its hits are possible and no more; a week at the latest"
            }
            Self::Drill => "days after which the crew is reminded of a drill",
            Self::Health => "seconds between two reports of what works in the car",
            Self::Position => {
                "seconds between two reports of where the car is while it drives, where its own configuration allows any"
            }
            Self::MeteredPictures => {
                "megabytes a day of pictures of reads without a hit over metered networks; the car's own, if that is less"
            }
            Self::MeteredHitPictures => "the same of pictures of reads with a hit",
            Self::MeteredLists => "the same of whole lists",
            Self::Notice => "words for the crew, shown on the screen as the office's; name nobody in them",
        }
    }

    /// What it may be, in words.
    pub fn bounds_words(self) -> String {
        match self.bounds() {
            Bounds::Whole(least, most) => format!("{least} to {most}"),
            Bounds::Text(most) => format!("text of 1 to {most} characters in one line"),
        }
    }

    fn bounds(self) -> Bounds {
        match self {
            Self::LongestShift => Bounds::Whole(1, 24),
            // Hits of a stale list are possible and no more, which a crew may have muted: not before a list is old for the strip.
            Self::ListsStale => Bounds::Whole(24, 168),
            Self::Drill => Bounds::Whole(1, 90),
            // Not more often than a car does by itself.
            Self::Health => Bounds::Whole(10, 600),
            Self::Position => Bounds::Whole(2, 60),
            // Only less than the car has it, which may be nothing.
            Self::MeteredPictures | Self::MeteredHitPictures | Self::MeteredLists => Bounds::Whole(0, 100_000),
            Self::Notice => Bounds::Text(LONGEST_NOTICE),
        }
    }

    /// A number for this key, if that is what it takes and it is within bounds.
    fn whole(self, number: i128) -> Result<Value, String> {
        match self.bounds() {
            Bounds::Whole(least, most) => match u32::try_from(number) {
                Ok(number) if (least..=most).contains(&number) => Ok(Value::Whole(number)),
                _ => Err(format!("{} is {number}, must be {}", self.name(), self.bounds_words())),
            },
            Bounds::Text(_) => Err(format!("{} is a number, must be {}", self.name(), self.bounds_words())),
        }
    }

    /// Words for this key.
    fn text(self, text: &str) -> Result<Value, String> {
        match self.bounds() {
            Bounds::Text(most) => {
                let long = text.chars().count();
                if text.trim().is_empty() || long > most as usize {
                    return Err(format!("{} has {long} characters, must be {}", self.name(), self.bounds_words()));
                }
                if text.chars().any(is_hidden) {
                    return Err(format!("{} has characters that cannot be shown", self.name()));
                }
                Ok(Value::Text(text.to_owned()))
            }
            Bounds::Whole(..) => Err(format!("{} is text, must be {}", self.name(), self.bounds_words())),
        }
    }
}

/// Control characters, and those that change how others are shown: joiners, marks and overrides of direction.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What is set; of every other key the car's own counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<Key, Value>);

impl Values {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many keys are set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How long a shift may last in a car that has it so long.
    pub fn longest_shift(&self, own: Duration) -> Duration {
        self.time(Key::LongestShift, 3600).map_or(own, |set| set.min(own))
    }

    /// From which age on a list counts as stale; `None`: as ever.
    pub fn lists_stale(&self) -> Option<Duration> {
        self.time(Key::ListsStale, 3600)
    }

    /// How long after a drill the crew is reminded of another one; `None`: never.
    pub fn drill(&self) -> Option<Duration> {
        self.time(Key::Drill, 86_400)
    }

    /// Between two reports of what works.
    pub fn health(&self) -> Option<Duration> {
        self.time(Key::Health, 1)
    }

    /// Between two reports of where the car is while it drives.
    pub fn position(&self) -> Option<Duration> {
        self.time(Key::Position, 1)
    }

    /// What may be spent on metered networks in a car that has it so.
    pub fn budgets(&self, own: Budgets) -> Budgets {
        let least = |key, own: u32| self.number(key).map_or(own, |set| set.min(own));
        Budgets {
            pictures_mb: least(Key::MeteredPictures, own.pictures_mb),
            hit_pictures_mb: least(Key::MeteredHitPictures, own.hit_pictures_mb),
            lists_mb: least(Key::MeteredLists, own.lists_mb),
        }
    }

    /// Words for the crew.
    pub fn notice(&self) -> Option<&str> {
        match self.0.get(&Key::Notice) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// These, over `others`.
    #[must_use]
    pub fn over(&self, others: &Self) -> Self {
        Self(others.0.iter().chain(&self.0).map(|(key, value)| (*key, value.clone())).collect())
    }

    /// What is set, in one line: "longest_shift_h 10, notice of 34 characters". Words for the crew are not repeated.
    pub fn words(&self) -> String {
        if self.is_empty() {
            return "nothing".to_owned();
        }
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| match value {
                Value::Whole(number) => format!("{} {number}", key.name()),
                Value::Text(_) => format!("{} of {}", key.name(), value.words()),
            })
            .collect();
        words.join(", ")
    }

    /// What is other than `before`, for the record: "longest_shift_h from the car's own to 10".
    pub fn changed_from(&self, before: &Self) -> String {
        let said = |values: &Self, key: &Key| values.0.get(key).map_or("the car's own".to_owned(), Value::words);
        let changes: Vec<String> = Key::ALL
            .iter()
            .filter(|key| self.0.get(key) != before.0.get(key))
            .map(|key| match key {
                Key::Notice if !self.0.contains_key(key) => "the notice is taken back".to_owned(),
                Key::Notice => format!("a notice of {}", said(self, key)),
                key => format!("{} from {} to {}", key.name(), said(before, key), said(self, key)),
            })
            .collect();
        if changes.is_empty() { "nothing changed".to_owned() } else { changes.join(", ") }
    }

    fn time(&self, key: Key, unit: u64) -> Option<Duration> {
        self.number(key).map(|number| Duration::from_secs(u64::from(number) * unit))
    }

    fn number(&self, key: Key) -> Option<u32> {
        match self.0.get(&key) {
            Some(Value::Whole(number)) => Some(*number),
            _ => None,
        }
    }
}

/// Whether bytes are settings as the office hands them down, the signature apart.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn decodes(bytes: &[u8]) -> bool {
    Handed::decode(bytes).is_ok()
}

/// Whether bytes are the office's file of settings.
#[cfg(all(feature = "office", any(test, feature = "fuzz")))]
pub(crate) fn is_sheet(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| Sheet::parse(text).is_ok())
}

/// What is written today, for the corpus: a name, the decoder's name and the bytes.
#[cfg(all(test, feature = "office"))]
pub(crate) fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let sheet = "[cars]\nlongest_shift_h = 10\nlists_stale_h = 24\ndrill_days = 7\nhealth_s = 30\nposition_s = 5\nmetered_pictures_mb = 0\n\
                 notice = \"Bridge closed\"\n[units.EX-01]\ndrill_days = 14\n";
    let values = Sheet::parse(sheet).expect("a sheet").of_unit("EX-01");
    let handed =
        Handed { revision: 7, made: chrono::DateTime::UNIX_EPOCH, unit: "EX-01".into(), values, ..Handed::default() };
    vec![
        ("settings", "handed", handed.encode()),
        ("newer-office", "handed", handed.encode_with("windscreen_wipers", 3)),
        ("sheet", "sheet", sheet.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(set: &[(Key, i128)]) -> Values {
        Values(set.iter().map(|(key, number)| (*key, key.whole(*number).expect("within bounds"))).collect())
    }

    #[test]
    fn every_number_has_two_bounds_and_what_lies_beyond_is_refused_with_a_sentence() {
        for key in Key::ALL {
            assert_eq!(Key::parse(key.name()), Some(key));
            match key.bounds() {
                Bounds::Whole(least, most) => {
                    let (least, most) = (i128::from(least), i128::from(most));
                    assert_eq!(key.whole(least).map(|_| ()), Ok(()));
                    assert_eq!(key.whole(most).map(|_| ()), Ok(()));
                    for beyond in [least - 1, most + 1, -1, i128::from(u64::MAX), i128::MIN] {
                        let why = key.whole(beyond).expect_err("beyond");
                        assert!(
                            why.contains(key.name()) && why.contains(&format!("must be {least} to {most}")),
                            "{why}"
                        );
                    }
                    assert!(key.text("10").is_err());
                }
                Bounds::Text(most) => {
                    let most = most as usize;
                    for good in ["x", "Brücke gesperrt – bis 18 Uhr", &"é".repeat(most)] {
                        assert_eq!(key.text(good), Ok(Value::Text(good.to_owned())));
                    }
                    for bad in ["", "  ", &"x".repeat(most + 1), "two\nlines", "\u{202e}dlrow", "a\u{200b}b", "\u{7}"] {
                        assert!(key.text(bad).is_err(), "{bad:?}");
                    }
                    assert!(key.whole(1).is_err());
                }
            }
        }
    }

    #[test]
    fn nothing_that_is_set_makes_a_shift_longer_or_is_said_more_often_than_the_car_does() {
        let own = Duration::from_secs(12 * 3600);
        assert_eq!(values(&[(Key::LongestShift, 10)]).longest_shift(own), Duration::from_secs(36_000));
        assert_eq!(values(&[(Key::LongestShift, 24)]).longest_shift(own), own);
        assert_eq!(Values::default().longest_shift(own), own);
        assert!(Key::Position.whole(1).is_err() && Key::Health.whole(9).is_err());
        let own = Budgets { pictures_mb: 50, hit_pictures_mb: 200, lists_mb: 100 };
        let set = values(&[(Key::MeteredPictures, 0), (Key::MeteredHitPictures, 900), (Key::MeteredLists, 20)]);
        assert_eq!(set.budgets(own), Budgets { pictures_mb: 0, hit_pictures_mb: 200, lists_mb: 20 });
        assert_eq!(Values::default().budgets(own), own);
    }

    #[test]
    fn what_changes_is_said_from_what_to_what_and_words_for_the_crew_are_not_repeated() {
        let before = values(&[(Key::LongestShift, 10), (Key::Drill, 7)]);
        let mut after = values(&[(Key::LongestShift, 8), (Key::Health, 60)]);
        after.0.insert(Key::Notice, Key::Notice.text("Look for J. Smith").expect("short"));
        assert_eq!(
            after.changed_from(&before),
            "longest_shift_h from 10 to 8, drill_days from 7 to the car's own, health_s from the car's own to 60, a notice \
             of 17 characters"
        );
        assert_eq!(before.changed_from(&before), "nothing changed");
        assert!(Values::default().changed_from(&after).ends_with("the notice is taken back"));
        assert_eq!(after.words(), "longest_shift_h 8, health_s 60, notice of 17 characters");
        assert!(!format!("{after:?} {}", after.words()).contains("Smith"));
        assert_eq!(
            after.over(&before).words(),
            "longest_shift_h 8, drill_days 7, health_s 60, notice of 17 characters"
        );
    }
}
