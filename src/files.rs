//! Private files, written so that nobody sees half of one: a power cut leaves the old or the new.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::fault::{Fault, Result};

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
    // Two processes may write at once; the leading dot keeps readers of the folder from taking an unfinished file.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder_of(path).join(format!(".{name}.{}.{:x}", std::process::id(), fastrand::u64(..)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| std::io::copy(&mut source, &mut file).and_then(|_| file.sync_all()))
        .and_then(|()| rename(&unfinished, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        Fault::io("cannot write the file", path, error)
    })
}

/// Renames a file or folder within its folder, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)?;
    sync_folder(to)
}

/// Makes the name of a file last: syncs the folder that it lies in.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
