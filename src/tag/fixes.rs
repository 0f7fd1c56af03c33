//! The core: bytes and moments in, places out. It reads no port and no clock.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};
use nmea::sentences::FixType;
use nmea::{Nmea, ParseResult, SentenceType};

use super::lines::Lines;
use super::time::TrustedTime;
use crate::clock::Moment;
use crate::config;

/// Where the unit was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Latitude, degrees north (WGS 84).
    pub lat: f64,
    /// Longitude, degrees east (WGS 84).
    pub lon: f64,
    /// Speed over ground, metres a second.
    pub speed_mps: Option<f32>,
    /// Course over ground, degrees from true north.
    pub course: Option<f32>,
    /// How old the position was at the moment that was asked for.
    pub age: Duration,
    /// Whether that is more than the configuration takes for current.
    pub stale: bool,
}

/// From which age on a position is stale, and from which it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Older than this: stale.
    pub stale: Duration,
    /// Older than this: absent.
    pub absent: Duration,
}

impl From<&config::Receiver> for Limits {
    fn from(config: &config::Receiver) -> Self {
        Self { stale: Duration::from_secs_f64(config.stale_s), absent: Duration::from_secs_f64(config.absent_s) }
    }
}

/// What came in, for people who look for a loose cable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sentences with a right checksum.
    pub sentences: u64,
    /// Sentences that were cut, garbled or unknown. Some are normal.
    pub refused: u64,
    /// Bytes that belonged to no sentence.
    pub skipped_bytes: u64,
    /// Fixes: epochs for which every needed sentence came and told a position.
    pub fixes: u64,
    /// Times that no satellite can mean.
    pub absurd_times: u64,
}

/// One position with the moment it belongs to.
#[derive(Debug, Clone, Copy)]
struct Fix {
    at: Moment,
    lat: f64,
    lon: f64,
    speed_mps: Option<f32>,
    course: Option<f32>,
}

/// Fixes that are kept for a live receiver: reads are tagged some seconds after they were captured.
const KEPT: usize = 256;

const METRES_A_SECOND_PER_KNOT: f32 = 1852.0 / 3600.0;

/// Turns what a receiver sends into places.
#[derive(Debug)]
pub struct Fixes {
    lines: Lines,
    epochs: Epochs,
}

/// Joins the sentences of one epoch and keeps the fixes they give.
#[derive(Debug)]
struct Epochs {
    // 13 KB: not on anybody's stack.
    nmea: Box<Nmea>,
    limits: Limits,
    kept: usize,
    /// The time of day that the current epoch's sentences carry, and when the first of them came.
    epoch: Option<(NaiveTime, Moment)>,
    /// Whether the current epoch has given its fix.
    given: bool,
    fixes: VecDeque<Fix>,
    time: TrustedTime,
    counts: Counts,
}

impl Fixes {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self::keeping(limits, KEPT)
    }

    /// Nothing yet; remembers the last `kept` fixes.
    pub(super) fn keeping(limits: Limits, kept: usize) -> Self {
        let nmea = Nmea::create_for_navigation(&[SentenceType::RMC, SentenceType::GGA])
            .expect("the list of needed sentences is not empty");
        Self {
            lines: Lines::default(),
            epochs: Epochs {
                nmea: Box::new(nmea),
                limits,
                kept,
                epoch: None,
                given: false,
                fixes: VecDeque::new(),
                time: TrustedTime::default(),
                counts: Counts::default(),
            },
        }
    }

    /// Takes bytes as they came from the receiver at `now`, in pieces of any size. Garbage is counted. True if
    /// at least one sentence was understood: the receiver is alive, whether or not it knows where it is.
    pub fn feed(&mut self, bytes: &[u8], now: Moment) -> bool {
        let before = self.epochs.counts.sentences;
        let Self { lines, epochs } = self;
        lines.feed(bytes, |sentence| epochs.sentence(sentence, now));
        self.epochs.counts.sentences > before
    }

    /// Where the unit was at `moment`: the last fix that had arrived by then, unless that is too old.
    pub fn at(&self, moment: Moment) -> Option<Place> {
        let Epochs { fixes, limits, .. } = &self.epochs;
        let later = fixes.partition_point(|fix| fix.at <= moment);
        let fix = fixes.get(later.checked_sub(1)?)?;
        let age = moment.since(fix.at);
        (age <= limits.absent).then_some(Place {
            lat: fix.lat,
            lon: fix.lon,
            speed_mps: fix.speed_mps,
            course: fix.course,
            age,
            stale: age > limits.stale,
        })
    }

    /// The satellites' time.
    pub fn time(&self) -> &TrustedTime {
        &self.epochs.time
    }

    /// What has come in so far.
    pub fn counts(&self) -> Counts {
        Counts { skipped_bytes: self.lines.skipped, absurd_times: self.epochs.time.absurd, ..self.epochs.counts }
    }
}

