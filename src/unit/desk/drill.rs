//! The drill: a test hit that goes the way of every hit, and proves each step of it. No camera saw it and no list but the
//! crew's has it, so that it is marked as a drill wherever it arrives.

use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::alert::AlertId;
use crate::clock::Moment;
use crate::fault::Result;
use crate::plate::{ALPHABET_SIZE, index_of};
use crate::recognise::{Character, Read, ReadId, Thumbnail};
use crate::screen::{State, StatusItem, drawn_plate};
use crate::sync::LinkState;
use crate::unit::clerk::DRILL;

/// What is not proved by then has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Drills are numbered from here on, far from every pass that cameras see.
const FIRST_PASS: u64 = 1 << 62;
/// Height of the drawn plate, pixels.
const PLATE: u32 = 60;

/// One step of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Waiting,
    /// In words how well.
    Proved(String),
    Failed(String),
}

/// A drill that is going on, or the last one.
pub(super) struct Drill {
    started: Moment,
    /// Frames that each camera had delivered when it began.
    frames: Vec<u64>,
    alert: Option<AlertId>,
    /// Records that the journal had been given when the test hit was among them.
    records: Option<u64>,
    camera: Step,
    matching: Step,
    speaker: Step,
    screen: Step,
    uplink: Step,
    told: bool,
}

impl Drill {
    fn steps(&self) -> [(&'static str, &Step); 5] {
        [
            ("Camera", &self.camera),
            ("Matching", &self.matching),
            ("Speaker", &self.speaker),
            ("Screen", &self.screen),
            ("Uplink", &self.uplink),
        ]
    }

    fn is_over(&self) -> bool {
        self.steps().iter().all(|(_, step)| **step != Step::Waiting)
    }
}

impl Worker {
    pub(super) fn start_drill(&mut self) {
        // One at a time: the last one's alert is to be answered first, so it is brought back to the screen.
        if self.desk.queue().iter().any(|alert| alert.drill)
            || self.drill.as_ref().is_some_and(|drill| !drill.is_over())
        {
            self.desk.recall();
            return;
        }
        self.remark(self.by("drill started".to_owned()));
        let frames = self.tools.counters.iter().map(|counters| counters.delivered()).collect();
        let waiting = || Step::Waiting;
        self.drill = Some(Drill {
            started: self.tools.clock.now(),
            frames,
            alert: None,
            records: None,
            camera: waiting(),
            matching: waiting(),
            speaker: waiting(),
            screen: waiting(),
            uplink: waiting(),
            told: false,
        });
        self.tools.clerk.drill(self.when().utc);
    }

    /// The entry of the drill is on the crew's list: a read that matches it goes the way of every read.
    pub(super) fn drill_listed(&mut self, listed: Result<()>) {
        if let Err(fault) = listed {
            if let Some(drill) = &mut self.drill {
                for step in [&mut drill.matching, &mut drill.speaker, &mut drill.screen, &mut drill.uplink] {
                    *step = Step::Failed(fault.to_string());
                }
            }
            return;
        }
        let now = self.tools.clock.now();
        self.drills += 1;
        let read = self.test_read(now);
        let position = self.tools.position();
        let raised = self.read_as(read, position, true);
        let took = self.tools.clock.now().since(now);
        let records = self.tools.journal.as_ref().map(|journal| journal.status().seen);
        let Some(drill) = &mut self.drill else { return };
        drill.records = records;
        drill.alert = raised;
        drill.matching = match raised {
            Some(_) => Step::Proved(format!("{} ms", took.as_millis())),
            None => Step::Failed("the test entry was not matched".to_owned()),
        };
    }

    /// The first sample of `alert` was handed to the sound device.
    pub(super) fn proved_sound(&mut self, alert: AlertId, at: Moment) {
        self.proved(alert, at, |drill| &mut drill.speaker);
    }

    /// `alert` was drawn.
    pub(super) fn proved_screen(&mut self, alert: AlertId, at: Moment) {
        self.proved(alert, at, |drill| &mut drill.screen);
    }

    fn proved(&mut self, alert: AlertId, at: Moment, step: impl Fn(&mut Drill) -> &mut Step) {
        if let Some(drill) = self.drill.as_mut().filter(|drill| drill.alert == Some(alert)) {
            let after = at.since(drill.started);
            let step = step(drill);
            if *step == Step::Waiting {
                *step = Step::Proved(format!("{} ms", after.as_millis()));
            }
        }
    }

