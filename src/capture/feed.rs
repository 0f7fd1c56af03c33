//! Supervises one source: hands its frames out, names what goes wrong, and brings a camera back.
//!
//! There is no thread of its own: [`Feed::next`] does the waiting, the watching and the rebuilding. The pipeline
//! behind it is a [`Stream`], a seam that tests fill with a script.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Frame, Picture};
use crate::clock::{Moment, Shared};
use crate::fault::{Fault, Kind, Result};

/// The first wait before a lost source is tried again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait, and how long a source must have been back for its next loss to start at the shortest.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long a camera may take to connect and give its first picture, even if it is to be watched more sharply.
const FIRST_PICTURE: Duration = Duration::from_secs(10);
/// How long a picture file lasts, which says nothing about it itself.
const STILL_LASTS: Duration = Duration::from_secs(1);

/// How fast a source is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// By the clock: what is not fetched in time is dropped and counted, the newest frame wins.
    Realtime,
    /// As fast as frames are fetched; none is lost. Files only.
    AsFast,
}

/// What a source has to say.
pub enum Event {
    /// A picture.
    Frame(Frame),
    /// The source has gone. It is tried again by itself, except for a file that is played once.
    Lost(Fault),
    /// The lost source gives pictures again; the next event is the first of them.
    Back,
    /// A file has been played to its end; there is nothing more to come.
    End,
    /// Nothing has happened for as long as was asked.
    Quiet,
}

/// What a source has done so far; readable from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    delivered: AtomicU64,
    dropped: AtomicU64,
    restarts: AtomicU64,
}

impl Counters {
    /// Frames handed out.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Frames that came from the camera or the decoder and were not handed out, because newer ones had come.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How often the source came back after having been lost.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

/// Where the turns of a repeated file began, in the feed's time, which never goes back; readable from any thread.
#[derive(Debug, Default)]
pub struct Turns(Mutex<VecDeque<Duration>>);

impl Turns {
    /// The position in the file at `time` of the feed. A source that is not repeated has but one turn.
    pub fn position(&self, time: Duration) -> Duration {
        let starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time - starts.iter().rev().copied().find(|start| *start <= time).unwrap_or_default()
    }

    /// Another turn begins at `start`.
    pub(crate) fn begin(&self, start: Duration) {
        let mut starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if starts.len() == TURNS {
            starts.pop_front();
        }
        starts.push_back(start);
    }
}

/// Turns that are remembered: those that a vehicle in view can have been seen in.
const TURNS: usize = 64;

/// One session of a source, from its start to its first failure.
pub(super) trait Stream: Send {
    /// Waits for at most `wait`.
    fn poll(&mut self, wait: Duration) -> Step;
    /// Frames that came and will not be handed out, once the session is over.
    fn left_over(&mut self) -> u64;
}

/// What a session gives.
pub(super) enum Step {
    Picture(Shot),
    Nothing,
    Ended,
    Failed(Fault),
}

/// A picture as it leaves a session.
pub(super) struct Shot {
    pub(super) picture: Picture,
    /// Position in the source, from the start of the session.
    pub(super) time: Duration,
    /// How long it lasts, where the source says so.
    pub(super) lasts: Option<Duration>,
    /// How long ago it was captured.
    pub(super) age: Duration,
    /// Frames that came since the one before and were dropped in its favour.
    pub(super) skipped: u64,
}

/// Starts a session.
pub(super) type Start = Box<dyn FnMut() -> Result<Box<dyn Stream>> + Send>;

/// What sort of source a feed supervises, as far as its end and its time go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Has no end; time is the time since the feed was opened.
    Live,
    /// Has an end; time is the position in the file.
    File { repeat: bool, pace: Pace },
}

/// The frames of one source. Dropping it stops the source.
pub struct Feed {
    camera: Arc<str>,
    place: String,
    nature: Nature,
    silence: Duration,
    clock: Shared,
    start: Start,
    counters: Arc<Counters>,
    turns: Arc<Turns>,
    state: State,
    /// The first picture after a loss, while [`Event::Back`] is announced.
    announced: Option<Frame>,
    /// Set while the source is lost.
    lost: bool,
    wait: Duration,
    opened: Moment,
    number: u64,
    /// Where the running turn of a repeated file began, in the feed's time.
    turn: Duration,
    /// The time of the last frame.
    last: Option<Duration>,
    /// When the frame after the last one is due, in the feed's time, as far as the source says.
    due: Duration,
}

enum State {
    Running(Session),
    Waiting { until: Moment },
    Over,
}

struct Session {
    stream: Box<dyn Stream>,
    started: Moment,
    /// Since when a picture has been waited for.
    waiting_since: Option<Moment>,
    first_picture: Option<Moment>,
}

impl Session {
    fn new(stream: Box<dyn Stream>, now: Moment) -> Self {
        Self { stream, started: now, waiting_since: None, first_picture: None }
    }
}

impl Feed {
    /// A feed over the sessions that `start` starts. A file's first session is started at once, so that what is
    /// wrong with the file is an error here; a camera's when the first frame is asked for.
    pub(super) fn new(
        camera: &str,
        place: String,
        nature: Nature,
        silence: Duration,
        clock: Shared,
        mut start: Start,
    ) -> Result<Self> {
        let now = clock.now();
        let state = match nature {
            Nature::Live => State::Waiting { until: now },
            Nature::File { .. } => State::Running(Session::new(start()?, now)),
        };
        Ok(Self {
            camera: camera.into(),
            place,
            nature,
            silence,
            clock,
            start,
            counters: Arc::default(),
            turns: Arc::default(),
            state,
            announced: None,
            lost: false,
            wait: FIRST_WAIT,
            opened: now,
            number: 0,
            turn: Duration::ZERO,
            last: None,
            due: Duration::ZERO,
        })
    }

