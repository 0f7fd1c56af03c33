//! One GStreamer pipeline from a source to pictures: built, watched and torn down as a whole.
//!
//! The decoder's own planes travel by reference. A `videoconvert` stands in every pipeline and passes through
//! whatever is already I420, NV12 or GRAY8. The bus is read by whoever waits for pictures; no state is ever
//! changed from a streaming thread.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use gstreamer as gst;
use gstreamer_app::AppSink;
use gstreamer_video as video;
use gstreamer_video::prelude::*;

use super::feed::{Pace, Shot, Step, Stream};
use super::ledger::Ledger;
use super::reason::{self, element, wiring};
use super::{Picture, whole};
use crate::config::Source;
use crate::fault::{Fault, Kind, Result};

/// Threads of one video decoder. One 1080p30 stream takes a sixth of a core; the rest belongs to recognition.
const DECODER_THREADS: i32 = 1;
/// Decoded frames that wait for a consumer that wants every one of them.
const LOSSLESS_QUEUE: u32 = 4;
/// Network jitter that is waited out, milliseconds. Over TCP nothing comes out of order, so little is needed.
const RTSP_LATENCY_MS: u32 = 100;
/// How long a network camera may take to answer a request, microseconds.
const RTSP_TIMEOUT_US: u64 = 5_000_000;
/// How long a file may take to show its first picture.
const PREROLL: Duration = Duration::from_secs(20);
/// How often the bus is looked at while a picture is waited for.
const BUS_EVERY: Duration = Duration::from_millis(50);
/// How many looks in a row must find every streaming thread at rest for a file to count as stuck.
const IDLE_LOOKS: u32 = 10;
/// How long pictures may still trickle in after an error, from queues behind it.
const DRAIN: Duration = Duration::from_secs(2);

/// A running pipeline.
pub(super) struct Pipeline {
    source: Source,
    pipeline: gst::Pipeline,
    sink: AppSink,
    bus: gst::Bus,
    shared: Arc<Passed>,
    /// The format of the last sample; caps may change mid-stream.
    format: Option<(gst::Caps, video::VideoInfo)>,
    /// A file stands at its first picture until it is asked for.
    standing: bool,
    error: Option<Fault>,
    since_error: Duration,
    lacking: Option<String>,
    pictures: u64,
}

/// What streaming threads note down.
#[derive(Default)]
struct Passed {
    ledger: Mutex<Ledger>,
    /// Whether a decoded video stream has come out of the source.
    has_video: AtomicBool,
    /// The media type of the source as a whole.
    media: OnceLock<String>,
}

