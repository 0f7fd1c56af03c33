//! Where things are: metres ahead of the camera, and the pixels that they fall on.

/// A point or a direction in metres: x to the right, y up, z ahead. Seen from the camera unless said otherwise.
pub(crate) type V3 = [f32; 3];

/// What lies nearer than this is cut away.
const NEAR: f32 = 0.25;

pub(crate) fn add(a: V3, b: V3) -> V3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(crate) fn scale(a: V3, k: f32) -> V3 {
    [a[0] * k, a[1] * k, a[2] * k]
}

/// The camera of one frame: a pinhole that looks along the road, shaken by a few pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Camera {
    /// Picture width in pixels.
    pub(crate) width: f32,
    /// Picture height in pixels.
    pub(crate) height: f32,
    /// Focal length in pixels.
    pub(crate) focal: f32,
    /// Row of the horizon, shake apart.
    pub(crate) horizon: f32,
    /// Shake: pixels to the right and down, and radians clockwise about the middle of the picture.
    pub(crate) shake: [f32; 3],
}

impl Camera {
    /// A camera of 60 degrees across, without shake.
    pub(crate) fn still(width: u32, height: u32) -> Self {
        let (width, height) = (width as f32, height as f32);
        Self { width, height, focal: 1660.0 / 1920.0 * width, horizon: 0.435 * height, shake: [0.0; 3] }
    }

    /// The same camera, shaken.
    pub(crate) fn shaken(self, shake: [f32; 3]) -> Self {
        Self { shake, ..self }
    }

    /// The pixel that a point at positive depth falls on.
    pub(crate) fn project(&self, p: V3) -> [f32; 2] {
        self.turn([self.width / 2.0 + self.focal * p[0] / p[2], self.horizon - self.focal * p[1] / p[2]])
    }

    fn turn(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = self.shake[2].sin_cos();
        let (mx, my) = (self.width / 2.0, self.height / 2.0);
        let (dx, dy) = (x - mx, y - my);
        [mx + cos * dx - sin * dy + self.shake[0], my + sin * dx + cos * dy + self.shake[1]]
    }

    /// Pixels a metre at depth `z`.
    pub(crate) fn pixels(&self, z: f32) -> f32 {
        self.focal / z
    }

    /// The polygon that `points` cover in the picture, cut at the near plane and a little outside the picture's
    /// edges; fewer than three points: nothing can be seen.
    pub(crate) fn outline(&self, points: &[V3]) -> Vec<[f32; 2]> {
        let flat: Vec<[f32; 2]> = if points.iter().all(|p| p[2] >= NEAR) {
            points.iter().map(|p| self.project(*p)).collect()
        } else {
            let mut kept = Vec::with_capacity(points.len() + 2);
            for (i, &a) in points.iter().enumerate() {
                let b = points[(i + 1) % points.len()];
                if a[2] >= NEAR {
                    kept.push(self.project(a));
                }
                if (a[2] >= NEAR) != (b[2] >= NEAR) {
                    let t = (NEAR - a[2]) / (b[2] - a[2]);
                    kept.push(self.project([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), NEAR]));
                }
            }
            kept
        };
        let margin = 40.0;
        let mut poly = flat;
        for (axis, limit, sign) in
            [(0, -margin, 1.0), (0, self.width + margin, -1.0), (1, -margin, 1.0), (1, self.height + margin, -1.0)]
        {
            if poly.len() < 3 {
                return Vec::new();
            }
            if poly.iter().any(|p| sign * (p[axis] - limit) < 0.0) {
                poly = cut(&poly, axis, limit, sign);
            }
        }
        poly
    }

    /// Plate millimetres to pixels: the plate's top left corner is at `origin`, and `across` and `down` are one
    /// millimetre of it.
    pub(crate) fn homography(&self, origin: V3, across: V3, down: V3) -> Homography {
        let column = |v: V3| {
            let x = self.focal * v[0] + self.width / 2.0 * v[2];
            let y = -self.focal * v[1] + self.horizon * v[2];
            let (sin, cos) = self.shake[2].sin_cos();
            let (mx, my) = (self.width / 2.0, self.height / 2.0);
            let (dx, dy) = (x - mx * v[2], y - my * v[2]);
            [cos * dx - sin * dy + (mx + self.shake[0]) * v[2], sin * dx + cos * dy + (my + self.shake[1]) * v[2], v[2]]
        };
        let (a, d, o) = (column(across), column(down), column(origin));
        Homography([[a[0], d[0], o[0]], [a[1], d[1], o[1]], [a[2], d[2], o[2]]])
    }
}

