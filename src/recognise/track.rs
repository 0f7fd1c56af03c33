//! One vehicle in view: where its plate is and how it moves, which looks of it are read, and what they say together.

use std::sync::Arc;
use std::time::Duration;

use super::align::{Aligned, hull};
use super::find::Found;
use super::fuse::{Fusion, Verdict};
use super::read::{Corners, Read, ReadId, Thumbnail};
use crate::capture::{Frame, Picture, region_rgb};
use crate::clock::Moment;

/// How far, in plate widths, a plate may be from where it must be by now: while it has been seen once, and later.
const UNKNOWN_MOTION: f32 = 1.2;
const KNOWN_MOTION: f32 = 0.7;
/// Height of characters in pixels: below the first they are not read, from the second on a look counts whole.
const LEGIBLE: (f32, f32) = (5.5, 22.0);
/// So many looks of a vehicle are read whatever they show.
const FIRST_LOOKS: u32 = 5;
/// A look that shows the plate this much larger than the last one that was read is read.
const GROWN: f32 = 1.06;
/// So many looks in a row that say the same surely settle a text. From then on it is read when the plate has grown so much, and
/// every so manieth look, in case another vehicle has taken the place.
const SETTLED: u32 = 4;
const SETTLED_GROWN: f32 = 1.15;
const SETTLED_EVERY: u32 = 8;
/// Below this confidence nothing legible has been seen; a track that was read so often without more is read again only when
/// it shows the plate so much larger, or at every so manieth look.
const ILLEGIBLE: f32 = 0.03;
const TRIED: u32 = 5;
const TRY_LARGER: f32 = 1.2;
const TRY_EVERY: u32 = 10;
/// So many looks are read again then.
const TRIES_LARGER: u32 = 2;
/// Such a track is looked at in one frame of so many.
const GLANCE_EVERY: u64 = 4;
/// A read is put out as soon as it is this sure, from at least [`SURE_LOOKS`](super::follow) looks.
pub(super) const SURE: f32 = 0.93;

/// One vehicle in view.
pub(super) struct Track {
    pub(super) corners: Corners,
    pub(super) first_corners: Corners,
    /// Centre and width of the upright box, and their change a second.
    pub(super) state: [f32; 3],
    pub(super) change: [f32; 3],
    pub(super) at: Duration,
    /// The frame of the last look, counted from the camera's first.
    pub(super) frame: u64,
    pub(super) looks: u32,
    pub(super) first_seen: Duration,
    pub(super) first_at: Moment,
    pub(super) last_at: Moment,
    pub(super) fusion: Fusion,
    pub(super) said: Option<Said>,
    /// Looks read since the last one that changed anything; a settled plate is read less often.
    pub(super) settled: u32,
    /// Looks read since anything legible was seen.
    pub(super) in_vain: u32,
    /// A look was read since the track spoke last.
    pub(super) fresh: bool,
    /// Height of the characters, pixels, in the look that was read last.
    pub(super) read_height: f32,
    pub(super) pictures: Option<Pictures>,
    pub(super) text: String,
    /// Another track speaks for this vehicle.
    pub(super) silent: bool,
}

/// What was told of it last.
pub(super) struct Said {
    pub(super) id: ReadId,
    pub(super) text: String,
    pub(super) confidence: f32,
    /// Height of the characters in the pictures that went with it, pixels.
    pub(super) height: f32,
}

/// The pictures that go with its read, and where the plate was then.
pub(super) struct Pictures {
    pub(super) corners: Corners,
    pub(super) height: f32,
    pub(super) patch: Arc<Thumbnail>,
    pub(super) overview: Arc<Thumbnail>,
}

/// Whether a plate of width and height `expected` can be `seen` a few frames later.
fn of_a_size(expected: [f32; 2], seen: [f32; 2]) -> bool {
    (0.6..1.67).contains(&(seen[0] / expected[0].max(1.0))) && (0.5..2.0).contains(&(seen[1] / expected[1].max(1.0)))
}

