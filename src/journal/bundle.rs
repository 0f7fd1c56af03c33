//! An evidence bundle: records, pictures and a readable report in one folder, with a signed list of what belongs to it.
//!
//! ```text
//! manifest.json   who, why, when; each file's size and SHA-256; the key that the unit signs with
//! manifest.sig    the unit's Ed25519 signature of manifest.json
//! reads.jsonl     as the export writes it          reads.csv   the same, a row a read
//! report.html     for people, with its pictures    *.jpg       the pictures
//! ```
//! [`verify_bundle`] needs nothing but the folder. Whose key it is, the unit says: `outrider journal verify` prints it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::archive::Archive;
use super::chain::Deed;
use super::export::{csv_row, csv_writer};
use super::sizes::Sizes;
use crate::fault::{Fault, Kind, Result};

const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.sig";
/// What a signature is for, so that one of something else is none of a bundle.
const PURPOSE: &[u8] = b"outrider evidence bundle\n";
/// A manifest that is longer is none of ours: room for a million files.
const LONGEST: u64 = 256 << 20;

/// A bundle that is as the unit made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How many files belong to it.
    pub files: u64,
    /// The key that signed it, hexadecimal.
    pub signer: String,
    /// Who made it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// For which case; may be empty.
    pub case: String,
    /// When.
    pub made: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    made: String,
    made_trusted: bool,
    who: String,
    reason: String,
    case: String,
    software: String,
    journal: String,
    signer: String,
    files: BTreeMap<String, Listed>,
}

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Listed {
    bytes: u64,
    sha256: String,
}

impl Archive {
    /// Writes a signed bundle into `folder`, which is made, with pictures as large as `sizes` says; `deed`, by whom and why, is in the audit chain before anything is
    /// written. Gives the number of records.
    ///
    /// # Errors
    /// The folder is there already, or cannot be written; the journal is damaged.
    pub fn export_bundle(&self, folder: &Path, deed: &Deed, sizes: Sizes) -> Result<u64> {
        std::fs::create_dir(folder).map_err(|error| {
            let fault = Fault::io("cannot make the folder of the bundle", folder, error);
            if folder.exists() { fault.remedy("Name a folder that is not there yet") } else { fault }
        })?;
        self.note(deed.clone())?;
        let cannot = |name: &str, error| Fault::io("cannot write the bundle", &folder.join(name), error);
        let create = |name: &str| File::create_new(folder.join(name)).map(BufWriter::new).map_err(|e| cannot(name, e));
        let mut jsonl = create("reads.jsonl")?;
        let mut csv = csv_writer(create("reads.csv")?).map_err(|error| cannot("reads.csv", error))?;
        let mut report = create("report.html")?;
        let head = format!(
            "<!doctype html><meta charset=\"utf-8\"><title>Reads</title><style>td{{vertical-align:top;padding:0 1em 1em 0}}\
             img{{display:block;max-width:20em}}</style><h1>Reads of a number plate reader</h1><p>Exported {} by {}: {}.\
             </p><p>A read is what the camera saw; it is a lead, not proof.</p><table>",
            super::export::time(deed.when.utc.timestamp_micros()),
            escaped(&deed.who),
            escaped(&deed.reason),
        );
        report.write_all(head.as_bytes()).map_err(|error| cannot("report.html", error))?;
        let lines = self.lines(
            |line| {
                writeln!(jsonl, "{line}")?;
                if line["kind"] == "read" {
                    csv.write_record(csv_row(line))?;
                    report.write_all(row(line).as_bytes())?;
                }
                Ok(())
            },
            |(name, which, jpeg)| {
                std::fs::write(folder.join(name), sizes.of(which, jpeg)?).map_err(|error| cannot(name, error))
            },
        )?;
        report.write_all(b"</table>\n").map_err(|error| cannot("report.html", error))?;
        let csv = csv.into_inner().map_err(|error| cannot("reads.csv", error.into_error()))?;
        for (name, file) in [("reads.jsonl", jsonl), ("reads.csv", csv), ("report.html", report)] {
            let file = file.into_inner().map_err(|error| cannot(name, error.into_error()))?;
            file.sync_all().map_err(|error| cannot(name, error))?;
        }
        let manifest = Manifest {
            made: super::export::time(deed.when.utc.timestamp_micros()),
            made_trusted: deed.when.trusted,
            who: deed.who.clone(),
            reason: deed.reason.clone(),
            case: deed.case.clone().unwrap_or_default(),
            software: concat!("outrider ", env!("CARGO_PKG_VERSION")).into(),
            journal: format!("{:016x}", self.id()),
            signer: self.signer()?,
            files: listed(folder)?,
        };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| Fault::new(Kind::Internal, "cannot write the manifest").because(error))?;
        let signature = hex::encode(&self.sign(&[PURPOSE, &text].concat())?) + "\n";
        std::fs::write(folder.join(MANIFEST), text).map_err(|error| cannot(MANIFEST, error))?;
        std::fs::write(folder.join(SIGNATURE), signature).map_err(|error| cannot(SIGNATURE, error))?;
        Ok(lines)
    }
}

