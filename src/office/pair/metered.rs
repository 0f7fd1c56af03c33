//! Networks that cost money by the byte: what is spent, what waits, and that hits never do.

use super::*;
use crate::sync::car::Charge;

const MB: usize = 1_000_000;
/// What a message has around a part of a picture or a piece of a list, at most.
const AROUND: usize = 200;

/// A world past Welcome, on a network that costs money.
fn costly(pictures_mb: u32, hit_pictures_mb: u32, lists_mb: u32) -> World {
    let mut world =
        World { budgets: Budgets { pictures_mb, hit_pictures_mb, lists_mb }, metered: true, ..World::default() };
    world.hello();
    world
}

impl World {
    /// Reconnects, and lets Hello and Welcome pass.
    fn hello(&mut self) {
        self.connect();
        self.carry().expect("fine");
        for _ in 0..3 {
            for up in [UP, DOWN] {
                self.step(Step::Deliver { up, lane: Lane::Control, bytes: usize::MAX }).expect("fine");
            }
        }
    }

    fn pictures(&mut self, count: usize, size: usize, of_hits: bool) {
        for _ in 0..count {
            let before: BTreeSet<_> = self.journal.made.keys().cloned().collect();
            self.journal.add(Kind::Picture, size);
            if of_hits {
                self.journal.of_hits.extend(self.journal.made.keys().filter(|key| !before.contains(*key)).cloned());
            }
        }
    }

    /// Lets everything arrive that may, by the network that there is.
    fn rest(&mut self) {
        let mut before = (usize::MAX, 0, 0);
        for round in 0.. {
            assert!(round < 3000, "it never comes to rest");
            for lane in Lane::ALL {
                for up in [UP, DOWN] {
                    self.step(Step::Deliver { up, lane, bytes: usize::MAX }).expect("fine");
                }
            }
            for step in [Step::Commit, Step::Settle, Step::Apply, Step::Look] {
                self.step(step).expect("fine");
            }
            let link = self.link.as_ref().expect("linked");
            let now = (self.journal.unsent.len(), link.list_bytes_carried, link.carried_up);
            if now == before {
                return;
            }
            before = now;
        }
    }

    fn stored(&self, kind: Kind, of_hits: bool) -> usize {
        let is = |item: &&Item| item.kind == kind && self.journal.of_hits.contains(&item.key) == of_hits;
        self.stored.things.values().filter(is).count()
    }

    fn carried_up(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.carried_up as usize)
    }

    fn meter(&mut self) -> &mut Meter {
        match &mut self.link {
            Some(link) => link.car.meter(),
            None => &mut self.meter,
        }
    }
}

#[test]
fn a_day_s_worth_goes_and_the_rest_waits_for_midnight_or_another_network() {
    let mut world = costly(1, 1, 1);
    world.pictures(35, 100_000, false);
    for _ in 0..2000 {
        world.journal.add(Kind::Read, 300);
    }
    world.rest();
    assert_eq!((world.stored(Kind::Read, false), world.stored(Kind::Picture, false)), (2000, 10));
    assert_eq!(world.meter().news(), Some(Charge::Pictures));
    assert_eq!(world.meter().spent(Charge::Pictures), MB as u64);
    world.step(Step::Day(1)).expect("fine");
    world.rest();
    assert_eq!(world.stored(Kind::Picture, false), 20);
    // The same connection, once the car comes to where the network costs nothing.
    let up = world.link.as_ref().expect("linked").carried_up;
    world.step(Step::Metered(false)).expect("fine");
    world.rest();
    assert_eq!(world.stored(Kind::Picture, false), 35);
    assert!(world.link.as_ref().expect("linked").carried_up > up + 1_500_000);
    assert_eq!(world.meter().spent(Charge::Pictures), MB as u64, "that costs nothing");
    world.check();
}

#[test]
fn a_clock_that_jumps_back_and_forth_gives_nothing() {
    let mut world = costly(1, 1, 1);
    world.pictures(60, 100_000, false);
    world.rest();
    for day in [-1, 0, -5, 0, -1, -5, 0] {
        world.step(Step::Day(day)).expect("fine");
        world.rest();
        world.step(Step::Cut).expect("fine");
        world.hello();
    }
    assert_eq!(world.stored(Kind::Picture, false), 10);
    world.step(Step::Day(1)).expect("fine");
    world.rest();
    assert_eq!(world.stored(Kind::Picture, false), 20);
}

