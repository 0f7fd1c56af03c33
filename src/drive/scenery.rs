//! The road and what stands beside it.

use super::canvas::{Canvas, Rgb};
use super::space::V3;

/// Height of the camera over the road in metres.
pub(crate) const EYE: f32 = 1.2;
/// How far ahead things are drawn.
const SIGHT: f32 = 150.0;

/// Middle of the road to the edges: left kerb (beyond the bays), edge of the bays, right kerb.
const LEFT: f32 = -5.35;
const BAYS: f32 = -3.05;
const RIGHT: f32 = 3.3;

/// Something that stands at a distance along the route.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    /// Metres from the start of the route.
    pub(crate) z: f32,
    /// Metres from the middle line.
    x: f32,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Tree { height: f32, blobs: Vec<[f32; 4]>, leaf: Rgb },
    House { deep: f32, height: f32, wall: Rgb, door: Rgb, roof: Rgb, shop: Option<&'static str> },
    LampPost,
    Limit,
    Direction { lines: &'static [&'static str], ground: Rgb },
    Name { text: &'static str },
    TrafficLight,
    BusStop,
    Hedge { deep: f32 },
    Bollard,
}

/// Everything along the route, far to near, with marks on the road itself.
#[derive(Debug)]
pub(crate) struct Scenery {
    pub(crate) things: Vec<Thing>,
    /// Patches of the road: x, z, half width, length, shade.
    patches: Vec<[f32; 5]>,
    skyline: Vec<f32>,
    clouds: Vec<[f32; 4]>,
}