impl Passed {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A file, standing at its first picture. What is wrong with it is an error here.
pub(super) fn file(path: &Path, pace: Pace) -> Result<Pipeline> {
    reason::check_file(path, "video")?;
    let mut made = Pipeline::new(Source::File(path.to_owned()))?;
    let from = element("filesrc")?;
    from.set_property("location", path);
    let decode = element("decodebin")?;
    made.add(&[&from, &decode])?;
    from.link(&decode).map_err(wiring)?;
    let tail = match pace {
        Pace::AsFast => made.tail(None, &appsink(LOSSLESS_QUEUE, false, false))?,
        Pace::Realtime => {
            // Evens out frames that take longer to decode than they last.
            let queue = queue(3)?;
            made.tail(Some(&queue), &appsink(1, true, true))?
        }
    };
    made.decode_into(&decode, tail, true);
    made.stand()?;
    Ok(made)
}

/// A V4L2 device, running.
pub(super) fn device(path: &Path) -> Result<Pipeline> {
    let from = element("v4l2src")?;
    from.set_property("device", path);
    live(Source::Device(path.to_owned()), &from)
}

/// A live source whose frames can each be decoded by itself (raw pictures or JPEG), running: what is not wanted
/// is dropped before it is decoded.
pub(super) fn live(source: Source, from: &gst::Element) -> Result<Pipeline> {
    let mut made = Pipeline::new(source)?;
    let queue = queue(1)?;
    queue.set_property_from_str("leaky", "downstream");
    let decode = element("decodebin")?;
    made.add(&[from, &queue, &decode])?;
    gst::Element::link_many([from, &queue, &decode]).map_err(wiring)?;
    let tail = made.tail(None, &appsink(1, true, false))?;
    if let Some(pad) = from.static_pad("src") {
        made.count(&pad, true);
    }
    made.decode_into(&decode, tail, false);
    made.play()?;
    Ok(made)
}

/// A network camera, connecting.
pub(super) fn rtsp(url: &str) -> Result<Pipeline> {
    let mut made = Pipeline::new(Source::Rtsp(url.to_owned()))?;
    let from = element("rtspsrc")?;
    from.set_property("location", url);
    from.set_property_from_str("protocols", "tcp");
    from.set_property("latency", RTSP_LATENCY_MS);
    from.set_property("tcp-timeout", RTSP_TIMEOUT_US);
    // Sound is not even fetched.
    from.connect("select-stream", false, |values| {
        let is_video = values
            .get(2)
            .and_then(|value| value.get::<gst::Caps>().ok())
            .and_then(|caps| caps.structure(0)?.get::<String>("media").ok())
            .is_none_or(|media| media == "video");
        Some(is_video.to_value())
    });
    let decode = element("decodebin")?;
    made.add(&[&from, &decode])?;
    let into = decode.static_pad("sink").ok_or_else(|| reason::missing_element("decodebin"))?;
    from.connect_pad_added(move |_, pad| {
        if !into.is_linked() {
            // A stream that does not fit makes the source fail, which the bus tells.
            let _ = pad.link(&into);
        }
    });
    // Every frame must be decoded; what is not wanted is dropped before it is converted.
    let queue = queue(1)?;
    queue.set_property_from_str("leaky", "downstream");
    let tail = made.tail(Some(&queue), &appsink(1, true, false))?;
    made.decode_into(&decode, tail, true);
    made.play()?;
    Ok(made)
}

fn queue(buffers: u32) -> Result<gst::Element> {
    let queue = element("queue")?;
    queue.set_property("max-size-buffers", buffers);
    queue.set_property("max-size-bytes", 0u32);
    queue.set_property("max-size-time", 0u64);
    Ok(queue)
}

fn appsink(buffers: u32, drop: bool, sync: bool) -> AppSink {
    let formats = [video::VideoFormat::I420, video::VideoFormat::Nv12, video::VideoFormat::Gray8];
    let caps = video::VideoCapsBuilder::new().format_list(formats).build();
    AppSink::builder().caps(&caps).max_buffers(buffers).drop(drop).sync(sync).enable_last_sample(false).build()
}

impl Pipeline {
    fn new(source: Source) -> Result<Self> {
        reason::start_gstreamer()?;
        let pipeline = gst::Pipeline::new();
        let bus = pipeline.bus().ok_or_else(|| Fault::new(Kind::Internal, "a pipeline has no bus"))?;
        pipeline.connect_deep_element_added(|_, _, element| {
            let video_decoder = gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO;
            let decodes = element.factory().is_some_and(|factory| factory.has_type(video_decoder));
            if decodes && element.has_property("max-threads") {
                element.set_property_from_str("max-threads", &DECODER_THREADS.to_string());
            }
        });
        Ok(Self {
            source,
            pipeline,
            sink: AppSink::builder().build(),
            bus,
            shared: Arc::default(),
            format: None,
            standing: false,
            error: None,
            since_error: Duration::ZERO,
            lacking: None,
            pictures: 0,
        })
    }

    fn add(&self, elements: &[&gst::Element]) -> Result<()> {
        self.pipeline.add_many(elements).map_err(wiring)
    }

