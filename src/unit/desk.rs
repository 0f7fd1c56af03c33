//! The desk: everything that is known of a vehicle passes here, once, in order.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::board::Board;
use super::clerk::Clerk;
use super::{News, Observer, Outcome, Told};
use crate::alert::{Alert, AlertId, Change, Desk, Grade, How, Policy, Sighting, Speaker};
use crate::capture::Counters;
use crate::clock::{Moment, Shared};
use crate::hotlist::{self, Circumstances, Contradiction, Hit, Hotlist, Priority, Standing};
use crate::journal::{Journal, Record};
use crate::recognise::{Read, ReadId};
use crate::screen::{Handle, ReadLine, Touch};
use crate::sync::Link;
use crate::tag::{TaggedRead, Tagger, When};

/// How often the screen is brought up to date when nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// Reads on the reel.
const REEL: usize = 12;
/// Passes whose recorded hits are remembered: a read is corrected within seconds.
const RECORDED: usize = 256;
/// Alerts whose way to the crew is timed, and latencies and faults of the outcome that are kept: a unit runs for months.
const TIMED: usize = 64;
const LATENCIES: usize = 1000;
const FAULTS: usize = 100;

/// How long the crew waited for one alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Which alert.
    pub alert: AlertId,
    /// Capture of the frame that made the read, to the alert leaving the desk.
    pub to_desk: Duration,
    /// The same, to the first sample handed to the sound device; `None` without sound.
    pub to_sound: Option<Duration>,
    /// The same, to the first drawn frame; `None` without a screen.
    pub to_screen: Option<Duration>,
}