impl Scenery {
    /// A street of `length` metres with its red light `stop` metres from the start.
    pub(crate) fn new(seed: u64, length: f32, stop: f32) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5ce4e);
        let mut things = Vec::new();
        let end = length + SIGHT;
        let mut put = |z: f32, x: f32, kind: Kind| things.push(Thing { z, x, kind });

        for side in [-1.0_f32, 1.0] {
            let edge = if side < 0.0 { LEFT } else { RIGHT };
            let mut z = 4.0;
            while z < end {
                // Rows of houses, and gaps with trees and hedges.
                let row = 2 + rng.usize(..4);
                let front = edge + side * (3.0 + 3.0 * rng.f32());
                for _ in 0..row {
                    let deep = 6.5 + 2.0 * rng.f32();
                    let wall = WALLS[rng.usize(..WALLS.len())];
                    let door = DOORS[rng.usize(..DOORS.len())];
                    let roof = [0.34 + 0.1 * rng.f32(), 0.25, 0.22];
                    let shop = (rng.f32() < 0.3).then(|| SHOPS[rng.usize(..SHOPS.len())]);
                    put(z, front, Kind::House { deep, height: 5.0 + rng.f32() * 1.2, wall, door, roof, shop });
                    z += deep;
                }
                let gap = 8.0 + 14.0 * rng.f32();
                let mut at = z + 2.0;
                while at < z + gap {
                    put(at, edge + side * (3.5 + 4.0 * rng.f32()), tree(&mut rng));
                    at += 3.5 + 3.0 * rng.f32();
                }
                put(z + 0.5, edge + side * 2.6, Kind::Hedge { deep: gap - 1.0 });
                z += gap;
            }
            let mut z = if side < 0.0 { 12.0 } else { 27.0 };
            while z < end {
                put(z, edge + side * 0.5, Kind::LampPost);
                z += 31.0;
            }
            let mut z = if side < 0.0 { 21.0 } else { 9.0 };
            while z < end {
                if rng.bool() {
                    put(z, edge + side * 1.9, tree(&mut rng));
                }
                z += 17.0;
            }
        }
        for (i, z) in [18.0, 58.0, 96.0, 134.0, 176.0, 214.0, 252.0, 290.0, 330.0].into_iter().enumerate() {
            let kind = match i % 4 {
                0 => Kind::Limit,
                1 => Kind::Direction { lines: &["TOWN CENTRE", "STATION"], ground: [0.05, 0.25, 0.55] },
                2 => Kind::BusStop,
                _ => Kind::Direction { lines: &["HARBOUR", "NORTH"], ground: [0.02, 0.34, 0.22] },
            };
            put(z, LEFT - 0.7, kind);
            let name = ["GOOSE GREEN", "QUAY STREET", "ORCHARD WAY"][i % 3];
            put(z + 21.0, RIGHT + 1.7, Kind::Name { text: name });
            put(z + 9.0, RIGHT + 0.45, Kind::Bollard);
            put(z + 10.5, RIGHT + 0.45, Kind::Bollard);
        }
        put(stop + 13.0, LEFT - 0.5, Kind::TrafficLight);
        put(stop + 13.2, RIGHT + 0.6, Kind::TrafficLight);
        things.sort_by(|a, b| b.far_end().total_cmp(&a.far_end()));

        let mut patches = Vec::new();
        let mut z = 0.0;
        while z < end {
            let x = LEFT + 0.5 + (RIGHT - LEFT - 1.0) * rng.f32();
            let shade = if rng.bool() { -0.06 } else { 0.05 } * (0.5 + rng.f32());
            patches.push([x, z, 0.15 + 0.55 * rng.f32(), 0.4 + 3.0 * rng.f32() * rng.f32(), shade]);
            z += 0.9 + 1.2 * rng.f32();
        }
        let skyline = (0..64).map(|_| rng.f32()).collect();
        let clouds = (0..14)
            .map(|_| {
                [rng.f32() * 1.1 - 0.05, 0.04 + 0.24 * rng.f32(), 0.05 + 0.10 * rng.f32(), 0.006 + 0.012 * rng.f32()]
            })
            .collect();
        Self { things, patches, skyline, clouds }
    }

    /// Sky, distance and road, before anything stands on it. `along` is the route travelled, `day` the daylight.
    pub(crate) fn ground(&self, canvas: &mut Canvas, along: f32, eye_x: f32, day: f32, sky: [Rgb; 2]) {
        let camera = canvas.camera;
        let (width, height) = (camera.width, camera.height);
        let shake = camera.shake;
        let horizon = camera.horizon + shake[1];
        paint_sky(canvas, horizon, sky);
        let cloud = [0, 1, 2].map(|i| sky[1][i] * 0.4 + 0.6 * (0.25 + 0.72 * day));
        for c in &self.clouds {
            let (x, y) = (c[0] * width + shake[0], c[1] * height + shake[1]);
            for (dx, dy, k) in [(-0.5, 0.4, 0.6), (0.55, 0.3, 0.65), (0.0, 0.0, 1.0)] {
                let (rx, ry) = (c[2] * width * k, c[3] * height * 1.6 * k);
                let oval: Vec<[f32; 2]> = (0..20)
                    .map(|i| {
                        let (sin, cos) = (i as f32 * 0.314_159_3).sin_cos();
                        [x + dx * rx + rx * cos, y + dy * ry * 2.0 + ry * sin]
                    })
                    .collect();
                // Mixed beforehand: a translucent fill costs many times an opaque one.
                let t = ((y + shake[1]) / horizon.max(1.0)).clamp(0.0, 1.0).powf(1.4);
                let alpha = (0.20 + 0.14 * k) * (0.35 + 0.65 * day);
                let behind = [0, 1, 2].map(|i| sky[0][i] + (sky[1][i] - sky[0][i]) * t);
                canvas.flat(&oval, mix(behind, cloud, alpha), 1.0);
            }
        }
        // Woods on the horizon.
        let mut hills = vec![[-20.0, horizon + 4.0]];
        for (i, h) in self.skyline.iter().enumerate() {
            let x = -20.0 + (width + 40.0) * i as f32 / 63.0;
            hills.push([x, horizon - height * (0.012 + 0.022 * h)]);
        }
        hills.push([width + 20.0, horizon + 4.0]);
        let far = canvas.light.haze;
        canvas.flat(&hills, [0, 1, 2].map(|i| far[i] * 0.72 + [0.05, 0.08, 0.06][i] * day), 1.0);

        let p = |x: f32, z: f32| -> V3 { [x - eye_x, -EYE, z - along] };
        let strip =
            |x0: f32, x1: f32| [p(x0, along - 1.0), p(x1, along - 1.0), p(x1, along + 400.0), p(x0, along + 400.0)];
        let grass = [0.30, 0.43, 0.22];
        canvas.flat(
            &[[-30.0, horizon], [width + 30.0, horizon], [width + 30.0, height + 30.0], [-30.0, height + 30.0]],
            grass,
            1.0,
        );
        let bands = |canvas: &mut Canvas, x0: f32, x1: f32, step: f32, thick: f32, colour: Rgb, reach: f32| {
            let mut z = (along / step).floor() * step;
            while z < along + reach {
                canvas.own(&[p(x0, z), p(x1, z), p(x1, z + thick), p(x0, z + thick)], colour, 1.0);
                z += step;
            }
        };
        for (inner, outer) in [(LEFT, -40.0), (RIGHT, 40.0)] {
            bands(canvas, inner, outer, 6.0, 3.0, [0.28, 0.413, 0.21], 90.0);
            let pavement = inner + (outer - inner) / (outer - inner).abs() * 2.1;
            canvas.own(&strip(inner.min(pavement), inner.max(pavement)), [0.60, 0.58, 0.55], 1.0);
            bands(canvas, inner, pavement, 1.5, 0.035, [0.46, 0.45, 0.43], 34.0);
        }
        let road = [0.330, 0.335, 0.345];
        canvas.own(&strip(LEFT, RIGHT), road, 1.0);
        canvas.own(&strip(LEFT, BAYS), [0.30, 0.30, 0.31], 1.0);
        // Where wheels have polished the surface.
        for x in [-2.25, -0.75, 0.85, 2.35] {
            canvas.own(&strip(x - 0.22, x + 0.22), [0.35, 0.352, 0.36], 1.0);
        }
        for [x, z, half, long, shade] in self.patches.iter().filter(|q| q[1] + q[3] > along && q[1] < along + 60.0) {
            let colour = road.map(|c| c + shade * 0.7);
            canvas.own(
                &[p(x - half, *z), p(x + half, *z), p(x + half * 0.9, z + long), p(x - half * 0.8, z + long)],
                colour,
                1.0,
            );
        }
        for x in [LEFT, RIGHT] {
            let s = if x < 0.0 { -1.0 } else { 1.0 };
            canvas.own(&strip(x.min(x + s * 0.16), x.max(x + s * 0.16)), [0.68, 0.67, 0.64], 1.0);
            canvas.own(&strip(x.min(x - s * 0.1), x.max(x - s * 0.1)), [0.26, 0.26, 0.27], 1.0);
        }
        for x in [RIGHT - 0.35, RIGHT - 0.5] {
            canvas.own(&strip(x - 0.045, x + 0.045), [0.77, 0.645, 0.18], 1.0);
        }
        let white = [0.86, 0.86, 0.84];
        bands(canvas, -0.06, 0.06, 6.0, 3.0, white, 120.0);
        bands(canvas, BAYS - 0.05, BAYS + 0.05, 1.2, 0.65, white, 60.0);
        bands(canvas, LEFT + 0.12, BAYS, 9.9, 0.1, white, 80.0);
    }
}

fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share)
}

/// The sky, one colour a row.
fn paint_sky(canvas: &mut Canvas, horizon: f32, [top, low]: [Rgb; 2]) {
    let (width, height) = (canvas.picture.width() as usize, canvas.picture.height() as usize);
    let rows = (horizon.max(1.0) as usize + 2).min(height);
    let data = canvas.picture.data_mut();
    for y in 0..rows {
        let t = (y as f32 / horizon.max(1.0)).min(1.0).powf(1.4);
        let [r, g, b] = [0, 1, 2].map(|i| ((top[i] + (low[i] - top[i]) * t) * 255.0) as u8);
        for pixel in data[y * width * 4..(y + 1) * width * 4].chunks_exact_mut(4) {
            pixel.copy_from_slice(&[r, g, b, 255]);
        }
    }
}

const WALLS: [Rgb; 6] = [
    [0.62, 0.36, 0.28],
    [0.70, 0.46, 0.34],
    [0.82, 0.78, 0.70],
    [0.74, 0.66, 0.54],
    [0.88, 0.86, 0.82],
    [0.56, 0.33, 0.27],
];
const DOORS: [Rgb; 5] =
    [[0.10, 0.22, 0.40], [0.45, 0.08, 0.10], [0.08, 0.28, 0.20], [0.12, 0.12, 0.13], [0.70, 0.55, 0.15]];
const SHOPS: [&str; 6] = ["BAKERY", "NEWS", "FISH AND CHIPS", "CYCLES", "CHEMIST", "CAFE"];

