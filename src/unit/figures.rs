//! How well the unit does its work, in figures that the crew and a technician can judge it by.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::clerk::Measured;
use super::desk::Tools;
use super::latency::{Latencies, Latency};
use crate::alert::ago;
use crate::clock::Moment;
use crate::journal::{Room, SetUp, Space};
use crate::screen::{ListLine, State, StatusItem};
use crate::sync::car::{Cost, Costs};

/// An alert that reaches the crew later than this, 95 of 100, is too late.
const LATE: Duration = Duration::from_millis(250);
/// The rate is of so long.
const MINUTE: Duration = Duration::from_secs(60);
/// A camera that has read nothing for so long a drive may be dirty, out of focus or out of aim.
const BLIND: Duration = Duration::from_secs(600);
/// A car that is faster than this is driving, metres a second.
const DRIVING: f32 = 5.0;
/// Hotter than this is worth a look, and too hot, degrees Celsius.
const WARM: f32 = 80.0;
const HOT: f32 = 95.0;
/// A roll of people that runs out within this is worth a look.
const SOON: TimeDelta = TimeDelta::days(3);
/// A list older than this is worth a look.
pub(super) const LIST_OLD: Duration = Duration::from_secs(24 * 3600);

/// What the figures are made of beyond what the parts say by themselves.
pub(super) struct Gauges {
    /// When the newest passes were first told.
    told: VecDeque<Moment>,
    /// How long the car has been driving since each camera read something.
    blind: Vec<Duration>,
    last: Option<Moment>,
    pub(super) measured: Measured,
}

impl Gauges {
    pub(super) fn new(cameras: usize) -> Self {
        let blind = vec![Duration::ZERO; cameras];
        Self { told: VecDeque::new(), blind, last: None, measured: Measured::default() }
    }

    /// A new pass was told by `camera`.
    pub(super) fn told(&mut self, camera: Option<usize>, now: Moment) {
        self.told.push_back(now);
        if let Some(blind) = camera.and_then(|camera| self.blind.get_mut(camera)) {
            *blind = Duration::ZERO;
        }
    }

    /// Time goes on; the car does `speed` metres a second, where that is known.
    pub(super) fn pass(&mut self, speed: Option<f32>, now: Moment) {
        let since = now.since(self.last.replace(now).unwrap_or(now));
        if speed.is_some_and(|speed| speed >= DRIVING) {
            self.blind.iter_mut().for_each(|blind| *blind += since);
        }
        while self.told.front().is_some_and(|told| now.since(*told) >= MINUTE) {
            self.told.pop_front();
        }
    }

    /// The page Health.
    pub(super) fn figures(&self, tools: &Tools, latencies: &Latencies, utc: DateTime<Utc>) -> Vec<StatusItem> {
        let mut figures = vec![
            waited("Camera to sound", latencies, |latency| latency.to_sound),
            waited("Camera to screen", latencies, |latency| latency.to_screen),
            StatusItem::ok("Reads in the last minute", self.told.len().to_string(), ""),
            frames(tools),
            unsent(tools, &self.measured, utc),
            disk(self.measured.disk, tools.journal.as_ref().map_or(Room::Enough, |journal| journal.status().room)),
            temperature(self.measured.temperature),
        ];
        figures.extend(tools.link.as_ref().and_then(|link| link.status().costs).map(|costs| metered(&costs)));
        figures.extend(tools.journal.as_ref().map(|journal| people(&journal.archive().set_up(), utc)));
        figures.extend(tools.settings_figure());
        figures.extend(tools.cameras.iter().zip(&self.blind).map(|(camera, blind)| aim(camera, *blind)));
        figures
    }

