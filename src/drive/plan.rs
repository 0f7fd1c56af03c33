//! The script of the drive: who passes, when, and what their plates say.
//!
//! The route is a straight road with two lanes and a row of parking bays. The patrol car keeps to the left lane;
//! its speed and every vehicle's path are written down here, so that each plate grows to at least 90 pixels (at
//! 1920 pixels across) for some 0.7 seconds or longer.

use super::artwork::{Badge, Form, Material, Plate};
use super::vehicle::{Car, Shape};

/// Where the middle of the patrol car is, in metres from the line in the middle of the road.
pub(crate) const OWN_X: f32 = -1.4;
/// Middle of the parking bays.
const BAY_X: f32 = -4.2;
/// Middle of the lane that comes towards us.
const ONCOMING_X: f32 = 1.55;
/// Nearest depth at which a plate in the bays or in the other lane is still in the picture.
const LAST_SIGHT: f32 = 5.75;

/// Seconds at which the light turns green for us.
pub(crate) const GREEN: f32 = 26.9;

/// What the whole drive follows from: the same plan gives the same frames, truth, log and list.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Chooses VRMs, colours and scenery.
    pub seed: u64,
    /// Picture width in pixels, a multiple of 2.
    pub width: u32,
    /// Picture height in pixels, a multiple of 2.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// How many frames there are.
    pub frames: u64,
    pub(crate) passes: Vec<Pass>,
}

/// One vehicle and its path.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) car: Car,
    pub(crate) plate: Plate,
    pub(crate) track: Track,
}

/// How a vehicle moves, seen from the patrol car.
#[derive(Debug, Clone)]
pub(crate) enum Track {
    /// Stands in the bays; its plate leaves the picture at `gone` seconds.
    Parked { gone: f32 },
    /// Comes towards us in the other lane at `speed` m/s; its plate leaves the picture at `gone` seconds.
    Oncoming { gone: f32, speed: f32 },
    /// Goes our way: seconds, metres ahead, metres from the middle line.
    Ahead(Vec<[f32; 3]>),
}

impl Plan {
    /// The drive that `outrider demo` plays: a minute at 1920 x 1080, from afternoon into the night.
    pub fn demo(seed: u64) -> Self {
        Self::sized(seed, 1920, 1080)
    }

