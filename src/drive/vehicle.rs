//! Vehicles, drawn from the end that faces the camera.
//!
//! A body is a sheet bent along its profile: for each height, how far ahead of the foremost point the surface lies
//! and how wide it is there. Windows, lamps and lettering are patches on that sheet; the side that can be seen is one
//! more polygon. That is enough for true perspective, since the camera never sees a vehicle's other end.

use super::canvas::{Canvas, Rgb};
use super::plan::PAINTS;
use super::space::{V3, add};

/// A vehicle's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A small car with a tailgate.
    Hatchback,
    /// A car with a boot.
    Saloon,
    /// A tall car.
    FourByFour,
    /// A panel van.
    Van,
    /// A lorry with a box.
    Lorry,
    /// A single-deck bus.
    Bus,
    /// A motorcycle with its rider.
    Motorcycle,
}

impl Shape {
    /// What truth and hotlists call it.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Hatchback => "hatchback",
            Shape::Saloon => "saloon",
            Shape::FourByFour => "four by four",
            Shape::Van => "van",
            Shape::Lorry => "lorry",
            Shape::Bus => "bus",
            Shape::Motorcycle => "motorcycle",
        }
    }
}

/// A vehicle without its plate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Car {
    pub(crate) shape: Shape,
    /// Index into [`PAINTS`].
    pub(crate) paint: usize,
    /// Whether the camera sees its rear.
    pub(crate) from_behind: bool,
}

/// Which lamps burn, each 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lamps {
    pub(crate) running: f32,
    pub(crate) brake: f32,
}

/// Height, depth behind the foremost point, and half width, in metres; bottom to top.
type Rung = [f32; 3];

struct Body {
    length: f32,
    rungs: &'static [Rung],
    /// Height of the window line.
    belt: f32,
    /// Height of the plate's middle.
    plate: f32,
    /// Bottom and top of the window in the sheet; nothing if equal.
    glass: [f32; 2],
}

const HATCH_REAR: &[Rung] = &[
    [0.24, 0.10, 0.74],
    [0.30, 0.02, 0.82],
    [0.46, 0.0, 0.86],
    [0.62, 0.01, 0.87],
    [0.66, 0.06, 0.87],
    [0.90, 0.10, 0.86],
    [0.99, 0.15, 0.81],
    [1.34, 0.36, 0.66],
    [1.42, 0.42, 0.61],
    [1.46, 0.50, 0.52],
    [1.48, 0.75, 0.40],
];
const HATCH_FRONT: &[Rung] = &[
    [0.20, 0.10, 0.74],
    [0.27, 0.02, 0.82],
    [0.42, 0.0, 0.86],
    [0.60, 0.03, 0.87],
    [0.72, 0.12, 0.86],
    [0.80, 0.32, 0.84],
    [0.97, 1.02, 0.80],
    [1.34, 1.70, 0.66],
    [1.42, 1.90, 0.61],
    [1.46, 2.10, 0.52],
    [1.48, 2.40, 0.40],
];
const SALOON_REAR: &[Rung] = &[
    [0.24, 0.10, 0.78],
    [0.30, 0.02, 0.86],
    [0.46, 0.0, 0.90],
    [0.62, 0.01, 0.91],
    [0.66, 0.05, 0.91],
    [0.90, 0.07, 0.89],
    [0.97, 0.12, 0.85],
    [0.99, 0.55, 0.82],
    [1.33, 1.10, 0.65],
    [1.40, 1.20, 0.60],
    [1.43, 1.40, 0.48],
];
const SALOON_FRONT: &[Rung] = &[
    [0.20, 0.10, 0.78],
    [0.27, 0.02, 0.86],
    [0.42, 0.0, 0.90],
    [0.60, 0.02, 0.91],
    [0.70, 0.08, 0.90],
    [0.77, 0.25, 0.88],
    [0.94, 1.25, 0.82],
    [1.30, 2.00, 0.66],
    [1.38, 2.20, 0.60],
    [1.43, 2.50, 0.48],
];
const FOUR_REAR: &[Rung] = &[
    [0.34, 0.10, 0.82],
    [0.40, 0.02, 0.90],
    [0.60, 0.0, 0.93],
    [0.72, 0.01, 0.93],
    [0.76, 0.06, 0.93],
    [1.08, 0.08, 0.92],
    [1.15, 0.10, 0.88],
    [1.62, 0.24, 0.75],
    [1.72, 0.28, 0.70],
    [1.77, 0.36, 0.60],
    [1.79, 0.60, 0.45],
];
const VAN_REAR: &[Rung] = &[
    [0.32, 0.08, 0.86],
    [0.38, 0.0, 0.94],
    [0.56, 0.0, 0.96],
    [0.60, 0.05, 0.96],
    [1.20, 0.05, 0.97],
    [2.05, 0.08, 0.93],
    [2.20, 0.12, 0.89],
    [2.28, 0.20, 0.78],
];
const VAN_FRONT: &[Rung] = &[
    [0.26, 0.08, 0.84],
    [0.32, 0.0, 0.93],
    [0.66, 0.0, 0.96],
    [0.90, 0.10, 0.96],
    [1.05, 0.32, 0.94],
    [1.18, 0.62, 0.92],
    [1.88, 1.20, 0.84],
    [1.98, 1.32, 0.82],
    [2.18, 1.60, 0.78],
    [2.28, 1.90, 0.62],
];
const LORRY_FRONT: &[Rung] = &[
    [0.32, 0.05, 1.05],
    [0.38, 0.0, 1.16],
    [1.00, 0.0, 1.20],
    [1.45, 0.03, 1.20],
    [2.35, 0.22, 1.14],
    [2.62, 0.32, 1.08],
    [2.70, 0.50, 0.90],
];
const LORRY_REAR: &[Rung] =
    &[[0.48, 0.05, 1.12], [0.52, 0.0, 1.15], [0.95, 0.0, 1.15], [1.0, 0.0, 1.24], [3.55, 0.0, 1.24]];
