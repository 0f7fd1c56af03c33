//! Filling polygons, solid or shaded from top to bottom.
//!
//! A drive has some thousand frames of a thousand polygons each. Runs of one or two pixels along edges are what such
//! pictures consist of, and a general pipeline that is set up for each run takes several times as long as filling
//! rows directly.

use tiny_skia::{Pixmap, PremultipliedColorU8};

/// How often a row of pixels is sampled from top to bottom; from left to right coverage is exact.
const SAMPLES: usize = 4;

/// What a polygon is filled with: two colours (0 to 1), the rows they hold at, and how much of it covers.
pub(crate) struct Fill {
    pub(crate) top: [f32; 3],
    pub(crate) bottom: [f32; 3],
    pub(crate) rows: [f32; 2],
    pub(crate) alpha: f32,
}

struct Edge {
    top: f32,
    bottom: f32,
    /// Column at row 0, and columns a row.
    x: f32,
    slope: f32,
    winding: i32,
}

/// Outlines that wait to be filled, and room to do it in.
#[derive(Default)]
pub(crate) struct Raster {
    edges: Vec<Edge>,
    active: Vec<usize>,
    crossings: Vec<(f32, i32)>,
    /// Change of coverage from each column to the next.
    change: Vec<f32>,
}

impl Raster {
    /// Adds a closed outline in pixels.
    pub(crate) fn ring(&mut self, points: &[[f32; 2]]) {
        for (i, &a) in points.iter().enumerate() {
            let b = points[(i + 1) % points.len()];
            let (top, bottom, winding) = if a[1] < b[1] { (a, b, 1) } else { (b, a, -1) };
            if bottom[1] - top[1] > 1e-6 {
                let slope = (bottom[0] - top[0]) / (bottom[1] - top[1]);
                let edge = Edge { top: top[1], bottom: bottom[1], x: top[0] - slope * top[1], slope, winding };
                self.edges.push(edge);
            }
        }
    }

    /// Fills the outlines that were added: everywhere they wind around, or with `holes` only where they do so an odd
    /// number of times.
    pub(crate) fn fill(&mut self, picture: &mut Pixmap, fill: &Fill, holes: bool) {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        self.edges.sort_unstable_by(|a, b| a.top.total_cmp(&b.top));
        let first = self.edges.first().map_or(0.0, |e| e.top).clamp(0.0, height as f32) as usize;
        let last = self.edges.iter().map(|e| e.bottom).fold(0.0, f32::max).min(height as f32).ceil() as usize;
        self.change.resize(width + 2, 0.0);
        self.active.clear();
        let mut next = 0;
        for y in first..last {
            while self.edges.get(next).is_some_and(|e| e.top < (y + 1) as f32) {
                self.active.push(next);
                next += 1;
            }
            let edges = &self.edges;
            self.active.retain(|&i| edges[i].bottom > y as f32);
            let (mut low, mut high) = (width, 0);
            // Columns that every sample covers in one span.
            let mut solid = (0.0_f32, width as f32);
            for sample in 0..SAMPLES {
                let level = y as f32 + (sample as f32 + 0.5) / SAMPLES as f32;
                let mut spans = 0;
                self.cross(level);
                let (mut winding, mut from) = (0, 0.0);
                for &(x, step) in &self.crossings {
                    let inside = |w: i32| if holes { w % 2 != 0 } else { w != 0 };
                    let before = inside(winding);
                    winding += step;
                    match (before, inside(winding)) {
                        (false, true) => from = x,
                        (true, false) => {
                            let (a, b) = (from.clamp(0.0, width as f32), x.clamp(0.0, width as f32));
                            for (x, sign) in [(a, 1.0), (b, -1.0)] {
                                let column = x as usize;
                                let part = (x - column as f32) * sign / SAMPLES as f32;
                                self.change[column] += sign / SAMPLES as f32 - part;
                                self.change[column + 1] += part;
                            }
                            low = low.min(a as usize);
                            high = high.max(b as usize + 2);
                            solid = (solid.0.max(a), solid.1.min(b));
                            spans += 1;
                        }
                        _ => {}
                    }
                }
                if spans != 1 {
                    solid = (0.0, 0.0);
                }
            }
            if low < high {
                let rows = fill.rows[1] - fill.rows[0];
                let share = if rows > 0.0 { ((y as f32 + 0.5 - fill.rows[0]) / rows).clamp(0.0, 1.0) } else { 1.0 };
                let colour = [0, 1, 2].map(|i| fill.top[i] + (fill.bottom[i] - fill.top[i]) * share);
                let row = &mut picture.pixels_mut()[y * width..(y + 1) * width];
                let inner = (solid.0 as usize + 2, (solid.1 as usize).saturating_sub(1));
                self.row(row, (low, high.min(width + 2)), inner, colour, fill.alpha);
            }
        }
        self.edges.clear();
    }

