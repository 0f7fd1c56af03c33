//! After an answer: what it rests on, one more touch each, and nobody has to.

use std::sync::Arc;
use std::time::Duration;

use super::touch::Answer;
use super::view::View;
use crate::alert::{Alert, AlertId, Verdict};
use crate::clock::Moment;

/// How long the question stands without a touch.
const PATIENCE: Duration = Duration::from_secs(8);

/// What was answered, and what it rests on so far.
pub(super) struct Asking {
    pub(super) alert: Arc<Alert>,
    verdict: Verdict,
    since: Moment,
    /// The newest alert when it was asked: a newer one is not kept waiting.
    newest: AlertId,
    chosen: Vec<bool>,
}

/// What a touch of an offer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// To be kept with the answer.
    pub(super) because: Option<String>,
    /// Nothing more is asked.
    pub(super) done: bool,
}

/// What a confirmation may rest on, each for itself.
const CHECKS: [&str; 3] = ["Plate", "Country", "Vehicle"];

impl Asking {
    /// `None` where an answer leaves nothing to be asked.
    pub(super) fn of(alert: Arc<Alert>, verdict: Verdict, now: Moment, newest: AlertId) -> Option<Self> {
        (!offers(verdict).is_empty()).then(|| Self {
            alert,
            verdict,
            since: now,
            newest,
            chosen: vec![false; offers(verdict).len()],
        })
    }

    pub(super) fn answer(&self) -> Answer {
        Answer { alert: self.alert.id, verdict: self.verdict }
    }

    pub(super) fn question(&self) -> String {
        match self.verdict {
            Verdict::Confirmed => "Confirmed. What have you checked by eye?".to_owned(),
            verdict => format!("{}. What was it?", verdict.word()),
        }
    }

    /// The words on the buttons, and which are chosen.
    pub(super) fn offers(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        offers(self.verdict).iter().copied().zip(self.chosen.iter().copied())
    }

    pub(super) fn touched(&mut self, place: usize, now: Moment) -> Told {
        self.since = now;
        let Some(word) = offers(self.verdict).get(place) else { return Told { because: None, done: false } };
        if self.verdict != Verdict::Confirmed {
            let because = (place + 1 < self.chosen.len()).then(|| word.to_lowercase());
            return Told { because, done: true };
        }
        match *word {
            "Done" => return Told { because: None, done: true },
            "All three" => self.chosen[..CHECKS.len()].fill(true),
            _ => self.chosen[place] = !self.chosen[place],
        }
        let checked: Vec<String> = CHECKS
            .iter()
            .zip(&self.chosen)
            .filter(|(_, chosen)| **chosen)
            .map(|(check, _)| check.to_lowercase())
            .collect();
        Told { because: Some(format!("checked: {}", checked.join(", "))), done: *word == "All three" }
    }

    /// Whether the page belongs to something else now: nobody touched it for long, or a newer alert is there.
    pub(super) fn is_over(&self, view: &View) -> bool {
        view.now.since(self.since) >= PATIENCE || view.alert.as_ref().is_some_and(|alert| alert.id > self.newest)
    }
}

fn offers(verdict: Verdict) -> &'static [&'static str] {
    match verdict {
        Verdict::Confirmed => &["Plate", "Country", "Vehicle", "All three", "Done"],
        Verdict::Misread => &["One character", "Several", "Not a plate", "No reason"],
        Verdict::WrongVehicle => &["Country", "Class", "Colour", "Make", "No reason"],
        Verdict::OutOfDate => &["Recovered", "Settled", "Entered wrongly", "No reason"],
        Verdict::NotLocated => &["Lost in traffic", "Turned off", "Not followed", "No reason"],
        Verdict::Later | Verdict::StoodDown => &[],
    }
}