const BUS: &[Rung] = &[
    [0.28, 0.05, 1.12],
    [0.34, 0.0, 1.22],
    [1.00, 0.0, 1.25],
    [1.40, 0.03, 1.25],
    [2.40, 0.14, 1.22],
    [2.85, 0.20, 1.18],
    [2.96, 0.26, 1.08],
    [3.00, 0.40, 0.90],
];

impl Car {
    fn body(&self) -> Body {
        let body = |length, rungs, belt, plate, glass| Body { length, rungs, belt, plate, glass };
        match (self.shape, self.from_behind) {
            (Shape::Hatchback, true) => body(3.9, HATCH_REAR, 0.92, 0.78, [1.01, 1.36]),
            (Shape::Hatchback, false) => body(3.9, HATCH_FRONT, 0.92, 0.44, [0.98, 1.38]),
            (Shape::Saloon, true) => body(4.6, SALOON_REAR, 0.92, 0.76, [1.0, 1.35]),
            (Shape::Saloon, false) => body(4.6, SALOON_FRONT, 0.92, 0.42, [0.95, 1.34]),
            (Shape::FourByFour | Shape::Motorcycle, _) => body(4.6, FOUR_REAR, 1.08, 0.90, [1.16, 1.64]),
            (Shape::Van, true) => body(5.2, VAN_REAR, 1.15, 0.82, [1.28, 1.88]),
            (Shape::Van, false) => body(5.2, VAN_FRONT, 1.15, 0.46, [1.2, 1.92]),
            (Shape::Lorry, true) => body(8.0, LORRY_REAR, 3.5, 0.70, [0.0, 0.0]),
            (Shape::Lorry, false) => body(8.0, LORRY_FRONT, 1.5, 0.56, [1.5, 2.3]),
            (Shape::Bus, _) => body(10.5, BUS, 1.2, 0.55, [1.15, 2.35]),
        }
    }

    /// The upright box of the end that faces the camera, from its middle on the ground: half width and height.
    pub(crate) fn extent(&self) -> [f32; 2] {
        if self.shape == Shape::Motorcycle {
            return [0.40, 1.75];
        }
        let body = self.body();
        let widest = body.rungs.iter().map(|r| r[2]).fold(0.0, f32::max);
        let height = body.rungs.last().map_or(0.0, |r| r[0]);
        if self.shape == Shape::Lorry { [1.27, 3.6] } else { [widest, height] }
    }

    /// Metres from the end that faces the camera to the other.
    pub(crate) fn length(&self) -> f32 {
        if self.shape == Shape::Motorcycle { 2.1 } else { self.body().length }
    }

    /// The middle of the plate, from the middle of the near end on the ground.
    pub(crate) fn plate(&self) -> V3 {
        if self.shape == Shape::Motorcycle {
            return [0.0, 0.62, -0.02];
        }
        let body = self.body();
        // A flat plate touches a bent sheet at its foremost point.
        let low = (body.plate - 0.1).max(body.rungs[0][0]);
        let depth =
            [low, body.plate, body.plate + 0.1].map(|y| on(body.rungs, y).0).into_iter().fold(f32::MAX, f32::min);
        [0.0, body.plate, depth - 0.02]
    }

