//! Where things lie in an office's folder, and how files are written so that nobody sees half of one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::fault::{Fault, Kind, Result};

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

/// The heads of the cars' audit chains, a line each, as they came.
pub(crate) fn heads(data: &Path) -> PathBuf {
    data.join("heads.jsonl")
}

/// Who changed which list, and why, a line each.
pub(crate) fn changes(data: &Path) -> PathBuf {
    data.join("changes.jsonl")
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

/// Makes a folder that only its owner may enter; one that exists is left as it is.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        Fault::io("cannot make the folder", path, error).remedy("Name a folder that this user may write to")
    })
}

/// Writes a new private file; one that exists is never overwritten.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| Fault::io("cannot write the file", path, error))
}

/// Writes a private file in place of an older one: readers see the old or the new, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_from(path, bytes)
}

/// As [`replace`], with the bytes that `source` gives: they need not fit into memory.
pub(crate) fn replace_from(path: &Path, mut source: impl Read) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Two processes may write at once; the leading dot keeps the inbox from taking an unfinished file.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!(".{name}.{}.{:x}", std::process::id(), fastrand::u64(..)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| std::io::copy(&mut source, &mut file).and_then(|_| file.sync_all()))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        Fault::io("cannot write the file", path, error)
    })
}
