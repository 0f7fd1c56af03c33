//! The supervisor against scripted sessions and a clock that is turned by hand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::*;
use crate::capture::Pace;
use crate::capture::feed::{Feed, Nature, Shot, Start, Step, Stream};
use crate::clock::{Clock, Moment, SimulatedClock};
use crate::fault::{Kind, Result};

const FRAME: Duration = Duration::from_millis(40);

/// What a scripted session does next; at the end of its script it fails.
#[derive(Clone)]
enum Act {
    Pictures(u64),
    Skipping(u64),
    Silence,
    End,
}

struct Script {
    acts: VecDeque<Act>,
    clock: Arc<SimulatedClock>,
    given: u32,
    left_over: u64,
}

impl Stream for Script {
    fn poll(&mut self, wait: Duration) -> Step {
        let skipped = match self.acts.front_mut() {
            Some(Act::Pictures(count)) => {
                *count -= 1;
                if *count == 0 {
                    self.acts.pop_front();
                }
                0
            }
            Some(Act::Skipping(count)) => {
                let count = *count;
                self.acts.pop_front();
                count
            }
            Some(Act::Silence) => {
                self.clock.advance(wait);
                return Step::Nothing;
            }
            Some(Act::End) => return Step::Ended,
            None => return Step::Failed(Fault::new(Kind::Unavailable, "the cable is out")),
        };
        self.clock.advance(FRAME);
        self.given += 1;
        Step::Picture(Shot {
            picture: Picture::owned(2, 2, vec![0; 4]).expect("grey"),
            time: FRAME * (self.given - 1),
            lasts: None,
            age: Duration::from_millis(15),
            skipped,
        })
    }

    fn left_over(&mut self) -> u64 {
        self.left_over
    }
}

struct Bench {
    feed: Feed,
    clock: Arc<SimulatedClock>,
    /// When each session was started.
    starts: Arc<Mutex<Vec<Moment>>>,
}

/// A feed whose sessions follow the scripts one after another; `None` is one that cannot be started. After the last
/// one none can.
fn bench(nature: Nature, sessions: Vec<Option<Vec<Act>>>) -> Result<Bench> {
    let clock = SimulatedClock::starting(chrono::DateTime::UNIX_EPOCH);
    let starts = Arc::<Mutex<Vec<Moment>>>::default();
    let (their_clock, their_starts) = (Arc::clone(&clock), Arc::clone(&starts));
    let mut sessions = sessions.into_iter();
    let start: Start = Box::new(move || {
        their_starts.lock().expect("not poisoned").push(their_clock.now());
        match sessions.next().flatten() {
            Some(acts) => {
                Ok(Box::new(Script { acts: acts.into(), clock: Arc::clone(&their_clock), given: 0, left_over: 1 }))
            }
            None => Err(Fault::new(Kind::Missing, "the camera is not there")),
        }
    });
    let feed = Feed::new("front", "/dev/video9".into(), nature, Duration::from_secs(5), clock.clone(), start)?;
    Ok(Bench { feed, clock, starts })
}

impl Bench {
    /// The next `count` events as letters: Frame, Lost, Back, End, Quiet.
    fn events(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| match self.feed.next(Duration::from_secs(60)) {
                Event::Frame(_) => 'F',
                Event::Lost(_) => 'L',
                Event::Back => 'B',
                Event::End => 'E',
                Event::Quiet => 'q',
            })
            .collect()
    }

    fn waits(&self) -> Vec<f64> {
        let starts = self.starts.lock().expect("not poisoned");
        starts.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect()
    }
}

#[test]
fn feeds_and_frames_may_change_threads() {
    fn may<T: Send>() {}
    may::<Feed>();
    may::<Frame>();
}

#[test]
fn a_camera_that_is_not_there_is_lost_once_and_tried_again_ever_more_slowly() {
    let mut sessions = vec![None; 8];
    sessions.push(Some(vec![Act::Pictures(3)]));
    let mut bench = bench(Nature::Live, sessions).expect("a missing camera is no error");
    assert_eq!(bench.events(4), "LBFF");
    assert_eq!(bench.waits(), [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]);
    let counters = bench.feed.counters();
    assert_eq!((counters.delivered(), counters.dropped(), counters.restarts()), (2, 0, 1));
}

#[test]
fn error_end_and_silence_are_treated_alike() {
    let forever = Some(vec![Act::Pictures(1000)]);
    for (acts, says) in [(vec![], "cable"), (vec![Act::End], "ended"), (vec![Act::Silence], "no picture for 5.0 s")] {
        let session = [vec![Act::Pictures(2)], acts].concat();
        let mut bench = bench(Nature::Live, vec![Some(session), forever.clone()]).expect("live");
        assert_eq!(bench.events(2), "FF");
        let before = bench.clock.now();
        let Event::Lost(fault) = bench.feed.next(Duration::from_secs(60)) else { panic!("{says}: not lost") };
        assert!(fault.to_string().contains(says), "{fault}");
        assert!(bench.clock.now().since(before) <= Duration::from_secs(5), "{says}: noticed late");
        assert_eq!(bench.events(3), "BFF");
        // What was under way when the session ended is counted, too.
        assert_eq!(bench.feed.counters().dropped(), 1);
    }
}

