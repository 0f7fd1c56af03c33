//! The only file that wires rooms to each other, with its helpers under `unit/`.
//!
//! ```text
//! eye (a thread a camera): capture → recognise ─► desk (one thread): tag → hotlist → alert ─► speaker, screen, journal
//! ```
//!
//! The desk waits for nothing but news: speaker, screen, journal and link each have a queue and a thread of their own.

mod board;
mod clerk;
mod desk;
mod eye;
mod figures;
mod latency;
mod outbox;
mod steering;
#[cfg(test)]
mod tests;
mod timekeeper;
mod trail;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::alert::{Change, Chart, DeviceSounder, Sounder, Speaker};
use crate::capture::{self, Counters, Pace};
use crate::clock::{Clock, Moment, Shared};
use crate::config::{self, Config};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Hit, Hotlist};
use crate::journal::{Journal, Keep, Record, Space};
use crate::recognise::{Models, Passes, Read, Recogniser, Timings};
use crate::screen::{Handle, Touch};
use crate::sync::{Link, LinkState};
use crate::tag::{self, TaggedRead, Tagger, When};

pub use latency::Latency;

/// One version of one read, with everything that was made of it.
#[derive(Debug)]
pub struct Told<'a> {
    /// The source's own time at which it was put out.
    pub t: Duration,
    /// The read with its place and time.
    pub read: &'a TaggedRead,
    /// What it matches.
    pub hits: &'a [Hit],
    /// What became of the alerts.
    pub changes: &'a [Change],
}

/// Hears of every read as it is put out; called on the desk's thread, must not wait.
pub type Observer = Box<dyn FnMut(&Told) + Send>;

/// What a unit is made of. Parts that are `None` are left out.
pub struct Parts {
    /// Cameras, receiver, sound, back office.
    pub config: Config,
    /// How files are played.
    pub pace: Pace,
    /// The networks.
    pub models: Arc<Models>,
    /// Time.
    pub clock: Shared,
    /// The lists.
    pub hotlist: Option<Arc<Hotlist>>,
    /// The record.
    pub journal: Option<Arc<Journal>>,
    /// Where the screens are shown.
    pub screen: Option<Handle>,
    /// What the driver is shown of alerts, and with which tones, where there is a window for it.
    pub chart: Option<Arc<Chart>>,
    /// What the crew touches.
    pub touches: Option<Receiver<Touch>>,
    /// The sound card; default: the system's.
    pub sounder: Option<Box<dyn Sounder>>,
    /// Who else hears of reads.
    pub observer: Observer,
}

/// What reaches the desk.
enum News {
    /// A read, new or corrected, at a time of its source.
    Read(Box<Read>, Duration),
    /// A camera has gone.
    Lost(usize, Fault),
    /// It is back.
    Back(usize),
    /// A source has ended; where its recognition's time went.
    End(usize, Timings),
    /// The receiver has gone or is back.
    Receiver(tag::Event),
    /// The crew touched the screen.
    Touch(Touch),
    /// The first sample of an alert's tone was handed to the device.
    Heard(crate::alert::AlertId, Moment),
    /// What the clerk was asked for, or measured.
    Brought(Box<clerk::Brought>),
    /// A list has come from the office and counts.
    Lists,
    /// The display has gone, or never was there.
    Display(Fault),
    /// There is no driver's window, though there should be.
    Driver(Fault),
    /// The unit is to end.
    Stop,
}

/// A running unit. Dropping it ends it in good order.
pub struct Unit {
    news: Sender<News>,
    stop: Arc<AtomicBool>,
    eyes: Vec<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
    desk: Option<JoinHandle<Outcome>>,
    link: Option<Arc<Link>>,
    clock: Shared,
    /// Threads that ended by a panic.
    panicked: Vec<String>,
}

/// What a unit did, once it has ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Where recognition's time went, a camera each.
    pub timings: Vec<Timings>,
    /// Frames handed out and dropped, a camera each.
    pub frames: Vec<(u64, u64)>,
    /// For each alert, how long the crew waited for it.
    pub latencies: Vec<Latency>,
    /// Faults of sources and of the journal, in words: the first hundred.
    pub faults: Vec<String>,
    /// Threads that ended by a panic. Whatever else the outcome says is not the whole then.
    pub panicked: Vec<String>,
}

impl Outcome {
    /// An error if a part of the unit broke.
    ///
    /// # Errors
    /// Names the threads that ended by a panic.
    pub fn sound(&self) -> Result<()> {
        if self.panicked.is_empty() {
            return Ok(());
        }
        Err(broken(&self.panicked.join(", ")))
    }
}

