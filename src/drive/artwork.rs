//! Plates as pictures: every common UK layout, drawn to the published dimensions.

use tiny_skia::{FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Transform};

use super::glyphs::{Glyphs, HEIGHT, glyphs};
use crate::fault::{Fault, Kind, Result};

/// Pixels a millimetre of the largest picture.
const FINE: f32 = 2.0;

/// What a plate is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Material {
    /// Black on reflective white: front plates.
    White,
    /// Black on reflective yellow: rear plates.
    Yellow,
    /// Silver on black, of vehicles made before 1980.
    BlackAndSilver,
    /// Red on white: the trade.
    Trade,
}

/// What stands at the left end of a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Badge {
    /// Nothing.
    None,
    /// The blue band with a flag and UK.
    Uk,
    /// The blue band with a ring of stars and GB.
    Gb,
    /// The green band of a vehicle without emissions.
    Green,
}

/// How the characters are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// One line, 520 x 111 mm.
    OneLine,
    /// Two lines, 285 x 203 mm.
    TwoLines,
    /// Two lines of the smaller characters, 229 x 166 mm.
    Motorcycle,
}

/// A plate: its text in the groups that it shows, and how it is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plate {
    /// The groups of characters, left to right or top to bottom.
    pub groups: Vec<String>,
    /// What it is made of.
    pub material: Material,
    /// What stands at its left end.
    pub badge: Badge,
    /// How the characters are laid out.
    pub form: Form,
}

impl Plate {
    /// The text without spaces.
    pub fn text(&self) -> String {
        self.groups.concat()
    }

    /// Width and height in millimetres.
    pub fn size(&self) -> [f32; 2] {
        match self.form {
            Form::OneLine => [520.0, 111.0],
            Form::TwoLines => [285.0, 203.0],
            Form::Motorcycle => [250.0, 166.0],
        }
    }
}

/// A plate's picture at several sizes, each half the one before.
#[derive(Debug)]
pub(crate) struct Artwork {
    /// Width and height in millimetres.
    pub(crate) size: [f32; 2],
    levels: Vec<Level>,
    /// Whether the ground reflects light back to where it came from.
    pub(crate) reflective: bool,
}

#[derive(Debug)]
struct Level {
    width: usize,
    height: usize,
    /// Pixels a millimetre, along each side.
    density: [f32; 2],
    rgb: Vec<[f32; 3]>,
}

impl Artwork {
    /// Draws `plate`.
    ///
    /// # Errors
    /// Kind `Internal` if the text has a character that no plate shows.
    pub(crate) fn new(plate: &Plate) -> Result<Self> {
        let size = plate.size();
        let picture = draw(plate, glyphs()?)?;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let rgb =
            picture.pixels().iter().map(|p| [p.red(), p.green(), p.blue()].map(|v| f32::from(v) / 255.0)).collect();
        let density = |w: usize, h: usize| [w as f32 / size[0], h as f32 / size[1]];
        let mut levels = vec![Level { width, height, density: density(width, height), rgb }];
        while let Some(last) = levels.last().filter(|l| l.height >= 12) {
            let (w, h) = (last.width / 2, last.height / 2);
            let mut half = Vec::with_capacity(w * h);
            for y in 0..h {
                for x in 0..w {
                    let at = |dx: usize, dy: usize| last.rgb[(2 * y + dy) * last.width + 2 * x + dx];
                    let (a, b, c, d) = (at(0, 0), at(1, 0), at(0, 1), at(1, 1));
                    half.push([0, 1, 2].map(|i| (a[i] + b[i] + c[i] + d[i]) / 4.0));
                }
            }
            levels.push(Level { width: w, height: h, density: density(w, h), rgb: half });
        }
        Ok(Self { size, levels, reflective: plate.material != Material::BlackAndSilver })
    }

    /// The picture to sample when a millimetre covers `pixels` of the frame.
    pub(crate) fn level(&self, pixels: f32) -> Sampler<'_> {
        // One texel a pixel at the least: four samples a pixel then see every texel.
        let level = self.levels.iter().rev().find(|l| l.density[0] >= pixels * 1.15).unwrap_or(&self.levels[0]);
        Sampler(level)
    }
}

/// One size of a plate's picture.
pub(crate) struct Sampler<'a>(&'a Level);

