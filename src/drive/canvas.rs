//! Painting in perspective: lit faces, glows, lettering and plates on one frame.

use tiny_skia::Pixmap;

use super::artwork::Artwork;
use super::raster::{Fill, Raster};
use super::space::{Camera, V3, add, hull, scale};
use super::strokes;

/// Red, green and blue, 0 to 1.
pub(crate) type Rgb = [f32; 3];

/// The light of one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Light {
    /// What falls on everything.
    pub(crate) ambient: Rgb,
    /// Strength of the own headlamps, 0 to 1.
    pub(crate) head: f32,
    /// How far lamps are on: 0 by day, 1 at night.
    pub(crate) lamps: f32,
    /// Colour of the distance.
    pub(crate) haze: Rgb,
    /// Depth in metres over which two thirds of a colour are lost to the distance.
    pub(crate) clear: f32,
}

const HEADLAMP: Rgb = [1.0, 0.96, 0.86];

impl Light {
    /// How strongly the own headlamps light a point seen from the camera, 1 at the most.
    pub(crate) fn headlamp(p: V3) -> f32 {
        let z = p[2].max(0.5);
        let aside = (p[0] + 0.15) / z;
        let cone = (-(aside * 2.0) * (aside * 2.0)).exp();
        // Dipped beams: what is more than half a metre above the lamps gets less the farther it is.
        let above = ((p[1] + 0.5) / z * 9.0).clamp(0.0, 1.0);
        let reach = 1.0 / (1.0 + (z / 17.0) * (z / 17.0));
        cone * reach * (1.0 - 0.8 * above) * (z / 3.5).min(1.0)
    }

    /// The colour that a surface of `albedo` shows at `p` (from the camera) when it faces the light by `facing`.
    pub(crate) fn on(&self, albedo: Rgb, p: V3, facing: f32) -> Rgb {
        let head = if self.head > 0.0 { self.head * Self::headlamp(p) } else { 0.0 };
        let haze = 1.0 - (-(p[2].max(0.0)) / self.clear).exp();
        [0, 1, 2].map(|i| {
            let lit = albedo[i] * (self.ambient[i] * facing + head * HEADLAMP[i]);
            lit + (self.haze[i] - lit) * haze
        })
    }
}

/// One frame being painted. Points are metres from the camera.
pub(crate) struct Canvas {
    /// The picture, opaque.
    pub(crate) picture: Pixmap,
    /// The camera.
    pub(crate) camera: Camera,
    /// The light.
    pub(crate) light: Light,
    raster: Raster,
}

fn middle(points: &[V3]) -> V3 {
    let sum = points.iter().fold([0.0; 3], |a, b| add(a, *b));
    scale(sum, 1.0 / points.len().max(1) as f32)
}

impl Canvas {
    /// An empty canvas.
    pub(crate) fn new(picture: Pixmap, camera: Camera, light: Light) -> Self {
        Self { picture, camera, light, raster: Raster::default() }
    }

    /// A surface in the light: `facing` is how it is turned towards the sky, about 1.
    pub(crate) fn face(&mut self, points: &[V3], albedo: Rgb, facing: f32) {
        let c = self.light.on(albedo, middle(points), facing);
        self.flat(&self.camera.outline(points), c, 1.0);
    }

    /// A translucent surface in the light.
    pub(crate) fn veil(&mut self, points: &[V3], albedo: Rgb, alpha: f32) {
        let c = self.light.on(albedo, middle(points), 1.0);
        self.flat(&self.camera.outline(points), c, alpha);
    }

    /// A surface with a colour of its own, whatever the light.
    pub(crate) fn own(&mut self, points: &[V3], colour: Rgb, alpha: f32) {
        self.flat(&self.camera.outline(points), colour, alpha);
    }

    /// A surface in the light that changes from one colour at its top to another at its bottom.
    pub(crate) fn shaded(&mut self, points: &[V3], top: Rgb, bottom: Rgb) {
        let at = middle(points);
        let (top, bottom) = (self.light.on(top, at, 1.0), self.light.on(bottom, at, 1.0));
        let outline = self.camera.outline(points);
        self.gradient(&outline, top, bottom);
    }