/// The manifest in `text`, if it is one.
pub(super) fn parsed(text: &[u8]) -> Option<Manifest> {
    serde_json::from_slice(text).ok()
}

/// Every file of a folder but the manifest and its signature.
fn listed(folder: &Path) -> Result<BTreeMap<String, Listed>> {
    let cannot = |path: &Path, error| Fault::io("cannot read the bundle", path, error);
    let mut files = BTreeMap::new();
    for file in std::fs::read_dir(folder).map_err(|error| cannot(folder, error))? {
        let file = file.map_err(|error| cannot(folder, error))?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name == MANIFEST || name == SIGNATURE {
            continue;
        }
        let (path, mut hasher) = (file.path(), Sha256::new());
        let bytes = File::open(&path)
            .and_then(|mut file| std::io::copy(&mut file, &mut hasher))
            .map_err(|error| cannot(&path, error))?;
        files.insert(name, Listed { bytes, sha256: hex::encode(hasher.finalize()) });
    }
    Ok(files)
}

/// Whether the bundle in `folder` is as the unit made it: every file there and unchanged, none added, signed. With `signer`,
/// whether that key signed it.
///
/// # Errors
/// What is wrong with it, by the file's name.
pub fn verify_bundle(folder: &Path, signer: Option<&str>) -> Result<Checked> {
    let wrong = |why: String| {
        Fault::new(Kind::Damaged, "the bundle is not as it was made")
            .at(folder.display())
            .because(why)
            .remedy("Do not rely on it; ask for it again")
    };
    let read = |name: &str, most: u64| -> Result<Vec<u8>> {
        let path = folder.join(name);
        let cannot = |error| Fault::io("this is no evidence bundle", &path, error);
        if std::fs::metadata(&path).map_err(cannot)?.len() > most {
            return Err(wrong(format!("{name} is too long")));
        }
        std::fs::read(&path).map_err(cannot)
    };
    let text = read(MANIFEST, LONGEST)?;
    let manifest = parsed(&text).ok_or_else(|| wrong(format!("{MANIFEST} makes no sense")))?;
    let signature = hex::decode(String::from_utf8_lossy(&read(SIGNATURE, 1024)?).trim()).unwrap_or_default();
    let key = hex::decode(&manifest.signer).unwrap_or_default();
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&[PURPOSE, &text].concat(), &signature)
        .map_err(|_| wrong(format!("{SIGNATURE} is no signature of {MANIFEST} by the key that it names")))?;
    if let Some(signer) = signer
        && !signer.eq_ignore_ascii_case(&manifest.signer)
    {
        return Err(wrong(format!("it was signed by another key, {}", manifest.signer)));
    }
    let there = listed(folder)?;
    for (name, file) in &manifest.files {
        match there.get(name) {
            None => return Err(wrong(format!("{name} is missing"))),
            Some(found) if found != file => return Err(wrong(format!("{name} was changed"))),
            Some(_) => {}
        }
    }
    if let Some(name) = there.keys().find(|name| !manifest.files.contains_key(*name)) {
        return Err(wrong(format!("{name} does not belong to it")));
    }
    let Manifest { signer, who, reason, case, made, files, .. } = manifest;
    Ok(Checked { files: files.len() as u64, signer, who, reason, case, made })
}

/// A read as a row of the report.
fn row(line: &Value) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let mut cells = format!(
        "<tr><td><b>{}</b><br>read {}<br>{}{}<br>camera {}<br>confidence {}<br>",
        text(&line["text"]),
        text(&line["id"]),
        text(&line["utc"]),
        if line["utc_trusted"] == true { "" } else { " (no satellite has told this time)" },
        text(&line["camera"]),
        line["confidence"],
    );
    if let Value::Object(time) = &line["reckoned"] {
        let (utc, basis) = (text(&time["utc"]), text(&time["basis"]));
        cells += &match time["uncertainty_s"].as_f64() {
            Some(seconds) => format!("by {basis}: {utc}, within {seconds} s<br>"),
            None => format!("by {basis}: {utc}, how far off is not known<br>"),
        };
    }
    match &line["place"] {
        Value::Null => cells += "no position",
        place => {
            cells += &format!("{} {}", place["lat"], place["lon"]);
            if place["stale"] == true {
                cells += &format!(" (of {} s before)", place["age_s"]);
            }
        }
    }
    cells += "<td>";
    for hit in line["hits"].as_array().into_iter().flatten() {
        cells +=
            &format!("{}: {} ({}, {}", text(&hit["list"]), text(&hit["reason"]), text(&hit["how"]), hit["probability"]);
        for against in hit["against"].as_array().into_iter().flatten() {
            cells += &format!("; against it: {}", text(against));
        }
        cells += ")<br>";
    }
    cells += "<td>";
    for picture in line["pictures"].as_object().into_iter().flatten().map(|(_, name)| text(name)) {
        cells += &format!("<img src=\"{picture}\" alt=\"{picture}\">");
    }
    cells + "\n"
}

/// Text for a page.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
