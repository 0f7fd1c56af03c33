//! How loud alerts are, and which are heard at all.

use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use crate::alert::Grade;

/// The least loudness of a certain alert: it cannot be turned down to nothing.
const LEAST_CERTAIN: f32 = 0.33;

/// How loud alerts are. Shared by whoever turns it and whatever plays; a change is heard at once.
#[derive(Debug)]
pub struct Volume {
    /// Loudness in thousandths.
    level: AtomicU16,
    /// How many of the lowest grades are mute: 0 to 2, never the highest.
    mute: AtomicU8,
}

impl Volume {
    pub(super) fn new(level: f32) -> Self {
        let volume = Self { level: AtomicU16::default(), mute: AtomicU8::default() };
        volume.set(level);
        volume
    }

    /// Loudness, 0 to 1.
    pub fn level(&self) -> f32 {
        f32::from(self.level.load(Ordering::Relaxed)) / 1000.0
    }

    /// Sets it.
    pub fn set(&self, level: f32) {
        self.level.store((level.clamp(0.0, 1.0) * 1000.0).round() as u16, Ordering::Relaxed);
    }

    /// Makes alerts of `grade` and below mute; certain ones never are, so they change nothing. `None`: all are heard.
    pub fn mute(&self, grade: Option<Grade>) {
        let mute = match grade {
            None => 0,
            Some(Grade::Possible) => 1,
            Some(Grade::Probable) => 2,
            Some(Grade::Certain) => return,
        };
        self.mute.store(mute, Ordering::Relaxed);
    }

    /// Up to which grade alerts are mute.
    pub fn muted(&self) -> Option<Grade> {
        match self.mute.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Grade::Possible),
            _ => Some(Grade::Probable),
        }
    }

    pub(super) fn of(&self, grade: Grade) -> f32 {
        if grade == Grade::Certain { self.level().max(LEAST_CERTAIN) } else { self.level() }
    }
}
