//! The desk: grades what comes in, folds repeats, corrects, withdraws, and keeps the queue. No clock, no I/O.

use std::sync::Arc;
use std::time::Duration;

use chrono::Local;

use super::{Alert, AlertId, Grade, How, Sighting, Standing, Sureness, Verdict, words};
use crate::clock::Moment;
use crate::recognise::ReadId;

/// What lowers the grade of a hit to that of its alert, and how repeats fold.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Beyond this age a list is stale and nothing on it certain.
    pub list_stale: Duration,
    /// Beyond this age without being confirmed an entry is stale.
    pub entry_stale: Duration,
    /// How long after the last sighting an answered alert still takes in repeats of its vehicle.
    pub fold: Duration,
    /// How long a vehicle is not announced again.
    pub hush: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            list_stale: Duration::from_secs(24 * 3_600),
            entry_stale: Duration::from_secs(90 * 86_400),
            fold: Duration::from_secs(5 * 60),
            hush: Duration::from_secs(60),
        }
    }
}

/// What became of an alert, and whether the crew should hear it.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new alert. Always heard.
    Raised(Arc<Alert>),
    /// A read was corrected and means another entry now: this alert takes the place of `old`. Always heard.
    Replaced {
        /// The alert that is gone.
        old: AlertId,
        /// The one in its place.
        alert: Arc<Alert>,
    },
    /// The same vehicle again, or its read improved.
    Updated {
        /// The alert as it now is.
        alert: Arc<Alert>,
        /// Whether it is announced again: the vehicle was silent for long enough, or the grade rose.
        aloud: bool,
    },
    /// What it rested on is gone. It stays in the queue, grey, until the crew has seen it. Always heard.
    Withdrawn(Arc<Alert>),
}

impl Change {
    /// The alert concerned.
    pub fn alert(&self) -> &Arc<Alert> {
        match self {
            Change::Raised(alert)
            | Change::Replaced { alert, .. }
            | Change::Updated { alert, .. }
            | Change::Withdrawn(alert) => alert,
        }
    }

    /// Whether the crew should hear it.
    pub fn aloud(&self) -> bool {
        match self {
            Change::Raised(_) | Change::Replaced { .. } | Change::Withdrawn(_) => true,
            Change::Updated { aloud, .. } => *aloud,
        }
    }
}

/// Grades, folds, corrects and queues. Nothing in it is dropped or answered but by the crew.
#[derive(Debug, Default)]
pub struct Desk {
    policy: Policy,
    last_id: u64,
    cases: Vec<Case>,
}

/// One vehicle and entry: its alert and what the crew did with it.
#[derive(Debug)]
struct Case {
    alert: Arc<Alert>,
    how: How,
    /// The passes that support it, oldest first.
    reads: Vec<ReadId>,
    voiced_at: Moment,
    deferred: bool,
    verdict: Option<Verdict>,
}

impl Desk {
    /// An empty desk.
    pub fn new(policy: Policy) -> Self {
        Self { policy, last_id: 0, cases: Vec::new() }
    }

    /// Takes what is now known of one read: its text (empty: withdrawn) and every entry that it matches. Called for each
    /// version of each read, with or without a match, so that a correction undoes what an earlier version caused.
    pub fn take(&mut self, read: ReadId, text: &str, sightings: &[Sighting], now: Moment) -> Vec<Change> {
        self.forget_old(now);
        let gone = self.unsupported(read, text, sightings);
        let mut changes: Vec<Change> =
            sightings.iter().map(|sighting| self.sighted(read, text, sighting, now)).collect();
        // The first new alert of a corrected read takes the place of the one that the correction undid.
        let mut fresh = changes.iter_mut().filter(|change| matches!(change, Change::Raised(_)));
        let mut withdrawn = Vec::new();
        for id in gone {
            match fresh.next() {
                Some(change) => {
                    let alert = Arc::clone(change.alert());
                    *change = Change::Replaced { old: id, alert };
                    self.cases.retain(|case| case.alert.id != id);
                }
                None => withdrawn.push(id),
            }
        }
        for id in withdrawn {
            let why = if text.is_empty() { "read withdrawn".to_owned() } else { format!("plate now read as {text}") };
            changes.extend(self.withdraw_where(&why, None, |alert| alert.id == id));
        }
        changes
    }

