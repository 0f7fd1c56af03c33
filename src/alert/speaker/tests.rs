//! The deck is driven by hand: orders in, samples out, a clock that stands still.

use chrono::DateTime;

use super::*;
use crate::alert::tone::tests::recognised;
use crate::clock::{Clock, SimulatedClock};

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
    let deck = Deck::new(
        0.5,
        clock.clone(),
        Box::new(card.clone()),
        orders,
        Arc::new(Mutex::new(SoundState::Opening)),
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
        self.deck.obey(Order::Sound(AlertId(alert), grade, Tone::Horn));
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
fn a_higher_grade_interrupts_and_lower_ones_wait_and_share() {
    let mut bench = bench();
    bench.card.plug();
    bench.turn();
    bench.sound(1, Grade::Possible);
    assert!(bench.card.slot().playing[0].next().is_some());
    bench.sound(2, Grade::Certain);
    assert!(bench.card.slot().playing[0].next().is_none(), "cut at once");
    bench.card.slot().playing.remove(0);
    for alert in 3..=200 {
        bench.sound(alert, Grade::Possible);
    }
    bench.sound(201, Grade::Certain);
    assert_eq!(bench.card.slot().playing.len(), 1, "one tone at a time");
    assert_eq!(recognised(&bench.card.hear()), Some(Grade::Certain));
    bench.turn();
    assert_eq!(recognised(&bench.card.hear()), Some(Grade::Certain), "a second one of the same grade is not lost");
    bench.turn();
    assert_eq!(recognised(&bench.card.hear()), Some(Grade::Possible));
    bench.turn();
    assert!(bench.card.slot().playing.is_empty(), "198 low ones share one tone");
    assert_eq!(bench.heard().len(), 201, "none without its tone");
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
    let settings = config::Sound { enabled: true, volume: 1.0 };
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
    let off = config::Sound { enabled: false, volume: 1.0 };
    let speaker = Speaker::start(&off, clock, Box::new(card), |_, _| {}).expect("nothing to start");
    assert_eq!(speaker.state(), SoundState::Off);
}
