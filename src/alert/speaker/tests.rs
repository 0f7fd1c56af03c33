//! The deck is driven by hand: orders in, samples out, a clock that stands still.

use chrono::DateTime;

use super::*;
use crate::alert::tone::{RATE, tests::recognised as recognised_tone};
use crate::clock::{Clock, SimulatedClock};

/// The grade of the tone at the start of an utterance.
fn recognised(samples: &[f32]) -> Option<Grade> {
    recognised_tone(&samples[..samples.len().min(RATE as usize * 35 / 100)])
}

/// A sound card of the tests: opens when it is `there`, keeps what it is given to play.
#[derive(Clone, Default)]
struct Card(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    there: bool,
    tries: u32,
    playing: Vec<Playback>,
    lost: Option<Box<dyn Fn(String) + Send + Sync>>,
}

impl Card {
    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.0.lock().expect("no test panics while holding it")
    }

    fn plug(&self) {
        self.slot().there = true;
    }

    fn unplug(&self) {
        let lost = {
            let mut slot = self.slot();
            slot.there = false;
            slot.playing.clear();
            slot.lost.take().expect("was open")
        };
        lost("unplugged".to_owned());
    }

    /// Everything that the oldest playback still has to say.
    fn hear(&self) -> Vec<f32> {
        let playback = self.slot().playing.remove(0);
        playback.collect()
    }
}

impl Sounder for Card {
    fn open(&mut self, lost: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        let mut slot = self.slot();
        slot.tries += 1;
        if !slot.there {
            return Err(Fault::new(Kind::Unavailable, "nothing is plugged in"));
        }
        slot.lost = Some(lost);
        Ok(Box::new(self.clone()))
    }
}

impl Output for Card {
    fn play(&mut self, playback: Playback) {
        self.slot().playing.push(playback);
    }
}

const STOLEN: &str = "Stolen. Silver Ford. Front camera, left. Alpha Bravo one two, Charlie Delta Echo.";

struct Bench {
    card: Card,
    clock: Arc<SimulatedClock>,
    deck: Deck,
    inbox: Receiver<Order>,
    heard: Arc<Mutex<Vec<(AlertId, Moment)>>>,
}

fn bench() -> Bench {
    let (card, clock) = (Card::default(), SimulatedClock::starting(DateTime::UNIX_EPOCH));
    let (orders, inbox) = channel();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let desk = Desk {
        orders,
        state: Arc::new(Mutex::new(SoundState::Opening)),
        volume: Arc::new(Volume::new(0.5)),
        clock: clock.clone(),
    };
    let deck = Deck::new(
        desk,
        Voice::load(None).0,
        Box::new(card.clone()),
        Arc::new(move |alert, at| log.lock().expect("not poisoned").push((alert, at))),
    );
    Bench { card, clock, deck, inbox, heard }
}

impl Bench {
    /// One turn of the thread's loop, without waiting.
    fn turn(&mut self) {
        self.deck.open_if_due();
        while let Ok(order) = self.inbox.try_recv() {
            self.deck.obey(order);
        }
    }

    fn sound(&mut self, alert: u64, grade: Grade) {
        self.say(alert, grade, STOLEN);
    }

    fn say(&mut self, alert: u64, grade: Grade, spoken: &str) {
        self.order(alert, grade, spoken, false);
    }

    fn order(&mut self, alert: u64, grade: Grade, spoken: &str, withdrawn: bool) {
        let (alert, spoken, since) = (AlertId(alert), spoken.to_owned(), self.clock.now());
        self.deck.obey(Order::Sound(Pending { alert, grade, tone: Tone::Horn, spoken, withdrawn, since }));
    }

    /// What the voice says of `spoken`, at the volume of the bench.
    fn words(&self, spoken: &str) -> Vec<f32> {
        self.deck.voice.say(spoken).samples.iter().map(|s| s * 0.5).collect()
    }

    fn heard(&self) -> Vec<u64> {
        self.heard.lock().expect("not poisoned").iter().map(|(alert, _)| alert.0).collect()
    }
}

