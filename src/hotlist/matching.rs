//! What a read means against the lists.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local, Utc};

use super::entry::Entry;
use super::head::{ListHead, Thresholds};
use super::index::Packed;
use super::likely::{Edit, Likely, Places};
use super::snapshot::{Listed, Snapshot};
use super::verdicts::Verdict;
use crate::plate::{self, Vrm};
use crate::recognise::Read;

/// How a read matches an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum How {
    /// Every glyph is the same.
    Exact,
    /// Some characters are taken for others, one may be lost or added.
    Probable,
    /// The entry is a pattern that the read fits.
    Pattern,
    /// The list is one of vehicles that may be here, and this is none of them.
    Absent,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Probable => "probable",
            Self::Pattern => "pattern",
            Self::Absent => "absent",
        })
    }
}

/// How far a hit may be trusted, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Have a look, no more.
    Possible,
    /// Likely, but something is weak.
    Probable,
    /// Read surely, matched exactly, nothing against it.
    Certain,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Possible => "possible",
            Self::Probable => "probable",
            Self::Certain => "certain",
        })
    }
}

/// What speaks against a hit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contradiction {
    /// The entry says that it does not count any more.
    Expired {
        /// Since when.
        on: DateTime<Utc>,
    },
    /// Nobody has brought the list up to date for long.
    ListStale {
        /// How long.
        age: Duration,
    },
    /// The VRM is listed, but the store could not give the entry: nothing but the VRM is known.
    EntryUnreadable,
    /// The plate looks like one of another country.
    Country {
        /// What the entry says.
        listed: String,
        /// What was seen.
        seen: String,
    },
    /// The camera saw another class of vehicle.
    Class {
        /// What the entry says.
        listed: String,
        /// What was seen.
        seen: String,
    },
    /// The camera saw another colour.
    Colour {
        /// What the entry says.
        listed: String,
        /// What was seen.
        seen: String,
    },
    /// The entry is of a UK vehicle, and no UK plate is laid out like what was read.
    Layout,
    /// The crew has judged this pair of read and entry wrong, and it is to be silent.
    JudgedWrong {
        /// Until when.
        until: DateTime<Utc>,
    },
    /// Another crew has found this very pair of read and entry false, or the entry out of date.
    FoundFalse {
        /// Who, and when.
        verdict: Verdict,
    },
    /// The list counts in one area only, and where the vehicle was seen is not known.
    PlaceUnknown,
    /// The list counts at certain hours only, and no satellite has told the time.
    TimeUnknown,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { on } => write!(f, "the entry expired on {}", on.format("%Y-%m-%d")),
            Self::ListStale { age } => match age.as_secs() / 3600 {
                hours @ ..48 => write!(f, "the list is {hours} hours old"),
                hours => write!(f, "the list is {} days old", hours / 24),
            },
            Self::EntryUnreadable => f.write_str("the entry cannot be read from the store"),
            Self::Country { listed, seen } => {
                write!(f, "the plate is laid out like one of {seen}, the entry is of {listed}")
            }
            Self::Class { listed, seen } => write!(f, "the camera saw a {seen}, the entry says {listed}"),
            Self::Colour { listed, seen } => write!(f, "the camera saw {seen}, the entry says {listed}"),
            Self::Layout => f.write_str("no UK plate is laid out like this"),
            Self::JudgedWrong { until } => {
                write!(f, "this pair was judged wrong and is silent until {}", until.format("%Y-%m-%d"))
            }
            Self::FoundFalse { verdict } => f.write_str(&verdict.words()),
            Self::PlaceUnknown => f.write_str("the list counts in an area only and the position is not known"),
            Self::TimeUnknown => f.write_str("the list counts at certain hours only and the time is not known"),
        }
    }
}

/// The character of a hit that is least sure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weakest {
    /// Its place in the listed text, from 0.
    pub place: usize,
    /// The character that is listed; `None`: the read has one more than the entry here.
    pub listed: Option<char>,
    /// The character that was read; `None`: the read has one fewer than the entry here.
    pub read: Option<char>,
    /// Probability that the listed one is there (or none, where none is listed).
    pub p: f32,
}

/// A read that matches an entry.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The list that has the entry.
    pub list: Arc<ListHead>,
    /// The entry; for [`How::Absent`], one that says what was read.
    pub entry: Entry,
    /// How the read matches it.
    pub how: How,
    /// Probability that the vehicle bears the listed VRM (fits the pattern, is not on the white list).
    pub probability: f32,
    /// How far it may be trusted.
    pub grade: Grade,
    /// The character that is least sure; `None` where the read does not say, or for a pattern.
    pub weakest: Option<Weakest>,
    /// How many looks the read was fused of.
    pub looks: u32,
    /// How many of them read what the read says.
    pub agreeing: u32,
    /// What speaks against it; empty if nothing is known to.
    pub against: Vec<Contradiction>,
    /// Time since the list was produced (or received, where it does not say), by the time of the read.
    pub list_age: Duration,
    /// What another crew found of this very pair of read and entry, the newest.
    pub other_crew: Option<Verdict>,
}