    fn paint(&self) -> Rgb {
        PAINTS[self.paint.min(PAINTS.len() - 1)].1
    }

    /// Paints the vehicle, all but its plate, with the middle of its near end on the ground at `at`.
    pub(crate) fn draw(&self, canvas: &mut Canvas, at: V3, lamps: Lamps) {
        if self.shape == Shape::Motorcycle {
            return motorcycle(canvas, at, self.paint(), lamps);
        }
        let body = self.body();
        let part = Part { at, rungs: body.rungs };
        let [half, height] = self.extent();
        shadow(canvas, at, half, body.length);
        self.side(canvas, &part, &body, half, height);
        self.sheet(canvas, &part, &body);
        match (self.shape, self.from_behind) {
            (Shape::Lorry, true) => lorry_rear(canvas, &part, lamps),
            (Shape::Van, true) => van_rear(canvas, &part, lamps),
            (Shape::Bus, _) => bus_front(canvas, &part, lamps),
            (Shape::Lorry, false) => lorry_front(canvas, &part, lamps),
            (_, true) => car_rear(canvas, &part, &body, self.paint(), lamps),
            (_, false) => car_front(canvas, &part, &body, lamps),
        }
    }

    /// The long side that faces the camera.
    fn side(&self, canvas: &mut Canvas, part: &Part, body: &Body, half: f32, height: f32) {
        let at = part.at;
        let s = if at[0] + half < 0.0 {
            1.0
        } else if at[0] - half > 0.0 {
            -1.0
        } else {
            return;
        };
        let paint = self.paint();
        let tone = if s < 0.0 { 0.86 } else { 0.68 };
        let p = |x: f32, y: f32, z: f32| add(at, [s * x, y, z]);
        let (bottom, end) = (body.rungs[0][0], body.length);
        let mut outline: Vec<V3> = body.rungs.iter().map(|r| p(r[2], r[0], r[1])).collect();
        let top = outline.len();
        match self.shape {
            Shape::Hatchback | Shape::Saloon | Shape::FourByFour => {
                let roof = body.rungs[top - 2];
                // The roof ends before the vehicle does, unless its other end is upright.
                let slope = match (self.shape, self.from_behind) {
                    (Shape::FourByFour, _) => 1.7,
                    (_, true) => 2.0,
                    (Shape::Saloon, false) => 1.1,
                    _ => 0.5,
                };
                outline.push(p(roof[2], height - 0.02, end - slope));
                outline.push(p(half * 0.93, body.belt + 0.03, end - slope * 0.45));
                outline.push(p(half, body.belt - 0.2, end - 0.1));
                outline.push(p(half, bottom, end - 0.1));
            }
            _ => {
                outline.push(p(half * 0.93, height, end));
                outline.push(p(half, bottom, end));
            }
        }
        let box_lorry = self.shape == Shape::Lorry;
        if box_lorry && !self.from_behind {
            let b = |x: f32, y: f32, z: f32| p(x, y, z);
            canvas.face(&outline, paint, tone);
            canvas.face(
                &[b(1.27, 0.95, 2.0), b(1.27, 3.6, 2.0), b(1.27, 3.6, end), b(1.27, 0.95, end)],
                [0.84, 0.85, 0.86],
                tone,
            );
        } else {
            let skin = if box_lorry { [0.80, 0.81, 0.82] } else { paint };
            canvas.face(&outline, skin, tone);
            canvas.face(
                &[
                    p(half, bottom, 0.1),
                    p(half, bottom + 0.16, 0.05),
                    p(half, bottom + 0.16, end - 0.1),
                    p(half, bottom, end - 0.1),
                ],
                skin.map(|c| c * 0.45),
                tone,
            );
        }
        // Windows along the side.
        let glass: &[[f32; 2]] = match (self.shape, self.from_behind) {
            (Shape::Hatchback, true) => &[[0.55, 1.5], [1.58, 2.5]],
            (Shape::Hatchback, false) => &[[1.75, 2.5], [2.58, 3.4]],
            (Shape::Saloon, true) => &[[1.1, 1.9], [1.98, 2.9]],
            (Shape::Saloon, false) => &[[2.0, 2.8], [2.88, 3.7]],
            (Shape::FourByFour, _) => &[[0.35, 1.1], [1.2, 2.0], [2.1, 3.0]],
            (Shape::Van, true) => &[[3.6, 4.5]],
            (Shape::Van, false) => &[[1.1, 1.9]],
            (Shape::Lorry, false) => &[[0.3, 1.3]],
            (Shape::Bus, _) => &[[0.3, 1.7], [1.8, 3.4], [3.5, 5.1], [5.2, 6.8], [6.9, 8.5], [8.6, 10.2]],
            _ => &[],
        };
        let roof = match self.shape {
            Shape::Bus | Shape::Lorry => [half * 0.98, height - 0.55],
            Shape::Van => [half * 0.95, 1.88],
            _ => [body.rungs[body.rungs.len() - 3][2] + 0.03, height - 0.13],
        };
        let low = body.belt + 0.04;
        for [a, b] in glass {
            let (slant, x) = (if self.shape == Shape::Bus { 0.0 } else { 0.12 }, half * 0.985);
            canvas.face(
                &[p(x, low, *a), p(roof[0], roof[1], a + slant), p(roof[0], roof[1], *b - slant), p(x, low, *b)],
                GLASS,
                1.1,
            );
        }
        if self.shape == Shape::Bus && canvas.light.lamps > 0.3 {
            for [a, b] in glass {
                canvas.own(
                    &[p(half, 1.3, *a), p(half, 2.4, *a), p(half, 2.4, *b), p(half, 1.3, *b)],
                    [0.9, 0.82, 0.6],
                    0.5 * canvas.light.lamps,
                );
            }
        }
        for z in [0.75, if box_lorry || self.shape == Shape::Bus { end - 2.2 } else { end - 0.85 }] {
            let r = if half > 1.1 { 0.48 } else { 0.33 };
            let wheel = |r: f32, x: f32| -> Vec<V3> {
                (0..14)
                    .map(|i| {
                        let (sin, cos) = (i as f32 * std::f32::consts::TAU / 14.0).sin_cos();
                        p(x, r * 0.98 + r * sin * 0.98 + if r < 0.3 { 0.11 } else { 0.0 }, z + r * cos)
                    })
                    .collect()
            };
            canvas.face(&wheel(r + 0.05, half * 1.001), [0.05; 3], tone);
            canvas.face(&wheel(r * 0.98, half * 1.002), [0.09; 3], tone);
            canvas.face(&wheel(r * 0.62, half * 1.004), [0.50, 0.51, 0.53], tone);
        }
    }

