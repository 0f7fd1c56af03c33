//! An eye and the end of the unit: cameras that go away, threads that panic, a disk that hangs.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

use super::super::eye::{Eye, Recognise};
use super::*;
use crate::capture::{Event, Frame, Picture};
use crate::recognise::InView;

/// Recognition that says one read a frame at its end, and fails where the script says so.
#[derive(Default)]
struct Script {
    frames: u64,
    unfinished: VecDeque<Read>,
    fails: Vec<u64>,
    panics: Option<u64>,
}

impl Recognise for Script {
    fn frame(&mut self, _: &Frame, _: &mut dyn FnMut(Read)) -> Result<()> {
        self.frames += 1;
        assert_ne!(Some(self.frames), self.panics, "as the script says");
        if self.fails.contains(&self.frames) {
            return Err(Fault::new(Kind::Internal, "the network does not fit"));
        }
        self.unfinished.push_back(read(self.frames, "AB12CDE"));
        Ok(())
    }

    fn end(&mut self, put_out: &mut dyn FnMut(Read)) {
        self.unfinished.drain(..).for_each(put_out);
    }

    fn in_view(&self) -> Vec<InView> {
        Vec::new()
    }

    fn timings(&self) -> Timings {
        Timings::default()
    }
}

fn frame() -> Event {
    Event::Frame(Frame {
        camera: "front".into(),
        number: 0,
        at: Moment::default(),
        time: Duration::ZERO,
        picture: Picture::owned(2, 2, vec![0; 4]).expect("grey"),
    })
}

fn eye(events: Vec<Event>, recogniser: Script, news: Sender<News>) -> Eye<Script> {
    let mut events = events.into_iter();
    Eye {
        index: 0,
        feed: Box::new(move |_| events.next().unwrap_or(Event::End)),
        recogniser,
        position: Arc::new(AtomicU64::new(0)),
        screen: None,
        news,
        stop: Arc::default(),
    }
}

/// What the eye says, as letters: Read, Lost, Back, End.
fn said(events: Vec<Event>, recogniser: Script) -> String {
    let (sender, news) = channel();
    eye(events, recogniser, sender).run();
    news.try_iter()
        .map(|news| match news {
            News::Read(..) => 'R',
            News::Lost(..) => 'L',
            News::Back(_) => 'B',
            News::End(..) => 'E',
            _ => '?',
        })
        .collect()
}

#[test]
fn what_a_camera_saw_before_it_went_away_is_said_at_once() {
    let lost = || Event::Lost(Fault::new(Kind::Unavailable, "the cable is out"));
    assert_eq!(said(vec![frame(), lost(), Event::Back, frame()], Script::default()), "RLBRE");
    // A camera that is silent, but not long enough to be lost.
    let quiet = |count| (0..count).map(|_| Event::Quiet);
    let events: Vec<Event> = [frame()].into_iter().chain(quiet(30)).chain([lost()]).collect();
    assert_eq!(said(events, Script::default()), "RLE");
    let (sender, news) = channel();
    let events: Vec<Event> = [frame()].into_iter().chain(quiet(24)).collect();
    eye(events, Script::default(), sender).run();
    assert!(matches!(news.try_recv(), Ok(News::Read(..))));
}

#[test]
fn a_camera_whose_pictures_could_not_be_recognised_for_a_while_is_back_with_the_first_that_can() {
    let script = Script { fails: vec![2, 3], ..Script::default() };
    assert_eq!(said((0..5).map(|_| frame()).collect(), script), "LBRRRE");
}

#[test]
fn a_thread_that_panics_is_no_success() {
    let (news, inbox) = channel();
    let broken_eye = eye(vec![frame()], Script { panics: Some(1), ..Script::default() }, news.clone());
    let mut unit = Unit {
        eyes: vec![watched(0, broken_eye, news.clone()).expect("started")],
        news,
        stop: Arc::default(),
        keeper: None,
        desk: Some(thread("desk", || panic!("as the test wants it")).expect("started")),
        link: None,
        clock: SimulatedClock::starting(start()),
        panicked: Vec::new(),
    };
    unit.join_eyes();
    assert!(matches!(inbox.recv(), Ok(News::Lost(0, fault)) if fault.to_string().contains("eye-0")));
    let outcome = unit.stop();
    assert_eq!(outcome.panicked, ["eye-0", "desk"]);
    let fault = outcome.sound().expect_err("broken");
    assert!(fault.kind() == Kind::Internal && fault.to_string().contains("eye-0, desk"), "{fault}");
}

#[test]
fn a_disk_that_hangs_does_not_hold_the_end() {
    let (news, _inbox) = channel();
    let (disk, answers) = channel::<()>();
    let unit = Unit {
        eyes: Vec::new(),
        news,
        stop: Arc::default(),
        keeper: Some(thread("keeper", move || _ = answers.recv()).expect("started")),
        desk: Some(thread("desk", Outcome::default).expect("started")),
        link: None,
        clock: SimulatedClock::starting(start()),
        panicked: Vec::new(),
    };
    assert!(unit.stop().sound().is_ok(), "it ends without the keeper");
    drop(disk);
}
