//! Publishing: from a file that people keep to a revision that cars take.

use std::path::Path;

use super::changes::{self, ListChange};
use super::{authority, files, inbox};
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Hotlist, ImportOptions, Report, Settings, Watch};

/// What is to be published.
#[derive(Debug, Clone)]
pub struct Publication<'a> {
    /// The list's id.
    pub list: &'a str,
    /// The CSV file.
    pub file: &'a Path,
    /// Its name for people; default: as before.
    pub name: Option<String>,
    /// How it is to be used; default: as before.
    pub settings: Option<Settings>,
    /// Only report, change nothing.
    pub dry_run: bool,
    /// Who publishes it, for the record; empty: nobody says.
    pub by: &'a str,
    /// Hears how far the import is.
    pub watch: Option<Watch>,
}

impl<'a> Publication<'a> {
    /// The list `list` as `file` has it, used as before.
    pub fn of(list: &'a str, file: &'a Path, by: &'a str) -> Self {
        Self { list, file, name: None, settings: None, dry_run: false, by, watch: None }
    }
}

/// Imports a file as the next revision of its list, signs it, and hands it to the office in `data`, whose service, running or
/// not yet, offers it to the cars. Bad lines are in the report; of a trial nothing else comes.
///
/// # Errors
/// The file cannot be read or holds no usable line, or the office's folder cannot be written.
pub fn publish(data: &Path, wanted: &Publication, clock: clock::Shared) -> Result<Report> {
    let Publication { list, file, by, .. } = *wanted;
    if !files::authority(data).exists() {
        return Err(Fault::new(Kind::Missing, "there is no office here")
            .at(data.display())
            .remedy("Make one with outrider-office init"));
    }
    let source = std::fs::File::open(file)
        .map_err(|error| Fault::io("cannot read the list", file, error).remedy("Name a CSV file"))?;
    let key = authority::lists_key(data)?;
    let store = Hotlist::open(&files::published(data), clock.clone())?;
    // Revisions only have to grow; the time in milliseconds does, whoever publishes. A change may have come within the same.
    let held = store.status().into_iter().find(|held| held.id == list).map_or(0, |held| held.revision);
    let revision = u64::try_from(clock.utc().timestamp_millis()).unwrap_or(1).max(held + 1);
    let options = ImportOptions {
        revision: Some(revision),
        name: wanted.name.clone(),
        settings: wanted.settings.clone(),
        dry_run: wanted.dry_run,
        watch: wanted.watch.clone(),
        ..ImportOptions::default()
    };
    let (report, published) = store.publish(list, source, file, &options, &key)?;
    if let Some(mut published) = published {
        let unreadable = |error| Fault::io("cannot read the signed list", &files::published(data), error);
        if let Some((base, change)) = &mut published.change {
            inbox::offer_change(data, list, revision, *base, change.reader().map_err(unreadable)?)?;
        }
        inbox::offer_revision(data, list, revision, published.whole.reader().map_err(unreadable)?)?;
        let change = ListChange {
            utc: clock.utc(),
            list: list.to_owned(),
            revision,
            by: by.to_owned(),
            why: "published".into(),
            whole: true,
            set: Vec::new(),
            removed: Vec::new(),
        };
        changes::note(data, &change)?;
    }
    Ok(report)
}