    /// The same drive at another size.
    pub fn sized(seed: u64, width: u32, height: u32) -> Self {
        Self { seed, width, height, fps: 25, frames: 60 * 25, passes: passes(seed) }
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f32 {
        self.frames as f32 / self.fps as f32
    }

    /// How bright the day is at `t` seconds: 1 in the afternoon, 0 at night.
    pub fn daylight(&self, t: f32) -> f32 {
        let x = ((47.0 - t) / 10.0).clamp(0.0, 1.0);
        x * x * (3.0 - 2.0 * x)
    }

    /// Speed of the patrol car in m/s.
    pub fn speed(&self, t: f32) -> f32 {
        let after = SPEED.iter().position(|k| k[0] > t).unwrap_or(SPEED.len());
        match (after.checked_sub(1).map(|i| SPEED[i]), SPEED.get(after)) {
            (Some(a), Some(b)) => a[1] + (b[1] - a[1]) * (t - a[0]) / (b[0] - a[0]),
            (Some(a), None) => a[1],
            (None, _) => SPEED[0][1],
        }
    }

    /// Metres that the patrol car has come since the start.
    pub fn travelled(&self, t: f32) -> f32 {
        let (mut sum, mut from) = (0.0, 0.0);
        for to in SPEED.iter().map(|k| k[0]).filter(|k| *k < t).chain([t]) {
            sum += (to - from) * (self.speed(from) + self.speed(to)) / 2.0;
            from = to;
        }
        sum
    }

    /// Metres that the plate's end of a vehicle is ahead, and metres from the middle line.
    pub(crate) fn place(&self, track: &Track, t: f32) -> [f32; 2] {
        match track {
            Track::Parked { gone } => [LAST_SIGHT + self.travelled(*gone) - self.travelled(t), BAY_X],
            Track::Oncoming { gone, speed } => {
                [LAST_SIGHT + self.travelled(*gone) - self.travelled(t) + speed * (gone - t), ONCOMING_X]
            }
            Track::Ahead(keys) => [smooth(keys, t, 1), smooth(keys, t, 2)],
        }
    }
}

/// Seconds and metres a second: a slow street, a red light, and the way into the dark.
const SPEED: [[f32; 2]; 18] = [
    [0.0, 5.5],
    [7.0, 5.5],
    [8.5, 3.0],
    [12.8, 3.0],
    [14.0, 5.0],
    [18.0, 4.5],
    [20.6, 0.0],
    [27.6, 0.0],
    [29.6, 5.6],
    [39.0, 5.5],
    [40.2, 3.2],
    [48.4, 3.2],
    [50.0, 5.2],
    [53.0, 5.2],
    [55.6, 3.0],
    [58.0, 3.0],
    [60.0, 4.0],
    [90.0, 4.0],
];

/// A curve through keys of time and values without overshoot (Fritsch-Carlson slopes).
fn smooth(keys: &[[f32; 3]], t: f32, value: usize) -> f32 {
    let slope = |i: usize| (keys[i + 1][value] - keys[i][value]) / (keys[i + 1][0] - keys[i][0]);
    let last = keys.len() - 1;
    if t <= keys[0][0] {
        return keys[0][value] + if value == 1 { (t - keys[0][0]) * slope(0) } else { 0.0 };
    }
    if t >= keys[last][0] {
        return keys[last][value] + if value == 1 { (t - keys[last][0]) * slope(last - 1) } else { 0.0 };
    }
    let i = keys.iter().position(|k| k[0] > t).unwrap_or(last) - 1;
    let tangent = |i: usize| {
        if i == 0 || i == last {
            return slope(i.min(last - 1));
        }
        let (a, b) = (slope(i - 1), slope(i));
        if a * b <= 0.0 { 0.0 } else { 2.0 * a * b / (a + b) }
    };
    let step = keys[i + 1][0] - keys[i][0];
    let u = (t - keys[i][0]) / step;
    let (u2, u3) = (u * u, u * u * u);
    (2.0 * u3 - 3.0 * u2 + 1.0) * keys[i][value]
        + (u3 - 2.0 * u2 + u) * step * tangent(i)
        + (3.0 * u2 - 2.0 * u3) * keys[i + 1][value]
        + (u3 - u2) * step * tangent(i + 1)
}

/// A kind of mark, each from a range that was never issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// AZ53 HKT. Memory tags have no I, Q or Z.
    CurrentTag,
    /// LK50 HTB. The first age identifier was 51; 50, 00 and 01 were left out of the scheme.
    CurrentAge,
    /// U482 KRV. Year letters of the prefix series have no I, O, U or Z.
    Prefix,
    /// HKR 482U. Year letters of the suffix series have no I, O, Q, U or Z.
    Suffix,
    /// HKQ 482. Area codes never end in Q.
    Dateless,
    /// ZJZ 4827. Northern Irish marks never begin with Z.
    NorthernIreland,
    /// Q482 KZV. The three letters of a Q mark have no I, Q or Z.
    Query,
    /// 756 D 248. Countries are numbered from 101 to the low 300s, organisations from 900.
    Diplomatic,
    /// 482 HQ. As dateless marks: no area code ends in Q.
    Trade,
}

/// Letters without I, O, Q, U and Z.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPRSTVWXY";
/// Digits without 0 and 1.
const DIGITS: &[u8] = b"23456789";

fn pick(rng: &mut fastrand::Rng, from: &[u8]) -> char {
    char::from(from[rng.usize(..from.len())])
}

fn run(rng: &mut fastrand::Rng, from: &[u8], length: usize) -> String {
    (0..length).map(|_| pick(rng, from)).collect()
}

/// The groups of a random mark of one kind.
fn mark(rng: &mut fastrand::Rng, kind: Mark) -> Vec<String> {
    let l = |rng: &mut fastrand::Rng, n| run(rng, LETTERS, n);
    let d = |rng: &mut fastrand::Rng, n| run(rng, DIGITS, n);
    match kind {
        Mark::CurrentTag => {
            let tag = if rng.bool() { format!("{}Z", l(rng, 1)) } else { format!("Z{}", l(rng, 1)) };
            let age = format!("{}{}", pick(rng, b"2567"), pick(rng, b"23456"));
            vec![tag + &age, l(rng, 3)]
        }
        Mark::CurrentAge => vec![l(rng, 2) + "50", l(rng, 3)],
        Mark::Prefix => vec![format!("U{}", d(rng, 3)), l(rng, 3)],
        Mark::Suffix => vec![l(rng, 3), d(rng, 3) + "U"],
        Mark::Dateless => vec![l(rng, 2) + "Q", d(rng, 3)],
        Mark::NorthernIreland => vec![format!("Z{}Z", l(rng, 1)), d(rng, 4)],
        Mark::Query => vec![format!("Q{}", d(rng, 3)), format!("{}Z{}", l(rng, 1), l(rng, 1))],
        Mark::Diplomatic => vec![format!("7{}", run(rng, b"56789", 1) + &d(rng, 1)), "D".into(), d(rng, 3)],
        Mark::Trade => vec![d(rng, 3), l(rng, 1) + "Q"],
    }
}