#[test]
fn each_grade_comes_out_as_its_own_tone_at_the_set_volume() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    for (number, grade) in Grade::ALL.into_iter().enumerate() {
        bench.clock.advance(Duration::from_secs(1));
        bench.sound(number as u64, grade);
        let samples = bench.card.hear();
        bench.turn();
        assert_eq!(recognised(&samples), Some(grade));
        assert!(samples.iter().all(|s| s.abs() <= 0.5));
    }
    let heard = bench.heard.lock().expect("not poisoned").clone();
    let seconds: Vec<u64> = heard.iter().map(|(_, at)| at.since_start().as_secs()).collect();
    assert_eq!(seconds, [1, 2, 3], "the instant of the first sample");
}

#[test]
fn words_begin_within_400_ms_of_the_tone_and_are_those_of_the_alert() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    for (number, grade) in Grade::ALL.into_iter().enumerate() {
        bench.say(number as u64, grade, STOLEN);
        let samples = bench.card.hear();
        bench.turn();
        let words = bench.words(STOLEN);
        let onset = samples.len() - words.len();
        assert!(samples.ends_with(&words), "{grade:?}");
        assert!(onset <= RATE as usize * 4 / 10, "{grade:?}: words begin {onset} samples after the tone did");
        let gap = samples[..onset].iter().rev().take_while(|s| s.abs() < 0.001).count();
        assert!(gap >= RATE as usize / 50, "{grade:?}: tone and words are told apart");
    }
}

#[test]
fn a_higher_grade_breaks_in_at_once() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    bench.sound(1, Grade::Possible);
    assert!(bench.card.slot().playing[0].next().is_some());
    bench.sound(2, Grade::Certain);
    assert!(bench.card.slot().playing[0].next().is_none(), "cut at once");
    bench.card.slot().playing.remove(0);
    assert_eq!(recognised(&bench.card.hear()), Some(Grade::Certain));
    bench.sound(3, Grade::Probable);
    bench.turn();
    assert_eq!(recognised(&bench.card.hear()), Some(Grade::Probable));
    assert_eq!(bench.heard(), [1, 2, 3]);
}

#[test]
fn the_same_grade_waits_for_the_end_of_a_sentence_and_a_lower_one_for_the_end() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    bench.sound(1, Grade::Probable);
    bench.sound(2, Grade::Possible);
    assert!(bench.card.slot().playing[0].by_ref().take(1000).all(|s| s.abs() <= 0.5));
    bench.say(3, Grade::Probable, "Probable no insurance. Rear camera.");
    let first = bench.card.hear();
    bench.turn();
    let reason = bench.words("Stolen.");
    assert!(first.ends_with(&reason), "the reason is said to its end, and no more");
    let second = bench.card.hear();
    bench.turn();
    assert!(second.ends_with(&bench.words("Probable no insurance. Rear camera.")));
    let third = bench.card.hear();
    assert_eq!(recognised(&third), Some(Grade::Possible));
    assert_eq!(bench.heard(), [1, 3, 2]);
}

#[test]
fn of_many_the_newest_is_said_and_the_others_are_counted() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    bench.sound(1, Grade::Certain);
    for alert in 2..=200 {
        bench.say(alert, Grade::Possible, "Possible no tax. Rear camera.");
    }
    assert_eq!(bench.card.slot().playing.len(), 1, "one thing at a time");
    bench.card.hear();
    bench.turn();
    let low = bench.card.hear();
    bench.turn();
    assert!(low.ends_with(&bench.words("Possible no tax. Rear camera. Many more alerts.")));
    assert!(bench.card.slot().playing.is_empty(), "199 low ones share one tone");
    assert_eq!(bench.heard().len(), 200, "none without its tone");
    bench.say(201, Grade::Possible, "Possible no tax. Rear camera.");
    bench.say(202, Grade::Possible, "Possible stolen. Front camera.");
    bench.say(203, Grade::Possible, "Possible stolen. Rear camera.");
    bench.card.hear();
    bench.turn();
    assert!(bench.card.hear().ends_with(&bench.words("Possible stolen. Rear camera. One more alert.")));
}

