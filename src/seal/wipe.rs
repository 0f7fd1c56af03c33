//! Files that are to leave nothing behind.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::files::sync_folder;

/// Overwrites all of a file where it lies, syncs, and removes it. On flash old bytes may stay in spare blocks.
///
/// # Errors
/// The disk refuses.
pub fn wipe(path: &Path) -> std::io::Result<()> {
    overwrite(&OpenOptions::new().write(true).open(path)?)?;
    std::fs::remove_file(path)?;
    sync_folder(path)
}

/// Overwrites all of an open file where it lies, and syncs.
///
/// # Errors
/// The disk refuses.
pub fn overwrite(file: &File) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let (length, mut at) = (file.metadata()?.len(), 0);
    while at < length {
        let now = (length - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..now as usize], at)?;
        at += now;
    }
    file.sync_all()
}
