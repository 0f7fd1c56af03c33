//! The clerk: whatever the crew wants that waits for the disk, on a thread of its own. Takes to the lists what the crew found
//! of their hits, looks VRMs up, takes up the crew's own entries, compares PINs, and measures what only the disk knows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, Utc};

use super::News;
use super::desk::list_and_mark;
use crate::alert::{Alert, Verdict, ago, vehicle};
use crate::clock::{self, Moment};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Entry, Hotlist, Judgement, ListHead, Mark, OWN, Precision, Priority};
use crate::journal::{Deed, Journal, Refusal, SignedOn, Space};
use crate::people::Pin;
use crate::plate;
use crate::screen::{Found, FoundLine};
use crate::tag::When;

/// How often what only the disk knows is measured.
const MEASURE: Duration = Duration::from_secs(10);
/// Reads that a search shows at most, the newest.
const READS: usize = 40;

/// The VRM of a drill: a year number that no vehicle was ever given.
pub(super) const DRILL: &str = "DR01LLL";
/// How long the entry of a drill counts; it expires by itself if the unit ends before.
const DRILL_COUNTS: TimeDelta = TimeDelta::minutes(10);

/// Dropping it waits until everything is kept.
pub(super) struct Clerk {
    inbox: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Judge { alert: Arc<Alert>, judgement: Judgement, utc: DateTime<Utc> },
    Search { mark: Mark, deed: Box<Deed> },
    Add { mark: Mark, deed: Box<Deed>, by: String, expires: DateTime<Utc> },
    SignOn { number: String, pin: Pin, when: When, now: Moment },
    Drill { utc: DateTime<Utc> },
    EndDrill { utc: DateTime<Utc> },
    Drilled { utc: DateTime<Utc> },
}

/// What the clerk brings to the desk.
pub(super) enum Brought {
    Found(Found),
    /// The entry of a drill is on the lists, or why not.
    DrillListed(Result<()>),
    /// Somebody has signed on, or why not.
    SignedOn(Result<SignedOn, Refusal>),
    Measured(Measured),
}

/// What only the disk knows.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// What the disk with the unit's data has.
    pub(super) disk: Option<Space>,
    /// Of the hottest part that says, degrees Celsius.
    pub(super) temperature: Option<f32>,
    /// When what has waited longest for the office happened.
    pub(super) oldest: Option<DateTime<Utc>>,
    /// What the crew found of each list's hits.
    pub(super) precision: Vec<(String, Precision)>,
}

impl Clerk {
    pub(super) fn start(
        hotlist: Option<Arc<Hotlist>>,
        journal: Option<Arc<Journal>>,
        data: PathBuf,
        news: Sender<News>,
    ) -> Result<Self> {
        let (inbox, jobs) = channel();
        let desk = Desk { hotlist, journal, data, news };
        let thread = super::thread("clerk", move || desk.run(&jobs))?;
        Ok(Self { inbox: Some(inbox), thread: Some(thread) })
    }

    /// The crew has answered `alert`. What they only put off or saw withdrawn says nothing of the hit, and a drill nothing at
    /// all.
    pub(super) fn answered(&self, alert: Arc<Alert>, verdict: Verdict, utc: DateTime<Utc>) {
        let judgement = match verdict {
            _ if alert.drill => return,
            Verdict::Confirmed => Judgement::True,
            Verdict::Misread | Verdict::WrongVehicle => Judgement::False,
            Verdict::OutOfDate => Judgement::Outdated,
            Verdict::NotLocated => Judgement::NotFound,
            Verdict::Later | Verdict::StoodDown => return,
        };
        self.give(Job::Judge { alert, judgement, utc });
    }

    /// Looks up what lists and journal have of `mark`, once `deed` is in the audit chain.
    pub(super) fn search(&self, mark: Mark, deed: Deed) {
        self.give(Job::Search { mark, deed: Box::new(deed) });
    }

    /// Takes up an entry of the crew's, once `deed` is in the audit chain.
    pub(super) fn add(&self, mark: Mark, deed: Deed, by: String, hours: u32) {
        let expires = deed.when.utc + TimeDelta::hours(hours.into());
        self.give(Job::Add { mark, deed: Box::new(deed), by, expires });
    }

    /// Compares a PIN.
    pub(super) fn sign_on(&self, number: String, pin: Pin, when: When, now: Moment) {
        self.give(Job::SignOn { number, pin, when, now });
    }

    /// Puts the entry of a drill on the crew's list.
    pub(super) fn drill(&self, utc: DateTime<Utc>) {
        self.give(Job::Drill { utc });
    }

    /// Takes it off again.
    pub(super) fn end_drill(&self, utc: DateTime<Utc>) {
        self.give(Job::EndDrill { utc });
    }

