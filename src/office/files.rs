//! Where things lie in an office's folder.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::fault::{Fault, Kind, Result};
pub(crate) use crate::files::{make_folder, replace, replace_from, write_new};

/// The authority's certificate and key.
pub(crate) fn authority(data: &Path) -> PathBuf {
    data.join("authority")
}

/// The service's identity.
pub(crate) fn identity(data: &Path) -> PathBuf {
    data.join("identity")
}

/// The enrolled units.
pub(crate) fn units(data: &Path) -> PathBuf {
    data.join("units")
}

/// The codes with which cars may enrol now.
pub(crate) fn codes(data: &Path) -> PathBuf {
    data.join("codes")
}

/// Who let which car in or cut it off, a line each.
pub(crate) fn enrolments(data: &Path) -> PathBuf {
    data.join("enrolments.jsonl")
}

/// Lists on their way into the service.
pub(crate) fn inbox(data: &Path) -> PathBuf {
    data.join("inbox")
}

/// What the cars sent, and the lists they are offered.
pub(crate) fn store(data: &Path) -> PathBuf {
    data.join("office.redb")
}

/// The lists as they were published, from which changes are made.
pub(crate) fn published(data: &Path) -> PathBuf {
    data.join("lists.redb")
}

/// The key that signs lists.
pub(crate) fn lists_key(data: &Path) -> PathBuf {
    authority(data).join("lists.key")
}

/// What the service last knew.
pub(crate) fn status(data: &Path) -> PathBuf {
    data.join("status.json")
}

/// What crews made known, as of the service's last look.
pub(crate) fn statements(data: &Path) -> PathBuf {
    data.join("statements.jsonl")
}

/// The same as an earlier program wrote it, whole each time.
pub(crate) fn earlier_statements(data: &Path) -> PathBuf {
    data.join("statements.json")
}

/// Who may sign on in the cars.
pub(crate) fn people(data: &Path) -> PathBuf {
    data.join("people.roll")
}

/// Who changed that, a line each.
pub(crate) fn people_changes(data: &Path) -> PathBuf {
    data.join("people.jsonl")
}

/// What is set in the cars now, and who set it.
pub(crate) fn settings(data: &Path) -> PathBuf {
    data.join("settings.json")
}

/// Who set what before, a line each.
pub(crate) fn settings_changes(data: &Path) -> PathBuf {
    data.join("settings.jsonl")
}

/// The heads of the cars' audit chains, a line each, as they came.
pub(crate) fn heads(data: &Path) -> PathBuf {
    data.join("heads.jsonl")
}

/// Who changed which list, and why, a line each.
pub(crate) fn changes(data: &Path) -> PathBuf {
    data.join("changes.jsonl")
}

/// How long things are kept, where somebody set it.
pub(crate) fn retention(data: &Path) -> PathBuf {
    data.join("retention.json")
}

/// What was set about that and what was deleted, a line each.
pub(crate) fn retention_changes(data: &Path) -> PathBuf {
    data.join("retention.jsonl")
}

/// Holds the right to change what may speak to the office: codes and register. Commands and the service take turns.
pub(crate) fn hold_the_door(data: &Path) -> Result<File> {
    hold(&data.join("enrol.lock"), "cannot change who may speak to the office")
}

/// Holds a lock for as long as the file is open: two programs at once must not undo each other. `what` cannot be done without.
pub(crate) fn hold(lock: &Path, what: &str) -> Result<File> {
    File::create(lock).and_then(|file| file.lock().map(|()| file)).map_err(|error| Fault::io(what, lock, error))
}

/// Appends a line to a private file, durably.
pub(crate) fn append(path: &Path, line: &str) -> Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Fault::io("cannot write the file", path, error))
}

/// The lines of a file of JSON lines, none where there is no file; `what` is what they are, for people.
///
/// # Errors
/// The file cannot be read, or a line of it is something else.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path, what: &str) -> Result<Vec<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Fault::io(format!("cannot read {what}"), path, error)),
    };
    let lines = text.lines().enumerate().map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| {
            Fault::new(Kind::Damaged, format!("cannot read {what}"))
                .at(format!("{}:{}", path.display(), number + 1))
                .because(error)
                .remedy("Move that line away and keep it for examination")
        })
    });
    lines.collect()
}
