//! Pictures that are cut go on from what the office has, and nothing waits behind them.

use super::*;
use crate::sync::wire::PART;
use crate::sync::wire::proto::{FromCar, Hello, Upload, from_car};
use crate::sync::wire::{NEWEST_VERSION, OLDEST_VERSION, encode};

impl World {
    /// Reconnects, and lets Hello and Welcome pass.
    fn greet(&mut self) {
        self.connect();
        self.carry().expect("fine");
        for _ in 0..3 {
            for up in [UP, DOWN] {
                self.step(Step::Deliver { up, lane: Lane::Control, bytes: usize::MAX }).expect("fine");
            }
        }
    }

    fn picture_bytes(&self) -> usize {
        self.link.as_ref().and_then(|link| link.pipes.get(&(UP, Lane::Pictures))).map_or(0, VecDeque::len)
    }
}

#[test]
fn a_picture_of_four_megabytes_is_not_sent_again_however_often_it_is_cut() {
    let mut world = greeted();
    let size = Lane::Pictures.payload_limit();
    world.journal.add(Kind::Picture, size);
    let mut carried = 0;
    for _ in 0..20 {
        world.greet();
        world.step(Step::Look).expect("fine");
        let waiting = world.picture_bytes();
        world.step(Step::Deliver { up: UP, lane: Lane::Pictures, bytes: size / 25 }).expect("fine");
        carried += waiting - world.picture_bytes();
        world.step(Step::Cut).expect("fine");
    }
    world.greet();
    world.step(Step::Look).expect("fine");
    carried += world.picture_bytes();
    world.settle().expect("fine");
    world.check();
    // Each cut costs what had come of one part.
    assert!(carried >= size, "{carried} bytes for a picture of {size}");
    assert!(carried < size + 20 * PART + size / 50, "{carried} bytes for a picture of {size}");
    println!("a picture of {size} bytes, cut 20 times: {carried} bytes carried");
}

#[test]
fn a_hit_that_comes_when_four_megabytes_of_picture_wait_arrives_first() {
    let mut world = greeted();
    world.journal.add(Kind::Picture, Lane::Pictures.payload_limit());
    world.step(Step::Look).expect("fine");
    assert!(world.picture_bytes() > 4_000_000);
    world.step(Step::Deliver { up: UP, lane: Lane::Pictures, bytes: 100_000 }).expect("fine");
    world.journal.add(Kind::Hit, 50);
    world.step(Step::Look).expect("fine");
    // The most urgent stream that has something sends: as QUIC does, packet by packet.
    let link = world.link.as_ref().expect("linked");
    let up = |lane: &&Lane| link.pipes.get(&(UP, **lane)).is_some_and(|pipe| !pipe.is_empty());
    let next = Lane::ALL.iter().filter(up).max_by_key(|lane| lane.priority()).copied();
    assert_eq!(next, Some(Lane::Hits));
    world.step(Step::Deliver { up: UP, lane: Lane::Hits, bytes: usize::MAX }).expect("fine");
    world.step(Step::Commit).expect("fine");
    let stored: Vec<Kind> = world.stored.things.values().map(|item| item.kind).collect();
    assert_eq!(stored, [Kind::Hit], "the picture is still on its way");
    world.settle().expect("fine");
    world.check();
}

#[test]
fn another_picture_under_the_same_key_begins_anew() {
    let mut world = greeted();
    world.journal.add(Kind::Picture, 200_000);
    world.step(Step::Look).expect("fine");
    world.step(Step::Deliver { up: UP, lane: Lane::Pictures, bytes: 150_000 }).expect("fine");
    world.step(Step::Cut).expect("fine");
    // The disk was swapped: a journal that begins anew gives its first key to another picture of the same size.
    for item in world.journal.made.values_mut() {
        item.payload.iter_mut().for_each(|byte| *byte ^= 0xff);
    }
    world.settle().expect("fine");
    world.check();
}

#[test]
fn what_was_begun_is_taken_up_after_pictures_that_came_in_between() {
    let mut world = greeted();
    world.journal.add(Kind::Picture, 200_000);
    world.step(Step::Look).expect("fine");
    world.step(Step::Deliver { up: UP, lane: Lane::Pictures, bytes: 150_000 }).expect("fine");
    world.step(Step::Cut).expect("fine");
    // On the next connection the picture of a hit goes first.
    world.greet();
    let urgent = Item { kind: Kind::Picture, key: b"urgent".to_vec(), payload: vec![3; 50_000] };
    world.journal.made.insert(urgent.key.clone(), urgent.clone());
    let link = world.link.as_mut().expect("linked");
    link.car.offer(vec![urgent], world.now);
    world.step(Step::Look).expect("fine");
    let carried = world.picture_bytes();
    assert!(carried < 50_000 + 200_000 - 150_000 + 2 * PART, "{carried} bytes");
    world.settle().expect("fine");
    world.check();
}

/// An office's session past Hello.
fn hearing(version: u32) -> office::Session {
    let mut session = office::Session::open(UNIT, None, Moment::default());
    let hello = Hello { oldest: OLDEST_VERSION, newest: version, unit: UNIT.into(), program: String::new() };
    let mut bytes = Vec::new();
    encode(&FromCar { message: Some(from_car::Message::Hello(hello)) }, &mut bytes);
    session.receive(Lane::Control, &bytes).expect("in place");
    session
}

#[test]
fn parts_that_do_not_follow_or_do_not_add_up_end_the_connection() {
    let picture = vec![7; 100];
    let part = |offset: u64, size: u64, payload: &[u8]| Upload {
        kind: 3,
        key: b"k".to_vec(),
        payload: payload.to_vec(),
        offset,
        size,
        sha256: Sha256::digest(&picture).to_vec(),
    };
    let refused = |version: u32, parts: &[Upload]| {
        let mut session = hearing(version);
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| encode(part, &mut bytes));
        let refused = session.receive(Lane::Pictures, &bytes).is_err();
        // What was refused is not what the next connection goes on from.
        assert!(!refused || session.into_begun().is_none_or(|begun| begun.bytes.len() < 100));
        refused
    };
    assert!(!refused(NEWEST_VERSION, &[part(0, 100, &picture[..60]), part(60, 100, &picture[60..])]));
    assert!(!refused(NEWEST_VERSION, &[part(0, 100, &picture[..60]), part(0, 100, &picture[..10])]), "begun anew");
    for parts in [
        vec![part(60, 100, &picture[60..])],
        vec![part(0, 100, &picture[..50]), part(60, 100, &picture[60..])],
        vec![part(0, 100, &picture[..60]), part(60, 100, &picture[..60])],
        vec![part(0, 100, &[8; 100])],
        vec![part(0, 100, b"")],
        vec![part(0, 5 << 20, &picture)],
        vec![part(0, u64::MAX, &picture)],
        vec![Upload { sha256: vec![1; 31], ..part(0, 100, &picture) }],
        vec![Upload { kind: 2, ..part(0, 100, &picture) }],
    ] {
        assert!(refused(NEWEST_VERSION, &parts), "{parts:?}");
    }
    assert!(refused(3, &[part(0, 100, &picture)]), "an earlier version knows no parts");
}