#[test]
fn words_that_come_too_late_are_left_out_and_the_tone_is_not() {
    let mut bench = bench();
    bench.turn();
    bench.sound(1, Grade::Certain);
    bench.card.plug();
    bench.clock.advance(RETRY);
    bench.turn();
    let late = bench.card.hear();
    assert_eq!(recognised(&late), Some(Grade::Certain));
    assert!(late.ends_with(&bench.words("See screen.")));
}

#[test]
fn a_withdrawn_alert_is_broken_off_and_the_crew_stands_down() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    bench.sound(1, Grade::Certain);
    bench.card.slot().playing[0].by_ref().take(20_000).for_each(drop);
    bench.order(1, Grade::Certain, "Stand down. Alpha Bravo one two, Charlie Delta Echo.", true);
    assert!(bench.card.slot().playing[0].next().is_none(), "not a word more of it");
    bench.card.slot().playing.remove(0);
    let words = bench.words("Stand down. Alpha Bravo one two, Charlie Delta Echo.");
    assert!(bench.card.hear() == words, "without a tone");
    bench.turn();
    // One that was not heard yet is not heard as if it stood.
    bench.sound(2, Grade::Certain);
    bench.sound(3, Grade::Certain);
    bench.order(3, Grade::Certain, "Stand down. Alpha.", true);
    bench.card.hear();
    bench.turn();
    assert!(bench.card.hear() == bench.words("Stand down. Alpha."));
}

#[test]
fn low_grades_can_be_muted_and_the_highest_can_be_neither_muted_nor_turned_off() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    let volume = Arc::clone(&bench.deck.desk.volume);
    volume.mute(Some(Grade::Probable));
    volume.mute(Some(Grade::Certain));
    assert_eq!(volume.muted(), Some(Grade::Probable));
    bench.sound(1, Grade::Possible);
    bench.sound(2, Grade::Probable);
    assert!(bench.card.slot().playing.is_empty());
    volume.set(0.0);
    bench.sound(3, Grade::Certain);
    let loudest = bench.card.hear().iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    bench.turn();
    assert!((0.2..0.34).contains(&loudest), "{loudest}");
    volume.mute(None);
    bench.sound(4, Grade::Possible);
    let quiet = bench.card.slot().playing[0].by_ref().take(5000).all(|s| s == 0.0);
    assert!(quiet, "others can be turned down to nothing");
    volume.set(1.0);
    let after: Vec<f32> = bench.card.slot().playing[0].by_ref().take(5000).collect();
    assert!(after.iter().any(|s| s.abs() > 0.3), "a turn is heard at once");
}

#[test]
fn without_a_device_the_state_says_so_and_it_is_tried_again() {
    let mut bench = bench();
    bench.turn();
    assert!(matches!(&*bench.deck.state(), SoundState::Absent(why) if why.contains("nothing is plugged in")));
    bench.sound(1, Grade::Certain);
    bench.clock.advance(Duration::from_secs(2));
    bench.turn();
    assert_eq!(bench.card.slot().tries, 1, "not tried without pause");
    bench.card.plug();
    bench.clock.advance(Duration::from_secs(1));
    bench.turn();
    assert_eq!(*bench.deck.state(), SoundState::Ready);
    assert_eq!(recognised(&bench.card.hear()), Some(Grade::Certain), "an alert of seconds ago is still news");
}