fn broken(thread: &str) -> Fault {
    Fault::new(Kind::Internal, format!("the unit broke: {thread} ended by a panic"))
        .remedy("Start it again, and report it with the log")
}

impl Unit {
    /// Starts everything. A camera, receiver, sound card or office that is not there is a named fault, not an error.
    ///
    /// # Errors
    /// A file that cannot be played, a log that is none, models that do not fit, or a thread that cannot be started.
    pub fn start(parts: Parts) -> Result<Self> {
        let Parts { config, pace, models, clock, hotlist, journal, screen, chart, touches, sounder, observer } = parts;
        let (news, inbox) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let passes = Passes::of_run(journal.as_ref().map_or(0, |journal| journal.run()));

        let mut feeds = Vec::new();
        for camera in &config.cameras {
            feeds.push(capture::open(camera, pace, clock.clone())?);
        }
        let counters: Vec<Arc<Counters>> = feeds.iter().map(|feed| feed.counters()).collect();
        let positions: Vec<Arc<AtomicU64>> = feeds.iter().map(|_| Arc::default()).collect();
        let receiver_news = news.clone();
        // The first camera paces a log.
        let turns = feeds.first().map(|feed| feed.turns()).unwrap_or_default();
        let tagger = Tagger::open(config.receiver.as_ref(), turns, clock.clone(), move |event| {
            // The desk is gone only while the unit is being taken down.
            let _ = receiver_news.send(News::Receiver(event));
        })?;
        let tagger = Arc::new(tagger);
        let heard = news.clone();
        let speaker = Speaker::start(
            &config.sound,
            clock.clone(),
            sounder.unwrap_or_else(|| Box::new(DeviceSounder)),
            move |alert, at| {
                let _ = heard.send(News::Heard(alert, at));
            },
        )?;
        let link = match (&config.office, &journal, &hotlist) {
            (Some(office), Some(journal), Some(hotlist)) => {
                // Certificates are judged by the satellites' time, where there is one: the system's may never have been set.
                let clock: Shared = Arc::new(SatelliteClock { tagger: tagger.clone(), system: clock.clone() });
                let outbox = outbox::Store::new(journal, hotlist, office, &config.data, clock.clone())?;
                let outbox = Arc::new(outbox.of(&config.unit).telling(news.clone()));
                Some(Arc::new(Link::start(&config.unit, office, outbox, clock)?))
            }
            _ => None,
        };
        if let Some(touches) = touches {
            let news = news.clone();
            thread("touches", move || {
                while let Ok(touch) = touches.recv() {
                    if news.send(News::Touch(touch)).is_err() {
                        break;
                    }
                }
            })?;
        }
        let clerk = clerk::Clerk::start(hotlist.clone(), journal.clone(), config.data.clone(), news.clone())?;
        let lists = hotlist.clone();
        let desk = desk::Worker::new(desk::Tools {
            clock: clock.clone(),
            cameras: config.cameras.iter().map(|camera| camera.name.clone()).collect(),
            counters,
            positions: positions.clone(),
            has_receiver: config.receiver.is_some(),
            roles: config.crew.roles.clone(),
            longest_shift: config.crew.longest_shift(),
            heeds: config.office.as_ref().is_some_and(|office| office.settings),
            budgets: config
                .office
                .as_ref()
                .and_then(|office| office.metered.as_ref())
                .map(config::Metered::budgets)
                .unwrap_or_default(),
            tagger: tagger.clone(),
            hotlist,
            clerk,
            journal: journal.clone(),
            speaker,
            screen: screen.clone(),
            chart,
            link: link.clone(),
            observer,
        });
        let desk = thread("desk", move || desk.run(&inbox))?;
        let mut eyes = Vec::new();
        for (index, (mut feed, position)) in feeds.into_iter().zip(positions).enumerate() {
            let recogniser = Recogniser::new(feed.camera().clone(), models.clone(), passes.clone(), clock.clone())?;
            let eye = eye::Eye {
                index,
                feed: Box::new(move |wait| feed.next(wait)),
                recogniser,
                position,
                screen: screen.clone(),
                news: news.clone(),
                stop: stop.clone(),
            };
            eyes.push(watched(index, eye, news.clone())?);
        }
        let ends = clock.clone();
        let keeper = journal.map(|journal| {
            let house = House {
                journal,
                hotlist: lists,
                keep: Keep::new(config.journal.clone(), config.office.is_some()),
                data: config.data.clone(),
                limits: config.journal.clone(),
                office: config.office.is_some(),
                // Without an office there is nobody to tell what the crew makes known.
                statements_h: config.office.as_ref().map_or(0, |_| config.journal.keep_unsent_h),
                tagger,
                clock,
                stop: stop.clone(),
            };
            thread("keeper", move || house.keep())
        });
        let keeper = keeper.transpose()?;
        Ok(Self { news, stop, eyes, keeper, desk: Some(desk), link, clock: ends, panicked: Vec::new() })
    }