    /// The end that faces the camera, with tyres under it and its window.
    fn sheet(&self, canvas: &mut Canvas, part: &Part, body: &Body) {
        let at = part.at;
        let [half, _] = self.extent();
        let q = |x0: f32, x1: f32, y0: f32, y1: f32, z: f32| {
            [add(at, [x0, y0, z]), add(at, [x1, y0, z]), add(at, [x1, y1, z]), add(at, [x0, y1, z])]
        };
        let bottom = body.rungs[0][0];
        canvas.face(&q(-half + 0.04, half - 0.04, 0.14, bottom + 0.05, 0.5), [0.03; 3], 1.0);
        for s in [-1.0_f32, 1.0] {
            let (a, b) = (s * (half - 0.05), s * (half - 0.27));
            canvas.face(&q(a.min(b), a.max(b), 0.0, bottom + 0.1, 0.4), [0.06; 3], 1.0);
        }
        if self.shape == Shape::Lorry && !self.from_behind {
            // The box behind the cab stands above and beside it.
            canvas.face(&q(-1.27, 1.27, 0.95, 3.6, 2.0), [0.80, 0.81, 0.82], 0.95);
        }
        let paint = if self.shape == Shape::Lorry && self.from_behind { [0.80, 0.81, 0.82] } else { self.paint() };
        let outline: Vec<V3> = body
            .rungs
            .iter()
            .map(|r| [r[2], r[0], r[1]])
            .chain(body.rungs.iter().rev().map(|r| [-r[2], r[0], r[1]]))
            .map(|p| add(at, p))
            .collect();
        canvas.shaded(&outline, paint.map(|c| c * 1.04 + 0.05), paint.map(|c| c * 0.78));
        let [low, high] = body.glass;
        if high > low {
            let inset = |y: f32| on(body.rungs, y).1 * if half > 1.1 { 0.95 } else { 0.90 };
            let glass: Vec<V3> =
                [(1.0, low), (1.0, high), (-1.0, high), (-1.0, low)].map(|(s, y)| part.on(s * inset(y), y)).to_vec();
            canvas.shaded(&glass, GLASS.map(|c| c * 1.9), GLASS);
            // Sky in the upper corner, heads or seats below.
            let k = |u: f32, v: f32| {
                let y = low + (high - low) * v;
                part.on(inset(y) * u, y)
            };
            if half < 1.1 && self.shape != Shape::Van {
                for u in [-0.45, 0.45] {
                    let seat = [k(u - 0.15, 0.0), k(u - 0.13, 0.55), k(u + 0.13, 0.55), k(u + 0.15, 0.0)];
                    canvas.face(&seat, [0.06, 0.06, 0.07], 1.0);
                }
            }
            if !self.from_behind {
                let side = 0.45;
                let centre = k(side, 0.42);
                canvas.disc(add(centre, [0.0, 0.02, -0.01]), 0.11, [0.50, 0.38, 0.31], 0.6);
                let chest = [k(side - 0.22, 0.0), k(side - 0.14, 0.28), k(side + 0.14, 0.28), k(side + 0.22, 0.0)];
                canvas.face(&chest, [0.16, 0.18, 0.24], 1.0);
            }
            canvas.veil(&[k(-0.95, 0.98), k(-0.35, 0.98), k(-0.7, 0.05), k(-0.97, 0.05)], [0.8, 0.88, 0.95], 0.16);
        }
    }
}