#[test]
fn a_device_that_is_unplugged_and_plugged_in_again_is_found() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    bench.sound(1, Grade::Probable);
    bench.card.unplug();
    bench.turn();
    assert_eq!(*bench.deck.state(), SoundState::Lost("unplugged".to_owned()));
    bench.clock.advance(RETRY);
    bench.turn();
    assert!(matches!(*bench.deck.state(), SoundState::Lost(_)), "still gone");
    bench.sound(2, Grade::Certain);
    bench.clock.advance(STALE);
    bench.card.plug();
    bench.turn();
    assert_eq!(*bench.deck.state(), SoundState::Ready);
    assert!(bench.card.slot().playing.is_empty() || bench.heard().is_empty());
    bench.sound(3, Grade::Possible);
    assert_eq!(recognised(&bench.card.hear()), Some(Grade::Possible), "what is stale is not sounded late");
}

#[test]
fn the_thread_goes_on_without_a_device_and_stops_when_told() {
    let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
    let card = Card::default();
    let settings = config::Sound { volume: 1.0, ..config::Sound::default() };
    let speaker = Speaker::start(&settings, clock.clone(), Box::new(card.clone()), |_, _| {}).expect("a thread");
    // The thread's own sleeps turn the clock, so it soon tries again.
    while card.slot().tries < 3 {
        std::thread::yield_now();
    }
    assert!(speaker.state().is_fault());
    card.plug();
    while speaker.state().is_fault() {
        std::thread::yield_now();
    }
    drop(speaker);
    assert!(clock.now() >= Moment::at(RETRY * 2));
    let off = config::Sound { enabled: false, ..config::Sound::default() };
    let speaker = Speaker::start(&off, clock, Box::new(card), |_, _| {}).expect("nothing to start");
    assert_eq!(speaker.state(), SoundState::Off);
}

/// Plays a minute of 200 alerts of these grades in turn. Gives those that were heard, and how old each was that was said
/// when it began.
fn flood(grades: &[Grade]) -> (Vec<u64>, Vec<(Grade, Duration)>) {
    const STEP: Duration = Duration::from_millis(10);
    const EVERY: u64 = 30;
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    let (mut raised, mut said, mut last) = (0, Vec::new(), None);
    for tick in 0..10_000 {
        if tick % EVERY == 0 && raised < 200 {
            raised += 1;
            bench.sound(raised, grades[(raised as usize - 1) % grades.len()]);
        }
        // The card takes ten milliseconds of whatever is playing.
        let taken = RATE as usize / 100;
        bench.card.slot().playing.retain_mut(|playback| playback.by_ref().take(taken).count() == taken);
        bench.clock.advance(STEP);
        bench.turn();
        if let Some(playing) = bench.deck.playing.as_ref().filter(|playing| last != Some(playing.number)) {
            last = Some(playing.number);
            let age = STEP * u32::try_from(tick + 1 - EVERY * (playing.alert.0 - 1)).expect("a minute");
            said.push((playing.grade, age));
        }
    }
    assert!(bench.deck.pending.is_empty() && bench.card.slot().playing.is_empty(), "the queue is empty in the end");
    let mut heard = bench.heard();
    heard.sort_unstable();
    (heard, said)
}

#[test]
fn two_hundred_alerts_in_a_minute_are_all_sounded_and_speech_stays_current() {
    let (heard, said) = flood(&[Grade::Certain]);
    assert_eq!(heard, (1..=200).collect::<Vec<_>>(), "each has its tone, once");
    let oldest = said.iter().map(|(_, age)| *age).max().expect("something was said");
    assert!(oldest < Duration::from_millis(500), "what is said is at most {oldest:?} old when it begins");
    assert!(said.len() > 30, "{} were said", said.len());
}

#[test]
fn in_a_flood_of_all_grades_the_surest_are_heard_at_once_and_others_are_not_said_late() {
    let (heard, said) = flood(&[Grade::Certain, Grade::Possible, Grade::Probable]);
    let certain: Vec<u64> = heard.iter().copied().filter(|alert| alert % 3 == 1).collect();
    assert_eq!(certain, (1..=200).filter(|alert| alert % 3 == 1).collect::<Vec<_>>());
    for (grade, age) in said {
        assert!(grade != Grade::Certain || age < Duration::from_millis(1500), "{age:?}");
        assert!(age <= STALE, "{age:?}");
    }
}
