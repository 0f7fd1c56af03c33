//! An alert of nothing, made to be heard.

use crate::clock::Moment;
use crate::recognise::ReadId;

use super::{Alert, Desk, Grade, Policy, Sighting};

/// What an alert would be of.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// Why the vehicle is wanted.
    pub reason: String,
    /// What the list would say of the vehicle; any may be empty.
    pub make: String,
    /// Colour.
    pub colour: String,
    /// The camera's name.
    pub camera: String,
    /// The VRM.
    pub vrm: String,
}

impl Default for Rehearsal {
    fn default() -> Self {
        let [reason, make, colour, camera, vrm] =
            ["stolen", "Ford", "silver", "front left", "AB12CDE"].map(str::to_owned);
        Self { reason, make, colour, camera, vrm }
    }
}

impl Rehearsal {
    /// The alert that it would be, in the words of every alert.
    pub fn alert(&self, grade: Grade) -> Alert {
        let Self { reason, make, colour, camera, vrm } = self.clone();
        let sighting = Sighting {
            listed: vrm.clone(),
            characters: vrm.chars().map(|character| (character, 0.99)).collect(),
            reason,
            make,
            colour,
            camera: camera.into(),
            grade,
            ..Sighting::made_up()
        };
        let changes =
            Desk::new(Policy::default()).take(ReadId { run: 0, pass: 0 }, &vrm, &[sighting], Moment::default());
        // One sighting on an empty desk raises one alert.
        Alert::clone(changes[0].alert())
    }
}
