//! A VRM drawn as the plate that carries it, so that the eye compares like with like: black characters of the
//! prescribed shapes on yellow, with a bar under the character that is least sure.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use tiny_skia::{Color, FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Transform};

use crate::plate;
use crate::recognise::Thumbnail;

/// Everything below is in millimetres of a real plate (Display of Registration Marks Regulations 2001).
const PLATE_WIDTH: f32 = 520.0;
const PLATE_HEIGHT: f32 = 111.0;
const SPACE: f32 = 11.0;
const GAP: f32 = 33.0;
const MARGIN: f32 = 16.0;

#[derive(Deserialize)]
struct GlyphFile {
    height: f32,
    glyphs: HashMap<char, GlyphText>,
}

#[derive(Deserialize)]
struct GlyphText {
    width: f32,
    path: String,
}

struct Glyphs {
    height: f32,
    shapes: HashMap<char, (f32, Path)>,
}

static GLYPHS: LazyLock<Glyphs> = LazyLock::new(|| {
    let file: GlyphFile = serde_json::from_str(include_str!("../../models/glyphs/uk.json"))
        .expect("the glyphs are part of the program, and a test reads them");
    let shapes = file
        .glyphs
        .into_iter()
        .filter_map(|(character, glyph)| Some((character, (glyph.width, outline(&glyph.path)?))))
        .collect();
    Glyphs { height: file.height, shapes }
});

/// A picture of a plate: premultiplied red, green, blue, alpha; outside the rounded corners it is transparent.
pub(super) struct PlatePicture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rgba: Vec<u8>,
}

/// Draws `text` (no spaces) as a plate of about `height` pixels; `mark` is the place of a character to be underlined.
/// `None` if nothing can be drawn: no text, or a height of nothing.
pub(super) fn draw(text: &str, mark: Option<usize>, height: u32, night: bool) -> Option<PlatePicture> {
    let glyphs = &*GLYPHS;
    if text.is_empty() {
        return None;
    }
    let mut places = Vec::new();
    let mut x = 0.0;
    for character in plate::spaced(text).chars() {
        match glyphs.shapes.get(&character) {
            Some((width, shape)) => {
                places.push((x, *width, shape));
                x += width + SPACE;
            }
            None => x += GAP - SPACE,
        }
    }
    let length = x - SPACE;
    let whole = PLATE_WIDTH.max(length + 2.0 * MARGIN);
    let scale = height as f32 / PLATE_HEIGHT;
    let mut pixmap = Pixmap::new((whole * scale).round() as u32, height)?;

    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(if night {
        Color::from_rgba8(0xd9, 0xb3, 0x1c, 255)
    } else {
        Color::from_rgba8(0xff, 0xd8, 0x1f, 255)
    });
    let to_pixels = Transform::from_scale(scale, scale);
    pixmap.fill_path(&rounded(whole, PLATE_HEIGHT, 10.0)?, &paint, FillRule::Winding, to_pixels, None);

    let left = (whole - length) / 2.0;
    let top = (PLATE_HEIGHT - glyphs.height) / 2.0;
    for (place, (x, width, shape)) in places.into_iter().enumerate() {
        let there = Transform::from_translate(left + x, top).post_scale(scale, scale);
        paint.set_color(Color::BLACK);
        pixmap.fill_path(shape, &paint, FillRule::EvenOdd, there, None);
        if mark == Some(place) {
            paint.set_color(Color::from_rgba8(0xa0, 0x00, 0x10, 255));
            let bar = Rect::from_xywh(-3.0, glyphs.height + 4.0, width + 6.0, 9.0)?;
            pixmap.fill_rect(bar, &paint, there, None);
        }
    }
    Some(PlatePicture { width: pixmap.width(), height, rgba: pixmap.take() })
}

/// `text` as a plate without a camera: for a drill, which has none to show. Empty if nothing can be drawn.
pub fn as_seen(text: &str, height: u32) -> Thumbnail {
    match draw(text, None, height, false) {
        Some(plate) => Thumbnail {
            width: plate.width as usize,
            height: plate.height as usize,
            rgb: plate.rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        },
        None => Thumbnail { width: 0, height: 0, rgb: Vec::new() },
    }
}

/// Straight lines only: `M`, `L` with `x,y` and `Z`.
fn outline(text: &str) -> Option<Path> {
    let mut path = PathBuilder::new();
    for step in text.split_whitespace() {
        if step == "Z" {
            path.close();
            continue;
        }
        let (x, y) = step.get(1..)?.split_once(',')?;
        let (x, y) = (x.parse().ok()?, y.parse().ok()?);
        match step.as_bytes()[0] {
            b'M' => path.move_to(x, y),
            b'L' => path.line_to(x, y),
            _ => return None,
        }
    }
    path.finish()
}

fn rounded(width: f32, height: f32, radius: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(radius, 0.0);
    path.line_to(width - radius, 0.0);
    path.quad_to(width, 0.0, width, radius);
    path.line_to(width, height - radius);
    path.quad_to(width, height, width - radius, height);
    path.line_to(radius, height);
    path.quad_to(0.0, height, 0.0, height - radius);
    path.line_to(0.0, radius);
    path.quad_to(0.0, 0.0, radius, 0.0);
    path.close();
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark(picture: &PlatePicture, column: u32) -> usize {
        (0..picture.height)
            .filter(|row| {
                let at = ((row * picture.width + column) * 4) as usize;
                picture.rgba[at] < 60 && picture.rgba[at + 3] == 255
            })
            .count()
    }

    #[test]
    fn every_character_of_a_plate_has_its_shape() {
        for character in plate::ALPHABET {
            assert!(GLYPHS.shapes.contains_key(&(character as char)), "{}", character as char);
        }
    }

    #[test]
    fn a_plate_has_as_many_characters_as_its_text_and_a_wide_gap() {
        let picture = draw("AB12CDE", None, 111, false).expect("drawn");
        assert_eq!((picture.width, picture.height), (520, 111));
        let columns: Vec<bool> = (0..picture.width).map(|column| dark(&picture, column) > 0).collect();
        let runs: Vec<(bool, usize)> = columns.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
        assert_eq!(runs.iter().filter(|(ink, _)| *ink).count(), 7);
        let inner = &runs[1..runs.len() - 1];
        let widest = inner.iter().filter(|(ink, _)| !ink).map(|(_, length)| *length).max();
        assert!(widest.is_some_and(|gap| (30..=36).contains(&gap)), "{runs:?}");
    }

    #[test]
    fn long_texts_fit_and_nothing_is_not_drawn() {
        assert!(draw("WWWWWWWWWWWW", Some(3), 60, true).is_some_and(|p| p.width > 60 * 5));
        assert!(draw("", None, 60, false).is_none() && draw("A1", None, 0, false).is_none());
    }

    #[test]
    fn the_marked_character_is_underlined() {
        let (plain, marked) =
            (draw("AB12CDE", None, 111, false).expect("drawn"), draw("AB12CDE", Some(0), 111, false).expect("drawn"));
        let reddish = |p: &PlatePicture| {
            (0..p.rgba.len() / 4)
                .filter(|i| p.rgba[i * 4] > 120 && p.rgba[i * 4 + 1] < 40)
                .map(|i| i as u32 % p.width)
                .collect::<Vec<_>>()
        };
        assert!(reddish(&plain).is_empty());
        let bar = reddish(&marked);
        assert!(bar.len() > 200 && bar.iter().all(|x| (50..115).contains(x)), "under the first character");
    }
}