    /// Waits until every source has been played to its end, then ends the unit. Live sources have no end.
    pub fn wait(mut self) -> Outcome {
        self.join_eyes();
        self.end()
    }

    /// Ends the unit now.
    pub fn stop(mut self) -> Outcome {
        self.end()
    }

    /// Whether every source has been played to its end.
    pub fn is_over(&self) -> bool {
        self.eyes.iter().all(JoinHandle::is_finished)
    }

    /// Whether the unit cannot go on: without its desk nothing reaches the crew any more.
    pub fn is_broken(&self) -> bool {
        self.desk.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The display has gone, or never was there, and why: the unit goes on without, and that is on record.
    pub fn without_display(&self, why: Fault) {
        // The desk is gone only while the unit is being taken down.
        let _ = self.news.send(News::Display(why));
    }

    /// There is no driver's window, though there should be: the unit goes on without, and that is on record.
    pub fn without_driver_window(&self, why: Fault) {
        let _ = self.news.send(News::Driver(why));
    }

    /// How the link to the office is, where there is one.
    pub fn link(&self) -> Option<LinkState> {
        self.link.as_ref().map(|link| link.status().state)
    }

    /// What the office has not acknowledged yet.
    pub fn unsent(&self) -> u64 {
        self.link.as_ref().map_or(0, |link| link.status().unsent)
    }

    /// Asks the link to look for something to send.
    pub fn nudge(&self) {
        if let Some(link) = &self.link {
            link.nudge();
        }
    }

    fn end(&mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.join_eyes();
        if let Some(keeper) = self.keeper.take() {
            let start = self.clock.now();
            while !keeper.is_finished() && self.clock.now().since(start) < PATIENCE {
                self.clock.sleep(GLANCE);
            }
            // A disk that hangs in the middle of a call holds the keeper; the unit ends without it.
            if keeper.is_finished() {
                self.join("keeper", keeper);
            } else {
                tracing::error!("the keeper waits for a disk that does not answer, and is left behind");
            }
        }
        let _ = self.news.send(News::Stop);
        let desk = self.desk.take().and_then(|desk| self.join("desk", desk));
        let mut outcome = desk.unwrap_or_default();
        outcome.panicked.append(&mut self.panicked);
        outcome
    }

    fn join_eyes(&mut self) {
        for (index, eye) in std::mem::take(&mut self.eyes).into_iter().enumerate() {
            self.join(&format!("eye-{index}"), eye);
        }
    }

    /// Waits for a thread's end; a panic, which was printed where it happened, is noted.
    fn join<T>(&mut self, name: &str, thread: JoinHandle<T>) -> Option<T> {
        let ended = thread.join().ok();
        if ended.is_none() {
            self.panicked.push(name.to_owned());
        }
        ended
    }
}

/// The system's clock, with the satellites' time where there is one.
struct SatelliteClock {
    tagger: Arc<Tagger>,
    system: Shared,
}

impl Clock for SatelliteClock {
    fn now(&self) -> Moment {
        self.system.now()
    }

    fn utc(&self) -> DateTime<Utc> {
        self.tagger.now(self.now()).unwrap_or_else(|| self.system.utc())
    }

