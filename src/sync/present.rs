//! How a car is now: where it is, where its configuration says that the office may know, and what works. It is told in
//! datagrams that may be lost; the newest counts, and nothing of it is kept in the car.

use std::time::Duration;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::wire::{DATAGRAM_LIMIT, NAME_LIMIT, proto};
use crate::clock::Moment;

/// A car that is faster than this is moving, metres a second.
const MOVING: f32 = 1.0;
/// How often a car says where it is while it moves, and while it stands.
const WHILE_MOVING: Duration = Duration::from_secs(2);
const WHILE_STANDING: Duration = Duration::from_secs(15);
/// How often it says what works.
const HEALTH: Duration = Duration::from_secs(10);
/// Parts that have failed which are named at most.
const FAILED: usize = 12;

/// How a car is now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Present {
    /// Where it is; `None` where that is not known, or not for the office.
    pub position: Option<Position>,
    /// What works.
    pub health: Option<Health>,
}

/// Where a car is. Whoever drives it is a person: this is personal data.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Latitude, degrees north (WGS 84).
    pub lat: f64,
    /// Longitude, degrees east (WGS 84).
    pub lon: f64,
    /// Speed over ground, metres a second.
    pub speed_mps: Option<f32>,
    /// Course over ground, degrees from true north.
    pub course: Option<u16>,
    /// How old the fix was when it was told, seconds.
    pub age_s: f32,
}

// A position says where people are: it stays out of logs and panics.
impl std::fmt::Debug for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Position({} s old)", self.age_s)
    }
}

/// What works in a car.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Its cameras.
    pub cameras: u32,
    /// Those that give pictures.
    pub cameras_live: u32,
    /// How many things wait for the office.
    pub unsent: u64,
    /// Parts that have failed, by name.
    pub failed: Vec<String>,
}

/// How often a car says how it is: never more often than it does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    health: Duration,
    moving: Duration,
    standing: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { health: HEALTH, moving: WHILE_MOVING, standing: WHILE_STANDING }
    }
}

impl Pace {
    /// With at least so long between two reports of what works, and of where the car is while it drives.
    pub fn no_faster(health: Option<Duration>, position: Option<Duration>) -> Self {
        let (own, position) = (Self::default(), position.unwrap_or_default());
        Self {
            health: own.health.max(health.unwrap_or_default()),
            moving: own.moving.max(position),
            standing: own.standing.max(position),
        }
    }
}

/// Decides what of it is told when.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    number: u64,
    position: Option<Moment>,
    health: Option<Moment>,
}

