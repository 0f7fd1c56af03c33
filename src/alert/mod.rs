//! What the crew is told of a hit: grade, words, tone and voice.
//!
//! [`Desk`] is pure logic: it grades, folds repeats of one vehicle, corrects and withdraws, and keeps the queue.
//! [`Speaker`] owns the sound card on a thread of its own. Neither waits for anything.

mod chart;
mod desk;
mod rehearsal;
mod speaker;
mod tone;
mod voice;
mod words;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::Moment;
use crate::hotlist::{Colour, Tone};
use crate::recognise::{ReadId, Thumbnail};

pub use chart::{Case, Chart, Outline, Rgb, SIDE as OUTLINE_SIDE, Shades, Step, Symbol};
pub use desk::{Change, Desk, Policy};
pub use rehearsal::Rehearsal;
pub use speaker::{CardOfMemory, DeviceSounder, Output, Playback, SoundState, Sounder, Speaker, Volume, record, wav};
pub use tone::{RATE, tone};
pub use voice::check as check_voice;
pub use words::{ago, spell, vehicle};

/// How far an alert may be trusted, weakest first. It decides colour, tone and the first word spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Approximate, expired, contradicted or badly read: have a look, no more.
    Possible,
    /// The VRM matches, but something about read, entry or list is weak.
    Probable,
    /// Read surely, matched exactly, entry and list fresh, nothing against it.
    Certain,
}

impl Grade {
    /// Every grade, most trusted first.
    pub const ALL: [Grade; 3] = [Grade::Certain, Grade::Probable, Grade::Possible];

    /// The word for it, lower case.
    pub fn word(self) -> &'static str {
        match self {
            Grade::Certain => "certain",
            Grade::Probable => "probable",
            Grade::Possible => "possible",
        }
    }
}

/// Names one alert within a run of the unit; counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(pub u64);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How a read came to match an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// Character by character (shared glyphs apart).
    Exact,
    /// With characters taken for others.
    Approximate,
    /// By a pattern with open places.
    Pattern,
    /// By being none of those that may be here.
    Absent,
}

/// One read that matches one entry: what the desk is given.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The entry, the same text for the same entry as long as the list holds it.
    pub entry: String,
    /// How the read matches it.
    pub how: How,
    /// The VRM or pattern as it is listed.
    pub listed: String,
    /// Probability that the vehicle bears the listed VRM, 0 to 1.
    pub probability: f32,
    /// Each character of the VRM as read, with its probability.
    pub characters: Vec<(char, f32)>,
    /// Urgency of the entry: 1 is the most urgent.
    pub priority: u8,
    /// Why the vehicle is wanted: "stolen".
    pub reason: String,
    /// What the crew should do: "stop and detain". May be empty.
    pub action: String,
    /// What the list says of the vehicle; any may be empty.
    pub make: String,
    /// Model.
    pub model: String,
    /// Colour.
    pub colour: String,
    /// What speaks against the match, a clause each: "camera saw a white vehicle".
    pub against: Vec<String>,
    /// How far the hit may be trusted, by the list's own thresholds; the alert may be lower, never higher.
    pub grade: Grade,
    /// The sound that the list wants.
    pub tone: Tone,
    /// The colour that the list wants.
    pub colour_of_list: Colour,
    /// Whether the entry has passed its own expiry date, as far as the unit knows the time.
    pub expired: bool,
    /// Time since the entry was added or last confirmed, if the list says and the unit knows the time.
    pub entry_age: Option<std::time::Duration>,
    /// Time since the list was last brought up to date, if known.
    pub list_age: Option<std::time::Duration>,
    /// What another crew found of this vehicle and entry, if that does not speak against it: "EX-02 confirmed this, 14:02".
    pub other_crew: Option<String>,
    /// The camera's name.
    pub camera: Arc<str>,
    /// Capture instant of the newest look.
    pub at: Moment,
    /// The same in UTC, once the unit trusts its time. Until then nobody can tell whether the entry still holds.
    pub utc: Option<DateTime<Utc>>,
    /// The plate.
    pub patch: Arc<Thumbnail>,
    /// The vehicle around it.
    pub overview: Arc<Thumbnail>,
    /// A test hit of a drill.
    pub drill: bool,
}

