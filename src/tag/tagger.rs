//! Gives each read its place and its time.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::fixes::{Limits, Place};
use super::log::NmeaLog;
use super::serial::{Event, SerialReceiver};
use super::time::{Told, When, system_time};
use crate::capture::Turns;
use crate::clock::{Moment, Shared};
use crate::config::{self, ReceiverSource};
use crate::fault::Result;
use crate::recognise::Read;

/// A read on the map. Without `place`, no position was known when the plate was seen.
#[derive(Debug, Clone)]
pub struct TaggedRead {
    /// The read as recognition gave it.
    pub read: Read,
    /// The world's time of the last look.
    pub when: When,
    /// Where the unit was at the last look, which is the nearest one.
    pub place: Option<Place>,
    /// No camera saw it: it is part of a drill.
    pub drill: bool,
}

/// Tags reads from whatever receiver there is.
pub struct Tagger {
    source: Source,
    clock: Shared,
}

enum Source {
    None,
    /// A log, and the turns of the video that it belongs to: it begins anew with each.
    Log(Box<NmeaLog>, Arc<Turns>),
    Serial(SerialReceiver),
}

impl Tagger {
    /// A tagger on the configured receiver. `turns` are those of the video that paces a log; `events` hears of a serial port
    /// that is lost or back.
    ///
    /// # Errors
    /// The log is missing or is none. A serial port that is not there is an event.
    pub fn open(
        config: Option<&config::Receiver>,
        turns: Arc<Turns>,
        clock: Shared,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self> {
        let source = match config {
            None => Source::None,
            Some(config) => match &config.source {
                ReceiverSource::File(path) => Source::Log(Box::new(NmeaLog::open(path, Limits::from(config))?), turns),
                ReceiverSource::Serial(path) => Source::Serial(SerialReceiver::start(
                    path,
                    config.baud,
                    Limits::from(config),
                    clock.clone(),
                    events,
                )?),
            },
        };
        Ok(Self { source, clock })
    }

    /// A tagger without a receiver: no places, and the system's time.
    pub fn without(clock: Shared) -> Self {
        Self { source: Source::None, clock }
    }

    /// A tagger on a log.
    pub fn with_log(log: NmeaLog, clock: Shared) -> Self {
        Self { source: Source::Log(Box::new(log), Arc::default()), clock }
    }

    /// The read with its place and time.
    pub fn tag(&self, read: Read) -> TaggedRead {
        let (when, place) = (self.when(read.last_at, read.last_seen), self.place(read.last_at, read.last_seen));
        TaggedRead { read, when, place, drill: false }
    }

    /// Where the unit was at `moment`, which is `source_time` of the video: a log goes by the video, a receiver
    /// by the clock.
    pub fn place(&self, moment: Moment, source_time: Duration) -> Option<Place> {
        match &self.source {
            Source::None => None,
            Source::Log(log, turns) => log.place_at(turns.position(source_time)),
            Source::Serial(receiver) => receiver.place_at(moment),
        }
    }

    /// The world's time at `moment`, which is `source_time` of the video.
    pub fn when(&self, moment: Moment, source_time: Duration) -> When {
        match &self.source {
            Source::None => system_time(moment, &*self.clock),
            // Time goes on over all turns: two reads of one car have two times.
            Source::Log(log, _) => log
                .utc_at(source_time)
                .map_or_else(|| system_time(moment, &*self.clock), |utc| When { utc, trusted: true }),
            Source::Serial(receiver) => receiver.when(moment),
        }
    }

    /// What satellites tell of `moment`, and how well. What a log of an earlier drive tells is nothing of this computer's
    /// clock.
    pub fn told(&self, moment: Moment) -> Option<Told> {
        match &self.source {
            Source::Serial(receiver) => receiver.told(moment),
            Source::None | Source::Log(..) => None,
        }
    }

    /// UTC as satellites tell it now; `None` where they do not. What a log of an earlier drive tells is not now.
    pub fn now(&self, moment: Moment) -> Option<DateTime<Utc>> {
        match &self.source {
            Source::Serial(receiver) => Some(receiver.when(moment)).filter(|when| when.trusted).map(|when| when.utc),
            Source::None | Source::Log(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixes::tests::epoch;
    use super::*;
    use crate::clock::SimulatedClock;
    use crate::recognise::{ReadId, Thumbnail};

    fn read(last_seen: Duration) -> Read {
        let picture = Arc::new(Thumbnail { width: 1, height: 1, rgb: vec![0; 3] });
        Read {
            id: ReadId { run: 1, pass: 1 },
            camera: "front".into(),
            text: "AB12CDE".into(),
            raw: "AB12CDE".into(),
            confidence: 0.9,
            characters: Vec::new(),
            first_at: Moment::default(),
            last_at: Moment::default(),
            first_seen: Duration::ZERO,
            last_seen,
            looks: 1,
            agreeing: 1,
            corners: [[0.0; 2]; 4],
            patch: picture.clone(),
            overview: picture,
        }
    }

    #[test]
    fn a_replayed_read_gets_the_place_and_time_of_the_video() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("drive.nmea");
        std::fs::write(&path, epoch("100000", 0.0, 6.0) + &epoch("100001", 6.0, 6.0)).expect("written");
        let config = config::Receiver { source: ReceiverSource::File(path), baud: 9600, stale_s: 2.0, absent_s: 30.0 };
        let tagger =
            Tagger::open(Some(&config), Arc::default(), SimulatedClock::starting(DateTime::UNIX_EPOCH), |_| {})
                .expect("a log");
        assert_eq!(tagger.now(Moment::default()), None, "the time of an earlier drive");
        let tagged = tagger.tag(read(Duration::from_millis(1400)));
        assert!(tagged.place.is_some_and(|place| (place.lat - 51.1).abs() < 1e-9 && !place.stale));
        assert_eq!((tagged.when.utc.to_rfc3339(), tagged.when.trusted), ("2026-12-01T10:00:01.400+00:00".into(), true));
        assert!(tagger.tag(read(Duration::from_secs(9))).place.is_some_and(|place| place.stale));
        assert_eq!(tagger.tag(read(Duration::from_secs(99))).place, None);
    }

    #[test]
    fn each_turn_of_a_repeated_video_has_the_places_of_the_first_and_times_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("drive.nmea");
        std::fs::write(&path, epoch("100000", 0.0, 6.0) + &epoch("100001", 6.0, 6.0)).expect("written");
        let config = config::Receiver { source: ReceiverSource::File(path), baud: 9600, stale_s: 2.0, absent_s: 30.0 };
        let turns = Arc::new(Turns::default());
        let tagger = Tagger::open(Some(&config), turns.clone(), SimulatedClock::starting(DateTime::UNIX_EPOCH), |_| {})
            .expect("a log");
        (1..=100).for_each(|turn| turns.begin(Duration::from_secs(turn * 60)));
        let tagged = tagger.tag(read(Duration::from_millis(100 * 60_000 + 1400)));
        assert!(tagged.place.is_some_and(|place| (place.lat - 51.1).abs() < 1e-9 && !place.stale));
        assert_eq!(tagged.when.utc.to_rfc3339(), "2026-12-01T11:40:01.400+00:00");
    }

    #[test]
    fn satellites_set_the_time_of_a_car_that_woke_in_1970() {
        let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
        let mut sentences = Some(epoch("100000", 0.0, 6.0).into_bytes());
        let opener: super::super::Opener = Box::new(move || match sentences.take() {
            Some(sentences) => Ok(Box::new(std::io::Cursor::new(sentences))),
            None => Err(crate::fault::Fault::new(crate::fault::Kind::Missing, "no port")),
        });
        let limits = super::super::fixes::tests::LIMITS;
        let receiver = SerialReceiver::start_on(opener, "port".into(), limits, clock.clone(), |_| {}).expect("started");
        let tagger = Tagger { source: Source::Serial(receiver), clock };
        let told = loop {
            match tagger.now(Moment::default()) {
                Some(told) => break told,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(told.to_rfc3339(), "2026-12-01T10:00:00+00:00");
        let without = Tagger::without(SimulatedClock::starting(DateTime::UNIX_EPOCH));
        assert_eq!(without.now(Moment::default()), None);
    }

    #[test]
    fn without_a_receiver_there_is_no_place_and_time_is_not_trusted() {
        let tagged = Tagger::without(SimulatedClock::starting(DateTime::UNIX_EPOCH)).tag(read(Duration::ZERO));
        assert!(tagged.place.is_none() && !tagged.when.trusted);
    }
}