impl Epochs {
    fn sentence(&mut self, sentence: &str, now: Moment) {
        // Parsed twice, here for the epoch's time and there for the fix: a few microseconds at 10 Hz.
        let Ok(parsed) = nmea::parse_str(sentence) else {
            self.counts.refused += 1;
            return;
        };
        let time = match &parsed {
            ParseResult::RMC(rmc) => {
                if let (Some(date), Some(time), true) = (rmc.fix_date, rmc.fix_time, located(rmc.lat, rmc.lon)) {
                    self.time.offer(DateTime::<Utc>::from_naive_utc_and_offset(date.and_time(time), Utc), now);
                }
                rmc.fix_time
            }
            ParseResult::GGA(gga) => gga.fix_time,
            ParseResult::Unsupported(_) => {
                self.counts.refused += 1;
                return;
            }
            _ => None,
        };
        self.counts.sentences += 1;
        if let Some(time) = time
            && self.epoch.is_none_or(|(epoch, _)| epoch != time)
        {
            self.epoch = Some((time, now));
            self.given = false;
        }
        // A receiver that repeats one epoch for ever must not look young.
        if let Ok(FixType::Gps | FixType::DGps | FixType::Pps | FixType::Rtk | FixType::FloatRtk) =
            self.nmea.parse_for_fix(sentence)
            && !self.given
        {
            self.keep();
        }
    }

    fn keep(&mut self) {
        let (Some((_, at)), Some(lat), Some(lon)) = (self.epoch, self.nmea.latitude, self.nmea.longitude) else {
            return;
        };
        if !located(Some(lat), Some(lon)) || self.fixes.back().is_some_and(|last| at < last.at) {
            return;
        }
        self.given = true;
        self.counts.fixes += 1;
        if self.fixes.len() == self.kept {
            self.fixes.pop_front();
        }
        let sane = |value: &f32| value.is_finite() && *value >= 0.0;
        self.fixes.push_back(Fix {
            at,
            lat,
            lon,
            speed_mps: self.nmea.speed_over_ground.filter(sane).map(|knots| knots * METRES_A_SECOND_PER_KNOT),
            course: self.nmea.true_course.filter(sane),
        });
    }
}