/// A mark that no vehicle of the drive wears, for the rest of the hotlist.
pub(crate) fn stranger(rng: &mut fastrand::Rng) -> String {
    let kinds = [Mark::CurrentTag, Mark::CurrentTag, Mark::CurrentTag, Mark::CurrentAge, Mark::Prefix, Mark::Suffix];
    let kind = kinds[rng.usize(..kinds.len())];
    mark(rng, kind).concat()
}

/// Paints by name, as hotlists call them.
pub(crate) const PAINTS: [(&str, [f32; 3]); 8] = [
    ("RED", [0.70, 0.11, 0.12]),
    ("BLUE", [0.13, 0.29, 0.58]),
    ("SILVER", [0.68, 0.70, 0.72]),
    ("WHITE", [0.90, 0.90, 0.89]),
    ("GREEN", [0.16, 0.40, 0.30]),
    ("GREY", [0.37, 0.39, 0.42]),
    ("BLACK", [0.13, 0.13, 0.15]),
    ("ORANGE", [0.85, 0.42, 0.10]),
];

fn passes(seed: u64) -> Vec<Pass> {
    use Mark as M;
    use Material::{BlackAndSilver, Trade, White, Yellow};
    use Shape::{Bus, FourByFour, Hatchback, Lorry, Motorcycle, Saloon, Van};

    let mut rng = fastrand::Rng::with_seed(seed);
    let mut taken = Vec::new();
    let mut list = Vec::new();
    let mut cast = |shape, paint: &str, kind, material, badge, form, track| {
        let groups = loop {
            let groups = mark(&mut rng, kind);
            if !taken.contains(&groups) {
                break groups;
            }
        };
        taken.push(groups.clone());
        let paint = PAINTS.iter().position(|p| p.0 == paint).unwrap_or(0);
        let facing = !matches!(&track, Track::Oncoming { .. });
        let car = Car { shape, paint, from_behind: facing };
        list.push(Pass { car, plate: Plate { groups, material, badge, form }, track });
    };
    let one = Form::OneLine;
    let parked = |gone| Track::Parked { gone };
    let oncoming = |gone, speed| Track::Oncoming { gone, speed };

    // A street by day.
    cast(Hatchback, "RED", M::CurrentTag, Yellow, Badge::None, one, parked(2.4));
    cast(Saloon, "SILVER", M::CurrentTag, Yellow, Badge::Green, one, parked(4.2));
    cast(Van, "WHITE", M::CurrentAge, Yellow, Badge::Uk, one, parked(6.2));
    cast(Hatchback, "BLUE", M::CurrentTag, White, Badge::Uk, one, oncoming(9.4, 2.4));
    cast(Bus, "RED", M::CurrentTag, White, Badge::None, one, oncoming(11.8, 2.4));
    // An old saloon is caught up with and pulls over.
    let keys = vec![
        [0.0, 62.0, -1.5],
        [8.0, 38.0, -1.5],
        [11.5, 25.0, -1.5],
        [14.0, 11.0, -1.5],
        [15.4, 6.2, -1.45],
        [17.0, 5.6, -1.5],
        [18.0, 7.0, -2.4],
        [19.0, 7.6, -3.9],
        [20.6, 3.6, -4.2],
        [27.6, 3.6, -4.2],
        [29.6, -2.0, -4.2],
        [31.0, -10.0, -4.2],
    ];
    cast(Saloon, "GREEN", M::Suffix, BlackAndSilver, Badge::None, one, Track::Ahead(keys));
    // At the red light, behind a four by four; a motorcycle comes past and waits beside it.
    let keys = vec![
        [0.0, 150.0, -1.5],
        [14.0, 70.0, -1.5],
        [18.0, 22.0, -1.5],
        [20.6, 5.0, -1.5],
        [21.4, 4.6, -1.5],
        [27.2, 4.6, -1.5],
        [28.6, 9.0, -1.5],
        [31.0, 34.0, -1.5],
        [35.0, 110.0, -1.5],
        [37.0, 160.0, -1.5],
    ];
    cast(FourByFour, "GREY", M::Query, Yellow, Badge::None, Form::TwoLines, Track::Ahead(keys));
    cast(Saloon, "BLACK", M::NorthernIreland, White, Badge::None, one, oncoming(22.0, 5.4));
    cast(Lorry, "BLUE", M::Prefix, White, Badge::None, one, oncoming(24.0, 5.2));
    let keys = vec![
        [24.6, -3.0, 0.1],
        [25.7, 2.9, -0.05],
        [26.2, 3.4, -0.1],
        [27.4, 3.5, -0.1],
        [28.6, 9.0, -0.2],
        [31.0, 40.0, -1.0],
        [34.0, 120.0, -1.4],
    ];
    cast(Motorcycle, "BLACK", M::CurrentTag, Yellow, Badge::None, Form::Motorcycle, Track::Ahead(keys));
    // Bays again.
    cast(Hatchback, "GREEN", M::Prefix, Yellow, Badge::None, one, parked(31.4));
    cast(Hatchback, "WHITE", M::Trade, Trade, Badge::None, one, parked(33.4));
    cast(Saloon, "BLUE", M::Dateless, BlackAndSilver, Badge::None, one, parked(35.4));
    // A diplomat overtakes.
    let keys = vec![
        [34.5, -9.0, 1.6],
        [36.2, 1.0, 1.6],
        [37.2, 5.7, 1.3],
        [38.2, 6.8, 0.2],
        [39.4, 8.6, -1.4],
        [41.0, 17.0, -1.5],
        [44.0, 60.0, -1.5],
        [47.0, 130.0, -1.5],
    ];
    cast(Saloon, "BLACK", M::Diplomatic, Yellow, Badge::None, one, Track::Ahead(keys));
    // Dusk.
    cast(Van, "GREY", M::CurrentAge, White, Badge::None, one, oncoming(42.2, 2.2));
    cast(Hatchback, "ORANGE", M::CurrentTag, White, Badge::Green, one, oncoming(45.0, 2.2));
    // Night.
    cast(Saloon, "SILVER", M::CurrentTag, White, Badge::None, one, oncoming(48.2, 2.2));
    let keys = vec![
        [43.0, 150.0, -1.5],
        [47.0, 62.0, -1.5],
        [49.6, 15.0, -1.5],
        [50.8, 6.4, -1.5],
        [52.4, 5.4, -1.45],
        [53.6, 6.6, -1.5],
        [55.6, 17.0, -1.5],
        [58.5, 55.0, -1.5],
        [61.0, 90.0, -1.5],
    ];
    cast(Hatchback, "BLUE", M::CurrentTag, Yellow, Badge::Gb, one, Track::Ahead(keys));
    cast(Saloon, "GREY", M::CurrentTag, Yellow, Badge::None, one, parked(54.9));
    cast(Van, "WHITE", M::CurrentTag, White, Badge::Uk, one, oncoming(57.4, 2.4));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plate;

    #[test]
    fn made_up_vrms_are_vrms_that_settle_to_themselves_and_differ() {
        for seed in 0..200 {
            let plan = Plan::demo(seed);
            let mut texts: Vec<String> = plan.passes.iter().map(|p| p.plate.text()).collect();
            for text in &texts {
                assert_eq!(plate::Vrm::parse(text).map(|v| v.to_string()), Ok(text.clone()));
                assert_eq!(&plate::settle(&plate::fold(text)), text);
            }
            let all = texts.len();
            texts.sort();
            texts.dedup();
            assert_eq!(texts.len(), all);
        }
    }

    #[test]
    fn the_spacing_on_the_plate_is_the_one_that_the_layout_gives() {
        for pass in &Plan::demo(3).passes {
            assert_eq!(pass.plate.groups.join(" "), plate::spaced(&pass.plate.text()));
        }
    }

    #[test]
    fn the_odometer_is_the_integral_of_the_speed() {
        let plan = Plan::demo(1);
        let mut sum = 0.0;
        for i in 0..6000 {
            sum += plan.speed((i as f32 + 0.5) / 100.0) / 100.0;
        }
        assert!((plan.travelled(60.0) - sum).abs() < 0.05, "{} {sum}", plan.travelled(60.0));
        assert!((plan.travelled(24.0) - plan.travelled(21.0)).abs() < 1e-3, "it waits at the light");
    }

    #[test]
    fn a_smooth_path_passes_through_its_keys_without_overshoot() {
        let keys = [[0.0, 10.0, 0.0], [1.0, 5.0, 0.0], [2.0, 5.0, 0.0], [3.0, 9.0, 0.0]];
        assert_eq!(smooth(&keys, 1.0, 1), 5.0);
        for i in 0..=100 {
            let v = smooth(&keys, i as f32 / 33.4, 1);
            assert!((4.99..=10.0).contains(&v), "{v}");
        }
    }
}