/// Dark blue-grey, before the light falls on it.
const GLASS: Rgb = [0.13, 0.16, 0.19];
const RED: Rgb = [0.62, 0.05, 0.05];

/// Depth and half width of the sheet at height `y`.
fn on(rungs: &[Rung], y: f32) -> (f32, f32) {
    let after = rungs.iter().position(|r| r[0] >= y).unwrap_or(rungs.len() - 1);
    let (a, b) = (rungs[after.saturating_sub(1)], rungs[after]);
    let t = if b[0] > a[0] { ((y - a[0]) / (b[0] - a[0])).clamp(0.0, 1.0) } else { 1.0 };
    (a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)
}

/// A bent sheet and where it stands.
struct Part {
    at: V3,
    rungs: &'static [Rung],
}

impl Part {
    /// A point of the sheet, seen from the camera.
    fn on(&self, x: f32, y: f32) -> V3 {
        add(self.at, [x, y, on(self.rungs, y).0 - 0.005])
    }

    /// A patch with rounded corners of radius `r`.
    fn patch(&self, x0: f32, y0: f32, x1: f32, y1: f32, r: f32) -> Vec<V3> {
        let (x0, x1) = (x0.min(x1), x0.max(x1));
        let mut points = Vec::with_capacity(20);
        for (cx, cy, from) in
            [(x1 - r, y1 - r, 0.0_f32), (x0 + r, y1 - r, 90.0), (x0 + r, y0 + r, 180.0), (x1 - r, y0 + r, 270.0)]
        {
            for step in 0..4 {
                let (sin, cos) = (from + step as f32 * 30.0).to_radians().sin_cos();
                points.push(self.on(cx + r * cos, cy + r * sin));
            }
        }
        points
    }
}

fn shadow(canvas: &mut Canvas, at: V3, half: f32, length: f32) {
    let strength = 0.18 + 0.34 * canvas.light.ambient[1].min(1.0);
    let p = |x: f32, z: f32| add(at, [x, 0.0, z]);
    for (grow, alpha) in [(0.22, 0.35), (0.08, 0.6)] {
        let h = half + grow;
        let outline = [p(-h, -grow), p(h + grow, -grow), p(h + grow * 2.0, length), p(-h, length + grow)];
        canvas.own(&outline, [0.02, 0.02, 0.03], strength * alpha);
    }
}

/// A red lamp: dark by day, lit when it burns, with its glow at night.
fn tail_lamp(canvas: &mut Canvas, part: &Part, [x0, y0, x1, y1]: [f32; 4], lamps: Lamps) {
    let outline = part.patch(x0, y0, x1, y1, 0.03);
    canvas.face(&outline, RED, 1.0);
    let lit = (lamps.running * 0.55 + lamps.brake).min(1.0);
    if lit > 0.02 {
        canvas.own(&outline, [0.98, 0.16, 0.10], lit * 0.9);
        let core =
            part.patch(x0 * 0.8 + x1 * 0.2, y0 * 0.75 + y1 * 0.25, x0 * 0.2 + x1 * 0.8, y0 * 0.25 + y1 * 0.75, 0.02);
        canvas.own(&core, [1.0, 0.55, 0.42], lit * 0.8);
        let night = canvas.light.lamps;
        canvas.glow(part.on((x0 + x1) / 2.0, (y0 + y1) / 2.0), 0.55, [0.9, 0.10, 0.06], lit * (0.12 + 0.45 * night));
    }
}

