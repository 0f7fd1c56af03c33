//! The tones: a family a grade, told apart by rhythm as well as by pitch, so that neither hearing loss nor a bad
//! loudspeaker makes one sound like the other. The surer, the higher and the faster. A list may choose the voice in which they
//! are sounded, which changes neither.

use std::f32::consts::TAU;

use super::Grade;
use crate::hotlist::Tone;

/// Samples a second of every tone.
pub const RATE: u32 = 48_000;

/// How long a pulse takes to swell and to fade, seconds: without it a loudspeaker clicks.
const EDGE: f32 = 0.008;

/// One pulse: pitch in hertz (0: silence), length in seconds.
type Pulse = (f32, f32);

/// Three fast ones, high and falling. Each family is short: the words begin within 400 ms of the tone.
const CERTAIN: &[Pulse] = &[(1568.0, 0.07), (0.0, 0.035), (1568.0, 0.07), (0.0, 0.035), (1175.0, 0.12)];
/// Two even pulses in the middle.
const PROBABLE: &[Pulse] = &[(880.0, 0.13), (0.0, 0.08), (880.0, 0.13)];
/// One long low one.
const POSSIBLE: &[Pulse] = &[(494.0, 0.34)];

/// How a voice makes one pulse.
struct Voice {
    /// How loud the pitch and each of its overtones is: number of the harmonic, share.
    harmonics: &'static [(f32, f32)],
    /// Peak, 0 to 1.
    loud: f32,
    /// How fast a pulse fades, as a rate a second.
    fades: f32,
}

/// Two overtones at least carry the pitch where road noise covers the lowest one; the whistle does without, since it is for
/// what is good to know.
fn voice(tone: Tone) -> Voice {
    match tone {
        Tone::Horn => Voice { harmonics: &[(1.0, 1.0), (2.0, 0.35), (3.0, 0.2)], loud: 1.0, fades: 0.0 },
        Tone::Whistle => Voice { harmonics: &[(1.0, 1.0)], loud: 0.5, fades: 0.0 },
        Tone::Bell => Voice { harmonics: &[(1.0, 1.0), (2.0, 0.5), (4.0, 0.15)], loud: 1.0, fades: 4.0 },
        Tone::Reed => Voice { harmonics: &[(1.0, 1.0), (3.0, 0.45), (5.0, 0.25)], loud: 1.0, fades: 0.0 },
    }
}

