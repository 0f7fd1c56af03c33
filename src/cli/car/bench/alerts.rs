//! How long the crew waits for alerts: films through the whole unit at their own speed, with window, sound and journal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{car, peak_memory, show, window};
use crate::alert::{AlertId, CardOfMemory, DeviceSounder, Sounder, Verdict};
use crate::capture::Pace;
use crate::cli::car::read::round;
use crate::cli::car::replay::tempfolder;
use crate::clock::{Clock, RealClock, Shared};
use crate::config::{Config, Sound};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{self, Hotlist, ImportOptions};
use crate::journal::Journal;
use crate::recognise::Models;
use crate::screen::{Answer, Handle, Touch};
use crate::seal::SealKey;
use crate::unit::{Latency, Outcome, Parts, Unit};

pub(super) struct Options {
    pub(super) videos: Vec<PathBuf>,
    pub(super) nmea: Option<PathBuf>,
    pub(super) cameras: usize,
    pub(super) json: bool,
}

/// How long an alert stays on the screen before the bench answers it, and how often that is looked at.
const ANSWERED_AFTER: Duration = Duration::from_millis(150);
const LOOK_UP: Duration = Duration::from_millis(20);

pub(super) fn run(options: &Options) -> Result<()> {
    let clock = RealClock::shared();
    let scratch = tempfolder()?;
    let videos: Vec<PathBuf> = (0..options.cameras).map(|n| options.videos[n % options.videos.len()].clone()).collect();
    let config = car(scratch.path(), &videos, options.nmea.clone());
    let models = Models::load(None)?;
    // What is in the films is learned first, so that every vehicle of them can be an alert.
    eprintln!("reading the films once, as fast as it goes, for a list of what is in them");
    let plates = plates_in(&config, &models, &clock)?;
    let hotlist =
        Arc::new(Hotlist::open_sealed(&scratch.path().join(hotlist::FILE), &SealKey::passing()?, clock.clone())?);
    let list: String = plates.iter().map(|plate| format!("{plate},stolen\n")).collect();
    if !plates.is_empty() {
        let import = ImportOptions { produced: Some(clock.utc()), ..ImportOptions::default() };
        hotlist.import("bench", format!("vrm,reason\n{list}").as_bytes(), &scratch.path().join("list.csv"), &import)?;
    }
    let journal = Arc::new(Journal::open(scratch.path(), clock.clone())?);

    let heard = DeviceSounder.open(Box::new(|_| {})).is_ok();
    let sounder: Box<dyn Sounder> =
        if heard { Box::new(DeviceSounder) } else { Box::new(CardOfMemory::new(clock.clone())) };
    let (touch, touches) = channel();
    let (screen, handle) = window(&config, &clock, touch.clone()).unzip();
    let drawn = screen.is_some();
    let unit = Unit::start(Parts {
        config: Config { sound: Sound::default(), ..config },
        pace: Pace::Realtime,
        models,
        clock: clock.clone(),
        hotlist: Some(hotlist),
        journal: Some(journal.clone()),
        screen: handle.clone(),
        chart: None,
        touches: Some(touches),
        sounder: Some(sounder),
        observer: Box::new(|_| {}),
    })?;
    let closed = AtomicBool::new(false);
    let outcome = match screen.zip(handle) {
        None => unit.wait(),
        Some((screen, handle)) => std::thread::scope(|scope| {
            let closed = &closed;
            let driving = scope.spawn(move || {
                answer_until_over(&unit, &handle, &touch, &*RealClock::shared(), closed);
                handle.close();
                unit.stop()
            });
            let ran = screen.run();
            closed.store(true, Ordering::Relaxed);
            let outcome = driving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ran.map(|()| outcome)
        })?,
    };
    outcome.sound()?;
    if let Some(fault) = outcome.faults.first() {
        return Err(Fault::new(Kind::Damaged, fault.clone()));
    }
    let sound = if heard { "the system's device" } else { "a card of memory, periods of 10 ms" };
    report(options, &videos, &plates, &outcome, sound, drawn)
}

