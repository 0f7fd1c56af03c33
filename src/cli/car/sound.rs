//! `outrider sound`: what the crew hears of an alert, as a file.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::read::round;
use crate::alert::{Grade, RATE, Rehearsal, record, wav};
use crate::config::{self, Config};
use crate::fault::{Fault, Kind, Result};
use crate::plate::Vrm;

/// Record what the crew hears of an alert: tone and words, once for each grade.
///
/// Example: outrider sound --config /etc/outrider/car.toml --reason "sheep rustling" --wav alert.wav
///
/// For whoever records a voice of its own, chooses tones, or wants to know them before the shift. It is what the sound
/// device would be given; no device is needed. Certain, probable, possible, a second apart. Ends with 1 if a clip of the
/// voice cannot be used.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Sound {
    /// Where it is recorded, a WAV file
    #[arg(long, value_name = "FILE")]
    wav: PathBuf,
    /// The configuration that names voice and volume; left out: the program's own voice at full volume
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Why the vehicle is wanted
    #[arg(long, default_value = "stolen")]
    reason: String,
    /// What the list says of the vehicle; "" for nothing
    #[arg(long, default_value = "silver")]
    colour: String,
    /// The same
    #[arg(long, default_value = "Ford")]
    make: String,
    /// The camera's name
    #[arg(long, default_value = "front left")]
    camera: String,
    /// The VRM
    #[arg(long, default_value = "AB12CDE")]
    vrm: String,
    /// Print JSON lines on standard output and nothing else
    #[arg(long)]
    json: bool,
}

/// Silence between two grades.
const APART: usize = RATE as usize;

impl Sound {
    pub(super) fn run(self) -> Result<()> {
        let settings = match &self.config {
            Some(path) => Config::load(path)?.sound,
            None => config::Sound { volume: 1.0, ..config::Sound::default() },
        };
        let vrm = Vrm::parse(&self.vrm).map_err(|why| {
            Fault::new(Kind::Usage, format!("{:?} is no VRM", self.vrm)).because(why).remedy("Write it as on the plate")
        })?;
        let rehearsal = Rehearsal {
            reason: self.reason,
            make: self.make,
            colour: self.colour,
            camera: self.camera,
            vrm: vrm.to_string(),
        };
        let (mut tape, mut faults) = (Vec::new(), Vec::new());
        for grade in Grade::ALL {
            let alert = rehearsal.alert(grade);
            let (samples, wrong) = record(&settings, &[(Duration::ZERO, alert.clone())]);
            faults = wrong;
            if !tape.is_empty() {
                tape.resize(tape.len() + APART, 0.0);
            }
            let seconds = |samples: usize| samples as f32 / RATE as f32;
            let (start, length) = (seconds(tape.len()), seconds(samples.len()));
            match self.json {
                true => println!(
                    "{}",
                    json!({
                        "grade": grade.word(), "start_s": round(start, 3), "seconds": round(length, 3),
                        "spoken": alert.spoken,
                    })
                ),
                false => println!("{start:5.1} s  {:8}  {length:.1} s  {}", grade.word(), alert.spoken),
            }
            tape.extend(samples);
        }
        std::fs::write(&self.wav, wav(&tape))
            .map_err(|error| Fault::io("cannot write the sound", &self.wav, error).remedy("Name another file"))?;
        // Each recording finds the same.
        faults.into_iter().next().map_or(Ok(()), Err)
    }
}
