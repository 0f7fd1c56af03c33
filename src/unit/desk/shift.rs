//! Who is on duty: signing on and off, and what follows from it for what is shown, heard and allowed.

use std::sync::Arc;

use super::Worker;
use crate::alert::Alert;
use crate::clock::Moment;
use crate::fault::{Fault, Kind};
use crate::journal::{Act, Deed, Record, Refusal, SetUp, SignedOn};
use crate::people::{Pin, Right, Role, may};
use crate::screen::Shift;
use crate::unit::clerk::clock_time;

/// Whoever has signed on.
#[derive(Default)]
pub(super) struct Duty {
    /// Collar number, or what they said where nobody is set up; empty: nobody is signed on.
    pub(super) who: String,
    /// What they are; `None` where nobody is set up.
    role: Option<Role>,
    since: Moment,
    since_words: String,
    /// A PIN is being compared.
    checking: bool,
    /// Why the last one could not sign on, and until when nobody can with that number.
    refused: Option<(String, Moment)>,
}

/// What stands on record where nobody has signed on.
const NOBODY: &str = "nobody signed on";

impl Worker {
    /// Whether whoever is on board may do so: everybody may where nobody is set up.
    pub(super) fn may(&self, right: Right) -> bool {
        !self.set_up().is_set_up() || may(self.duty.role, right)
    }

    /// Whether whoever is on board may know of an alert. A drill is no secret.
    pub(super) fn may_know(&self, alert: &Alert) -> bool {
        alert.drill || self.may(Right::Alerts)
    }

    /// The alert that belongs on the screen, and how many wait for those who are on board.
    pub(super) fn alert_to_show(&self) -> (Option<Arc<Alert>>, usize) {
        if self.may(Right::Alerts) {
            return (self.desk.current(), self.desk.waiting());
        }
        // The others wait for the crew.
        let drill = self.desk.queue().into_iter().find(|alert| alert.drill);
        let waiting = usize::from(drill.is_some());
        (drill, waiting)
    }

    /// The roles of those on board, for lists that are not for everybody.
    pub(super) fn on_board(&self) -> Vec<String> {
        let of_duty = self.duty.role.map(|role| role.word().to_owned());
        self.tools.roles.iter().cloned().chain(of_duty).collect()
    }

    pub(super) fn set_up(&self) -> SetUp {
        self.tools.journal.as_ref().map(|journal| journal.archive().set_up()).unwrap_or_default()
    }

    /// Somebody wants to sign on. Where people are set up the clerk compares the PIN, which takes its time.
    pub(super) fn sign_on(&mut self, number: String, pin: Option<Pin>) {
        let when = self.when();
        if self.set_up().is_set_up() {
            let pin = pin.unwrap_or_else(|| Pin::typed(Default::default()));
            (self.duty.checking, self.duty.refused) = (true, None);
            return self.tools.clerk.sign_on(number, pin, when, self.tools.clock.now());
        }
        self.begin_duty(number, None);
        self.deed(Act::SignedOn, "a shift", "nobody is set up: a name as it was said".to_owned());
    }

    /// What came of it; who signed on is on record already.
    pub(super) fn signed_on(&mut self, signed_on: Result<SignedOn, Refusal>) {
        self.duty.checking = false;
        match signed_on {
            Ok(person) => self.begin_duty(person.number, Some(person.role)),
            Err(Refusal { fault, wait }) => {
                let until = self.tools.clock.now().plus(wait);
                // While there is a wait the page counts it down.
                let words =
                    if wait.is_zero() { fault.to_string() } else { "Number or PIN was wrong too often".to_owned() };
                self.duty.refused = Some((words, until));
            }
        }
    }

    fn begin_duty(&mut self, who: String, role: Option<Role>) {
        self.sign_off("somebody else signs on");
        let when = self.when();
        let held_back = !self.may(Right::Alerts);
        let since_words = format!("Since {}", clock_time(when.utc, when.utc));
        self.duty = Duty { who, role, since: self.tools.clock.now(), since_words, ..Duty::default() };
        self.end_hold(held_back);
    }

    /// Nobody is on duty any more.
    pub(super) fn sign_off(&mut self, why: &str) {
        if self.duty.who.is_empty() {
            return;
        }
        self.deed(Act::SignedOff, why, String::new());
        self.remark(self.latency_summary());
        let held_back = !self.may(Right::Alerts);
        self.duty = Duty::default();
        // What was looked up was for whoever has gone.
        self.crew.found = None;
        self.end_hold(held_back);
    }

    /// Alerts that were held back are heard as soon as somebody may hear them.
    fn end_hold(&self, held_back: bool) {
        if held_back
            && self.may(Right::Alerts)
            && let Some(alert) = self.desk.current()
        {
            self.sound(&alert, self.tools.clock.now());
        }
    }

    /// Signs off whoever has been on duty for too long, or may not be any more.
    pub(super) fn look_at_shift(&mut self) {
        if self.duty.who.is_empty() {
            return;
        }
        let now = self.tools.clock.now();
        if now.since(self.duty.since) >= self.tools.shift_lasts() {
            return self.sign_off("the longest shift is over");
        }
        if let SetUp::Roll(kept) = self.set_up() {
            let role = kept.roll.find(&self.duty.who).map(|person| person.role);
            if role.is_none() || role != self.duty.role {
                self.sign_off("the roll of people has changed");
            }
        }
    }

    /// Who is on duty, for the page.
    pub(in crate::unit) fn shift(&self) -> Shift {
        let (drill, checks) = self.drill_told();
        let now = self.tools.clock.now();
        let duty = &self.duty;
        let left = duty.refused.as_ref().map_or(0, |(_, until)| until.since(now).as_millis().div_ceil(1000));
        Shift {
            who: duty.who.clone(),
            since: duty.since_words.clone(),
            role: duty.role.map_or(String::new(), |role| role.word().to_owned()),
            holds_alerts: !self.may(Right::Alerts),
            asks_pin: self.set_up().is_set_up(),
            checking: duty.checking,
            refused: duty.refused.as_ref().map_or_else(String::new, |(why, _)| why.clone()),
            wait_s: u32::try_from(left).unwrap_or(u32::MAX),
            drill,
            checks,
        }
    }

    /// Who does something, for the record.
    pub(super) fn who(&self) -> String {
        if self.duty.who.is_empty() { NOBODY.to_owned() } else { self.duty.who.clone() }
    }

    /// What `who` does, for the chain.
    pub(super) fn of_duty(&self, act: Act, reason: &str, detail: String) -> Deed {
        Deed { who: self.who(), ..Deed::of_the_unit(act, reason, detail, self.when()) }
    }

    /// Puts something that was done into the audit chain. It has been done: whatever must not be done unless it is on record goes
    /// to the clerk instead.
    pub(super) fn deed(&self, act: Act, reason: &str, detail: String) {
        self.record(Record::Deed(Box::new(self.of_duty(act, reason, detail))));
    }
}

/// Why something is not done for whoever is on board.
pub(super) fn not_allowed(right: Right, who: Option<&str>) -> String {
    let fault = match who {
        Some(_) => Fault::new(Kind::Denied, format!("You may not {}", right.words())),
        None => Fault::new(Kind::Denied, format!("Whoever has not signed on may not {}", right.words()))
            .remedy("Sign on: Menu, Shift and drill"),
    };
    fault.to_string()
}
