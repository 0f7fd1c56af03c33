//! What is known of a list as a whole, and how its owner wants it used.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Timelike, Utc};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::entry::Priority;
use super::own::OWN;

/// What is known of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListHead {
    /// Names it for good: "pnc".
    pub id: String,
    /// For people.
    pub name: String,
    /// Grows with every change.
    pub revision: u64,
    /// When its source made it; when it was received, where that is not said.
    pub produced: DateTime<Utc>,
    /// When it came into this store.
    pub received: DateTime<Utc>,
    /// How many entries it has.
    pub count: u64,
    /// How many of these are patterns.
    pub patterns: u64,
    /// How its owner wants it used.
    #[serde(flatten)]
    pub settings: Settings,
    /// Names its content along the chain of revisions; none for a list that no office has signed.
    #[serde(skip)]
    pub(super) state: Option<[u8; 32]>,
    #[serde(skip)]
    pub(super) generation: u64,
}

/// How the owner of a list wants it used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Who answers for it: "Roads policing unit".
    pub owner: String,
    /// The priority of entries that name none.
    pub priority: Priority,
    /// From which probability on a hit has which grade.
    pub thresholds: Thresholds,
    /// The sound of its alerts. How sure they are sounds the same in each.
    pub tone: Tone,
    /// The colour beside its alerts. How sure they are looks the same with each.
    pub colour: Colour,
    /// The car says nothing of its hits; the office is told.
    pub covert: bool,
    /// A list of those that may be here: a vehicle that is not on it is the hit.
    pub white: bool,
    /// The roles that may see it; empty: all. Where none of them is on board, it is covert.
    pub audience: Vec<String>,
    /// How long its hits are kept in the car, hours, as far as the car's configuration allows; default: as that says.
    pub keep_hits_h: Option<u32>,
    /// The hours of the day in which it counts, the car's local time; default: all.
    pub hours: Option<Hours>,
    /// Latitude and longitude of the corners of the area in which it counts; empty: everywhere.
    pub area: Vec<[f64; 2]>,
    /// How long a pair of read and entry that was judged wrong is silent, hours; default: thirty days.
    pub silence_h: Option<u32>,
}

/// The sound that tells one list's alerts from another's: the same rhythm and pitch for each grade, another voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// A horn.
    #[default]
    Horn,
    /// A whistle, at half the loudness: for what is good to know.
    Whistle,
    /// A bell, struck and fading.
    Bell,
    /// A reed, harsh.
    Reed,
}

/// The colour that tells one list's alerts from another's. None of them is that of a grade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// No colour of its own.
    #[default]
    None,
    /// Blue.
    Blue,
    /// Green.
    Green,
    /// Violet.
    Violet,
    /// Grey.
    Grey,
}

impl Tone {
    /// Every tone.
    pub const ALL: [Self; 4] = [Self::Horn, Self::Whistle, Self::Bell, Self::Reed];

    /// Its name in a list's settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Horn => "horn",
            Self::Whistle => "whistle",
            Self::Bell => "bell",
            Self::Reed => "reed",
        }
    }

    /// The tone of that name. A later office may hand down one that this car does not have: the alert then has the common
    /// one, for a list without its sound is better than no list.
    fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|tone| tone.name() == name).unwrap_or_default()
    }
}

impl Colour {
    /// Every colour.
    pub const ALL: [Self; 5] = [Self::None, Self::Blue, Self::Green, Self::Violet, Self::Grey];

    /// Its name in a list's settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Blue => "blue",
            Self::Green => "green",
            Self::Violet => "violet",
            Self::Grey => "grey",
        }
    }

    /// The colour of that name; see [`Tone::named`].
    fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|colour| colour.name() == name).unwrap_or_default()
    }
}

/// From which probability on a hit has which grade. A hit that nothing but characters speak for and that is weaker than
/// `possible` is none. The default ones keep false approximate hits against five million entries near one in 10,000 reads;
/// a small list can afford lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Certain from here on.
    pub certain: f32,
    /// Probable from here on.
    pub probable: f32,
    /// Possible from here on.
    pub possible: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { certain: 0.9, probable: 0.8, possible: 0.7 }
    }
}

/// Hours of the day, from `from` until `until`; over midnight where `until` is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// "22:00"
    #[serde(with = "clock_time")]
    pub from: NaiveTime,
    /// "06:00"
    #[serde(with = "clock_time")]
    pub until: NaiveTime,
}