fn tree(rng: &mut fastrand::Rng) -> Kind {
    let height = 4.5 + 3.5 * rng.f32();
    let leaf = [0.20 + 0.16 * rng.f32(), 0.34 + 0.10 * rng.f32(), 0.14 + 0.05 * rng.f32()];
    let mut blobs: Vec<[f32; 4]> = (0..7)
        .map(|_| {
            let y = height * (0.45 + 0.5 * rng.f32());
            let spread = height * 0.24 * (1.35 - y / height);
            [(rng.f32() - 0.5) * 2.0 * spread * 1.5, y, height * (0.11 + 0.08 * rng.f32()), 0.78 + 0.3 * y / height]
        })
        .collect();
    blobs.sort_by(|a, b| a[3].total_cmp(&b[3]));
    Kind::Tree { height, blobs, leaf }
}

impl Thing {
    /// Metres along the route to its far end: what is drawn first.
    pub(crate) fn far_end(&self) -> f32 {
        self.z + self.deep()
    }

    fn deep(&self) -> f32 {
        match self.kind {
            Kind::House { deep, .. } | Kind::Hedge { deep } => deep,
            _ => 0.0,
        }
    }

    /// Whether anything of it can be seen.
    pub(crate) fn near(&self, along: f32) -> bool {
        self.far_end() > along + 0.5 && self.z < along + SIGHT
    }