#[test]
fn a_camera_may_take_longer_to_connect_than_to_be_missed() {
    let mut bench = bench(Nature::Live, vec![Some(vec![Act::Silence])]).expect("live");
    let Event::Lost(fault) = bench.feed.next(Duration::from_secs(60)) else { panic!("not lost") };
    assert!(fault.to_string().contains("no picture for 10.0 s"), "{fault}");
    assert_eq!(bench.clock.now().since_start(), Duration::from_secs(10));
}

#[test]
fn silence_is_counted_over_several_calls_but_not_while_nobody_asks() {
    let mut bench = bench(Nature::Live, vec![Some(vec![Act::Pictures(1), Act::Silence])]).expect("live");
    assert_eq!(bench.events(1), "F");
    // The consumer is busy for a minute; that is not the camera's fault.
    bench.clock.advance(Duration::from_secs(60));
    for _ in 0..4 {
        assert!(matches!(bench.feed.next(Duration::from_secs(1)), Event::Quiet));
    }
    assert!(matches!(bench.feed.next(Duration::from_secs(2)), Event::Lost(_)));
}

#[test]
fn a_camera_that_keeps_failing_is_not_hammered() {
    let short = || Some(vec![Act::Pictures(1)]);
    let long = Some(vec![Act::Pictures(400)]);
    let mut bench = bench(Nature::Live, vec![short(), short(), short(), long, short()]).expect("live");
    assert_eq!(bench.events(9), "FLBFLBFLB");
    let waits = bench.waits();
    assert!(waits.windows(2).all(|pair| pair[1] > 1.5 * pair[0]), "{waits:?}");
    // Once it has held for a while, the next loss starts from the shortest wait.
    assert_eq!(bench.events(401), "F".repeat(400) + "L");
    let lost = bench.clock.now();
    assert_eq!(bench.events(1), "B");
    let back = bench.starts.lock().expect("not poisoned").last().copied().expect("a start");
    assert_eq!(back.since(lost), Duration::from_millis(500));
}

#[test]
fn waiting_ends_when_the_caller_says() {
    let mut bench = bench(Nature::Live, vec![]).expect("live");
    assert_eq!(bench.events(1), "L");
    for _ in 0..10 {
        let before = bench.clock.now();
        assert!(matches!(bench.feed.next(Duration::from_millis(250)), Event::Quiet));
        assert_eq!(bench.clock.now().since(before), Duration::from_millis(250));
    }
}

#[test]
fn frames_carry_the_instant_of_capture_and_number_what_was_passed_over() {
    let acts = vec![Act::Pictures(1), Act::Skipping(7), Act::Pictures(1)];
    let mut bench = bench(Nature::Live, vec![Some(acts)]).expect("live");
    let mut frames = Vec::new();
    for _ in 0..3 {
        let Event::Frame(frame) = bench.feed.next(LONG) else { panic!("no frame") };
        assert_eq!(bench.clock.now().since(frame.at), Duration::from_millis(15));
        frames.push((frame.number, frame.time));
    }
    let ms = Duration::from_millis;
    assert_eq!(frames, [(0, ms(25)), (8, ms(65)), (9, ms(105))]);
    assert_eq!(bench.feed.counters().dropped(), 7);
}

#[test]
fn a_file_is_played_once_or_again_and_again() {
    let acts = || Some(vec![Act::Pictures(3), Act::End]);
    let once = Nature::File { repeat: false, pace: Pace::AsFast };
    assert_eq!(bench(once, vec![acts()]).expect("a file").events(5), "FFFEE");
    assert!(bench(once, vec![None]).is_err(), "what is wrong with a file is told at once");
    assert_eq!(bench(once, vec![Some(vec![Act::Pictures(2)])]).expect("a file").events(5), "FFLEE");
    assert_eq!(bench(once, vec![Some(vec![Act::End])]).expect("a file").events(3), "LEE", "a file without a picture");

    let again = Nature::File { repeat: true, pace: Pace::AsFast };
    let mut bench = bench(again, vec![acts(), acts(), None, acts()]).expect("a file");
    // The third turn cannot be started: the file has gone, and comes back.
    assert_eq!(bench.events(9), "FFFFFFLBF");
    assert_eq!(bench.feed.counters().restarts(), 1);
}

#[test]
fn a_repeated_picture_file_shows_once_a_second() {
    let nature = Nature::File { repeat: true, pace: Pace::Realtime };
    let mut bench = bench(nature, vec![Some(vec![Act::Pictures(1), Act::End]); 4]).expect("a file");
    let mut times = Vec::new();
    for _ in 0..4 {
        let Event::Frame(frame) = bench.feed.next(LONG) else { panic!("no frame") };
        times.push(frame.time.as_secs());
    }
    assert_eq!(times, [0, 1, 2, 3]);
    let turns = bench.feed.turns();
    let position = |ms: u64| turns.position(Duration::from_millis(ms)).as_millis();
    assert_eq!([0, 999, 1000, 1250, 3999].map(position), [0, 999, 0, 250, 999], "each turn begins at the file's start");
    assert_eq!(bench.waits(), [1.0, 1.0, 1.0]);
}
