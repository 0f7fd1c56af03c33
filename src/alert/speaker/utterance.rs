//! What is played for alerts: a tone, then words.

use std::collections::HashMap;
use std::time::Duration;

use super::Pending;
use crate::alert::voice::{Speech, Voice};
use crate::alert::{Grade, tone};
use crate::clock::Moment;
use crate::hotlist::Tone;

/// Words that had to wait for this long are not said any more: what they tell of has passed.
const STALE_WORDS: Duration = Duration::from_secs(3);
/// Silence between tone and words, seconds.
const AFTER_TONE: f32 = 0.04;

/// The samples of every grade in every voice.
pub(super) type Tones = HashMap<(Grade, Tone), Vec<f32>>;

/// The tone of `grade` in the voice of the first of `told` that stands, the words of the newest of `told`, and how many more there are; with it, where it can be broken off.
pub(super) fn utterance(
    tones: &Tones,
    voice: &Voice,
    grade: Grade,
    told: &[Pending],
    now: Moment,
) -> (Vec<f32>, Vec<usize>) {
    let standing = told.iter().find(|pending| !pending.withdrawn);
    let mut samples = standing.and_then(|first| tones.get(&(grade, first.tone))).cloned().unwrap_or_default();
    let Some(newest) = told.last() else { return (samples, Vec::new()) };
    let mut words = newest.spoken.clone();
    if now.since(newest.since) >= STALE_WORDS {
        words = "See screen.".to_owned();
    }
    words.push_str(&match told.iter().filter(|pending| pending.alert != newest.alert).count() {
        0 => String::new(),
        1 => " One more alert.".to_owned(),
        more => format!(" {} more alerts.", NUMBERS.get(more - 2).unwrap_or(&"many")),
    });
    let Speech { samples: spoken, pauses } = voice.say(&words);
    let tone = samples.len();
    if tone > 0 && !spoken.is_empty() {
        samples.resize(tone + (AFTER_TONE * tone::RATE as f32) as usize, 0.0);
    }
    let start = samples.len();
    samples.extend(spoken);
    (samples, pauses.into_iter().map(|pause| start + pause).collect())
}

/// From two on.
const NUMBERS: [&str; 8] = ["two", "three", "four", "five", "six", "seven", "eight", "nine"];