    /// Paints it; `green` is what the traffic light shows.
    pub(crate) fn draw(&self, canvas: &mut Canvas, along: f32, eye_x: f32, green: bool) {
        let (x, z) = (self.x - eye_x, self.z - along);
        let p = |dx: f32, y: f32, dz: f32| -> V3 { [x + dx, y - EYE, z + dz] };
        let post = |canvas: &mut Canvas, dx: f32, half: f32, high: f32, c: Rgb| {
            canvas.face(
                &[p(dx - half, 0.0, 0.0), p(dx + half, 0.0, 0.0), p(dx + half, high, 0.0), p(dx - half, high, 0.0)],
                c,
                0.9,
            );
        };
        let lamps = canvas.light.lamps;
        match &self.kind {
            Kind::Tree { height, blobs, leaf } => {
                if z < 1.0 {
                    return;
                }
                canvas.veil(
                    &[p(-1.2, 0.01, -0.5), p(1.8, 0.01, -0.5), p(2.2, 0.01, 0.9), p(-1.0, 0.01, 0.9)],
                    [0.05, 0.08, 0.05],
                    0.25,
                );
                post(canvas, 0.0, height * 0.022, height * 0.62, [0.30, 0.22, 0.16]);
                for b in blobs {
                    canvas.disc(p(b[0], b[1], 0.0), b[2], leaf.map(|c| c * 0.78), b[3]);
                    canvas.disc(p(b[0] - b[2] * 0.22, b[1] + b[2] * 0.22, 0.0), b[2] * 0.72, *leaf, b[3]);
                }
            }
            Kind::House { deep, height, wall, door, roof, shop } => {
                self.house(canvas, p, *deep, *height, [*wall, *door, *roof], *shop);
            }
            Kind::LampPost => {
                let s = if self.x < 0.0 { 1.0 } else { -1.0 };
                post(canvas, 0.0, 0.06, 6.2, [0.36, 0.38, 0.40]);
                canvas.face(
                    &[p(0.0, 6.1, 0.0), p(s * 1.2, 6.3, 0.0), p(s * 1.2, 6.4, 0.0), p(0.0, 6.25, 0.0)],
                    [0.36, 0.38, 0.40],
                    0.9,
                );
                let head = [p(s * 0.9, 6.25, 0.0), p(s * 1.5, 6.3, 0.0), p(s * 1.5, 6.4, 0.0), p(s * 0.9, 6.4, 0.0)];
                canvas.face(&head, [0.5; 3], 1.0);
                if lamps > 0.05 {
                    canvas.own(&head, [1.0, 0.84, 0.56], lamps);
                    canvas.glow(p(s * 1.2, 6.3, 0.0), 1.4, [1.0, 0.74, 0.40], 0.5 * lamps);
                }
            }
            Kind::Limit => {
                post(canvas, 0.0, 0.04, 2.6, [0.55; 3]);
                canvas.disc(p(0.0, 2.6, -0.02), 0.36, [0.78, 0.10, 0.12], 1.0);
                canvas.disc(p(0.0, 2.6, -0.03), 0.27, [0.92; 3], 1.0);
                let wide = canvas.lettering_width("30", 0.26);
                canvas.lettering("30", p(-wide / 2.0, 2.73, -0.04), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.26, [0.06; 3]);
            }
            Kind::Direction { lines, ground } => {
                let wide = lines.iter().map(|l| canvas.lettering_width(l, 0.2)).fold(0.0, f32::max) + 0.3;
                let high = lines.len() as f32 * 0.36 + 0.14;
                let (a, b) = (-wide * 0.72, wide * 0.28);
                for dx in [a + 0.3, b - 0.3] {
                    post(canvas, dx, 0.045, 2.2, [0.55; 3]);
                }
                let panel = |m: f32| {
                    [
                        p(a + m, 2.1 + m, -0.03),
                        p(b - m, 2.1 + m, -0.03),
                        p(b - m, 2.1 + high - m, -0.03),
                        p(a + m, 2.1 + high - m, -0.03),
                    ]
                };
                canvas.face(&panel(0.0), [0.92; 3], 1.0);
                canvas.face(&panel(0.04), *ground, 1.0);
                for (i, line) in lines.iter().enumerate() {
                    let top = 2.1 + high - 0.14 - i as f32 * 0.36;
                    canvas.lettering(line, p(a + 0.15, top, -0.04), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.2, [0.93; 3]);
                }
            }
            Kind::Name { text } => {
                let wide = canvas.lettering_width(text, 0.13) + 0.2;
                for dx in [0.12, wide - 0.12] {
                    post(canvas, dx, 0.03, 0.7, [0.2; 3]);
                }
                canvas.face(
                    &[p(0.0, 0.5, -0.02), p(wide, 0.5, -0.02), p(wide, 0.78, -0.02), p(0.0, 0.78, -0.02)],
                    [0.92; 3],
                    1.0,
                );
                canvas.lettering(text, p(0.1, 0.70, -0.03), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.13, [0.06; 3]);
            }
            Kind::TrafficLight => {
                post(canvas, 0.0, 0.06, 3.2, [0.25; 3]);
                let b =
                    |h: f32, y0: f32, y1: f32| [p(-h, y0, -0.05), p(h, y0, -0.05), p(h, y1, -0.05), p(-h, y1, -0.05)];
                canvas.face(&b(0.26, 2.15, 3.35), [0.88; 3], 0.9);
                canvas.face(&b(0.22, 2.19, 3.31), [0.05; 3], 1.0);
                let lit = [
                    (3.1, [0.25, 0.04, 0.04], [1.0, 0.18, 0.12], !green),
                    (2.75, [0.22, 0.15, 0.03], [1.0, 0.7, 0.2], false),
                    (2.4, [0.04, 0.2, 0.08], [0.2, 1.0, 0.55], green),
                ];
                for (y, off, on, burns) in lit {
                    if burns {
                        canvas.spot(p(0.0, y, -0.07), 0.13, on);
                        canvas.glow(p(0.0, y, -0.07), 0.5, on, 0.35);
                    } else {
                        canvas.disc(p(0.0, y, -0.07), 0.13, off, 1.0);
                    }
                }
            }
            Kind::BusStop => {
                post(canvas, 0.0, 0.04, 3.0, [0.45; 3]);
                canvas.face(
                    &[p(-0.05, 2.45, -0.02), p(0.6, 2.45, -0.02), p(0.6, 3.05, -0.02), p(-0.05, 3.05, -0.02)],
                    [0.80, 0.12, 0.14],
                    1.0,
                );
                canvas.lettering("BUS", p(0.05, 2.98, -0.03), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.16, [0.95; 3]);
                canvas.lettering("STOP", p(0.05, 2.72, -0.03), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.15, [0.95; 3]);
            }
            Kind::Hedge { deep } => {
                let s = if self.x < 0.0 { 1.0 } else { -1.0 };
                canvas.face(
                    &[p(0.0, 0.0, 0.0), p(0.0, 1.1, 0.0), p(-s * 0.7, 1.1, 0.0), p(-s * 0.7, 0.0, 0.0)],
                    [0.17, 0.29, 0.13],
                    0.9,
                );
                let steps = (*deep / 3.0).ceil().max(1.0);
                for i in 0..steps as i32 {
                    let (a, b) = (i as f32 / steps * deep, (i + 1) as f32 / steps * deep);
                    let tone = if i % 2 == 0 { 0.85 } else { 0.80 };
                    canvas.face(
                        &[p(0.0, 0.0, a), p(0.0, 1.1, a), p(0.0, 1.1, b), p(0.0, 0.0, b)],
                        [0.21, 0.35, 0.15],
                        tone,
                    );
                }
            }
            Kind::Bollard => {
                post(canvas, 0.0, 0.07, 0.95, [0.16; 3]);
                canvas.face(
                    &[p(-0.07, 0.72, -0.01), p(0.07, 0.72, -0.01), p(0.07, 0.82, -0.01), p(-0.07, 0.82, -0.01)],
                    [0.9; 3],
                    1.0,
                );
            }
        }
    }