/// A white lamp that shines at the camera.
fn head_lamp(canvas: &mut Canvas, part: &Part, [x0, y0, x1, y1]: [f32; 4], lamps: Lamps) {
    canvas.face(&part.patch(x0, y0, x1, y1, 0.035), [0.80, 0.83, 0.86], 1.0);
    let (x, y) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
    let r = (y1 - y0) * 0.38;
    canvas.disc(part.on(x, y), r, [0.55, 0.58, 0.62], 1.0);
    if lamps.running > 0.02 {
        canvas.own(&part.patch(x - r * 1.3, y - r, x + r * 1.3, y + r, r * 0.9), [1.0, 0.98, 0.90], lamps.running);
        let night = canvas.light.lamps;
        canvas.glow(part.on(x, y), 0.34, [1.0, 0.95, 0.82], lamps.running * (0.3 + 0.4 * night));
        canvas.glow(part.on(x, y), 1.0, [0.9, 0.86, 0.74], lamps.running * 0.14 * night);
    }
}

fn car_rear(canvas: &mut Canvas, part: &Part, body: &Body, paint: Rgb, lamps: Lamps) {
    let (low, belt) = (body.rungs[1][0], body.belt);
    let wide = on(body.rungs, belt - 0.1).1;
    let tall = body.rungs[body.rungs.len() - 1][0] > 1.6;
    // Shoulder, bumper, the fold of the tailgate.
    canvas.face(
        &part.patch(-wide * 0.97, belt - 0.01, wide * 0.97, belt + 0.035, 0.015),
        paint.map(|c| c * 1.15 + 0.06),
        1.0,
    );
    canvas.face(&part.patch(-wide * 0.97, low - 0.05, wide * 0.97, low + 0.10, 0.05), [0.11, 0.11, 0.12], 1.0);
    canvas.face(&part.patch(-wide * 0.96, low + 0.33, wide * 0.96, low + 0.345, 0.006), paint.map(|c| c * 0.5), 1.0);
    // The recess that the plate sits in.
    let p = body.plate;
    let (rw, rh) = if tall { (0.24, 0.14) } else { (0.32, 0.085) };
    canvas.face(&part.patch(-rw, p - rh, rw, p + rh + 0.01, 0.03), paint.map(|c| c * 0.55), 1.0);
    let (y0, y1) = if tall { (p - 0.12, p + 0.30) } else { (p - 0.09, p + 0.13) };
    for s in [-1.0, 1.0] {
        tail_lamp(canvas, part, [s * (wide * 0.60 + if tall { 0.12 } else { 0.0 }), y0, s * wide * 0.985, y1], lamps);
    }
    let third = part.patch(-0.14, body.glass[1] + 0.015, 0.14, body.glass[1] + 0.04, 0.01);
    canvas.face(&third, RED, 0.8);
    canvas.own(&third, [1.0, 0.2, 0.12], lamps.brake);
    canvas.disc(part.on(0.0, p + rh + 0.07), 0.035, [0.75, 0.76, 0.78], 1.0);
    canvas.face(&part.patch(wide * 0.5, low - 0.04, wide * 0.62, low + 0.01, 0.02), [0.45; 3], 1.0);
    // A wiper.
    let g = body.glass;
    canvas.face(
        &[
            part.on(0.02, g[0] + 0.02),
            part.on(-0.30, g[0] + 0.10),
            part.on(-0.30, g[0] + 0.115),
            part.on(0.0, g[0] + 0.04),
        ],
        [0.03; 3],
        1.0,
    );
}