    /// The source's name.
    pub fn camera(&self) -> &Arc<str> {
        &self.camera
    }

    /// What the source has done so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Where the turns of a repeated file began.
    pub fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    /// Waits for at most `timeout` for the next event.
    pub fn next(&mut self, timeout: Duration) -> Event {
        if let Some(frame) = self.announced.take() {
            return self.hand_out(frame);
        }
        let deadline = self.clock.now().plus(timeout);
        loop {
            match self.advance(deadline) {
                Some(event) => return event,
                None if self.clock.now() >= deadline => return Event::Quiet,
                None => {}
            }
        }
    }

    /// One step towards the next event, by `deadline`.
    fn advance(&mut self, deadline: Moment) -> Option<Event> {
        let now = self.clock.now();
        match &mut self.state {
            State::Over => Some(Event::End),
            State::Waiting { until } if now < *until => {
                let nap = until.since(now).min(deadline.since(now));
                self.clock.sleep(nap);
                None
            }
            State::Waiting { .. } => match (self.start)() {
                Ok(stream) => {
                    self.state = State::Running(Session::new(stream, now));
                    None
                }
                Err(fault) => self.lose(fault),
            },
            State::Running(session) => {
                let since = *session.waiting_since.get_or_insert(now);
                let silence = match session.first_picture {
                    Some(_) => self.silence,
                    None => self.silence.max(FIRST_PICTURE),
                };
                let patience = since.plus(silence).since(now);
                match session.stream.poll(deadline.since(now).min(patience)) {
                    Step::Picture(shot) => Some(self.take(shot)),
                    Step::Nothing if self.clock.now().since(since) >= silence => {
                        let silent = format!("no picture for {:.1} s", silence.as_secs_f64());
                        let fault =
                            Fault::new(Kind::Unavailable, "the camera is silent").at(&self.place).because(silent);
                        self.lose(fault.remedy("Check its cable and power"))
                    }
                    Step::Nothing => None,
                    Step::Ended => self.ended(),
                    Step::Failed(fault) => self.lose(fault),
                }
            }
        }
    }

    fn take(&mut self, shot: Shot) -> Event {
        let now = self.clock.now();
        let State::Running(session) = &mut self.state else { return Event::Quiet };
        session.waiting_since = None;
        let first = session.first_picture.is_none();
        let since = *session.first_picture.get_or_insert(now);
        if now.since(since) >= LONGEST_WAIT {
            self.wait = FIRST_WAIT;
        }
        let at = Moment::at(now.since_start().saturating_sub(shot.age));
        let time = match self.nature {
            Nature::Live => at.since(self.opened),
            Nature::File { .. } => self.turn + shot.time,
        };
        // Time goes on increasing, whatever a source says.
        let time = self.last.map_or(time, |last| time.max(last + Duration::from_nanos(1)));
        self.last = Some(time);
        self.due = time + shot.lasts.unwrap_or(if first { STILL_LASTS } else { Duration::ZERO });
        self.number += shot.skipped;
        self.counters.dropped.fetch_add(shot.skipped, Ordering::Relaxed);
        let frame = Frame { camera: Arc::clone(&self.camera), number: self.number, at, time, picture: shot.picture };
        self.number += 1;
        if std::mem::take(&mut self.lost) {
            self.counters.restarts.fetch_add(1, Ordering::Relaxed);
            self.announced = Some(frame);
            return Event::Back;
        }
        self.hand_out(frame)
    }

    fn hand_out(&self, frame: Frame) -> Event {
        self.counters.delivered.fetch_add(1, Ordering::Relaxed);
        Event::Frame(frame)
    }

    /// The session has come to its end in order.
    fn ended(&mut self) -> Option<Event> {
        let State::Running(session) = &self.state else { return None };
        let (started, empty) = (session.started, session.first_picture.is_none());
        match self.nature {
            Nature::Live => self.lose(
                Fault::new(Kind::Unavailable, "the camera has ended its stream")
                    .at(&self.place)
                    .remedy("Check the camera"),
            ),
            Nature::File { .. } if empty => self.lose(
                Fault::new(Kind::Damaged, "there is no picture in the file")
                    .at(&self.place)
                    .remedy("Copy or record it again"),
            ),
            Nature::File { repeat: false, .. } => {
                self.close(State::Over);
                Some(Event::End)
            }
            Nature::File { repeat: true, pace } => {
                // A short turn is held until its time is over; otherwise a single picture would spin.
                let until = match pace {
                    Pace::Realtime => started.plus(self.due.saturating_sub(self.turn)),
                    Pace::AsFast => started,
                };
                self.next_turn();
                self.close(State::Waiting { until });
                None
            }
        }
    }

    /// The session has failed or could not be started.
    fn lose(&mut self, fault: Fault) -> Option<Event> {
        let played_once = matches!(self.nature, Nature::File { repeat: false, .. });
        if played_once {
            self.close(State::Over);
            return Some(Event::Lost(fault));
        }
        self.close(State::Waiting { until: self.clock.now().plus(self.wait) });
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.next_turn();
        if std::mem::replace(&mut self.lost, true) {
            tracing::debug!(camera = %self.camera, "still lost: {fault}");
            return None;
        }
        Some(Event::Lost(fault))
    }

    /// What comes next begins at the start of the source.
    fn next_turn(&mut self) {
        if matches!(self.nature, Nature::File { .. }) && self.turn != self.due {
            self.turns.begin(self.due);
        }
        self.turn = self.due;
    }

    fn close(&mut self, next: State) {
        if let State::Running(mut session) = std::mem::replace(&mut self.state, next) {
            let left_over = session.stream.left_over();
            self.number += left_over;
            self.counters.dropped.fetch_add(left_over, Ordering::Relaxed);
        }
    }
}
