//! A sealed database on disk: made whole or not at all, and an unsealed one taken over.
//!
//! ```text
//! NAME.redb (in the clear)  ─copy─►  NAME.redb.sealed
//! NAME.redb  ─►  NAME.redb.plain;   NAME.redb.sealed  ─►  NAME.redb;   NAME.redb.plain overwritten, removed
//! ```
//! Killed at any instant, [`finish`] knows by the names how far it came.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};

use super::backend::{MAGIC, Sealed};
use super::wipe::wipe;
use super::{BLOCK, SealKey};
use crate::files::sync_folder;

/// The earlier file, once the sealed one is in its place.
pub fn plain_of(path: &Path) -> PathBuf {
    path.with_extension("redb.plain")
}

/// The sealed one, until it is whole.
pub fn sealed_of(path: &Path) -> PathBuf {
    path.with_extension("redb.sealed")
}

/// Ends what an earlier takeover of the file at `path` could not.
///
/// # Errors
/// The disk refuses.
pub fn finish(path: &Path) -> io::Result<()> {
    let (plain, sealed) = (plain_of(path), sealed_of(path));
    if !plain.exists() {
        return Ok(());
    }
    if !path.exists() {
        // Between the two renames: the sealed one was whole before the first.
        std::fs::rename(if sealed.exists() { &sealed } else { &plain }, path)?;
        sync_folder(path)?;
    }
    if plain.exists() { wipe(&plain) } else { Ok(()) }
}

/// Puts the sealed file, which is whole, in the place of the one at `path`, which is overwritten.
///
/// # Errors
/// The disk refuses; the next call of [`finish`] goes on.
pub fn take_place(path: &Path) -> io::Result<()> {
    std::fs::rename(path, plain_of(path))?;
    std::fs::rename(sealed_of(path), path)?;
    sync_folder(path)?;
    finish(path)
}

/// Whether the file at `path` is a sealed one.
pub fn is_sealed(path: &Path) -> bool {
    let mut begin = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut begin)).is_ok() && begin == *MAGIC
}

/// Opens the sealed database at `path`, or makes one. One that lies there in the clear is taken over: written anew, sealed,
/// and overwritten.
///
/// # Errors
/// The disk refuses, another program has it open, it is damaged or sealed under another key.
pub fn database(path: &Path, key: &SealKey, builder: &Builder) -> Result<Database, redb::Error> {
    finish(path)?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, key, builder)?,
        Err(error) => return Err(error.into()),
        Ok(_) if is_sealed(path) => {}
        Ok(_) => {
            // Held open, so that nobody else has it, and repaired where it has to be.
            let held = builder.create(path)?;
            copy(&FileBackend::new(File::open(path)?)?, path, key)?;
            drop(held);
            take_place(path)?;
        }
    }
    let mut sealed = Sealed::open(backend(path)?, key)?;
    if sealed.is_worn() {
        let held = builder.create_with_backend(sealed)?;
        copy(&Sealed::open(backend(path)?, key)?, path, key)?;
        drop(held);
        take_place(path)?;
        sealed = Sealed::open(backend(path)?, key)?;
    }
    Ok(builder.create_with_backend(sealed)?)
}

fn backend(path: &Path) -> Result<FileBackend, redb::Error> {
    Ok(FileBackend::new(OpenOptions::new().read(true).write(true).open(path)?)?)
}

/// An empty file to seal into, which has no place yet.
fn beside(path: &Path, key: &SealKey) -> Result<Sealed<FileBackend>, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(Sealed::make(FileBackend::new(file)?, key)?)
}

/// Makes an empty database: beside its place, since redb refuses one that was cut short while it was being made.
fn make(path: &Path, key: &SealKey, builder: &Builder) -> Result<(), redb::Error> {
    let made = sealed_of(path);
    drop(builder.create_with_backend(beside(&made, key)?)?);
    File::open(&made)?.sync_all()?;
    std::fs::rename(&made, path)?;
    sync_folder(path)?;
    Ok(())
}

/// Writes all of `from` into the sealed file beside `path`.
fn copy(from: &impl StorageBackend, path: &Path, key: &SealKey) -> Result<(), redb::Error> {
    let into = beside(&sealed_of(path), key)?;
    let length = from.len()?;
    into.set_len(length)?;
    let mut bytes = vec![0; BLOCK];
    for at in (0..length).step_by(BLOCK) {
        let part = &mut bytes[..(length - at).min(BLOCK as u64) as usize];
        match from.read(at, part) {
            Ok(()) => into.write(at, part)?,
            // Of a sealed file: nobody ever wrote it, or a power cut tore what nothing refers to. It stays an error to read it.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(error) => return Err(error.into()),
        }
    }
    into.sync_data()?;
    into.close()?;
    Ok(())
}