    /// Takes an entry off: its alerts turn grey, with `why`: "by the office at 14:02: recovered". The crew also hears `who` has
    /// withdrawn it, where that is known: "the office".
    pub fn withdraw(&mut self, entry: &str, why: &str, who: Option<&str>) -> Vec<Change> {
        self.withdraw_where(why, who, |alert| alert.entry == entry)
    }

    /// Something speaks against an alert that stands: "EX-02 found this false, 14:02". It is no longer certain from then on, and
    /// says so; the crew is not startled by less.
    pub fn contradict(&mut self, id: AlertId, clause: &str) {
        let case = self.cases.iter_mut().find(|case| case.alert.id == id && case.alert.standing == Standing::Open);
        let Some(case) = case.filter(|case| !case.alert.against.iter().any(|known| known == clause)) else { return };
        let alert = Arc::make_mut(&mut case.alert);
        alert.grade = Grade::Possible;
        alert.against.push(clause.to_owned());
        "contradicted".clone_into(&mut alert.doubt);
        // Should it be said once more, not in the words of what it was.
        alert.spoken = words::contradicted(&alert.headline, &alert.text);
    }

    /// Takes the crew's answer; gives the alert as it was answered, `None` if it was not waiting for one.
    pub fn answer(&mut self, id: AlertId, verdict: Verdict) -> Option<Arc<Alert>> {
        let case = self.cases.iter_mut().find(|case| case.alert.id == id && case.verdict.is_none())?;
        match verdict {
            Verdict::Later => case.deferred = true,
            verdict => case.verdict = Some(verdict),
        }
        let alert = Arc::clone(&case.alert);
        // The next drill is heard again, however soon.
        self.cases.retain(|case| !case.alert.drill || case.verdict.is_none());
        Some(alert)
    }

    /// Brings back what was put off with [`Verdict::Later`].
    pub fn recall(&mut self) {
        for case in &mut self.cases {
            case.deferred = false;
        }
    }

    /// Every alert that waits for an answer, in the order in which the crew should see them: standing before withdrawn,
    /// put off last, then by grade and urgency; among equals the oldest, so that the screen does not change under a finger.
    pub fn queue(&self) -> Vec<Arc<Alert>> {
        let mut waiting: Vec<&Case> = self.cases.iter().filter(|case| case.verdict.is_none()).collect();
        waiting.sort_by_key(|case| {
            let alert = &case.alert;
            (case.deferred, alert.standing != Standing::Open, std::cmp::Reverse(alert.grade), alert.priority, alert.id)
        });
        waiting.into_iter().map(|case| Arc::clone(&case.alert)).collect()
    }

    /// The alert that belongs on the screen; `None` if nothing waits or all was put off.
    pub fn current(&self) -> Option<Arc<Alert>> {
        let first = self.queue().into_iter().next()?;
        self.cases.iter().any(|case| case.alert.id == first.id && !case.deferred).then_some(first)
    }

    /// How many alerts wait for an answer, those put off included.
    pub fn waiting(&self) -> usize {
        self.cases.iter().filter(|case| case.verdict.is_none()).count()
    }

    /// Alerts whose only remaining support is an earlier version of `read`.
    fn unsupported(&mut self, read: ReadId, text: &str, sightings: &[Sighting]) -> Vec<AlertId> {
        let mut gone = Vec::new();
        for case in &mut self.cases {
            let still = sightings.iter().any(|sighting| case.is_of(sighting, text));
            if still || !case.reads.contains(&read) || (case.alert.read == read && case.alert.text == text) {
                continue;
            }
            case.reads.retain(|other| *other != read);
            let left = u32::try_from(case.reads.len()).unwrap_or(u32::MAX);
            if left == 0 {
                if case.verdict.is_none() && case.alert.standing == Standing::Open {
                    gone.push(case.alert.id);
                }
            } else {
                Arc::make_mut(&mut case.alert).count = left;
            }
        }
        gone
    }