    /// A polygon of pixels, shaded from its top to its bottom.
    fn gradient(&mut self, outline: &[[f32; 2]], top: Rgb, bottom: Rgb) {
        let [_, y, _, h] = hull(outline);
        self.fill(outline, &Fill { top, bottom, rows: [y, y + h], alpha: 1.0 });
    }

    /// A polygon of pixels.
    pub(crate) fn flat(&mut self, outline: &[[f32; 2]], colour: Rgb, alpha: f32) {
        self.fill(outline, &Fill { top: colour, bottom: colour, rows: [0.0; 2], alpha });
    }

    fn fill(&mut self, outline: &[[f32; 2]], fill: &Fill) {
        let [x, y, w, h] = hull(outline);
        let outside = x > self.camera.width || y > self.camera.height || x + w < 0.0 || y + h < 0.0;
        if outline.len() < 3 || outside || w.max(h) < 0.3 || fill.alpha < 0.01 {
            return;
        }
        self.raster.ring(outline);
        self.raster.fill(&mut self.picture, fill, false);
    }

    /// A disc that always faces the camera.
    pub(crate) fn disc(&mut self, at: V3, radius: f32, albedo: Rgb, facing: f32) {
        let c = self.light.on(albedo, at, facing);
        self.spot(at, radius, c);
    }

    /// A disc with a colour of its own.
    pub(crate) fn spot(&mut self, at: V3, radius: f32, colour: Rgb) {
        if at[2] < 0.4 {
            return;
        }
        let [x, y] = self.camera.project(at);
        let r = radius * self.camera.pixels(at[2]);
        let sides = (8.0 + r * 0.5).min(44.0) as usize;
        let ring: Vec<[f32; 2]> = (0..sides)
            .map(|i| {
                let (sin, cos) = (i as f32 * std::f32::consts::TAU / sides as f32).sin_cos();
                [x + r * cos, y + r * sin]
            })
            .collect();
        self.flat(&ring, colour, 1.0);
    }

    /// Light that spreads in the lens around a lamp `radius` metres wide; added to what is there.
    pub(crate) fn glow(&mut self, at: V3, radius: f32, colour: Rgb, strength: f32) {
        if at[2] < 0.6 || strength <= 0.01 {
            return;
        }
        let [x, y] = self.camera.project(at);
        let r = (radius * self.camera.pixels(at[2])).min(self.camera.height * 0.4);
        self.bloom([x, y], [r, r], colour, strength);
    }

    /// An elliptic brightening in pixels; added to what is there.
    pub(crate) fn bloom(&mut self, [x, y]: [f32; 2], [rx, ry]: [f32; 2], colour: Rgb, strength: f32) {
        let (width, height) = (self.picture.width() as i32, self.picture.height() as i32);
        if rx < 0.7 || ry < 0.7 {
            return;
        }
        let (x0, x1) = (((x - rx) as i32).max(0), ((x + rx) as i32 + 1).min(width));
        let (y0, y1) = (((y - ry) as i32).max(0), ((y + ry) as i32 + 1).min(height));
        let gain = colour.map(|c| c * strength * 255.0);
        let data = self.picture.data_mut();
        for py in y0..y1 {
            let dy = (py as f32 + 0.5 - y) / ry;
            for px in x0..x1 {
                let dx = (px as f32 + 0.5 - x) / rx;
                let left = 1.0 - dx * dx - dy * dy;
                if left > 0.0 {
                    let k = left * left * left;
                    let i = (py * width + px) as usize * 4;
                    for c in 0..3 {
                        data[i + c] = data[i + c].saturating_add((gain[c] * k) as u8);
                    }
                }
            }
        }
    }

