//! What is urgent overtakes what is large over a real, narrow and lossy network: hits on the way up, withdrawals on the way down.
//! Order is what is asserted; how long it took is printed, and docs/design/network.md has figures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::loopback::{Memory, Yard, anywhere, connected, wait, wait_until};
use super::prompt::{Car, until, vrm};
use super::{Order, Publication, amend, publish};
use crate::hotlist::{Mark, Standing};
use crate::road::{Conditions, Relay};
use crate::sync::Kind;

/// 1 Mbit/s, 100 ms there and back, two packets of a hundred lost.
fn narrow() -> Conditions {
    Conditions { rate: Some(125_000), ..Conditions::far(Duration::from_millis(100), 0.02) }
}

/// Looks now and then whether it is so.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    wait_until(what, || {
        std::thread::sleep(Duration::from_millis(2));
        is_so()
    });
}

#[test]
fn a_hit_is_stored_before_the_pictures_that_were_on_their_way() {
    const PICTURES: usize = 16;
    const PICTURE: usize = 256 << 10;
    let yard = Yard::new();
    let service = yard.serve(anywhere());
    let relay = Relay::start(service.address(), narrow(), 7).expect("started");
    let outbox = Arc::new(Memory::default());
    let link = yard.link(relay.address(), &outbox);
    wait(&link, "the link", connected);
    let counts = || service.counts().expect("counted").get("EX-01").copied().unwrap_or_default();

    (0..PICTURES).for_each(|number| outbox.add(Kind::Picture, number, PICTURE));
    link.nudge();
    let mut took = Vec::new();
    for number in 0..5 {
        // The streams, the sockets and the narrow link are full of pictures.
        let carried = relay.carried().up + 150_000;
        wait_for("the way of the pictures", || relay.carried().up > carried);
        outbox.add(Kind::Hit, number, 600);
        let begun = Instant::now();
        link.nudge();
        wait_for("the hit", || counts().hits == number as u64 + 1);
        took.push(begun.elapsed());
        // One look at the store: what it has of both.
        let there = counts();
        assert!(there.pictures < PICTURES as u64, "the pictures came first: {there:?}");
    }
    println!(
        "5 hits while {} MB of pictures go up: stored after {took:?}, before {} of {PICTURES} pictures",
        (PICTURES * PICTURE) >> 20,
        PICTURES as u64 - counts().pictures
    );
    relay.set(Conditions::GOOD);
    wait(&link, "the rest", |status| status.unsent == 0);
    let there = counts();
    assert_eq!((there.hits, there.pictures, there.conflicts), (5, PICTURES as u64, 0));
}

#[test]
fn a_withdrawal_counts_before_the_whole_list_that_is_half_way_down() {
    const ENTRIES: usize = 60_000;
    let yard = Yard::new();
    // Nothing in it is worth packing, so that megabytes go over the network.
    let mut random = fastrand::Rng::with_seed(7);
    let mut sheet = |name: &str, entries: usize| {
        let rows: String = (0..entries)
            .map(|number| {
                let note: String = (0..60).map(|_| random.alphanumeric()).collect();
                format!("{},stolen,{note}\n", vrm(number))
            })
            .collect();
        let path = yard.folder.path().join(name);
        std::fs::write(&path, format!("vrm,reason,note\n{rows}")).expect("written");
        path
    };
    let (small, large) = (sheet("pnc.csv", 1000), sheet("insurance.csv", ENTRIES));
    let clock = || Arc::clone(&yard.clock);
    publish(&yard.data(), &Publication::of("pnc", &small, ""), clock()).expect("published");
    let service = yard.serve(anywhere());
    let relay = Relay::start(service.address(), Conditions::GOOD, 7).expect("started");
    let car = Arc::new(Car::new(&yard.folder.path().join("car.redb"), &yard.identity(), clock()));
    let _link = car.link(relay.address(), clock());
    let count = |list: &str| car.hotlist.status().iter().find(|held| held.id == list).map_or(0, |held| held.count);
    until(Instant::now(), "the small list", || count("pnc") == 1000);

    relay.set(narrow());
    publish(&yard.data(), &Publication::of("insurance", &large, ""), clock()).expect("published");
    let size = || {
        let lists = service.store().lists().expect("read");
        lists.iter().find(|info| info.list == "insurance").map_or(0, |info| info.size)
    };
    let mut took = Vec::new();
    for number in 0..5 {
        let come = car.come("insurance") + 200_000;
        until(Instant::now(), "the large list's way", || car.come("insurance") > come);
        let order = Order {
            list: "pnc".into(),
            remove: vec![Mark::parse(&vrm(number)).expect("a mark")],
            by: "Sgt Example".into(),
            why: "recovered".into(),
            ..Order::default()
        };
        amend(&yard.data(), &order, clock()).expect("amended");
        let begun = Instant::now();
        until(begun, "the withdrawal", || {
            car.hotlist.standing("pnc", &vrm(number)) == Standing::Gone("recovered".into())
        });
        took.push(begun.elapsed());
        assert_eq!(count("insurance"), 0, "the whole list came first");
    }
    let (come, size) = (car.come("insurance"), size());
    assert!(come < size, "{come} of {size} bytes");
    println!(
        "5 withdrawals while a list of {size} bytes comes down: they count {took:?} after the command's end, when {come} bytes of \
         it had come"
    );
    relay.set(Conditions::GOOD);
    until(Instant::now(), "the whole list", || count("insurance") == ENTRIES as u64);
    assert_eq!(count("pnc"), 995);
}
