//! The voice: what is spoken, put together from clips of words.
//!
//! The clips are part of the program (`vehicle-config/voice`); a technician's own replace or add to them. What no clip
//! says is spelled where it is short, and left out where it is not; a reason is said whole or not at all.

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use rodio::{Decoder, Source};

use super::tone::RATE;
use super::words::{character_word, doubt_word};
use crate::fault::{Fault, Kind, Result};

/// The clips that are part of the program: word and Ogg Vorbis file.
mod built_in {
    include!(concat!(env!("OUT_DIR"), "/voice.rs"));
}

/// Seconds of silence between words, at a comma, and between sentences.
const BETWEEN_WORDS: f32 = 0.03;
const AT_COMMA: f32 = 0.13;
const BETWEEN_SENTENCES: f32 = 0.2;
/// What is quieter than this at either end of a clip is cut off.
const SILENCE: f32 = 0.012;
/// The loudness that every clip is brought to (root of the mean square), and the peak that it does not pass.
const LOUDNESS: f32 = 0.16;
const PEAK: f32 = 0.95;
/// The longest word without a clip that is spelled.
const SPELLED: usize = 4;
/// A clip that is longer than this is no word, seconds.
const LONGEST: usize = 10;

/// Words and phrases, lower case, with their sound at [`RATE`].
type Clips = HashMap<String, Arc<[f32]>>;

static BUILT_IN: LazyLock<Clips> = LazyLock::new(|| {
    let clips = built_in::CLIPS.iter().filter_map(|(name, file)| match decode(file) {
        Ok(samples) => Some((key(name), samples)),
        Err(why) => {
            // A test decodes each of them.
            tracing::error!("the clip {name} of the program: {why}");
            None
        }
    });
    clips.collect()
});

/// Clips to speak with.
#[derive(Clone)]
pub(super) struct Voice {
    clips: Clips,
    /// Words of the longest phrase.
    longest: usize,
}

/// What is said of one alert.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Speech {
    /// One channel at [`RATE`].
    pub(super) samples: Vec<f32>,
    /// Where each sentence but the last has ended: there it can be broken off without cutting a word.
    pub(super) pauses: Vec<usize>,
}

impl Voice {
    /// The program's own clips, and before them those in `folder`: files named by what they say ("land_rover.ogg"), Ogg
    /// Vorbis or WAV. A file that cannot be used is a fault and its word stays what it was.
    pub(super) fn load(folder: Option<&Path>) -> (Self, Vec<Fault>) {
        let (mut clips, mut faults) = (BUILT_IN.clone(), Vec::new());
        if let Some(folder) = folder {
            match own(folder) {
                Ok((found, mut wrong)) => {
                    clips.extend(found);
                    faults.append(&mut wrong);
                }
                Err(fault) => faults.push(fault),
            }
        }
        let longest = clips.keys().map(|key| key.split(' ').count()).max().unwrap_or(0);
        (Self { clips, longest }, faults)
    }

    /// Says `spoken`, the words of an alert: sentences, the reason's first, but for a drill's.
    pub(super) fn say(&self, spoken: &str) -> Speech {
        let mut speech = Speech::default();
        let mut reason_said = false;
        for sentence in spoken.trim_end_matches('.').split(". ") {
            let mut part = Vec::new();
            if reason_said || sentence.eq_ignore_ascii_case("drill") {
                self.loosely(sentence, &mut part);
            } else {
                reason_said = true;
                self.reason(sentence, &mut part);
            }
            if part.is_empty() {
                continue;
            }
            if !speech.samples.is_empty() {
                speech.pauses.push(speech.samples.len());
                pause(&mut speech.samples, BETWEEN_SENTENCES);
            }
            speech.samples.append(&mut part);
        }
        speech
    }

    /// A reason of which a word were missing could mean anything: it is said whole, or the crew is sent to the screen.
    fn reason(&self, sentence: &str, out: &mut Vec<f32>) {
        let words: Vec<String> = sentence.split_whitespace().map(key).collect();
        let (doubt, rest) = match words.split_first() {
            Some((first, rest)) if doubt_word(first) => (Some(first), rest),
            _ => (None, words.as_slice()),
        };
        if let Some(clip) = doubt.and_then(|doubt| self.clips.get(doubt)) {
            append(out, clip, BETWEEN_WORDS);
        }
        let (phrases, left_out) = self.phrases(rest, 0);
        let phrases = if left_out == 0 { phrases } else { self.clips.get("see screen").into_iter().collect() };
        phrases.into_iter().for_each(|clip| append(out, clip, BETWEEN_WORDS));
    }

    fn loosely(&self, sentence: &str, out: &mut Vec<f32>) {
        for (place, clause) in sentence.split(", ").enumerate() {
            let words: Vec<String> = clause.split_whitespace().map(key).collect();
            let before = if place > 0 { AT_COMMA } else { BETWEEN_WORDS };
            for (number, clip) in self.phrases(&words, SPELLED).0.into_iter().enumerate() {
                append(out, clip, if number == 0 { before } else { BETWEEN_WORDS });
            }
        }
    }