impl Sampler<'_> {
    /// The colour at a point in millimetres from the top left corner, between the four nearest texels.
    pub(crate) fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let l = self.0;
        let fx = (x * l.density[0] - 0.5).clamp(0.0, l.width as f32 - 1.001);
        let fy = (y * l.density[1] - 0.5).clamp(0.0, l.height as f32 - 1.001);
        let (ix, iy) = (fx as usize, fy as usize);
        let (tx, ty) = (fx - ix as f32, fy - iy as f32);
        let row = iy * l.width + ix;
        let (a, b) = (l.rgb[row], l.rgb[row + 1]);
        let (c, d) = (l.rgb[row + l.width], l.rgb[row + l.width + 1]);
        [0, 1, 2].map(|i| (a[i] * (1.0 - tx) + b[i] * tx) * (1.0 - ty) + (c[i] * (1.0 - tx) + d[i] * tx) * ty)
    }
}

/// Published dimensions of characters in millimetres.
struct Measure {
    height: f32,
    width: f32,
    between: f32,
    groups: f32,
    lines: f32,
}

const CAR: Measure = Measure { height: 79.0, width: 50.0, between: 11.0, groups: 33.0, lines: 19.0 };
const MOTORCYCLE: Measure = Measure { height: 64.0, width: 44.0, between: 10.0, groups: 30.0, lines: 13.0 };

fn draw(plate: &Plate, glyphs: &Glyphs) -> Result<Pixmap> {
    let unfit = |why: &str| Fault::new(Kind::Internal, "a made-up plate cannot be drawn").because(why);
    let [width, height] = plate.size();
    let mut picture =
        Pixmap::new((width * FINE) as u32, (height * FINE) as u32).ok_or_else(|| unfit("it has no size"))?;
    let (ground, ink) = match plate.material {
        Material::White => ([236, 238, 236], [18, 18, 20]),
        Material::Yellow => ([250, 203, 26], [18, 18, 18]),
        Material::BlackAndSilver => ([20, 20, 22], [205, 208, 212]),
        Material::Trade => ([238, 238, 236], [190, 24, 30]),
    };
    let transform = Transform::from_scale(FINE, FINE);
    let mut fill = |path: Option<Path>, [r, g, b]: [u8; 3]| {
        if let Some(path) = path {
            let mut paint = Paint::default();
            paint.set_color_rgba8(r, g, b, 255);
            picture.fill_path(&path, &paint, FillRule::EvenOdd, transform, None);
        }
    };
    let rect = |x: f32, y: f32, w: f32, h: f32| Rect::from_xywh(x, y, w, h).map(PathBuilder::from_rect);

    fill(rect(0.0, 0.0, width, height), ground);
    match plate.material {
        Material::BlackAndSilver => fill(frame(width, height, 4.0, 3.0), ink),
        Material::Trade => fill(frame(width, height, 3.0, 4.0), ink),
        // A thin dark rim, as most plates have one from their cut edge.
        _ => fill(frame(width, height, 0.0, 2.0), ground.map(|v| v / 3 * 2)),
    }

    let band = 44.0;
    let left = match plate.badge {
        Badge::None => 0.0,
        Badge::Green => {
            fill(rect(0.0, 0.0, band, height), [0, 130, 70]);
            band
        }
        Badge::Uk | Badge::Gb => {
            fill(rect(0.0, 0.0, band, height), [0, 48, 140]);
            let letters = if plate.badge == Badge::Uk { "UK" } else { "GB" };
            fill(word(glyphs, letters, band / 2.0, height - 36.0, 24.0, 0.72), [240, 240, 240]);
            if plate.badge == Badge::Uk {
                fill(rect(9.0, 20.0, 26.0, 18.0), [235, 235, 240]);
                fill(rect(20.0, 20.0, 4.0, 18.0), [200, 16, 46]);
                fill(rect(9.0, 27.0, 26.0, 4.0), [200, 16, 46]);
            } else {
                for star in 0..12 {
                    let (sin, cos) = (star as f32 * std::f32::consts::TAU / 12.0).sin_cos();
                    fill(PathBuilder::from_circle(22.0 + 13.0 * cos, 30.0 + 13.0 * sin, 2.2), [250, 210, 40]);
                }
            }
            band
        }
    };

    let measure = if plate.form == Form::Motorcycle { MOTORCYCLE } else { CAR };
    let lines: Vec<Vec<&str>> = match plate.form {
        Form::OneLine => vec![plate.groups.iter().map(String::as_str).collect()],
        _ => plate.groups.iter().map(|g| vec![g.as_str()]).collect(),
    };
    let block = lines.len() as f32 * (measure.height + measure.lines) - measure.lines;
    let mut y = (height - block) / 2.0 - if plate.form == Form::OneLine { 1.5 } else { 0.0 };
    for line in &lines {
        let wide = line_width(glyphs, line, &measure).ok_or_else(|| unfit("a character has no outline"))?;
        let mut x = left + (width - left - wide) / 2.0;
        for (g, group) in line.iter().enumerate() {
            if g > 0 {
                x += measure.groups - measure.between;
            }
            for character in group.chars() {
                fill(outline(glyphs, character, x, y, measure.width / 50.0, measure.height / HEIGHT), ink);
                x += character_width(glyphs, character, &measure).unwrap_or(0.0) + measure.between;
            }
        }
        y += measure.height + measure.lines;
    }
    // The maker's line under the characters, far too small to be read.
    let mut x = left + (width - left) / 2.0 - 40.0;
    for run in [9.0, 14.0, 5.0, 18.0, 8.0, 12.0] {
        fill(rect(x, height - 8.5, run, 3.0), ground.map(|v| v / 2 + 20));
        x += run + 3.0;
    }
    // Two fixing caps in the ground's own colour.
    for x in [0.17, 0.83] {
        let at = left + (width - left) * x;
        fill(PathBuilder::from_circle(at, 8.0, 4.5), ground.map(|v| (f32::from(v) * 0.9) as u8));
    }
    Ok(picture)
}

