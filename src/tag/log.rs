//! A log of NMEA sentences, paced by the video that it was recorded with.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use nmea::ParseResult;

use super::fixes::{Counts, Fixes, Limits, Place};
use super::lines::Lines;
use crate::clock::Moment;
use crate::fault::{Fault, Kind, Result};

/// The largest log that is read: a day at 10 Hz with every sentence a receiver knows is half of it.
const LARGEST: u64 = 1 << 30;

/// A whole log. The time of its first sentence is second 0 of the video, so a place can be had for any time
/// of the source however fast it is played.
#[derive(Debug)]
pub struct NmeaLog {
    fixes: Fixes,
    start: Option<DateTime<Utc>>,
}

impl NmeaLog {
    /// Reads the log at `path`.
    ///
    /// # Errors
    /// The file is missing, unreadable or too large, or holds no sentence that tells a time.
    pub fn open(path: &Path, limits: Limits) -> Result<Self> {
        let what = "cannot read the NMEA log";
        let size = std::fs::metadata(path).map_err(|error| Fault::io(what, path, error).remedy(REMEDY))?.len();
        if size > LARGEST {
            return Err(Fault::new(Kind::Damaged, what)
                .at(path.display())
                .because(format!("it has {size} bytes, more than {LARGEST}"))
                .remedy(REMEDY));
        }
        let bytes = std::fs::read(path).map_err(|error| Fault::io(what, path, error).remedy(REMEDY))?;
        Self::parse(&bytes, limits)
            .map_err(|why| Fault::new(Kind::Damaged, what).at(path.display()).because(why).remedy(REMEDY))
    }

    /// Reads the bytes of a log.
    ///
    /// # Errors
    /// A clause saying why they are none.
    pub fn parse(bytes: &[u8], limits: Limits) -> Result<Self, String> {
        let (mut fixes, mut start, mut pace) = (Fixes::keeping(limits, usize::MAX), None, Pace::default());
        Lines::default().feed(bytes, |sentence| {
            let (mut date, mut time) = (None, None);
            match nmea::parse_str(sentence) {
                Ok(ParseResult::RMC(rmc)) => (date, time) = (rmc.fix_date, rmc.fix_time),
                Ok(ParseResult::GGA(gga)) => time = gga.fix_time,
                _ => {}
            }
            if let Some(time) = time {
                pace.step(time);
            }
            if let (Some(date), Some(time), None) = (date, time, start) {
                start = TimeDelta::from_std(pace.offset).ok().and_then(|offset| {
                    DateTime::<Utc>::from_naive_utc_and_offset(date.and_time(time), Utc).checked_sub_signed(offset)
                });
            }
            fixes.feed(sentence.as_bytes(), Moment::at(pace.offset));
            fixes.feed(b"\n", Moment::at(pace.offset));
        });
        match fixes.counts() {
            _ if bytes.is_empty() => Err("it is empty".into()),
            Counts { sentences: 0, refused, .. } => {
                Err(format!("it holds no valid NMEA sentence ({refused} with a wrong checksum or of an unknown kind)"))
            }
            _ if pace.last.is_none() => Err("no RMC or GGA sentence in it tells a time".into()),
            _ => Ok(Self { fixes, start }),
        }
    }

    /// Where the unit was at `source_time` of the video.
    pub fn place_at(&self, source_time: Duration) -> Option<Place> {
        self.fixes.at(Moment::at(source_time))
    }

    /// UTC at `source_time` of the video; `None` if the log tells no date.
    pub fn utc_at(&self, source_time: Duration) -> Option<DateTime<Utc>> {
        self.start?.checked_add_signed(TimeDelta::from_std(source_time).ok()?)
    }

    /// What the log holds.
    pub fn counts(&self) -> Counts {
        self.fixes.counts()
    }
}

const REMEDY: &str = "Name a text file of NMEA sentences ($GPRMC and $GPGGA)";

/// Time since the first sentence, from times of day.
#[derive(Default)]
struct Pace {
    last: Option<NaiveTime>,
    offset: Duration,
}

impl Pace {
    fn step(&mut self, time: NaiveTime) {
        if let Some(last) = self.last {
            let mut step = time - last;
            if step < TimeDelta::hours(-12) {
                step += TimeDelta::days(1);
            }
            // A step back is a sentence out of order: the log goes on where it was.
            let Ok(step) = step.to_std() else { return };
            self.offset += step;
        }
        self.last = Some(time);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixes::tests::{LIMITS, epoch, sentence};
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn places_follow_the_video_across_midnight() {
        let text = epoch("235958", 0.0, 6.0) + &epoch("235959", 6.0, 6.0) + &epoch("000000", 12.0, 6.0);
        let log = NmeaLog::parse(text.as_bytes(), LIMITS).expect("a log");
        for (time, lat) in [(0.0, 51.0), (0.9, 51.0), (1.0, 51.1), (2.5, 51.2)] {
            let place = log.place_at(s(time)).expect("a place");
            assert!((place.lat - lat).abs() < 1e-9 && !place.stale, "{time}: {place:?}");
        }
        assert!(log.place_at(s(5.0)).is_some_and(|place| place.stale && place.age == s(3.0)));
        assert_eq!(log.place_at(s(33.0)), None);
        assert_eq!(log.utc_at(s(1.5)).map(|t| t.to_rfc3339()), Some("2026-12-01T23:59:59.500+00:00".into()));
    }

    #[test]
    fn a_log_that_is_none_says_why() {
        for (bytes, why) in [
            (&b""[..], "it is empty"),
            (b"\x00\x01hello\n", "no valid NMEA sentence (0"),
            (b"$GPRMC,100000.00,A,5130.0,N,00006.0,W,20.0,90.0,011226,,,A*00\n", "no valid NMEA sentence (1"),
            (sentence("GPVTG,90.0,T,,M,20.0,N,37.0,K,A").as_bytes(), "tells a time"),
        ] {
            let refused = NmeaLog::parse(bytes, LIMITS).expect_err(why);
            assert!(refused.contains(why), "{refused}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let fault = NmeaLog::open(&folder.path().join("none.nmea"), LIMITS).expect_err("missing");
        assert_eq!(fault.kind(), Kind::Missing);
        assert!(fault.to_string().contains("none.nmea: cannot read the NMEA log"), "{fault}");
        assert!(NmeaLog::open(folder.path(), LIMITS).is_err());
    }

    #[test]
    fn garbage_between_sentences_costs_only_itself() {
        let text =
            [epoch("100000", 0.0, 6.0).as_bytes(), b"\xff\xff$GPRMC,1\n\n$$", epoch("100001", 6.0, 6.0).as_bytes()]
                .concat();
        let log = NmeaLog::parse(&text, LIMITS).expect("a log");
        assert!(log.place_at(s(1.0)).is_some_and(|place| (place.lat - 51.1).abs() < 1e-9));
        assert_eq!(log.counts().fixes, 2);
    }

    proptest! {
        #[test]
        fn no_file_can_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = NmeaLog::parse(&bytes, LIMITS);
        }
    }
}