    /// A house with its front to the road and its gable to us.
    fn house(
        &self,
        canvas: &mut Canvas,
        p: impl Fn(f32, f32, f32) -> V3,
        deep: f32,
        height: f32,
        [wall, door, roof]: [Rgb; 3],
        shop: Option<&str>,
    ) {
        let s = if self.x < 0.0 { -1.0 } else { 1.0 };
        let back = s * 7.0;
        let ridge = height + 2.4;
        let near = p(0.0, 0.0, 0.0)[2];
        if near > 1.0 {
            let gable = [
                p(0.0, 0.0, 0.0),
                p(back, 0.0, 0.0),
                p(back, height, 0.0),
                p(back / 2.0, ridge, 0.0),
                p(0.0, height, 0.0),
            ];
            canvas.face(&gable, wall, 0.72);
        }
        canvas.face(
            &[
                p(-s * 0.25, height - 0.1, 0.0),
                p(back / 2.0, ridge, 0.0),
                p(back / 2.0, ridge, deep),
                p(-s * 0.25, height - 0.1, deep),
            ],
            roof,
            0.95,
        );
        canvas.face(
            &[p(0.0, 0.0, 0.0), p(0.0, height, 0.0), p(0.0, height, deep), p(0.0, 0.0, deep)],
            wall,
            if s < 0.0 { 0.86 } else { 1.0 },
        );
        if near + deep < 3.0 || near > 75.0 {
            return;
        }
        let f = -s * 0.02;
        let q = |z0: f32, z1: f32, y0: f32, y1: f32| [p(f, y0, z0), p(f, y1, z0), p(f, y1, z1), p(f, y0, z1)];
        let lit = canvas.light.lamps;
        let window = |canvas: &mut Canvas, z0: f32, z1: f32, y0: f32, y1: f32, warm: bool| {
            canvas.face(&q(z0 - 0.08, z1 + 0.08, y0 - 0.08, y1 + 0.08), [0.90, 0.89, 0.86], 0.9);
            canvas.face(&q(z0, z1, y0, y1), [0.22, 0.27, 0.32], 1.0);
            if warm && lit > 0.05 {
                canvas.own(&q(z0, z1, y0, y1), [0.98, 0.80, 0.46], lit * 0.8);
            }
        };
        let key = (self.z * 7.3) as i32;
        window(canvas, deep * 0.14, deep * 0.38, 3.1, 4.3, key % 3 == 0);
        window(canvas, deep * 0.60, deep * 0.84, 3.1, 4.3, key % 4 == 1);
        if let Some(text) = shop {
            canvas.face(&q(0.3, deep - 0.3, 2.35, 2.95), door, 1.0);
            window(canvas, deep * 0.08, deep * 0.62, 0.7, 2.2, true);
            canvas.face(&q(deep * 0.70, deep * 0.88, 0.0, 2.2), door.map(|c| c * 0.8), 1.0);
            // Lettering reads left to right for somebody who faces the shop.
            let wide = canvas.lettering_width(text, 0.34);
            let (from, right) = if s < 0.0 { ((deep - wide) / 2.0, 1.0) } else { ((deep + wide) / 2.0, -1.0) };
            canvas.lettering(
                text,
                p(f * 2.0, 2.82, from),
                [0.0, 0.0, right],
                [0.0, -1.0, 0.0],
                0.34,
                [0.94, 0.92, 0.86],
            );
        } else {
            window(canvas, deep * 0.12, deep * 0.42, 0.9, 2.1, key % 2 == 0);
            canvas.face(&q(deep * 0.62, deep * 0.78, 0.0, 2.1), door, 1.0);
        }
    }
}
