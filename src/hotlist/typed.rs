//! A read that no camera made: of a text that was typed, or made up to measure or to test.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::plate;
use crate::recognise::{Character, Read, ReadId, Thumbnail};

/// A read of `text`, of one look and without a picture worth seeing.
pub fn typed(text: &str, characters: Vec<Character>, confidence: f32) -> Read {
    let picture = Arc::new(Thumbnail { width: 1, height: 1, rgb: vec![0; 3] });
    Read {
        id: ReadId { run: 1, pass: 1 },
        camera: "none".into(),
        text: plate::settle(text),
        raw: text.to_owned(),
        confidence,
        characters,
        first_at: Moment::default(),
        last_at: Moment::default(),
        first_seen: Duration::ZERO,
        last_seen: Duration::ZERO,
        looks: 1,
        agreeing: 1,
        corners: [[0.0; 2]; 4],
        patch: picture.clone(),
        overview: picture,
    }
}
