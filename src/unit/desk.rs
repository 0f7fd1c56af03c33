//! The desk: everything that is known of a vehicle passes here, once, in order.

mod crew;
mod drill;
mod shift;
mod standing;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use self::crew::Crew;
use self::drill::Drill;
use self::shift::Duty;
use super::board::{Board, Pages};
use super::clerk::{Brought, Clerk, DRILL};
use super::figures::Gauges;
use super::latency::Latencies;
use super::timekeeper::{Reading, Timekeeper};
use super::trail::Trail;
use super::{News, Observer, Outcome, Told};
use crate::alert::{Alert, AlertId, Change, Chart, Desk, Grade, How, Policy, Sighting, Speaker};
use crate::capture::Counters;
use crate::clock::{Moment, Shared};
use crate::config::Budgets;
use crate::hotlist::{self, Circumstances, Contradiction, Hit, Hotlist, Priority};
use crate::journal::{Journal, Record};
use crate::people::Right;
use crate::plate;
use crate::recognise::{Read, ReadId};
use crate::screen::{Handle, ListLine, ReadLine, SoundSetting, StatusItem};
use crate::sync::Link;
use crate::tag::{Place, TaggedRead, Tagger, When, sun_altitude};

/// How often the screen is brought up to date when nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// Reads on the reel.
const REEL: usize = 12;
/// Passes whose recorded hits are remembered: a read is corrected within seconds.
const RECORDED: usize = 256;
/// Faults of the outcome that are kept: a unit runs for months.
const FAULTS: usize = 100;
/// It is night once the sun stands lower than the first, and day once it stands higher than the second, degrees.
const NIGHT_BELOW: f64 = -3.0;
const DAY_ABOVE: f64 = -1.0;

/// What the desk works with.
pub(super) struct Tools {
    pub(super) clock: Shared,
    pub(super) cameras: Vec<String>,
    pub(super) counters: Vec<Arc<Counters>>,
    /// The source's own time of each camera's newest frame, microseconds.
    pub(super) positions: Vec<Arc<AtomicU64>>,
    pub(super) has_receiver: bool,
    /// The roles of those on board, whoever has signed on.
    pub(super) roles: Vec<String>,
    /// After so long whoever has signed on is signed off.
    pub(super) longest_shift: Duration,
    /// Whether the office may set some things in this car.
    pub(super) heeds: bool,
    /// What the car may spend on metered networks.
    pub(super) budgets: Budgets,
    pub(super) tagger: Arc<Tagger>,
    pub(super) hotlist: Option<Arc<Hotlist>>,
    pub(super) clerk: Clerk,
    pub(super) journal: Option<Arc<Journal>>,
    pub(super) speaker: Speaker,
    pub(super) screen: Option<Handle>,
    /// What the driver is shown, and with which tones.
    pub(super) chart: Option<Arc<Chart>>,
    pub(super) link: Option<Arc<Link>>,
    pub(super) observer: Observer,
}

impl Tools {
    /// The first camera's own time, by which a log of the receiver is paced.
    pub(super) fn position(&self) -> Duration {
        Duration::from_micros(self.positions.first().map_or(0, |position| position.load(Ordering::Relaxed)))
    }
}

pub(super) struct Worker {
    tools: Tools,
    desk: Desk,
    board: Board,
    reel: VecDeque<(ReadId, ReadLine)>,
    latencies: Latencies,
    trail: Trail,
    gauges: Gauges,
    timekeeper: Timekeeper,
    crew: Crew,
    duty: Duty,
    /// The drill that is going on, or the last one; and how many there were.
    drill: Option<Drill>,
    drills: u64,
    night: bool,
    /// Pages that take time to make: made at each look round.
    lists_page: Vec<ListLine>,
    health_page: Vec<StatusItem>,
    /// The hits of the newest passes that are on record.
    recorded: VecDeque<(ReadId, Vec<Recorded>)>,
    /// Parts that had failed when they were last looked at.
    failed: BTreeSet<String>,
    looked: Option<Moment>,
    /// The version of the lists that the alerts were last held against, and the revision of other crews' verdicts.
    lists: u64,
    heard: Option<u64>,
    outcome: Outcome,
}

/// A hit as it is on record: list, listed VRM, and the text that matched.
type Recorded = (String, String, String);