impl Hit {
    /// Whether a crew of the roles `on_board` is not to be told: the list is covert, or for others, or the pair was judged
    /// wrong.
    pub fn is_silent(&self, on_board: &[String]) -> bool {
        let settings = &self.list.settings;
        settings.covert
            || !settings.is_for(on_board)
            || self.against.iter().any(|c| matches!(c, Contradiction::JudgedWrong { .. }))
    }

    /// The grade that it would have if only what `counts` spoke against it.
    pub fn grade_if(&self, counts: impl Fn(&Contradiction) -> bool) -> Grade {
        graded(self.how, self.probability, self.against.iter().any(counts), self.list.settings.thresholds)
    }
}

/// What is known of a read beside its text.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// When it was seen.
    pub utc: DateTime<Utc>,
    /// Whether that time can be trusted.
    pub timed: bool,
    /// Latitude and longitude.
    pub place: Option<(f64, f64)>,
    /// The country of the plate, as on its oval, where the camera could tell.
    pub country: Option<String>,
    /// The class of the vehicle, where the camera could tell.
    pub class: Option<String>,
    /// Its colour, where the camera could tell.
    pub colour: Option<String>,
    /// From which age on a list speaks against its hits, where that is earlier than after a week.
    pub lists_stale: Option<Duration>,
}

/// From which age on a list speaks against its own hits.
const LIST_STALE: Duration = Duration::from_secs(7 * 86_400);
/// A text that is less likely than this does not decide whether a pattern fits.
const PATTERN_SHARE: f32 = 0.02;

/// A read being matched.
struct Matcher<'a> {
    snapshot: &'a Snapshot,
    read: &'a Read,
    seen: &'a Circumstances,
    own: Packed,
    /// What the characters say; `None` for a read without them.
    places: Option<Places>,
    /// The texts that the vehicle may bear.
    texts: Vec<Likely>,
    /// How far the read is of a plate at all: what its confidence says beyond its characters.
    plate: f32,
    hits: Vec<Hit>,
}

/// Only what the lists hold glyph by glyph.
pub(super) fn exact(snapshot: &Snapshot, read: &Read, seen: &Circumstances) -> Vec<Hit> {
    let Some(own) = Packed::of(&read.text) else { return Vec::new() };
    let mut matcher =
        Matcher { snapshot, read, seen, own, places: None, texts: Vec::new(), plate: 1.0, hits: Vec::new() };
    for list in &snapshot.lists {
        if list.index.holds(own) && !list.head.settings.white && matcher.counts(&list.head) {
            matcher.own_text(list);
        }
    }
    matcher.finish()
}

/// Everything that the lists have to say of `read`.
pub(super) fn all(snapshot: &Snapshot, read: &Read, seen: &Circumstances) -> Vec<Hit> {
    let Some(own) = Packed::of(&read.text) else { return Vec::new() };
    let places = Some(&read.characters).filter(|c| c.len() == read.text.len()).and_then(|c| Places::of(c));
    let (texts, plate) = match &places {
        None => (Vec::new(), 1.0),
        Some(places) => {
            let listed = |packed| snapshot.lists.iter().any(|list| list.index.holds(packed));
            let texts = places.texts(&snapshot.traffic, snapshot.least, listed);
            (texts, (read.confidence / places.top().max(f32::MIN_POSITIVE)).min(1.0))
        }
    };
    let mut matcher = Matcher { snapshot, read, seen, own, places, texts, plate, hits: Vec::new() };
    for list in snapshot.lists.iter().filter(|list| matcher.counts(&list.head)).collect::<Vec<_>>() {
        if list.head.settings.white {
            matcher.absent(list);
            continue;
        }
        if list.index.holds(own) {
            matcher.own_text(list);
        }
        matcher.other_texts(list);
        matcher.patterns(list);
    }
    matcher.finish()
}