#[test]
fn what_was_spent_survives_restarts_and_cuts_cost_what_was_sent() {
    let mut world = costly(2, 1, 1);
    world.pictures(60, 100_000, false);
    let mut up = 0_usize;
    for round in 0..40 {
        world.step(Step::Look).expect("fine");
        // Of what is on its way a part arrives; some of it is acknowledged.
        world.step(Step::Deliver { up: UP, lane: Lane::Pictures, bytes: 37_000 * (round % 4) }).expect("fine");
        world.step(Step::Commit).expect("fine");
        world.step(Step::Deliver { up: DOWN, lane: Lane::Control, bytes: usize::MAX }).expect("fine");
        world.step(Step::Settle).expect("fine");
        up += world.carried_up();
        world.step(if round % 5 == 4 { Step::KillCar } else { Step::Cut }).expect("fine");
        world.hello();
    }
    world.rest();
    up += world.carried_up();
    let (stored, spent) =
        (world.stored(Kind::Picture, false) * 100_000, world.meter().spent(Charge::Pictures) as usize);
    println!("{} cuts and kills: {up} bytes went up, {stored} of them pictures that arrived; {spent} counted", 40);
    // A kill forgets at most what was on its way; nothing is counted that was not sent.
    let forgotten = 8 * 120_000;
    assert!(spent <= 2 * MB && up <= 2 * MB + forgotten + 60_000, "{up} bytes went up");
    assert!(spent + forgotten >= stored && spent <= up, "{spent} counted of {up}");
    // Cuts alone: next to nothing is counted that did not arrive.
    assert!(stored >= 3 * MB / 2, "{stored} bytes arrived");
    world.step(Step::KillCar).expect("fine");
    world.hello();
    world.rest();
    assert_eq!(world.stored(Kind::Picture, false) * 100_000, stored, "a restart gives no new budget");
    world.settle().expect("fine");
    world.check();
}

#[test]
fn pictures_of_hits_have_a_budget_of_their_own_and_neither_takes_the_other_s_place() {
    for (pictures_mb, hit_pictures_mb, stored) in [(0, 3, (0, 30)), (3, 0, (30, 0)), (1, 2, (10, 20))] {
        let mut world = costly(pictures_mb, hit_pictures_mb, 1);
        // As many as fill the window many times.
        world.pictures(60, 100_000, true);
        world.pictures(60, 100_000, false);
        world.rest();
        assert_eq!((world.stored(Kind::Picture, false), world.stored(Kind::Picture, true)), stored);
        world.settle().expect("fine");
        world.check();
    }
}

#[test]
fn a_picture_is_begun_only_if_it_fits_and_one_that_is_on_its_way_is_let_finish() {
    let mut world = costly(1, 1, 1);
    world.pictures(1, 900_000, false);
    world.step(Step::Look).expect("fine");
    world.step(Step::Deliver { up: UP, lane: Lane::Pictures, bytes: 10_000 }).expect("fine");
    world.pictures(1, 200_000, false);
    world.rest();
    assert_eq!(world.stored(Kind::Picture, false), 1);
    assert_eq!(world.link.as_ref().expect("linked").car.budget().map(|budget| budget.pictures), Some(false));
    // From a network that costs nothing to one that does, in the middle of pictures: they go on, and count.
    let mut world = costly(1, 1, 1);
    world.step(Step::Metered(false)).expect("fine");
    world.pictures(9, 250_000, false);
    world.step(Step::Look).expect("fine");
    world.step(Step::Deliver { up: UP, lane: Lane::Pictures, bytes: 100_000 }).expect("fine");
    world.step(Step::Metered(true)).expect("fine");
    world.rest();
    assert_eq!((world.stored(Kind::Picture, false), world.meter().spent(Charge::Pictures)), (4, MB as u64));
    world.settle().expect("fine");
    world.check();
}