/// The tone of a grade in the voice of a list: one channel at [`RATE`], each sample within -1 to 1 at full volume.
pub fn tone(tone: Tone, grade: Grade) -> Vec<f32> {
    let pulses = match grade {
        Grade::Certain => CERTAIN,
        Grade::Probable => PROBABLE,
        Grade::Possible => POSSIBLE,
    };
    let Voice { harmonics, loud, fades } = voice(tone);
    let scale = loud / harmonics.iter().map(|(_, share)| share).sum::<f32>();
    let mut samples = Vec::new();
    for &(pitch, length) in pulses {
        let count = (length * RATE as f32) as usize;
        samples.extend((0..count).map(|i| {
            if pitch == 0.0 {
                return 0.0;
            }
            let (t, left) = (i as f32 / RATE as f32, (count - 1 - i) as f32 / RATE as f32);
            let swell = (t.min(left) / EDGE).min(1.0);
            let wave: f32 = harmonics.iter().map(|(number, share)| share * (TAU * number * pitch * t).sin()).sum();
            wave * scale * (-fades * t).exp() * swell * swell * (3.0 - 2.0 * swell)
        }));
    }
    samples
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The power of `samples` at `pitch`, a mean over windows of 50 ms; about 1 for a sine of amplitude 1.
    pub(in crate::alert) fn power(samples: &[f32], pitch: f32) -> f64 {
        let windows = samples.chunks(RATE as usize / 20);
        let count = windows.len() as f64;
        windows.map(|window| goertzel(window, pitch)).sum::<f64>() / count
    }

    fn goertzel(samples: &[f32], pitch: f32) -> f64 {
        let step = 2.0 * f64::cos(f64::from(TAU) * f64::from(pitch) / f64::from(RATE));
        let (mut a, mut b) = (0.0, 0.0);
        for sample in samples {
            (a, b) = (f64::from(*sample) + step * a - b, a);
        }
        4.0 * (a * a + b * b - step * a * b) / (samples.len() as f64).powi(2)
    }

    /// The lengths of the pulses, seconds: the envelope over windows of 5 ms against a threshold.
    fn rhythm(samples: &[f32]) -> Vec<f32> {
        let mut pulses: Vec<f32> = Vec::new();
        let mut sounding = false;
        for window in samples.chunks(RATE as usize / 200) {
            let loud = window.iter().fold(0.0_f32, |peak, s| peak.max(s.abs())) > 0.15;
            match (sounding, loud) {
                (false, true) => pulses.push(0.005),
                (true, true) => *pulses.last_mut().expect("a pulse has begun") += 0.005,
                _ => {}
            }
            sounding = loud;
        }
        pulses
    }

    /// The grade that a listener takes `samples` for, by spectrum and rhythm, and only if both agree.
    pub(in crate::alert) fn recognised(samples: &[f32]) -> Option<Grade> {
        let strongest = [(1568.0, Grade::Certain), (880.0, Grade::Probable), (494.0, Grade::Possible)]
            .into_iter()
            .map(|(pitch, grade)| (power(samples, pitch), grade))
            .max_by(|a, b| a.0.total_cmp(&b.0))?;
        let by_rhythm = match rhythm(samples).len() {
            3 => Grade::Certain,
            2 => Grade::Probable,
            1 => Grade::Possible,
            _ => return None,
        };
        (strongest.0 > 0.01 && strongest.1 == by_rhythm).then_some(by_rhythm)
    }

    fn all() -> impl Iterator<Item = (Tone, Grade)> {
        Tone::ALL.into_iter().flat_map(|tone| Grade::ALL.map(|grade| (tone, grade)))
    }

    #[test]
    fn each_grade_is_recognised_by_pitch_and_by_rhythm_in_every_voice() {
        for (voice, grade) in all() {
            let samples = tone(voice, grade);
            assert_eq!(recognised(&samples), Some(grade), "{voice:?} {grade:?}: {:?}", rhythm(&samples));
        }
    }

    #[test]
    fn pitches_of_other_grades_are_far_below() {
        for voice in Tone::ALL {
            for (grade, own, others) in [
                (Grade::Certain, 1568.0, [880.0, 494.0]),
                (Grade::Probable, 880.0, [1568.0, 494.0]),
                (Grade::Possible, 494.0, [1175.0, 880.0]),
            ] {
                let samples = tone(voice, grade);
                for other in others {
                    assert!(power(&samples, own) > 30.0 * power(&samples, other), "{voice:?} {grade:?} at {other} Hz");
                }
            }
        }
    }

    #[test]
    fn voices_are_told_apart() {
        // By loudness, by overtones, and by whether the sound fades: a pulse's end beside its beginning.
        let described = |voice| {
            let samples = tone(voice, Grade::Possible);
            let of = |harmonic: f32| power(&samples, 494.0 * harmonic) / power(&samples, 494.0);
            let (head, tail) = samples.split_at(samples.len() / 2);
            (of(2.0) > 0.02, of(3.0) > 0.1, power(tail, 494.0) < 0.4 * power(head, 494.0))
        };
        assert_eq!(described(Tone::Horn), (true, false, false));
        assert_eq!(described(Tone::Whistle), (false, false, false));
        assert_eq!(described(Tone::Bell), (true, false, true));
        assert_eq!(described(Tone::Reed), (false, true, false));
    }

    #[test]
    fn tones_neither_clip_nor_click_nor_delay_the_words() {
        for (voice, grade) in all() {
            let samples = tone(voice, grade);
            assert!(samples.iter().all(|s| s.abs() <= 1.0));
            let peak = samples.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
            assert!(peak > if voice == Tone::Whistle { 0.4 } else { 0.6 }, "{voice:?} {grade:?} is faint: {peak}");
            assert!(samples.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.45), "{voice:?} {grade:?} clicks");
            assert_eq!((samples[0], samples[samples.len() - 1]), (0.0, 0.0));
            assert!(samples.len() <= RATE as usize * 35 / 100, "{voice:?} {grade:?} is too long");
        }
    }
}