impl Track {
    pub(super) fn new(plate: &Aligned, frame: &Frame) -> Self {
        let (seen, at) = (frame.time, frame.at);
        Self { at: seen, first_seen: seen, first_at: at, last_at: at, ..Self::starting(plate.corners) }
    }

    fn starting(corners: Corners) -> Self {
        Self {
            corners,
            first_corners: corners,
            state: state(&corners),
            change: [0.0; 3],
            at: Duration::ZERO,
            frame: 0,
            looks: 0,
            first_seen: Duration::ZERO,
            first_at: Moment::default(),
            last_at: Moment::default(),
            fusion: Fusion::default(),
            said: None,
            settled: 0,
            in_vain: 0,
            fresh: false,
            read_height: 0.0,
            pictures: None,
            text: String::new(),
            silent: false,
        }
    }

    /// The upright box where the plate must be at `time`.
    pub(super) fn predicted(&self, time: Duration) -> [f32; 4] {
        let dt = time.saturating_sub(self.at).as_secs_f32();
        let [_, _, w, h] = hull(&self.corners);
        let cx = self.state[0] + self.change[0] * dt;
        let cy = self.state[1] + self.change[1] * dt;
        let grown = ((self.state[2] + self.change[2] * dt) / self.state[2].max(1.0)).clamp(0.7, 1.4);
        [cx - w * grown / 2.0, cy - h * grown / 2.0, w * grown, h * grown]
    }

    /// Whether nothing legible has been seen of it and it was looked at a short while before frame `number`.
    pub(super) fn glanced_at(&self, number: u64) -> bool {
        self.in_vain >= TRIED && number - self.frame < GLANCE_EVERY
    }

    pub(super) fn found(&self, time: Duration) -> Found {
        Found::at(self.predicted(time))
    }

    /// How far a box is from where the plate must be by now, 1 being as far as it can have got; infinite for a box of another
    /// size.
    pub(super) fn reach(&self, time: Duration, found: &Found) -> f32 {
        let [x, y, w, h] = self.predicted(time);
        let (far_x, far_y) = (found.x + found.w / 2.0 - x - w / 2.0, found.y + found.h / 2.0 - y - h / 2.0);
        let reach = if self.looks < 2 { UNKNOWN_MOTION } else { KNOWN_MOTION };
        if of_a_size([w, h], [found.w, found.h]) { far_x.hypot(far_y) / (reach * w.max(1.0)) } else { f32::INFINITY }
    }

    /// Whether a plate that was found near the prediction can be this one.
    pub(super) fn plausible(&self, plate: &Aligned, [x, y, w, h]: [f32; 4]) -> bool {
        let [px, py, pw, ph] = hull(&plate.corners);
        let far = ((px + pw / 2.0 - x - w / 2.0) / w).abs().max(((py + ph / 2.0 - y - h / 2.0) / h.max(w / 4.0)).abs());
        far < 0.8 && of_a_size([w, h], [pw, ph])
    }

