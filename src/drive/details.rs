//! What makes an end of a vehicle look like one: lamps, grilles, handles, lettering.

use super::bodies::{Body, Part, on};
use super::canvas::{Canvas, Rgb};
use super::space::{V3, add};
use super::vehicle::{Lamps, shadow};

const RED: Rgb = [0.52, 0.05, 0.06];

/// A red lamp: dark by day, lit when it burns, with its glow at night.
fn tail_lamp(canvas: &mut Canvas, part: &Part, [x0, y0, x1, y1]: [f32; 4], lamps: Lamps) {
    let outline = part.patch(x0, y0, x1, y1, 0.03);
    canvas.face(&outline, RED, 1.0);
    let lit = (lamps.running * 0.55 + lamps.brake).min(1.0);
    if lit > 0.02 {
        canvas.own(&outline, [0.60 + 0.32 * lit, 0.08, 0.07], 1.0);
        let core =
            part.patch(x0 * 0.8 + x1 * 0.2, y0 * 0.75 + y1 * 0.25, x0 * 0.2 + x1 * 0.8, y0 * 0.25 + y1 * 0.75, 0.02);
        canvas.own(&core, [0.72 + 0.28 * lit, 0.10 + 0.36 * lit, 0.08 + 0.26 * lit], 1.0);
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

/// The rear of a car: bumper, lamps, recess of the plate, wiper.
pub(crate) fn car_rear(canvas: &mut Canvas, part: &Part, body: &Body, paint: Rgb, lamps: Lamps) {
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
        tail_lamp(canvas, part, [s * (wide * 0.68 + if tall { 0.08 } else { 0.0 }), y0, s * wide * 0.985, y1], lamps);
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

/// The front of a car or a van: grille, lamps, mirrors.
pub(crate) fn car_front(canvas: &mut Canvas, part: &Part, body: &Body, lamps: Lamps) {
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

/// Two doors with the words of their owner.
pub(crate) fn van_rear(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
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

/// Doors over a bumper.
pub(crate) fn lorry_rear(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
    canvas.face(&part.patch(-1.15, 0.5, 1.15, 0.95, 0.03), [0.10; 3], 1.0);
    canvas.face(&part.patch(-0.015, 1.0, 0.015, 3.5, 0.005), [0.3; 3], 1.0);
    for s in [-1.0, 1.0] {
        tail_lamp(canvas, part, [s * 0.75, 0.6, s * 1.1, 0.78], lamps);
    }
}

/// A cab under its box.
pub(crate) fn lorry_front(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
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

/// A bus and where it goes.
pub(crate) fn bus_front(canvas: &mut Canvas, part: &Part, lamps: Lamps) {
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
    canvas.lettering("STATION", part.on(-0.55, 2.74), [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], 0.19, amber);
    canvas.light = lit;
    for s in [-1.0, 1.0] {
        canvas.face(&part.patch(s * 1.26, 1.7, s * 1.42, 2.2, 0.05), [0.08; 3], 1.0);
    }
}

/// A motorcycle with its rider, from behind.
pub(crate) fn motorcycle(canvas: &mut Canvas, at: V3, paint: Rgb, lamps: Lamps) {
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
