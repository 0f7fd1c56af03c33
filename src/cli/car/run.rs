//! `outrider run`: the unit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::Digest;
use tokio::signal::unix::{SignalKind, signal};

use super::unlock;
use crate::alert::Chart;
use crate::capture::Pace;
use crate::clock::{Clock, RealClock, Shared};
use crate::config::Config;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{self, Hotlist};
use crate::journal::{self, Act, Deed, Journal, Key, Record};
use crate::recognise::Models;
use crate::screen::{Handle, Screen, Touch, View};
use crate::tag::When;
use crate::unit::{Parts, Unit};

/// Run the unit.
///
/// Example: outrider run --config /etc/outrider/car.toml
///
/// Ends with Ctrl-C, as a service manager ends it, or when the window is closed. A camera, receiver, sound card or
/// network that is missing is a fault on the status strip and in the journal; the rest goes on, and the part comes
/// back by itself. A display that goes away is a fault in the journal, and the unit goes on without. Where the key
/// file or the chip that unlocks it is missing, the screen says so, and nothing is read until it is there.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Run {
    /// The configuration, like those in vehicle-config/
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The journal's passphrase, where the configuration asks for one: the first line of a file or of a descriptor such as
    /// /dev/fd/3. Left out: it is asked for on the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// How often the end of the unit is looked for where there is no window.
const LOOK_UP: Duration = Duration::from_millis(100);

/// How often a key that is missing is looked for.
const LOOK_FOR_KEY: Duration = Duration::from_secs(1);

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(&self.config)?;
        // Before anything that takes time: somebody may have to type.
        let key = unlock::key_of_unit(&config, self.passphrase_file.as_deref())?;
        let clock = RealClock::shared();
        let models = Models::load(config.models.as_deref())?;
        std::fs::create_dir_all(&config.data).map_err(|error| {
            Fault::io("cannot make the data folder", &config.data, error)
                .remedy("Name a folder that the unit's user can write as `data` in the configuration")
        })?;
        let asked_to_end = when_asked_to_end()?;

        let (touch, touches) = channel();
        let (window, no_display) = match config.screen.enabled {
            false => (None, None),
            true => match Screen::open(&config.screen, clock.clone(), touch) {
                Ok(window) => (Some(window), None),
                Err(fault) => (None, Some(fault)),
            },
        };
        let (chart, mut no_driver_window) = match config.driver.as_ref().map(Chart::load).transpose() {
            Ok(chart) => (chart.map(Arc::new), None),
            Err(fault) => (None, Some(fault)),
        };
        if let (Some((screen, _)), Some(settings), Some(chart)) = (&window, &config.driver, &chart) {
            no_driver_window = screen.beside(settings, Arc::clone(chart)).err();
        }
        let (screen, handle) = window.unzip();
        let shown = handle.clone();
        let start =
            Start { config, key, clock: clock.clone(), models, chart, touches, shown, no_display, no_driver_window };
        let Some((screen, handle)) = screen.zip(handle) else {
            let Some(unit) = start.once_unlocked(&asked_to_end)? else { return Ok(()) };
            wait(&unit, &*clock, || asked_to_end.load(Ordering::Relaxed));
            return unit.stop().sound();
        };
        // The window has this thread; should its display go away, the unit outlives it.
        let (lost, display) = channel();
        let (ended, window_lives) = (asked_to_end.clone(), Arc::new(AtomicBool::new(true)));
        let lives = window_lives.clone();
        let keeping = std::thread::spawn(move || {
            let started = start.once_unlocked(&ended);
            if let Ok(Some(unit)) = &started {
                wait(unit, &*clock, || {
                    if let Ok(fault) = display.try_recv() {
                        handle.forget();
                        unit.without_display(fault);
                    }
                    ended.load(Ordering::Relaxed)
                });
            }
            handle.close();
            let result = started.and_then(|unit| unit.map_or(Ok(()), |unit| unit.stop().sound()));
            if !lives.load(Ordering::Relaxed) {
                // The first thread is held by the library of a display that is no more.
                std::process::exit(crate::cli::report("outrider", result).into());
            }
            result
        });
        let lost = Mutex::new(lost);
        let tell = Arc::new(move |fault| {
            // The receiver is gone only once the unit is.
            let _ = lost.lock().unwrap_or_else(PoisonError::into_inner).send(fault);
        });
        let told = tell.clone();
        screen.outlive(move |fault| {
            window_lives.store(false, Ordering::Relaxed);
            told(fault);
        });
        match screen.run() {
            // The crew has closed the window, or the unit was asked to end.
            Ok(()) => asked_to_end.store(true, Ordering::Relaxed),
            Err(fault) => tell(fault),
        }
        keeping.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What the unit is started with, once its key is there.