    /// Takes in a look in the camera's frame of that number: where the plate is now. If it is to be read, tells what the reading
    /// is worth.
    pub(super) fn look(&mut self, plate: &Aligned, frame: &Frame, number: u64) -> Option<f32> {
        let now = state(&plate.corners);
        let dt = frame.time.saturating_sub(self.at).as_secs_f32();
        if dt > 0.0 {
            let trust = if self.looks < 3 { 0.8 } else { 0.5 };
            for ((change, new), old) in self.change.iter_mut().zip(now).zip(self.state) {
                *change += trust * ((new - old) / dt - *change);
            }
        }
        self.state = now;
        self.corners = plate.corners;
        self.at = frame.time;
        self.frame = number;
        self.last_at = frame.at;
        self.looks += 1;
        let weight = trust(plate);
        // Reading costs three times as much as following: the first looks are read, then those that show more than the
        // last one did, and every second; of a text that has settled and of what stays illegible, few.
        let height = character_height(&plate.corners, false);
        let due = if self.has_settled() {
            height > self.read_height * SETTLED_GROWN || self.looks.is_multiple_of(SETTLED_EVERY)
        } else if self.in_vain >= TRIED {
            height > self.read_height * TRY_LARGER || self.looks.is_multiple_of(TRY_EVERY)
        } else {
            self.looks <= FIRST_LOOKS || height > self.read_height * GROWN || self.looks.is_multiple_of(2)
        };
        if weight <= 0.0 || !due {
            return None;
        }
        if self.in_vain >= TRIED && height > self.read_height * TRY_LARGER {
            // What it said while it was too small to be read is worth nothing against what it says now.
            self.fusion.clear();
            self.in_vain = TRIED - TRIES_LARGER;
        }
        self.read_height = height;
        self.fresh = true;
        Some(weight)
    }

    /// Whether its text was read surely several times over.
    pub(super) fn has_settled(&self) -> bool {
        self.settled >= SETTLED
    }

    /// Height of the characters in the pictures kept, pixels; 0 while there are none.
    pub(super) fn pictured(&self) -> f32 {
        self.pictures.as_ref().map_or(0.0, |kept| kept.height)
    }

    /// Remembers what the text is by now and whether it has settled.
    pub(super) fn note(&mut self, verdict: &Verdict) {
        self.settled = if verdict.text == self.text && verdict.confidence >= SURE { self.settled + 1 } else { 0 };
        self.in_vain = if verdict.confidence >= ILLEGIBLE { 0 } else { self.in_vain + 1 };
        if verdict.confidence >= 0.5 {
            self.text.clone_from(&verdict.text);
        }
    }

    /// Keeps the patch and the overview of the largest look so far that shows the plate whole.
    pub(super) fn keep_pictures(&mut self, picture: &Picture) {
        let height = character_height(&self.corners, false);
        let [x, y, w, h] = hull(&self.corners);
        let whole = x >= 0.0 && y >= 0.0 && x + w <= picture.width() as f32 && y + h <= picture.height() as f32;
        let better = self.pictures.as_ref().is_none_or(|kept| whole && height > kept.height * 1.2);
        if !better || height < LEGIBLE.0 {
            return;
        }
        let patch = thumbnail(picture, [x - 0.08 * w, y - 0.15 * h, 1.16 * w, 1.3 * h], PATCH);
        let wide = 5.0 * w.max(1.5 * h);
        let high = wide * OVERVIEW.1 as f32 / OVERVIEW.0 as f32;
        let overview = thumbnail(picture, [x + w / 2.0 - wide / 2.0, y + h / 2.0 - 0.62 * high, wide, high], OVERVIEW);
        self.pictures =
            Some(Pictures { corners: self.corners, height, patch: Arc::new(patch), overview: Arc::new(overview) });
    }

    pub(super) fn read(&self, id: ReadId, camera: &Arc<str>, verdict: Verdict) -> Option<Read> {
        let pictures = self.pictures.as_ref()?;
        Some(Read {
            id,
            camera: camera.clone(),
            text: verdict.text,
            raw: verdict.raw,
            confidence: verdict.confidence,
            characters: verdict.characters,
            first_at: self.first_at,
            last_at: self.last_at,
            first_seen: self.first_seen,
            last_seen: self.at,
            looks: self.fusion.looks(),
            agreeing: verdict.agreeing,
            corners: pictures.corners,
            patch: pictures.patch.clone(),
            overview: pictures.overview.clone(),
        })
    }
}

/// Largest width and height of a plate patch, pixels.
const PATCH: (usize, usize) = (320, 160);
/// Width and height of an overview, pixels.
const OVERVIEW: (usize, usize) = (320, 240);

