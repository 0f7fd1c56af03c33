//! `outrider evaluate`: how well labelled pictures are read.

mod score;
mod sheet;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use self::score::{Count, Given, Label, Score, interval};
use self::sheet::Sheet;
use crate::capture::{self, Picture};
use crate::clock::RealClock;
use crate::fault::{Fault, Kind, Result};
use crate::plate;
use crate::recognise::{Models, Stills};

/// Read labelled pictures and say how well.
///
/// Example: outrider evaluate labels.jsonl --split val --sheet misses.png
///
/// A labels file has one picture a line: {"file", "plates": [{"x","y","w","h","text","country"}], "split"}, pixels, origin
/// top left; text and country may be null. Pictures lie beside the labels file or in its folder `images`. Printed: plates
/// found (overlap at least a half), texts read exactly and with 0 = O, 1 = I, false reads a picture, all in slices by country,
/// plate width, light and layout; and how often reads of a given confidence are right.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Evaluate {
    /// Print one JSON object and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// Only the pictures of this split, such as `val`
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Write a contact sheet of the plates that were missed or misread to this PNG file
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// A folder with other networks than the ones that are part of the program
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Labels files
    #[arg(required = true, value_name = "LABELS")]
    labels: Vec<PathBuf>,
}

impl Evaluate {
    pub(super) fn run(self) -> Result<()> {
        let mut pictures = Vec::new();
        for labels in &self.labels {
            pictures.extend(load(labels, self.split.as_deref())?);
        }
        if pictures.is_empty() {
            let of = self.split.as_ref().map(|split| format!(" of the split {split}")).unwrap_or_default();
            return Err(Fault::new(Kind::Usage, format!("the labels name no picture{of}")));
        }
        let clock = RealClock::shared();
        let mut stills = Stills::new(Models::load(self.models.as_deref())?)?;
        let (mut score, mut sheet, mut times) = (Score::default(), Sheet::default(), Vec::new());
        let bar = ProgressBar::new(pictures.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, {eta} left") {
            bar.set_style(style);
        }
        for (path, labels) in &pictures {
            let picture = capture::still(path)?;
            let start = clock.now();
            let plates = stills.read(&picture)?;
            times.push(clock.now().since(start).as_secs_f32() * 1e3);
            let given: Vec<Given> = plates
                .into_iter()
                .map(|plate| Given { text: plate.text, confidence: plate.confidence, bounds: plate.bounds })
                .collect();
            let light = light(&picture);
            let fates = score.picture(labels, &given, |label| slices(label, light));
            for (label, fate) in labels.iter().zip(&fates) {
                if self.sheet.is_some() && (!fate.found || !fate.wanted.is_empty() && !fate.read_folded) {
                    sheet.miss(&picture, label, fate);
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if let Some(path) = &self.sheet {
            sheet.write(path)?;
        }
        times.sort_by(f32::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        if self.json {
            println!("{}", machine(&score, median))
        } else {
            people(&score, median)
        }
        Ok(())
    }
}

/// The pictures that a labels file names, with their labels.
fn load(labels: &Path, split: Option<&str>) -> Result<Vec<(PathBuf, Vec<Label>)>> {
    let place = labels.display().to_string();
    let text = std::fs::read_to_string(labels)
        .map_err(|error| Fault::new(Kind::Missing, "the labels cannot be read").at(&place).because(error))?;
    let folder = labels.parent().unwrap_or(Path::new(""));
    let mut pictures = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let picture: score::Picture = serde_json::from_str(line).map_err(|error| {
            let place = format!("{place}, line {}", number + 1);
            Fault::new(Kind::Damaged, "this is no label: a line is one JSON object with file and plates")
                .at(place)
                .because(error)
        })?;
        if split.is_some_and(|split| picture.split.as_deref() != Some(split)) {
            continue;
        }
        let beside = folder.join(&picture.file);
        let path = if beside.exists() { beside } else { folder.join("images").join(&picture.file) };
        pictures.push((path, picture.plates));
    }
    Ok(pictures)
}

/// Names of the slices that a plate belongs to.
fn slices(label: &Label, light: &'static str) -> Vec<(&'static str, String)> {
    let width = match label.w {
        ..45.0 => "under 45 px",
        ..70.0 => "45 to 70 px",
        ..120.0 => "70 to 120 px",
        _ => "over 120 px",
    };
    let shape = if label.w < 2.2 * label.h { "square" } else { "long" };
    let mut slices = vec![
        ("country", label.country.clone().unwrap_or_else(|| "unknown".into())),
        ("width", width.into()),
        ("light", light.into()),
        ("shape", shape.into()),
    ];
    if label.country.as_deref() == Some("GB")
        && let Some(text) = &label.text
    {
        let layout = plate::layout(text).map_or_else(|| "none of the UK's".into(), |(layout, _)| format!("{layout:?}"));
        slices.push(("layout", layout));
    }
    slices
}

/// The light of a picture by its mean luma, sampled.
fn light(picture: &Picture) -> &'static str {
    let luma = picture.luma();
    let mut sum = 0u64;
    let mut count = 0u64;
    for y in (0..luma.height).step_by(8) {
        for value in luma.row(y).iter().step_by(8) {
            sum += u64::from(*value);
            count += 1;
        }
    }
    match sum / count.max(1) {
        0..50 => "night",
        50..85 => "dim",
        _ => "day",
    }
}

fn people(score: &Score, median: f32) {
    let line = |name: &str, count: &Count| {
        let share = |hits: u32, of: u32| {
            if of == 0 { "    -".to_owned() } else { format!("{:5.1}", 100.0 * f64::from(hits) / f64::from(of)) }
        };
        let (low, high) = interval(count.read, count.texts);
        println!(
            "{name:>26}  plates {:4}  found {} %   texts {:4}  read {} % [{:.0}-{:.0}]  0=O 1=I {} %",
            count.plates,
            share(count.found, count.plates),
            count.texts,
            share(count.read, count.texts),
            low * 100.0,
            high * 100.0,
            share(count.read_folded, count.texts),
        );
    };
    line("all", &score.all);
    println!(
        "{:>26}  pictures {}  false reads a picture {:.3}  median {median:.1} ms",
        "",
        score.pictures,
        f64::from(score.false_reads) / f64::from(score.pictures.max(1))
    );
    for kind in score.slices.keys().map(|(kind, _)| *kind).collect::<BTreeSet<_>>() {
        println!("by {kind}");
        let mut of_kind: Vec<_> = score.slices.iter().filter(|((k, _), _)| *k == kind).collect();
        of_kind.sort_by_key(|(_, count)| std::cmp::Reverse(count.plates));
        for ((_, name), count) in of_kind {
            line(name, count);
        }
    }
    println!("reads of labelled texts by confidence");
    for (reads, confidence, right) in score.sureness.curve() {
        println!("{:>26}  {reads:4} reads  right {:5.1} %", format!("{:.1} %", confidence * 100.0), right * 100.0);
    }
    if let Some(error) = score.sureness.error() {
        println!("{:>26}  {error:.3}", "calibration error");
    }
}

fn machine(score: &Score, median: f32) -> Value {
    let count = |count: &Count| {
        let share = |hits: u32, of: u32| (of > 0).then(|| f64::from(hits) / f64::from(of));
        let (low, high) = interval(count.read, count.texts);
        json!({
            "plates": count.plates, "texts": count.texts, "found": share(count.found, count.plates),
            "read": share(count.read, count.texts), "read_95": [low, high], "read_glyph": share(count.read_folded, count.texts),
        })
    };
    let mut slices = serde_json::Map::new();
    for ((kind, name), of) in &score.slices {
        let kind = slices.entry((*kind).to_owned()).or_insert_with(|| json!({}));
        kind[name] = count(of);
    }
    let curve: Vec<Value> = score
        .sureness
        .curve()
        .map(|(reads, confidence, right)| json!({"reads": reads, "confidence": confidence, "right": right}))
        .collect();
    json!({
        "pictures": score.pictures, "all": count(&score.all), "slices": slices,
        "false_per_image": f64::from(score.false_reads) / f64::from(score.pictures.max(1)),
        "ms_median": median, "reliability": curve, "calibration_error": score.sureness.error(),
    })
}