    /// The clips of `words`, the longest phrases first, words without one spelled if they have no more than `spelled`
    /// characters; and how many words are left out.
    fn phrases(&self, words: &[String], spelled: usize) -> (Vec<&Arc<[f32]>>, usize) {
        let (mut clips, mut left_out, mut at) = (Vec::new(), 0, 0);
        while at < words.len() {
            let longest = self.longest.min(words.len() - at);
            let found = (1..=longest).rev().find_map(|n| Some((n, self.clips.get(&words[at..at + n].join(" "))?)));
            match found {
                Some((count, clip)) => {
                    clips.push(clip);
                    at += count;
                }
                None => {
                    let word = &words[at];
                    let characters: Option<Vec<_>> = word
                        .chars()
                        .map(|character| self.clips.get(&key(character_word(character.to_ascii_uppercase()))))
                        .collect();
                    match characters.filter(|_| word.len() <= spelled) {
                        Some(mut characters) => clips.append(&mut characters),
                        None => left_out += 1,
                    }
                    at += 1;
                }
            }
        }
        (clips, left_out)
    }
}

fn append(out: &mut Vec<f32>, clip: &[f32], before: f32) {
    if !out.is_empty() {
        pause(out, before);
    }
    out.extend_from_slice(clip);
}

fn pause(out: &mut Vec<f32>, seconds: f32) {
    out.resize(out.len() + (seconds * RATE as f32) as usize, 0.0);
}

/// A word or file name as clips are known by.
fn key(name: &str) -> String {
    name.to_lowercase().replace('_', " ")
}

/// How many clips a technician's folder has.
///
/// # Errors
/// The folder cannot be read, or a clip in it cannot be used; the first is named.
pub fn check(folder: &Path) -> Result<usize> {
    let (clips, faults) = own(folder)?;
    faults.into_iter().next().map_or(Ok(clips.len()), Err)
}

/// What a technician's folder holds, and what of it cannot be used.
fn own(folder: &Path) -> Result<(Clips, Vec<Fault>)> {
    let unreadable = |error| {
        Fault::io("cannot read the folder with the voice", folder, error)
            .remedy("Name a folder with clips as `voice` under [sound], or leave it out")
    };
    let (mut clips, mut faults) = (Clips::new(), Vec::new());
    for file in fs::read_dir(folder).map_err(unreadable)? {
        let path = file.map_err(unreadable)?.path();
        let is_clip =
            path.extension().is_some_and(|end| end.eq_ignore_ascii_case("ogg") || end.eq_ignore_ascii_case("wav"));
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_clip) else { continue };
        let decoded = match fs::read(&path) {
            Ok(bytes) => decode(&bytes).map_err(|why| {
                Fault::new(Kind::Damaged, "cannot use a clip of the voice")
                    .at(path.display())
                    .because(why)
                    .remedy("Record it again, as Ogg Vorbis or WAV")
            }),
            Err(error) => Err(Fault::io("cannot read a clip of the voice", &path, error)),
        };
        match decoded {
            Ok(samples) => _ = clips.insert(key(name), samples),
            Err(fault) => faults.push(fault),
        }
    }
    Ok((clips, faults))
}

/// The sound of a file: one channel at [`RATE`], silence cut off, as loud as every other.
fn decode(file: &[u8]) -> std::result::Result<Arc<[f32]>, String> {
    let decoder = Decoder::new(Cursor::new(file.to_vec())).map_err(|error| error.to_string())?;
    let (channels, rate) = (usize::from(decoder.channels().get()), decoder.sample_rate().get());
    let longest = LONGEST * rate as usize * channels;
    let samples: Vec<f32> = decoder.take(longest + 1).collect();
    if samples.len() > longest {
        return Err(format!("it is longer than {LONGEST} s"));
    }
    let mono: Vec<f32> =
        samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
    let loud = |sample: &f32| sample.abs() > SILENCE;
    let (Some(first), Some(last)) = (mono.iter().position(loud), mono.iter().rposition(loud)) else {
        return Err("there is nothing to be heard in it".to_owned());
    };
    let spoken = &mono[first..=last];
    let power = (spoken.iter().map(|s| s * s).sum::<f32>() / spoken.len() as f32).sqrt();
    let peak = spoken.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    let gain = (LOUDNESS / power).min(PEAK / peak);
    Ok(at_rate(spoken, rate, gain).into())
}

