//! `outrider replay`: video files through the whole unit, without a window.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use super::read::round;
use crate::capture::Pace;
use crate::clock::RealClock;
use crate::config::{Camera, Config, Receiver, ReceiverSource, Screen, Sound, Source};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{self, Hit, Hotlist, ImportOptions};
use crate::recognise::Models;
use crate::seal::SealKey;
use crate::unit::{Parts, Told, Unit};

/// Play video files through the whole unit.
///
/// Example: outrider replay --json --nmea drive.nmea --hotlist list.csv drive.mp4
///
/// With --json, one line a read as it is put out: id, t, text, confidence, first_seen, last_seen, looks, camera, lat, lon,
/// hits; times in seconds of the source. A later line of the same id corrects the earlier one, an empty text withdraws
/// it. Without --realtime as fast as it goes, losing no frame. Nothing is kept and no sound is made.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Replay {
    /// Print JSON lines and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// The receiver's log, paced by the video
    #[arg(long, value_name = "FILE")]
    nmea: Option<PathBuf>,
    /// A hotlist, CSV
    #[arg(long, value_name = "FILE")]
    hotlist: Option<PathBuf>,
    /// At the speed of the video; frames that come too fast are dropped
    #[arg(long)]
    realtime: bool,
    /// A folder with other networks than the ones that are part of the program
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Videos, a camera each
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
}

impl Replay {
    pub(super) fn run(self) -> Result<()> {
        let clock = RealClock::shared();
        let scratch = tempfolder()?;
        let hotlist = match &self.hotlist {
            None => None,
            Some(path) => {
                // Nobody opens it again: its key is nowhere but here.
                let store = scratch.path().join(hotlist::FILE);
                let store = Hotlist::open_sealed(&store, &SealKey::passing()?, clock.clone())?;
                let file = std::fs::File::open(path).map_err(|error| {
                    Fault::io("cannot read the hotlist", path, error).remedy("Name a CSV file with --hotlist")
                })?;
                let report = store.import("replay", file, path, &ImportOptions::default())?;
                for remark in &report.refused {
                    eprintln!("outrider: {}: line {}: {}", path.display(), remark.line, remark.reason);
                }
                Some(Arc::new(store))
            }
        };
        let many = self.sources.len() > 1;
        let cameras = self
            .sources
            .iter()
            .enumerate()
            .map(|(index, path)| Camera {
                name: if many { format!("camera {}", index + 1) } else { "front".to_owned() },
                source: Source::File(path.clone()),
                silence_s: 10.0,
                repeat: false,
            })
            .collect();
        let config = Config {
            unit: "replay".into(),
            data: scratch.path().to_owned(),
            cameras,
            receiver: self.nmea.clone().map(|path| Receiver {
                source: ReceiverSource::File(path),
                baud: 9600,
                stale_s: 2.0,
                absent_s: 30.0,
            }),
            sound: Sound { enabled: false, ..Sound::default() },
            screen: Screen { enabled: false, ..Screen::default() },
            driver: None,
            journal: Default::default(),
            crew: Default::default(),
            office: None,
            models: self.models.clone(),
        };
        let (lines, printer) = channel::<(String, String)>();
        let unit = Unit::start(Parts {
            models: Models::load(config.models.as_deref())?,
            config,
            pace: if self.realtime { Pace::Realtime } else { Pace::AsFast },
            clock,
            hotlist,
            journal: None,
            screen: None,
            chart: None,
            touches: None,
            sounder: None,
            observer: Box::new(move |told| {
                // The printer is gone only if standard output is.
                let _ = lines.send((line(told).to_string(), words(told)));
            }),
        })?;
        let json = self.json;
        let printing = std::thread::spawn(move || -> std::io::Result<()> {
            let mut out = std::io::stdout().lock();
            for (line, words) in printer {
                writeln!(out, "{}", if json { line } else { words })?;
                out.flush()?;
            }
            Ok(())
        });
        let outcome = unit.wait();
        if let Ok(printed) = printing.join() {
            crate::cli::printed(printed)?;
        }
        outcome.sound()?;
        if self.realtime {
            for (index, (delivered, dropped)) in outcome.frames.iter().enumerate() {
                eprintln!("outrider: {}: {delivered} frames, {dropped} dropped", self.sources[index].display());
            }
        }
        match outcome.faults.first() {
            None => Ok(()),
            Some(fault) => Err(Fault::new(Kind::Damaged, fault.clone())),
        }
    }
}

/// A folder that is deleted when the command ends.
pub(super) fn tempfolder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("outrider-").tempdir().map_err(|error| {
        Fault::io("cannot make a folder for what is not to be kept", &std::env::temp_dir(), error)
            .remedy("Set TMPDIR to a folder that can be written")
    })
}

/// A read as the contract has it.
fn line(told: &Told) -> Value {
    let read = &told.read.read;
    let place = told.read.place.as_ref();
    let hits: Vec<Value> = told.hits.iter().map(hit).collect();
    json!({
        "id": read.id.to_string(),
        "t": round(told.t.as_secs_f32(), 3),
        "text": read.text,
        "raw": read.raw,
        "confidence": round(read.confidence, 4),
        "first_seen": round(read.first_seen.as_secs_f32(), 3),
        "last_seen": round(read.last_seen.as_secs_f32(), 3),
        "looks": read.looks,
        "camera": &*read.camera,
        "lat": place.map(|place| place.lat),
        "lon": place.map(|place| place.lon),
        "position_stale": place.map(|place| place.stale),
        "utc": told.read.when.utc.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "hits": hits,
    })
}

fn hit(hit: &Hit) -> Value {
    json!({
        "list": hit.list.id,
        "vrm": hit.entry.vrm.to_string(),
        "reason": hit.entry.reason,
        "priority": hit.entry.priority.to_string(),
        "action": hit.entry.action,
        "how": hit.how.to_string(),
        "probability": round(hit.probability, 4),
        "against": hit.against.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A read for people.
pub(super) fn words(told: &Told) -> String {
    let read = &told.read.read;
    let text = if read.text.is_empty() { "(withdrawn)".to_owned() } else { crate::plate::spaced(&read.text) };
    let place = match &told.read.place {
        None => "no position".to_owned(),
        Some(place) => format!("{:.5} {:.5}{}", place.lat, place.lon, if place.stale { " (stale)" } else { "" }),
    };
    let mut line = format!(
        "{:7.2} s  {text:<10} {:>3.0} %  {:>2} looks  {:<8} {place}",
        told.t.as_secs_f32(),
        read.confidence * 100.0,
        read.looks,
        read.camera
    );
    for hit in told.hits {
        line.push_str(&format!("  HIT {} ({}, {})", hit.entry.reason, hit.list.id, hit.how));
    }
    line
}