    fn sleep(&self, time: Duration) {
        self.system.sleep(time);
    }
}

/// Talks to the office until the car holds a list, at most for `patience`, before any camera opens: a demonstration or a
/// drill wants its list from the first frame on. Gives whether there is one.
///
/// # Errors
/// The link cannot be started; that the office does not answer is no error.
pub fn fetch_lists(
    config: &Config,
    journal: &Arc<Journal>,
    hotlist: &Arc<Hotlist>,
    clock: &Shared,
    patience: Duration,
) -> Result<bool> {
    let Some(office) = &config.office else { return Ok(!hotlist.status().is_empty()) };
    let outbox = outbox::Store::new(journal, hotlist, office, &config.data, clock.clone())?;
    let outbox = Arc::new(outbox.of(&config.unit));
    let _link = Link::start(&config.unit, office, outbox, clock.clone())?;
    let start = clock.now();
    while hotlist.status().is_empty() && clock.now().since(start) < patience {
        clock.sleep(LOOK_UP);
    }
    Ok(!hotlist.status().is_empty())
}

impl Drop for Unit {
    fn drop(&mut self) {
        if self.desk.is_some() {
            self.end();
        }
    }
}

/// The fault of having waited for the office in vain.
fn given_up(unsent: u64) -> Fault {
    Fault::new(
        Kind::Full,
        format!("{unsent} reads, hits or words of the crew that the office never had were taken away"),
    )
    .because("they had waited for longer than keep_unsent_h allows")
    .remedy("See why there is no link to the office, or raise keep_unsent_h under [journal]")
}

/// How often retention is enforced.
const PURGE_EVERY: Duration = Duration::from_secs(600);
/// How often the disk is looked at: the journal writes some 20 MB in that time at the most.
const ROOM_EVERY: Duration = Duration::from_secs(5);
/// How often the keeper looks whether the unit is to end.
const LOOK_UP: Duration = Duration::from_millis(200);
/// How often the end of the unit looks whether the keeper has ended, and for how long.
const GLANCE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// Enforces retention, at the start and from time to time, where nobody waits for the disk.
struct House {
    journal: Arc<Journal>,
    hotlist: Option<Arc<Hotlist>>,
    keep: Keep,
    /// The folder on the disk that may fill up, when it counts as full, and whether an office has what is taken away.
    data: PathBuf,
    limits: config::Journal,
    office: bool,
    /// How long what the crew makes known waits for the office, hours.
    statements_h: u32,
    tagger: Arc<Tagger>,
    clock: Shared,
    stop: Arc<AtomicBool>,
}

impl House {
    fn keep(self) {
        let mut due = self.clock.now();
        let mut room_due = due;
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            let when = || self.tagger.when(now, now.since_start());
            // Retention first: what goes anyway makes room.
            if now >= due {
                due = now.plus(PURGE_EVERY);
                self.tidy(when());
            }
            if now >= room_due {
                room_due = now.plus(ROOM_EVERY);
                self.mind_room(when());
            }
            self.clock.sleep(LOOK_UP);
        }
    }

    fn fault(&self, part: &str, text: String, when: When) {
        tracing::error!("{text}");
        // A journal that refuses says so on the status strip.
        let _ = self.journal.record(Record::Fault { part: part.to_owned(), text, when });
    }

    fn tidy(&self, when: When) {
        let believed = match self.journal.purge_and_tell(when, &self.keep) {
            Ok(report) => {
                if report.purged.unsent > 0 {
                    self.fault("retention", given_up(report.purged.unsent).to_string(), when);
                }
                report.believed
            }
            Err(why) => {
                self.fault("journal", why.to_string(), when);
                when.trusted
            }
        };
        // As for the journal: a wrong clock must take nothing away.
        if let Some(hotlist) = self.hotlist.as_ref().filter(|_| believed) {
            match hotlist.tidy_statements(when.utc - TimeDelta::hours(self.statements_h.into())) {
                Ok(forgotten) if forgotten == 0 || self.statements_h == 0 => {}
                Ok(forgotten) => self.fault("retention", given_up(forgotten).to_string(), when),
                Err(why) => self.fault("lists", why.to_string(), when),
            }
        }
    }

    /// Sees to it that the disk does not fill up. What becomes of it the status strip says, and with it the journal; what went is
    /// in the audit chain.
    fn mind_room(&self, when: When) {
        let Some(space) = Space::of(&self.data) else { return };
        match self.journal.mind_room(space, &self.limits, self.office, when) {
            Ok(gone) if gone.pictures == 0 => {}
            Ok(gone) => tracing::warn!(
                "the disk is nearly full: {} pictures of reads without a hit were taken away, {} of them never sent",
                gone.pictures,
                gone.unsent
            ),
            // A disk that takes nothing is the journal's own fault, and said there.
            Err(why) => tracing::error!("{why}"),
        }
    }
}

/// A thread for an eye. Where it panics, the others go on without this camera, and the crew sees that it is lost.
fn watched<R: eye::Recognise + 'static>(index: usize, eye: eye::Eye<R>, news: Sender<News>) -> Result<JoinHandle<()>> {
    let name = format!("eye-{index}");
    thread(&name.clone(), move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| eye.run())) {
            let _ = news.send(News::Lost(index, broken(&name)));
            resume_unwind(panic);
        }
    })
}

fn thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| Fault::new(Kind::Internal, format!("cannot start the thread {name}")).because(error))
}
