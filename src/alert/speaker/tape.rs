//! Sound without a device: what one would have been given, on a clock that only the samples move.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use rodio::mixer::{Mixer, MixerSource, mixer};
use rodio::{SampleRate, nz};

use super::{Deck, Desk, Order, Output, Pending, Playback, SoundState, Sounder, Voice, Volume};
use crate::alert::{Alert, RATE};
use crate::clock::{Clock, Shared, SimulatedClock};
use crate::config;
use crate::fault::{Fault, Kind, Result};

/// How far the tape moves between two looks at what is to be played.
const STEP: Duration = Duration::from_millis(10);
/// The samples of a step.
const SAMPLES: usize = RATE as usize / 100;

/// Records what the crew hears of `cues`, each an alert and when it leaves the desk: one channel at [`RATE`], until there is
/// nothing more to say. It goes the way of every alert, through the speaker's queue and rodio's mixer; only the card behind
/// the mixer is missing. The second part is what cannot be used of a technician's own voice.
pub fn record(settings: &config::Sound, cues: &[(Duration, Alert)]) -> (Vec<f32>, Vec<Fault>) {
    let (voice, faults) = Voice::load(settings.voice.as_deref());
    let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
    let (orders, inbox) = channel();
    let desk = Desk {
        orders,
        state: Arc::new(Mutex::new(SoundState::Opening)),
        volume: Arc::new(Volume::new(settings.volume)),
        clock: clock.clone(),
    };
    let (input, mut tape) = empty();
    let mut deck = Deck::new(desk, voice, Box::new(Tape(input)), Arc::new(|_, _| {}));
    deck.open_if_due();
    let mut cues = cues.iter().peekable();
    let mut samples = Vec::new();
    loop {
        while let Ok(order) = inbox.try_recv() {
            deck.obey(order);
        }
        let now = clock.now();
        while let Some((_, alert)) = cues.next_if(|(at, _)| now.since_start() >= *at) {
            deck.obey(Order::Sound(Pending::of(alert, alert.tone, now)));
        }
        if cues.peek().is_none() && deck.playing.is_none() && deck.pending.is_empty() {
            return (samples, faults);
        }
        samples.extend((0..SAMPLES).map(|_| tape.next().unwrap_or(0.0)));
        clock.advance(STEP);
    }
}

/// A card that nobody hears: takes samples as fast as a real one, a period at a time. For machines without sound.
pub struct CardOfMemory(Shared);

impl CardOfMemory {
    /// One whose periods are those of `clock`.
    pub fn new(clock: Shared) -> Self {
        Self(clock)
    }
}

impl Sounder for CardOfMemory {
    fn open(&mut self, _: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        let (input, mut source) = empty();
        let (clock, open) = (Arc::clone(&self.0), Arc::new(()));
        let still_open = Arc::downgrade(&open);
        std::thread::Builder::new()
            .name("card".to_owned())
            .spawn(move || {
                while still_open.strong_count() > 0 {
                    source.by_ref().take(SAMPLES).for_each(drop);
                    clock.sleep(STEP);
                }
            })
            .map_err(|error| Fault::new(Kind::Internal, "cannot start the card's thread").because(error))?;
        Ok(Box::new(Opened { input, _open: open }))
    }
}

/// The card's thread ends once this is gone.
struct Opened {
    input: Mixer,
    _open: Arc<()>,
}

impl Output for Opened {
    fn play(&mut self, playback: Playback) {
        self.input.add(playback);
    }
}

fn empty() -> (Mixer, MixerSource) {
    mixer(nz!(1), const { SampleRate::new(RATE).expect("a tone has a sample rate") })
}

/// Takes the place of a card.
struct Tape(Mixer);

impl Sounder for Tape {
    fn open(&mut self, _: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        Ok(Box::new(self.0.clone()))
    }
}

impl Output for Mixer {
    fn play(&mut self, playback: Playback) {
        self.add(playback);
    }
}