/// A region of a picture (x, y, width, height) in colour, shrunk to fit `most`, never enlarged.
fn thumbnail(picture: &Picture, [x, y, w, h]: [f32; 4], most: (usize, usize)) -> Thumbnail {
    let (pw, ph) = (picture.width() as f32, picture.height() as f32);
    let (left, top) = (x.clamp(0.0, pw - 1.0), y.clamp(0.0, ph - 1.0));
    let (right, bottom) = ((x + w).clamp(left + 1.0, pw), (y + h).clamp(top + 1.0, ph));
    let (w, h) = (right - left, bottom - top);
    let shrink = (most.0 as f32 / w).min(most.1 as f32 / h).min(1.0);
    let (width, height) = (((w * shrink) as usize).max(1), ((h * shrink) as usize).max(1));
    let rgb = region_rgb(picture, left as i32, top as i32, w.max(1.0) as usize, h.max(1.0) as usize, width, height);
    Thumbnail { width, height, rgb }
}

/// Centre x, centre y and width of the upright box.
fn state(corners: &Corners) -> [f32; 3] {
    let [x, y, w, h] = hull(corners);
    [x + w / 2.0, y + h / 2.0, w]
}

/// Height of the characters' line in pixels.
fn character_height(corners: &Corners, two_lines: bool) -> f32 {
    let side = |a: usize, b: usize| (corners[a][0] - corners[b][0]).hypot(corners[a][1] - corners[b][1]);
    let height = (side(0, 3) + side(1, 2)) / 2.0;
    if two_lines { height / 2.0 } else { height }
}

/// What a look can be trusted for, 0 to 1, by the height of its characters and how surely it is a plate.
fn trust(plate: &Aligned) -> f32 {
    let height = character_height(&plate.corners, plate.has_two_lines());
    if height < LEGIBLE.0 {
        return 0.0;
    }
    ((height - LEGIBLE.0) / (LEGIBLE.1 - LEGIBLE.0)).clamp(0.05, 1.0) * plate.plate
}

/// How far two plates are apart, in widths of the wider one.
pub(super) fn apart(a: &Corners, b: &Corners) -> f32 {
    let ([ax, ay, aw], [bx, by, bw]) = (state(a), state(b));
    (ax - bx).hypot(ay - by) / aw.max(bw).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plate_that_races_by_is_met_again_and_another_is_not_taken_for_it() {
        let frame = |x: f32| Corners::from([[x, 0.0], [x + 100.0, 0.0], [x + 100.0, 20.0], [x, 20.0]]);
        let mut track = Track::starting(frame(0.0));
        let at = |x: f32, y: f32, w: f32| Found::at([x, y, w, w / 5.0]);
        let soon = Duration::from_millis(66);
        assert!(track.reach(soon, &at(70.0, 40.0, 110.0)) < 1.0, "where it goes is not known yet");
        assert!(track.reach(soon, &at(300.0, 0.0, 100.0)) > 1.0, "too far");
        assert!(track.reach(soon, &at(0.0, 0.0, 40.0)).is_infinite(), "another size");
        track.looks = 5;
        track.change = [1000.0, 0.0, 0.0];
        assert!(track.reach(soon, &at(66.0, 0.0, 100.0)) < 0.1, "where it must be");
        assert!(track.reach(soon, &at(-40.0, 0.0, 100.0)) > 1.0, "behind");
    }

    #[test]
    fn small_characters_count_little_and_tiny_ones_nothing() {
        let plate = |h: f32| Aligned {
            corners: [[0.0, 0.0], [4.7 * h, 0.0], [4.7 * h, h], [0.0, h]],
            plate: 1.0,
            two_lines: 0.0,
        };
        assert_eq!(trust(&plate(4.0)), 0.0);
        assert!(trust(&plate(8.0)) < trust(&plate(12.0)));
        assert_eq!(trust(&plate(30.0)), 1.0);
    }
}