impl Teller {
    /// The datagram that tells of `present`, if it is time for one.
    pub(crate) fn tell(&mut self, present: &Present, pace: Pace, now: Moment) -> Option<Vec<u8>> {
        let is_due = |last: Option<Moment>, every| last.is_none_or(|last| now.since(last) >= every);
        let moves = |position: &Position| position.speed_mps.is_some_and(|speed| speed >= MOVING);
        let every = |position: &Position| if moves(position) { pace.moving } else { pace.standing };
        let position = present.position.filter(|position| is_due(self.position, every(position)));
        let health = present.health.as_ref().filter(|_| is_due(self.health, pace.health));
        if position.is_none() && health.is_none() {
            return None;
        }
        self.number += 1;
        self.position = position.map(|_| now).or(self.position);
        self.health = health.map(|_| now).or(self.health);
        let message =
            proto::Present { number: self.number, position: position.map(said_of), health: health.map(told_of) };
        Some(message.encode_to_vec()).filter(|bytes| bytes.len() <= DATAGRAM_LIMIT)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits before")]
fn said_of(position: Position) -> proto::Position {
    let millionths = |degrees: f64| (degrees.clamp(-180.0, 180.0) * 1e6).round() as i32;
    proto::Position {
        lat: millionths(position.lat),
        lon: millionths(position.lon),
        speed: position.speed_mps.map(|speed| (speed.clamp(0.0, 1000.0) * 10.0).round() as u32),
        course: position.course.map(u32::from),
        age_ms: (position.age_s.clamp(0.0, 1e6) * 1e3).round() as u32,
    }
}

fn told_of(health: &Health) -> proto::Health {
    let failed = health.failed.iter().take(FAILED).map(|part| part.chars().take(NAME_LIMIT / 2).collect());
    proto::Health {
        cameras: health.cameras,
        cameras_live: health.cameras_live,
        unsent: health.unsent,
        failed: failed.collect(),
    }
}

/// The number and content of a datagram of a car's; `None` if it makes no sense.
#[cfg(any(feature = "office", test, feature = "fuzz"))]
pub(crate) fn heard(datagram: &[u8]) -> Option<(u64, Present)> {
    if datagram.len() > DATAGRAM_LIMIT {
        return None;
    }
    let proto::Present { number, position, health } = proto::Present::decode(datagram).ok()?;
    let position = match position {
        None => None,
        Some(said) if said.lat.unsigned_abs() <= 90_000_000 && said.lon.unsigned_abs() <= 180_000_000 => {
            Some(Position {
                lat: f64::from(said.lat) / 1e6,
                lon: f64::from(said.lon) / 1e6,
                speed_mps: said.speed.and_then(|speed| u16::try_from(speed).ok()).map(|speed| f32::from(speed) / 10.0),
                course: said.course.and_then(|course| u16::try_from(course).ok()).filter(|course| *course <= 360),
                age_s: Duration::from_millis(said.age_ms.into()).as_secs_f32(),
            })
        }
        Some(_) => return None,
    };
    let plain = |part: String| part.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect();
    let health = health.map(|told| Health {
        cameras: told.cameras,
        cameras_live: told.cameras_live,
        unsent: told.unsent,
        failed: told.failed.into_iter().take(FAILED).map(plain).collect(),
    });
    Some((number, Present { position, health }))
}

/// Whether a datagram makes sense, for the fuzzers.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn decodes(datagram: &[u8]) -> bool {
    heard(datagram).is_some()
}

/// A datagram as it is sent today, for the corpus.
#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let position = Position { lat: 51.5, lon: -0.125, speed_mps: Some(13.4), course: Some(270), age_s: 0.25 };
    let health = Health { cameras: 2, cameras_live: 1, unsent: 77, failed: vec!["camera rear".into()] };
    let present = Present { position: Some(position), health: Some(health) };
    Teller::default().tell(&present, Pace::default(), Moment::default()).expect("due")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_car_tells_more_often_where_it_is_while_it_moves_and_what_works_now_and_then() {
        let position = |speed| Position { lat: 51.5, lon: -0.125, speed_mps: speed, course: Some(90), age_s: 0.5 };
        let mut teller = Teller::default();
        let (mut positions, mut healths, mut last) = (0, 0, 0);
        let mut drive_at = |pace, seconds: std::ops::Range<u64>, speed: Option<f32>| {
            (positions, healths) = (0, 0);
            for half in seconds.start * 2..seconds.end * 2 {
                let present = Present { position: Some(position(speed)), health: Some(Health::default()) };
                let now = Moment::at(Duration::from_millis(half * 500));
                let Some(datagram) = teller.tell(&present, pace, now) else { continue };
                let (number, heard) = heard(&datagram).expect("makes sense");
                assert!(number > last, "numbers grow");
                last = number;
                positions += u32::from(heard.position.is_some());
                healths += u32::from(heard.health.is_some());
            }
            (positions, healths)
        };
        let own = Pace::default();
        assert_eq!(drive_at(own, 0..60, Some(20.0)), (30, 6));
        assert_eq!(drive_at(own, 60..120, Some(0.2)), (4, 6));
        assert_eq!(drive_at(own, 120..180, None), (4, 6));
        // As the office sets it: seldomer, and never more often.
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let seldom = Pace::no_faster(seconds(60), seconds(20));
        assert_eq!(drive_at(seldom, 180..300, Some(20.0)), (6, 2));
        assert_eq!(drive_at(seldom, 300..420, Some(0.2)), (6, 2));
        assert_eq!(drive_at(Pace::no_faster(seconds(1), seconds(1)), 420..480, Some(20.0)), (30, 6));
    }

    #[test]
    fn nothing_is_told_of_where_the_car_is_when_that_is_not_known() {
        let present = Present { position: None, health: Some(Health { unsent: 5, ..Health::default() }) };
        let mut teller = Teller::default();
        let datagram = teller.tell(&present, Pace::default(), Moment::default()).expect("due");
        assert_eq!(heard(&datagram), Some((1, present.clone())));
        assert_eq!(teller.tell(&present, Pace::default(), Moment::at(Duration::from_secs(9))), None);
    }

    #[test]
    fn many_long_names_fit_and_a_place_off_the_earth_is_refused() {
        let failed = vec!["x".repeat(500); 500];
        let health = Some(Health { cameras: u32::MAX, cameras_live: u32::MAX, unsent: u64::MAX, failed });
        let datagram = Teller::default()
            .tell(&Present { position: None, health }, Pace::default(), Moment::default())
            .expect("fits");
        assert_eq!(heard(&datagram).and_then(|(_, present)| present.health).expect("there").failed.len(), FAILED);
        let off = proto::Position { lat: 91_000_000, ..proto::Position::default() };
        let message = proto::Present { number: 1, position: Some(off), health: None };
        assert_eq!(heard(&message.encode_to_vec()), None);
        assert_eq!(heard(&[0; DATAGRAM_LIMIT + 1]), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_refused_or_makes_sense(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some((_, Present { position: Some(position), .. })) = heard(&bytes) {
                prop_assert!(position.lat.abs() <= 90.0 && position.lon.abs() <= 180.0);
            }
        }
    }
}