    /// Looks at the steps that do not report by themselves; puts the drill on record once it is over.
    pub(super) fn look_at_drill(&mut self) {
        let now = self.tools.clock.now();
        let cameras = &self.tools.counters;
        let Some(drill) = self.drill.as_mut().filter(|drill| !drill.told) else { return };
        if drill.camera == Step::Waiting {
            let fresh =
                cameras.iter().zip(&drill.frames).filter(|(counters, before)| counters.delivered() > **before).count();
            if fresh == cameras.len() {
                drill.camera = Step::Proved(format!("{fresh} of {fresh} live"));
            }
        }
        if drill.uplink == Step::Waiting && drill.alert.is_some() {
            drill.uplink = match (&self.tools.link, &self.tools.journal) {
                (None, _) | (_, None) => Step::Failed("no back office is configured".to_owned()),
                (Some(link), Some(journal)) => {
                    let (link, journal) = (link.status(), journal.status());
                    let written = drill.records.is_some_and(|records| journal.committed >= records);
                    match link.state {
                        // Everything that was there with the test hit has been acknowledged.
                        LinkState::Connected { .. } if written && journal.unsent == 0 => {
                            Step::Proved(format!("{} ms", now.since(drill.started).as_millis()))
                        }
                        _ => Step::Waiting,
                    }
                }
            };
        }
        if self.tools.screen.is_none() && drill.screen == Step::Waiting && drill.alert.is_some() {
            drill.screen = Step::Failed("there is no display".to_owned());
        }
        if now.since(drill.started) >= PATIENCE {
            for step in
                [&mut drill.camera, &mut drill.matching, &mut drill.speaker, &mut drill.screen, &mut drill.uplink]
            {
                if *step == Step::Waiting {
                    *step = Step::Failed(format!("nothing within {} s", PATIENCE.as_secs()));
                }
            }
        }
        if drill.is_over() {
            drill.told = true;
            tracing::info!("the drill is over");
            let steps = drill.steps().map(|(name, step)| match step {
                Step::Proved(how) => format!("{} proved ({how})", name.to_lowercase()),
                Step::Failed(why) => format!("{} FAILED ({why})", name.to_lowercase()),
                Step::Waiting => name.to_lowercase(),
            });
            self.remark(format!("drill: {}", steps.join(", ")));
            self.tools.clerk.drilled(self.when().utc);
        }
    }

    /// What is to be said of the drill on its page.
    pub(super) fn drill_told(&self) -> (String, Vec<StatusItem>) {
        let Some(drill) = &self.drill else {
            return ("A drill proves camera, matching, speaker, screen and uplink".to_owned(), Vec::new());
        };
        let item = |(name, step): (&str, &Step)| match step {
            Step::Waiting => StatusItem { state: State::Ok, ..StatusItem::ok(name, "waiting", "") },
            Step::Proved(how) => StatusItem::ok(name, "proved", how),
            Step::Failed(why) => StatusItem::fault(name, "failed", why),
        };
        let word = match (drill.is_over(), drill.steps().iter().any(|(_, step)| matches!(step, Step::Failed(_)))) {
            (false, _) => "The drill is going on",
            (true, false) => "The drill proved every step",
            (true, true) => "The drill found a fault",
        };
        (word.to_owned(), drill.steps().map(item).to_vec())
    }

    /// A read of the test entry, as sure as a read can be, with the newest picture of the first camera.
    fn test_read(&self, now: Moment) -> Read {
        let character = |character: char| {
            let mut p = [0.0; ALPHABET_SIZE];
            if let Some(index) = index_of(character) {
                p[index] = 0.999;
            }
            Character { p }
        };
        let picture = self.tools.screen.as_ref().and_then(|screen| screen.latest().cameras.first()?.picture.clone());
        let nothing = || Arc::new(Thumbnail { width: 0, height: 0, rgb: Vec::new() });
        let position = self.tools.position();
        Read {
            id: ReadId {
                run: self.tools.journal.as_ref().map_or(0, |journal| journal.run()),
                pass: FIRST_PASS + self.drills,
            },
            camera: self.tools.cameras.first().map_or("none", String::as_str).into(),
            text: DRILL.to_owned(),
            raw: DRILL.to_owned(),
            confidence: 0.99,
            characters: DRILL.chars().map(character).collect(),
            first_at: now,
            last_at: now,
            first_seen: position,
            last_seen: position,
            looks: 1,
            agreeing: 1,
            corners: [[0.0; 2]; 4],
            patch: Arc::new(drawn_plate(DRILL, PLATE)),
            overview: picture.unwrap_or_else(nothing),
        }
    }
}
