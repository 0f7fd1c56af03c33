//! One camera: fetches its frames, recognises, tells the desk, shows the live picture.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::News;
use crate::capture::{Event, Feed, Frame, region_rgb};
use crate::recognise::{Recogniser, Thumbnail};
use crate::screen::Handle;

/// How long to wait for a frame before looking whether the unit is to end.
const LOOK_UP: Duration = Duration::from_millis(200);

pub(super) struct Eye {
    pub(super) index: usize,
    pub(super) feed: Feed,
    pub(super) recogniser: Recogniser,
    /// The source's own time of the newest frame, microseconds.
    pub(super) position: Arc<AtomicU64>,
    pub(super) screen: Option<Handle>,
    pub(super) news: Sender<News>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Eye {
    pub(super) fn run(mut self) {
        let mut last = Duration::ZERO;
        let mut said = String::new();
        while !self.stop.load(Ordering::Relaxed) {
            match self.feed.next(LOOK_UP) {
                Event::Frame(frame) => {
                    last = frame.time;
                    self.position.store(last.as_micros() as u64, Ordering::Relaxed);
                    let news = &self.news;
                    let result = self.recogniser.frame(&frame, |read| {
                        // The desk is gone only while the unit is being taken down.
                        let _ = news.send(News::Read(Box::new(read), frame.time));
                    });
                    if let Err(error) = result {
                        // The same trouble frame after frame is told once.
                        let text = error.to_string();
                        if text != said {
                            said = text;
                            let _ = self.news.send(News::Lost(self.index, error));
                        }
                    }
                    self.show(&frame);
                }
                Event::Lost(lost) => {
                    let _ = self.news.send(News::Lost(self.index, lost));
                }
                Event::Back => {
                    let _ = self.news.send(News::Back(self.index));
                }
                Event::End => break,
                Event::Quiet => {}
            }
        }
        let news = &self.news;
        self.recogniser.end(|read| {
            let _ = news.send(News::Read(Box::new(read), last));
        });
        let _ = self.news.send(News::End(self.index, self.recogniser.timings()));
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
