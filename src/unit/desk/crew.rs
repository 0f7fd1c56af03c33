//! What the crew does: answers, searches, entries, settings.

use std::sync::Arc;

use super::shift::not_allowed;
use super::{Worker, list_and_mark};
use crate::alert::{AlertId, Verdict};
use crate::hotlist::Mark;
use crate::journal::{Act, Deed, Record};
use crate::people::Right;
use crate::recognise::ReadId;
use crate::screen::{Answer, Found, Touch};

/// Answers whose reasons may still come.
const ANSWERED: usize = 16;

/// What the crew asked for and answered.
#[derive(Default)]
pub(super) struct Crew {
    pub(super) found: Option<Arc<Found>>,
    /// The alerts answered last: which read and list, for a reason that comes later.
    answered: Vec<(AlertId, ReadId, String)>,
}

impl Worker {
    pub(super) fn touch(&mut self, touch: Touch) {
        match touch {
            Touch::Answered(answer) => self.answered(answer),
            Touch::Because(answer, reason) => self.because(answer, reason),
            Touch::Recall => self.desk.recall(),
            Touch::Shown(alert, at) => {
                tracing::info!("alert drawn");
                self.latencies.reached(alert, at, |latency| &mut latency.to_screen);
                self.proved_screen(alert, at);
            }
            Touch::Search { text, purpose, case, read } => self.search(&text, &purpose, case, read),
            Touch::Add { text, reason, case, hours } => self.add(&text, reason, case, hours),
            Touch::SignOn { number, pin } => self.sign_on(number, pin),
            Touch::SignOff => self.sign_off("the crew"),
            Touch::Drill if self.may(Right::Settings) => self.start_drill(),
            Touch::Volume(level) if self.may(Right::Settings) => {
                self.tools.speaker.volume().set(level);
                self.deed(Act::Set, "the sound", format!("the volume is {:.0} %", level * 100.0));
            }
            Touch::Mute(grade) if self.may(Right::Settings) => {
                self.tools.speaker.volume().mute(grade);
                let heard = grade.map_or("every alert is heard".to_owned(), |grade| {
                    format!("alerts up to {} are mute", grade.word())
                });
                self.deed(Act::Set, "the sound", heard);
            }
            Touch::Drill | Touch::Volume(_) | Touch::Mute(_) => {}
        }
    }

    fn answered(&mut self, Answer { alert: id, verdict }: Answer) {
        // What is not on the screen cannot be answered.
        let known = self.desk.queue().iter().any(|alert| alert.id == id && self.may_know(alert));
        let Some(alert) = known.then(|| self.desk.answer(id, verdict)).flatten() else { return };
        tracing::info!("alert answered");
        self.tools.clerk.answered(Arc::clone(&alert), verdict, self.when().utc);
        if alert.drill && verdict != Verdict::Later {
            self.tools.clerk.end_drill(self.when().utc);
        }
        if self.crew.answered.len() == ANSWERED {
            self.crew.answered.remove(0);
        }
        let list = list_and_mark(&alert).0.to_owned();
        self.crew.answered.push((id, alert.read, list.clone()));
        self.verdict(alert.read, list, verdict.word(), String::new());
    }

    /// The reason of an answer given before: a record of its own, since the first is on its way to the disk.
    fn because(&mut self, Answer { alert: id, verdict }: Answer, reason: String) {
        let answered = self.crew.answered.iter().rev().find(|(answered, ..)| *answered == id).cloned();
        if let Some((_, read, list)) = answered {
            self.verdict(read, list, verdict.word(), reason);
            tracing::info!("reason of an answer noted");
        }
    }

    fn verdict(&self, read: ReadId, list: String, verdict: &str, reason: String) {
        let (verdict, reason, by) = (verdict.to_owned(), reason.into(), self.duty.who.as_str().into());
        self.record(Record::Verdict { read, list, verdict, reason, by, when: self.when() });
        if let Some(link) = &self.tools.link {
            link.nudge();
        }
    }

    fn search(&mut self, text: &str, purpose: &str, case: Option<String>, read: Option<ReadId>) {
        let Some(mark) = self.allowed(Right::Reads, text) else { return };
        let of = read.map_or_else(String::new, |read| format!(", for read {read}"));
        let deed = self.of_duty(Act::Searched, purpose, format!("lists and reads, on the screen{of}"));
        let deed = Deed { case, plate: Some(mark.to_string()), ..deed };
        self.crew.found =
            Some(Arc::new(Found { text: mark.to_string(), message: "Looking".to_owned(), rows: Vec::new() }));
        self.tools.clerk.search(mark, deed);
    }

    fn add(&mut self, text: &str, reason: String, case: Option<String>, hours: u32) {
        let Some(mark) = self.allowed(Right::Entries, text) else { return };
        let detail = format!("an entry on the crew's list for {hours} h; the reads were looked through for it");
        let deed = self.of_duty(Act::Entered, &reason, detail);
        let deed = Deed { case, plate: Some(mark.to_string()), ..deed };
        self.crew.found =
            Some(Arc::new(Found { text: mark.to_string(), message: "Taking it up".to_owned(), rows: Vec::new() }));
        self.tools.clerk.add(mark, deed, self.duty.who.clone(), hours);
    }

    /// What was typed, if whoever is on board may do this with it; else the page says why not.
    fn allowed(&mut self, right: Right, text: &str) -> Option<Mark> {
        if self.may(right) {
            return self.mark(text);
        }
        let who = Some(self.duty.who.as_str()).filter(|who| !who.is_empty());
        let message = not_allowed(right, who);
        self.crew.found = Some(Arc::new(Found { text: text.to_owned(), message, rows: Vec::new() }));
        None
    }

    /// What was typed, as a VRM or pattern; the page says why it is neither.
    fn mark(&mut self, text: &str) -> Option<Mark> {
        match Mark::parse(text) {
            Ok(mark) => Some(mark),
            Err(why) => {
                let message = format!("This cannot be looked up: {why}.");
                self.crew.found = Some(Arc::new(Found { text: text.to_owned(), message, rows: Vec::new() }));
                None
            }
        }
    }

    /// `what`, and who did it.
    pub(super) fn by(&self, what: String) -> String {
        format!("{what}; by {}", self.who())
    }

    /// Puts something worth knowing on record.
    pub(super) fn remark(&self, text: String) {
        self.record(Record::Note { text, when: self.when() });
    }

    /// How long the crew waited for its alerts, in words for the record.
    pub(super) fn latency_summary(&self) -> String {
        let of = |name: &str, times: Option<(crate::unit::latency::Percentiles, usize)>| match times {
            None => format!("{name} none"),
            Some(([half, most, nearly], count)) => format!(
                "{name} p50 {} p95 {} p99 {} ms of {count}",
                half.as_millis(),
                most.as_millis(),
                nearly.as_millis()
            ),
        };
        format!(
            "camera to alert: {}; {}",
            of("sound", self.latencies.percentiles(|latency| latency.to_sound)),
            of("screen", self.latencies.percentiles(|latency| latency.to_screen))
        )
    }
}