/// What the desk works with.
pub(super) struct Tools {
    pub(super) clock: Shared,
    pub(super) cameras: Vec<String>,
    pub(super) counters: Vec<Arc<Counters>>,
    /// The source's own time of each camera's newest frame, microseconds.
    pub(super) positions: Vec<Arc<AtomicU64>>,
    pub(super) has_receiver: bool,
    pub(super) tagger: Arc<Tagger>,
    pub(super) hotlist: Option<Arc<Hotlist>>,
    pub(super) clerk: Option<Clerk>,
    pub(super) journal: Option<Arc<Journal>>,
    pub(super) speaker: Speaker,
    pub(super) screen: Option<Handle>,
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
    /// Capture instants of the newest alerts raised.
    raised: VecDeque<(AlertId, Moment)>,
    /// The hits of the newest passes that are on record.
    recorded: VecDeque<(ReadId, Vec<Recorded>)>,
    /// Parts that had failed when they were last looked at.
    failed: BTreeSet<String>,
    looked: Option<Moment>,
    /// The version of the lists that the alerts were last held against.
    lists: u64,
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
            raised: VecDeque::new(),
            recorded: VecDeque::new(),
            failed: BTreeSet::new(),
            looked: None,
            lists,
            outcome,
            tools,
        }
    }

    pub(super) fn run(mut self, inbox: &Receiver<News>) -> Outcome {
        loop {
            self.look_round();
            self.show();
            match inbox.recv_timeout(TICK) {
                Ok(News::Read(read, t)) => self.read(*read, t),
                Ok(News::Lost(camera, fault)) => {
                    self.fault(fault.to_string());
                    self.note(self.camera(camera), fault.to_string());
                    self.board.camera_lost(camera, fault.to_string());
                }
                Ok(News::Back(camera)) => {
                    self.note(self.camera(camera), String::new());
                    self.board.camera_back(camera);
                }
                Ok(News::End(camera, timings)) => {
                    self.outcome.timings[camera] = timings;
                    self.board.camera_ended(camera);
                }
                Ok(News::Receiver(event)) => match event {
                    crate::tag::Event::Lost(fault) => {
                        self.note("receiver".into(), fault.to_string());
                        self.board.receiver_lost(fault.to_string());
                    }
                    crate::tag::Event::Back => {
                        self.note("receiver".into(), String::new());
                        self.board.receiver_back();
                    }
                },
                Ok(News::Touch(touch)) => self.touch(touch),
                Ok(News::Heard(alert, at)) => self.reached(alert, at, |latency| &mut latency.to_sound),
                Ok(News::Display(fault)) => {
                    self.board.display_lost(fault.to_string());
                    self.tools.screen = None;
                    self.looked = None;
                }
                Ok(News::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.stand_down();
        }
        for (frames, counters) in self.outcome.frames.iter_mut().zip(&self.tools.counters) {
            *frames = (counters.delivered(), counters.dropped());
        }
        if let Some(journal) = &self.tools.journal
            && let Err(fault) = journal.flush()
        {
            self.fault(fault.to_string());
        }
        self.outcome
    }

    #[cfg(test)]
    pub(super) fn lists(&self) -> Arc<Hotlist> {
        self.tools.hotlist.clone().expect("the bench has one")
    }

    #[cfg(test)]
    pub(super) fn standing(&self) -> Vec<crate::alert::Standing> {
        self.desk.queue().iter().map(|alert| alert.standing.clone()).collect()
    }

    /// Hears the reads that wait in `inbox`.
    #[cfg(test)]
    pub(super) fn hear_all(&mut self, inbox: &Receiver<News>) {
        for news in inbox.try_iter() {
            if let News::Read(read, t) = news {
                self.read(*read, t);
            }
        }
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
        for (item, failed) in self.board.parts(&self.tools, now) {
            let part = item.name.to_lowercase();
            if failed && self.failed.insert(part.clone()) {
                self.note(part, item.detail);
            } else if !failed && self.failed.remove(&part) {
                self.note(part, String::new());
            }
        }
    }

    /// One version of one read: told to the crew first, then to everybody else.
    fn read(&mut self, read: Read, t: Duration) {
        let tagged = self.tools.tagger.tag(read);
        let hits = match &self.tools.hotlist {
            Some(hotlist) if !tagged.read.text.is_empty() => {
                let place = tagged.place.as_ref().map(|place| (place.lat, place.lon));
                let circumstances = Circumstances { utc: tagged.when.utc, place, ..Circumstances::default() };
                hotlist.match_at(&tagged.read, &circumstances)
            }
            _ => Vec::new(),
        };
        // Of a covert list, or of a pair that was judged wrong, the car says nothing; journal and office get it all.
        let told: Vec<&Hit> = hits.iter().filter(|hit| !hit.is_silent()).collect();
        let sightings: Vec<Sighting> = told.iter().map(|hit| sighting(&tagged, hit)).collect();
        let now = self.tools.clock.now();
        let changes = self.desk.take(tagged.read.id, &tagged.read.text, &sightings, now);
        for change in &changes {
            if change.aloud() {
                self.tools.speaker.sound(change.alert(), now);
            }
            if let Change::Raised(alert) | Change::Replaced { alert, .. } = change {
                if self.raised.len() == TIMED {
                    self.raised.pop_front();
                }
                self.raised.push_back((alert.id, tagged.read.last_at));
                if self.outcome.latencies.len() == LATENCIES {
                    self.outcome.latencies.remove(0);
                }
                self.outcome.latencies.push(Latency {
                    alert: alert.id,
                    to_desk: now.since(tagged.read.last_at),
                    to_sound: None,
                    to_screen: None,
                });
            }
        }
        self.on_reel(&tagged, !told.is_empty());
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

    /// Withdraws the alerts whose entries are on no list any more, once the lists have changed.
    pub(super) fn stand_down(&mut self) {
        let Some(hotlist) = &self.tools.hotlist else { return };
        let version = hotlist.version();
        if version == self.lists {
            return;
        }
        self.lists = version;
        for alert in self.desk.queue() {
            if alert.standing == crate::alert::Standing::Open
                && let Some((list, mark)) = alert.entry.split_once('/')
                && let Standing::Gone(why) = hotlist.standing(list, mark)
            {
                for change in self.desk.withdraw(&alert.entry, &why) {
                    self.tools.speaker.sound(change.alert(), self.tools.clock.now());
                }
            }
        }
    }

    fn on_reel(&mut self, tagged: &TaggedRead, hit: bool) {
        let read = &tagged.read;
        let kept = self.reel.iter().position(|(id, _)| *id == read.id);
        if read.text.is_empty() {
            if let Some(index) = kept {
                self.reel.remove(index);
            }
            return;
        }
        self.board.count(kept.is_none(), hit);
        let when = tagged.when.utc.with_timezone(&chrono::Local).format("%H:%M:%S").to_string();
        let place = match &tagged.place {
            None => "no position".to_owned(),
            Some(place) if place.stale => format!("position {} s old", place.age.as_secs()),
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

    fn touch(&mut self, touch: Touch) {
        match touch {
            Touch::Answered(answer) => {
                if let Some(alert) = self.desk.answer(answer.alert, answer.verdict) {
                    if let Some(clerk) = &self.tools.clerk {
                        clerk.answered(Arc::clone(&alert), answer.verdict, self.when().utc);
                    }
                    self.record(Record::Verdict {
                        read: alert.read,
                        list: alert.entry.split('/').next().unwrap_or_default().to_owned(),
                        verdict: answer.verdict.word().to_owned(),
                        when: self.when(),
                    });
                    if let Some(link) = &self.tools.link {
                        link.nudge();
                    }
                }
            }
            Touch::Recall => self.desk.recall(),
            Touch::Shown(alert, at) => self.reached(alert, at, |latency| &mut latency.to_screen),
        }
    }

    fn reached(&mut self, alert: AlertId, at: Moment, field: impl Fn(&mut Latency) -> &mut Option<Duration>) {
        let Some((_, captured)) = self.raised.iter().find(|(id, _)| *id == alert) else { return };
        if let Some(latency) = self.outcome.latencies.iter_mut().find(|latency| latency.alert == alert) {
            field(latency).get_or_insert(at.since(*captured));
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

    fn show(&mut self) {
        let Some(screen) = &self.tools.screen else { return };
        let now = self.tools.clock.now();
        let alert: Option<Arc<Alert>> = self.desk.current();
        screen.update(self.board.view(
            &self.tools,
            now,
            self.reel.iter().map(|(_, line)| line.clone()).collect(),
            alert,
            self.desk.waiting(),
        ));
    }
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
        at_most: match hit.grade {
            // Lowered only by an age that an unknown time makes up.
            hotlist::Grade::Possible if hit.against.iter().find(counts).is_none() && !hit.against.is_empty() => {
                Grade::Probable
            }
            hotlist::Grade::Certain => Grade::Certain,
            hotlist::Grade::Probable => Grade::Probable,
            hotlist::Grade::Possible => Grade::Possible,
        },
        expired: hit.against.iter().any(|c| matches!(c, Contradiction::Expired { .. })),
        entry_age: entry
            .confirmed
            .or(entry.added)
            .filter(|_| timed)
            .and_then(|date| (tagged.when.utc - date).to_std().ok()),
        list_age: timed.then_some(hit.list_age),
        camera: read.camera.clone(),
        at: read.last_at,
        utc: tagged.when.trusted.then_some(tagged.when.utc),
        patch: read.patch.clone(),
        overview: read.overview.clone(),
        drill: false,
    }
}
