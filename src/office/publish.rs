//! Publishing: from a file that people keep to a revision that cars take.

use std::path::Path;

use super::inbox;
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Hotlist, ImportOptions, Report};

/// Imports `file` (CSV) as the next revision of `list` and hands it to the office in `data`, whose service, running or
/// not yet, offers it to the cars. Bad lines are in the report; with `dry_run` nothing else happens.
///
/// # Errors
/// The file cannot be read or holds no usable line, or the office's folder cannot be written.
pub fn publish(data: &Path, list: &str, file: &Path, dry_run: bool, clock: clock::Shared) -> Result<Report> {
    if !data.is_dir() {
        return Err(Fault::new(Kind::Missing, "there is no office here")
            .at(data.display())
            .remedy("Make one with outrider-office init"));
    }
    let source = std::fs::File::open(file)
        .map_err(|error| Fault::io("cannot read the list", file, error).remedy("Name a CSV file"))?;
    let scratch = tempfile::Builder::new()
        .prefix("publish-")
        .tempdir_in(data)
        .map_err(|error| Fault::io("cannot write the office's folder", data, error))?;
    let store = Hotlist::open(&scratch.path().join("list.redb"), clock.clone())?;
    // Revisions only have to grow; the time in milliseconds does, whoever publishes.
    let revision = u64::try_from(clock.utc().timestamp_millis()).unwrap_or(1);
    let options = ImportOptions { revision: Some(revision), dry_run, ..ImportOptions::default() };
    let report = store.import(list, source, file, &options)?;
    if !dry_run {
        inbox::offer_revision(data, list, revision, &store.export_revision(list)?)?;
    }
    Ok(report)
}
