//! One frame: everything in its place, painted far to near, and made into the planes that an encoder takes.

use tiny_skia::Pixmap;

use super::artwork::Artwork;
use super::canvas::{Canvas, Light, Rgb};
use super::plan::{GREEN, OWN_X, Plan, Track};
use super::scenery::{EYE, Scenery};
use super::space::{Camera, V3, add, hull};
use super::vehicle::Lamps;
use crate::fault::{Fault, Kind, Result};

/// A plate in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PlateSeen {
    /// Which pass of the plan.
    pub(crate) pass: usize,
    /// Corners in pixels: top left, top right, bottom right, bottom left.
    pub(crate) corners: [[f32; 2]; 4],
    /// Wholly inside the picture with no vehicle before it.
    pub(crate) clear: bool,
}

/// Everything that frames are painted from; shared by the threads that paint them.
pub(crate) struct Scene<'a> {
    plan: &'a Plan,
    scenery: Scenery,
    art: Vec<Artwork>,
    /// How far the headlamps light the road, a value a pixel from [`Scene::first_row`] down, without shake.
    beam: Vec<u8>,
    grain: Vec<i8>,
}

/// A vehicle in one frame.
struct Standing {
    pass: usize,
    /// Middle of the near end on the ground, from the camera.
    at: V3,
}

const GRAIN: usize = 1 << 16;

