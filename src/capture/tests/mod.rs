//! Capture against scripts, real files and real sockets.

mod files;
mod network;
mod stills;
mod supervision;

use std::path::Path;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{Event, Feed, Frame, Picture, open, reason};
use crate::clock::RealClock;
use crate::config::{Camera, Source};
use crate::fault::Fault;

/// Long enough for anything on a loaded machine.
const LONG: Duration = Duration::from_secs(30);

fn camera(source: Source) -> Camera {
    Camera { name: "front".into(), source, silence_s: 5.0, repeat: false }
}

/// Runs a pipeline to its end.
fn make(description: &str) {
    reason::start_gstreamer().expect("GStreamer starts");
    let pipeline = gst::parse::launch(description).expect("a valid pipeline");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).expect("it ends");
    pipeline.set_state(gst::State::Null).expect("it stops");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{description}: {message:?}");
}

fn has(element: &str) -> bool {
    reason::start_gstreamer().expect("GStreamer starts");
    let there = gst::ElementFactory::find(element).is_some();
    if !there {
        eprintln!("not tested: GStreamer has no {element} here");
    }
    there
}

/// A luma sample that tells its place in the picture and the picture's number.
fn sample(x: usize, y: usize, number: usize) -> u8 {
    (16 + (x * 3 + y * 7 + number * 11) % 200) as u8
}

/// Writes a YUV4MPEG2 file of `count` pictures with [`sample`]s as luma.
fn write_y4m(path: &Path, width: usize, height: usize, count: usize) {
    let mut bytes = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420\n").into_bytes();
    for number in 0..count {
        bytes.extend_from_slice(b"FRAME\n");
        for y in 0..height {
            bytes.extend((0..width).map(|x| sample(x, y, number)));
        }
        let chroma = width.div_ceil(2) * height.div_ceil(2);
        bytes.extend(std::iter::repeat_n(100, chroma));
        bytes.extend(std::iter::repeat_n(150, chroma));
    }
    std::fs::write(path, bytes).expect("the temporary folder is writable");
}

fn assert_samples(picture: &Picture, number: usize) {
    let luma = picture.luma();
    for y in 0..luma.height {
        let row = luma.row(y);
        assert_eq!(row.len(), luma.width);
        for (x, got) in row.iter().enumerate() {
            assert_eq!(*got, sample(x, y, number), "picture {number}, pixel ({x}, {y})");
        }
    }
    let (blue, red) = picture.chroma().expect("a colour picture");
    for (plane, value) in [(blue, 100), (red, 150)] {
        for y in 0..plane.height {
            let row = plane.row(y);
            assert!(row.iter().step_by(plane.step).all(|got| *got == value), "picture {number}, chroma row {y}");
        }
    }
}

/// Everything that a file gives, and the fault that it ends with.
fn play(feed: &mut Feed) -> (Vec<Frame>, Option<Fault>) {
    let (mut frames, mut fault) = (Vec::new(), None);
    loop {
        match feed.next(LONG) {
            Event::Frame(frame) => frames.push(frame),
            Event::Lost(lost) => fault = Some(lost),
            Event::End => return (frames, fault),
            Event::Back => panic!("a file that is played once does not come back"),
            Event::Quiet => panic!("the file has stalled"),
        }
    }
}

fn open_file(path: &Path, pace: super::Pace) -> crate::fault::Result<Feed> {
    open(&camera(Source::File(path.to_owned())), pace, RealClock::shared())
}

/// Cuts `path` to `share` of its length.
fn cut(path: &Path, share: f64) {
    let bytes = std::fs::read(path).expect("readable");
    std::fs::write(path, &bytes[..(bytes.len() as f64 * share) as usize]).expect("writable");
}