impl Worker {
    pub(super) fn new(tools: Tools) -> Self {
        let board = Board::new(&tools.cameras, tools.has_receiver);
        let outcome = Outcome {
            timings: vec![Default::default(); tools.cameras.len()],
            frames: vec![(0, 0); tools.cameras.len()],
            ..Outcome::default()
        };
        let lists = tools.hotlist.as_ref().map_or(0, |hotlist| hotlist.version());
        Self {
            desk: Desk::new(Policy::default()),
            board,
            reel: VecDeque::new(),
            latencies: Latencies::default(),
            trail: Trail::default(),
            gauges: Gauges::new(tools.cameras.len()),
            timekeeper: Timekeeper::default(),
            crew: Crew::default(),
            duty: Duty::default(),
            drill: None,
            drills: 0,
            night: false,
            lists_page: Vec::new(),
            health_page: Vec::new(),
            recorded: VecDeque::new(),
            failed: BTreeSet::new(),
            looked: None,
            lists,
            heard: None,
            outcome,
            tools,
        }
    }

    pub(super) fn run(mut self, inbox: &Receiver<News>) -> Outcome {
        if let Some(chart) = &self.tools.chart {
            self.remark(match chart.approval() {
                "" => "the driver's symbols are NOT APPROVED".to_owned(),
                approval => format!("the driver's symbols are approved: {approval}"),
            });
        }
        loop {
            self.look_round();
            self.show();
            match inbox.recv_timeout(TICK) {
                Ok(News::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(news) => self.hear(news),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.stand_down();
        }
        self.time_alerts(true);
        if self.latencies.percentiles(|latency| Some(latency.to_desk)).is_some() {
            self.remark(self.latency_summary());
        }
        for (frames, counters) in self.outcome.frames.iter_mut().zip(&self.tools.counters) {
            *frames = (counters.delivered(), counters.dropped());
        }
        if let Some(journal) = &self.tools.journal
            && let Err(fault) = journal.flush()
        {
            self.fault(fault.to_string());
        }
        self.outcome.latencies = self.latencies.into_kept();
        self.outcome
    }

    /// Takes one piece of news; the end is the caller's.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Read(read, t) => _ = self.read_as(*read, t, false),
            News::Lost(camera, fault) => {
                self.fault(fault.to_string());
                self.note(self.camera(camera), fault.to_string());
                self.board.camera_lost(camera, fault.to_string());
            }
            News::Back(camera) => {
                self.note(self.camera(camera), String::new());
                self.board.camera_back(camera);
            }
            News::End(camera, timings) => {
                self.outcome.timings[camera] = timings;
                self.board.camera_ended(camera);
            }
            News::Receiver(crate::tag::Event::Lost(fault)) => {
                self.note("receiver".into(), fault.to_string());
                self.board.receiver_lost(fault.to_string());
            }
            News::Receiver(crate::tag::Event::Back) => {
                self.note("receiver".into(), String::new());
                self.board.receiver_back();
            }
            News::Touch(touch) => self.touch(touch),
            News::Heard(alert, at) => {
                self.latencies.reached(alert, at, |latency| &mut latency.to_sound);
                self.proved_sound(alert, at);
            }
            News::Brought(brought) => match *brought {
                Brought::Found(found) => self.crew.found = Some(Arc::new(found)),
                Brought::DrillListed(listed) => self.drill_listed(listed),
                Brought::SignedOn(signed_on) => self.signed_on(signed_on),
                Brought::Measured(measured) => self.gauges.measured = measured,
            },
            News::Display(fault) => {
                self.board.display_lost(fault.to_string());
                self.tools.screen = None;
                self.looked = None;
            }
            News::Driver(fault) => {
                self.board.driver_lost(fault.to_string());
                self.looked = None;
            }
            // What follows from it for the alerts is seen to after each piece of news.
            News::Lists | News::Stop => {}
        }
    }

    #[cfg(test)]
    pub(super) fn lists(&self) -> Arc<Hotlist> {
        self.tools.hotlist.clone().expect("the bench has one")
    }

    #[cfg(test)]
    pub(super) fn pace(&self) -> (crate::sync::Pace, Budgets) {
        (self.tools.pace(), self.tools.spend())
    }

    #[cfg(test)]
    pub(super) fn current(&self) -> Option<Arc<Alert>> {
        self.desk.current()
    }