fn report(
    options: &Options,
    videos: &[PathBuf],
    plates: &BTreeSet<String>,
    outcome: &Outcome,
    sound: &str,
    drawn: bool,
) -> Result<()> {
    let of = |pick: fn(&Latency) -> Option<Duration>| percentiles(outcome.latencies.iter().filter_map(pick).collect());
    let sum = |pick: fn(&(u64, u64)) -> u64| outcome.frames.iter().map(pick).sum::<u64>();
    show(
        options.json,
        &json!({
            "videos": videos.iter().map(|video| video.display().to_string()).collect::<Vec<_>>(),
            "cameras": videos.len(),
            "processors": std::thread::available_parallelism().map_or(0, usize::from),
            "sound": sound,
            "window": drawn,
            "plates_listed": plates.len(),
            "alerts": outcome.latencies.len(),
            "frames": sum(|frames| frames.0),
            "dropped": sum(|frames| frames.1),
            // From the capture of the frame that decided.
            "frame_to_desk_ms": of(|latency| Some(latency.to_desk)),
            "frame_to_first_sample_ms": of(|latency| latency.to_sound),
            "frame_to_first_drawn_frame_ms": of(|latency| latency.to_screen),
            "peak_memory_mib": peak_memory().map(|bytes| bytes >> 20),
        }),
    )
}

fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let ms = |time: Duration| round(time.as_secs_f32() * 1e3, 1);
    // The least that so many of a hundred do not exceed.
    let at = |share: usize| ms(times[(times.len() * share).div_ceil(100).max(1) - 1]);
    match times.last() {
        None => Value::Null,
        Some(most) => {
            json!({ "of": times.len(), "p50": at(50), "p95": at(95), "p99": at(99), "most": ms(*most) })
        }
    }
}

/// The text of every read of the films.
fn plates_in(config: &Config, models: &Arc<Models>, clock: &Shared) -> Result<BTreeSet<String>> {
    let plates = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = plates.clone();
    let unit = Unit::start(Parts {
        config: Config { receiver: None, ..config.clone() },
        pace: Pace::AsFast,
        models: models.clone(),
        clock: clock.clone(),
        hotlist: None,
        journal: None,
        screen: None,
        chart: None,
        touches: None,
        sounder: None,
        observer: Box::new(move |told| {
            if !told.read.read.text.is_empty() {
                seen.lock().unwrap_or_else(PoisonError::into_inner).insert(told.read.read.text.clone());
            }
        }),
    })?;
    unit.wait().sound()?;
    let plates = plates.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(plates)
}

/// Answers each alert soon after it is on the screen: one that waits behind another is not drawn, and would not be measured.
fn answer_until_over(unit: &Unit, handle: &Handle, touch: &Sender<Touch>, clock: &dyn Clock, closed: &AtomicBool) {
    let mut shown: Option<(AlertId, crate::clock::Moment)> = None;
    let mut quiet_since = clock.now();
    loop {
        let alert = handle.latest().alert.map(|alert| alert.id);
        let now = clock.now();
        match (alert, shown) {
            (Some(alert), Some((before, since))) if alert == before => {
                if now.since(since) >= ANSWERED_AFTER {
                    // The unit is there until this returns.
                    let _ = touch.send(Touch::Answered(Answer { alert, verdict: Verdict::Confirmed }));
                }
            }
            (alert, _) => shown = alert.map(|alert| (alert, now)),
        }
        if alert.is_some() || !unit.is_over() {
            quiet_since = now;
        }
        let over = now.since(quiet_since) >= ANSWERED_AFTER * 4;
        if over || unit.is_broken() || closed.load(Ordering::Relaxed) {
            return;
        }
        clock.sleep(LOOK_UP);
    }
}