    /// Adds what stands behind the decoder; gives the pad that decoded video goes into.
    fn tail(&mut self, queue: Option<&gst::Element>, sink: &AppSink) -> Result<gst::Pad> {
        let convert = element("videoconvert")?;
        self.add(&[&convert, sink.upcast_ref()])?;
        convert.link(sink).map_err(wiring)?;
        if let Some(queue) = queue {
            self.add(&[queue])?;
            queue.link(&convert).map_err(wiring)?;
        }
        // Decoders lend their own, padded planes only to those who say that they heed the strides.
        if let Some(pad) = sink.static_pad("sink") {
            pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
                match info.query_mut().map(|query| query.view_mut()) {
                    Some(gst::QueryViewMut::Allocation(query)) => {
                        query.add_allocation_meta::<video::VideoMeta>(None);
                        gst::PadProbeReturn::Handled
                    }
                    _ => gst::PadProbeReturn::Ok,
                }
            });
        }
        self.sink = sink.clone();
        queue.unwrap_or(&convert).static_pad("sink").ok_or_else(|| reason::missing_element("queue"))
    }

    /// Notes down each frame that passes `pad`.
    fn count(&self, pad: &gst::Pad, numbered: bool) {
        count(&self.shared, pad, numbered);
    }

    /// Lets `decode` find its decoder by itself and link its first video stream to `into`; sound and subtitles
    /// are left undecoded.
    fn decode_into(&self, decode: &gst::Element, into: gst::Pad, counted: bool) {
        let shared = Arc::clone(&self.shared);
        decode.connect("autoplug-continue", false, move |values| {
            let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            let name =
                caps.as_ref().and_then(|caps| caps.structure(0)).map_or("", |structure| structure.name().as_str());
            shared.media.get_or_init(|| name.to_owned());
            let wanted =
                !["audio/", "subpicture/", "text/", "closedcaption/"].iter().any(|other| name.starts_with(other));
            Some(wanted.to_value())
        });
        let shared = Arc::clone(&self.shared);
        decode.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let is_video = caps.structure(0).is_some_and(|structure| structure.name() == "video/x-raw");
            if !is_video || into.is_linked() {
                return;
            }
            shared.has_video.store(true, Ordering::Relaxed);
            if counted {
                count(&shared, pad, false);
            }
            // A picture format that cannot be converted makes the source fail, which the bus tells.
            let _ = pad.link(&into);
        });
    }

    fn play(&mut self) -> Result<()> {
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.named_error()),
        }
    }

    /// Brings a file to its first picture.
    fn stand(&mut self) -> Result<()> {
        self.standing = true;
        if self.pipeline.set_state(gst::State::Paused).is_err() {
            return Err(self.named_error());
        }
        let (mut left, mut idle) = (PREROLL, 0);
        while !left.is_zero() && idle < IDLE_LOOKS {
            self.heed_bus();
            if let Some(fault) = self.error.take() {
                return Err(fault);
            }
            let (state, current, _) = self.pipeline.state(gst::ClockTime::ZERO);
            if state.is_ok() && current == gst::State::Paused {
                return Ok(());
            }
            if let Some(message) = self.bus.timed_pop(clock_time(BUS_EVERY)) {
                self.heed(&message);
            } else {
                left = left.saturating_sub(BUS_EVERY);
                idle = if self.at_work() { 0 } else { idle + 1 };
            }
        }
        if let Source::File(path) = &self.source
            && idle == IDLE_LOOKS
        {
            let why = whole::cut_short(path).unwrap_or_else(|| "no picture is found in it".to_owned());
            return Err(Fault::new(Kind::Damaged, "cannot play the video")
                .at(path.display())
                .because(why)
                .remedy("Copy or record it again"));
        }
        Err(Fault::new(Kind::Unavailable, "the video does not start")
            .at(reason::place(&self.source))
            .because(format!("no picture within {} s", PREROLL.as_secs()))
            .remedy("Check the disk that it is on"))
    }

    /// Whether any streaming thread is still at work. `decodebin` may swallow the error of a demuxer that fails
    /// while it is being plugged in; then all of them stand still and nothing more is ever said.
    fn at_work(&self) -> bool {
        self.pipeline
            .iterate_recurse()
            .into_iter()
            .flatten()
            .any(|element| element.pads().iter().any(|pad| pad.task_state() == gst::TaskState::Started))
    }

    /// The picture at which a file stands, and the media type of the whole file.
    pub(super) fn first_picture(&mut self) -> Result<(Option<Picture>, &str)> {
        let picture = match self.sink.try_pull_preroll(gst::ClockTime::ZERO) {
            Some(sample) => Some(self.picture(&sample)?),
            None => None,
        };
        Ok((picture, self.shared.media.get().map_or("", String::as_str)))
    }

    /// Waits until the source has given its last frame.
    #[cfg(test)]
    pub(super) fn wait_for_end(&self) {
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        if !self.sink.is_eos() {
            self.bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &kinds);
        }
    }

    /// Reads what has gathered on the bus.
    fn heed_bus(&mut self) {
        while let Some(message) = self.bus.pop() {
            self.heed(&message);
        }
    }

    fn heed(&mut self, message: &gst::Message) {
        match message.view() {
            gst::MessageView::Error(error) if self.error.is_none() => {
                let has_video = self.shared.has_video.load(Ordering::Relaxed);
                let detail = error.debug();
                let lacking = self.lacking.as_deref();
                let fault = reason::of_error(&self.source, &error.error(), detail.as_deref(), lacking, has_video);
                self.error = Some(fault);
            }
            gst::MessageView::Element(element) => {
                if let Some(structure) = element.structure().filter(|structure| structure.name() == "missing-plugin") {
                    self.lacking = structure.get::<String>("name").ok();
                }
            }
            _ => {}
        }
    }

    /// The error on the bus, after a state change has failed.
    fn named_error(&mut self) -> Fault {
        self.heed_bus();
        self.error.take().unwrap_or_else(|| {
            Fault::new(Kind::Unavailable, "the source does not start").at(reason::place(&self.source))
        })
    }

    fn picture(&mut self, sample: &gst::Sample) -> Result<Picture> {
        let fault = |why: &str| Fault::new(Kind::Internal, "a sample is no picture").because(why);
        let caps = sample.caps().ok_or_else(|| fault("it has no format"))?;
        let info = match &self.format {
            Some((known, info)) if known.as_ptr() == caps.as_ptr() => info,
            _ => {
                let info = video::VideoInfo::from_caps(caps).map_err(wiring)?;
                &self.format.insert((caps.to_owned(), info)).1
            }
        };
        let buffer = sample.buffer_owned().ok_or_else(|| fault("it has no buffer"))?;
        let frame = video::VideoFrame::from_buffer_readable(buffer, info).map_err(|_| fault("it cannot be mapped"))?;
        Picture::mapped(frame).ok_or_else(|| fault("it is neither I420 nor NV12 nor GRAY8"))
    }

    fn shot(&mut self, sample: &gst::Sample) -> Result<Shot> {
        let picture = self.picture(sample)?;
        let time = sample.buffer().and_then(|buffer| buffer.pts());
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let position = segment.zip(time).and_then(|(segment, time)| segment.to_stream_time(time)).or(time);
        let running = segment.zip(time).and_then(|(segment, time)| segment.to_running_time(time));
        let age = match self.source {
            Source::File(_) => None,
            Source::Device(_) | Source::Rtsp(_) => self.pipeline.current_running_time().zip(running),
        };
        self.pictures += 1;
        Ok(Shot {
            picture,
            time: position.map_or(Duration::ZERO, Into::into),
            lasts: sample.buffer().and_then(|buffer| buffer.duration()).map(Into::into),
            age: age.map_or(Duration::ZERO, |(now, captured)| now.saturating_sub(captured).into()),
            skipped: self.shared.ledger().handed_out(time),
        })
    }

    /// What is to be said at the end of the stream.
    fn end(&mut self) -> Step {
        if let Some(fault) = self.error.take() {
            return Step::Failed(fault);
        }
        if let Source::File(path) = &self.source
            && let Some(cut) = whole::cut_short(path)
        {
            let what = format!("the video breaks off after {} pictures", self.pictures);
            return Step::Failed(
                Fault::new(Kind::Damaged, what).at(path.display()).because(cut).remedy("Copy or record it again"),
            );
        }
        Step::Ended
    }
}

