//! Follows vehicles from frame to frame: the aligner finds a known plate again near where it must be, which is cheap;
//! the finder looks over the whole picture every second frame for new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Models;
use super::align::{Aligned, Aligner};
use super::find::{Finder, Found};
use super::fuse::Verdict;
use super::glyphs::Reader;
use super::read::{Corners, Read, ReadId};
use super::track::{SURE, Said, Track, apart};
use crate::capture::{Frame, Picture};
use crate::clock::{self, Moment};
use crate::fault::Result;
use crate::plate::fold;

/// Longer side of the finder's input for a video frame, pixels. 512 misses three passes of 200 on drives of photographs that
/// 640 captures, and costs a third less.
const FINDER_INPUT: usize = 640;
/// The finder runs on one frame in this many.
const FIND_EVERY: u64 = 2;
/// A vehicle that has had this many looks is followed on the frames between those of the finder; a new one on all.
const KNOWN_LOOKS: u32 = 4;
/// A box in which the aligner saw no plate is not looked at again for so many frames, and twice as many from the second
/// time on, unless it moves on.
const DISMISSED_FOR: u64 = 6;
/// Least score of a box that is looked at closely.
const FOUND: f32 = 0.25;
/// Least probability of being a plate for a new track, and for going on with an old one.
const NEW_PLATE: f32 = 0.6;
const SAME_PLATE: f32 = 0.4;
/// Overlap from which a box and a track, or two tracks, are one vehicle.
const SAME_PLACE: f32 = 0.25;
/// Overlap from which a box that was dismissed is where it was.
const STILL_THERE: f32 = 0.6;
/// A track ends after this long without a look.
const LOST_AFTER: Duration = Duration::from_millis(350);
/// A read is put out as soon as it is [`SURE`] from at least so many looks.
const SURE_LOOKS: u32 = 3;
/// The least confidence of a read when its vehicle has gone.
const WORTH_SAYING: f32 = 0.3;
/// The least confidence at which a read that was put out is corrected while its vehicle is in view.
const WORTH_CORRECTING: f32 = 0.9;
/// A plate seen again on the same camera within this time is the same pass.
const SAME_PASS: Duration = Duration::from_secs(5);
/// A read is told again when its vehicle's plate has grown so much since, for the sake of the pictures: while it is in view,
/// and when it has gone.
const MUCH_LARGER: f32 = 2.0;
const LARGER: f32 = 1.3;
/// How far a plate that went out of sight may be from where it appears again, and how far two finds of one plate may be
/// apart, in plate widths, for texts that differ in a character to be one plate read twice.
const REAPPEARS_WITHIN: f32 = 2.0;
const TWINS_WITHIN: f32 = 1.0;
/// Texts shorter than this must be equal to be one plate.
const LONG_ENOUGH: usize = 5;

/// Numbers the vehicle passes of one run, over all cameras.
#[derive(Debug, Clone)]
pub struct Passes {
    run: u64,
    next: Arc<AtomicU64>,
}

impl Passes {
    /// Numbers from 1 for a run.
    pub fn of_run(run: u64) -> Self {
        Self { run, next: Arc::new(AtomicU64::new(1)) }
    }

