//! `outrider bench`: measurements that print ratios against something in the same run.

mod alerts;
mod confusions;
mod hotlist;
mod journal;
mod made_up;
mod simulation;
#[cfg(all(feature = "office", target_os = "linux"))]
mod sync;
mod window;

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use serde_json::{Value, json};

use super::read::round;
use crate::capture::{self, Event, Pace};
use crate::clock::{Clock, RealClock, Shared};
use crate::config::{Camera, Config, Receiver, ReceiverSource, Sound, Source};
use crate::fault::{Fault, Kind, Result};
use crate::recognise::{Models, Network, Passes, Recogniser, Role, Timings};
use crate::screen::{Handle, Screen, Touch};

/// Measure parts of the unit on this machine.
///
/// Example: outrider bench pipeline --video drive.mp4 --json
///
///   pipeline   where the time of a video goes: decode, find, read, follow, rest (ms a frame), frames a second, dropped
///              frames, peak memory; as a ratio to the video's own speed
///   window     what the window costs: the same film with and without it, in turn, and the ratio of their rates
///   alerts     how long the crew waits: camera to desk, to sound and to screen, with two cameras at the film's speed
///   hotlist    a made-up list of so many entries: import, size, start-up, matching, changes; the same in SQLite
///   confusions what the reader takes characters for, on labelled photographs
///   journal    reads with pictures at a steady rate: time to the disk, bytes a read, memory
///   sync       a backlog to an office over the link and over HTTPS: bytes, first hit, live hit, time to drain, at 0, 2, 5 % loss
///   kernels    each layer of the networks in GFLOP/s, against the machine's own 1024-cubed matrix product
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Where the time of a video goes
    ///
    /// Example: outrider bench pipeline --video drive.mp4 --json
    #[command(verbatim_doc_comment)]
    Pipeline {
        /// The video; default: the made-up drive
        #[arg(long, value_name = "FILE")]
        video: Option<PathBuf>,
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
    /// What the window costs recognition: the same film with and without it, in turn
    ///
    /// Example: outrider bench window --video drive.mp4 --json
    #[command(verbatim_doc_comment)]
    Window {
        /// The video; default: the made-up drive
        #[arg(long, value_name = "FILE")]
        video: Option<PathBuf>,
        /// How many cameras play it
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
        cameras: u8,
        /// How often each
        #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=100))]
        rounds: u8,
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
    /// How long the crew waits for alerts, with window, sound and journal, at the film's speed
    ///
    /// Example: outrider bench alerts --video drive.mp4 --nmea drive.nmea --json
    ///
    /// Every vehicle of the films is listed first, and each alert is answered soon after it is drawn. Without a sound device
    /// a card of memory takes the samples; without a display there is no time to the screen.
    #[command(verbatim_doc_comment)]
    Alerts {
        /// A video; may be repeated, the cameras take them in turn; default: the made-up drive
        #[arg(long = "video", value_name = "FILE")]
        videos: Vec<PathBuf>,
        /// The receiver's log, paced by the first video
        #[arg(long, value_name = "FILE")]
        nmea: Option<PathBuf>,
        /// How many cameras
        #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
        cameras: u8,
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
    /// A made-up list, imported, opened, matched and changed, beside SQLite
    ///
    /// Example: outrider bench hotlist --entries 5000000 --simulate --json
    #[command(verbatim_doc_comment)]
    Hotlist {
        /// How many entries
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        entries: u64,
        /// Also simulate 100,000 reads and tell by threshold what is found and what is wrong
        #[arg(long)]
        simulate: bool,
        /// Keep the lists in the clear, as an office may, and not sealed as a car does: what sealing costs
        #[arg(long)]
        in_the_clear: bool,
        /// Where the lists are made, some 500 bytes an entry; default: the system's folder for such files
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
    /// What the reader takes characters for, on labelled photographs; prints what the simulation draws from
    ///
    /// Example: outrider bench confusions --split val labels.jsonl
    #[command(verbatim_doc_comment)]
    Confusions {
        /// The part of the sets that is read
        #[arg(long, default_value = "val")]
        split: String,
        /// Files of labels, one JSON line a picture
        #[arg(required = true, value_name = "LABELS")]
        labels: Vec<PathBuf>,
    },
    /// Reads with pictures at a steady rate, sealed and committed
    ///
    /// Example: outrider bench journal --seconds 600 --json
    #[command(verbatim_doc_comment)]
    Journal {
        /// For how long
        #[arg(long, value_name = "N", default_value_t = 20)]
        seconds: u64,
        /// Reads a second
        #[arg(long, value_name = "N", default_value_t = 200)]
        rate: u64,
        /// Where the journal is made; default: the system's folder for such files
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
    /// A backlog to an office over the link and, beside it, over HTTPS, on one far network that loses packets
    ///
    /// Example: outrider bench sync --rounds 3 --json
    ///
    /// Both go through a network device that this makes, so it is run as root on Linux; elsewhere the link is measured alone.
    #[cfg(all(feature = "office", target_os = "linux"))]
    #[command(verbatim_doc_comment)]
    Sync {
        /// Reads that wait
        #[arg(long, value_name = "N", default_value_t = 2000)]
        reads: usize,
        /// Pictures that wait
        #[arg(long, value_name = "N", default_value_t = 60)]
        pictures: usize,
        /// What the network carries one way, bytes a second
        #[arg(long, value_name = "N", default_value_t = 1_250_000)]
        rate: u64,
        /// How often each is measured; the middle counts
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=50))]
        rounds: u8,
        /// How TCP shares the network, where the system has it; the link does it like cubic
        #[arg(long, value_name = "NAME", default_value = "cubic")]
        tcp_congestion: String,
        /// Also send a list of so many entries to a car, cut twenty times on the way
        #[arg(long, value_name = "N", default_value_t = 0)]
        entries: u64,
        /// Where offices are made; default: the system's folder for such files
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
    /// The networks' layers, and what the machine can do
    ///
    /// Example: outrider bench kernels --json
    #[command(verbatim_doc_comment)]
    Kernels {
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
}

impl Bench {
    pub(super) fn run(self) -> Result<()> {
        match self.what {
            What::Pipeline { video, json } => {
                let video = match video {
                    Some(video) => video,
                    None => super::film::drive(false)?.video,
                };
                pipeline(video, json)
            }
            What::Window { video, cameras, rounds, json } => {
                let video = video.map_or_else(|| super::film::drive(false).map(|drive| drive.video), Ok)?;
                let (cameras, rounds) = (usize::from(cameras), usize::from(rounds));
                window::run(&window::Options { video, cameras, rounds, json })
            }
            What::Alerts { mut videos, mut nmea, cameras, json } => {
                if videos.is_empty() {
                    let drive = super::film::drive(false)?;
                    videos = vec![drive.video];
                    nmea = nmea.or(Some(drive.nmea));
                }
                alerts::run(&alerts::Options { videos, nmea, cameras: cameras.into(), json })
            }
            What::Hotlist { entries, simulate, in_the_clear, folder, json } => {
                hotlist::run(&hotlist::Options { entries: entries.max(1000), simulate, in_the_clear, folder, json })
            }
            What::Confusions { split, labels } => confusions::run(&labels, &split),
            What::Journal { seconds, rate, folder, json } => {
                journal::run(&journal::Options { seconds: seconds.max(1), rate: rate.max(1), folder, json })
            }
            #[cfg(all(feature = "office", target_os = "linux"))]
            What::Sync { reads, pictures, rate, rounds, tcp_congestion, entries, folder, json } => {
                let (rounds, congestion) = (rounds.into(), tcp_congestion);
                sync::run(&sync::Options { reads, pictures, rate, rounds, congestion, entries, folder, json })
            }
            What::Kernels { json } => kernels(json),
        }
    }
}

/// A car with a camera for each of these films, and no office.
fn car(data: &Path, videos: &[PathBuf], nmea: Option<PathBuf>) -> Config {
    let camera = |(number, video): (usize, &PathBuf)| Camera {
        name: format!("camera {}", number + 1),
        source: Source::File(video.clone()),
        silence_s: 10.0,
        repeat: false,
    };
    Config {
        unit: "bench".into(),
        data: data.to_owned(),
        cameras: videos.iter().enumerate().map(camera).collect(),
        receiver: nmea.map(|path| Receiver {
            source: ReceiverSource::File(path),
            baud: 9600,
            stale_s: 2.0,
            absent_s: 30.0,
        }),
        sound: Sound { enabled: false, ..Sound::default() },
        screen: Default::default(),
        driver: None,
        journal: Default::default(),
        crew: Default::default(),
        office: None,
        models: None,
    }
}

/// The crew's window, where there is a display; why not is said.
fn window(config: &Config, clock: &Shared, touch: Sender<Touch>) -> Option<(Screen, Handle)> {
    Screen::open(&config.screen, clock.clone(), touch).inspect_err(|fault| eprintln!("no window: {fault}")).ok()
}

/// The longest wait for a picture of a file.
const PATIENCE: Duration = Duration::from_secs(10);

fn pipeline(video: PathBuf, json: bool) -> Result<()> {
    let clock = RealClock::shared();
    let camera = Camera { name: "bench".into(), source: Source::File(video.clone()), silence_s: 10.0, repeat: false };
    // Decoding alone first: what the machine would do if recognition cost nothing. It goes on beside recognition afterwards,
    // so that the rest is what recognition waited for frames, and the parts do not add up to more than the whole.
    let (alone, frames, _, _) = play(&camera, &clock, |_| Ok(()))?;
    let mut recogniser = Recogniser::new("bench".into(), Models::load(None)?, Passes::of_run(0), clock.clone())?;
    let mut reads = 0u64;
    let (whole, _, length, dropped) = play(&camera, &clock, |frame| recogniser.frame(frame, |_| reads += 1))?;
    recogniser.end(|_| reads += 1);
    let Timings { find, read, follow, aligned, readings, .. } = recogniser.timings();
    let each = |time: Duration| round((time.as_secs_f64() * 1e3 / frames.max(1) as f64) as f32, 3);
    let rest = whole.saturating_sub(find + read + follow);
    let speed = length.as_secs_f64() / whole.as_secs_f64();
    let report = json!({
        "video": video.display().to_string(),
        "frames": frames,
        "seconds": round(length.as_secs_f32(), 2),
        "ms_per_frame": {
            "decode": each(alone), "find": each(find), "read": each(read), "follow": each(follow),
            "find_read_follow": each(find + read + follow), "rest": each(rest), "whole": each(whole),
        },
        "frames_per_second": round((frames as f64 / whole.as_secs_f64()) as f32, 1),
        "times_real_time": round(speed as f32, 2),
        "dropped": dropped,
        "reads": reads,
        "aligned_per_frame": round(aligned as f32 / frames.max(1) as f32, 2),
        "readings_per_frame": round(readings as f32 / frames.max(1) as f32, 2),
        "peak_memory_mib": peak_memory().map(|bytes| bytes >> 20),
    });
    show(json, &report)
}

/// Plays a file to its end as fast as it goes; gives the time it took, the frames, the file's own length and the frames
/// that were dropped.
fn play(
    camera: &Camera,
    clock: &Shared,
    mut each: impl FnMut(&capture::Frame) -> Result<()>,
) -> Result<(Duration, u64, Duration, u64)> {
    let mut feed = capture::open(camera, Pace::AsFast, clock.clone())?;
    let start = clock.now();
    let (mut frames, mut length) = (0, Duration::ZERO);
    loop {
        match feed.next(PATIENCE) {
            Event::Frame(frame) => {
                frames += 1;
                length = frame.time;
                each(&frame)?;
            }
            Event::Lost(fault) => return Err(fault),
            Event::End => break,
            Event::Back => {}
            Event::Quiet => {
                return Err(Fault::new(Kind::Unavailable, "no picture for ten seconds").at(camera.name.clone()));
            }
        }
    }
    Ok((clock.now().since(start), frames, length, feed.counters().dropped()))
}

/// How often each layer and the yardstick are run; the fastest counts, since other programs only slow things down.
const TIMES: usize = 30;
/// Inputs that are run together, beside one alone.
const MANY: usize = 4;

fn kernels(json: bool) -> Result<()> {
    let clock = RealClock::shared();
    let models = Models::load(None)?;
    let yardstick = yardstick(&*clock);
    let mut networks = serde_json::Map::new();
    for (role, model) in
        [(Role::Finder, &models.finder), (Role::Aligner, &models.aligner), (Role::Reader, &models.reader)]
    {
        let mut network = Network::new(model, MANY)?;
        let mut fastest = |count: usize| {
            let mut best = Duration::MAX;
            for _ in 0..TIMES {
                let start = clock.now();
                network.run(count, |_, input| input.fill(0.25), |_, _| ())?;
                best = best.min(clock.now().since(start));
            }
            Ok::<_, Fault>(best)
        };
        let (best, together) = (fastest(1)?, fastest(MANY)? / MANY as u32);
        let layers: Vec<Value> = network
            .layer_costs(TIMES, &*clock)?
            .into_iter()
            .map(|layer| {
                let rate = gflops(layer.flops, layer.time);
                json!({"layer": layer.name, "us": round(layer.time.as_secs_f32() * 1e6, 1), "gflops": round(rate, 1), "of_yardstick": round(rate / yardstick, 3)})
            })
            .collect();
        let rate = gflops(network.flops(), best);
        networks.insert(
            role.name().into(),
            json!({"ms": round(best.as_secs_f32() * 1e3, 3), "ms_each_of_four": round(together.as_secs_f32() * 1e3, 3), "mflop": network.flops() / 1_000_000, "gflops": round(rate, 1), "of_yardstick": round(rate / yardstick, 3), "layers": layers}),
        );
    }
    show(json, &json!({"yardstick_1024_cubed_gflops": round(yardstick, 1), "networks": networks}))
}

fn gflops(flops: u64, time: Duration) -> f32 {
    (flops as f64 / time.as_secs_f64().max(1e-9) / 1e9) as f32
}

/// The machine's own speed: a 1024-cubed product of f32 matrices on one core, by the library that the kernels use.
fn yardstick(clock: &dyn Clock) -> f32 {
    const N: usize = 1024;
    let (a, b, mut c) = (vec![0.5f32; N * N], vec![0.25f32; N * N], vec![0.0f32; N * N]);
    let mut best = Duration::MAX;
    for _ in 0..6 {
        let start = clock.now();
        crate::recognise::matrix_product(N, &a, &b, &mut c);
        best = best.min(clock.now().since(start));
    }
    gflops(2 * (N as u64).pow(3), best)
}

fn show(json: bool, report: &Value) -> Result<()> {
    let text = if json { report.to_string() } else { serde_json::to_string_pretty(report).unwrap_or_default() };
    println!("{text}");
    Ok(())
}

/// The most memory that this process ever had resident, bytes; Linux only.
pub(super) fn peak_memory() -> Option<u64> {
    of_memory("VmHWM:")
}

/// What this process has resident now, bytes; Linux only.
pub(super) fn memory() -> Option<u64> {
    of_memory("VmRSS:")
}

fn of_memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
