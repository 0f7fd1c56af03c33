//! What the pages beside patrol and alert show.

use super::view::{State, StatusItem};
use crate::alert::Grade;

/// A page of the window. An alert lies over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// What the cameras see.
    #[default]
    Patrol,
    /// The way to the others.
    Menu,
    /// Looking up, and the crew's own entries.
    Search,
    /// Where the car is.
    Map,
    /// The lists.
    Lists,
    /// How well the unit does its work.
    Health,
    /// Who is on duty, and the drill.
    Shift,
    /// Loudness and colours.
    Sound,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListLine {
    /// For people.
    pub name: String,
    /// "6 entries, 1 pattern, revision 4".
    pub count: String,
    /// "2 h old".
    pub age: String,
    /// What the crew found of its hits: "4 true, 1 false"; empty while nothing is known.
    pub precision: String,
    /// How it is.
    pub state: State,
}

/// Who is on duty, and the drill.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shift {
    /// Who is signed on; empty: nobody.
    pub who: String,
    /// "Since 14:02".
    pub since: String,
    /// What they are: "crew"; empty where nobody is set up.
    pub role: String,
    /// Alerts are not for whoever is signed on, and wait.
    pub holds_alerts: bool,
    /// People are set up: a PIN is asked for.
    pub asks_pin: bool,
    /// A PIN is being compared.
    pub checking: bool,
    /// Why the last one could not sign on; empty: there is nothing to say.
    pub refused: String,
    /// Seconds until the next try.
    pub wait_s: u32,
    /// What is to be said of the drill.
    pub drill: String,
    /// What the drill has proved so far: camera, matching, speaker, screen, uplink.
    pub checks: Vec<StatusItem>,
}

/// How loud alerts are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SoundSetting {
    /// Loudness, 0 to 1.
    pub level: f32,
    /// Up to which grade alerts are mute.
    pub muted: Option<Grade>,
    /// How the sound device is.
    pub state: String,
}

/// What a search or an entry brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// What was asked for.
    pub text: String,
    /// In place of rows, or above them: "looking", "nothing is known of it", a fault.
    pub message: String,
    /// Entries first, then reads, newest first.
    pub rows: Vec<FoundLine>,
}

/// One entry of a list, or one read of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLine {
    /// "STOLEN", or when it was seen.
    pub head: String,
    /// The vehicle, or which camera saw it.
    pub line: String,
    /// Which list, how old, what to do; or where.
    pub detail: String,
    /// Whether it is an entry.
    pub entry: bool,
}

/// Where the car has been, and what it read there. Latitude and longitude in degrees.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapView {
    /// The way so far, oldest first; a gap where there was no position.
    pub track: Vec<Option<(f64, f64)>>,
    /// Where plates were read, oldest first.
    pub marks: Vec<MapMark>,
    /// Where the car is now, or last was known to be.
    pub here: Option<Here>,
}

/// Where a plate was read.
#[derive(Debug, Clone, PartialEq)]
pub struct MapMark {
    /// Latitude and longitude.
    pub at: (f64, f64),
    /// The VRM, of a hit only.
    pub hit: Option<String>,
}

/// Where the car is.
#[derive(Debug, Clone, PartialEq)]
pub struct Here {
    /// Latitude and longitude.
    pub at: (f64, f64),
    /// Where it is heading, degrees from north.
    pub course: Option<f32>,
    /// What is to be said of it: "51.50000, -0.10000", "position 12 s old".
    pub word: String,
    /// Whether it is not known any more where the car is.
    pub old: bool,
}