impl Hours {
    /// Whether `time` is within.
    pub fn hold(&self, time: NaiveTime) -> bool {
        if self.from <= self.until {
            (self.from..self.until).contains(&time)
        } else {
            time >= self.from || time < self.until
        }
    }
}

mod clock_time {
    use chrono::NaiveTime;
    use serde::{Deserialize, Deserializer, Serializer};

    const FORMAT: &str = "%H:%M";

    pub(super) fn serialize<S: Serializer>(time: &NaiveTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.format(FORMAT).to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        NaiveTime::parse_from_str(&text, FORMAT)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is not a time of day such as \"22:00\"")))
    }
}

impl ListHead {
    /// Whether the office has signed it; else it was imported at the car, or is the crew's own.
    pub fn is_signed(&self) -> bool {
        self.state.is_some()
    }

    /// Time since the list was produced; zero if that lies ahead of `utc`, and for the crew's own list, which is kept here and
    /// whose entries all have an end.
    pub fn age(&self, utc: DateTime<Utc>) -> Duration {
        if self.id == OWN {
            return Duration::ZERO;
        }
        (utc - self.produced).to_std().unwrap_or_default()
    }
}

impl Settings {
    /// Reads settings from TOML, or says why they are none.
    ///
    /// # Errors
    /// A clause saying what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        settings.check()?;
        Ok(settings)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let Thresholds { certain, probable, possible } = self.thresholds;
        let rising = [0.0, possible, probable, certain, 1.0].windows(2).all(|pair| pair[0] <= pair[1]);
        if !rising || possible <= 0.0 {
            return Err("its thresholds must rise from possible (above 0) over probable to certain (1 at most)".into());
        }
        if self.audience.iter().any(|role| role.trim().is_empty()) {
            return Err("a role of its audience has no name".into());
        }
        if self.keep_hits_h == Some(0) {
            return Err("keep_hits_h is 0, must be 1 hour or more".into());
        }
        if matches!(self.area.len(), 1 | 2) {
            return Err("its area has fewer than three corners".into());
        }
        if self.area.iter().any(|[lat, lon]| !(-90.0..=90.0).contains(lat) || !(-180.0..=180.0).contains(lon)) {
            return Err("a corner of its area is not a latitude and a longitude in degrees".into());
        }
        Ok(())
    }

    /// Whether the place lies in the list's area, its border included on two sides; true where it has none.
    pub fn covers(&self, lat: f64, lon: f64) -> bool {
        if self.area.is_empty() {
            return true;
        }
        let mut inside = false;
        for (index, [lat_b, lon_b]) in self.area.iter().enumerate() {
            let [lat_a, lon_a] = self.area[(index + self.area.len() - 1) % self.area.len()];
            // How often a line due east crosses the border.
            if (lat_a > lat) != (*lat_b > lat) && lon < (lon_b - lon_a) * (lat - lat_a) / (lat_b - lat_a) + lon_a {
                inside = !inside;
            }
        }
        inside
    }

    /// Whether somebody who has one of the roles `on_board` may see it.
    pub fn is_for(&self, on_board: &[String]) -> bool {
        let same = |role: &String| on_board.iter().any(|held| held.trim().eq_ignore_ascii_case(role.trim()));
        self.audience.is_empty() || self.audience.iter().any(same)
    }

    /// How long a pair that was judged wrong is silent.
    pub(super) fn silence(&self) -> Duration {
        Duration::from_secs(u64::from(self.silence_h.unwrap_or(30 * 24)) * 3600)
    }
}

/// Settings as they are stored and handed down. A number is never used again for something else.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredSettings {
    #[prost(string, tag = "1")]
    owner: String,
    #[prost(uint32, tag = "2")]
    priority: u32,
    #[prost(float, tag = "3")]
    certain: f32,
    #[prost(float, tag = "4")]
    probable: f32,
    #[prost(float, tag = "5")]
    possible: f32,
    #[prost(string, tag = "6")]
    tone: String,
    #[prost(string, tag = "7")]
    colour: String,
    #[prost(bool, tag = "8")]
    covert: bool,
    #[prost(bool, tag = "9")]
    white: bool,
    #[prost(string, repeated, tag = "10")]
    audience: Vec<String>,
    #[prost(uint32, optional, tag = "11")]
    keep_hits_h: Option<u32>,
    /// Minutes of the day: from and until.
    #[prost(uint32, repeated, tag = "12")]
    hours: Vec<u32>,
    /// Latitudes and longitudes in turn.
    #[prost(double, repeated, tag = "13")]
    area: Vec<f64>,
    #[prost(uint32, optional, tag = "14")]
    silence_h: Option<u32>,
}