    fn sighted(&mut self, read: ReadId, text: &str, sighting: &Sighting, now: Moment) -> Change {
        let grade = self.policy.grade(sighting).0;
        let known = self.cases.iter_mut().find(|case| {
            case.is_of(sighting, text)
                && case.alert.standing == Standing::Open
                && match case.verdict {
                    None | Some(Verdict::Confirmed | Verdict::OutOfDate | Verdict::StoodDown) => true,
                    // A better sighting deserves a second look; one that was lost and is seen again does too.
                    Some(Verdict::Misread | Verdict::WrongVehicle) => grade <= case.alert.grade,
                    Some(Verdict::NotLocated | Verdict::Later) => case.reads.contains(&read),
                }
        });
        match known {
            Some(case) => case.again(read, text, sighting, &self.policy, now),
            None => {
                self.last_id += 1;
                let alert = Arc::new(self.policy.alert(AlertId(self.last_id), read, text, sighting));
                self.cases.push(Case {
                    alert: Arc::clone(&alert),
                    how: sighting.how,
                    reads: vec![read],
                    voiced_at: now,
                    deferred: false,
                    verdict: None,
                });
                Change::Raised(alert)
            }
        }
    }

    fn withdraw_where(&mut self, why: &str, who: Option<&str>, concerned: impl Fn(&Alert) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for case in &mut self.cases {
            if case.verdict.is_none() && case.alert.standing == Standing::Open && concerned(&case.alert) {
                let alert = Arc::make_mut(&mut case.alert);
                alert.standing = Standing::Withdrawn(why.to_owned());
                alert.spoken = words::stood_down(&alert.text, who);
                changes.push(Change::Withdrawn(Arc::clone(&case.alert)));
            }
        }
        changes
    }

    fn forget_old(&mut self, now: Moment) {
        self.cases.retain(|case| case.verdict.is_none() || now.since(case.alert.last_at) < self.policy.fold);
    }
}

impl Case {
    /// Whether `sighting`, read as `text`, is of this vehicle and entry. Behind a pattern are many vehicles.
    fn is_of(&self, sighting: &Sighting, text: &str) -> bool {
        self.alert.entry == sighting.entry
            && ((self.how != How::Pattern && sighting.how != How::Pattern) || self.alert.text == text)
    }

    /// The vehicle was seen again, or one of its passes is known better.
    fn again(&mut self, read: ReadId, text: &str, sighting: &Sighting, policy: &Policy, now: Moment) -> Change {
        if !self.reads.contains(&read) {
            self.reads.push(read);
        }
        let old = Arc::clone(&self.alert);
        let fresh = policy.alert(old.id, read, text, sighting);
        // The alert shows its surest sighting; a new version of the very read that it shows always replaces it.
        let better =
            read == old.read || (fresh.grade, fresh.sureness.probability) >= (old.grade, old.sureness.probability);
        let mut alert = if better { fresh } else { (*old).clone() };
        alert.first_at = old.first_at;
        alert.last_at = sighting.at.max(old.last_at);
        alert.count = u32::try_from(self.reads.len()).unwrap_or(u32::MAX);
        alert.when = local_time(sighting);
        let aloud = self.verdict.is_none() && (alert.grade > old.grade || now.since(self.voiced_at) >= policy.hush);
        if aloud {
            self.voiced_at = now;
            self.deferred = false;
        }
        if better {
            self.how = sighting.how;
        }
        self.alert = Arc::new(alert);
        Change::Updated { alert: Arc::clone(&self.alert), aloud }
    }
}

