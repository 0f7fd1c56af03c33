//! Publishing: from a file that people keep to a revision that cars take.

use std::path::Path;

use super::{authority, files, inbox};
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Hotlist, ImportOptions, Report, Settings};

/// Imports `file` (CSV) as the next revision of `list`, signs it, and hands it to the office in `data`, whose service,
/// running or not yet, offers it to the cars. Bad lines are in the report; with `dry_run` nothing else happens.
///
/// # Errors
/// The file cannot be read or holds no usable line, or the office's folder cannot be written.
pub fn publish(
    data: &Path,
    list: &str,
    file: &Path,
    settings: Option<Settings>,
    dry_run: bool,
    clock: clock::Shared,
) -> Result<Report> {
    if !files::authority(data).exists() {
        return Err(Fault::new(Kind::Missing, "there is no office here")
            .at(data.display())
            .remedy("Make one with outrider-office init"));
    }
    let source = std::fs::File::open(file)
        .map_err(|error| Fault::io("cannot read the list", file, error).remedy("Name a CSV file"))?;
    let key = authority::lists_key(data)?;
    let store = Hotlist::open(&files::published(data), clock.clone())?;
    // Revisions only have to grow; the time in milliseconds does, whoever publishes.
    let revision = u64::try_from(clock.utc().timestamp_millis()).unwrap_or(1);
    let options = ImportOptions { revision: Some(revision), settings, dry_run, ..ImportOptions::default() };
    let (report, published) = store.publish(list, source, file, &options, &key)?;
    if let Some(published) = published {
        if let Some((base, change)) = &published.change {
            inbox::offer_change(data, list, revision, *base, change)?;
        }
        inbox::offer_revision(data, list, revision, &published.whole)?;
    }
    Ok(report)
}