    /// Where the edges cross a level, left to right.
    fn cross(&mut self, level: f32) {
        self.crossings.clear();
        for &i in &self.active {
            let e = &self.edges[i];
            if e.top <= level && level < e.bottom {
                self.crossings.push((e.x + e.slope * level, e.winding));
            }
        }
        self.crossings.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// Turns changes into coverage and paints one row, its `inner` columns in one go.
    fn row(
        &mut self,
        row: &mut [PremultipliedColorU8],
        (low, high): (usize, usize),
        inner: (usize, usize),
        colour: [f32; 3],
        alpha: f32,
    ) {
        let full = colour.map(|c| (c.clamp(0.0, 1.0) * 255.0).round());
        let whole = opaque(full);
        let mut cover = 0.0;
        let mut column = low;
        while column < high {
            if column == inner.0 && inner.1 > inner.0 {
                let run = &mut row[inner.0..inner.1];
                if alpha > 0.995 {
                    run.fill(whole);
                } else {
                    run.iter_mut().for_each(|p| *p = blend(*p, full, alpha));
                }
                column = inner.1;
                continue;
            }
            cover += std::mem::take(&mut self.change[column]);
            if let Some(pixel) = row.get_mut(column) {
                let share = cover.min(1.0) * alpha;
                if share > 0.995 {
                    *pixel = whole;
                } else if share > 0.004 {
                    *pixel = blend(*pixel, full, share);
                }
            }
            column += 1;
        }
    }
}

fn opaque(c: [f32; 3]) -> PremultipliedColorU8 {
    // Any colour fits under full alpha.
    PremultipliedColorU8::from_rgba(c[0] as u8, c[1] as u8, c[2] as u8, 255)
        .unwrap_or(PremultipliedColorU8::TRANSPARENT)
}

fn blend(under: PremultipliedColorU8, over: [f32; 3], share: f32) -> PremultipliedColorU8 {
    let under = [under.red(), under.green(), under.blue()].map(f32::from);
    opaque([0, 1, 2].map(|i| under[i] + (over[i] - under[i]) * share + 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(rings: &[&[[f32; 2]]], holes: bool, alpha: f32) -> Pixmap {
        let mut picture = Pixmap::new(40, 20).expect("a picture");
        picture.fill(tiny_skia::Color::BLACK);
        let mut raster = Raster::default();
        rings.iter().for_each(|ring| raster.ring(ring));
        raster.fill(&mut picture, &Fill { top: [1.0; 3], bottom: [1.0; 3], rows: [0.0, 0.0], alpha }, holes);
        assert!(raster.change.iter().all(|c| *c == 0.0), "nothing is left for the next polygon");
        picture
    }

    fn sum(picture: &Pixmap) -> f32 {
        picture.pixels().iter().map(|p| f32::from(p.red()) / 255.0).sum()
    }

    #[test]
    fn what_is_painted_is_the_area_of_the_polygon() {
        let triangle: &[[f32; 2]] = &[[2.3, 1.0], [37.6, 9.0], [5.2, 18.0]];
        let area = ((37.6 - 2.3) * (18.0 - 1.0) - (5.2 - 2.3) * (9.0 - 1.0)) / 2.0;
        let got = sum(&painted(&[triangle], false, 1.0));
        assert!((got - area).abs() < area * 0.01, "{got} {area}");
        let half = sum(&painted(&[triangle], false, 0.5));
        assert!((half - area / 2.0).abs() < area * 0.01, "{half}");
    }

    #[test]
    fn holes_stay_open_and_what_is_outside_is_cut_off() {
        let outer: &[[f32; 2]] = &[[-10.0, -5.0], [60.0, -5.0], [60.0, 30.0], [-10.0, 30.0]];
        let inner: &[[f32; 2]] = &[[10.0, 5.0], [20.0, 5.0], [20.0, 10.0], [10.0, 10.0]];
        assert_eq!(sum(&painted(&[outer], false, 1.0)), 800.0);
        assert_eq!(sum(&painted(&[outer, inner], true, 1.0)), 750.0);
        assert_eq!(sum(&painted(&[outer, inner], false, 1.0)), 800.0);
        assert_eq!(sum(&painted(&[&[[50.0, 2.0], [60.0, 2.0], [55.0, 9.0]]], false, 1.0)), 0.0);
    }
}