/// The part of `poly` on the wanted side of one upright or level line.
fn cut(poly: &[[f32; 2]], axis: usize, limit: f32, sign: f32) -> Vec<[f32; 2]> {
    let inside = |p: [f32; 2]| sign * (p[axis] - limit) >= 0.0;
    let mut kept = Vec::with_capacity(poly.len() + 2);
    for (i, &a) in poly.iter().enumerate() {
        let b = poly[(i + 1) % poly.len()];
        if inside(a) {
            kept.push(a);
        }
        if inside(a) != inside(b) {
            let t = (limit - a[axis]) / (b[axis] - a[axis]);
            kept.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
        }
    }
    kept
}

/// A plane seen in perspective: plane coordinates to pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Homography([[f32; 3]; 3]);

impl Homography {
    /// The image of a point.
    pub(crate) fn apply(&self, x: f32, y: f32) -> [f32; 2] {
        let row = |r: [f32; 3]| r[0] * x + r[1] * y + r[2];
        let w = row(self.0[2]);
        [row(self.0[0]) / w, row(self.0[1]) / w]
    }

    /// Pixels back to plane coordinates; `None` where the plane is seen edge-on.
    pub(crate) fn inverse(&self) -> Option<Self> {
        let m = self.0.map(|row| row.map(f64::from));
        let minor = |r: usize, c: usize| {
            let (r0, r1) = ((r + 1) % 3, (r + 2) % 3);
            let (c0, c1) = ((c + 1) % 3, (c + 2) % 3);
            m[r0][c0] * m[r1][c1] - m[r0][c1] * m[r1][c0]
        };
        let determinant = m[0][0] * minor(0, 0) + m[0][1] * minor(0, 1) + m[0][2] * minor(0, 2);
        if determinant.abs() < 1e-12 {
            return None;
        }
        let mut out = [[0.0; 3]; 3];
        for (r, row) in out.iter_mut().enumerate() {
            for (c, value) in row.iter_mut().enumerate() {
                *value = (minor(c, r) / determinant) as f32;
            }
        }
        Some(Self(out))
    }
}

/// The upright box around points: x, y, width, height.
pub(crate) fn hull(points: &[[f32; 2]]) -> [f32; 4] {
    let mut low = [f32::MAX; 2];
    let mut high = [f32::MIN; 2];
    for p in points {
        for axis in 0..2 {
            low[axis] = low[axis].min(p[axis]);
            high[axis] = high[axis].max(p[axis]);
        }
    }
    [low[0], low[1], high[0] - low[0], high[1] - low[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_seen_through_the_homography_is_where_its_points_project() {
        let camera = Camera::still(1920, 1080).shaken([3.0, -5.0, 0.01]);
        let (origin, across, down) = ([-1.0, 0.7, 8.0], [0.001, 0.0, 0.0001], [0.0, -0.001, 0.0002]);
        let plane = camera.homography(origin, across, down);
        let back = plane.inverse().expect("the plane is not edge-on");
        for (x, y) in [(0.0, 0.0), (520.0, 0.0), (520.0, 111.0), (0.0, 111.0)] {
            let straight = camera.project(add(add(origin, scale(across, x)), scale(down, y)));
            let pixel = plane.apply(x, y);
            assert!((straight[0] - pixel[0]).abs() < 0.01 && (straight[1] - pixel[1]).abs() < 0.01);
            let again = back.apply(pixel[0], pixel[1]);
            assert!((again[0] - x).abs() < 0.5 && (again[1] - y).abs() < 0.5, "{again:?}");
        }
    }

    #[test]
    fn what_is_behind_the_camera_is_cut_away() {
        let camera = Camera::still(1920, 1080);
        assert!(camera.outline(&[[0.0, 0.0, -1.0], [1.0, 0.0, -1.0], [1.0, 1.0, -2.0]]).len() < 3);
        let road = camera.outline(&[[-2.0, -1.2, -5.0], [2.0, -1.2, -5.0], [2.0, -1.2, 90.0], [-2.0, -1.2, 90.0]]);
        assert!(road.len() >= 3 && road.iter().all(|p| p[0].abs() < 5000.0 && p[1].abs() < 5000.0));
    }
}
