//! The journal for people and other programs: JSON lines, and a folder with pictures.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use redb::ReadableTable;
use serde_json::{Map, Value, json};

use super::archive::{Archive, EVENTS, HITS, PICTURES, READS, Trouble};
use super::record::{StoredEvent, StoredHit, StoredPlace, StoredRead, What, Which, utc};
use super::sizes::Sizes;
use super::vault::Row;
use crate::fault::{Fault, Kind, Result};

const WHAT: &str = "cannot export the journal";

impl Archive {
    /// Writes the journal as JSON lines: `"kind":"read"` for each vehicle pass (its newest version, `versions` with the
    /// earlier ones, its `hits`, and `reckoned`: its time as far as is known by now), then verdicts, faults and notes. Gives the number of lines.
    ///
    /// # Errors
    /// The output or the disk fails, or the journal is damaged.
    pub fn export_jsonl(&self, output: impl Write) -> Result<u64> {
        let mut output = output;
        self.lines(|line| writeln!(output, "{line}"), |_| Ok(()))
    }

    /// Writes the reads as CSV, a row a vehicle pass, with a header row. Gives the number of rows.
    ///
    /// # Errors
    /// As [`Self::export_jsonl`].
    pub fn export_csv(&self, output: impl Write) -> Result<u64> {
        let cannot = |error| Fault::io(WHAT, Path::new("output"), error);
        let mut output = csv_writer(output).map_err(cannot)?;
        let mut rows = 0;
        let write = |line: &Value| {
            if line["kind"] == "read" {
                rows += 1;
                output.write_record(csv_row(line))?;
            }
            Ok(())
        };
        self.lines(write, |_| Ok(()))?;
        output.flush().map_err(cannot)?;
        Ok(rows)
    }

    /// Writes `reads.jsonl` and each read's newest pictures, named by the read's id and as large as `sizes` says, into the folder `folder`, which is
    /// made. Gives the number of lines.
    ///
    /// # Errors
    /// The folder holds an export already; else as [`Self::export_jsonl`].
    pub fn export_folder(&self, folder: &Path, sizes: Sizes) -> Result<u64> {
        std::fs::create_dir_all(folder).map_err(|error| Fault::io("cannot make the folder", folder, error))?;
        let path = folder.join("reads.jsonl");
        let file = File::create_new(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Fault::new(Kind::Usage, "there is an export already").at(path.display()).remedy("Name another folder")
            }
            _ => Fault::io("cannot write the export", &path, error),
        })?;
        let mut output = BufWriter::new(file);
        let lines = self.lines(
            |line| writeln!(output, "{line}"),
            |(name, which, jpeg)| {
                let path = folder.join(name);
                std::fs::write(&path, sizes.of(which, jpeg)?)
                    .map_err(|error| Fault::io("cannot write a picture", &path, error))
            },
        )?;
        output.flush().map_err(|error| Fault::io("cannot write the export", &path, error))?;
        Ok(lines)
    }

    /// Hands over each line, and before it its pictures.
    pub(super) fn lines(
        &self,
        mut output: impl FnMut(&Value) -> std::io::Result<()>,
        mut picture: impl FnMut((&str, Which, &[u8])) -> Result<()>,
    ) -> Result<u64> {
        self.read(WHAT, |transaction| {
            let mut lines = 0;
            let mut write = |line: &Value| {
                lines += 1;
                output(line).map_err(|error| Trouble::Other(Fault::io(WHAT, Path::new("output"), error)))
            };
            let mut hits: HashMap<(u64, u64), Vec<Value>> = HashMap::new();
            for row in transaction.open_table(HITS)?.iter()? {
                let (sequence, value) = row?;
                let Some(hit) = self.decoded::<StoredHit>(Row::Hit(sequence.value()), value.value())? else { continue };
                let pass = hit.read.as_ref().map_or((0, 0), |read| (read.run, read.pass));
                hits.entry(pass).or_default().push(hit_line(&hit));
            }
            let pictures = transaction.open_table(PICTURES)?;
            let reckoning = self.reckoning(transaction)?;
            let mut finish = |mut versions: Vec<StoredRead>| -> Result<(), Trouble> {
                let Some(newest) = versions.pop() else { return Ok(()) };
                let mut line = read_line(&newest);
                line.insert("reckoned".into(), reckoning.of(&newest).map_or(Value::Null, |found| found.value()));
                line.insert("versions".into(), versions.iter().map(|read| Value::Object(read_line(read))).collect());
                let pass = (newest.run, newest.pass);
                line.insert("hits".into(), hits.remove(&pass).unwrap_or_default().into());
                let mut names = Map::new();
                for which in Which::ALL {
                    for version in (0..=newest.version).rev() {
                        let row = Row::Picture(pass.0, pass.1, version, which as u8);
                        if let Some(sealed) = pictures.get((pass.0, pass.1, version, which as u8))? {
                            let Some(jpeg) = self.opened(row, sealed.value())? else { break };
                            let name = format!("{}-{}.jpg", newest.id(), which.word());
                            picture((&name, which, &jpeg)).map_err(Trouble::Other)?;
                            names.insert(which.word().into(), name.into());
                            break;
                        }
                    }
                }
                line.insert("pictures".into(), names.into());
                write(&line.into())
            };
            let mut versions: Vec<StoredRead> = Vec::new();
            for row in transaction.open_table(READS)?.iter()? {
                let (key, value) = row?;
                let (run, pass, version) = key.value();
                let Some(read) = self.decoded::<StoredRead>(Row::Read(run, pass, version), value.value())? else {
                    continue;
                };
                if versions.last().is_some_and(|last| (last.run, last.pass) != (run, pass)) {
                    finish(std::mem::take(&mut versions))?;
                }
                versions.push(read);
            }
            finish(versions)?;
            for row in transaction.open_table(EVENTS)?.iter()? {
                let (sequence, value) = row?;
                let row = Row::Event(sequence.value());
                let Some(event) = self.decoded::<StoredEvent>(row, value.value())? else { continue };
                write(&event_line(&event))?;
            }
            Ok(lines)
        })
    }
}

