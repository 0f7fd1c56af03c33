//! Painting the frames on all cores and encoding them once, into a cache that never holds half a drive.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use sha2::{Digest, Sha256};

use super::papers;
use super::plan::Plan;
use super::scene::Scene;
use crate::fault::{Fault, Kind, Result};

/// Counts the renderer's looks: a change makes every cached drive stale.
const RENDERER: u32 = 3;
/// Bits a second of the film at 1920 x 1080.
const BITRATE: f64 = 8_000_000.0;

/// A rendered drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveFiles {
    /// The folder that holds it.
    pub folder: PathBuf,
    /// The film: H.264 in MP4.
    pub video: PathBuf,
    /// What the receiver said, second 0 of the film first.
    pub nmea: PathBuf,
    /// The hotlist, CSV with a header.
    pub hotlist: PathBuf,
    /// What is in the film, one JSON object a line.
    pub truth: PathBuf,
}

impl DriveFiles {
    fn within(folder: PathBuf) -> Self {
        Self {
            video: folder.join("drive.mp4"),
            nmea: folder.join("drive.nmea"),
            hotlist: folder.join("hotlist.csv"),
            truth: folder.join("truth.jsonl"),
            folder,
        }
    }
}

/// Renders the drive of `plan` into a folder under `cache`, or finds it there. `progress` hears how many frames
/// are done and how many there are; it is not called when the drive is there already.
///
/// # Errors
/// `Usage` for a plan without a picture, `Missing` where GStreamer lacks an element, the kind of the input or output error
/// where the cache cannot be written. The cache then holds nothing new.
pub fn render(plan: &Plan, cache: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<DriveFiles> {
    let key = key(plan);
    let folder = cache.join(format!("drive-{key}"));
    if folder.is_dir() {
        return Ok(DriveFiles::within(folder));
    }
    fs::create_dir_all(cache).map_err(|e| Fault::io("cannot make the folder of the demo drive", cache, e))?;
    sweep(cache);
    let work = Unfinished::new(cache.join(format!("{UNFINISHED}{key}-{}", std::process::id())))?;
    let files = DriveFiles::within(work.0.clone());

    let scene = Scene::new(plan)?;
    let write = |path: &Path, text: String| {
        fs::write(path, text).map_err(|e| Fault::io("cannot write a file of the demo drive", path, e))
    };
    write(&files.truth, papers::truth(plan, &scene))?;
    write(&files.nmea, papers::nmea(plan))?;
    write(&files.hotlist, papers::hotlist(plan)?)?;
    encode(plan, &scene, &files.video, progress)?;

    // Another process may have finished the same drive meanwhile: its files are as good.
    if let Err(e) = fs::rename(&work.0, &folder)
        && !folder.is_dir()
    {
        return Err(Fault::io("cannot put the finished demo drive in its place", &folder, e));
    }
    Ok(DriveFiles::within(folder))
}

const UNFINISHED: &str = ".unfinished-";

/// Names what the files follow from.
pub(super) fn key(plan: &Plan) -> String {
    hex::encode(&Sha256::digest(format!("{RENDERER} {plan:?}"))[..6])
}

/// A folder that goes away unless it is renamed.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(folder: PathBuf) -> Result<Self> {
        // A leftover of an earlier process with the same number.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(|e| Fault::io("cannot make a folder for the demo drive", &folder, e))?;
        Ok(Self(folder))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After success the folder has its final name and there is nothing to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what killed renderers left behind: their process is gone.
fn sweep(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|n| n.strip_prefix(UNFINISHED)).and_then(|n| n.rsplit('-').next());
        if process.is_some_and(|p| !Path::new("/proc").join(p).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Paints every frame and encodes them in order.
fn encode(plan: &Plan, scene: &Scene, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let encoder = Encoder::start(plan, path)?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(16);
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (send, receive) = sync_channel::<(u64, Result<Vec<u8>>)>(2);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let send = send.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let frame = next.fetch_add(1, Ordering::Relaxed);
                    if frame >= plan.frames {
                        break;
                    }
                    let planes = scene.paint(frame).map(|picture| scene.film(&picture, frame));
                    if send.send((frame, planes)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        // Frames come a little out of order; at most one a thread waits here.
        let mut early = BTreeMap::new();
        let mut done = 0;
        let mut pushed = || -> Result<()> {
            for (frame, planes) in receive.iter() {
                early.insert(frame, planes?);
                while let Some(planes) = early.remove(&done) {
                    encoder.push(done, planes)?;
                    done += 1;
                    progress(done, plan.frames);
                }
            }
            Ok(())
        };
        let result = pushed();
        stop.store(true, Ordering::Relaxed);
        // Painters that wait to hand over a frame then find nobody there.
        drop(receive);
        result
    })?;
    encoder.finish()
}

/// The encoding pipeline; stopped when dropped.
struct Encoder {
    pipeline: gst::Pipeline,
    source: AppSrc,
    frame_time: u64,
}

impl Encoder {
    fn start(plan: &Plan, path: &Path) -> Result<Self> {
        let unusable = |e: gst::glib::Error| {
            Fault::new(Kind::Missing, "GStreamer cannot encode the demo drive")
                .because(e)
                .remedy("Install gstreamer1.0-plugins-base, -good, -bad and -ugly")
        };
        gst::init().map_err(unusable)?;
        let area = f64::from(plan.width) * f64::from(plan.height) / (1920.0 * 1080.0);
        let kilobits = (BITRATE * area.max(0.05) / 1000.0) as u32;
        let text = format!(
            "appsrc name=frames ! x264enc name=encoder bitrate={kilobits} speed-preset=superfast trellis=false key-int-max={} ! \
             h264parse ! mp4mux ! filesink name=file",
            plan.fps * 2
        );
        let pipeline = gst::parse::launch(&text)
            .map_err(unusable)?
            .downcast::<gst::Pipeline>()
            .map_err(|_| Fault::new(Kind::Internal, "the encoding pipeline is no pipeline"))?;
        let absent = || Fault::new(Kind::Internal, "a part of the encoding pipeline is not there");
        pipeline.by_name("file").ok_or_else(absent)?.set_property("location", path);
        let source = pipeline.by_name("frames").and_then(|e| e.downcast::<AppSrc>().ok()).ok_or_else(absent)?;
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", plan.width as i32)
            .field("height", plan.height as i32)
            .field("framerate", gst::Fraction::new(plan.fps as i32, 1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("colorimetry", "bt709")
            .build();
        source.set_caps(Some(&caps));
        source.set_format(gst::Format::Time);
        source.set_block(true);
        source.set_max_bytes(4 * u64::from(plan.width) * u64::from(plan.height));
        let encoder = Self { pipeline, source, frame_time: 1_000_000_000 / u64::from(plan.fps) };
        encoder.pipeline.set_state(gst::State::Playing).map_err(|e| encoder.fault(&e.to_string()))?;
        Ok(encoder)
    }

    fn push(&self, frame: u64, planes: Vec<u8>) -> Result<()> {
        let mut buffer = gst::Buffer::from_mut_slice(planes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(frame * self.frame_time));
            buffer.set_duration(gst::ClockTime::from_nseconds(self.frame_time));
        }
        self.source.push_buffer(buffer).map(drop).map_err(|e| self.fault(&e.to_string()))
    }

    fn finish(self) -> Result<()> {
        self.source.end_of_stream().map_err(|e| self.fault(&e.to_string()))?;
        let bus = self.pipeline.bus().ok_or_else(|| self.fault("it has no bus"))?;
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        match bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &wanted) {
            Some(message) if message.type_() == gst::MessageType::Eos => {
                self.pipeline.set_state(gst::State::Null).map(drop).map_err(|e| self.fault(&e.to_string()))
            }
            Some(message) => Err(unfinished(&reason(&message))),
            None => Err(unfinished("it did not end within two minutes")),
        }
    }

    /// What went wrong: the bus knows it better than the call that failed.
    fn fault(&self, otherwise: &str) -> Fault {
        let message = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        unfinished(&message.map_or_else(|| otherwise.to_owned(), |m| reason(&m)))
    }
}

fn reason(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(e) => e.error().to_string(),
        _ => "it stopped".to_owned(),
    }
}

fn unfinished(why: &str) -> Fault {
    Fault::new(Kind::Unavailable, "the demo drive could not be encoded")
        .because(why)
        .remedy("Check that the disk has 100 MB to spare, then start the demo again")
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // Nothing can be done about a pipeline that does not stop.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