fn located(lat: Option<f64>, lon: Option<f64>) -> bool {
    lat.is_some_and(|lat| (-90.0..=90.0).contains(&lat)) && lon.is_some_and(|lon| (-180.0..=180.0).contains(&lon))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const LIMITS: Limits = Limits { stale: Duration::from_secs(2), absent: Duration::from_secs(30) };

    /// `body` with its `$` and checksum.
    pub(crate) fn sentence(body: &str) -> String {
        format!("${body}*{:02X}\r\n", body.bytes().fold(0, |sum, byte| sum ^ byte))
    }

    /// The sentences of one epoch: `clock` is hhmmss, minutes are those of latitude 51 and longitude 0.
    pub(crate) fn epoch(clock: &str, lat_minutes: f64, lon_minutes: f64) -> String {
        rmc(clock, lat_minutes, lon_minutes) + &gga(clock, lat_minutes, lon_minutes)
    }

    fn rmc(clock: &str, lat: f64, lon: f64) -> String {
        sentence(&format!("GPRMC,{clock}.00,A,51{lat:07.4},N,000{lon:07.4},W,20.0,90.0,011226,,,A"))
    }

    fn gga(clock: &str, lat: f64, lon: f64) -> String {
        sentence(&format!("GPGGA,{clock}.00,51{lat:07.4},N,000{lon:07.4},W,1,08,1.0,30.0,M,47.0,M,,"))
    }

    fn second(s: f64) -> Moment {
        Moment::at(Duration::from_secs_f64(s))
    }

    #[test]
    fn a_fix_ages_becomes_stale_and_goes() {
        let mut fixes = Fixes::new(LIMITS);
        assert!(fixes.feed(epoch("100000", 30.0, 6.0).as_bytes(), second(5.0)));
        assert_eq!(fixes.at(second(4.9)), None);
        let place = fixes.at(second(6.5)).expect("a place");
        assert!((place.lat - 51.5).abs() < 1e-9 && (place.lon + 0.1).abs() < 1e-9, "{place:?}");
        assert!(place.speed_mps.is_some_and(|v| (v - 10.289).abs() < 0.001));
        assert_eq!((place.course, place.age, place.stale), (Some(90.0), Duration::from_millis(1500), false));
        assert!(fixes.at(second(7.1)).is_some_and(|place| place.stale));
        assert!(fixes.at(second(35.0)).is_some_and(|place| place.stale));
        assert_eq!(fixes.at(second(35.1)), None);
    }

    #[test]
    fn sentences_of_two_epochs_do_not_make_a_fix() {
        let mut fixes = Fixes::new(LIMITS);
        fixes.feed(rmc("100000", 30.0, 6.0).as_bytes(), second(0.0));
        fixes.feed(gga("100001", 31.0, 6.0).as_bytes(), second(1.0));
        assert_eq!((fixes.at(second(1.0)), fixes.counts().fixes), (None, 0));
        fixes.feed(rmc("100001", 31.0, 6.0).as_bytes(), second(1.1));
        let place = fixes.at(second(1.2)).expect("a place");
        assert!((place.lat - (51.0 + 31.0 / 60.0)).abs() < 1e-9);
        // The fix is as old as the first sentence that told it.
        assert_eq!(place.age, Duration::from_millis(200));
    }

    #[test]
    fn losing_the_satellites_keeps_the_last_fix_ageing() {
        let mut fixes = Fixes::new(LIMITS);
        fixes.feed(epoch("100000", 30.0, 6.0).as_bytes(), second(0.0));
        let void = sentence("GPRMC,100005.00,V,,,,,,,011226,,,N") + &sentence("GPGGA,100005.00,,,,,0,00,,,M,,M,,");
        assert!(fixes.feed(void.as_bytes(), second(5.0)));
        assert!(fixes.at(second(5.0)).is_some_and(|place| place.stale && place.age == Duration::from_secs(5)));
    }

    #[test]
    fn a_receiver_that_repeats_itself_gets_old() {
        let mut fixes = Fixes::new(LIMITS);
        for s in 0..5 {
            fixes.feed(epoch("100000", 30.0, 6.0).as_bytes(), second(f64::from(s)));
        }
        assert_eq!(fixes.at(second(4.0)).map(|place| place.age), Some(Duration::from_secs(4)));
        assert_eq!(fixes.counts().fixes, 1);
    }

    #[test]
    fn a_read_that_comes_late_gets_the_place_of_its_own_moment() {
        let mut fixes = Fixes::new(LIMITS);
        for s in 0..10u32 {
            fixes.feed(epoch(&format!("1000{s:02}"), f64::from(s), 6.0).as_bytes(), second(f64::from(s)));
        }
        let place = fixes.at(second(3.4)).expect("a place");
        assert!((place.lat - 51.05).abs() < 1e-9 && place.age == Duration::from_millis(400), "{place:?}");
    }

    #[test]
    fn garbage_is_counted_and_the_next_epoch_counts() {
        let mut fixes = Fixes::new(LIMITS);
        let mut stream = b"\x00\xff$GPRMC,1000".to_vec();
        stream.extend(b"$GPRMC,100000.00,A,5130.0,N,00006.0,W,20.0,90.0,011226,,,A*00\r\n");
        stream.extend(b"$PUBX,00,nonsense*7F\r\n$$$*\r\n");
        assert!(!fixes.feed(&stream, second(0.0)));
        assert!(fixes.feed(epoch("100001", 30.0, 6.0).as_bytes(), second(1.0)));
        let counts = fixes.counts();
        assert_eq!((counts.sentences, counts.fixes, counts.refused), (2, 1, 3));
        assert!(counts.skipped_bytes > 0);
    }

    #[test]
    fn time_comes_with_a_position_only() {
        let mut fixes = Fixes::new(LIMITS);
        // Receivers without a fix tell the time of their own clock.
        fixes.feed(sentence("GPRMC,100000.00,V,,,,,,,011226,,,N").as_bytes(), second(0.0));
        assert_eq!(fixes.time().at(second(0.0)), None);
        fixes.feed(epoch("100001", 30.0, 6.0).as_bytes(), second(1.0));
        assert_eq!(fixes.time().at(second(2.0)).map(|t| t.to_rfc3339()), Some("2026-12-01T10:00:02+00:00".into()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut fixes = Fixes::keeping(LIMITS, 4);
        for s in 0..60u32 {
            fixes.feed(epoch(&format!("1000{s:02}"), 30.0, 6.0).as_bytes(), second(f64::from(s)));
        }
        assert_eq!(fixes.epochs.fixes.len(), 4);
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_it(pieces in proptest::collection::vec(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "\\$G[PN](RMC|GGA|GLL|VTG|GSV|GSA|ZDA),[0-9.,NEWSAV*-]{0,80}".prop_map(|body| {
                sentence(body.trim_start_matches('$')).into_bytes()
            }),
        ], 0..40)) {
            let mut fixes = Fixes::new(LIMITS);
            for (step, bytes) in pieces.iter().enumerate() {
                fixes.feed(bytes, second(step as f64));
                if let Some(place) = fixes.at(second(step as f64)) {
                    prop_assert!(place.lat.abs() <= 90.0 && place.lon.abs() <= 180.0);
                }
            }
        }
    }
}
