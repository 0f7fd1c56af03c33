//! Bodies as sheets: where their surface is, height by height.

use super::space::{V3, add};
use super::vehicle::{Car, Shape};

/// Height, depth behind the foremost point, and half width, in metres; bottom to top.
pub(crate) type Rung = [f32; 3];

pub(crate) struct Body {
    pub(crate) length: f32,
    pub(crate) rungs: &'static [Rung],
    /// Height of the window line.
    pub(crate) belt: f32,
    /// Height of the plate's middle.
    pub(crate) plate: f32,
    /// Bottom and top of the window in the sheet; nothing if equal.
    pub(crate) glass: [f32; 2],
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
    /// The body that belongs to its shape and end.
    pub(crate) fn body(&self) -> Body {
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
}

/// Depth and half width of the sheet at height `y`.
pub(crate) fn on(rungs: &[Rung], y: f32) -> (f32, f32) {
    let after = rungs.iter().position(|r| r[0] >= y).unwrap_or(rungs.len() - 1);
    let (a, b) = (rungs[after.saturating_sub(1)], rungs[after]);
    let t = if b[0] > a[0] { ((y - a[0]) / (b[0] - a[0])).clamp(0.0, 1.0) } else { 1.0 };
    (a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)
}

/// A bent sheet and where it stands.
pub(crate) struct Part {
    pub(crate) at: V3,
    pub(crate) rungs: &'static [Rung],
}

impl Part {
    /// A point of the sheet, seen from the camera.
    pub(crate) fn on(&self, x: f32, y: f32) -> V3 {
        add(self.at, [x, y, on(self.rungs, y).0 - 0.005])
    }

    /// A patch with rounded corners of radius `r`.
    pub(crate) fn patch(&self, x0: f32, y0: f32, x1: f32, y1: f32, r: f32) -> Vec<V3> {
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