impl Matcher<'_> {
    /// Whether the list counts at this time and place.
    fn counts(&self, list: &ListHead) -> bool {
        let local = self.seen.utc.with_timezone(&Local).time();
        // Where the time or the place is not known the list counts, and the hit says so.
        list.settings.hours.is_none_or(|hours| !self.seen.timed || hours.hold(local))
            && self.seen.place.is_none_or(|(lat, lon)| list.settings.covers(lat, lon))
    }

    /// The read's own text is on the list.
    fn own_text(&mut self, list: &Listed) {
        // The read's confidence knows more than its characters, such as whether it is a plate at all; the texts know of
        // listed neighbours. The more doubtful of the two counts.
        let share = self.texts.iter().find(|text| text.packed() == self.own).map(|text| text.share);
        let probability = share.unwrap_or(1.0).min(self.read.confidence);
        let weakest = self.weakest(&self.own.numbers().0[..self.read.text.len()], Edit::None);
        self.entries(list, self.own, How::Exact, probability, weakest);
    }

    /// Other texts that the read may mean are on the list.
    fn other_texts(&mut self, list: &Listed) {
        for index in 0..self.texts.len() {
            let text = self.texts[index];
            let probability = text.share * self.plate;
            let packed = text.packed();
            if text.listed
                && packed != self.own
                && probability >= list.head.settings.thresholds.possible
                && list.index.holds(packed)
            {
                let weakest = self.weakest(text.numbers(), text.edit);
                self.entries(list, packed, How::Probable, probability, weakest);
            }
        }
    }

    /// Patterns that the read, or what it may mean, fits.
    fn patterns(&mut self, list: &Listed) {
        if list.patterns.automaton.len() == 0 {
            return;
        }
        let own = list.patterns.automaton.matches(&self.read.text);
        let mut fitting: Vec<(u32, f32)> = Vec::new();
        let mut add = |number: u32, share: f32| match fitting.iter_mut().find(|(known, _)| *known == number) {
            Some((_, sum)) => *sum += share,
            None => fitting.push((number, share)),
        };
        for text in self.texts.iter().filter(|text| text.share >= PATTERN_SHARE && text.packed() != self.own) {
            for number in list.patterns.automaton.matches(&text.text()) {
                add(number, text.share * self.plate);
            }
        }
        let share = self.texts.iter().find(|text| text.packed() == self.own).map(|text| text.share * self.plate);
        for number in &own {
            add(*number, share.unwrap_or(self.read.confidence));
        }
        for (number, probability) in fitting {
            // What the camera read is told in any case; what it may have meant, if it is likely enough.
            if own.contains(&number) || probability >= list.head.settings.thresholds.possible {
                for entry in &list.patterns.entries[number as usize] {
                    self.hit(list, Ok(entry.clone()), How::Pattern, probability.min(1.0), None);
                }
            }
        }
    }

    /// The list is one of vehicles that may be here.
    fn absent(&mut self, list: &Listed) {
        let fits = |text: &str| !list.patterns.automaton.matches(text).is_empty();
        if list.index.holds(self.own) || fits(&self.read.text) {
            return;
        }
        let on_it: f32 = self
            .texts
            .iter()
            .filter(|text| list.index.holds(text.packed()) || fits(&text.text()))
            .map(|text| text.share)
            .sum();
        let probability = (1.0 - on_it).max(0.0) * self.read.confidence;
        if probability >= list.head.settings.thresholds.possible
            && let Ok(vrm) = Vrm::parse(&self.read.text)
        {
            let entry = Entry {
                reason: format!("not on {}", list.head.name),
                priority: list.head.settings.priority,
                ..Entry::bare(vrm)
            };
            self.hit(list, Ok(entry), How::Absent, probability, None);
        }
    }

    /// A hit for each entry that the list has under `packed`.
    fn entries(&mut self, list: &Listed, packed: Packed, how: How, probability: f32, weakest: Option<Weakest>) {
        let entries = list.entries(packed).unwrap_or_else(|_| vec![Err(String::new())]);
        for entry in entries {
            self.hit(list, entry.map_err(|_| packed), how, probability, weakest);
        }
    }

    /// A hit with what speaks against it. Where the store does not give the entry, the hit is poorer, not silent.
    fn hit(
        &mut self,
        list: &Listed,
        entry: Result<Entry, Packed>,
        how: How,
        probability: f32,
        weakest: Option<Weakest>,
    ) {
        let mut against = Vec::new();
        let entry = match entry {
            Ok(entry) => entry,
            Err(packed) => {
                let (numbers, length) = packed.numbers();
                let text: String = numbers[..length].iter().map(|n| plate::ALPHABET[usize::from(*n)] as char).collect();
                let Ok(vrm) = Vrm::parse(&plate::settle(&text)) else { return };
                against.push(Contradiction::EntryUnreadable);
                Entry::bare(vrm)
            }
        };
        let utc = self.seen.utc;
        if let Some(on) = entry.expires.filter(|on| *on <= utc) {
            against.push(Contradiction::Expired { on });
        }
        let list_age = list.head.age(utc);
        if list_age > self.seen.lists_stale.unwrap_or(LIST_STALE).min(LIST_STALE) {
            against.push(Contradiction::ListStale { age: list_age });
        }
        let differs = |listed: &str, seen: &Option<String>| {
            let seen = seen.as_deref()?;
            (!listed.is_empty() && !alike(listed, seen)).then(|| (listed.to_owned(), seen.to_owned()))
        };
        if let Some((listed, seen)) = differs(&entry.country, &self.seen.country) {
            against.push(Contradiction::Country { listed, seen });
        }
        if let Some((listed, seen)) = differs(&entry.class, &self.seen.class) {
            against.push(Contradiction::Class { listed, seen });
        }
        if let Some((listed, seen)) = differs(&entry.colour, &self.seen.colour) {
            against.push(Contradiction::Colour { listed, seen });
        }
        if how != How::Absent && is_uk(&entry.country) && plate::layout(&self.read.raw).is_none() {
            against.push(Contradiction::Layout);
        }
        if let Some(until) = self.snapshot.silenced.until(&list.head.id, entry.vrm.as_str(), &self.read.text, utc) {
            against.push(Contradiction::JudgedWrong { until });
        }
        if self.seen.place.is_none() && !list.head.settings.area.is_empty() {
            against.push(Contradiction::PlaceUnknown);
        }
        if !self.seen.timed && list.head.settings.hours.is_some() {
            against.push(Contradiction::TimeUnknown);
        }
        let grade = graded(how, probability, !against.is_empty(), list.head.settings.thresholds);
        self.hits.push(Hit {
            list: list.head.clone(),
            entry,
            how,
            probability,
            grade,
            weakest,
            looks: self.read.looks,
            agreeing: self.read.agreeing,
            against,
            list_age,
            other_crew: None,
        });
    }

    /// The character of the listed text that is least sure.
    fn weakest(&self, listed: &[u8], edit: Edit) -> Option<Weakest> {
        let places = self.places.as_ref()?;
        let letter = |number: u8| plate::ALPHABET[usize::from(number)] as char;
        let shown = |place: usize| self.read.raw.as_bytes().get(place).map(|byte| *byte as char);
        match edit {
            Edit::Lost(place) => {
                Some(Weakest { place, listed: Some(letter(listed[place])), read: None, p: Likely::LOST })
            }
            Edit::Added(place) => Some(Weakest { place, listed: None, read: shown(place), p: places.none(place) }),
            Edit::None => listed
                .iter()
                .enumerate()
                .map(|(place, number)| {
                    let p = places.p(place, *number);
                    // Where it is the same glyph, it is named as it was read.
                    let read = shown(place);
                    let listed = read.filter(|c| plate::fold_char(*c) == letter(*number)).unwrap_or(letter(*number));
                    Weakest { place, listed: Some(listed), read, p }
                })
                .min_by(|a, b| a.p.total_cmp(&b.p)),
        }
    }

    /// The hits, most trusted and most urgent first.
    fn finish(mut self) -> Vec<Hit> {
        sort(&mut self.hits);
        self.hits
    }
}