impl Stream for Pipeline {
    fn poll(&mut self, wait: Duration) -> Step {
        if std::mem::take(&mut self.standing)
            && let Err(fault) = self.play()
        {
            return Step::Failed(fault);
        }
        let mut left = wait;
        loop {
            self.heed_bus();
            let slice = left.min(BUS_EVERY);
            if let Some(sample) = self.sink.try_pull_sample(clock_time(slice)) {
                return self.shot(&sample).map_or_else(Step::Failed, Step::Picture);
            }
            self.heed_bus();
            if self.sink.is_eos() {
                return self.end();
            }
            if self.error.is_some() {
                // Pictures that were under way when a file broke are still wanted; a live source is rebuilt at once.
                self.since_error += slice.max(Duration::from_millis(1));
                let file = matches!(self.source, Source::File(_));
                if let Some(fault) = self.error.take_if(|_| !file || self.since_error >= DRAIN) {
                    return Step::Failed(fault);
                }
            }
            left = left.saturating_sub(slice);
            if left.is_zero() {
                return Step::Nothing;
            }
        }
    }

    fn left_over(&mut self) -> u64 {
        // Stopped first, so that nothing more comes.
        let _ = self.pipeline.set_state(gst::State::Null);
        self.shared.ledger().close()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Nothing can be done about a pipeline that does not stop, and nothing depends on it.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn count(shared: &Arc<Passed>, pad: &gst::Pad, numbered: bool) {
    let shared = Arc::clone(shared);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            let mut ledger = shared.ledger();
            if numbered {
                ledger.numbered(buffer.offset());
            }
            ledger.came(buffer.pts());
        }
        gst::PadProbeReturn::Ok
    });
}

fn clock_time(time: Duration) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1))
}