fn car_front(canvas: &mut Canvas, part: &Part, body: &Body, lamps: Lamps) {
    let van = body.rungs[body.rungs.len() - 1][0] > 2.0;
    let wide = on(body.rungs, 0.6).1;
    let (low, high) = if van { (0.66, 0.90) } else { (0.585, 0.72) };
    canvas.face(&part.patch(-wide * 0.98, 0.22, wide * 0.98, 0.33, 0.04), [0.09; 3], 1.0);
    // Grille between the lamps, intake under the plate.
    canvas.face(&part.patch(-0.42, low + 0.01, 0.42, high - 0.02, 0.03), [0.07; 3], 1.0);
    for row in 1..3 {
        let y = low + (high - low) * row as f32 / 3.0;
        canvas.face(&part.patch(-0.38, y - 0.006, 0.38, y + 0.006, 0.004), [0.45; 3], 1.0);
    }
    canvas.disc(part.on(0.0, (low + high) / 2.0), 0.05, [0.80, 0.81, 0.83], 1.0);
    canvas.face(&part.patch(-0.36, 0.33, 0.36, body.plate + 0.09, 0.03), [0.06; 3], 1.0);
    for s in [-1.0, 1.0] {
        canvas.disc(part.on(s * wide * 0.76, 0.40), 0.055, [0.30; 3], 1.0);
        head_lamp(canvas, part, [s * wide * 0.56, low - 0.01, s * wide * 0.96, high + 0.015], lamps);
        // Mirrors stand out beside the screen.
        let y = body.glass[0] + 0.06;
        let (z, w) = on(body.rungs, y);
        let at = add(part.at, [s * (w + 0.13), y, z + 0.25]);
        let m = |dx: f32, dy: f32| add(at, [dx, dy, 0.0]);
        canvas.face(&[m(-0.09, -0.05), m(0.09, -0.05), m(0.08, 0.07), m(-0.07, 0.07)], [0.10; 3], 1.0);
    }
}

fn van_rear(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
    canvas.face(&part.patch(-0.93, 0.34, 0.93, 0.58, 0.04), [0.13; 3], 1.0);
    // Two doors: the gap, hinges, handle; the panes are in the sheet, with a pillar between.
    canvas.face(&part.patch(-0.07, 0.60, 0.07, 2.12, 0.02), [0.74, 0.75, 0.75], 1.0);
    canvas.face(&part.patch(-0.012, 0.60, 0.012, 2.15, 0.004), [0.10; 3], 1.0);
    canvas.face(&part.patch(0.10, 1.02, 0.24, 1.06, 0.015), [0.07; 3], 1.0);
    for (y, s) in [(0.75, -1.0), (1.95, -1.0), (0.75, 1.0), (1.95, 1.0)] {
        canvas.face(&part.patch(s * 0.86, y, s * 0.90, y + 0.12, 0.01), [0.35; 3], 1.0);
    }
    canvas.face(&part.patch(-0.33, 0.745, 0.33, 0.895, 0.02), [0.55; 3], 1.0);
    for s in [-1.0, 1.0] {
        tail_lamp(canvas, part, [s * 0.86, 0.66, s * 0.95, 1.18], lamps);
    }
    // Words and a telephone number (from the range that is kept for fiction) that are no plate.
    for (text, y, high) in [("HARGRAVE PLUMBING", 2.04, 0.095), ("01632 960148", 1.22, 0.11)] {
        let wide = canvas.lettering_width(text, high);
        canvas.lettering(text, part.on(-wide / 2.0, y), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], high, [0.08, 0.20, 0.46]);
    }
}

fn lorry_rear(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
    canvas.face(&part.patch(-1.15, 0.5, 1.15, 0.95, 0.03), [0.10; 3], 1.0);
    canvas.face(&part.patch(-0.015, 1.0, 0.015, 3.5, 0.005), [0.3; 3], 1.0);
    for s in [-1.0, 1.0] {
        tail_lamp(canvas, part, [s * 0.75, 0.6, s * 1.1, 0.78], lamps);
    }
}

fn lorry_front(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
    canvas.face(&part.patch(-1.12, 0.34, 1.12, 0.72, 0.05), [0.14; 3], 1.0);
    canvas.face(&part.patch(-0.80, 0.86, 0.80, 1.32, 0.05), [0.08; 3], 1.0);
    for row in 0..4 {
        let y = 0.93 + row as f32 * 0.11;
        canvas.face(&part.patch(-0.76, y, 0.76, y + 0.025, 0.01), [0.34; 3], 1.0);
    }
    for s in [-1.0, 1.0] {
        head_lamp(canvas, part, [s * 0.74, 0.46, s * 1.08, 0.64], lamps);
        canvas.face(&part.patch(s * 1.24, 1.5, s * 1.42, 2.1, 0.04), [0.10; 3], 1.0);
        canvas.spot(part.on(s * 0.85, 2.64), 0.035, [1.0, 0.66, 0.2]);
    }
    let wide = canvas.lettering_width("NORTHWAY", 0.17);
    canvas.lettering(
        "NORTHWAY",
        add(part.at, [-wide / 2.0, 3.35, 1.98]),
        [1.0, 0.0, 0.0],
        [0.0, -1.0, 0.0],
        0.17,
        [0.1, 0.2, 0.5],
    );
}

