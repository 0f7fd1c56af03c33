//! `outrider read`: plates in still pictures.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::capture;
use crate::clock::RealClock;
use crate::fault::{Fault, Kind, Result};
use crate::plate;
use crate::recognise::{Models, StillPlate, Stills};

/// Read the plates in still pictures.
///
/// Example: outrider read --json photographs/*.jpg
///
/// With --json, one line a picture: file, plates (text, raw, confidence, characters, box, corners, country) and ms, the
/// time of finding and reading. A plate that is found but not trusted to be read has an empty text. A picture that cannot
/// be opened is reported, the others are read, and the exit code is 1.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Read {
    /// Print JSON lines and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// A folder with other networks than the ones that are part of the program
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Pictures: JPEG, PNG and what else GStreamer decodes
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Read {
    pub(super) fn run(self) -> Result<()> {
        let clock = RealClock::shared();
        let mut stills = Stills::new(Models::load(self.models.as_deref())?)?;
        let mut out = std::io::stdout().lock();
        let mut unread = 0;
        for file in &self.files {
            let picture = match capture::still(file) {
                Ok(picture) => picture,
                Err(fault) => {
                    eprintln!("outrider: {fault}");
                    unread += 1;
                    continue;
                }
            };
            let start = clock.now();
            let plates = stills.read(&picture)?;
            let ms = clock.now().since(start).as_secs_f64() * 1e3;
            let printed = if self.json {
                writeln!(out, "{}", line(file, &plates, ms))
            } else {
                people(&mut out, file, &plates, ms)
            };
            match printed {
                // Nobody listens any more.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                printed => crate::cli::printed(printed)?,
            }
        }
        match unread {
            0 => Ok(()),
            n => Err(Fault::new(Kind::Missing, format!("{n} of {} pictures could not be opened", self.files.len()))),
        }
    }
}

fn line(file: &Path, plates: &[StillPlate], ms: f64) -> Value {
    let plates: Vec<Value> = plates
        .iter()
        .map(|plate| {
            let characters: Vec<Value> = plate
                .characters
                .iter()
                .map(|character| {
                    let (char, p) = character.best();
                    json!({"char": char, "p": round(p, 4)})
                })
                .collect();
            json!({
                "text": plate.text,
                "raw": plate.raw,
                "confidence": round(plate.confidence, 4),
                "characters": characters,
                "box": plate.bounds.map(|v| round(v, 1)),
                "corners": plate.corners.map(|corner| corner.map(|v| round(v, 1))),
                "country": plate.country,
            })
        })
        .collect();
    json!({"file": file.display().to_string(), "plates": plates, "ms": round(ms as f32, 2)})
}

fn people(out: &mut impl Write, file: &Path, plates: &[StillPlate], ms: f64) -> std::io::Result<()> {
    writeln!(out, "{}  ({ms:.0} ms)", file.display())?;
    for plate in plates {
        let [x, y, w, h] = plate.bounds;
        let text = if plate.text.is_empty() { "not readable".to_owned() } else { plate::spaced(&plate.text) };
        writeln!(out, "  {text:<14} {:>4.0} %  at {x:.0},{y:.0} size {w:.0} x {h:.0}", plate.confidence * 100.0)?;
    }
    if plates.is_empty() {
        writeln!(out, "  no plate")?;
    }
    Ok(())
}

/// A number with so many decimals, as JSON prints it.
pub(super) fn round(value: f32, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (f64::from(value) * scale).round() / scale
}
