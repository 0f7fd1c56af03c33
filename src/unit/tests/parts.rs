//! Parts that fail and come back, and how the status strip shows it.

use std::sync::atomic::AtomicBool;

use super::*;

/// A sound card that is missing until it is plugged in.
struct Card(Arc<AtomicBool>);

impl Sounder for Card {
    fn open(&mut self, _: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        struct Mute;
        impl Output for Mute {
            fn play(&mut self, _: crate::alert::Playback) {}
        }
        match self.0.load(Ordering::Relaxed) {
            true => Ok(Box::new(Mute)),
            false => Err(Fault::new(Kind::Unavailable, "there is no sound card")),
        }
    }
}

#[test]
fn parts_that_fail_and_come_back_are_on_record() {
    let bench = Bench::new();
    let plugged = Arc::new(AtomicBool::new(false));
    let on = config::Sound::default();
    let clock: Shared = bench.clock.clone();
    let speaker = Speaker::start(&on, clock, Box::new(Card(plugged.clone())), |_, _| {}).expect("started");
    let until = |speaker: &Speaker, fault: bool| {
        while speaker.state().is_fault() != fault || speaker.state() == crate::alert::SoundState::Opening {
            std::thread::yield_now();
        }
    };
    until(&speaker, true);
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, speaker);
    let faults =
        |bench: &Bench, kind: &str, part: &str| bench.lines(kind).iter().filter(|line| line["part"] == part).count();
    worker.look_round();
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    assert_eq!((faults(&bench, "fault", "sound"), faults(&bench, "back", "sound")), (1, 0));
    plugged.store(true, Ordering::Relaxed);
    until(worker.speaker(), false);
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    assert_eq!((faults(&bench, "fault", "sound"), faults(&bench, "back", "sound")), (1, 1));

    hear(worker, vec![News::Display(Fault::new(Kind::Unavailable, "the display has gone"))]);
    assert_eq!(faults(&bench, "fault", "display"), 1);
    assert_eq!(bench.lines("fault").len(), 2, "what works says nothing: {:?}", bench.lines("fault"));
}

#[test]
fn a_long_run_does_not_grow() {
    let bench = Bench::new();
    let worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
    let lost = (0..500).map(|n| News::Lost(0, Fault::new(Kind::Unavailable, format!("lost {n}")))).collect();
    let outcome = hear(worker, lost);
    assert_eq!(outcome.faults.len(), 100);
    assert_eq!(outcome.faults[0], "lost 0", "the first is the cause");
}

#[test]
fn a_certificate_that_is_not_renewed_is_a_fault_though_the_link_is_up() {
    use crate::fault::{Fault, Kind};
    use crate::screen::State;
    use crate::sync::{LinkState, Status};
    let status = |state, fault: Option<&str>| Status {
        state,
        unsent: 0,
        acknowledged: 0,
        lists: Vec::new(),
        list_fault: None,
        identity_fault: fault.map(|why| Arc::new(Fault::new(Kind::Denied, why))),
        costs: None,
    };
    let up = || LinkState::Connected { since: Moment::default() };
    let down = || LinkState::Down {
        since: Moment::default(),
        reason: Arc::new(Fault::new(Kind::Unavailable, "the office cannot be reached").remedy("Wait")),
    };
    assert!(matches!(board::linked(status(up(), None)), (false, item) if item.state == State::Ok));
    let costs = crate::sync::car::Costs::spent_of(config::Budgets::default(), [50_000_000, 0, 0]);
    let (failed, item) = board::linked(Status { costs: Some(costs), ..status(up(), None) });
    assert!(
        !failed && item.detail.contains("metered link") && item.detail.contains("50 of 50 MB of pictures"),
        "{item:?}"
    );
    let (failed, item) = board::linked(status(up(), Some("it runs out on 2028-11-30")));
    assert!(failed && item.state == State::Warn && item.word == "certificate", "{item:?}");
    assert!(item.detail.contains("runs out on 2028-11-30"), "{item:?}");
    let (failed, item) = board::linked(status(down(), Some("it runs out on 2028-11-30")));
    assert!(
        failed && item.word == "down" && item.detail.ends_with("cannot be reached. Wait. it runs out on 2028-11-30"),
        "{item:?}"
    );
}

#[test]
fn records_that_are_lost_show_on_the_strip() {
    use crate::journal::{Room, Status};
    use crate::screen::State;
    let well = board::kept(&Status { committed: 3, ..Status::default() });
    assert_eq!(well.state, State::Ok);
    let slow = board::kept(&Status { committed: 3, without_pictures: 2, ..Status::default() });
    assert_eq!(slow.state, State::Warn);
    let lost = board::kept(&Status { committed: 3, refused: 7, ..Status::default() });
    assert!(lost.state == State::Fault && lost.word == "7 lost" && lost.detail.contains("disk"));
    let open = board::kept(&Status { committed: 3, unprotected: true, ..Status::default() });
    assert!(open.state == State::Fault && open.word == "unprotected" && open.detail.contains("`key`"));
    let room = |room, given_up| board::kept(&Status { room, given_up, ..Status::default() });
    let low = room(Room::Low(1_900_000_000), 0);
    assert!(low.state == State::Warn && low.word == "filling up" && low.detail.starts_with("1.9 GB"), "{low:?}");
    let full = room(Room::Low(1_900_000_000), 7);
    assert!(full.state == State::Fault && full.detail.contains("; 7 pictures of reads without a hit went"), "{full:?}");
    let out = room(Room::Out(4096), 7);
    assert!(out.state == State::Fault && out.detail.contains("None is left"), "{out:?}");
    assert_eq!(room(Room::Enough, 7).state, State::Ok, "there is room again");
}