    /// The page Lists.
    pub(super) fn lists(&self, tools: &Tools, utc: DateTime<Utc>) -> Vec<ListLine> {
        let lists = tools.hotlist.as_ref().map(|hotlist| hotlist.status()).unwrap_or_default();
        let line = |list: crate::hotlist::ListHead| {
            let age = list.age(utc);
            let judged = self.measured.precision.iter().find(|(id, _)| *id == list.id).map(|(_, judged)| *judged);
            ListLine {
                count: format!("{}, revision {}", count(list.count, "entry", "entries"), list.revision),
                age: format!("{} old", ago(age)),
                precision: judged
                    .filter(|p| p.true_hits + p.false_hits > 0)
                    .map_or_else(String::new, |p| format!("its hits: {} true, {} false", p.true_hits, p.false_hits)),
                // The crew's own entries age each for itself.
                state: if age > LIST_OLD && list.id != crate::hotlist::OWN { State::Warn } else { State::Ok },
                name: list.name,
            }
        };
        lists.into_iter().filter(|list| !list.settings.covert).map(line).collect()
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn waited(name: &str, latencies: &Latencies, field: impl Fn(&Latency) -> Option<Duration>) -> StatusItem {
    let Some(([half, most, nearly], of)) = latencies.percentiles(field) else {
        return StatusItem::ok(name, "no alert yet", "");
    };
    let ms = |time: Duration| time.as_millis();
    StatusItem {
        name: name.to_owned(),
        word: format!("p95 {} ms", ms(most)),
        state: if most > LATE { State::Warn } else { State::Ok },
        detail: format!("p50 {}, p99 {}, of {of}", ms(half), ms(nearly)),
    }
}

fn frames(tools: &Tools) -> StatusItem {
    let sum =
        |of: fn(&crate::capture::Counters) -> u64| tools.counters.iter().map(|counters| of(counters)).sum::<u64>();
    let (delivered, dropped) = (sum(crate::capture::Counters::delivered), sum(crate::capture::Counters::dropped));
    StatusItem {
        name: "Frames dropped".to_owned(),
        word: dropped.to_string(),
        detail: format!("of {}", delivered + dropped),
        // One in a hundred costs no plate; more may.
        state: if dropped * 100 > delivered { State::Warn } else { State::Ok },
    }
}

fn unsent(tools: &Tools, measured: &Measured, utc: DateTime<Utc>) -> StatusItem {
    let name = "Not yet at the office";
    let waiting = tools.journal.as_ref().map_or(0, |journal| journal.status().unsent);
    let oldest = measured.oldest.filter(|_| waiting > 0).and_then(|oldest| (utc - oldest).to_std().ok());
    match oldest {
        _ if tools.link.is_none() => StatusItem::ok(name, "no office", "the unit works alone"),
        None => StatusItem::ok(name, waiting.to_string(), ""),
        Some(age) => StatusItem::ok(name, waiting.to_string(), format!("the oldest {} old", ago(age))),
    }
}

/// What the network costs of which most is spent or waits. The whole sentence is on the strip.
pub(super) fn metered(costs: &Costs) -> StatusItem {
    let share = |cost: &&Cost| cost.spent.saturating_mul(1000) / cost.budget.max(1);
    let [pictures, ..] = &costs.kinds;
    let cost = costs.kinds.iter().max_by_key(|cost| (cost.waiting, share(cost))).unwrap_or(pictures);
    let detail = match cost.waits() {
        Some(waiting) => format!("{waiting} wait"),
        None => format!("of {} today", cost.kind.words()),
    };
    StatusItem::ok(format!("Metered: {}", costs.interface), cost.used(), detail)
}

fn disk(disk: Option<Space>, room: Room) -> StatusItem {
    let Some(Space { free, whole }) = disk.filter(|disk| disk.whole > 0) else {
        return StatusItem::ok("Disk", "unknown", "");
    };
    StatusItem {
        name: "Disk".to_owned(),
        word: format!("{:.0} GB free", free as f64 / 1e9),
        detail: format!("{} % of it", u128::from(free) * 100 / u128::from(whole)),
        state: match room {
            Room::Out(_) => State::Fault,
            Room::Low(_) => State::Warn,
            Room::Enough => State::Ok,
        },
    }
}

fn temperature(degrees: Option<f32>) -> StatusItem {
    match degrees {
        None => StatusItem::ok("Temperature", "unknown", "no sensor says"),
        Some(degrees) => StatusItem {
            name: "Temperature".to_owned(),
            word: format!("{degrees:.0} °C"),
            detail: "the hottest part".to_owned(),
            state: match degrees {
                degrees if degrees >= HOT => State::Fault,
                degrees if degrees >= WARM => State::Warn,
                _ => State::Ok,
            },
        },
    }
}

/// Who may sign on, and for how long still.
fn people(set_up: &SetUp, utc: DateTime<Utc>) -> StatusItem {
    let name = "People";
    match set_up {
        SetUp::Nobody => StatusItem::warn(name, "nobody set up", "names are what people say"),
        SetUp::Damaged(_) => StatusItem::fault(name, "damaged", "nobody can sign on until the office is reached"),
        SetUp::Roll(kept) => {
            let many = count(kept.roll.people.len() as u64, "person", "people");
            match kept.roll.expires {
                None => StatusItem::ok(name, many, "set up at this car"),
                Some(until) if until <= utc => {
                    StatusItem::fault(name, "run out", "nobody can sign on until the office is reached")
                }
                Some(until) => {
                    let soon = if until - utc < SOON { State::Warn } else { State::Ok };
                    StatusItem {
                        state: soon,
                        ..StatusItem::ok(name, many, format!("until {}", until.format("%-d %B")))
                    }
                }
            }
        }
    }
}

/// All that is known of lens and aim: whether plates are read while the car drives.
fn aim(camera: &str, blind: Duration) -> StatusItem {
    let name = format!("{camera} camera: lens and aim");
    if blind < BLIND {
        return StatusItem::ok(name, "good", "");
    }
    StatusItem::warn(name, "check", format!("no plate in {} of driving", ago(blind)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::KeptRoll;
    use crate::people::Roll;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn reads_are_counted_for_a_minute_and_a_camera_that_reads_nothing_while_driving_is_named() {
        let mut gauges = Gauges::new(2);
        gauges.told(Some(0), at(0));
        gauges.told(Some(1), at(30));
        gauges.pass(Some(20.0), at(30));
        assert_eq!(gauges.told.len(), 2);
        gauges.pass(Some(20.0), at(60));
        assert_eq!(gauges.told.len(), 1);
        for second in 61..=700 {
            if second % 50 == 0 {
                gauges.told(Some(1), at(second));
            }
            gauges.pass(Some(20.0), at(second));
        }
        let words: Vec<String> =
            ["front", "rear"].iter().zip(&gauges.blind).map(|(name, blind)| aim(name, *blind).word).collect();
        assert_eq!(words, ["check", "good"]);
        // Standing in a yard says nothing of a lens.
        let mut parked = Gauges::new(1);
        (0..2000).for_each(|second| parked.pass(Some(0.0), at(second)));
        (2000..4000).for_each(|second| parked.pass(None, at(second)));
        assert_eq!(parked.blind, [Duration::ZERO]);
    }

    #[test]
    fn people_who_are_not_set_up_or_whose_roll_runs_out_are_told() {
        let utc = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let roll = |expires| {
            let roll = Roll { revision: 1, made: utc("2026-12-01T10:00:00Z"), expires, people: Vec::new() };
            SetUp::Roll(Arc::new(KeptRoll { roll, from_office: true }))
        };
        let now = utc("2026-12-05T10:00:00Z");
        for (set_up, state) in [
            (SetUp::Nobody, State::Warn),
            (roll(None), State::Ok),
            (roll(Some(utc("2026-12-15T10:00:00Z"))), State::Ok),
            (roll(Some(utc("2026-12-07T10:00:00Z"))), State::Warn),
            (roll(Some(utc("2026-12-05T10:00:00Z"))), State::Fault),
        ] {
            assert_eq!(people(&set_up, now).state, state, "{set_up:?}");
        }
    }

    #[test]
    fn of_a_metered_network_that_is_shown_of_which_most_waits_or_is_spent() {
        use crate::sync::car::Charge;
        let costs = |spent: [u64; 3], waiting: [u64; 3]| {
            let kinds = Charge::ALL.map(|kind| {
                let (spent, waiting) = (spent[kind as usize], waiting[kind as usize]);
                Cost { kind, budget: 50_000_000, spent, waiting }
            });
            let item = metered(&Costs { interface: "wwan0".into(), kinds });
            (item.name, item.word, item.detail)
        };
        let shown = |word: &str, detail: &str| ("Metered: wwan0".to_owned(), word.to_owned(), detail.to_owned());
        assert_eq!(costs([50_000_000, 1_000_000, 0], [312, 0, 1]), shown("50 of 50 MB", "312 pictures wait"));
        assert_eq!(costs([1_000_000, 40_000_000, 0], [0; 3]), shown("40 of 50 MB", "of pictures of hits today"));
    }

    #[test]
    fn what_runs_out_is_a_fault_before_it_has() {
        let space = Some(Space { free: 500 << 20, whole: 100 << 30 });
        for (room, state) in [(Room::Out(9), State::Fault), (Room::Low(9), State::Warn), (Room::Enough, State::Ok)] {
            assert_eq!((disk(space, room).state, disk(None, room).state), (state, State::Ok));
        }
        assert_eq!([40.0, 85.0, 99.0].map(|t| temperature(Some(t)).state), [State::Ok, State::Warn, State::Fault]);
    }
}