    #[cfg(test)]
    pub(super) fn found(&self) -> Arc<crate::screen::Found> {
        self.crew.found.clone().expect("something was looked for")
    }

    #[cfg(test)]
    pub(super) fn shown(&self) -> Option<Arc<Alert>> {
        self.alert_to_show().0
    }

    #[cfg(test)]
    pub(super) fn standing(&self) -> Vec<crate::alert::Standing> {
        self.desk.queue().iter().map(|alert| alert.standing.clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn speaker(&self) -> &Speaker {
        &self.tools.speaker
    }

    fn fault(&mut self, text: String) {
        if self.outcome.faults.len() < FAULTS {
            self.outcome.faults.push(text);
        }
    }

    /// Puts on record which of the parts that are looked at have failed or come back since the last look.
    pub(super) fn look_round(&mut self) {
        let now = self.tools.clock.now();
        if self.looked.is_some_and(|last| now.since(last) < TICK) {
            return;
        }
        self.looked = Some(now);
        self.look_at_clocks(now);
        for (item, failed) in self.board.parts(&self.tools, now) {
            let part = item.name.to_lowercase();
            if failed && self.failed.insert(part.clone()) {
                self.note(part, item.detail);
            } else if !failed && self.failed.remove(&part) {
                self.note(part, String::new());
            }
        }
        let utc = self.when().utc;
        let place = self.tools.tagger.place(now, self.tools.position());
        if let Some(link) = &self.tools.link {
            link.set_budgets(self.tools.spend());
            link.report(self.board.present(&self.tools, place, &self.failed), self.tools.pace());
        }
        self.trail.is_at(place);
        self.trail.refresh();
        self.gauges.pass(place.filter(|place| !place.stale).and_then(|place| place.speed_mps), now);
        self.by_the_sun(place, utc);
        self.lists_page = self.gauges.lists(&self.tools, utc);
        self.health_page = self.gauges.figures(&self.tools, &self.latencies, utc);
        self.look_at_drill();
        self.look_at_shift();
        self.time_alerts(false);
    }

    /// Puts on record what has become of the clocks.
    fn look_at_clocks(&mut self, now: Moment) {
        let tagger = &self.tools.tagger;
        if let Some(Reading { at, system, told }) = self.timekeeper.look(&*self.tools.clock, |at| tagger.told(at)) {
            self.record(Record::Clock { at, system, told, when: self.when() });
        }
        self.board.clock_is(self.timekeeper.status(now));
    }

    /// Night and day by the sun where the car is; what they were, where that is not known.
    fn by_the_sun(&mut self, place: Option<Place>, utc: chrono::DateTime<chrono::Utc>) {
        let Some(place) = place else { return };
        let altitude = sun_altitude(place.lat, place.lon, utc);
        // Between the two it stays as it is: dusk does not flicker.
        self.night = altitude < if self.night { DAY_ABOVE } else { NIGHT_BELOW };
    }

    /// Puts on record how long the crew waited for the alerts that are complete; at the `end`, for all.
    fn time_alerts(&mut self, end: bool) {
        let now = self.tools.clock.now();
        let due = if end { now.plus(Duration::from_secs(3600)) } else { now };
        for (read, latency) in self.latencies.complete(due) {
            let (to_desk, to_sound, to_screen) = (latency.to_desk, latency.to_sound, latency.to_screen);
            self.record(Record::Timing { read, to_desk, to_sound, to_screen, when: self.when() });
        }
    }

    /// One version of one read: told to the crew first, then to everybody else. Gives the alert that it raised or changed.
    fn read_as(&mut self, read: Read, t: Duration, drill: bool) -> Option<AlertId> {
        let mut tagged = self.tools.tagger.tag(read);
        tagged.drill = drill;
        let hits = match &self.tools.hotlist {
            Some(hotlist) if !tagged.read.text.is_empty() => {
                let place = tagged.place.as_ref().map(|place| (place.lat, place.lon));
                let circumstances = Circumstances {
                    utc: tagged.when.utc,
                    timed: tagged.when.trusted,
                    place,
                    // Recognition tells neither class nor colour; the country follows from some layouts.
                    country: plate::country(&tagged.read.text).map(str::to_owned),
                    lists_stale: self.tools.lists_stale(),
                    ..Circumstances::default()
                };
                hotlist.match_at(&tagged.read, &circumstances)
            }
            _ => Vec::new(),
        };
        // Of a covert list, one that is not for this crew, or a pair that was judged wrong, the car says nothing; journal and
        // office get it all.
        let roles = self.on_board();
        let told: Vec<&Hit> = hits.iter().filter(|hit| !hit.is_silent(&roles)).collect();
        let sightings: Vec<Sighting> = told.iter().map(|hit| sighting(&tagged, hit)).collect();
        let now = self.tools.clock.now();
        let changes = self.desk.take(tagged.read.id, &tagged.read.text, &sightings, now);
        for change in &changes {
            if change.aloud() && self.may_know(change.alert()) {
                self.sound(change.alert(), now);
            }
            if let Change::Raised(alert) | Change::Replaced { alert, .. } = change {
                self.latencies.raised(alert.id, tagged.read.id, tagged.read.last_at, now);
            }
        }
        if !drill {
            self.on_reel(&tagged, !told.is_empty());
        }
        self.show();
        self.record(Record::Read(Box::new(tagged.clone())));
        for hit in &hits {
            if self.is_new(&tagged.read, hit) {
                self.record(Record::Hit { read: Box::new(tagged.clone()), hit: Box::new(hit.clone()) });
            }
        }
        if let Some(link) = &self.tools.link {
            link.nudge();
        }
        (self.tools.observer)(&Told { t, read: &tagged, hits: &hits, changes: &changes });
        changes.first().map(|change| change.alert().id)
    }

    /// Whether this hit of this text of the pass is not on record yet: a later version of a read that says the same again is
    /// no second hit.
    fn is_new(&mut self, read: &Read, hit: &Hit) -> bool {
        let found = (hit.list.id.clone(), hit.entry.vrm.to_string(), read.text.clone());
        let index = self.recorded.iter().position(|(id, _)| *id == read.id).unwrap_or_else(|| {
            if self.recorded.len() == RECORDED {
                self.recorded.pop_front();
            }
            self.recorded.push_back((read.id, Vec::new()));
            self.recorded.len() - 1
        });
        let of_pass = &mut self.recorded[index].1;
        let is_new = !of_pass.contains(&found);
        if is_new {
            of_pass.push(found);
        }
        is_new
    }

    /// In the voice that goes with the driver's symbol, where there is one.
    fn sound(&self, alert: &Alert, now: Moment) {
        let tone = self.tools.chart.as_ref().map_or(alert.tone, |chart| chart.tone(alert));
        self.tools.speaker.sound(alert, tone, now);
    }

    fn on_reel(&mut self, tagged: &TaggedRead, hit: bool) {
        let read = &tagged.read;
        self.trail.read(read.id, &read.text, tagged.place.map(|place| (place.lat, place.lon)), hit);
        let kept = self.reel.iter().position(|(id, _)| *id == read.id);
        if read.text.is_empty() {
            if let Some(index) = kept {
                self.reel.remove(index);
            }
            return;
        }
        self.board.count(kept.is_none(), hit);
        if kept.is_none() {
            let camera = self.tools.cameras.iter().position(|name| **name == *read.camera);
            self.gauges.told(camera, self.tools.clock.now());
        }
        let when = tagged.when.utc.with_timezone(&chrono::Local).format("%H:%M:%S").to_string();
        let place = match &tagged.place {
            None => "no position".to_owned(),
            Some(place) if place.stale => format!("fix {} s old", place.age.as_secs()),
            Some(_) => String::new(),
        };
        let line = ReadLine::of(read, when, place, hit);
        match kept {
            Some(index) => self.reel[index].1 = line,
            None => {
                self.reel.push_front((read.id, line));
                self.reel.truncate(REEL);
            }
        }
    }

    /// A part failed, or, where `text` is empty, came back.
    fn note(&self, part: String, text: String) {
        match text.as_str() {
            "" => tracing::warn!("{part} is back"),
            text => tracing::warn!("{part}: {text}"),
        }
        self.record(Record::Fault { part, text, when: self.when() });
    }

    /// Hands a record to the journal, where there is one. A journal that refuses says so on the status strip.
    fn record(&self, record: Record) {
        if let Some(journal) = &self.tools.journal
            && let Err(fault) = journal.record(record)
        {
            tracing::error!("{fault}");
        }
    }

    fn when(&self) -> When {
        self.tools.tagger.when(self.tools.clock.now(), self.tools.position())
    }

    fn camera(&self, index: usize) -> String {
        format!("camera {}", self.tools.cameras[index])
    }

    pub(super) fn show(&mut self) {
        let Some(screen) = &self.tools.screen else { return };
        let now = self.tools.clock.now();
        let (alert, waiting) = self.alert_to_show();
        let volume = self.tools.speaker.volume();
        let sees = self.may(Right::Reads);
        let pages = Pages {
            reads: if sees { self.reel.iter().map(|(_, line)| line.clone()).collect() } else { Vec::new() },
            no_reads: if sees { "No plate read yet" } else { "Reads are for the crew: sign on" },
            lists: self.lists_page.clone(),
            figures: self.health_page.clone(),
            shift: self.shift(),
            sound: SoundSetting { level: volume.level(), muted: volume.muted(), state: String::new() },
            // Why nothing was found is for everybody.
            found: self.crew.found.clone().filter(|found| sees || found.rows.is_empty()),
            map: if sees { self.trail.shown() } else { self.trail.only_here() },
            night: self.night,
        };
        screen.update(self.board.view(&self.tools, now, pages, alert, waiting));
    }
}

/// The list and the entry on it that an alert is of: the two parts of what [`sighting`] names it by.
pub(super) fn list_and_mark(alert: &Alert) -> (&str, &str) {
    alert.entry.split_once('/').unwrap_or((&alert.entry, ""))
}

/// A hit in the desk's terms.
fn sighting(tagged: &TaggedRead, hit: &Hit) -> Sighting {
    let read = &tagged.read;
    let entry = &hit.entry;
    let known = |text: &str, else_say: &str| if text.is_empty() { else_say.to_owned() } else { text.to_owned() };
    // Where the time is not trusted nothing is known of ages. An expiry that even an untrusted clock has passed is said: it
    // errs on the side of doubt.
    let timed = tagged.when.trusted;
    let counts = |c: &&Contradiction| timed || !matches!(c, Contradiction::ListStale { .. });
    Sighting {
        entry: format!("{}/{}", hit.list.id, entry.vrm),
        how: match hit.how {
            hotlist::How::Exact => How::Exact,
            hotlist::How::Pattern => How::Pattern,
            hotlist::How::Absent => How::Absent,
            _ => How::Approximate,
        },
        listed: entry.vrm.to_string(),
        probability: hit.probability,
        characters: read.raw.chars().zip(&read.characters).map(|(shown, c)| (shown, c.of_glyph(shown))).collect(),
        priority: match entry.priority {
            Priority::High => 1,
            Priority::Medium => 2,
            Priority::Low => 3,
        },
        reason: known(&entry.reason, "on the list, no reason given"),
        action: entry.action.clone(),
        make: entry.make.clone(),
        model: entry.model.clone(),
        colour: entry.colour.clone(),
        against: hit.against.iter().filter(counts).map(ToString::to_string).collect(),
        // An age that an unknown time makes up lowers nothing.
        grade: match hit.grade_if(|c| counts(&c)) {
            hotlist::Grade::Certain => Grade::Certain,
            hotlist::Grade::Probable => Grade::Probable,
            hotlist::Grade::Possible => Grade::Possible,
        },
        tone: hit.list.settings.tone,
        colour_of_list: hit.list.settings.colour,
        expired: hit.against.iter().any(|c| matches!(c, Contradiction::Expired { .. })),
        entry_age: entry
            .confirmed
            .or(entry.added)
            .filter(|_| timed)
            .and_then(|date| (tagged.when.utc - date).to_std().ok()),
        list_age: timed.then_some(hit.list_age),
        other_crew: hit.other_crew.as_ref().filter(|v| !v.is_against()).map(hotlist::Verdict::words),
        camera: read.camera.clone(),
        at: read.last_at,
        utc: tagged.when.trusted.then_some(tagged.when.utc),
        patch: read.patch.clone(),
        overview: read.overview.clone(),
        // Of the test entry, too, should a camera ever see its VRM.
        drill: tagged.drill || (hit.list.id == hotlist::OWN && entry.vrm.as_str() == DRILL),
    }
}
