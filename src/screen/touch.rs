//! What comes back from the window.

use crate::alert::{AlertId, Grade, Verdict};
use crate::clock::Moment;
use crate::people::Pin;
use crate::recognise::ReadId;

/// What the crew answered to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The alert that was on the screen.
    pub alert: AlertId,
    /// The button that was touched.
    pub verdict: Verdict,
}

/// What comes back from the window.
#[derive(Debug, Clone, PartialEq)]
pub enum Touch {
    /// An answer to the alert.
    Answered(Answer),
    /// What the answer just given rests on: "colour", "checked: plate, country". The newest of one alert counts.
    Because(Answer, String),
    /// Show again what was put off with [`Verdict::Later`].
    Recall,
    /// Not a touch: an alert has been drawn for the first time, by this instant.
    Shown(AlertId, Moment),
    /// Look up a VRM or some of one.
    Search {
        /// As it was typed.
        text: String,
        /// Why.
        purpose: String,
        /// The number of the case, where one was given.
        case: Option<String>,
        /// The read that it corrects or repeats, if it was one of the reel.
        read: Option<ReadId>,
    },
    /// Take up an entry of the crew's.
    Add {
        /// The VRM or pattern as it was typed.
        text: String,
        /// Why it is wanted.
        reason: String,
        /// The number of the case, where one was given.
        case: Option<String>,
        /// For how long, hours.
        hours: u32,
    },
    /// Somebody wants to be on duty from now on.
    SignOn {
        /// Collar number, or a name where nobody is set up.
        number: String,
        /// The PIN, where people are set up.
        pin: Option<Pin>,
    },
    /// Nobody is any more.
    SignOff,
    /// Prove the chain from camera to office.
    Drill,
    /// Loudness, 0 to 1.
    Volume(f32),
    /// Alerts up to this grade are not heard.
    Mute(Option<Grade>),
}