impl<'a> Scene<'a> {
    /// Prepares what is the same in every frame.
    ///
    /// # Errors
    /// Kind `Usage` if the plan has no picture or no frames; `Internal` if a plate cannot be drawn.
    pub(crate) fn new(plan: &'a Plan) -> Result<Self> {
        if plan.width < 64 || plan.height < 64 || plan.width % 2 + plan.height % 2 != 0 || plan.fps == 0 {
            let what =
                format!("a drive of {} x {} at {} frames a second cannot be made", plan.width, plan.height, plan.fps);
            return Err(Fault::new(Kind::Usage, what).remedy("Give even sizes of at least 64 and a frame rate"));
        }
        let art = plan.passes.iter().map(|pass| Artwork::new(&pass.plate)).collect::<Result<Vec<_>>>()?;
        let scenery = Scenery::new(plan.seed, plan.travelled(plan.seconds()), plan.travelled(24.0));
        let camera = Camera::still(plan.width, plan.height);
        let first = Self::first_row(&camera);
        let mut beam = Vec::with_capacity(plan.width as usize * (plan.height as usize - first));
        for y in first..plan.height as usize {
            let z = EYE * camera.focal / (y as f32 + 0.5 - camera.horizon).max(0.5);
            for x in 0..plan.width {
                let aside = (x as f32 + 0.5 - camera.width / 2.0) * z / camera.focal;
                beam.push((Light::headlamp([aside, -EYE, z]) * 255.0) as u8);
            }
        }
        let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x6a41);
        let grain = (0..GRAIN).map(|_| (0..6).map(|_| rng.i8(-10..=10)).sum::<i8>()).collect();
        Ok(Self { plan, scenery, art, beam, grain })
    }

    fn first_row(camera: &Camera) -> usize {
        camera.horizon as usize
    }

    fn seconds(&self, frame: u64) -> f32 {
        frame as f32 / self.plan.fps as f32
    }

    fn camera(&self, frame: u64) -> Camera {
        let t = self.seconds(frame);
        let moving = 0.25 + 0.75 * (self.plan.speed(t) / 5.0).min(1.0);
        let wave = |hz: f32, phase: f32| (t * hz * std::f32::consts::TAU + phase).sin();
        let phase = (self.plan.seed % 97) as f32;
        let size = self.plan.width as f32 / 1920.0 * moving;
        Camera::still(self.plan.width, self.plan.height).shaken([
            size * (1.3 * wave(0.7, phase) + 0.8 * wave(2.3, phase + 1.0)),
            size * (1.8 * wave(1.7, phase + 2.0) + 1.2 * wave(3.9, phase + 3.0) + 0.5 * wave(9.0, phase)),
            moving * (0.0012 * wave(0.9, phase + 4.0) + 0.0006 * wave(3.1, phase)),
        ])
    }

    fn light(&self, t: f32) -> (Light, [Rgb; 2]) {
        let d = self.plan.daylight(t);
        let three = |night: Rgb, dusk: Rgb, day: Rgb| -> Rgb {
            let (a, b, k) = if d > 0.5 { (dusk, day, d * 2.0 - 1.0) } else { (night, dusk, d * 2.0) };
            [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * k)
        };
        let on = ((0.92 - d) / 0.4).clamp(0.0, 1.0);
        let light = Light {
            ambient: three([0.125, 0.135, 0.185], [0.50, 0.44, 0.46], [1.0, 0.99, 0.97]),
            head: ((0.7 - d) / 0.5).clamp(0.0, 1.0),
            lamps: on,
            haze: three([0.045, 0.05, 0.075], [0.60, 0.45, 0.40], [0.76, 0.82, 0.87]),
            clear: 210.0,
        };
        let sky = [
            three([0.015, 0.02, 0.05], [0.27, 0.31, 0.50], [0.38, 0.59, 0.85]),
            three([0.085, 0.085, 0.125], [0.95, 0.62, 0.40], [0.82, 0.89, 0.94]),
        ];
        (light, sky)
    }

    /// The vehicles of a frame that reach past the camera, far to near.
    fn standing(&self, t: f32) -> Vec<Standing> {
        let mut list: Vec<Standing> = (self.plan.passes.iter().enumerate())
            .filter_map(|(pass, p)| {
                let [z, x] = self.plan.place(&p.track, t);
                (z + p.car.length() > 0.6 && z < 150.0).then_some(Standing { pass, at: [x - OWN_X, -EYE, z] })
            })
            .collect();
        list.sort_by(|a, b| b.at[2].total_cmp(&a.at[2]));
        list
    }

    /// Top left corner of a plate, from the camera.
    fn plate_origin(&self, standing: &Standing) -> V3 {
        let [w, h] = self.art[standing.pass].size;
        let centre = add(standing.at, self.plan.passes[standing.pass].car.plate());
        add(centre, [-w / 2000.0, h / 2000.0, 0.0])
    }

    /// Where the plates are in a frame, from geometry alone.
    pub(crate) fn plates(&self, frame: u64) -> Vec<PlateSeen> {
        let camera = self.camera(frame);
        let standing = self.standing(self.seconds(frame));
        let mut seen = Vec::new();
        for (i, s) in standing.iter().enumerate() {
            let origin = self.plate_origin(s);
            if origin[2] < 0.6 {
                continue;
            }
            let [w, h] = self.art[s.pass].size.map(|v| v / 1000.0);
            let corners =
                [[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]].map(|[x, y]| camera.project(add(origin, [x, -y, 0.0])));
            let [x, y, wide, high] = hull(&corners);
            let inside = x >= 0.0 && y >= 0.0 && x + wide <= camera.width && y + high <= camera.height;
            let hidden = standing[i + 1..].iter().any(|nearer| {
                let [hx, hy, hw, hh] = self.silhouette(&camera, nearer);
                x < hx + hw && hx < x + wide && y < hy + hh && hy < y + high
            });
            seen.push(PlateSeen { pass: s.pass, corners, clear: inside && !hidden });
        }
        seen
    }

    /// The upright box around a whole vehicle in pixels.
    fn silhouette(&self, camera: &Camera, standing: &Standing) -> [f32; 4] {
        let car = &self.plan.passes[standing.pass].car;
        let [half, height] = car.extent();
        let mut points = Vec::with_capacity(8);
        for deep in [0.0, car.length()] {
            for (x, y) in [(-half, 0.0), (half, 0.0), (half, height), (-half, height)] {
                let p = add(standing.at, [x, y, deep]);
                points.push(camera.project([p[0], p[1], p[2].max(0.5)]));
            }
        }
        hull(&points)
    }

    /// Paints a frame.
    ///
    /// # Errors
    /// Kind `Internal` if there is no memory for the picture.
    pub(crate) fn paint(&self, frame: u64) -> Result<Pixmap> {
        let t = self.seconds(frame);
        let (light, sky) = self.light(t);
        let picture = Pixmap::new(self.plan.width, self.plan.height)
            .ok_or_else(|| Fault::new(Kind::Internal, "there is no memory for a frame of the drive"))?;
        let mut canvas = Canvas::new(picture, self.camera(frame), light);
        let along = self.plan.travelled(t);
        self.scenery.ground(&mut canvas, along, OWN_X, self.plan.daylight(t), sky);
        self.light_ground(&mut canvas);

        let standing = self.standing(t);
        let mut next = standing.iter().peekable();
        for thing in self.scenery.things.iter().filter(|thing| thing.near(along)) {
            while let Some(s) = next.next_if(|s| s.at[2] > thing.far_end() - along) {
                self.vehicle(&mut canvas, s, t);
            }
            thing.draw(&mut canvas, along, OWN_X, t >= GREEN);
        }
        for s in next {
            self.vehicle(&mut canvas, s, t);
        }
        bonnet(&mut canvas);
        Ok(canvas.picture)
    }

    fn vehicle(&self, canvas: &mut Canvas, standing: &Standing, t: f32) {
        let pass = &self.plan.passes[standing.pass];
        let parked = matches!(pass.track, Track::Parked { .. });
        let on = if parked { 0.0 } else { canvas.light.lamps };
        let brake = match &pass.track {
            Track::Ahead(_) => {
                let speed = |t: f32| {
                    let z = |t: f32| self.plan.place(&pass.track, t)[0];
                    (z(t + 0.1) - z(t - 0.1)) / 0.2 + self.plan.speed(t)
                };
                let stopping = speed(t + 0.25) < speed(t - 0.25) - 0.25;
                // Who waits in the lane keeps a foot on the brake, who has pulled over does not.
                f32::from(u8::from(stopping || (speed(t) < 0.3 && standing.at[0] + OWN_X > -3.0)))
            }
            _ => 0.0,
        };
        pass.car.draw(canvas, standing.at, Lamps { running: on, brake });
        let origin = self.plate_origin(standing);
        if origin[2] > 0.6 {
            let own_lamp = if parked || !pass.car.from_behind { 0.0 } else { 0.30 };
            canvas.plate(&self.art[standing.pass], origin, [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], own_lamp);
        }
    }

    /// Lets ambient light and headlamps fall on the road, which is painted in its own colours, and the haze into
    /// its distance.
    fn light_ground(&self, canvas: &mut Canvas) {
        let camera = canvas.camera;
        let light = canvas.light;
        let (width, height) = (canvas.picture.width() as usize, canvas.picture.height() as usize);
        let first = Self::first_row(&camera);
        let shift = camera.shake[1].round() as isize;
        let ambient = light.ambient.map(|c| (c * 256.0) as u32);
        let head = [1.0, 0.96, 0.86].map(|c: f32| (c * light.head * 256.0) as u32);
        let data = canvas.picture.data_mut();
        for y in 0..height {
            let source = y as isize - shift;
            if source < first as isize {
                continue;
            }
            let source = (source as usize - first).min(height - first - 1);
            let beam = &self.beam[source * width..(source + 1) * width];
            let z = EYE * camera.focal / (source as f32 + 0.5 + first as f32 - camera.horizon).max(0.5);
            let clear = (256.0 * (-z / light.clear).exp()) as u32;
            let haze = light.haze.map(|c| (c * 255.0 * (256 - clear.min(256)) as f32) as u32);
            for (pixel, beam) in data[y * width * 4..(y + 1) * width * 4].chunks_exact_mut(4).zip(beam) {
                let beam = u32::from(*beam);
                for c in 0..3 {
                    let lit = (u32::from(pixel[c]) * (ambient[c] + ((head[c] * beam) >> 8))) >> 8;
                    pixel[c] = ((lit * clear + haze[c]) >> 8).min(255) as u8;
                }
            }
        }
    }

    /// A frame as I420 bytes with tight rows (BT.709, limited range), with the grain of a sensor.
    pub(crate) fn film(&self, picture: &Pixmap, frame: u64) -> Vec<u8> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let dark = 1.0 - self.plan.daylight(self.seconds(frame));
        let strength = (4.0 + 5.0 * dark) as i32;
        let mut rng = fastrand::Rng::with_seed(self.plan.seed.wrapping_mul(0x9e37_79b9).wrapping_add(frame));
        let (chroma_width, chroma_height) = (width / 2, height / 2);
        let mut out = vec![0; width * height + 2 * chroma_width * chroma_height];
        let (luma, chroma) = out.split_at_mut(width * height);
        let (blue, red) = chroma.split_at_mut(chroma_width * chroma_height);
        let data = picture.data();
        for (y, row) in luma.chunks_exact_mut(width).enumerate() {
            let from = rng.usize(..GRAIN - width.min(GRAIN / 2));
            let pixels = data[y * width * 4..(y + 1) * width * 4].chunks_exact(4);
            for ((out, p), grain) in row.iter_mut().zip(pixels).zip(&self.grain[from..]) {
                let v = (47 * i32::from(p[0]) + 157 * i32::from(p[1]) + 16 * i32::from(p[2]) + 4224) >> 8;
                *out = (v + ((i32::from(*grain) * strength) >> 6)).clamp(16, 235) as u8;
            }
        }
        for y in 0..chroma_height {
            let upper = &data[2 * y * width * 4..(2 * y + 1) * width * 4];
            let lower = &data[(2 * y + 1) * width * 4..(2 * y + 2) * width * 4];
            let rows = blue[y * chroma_width..(y + 1) * chroma_width]
                .iter_mut()
                .zip(&mut red[y * chroma_width..(y + 1) * chroma_width]);
            for (((b, r), u), l) in rows.zip(upper.chunks_exact(8)).zip(lower.chunks_exact(8)) {
                let sum = |c: usize| i32::from(u[c]) + i32::from(u[c + 4]) + i32::from(l[c]) + i32::from(l[c + 4]);
                let [cr, cg, cb] = [sum(0), sum(1), sum(2)];
                *b = (128 + ((-26 * cr - 86 * cg + 112 * cb + 512) >> 10)).clamp(16, 240) as u8;
                *r = (128 + ((112 * cr - 102 * cg - 10 * cb + 512) >> 10)).clamp(16, 240) as u8;
            }
        }
        out
    }
}

/// The patrol car's own bonnet along the lower edge.
fn bonnet(canvas: &mut Canvas) {
    let (w, h) = (canvas.camera.width, canvas.camera.height);
    let ambient = canvas.light.ambient;
    let edge = |lift: f32| -> Vec<[f32; 2]> {
        let mut points: Vec<[f32; 2]> = (0..=24)
            .map(|i| {
                let u = i as f32 / 12.0 - 1.0;
                [w * (0.5 + 0.56 * u), h * (0.957 + 0.055 * u * u * u * u - lift)]
            })
            .collect();
        points.extend([[w * 1.06, h * 1.05], [-w * 0.06, h * 1.05]]);
        points
    };
    let lit = |c: Rgb| [0, 1, 2].map(|i| c[i] * ambient[i]);
    canvas.flat(&edge(0.003), lit([0.55, 0.60, 0.68]), 1.0);
    for (drop, colour) in [(0.0, [0.19, 0.24, 0.33]), (-0.008, [0.15, 0.19, 0.27]), (-0.02, [0.11, 0.14, 0.20])] {
        canvas.flat(&edge(drop), lit(colour), 1.0);
    }
}
