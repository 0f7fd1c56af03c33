//! What the window costs recognition: the same film with and without it, in turn.

use std::path::PathBuf;
use std::sync::mpsc::channel;

use serde_json::json;

use super::{car, show, window};
use crate::capture::Pace;
use crate::cli::car::read::round;
use crate::cli::car::replay::tempfolder;
use crate::clock::{RealClock, Shared};
use crate::config::Config;
use crate::fault::{Fault, Kind, Result};
use crate::recognise::Models;
use crate::screen::Handle;
use crate::unit::{Parts, Unit};

pub(super) struct Options {
    pub(super) video: PathBuf,
    pub(super) cameras: usize,
    pub(super) rounds: usize,
    pub(super) json: bool,
}

/// Frames that were recognised, and how many a second.
struct Pass {
    frames: u64,
    rate: f64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let clock = RealClock::shared();
    let scratch = tempfolder()?;
    let config = car(scratch.path(), &vec![options.video.clone(); options.cameras], None);
    let models = Models::load(None)?;
    let (touch, touches) = channel();
    let (screen, handle) = window(&config, &clock, touch).ok_or_else(|| {
        Fault::new(Kind::Unavailable, "there is no display to open a window on")
            .remedy("Start it in a graphical session, or on a display that is memory: Xvfb :9 &, then DISPLAY=:9")
    })?;
    // Nobody touches it; a unit is given no end of its own.
    drop(touches);
    let (without, with) = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let passes = rounds(options, &config, &models, &handle, &clock);
            handle.close();
            passes
        });
        let ran = screen.run();
        let passes = measuring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ran.and(passes)
    })?;
    let middle = |passes: &[Pass]| {
        let mut rates: Vec<f64> = passes.iter().map(|pass| pass.rate).collect();
        rates.sort_unstable_by(f64::total_cmp);
        (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0
    };
    let each = |passes: &[Pass]| passes.iter().map(|pass| round(pass.rate as f32, 1)).collect::<Vec<_>>();
    let (bare, shown) = (middle(&without), middle(&with));
    show(
        options.json,
        &json!({
            "video": options.video.display().to_string(),
            "cameras": options.cameras,
            "frames": without.first().map_or(0, |pass| pass.frames),
            "frames_per_second": { "without_window": each(&without), "with_window": each(&with) },
            "middle": { "without_window": round(bare as f32, 1), "with_window": round(shown as f32, 1) },
            // 1: the window costs nothing.
            "ratio": round((shown / bare) as f32, 4),
        }),
    )
}

/// Without and with the window, with and without, and so on: what drifts weighs on both.
fn rounds(
    options: &Options,
    config: &Config,
    models: &std::sync::Arc<Models>,
    handle: &Handle,
    clock: &Shared,
) -> Result<(Vec<Pass>, Vec<Pass>)> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..options.rounds {
        for shown in if number % 2 == 0 { [false, true] } else { [true, false] } {
            let start = clock.now();
            let unit = Unit::start(Parts {
                config: config.clone(),
                pace: Pace::AsFast,
                models: models.clone(),
                clock: clock.clone(),
                hotlist: None,
                journal: None,
                screen: shown.then(|| handle.clone()),
                chart: None,
                touches: None,
                sounder: None,
                observer: Box::new(|_| {}),
            })?;
            let outcome = unit.wait();
            let seconds = clock.now().since(start).as_secs_f64();
            outcome.sound()?;
            if let Some(fault) = outcome.faults.first() {
                return Err(Fault::new(Kind::Damaged, fault.clone()));
            }
            let frames = outcome.frames.iter().map(|(delivered, _)| delivered).sum();
            let passes = if shown { &mut with } else { &mut without };
            passes.push(Pass { frames, rate: frames as f64 / seconds });
        }
    }
    Ok((without, with))
}