impl Policy {
    /// The grade of a sighting, and in words what keeps it from being certain. How surely plate and entry are one is for the
    /// list to judge; time, and what nobody knows, lower it further.
    fn grade(&self, sighting: &Sighting) -> (Grade, String) {
        let mut doubts = Vec::new();
        let mut grade = Grade::Certain;
        let mut doubt = |at_most: Grade, why: String| {
            grade = grade.min(at_most);
            doubts.push(why);
        };
        match sighting.how {
            How::Exact => {}
            How::Approximate => doubt(Grade::Probable, format!("not read as the listed plate: {}", sighting.listed)),
            How::Absent => doubt(Grade::Probable, "not listed where it should be".to_owned()),
            How::Pattern => doubt(Grade::Probable, format!("matches the pattern {}", sighting.listed)),
        }
        if sighting.expired {
            doubt(Grade::Possible, "the entry has expired".to_owned());
        }
        if !sighting.against.is_empty() {
            doubt(Grade::Possible, "contradicted".to_owned());
        }
        match sighting.list_age {
            _ if sighting.utc.is_none() => {
                doubt(Grade::Probable, "time unknown, so entry and list may be out of date".to_owned());
            }
            None => doubt(Grade::Probable, "list age unknown".to_owned()),
            Some(age) if age > self.list_stale => doubt(Grade::Probable, format!("list {} old", words::ago(age))),
            Some(_) => {}
        }
        if let Some(age) = sighting.entry_age.filter(|age| *age > self.entry_stale) {
            doubt(Grade::Probable, format!("entry not confirmed for {}", words::ago(age)));
        }
        // A probability that is not a number counts as none.
        let of_hit = if sighting.probability.is_nan() { Grade::Possible } else { sighting.grade };
        if grade > of_hit {
            let why = if of_hit == Grade::Possible { "plate badly read" } else { "plate not surely read" };
            doubts.push(why.to_owned());
        }
        (grade.min(of_hit), doubts.join("; "))
    }

    fn alert(&self, id: AlertId, read: ReadId, text: &str, sighting: &Sighting) -> Alert {
        let (grade, doubt) = self.grade(sighting);
        let weakest = sighting.characters.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        Alert {
            id,
            grade,
            standing: Standing::Open,
            read,
            entry: sighting.entry.clone(),
            priority: sighting.priority,
            text: text.to_owned(),
            listed: sighting.listed.clone(),
            spoken: words::spoken(grade, sighting, text),
            headline: sighting.reason.to_uppercase(),
            doubt,
            action: words::capital(&sighting.action),
            vehicle: words::vehicle(&sighting.colour, &sighting.make, &sighting.model),
            tone: sighting.tone,
            colour: sighting.colour_of_list,
            sureness: Sureness {
                probability: sighting.probability,
                weakest: weakest.map(|(place, (character, p))| (place, *character, *p)),
            },
            against: sighting.against.clone(),
            entry_freshness: {
                let age = match sighting.entry_age {
                    _ if sighting.expired => "entry expired".to_owned(),
                    Some(age) => format!("entry confirmed {} ago", words::ago(age)),
                    None if sighting.utc.is_none() => "entry age unknown".to_owned(),
                    None => "entry undated".to_owned(),
                };
                sighting.other_crew.iter().fold(age, |age, said| format!("{age}; {said}"))
            },
            list_freshness: sighting
                .list_age
                .map_or_else(|| "list age unknown".to_owned(), |age| format!("list {} old", words::ago(age))),
            camera: Arc::clone(&sighting.camera),
            first_at: sighting.at,
            last_at: sighting.at,
            when: local_time(sighting),
            count: 1,
            patch: Arc::clone(&sighting.patch),
            overview: Arc::clone(&sighting.overview),
            drill: sighting.drill,
        }
    }
}

/// The local time of a sighting, "14:02:07"; empty where the unit does not trust its time.
fn local_time(sighting: &Sighting) -> String {
    sighting.utc.map_or_else(String::new, |utc| utc.with_timezone(&Local).format("%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests;
