//! `outrider run`: the unit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::capture::Pace;
use crate::clock::{Clock, RealClock};
use crate::config::Config;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::Hotlist;
use crate::journal::Journal;
use crate::recognise::Models;
use crate::screen::Screen;
use crate::unit::{Parts, Unit};

/// Run the unit.
///
/// Example: outrider run --config /etc/outrider/car.toml
///
/// Ends with Ctrl-C, as a service manager ends it, or when the window is closed. A camera, receiver, sound card, display
/// or network that is missing is a fault on the status strip and in the journal; the rest goes on, and the part comes
/// back by itself.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Run {
    /// The configuration, like those in vehicle-config/
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// How often the end of the unit is looked for where there is no window.
const LOOK_UP: Duration = Duration::from_millis(100);

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(&self.config)?;
        let clock = RealClock::shared();
        let models = Models::load(config.models.as_deref())?;
        std::fs::create_dir_all(&config.data).map_err(|error| {
            Fault::io("cannot make the data folder", &config.data, error)
                .remedy("Name a folder that the unit's user can write as `data` in the configuration")
        })?;
        let hotlist = Arc::new(Hotlist::open(&config.data.join("hotlist.redb"), clock.clone())?);
        let journal = Arc::new(Journal::open(&config.data, clock.clone())?);
        let asked_to_end = when_asked_to_end()?;

        let (touch, touches) = channel();
        let window = match config.screen.enabled {
            false => None,
            true => match Screen::open(&config.screen, clock.clone(), touch) {
                Ok(window) => Some(window),
                Err(fault) => {
                    eprintln!("outrider: no screen: {fault}");
                    None
                }
            },
        };
        let (screen, handle) = window.unzip();
        let unit = Unit::start(Parts {
            config,
            pace: Pace::Realtime,
            models,
            clock: clock.clone(),
            hotlist: Some(hotlist),
            journal: Some(journal),
            screen: handle.clone(),
            touches: Some(touches),
            sounder: None,
            observer: Box::new(|_| {}),
        })?;
        match (screen, handle) {
            (Some(screen), Some(handle)) => {
                let (ended, clock) = (asked_to_end.clone(), clock.clone());
                std::thread::spawn(move || {
                    wait(&ended, &*clock);
                    handle.close();
                });
                screen.run()?;
                asked_to_end.store(true, Ordering::Relaxed);
            }
            _ => wait(&asked_to_end, &*clock),
        }
        unit.stop();
        Ok(())
    }
}

fn wait(ended: &AtomicBool, clock: &dyn Clock) {
    while !ended.load(Ordering::Relaxed) {
        clock.sleep(LOOK_UP);
    }
}

/// A flag that is set when the process is asked to end: by Ctrl-C, or as a service manager does it.
fn when_asked_to_end() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::new(Kind::Internal, "cannot listen for signals").because(error))?;
    let set = flag.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            match signal(SignalKind::terminate()) {
                Ok(mut terminate) => {
                    tokio::select! {
                        _ = tokio::signal::ctrl_c() => {}
                        _ = terminate.recv() => {}
                    }
                }
                Err(_) => {
                    let _ = tokio::signal::ctrl_c().await;
                }
            }
        });
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}