impl Sighting {
    /// Of no vehicle, with nothing against it: for rehearsals and tests to change.
    pub(crate) fn made_up() -> Self {
        let picture = Arc::new(Thumbnail { width: 1, height: 1, rgb: vec![0; 3] });
        Self {
            entry: "list/AB12CDE".to_owned(),
            how: How::Exact,
            listed: "AB12CDE".to_owned(),
            probability: 0.98,
            characters: vec![('A', 0.999), ('B', 0.91), ('1', 0.99)],
            priority: 1,
            reason: "stolen".to_owned(),
            action: "stop and detain".to_owned(),
            make: "FORD".to_owned(),
            model: "FOCUS".to_owned(),
            colour: "SILVER".to_owned(),
            against: Vec::new(),
            grade: Grade::Certain,
            tone: Tone::Horn,
            colour_of_list: Colour::None,
            expired: false,
            entry_age: Some(std::time::Duration::from_secs(86_400 * 3)),
            list_age: Some(std::time::Duration::from_secs(7_200)),
            other_crew: None,
            camera: "front".into(),
            at: Moment::default(),
            utc: DateTime::from_timestamp(1_796_119_200, 0),
            patch: Arc::clone(&picture),
            overview: picture,
            drill: false,
        }
    }
}

/// How surely the plate was read and matched.
#[derive(Debug, Clone, PartialEq)]
pub struct Sureness {
    /// Probability that the vehicle bears the listed VRM, 0 to 1.
    pub probability: f32,
    /// Place (from 0), character and probability of the character that is least sure.
    pub weakest: Option<(usize, char, f32)>,
}

/// Whether an alert still stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Open,
    /// It does not, and why: "by the office at 14:02: recovered".
    Withdrawn(String),
}

/// What the crew is told of a hit.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Which alert.
    pub id: AlertId,
    /// How far it may be trusted.
    pub grade: Grade,
    /// Whether it still stands.
    pub standing: Standing,
    /// The read that it rests on, the newest of the vehicle's.
    pub read: ReadId,
    /// The entry that it rests on.
    pub entry: String,
    /// Urgency of the entry: 1 is the most urgent.
    pub priority: u8,
    /// The VRM as the camera saw it.
    pub text: String,
    /// The VRM or pattern as it is listed.
    pub listed: String,
    /// As it is said aloud behind the tone; "Stand down", and by whose word, once it is withdrawn.
    pub spoken: String,
    /// The reason in capitals: "STOLEN".
    pub headline: String,
    /// Why the grade is no better, a clause; empty for a certain one.
    pub doubt: String,
    /// What to do; may be empty.
    pub action: String,
    /// "Silver Ford Focus"; may be empty.
    pub vehicle: String,
    /// The sound of its list; how it is sounded says the grade.
    pub tone: Tone,
    /// The colour of its list, beside that of the grade.
    pub colour: Colour,
    /// How sure.
    pub sureness: Sureness,
    /// What speaks against it.
    pub against: Vec<String>,
    /// How fresh the entry is: "entry confirmed 3 days ago".
    pub entry_freshness: String,
    /// How fresh the list is: "list 2 h old".
    pub list_freshness: String,
    /// The camera's name.
    pub camera: Arc<str>,
    /// Capture instant of the first sighting.
    pub first_at: Moment,
    /// Capture instant of the newest sighting.
    pub last_at: Moment,
    /// Local time of the newest sighting, "14:02:07"; empty while the unit does not trust its time.
    pub when: String,
    /// How many passes have been folded into it, at least 1.
    pub count: u32,
    /// The plate, from the newest sighting.
    pub patch: Arc<Thumbnail>,
    /// The vehicle, from the newest sighting.
    pub overview: Arc<Thumbnail>,
    /// A test hit of a drill.
    pub drill: bool,
}

/// What the crew answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Plate and vehicle are the ones listed.
    Confirmed,
    /// The plate reads otherwise.
    Misread,
    /// Country, class or colour differ.
    WrongVehicle,
    /// The entry no longer holds.
    OutOfDate,
    /// The vehicle could not be found.
    NotLocated,
    /// Not now: the alert stays in the queue, behind the others.
    Later,
    /// A withdrawn alert was seen.
    StoodDown,
}

impl Verdict {
    /// The answers to an alert that stands, in the order of the screen.
    pub const ALL: [Verdict; 6] = [
        Verdict::Confirmed,
        Verdict::Misread,
        Verdict::WrongVehicle,
        Verdict::OutOfDate,
        Verdict::NotLocated,
        Verdict::Later,
    ];

    /// The word for it, as on the button.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Confirmed => "Confirmed",
            Verdict::Misread => "Misread",
            Verdict::WrongVehicle => "Wrong vehicle",
            Verdict::OutOfDate => "Out of date",
            Verdict::NotLocated => "Not located",
            Verdict::Later => "Later",
            Verdict::StoodDown => "Stand down",
        }
    }
}
