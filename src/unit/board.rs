//! What the status strip says: the state of every part, in words.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::desk::Tools;
use super::figures::LIST_OLD;
use super::steering;
use super::timekeeper::{self, Timekeeper};
use crate::alert::{Alert, SoundState, ago};
use crate::clock::Moment;
use crate::journal::{Room, Status};
use crate::screen::{CameraTile, Found, ListLine, MapView, ReadLine, Shift, SoundSetting, State, StatusItem, View};
use crate::sync::{Health, LinkState, Position, Present};
use crate::tag::Place;

/// What the desk brings for the pages.
pub(super) struct Pages {
    pub(super) reads: Vec<ReadLine>,
    /// What is said where there is none.
    pub(super) no_reads: &'static str,
    pub(super) lists: Vec<ListLine>,
    pub(super) figures: Vec<StatusItem>,
    pub(super) shift: Shift,
    pub(super) sound: SoundSetting,
    pub(super) found: Option<Arc<Found>>,
    pub(super) map: Arc<MapView>,
    pub(super) night: bool,
}

/// The state of cameras and receiver, as the desk hears of it.
pub(super) struct Board {
    cameras: Vec<Camera>,
    receiver: Option<Result<(), String>>,
    /// Why there is no display, though there should be.
    display: Option<String>,
    /// Why there is no driver's window, though there should be.
    driver: Option<String>,
    /// How time is known.
    clock: StatusItem,
    reads: u64,
    hits: u64,
}

struct Camera {
    name: String,
    lost: Option<String>,
    ended: bool,
}

impl Board {
    pub(super) fn new(cameras: &[String], has_receiver: bool) -> Self {
        let cameras = cameras.iter().map(|name| Camera { name: name.clone(), lost: None, ended: false }).collect();
        let clock = Timekeeper::default().status(Moment::default());
        let receiver = has_receiver.then_some(Ok(()));
        Self { cameras, receiver, display: None, driver: None, clock, reads: 0, hits: 0 }
    }

    pub(super) fn camera_lost(&mut self, index: usize, why: String) {
        self.cameras[index].lost = Some(why);
    }

    pub(super) fn camera_back(&mut self, index: usize) {
        self.cameras[index].lost = None;
    }

    pub(super) fn camera_ended(&mut self, index: usize) {
        self.cameras[index].ended = true;
    }

    pub(super) fn receiver_lost(&mut self, why: String) {
        self.receiver = Some(Err(why));
    }

    pub(super) fn receiver_back(&mut self) {
        self.receiver = Some(Ok(()));
    }

    pub(super) fn display_lost(&mut self, why: String) {
        self.display = Some(why);
    }

    pub(super) fn driver_lost(&mut self, why: String) {
        self.driver = Some(why);
    }

    pub(super) fn clock_is(&mut self, clock: StatusItem) {
        self.clock = clock;
    }

    /// Counts a version of a read: the first of a pass, and whether it is a hit.
    pub(super) fn count(&mut self, first: bool, hit: bool) {
        self.reads += u64::from(first);
        self.hits += u64::from(first && hit);
    }

    /// Everything that the screens show now.
    pub(super) fn view(
        &self,
        tools: &Tools,
        now: Moment,
        pages: Pages,
        alert: Option<Arc<Alert>>,
        waiting: usize,
    ) -> View {
        let Pages { reads, no_reads, lists, figures, shift, mut sound, found, map, night } = pages;
        let no_reads = no_reads.to_owned();
        sound.state = format!("Sound device: {}", self::sound(tools).detail);
        let mut status: Vec<StatusItem> = self.cameras(tools).collect();
        let cameras = status
            .iter()
            .map(|item| CameraTile {
                name: item.name.clone(),
                state: item.state,
                detail: item.detail.clone(),
                picture: None,
                boxes: Vec::new(),
            })
            .collect();
        status.push(self.position(tools, now));
        // A journal that writes and a clock that is right are what everybody takes for granted.
        let parts = self.parts(tools, now).into_iter().map(|(item, _)| item);
        status.extend(parts.filter(|item| {
            let granted = [JOURNAL, timekeeper::NAME].contains(&&*item.name) || steering::is_own(item);
            !granted || item.state != State::Ok
        }));
        status.extend(unsent(tools));
        let utc = tools.tagger.when(now, tools.position()).utc;
        status.extend(tools.drill_due(utc));
        status.push(crew(&shift));
        let summary = format!("{} reads, {} hits", self.reads, self.hits);
        View {
            now,
            night,
            cameras,
            reads,
            no_reads,
            alert,
            waiting,
            status,
            summary,
            notice: tools.notice(utc),
            lists,
            figures,
            shift,
            sound,
            found,
            map,
            locked: String::new(),
        }
    }