struct Start {
    config: Config,
    key: Key,
    clock: Shared,
    models: Arc<Models>,
    chart: Option<Arc<Chart>>,
    touches: Receiver<Touch>,
    shown: Option<Handle>,
    no_display: Option<Fault>,
    no_driver_window: Option<Fault>,
}

impl Start {
    /// Starts the unit as soon as its key unlocks it; until then the screen says what is missing. `None`: it was asked to end
    /// before.
    fn once_unlocked(self, ended: &AtomicBool) -> Result<Option<Unit>> {
        let mut said = String::new();
        while let Some(fault) = journal::wanting(&self.config.data, &self.key)? {
            let why = fault.to_string();
            if why != said {
                tracing::error!("locked: no plate is read and nobody is alerted: {why}");
                if let Some(shown) = &self.shown {
                    shown.update(View { now: self.clock.now(), locked: why.clone(), ..View::default() });
                }
                said = why;
            }
            let until = self.clock.now().plus(LOOK_FOR_KEY);
            while self.clock.now() < until {
                if ended.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                self.clock.sleep(LOOK_UP);
            }
        }
        if !said.is_empty() {
            tracing::info!("unlocked");
        }
        self.unit().map(Some)
    }

    fn unit(self) -> Result<Unit> {
        let Self { config, key, clock, models, chart, touches, shown, no_display, no_driver_window } = self;
        let journal = Arc::new(Journal::open_with(&config.data, &key, clock.clone())?);
        let seals = journal.archive().lists_seal()?;
        // A car goes out with a damaged hotlist all the same: the office sends its lists again.
        let (hotlist, damage) = Hotlist::open_or_replace(&config.data.join(hotlist::FILE), &seals, clock.clone())?;
        if let Some(fault) = damage {
            tracing::error!("{fault}");
        }
        let when = When { utc: clock.utc(), trusted: false };
        let digest = format!("configuration with SHA-256 {:x}", sha2::Sha256::digest(format!("{config:?}")));
        journal.record(Record::Deed(Box::new(Deed::of_the_unit(Act::Set, "the start", digest, when))))?;
        let unit = Unit::start(Parts {
            config,
            pace: Pace::Realtime,
            models,
            clock,
            hotlist: Some(Arc::new(hotlist)),
            journal: Some(journal),
            screen: shown,
            chart,
            touches: Some(touches),
            sounder: None,
            observer: Box::new(|_| {}),
        })?;
        if let Some(fault) = no_display {
            unit.without_display(fault);
        }
        if let Some(fault) = no_driver_window {
            unit.without_driver_window(fault);
        }
        Ok(unit)
    }
}

/// Waits for the end, which is also when the unit breaks.
fn wait(unit: &Unit, clock: &dyn Clock, ended: impl Fn() -> bool) {
    while !ended() && !unit.is_broken() {
        clock.sleep(LOOK_UP);
    }
}

/// A flag that is set when the process is asked to end: by Ctrl-C, or as a service manager does it. Whoever asks from now on
/// is heard.
fn when_asked_to_end() -> Result<Arc<AtomicBool>> {
    let cannot = |error| Fault::new(Kind::Internal, "cannot listen for signals").because(error);
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate()).map_err(cannot)?, signal(SignalKind::interrupt()).map_err(cannot)?)
    };
    let set = flag.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}
