//! The map as a picture: own track, reads and hits, drawn to scale without any network. North is up.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, PixmapPaint, Rect, Stroke, Transform,
};

use super::pages::MapView;
use super::tiles::Underlay;

/// Metres a pixel of the 1024x600 screen, nearest first.
const ZOOMS: [f64; 8] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// The one to begin with.
pub(super) const USUAL: usize = 2;
/// Metres of one degree of latitude: the mean over the globe.
const METRES_A_DEGREE: f64 = 111_195.0;
/// VRMs of hits that are written beside their marks.
const LABELS: usize = 8;

/// The map and what is written over it.
pub(super) struct Drawn {
    pub(super) pixmap: Pixmap,
    /// Where, in pixels, and what.
    pub(super) labels: Vec<(f32, f32, String)>,
    /// "500 m, north up", and its length in pixels.
    pub(super) scale: (String, f32),
}

/// The next zoom, `by` steps nearer.
pub(super) fn zoomed(zoom: usize, by: i32) -> usize {
    zoom.saturating_add_signed(-isize::try_from(by).unwrap_or(0)).min(ZOOMS.len() - 1)
}

/// Metres a pixel at a zoom; `unit` is one pixel of the 1024x600 screen.
pub(super) fn metres(zoom: usize, unit: f32) -> f64 {
    ZOOMS[zoom.min(ZOOMS.len() - 1)] / f64::from(unit)
}

/// What the map is drawn for.
#[derive(Clone, Copy)]
pub(super) struct Sheet {
    pub(super) zoom: usize,
    /// Pixels.
    pub(super) size: (u32, u32),
    /// One pixel of the 1024x600 screen.
    pub(super) unit: f32,
    pub(super) night: bool,
}