    fn cameras<'a>(&'a self, tools: &'a Tools) -> impl Iterator<Item = StatusItem> + 'a {
        self.cameras.iter().zip(&tools.counters).map(|(camera, counters)| {
            let (state, word, detail) = match (&camera.lost, camera.ended, counters.delivered()) {
                (Some(why), ..) => (State::Fault, "lost", why.clone()),
                (None, true, _) => (State::Warn, "ended", "the file has been played to its end".to_owned()),
                (None, false, 0) => (State::Warn, "waiting", "no picture yet".to_owned()),
                (None, false, n) => (State::Ok, "live", format!("{n} frames, {} dropped", counters.dropped())),
            };
            StatusItem { name: camera.name.clone(), word: word.into(), state, detail }
        })
    }

    /// The parts that do not say by themselves when they fail or are back: they are looked at. With each, whether it has
    /// failed; one that is switched off or still starting has not.
    pub(super) fn parts(&self, tools: &Tools, now: Moment) -> Vec<(StatusItem, bool)> {
        let well = |item: StatusItem| (item.state != State::Ok, item);
        let broken = |item: StatusItem| (item.state == State::Fault, item);
        let mut parts = vec![broken(sound(tools)), network(tools), well(lists(tools, now))];
        if let Some(journal) = &tools.journal {
            parts.push(well(kept(&journal.status())));
        }
        parts.push(well(self.clock.clone()));
        parts.extend(tools.settings_item().map(well));
        if let Some(why) = &self.display {
            parts.push(broken(StatusItem::fault("Display", "none", why)));
        }
        if let Some(why) = &self.driver {
            parts.push(broken(StatusItem::fault("Driver", "none", why)));
        }
        parts.into_iter().map(|(failed, item)| (item, failed)).collect()
    }

    /// How the car is, for the office.
    pub(super) fn present(&self, tools: &Tools, place: Option<Place>, failed: &BTreeSet<String>) -> Present {
        let position = place.filter(|place| !place.stale).map(|place| Position {
            lat: place.lat,
            lon: place.lon,
            speed_mps: place.speed_mps,
            course: place.course.map(|course| course.rem_euclid(360.0) as u16),
            age_s: place.age.as_secs_f32(),
        });
        let live = self.cameras(tools).filter(|camera| camera.state == State::Ok).count();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let health = Health {
            cameras: number(self.cameras.len()),
            cameras_live: number(live),
            unsent: tools.link.as_ref().map_or(0, |link| link.status().unsent),
            failed: failed.iter().cloned().collect(),
        };
        Present { position, health: Some(health) }
    }

    fn position(&self, tools: &Tools, now: Moment) -> StatusItem {
        let name = "Position";
        match &self.receiver {
            None => StatusItem::warn(name, "none", "no satellite receiver is configured: reads carry no position"),
            Some(Err(why)) => StatusItem::fault(name, "lost", why),
            Some(Ok(())) => match tools.tagger.place(now, tools.position()) {
                None => StatusItem::fault(name, "no fix", "the receiver has no fix: reads carry no position"),
                Some(place) if place.stale => StatusItem::warn(
                    name,
                    format!("{} s old", place.age.as_secs()),
                    "the last fix is old: reads say so",
                ),
                Some(place) => StatusItem::ok(name, "good", format!("{:.5}, {:.5}", place.lat, place.lon)),
            },
        }
    }
}

/// Who is signed on.
fn crew(shift: &Shift) -> StatusItem {
    let name = "Crew";
    match (shift.who.as_str(), shift.asks_pin) {
        ("", true) => StatusItem::warn(
            name,
            "nobody",
            "nobody is signed on: alerts go on, reads are not shown and nothing can be looked up. Menu, Shift and drill",
        ),
        ("", false) => StatusItem::ok(name, "nobody", "nobody is signed on: answers are kept without a name"),
        (who, _) if shift.holds_alerts => {
            StatusItem::warn(name, who, "a technician is signed on: alerts are held back until they sign off")
        }
        (who, _) => StatusItem::ok(name, who, format!("signed on {}", shift.since.to_lowercase())),
    }
}

/// The journal's name on the strip.
const JOURNAL: &str = "Journal";

