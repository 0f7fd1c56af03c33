//! Where the car has been and what it read there, for the map.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::recognise::ReadId;
use crate::screen::{Here, MapMark, MapView};
use crate::tag::Place;

/// Points of the way that are kept: a shift at one every ten metres and more.
const POINTS: usize = 6000;
/// Reads that are kept, the newest.
const MARKS: usize = 600;
/// A new point is worth keeping from so many metres on.
const APART: f64 = 10.0;
/// Metres of one degree of latitude.
const METRES_A_DEGREE: f64 = 111_195.0;

#[derive(Default)]
pub(super) struct Trail {
    track: VecDeque<Option<(f64, f64)>>,
    marks: VecDeque<(ReadId, MapMark)>,
    here: Option<Here>,
    changed: bool,
    shown: Arc<MapView>,
}

impl Trail {
    /// Where the car is now, as far as that is known.
    pub(super) fn is_at(&mut self, place: Option<Place>) {
        let here = match (place, &self.here) {
            (Some(place), _) => Some(Here {
                at: (place.lat, place.lon),
                course: place.course.filter(|_| place.speed_mps.is_none_or(|speed| speed > 1.0)),
                word: match place.stale {
                    true => format!("Position {} s old", place.age.as_secs()),
                    false => format!("{:.5}, {:.5}", place.lat, place.lon),
                },
                old: place.stale,
            }),
            (None, Some(last)) => {
                Some(Here { course: None, word: "No position: last known place".to_owned(), old: true, ..last.clone() })
            }
            (None, None) => None,
        };
        if here != self.here {
            self.here = here;
            self.changed = true;
        }
        match (place.filter(|place| !place.stale), self.track.back()) {
            (Some(place), last) => {
                let at = (place.lat, place.lon);
                if last.copied().flatten().is_none_or(|last| metres(last, at) >= APART) {
                    self.point(Some(at));
                }
            }
            // What lies between is not known and is not drawn.
            (None, Some(Some(_))) => self.point(None),
            (None, _) => {}
        }
    }

    /// A version of a read; `hit` has the VRM if it is one, and an empty text takes the mark away.
    pub(super) fn read(&mut self, id: ReadId, text: &str, at: Option<(f64, f64)>, hit: bool) {
        let known = self.marks.iter().position(|(known, _)| *known == id);
        self.changed = true;
        match (known, at.filter(|_| !text.is_empty())) {
            (Some(index), None) => _ = self.marks.remove(index),
            (Some(index), Some(at)) => self.marks[index].1 = MapMark { at, hit: hit.then(|| text.to_owned()) },
            (None, Some(at)) => {
                if self.marks.len() == MARKS {
                    // Hits stay longest.
                    let oldest = self.marks.iter().position(|(_, mark)| mark.hit.is_none()).unwrap_or(0);
                    self.marks.remove(oldest);
                }
                self.marks.push_back((id, MapMark { at, hit: hit.then(|| text.to_owned()) }));
            }
            (None, None) => {}
        }
    }

    fn point(&mut self, at: Option<(f64, f64)>) {
        if self.track.len() == POINTS {
            self.track.pop_front();
        }
        self.track.push_back(at);
        self.changed = true;
    }

    /// Makes what is shown follow what is known; the copy is not made for every read.
    pub(super) fn refresh(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.shown = Arc::new(MapView {
                track: self.track.iter().copied().collect(),
                marks: self.marks.iter().map(|(_, mark)| mark.clone()).collect(),
                here: self.here.clone(),
            });
        }
    }

    pub(super) fn shown(&self) -> Arc<MapView> {
        Arc::clone(&self.shown)
    }

    /// The same for whoever may not see where the car has been and what it read.
    pub(super) fn only_here(&self) -> Arc<MapView> {
        Arc::new(MapView { here: self.shown.here.clone(), ..MapView::default() })
    }
}

/// The distance of two places that are near each other.
fn metres(a: (f64, f64), b: (f64, f64)) -> f64 {
    let north = (b.0 - a.0) * METRES_A_DEGREE;
    let east = (b.1 - a.1) * METRES_A_DEGREE * a.0.to_radians().cos();
    north.hypot(east)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(lat: f64) -> Option<Place> {
        let age = Duration::ZERO;
        Some(Place { lat, lon: 0.0, speed_mps: Some(9.0), course: Some(0.0), age, stale: false })
    }

    #[test]
    fn the_way_has_a_gap_where_the_position_was_lost() {
        let mut trail = Trail::default();
        for lat in [51.0, 51.000_01, 51.001] {
            trail.is_at(place(lat));
        }
        trail.is_at(None);
        trail.is_at(None);
        trail.is_at(place(51.01));
        trail.refresh();
        let shown = trail.shown();
        assert_eq!(shown.track, [Some((51.0, 0.0)), Some((51.001, 0.0)), None, Some((51.01, 0.0))]);
        trail.is_at(None);
        trail.refresh();
        let here = trail.shown().here.clone().expect("last known");
        assert!(here.old && here.course.is_none() && here.at == (51.01, 0.0), "{here:?}");
    }

    #[test]
    fn a_read_has_one_mark_whatever_becomes_of_it_and_hits_outlast_others() {
        let mut trail = Trail::default();
        let id = |pass| ReadId { run: 1, pass };
        trail.read(id(1), "AB12CDE", Some((51.0, 0.0)), true);
        trail.read(id(2), "AB12CDF", Some((51.0, 0.1)), false);
        trail.read(id(2), "", Some((51.0, 0.1)), false);
        trail.read(id(3), "AB12CDG", None, true);
        trail.refresh();
        assert_eq!(trail.shown().marks, [MapMark { at: (51.0, 0.0), hit: Some("AB12CDE".into()) }]);
        for pass in 10..10 + 2 * MARKS as u64 {
            trail.read(id(pass), "AB12CDF", Some((51.0, 0.1)), false);
        }
        trail.refresh();
        let shown = trail.shown();
        assert_eq!((shown.marks.len(), shown.marks[0].hit.as_deref()), (MARKS, Some("AB12CDE")));
    }

    #[test]
    fn a_long_shift_does_not_grow() {
        let mut trail = Trail::default();
        (0..2 * POINTS).for_each(|step| trail.is_at(place(51.0 + step as f64 * 0.001)));
        trail.refresh();
        assert_eq!(trail.shown().track.len(), POINTS);
    }
}