    /// Lettering: `origin` is the top left corner, `right` and `down` are directions of length 1, `high` metres
    /// of height.
    pub(crate) fn lettering(&mut self, text: &str, origin: V3, right: V3, down: V3, high: f32, colour: Rgb) {
        let k = high / strokes::HEIGHT;
        if origin[2] < 0.8 || high * self.camera.pixels(origin[2]) < 3.0 {
            return;
        }
        for stroke in strokes::strokes(text).0 {
            let pixels: Vec<[f32; 2]> = strokes::outline(stroke)
                .iter()
                .map(|p| add(origin, add(scale(right, p[0] * NARROW * k), scale(down, p[1] * k))))
                .filter(|p| p[2] > 0.5)
                .map(|p| self.camera.project(p))
                .collect();
            self.raster.ring(&pixels);
        }
        let colour = self.light.on(colour, origin, 1.0);
        let fill = Fill { top: colour, bottom: colour, rows: [0.0; 2], alpha: 1.0 };
        self.raster.fill(&mut self.picture, &fill, false);
    }

    /// Metres that `text` is wide when it is `high` metres high.
    pub(crate) fn lettering_width(&self, text: &str, high: f32) -> f32 {
        strokes::strokes(text).1 * NARROW * high / strokes::HEIGHT
    }

    /// A plate whose top left corner is at `origin`, `across` and `down` of length 1 along its sides. Gives its
    /// corners in pixels: top left, top right, bottom right, bottom left.
    pub(crate) fn plate(&mut self, art: &Artwork, origin: V3, across: V3, down: V3, own_lamp: f32) {
        let plane = self.camera.homography(origin, scale(across, 0.001), scale(down, 0.001));
        let Some(back) = plane.inverse() else { return };
        let [w, h] = art.size;
        let corners = [plane.apply(0.0, 0.0), plane.apply(w, 0.0), plane.apply(w, h), plane.apply(0.0, h)];
        let [x, y, wide, high] = hull(&corners);
        let sampler = art.level(wide / w);
        let head = self.light.head * Light::headlamp(origin);
        let gain = if art.reflective { 2.6 } else { 0.8 };
        let lit: Rgb = [0, 1, 2].map(|i| {
            let raw = self.light.ambient[i] + gain * head * HEADLAMP[i] + self.light.lamps * own_lamp;
            // A shoulder instead of a hard stop, so that ink and ground stay apart in full beam.
            if raw > 0.85 { 0.85 + 0.25 * (1.0 - (-(raw - 0.85) * 2.0).exp()) } else { raw }
        });
        let (width, height) = (self.picture.width() as i32, self.picture.height() as i32);
        let (x0, x1) = ((x.floor() as i32).max(0), ((x + wide).ceil() as i32).min(width));
        let (y0, y1) = ((y.floor() as i32).max(0), ((y + high).ceil() as i32).min(height));
        let data = self.picture.data_mut();
        for py in y0..y1 {
            for px in x0..x1 {
                let (mut sum, mut hits) = ([0.0; 3], 0.0);
                for (sx, sy) in SUBPIXELS {
                    let [u, v] = back.apply(px as f32 + sx, py as f32 + sy);
                    if u >= 0.0 && v >= 0.0 && u <= w && v <= h {
                        let c = sampler.at(u, v);
                        sum = [0, 1, 2].map(|i| sum[i] + c[i]);
                        hits += 1.0;
                    }
                }
                if hits > 0.0 {
                    let i = (py * width + px) as usize * 4;
                    let cover = hits / SUBPIXELS.len() as f32;
                    for c in 0..3 {
                        let new = (sum[c] / hits * lit[c]).min(1.0) * 255.0;
                        data[i + c] = (f32::from(data[i + c]) * (1.0 - cover) + new * cover) as u8;
                    }
                }
            }
        }
        if art.reflective {
            let strength = (gain * head).min(1.0) * 0.16 * self.light.head;
            let ground = sampler.at(w * 0.06, h * 0.5);
            self.bloom([x + wide / 2.0, y + high / 2.0], [wide * 0.85, high * 1.9], ground, strength);
        }
    }
}

/// Letters are narrower than their grid.
const NARROW: f32 = 0.82;

const SUBPIXELS: [(f32, f32); 9] = [
    (0.17, 0.17),
    (0.5, 0.17),
    (0.83, 0.17),
    (0.17, 0.5),
    (0.5, 0.5),
    (0.83, 0.5),
    (0.17, 0.83),
    (0.5, 0.83),
    (0.83, 0.83),
];