/// Draws `map` around the car, over the ground where there is a picture of it. `None` if there is nothing to draw it
/// around, or nothing to draw it on.
pub(super) fn draw(map: &MapView, under: Option<&Underlay>, sheet: Sheet) -> Option<Drawn> {
    let Sheet { zoom, size: (width, height), unit, night } = sheet;
    let here = map.here.as_ref()?;
    let mut pixmap = Pixmap::new(width, height)?;
    let colours = Colours::of(night);
    pixmap.fill(colours.ground);
    let metres = metres(zoom, unit);
    let (centre_x, centre_y) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    let shrink = here.at.0.to_radians().cos();
    let place = |(lat, lon): (f64, f64)| {
        // The shorter way round where the track crosses the date line.
        let east = (lon - here.at.1 + 540.0).rem_euclid(360.0) - 180.0;
        let x = centre_x + east * METRES_A_DEGREE * shrink / metres;
        let y = centre_y - (lat - here.at.0) * METRES_A_DEGREE / metres;
        (x as f32, y as f32)
    };
    if let Some(under) = under {
        let (x, y) = place(under.middle);
        let corner = |middle: f32, side: u32| (middle - side as f32 / 2.0).round() as i32;
        let (left, top) = (corner(x, under.pixmap.width()), corner(y, under.pixmap.height()));
        pixmap.draw_pixmap(left, top, under.pixmap.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
        // What is drawn over it is to stand out, and at night it is not to dazzle.
        let veil = Rect::from_xywh(0.0, 0.0, width as f32, height as f32)?;
        let mut ground = colours.ground;
        ground.set_alpha(if night { 0.72 } else { 0.25 });
        pixmap.fill_rect(veil, &paint(ground), Transform::identity(), None);
    }
    let (scale, step) = scale_of(metres, unit);
    rings(&mut pixmap, (centre_x as f32, centre_y as f32), step, unit, &colours);
    track(&mut pixmap, map, &place, unit, &colours);
    let mut labels: Vec<(f32, f32, String)> = Vec::new();
    for mark in &map.marks {
        let (x, y) = place(mark.at);
        let path = match mark.hit {
            None => dot(x, y, 5.0 * unit),
            Some(_) => diamond(x, y, 14.0 * unit),
        };
        let colour = if mark.hit.is_some() { colours.hit } else { colours.read };
        filled(&mut pixmap, path, colour, colours.ground, 2.0 * unit);
    }
    // The newest hits are named, each where no newer name stands.
    for mark in map.marks.iter().rev() {
        let Some(text) = &mark.hit else { continue };
        let (x, y) = place(mark.at);
        let free = labels.iter().all(|(a, b, _)| (a - x).abs() > 170.0 * unit || (b - y).abs() > 36.0 * unit);
        let seen = (0.0..width as f32).contains(&x) && (0.0..height as f32).contains(&y);
        if labels.len() < LABELS && free && seen {
            labels.push((x, y, crate::plate::spaced(text)));
        }
    }
    let arrow = arrow(centre_x as f32, centre_y as f32, here.course, 20.0 * unit);
    filled(&mut pixmap, arrow, if here.old { colours.read } else { colours.own }, colours.ground, 3.0 * unit);
    Some(Drawn { pixmap, labels, scale: (scale, step) })
}

/// A round length that is about a sixth of the page, in words, and in pixels.
fn scale_of(metres: f64, unit: f32) -> (String, f32) {
    let wanted = metres * 170.0 * f64::from(unit);
    let magnitude = 10f64.powf(wanted.log10().floor());
    let length = [5.0, 2.0, 1.0].into_iter().map(|n| n * magnitude).find(|n| *n <= wanted).unwrap_or(magnitude);
    let word = if length >= 1000.0 { format!("{:.0} km", length / 1000.0) } else { format!("{length:.0} m") };
    (format!("{word}, north up"), (length / metres) as f32)
}

struct Colours {
    ground: Color,
    line: Color,
    track: Color,
    read: Color,
    hit: Color,
    own: Color,
}

impl Colours {
    fn of(night: bool) -> Self {
        let [ground, line, track, read, hit, own] = if night {
            [0x07090b, 0x2b333b, 0x5f8fb8, 0xb9c3ca, 0xff7b74, 0x7fdb9c]
        } else {
            [0xe9ece8, 0xc3cac6, 0x3f78a8, 0x3b444b, 0xa00010, 0x0a5527]
        };
        let colour = |rgb: u32| Color::from_rgba8((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8, 255);
        Self {
            ground: colour(ground),
            line: colour(line),
            track: colour(track),
            read: colour(read),
            hit: colour(hit),
            own: colour(own),
        }
    }
}

/// Circles around the car, the scale's length apart: distance at a glance.
fn rings(pixmap: &mut Pixmap, (x, y): (f32, f32), step: f32, unit: f32, colours: &Colours) {
    let farthest = (pixmap.width() as f32).hypot(pixmap.height() as f32) / 2.0;
    let mut radius = step;
    while step > 1.0 && radius < farthest {
        stroked(pixmap, dot(x, y, radius), colours.line, 2.0 * unit);
        radius += step;
    }
}

fn track(pixmap: &mut Pixmap, map: &MapView, place: &impl Fn((f64, f64)) -> (f32, f32), unit: f32, colours: &Colours) {
    for piece in map.track.split(Option::is_none) {
        let mut path = PathBuilder::new();
        for (index, at) in piece.iter().flatten().enumerate() {
            let (x, y) = place(*at);
            if index == 0 {
                path.move_to(x, y);
            } else {
                path.line_to(x, y);
            }
        }
        stroked(pixmap, path.finish(), colours.track, 6.0 * unit);
    }
}

fn paint(colour: Color) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(colour);
    paint
}

fn stroked(pixmap: &mut Pixmap, path: Option<Path>, colour: Color, width: f32) {
    let Some(path) = path else { return };
    let stroke = Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
    pixmap.stroke_path(&path, &paint(colour), &stroke, Transform::identity(), None);
}

/// A shape with a rim that keeps it apart from what lies below.
fn filled(pixmap: &mut Pixmap, path: Option<Path>, colour: Color, rim: Color, width: f32) {
    let Some(path) = path else { return };
    stroked(pixmap, Some(path.clone()), rim, 2.0 * width);
    pixmap.fill_path(&path, &paint(colour), FillRule::Winding, Transform::identity(), None);
}

fn dot(x: f32, y: f32, radius: f32) -> Option<Path> {
    PathBuilder::from_circle(x, y, radius)
}

fn diamond(x: f32, y: f32, reach: f32) -> Option<Path> {
    shape(&[(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)])
}

/// An arrow that points where the car is heading; a disc where that is not known.
fn arrow(x: f32, y: f32, course: Option<f32>, reach: f32) -> Option<Path> {
    let Some(course) = course else { return dot(x, y, 0.6 * reach) };
    let (sin, cos) = course.to_radians().sin_cos();
    let turned = |(right, ahead): (f32, f32)| (x + right * cos + ahead * sin, y + right * sin - ahead * cos);
    shape(&[(0.0, reach), (0.7 * reach, -0.8 * reach), (0.0, -0.4 * reach), (-0.7 * reach, -0.8 * reach)].map(turned))
}

fn shape(corners: &[(f32, f32)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (index, (x, y)) in corners.iter().enumerate() {
        if index == 0 {
            path.move_to(*x, *y);
        } else {
            path.line_to(*x, *y);
        }
    }
    path.close();
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::super::pages::{Here, MapMark};
    use super::*;

    fn map(lat: f64, lon: f64) -> MapView {
        let here = Here { at: (lat, lon), course: Some(90.0), word: String::new(), old: false };
        // One hit 100 m to the north, one read 100 m to the east.
        let (north, east) = (100.0 / METRES_A_DEGREE, 100.0 / METRES_A_DEGREE / lat.to_radians().cos());
        let marks = vec![
            MapMark { at: (lat + north, lon), hit: Some("AB01CDE".into()) },
            MapMark { at: (lat, lon + east), hit: None },
        ];
        MapView { track: vec![Some((lat, lon - east)), None, Some((lat, lon))], marks, here: Some(here) }
    }

    fn sheet(zoom: usize) -> Sheet {
        Sheet { zoom, size: (1024, 600), unit: 1.0, night: false }
    }

    #[test]
    fn the_ground_lies_where_it_is_and_under_what_is_drawn() {
        let (lat, lon) = (51.5, -0.1);
        let mut ground = Pixmap::new(1536, 900).expect("made");
        ground.fill(Color::from_rgba8(0, 0, 255, 255));
        // Its middle is 1400 m to the east: 700 pixels.
        let middle = (lat, lon + 1400.0 / METRES_A_DEGREE / f64::to_radians(lat).cos());
        let under = Underlay { pixmap: ground, middle, metres: 2.0 };
        let drawn = draw(&map(lat, lon), Some(&under), sheet(USUAL)).expect("drawn");
        let blue = |x, y| drawn.pixmap.pixel(x, y).is_some_and(|p| p.blue() > 240 && p.red() < 80);
        assert!(!blue(430, 20) && blue(460, 20), "its left edge is 768 pixels left of its middle");
        assert_eq!(drawn.pixmap.pixel(512, 250).map(|p| p.red()), Some(0xa0), "the hit lies over it");
    }

    #[test]
    fn what_is_a_hundred_metres_away_is_drawn_there_wherever_on_earth_the_car_is() {
        for (lat, lon) in [(51.5, -0.1), (-33.9, 151.2), (64.1, -21.9), (-17.0, 179.9999)] {
            // Two metres a pixel.
            let drawn = draw(&map(lat, lon), None, sheet(USUAL)).expect("drawn");
            let pixel = |x, y| drawn.pixmap.pixel(x, y).map(|p| (p.red(), p.green(), p.blue()));
            assert_eq!(pixel(512, 250), Some((0xa0, 0x00, 0x10)), "the hit, at {lat}, {lon}");
            assert_eq!(pixel(562, 300), Some((0x3b, 0x44, 0x4b)), "the read, at {lat}, {lon}");
            assert_eq!(pixel(512, 300), Some((0x0a, 0x55, 0x27)), "the car, at {lat}, {lon}");
            assert_eq!(drawn.labels, [(512.0, 250.0, "AB01 CDE".to_owned())]);
        }
    }

    #[test]
    fn the_scale_is_a_round_length_at_every_zoom() {
        let mut said = Vec::new();
        for zoom in 0..ZOOMS.len() {
            let (word, pixels) = draw(&map(51.5, -0.1), None, sheet(zoom)).expect("drawn").scale;
            assert!((60.0..=171.0).contains(&pixels), "{word}: {pixels}");
            said.push(word);
        }
        assert_eq!(said[2], "200 m, north up");
        assert_eq!(said[7], "10 km, north up");
        assert_eq!((zoomed(0, 1), zoomed(0, -1), zoomed(7, -1)), (0, 1, 7));
    }

    #[test]
    fn without_a_position_there_is_no_map() {
        assert!(draw(&MapView::default(), None, sheet(USUAL)).is_none());
        assert!(draw(&map(51.5, -0.1), None, Sheet { size: (0, 600), ..sheet(USUAL) }).is_none());
    }
}