/// How the journal is. What is lost stays lost, so it is shown until the unit is started again.
pub(super) fn kept(status: &Status) -> StatusItem {
    let name = JOURNAL;
    let pictures = match status.given_up {
        0 => String::new(),
        gone => format!("; {gone} pictures of reads without a hit went for it"),
    };
    let left = |left: u64| format!("{:.1} GB are left on the disk{pictures}", left as f64 / 1e9);
    match (&status.fault, status.refused, status.without_pictures, status.room) {
        (Some(fault), ..) => StatusItem::fault(name, "fault", fault.to_string()),
        (None, lost @ 1.., ..) => StatusItem::fault(
            name,
            format!("{lost} lost"),
            format!("{lost} records could not be kept: nothing could be written for too long. Check the disk"),
        ),
        (None, 0, _, Room::Out(bytes)) => StatusItem::fault(
            name,
            "disk full",
            format!("{}. None is left that may go: make room on the disk", left(bytes)),
        ),
        (None, 0, reads @ 1.., _) => StatusItem::warn(
            name,
            "pictures lost",
            format!("{reads} reads were kept without their pictures: the disk was too slow. Check it"),
        ),
        (None, 0, 0, Room::Low(bytes)) if status.given_up > 0 => StatusItem::fault(
            name,
            "disk full",
            format!("{}. Make room on it, or bring the car to where it can send", left(bytes)),
        ),
        (None, 0, 0, Room::Low(bytes)) => StatusItem::warn(
            name,
            "filling up",
            format!("{}. Make room on it before pictures of reads must go", left(bytes)),
        ),
        (None, 0, 0, Room::Enough) if status.unprotected => StatusItem::fault(
            name,
            "unprotected",
            "the journal's key lies beside it: whoever has the disk can read it. Set `key` under [journal]",
        ),
        (None, 0, 0, Room::Enough) => {
            StatusItem::ok(name, "writing", format!("{} records committed", status.committed))
        }
    }
}

fn sound(tools: &Tools) -> StatusItem {
    let volume = tools.speaker.volume();
    match (tools.speaker.state(), volume.muted()) {
        // What is not heard by choice is forgotten easily.
        (SoundState::Ready, Some(grade)) => StatusItem::warn(
            "Sound",
            "part mute",
            format!("{} alerts are not heard. Menu, Sound and light", grade.word()),
        ),
        (SoundState::Ready, None) if volume.level() < QUIET => {
            StatusItem::warn("Sound", "low", "the volume is turned down. Menu, Sound and light")
        }
        (state, _) => device(state),
    }
}

/// Less loud than this is hardly heard on the road.
const QUIET: f32 = 0.25;

/// What of the journal waits for the office.
fn unsent(tools: &Tools) -> Option<StatusItem> {
    let (_, journal) = tools.link.as_ref().zip(tools.journal.as_ref())?;
    let waiting = journal.status().unsent;
    let detail = if waiting == 0 { "the office has everything" } else { "it is sent when the network is up" };
    Some(StatusItem::ok("Unsent", waiting.to_string(), detail))
}

fn device(state: SoundState) -> StatusItem {
    match state {
        SoundState::Ready => StatusItem::ok("Sound", "ready", "alerts are heard"),
        SoundState::Off => StatusItem::warn("Sound", "off", "switched off in the configuration: alerts are only seen"),
        SoundState::Opening => StatusItem::warn("Sound", "opening", "the device is being opened"),
        state => {
            StatusItem::fault("Sound", "none", format!("{state}. Check the plug; it is tried again every few seconds"))
        }
    }
}

fn network(tools: &Tools) -> (bool, StatusItem) {
    let Some(link) = &tools.link else {
        return (false, StatusItem::warn("Network", "none", "no back office is configured: the unit works alone"));
    };
    linked(link.status())
}

/// How the link is, and whether it has failed. One that is up fails with a certificate that is not renewed: it will be down.
pub(super) fn linked(status: crate::sync::Status) -> (bool, StatusItem) {
    let unsent = match status.unsent {
        0 => "nothing unsent".to_owned(),
        1 => "1 thing unsent".to_owned(),
        n => format!("{n} things unsent"),
    };
    let by = status.costs.map_or_else(String::new, |costs| format!(". {costs}"));
    match (status.state, status.identity_fault) {
        (LinkState::Connected { .. }, Some(fault)) => {
            (true, StatusItem::warn("Network", "certificate", format!("{unsent}. {fault}{by}")))
        }
        (LinkState::Connected { .. }, None) => (false, StatusItem::ok("Network", "up", format!("{unsent}{by}"))),
        (LinkState::Starting, _) => (false, StatusItem::warn("Network", "starting", unsent)),
        (LinkState::Down { reason, .. }, Some(fault)) => {
            (true, StatusItem::warn("Network", "down", format!("{unsent}. {reason} {fault}")))
        }
        (LinkState::Down { reason, .. }, None) => {
            (true, StatusItem::warn("Network", "down", format!("{unsent}. {reason}")))
        }
    }
}

fn lists(tools: &Tools, now: Moment) -> StatusItem {
    let lists = tools.hotlist.as_ref().map(|hotlist| hotlist.status()).unwrap_or_default();
    if lists.is_empty() {
        return StatusItem::fault("Lists", "none", "there is no hotlist: nothing can be matched");
    }
    let utc = tools.tagger.when(now, tools.position()).utc;
    let oldest = lists.iter().map(|list| list.age(utc)).max().unwrap_or_default();
    let entries: u64 = lists.iter().map(|list| list.count).sum();
    let detail = format!("{} lists, {entries} entries, the oldest {} old", lists.len(), ago(oldest));
    if oldest > LIST_OLD {
        StatusItem::warn("Lists", ago(oldest), detail)
    } else {
        StatusItem::ok("Lists", ago(oldest), detail)
    }
}
