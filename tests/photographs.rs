//! Real photographs, where the folder with them lies beside the project: the figures of `docs/figures.md` must not get
//! worse unseen. Nothing of a picture or a label is printed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

#[test]
fn most_uk_plates_of_the_validation_photographs_are_read() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let mut truth = HashMap::new();
    for set in ["open_lpr", "openimages_plates"] {
        let Ok(labels) = std::fs::read_to_string(data.join(set).join("labels.jsonl")) else { continue };
        for line in labels.lines() {
            let row: Value = serde_json::from_str(line).expect("a label line");
            let texts: Vec<String> = row["plates"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|plate| plate["country"] == "GB")
                .filter_map(|plate| Some(plate["text"].as_str()?.to_owned()))
                .collect();
            if row["split"] == "val" && !texts.is_empty() {
                truth.insert(data.join(set).join(row["file"].as_str().expect("a name")), texts);
            }
        }
    }
    if truth.is_empty() {
        eprintln!("SKIPPED: {} is not there, so no real photograph was read", data.display());
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["read", "--json"])
        .args(truth.keys())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut texts, mut read) = (0, 0);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let row: Value = serde_json::from_str(line).expect("JSON and nothing else");
        let file = PathBuf::from(row["file"].as_str().expect("a file"));
        let got: Vec<&str> =
            row["plates"].as_array().expect("plates").iter().filter_map(|p| p["text"].as_str()).collect();
        for want in &truth[&file] {
            texts += 1;
            read += usize::from(got.contains(&want.as_str()));
        }
    }
    assert!(texts >= 100, "there are {texts} texts");
    assert!(read * 100 >= texts * 80, "{read} of {texts} UK plates are read");
}
