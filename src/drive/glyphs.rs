//! The UK plate characters as outlines, from `models/glyphs/uk.json`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::fault::{Fault, Kind, Result};

const SOURCE: &str = include_str!("../../models/glyphs/uk.json");
/// Height of every character in millimetres.
pub(crate) const HEIGHT: f32 = 79.0;

#[derive(Deserialize)]
struct File {
    glyphs: BTreeMap<char, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    width: f32,
    path: String,
}

/// One character: closed outlines in millimetres, filled by the even-odd rule, origin top left.
#[derive(Debug, Clone)]
pub(crate) struct Glyph {
    /// Width in millimetres.
    pub(crate) width: f32,
    /// The outlines.
    pub(crate) outlines: Vec<Vec<[f32; 2]>>,
}

/// Every character that a plate can show.
#[derive(Debug)]
pub(crate) struct Glyphs(BTreeMap<char, Glyph>);

impl Glyphs {
    /// The outline of one character; `None` for what no plate shows.
    pub(crate) fn get(&self, character: char) -> Option<&Glyph> {
        self.0.get(&character)
    }
}

/// The characters, parsed once.
///
/// # Errors
/// Kind `Internal` if the outlines that were built in cannot be parsed.
pub(crate) fn glyphs() -> Result<&'static Glyphs> {
    static GLYPHS: OnceLock<Result<Glyphs, String>> = OnceLock::new();
    GLYPHS.get_or_init(|| parse(SOURCE)).as_ref().map_err(|why| {
        Fault::new(Kind::Internal, "the built-in plate characters cannot be parsed").because(why.as_str())
    })
}

fn parse(source: &str) -> Result<Glyphs, String> {
    let file: File = serde_json::from_str(source).map_err(|e| e.to_string())?;
    let mut glyphs = BTreeMap::new();
    for (character, entry) in file.glyphs {
        let outlines = outlines(&entry.path).map_err(|why| format!("{character}: {why}"))?;
        glyphs.insert(character, Glyph { width: entry.width, outlines });
    }
    Ok(Glyphs(glyphs))
}

/// SVG path data of absolute M, L, C and Z as closed polygons.
fn outlines(path: &str) -> Result<Vec<Vec<[f32; 2]>>, String> {
    const PIECES: usize = 8;
    let mut done = Vec::new();
    let mut open: Vec<[f32; 2]> = Vec::new();
    let mut command = ' ';
    let mut pending: Vec<[f32; 2]> = Vec::new();
    let spaced: String =
        path.chars().flat_map(|c| if c.is_ascii_alphabetic() { vec![' ', c, ' '] } else { vec![c] }).collect();
    let mut numbers = Vec::new();
    for word in spaced.split([' ', ',']).filter(|w| !w.is_empty()) {
        match word {
            "M" | "L" | "C" => command = word.chars().next().unwrap_or(' '),
            "Z" => {
                if open.len() >= 3 {
                    done.push(std::mem::take(&mut open));
                }
                open.clear();
            }
            number => {
                numbers.push(number.parse::<f32>().map_err(|e| format!("{number:?}: {e}"))?);
                if let [x, y] = numbers[..] {
                    numbers.clear();
                    pending.push([x, y]);
                }
                match (command, pending.len()) {
                    ('M' | 'L', 1) => open.append(&mut pending),
                    ('C', 3) => {
                        let from = *open.last().ok_or("a curve from nowhere")?;
                        for step in 1..=PIECES {
                            let t = step as f32 / PIECES as f32;
                            let u = 1.0 - t;
                            let k = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
                            let at = |i: usize| {
                                k[0] * from[i] + k[1] * pending[0][i] + k[2] * pending[1][i] + k[3] * pending[2][i]
                            };
                            open.push([at(0), at(1)]);
                        }
                        pending.clear();
                    }
                    ('M' | 'L' | 'C', _) => {}
                    _ => return Err(format!("{number} follows no known command")),
                }
            }
        }
    }
    if open.is_empty() && pending.is_empty() && numbers.is_empty() { Ok(done) } else { Err("it is not closed".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plate::ALPHABET;

    #[test]
    fn every_character_of_a_plate_has_an_outline_within_its_cell() {
        let glyphs = glyphs().expect("the built-in characters parse");
        for character in ALPHABET {
            let glyph = glyphs.get(char::from(character)).expect("the character is there");
            assert!(!glyph.outlines.is_empty());
            for [x, y] in glyph.outlines.iter().flatten() {
                assert!((-0.01..=glyph.width + 0.01).contains(x) && (-0.01..=HEIGHT + 0.01).contains(y));
            }
        }
    }

    #[test]
    fn curves_end_where_they_should_and_nonsense_is_refused() {
        let curve = outlines("M0,0 C0,10 10,10 10,0 L10,-5 Z").expect("a path");
        assert_eq!(curve[0][8], [10.0, 0.0]);
        assert!(outlines("M0,0 L1").is_err());
        assert!(outlines("Q0,0").is_err());
    }
}
