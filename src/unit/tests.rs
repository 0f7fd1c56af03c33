//! What joins the rooms, with cameras and recognition that follow a script, on real files.

mod crew;
mod eye;
mod hits;
mod killed;
mod office;
mod parts;
mod people;
#[cfg(feature = "office")]
mod settings;

use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use super::desk::{Tools, Worker};
use super::*;
use crate::alert::{AlertId, Grade, Output, Verdict};
use crate::clock::SimulatedClock;
use crate::config::{self, Receiver as ReceiverConfig, ReceiverSource};
use crate::hotlist::{ImportOptions, Settings};
use crate::journal::{Key, make_token};
use crate::plate;
use crate::recognise::{Character, ReadId, Thumbnail};

fn start() -> DateTime<Utc> {
    "2026-12-01T10:00:00Z".parse().expect("a time")
}

fn read(pass: u64, text: &str) -> Read {
    let picture = Arc::new(Thumbnail { width: 4, height: 2, rgb: vec![90; 24] });
    let characters = text
        .chars()
        .map(|character| {
            let mut p = [0.0; plate::ALPHABET_SIZE];
            p[plate::index_of(character).expect("a plate's character")] = 0.99;
            Character { p }
        })
        .collect();
    Read {
        id: ReadId { run: 1, pass },
        camera: "front".into(),
        text: text.into(),
        raw: text.into(),
        confidence: 0.98,
        characters,
        first_at: Moment::default(),
        last_at: Moment::default(),
        first_seen: Duration::ZERO,
        last_seen: Duration::from_millis(500),
        looks: 5,
        agreeing: 5,
        corners: [[0.0; 2]; 4],
        patch: picture.clone(),
        overview: picture,
    }
}

/// A desk with one list, a journal, and a log of the receiver that tells the time where `timed`.
struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<SimulatedClock>,
    journal: Arc<Journal>,
    seen: Arc<Mutex<Vec<(Grade, String)>>>,
    roles: Vec<String>,
    /// Whether the office may set anything.
    heeds: bool,
    settings: Settings,
    chart: Option<Arc<Chart>>,
    screen: Option<Handle>,
    /// What the clerk brings; a desk that is driven by hand gets it from here.
    news: (Sender<News>, Receiver<News>),
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::starting(start());
        let token = folder.path().join("token");
        make_token(&token).expect("made");
        let key = Key::Token(token);
        let journal = Arc::new(Journal::open_with(folder.path(), &key, clock.clone()).expect("opened"));
        Self {
            folder,
            clock,
            journal,
            seen: Arc::default(),
            roles: Vec::new(),
            heeds: true,
            settings: Settings::default(),
            chart: None,
            screen: None,
            news: channel(),
        }
    }

    fn worker(&self, list: &str, timed: bool, speaker: Speaker) -> Worker {
        let clock: Shared = self.clock.clone();
        let hotlist = Arc::new(Hotlist::open(&self.folder.path().join("hotlist.redb"), clock.clone()).expect("opened"));
        let settings = Some(self.settings.clone());
        let options = ImportOptions { produced: Some(start()), settings, ..ImportOptions::default() };
        hotlist.import("pnc", list.as_bytes(), Path::new("list.csv"), &options).expect("imported");
        let tagger = if timed {
            let path = self.folder.path().join("drive.nmea");
            std::fs::write(&path, crate::tag::sample("100000", 0.0, 6.0)).expect("written");
            let receiver =
                ReceiverConfig { source: ReceiverSource::File(path), baud: 9600, stale_s: 2.0, absent_s: 30.0 };
            Tagger::open(Some(&receiver), Arc::default(), clock.clone(), |_| {}).expect("a log")
        } else {
            Tagger::without(clock.clone())
        };
        let seen = self.seen.clone();
        Worker::new(Tools {
            clock,
            cameras: vec!["front".into()],
            counters: vec![Arc::default()],
            positions: vec![Arc::default()],
            has_receiver: timed,
            roles: self.roles.clone(),
            longest_shift: config::Crew::default().longest_shift(),
            heeds: self.heeds,
            budgets: config::Budgets::default(),
            tagger: Arc::new(tagger),
            clerk: super::clerk::Clerk::start(
                Some(hotlist.clone()),
                Some(self.journal.clone()),
                self.folder.path().to_owned(),
                self.news.0.clone(),
            )
            .expect("started"),
            hotlist: Some(hotlist),
            journal: Some(self.journal.clone()),
            speaker,
            screen: self.screen.clone(),
            chart: self.chart.clone(),
            link: None,
            observer: Box::new(move |told| {
                let alerts = told.changes.iter().map(|change| (change.alert().grade, change.alert().doubt.clone()));
                seen.lock().expect("whole").extend(alerts);
            }),
        })
    }

    /// The audit chain: what was done, by whom, why, for which case, and what more there is to say.
    fn deeds(&self) -> Vec<[String; 5]> {
        self.journal.flush().expect("on disk");
        let deeds = self.journal.archive().deeds().expect("read").into_iter();
        deeds.map(|deed| [deed.act, deed.who, deed.reason, deed.case, deed.detail]).collect()
    }

    /// The journal's lines of one kind.
    fn lines(&self, kind: &str) -> Vec<Value> {
        self.journal.flush().expect("on disk");
        let mut text = Vec::new();
        self.journal.archive().export_jsonl(&mut text).expect("exported");
        let lines = String::from_utf8(text).expect("text");
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(|line: &Value| line["kind"] == kind)
            .collect()
    }
}

fn silent() -> Speaker {
    let off = config::Sound { enabled: false, ..config::Sound::default() };
    Speaker::start(&off, SimulatedClock::starting(start()), Box::new(DeviceSounder), |_, _| {}).expect("started")
}

/// A sound card that keeps what it is given.
#[derive(Default, Clone)]
struct Recorder(Arc<Mutex<Vec<Vec<f32>>>>);

impl Sounder for Recorder {
    fn open(&mut self, _: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        Ok(Box::new(self.clone()))
    }
}

impl Output for Recorder {
    fn play(&mut self, playback: crate::alert::Playback) {
        self.0.lock().expect("whole").push(playback.collect());
    }
}

/// Lets the desk hear `news`, then ends it.
fn hear(worker: Worker, news: Vec<News>) -> Outcome {
    let (sender, inbox) = channel();
    news.into_iter().chain([News::Stop]).for_each(|news| sender.send(news).expect("the desk listens"));
    worker.run(&inbox)
}

fn put_out(read: Read) -> News {
    News::Read(Box::new(read), Duration::from_millis(500))
}

impl Bench {
    /// Lets the worker hear what the clerk brings, until it is what was waited for.
    fn hear_clerk(&self, worker: &mut Worker, wanted: impl Fn(&super::clerk::Brought) -> bool) {
        loop {
            let news = self.news.1.recv().expect("the clerk has a sender");
            let done = matches!(&news, News::Brought(brought) if wanted(brought));
            worker.hear(news);
            if done {
                return;
            }
        }
    }
}

fn touched(touch: Touch) -> News {
    News::Touch(touch)
}
