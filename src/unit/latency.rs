//! How long the crew waits for alerts: measured for each of them, inside the unit.

use std::collections::VecDeque;
use std::time::Duration;

use crate::alert::AlertId;
use crate::clock::Moment;
use crate::recognise::ReadId;

/// Alerts of the newest that figures are taken from: a unit runs for months.
const KEPT: usize = 1000;
/// Sound or screen that take longer than this to tell are taken for not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the crew waited for one alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Which alert.
    pub alert: AlertId,
    /// Capture of the frame that made the read, to the alert leaving the desk.
    pub to_desk: Duration,
    /// The same, to the first sample handed to the sound device; `None` without sound.
    pub to_sound: Option<Duration>,
    /// The same, to the first drawn frame; `None` without a screen.
    pub to_screen: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Latencies {
    kept: VecDeque<Latency>,
    /// Those that are not complete yet: which read, when it was captured, when the alert was raised.
    open: Vec<(AlertId, ReadId, Moment, Moment)>,
}

/// Half, 95 and 99 of 100 are not longer than these.
pub(super) type Percentiles = [Duration; 3];

impl Latencies {
    /// `alert` leaves the desk at `now`; the frame that made its read was captured at `captured`.
    pub(super) fn raised(&mut self, alert: AlertId, read: ReadId, captured: Moment, now: Moment) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Latency { alert, to_desk: now.since(captured), to_sound: None, to_screen: None });
        self.open.push((alert, read, captured, now));
    }

    /// The first sample of `alert` was handed to the sound device, or its first frame drawn.
    pub(super) fn reached(
        &mut self,
        alert: AlertId,
        at: Moment,
        field: impl Fn(&mut Latency) -> &mut Option<Duration>,
    ) {
        let captured = self.open.iter().find(|(id, ..)| *id == alert).map(|(_, _, captured, _)| *captured);
        let latency = self.kept.iter_mut().rev().find(|latency| latency.alert == alert);
        if let (Some(captured), Some(latency)) = (captured, latency) {
            field(latency).get_or_insert(at.since(captured));
        }
    }

    /// Those that are complete now, or will not be: to go on record.
    pub(super) fn complete(&mut self, now: Moment) -> Vec<(ReadId, Latency)> {
        let kept = &self.kept;
        let ready = self.open.extract_if(.., |(alert, _, _, raised)| {
            let latency = kept.iter().rev().find(|latency| latency.alert == *alert);
            latency.is_none_or(|latency| latency.to_sound.is_some() && latency.to_screen.is_some())
                || now.since(*raised) >= PATIENCE
        });
        ready
            .filter_map(|(alert, read, ..)| Some((read, *kept.iter().rev().find(|latency| latency.alert == alert)?)))
            .collect()
    }

    /// Over the newest alerts, and over how many; `None` if none is known.
    pub(super) fn percentiles(&self, field: impl Fn(&Latency) -> Option<Duration>) -> Option<(Percentiles, usize)> {
        let mut times: Vec<Duration> = self.kept.iter().filter_map(field).collect();
        times.sort_unstable();
        // The least that so many of a hundred do not exceed.
        let at = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1];
        (!times.is_empty()).then(|| ([at(50), at(95), at(99)], times.len()))
    }

    pub(super) fn into_kept(self) -> Vec<Latency> {
        self.kept.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::at(Duration::from_millis(ms))
    }

    #[test]
    fn every_alert_is_timed_to_the_speaker_and_to_the_screen_and_goes_on_record_once() {
        let mut latencies = Latencies::default();
        let read = |pass| ReadId { run: 1, pass };
        latencies.raised(AlertId(1), read(1), at(1000), at(1080));
        latencies.raised(AlertId(2), read(2), at(1050), at(1090));
        latencies.reached(AlertId(1), at(1110), |latency| &mut latency.to_sound);
        assert!(latencies.complete(at(1111)).is_empty());
        latencies.reached(AlertId(1), at(1130), |latency| &mut latency.to_screen);
        latencies.reached(AlertId(1), at(1900), |latency| &mut latency.to_screen);
        let ms = Duration::from_millis;
        let first = Latency { alert: AlertId(1), to_desk: ms(80), to_sound: Some(ms(110)), to_screen: Some(ms(130)) };
        assert_eq!(latencies.complete(at(1131)), [(read(1), first)]);
        assert!(latencies.complete(at(6089)).is_empty());
        // A unit without a screen has that on record, too.
        latencies.reached(AlertId(2), at(1150), |latency| &mut latency.to_sound);
        let second = Latency { alert: AlertId(2), to_desk: ms(40), to_sound: Some(ms(100)), to_screen: None };
        assert_eq!(latencies.complete(at(6090)), [(read(2), second)]);
        assert!(latencies.complete(at(60_000)).is_empty());
    }

    #[test]
    fn percentiles_are_of_the_newest_thousand() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(|latency| Some(latency.to_desk)), None);
        for n in 1..=2000 {
            latencies.raised(AlertId(n), ReadId { run: 1, pass: n }, at(0), at(n));
        }
        let ms = Duration::from_millis;
        let desk = latencies.percentiles(|latency| Some(latency.to_desk));
        assert_eq!(desk, Some(([ms(1500), ms(1950), ms(1990)], 1000)));
        assert_eq!(latencies.percentiles(|latency| latency.to_sound), None);
        latencies.complete(at(60_000));
        assert!(latencies.open.is_empty());
    }
}