    fn next(&self) -> ReadId {
        ReadId { run: self.run, pass: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Where the time of recognition went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Frames.
    pub frames: u64,
    /// Scaling and finding.
    pub find: Duration,
    /// Aligning and reading.
    pub read: Duration,
    /// Fusing, tracks, patches and overviews.
    pub follow: Duration,
    /// Windows that the aligner looked at.
    pub aligned: u64,
    /// Looks that were read.
    pub readings: u64,
}

/// A plate in view now, for the live picture.
#[derive(Debug, Clone, PartialEq)]
pub struct InView {
    /// Its corners in pixels of the frame.
    pub corners: Corners,
    /// The text so far, empty while unsure.
    pub text: String,
}

/// Recognition for one camera.
pub struct Recogniser {
    camera: Arc<str>,
    models: Arc<Models>,
    passes: Passes,
    clock: clock::Shared,
    finder: Option<Finder>,
    aligner: Aligner,
    reader: Reader,
    tracks: Vec<Track>,
    past: Vec<Past>,
    found: Vec<Found>,
    /// Tracks that are followed, boxes that are aligned together, and the plates in them.
    followed: Vec<usize>,
    boxes: Vec<[f32; 4]>,
    plates: Vec<Aligned>,
    /// Looks that are read together, and the plates in them.
    looks: Vec<Look>,
    legible: Vec<Aligned>,
    dismissed: Vec<Dismissed>,
    frames: u64,
    timings: Timings,
}

/// A look that is to be read.
struct Look {
    /// Index of its track.
    track: usize,
    weight: f32,
}

/// A box that holds no plate.
struct Dismissed {
    place: Found,
    /// The frame from which on that is looked at again.
    again: u64,
}

impl Dismissed {
    fn is_at(&self, found: &Found) -> bool {
        self.place.overlap(found) > STILL_THERE
    }
}

/// A pass that has ended, kept for a while so that it is not told twice.
struct Past {
    id: ReadId,
    text: String,
    confidence: f32,
    height: f32,
    /// Its text was read surely several times over.
    settled: bool,
    /// Where its plate was last.
    corners: Corners,
    first_seen: Duration,
    last_seen: Duration,
    first_at: Moment,
}

impl Recogniser {
    /// Recognition for the camera named `camera`.
    pub fn new(camera: Arc<str>, models: Arc<Models>, passes: Passes, clock: clock::Shared) -> Result<Self> {
        Ok(Self {
            aligner: Aligner::new(&models.aligner)?,
            reader: Reader::new(&models.reader)?,
            camera,
            models,
            passes,
            clock,
            finder: None,
            tracks: Vec::new(),
            past: Vec::new(),
            found: Vec::new(),
            followed: Vec::new(),
            boxes: Vec::new(),
            plates: Vec::new(),
            looks: Vec::new(),
            legible: Vec::new(),
            dismissed: Vec::new(),
            frames: 0,
            timings: Timings::default(),
        })
    }

    /// Takes the next frame; hands every read that is new or corrected to `put_out`.
    pub fn frame(&mut self, frame: &Frame, mut put_out: impl FnMut(Read)) -> Result<()> {
        let start = self.clock.now();
        self.follow_tracks(frame)?;
        let followed = self.clock.now();
        self.found.clear();
        if self.frames.is_multiple_of(FIND_EVERY) {
            self.find(&frame.picture)?;
        }
        let found = self.clock.now();
        self.meet_all(frame)?;
        self.read_looks(frame)?;
        let read = self.clock.now();
        self.settle(frame, &mut put_out);
        let end = self.clock.now();
        self.frames += 1;
        self.timings.frames += 1;
        self.timings.find += found.since(followed);
        self.timings.read += followed.since(start) + read.since(found);
        self.timings.follow += end.since(read);
        Ok(())
    }

    /// Ends all tracks: the source has ended.
    pub fn end(&mut self, mut put_out: impl FnMut(Read)) {
        for track in std::mem::take(&mut self.tracks) {
            self.close(track, &mut put_out);
        }
        self.past.clear();
    }

    /// The plates in view: what was seen more than once and shows characters.
    pub fn in_view(&self) -> impl Iterator<Item = InView> {
        let shown = self.tracks.iter().filter(|track| track.looks > 1 && track.in_vain == 0);
        shown.map(|track| InView { corners: track.corners, text: track.text.clone() })
    }

    /// Where the time went so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    fn find(&mut self, picture: &Picture) -> Result<()> {
        let size = (picture.width(), picture.height());
        let finder = match &mut self.finder {
            Some(finder) if finder.fits(&self.models.finder, size.0, size.1) => finder,
            slot => slot.insert(Finder::new(&self.models.finder, size.0, size.1, FINDER_INPUT)?),
        };
        self.found.extend_from_slice(finder.find(picture.luma(), FOUND)?);
        Ok(())
    }

    /// Looks for every known plate near where it must be by now.
    fn follow_tracks(&mut self, frame: &Frame) -> Result<()> {
        let Self { tracks, followed, boxes, plates, .. } = self;
        let between = !self.frames.is_multiple_of(FIND_EVERY);
        followed.clear();
        boxes.clear();
        plates.clear();
        for (index, track) in tracks.iter().enumerate() {
            if track.looks < KNOWN_LOOKS || between && !track.glanced_at(self.frames) {
                followed.push(index);
                boxes.push(track.predicted(frame.time));
            }
        }
        self.aligner.align(frame.picture.luma(), boxes, plates)?;
        self.timings.aligned += boxes.len() as u64;
        for place in 0..self.followed.len() {
            let (index, predicted, plate) = (self.followed[place], self.boxes[place], self.plates[place]);
            if plate.plate >= SAME_PLATE && self.tracks[index].plausible(&plate, predicted) {
                self.look(index, plate, frame);
            }
        }
        Ok(())
    }

    /// The boxes that the finder gave.
    fn meet_all(&mut self, frame: &Frame) -> Result<()> {
        let frames = self.frames;
        self.dismissed.retain(|old| old.again + FIND_EVERY >= frames);
        let mut found = std::mem::take(&mut self.found);
        found.retain(|found| self.is_worth_a_look(frame.time, found));
        let Self { boxes, plates, .. } = self;
        boxes.clear();
        plates.clear();
        boxes.extend(found.iter().map(|found| [found.x, found.y, found.w, found.h]));
        self.aligner.align(frame.picture.luma(), boxes, plates)?;
        self.timings.aligned += boxes.len() as u64;
        for (place, found) in found.iter().enumerate() {
            self.meet(frame, found, self.plates[place]);
        }
        self.found = found;
        Ok(())
    }

    fn is_worth_a_look(&self, time: Duration, found: &Found) -> bool {
        match self.known(time, found) {
            Some(track) => !self.was_seen_lately(track),
            None => !self.dismissed.iter().any(|old| old.again > self.frames && old.is_at(found)),
        }
    }

    /// The track of the vehicle whose plate a box shows.
    fn known(&self, time: Duration, found: &Found) -> Option<usize> {
        let here = |track: &Track| track.found(time).overlap(found) > SAME_PLACE;
        self.tracks.iter().position(here).or_else(|| self.lost_track_near(time, found))
    }

    fn was_seen_lately(&self, track: usize) -> bool {
        let track = &self.tracks[track];
        self.frames - track.frame < FIND_EVERY || track.glanced_at(self.frames)
    }

    /// A plate, or none, in a box that the finder gave: a track's, or a new one.
    fn meet(&mut self, frame: &Frame, found: &Found, plate: Aligned) {
        let known = self.known(frame.time, found);
        // Another box of this frame may have shown the same plate.
        if known.is_some_and(|track| self.was_seen_lately(track)) {
            return;
        }
        if plate.plate < NEW_PLATE {
            let before = self.dismissed.iter().position(|old| known.is_none() && old.is_at(found));
            let repeatedly = before.map(|index| self.dismissed.swap_remove(index)).is_some();
            let again = self.frames + if repeatedly { 2 * DISMISSED_FOR } else { DISMISSED_FOR };
            self.dismissed.push(Dismissed { place: *found, again });
            return;
        }
        let track = known.unwrap_or_else(|| {
            self.tracks.push(Track::new(&plate, frame));
            self.tracks.len() - 1
        });
        self.look(track, plate, frame);
    }

    /// A look of a track's plate, which is read with the others of the frame if it is to be read.
    fn look(&mut self, track: usize, plate: Aligned, frame: &Frame) {
        if let Some(weight) = self.tracks[track].look(&plate, frame, self.frames) {
            self.looks.push(Look { track, weight });
            self.legible.push(plate);
        }
    }

    /// Reads the looks of a frame.
    fn read_looks(&mut self, frame: &Frame) -> Result<()> {
        let Self { reader, tracks, looks, legible, .. } = self;
        self.timings.readings += looks.len() as u64;
        let read = reader.read(frame.picture.luma(), legible, |index, seen| {
            let look = &looks[index];
            tracks[look.track].fusion.add(look.weight, |posterior| seen.tell(posterior));
        });
        looks.clear();
        legible.clear();
        read
    }

    /// The track that lost its plate in the last frames and is nearest to a box of its size: a vehicle that passes close by
    /// moves on by more than its plate's height from frame to frame.
    fn lost_track_near(&self, time: Duration, found: &Found) -> Option<usize> {
        let lost = self.tracks.iter().enumerate().filter(|(_, track)| self.frames - track.frame >= FIND_EVERY);
        let near = lost.map(|(index, track)| (index, track.reach(time, found))).filter(|(_, reach)| *reach < 1.0);
        near.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    }

    /// Puts out what has become sure, ends what has gone, joins what turned out to be one.
    fn settle(&mut self, frame: &Frame, put_out: &mut impl FnMut(Read)) {
        let mut index = 0;
        while index < self.tracks.len() {
            let here = self.tracks[index].found(frame.time);
            let double = self.tracks[..index].iter().any(|elder| elder.found(frame.time).overlap(&here) > SAME_PLACE);
            let gone = frame.time.saturating_sub(self.tracks[index].at) > LOST_AFTER;
            if gone || double {
                let track = self.tracks.remove(index);
                if gone || track.said.is_some() {
                    self.close(track, put_out);
                }
                continue;
            }
            if self.tracks[index].at == frame.time {
                self.tracks[index].keep_pictures(&frame.picture);
                self.speak(index, put_out);
            }
            index += 1;
        }
        self.past.retain(|past| frame.time.saturating_sub(past.last_seen) < SAME_PASS);
    }

    /// Puts out a track's read if it has become sure, or a correction if it has changed.
    fn speak(&mut self, index: usize, put_out: &mut impl FnMut(Read)) {
        let track = &mut self.tracks[index];
        if !std::mem::take(&mut track.fresh) {
            return;
        }
        let Some(verdict) = track.fusion.verdict() else {
            track.in_vain += 1;
            return;
        };
        track.note(&verdict);
        let height = track.pictured();
        let due = match &track.said {
            None => verdict.confidence >= SURE && track.fusion.looks() >= SURE_LOOKS,
            Some(said) if verdict.text == said.text => height >= said.height * MUCH_LARGER,
            Some(said) => verdict.confidence >= WORTH_CORRECTING.max(said.confidence * 0.9),
        };
        if due && !track.silent && track.pictures.is_some() {
            self.say(index, verdict, put_out);
        }
    }

    fn say(&mut self, index: usize, verdict: Verdict, put_out: &mut impl FnMut(Read)) {
        let track = &mut self.tracks[index];
        if track.said.is_none()
            && let Some(place) = self.past.iter().position(|past| {
                let near = apart(&past.corners, &track.first_corners) < REAPPEARS_WITHIN;
                same_vehicle(&past.text, &verdict.text, near, past.settled && track.has_settled())
            })
        {
            let past = self.past.remove(place);
            track.first_seen = past.first_seen;
            track.first_at = past.first_at;
            let text = past.text.clone();
            track.said = Some(Said { id: past.id, text: past.text, confidence: past.confidence, height: past.height });
            // The vehicle was out of sight for a moment; nothing new is to be told unless the text is.
            if text == verdict.text || verdict.confidence < past.confidence {
                return;
            }
        }
        // Two tracks that say the same are one vehicle: the elder's name goes on.
        if self.tracks[index].said.is_none() {
            let this = &self.tracks[index];
            let twin = self.tracks.iter().enumerate().position(|(other, track)| {
                other != index
                    && track.said.as_ref().is_some_and(|said| {
                        let near = apart(&track.corners, &this.corners) < TWINS_WITHIN;
                        let sure = track.has_settled() && this.has_settled();
                        same_vehicle(&said.text, &verdict.text, near, sure)
                    })
            });
            if let Some(twin) = twin {
                let said = self.tracks[twin].said.take();
                let (first_seen, first_at) = (self.tracks[twin].first_seen, self.tracks[twin].first_at);
                self.tracks[twin].silent = true;
                let track = &mut self.tracks[index];
                (track.first_seen, track.first_at) = (first_seen, first_at);
                let settled = said.as_ref().is_some_and(|said| {
                    said.text == verdict.text
                        || said.confidence > verdict.confidence && said.text.len() >= verdict.text.len()
                });
                track.said = said;
                if settled {
                    return;
                }
            }
        }
        let track = &mut self.tracks[index];
        let id = track.said.as_ref().map_or_else(|| self.passes.next(), |said| said.id);
        let height = track.pictured();
        track.said = Some(Said { id, text: verdict.text.clone(), confidence: verdict.confidence, height });
        if let Some(read) = track.read(id, &self.camera, verdict) {
            put_out(read);
        }
    }

    /// The vehicle has gone: its last word.
    fn close(&mut self, track: Track, put_out: &mut impl FnMut(Read)) {
        self.tracks.push(track);
        let index = self.tracks.len() - 1;
        if let Some(verdict) = self.tracks[index].fusion.verdict() {
            let track = &self.tracks[index];
            let news = match (&track.said, &track.pictures) {
                (_, None) => false,
                (None, _) => verdict.confidence >= WORTH_SAYING && track.fusion.looks() >= 2,
                // What was said already is not said again, but with much better pictures.
                (Some(said), Some(kept)) if said.text == verdict.text => kept.height >= said.height * LARGER,
                (Some(_), _) => verdict.confidence >= WORTH_CORRECTING,
            };
            if news && !track.silent {
                self.say(index, verdict, put_out);
            }
        }
        if let Some(mut track) = self.tracks.pop()
            && let Some(said) = track.said.take()
        {
            self.past.push(Past {
                id: said.id,
                text: said.text,
                confidence: said.confidence,
                height: said.height,
                settled: track.has_settled(),
                corners: track.corners,
                first_seen: track.first_seen,
                last_seen: track.at,
                first_at: track.first_at,
            });
        }
    }
}

/// Whether two texts of two tracks are one vehicle. Equal texts are. Texts that differ in one character may be a fleet's
/// neighbours: they are one vehicle only if they are at the same place and not both beyond doubt.
fn same_vehicle(a: &str, b: &str, near: bool, both_sure: bool) -> bool {
    fold(a) == fold(b) || near && !both_sure && a.len().min(b.len()) >= LONG_ENOUGH && alike(a, b)
}

/// Whether two texts are the same but for one character.
fn alike(a: &str, b: &str) -> bool {
    let (a, b) = (fold(a), fold(b));
    let (a, b) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    match a.len() - b.len() {
        0 => a.bytes().zip(b.bytes()).filter(|(x, y)| x != y).count() <= 1,
        1 => {
            let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
            a.as_bytes()[same + 1..] == b.as_bytes()[same..]
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_one_character_are_alike() {
        assert!(alike("AB12CDE", "AB12CDE") && alike("AB12CDE", "A812CDE") && alike("ABO2CDE", "AB02CDE"));
        assert!(alike("AB12CDE", "AB12CD") && alike("B12CDE", "AB12CDE"));
        assert!(!alike("AB12CDE", "BA12CDE") && !alike("AB12CDE", "AB12C") && !alike("AB12CDE", "ABB2CD"));
    }

    #[test]
    fn neighbours_of_a_fleet_are_two_vehicles() {
        assert!(same_vehicle("AB12CDE", "AB12CDE", false, true), "one plate seen twice");
        assert!(same_vehicle("AB12CDE", "A812CDE", true, false), "one plate, read badly once");
        assert!(!same_vehicle("AB12CDE", "AB12CDF", true, true), "both are read beyond doubt");
        assert!(!same_vehicle("AB12CDE", "AB12CDF", false, false), "they are at two places");
        assert!(!same_vehicle("A1", "B1", true, false), "of two characters one is half the text");
        let at = |x: f32| [[x, 0.0], [x + 50.0, 0.0], [x + 50.0, 10.0], [x, 10.0]];
        assert_eq!(apart(&at(0.0), &at(100.0)), 2.0);
    }
}
