//! Samples on their way to the sound device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rodio::{ChannelCount, SampleRate, Source, nz};

use super::volume::Volume;
use crate::alert::{Grade, tone};
use crate::clock::{Moment, Shared};

/// When a [`Playback`] ends before its own end.
pub(super) const TO_THE_END: u8 = 0;
pub(super) const AT_A_PAUSE: u8 = 1;
pub(super) const NOW: u8 = 2;

/// Samples on their way to a device: one channel at [`tone::RATE`]. Ends early when something more urgent cuts it.
pub struct Playback {
    pub(super) samples: Arc<[f32]>,
    /// Places at which it can be broken off, in order.
    pub(super) pauses: Vec<usize>,
    pub(super) grade: Grade,
    pub(super) volume: Arc<Volume>,
    pub(super) next: usize,
    pub(super) cut: Arc<AtomicU8>,
    pub(super) clock: Shared,
    pub(super) on_first: Option<Box<dyn FnOnce(Moment) + Send>>,
    pub(super) on_end: Option<Box<dyn FnOnce() + Send>>,
}

impl Iterator for Playback {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        if let Some(first) = self.on_first.take() {
            first(self.clock.now());
        }
        let goes_on = match self.cut.load(Ordering::Relaxed) {
            TO_THE_END => true,
            AT_A_PAUSE => self.pauses.binary_search(&self.next).is_err(),
            _ => false,
        };
        let sample = self.samples.get(self.next).copied().filter(|_| goes_on);
        self.next += 1;
        if sample.is_none() {
            self.end();
        }
        sample.map(|sample| sample * self.volume.of(self.grade))
    }
}

impl Playback {
    fn end(&mut self) {
        if let Some(end) = self.on_end.take() {
            end();
        }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.end();
    }
}

impl Source for Playback {
    fn current_span_len(&self) -> Option<usize> {
        None
    }
    fn channels(&self) -> ChannelCount {
        nz!(1)
    }
    fn sample_rate(&self) -> SampleRate {
        const { SampleRate::new(tone::RATE).expect("a tone has a sample rate") }
    }
    fn total_duration(&self) -> Option<Duration> {
        None
    }
}