/// Puts the most trusted and most urgent hits first.
pub(super) fn sort(hits: &mut [Hit]) {
    hits.sort_by(|a, b| {
        b.grade
            .cmp(&a.grade)
            .then(a.against.len().cmp(&b.against.len()))
            .then(b.entry.priority.cmp(&a.entry.priority))
            .then(b.probability.total_cmp(&a.probability))
    });
}

/// What is approximate, a pattern or without entry is never certain; what is contradicted is possible and no more.
fn graded(how: How, probability: f32, contradicted: bool, thresholds: Thresholds) -> Grade {
    let by_probability = if probability >= thresholds.certain {
        Grade::Certain
    } else if probability >= thresholds.probable {
        Grade::Probable
    } else {
        Grade::Possible
    };
    let best = match how {
        _ if contradicted => Grade::Possible,
        How::Exact => Grade::Certain,
        How::Probable | How::Pattern | How::Absent => Grade::Probable,
    };
    by_probability.min(best)
}

fn is_uk(country: &str) -> bool {
    let country = country.trim();
    ["GB", "UK", "GBR", "Great Britain", "United Kingdom"].iter().any(|uk| country.eq_ignore_ascii_case(uk))
}

/// Whether what the entry says and what the camera saw may be the same. Cameras take silver for grey.
fn alike(listed: &str, seen: &str) -> bool {
    let known = |text: &str| match text.trim().to_lowercase().as_str() {
        "grey" | "gray" | "silver" => "grey".to_owned(),
        "uk" | "gbr" | "great britain" | "united kingdom" => "gb".to_owned(),
        "motorbike" => "motorcycle".to_owned(),
        other => other.to_owned(),
    };
    known(listed) == known(seen)
}
