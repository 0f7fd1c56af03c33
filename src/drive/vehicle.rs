//! Vehicles, drawn from the end that faces the camera.
//!
//! A body is a sheet bent along its profile: for each height, how far ahead of the foremost point the surface lies
//! and how wide it is there. Windows, lamps and lettering are patches on that sheet; the side that can be seen is one
//! more polygon. That is enough for true perspective, since the camera never sees a vehicle's other end.

use super::bodies::{Body, Part, on};
use super::canvas::{Canvas, Rgb};
use super::details::{bus_front, car_front, car_rear, lorry_front, lorry_rear, motorcycle, van_rear};
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

impl Car {
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
                (0..20)
                    .map(|i| {
                        let (sin, cos) = (i as f32 * std::f32::consts::TAU / 20.0).sin_cos();
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

/// What a body of half width `half` keeps the sky from.
pub(crate) fn shadow(canvas: &mut Canvas, at: V3, half: f32, length: f32) {
    let strength = 0.18 + 0.34 * canvas.light.ambient[1].min(1.0);
    let p = |x: f32, z: f32| add(at, [x, 0.0, z]);
    for (grow, alpha) in [(0.22, 0.35), (0.08, 0.6)] {
        let h = half + grow;
        let outline = [p(-h, -grow), p(h + grow, -grow), p(h + grow * 2.0, length), p(-h, length + grow)];
        canvas.own(&outline, [0.02, 0.02, 0.03], strength * alpha);
    }
}