fn bus_front(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
    canvas.face(&part.patch(-1.2, 0.30, 1.2, 0.44, 0.05), [0.12; 3], 1.0);
    canvas.face(&part.patch(-1.22, 0.98, 1.22, 1.10, 0.02), [0.88, 0.86, 0.78], 1.0);
    canvas.face(&part.patch(-0.012, 1.16, 0.012, 2.38, 0.004), [0.08; 3], 1.0);
    for s in [-1.0, 1.0] {
        head_lamp(canvas, part, [s * 0.76, 0.62, s * 1.12, 0.82], lamps);
    }
    canvas.face(&part.patch(-0.95, 2.45, 0.95, 2.82, 0.03), [0.05; 3], 1.0);
    let amber = [1.0, 0.72, 0.18];
    let lit = canvas.light;
    // A display has its own light.
    canvas.light.ambient = [1.0; 3];
    canvas.lettering("42", part.on(-0.85, 2.77), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.26, amber);
    canvas.lettering("STATION", part.on(-0.25, 2.74), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.19, amber);
    canvas.light = lit;
    for s in [-1.0, 1.0] {
        canvas.face(&part.patch(s * 1.26, 1.7, s * 1.42, 2.2, 0.05), [0.08; 3], 1.0);
    }
}

fn motorcycle(canvas: &mut Canvas, at: V3, paint: Rgb, lamps: Lamps) {
    let part = Part { at, rungs: &[[0.0, 0.0, 0.5], [2.0, 0.0, 0.5]] };
    shadow(canvas, add(at, [0.0, 0.0, 0.2]), 0.25, 1.7);
    let p = |x: f32, y: f32, z: f32| add(at, [x, y, z]);
    let mirrored = |points: &[[f32; 3]]| -> Vec<V3> {
        let right = points.iter().map(|q| p(q[0], q[1], q[2]));
        right.chain(points.iter().rev().map(|q| p(-q[0], q[1], q[2]))).collect()
    };
    // Tyre, panniers, tail; then the rider: legs, back, arms, helmet.
    canvas.face(&part.patch(-0.09, 0.0, 0.09, 0.62, 0.08), [0.05; 3], 1.0);
    canvas.face(&part.patch(-0.03, 0.02, 0.03, 0.5, 0.02), [0.11; 3], 1.0);
    let jacket = [0.13, 0.14, 0.17];
    canvas.face(
        &mirrored(&[[0.10, 0.72, 0.5], [0.26, 0.32, 0.7], [0.36, 0.30, 0.7], [0.34, 0.86, 0.5], [0.17, 0.92, 0.4]]),
        jacket,
        0.8,
    );
    canvas.face(&mirrored(&[[0.13, 0.70, 0.1], [0.20, 0.84, 0.1], [0.17, 0.95, 0.2]]), paint.map(|c| c + 0.08), 1.0);
    for s in [-1.0, 1.0] {
        canvas.face(&part.patch(s * 0.20, 0.46, s * 0.40, 0.82, 0.05), [0.17, 0.17, 0.19], 1.0);
    }
    canvas.face(
        &mirrored(&[[0.17, 0.88, 0.45], [0.22, 1.10, 0.5], [0.27, 1.34, 0.6], [0.20, 1.46, 0.65], [0.06, 1.50, 0.65]]),
        jacket.map(|c| c * 1.25),
        1.0,
    );
    canvas.face(&mirrored(&[[0.20, 1.22, 0.6], [0.235, 1.30, 0.6]]), [0.82, 0.92, 0.20], 1.0);
    for s in [-1.0_f32, 1.0] {
        canvas.face(
            &[
                p(s * 0.24, 1.40, 0.7),
                p(s * 0.42, 1.12, 1.0),
                p(s * 0.46, 1.02, 1.1),
                p(s * 0.38, 1.02, 1.1),
                p(s * 0.22, 1.2, 0.7),
            ],
            jacket,
            0.9,
        );
        canvas.face(
            &[p(s * 0.36, 1.16, 1.2), p(s * 0.50, 1.16, 1.2), p(s * 0.50, 1.25, 1.2), p(s * 0.36, 1.25, 1.2)],
            [0.08; 3],
            1.0,
        );
    }
    canvas.disc(p(0.0, 1.62, 0.7), 0.145, [0.72, 0.74, 0.76], 1.0);
    canvas.disc(p(-0.02, 1.65, 0.69), 0.09, [0.82, 0.84, 0.86], 1.05);
    // The plate's hanger, and the lamp over it.
    canvas.face(&part.patch(-0.135, 0.53, 0.135, 0.72, 0.02), [0.07; 3], 1.0);
    tail_lamp(canvas, &part, [-0.09, 0.73, 0.09, 0.79], lamps);
}