impl From<&Settings> for StoredSettings {
    fn from(settings: &Settings) -> Self {
        let minutes = |time: NaiveTime| time.num_seconds_from_midnight() / 60;
        Self {
            owner: settings.owner.clone(),
            priority: settings.priority.number(),
            certain: settings.thresholds.certain,
            probable: settings.thresholds.probable,
            possible: settings.thresholds.possible,
            tone: settings.tone.name().into(),
            colour: settings.colour.name().into(),
            covert: settings.covert,
            white: settings.white,
            audience: settings.audience.clone(),
            keep_hits_h: settings.keep_hits_h,
            hours: settings.hours.map_or_else(Vec::new, |hours| vec![minutes(hours.from), minutes(hours.until)]),
            area: settings.area.iter().flatten().copied().collect(),
            silence_h: settings.silence_h,
        }
    }
}

impl TryFrom<StoredSettings> for Settings {
    type Error = String;

    fn try_from(stored: StoredSettings) -> Result<Self, String> {
        let time = |minutes: u32| {
            NaiveTime::from_num_seconds_from_midnight_opt(minutes.saturating_mul(60), 0)
                .ok_or("a list's hours are no times of day")
        };
        let settings = Self {
            owner: stored.owner,
            priority: Priority::from_number(stored.priority).ok_or("a list's priority is none")?,
            thresholds: Thresholds { certain: stored.certain, probable: stored.probable, possible: stored.possible },
            tone: Tone::named(&stored.tone),
            colour: Colour::named(&stored.colour),
            covert: stored.covert,
            white: stored.white,
            audience: stored.audience,
            keep_hits_h: stored.keep_hits_h,
            hours: match stored.hours[..] {
                [] => None,
                [from, until] => Some(Hours { from: time(from)?, until: time(until)? }),
                _ => return Err("a list's hours are no pair of times".into()),
            },
            area: stored.area.chunks_exact(2).map(|corner| [corner[0], corner[1]]).collect(),
            silence_h: stored.silence_h,
        };
        settings.check()?;
        Ok(settings)
    }
}

/// A head as it is stored: a version byte, then this. A number is never used again for something else.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredHead {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    #[prost(int64, tag = "3")]
    pub(super) produced: i64,
    #[prost(int64, tag = "4")]
    pub(super) received: i64,
    #[prost(uint64, tag = "5")]
    pub(super) count: u64,
    #[prost(uint64, tag = "6")]
    pub(super) patterns: u64,
    /// Empty: none.
    #[prost(bytes = "vec", tag = "7")]
    pub(super) state: Vec<u8>,
    #[prost(uint64, tag = "8")]
    pub(super) generation: u64,
    #[prost(message, optional, tag = "9")]
    pub(super) settings: Option<StoredSettings>,
}

const VERSION: u8 = 2;