#[test]
fn a_whole_list_stops_when_its_budget_is_spent_and_goes_on_from_there() {
    let mut world = costly(1, 1, 1);
    // Without any list a car is of no use: the first comes, whatever it costs.
    world.step(Step::Publish(30 * PIECE)).expect("fine");
    world.rest();
    assert_eq!(world.journal.held(), [(LIST.to_owned(), 1)]);
    let first = world.meter().spent(Charge::Lists);
    println!("a whole list of {} bytes cost {first}", 30 * PIECE);
    world.meter().came(MB as u64);
    assert_eq!(world.meter().news(), Some(Charge::Lists));

    // The next waits, and something small comes all the same.
    world.step(Step::Publish(20 * PIECE + 7)).expect("fine");
    world.rest();
    assert_eq!((world.journal.held(), world.car().lists_waiting()), (vec![(LIST.to_owned(), 1)], 1));
    world.step(Step::Day(1)).expect("fine");
    // Half of it comes; then the budget is spent in the middle.
    for _ in 0..10 {
        for (up, lane) in [(UP, Lane::Control), (DOWN, Lane::Lists)] {
            world.step(Step::Deliver { up, lane, bytes: usize::MAX }).expect("fine");
        }
        world.step(Step::Look).expect("fine");
    }
    world.meter().came(MB as u64);
    world.step(Step::Day(1)).expect("the network is looked at");
    let before = world.link.as_ref().expect("linked").list_bytes_carried;
    world.rest();
    let after = world.link.as_ref().expect("linked").list_bytes_carried;
    assert_eq!((world.journal.held(), world.car().lists_waiting()), (vec![(LIST.to_owned(), 1)], 1));
    // What was on its way came, and the byte that says that no more does.
    assert!(after - before <= 2 * (PIECE + AROUND), "{} bytes after the end", after - before);
    let half = world.arriving[&2].len();
    assert!((8 * PIECE..14 * PIECE).contains(&half), "{half}");

    world.step(Step::Metered(false)).expect("fine");
    world.rest();
    assert_eq!(world.journal.held(), [(LIST.to_owned(), 2)]);
    world.settle().expect("fine");
    world.check();
}

impl World {
    fn car(&self) -> &CarSession {
        &self.link.as_ref().expect("linked").car
    }
}

#[test]
fn a_list_that_may_come_again_before_the_office_has_stopped_is_whole_all_the_same() {
    let mut world = costly(1, 1, 1);
    world.step(Step::Publish(PIECE)).expect("fine");
    world.rest();
    // Every way in which the two can cross: so many pieces before, so many deliveries between stop and go.
    for (before, between) in (1..6).flat_map(|before| (0..4).map(move |between| (before, between))) {
        world.step(Step::Metered(false)).expect("fine");
        world.step(Step::Publish(12 * PIECE + 1)).expect("fine");
        let deliver = |world: &mut World, times| {
            for _ in 0..times {
                for (up, lane) in [(DOWN, Lane::Control), (UP, Lane::Control), (DOWN, Lane::Lists)] {
                    world.step(Step::Deliver { up, lane, bytes: PIECE / 2 }).expect("in place");
                }
                world.step(Step::Look).expect("in place");
            }
        };
        deliver(&mut world, before);
        world.step(Step::Metered(true)).expect("fine");
        world.meter().came(MB as u64);
        world.step(Step::Metered(true)).expect("fine");
        deliver(&mut world, between);
        world.settle().expect("in place");
        world.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 2, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was spent, and whatever waits: hits, statements, heads and reads are on their way at the next look.
    #[test]
    fn what_is_not_budgeted_never_waits_for_a_budget(
        budgets in (0..2u32, 0..2u32, 0..2u32),
        steps in prop::collection::vec(step(), 1..80),
        pictures in prop::collection::vec((0..400_000usize, any::<bool>()), 0..12),
    ) {
        let mut world = costly(budgets.0, budgets.1, budgets.2);
        for (size, of_hit) in pictures {
            world.pictures(1, size, of_hit);
        }
        for step in steps {
            world.step(step).expect("in place");
        }
        world.hello();
        world.step(Step::Metered(true)).expect("fine");
        for kind in [Kind::Hit, Kind::Statement, Kind::Head, Kind::Read] {
            world.journal.add(kind, 100);
            let key = world.journal.unsent.iter().filter(|(of, _)| *of == kind).map(|(_, key)| key.clone()).max();
            let key = key.expect("just made");
            world.step(Step::Look).expect("fine");
            world.step(Step::Deliver { up: UP, lane: kind.lane(), bytes: usize::MAX }).expect("fine");
            world.step(Step::Commit).expect("fine");
            prop_assert!(world.stored.things.contains_key(&key), "{kind:?} waits");
        }
    }
}
