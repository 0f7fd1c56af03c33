//! Pictures in: cameras, files and network streams through GStreamer.
//!
//! [`open`] gives a [`Feed`] of one configured camera: a live one is watched and brought back whenever it fails, a
//! file is played by the clock or as fast as it is fetched. [`still()`] decodes one picture file. [`region_rgb`] gives
//! colour to the parts of a picture that people look at; recognition works on the decoder's own planes.

mod feed;
mod frame;
mod ledger;
mod pipeline;
mod reason;
mod region;
mod still;
#[cfg(test)]
mod tests;
mod whole;

use std::time::Duration;

pub use feed::{Counters, Event, Feed, Pace, Turns};
pub use frame::{Colours, Frame, Matrix, Picture, Plane};
pub use region::region_rgb;
pub use still::still;

use crate::clock;
use crate::config::{self, Source};
use crate::fault::{Fault, Kind, Result};

/// Opens a camera or a file. A file stands at its first picture until [`Feed::next`] is called; a live camera is
/// connected then, and one that is not there is lost and tried again.
///
/// # Errors
/// A file that is missing, empty, cut short before its first picture, or no video that can be decoded; a live
/// camera that is to be played as fast as possible.
pub fn open(camera: &config::Camera, pace: Pace, clock: clock::Shared) -> Result<Feed> {
    reason::start_gstreamer()?;
    let source = camera.source.clone();
    let place = reason::place(&source);
    let nature = match (&source, pace) {
        (Source::File(_), _) => feed::Nature::File { repeat: camera.repeat, pace },
        (_, Pace::Realtime) => feed::Nature::Live,
        (_, Pace::AsFast) => {
            return Err(Fault::new(Kind::Usage, "a live camera cannot be played faster than it films")
                .at(place)
                .remedy("Name a video file, or play it in real time"));
        }
    };
    let start: feed::Start = Box::new(move || {
        Ok(Box::new(match &source {
            Source::File(path) => pipeline::file(path, pace)?,
            Source::Device(path) => pipeline::device(path)?,
            Source::Rtsp(url) => pipeline::rtsp(url)?,
        }))
    });
    Feed::new(&camera.name, place, nature, camera.silence(), clock, start)
}

/// Fetches one picture from a camera, or says why there is none. For examining a unit; a running one opens a feed.
///
/// # Errors
/// What [`open`] refuses, and whatever keeps the camera from giving a picture now.
pub fn probe(camera: &config::Camera, clock: clock::Shared) -> Result<Frame> {
    let once = config::Camera { repeat: false, ..camera.clone() };
    let mut feed = open(&once, Pace::Realtime, clock)?;
    loop {
        match feed.next(Duration::from_secs(60)) {
            Event::Frame(frame) => return Ok(frame),
            Event::Lost(fault) => return Err(fault),
            Event::Back => {}
            Event::End | Event::Quiet => {
                return Err(Fault::new(Kind::Unavailable, "the camera gives no picture")
                    .at(reason::place(&camera.source))
                    .remedy("Check its cable and power"));
            }
        }
    }
}