fn frame(width: f32, height: f32, inset: f32, thick: f32) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for by in [inset, inset + thick] {
        builder.push_rect(Rect::from_ltrb(by, by, width - by, height - by)?);
    }
    builder.finish()
}

fn character_width(glyphs: &Glyphs, character: char, measure: &Measure) -> Option<f32> {
    glyphs.get(character).map(|g| g.width * measure.width / 50.0)
}

fn line_width(glyphs: &Glyphs, groups: &[&str], measure: &Measure) -> Option<f32> {
    let mut wide = (groups.len() as f32 - 1.0) * measure.groups;
    for group in groups {
        for character in group.chars() {
            wide += character_width(glyphs, character, measure)?;
        }
        wide += (group.len() as f32 - 1.0) * measure.between;
    }
    Some(wide)
}

fn outline(glyphs: &Glyphs, character: char, x: f32, y: f32, sx: f32, sy: f32) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for ring in &glyphs.get(character)?.outlines {
        for (i, p) in ring.iter().enumerate() {
            let (px, py) = (x + p[0] * sx, y + p[1] * sy);
            if i == 0 { builder.move_to(px, py) } else { builder.line_to(px, py) }
        }
        builder.close();
    }
    builder.finish()
}

/// A word centred on `x`, its top at `y`, `high` millimetres high and squeezed sideways.
fn word(glyphs: &Glyphs, text: &str, x: f32, y: f32, high: f32, squeeze: f32) -> Option<Path> {
    let k = high / HEIGHT;
    let wide: f32 = text.chars().filter_map(|c| glyphs.get(c)).map(|g| (g.width + 14.0) * k * squeeze).sum();
    let mut at = x - wide / 2.0 + 7.0 * k * squeeze;
    let mut builder = PathBuilder::new();
    for character in text.chars() {
        if let Some(path) = outline(glyphs, character, at, y, k * squeeze, k) {
            builder.push_path(&path);
        }
        at += glyphs.get(character).map_or(40.0, |g| g.width + 14.0) * k * squeeze;
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plate(groups: &[&str], form: Form, badge: Badge) -> Plate {
        Plate { groups: groups.iter().map(|g| (*g).to_owned()).collect(), material: Material::White, badge, form }
    }

    #[test]
    fn the_widest_text_fits_beside_a_badge_with_its_margins() {
        let glyphs = glyphs().expect("the built-in characters parse");
        let wide = line_width(glyphs, &["ZK52", "HRW"], &CAR).expect("all have outlines");
        // Seven characters of 50, five gaps of 11, one of 33.
        assert_eq!(wide, 438.0);
        assert!(wide + 44.0 + 2.0 * 11.0 <= 520.0);
        assert!(line_width(glyphs, &["ZK52"], &MOTORCYCLE).is_some_and(|w| w + 22.0 <= 250.0));
    }

    #[test]
    fn a_plate_has_ink_where_characters_stand_and_none_in_its_margins() {
        let art = Artwork::new(&plate(&["ZH52", "HRW"], Form::OneLine, Badge::None)).expect("it can be drawn");
        let sampler = art.level(FINE);
        // The first Z starts 41 mm from the edge; its top bar is 14 mm thick.
        assert!(sampler.at(66.0, 22.0)[0] < 0.2);
        assert!(sampler.at(25.0, 55.0)[0] > 0.8);
        assert!(Artwork::new(&plate(&["Z?"], Form::OneLine, Badge::None)).is_err());
    }

    #[test]
    fn a_distant_plate_is_an_average_not_a_pick() {
        let art = Artwork::new(&plate(&["ZH52", "HRW"], Form::OneLine, Badge::None)).expect("it can be drawn");
        let small = art.level(0.05).at(260.0, 55.0)[0];
        assert!((0.2..0.9).contains(&small), "{small}");
    }
}
