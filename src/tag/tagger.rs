//! Gives each read its place and its time.

use std::time::Duration;

use super::fixes::{Limits, Place};
use super::log::NmeaLog;
use super::serial::{Event, SerialReceiver};
use super::time::{When, system_time};
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
}

/// Tags reads from whatever receiver there is.
pub struct Tagger {
    source: Source,
    clock: Shared,
}

enum Source {
    None,
    Log(NmeaLog),
    Serial(SerialReceiver),
}

impl Tagger {
    /// A tagger on the configured receiver. `events` hears of a serial port that is lost or back.
    ///
    /// # Errors
    /// The log is missing or is none. A serial port that is not there is an event.
    pub fn open(
        config: Option<&config::Receiver>,
        clock: Shared,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self> {
        let source = match config {
            None => Source::None,
            Some(config) => match &config.source {
                ReceiverSource::File(path) => Source::Log(NmeaLog::open(path, Limits::from(config))?),
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
        Self { source: Source::Log(log), clock }
    }

    /// The read with its place and time.
    pub fn tag(&self, read: Read) -> TaggedRead {
        let (when, place) = (self.when(read.last_at, read.last_seen), self.place(read.last_at, read.last_seen));
        TaggedRead { read, when, place }
    }

    /// Where the unit was at `moment`, which is `source_time` of the video: a log goes by the video, a receiver
    /// by the clock.
    pub fn place(&self, moment: Moment, source_time: Duration) -> Option<Place> {
        match &self.source {
            Source::None => None,
            Source::Log(log) => log.place_at(source_time),
            Source::Serial(receiver) => receiver.place_at(moment),
        }
    }

    /// The world's time at `moment`, which is `source_time` of the video.
    pub fn when(&self, moment: Moment, source_time: Duration) -> When {
        match &self.source {
            Source::None => system_time(moment, &*self.clock),
            Source::Log(log) => log
                .utc_at(source_time)
                .map_or_else(|| system_time(moment, &*self.clock), |utc| When { utc, trusted: true }),
            Source::Serial(receiver) => receiver.when(moment),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;

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
            Tagger::open(Some(&config), SimulatedClock::starting(DateTime::UNIX_EPOCH), |_| {}).expect("a log");
        let tagged = tagger.tag(read(Duration::from_millis(1400)));
        assert!(tagged.place.is_some_and(|place| (place.lat - 51.1).abs() < 1e-9 && !place.stale));
        assert_eq!((tagged.when.utc.to_rfc3339(), tagged.when.trusted), ("2026-12-01T10:00:01.400+00:00".into(), true));
        assert!(tagger.tag(read(Duration::from_secs(9))).place.is_some_and(|place| place.stale));
        assert_eq!(tagger.tag(read(Duration::from_secs(99))).place, None);
    }

    #[test]
    fn without_a_receiver_there_is_no_place_and_time_is_not_trusted() {
        let tagged = Tagger::without(SimulatedClock::starting(DateTime::UNIX_EPOCH)).tag(read(Duration::ZERO));
        assert!(tagged.place.is_none() && !tagged.when.trusted);
    }
}