/// `samples` as a WAV file: one channel at [`RATE`], 16 bits.
pub fn wav(samples: &[f32]) -> Vec<u8> {
    let data: Vec<u8> =
        samples.iter().flat_map(|sample| ((sample.clamp(-1.0, 1.0) * 32_767.0) as i16).to_le_bytes()).collect();
    // Some hours fit, and nobody records as long.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(44 + data.len());
    file.extend(b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    // Plain samples, one channel.
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend((2 * RATE).to_le_bytes());
    // Bytes a sample, bits a sample.
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tone::tests::{power, recognised};
    use crate::alert::{Grade, Rehearsal, Standing};

    const LOUD: config::Sound = config::Sound { enabled: true, volume: 1.0, voice: None };
    const SECOND: usize = RATE as usize;

    fn alert(grade: Grade) -> Alert {
        Rehearsal::default().alert(grade)
    }

    /// What is heard of `cues`, through a file and another reader of such files.
    fn heard(cues: &[(u64, Alert)]) -> Vec<f32> {
        let cues: Vec<_> = cues.iter().map(|(ms, alert)| (Duration::from_millis(*ms), alert.clone())).collect();
        let (samples, faults) = record(&LOUD, &cues);
        assert!(faults.is_empty());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alert.wav");
        std::fs::write(&path, wav(&samples)).expect("written");
        let file = std::io::Cursor::new(std::fs::read(path).expect("there"));
        let read: Vec<f32> = rodio::Decoder::new(file).expect("a WAV file").collect();
        assert_eq!(read.len(), samples.len());
        read
    }

    /// The grade whose tone begins at `place`, or within the 20 ms that the queue may take.
    fn tone_at(samples: &[f32], place: usize) -> Option<Grade> {
        let start = samples[place..place + SECOND / 50].iter().position(|sample| sample.abs() > 0.01)?;
        recognised(&samples[place + start..place + start + SECOND * 35 / 100])
    }

    /// Where the first sound after a silence of 20 ms begins.
    fn onset(samples: &[f32]) -> usize {
        let mut quiet = 0;
        let begins = |sample: &f32| {
            let loud = sample.abs() > 0.02;
            let begins = loud && quiet >= SECOND / 50;
            quiet = if loud { 0 } else { quiet + 1 };
            begins
        };
        samples.iter().position(begins).expect("something follows the tone")
    }

    #[test]
    fn each_grade_is_recognised_in_the_file_by_its_spectrum_and_the_words_begin_in_time() {
        for grade in Grade::ALL {
            let samples = heard(&[(0, alert(grade))]);
            assert_eq!(tone_at(&samples, 0), Some(grade));
            // The silences within a tone are 80 ms at most, and are over well before its end; the words' is the next.
            let tone = crate::alert::tone(alert(grade).tone, grade).len();
            let words = tone - SECOND / 100 + onset(&samples[tone - SECOND / 100..]);
            assert!(words <= SECOND * 4 / 10, "{grade:?}: words begin {words} samples after the tone did");
            // It is speech that begins there and no tone: most of its power is at none of their pitches.
            let speech = &samples[words..words + SECOND / 2];
            let whole = speech.iter().map(|s| f64::from(s * s)).sum::<f64>() / speech.len() as f64;
            for pitch in [1568.0, 1175.0, 880.0, 494.0] {
                // A sine of amplitude 1 has the power 1 by this measure and the mean square 1/2.
                assert!(power(speech, pitch) < 0.4 * whole, "{grade:?} at {pitch} Hz");
            }
            assert!((3 * SECOND..9 * SECOND).contains(&samples.len()), "{grade:?}: {} samples", samples.len());
        }
    }

    #[test]
    fn in_the_file_a_higher_grade_breaks_in_and_what_was_being_said_is_not_taken_up_again() {
        let alone = heard(&[(0, alert(Grade::Certain))]).len();
        let samples = heard(&[(0, alert(Grade::Possible)), (1500, alert(Grade::Certain))]);
        let cut = SECOND * 3 / 2;
        assert_eq!((tone_at(&samples, 0), tone_at(&samples, cut)), (Some(Grade::Possible), Some(Grade::Certain)));
        assert!(samples.len().abs_diff(cut + alone) <= SECOND / 25, "{} and no more", samples.len());
    }

    #[test]
    fn in_the_file_a_lower_grade_waits_and_a_withdrawal_breaks_off() {
        let alone = heard(&[(0, alert(Grade::Certain))]);
        let samples = heard(&[(0, alert(Grade::Certain)), (1000, alert(Grade::Possible))]);
        assert!(samples[..alone.len() - SECOND / 50] == alone[..alone.len() - SECOND / 50], "not a sample is changed");
        let mut after = (alone.len() - SECOND / 50..alone.len() + SECOND / 50).step_by(SECOND / 200);
        assert!(after.any(|place| tone_at(&samples, place) == Some(Grade::Possible)));

        let stands_no_more = Alert {
            standing: Standing::Withdrawn("recovered".into()),
            spoken: "Stand down. Alpha Bravo one two.".into(),
            ..alert(Grade::Certain)
        };
        let samples = heard(&[(0, alert(Grade::Certain)), (1000, stands_no_more)]);
        assert!(samples.len() < SECOND * 5 && samples.len() > SECOND * 2, "{}", samples.len());
        assert_eq!(tone_at(&samples, SECOND), None, "words alone");
    }
}
