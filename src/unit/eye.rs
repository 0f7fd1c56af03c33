//! One camera: fetches its frames, recognises, tells the desk, shows the live picture.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::News;
use crate::capture::{Event, Frame, region_rgb};
use crate::fault::{Fault, Result};
use crate::recognise::{InView, Read, Recogniser, Thumbnail, Timings};
use crate::screen::Handle;

/// How long to wait for a frame before looking whether the unit is to end.
const LOOK_UP: Duration = Duration::from_millis(200);
/// Quiet looks in a row after which what was in view has gone: five seconds, beyond which a plate that is seen again is
/// another pass in any case.
const GONE_AFTER: u32 = 25;

/// What an eye needs of recognition.
pub(super) trait Recognise: Send {
    /// Looks at a frame; puts out what it is sure of.
    fn frame(&mut self, frame: &Frame, put_out: &mut dyn FnMut(Read)) -> Result<()>;
    /// Puts out what is unfinished: nothing more comes of it.
    fn end(&mut self, put_out: &mut dyn FnMut(Read));
    /// The plates in view.
    fn in_view(&self) -> Vec<InView>;
    /// Where the time went.
    fn timings(&self) -> Timings;
}

impl Recognise for Recogniser {
    fn frame(&mut self, frame: &Frame, put_out: &mut dyn FnMut(Read)) -> Result<()> {
        self.frame(frame, put_out)
    }

    fn end(&mut self, put_out: &mut dyn FnMut(Read)) {
        self.end(put_out);
    }

    fn in_view(&self) -> Vec<InView> {
        self.in_view().collect()
    }

    fn timings(&self) -> Timings {
        self.timings()
    }
}

pub(super) struct Eye<R> {
    pub(super) index: usize,
    /// Waits for at most so long for the camera's next event.
    pub(super) feed: Box<dyn FnMut(Duration) -> Event + Send>,
    pub(super) recogniser: R,
    /// The source's own time of the newest frame, microseconds.
    pub(super) position: Arc<AtomicU64>,
    pub(super) screen: Option<Handle>,
    pub(super) news: Sender<News>,
    pub(super) stop: Arc<AtomicBool>,
}

impl<R: Recognise> Eye<R> {
    pub(super) fn run(mut self) {
        let mut last = Duration::ZERO;
        let mut quiet = 0;
        let mut failing = String::new();
        while !self.stop.load(Ordering::Relaxed) {
            let event = (self.feed)(LOOK_UP);
            quiet = if matches!(event, Event::Quiet) { quiet + 1 } else { 0 };
            match event {
                Event::Frame(frame) => {
                    last = frame.time;
                    self.position.store(last.as_micros() as u64, Ordering::Relaxed);
                    let news = &self.news;
                    let result = self.recogniser.frame(&frame, &mut |read| {
                        // The desk is gone only while the unit is being taken down.
                        let _ = news.send(News::Read(Box::new(read), frame.time));
                    });
                    self.heed(result, &mut failing);
                    self.show(&frame);
                }
                Event::Lost(lost) => {
                    // The vehicles in view will not be seen again as the same pass: what is known of them is said now.
                    self.finish(last);
                    let _ = self.news.send(News::Lost(self.index, lost));
                }
                Event::Back => {
                    let _ = self.news.send(News::Back(self.index));
                }
                Event::End => break,
                Event::Quiet if quiet == GONE_AFTER => self.finish(last),
                Event::Quiet => {}
            }
        }
        self.finish(last);
        let _ = self.news.send(News::End(self.index, self.recogniser.timings()));
    }

    fn finish(&mut self, last: Duration) {
        let news = &self.news;
        self.recogniser.end(&mut |read| {
            let _ = news.send(News::Read(Box::new(read), last));
        });
    }

    /// The same trouble frame after frame is told once, and that it is over with the first frame that is well again.
    fn heed(&self, result: Result<(), Fault>, failing: &mut String) {
        match result {
            Err(error) => {
                let text = error.to_string();
                if text != *failing {
                    *failing = text;
                    let _ = self.news.send(News::Lost(self.index, error));
                }
            }
            Ok(()) if !failing.is_empty() => {
                failing.clear();
                let _ = self.news.send(News::Back(self.index));
            }
            Ok(()) => {}
        }
    }

    /// Hands the picture to the screen, at its size and no more often than it draws.
    fn show(&self, frame: &Frame) {
        let Some(screen) = &self.screen else { return };
        if !screen.wants_preview(&frame.camera) {
            return;
        }
        let picture = &frame.picture;
        let (pw, ph) = (picture.width(), picture.height());
        let width = screen.preview_width().min(pw);
        let height = (ph * width / pw).max(1);
        let rgb = region_rgb(picture, 0, 0, pw, ph, width, height);
        let boxes = self
            .recogniser
            .in_view()
            .iter()
            .map(|seen| {
                let xs = seen.corners.map(|corner| corner[0] / pw as f32);
                let ys = seen.corners.map(|corner| corner[1] / ph as f32);
                let least = |v: [f32; 4]| v.into_iter().fold(f32::INFINITY, f32::min);
                let most = |v: [f32; 4]| v.into_iter().fold(f32::NEG_INFINITY, f32::max);
                [least(xs), least(ys), most(xs) - least(xs), most(ys) - least(ys)]
            })
            .collect();
        screen.preview(&frame.camera, Arc::new(Thumbnail { width, height, rgb }), boxes);
    }
}
