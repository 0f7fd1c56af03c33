//! A contact sheet of the plates that were missed: the plate, what it says and what was read.

use std::path::Path;

use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Transform};

use crate::capture::{Picture, region_rgb};
use crate::drive::{HEIGHT, glyphs};
use crate::fault::{Fault, Kind, Result};

use super::score::{Fate, Label};

const ACROSS: usize = 6;
/// Width and height of one plate's picture and of the text under it, pixels.
const TILE: (usize, usize) = (260, 100);
const TEXT: usize = 50;
const GAP: usize = 8;

/// Collects misses.
#[derive(Default)]
pub(super) struct Sheet {
    tiles: Vec<(Vec<u8>, String, String)>,
}

impl Sheet {
    /// Takes a plate that was not found or not read.
    pub(super) fn miss(&mut self, picture: &Picture, label: &Label, fate: &Fate) {
        // Half a plate's width of surroundings on each side, at the tile's shape.
        let wide = (label.w * 2.0).max(label.h * 2.0 * TILE.0 as f32 / TILE.1 as f32).max(8.0);
        let high = wide * TILE.1 as f32 / TILE.0 as f32;
        let (x, y) = (label.x + (label.w - wide) / 2.0, label.y + (label.h - high) / 2.0);
        let rgb = region_rgb(picture, x as i32, y as i32, wide as usize, high.max(1.0) as usize, TILE.0, TILE.1);
        self.tiles.push((rgb, fate.wanted.clone(), fate.got.clone().unwrap_or_default()));
    }

    /// Writes the sheet as a PNG file: under each plate in black what it says, in red what was read.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let failed = |why: &str| {
            Fault::new(Kind::Unavailable, "the sheet of misses cannot be written")
                .at(path.display().to_string())
                .because(why)
        };
        let rows = self.tiles.len().div_ceil(ACROSS).max(1);
        let (width, height) = (ACROSS * (TILE.0 + GAP) + GAP, rows * (TILE.1 + TEXT + GAP) + GAP);
        let mut map = Pixmap::new(width as u32, height as u32).ok_or_else(|| failed("it would be too large"))?;
        map.fill(Color::WHITE);
        for (index, (rgb, wanted, got)) in self.tiles.iter().enumerate() {
            let (left, top) = (GAP + index % ACROSS * (TILE.0 + GAP), GAP + index / ACROSS * (TILE.1 + TEXT + GAP));
            for (y, line) in rgb.chunks_exact(3 * TILE.0).enumerate() {
                let out = &mut map.pixels_mut()[(top + y) * width + left..][..TILE.0];
                for (out, c) in out.iter_mut().zip(line.chunks_exact(3)) {
                    *out = PremultipliedColorU8::from_rgba(c[0], c[1], c[2], 255).unwrap_or(*out);
                }
            }
            let below = (top + TILE.1 + 4) as f32;
            write(&mut map, wanted, left as f32, below, Color::BLACK)?;
            write(&mut map, got, left as f32, below + TEXT as f32 / 2.0, Color::from_rgba8(200, 0, 0, 255))?;
        }
        map.save_png(path).map_err(|error| failed(&error.to_string()))
    }
}

/// Writes a text in the plate's own characters, half a [`TEXT`] high.
fn write(map: &mut Pixmap, text: &str, mut x: f32, y: f32, colour: Color) -> Result<()> {
    let scale = (TEXT as f32 / 2.0 - 6.0) / HEIGHT;
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(colour);
    for glyph in text.chars().filter_map(|c| glyphs().map(|all| all.get(c)).transpose()) {
        let glyph = glyph?;
        let mut path = PathBuilder::new();
        for outline in &glyph.outlines {
            for (index, [px, py]) in outline.iter().enumerate() {
                if index == 0 { path.move_to(*px, *py) } else { path.line_to(*px, *py) }
            }
            path.close();
        }
        if let Some(path) = path.finish() {
            let place = Transform::from_scale(scale, scale).post_translate(x, y);
            map.fill_path(&path, &paint, FillRule::EvenOdd, place, None);
        }
        x += (glyph.width + 14.0) * scale;
    }
    Ok(())
}
