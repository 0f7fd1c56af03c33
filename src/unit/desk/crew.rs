//! What the crew does: answers, searches, entries, signing on and off.

use std::sync::Arc;

use super::{Worker, list_and_mark};
use crate::alert::{AlertId, Verdict};
use crate::hotlist::Mark;
use crate::journal::Record;
use crate::recognise::ReadId;
use crate::screen::{Answer, Found, Shift, Touch};
use crate::unit::clerk::clock_time;

/// Answers whose reasons may still come.
const ANSWERED: usize = 16;

/// Who is on duty, and what they asked for.
#[derive(Default)]
pub(super) struct Crew {
    /// Collar number or name; empty: nobody is signed on.
    who: String,
    since: String,
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
            Touch::Search { text, purpose, read } => self.search(&text, &purpose, read),
            Touch::Add { text, reason, hours } => self.add(&text, reason, hours),
            Touch::SignOn(who) => {
                let when = self.when();
                self.remark(format!("{who} signed on"));
                self.crew.since = format!("Since {}", clock_time(when.utc, when.utc));
                self.crew.who = who;
            }
            Touch::SignOff => {
                let who = std::mem::take(&mut self.crew.who);
                if !who.is_empty() {
                    self.remark(format!("{who} signed off"));
                    self.remark(self.latency_summary());
                }
            }
            Touch::Drill => self.start_drill(),
            Touch::Volume(level) => self.tools.speaker.volume().set(level),
            Touch::Mute(grade) => {
                self.tools.speaker.volume().mute(grade);
                let heard = grade.map_or("every alert is heard".to_owned(), |grade| {
                    format!("alerts up to {} are mute", grade.word())
                });
                self.remark(self.by(heard));
            }
        }
    }

    /// Who is on duty, for the page.
    pub(super) fn shift(&self) -> Shift {
        let (drill, checks) = self.drill_told();
        Shift { who: self.crew.who.clone(), since: self.crew.since.clone(), drill, checks }
    }

    fn answered(&mut self, Answer { alert: id, verdict }: Answer) {
        let Some(alert) = self.desk.answer(id, verdict) else { return };
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
        let (verdict, reason, by) = (verdict.to_owned(), reason.into(), self.crew.who.as_str().into());
        self.record(Record::Verdict { read, list, verdict, reason, by, when: self.when() });
        if let Some(link) = &self.tools.link {
            link.nudge();
        }
    }

    fn search(&mut self, text: &str, purpose: &str, read: Option<ReadId>) {
        let Some(mark) = self.mark(text) else { return };
        // Who looked for what, and why, is on record before anything is found.
        let of = read.map_or_else(String::new, |read| format!(", for read {read}"));
        self.remark(self.by(format!("search for {mark}{of}: {purpose}")));
        self.crew.found =
            Some(Arc::new(Found { text: mark.to_string(), message: "Looking".to_owned(), rows: Vec::new() }));
        self.tools.clerk.search(mark, self.when().utc);
    }

    fn add(&mut self, text: &str, reason: String, hours: u32) {
        let Some(mark) = self.mark(text) else { return };
        self.remark(self.by(format!("entry of {mark} for {hours} h: {reason}")));
        self.crew.found =
            Some(Arc::new(Found { text: mark.to_string(), message: "Taking it up".to_owned(), rows: Vec::new() }));
        self.tools.clerk.add(mark, reason, self.crew.who.clone(), hours, self.when().utc);
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
        if self.crew.who.is_empty() {
            format!("{what}; nobody is signed on")
        } else {
            format!("{what}; by {}", self.crew.who)
        }
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