/// `samples` at [`RATE`] instead of `rate`, `gain` times as loud: a cubic through the four nearest.
fn at_rate(samples: &[f32], rate: u32, gain: f32) -> Vec<f32> {
    let step = f64::from(rate) / f64::from(RATE);
    let count = (samples.len() as f64 / step) as usize;
    let at = |index: isize| usize::try_from(index).ok().and_then(|index| samples.get(index)).copied().unwrap_or(0.0);
    let resampled = (0..count).map(|i| {
        let place = i as f64 * step;
        let (whole, t) = (place.floor() as isize, place.fract() as f32);
        let [a, b, c, d] = [at(whole - 1), at(whole), at(whole + 1), at(whole + 2)];
        let curve = b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)));
        (curve * gain).clamp(-1.0, 1.0)
    });
    resampled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plate::ALPHABET;

    fn voice() -> Voice {
        Voice::load(None).0
    }

    fn seconds(speech: &Speech) -> f32 {
        speech.samples.len() as f32 / RATE as f32
    }

    #[test]
    fn every_clip_of_the_program_is_a_word_that_can_be_heard() {
        let listed: Vec<&str> = include_str!("../../vehicle-config/voice/words.txt")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split('\t').next().expect("a word"))
            .collect();
        assert_eq!(BUILT_IN.len(), listed.len(), "render.sh has not been run since words.txt was changed");
        for word in listed {
            let clip = BUILT_IN.get(word).unwrap_or_else(|| panic!("there is no clip of {word:?}"));
            let length = clip.len() as f32 / RATE as f32;
            assert!((0.12..2.0).contains(&length), "{word:?} takes {length} s");
            assert!(clip.iter().all(|s| s.abs() <= 1.0) && clip.iter().any(|s| s.abs() > 0.2), "{word:?} is faint");
        }
        for character in ALPHABET {
            assert!(BUILT_IN.contains_key(&key(character_word(char::from(character)))), "{}", char::from(character));
        }
        let bytes: usize = built_in::CLIPS.iter().map(|(_, file)| file.len()).sum();
        assert!(bytes < 3_000_000, "{bytes} bytes");
    }

    #[test]
    fn an_alert_is_said_sentence_by_sentence_in_a_few_seconds() {
        let speech = voice().say("Stolen. Silver Ford. Front camera, left. Alpha Bravo one two, Charlie Delta Echo.");
        assert_eq!(speech.pauses.len(), 3);
        assert!((3.0..8.0).contains(&seconds(&speech)), "{} s", seconds(&speech));
        // Reason and vehicle are out within two seconds and a half.
        assert!(speech.pauses[1] < RATE as usize * 5 / 2, "{:?}", speech.pauses);
        let loud = speech.samples.iter().position(|s| s.abs() > 0.05).expect("not silent");
        assert!(loud < RATE as usize / 50, "nothing is waited for");
    }

    #[test]
    fn a_reason_that_cannot_be_said_whole_sends_the_crew_to_the_screen() {
        let voice = voice();
        let (unknown, screen) = (voice.say("Not stolen at all."), voice.say("See screen."));
        assert!(unknown == screen, "half of a reason could be its opposite");
        let doubtful = voice.say("Possible sheep rustling.");
        let possible = &voice.clips["possible"];
        assert!(doubtful.samples[..possible.len()] == possible[..], "the doubt is said all the same");
        assert!(doubtful.samples.ends_with(&screen.samples));
    }

    #[test]
    fn other_words_without_a_clip_are_spelled_or_left_out() {
        let voice = voice();
        assert!(voice.say("Stolen. Silver Zastava.") == voice.say("Stolen. Silver."));
        assert!(voice.say("Stolen. Silver MAZ.") == voice.say("Stolen. Silver Mike Alpha Zulu."));
        assert!(voice.say("Stolen. Zastava. Front camera.") == voice.say("Stolen. Front camera."));
        assert_eq!(voice.say(""), Speech::default());
    }

    #[test]
    fn a_technicians_clips_come_first_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let wave: Vec<u8> =
            (0..4410_u32).flat_map(|i| if i % 20 < 10 { 9000_i16 } else { -9000 }.to_le_bytes()).collect();
        let mut file = Vec::new();
        for (name, number) in [(*b"RIFF", 36 + wave.len()), (*b"WAVE", 0)] {
            file.extend(name);
            if name == *b"RIFF" {
                file.extend(u32::try_from(number).expect("short").to_le_bytes());
            }
        }
        file.extend(b"fmt \x10\0\0\0\x01\0\x01\0");
        file.extend(22_050_u32.to_le_bytes());
        file.extend(44_100_u32.to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        file.extend(u32::try_from(wave.len()).expect("short").to_le_bytes());
        file.extend(&wave);
        fs::write(folder.path().join("sheep_rustling.wav"), &file).expect("written");
        fs::write(folder.path().join("stolen.ogg"), b"not a sound").expect("written");
        fs::write(folder.path().join("README.txt"), b"by the workshop").expect("written");
        let (own, faults) = Voice::load(Some(folder.path()));
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(matches!(said.as_slice(), [fault] if fault.contains("stolen.ogg")), "{said:?}");
        assert!((0.19..0.21).contains(&seconds(&own.say("Sheep rustling."))), "4410 samples at 22050 a second");
        assert!(own.say("Stolen.") == voice().say("Stolen."));
        assert!(check(folder.path()).is_err());
        fs::remove_file(folder.path().join("stolen.ogg")).expect("removed");
        assert_eq!(check(folder.path()).ok(), Some(1));
        let missing = Voice::load(Some(&folder.path().join("nowhere"))).1;
        assert!(missing[0].to_string().contains("nowhere"), "{}", missing[0]);
    }
}