impl ListHead {
    /// The bytes that are stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = StoredHead {
            name: self.name.clone(),
            revision: self.revision,
            produced: self.produced.timestamp(),
            received: self.received.timestamp(),
            count: self.count,
            patterns: self.patterns,
            state: self.state.map_or_else(Vec::new, |hash| hash.to_vec()),
            generation: self.generation,
            settings: Some(StoredSettings::from(&self.settings)),
        };
        let mut bytes = vec![VERSION];
        stored.encode_raw(&mut bytes);
        bytes
    }

    /// The head of list `id` in `bytes`, or why there is none.
    pub(super) fn decode(id: &str, bytes: &[u8]) -> Result<Self, String> {
        let stored = match bytes {
            [VERSION, rest @ ..] => StoredHead::decode(rest).map_err(|error| error.to_string())?,
            _ => return Err(format!("the head of list {id} is of another version")),
        };
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or("a date of a list is none");
        Ok(Self {
            id: id.to_owned(),
            name: stored.name,
            revision: stored.revision,
            produced: time(stored.produced)?,
            received: time(stored.received)?,
            count: stored.count,
            patterns: stored.patterns,
            settings: stored.settings.ok_or("a list has no settings")?.try_into()?,
            state: match stored.state.len() {
                0 => None,
                _ => Some(stored.state.try_into().map_err(|_| "a list's hash is none")?),
            },
            generation: stored.generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").expect("a time")
    }

    #[test]
    fn settings_come_from_toml_and_survive_being_stored() {
        let settings = Settings::parse(
            "owner = \"RPU\"\npriority = \"high\"\ncovert = true\naudience = [\"sergeant\"]\nkeep_hits_h = 12\n\
             tone = \"bell\"\ncolour = \"violet\"\n\
             thresholds = { certain = 0.95, probable = 0.8, possible = 0.5 }\nhours = { from = \"22:00\", until = \"06:00\" }\n\
             area = [[51.0, 0.0], [51.0, 1.0], [52.0, 0.5]]\n",
        )
        .expect("settings");
        assert_eq!((settings.priority, settings.thresholds.possible), (Priority::High, 0.5));
        assert_eq!(Settings::try_from(StoredSettings::from(&settings)), Ok(settings));
        assert_eq!(Settings::try_from(StoredSettings::from(&Settings::default())), Ok(Settings::default()));
        for (text, why) in [
            ("color = \"red\"", "unknown field"),
            ("tone = \"siren\"", "expected one of `horn`, `whistle`, `bell`, `reed`"),
            ("colour = \"red\"", "expected one of `none`, `blue`"),
            ("audience = [\" \"]", "no name"),
            ("keep_hits_h = 0", "keep_hits_h is 0"),
            ("thresholds = { certain = 0.5, probable = 0.8 }", "must rise"),
            ("thresholds = { possible = 0.0 }", "must rise"),
            ("area = [[51.0, 0.0]]", "three corners"),
            ("area = [[151.0, 0.0], [0.0, 0.0], [1.0, 1.0]]", "latitude"),
            ("hours = { from = \"25:00\", until = \"06:00\" }", "time of day"),
        ] {
            assert!(Settings::parse(text).is_err_and(|said| said.contains(why)), "{text}");
        }
    }

    #[test]
    fn a_tone_that_a_later_office_has_is_the_common_one_and_the_list_is_used() {
        for (tone, colour) in Tone::ALL.into_iter().zip(Colour::ALL) {
            let settings = Settings { tone, colour, ..Settings::default() };
            assert_eq!(Settings::try_from(StoredSettings::from(&settings)), Ok(settings));
        }
        let later = StoredSettings { tone: "gong".into(), colour: "pink".into(), ..(&Settings::default()).into() };
        assert_eq!(Settings::try_from(later), Ok(Settings::default()));
    }

    #[test]
    fn a_list_is_for_its_audience_only() {
        let of = |audience: &[&str]| Settings {
            audience: audience.iter().map(|role| (*role).to_owned()).collect(),
            ..Settings::default()
        };
        let on_board = ["Constable".to_owned()];
        assert!(of(&[]).is_for(&[]) && of(&[]).is_for(&on_board) && of(&["sergeant", "constable"]).is_for(&on_board));
        assert!(!of(&["sergeant"]).is_for(&on_board) && !of(&["constable"]).is_for(&[]));
    }

    #[test]
    fn hours_go_over_midnight() {
        let night = Hours { from: time("22:00"), until: time("06:00") };
        assert!(night.hold(time("23:59")) && night.hold(time("05:59")) && !night.hold(time("06:00")));
        let day = Hours { from: time("08:00"), until: time("18:00") };
        assert!(day.hold(time("08:00")) && !day.hold(time("18:00")) && !day.hold(time("03:00")));
    }

    #[test]
    fn an_area_may_be_of_any_shape() {
        // An L.
        let area = vec![[0.0, 0.0], [0.0, 4.0], [1.0, 4.0], [1.0, 1.0], [3.0, 1.0], [3.0, 0.0]];
        let settings = Settings { area, ..Settings::default() };
        assert!(settings.covers(0.5, 3.0) && settings.covers(2.5, 0.5));
        assert!(!settings.covers(2.0, 2.0) && !settings.covers(-0.1, 0.5) && !settings.covers(0.5, 4.5));
        assert!(Settings::default().covers(90.0, 180.0));
    }
}