pub(super) fn time(us: i64) -> String {
    utc(us).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The columns of the CSV.
const COLUMNS: [&str; 19] = [
    "id",
    "utc",
    "utc_trusted",
    "camera",
    "text",
    "raw",
    "confidence",
    "looks",
    "agreeing",
    "lat",
    "lon",
    "position_age_s",
    "position_stale",
    "versions",
    "hits",
    "reasons",
    "reckoned_utc",
    "reckoned_uncertainty_s",
    "reckoned_by",
];

/// A writer of CSV that has written the names of the columns.
pub(super) fn csv_writer<W: Write>(output: W) -> std::io::Result<csv::Writer<W>> {
    let mut writer = csv::Writer::from_writer(output);
    writer.write_record(COLUMNS)?;
    Ok(writer)
}

/// A read's line as a row.
pub(super) fn csv_row(line: &Value) -> [String; 19] {
    let list = |name: &str| {
        line["hits"].as_array().into_iter().flatten().map(|hit| words(&hit[name])).collect::<Vec<_>>().join("; ")
    };
    let (place, versions) = (&line["place"], line["versions"].as_array().map_or(0, Vec::len) + 1);
    [
        words(&line["id"]),
        words(&line["utc"]),
        words(&line["utc_trusted"]),
        words(&line["camera"]),
        words(&line["text"]),
        words(&line["raw"]),
        words(&line["confidence"]),
        words(&line["looks"]),
        words(&line["agreeing"]),
        words(&place["lat"]),
        words(&place["lon"]),
        words(&place["age_s"]),
        words(&place["stale"]),
        versions.to_string(),
        list("list"),
        list("reason"),
        words(&line["reckoned"]["utc"]),
        words(&line["reckoned"]["uncertainty_s"]),
        words(&line["reckoned"]["basis"]),
    ]
}

/// A value as a cell. Text that a spreadsheet would take for a formula is kept from it.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// `number` with as many digits as mean something.
fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

fn read_line(read: &StoredRead) -> Map<String, Value> {
    let characters: Vec<Value> = read
        .characters
        .iter()
        .filter_map(|character| {
            let best = character.characters.chars().next()?;
            let p = f64::from(*character.p.first()?) / 65535.0;
            Some(json!({ "char": best.to_string(), "p": rounded(p, 4) }))
        })
        .collect();
    let corners: Vec<Value> =
        read.corners.chunks(2).map(|corner| corner.iter().map(|v| rounded(f64::from(*v), 1)).collect()).collect();
    let mut line = Map::new();
    for (name, value) in [
        ("kind", json!("read")),
        ("id", json!(read.id().to_string())),
        ("utc", json!(time(read.utc_us))),
        ("utc_trusted", json!(read.utc_trusted)),
        ("camera", json!(read.camera)),
        ("text", json!(read.text)),
        ("raw", json!(read.raw)),
        ("confidence", json!(rounded(read.confidence.into(), 4))),
        ("characters", characters.into()),
        ("looks", json!(read.looks)),
        ("agreeing", json!(read.agreeing)),
        ("first_seen", json!(read.first_seen_us as f64 / 1e6)),
        ("last_seen", json!(read.last_seen_us as f64 / 1e6)),
        ("corners", corners.into()),
        ("place", read.place.as_ref().map_or(Value::Null, place)),
        ("drill", json!(read.drill)),
    ] {
        line.insert(name.into(), value);
    }
    line
}

fn place(place: &StoredPlace) -> Value {
    json!({
        "lat": rounded(place.lat, 7),
        "lon": rounded(place.lon, 7),
        "speed_mps": place.speed_mps.map(|v| rounded(v.into(), 2)),
        "course": place.course.map(|v| rounded(v.into(), 1)),
        "age_s": f64::from(place.age_ms) / 1000.0,
        "stale": place.stale,
    })
}

fn hit_line(hit: &StoredHit) -> Value {
    json!({
        "list": hit.list,
        "revision": hit.revision,
        "list_age_s": hit.list_age_s,
        "vrm": hit.vrm,
        "read_as": hit.read.as_ref().map_or("", |read| &read.text),
        "how": hit.how,
        "grade": hit.grade,
        "probability": rounded(hit.probability.into(), 4),
        "against": hit.against,
        "reason": hit.reason,
        "priority": hit.priority,
        "action": hit.action,
        "make": hit.make,
        "model": hit.model,
        "colour": hit.colour,
        "markers": hit.markers,
        "source": hit.source,
        "note": hit.note,
    })
}

fn event_line(event: &StoredEvent) -> Value {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| _ = line.insert(name.into(), value);
    match &event.what {
        Some(What::Verdict(verdict)) => {
            put("kind", json!("verdict"));
            put("id", json!(format!("{}-{}", verdict.run, verdict.pass)));
            put("list", json!(verdict.list));
            put("verdict", json!(verdict.verdict));
            put("reason", json!(verdict.reason));
            put("by", json!(verdict.by));
        }
        Some(What::Fault(fault)) => {
            put("kind", json!(if fault.text.is_empty() { "back" } else { "fault" }));
            put("part", json!(fault.part));
            put("text", json!(fault.text));
        }
        Some(What::Timing(timing)) => {
            let ms = |us: u64| rounded(us as f64 / 1000.0, 1);
            put("kind", json!("timing"));
            put("id", json!(format!("{}-{}", timing.run, timing.pass)));
            put("to_desk_ms", json!(ms(timing.to_desk_us)));
            put("to_sound_ms", json!(timing.to_sound_us.map(ms)));
            put("to_screen_ms", json!(timing.to_screen_us.map(ms)));
        }
        Some(What::Clock(clock)) => {
            put("kind", json!("clock"));
            put("at", json!(clock.at_us as f64 / 1e6));
            put("system", json!(time(clock.system_us)));
            put(
                "satellites",
                clock.told.as_ref().map_or(Value::Null, |told| {
                    json!({
                        "utc": time(told.utc_us),
                        "uncertainty_s": told.uncertainty_us as f64 / 1e6,
                        "weeks_added": told.weeks_added,
                        "jumps": told.jumps,
                    })
                }),
            );
        }
        Some(What::Note(text)) => {
            put("kind", json!("note"));
            put("text", json!(text));
        }
        None => put("kind", json!("unknown")),
    }
    put("run", json!(event.run));
    put("utc", json!(time(event.utc_us)));
    put("utc_trusted", json!(event.utc_trusted));
    line.into()
}