    /// A drill is over: from now on the next one is counted.
    pub(super) fn drilled(&self, utc: DateTime<Utc>) {
        self.give(Job::Drilled { utc });
    }

    fn give(&self, job: Job) {
        if let Some(inbox) = &self.inbox {
            // The thread ends only with this sender.
            let _ = inbox.send(job);
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the clerk ended by a panic");
        }
    }
}

/// What the thread works with.
struct Desk {
    hotlist: Option<Arc<Hotlist>>,
    journal: Option<Arc<Journal>>,
    data: PathBuf,
    news: Sender<News>,
}

impl Desk {
    fn run(&self, jobs: &Receiver<Job>) {
        self.bring(Brought::Measured(self.measure()));
        loop {
            match jobs.recv_timeout(MEASURE) {
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => self.bring(Brought::Measured(self.measure())),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn bring(&self, brought: Brought) {
        // The desk is gone only while the unit is being taken down.
        let _ = self.news.send(News::Brought(Box::new(brought)));
    }

    fn work(&self, job: Job) {
        match job {
            Job::Judge { alert, judgement, utc } => {
                let (list, mark) = list_and_mark(&alert);
                let kept = self.lists().and_then(|lists| lists.judge(list, mark, &alert.text, judgement, utc));
                if let Err(fault) = kept {
                    tracing::error!("{fault}");
                }
            }
            Job::Search { mark, deed } => self.bring(Brought::Found(self.search_on_record(&mark, *deed))),
            Job::Add { mark, deed, by, expires } => {
                let utc = deed.when.utc;
                let entry = Entry {
                    reason: deed.reason.clone(),
                    priority: Priority::High,
                    source: if by.is_empty() { "the crew".to_owned() } else { by },
                    added: Some(utc),
                    confirmed: Some(utc),
                    expires: Some(expires),
                    ..Entry::bare(mark.clone())
                };
                // Who wants it, and why, is on record before it counts.
                let added = self.note(*deed).and_then(|_| self.lists()?.add_own(entry, utc));
                self.bring(Brought::Found(match added {
                    Ok(_) => self.search(&mark, utc),
                    Err(fault) => told(&mark, fault.to_string()),
                }));
            }
            Job::SignOn { number, pin, when, now } => {
                let signed_on = match &self.journal {
                    Some(journal) => journal.archive().sign_on(&number, &pin, "a shift", when, now),
                    None => Err(Fault::new(Kind::Missing, "cannot sign on: there is no journal").into()),
                };
                self.bring(Brought::SignedOn(signed_on));
            }
            Job::Drill { utc } => self.bring(Brought::DrillListed(self.list_drill(utc))),
            Job::Drilled { utc } => {
                // A clock that was never set knows of no day.
                let noted = self.journal.as_ref().filter(|_| clock::plausible(utc));
                if let Some(Err(fault)) = noted.map(|journal| journal.archive().note_drill(utc)) {
                    tracing::error!("{fault}");
                }
            }
            Job::EndDrill { utc } => {
                let ended = self.lists().and_then(|lists| lists.remove_own(&drill_mark()?, "the drill is over", utc));
                if let Err(fault) = ended {
                    tracing::error!("{fault}");
                }
            }
        }
    }

    fn lists(&self) -> Result<&Arc<Hotlist>> {
        self.hotlist.as_ref().ok_or_else(|| Fault::new(Kind::Missing, "there are no lists"))
    }

    fn list_drill(&self, utc: DateTime<Utc>) -> Result<()> {
        let entry = Entry {
            reason: "TEST".to_owned(),
            priority: Priority::High,
            action: "This is a drill: answer and go on".to_owned(),
            source: "drill".to_owned(),
            added: Some(utc),
            confirmed: Some(utc),
            expires: Some(utc + DRILL_COUNTS),
            ..Entry::bare(drill_mark()?)
        };
        self.lists()?.add_own(entry, utc).map(|_| ())
    }

    /// Adds to the audit chain, where there is a journal. Gives whether the same person looked the same plate up again and
    /// again without a case.
    fn note(&self, deed: Deed) -> Result<bool> {
        self.journal.as_ref().map_or(Ok(false), |journal| journal.archive().note(deed))
    }

    /// Who looked for what, and why, is on record before anything is found; what cannot be put there is not looked for.
    fn search_on_record(&self, mark: &Mark, deed: Deed) -> Found {
        let utc = deed.when.utc;
        match self.note(deed) {
            Err(fault) => told(mark, fault.to_string()),
            Ok(flagged) => {
                let mut found = self.search(mark, utc);
                if flagged {
                    found.rows.insert(0, again());
                }
                found
            }
        }
    }

    fn search(&self, mark: &Mark, utc: DateTime<Utc>) -> Found {
        match self.rows(mark, utc) {
            Ok(rows) if rows.is_empty() => told(mark, "On no list, and not seen by this car.".to_owned()),
            Ok(rows) => Found { text: mark.to_string(), message: String::new(), rows },
            Err(fault) => told(mark, fault.to_string()),
        }
    }

    fn rows(&self, mark: &Mark, utc: DateTime<Utc>) -> Result<Vec<FoundLine>> {
        let mut rows = Vec::new();
        if let (Some(hotlist), Mark::Vrm(vrm)) = (&self.hotlist, mark) {
            let told = |(head, _): &(ListHead, Entry)| !head.settings.covert && !head.settings.white;
            rows.extend(
                hotlist.lookup(vrm)?.iter().filter(|found| told(found)).map(|(head, entry)| listed(head, entry, utc)),
            );
        }
        if let Some(journal) = &self.journal {
            // What was read a moment ago is to be found, too; a disk that does not take it is the journal's own fault.
            let _ = journal.flush();
            let passed = journal.archive().passed(mark.fitting())?;
            rows.extend(passed.iter().rev().take(READS).map(|passed| {
                let place =
                    passed.place.map_or_else(|| "no position".to_owned(), |(lat, lon)| format!("{lat:.5}, {lon:.5}"));
                FoundLine {
                    head: clock_time(passed.utc, utc),
                    line: format!("{}, {} camera", plate::spaced(&passed.text), passed.camera),
                    detail: place,
                    entry: false,
                }
            }));
        }
        Ok(rows)
    }

    fn measure(&self) -> Measured {
        let precision = self.hotlist.iter().flat_map(|hotlist| {
            hotlist
                .status()
                .into_iter()
                .filter_map(|list| Some((list.id.clone(), hotlist.precision(&list.id, list.produced).ok()?)))
        });
        Measured {
            disk: Space::of(&self.data),
            temperature: hottest(),
            oldest: self.journal.as_ref().and_then(|journal| journal.archive().oldest_unsent().ok().flatten()),
            precision: precision.collect(),
        }
    }
}

fn drill_mark() -> Result<Mark> {
    Mark::parse(DRILL).map_err(|error| Fault::new(Kind::Internal, "the VRM of the drill is none").because(error))
}

fn told(mark: &Mark, message: String) -> Found {
    Found { text: mark.to_string(), message, rows: Vec::new() }
}

/// What is said to whoever looks one vehicle up so often that it is flagged.
fn again() -> FoundLine {
    FoundLine {
        head: "ON RECORD".to_owned(),
        line: "Looked up again and again".to_owned(),
        detail: "without a case number: a supervisor sees that. Give the case number with the reason".to_owned(),
        entry: false,
    }
}

/// An entry as a row. One that has expired says so before anything else.
fn listed(head: &ListHead, entry: &Entry, utc: DateTime<Utc>) -> FoundLine {
    let expired = entry.expires.is_some_and(|expires| expires <= utc);
    let reason = if entry.reason.is_empty() { "no reason given" } else { &entry.reason };
    let mut detail = vec![if head.id == OWN { format!("entered by {}", entry.source) } else { head.name.clone() }];
    let age = entry.confirmed.or(entry.added).and_then(|date| (utc - date).to_std().ok());
    detail.extend(age.map(|age| format!("confirmed {} ago", ago(age))));
    detail.extend(entry.expires.filter(|_| !expired).map(|expires| format!("until {}", clock_time(expires, utc))));
    detail.extend(Some(entry.action.clone()).filter(|action| !action.is_empty()));
    FoundLine {
        head: if expired { format!("EXPIRED: {}", reason.to_uppercase()) } else { reason.to_uppercase() },
        line: vehicle(&entry.colour, &entry.make, &entry.model),
        detail: detail.join(", "),
        entry: true,
    }
}

/// Local time of day; with the date where it is not today's.
pub(super) fn clock_time(utc: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let (local, today) = (utc.with_timezone(&Local), now.with_timezone(&Local).date_naive());
    let form = if local.date_naive() == today { "%H:%M" } else { "%-d %b %H:%M" };
    local.format(form).to_string()
}

/// The hottest part that the kernel knows of, degrees Celsius.
fn hottest() -> Option<f32> {
    let zones = std::fs::read_dir("/sys/class/thermal").ok()?;
    let of_zone = |zone: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(zone.ok()?.path().join("temp")).ok()?;
        // Zones that are not wired tell nonsense.
        text.trim().parse::<f32>().ok().map(|milli| milli / 1000.0).filter(|degrees| (-40.0..150.0).contains(degrees))
    };
    zones.filter_map(of_zone).max_by(f32::total_cmp)
}
